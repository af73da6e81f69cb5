//! One registry's host, and what all threads have learnt about it.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::{Registries, auth::Login, credentials::Credentials, location::Origin, transport::Trust};

/// A host that speaks registries' protocol: a registry, or a mirror of one.
#[derive(Debug)]
pub(crate) struct Site {
    /// As in references: `docker.io`.
    pub registry: String,
    /// The `host[:port]` that requests go to: `registry-1.docker.io`.
    pub authority: String,
    /// How it is spoken to; `None` until it is found out.
    pub ground: Mutex<Option<Ground>>,
    pub login: Mutex<Login>,
    was_reached: AtomicBool,
}

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ground {
    pub secure: bool,
    pub trust: Trust,
}

impl Site {
    /// The site of `registry`, as references name it.
    pub fn of_registry(registry: &str, registries: &Registries) -> Site {
        let authority = if registry == HUB { HUB_REGISTRY } else { registry };
        Site::new(registry, authority, ground(authority, registries))
    }

    /// A mirror of docker.io: a URL, or a `host[:port]`. `None` if it is neither.
    pub fn of_mirror(mirror: &str, registries: &Registries) -> Option<Site> {
        let (secure, rest) = match mirror.split_once("://") {
            Some(("https", rest)) => (Some(true), rest),
            Some(("http", rest)) => (Some(false), rest),
            Some(_) => return None,
            None => (None, mirror),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@']) {
            return None;
        }
        let ground = match secure {
            // Whoever configured it has said so.
            Some(false) => Some(Ground { secure: false, trust: Trust::Anyone }),
            Some(true) if registries.may_be_plain(authority) => {
                Some(Ground { secure: true, trust: Trust::Anyone })
            }
            Some(true) => Some(Ground { secure: true, trust: Trust::Certified }),
            None => ground(authority, registries),
        };
        Some(Site::new(authority, authority, ground))
    }

    /// This site as somebody sees it who logs in with `credentials`.
    pub fn logging_in(&self, credentials: &Credentials) -> Site {
        let login = Login::with(credentials.clone());
        let ground = *self.ground.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Site { login: Mutex::new(login), ..Site::new(&self.registry, &self.authority, ground) }
    }

    fn new(registry: &str, authority: &str, ground: Option<Ground>) -> Site {
        Site {
            registry: registry.to_owned(),
            authority: authority.to_owned(),
            ground: Mutex::new(ground),
            login: Mutex::default(),
            was_reached: AtomicBool::new(false),
        }
    }

    pub fn was_reached(&self) -> bool {
        self.was_reached.load(Ordering::Relaxed)
    }

    pub fn reached(&self) {
        self.was_reached.store(true, Ordering::Relaxed);
    }
}

/// What is clear from the start: TLS with a certificate, for all that may not do without.
fn ground(authority: &str, registries: &Registries) -> Option<Ground> {
    (!registries.may_be_plain(authority)).then_some(Ground { secure: true, trust: Trust::Certified })
}

/// What `origin`, where a registry sent us, must prove.
pub(crate) fn trust_of(origin: &Origin, registries: &Registries) -> Trust {
    match registries.may_be_plain(&origin.authority()) {
        true => Trust::Anyone,
        false => Trust::Certified,
    }
}

pub(crate) const HUB: &str = "docker.io";
const HUB_REGISTRY: &str = "registry-1.docker.io";
