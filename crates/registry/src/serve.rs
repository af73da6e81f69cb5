//! Runs a registry until it is told to stop.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Mutex, watch},
};

#[cfg(feature = "s3")]
use crate::storage::{InvalidLocation, Objects, S3Location};
use crate::{
    auth::{Authentication, Htpasswd, HtpasswdError, Issuer, KeysError, Tokens},
    collect::Untagged,
    contents::Contents,
    http::{
        self, Limits,
        tls::{Tls, TlsError},
    },
    observe::{Collector, Front, Metrics, Operator},
    server::{Registry, Turns, Writes, chain},
    storage::{Files, Storage, StorageError},
    upstream::{Proxied, Upstream, UpstreamError},
};

/// What a registry is started with.
#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    pub storage: Location,
    pub writes: Writes,
    /// Whether an index may list manifests that are not there.
    pub sparse: bool,
    pub identity: Identity,
    /// The registry to fetch from what is not here; nobody can push then.
    pub proxied: Option<Proxied>,
    /// A certificate and its key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Let passwords and tokens cross the network unencrypted.
    pub insecure_http: bool,
    pub collection: Collection,
    /// Uploads at a time.
    pub uploads: usize,
    /// Where the operator finds metrics and starts collections.
    pub operator: OperatorAddress,
    pub limits: Limits,
    /// Do not log requests.
    pub quiet: bool,
}

/// Where a registry keeps what it is given.
#[derive(Debug, Clone)]
pub enum Location {
    Directory(PathBuf),
    #[cfg(feature = "s3")]
    S3(S3Location),
}

/// How a registry knows people.
#[derive(Debug, Clone)]
pub enum Identity {
    Nobody,
    Htpasswd(PathBuf),
    /// By tokens of an issuer, checked with the keys in a file.
    Tokens(Issuer, PathBuf),
}

/// What a collection removes, and when there is one.
#[derive(Debug, Clone)]
pub struct Collection {
    /// `None` for only when asked to.
    pub interval: Option<Duration>,
    /// How long what is not referred to is spared.
    pub grace: Duration,
    pub untagged: Untagged,
}

/// Where the operator's listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorAddress {
    Nowhere,
    /// On this machine, at the port after the registry's; nowhere if that is taken.
    Beside,
    At(SocketAddr),
}

impl Options {
    /// A registry in `directory` for this machine only, to which everybody may push.
    pub fn new(listen: SocketAddr, directory: PathBuf) -> Options {
        Options {
            listen,
            storage: Location::Directory(directory),
            writes: Writes::Push,
            sparse: false,
            identity: Identity::Nobody,
            proxied: None,
            tls: None,
            insecure_http: false,
            collection: Collection {
                interval: Some(Duration::from_secs(24 * 3600)),
                grace: Duration::from_secs(3600),
                untagged: Untagged::Keep,
            },
            uploads: 1000,
            operator: OperatorAddress::Beside,
            limits: Limits {
                connections: 1024,
                patience: Duration::from_secs(60),
                farewell: Duration::from_secs(30),
            },
            quiet: false,
        }
    }
}

/// Why a registry does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "refusing to take passwords on {0} without TLS, where anyone on the way can read them: give --tls-cert and \
         --tls-key, listen on 127.0.0.1, or say --insecure-http if something in front encrypts"
    )]
    Exposed(SocketAddr),
    #[error("cannot start")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[cfg(feature = "s3")]
    #[error(transparent)]
    Location(#[from] InvalidLocation),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Where a registry listens.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    pub registry: SocketAddr,
    pub operator: Option<SocketAddr>,
}

/// Serves until SIGTERM or SIGINT. `ready` is called once connections are taken.
pub fn serve(options: Options, ready: impl FnOnce(Listening)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(Duration::from_secs(10))
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(options, ready));
    // What still runs then has had its time.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run(options: Options, ready: impl FnOnce(Listening)) -> Result<(), ServeError> {
    let has_secrets = !matches!(options.identity, Identity::Nobody);
    if has_secrets && options.tls.is_none() && !options.insecure_http && !options.listen.ip().is_loopback() {
        return Err(ServeError::Exposed(options.listen));
    }
    let storage: Arc<dyn Storage> = match &options.storage {
        Location::Directory(directory) => Arc::new(Files::open(directory)?),
        #[cfg(feature = "s3")]
        Location::S3(location) => Arc::new(Objects::connect(location)?),
    };
    storage.check().await?;
    let authentication = match options.identity {
        Identity::Nobody => Authentication::Open,
        Identity::Htpasswd(path) => Authentication::Passwords(Htpasswd::open(&path)?),
        Identity::Tokens(issuer, path) => Authentication::Tokens(Tokens::open(issuer, &path)?),
    };
    let tls =
        options.tls.as_ref().map(|(certificate, key)| Tls::open(certificate, key)).transpose()?.map(Arc::new);
    let upstream = options.proxied.as_ref().map(Upstream::new).transpose()?.map(Arc::new);
    let registry = Arc::new(Registry {
        contents: Contents { storage, grace: options.collection.grace, sparse: options.sparse },
        authentication,
        writes: if upstream.is_some() { Writes::Nothing } else { options.writes },
        upstream,
        turns: Turns::default(),
        uploads_limit: options.uploads,
        uploads: AtomicUsize::new(0),
        patience: options.limits.patience,
    });
    let (listener, address) = listen(options.listen).await?;
    let operator = match options.operator {
        OperatorAddress::Nowhere => None,
        OperatorAddress::At(address) => Some(listen(address).await?),
        OperatorAddress::Beside => listen(beside(address)).await.ok(),
    };
    let metrics = Arc::new(Metrics::new());
    let collector = Arc::new(Collector {
        registry: Arc::clone(&registry),
        metrics: Arc::clone(&metrics),
        untagged: options.collection.untagged,
        turn: Mutex::new(()),
    });
    let stop = signals(tls.clone())?;
    tokio::spawn(Arc::clone(&collector).expire_uploads());
    if let Some(interval) = options.collection.interval {
        tokio::spawn(Arc::clone(&collector).collect_every(interval));
    }
    let addresses = Listening { registry: address, operator: operator.as_ref().map(|(_, address)| *address) };
    if let Some((listener, _)) = operator {
        let limits = Limits { connections: 16, ..options.limits.clone() };
        tokio::spawn(http::serve(listener, None, Arc::new(Operator::new(collector)), limits, stop.clone()));
    }
    ready(addresses);
    let front = Arc::new(Front { registry, metrics, quiet: options.quiet });
    http::serve(listener, tls, front, options.limits, stop).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// This machine's address whose port is the next one; any port if there is no next one.
fn beside(address: SocketAddr) -> SocketAddr {
    SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, address.port().checked_add(1).unwrap_or(0)))
}

/// Becomes true with the first signal to stop; reads certificates again with SIGHUP.
fn signals(tls: Option<Arc<Tls>>) -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    if let Some(Err(error)) = tls.as_ref().map(|tls| tls.reload()) {
                        eprintln!("registry: {}; the old certificate stays in use", chain(&error));
                    }
                }
            }
        }
        stop.send_replace(true);
        // A second one is not waited for.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(stopped)
}

/// Threads for work on files. Each may hold a piece of a blob.
const BLOCKING_THREADS: usize = 32;
