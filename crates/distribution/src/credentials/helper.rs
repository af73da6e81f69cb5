//! Credential helpers: programs that keep secrets somewhere better than a file.
//!
//! `docker-credential-NAME get|store|erase|list`, spoken to over standard input and output. See the
//! docker-credential-helpers project.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{Credentials, CredentialsError, Secret};
use crate::reply::one_line;

/// A program that keeps credentials.
#[derive(Debug)]
pub(super) struct Helper {
    program: String,
}

/// What a helper reads and writes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

impl Helper {
    /// The helper that a configuration calls `name`, which becomes part of a program's name.
    pub fn new(name: &str) -> Result<Helper, CredentialsError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(CredentialsError::HelperName(name.to_owned()));
        }
        Ok(Helper { program: format!("docker-credential-{name}") })
    }

    /// `None` if it has nothing for `server`.
    pub fn get(&self, server: &str) -> Result<Option<Credentials>, CredentialsError> {
        let Some(output) = self.run("get", server.as_bytes())? else { return Ok(None) };
        let entry: Entry = self.parse(&output)?;
        let secret = Secret::new(entry.secret);
        Ok(Some(match entry.username.as_str() {
            TOKEN_USER => Credentials::IdentityToken(secret),
            _ => Credentials::Password { user: entry.username, secret },
        }))
    }

    pub fn store(&self, server: &str, credentials: &Credentials) -> Result<(), CredentialsError> {
        let (username, secret) = match credentials {
            Credentials::Password { user, secret } => (user.as_str(), secret),
            Credentials::IdentityToken(token) | Credentials::RegistryToken(token) => (TOKEN_USER, token),
        };
        let entry = Entry {
            server: server.to_owned(),
            username: username.to_owned(),
            secret: secret.expose().to_owned(),
        };
        let input = serde_json::to_vec(&entry).expect("three strings are JSON");
        self.run("store", &input).map(drop)
    }

    /// Having nothing to erase is no failure.
    pub fn erase(&self, server: &str) -> Result<(), CredentialsError> {
        self.run("erase", server.as_bytes()).map(drop)
    }

    /// The servers it has credentials for, and their users.
    pub fn list(&self) -> Result<Vec<(String, String)>, CredentialsError> {
        let Some(output) = self.run("list", b"")? else { return Ok(Vec::new()) };
        let entries: BTreeMap<String, String> = self.parse(&output)?;
        Ok(entries.into_iter().collect())
    }

    /// The helper's output; `None` if it says that it has nothing.
    fn run(&self, action: &str, input: &[u8]) -> Result<Option<Vec<u8>>, CredentialsError> {
        let failed = |source| CredentialsError::NoHelper { helper: self.program.clone(), source };
        let mut child = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut stdin = child.stdin.take().expect("piped above");
        // A helper that does not read its input has made up its mind already.
        let _ = stdin.write_all(input);
        drop(stdin);
        let mut output = Vec::new();
        let stdout = child.stdout.take().expect("piped above");
        let read = stdout.take(OUTPUT_LIMIT).read_to_end(&mut output);
        let status = child.wait().map_err(failed)?;
        read.map_err(failed)?;
        if status.success() {
            return Ok(Some(output));
        }
        let message = one_line(&String::from_utf8_lossy(&output));
        if message.contains("credentials not found") {
            return Ok(None);
        }
        let message = if message.is_empty() { status.to_string() } else { message };
        Err(CredentialsError::Helper { helper: self.program.clone(), message })
    }

    /// What was wrong is not repeated: it may be a secret.
    fn parse<'a, T: Deserialize<'a>>(&self, output: &'a [u8]) -> Result<T, CredentialsError> {
        serde_json::from_slice(output).map_err(|_| CredentialsError::Helper {
            helper: self.program.clone(),
            message: "its answer is not the JSON expected".to_owned(),
        })
    }
}

/// The user of a secret that is an identity token.
const TOKEN_USER: &str = "<token>";
const OUTPUT_LIMIT: u64 = 1 << 20;
