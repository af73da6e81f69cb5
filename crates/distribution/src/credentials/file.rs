//! docker's `config.json`: which registries somebody is logged in to.
//!
//! Only what concerns credentials is ours. All else is kept as it is, in its order.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value, json};

use super::{Credentials, CredentialsError, Secret, helper::Helper, server_of};

/// A `config.json`, as it was when it was loaded.
pub struct ConfigFile {
    path: PathBuf,
    content: Map<String, Value>,
}

impl ConfigFile {
    /// Loads the file of `directory`; one that does not exist is empty.
    pub fn load(directory: &Path) -> Result<ConfigFile, CredentialsError> {
        let path = directory.join("config.json");
        let content = read(&path)?;
        Ok(ConfigFile { path, content })
    }

    /// The credentials for `registry`, as references name it.
    pub fn get(&self, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        let server = server_of(registry);
        if let Some(helper) = self.helper(server)? {
            return helper.get(server);
        }
        let Some(auths) = self.content.get("auths").and_then(Value::as_object) else { return Ok(None) };
        let exact = auths.get(server);
        let entry = exact.or_else(|| auths.iter().find(|(key, _)| is_same(key, registry)).map(|(_, v)| v));
        Ok(entry.and_then(credentials))
    }

    /// Keeps `credentials` for `registry`: with its helper, or in the file. Other logins meanwhile are not lost.
    pub fn store(&mut self, registry: &str, credentials: &Credentials) -> Result<(), CredentialsError> {
        let server = server_of(registry);
        let entry = match self.helper(server)? {
            // An empty entry tells docker's tools that there is something to ask the helper for.
            Some(helper) => {
                helper.store(server, credentials)?;
                json!({})
            }
            None => entry(credentials),
        };
        self.change(|content| {
            let auths = content.entry("auths").or_insert_with(|| json!({}));
            if !auths.is_object() {
                *auths = json!({});
            }
            let auths = auths.as_object_mut().expect("made one above");
            auths.retain(|key, _| key == server || !is_same(key, registry));
            auths.insert(server.to_owned(), entry);
        })
    }

    /// Forgets the credentials for `registry`. Whether there were any.
    pub fn erase(&mut self, registry: &str) -> Result<bool, CredentialsError> {
        let server = server_of(registry);
        let was_known = self.get(registry)?.is_some();
        if let Some(helper) = self.helper(server)? {
            helper.erase(server)?;
        }
        let is_listed = |content: &Map<String, Value>| {
            let auths = content.get("auths").and_then(Value::as_object);
            auths.is_some_and(|auths| auths.keys().any(|key| key == server || is_same(key, registry)))
        };
        if is_listed(&self.content) {
            self.change(|content| {
                if let Some(auths) = content.get_mut("auths").and_then(Value::as_object_mut) {
                    auths.retain(|key, _| key != server && !is_same(key, registry));
                }
            })?;
        }
        Ok(was_known)
    }

    /// The servers somebody is logged in to, with their users where known.
    pub fn list(&self) -> Result<Vec<(String, String)>, CredentialsError> {
        let auths = self.content.get("auths").and_then(Value::as_object).into_iter().flatten();
        let mut found: Vec<(String, String)> = auths
            .filter_map(|(server, entry)| match credentials(entry)? {
                Credentials::Password { user, .. } => Some((server.clone(), user)),
                _ => Some((server.clone(), String::new())),
            })
            .collect();
        for helper in self.helpers()? {
            for (server, user) in helper.list()? {
                if !found.iter().any(|(known, _)| *known == server) {
                    found.push((server, user));
                }
            }
        }
        Ok(found)
    }

    /// Whether credentials for `registry` end up where whoever can read the file can read them.
    pub fn keeps_readable(&self, registry: &str) -> Result<bool, CredentialsError> {
        Ok(self.helper(server_of(registry))?.is_none())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn helper(&self, server: &str) -> Result<Option<Helper>, CredentialsError> {
        let of_server = self.content.get("credHelpers").and_then(|helpers| helpers.get(server));
        let name = of_server.or_else(|| self.content.get("credsStore")).and_then(Value::as_str);
        name.filter(|name| !name.is_empty()).map(Helper::new).transpose()
    }

    fn helpers(&self) -> Result<Vec<Helper>, CredentialsError> {
        let of_servers = self.content.get("credHelpers").and_then(Value::as_object);
        let mut names: Vec<&str> =
            of_servers.into_iter().flat_map(Map::values).filter_map(Value::as_str).collect();
        names.extend(self.content.get("credsStore").and_then(Value::as_str));
        names.sort_unstable();
        names.dedup();
        names.into_iter().filter(|name| !name.is_empty()).map(Helper::new).collect()
    }

    /// Keeps `value` for `key`, or forgets it. A file that says so already is left alone.
    pub fn set(&mut self, key: &str, value: Option<Value>) -> Result<(), CredentialsError> {
        if self.content.get(key) == value.as_ref() {
            return Ok(());
        }
        self.change(|content| {
            match value {
                Some(value) => content.insert(key.to_owned(), value),
                None => content.remove(key),
            };
        })
    }

    /// Changes the file as it is now, under a lock that everyone of us takes.
    fn change(&mut self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), CredentialsError> {
        // Who keeps the file elsewhere wants it to stay there.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = |source| CredentialsError::Write { path: path.clone(), source };
        let directory = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let _lock = lock(&path).map_err(failed)?;
        let mut content = read(&path)?;
        change(&mut content);
        replace(&path, &content).map_err(failed)?;
        self.content = content;
        Ok(())
    }
}

/// Holds the lock beside the file until it is dropped.
fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn read(path: &Path) -> Result<Map<String, Value>, CredentialsError> {
    let text = match fs::read(path) {
        Ok(text) if text.trim_ascii().is_empty() => return Ok(Map::new()),
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(source) => return Err(CredentialsError::Read { path: path.to_owned(), source }),
    };
    serde_json::from_slice(&text)
        .map_err(|error| CredentialsError::Json { path: path.to_owned(), line: error.line() })
}

/// Writes aside, syncs, and renames, so that there is always one whole file; readable for its owner only.
fn replace(path: &Path, content: &Map<String, Value>) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut text = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indented);
    serde::Serialize::serialize(content, &mut serializer)?;
    // tempfile makes files that only their owner can read.
    let mut file = tempfile::Builder::new().prefix(".config.json.").tempfile_in(directory)?;
    file.write_all(&text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// Whether a key of `auths` is another way to write `registry`: with a scheme, a path.
fn is_same(key: &str, registry: &str) -> bool {
    let host = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    server_of(host) == server_of(registry)
}

/// What an entry of `auths` holds.
fn credentials(entry: &Value) -> Option<Credentials> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(Credentials::IdentityToken(Secret::new(token)));
    }
    if let Some(token) = text("registrytoken") {
        return Some(Credentials::RegistryToken(Secret::new(token)));
    }
    let (user, secret) = match text("auth") {
        Some(encoded) => {
            let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
            let (user, secret) = decoded.split_once(':')?;
            // Old versions of docker fill up with zeros.
            (user.to_owned(), secret.trim_end_matches('\0').to_owned())
        }
        None => (text("username")?.to_owned(), text("password")?.to_owned()),
    };
    Some(Credentials::Password { user, secret: Secret::new(secret) })
}

fn entry(credentials: &Credentials) -> Value {
    match credentials {
        Credentials::Password { user, secret } => {
            json!({ "auth": BASE64_STANDARD.encode(format!("{user}:{}", secret.expose())) })
        }
        // docker expects a user beside it, who need not have a name.
        Credentials::IdentityToken(token) => {
            json!({ "auth": BASE64_STANDARD.encode("<token>:"), "identitytoken": token.expose() })
        }
        Credentials::RegistryToken(token) => json!({ "registrytoken": token.expose() }),
    }
}

impl std::fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigFile({})", self.path.display())
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
