//! One HTTP request to one host: names, proxies, TLS, the connections that threads share.
//!
//! Knows nothing of registries' protocol, of logging in, redirects, or trying again.

mod dns;
mod fault;
mod hosts;
mod proxy;
mod resolver;
mod tls;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub(crate) use fault::{is_disagreement, of_io as broken};
pub use proxy::Proxies;
pub use resolver::look_up;
use ureq::{
    Agent, AsSendBody, Body,
    http::{Request, Response},
    unversioned::transport::DefaultConnector,
};

use crate::{ClientError, Settings, location::Origin};
use resolver::Resolver;
use tls::Certificates;

/// Connections to hosts, kept open between requests, and shared by threads.
#[derive(Debug)]
pub(crate) struct Transport {
    user_agent: String,
    silence: Duration,
    proxies: Proxies,
    resolver: Resolver,
    certificates: Certificates,
    agents: Mutex<HashMap<Purpose, Agent>>,
}

/// Whom connections are for: a registry's certificates are trusted on its own behalf only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Purpose {
    registry: String,
    origin: Origin,
    trust: Trust,
}

/// What a host must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// A certificate that somebody we trust vouches for.
    Certified,
    /// Nothing: the registry is on this machine, or listed as insecure.
    Anyone,
}

impl Transport {
    pub fn new(settings: &Settings) -> Transport {
        Transport {
            user_agent: settings.user_agent.clone(),
            silence: settings.silence,
            proxies: settings.proxies.clone(),
            resolver: Resolver::of_system(),
            certificates: Certificates::new(settings.registries.certificates.clone()),
            agents: Mutex::new(HashMap::new()),
        }
    }

    /// Sends `request` on behalf of `registry` (a `host[:port]`), and returns as soon as the answer's headers are
    /// there, whatever its status.
    pub fn send(
        &self,
        registry: &str,
        trust: Trust,
        request: Request<impl AsSendBody>,
    ) -> Result<Response<Body>, ClientError> {
        let origin = Origin::of(request.uri()).expect("every URL was checked when it was made");
        let host = origin.authority();
        let agent = self.agent(Purpose { registry: registry.to_owned(), origin, trust })?;
        agent.run(request).map_err(|error| fault::of(error, &host, self.silence))
    }

    fn agent(&self, purpose: Purpose) -> Result<Agent, ClientError> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&purpose) {
            return Ok(agent.clone());
        }
        let Purpose { registry, origin, trust } = &purpose;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(self.proxies.to(origin).cloned())
            .user_agent(&self.user_agent)
            // A blob is what its digest says, not what it unpacks to.
            .accept_encoding("identity")
            .max_response_header_size(HEADER_LIMIT)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(CONNECTIONS)
            .max_idle_connections_per_host(CONNECTIONS)
            .timeout_resolve(Some(self.silence))
            .timeout_connect(Some(self.silence.min(CONNECT)))
            .timeout_per_read(Some(self.silence))
            .timeout_per_write(Some(self.silence));
        if origin.secure {
            config = config.tls_config(self.certificates.configuration(registry, origin, *trust)?);
        }
        let agent = Agent::with_parts(config.build(), DefaultConnector::default(), self.resolver.clone());
        agents.insert(purpose, agent.clone());
        Ok(agent)
    }
}

/// Bodies pass through buffers of this size on their way to and from the kernel.
const BUFFER: usize = 256 << 10;
const HEADER_LIMIT: usize = 64 << 10;
/// Idle connections kept per host.
const CONNECTIONS: usize = 16;
/// A connection that takes longer than this to come about will not.
const CONNECT: Duration = Duration::from_secs(30);
