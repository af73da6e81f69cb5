//! `--secret`: `id=token,src=FILE` or `id=token,env=VARIABLE`.

use std::{collections::BTreeMap, env, fs, os::unix::ffi::OsStringExt as _, path::PathBuf};

use builder::{Secret, SecretContent};

use super::fields::fields;

/// The secrets by id; of two with one id the last counts. Files have to be there, and are read when a step needs them; a
/// variable that is not set is an empty secret.
pub fn secrets(list: &[String]) -> anyhow::Result<BTreeMap<String, Secret>> {
    let parsed = list.iter().map(|text| Wanted::parse(text)).collect::<anyhow::Result<Vec<_>>>()?;
    parsed.into_iter().map(Wanted::found).collect()
}

/// A secret as the user writes it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    id: String,
    file: String,
    variable: String,
}

impl Wanted {
    fn parse(text: &str) -> anyhow::Result<Wanted> {
        let mut wanted = Wanted::default();
        let mut kind = String::new();
        for field in fields(text)? {
            let Some((key, value)) = field.split_once('=') else {
                anyhow::bail!("invalid field '{field}' must be a key=value pair");
            };
            let value = value.to_owned();
            match key.to_lowercase().as_str() {
                "type" if value == "file" || value == "env" => kind = value,
                "type" => anyhow::bail!("unsupported secret type {value:?}"),
                "id" => wanted.id = value,
                "source" | "src" => wanted.file = value,
                "env" => wanted.variable = value,
                key => anyhow::bail!("unexpected key '{key}' in '{field}'"),
            }
        }
        if kind == "env" && wanted.variable.is_empty() {
            wanted.variable = std::mem::take(&mut wanted.file);
        }
        Ok(wanted)
    }

    /// Looks whether it is there. Without a source, the variable is meant that is called as the secret, or else the file.
    fn found(mut self) -> anyhow::Result<(String, Secret)> {
        anyhow::ensure!(!self.id.is_empty(), "failed to build: secret missing ID");
        if self.variable.is_empty() && self.file.is_empty() {
            match env::var_os(&self.id) {
                Some(_) => self.variable.clone_from(&self.id),
                None => self.file.clone_from(&self.id),
            }
        }
        if !self.variable.is_empty() {
            let content = env::var_os(&self.variable).unwrap_or_default().into_vec();
            return Ok((self.id, Secret::Content(SecretContent(content))));
        }
        let file = PathBuf::from(&self.file);
        if fs::metadata(&file).is_err() {
            anyhow::bail!(
                "failed to build: failed to stat {0}: stat {0}: no such file or directory",
                self.file
            );
        }
        Ok((self.id, Secret::File(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        let wanted = |id: &str, file: &str, variable: &str| Wanted {
            id: id.into(),
            file: file.into(),
            variable: variable.into(),
        };
        for (text, expected) in [
            ("id=a", wanted("a", "", "")),
            ("id=a,src=/x", wanted("a", "/x", "")),
            ("ID=a,source=/x", wanted("a", "/x", "")),
            ("id=a,env=X", wanted("a", "", "X")),
            ("id=a,type=env,src=X", wanted("a", "", "X")),
            ("type=env,id=X", wanted("X", "", "")),
            ("type=file,id=a,\"src=/x,y\"", wanted("a", "/x,y", "")),
        ] {
            assert_eq!(Wanted::parse(text).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_dockers_words() {
        for (text, expected) in [
            ("foo", "invalid field 'foo' must be a key=value pair"),
            ("id=a,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
            ("id=a,type=foo", "unsupported secret type \"foo\""),
            ("src=x", "failed to build: secret missing ID"),
            (
                "id=a,src=/nonexist",
                "failed to build: failed to stat /nonexist: stat /nonexist: no such file or directory",
            ),
        ] {
            let error = secrets(&[text.to_owned()]).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }
}
