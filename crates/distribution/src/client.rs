//! Everybody a command talks to.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ureq::http::Method;

use crate::{
    ClientError, Credentials, Repository, Settings,
    ask::{Ask, Payload},
    auth::{self, Challenge, Scope},
    exchange::Exchange,
    paging,
    search::{self, Found},
    site::{HUB, Site},
    transport::Transport,
};

/// Talks to registries. One is enough for a command: its threads share connections and tokens through it.
pub struct Client {
    settings: Settings,
    transport: Transport,
    sites: Mutex<HashMap<String, Arc<Site>>>,
    mirrors: Vec<Arc<Site>>,
}

impl Client {
    /// Does not talk to anybody, nor read anything, yet.
    pub fn new(settings: Settings) -> Client {
        let mirrors = settings.registries.mirrors.iter();
        let mirrors =
            mirrors.filter_map(|mirror| Site::of_mirror(mirror, &settings.registries)).map(Arc::new);
        let mirrors = mirrors.collect();
        let transport = Transport::new(&settings);
        Client { settings, transport, sites: Mutex::default(), mirrors }
    }

    /// The repository `path` of `registry`, both as in [`types::Reference`]. What is read from docker.io is asked
    /// of its mirrors first.
    pub fn repository(&self, registry: &str, path: &str) -> Repository<'_> {
        let mirrors = if registry == HUB { self.mirrors.clone() } else { Vec::new() };
        Repository::new(self, self.site(registry), mirrors, path)
    }

    /// Shows `credentials` to `registry`, whatever docker's file has for it.
    pub fn with_credentials(self, registry: &str, credentials: &Credentials) -> Client {
        let site = Arc::new(self.site(registry).logging_in(credentials));
        self.sites.lock().unwrap_or_else(PoisonError::into_inner).insert(registry.to_owned(), site);
        self
    }

    /// Finds out whether `registry` accepts `credentials`. Returns what it wants to be shown in their place from
    /// now on, if it gave anything. Stores nothing.
    pub fn login(&self, registry: &str, credentials: &Credentials) -> Result<Option<String>, ClientError> {
        let site = self.site(registry).logging_in(credentials);
        let exchange = self.exchange(&site);
        let ping = Ask::new(Method::GET, "/v2/");
        let mut patience = exchange.patience();
        loop {
            let outcome = exchange.send_once(&ping, Payload::None);
            let challenge = site.login.lock().unwrap_or_else(PoisonError::into_inner).challenge.clone();
            match (outcome, challenge) {
                (Ok(reply), challenge) => {
                    reply.discard();
                    let Some(challenge @ Challenge::Bearer { .. }) = challenge else { return Ok(None) };
                    let token = auth::fetch(&exchange, &challenge, &[], Some(credentials), true)?;
                    return Ok(token.identity.map(|identity| identity.expose().to_owned()));
                }
                (Err(error), _) => patience.wait_after(error)?,
            }
        }
    }

    /// The repositories of `registry` that it lists, if it does so at all.
    pub fn catalog(&self, registry: &str) -> Result<Vec<String>, ClientError> {
        let site = self.site(registry);
        let ask = Ask::new(Method::GET, format!("/v2/_catalog?n={}", paging::PAGE)).scope(Scope::catalog());
        paging::all(&self.exchange(&site), ask, "repositories")
    }

    /// At most `limit` repositories of `registry` that have to do with `term`.
    pub fn search(&self, registry: &str, term: &str, limit: usize) -> Result<Vec<Found>, ClientError> {
        match registry {
            HUB => search::hub(&self.exchange(&self.site(search::HUB_INDEX)), term, limit),
            _ => Ok(search::filter(self.catalog(registry)?, term, limit)),
        }
    }

    pub(crate) fn exchange<'a>(&'a self, site: &'a Site) -> Exchange<'a> {
        Exchange { transport: &self.transport, settings: &self.settings, site }
    }

    fn site(&self, registry: &str) -> Arc<Site> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let site = sites
            .entry(registry.to_owned())
            .or_insert_with(|| Arc::new(Site::of_registry(registry, &self.settings.registries)));
        site.clone()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}
