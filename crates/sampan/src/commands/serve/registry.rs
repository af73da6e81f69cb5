//! `serve registry`: a registry of images.

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use distribution::credentials::Secret;
use registry::{Collection, Identity, Issuer, Location, OperatorAddress, Options, Proxied, Untagged, Writes};

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Serve a registry of images
#[derive(Args)]
pub struct Registry {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    listen: String,
    /// Directory to keep images in (default: "registry" in the root)
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
    /// Bucket to keep images in, with AWS_* in the environment
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]", conflicts_with = "root")]
    storage: Option<String>,
    /// Let clients delete manifests, tags and blobs
    #[arg(long)]
    delete: bool,
    /// Let clients pull only
    #[arg(long)]
    read_only: bool,
    /// Registry to fetch from and keep what is asked for and not here: a pull-through cache
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// User at that registry; the password is in SAMPAN_PROXY_PASSWORD or a file
    #[arg(long, value_name = "NAME", requires = "proxy")]
    proxy_username: Option<String>,
    /// File with the password for that registry
    #[arg(long, value_name = "FILE", requires = "proxy_username")]
    proxy_password_file: Option<PathBuf>,
    /// Take indexes whose manifests are not all there
    #[arg(long)]
    sparse_indexes: bool,
    /// File of users and bcrypt passwords, as "htpasswd -B" writes it
    #[arg(long, value_name = "FILE", conflicts_with = "token_realm")]
    htpasswd: Option<PathBuf>,
    /// URL where clients get tokens
    #[arg(long, value_name = "URL", requires_all = ["token_service", "token_issuer", "token_key"])]
    token_realm: Option<String>,
    /// Name of this registry in tokens
    #[arg(long, value_name = "NAME", requires = "token_realm")]
    token_service: Option<String>,
    /// Name of who makes tokens
    #[arg(long, value_name = "NAME", requires = "token_realm")]
    token_issuer: Option<String>,
    /// File of certificates, public keys or web keys that check tokens
    #[arg(long, value_name = "FILE", requires = "token_realm")]
    token_key: Option<PathBuf>,
    /// Certificate to encrypt with; SIGHUP has it read again
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take passwords and tokens from other machines without encryption
    #[arg(long)]
    insecure_http: bool,
    /// Address for metrics and collections, or "none" (default: this machine only, at the next port)
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// Hours between collections of what nobody refers to, or 0 for none
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    gc_interval: u64,
    /// Minutes that a collection spares what is new
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    gc_grace: u64,
    /// Collect manifests that no tag leads to as well
    #[arg(long)]
    gc_untagged: bool,
    /// Seconds that requests have to end when the registry is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    stop_timeout: u64,
    /// Connections at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    max_connections: usize,
    /// Uploads at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    max_uploads: usize,
    /// Do not log requests
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for Registry {
    const NAMES: &'static [&'static str] = &["serve registry"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let options = self.options(globals)?;
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        registry::serve(options, |listening| {
            if let Some(operator) = listening.operator {
                eprintln!("Metrics at http://{operator}/metrics");
            }
            eprintln!("Registry listening on {scheme}://{}", listening.registry);
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Registry {
    fn options(self, globals: &Globals) -> anyhow::Result<Options> {
        let root = match self.root {
            Some(root) => root,
            None => session::root(globals)?.join("registry"),
        };
        let mut options = Options::new(address(&self.listen)?, root);
        if let Some(bucket) = self.storage {
            options.storage = Location::S3(bucket.parse()?);
        }
        options.writes = match (self.read_only, self.delete) {
            (true, _) => Writes::Nothing,
            (false, true) => Writes::PushAndDelete,
            (false, false) => Writes::Push,
        };
        options.sparse = self.sparse_indexes;
        if let Some(file) = self.htpasswd {
            options.identity = Identity::Htpasswd(file);
        }
        if let (Some(realm), Some(service), Some(issuer), Some(key)) =
            (self.token_realm, self.token_service, self.token_issuer, self.token_key)
        {
            options.identity = Identity::Tokens(Issuer { realm, service, issuer }, key);
        }
        if let Some(url) = self.proxy {
            let login = match self.proxy_username {
                Some(user) => Some((user, proxy_password(self.proxy_password_file)?)),
                None => None,
            };
            options.proxied = Some(Proxied { url, login });
        }
        options.tls = self.tls_cert.zip(self.tls_key);
        options.insecure_http = self.insecure_http;
        options.operator = match self.metrics_listen.as_deref() {
            None => OperatorAddress::Beside,
            Some("none") => OperatorAddress::Nowhere,
            Some(text) => OperatorAddress::At(address(text)?),
        };
        options.collection = Collection {
            interval: (self.gc_interval > 0)
                .then(|| Duration::from_secs(self.gc_interval.saturating_mul(3600))),
            grace: Duration::from_secs(self.gc_grace.saturating_mul(60)),
            untagged: if self.gc_untagged { Untagged::Remove } else { Untagged::Keep },
        };
        options.limits.farewell = Duration::from_secs(self.stop_timeout);
        options.limits.connections = self.max_connections;
        options.uploads = self.max_uploads;
        options.quiet = self.quiet;
        Ok(options)
    }
}

/// The password for the registry behind a cache: from the file, or else from the environment.
fn proxy_password(file: Option<PathBuf>) -> anyhow::Result<Secret> {
    let password = match file {
        Some(file) => fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?,
        None => env::var("SAMPAN_PROXY_PASSWORD").context(
            "no password for the registry: set SAMPAN_PROXY_PASSWORD or give --proxy-password-file",
        )?,
    };
    Ok(Secret::new(password.trim_end_matches(['\r', '\n'])))
}

/// Reads `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000`, and `:5000` for all addresses.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let known = text.rsplit_once(':').and_then(|(host, port)| {
        let host: IpAddr = match host {
            "" => Ipv6Addr::UNSPECIFIED.into(),
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            _ => return None,
        };
        Some(SocketAddr::new(host, port.parse().ok()?))
    });
    known.ok_or_else(|| anyhow::anyhow!("invalid address {text:?}: expected ADDRESS:PORT"))
}
