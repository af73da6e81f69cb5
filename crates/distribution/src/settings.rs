//! What a client is told by its surroundings: where credentials are, mirrors, trusted certificates, proxies.

use std::{
    env, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;

use crate::transport::Proxies;

/// Everything a [`crate::Client`] does not find out by itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where docker's `config.json` is: `~/.docker`.
    pub config_directory: PathBuf,
    pub registries: Registries,
    pub proxies: Proxies,
    pub user_agent: String,
    /// How long a registry may be silent before the connection counts as broken.
    pub silence: Duration,
    /// The pause before the second try; each further one is twice as long.
    pub pause: Duration,
}

/// Registries that are not spoken to like all others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Registries {
    /// Asked for what docker.io has before docker.io is: URLs or `host[:port]`.
    #[serde(rename = "registry-mirrors")]
    pub mirrors: Vec<String>,
    /// `host[:port]`s and networks (`10.0.0.0/8`) whose certificates are not checked, and which may have no TLS
    /// at all. Loopback addresses need not be listed.
    #[serde(rename = "insecure-registries")]
    pub insecure: Vec<String>,
    /// Directories with one directory for each registry's certificates, named `host[:port]`.
    #[serde(skip)]
    pub certificates: Vec<PathBuf>,
}

/// Why the surroundings make no sense.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot tell where credentials are: HOME is not set")]
    NoHome,
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not the JSON expected", path = path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("SAMPAN_REGISTRY_TIMEOUT is {0:?}, expected seconds")]
    Timeout(String),
    #[error("{variable} is not the URL of a proxy")]
    Proxy { variable: &'static str },
}

impl Settings {
    /// Settings for credentials in `config_directory`, and nothing out of the ordinary.
    pub fn new(config_directory: impl Into<PathBuf>) -> Settings {
        Settings {
            config_directory: config_directory.into(),
            registries: Registries::default(),
            proxies: Proxies::none(),
            user_agent: concat!("sampan/", env!("CARGO_PKG_VERSION")).to_owned(),
            silence: SILENCE,
            pause: PAUSE,
        }
    }

    /// What the environment says. `config_directory` goes before `DOCKER_CONFIG`, and that before `~/.docker`.
    /// `SAMPAN_REGISTRIES` names another file than [`REGISTRIES`], `SAMPAN_REGISTRY_TIMEOUT` the seconds of
    /// silence that are too many.
    pub fn from_environment(config_directory: Option<PathBuf>) -> Result<Settings, SettingsError> {
        let directory = match config_directory.or_else(|| variable("DOCKER_CONFIG").map(PathBuf::from)) {
            Some(directory) => directory,
            None => Path::new(&variable("HOME").ok_or(SettingsError::NoHome)?).join(".docker"),
        };
        let mut settings = Settings::new(&directory);
        settings.registries = match variable("SAMPAN_REGISTRIES") {
            Some(file) => Registries::read(Path::new(&file))?,
            None => Registries::read(Path::new(REGISTRIES))?,
        };
        settings.registries.certificates = CERTIFICATES.map(PathBuf::from).into();
        settings.registries.certificates.push(directory.join("certs.d"));
        settings.read_connections()?;
        Ok(settings)
    }

    /// What the environment says of connections to anybody, with nothing about registries.
    pub(crate) fn of_the_web() -> Result<Settings, SettingsError> {
        let mut settings = Settings::new("");
        settings.read_connections()?;
        Ok(settings)
    }

    fn read_connections(&mut self) -> Result<(), SettingsError> {
        self.proxies = Proxies::from_environment()?;
        if let Some(seconds) = variable("SAMPAN_REGISTRY_TIMEOUT") {
            self.silence = seconds
                .parse()
                .ok()
                .filter(|seconds| *seconds > 0.0)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .ok_or(SettingsError::Timeout(seconds))?;
        }
        Ok(())
    }
}

impl Registries {
    /// Reads a file of registries; none of them is special if there is no such file.
    fn read(path: &Path) -> Result<Registries, SettingsError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Registries::default()),
            Err(source) => return Err(SettingsError::Read { path: path.to_owned(), source }),
        };
        serde_json::from_slice(&text).map_err(|source| SettingsError::Json { path: path.to_owned(), source })
    }

    /// Whether `registry`, a `host[:port]`, may be spoken to without TLS. Networks are compared with addresses
    /// only: a name is not looked up to decide whether to trust what it stands for.
    pub(crate) fn may_be_plain(&self, registry: &str) -> bool {
        let host = host_of(registry);
        let address = host.parse::<IpAddr>().ok();
        host.eq_ignore_ascii_case("localhost")
            || address.is_some_and(|address| address.is_loopback())
            || self.insecure.iter().any(|entry| match (entry.parse::<IpNet>(), address) {
                (Ok(network), Some(address)) => network.contains(&address),
                _ => entry.eq_ignore_ascii_case(registry) || entry.eq_ignore_ascii_case(host),
            })
    }
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where mirrors and insecure registries are listed, by the names docker's `daemon.json` has for them.
pub const REGISTRIES: &str = "/etc/sampan/registries.json";
const CERTIFICATES: [&str; 2] = ["/etc/docker/certs.d", "/etc/sampan/certs.d"];
const SILENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_what_is_listed_may_be_without_tls() {
        let registries = Registries {
            insecure: vec!["10.1.0.0/16".into(), "lan:5000".into(), "old.example".into()],
            ..Registries::default()
        };
        for plain in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "10.1.2.3:80",
            "lan:5000",
            "old.example:81",
        ] {
            assert!(registries.may_be_plain(plain), "{plain}");
        }
        for secure in
            ["docker.io", "10.2.0.1", "lan:5001", "localhost.example", "127.0.0.1.example", "[::2]:5000"]
        {
            assert!(!registries.may_be_plain(secure), "{secure}");
        }
    }

    #[test]
    fn a_file_of_registries_has_the_names_of_dockers_daemon_json() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("registries.json");
        assert!(Registries::read(&file).unwrap().mirrors.is_empty());
        fs::write(&file, r#"{"registry-mirrors":["https://m"],"insecure-registries":["a"],"other":1}"#)
            .unwrap();
        let registries = Registries::read(&file).unwrap();
        assert_eq!((registries.mirrors, registries.insecure), (vec!["https://m".into()], vec!["a".into()]));
        fs::write(&file, "[").unwrap();
        assert!(matches!(Registries::read(&file), Err(SettingsError::Json { .. })));
    }
}
