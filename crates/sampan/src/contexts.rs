//! Contexts: engines by name, where docker's command line keeps them and finds them again.
//!
//! ```text
//!   <configuration>/config.json                                which is the current one, if it is not the default
//!   <configuration>/contexts/meta/<sha256 of the name>/meta.json
//!   <configuration>/contexts/tls/<sha256 of the name>/<endpoint>/ca.pem, cert.pem, key.pem
//! ```
//!
//! The one called `default` is made of options and the environment, and is in no file. This machine's engine is the only one
//! that sampan can use so far: where another is meant, that is an error and not a surprise.

use std::{
    env,
    fs::{self, DirBuilder, File},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use distribution::ConfigFile;
use image::tarball::{self, Entry, Kind};
use serde_json::{Map, Value, json};
use types::Digest;

use crate::{cli::Globals, session};

/// What is known of an engine.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Context {
    pub name: String,
    pub metadata: Map<String, Value>,
    pub endpoints: Map<String, Value>,
}

/// The certificates of a context's endpoints, by endpoint and file.
pub type Material = Vec<(String, String, Vec<u8>)>;

/// Why a context is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("context {name:?}: context not found: open {}: no such file or directory", .path.display())]
    NotFound { name: String, path: PathBuf },
    #[error("context name cannot be empty")]
    NoName,
    #[error("\"default\" is a reserved context name")]
    Reserved,
    #[error(
        "context name {0:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
    )]
    Name(String),
    #[error("conflicting options: cannot specify both --host and --context")]
    Conflict,
    #[error("Specify only one -H")]
    SeveralHosts,
    /// Where an engine is needed and another one than this machine's is meant.
    #[error("cannot use the engine at {host}: this sampan only knows the one of this machine")]
    Elsewhere { host: String, meant_by: MeantBy },
    #[error("invalid context: no metadata found")]
    NoMetadata,
    #[error("{0}: unexpected context file")]
    UnexpectedFile(String),
    #[error("{path}", path = .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path}", path = .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("there is no directory for the client's configuration: HOME is not set")]
    Homeless,
}

/// What has chosen an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeantBy {
    HostOption,
    HostVariable,
    ContextOption,
    ContextVariable,
    Configuration,
}

impl ContextError {
    /// What the user may do about it, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            ContextError::Elsewhere { meant_by, .. } => match meant_by {
                MeantBy::HostOption => "leave out --host to use the engine of this machine",
                MeantBy::HostVariable => "unset DOCKER_HOST to use the engine of this machine",
                MeantBy::ContextOption => {
                    "leave out --context, or say `--context default`, to use the engine of this machine"
                }
                MeantBy::ContextVariable => "unset DOCKER_CONTEXT to use the engine of this machine",
                MeantBy::Configuration => {
                    "`sampan context use default` goes back to the engine of this machine"
                }
            },
            ContextError::NotFound { .. } => "`sampan context ls` lists what is here",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Fails if another engine is meant than this machine's.
pub fn check_local(globals: &Globals) -> anyhow::Result<()> {
    if globals.host.len() > 1 {
        return Err(ContextError::SeveralHosts).context(UNRESOLVED);
    }
    let (name, meant_by) = chosen(globals);
    let (host, meant_by) = match name.as_deref() {
        None | Some(DEFAULT) => match (globals.host.first(), env::var("DOCKER_HOST").ok()) {
            (Some(host), _) => (host.clone(), MeantBy::HostOption),
            (None, Some(host)) => (host, MeantBy::HostVariable),
            (None, None) => return Ok(()),
        },
        Some(name) => match Contexts::of(globals)?.get(name).context(UNRESOLVED)?.host() {
            Some(host) => (host.to_owned(), meant_by),
            None => return Ok(()),
        },
    };
    match is_local(&host) {
        true => Ok(()),
        false => Err(ContextError::Elsewhere { host, meant_by }.into()),
    }
}

/// The context that is meant, if one is, and by what; see docker's order.
fn chosen(globals: &Globals) -> (Option<String>, MeantBy) {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(name) = globals.context.clone().filter(|name| !name.is_empty()) {
        return (Some(name), MeantBy::ContextOption);
    }
    if !globals.host.is_empty() || set("DOCKER_HOST").is_some() {
        // The default one, wherever that is then.
        return (None, MeantBy::HostOption);
    }
    if let Some(name) = set("DOCKER_CONTEXT") {
        return (Some(name), MeantBy::ContextVariable);
    }
    let current = session::configured(globals, CURRENT).filter(|name| !name.is_empty());
    (current, MeantBy::Configuration)
}

/// The name of the context that is meant.
pub fn current(globals: &Globals) -> String {
    chosen(globals).0.unwrap_or_else(|| DEFAULT.to_owned())
}

/// Whether docker's own engine on this machine has this address, whose part we play.
fn is_local(host: &str) -> bool {
    matches!(
        host.trim(),
        "" | "unix://" | LOCAL | "unix:///run/docker.sock" | "/var/run/docker.sock" | "/run/docker.sock"
    )
}

/// All contexts of a user.
#[derive(Debug)]
pub struct Contexts {
    directory: PathBuf,
    /// Of the default one.
    host: String,
}

impl Contexts {
    pub fn of(globals: &Globals) -> Result<Contexts, ContextError> {
        let host = globals.host.first().cloned().or_else(|| env::var("DOCKER_HOST").ok());
        let host = host.filter(|host| !host.trim().is_empty()).unwrap_or_else(|| LOCAL.to_owned());
        let directory = session::configuration_directory(globals).ok_or(ContextError::Homeless)?;
        Ok(Contexts { directory, host })
    }

    /// All of them, the default one too, by name.
    pub fn list(&self) -> Result<Vec<Context>, ContextError> {
        let mut all = vec![self.default()];
        let directory = self.directory.join("contexts/meta");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => {
                let entries = entries.and_then(Iterator::collect::<io::Result<Vec<_>>>);
                entries.map_err(|source| ContextError::File { path: directory, source })?
            }
        };
        for entry in entries {
            all.extend(read(&entry.path().join(META))?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    pub fn get(&self, name: &str) -> Result<Context, ContextError> {
        if name == DEFAULT {
            return Ok(self.default());
        }
        let path = self.metadata_directory(name).join(META);
        read(&path)?.ok_or_else(|| ContextError::NotFound { name: name.to_owned(), path })
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.metadata_directory(name).join(META).exists()
    }

    /// Keeps a context. If there is new `material`, it takes the place of what there was.
    pub fn put(&self, context: &Context, material: Option<&Material>) -> Result<(), ContextError> {
        check_name(&context.name)?;
        let _lock = self.lock()?;
        let directory = self.metadata_directory(&context.name);
        make_directory(&directory, 0o755)?;
        let text = serde_json::to_vec(context).expect("text and numbers are JSON");
        replace(&directory.join(META), &text, 0o644)?;
        let Some(material) = material else { return Ok(()) };
        let directory = self.material_directory(&context.name);
        remove(&directory)?;
        for (endpoint, file, content) in material {
            let directory = directory.join(endpoint);
            make_directory(&directory, 0o700)?;
            replace(&directory.join(file), content, 0o600)?;
        }
        Ok(())
    }

    pub fn remove(&self, name: &str) -> Result<(), ContextError> {
        let _lock = self.lock()?;
        remove(&self.metadata_directory(name))?;
        remove(&self.material_directory(name))
    }

    /// The certificates that are kept with a context.
    pub fn material(&self, name: &str) -> Result<Material, ContextError> {
        let directory = self.material_directory(name);
        let mut material = Material::new();
        if name == DEFAULT {
            return Ok(material);
        }
        for endpoint in names_in(&directory)? {
            for file in names_in(&directory.join(&endpoint))? {
                let path = directory.join(&endpoint).join(&file);
                let content = fs::read(&path).map_err(|source| ContextError::File { path, source })?;
                material.push((endpoint.clone(), file, content));
            }
        }
        Ok(material)
    }

    /// Makes a context the current one.
    pub fn make_current(&self, name: &str) -> anyhow::Result<()> {
        let mut file = ConfigFile::load(&self.directory)?;
        let value = (name != DEFAULT).then(|| json!(name));
        Ok(file.set(CURRENT, value)?)
    }

    pub fn metadata_directory(&self, name: &str) -> PathBuf {
        self.directory.join("contexts/meta").join(Digest::of(name.as_bytes()).hex())
    }

    pub fn material_directory(&self, name: &str) -> PathBuf {
        self.directory.join("contexts/tls").join(Digest::of(name.as_bytes()).hex())
    }

    fn default(&self) -> Context {
        Context::new(DEFAULT, "", json!({ "Host": self.host, "SkipTLSVerify": false }))
    }

    /// As docker's command line holds it while it writes.
    fn lock(&self) -> Result<File, ContextError> {
        let directory = self.directory.join("contexts");
        make_directory(&directory, 0o755)?;
        let path = directory.join("context.lock");
        let lock = || {
            let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.lock().map(|()| file)
        };
        lock().map_err(|source| ContextError::File { path: path.clone(), source })
    }
}

impl Context {
    pub fn new(name: &str, description: &str, endpoint: Value) -> Context {
        let mut context = Context {
            name: name.to_owned(),
            metadata: Map::new(),
            endpoints: Map::from_iter([(DOCKER.to_owned(), endpoint)]),
        };
        context.describe(description);
        context
    }

    /// Gives it a description, unless that says nothing.
    pub fn describe(&mut self, description: &str) {
        if !description.is_empty() {
            self.metadata.insert("Description".to_owned(), json!(description));
        }
    }

    pub fn description(&self) -> &str {
        self.metadata.get("Description").and_then(Value::as_str).unwrap_or_default()
    }

    /// Where its engine is.
    pub fn host(&self) -> Option<&str> {
        self.endpoints.get(DOCKER)?.get("Host")?.as_str()
    }

    /// Writes it, with its certificates, as docker's archives have it.
    pub fn export(&self, material: &Material, target: impl Write) -> io::Result<()> {
        let entry = |path: &str, kind, mode| Entry {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: tarball::Time::default(),
            xattrs: Vec::new(),
        };
        let file = |content: &[u8]| Kind::File { size: content.len() as u64 };
        let mut archive = tarball::Writer::new(target);
        let text = serde_json::to_vec(self)?;
        archive.file(&entry(META, file(&text), 0o644), text.as_slice())?;
        archive.entry(&entry("tls", Kind::Directory, 0o700))?;
        let mut last = "";
        for (endpoint, name, content) in material {
            if endpoint != last {
                archive.entry(&entry(&format!("tls/{endpoint}"), Kind::Directory, 0o700))?;
                last = endpoint;
            }
            let path = format!("tls/{endpoint}/{name}");
            archive.file(&entry(&path, file(content), 0o600), content.as_slice())?;
        }
        archive.finish().map(drop)
    }

    /// Reads such an archive, of a stranger perhaps, as the context `name`.
    pub fn import(name: &str, source: impl Read) -> anyhow::Result<(Context, Material)> {
        check_name(name)?;
        let mut archive = tarball::Reader::new(BufReader::new(source.take(LARGEST)));
        let (mut context, mut material) = (None, Material::new());
        while let Some(entry) = archive.next_entry()? {
            let Kind::File { .. } = entry.kind else { continue };
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            let mut content = Vec::new();
            archive.content().read_to_end(&mut content)?;
            let parts: Vec<&str> = path.split('/').collect();
            match parts.as_slice() {
                [META] => {
                    let read = serde_json::from_slice(&content)?;
                    context = Some(Context { name: name.to_owned(), ..read });
                }
                ["tls", endpoint, file] if [endpoint, file].into_iter().all(|part| is_plain(part)) => {
                    material.push(((*endpoint).to_owned(), (*file).to_owned(), content));
                }
                _ => return Err(ContextError::UnexpectedFile(path).into()),
            }
        }
        Ok((context.ok_or(ContextError::NoMetadata)?, material))
    }
}

/// Whether it is the name of a file, and nothing that leads elsewhere.
fn is_plain(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0'])
}

/// Whether a context may have this name.
pub fn check_name(name: &str) -> Result<(), ContextError> {
    let mut letters = name.bytes();
    let is_valid = letters.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() > 1
        && letters.all(|letter| letter.is_ascii_alphanumeric() || b"_.+-".contains(&letter));
    match name {
        "" => Err(ContextError::NoName),
        DEFAULT => Err(ContextError::Reserved),
        _ if is_valid => Ok(()),
        _ => Err(ContextError::Name(name.to_owned())),
    }
}

/// What a file says of a context; `None` if there is none.
fn read(path: &Path) -> Result<Option<Context>, ContextError> {
    let failed = |source| ContextError::File { path: path.to_owned(), source };
    let content = match fs::read(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        content => content.map_err(failed)?,
    };
    let context = serde_json::from_slice(&content);
    context.map(Some).map_err(|source| ContextError::Json { path: path.to_owned(), source })
}

/// The names in a directory, in order, but for hidden ones; none if there is no such directory.
fn names_in(directory: &Path) -> Result<Vec<String>, ContextError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let entries = entries.map_err(|source| ContextError::File { path: directory.to_owned(), source })?;
    let names = entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    Ok(names)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), ContextError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| ContextError::File { path: path.to_owned(), source })
}

/// Writes aside and renames, so that there is always one whole file.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), ContextError> {
    let aside = path.with_file_name(format!(".{}", path.file_name().unwrap_or_default().to_string_lossy()));
    let write = || {
        let file = File::options().write(true).create(true).truncate(true).mode(mode).open(&aside);
        file.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| ContextError::File { path: path.to_owned(), source })
}

fn remove(directory: &Path) -> Result<(), ContextError> {
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ContextError::File { path: directory.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// How docker begins when it cannot tell which engine is meant.
const UNRESOLVED: &str = "Failed to initialize: unable to resolve docker endpoint";
/// The context that nobody makes.
pub const DEFAULT: &str = "default";
/// What docker says of it.
pub const DEFAULTS: &str = "Current DOCKER_HOST based configuration";
/// Where docker's engine on this machine is.
const LOCAL: &str = "unix:///var/run/docker.sock";
/// The endpoint that a context is for.
pub const DOCKER: &str = "docker";
const META: &str = "meta.json";
/// In config.json.
const CURRENT: &str = "currentContext";
/// docker reads no more of an archive.
const LARGEST: u64 = 10 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_docker_takes() {
        let check = |name: &str| check_name(name).map_err(|error| error.to_string());
        for name in ["ab", "a.b", "0+_-", "desktop-linux"] {
            assert_eq!(check(name), Ok(()));
        }
        for name in ["a", "-ab", "a b", "a/b", "ä1"] {
            assert!(check(name).is_err_and(|error| error.starts_with("context name ")), "{name}");
        }
        assert_eq!(check("default"), Err("\"default\" is a reserved context name".to_owned()));
    }

    #[test]
    fn a_context_is_written_as_docker_writes_it_and_keeps_what_it_does_not_know() {
        let context =
            Context::new("far", "a machine", json!({ "Host": "tcp://far:2376", "SkipTLSVerify": false }));
        let text = r#"{"Name":"far","Metadata":{"Description":"a machine"},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#;
        assert_eq!(serde_json::to_string(&context).unwrap(), text);
        let other = r#"{"Name":"k","Metadata":{"Extra":1},"Endpoints":{"other":{"A":"b"}}}"#;
        let read: Context = serde_json::from_str(other).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), other);
        assert_eq!((read.description(), read.host()), ("", None));
    }

    #[test]
    fn an_archive_brings_its_context_and_nothing_else() {
        let context = Context::new("far", "", json!({ "Host": "tcp://far:2376" }));
        let material = vec![("docker".to_owned(), "ca.pem".to_owned(), b"secret".to_vec())];
        let mut archive = Vec::new();
        context.export(&material, &mut archive).unwrap();
        let (read, files) = Context::import("near", archive.as_slice()).unwrap();
        assert_eq!((read.name.as_str(), read.host(), files), ("near", Some("tcp://far:2376"), material));
        for path in
            ["../x", "tls/../x", "tls/docker/../../x", "tls/a/b/c", "tls/docker/.hidden", "etc/passwd"]
        {
            let mut archive = tarball::Writer::new(Vec::new());
            let entry = Entry {
                path: path.into(),
                kind: Kind::File { size: 1 },
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: tarball::Time::default(),
                xattrs: Vec::new(),
            };
            archive.file(&entry, &b"x"[..]).unwrap();
            let archive = archive.finish().unwrap();
            let error = Context::import("near", archive.as_slice()).unwrap_err().to_string();
            assert_eq!(error, format!("{path}: unexpected context file"));
        }
        assert_eq!(
            Context::import("near", &[0; 1024][..]).unwrap_err().to_string(),
            "invalid context: no metadata found"
        );
    }
}
