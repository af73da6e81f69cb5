//! `--cache-from` and `--cache-to`: caches outside this machine, in docker's words.

use builder::{CacheExport, CacheMode, CacheSource, CacheTarget};
use types::Reference;

use super::fields::{fields, pairs, truth};

pub fn sources(texts: &[String]) -> anyhow::Result<Vec<CacheSource>> {
    let entries = entries(texts)?;
    entries
        .iter()
        .map(|entry| match entry.kind.as_str() {
            "local" => Ok(CacheSource::Directory(entry.required("src")?.into())),
            "registry" => Ok(CacheSource::Registry(entry.reference()?)),
            other => anyhow::bail!("unknown cache importer: {other}"),
        })
        .collect()
}

pub fn exports(texts: &[String]) -> anyhow::Result<Vec<CacheExport>> {
    entries(texts)?.iter().map(Entry::export).collect()
}

/// One value, as it is written.
struct Entry {
    kind: String,
    settings: Vec<(String, String)>,
}

/// A value without `=` is a list of references in registries.
fn entries(texts: &[String]) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        if !text.contains('=') {
            entries.extend(
                fields(text)?.into_iter().map(|name| Entry {
                    kind: "registry".to_owned(),
                    settings: vec![("ref".to_owned(), name)],
                }),
            );
            continue;
        }
        let (kind, settings): (Vec<_>, Vec<_>) =
            pairs(&fields(text)?)?.into_iter().partition(|(key, _)| key == "type");
        match kind.into_iter().next_back() {
            Some((_, kind)) if !kind.is_empty() => entries.push(Entry { kind, settings }),
            _ => anyhow::bail!("type required for {text:?}"),
        }
    }
    Ok(entries)
}

impl Entry {
    fn export(&self) -> anyhow::Result<CacheExport> {
        let to = match self.kind.as_str() {
            "local" => CacheTarget::Directory(self.required("dest")?.into()),
            "registry" => CacheTarget::Registry(self.reference()?),
            "inline" => CacheTarget::Inline,
            other => anyhow::bail!("unknown cache exporter: {other:?}"),
        };
        let mode = match self.value("mode") {
            None | Some("" | "min") => CacheMode::Min,
            Some("max") => CacheMode::Max,
            Some(other) => anyhow::bail!("unknown cache mode {other:?}: expected min or max"),
        };
        let ignore_error = self.value("ignore-error").and_then(truth).unwrap_or(false);
        Ok(CacheExport { to, mode, ignore_error })
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn required(&self, key: &str) -> anyhow::Result<&str> {
        match self.value(key) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => anyhow::bail!("{} cache requires {key}", self.kind),
        }
    }

    fn reference(&self) -> anyhow::Result<Reference> {
        let name = self.required("ref")?;
        name.parse().map_err(|error| anyhow::anyhow!("invalid cache reference {name:?}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let text = [text.to_owned()];
        let outcome = match exports(&text) {
            Ok(all) => format!("{all:?}"),
            Err(error) => error.to_string(),
        };
        assert!(outcome.contains(expected), "{outcome}");
    }

    #[test]
    fn a_cache_goes_to_a_directory_a_registry_or_the_image() {
        check("type=local,dest=x,mode=max", r#"to: Directory("x"), mode: Max, ignore_error: false"#);
        check("type=registry,ref=me/x,ignore-error=true", "mode: Min, ignore_error: true");
        check("type=inline", "to: Inline");
        check("me/x", "Registry(");
        check("foo=x", r#"type required for "foo=x""#);
        check("type=local", "local cache requires dest");
        check("type=gha", r#"unknown cache exporter: "gha""#);
        assert_eq!(sources(&["a,b".into()]).expect("two").len(), 2);
    }
}
