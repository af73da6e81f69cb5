//! A pull-through cache: what is asked for and not here is fetched from another registry, and kept.
//!
//! Tags move, so each time one is asked for the other registry is asked where it points; when that is not to be reached,
//! where it pointed last is good enough. What has a digest is fetched once.

mod blobs;

use std::{collections::HashMap, io, path::Path, sync::Arc, thread};

pub use blobs::Brought;
use distribution::{
    Client, ClientError, Credentials, Selector, Settings, SettingsError, credentials::Secret,
};
use tokio::sync::{Mutex, oneshot};

use crate::{
    contents::{Contents, PutError},
    digest::{Algorithm, Digest},
    name::{Reference, RepositoryName},
    server::{Code, Refusal, chain},
};

/// The registry that is cached.
pub struct Upstream {
    client: Arc<Client>,
    registry: String,
    /// Blobs being fetched, each with its end to wait for.
    fetching: Mutex<HashMap<(RepositoryName, Digest), blobs::Fetching>>,
}

/// Which registry to cache, and who to be there.
#[derive(Debug, Clone)]
pub struct Proxied {
    /// `https://registry.example[:port]`, or with `http`.
    pub url: String,
    pub login: Option<(String, Secret)>,
}

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("invalid registry {0:?}: expected http[s]://HOST[:PORT]")]
    Url(String),
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Upstream {
    /// Talks to nobody yet. Only the credentials given are used, whoever starts the registry.
    pub fn new(proxied: &Proxied) -> Result<Upstream, UpstreamError> {
        let invalid = || UpstreamError::Url(proxied.url.clone());
        let (scheme, rest) = proxied.url.split_once("://").ok_or_else(invalid)?;
        let host = rest.trim_end_matches('/');
        if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return Err(invalid());
        }
        let registry = match host {
            "registry-1.docker.io" | "index.docker.io" | "docker.io" => "docker.io",
            other => other,
        };
        // A directory that nobody can make has no credentials in it.
        let mut settings = Settings::from_environment(Some(Path::new("/dev/null/none").to_owned()))?;
        settings.registries.mirrors.clear();
        if scheme == "http" {
            settings.registries.insecure.push(host.to_owned());
        }
        let mut client = Client::new(settings);
        if let Some((user, secret)) = &proxied.login {
            let credentials = Credentials::Password { user: user.clone(), secret: secret.clone() };
            client = client.with_credentials(registry, &credentials);
        }
        Ok(Upstream { client: Arc::new(client), registry: registry.to_owned(), fetching: Mutex::default() })
    }

    /// Makes sure that the manifest `reference` stands for is here, if there is one.
    pub async fn bring_manifest(
        &self,
        contents: &Contents,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Refusal> {
        let here = contents.find(name, reference).await?.map(|(digest, _)| digest);
        let (tag, wanted) = match reference {
            Reference::Digest(_) if here.is_some() => return Ok(()),
            Reference::Digest(digest) => {
                let Some(digest) = as_theirs(digest) else { return Ok(()) };
                (None, Selector::Digest(digest))
            }
            Reference::Tag(tag) => {
                let selector = Selector::Tag(tag.as_str().to_owned());
                match self.ask(name, move |repository| repository.find_manifest(&selector)).await {
                    Ok(Some(found)) if here == Some(as_ours(&found.digest)) => return Ok(()),
                    Ok(Some(found)) => (Some(tag.clone()), Selector::Digest(found.digest)),
                    Ok(None) => {
                        contents.remove_tag(name, tag).await?;
                        return Ok(());
                    }
                    Err(error) => return unless_here(here, &error),
                }
            }
        };
        match self.ask(name, move |repository| repository.manifest(&wanted)).await {
            Ok(fetched) => {
                let digest = as_ours(&fetched.digest);
                let kept =
                    contents.keep_manifest(name, &digest, tag.as_ref(), &fetched.media_type, fetched.bytes);
                kept.await.map_err(|error| match error {
                    PutError::Invalid(why) => bad_gateway(&why),
                    other => other.into(),
                })
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => unless_here(here, &error),
        }
    }

    /// The tags there; `None` if nobody answers.
    pub async fn tags(&self, name: &RepositoryName) -> Option<Vec<String>> {
        match self.ask(name, |repository| repository.tags()).await {
            Ok(tags) => Some(tags),
            Err(error) => {
                eprintln!("registry: upstream: {}", chain(&error));
                None
            }
        }
    }

    /// Asks the other registry on a thread of its own: those for files are few, and it may take a minute to answer.
    async fn ask<T: Send + 'static>(
        &self,
        name: &RepositoryName,
        question: impl FnOnce(&distribution::Repository<'_>) -> Result<T, ClientError> + Send + 'static,
    ) -> Result<T, ClientError> {
        let (client, registry, name) = (Arc::clone(&self.client), self.registry.clone(), name.to_string());
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone.
        let asking = move || drop(answer.send(question(&client.repository(&registry, &name))));
        thread::Builder::new().spawn(asking).map_err(|source| self.unreachable(source))?;
        answered.await.expect("asking does not panic")
    }

    /// There is no thread to reach the other registry with.
    fn unreachable(&self, source: io::Error) -> ClientError {
        ClientError::Unreachable { host: self.registry.clone(), source }
    }
}

/// What is here serves while the other registry cannot be asked.
fn unless_here(here: Option<Digest>, error: &ClientError) -> Result<(), Refusal> {
    match here {
        Some(_) => {
            eprintln!("registry: upstream: {}; what is here serves", chain(error));
            Ok(())
        }
        None => Err(refusal(error)),
    }
}

/// What a client hears of the other registry's error.
fn refusal(error: &ClientError) -> Refusal {
    match error {
        ClientError::TooMany(_) => Refusal::new(Code::TooManyRequests),
        // Upstream hides what it has from whom it does not know; so does this.
        ClientError::Unauthorized(_) | ClientError::Denied(_) | ClientError::PullDenied { .. } => {
            Refusal::new(Code::ManifestUnknown)
        }
        error => bad_gateway(error),
    }
}

fn bad_gateway(error: &dyn std::error::Error) -> Refusal {
    let mut refusal = Refusal::new(Code::Upstream);
    refusal.cause = Some(chain(error));
    refusal
}

/// A digest the other side's client can ask for: sha256.
fn as_theirs(digest: &Digest) -> Option<types::Digest> {
    match digest.algorithm() {
        Algorithm::Sha256 => types::Digest::from_hex(&digest.hex()).ok(),
        Algorithm::Sha512 => None,
    }
}

fn as_ours(digest: &types::Digest) -> Digest {
    digest.to_string().parse().expect("sha256 in hex is a digest here too")
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        time::Duration,
    };

    use super::*;
    use crate::storage::Files;

    /// A registry that has one blob, and answers a second late.
    fn slow_registry(blob: &'static [u8]) -> Proxied {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let Some(first) = lines.next().filter(|line| line.contains("HTTP")) else { continue };
                while lines.next().is_some_and(|header| !header.is_empty()) {}
                if first.contains("/blobs/") {
                    thread::sleep(Duration::from_secs(1));
                }
                let content = if first.starts_with("GET") { blob } else { b"" };
                write!(&stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n").unwrap();
                write!(&stream, "Content-Length: {}\r\n\r\n", blob.len()).unwrap();
                (&stream).write_all(content).unwrap();
            }
        });
        Proxied { url, login: None }
    }

    #[tokio::test]
    async fn a_client_that_goes_away_before_a_blob_comes_does_not_keep_it_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Arc::new(Files::open(directory.path()).unwrap());
        let contents = Contents { storage, grace: Duration::from_secs(3600), sparse: false };
        let upstream = Arc::new(Upstream::new(&slow_registry(b"the blob")).unwrap());
        let (name, digest) = ("a".parse().unwrap(), Digest::of(b"the blob"));
        let impatient = upstream.bring_blob(&contents, &name, &digest);
        assert!(tokio::time::timeout(Duration::from_millis(300), impatient).await.is_err());
        let brought = upstream.bring_blob(&contents, &name, &digest).await;
        brought.map_err(|_| ()).unwrap().settle().await.map_err(|_| ()).unwrap();
        assert_eq!(contents.blob(&name, &digest).await.unwrap(), Some(8));
    }
}
