//! `--output`, `--push` and `--load`: what becomes of the result, in docker's words.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
};

use builder::{Family, Output, Package, Split, Target};
use image::Encoding;
use types::Reference;

use super::fields::{fields, pairs, truth};

/// The outputs that the options ask for.
pub fn outputs(texts: &[String], push: bool, load: bool) -> anyhow::Result<Vec<Output>> {
    let mut entries = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        entries.push(Entry::parse(text)?);
    }
    if push {
        // An image that is exported anyway is pushed; without one, one is.
        let mut images = entries.iter_mut().filter(|entry| entry.kind == "image").peekable();
        if images.peek().is_none() {
            entries.push(Entry::of("registry"));
        } else {
            images.for_each(|entry| entry.set("push", "true"));
        }
    }
    if load && !entries.iter().any(|entry| entry.kind == "docker" && entry.destination.is_none()) {
        entries.push(Entry::of("docker"));
    }
    let mut stdout = Stdout { taken: false };
    let mut outputs = Vec::new();
    for entry in entries {
        // Nothing is to be exported; the build fills the cache.
        if entry.kind != "cacheonly" {
            outputs.push(entry.output(&mut stdout)?);
        }
    }
    Ok(outputs)
}

/// One `--output`, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Entry {
    kind: String,
    destination: Option<String>,
    settings: BTreeMap<String, String>,
}

impl Entry {
    fn of(kind: &str) -> Entry {
        Entry { kind: kind.to_owned(), ..Entry::default() }
    }

    fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// A single word is a directory, or standard output if it is `-`.
    fn parse(text: &str) -> anyhow::Result<Entry> {
        let fields = fields(text)?;
        if fields == [text] && !text.starts_with("type=") {
            let kind = if text == "-" { "tar" } else { "local" };
            return Ok(Entry { destination: Some(text.to_owned()), ..Entry::of(kind) });
        }
        let mut entry = Entry::default();
        for (key, value) in pairs(&fields)? {
            match key.as_str() {
                "type" => entry.kind = value,
                "dest" => entry.destination = Some(value).filter(|value| !value.is_empty()),
                _ => entry.set(&key, &value),
            }
        }
        match entry.kind.is_empty() {
            true => anyhow::bail!("type is required for output"),
            false => Ok(entry),
        }
    }

    fn output(&self, stdout: &mut Stdout) -> anyhow::Result<Output> {
        Ok(match self.kind.as_str() {
            "image" | "registry" => {
                let push = self.kind == "registry" || self.truth("push")?.unwrap_or(false);
                Output::Image { names: self.names()?, push, package: self.package(Family::Oci)? }
            }
            // For this engine, whose store is docker's here.
            "docker" if self.destination.is_none() && self.is_archive() => {
                Output::Image { names: self.names()?, push: false, package: self.package(Family::Oci)? }
            }
            "docker" => self.layout(Family::Docker, stdout)?,
            "oci" => self.layout(Family::Oci, stdout)?,
            "tar" => Output::Tar { to: self.file(stdout)?, split: self.split()? },
            "local" => Output::Local { to: self.directory()?, split: self.split()? },
            other => anyhow::bail!("exporter {other:?} could not be found"),
        })
    }

    fn layout(&self, family: Family, stdout: &mut Stdout) -> anyhow::Result<Output> {
        let (names, package) = (self.names()?, self.package(family)?);
        let to = match self.is_archive() {
            true => Target::Archive(self.file(stdout)?),
            false => Target::Directory(self.directory()?),
        };
        Ok(Output::Layout { family, names, package, to })
    }

    fn is_archive(&self) -> bool {
        // What is no truth value is none given, as docker has it.
        self.settings.get("tar").and_then(|text| truth(text)).unwrap_or(true)
    }

    fn names(&self) -> anyhow::Result<Vec<Reference>> {
        let list = self.settings.get("name").map_or("", String::as_str);
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        names
            .map(|name| name.parse().map_err(|error| anyhow::anyhow!("invalid name {name:?}: {error}")))
            .collect()
    }

    fn package(&self, family: Family) -> anyhow::Result<Package> {
        let encoding = match self.settings.get("compression").map(String::as_str) {
            None | Some("" | "gzip") => Encoding::Gzip,
            Some("zstd") => Encoding::Zstd,
            Some("uncompressed") => Encoding::Plain,
            Some(other) => anyhow::bail!("unsupported layer compression type: {other}"),
        };
        let media_types = match self.truth("oci-mediatypes")? {
            Some(true) => Family::Oci,
            Some(false) => Family::Docker,
            None => family,
        };
        Ok(Package { encoding, media_types })
    }

    fn split(&self) -> anyhow::Result<Split> {
        Ok(match self.truth("platform-split")? {
            None | Some(true) => Split::Auto,
            Some(false) => Split::Never,
        })
    }

    fn truth(&self, key: &str) -> anyhow::Result<Option<bool>> {
        let Some(text) = self.settings.get(key).filter(|text| !text.is_empty()) else { return Ok(None) };
        match truth(text) {
            Some(value) => Ok(Some(value)),
            None => anyhow::bail!("non-bool value specified for {key}: {text:?}"),
        }
    }

    fn directory(&self) -> anyhow::Result<PathBuf> {
        let kind = &self.kind;
        match self.destination.as_deref() {
            None => anyhow::bail!("dest is required for {kind} exporter"),
            Some("-") => anyhow::bail!("dest cannot be stdout for {kind} exporter"),
            Some(path) if fs::metadata(path).is_ok_and(|there| !there.is_dir()) => {
                anyhow::bail!("destination directory {path} is a file")
            }
            Some(path) => Ok(PathBuf::from(path)),
        }
    }

    /// The file to write to. It is made at once, so that a build is not for nothing.
    fn file(&self, stdout: &mut Stdout) -> anyhow::Result<Box<dyn Write + Send>> {
        match self.destination.as_deref() {
            None | Some("-") => stdout.take(&self.kind),
            Some(path) if fs::metadata(path).is_ok_and(|there| there.is_dir()) => {
                anyhow::bail!("destination file {path} is a directory")
            }
            Some(path) => match File::create(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => anyhow::bail!("failed to open {path}: {error}"),
            },
        }
    }
}

/// Standard output, which one output may have.
struct Stdout {
    taken: bool,
}

impl Stdout {
    fn take(&mut self, kind: &str) -> anyhow::Result<Box<dyn Write + Send>> {
        if self.taken {
            anyhow::bail!("multiple outputs configured to write to stdout");
        }
        if io::stdout().is_terminal() {
            anyhow::bail!("dest file is required for {kind} exporter. refusing to write to console");
        }
        self.taken = true;
        Ok(Box::new(io::stdout()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds of the outputs, with what matters of each.
    fn outcome(texts: &[&str], push: bool, load: bool) -> String {
        let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
        match outputs(&texts, push, load) {
            Err(error) => error.to_string(),
            Ok(outputs) => outputs.iter().map(described).collect::<Vec<_>>().join("; "),
        }
    }

    fn described(output: &Output) -> String {
        match output {
            Output::Image { names, push, package } => {
                let names: Vec<String> = names.iter().map(Reference::familiar).collect();
                format!("image {names:?} push {push} {:?}", package.encoding)
            }
            Output::Layout { family, package, .. } => format!("{family:?} layout {:?}", package.media_types),
            Output::Tar { .. } => "tar".into(),
            Output::Local { to, .. } => format!("local {}", to.display()),
        }
    }

    #[test]
    fn a_word_is_a_directory_and_other_outputs_have_a_type() {
        for (text, expected) in [
            ("out", "local out"),
            ("dest=out", "local dest=out"),
            ("type=local,dest=out", "local out"),
            ("type=image", "image [] push false Gzip"),
            (
                r#"type=image,"name=a,b:1",push=true,compression=zstd"#,
                r#"image ["a:latest", "b:1"] push true Zstd"#,
            ),
            ("type=registry,name=a", r#"image ["a:latest"] push true Gzip"#),
            ("type=docker", "image [] push false Gzip"),
            ("type=oci,tar=false,dest=out", "Oci layout Oci"),
            ("type=docker,tar=false,dest=out", "Docker layout Docker"),
            ("type=cacheonly", ""),
            ("type=local", "dest is required for local exporter"),
            ("type=local,dest=-", "dest cannot be stdout for local exporter"),
            ("type=local,x", "invalid value x"),
            ("name=x,push=true", "type is required for output"),
            ("type=tar,dest=/", "destination file / is a directory"),
            ("type=local,dest=/dev/null", "destination directory /dev/null is a file"),
            ("type=foo", r#"exporter "foo" could not be found"#),
            ("type=image,push=x", r#"non-bool value specified for push: "x""#),
            ("type=image,compression=lzw", "unsupported layer compression type: lzw"),
        ] {
            assert_eq!(outcome(&[text], false, false), expected, "{text}");
        }
    }

    #[test]
    fn push_and_load_add_an_output_unless_one_will_do() {
        assert_eq!(outcome(&[], true, false), "image [] push true Gzip");
        assert_eq!(outcome(&["type=image,name=a"], true, false), r#"image ["a:latest"] push true Gzip"#);
        assert_eq!(outcome(&["out"], false, true), "local out; image [] push false Gzip");
        assert_eq!(outcome(&["type=docker"], false, true), "image [] push false Gzip");
    }
}
