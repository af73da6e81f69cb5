//! The protocol: OCI's distribution specification 1.1, with docker's catalogue.
//!
//! One request comes in, its path is understood, who asks is found out, and one handler answers.

mod blobs;
mod body;
mod lists;
mod manifests;
mod refusal;
mod route;
mod turns;
mod uploads;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, Response, header, request::Parts},
    response::IntoResponse,
};

pub use self::refusal::{Code, Refusal, chain};
use self::route::Route;
pub use self::turns::Turns;
use crate::{
    auth::{Access, Action, Authentication, Grant},
    contents::Contents,
    name::RepositoryName,
    upstream::Upstream,
};

/// A registry as the protocol sees it.
pub struct Registry {
    pub contents: Contents,
    pub authentication: Authentication,
    pub writes: Writes,
    pub turns: Turns,
    /// Uploads that may be going on.
    pub uploads_limit: usize,
    /// How many there are, roughly.
    pub uploads: AtomicUsize,
    /// Where to look for what is not here.
    pub upstream: Option<Arc<Upstream>>,
    /// How long a client may send nothing.
    pub patience: Duration,
}

/// What clients may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    Nothing,
    /// They may push, but not delete.
    Push,
    PushAndDelete,
}

/// An answer, and what there is to say about it in logs and counters.
pub struct Answered {
    pub response: Response<Body>,
    pub route: &'static str,
    pub user: Option<String>,
    /// Why it is the server's fault, if it is.
    pub cause: Option<String>,
}

impl Registry {
    /// Answers one request.
    pub async fn answer(self: &Arc<Self>, request: Request) -> Answered {
        let (parts, body) = request.into_parts();
        let mut answered = Answered { response: Response::default(), route: "none", user: None, cause: None };
        let result = self.try_answer(&parts, body, &mut answered).await;
        answered.response = result.unwrap_or_else(|mut refusal| {
            answered.cause = refusal.cause.take();
            refusal.into_response()
        });
        let headers = answered.response.headers_mut();
        headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answered
    }

    async fn try_answer(
        self: &Arc<Self>,
        parts: &Parts,
        body: Body,
        answered: &mut Answered,
    ) -> Result<Response<Body>, Refusal> {
        let route = Route::of(parts.uri.path());
        if let Ok(route) = &route {
            answered.route = route.kind();
        }
        // Who may not ask does not learn what a path would have meant either.
        let wanted = match &route {
            Ok(route) => access(route, &parts.method),
            Err(_) => Access::Nothing,
        };
        let grant = self.authentication.check(&parts.headers, &wanted).await?;
        answered.user = grant.user.clone();
        let route = route?;
        self.allow(&route, &parts.method)?;
        let ask = Ask { registry: self, parts, grant };
        match (route, parts.method.as_str()) {
            (Route::Base, "GET" | "HEAD") => Ok(lists::base()),
            (Route::Catalog, "GET" | "HEAD") => lists::catalog(ask).await,
            (Route::Tags(name), "GET" | "HEAD") => lists::tags(ask, name).await,
            (Route::Referrers(name, digest), "GET" | "HEAD") => lists::referrers(ask, name, digest).await,
            (Route::Manifest(name, reference), "GET" | "HEAD") => manifests::get(ask, name, reference).await,
            (Route::Manifest(name, reference), "PUT") => manifests::put(ask, name, reference, body).await,
            (Route::Manifest(name, reference), "DELETE") => manifests::delete(ask, name, reference).await,
            (Route::Blob(name, digest), "GET" | "HEAD") => blobs::get(ask, name, digest).await,
            (Route::Blob(name, digest), "DELETE") => blobs::delete(ask, name, digest).await,
            (Route::Uploads(name), "POST") => uploads::begin(ask, name, body).await,
            (Route::Upload(name, id), "GET" | "HEAD") => uploads::status(ask, name, id).await,
            (Route::Upload(name, id), "PATCH") => uploads::append(ask, name, id, body).await,
            (Route::Upload(name, id), "PUT") => uploads::finish(ask, name, id, body).await,
            (Route::Upload(name, id), "DELETE") => uploads::cancel(ask, name, id).await,
            _ => Err(Refusal::new(Code::Unsupported)),
        }
    }

    /// Refuses changes that are switched off.
    fn allow(&self, route: &Route, method: &Method) -> Result<(), Refusal> {
        let deletes = matches!(route, Route::Manifest(..) | Route::Blob(..)) && method == Method::DELETE;
        match self.writes {
            _ if matches!(*method, Method::GET | Method::HEAD) => Ok(()),
            Writes::Nothing => Err(Refusal::new(Code::Unsupported).saying("the registry is read-only")),
            Writes::Push if deletes => {
                Err(Refusal::new(Code::Unsupported).saying("deleting is switched off"))
            }
            Writes::Push | Writes::PushAndDelete => Ok(()),
        }
    }
}

/// A request on its way to its handler.
pub struct Ask<'a> {
    registry: &'a Arc<Registry>,
    parts: &'a Parts,
    grant: Grant,
}

impl Ask<'_> {
    fn contents(&self) -> &Contents {
        &self.registry.contents
    }

    /// A header as text; `None` if it is not there or not ASCII.
    fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The values of a parameter of the query.
    fn parameters(&self, name: &str) -> impl Iterator<Item = String> {
        let query = self.parts.uri.query().unwrap_or_default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(move |(key, _)| *key == name).filter_map(|(_, value)| {
            let spaced = value.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
        })
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).next()
    }
}

/// What somebody needs to be allowed for a request.
fn access(route: &Route, method: &Method) -> Access {
    let on = |name: &RepositoryName, actions: &'static [Action]| Access::Repository(name.clone(), actions);
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match route {
        Route::Base => Access::Nothing,
        Route::Catalog => Access::Catalog,
        Route::Tags(name) | Route::Referrers(name, _) => on(name, &[Action::Pull]),
        Route::Manifest(name, _) | Route::Blob(name, _) if reads => on(name, &[Action::Pull]),
        Route::Manifest(name, _) | Route::Blob(name, _) if *method == Method::DELETE => {
            on(name, &[Action::Delete])
        }
        // Pushing tells what is there, so it takes the right to pull, as docker's registry has it.
        Route::Manifest(name, _) | Route::Blob(name, _) | Route::Uploads(name) | Route::Upload(name, _) => {
            on(name, &[Action::Pull, Action::Push])
        }
    }
}
