//! `login`: credentials for a registry, tried and kept.

use std::{
    io::{self, BufRead, IsTerminal, Read, Write},
    process::ExitCode,
};

use clap::Args;
use distribution::{
    Client, ClientError, ConfigFile, Credentials,
    credentials::{Secret, server_of},
};
use engine::EngineError;

use crate::{
    cli::{Globals, Verb},
    session, terminal,
};

/// Authenticate to a registry
#[derive(Args)]
pub struct Login {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long)]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short, long)]
    username: Option<String>,
    server: Option<String>,
}

impl Verb for Login {
    const NAMES: &'static [&'static str] = &["login"];
    const USAGE: &'static str = "[OPTIONS] [SERVER]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let registry = registry_of(self.server.as_deref());
        let settings = session::registries(globals)?;
        let mut file = ConfigFile::load(&settings.config_directory)?;
        let client = Client::new(settings);

        if self.username.is_none()
            && self.password.is_none()
            && !self.password_stdin
            && let Some(known) = file.get(&registry)?
        {
            if let Credentials::Password { user, .. } = &known {
                eprintln!("Authenticating with existing credentials... [Username: {user}]");
            }
            match client.login(&registry, &known) {
                Ok(_) => return succeeded(),
                Err(error) => eprintln!("Login did not succeed, error: {error}"),
            }
        }

        let Some((user, secret)) = self.credentials()? else { return Ok(ExitCode::from(INTERRUPTED)) };
        let mut credentials = Credentials::Password { user, secret };
        let token = client.login(&registry, &credentials).map_err(|error| refused(&registry, error))?;
        // What the registry gave in exchange can do less than the password, and is what others store too.
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            credentials = Credentials::IdentityToken(Secret::new(token));
        }
        if file.keeps_readable(&registry)? {
            let path = file.path().display();
            eprintln!(
                "WARNING! Your credentials are stored unencrypted in '{path}'. Configure a credential helper to remove \
                 this warning."
            );
        }
        file.store(&registry, &credentials)?;
        succeeded()
    }
}

impl Login {
    /// What the user gave, or types now; `None` if they would rather not.
    fn credentials(self) -> anyhow::Result<Option<(String, Secret)>> {
        if self.password.is_some() {
            eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
            if self.password_stdin {
                anyhow::bail!("--password and --password-stdin are mutually exclusive");
            }
        }
        if self.password_stdin {
            let Some(user) = self.username.filter(|user| !user.is_empty()) else {
                anyhow::bail!("Must provide --username with --password-stdin");
            };
            let mut secret = String::new();
            io::stdin().lock().take(LONGEST_SECRET).read_to_string(&mut secret)?;
            return Ok(Some((user, Secret::new(secret.trim_end_matches(['\n', '\r'])))));
        }
        if let (Some(user), Some(secret)) = (&self.username, &self.password) {
            return Ok(Some((user.trim().to_owned(), Secret::new(secret.clone()))));
        }
        if !io::stdin().is_terminal() {
            anyhow::bail!("Error: Cannot perform an interactive login from a non TTY device");
        }
        let user = match self.username {
            Some(user) => user,
            None => {
                print!("Username: ");
                io::stdout().flush()?;
                let mut line = String::new();
                io::stdin().lock().take(LONGEST_SECRET).read_line(&mut line)?;
                line
            }
        };
        let user = user.trim().to_owned();
        if user.is_empty() {
            anyhow::bail!("Error: Non-null Username Required");
        }
        let secret = match self.password {
            Some(secret) => secret,
            None => match terminal::read_secret("Password: ")? {
                Some(secret) => secret,
                None => return Ok(None),
            },
        };
        if secret.is_empty() {
            anyhow::bail!("Error: Password Required");
        }
        Ok(Some((user, Secret::new(secret))))
    }
}

/// The registry that a server's name means: docker.io, unless another is named, in whatever way.
pub fn registry_of(server: Option<&str>) -> String {
    let server = server.unwrap_or("docker.io");
    let bare = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    match bare.split('/').next().unwrap_or_default() {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

fn refused(registry: &str, error: ClientError) -> anyhow::Error {
    match &error {
        ClientError::Unauthorized(refusal) => anyhow::anyhow!(
            "Error response from daemon: login attempt to {} failed with status: {} Unauthorized",
            server_of(registry),
            refusal.status
        ),
        _ => EngineError::from(error).into(),
    }
}

fn succeeded() -> anyhow::Result<ExitCode> {
    println!("Login Succeeded");
    Ok(ExitCode::SUCCESS)
}

/// The exit code of what Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// More than any token in use; what is longer is no secret but a mistake.
const LONGEST_SECRET: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_named_in_many_ways() {
        for name in [None, Some("docker.io"), Some("https://index.docker.io/v1/"), Some("")] {
            assert_eq!(registry_of(name), "docker.io");
        }
        assert_eq!(registry_of(Some("localhost:5000")), "localhost:5000");
        assert_eq!(registry_of(Some("http://registry.example.org/v2/")), "registry.example.org");
    }
}
