//! A request and its answer: logging in when asked to, following redirects, and trying again.

use std::sync::{MutexGuard, PoisonError};

use ureq::{
    AsSendBody, Body, SendBody,
    http::{HeaderValue, Method, Request, Response, Uri, header, header::HeaderName, request},
};

use crate::{
    ClientError, ConfigFile, Settings,
    ask::{Ask, Payload, To},
    auth::{self, Challenge, Grant, Login, Scope},
    credentials::Credentials,
    location::{self, Origin},
    reply::Reply,
    retry::Patience,
    site::{Ground, Site, trust_of},
    transport::{Transport, Trust, is_disagreement},
};

/// A conversation with one site.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub transport: &'a Transport,
    pub settings: &'a Settings,
    pub site: &'a Site,
}

impl Exchange<'_> {
    /// The answer to `ask`, if it is one of success.
    pub fn send(&self, ask: &Ask, body: &[u8]) -> Result<Reply, ClientError> {
        let mut patience = self.patience();
        loop {
            let payload = if ask.has_body() { Payload::Bytes(body) } else { Payload::None };
            match self.send_once(ask, payload) {
                Ok(reply) => return Ok(reply),
                Err(error) => patience.wait_after(error)?,
            }
        }
    }

    /// [`Exchange::send`], without trying again what fails for other reasons than that we are to log in.
    pub fn send_once(&self, ask: &Ask, mut payload: Payload<'_>) -> Result<Reply, ClientError> {
        let home = self.home()?;
        let url = match &ask.to {
            To::Path(path) => location::join(&home, path)
                .ok_or_else(|| self.nonsense("cannot be asked for this name".to_owned()))?,
            To::Url(url) => url.clone(),
        };
        let is_home = Origin::of(&url) == Origin::of(&home);
        let headers: Vec<_> =
            ask.headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
        let mut grant = if is_home { self.grant(&ask.scopes, None)? } else { None };
        for _ in 0..LOGINS {
            let authorization = grant.as_ref().map(|grant| &grant.header);
            let can_repeat = !matches!(payload, Payload::Stream(..));
            let reply = self.follow(&ask.method, &url, &headers, authorization, payload.again())?;
            self.site.reached();
            if (200..300).contains(&reply.status) {
                return reply.no_web_page(&self.site.registry);
            }
            // Somebody that the registry redirected to is not asked how to log in: the password is not theirs.
            let next = match reply.status {
                401 if Origin::of(&reply.url) == Origin::of(&home) => {
                    self.next_grant(&reply, &ask.scopes, grant.as_ref())?
                }
                _ => None,
            };
            if next.is_none() || !can_repeat {
                return Err(reply.refusal(&self.site.registry, ask.repository.as_deref(), &ask.what));
            }
            reply.discard();
            grant = next;
        }
        Err(self.nonsense("asks for another way to log in each time".to_owned()))
    }

    /// A request to a token server, or whoever else is not to be logged in to; with retries.
    pub fn without_login(
        &self,
        method: &Method,
        url: &Uri,
        headers: &[(HeaderName, &str)],
        authorization: Option<&HeaderValue>,
        payload: Payload<'_>,
    ) -> Result<Reply, ClientError> {
        let body = match payload {
            Payload::Bytes(bytes) => Some(bytes),
            _ => None,
        };
        let mut patience = Patience::new(self.settings.pause, false);
        loop {
            let payload = body.map_or(Payload::None, Payload::Bytes);
            let outcome = self.follow(method, url, headers, authorization, payload).and_then(|reply| {
                if (200..300).contains(&reply.status) {
                    return reply.no_web_page(&self.site.registry);
                }
                Err(reply.refusal(&self.site.registry, None, "the token server"))
            });
            match outcome {
                Ok(reply) => return Ok(reply),
                Err(error) => patience.wait_after(error)?,
            }
        }
    }

    /// Sends a request, and follows where it leads: for what changes nothing only, and without `authorization`
    /// from the first other scheme, host or port on.
    fn follow(
        &self,
        method: &Method,
        url: &Uri,
        headers: &[(HeaderName, &str)],
        mut authorization: Option<&HeaderValue>,
        mut payload: Payload<'_>,
    ) -> Result<Reply, ClientError> {
        let mut url = url.clone();
        let home = Origin::of(&url);
        for _ in 0..=REDIRECTS {
            let reply = self.transmit(method, &url, headers, authorization, &mut payload)?;
            let location = match reply.status {
                301 | 302 | 303 | 307 | 308 if matches!(*method, Method::GET | Method::HEAD) => {
                    reply.header("location").map(str::to_owned)
                }
                _ => None,
            };
            let Some(location) = location else { return Ok(reply) };
            let next =
                location::join(&url, &location).ok_or_else(|| reply.nonsense("redirects to nowhere"))?;
            if url.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(reply.nonsense("redirects to a connection that is not secure"));
            }
            if Origin::of(&next) != home {
                authorization = None;
            }
            reply.discard();
            url = next;
        }
        Err(ClientError::Redirects { host: self.site.authority.clone(), limit: REDIRECTS })
    }

    fn transmit(
        &self,
        method: &Method,
        url: &Uri,
        headers: &[(HeaderName, &str)],
        authorization: Option<&HeaderValue>,
        payload: &mut Payload<'_>,
    ) -> Result<Reply, ClientError> {
        let origin = Origin::of(url).expect("every URL was checked when it was made");
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = match payload {
            Payload::None => self.deliver(&origin, request, ())?,
            Payload::Bytes(bytes) => self.deliver(&origin, request, *bytes)?,
            Payload::Stream(stream, length) => {
                let request = request.header(header::CONTENT_LENGTH, *length);
                self.deliver(&origin, request, SendBody::from_reader(*stream))?
            }
        };
        Ok(Reply::new(response, url.clone(), origin.authority(), self.settings.silence))
    }

    fn deliver(
        &self,
        origin: &Origin,
        request: request::Builder,
        body: impl AsSendBody,
    ) -> Result<Response<Body>, ClientError> {
        let request = request
            .body(body)
            .map_err(|_| self.nonsense("cannot be asked with headers like these".to_owned()))?;
        let trust = trust_of(origin, &self.settings.registries);
        self.transport.send(&self.site.authority, trust, request)
    }

    /// What allows a request for `scopes`; `None` if the registry has not asked for anything, or there is nothing
    /// to show. `hint` is what it said last that is needed.
    fn grant(&self, scopes: &[Scope], hint: Option<&str>) -> Result<Option<Grant>, ClientError> {
        let mut login = self.login();
        let Some(challenge) = login.challenge.clone() else { return Ok(None) };
        if let Challenge::Basic = challenge {
            let header = match self.credentials(&mut login)? {
                Some(Credentials::Password { user, secret }) => Some(auth::basic(&user, &secret)),
                _ => None,
            };
            return Ok(header.map(|header| Grant { header, is_fresh: true }));
        }
        if let Some(token) = login.token(scopes) {
            return Ok(Some(Grant { header: token.header().clone(), is_fresh: false }));
        }
        let credentials = self.credentials(&mut login)?;
        let mut wanted: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        for scope in hint.unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()) {
            if !wanted.iter().any(|known| known == scope) {
                wanted.push(scope.to_owned());
            }
        }
        // Held meanwhile: threads that want the same token ask for it once.
        let token = auth::fetch(self, &challenge, &wanted, credentials.as_ref(), false)?;
        let header = token.header().clone();
        login.keep(scopes, token);
        Ok(Some(Grant { header, is_fresh: true }))
    }

    /// What to show a registry that did not like `shown`. `None` if there is nothing else.
    fn next_grant(
        &self,
        reply: &Reply,
        scopes: &[Scope],
        shown: Option<&Grant>,
    ) -> Result<Option<Grant>, ClientError> {
        let Some(challenge) = Challenge::choose(reply.headers("www-authenticate")) else { return Ok(None) };
        let hint = match &challenge {
            Challenge::Bearer { scope, .. } => scope.clone(),
            Challenge::Basic => None,
        };
        let mut login = self.login();
        let is_same = login.challenge.as_ref().is_some_and(|known| known.asks_like(&challenge));
        login.challenge = Some(challenge);
        if let Some(shown) = shown {
            login.forget(&shown.header);
            if shown.is_fresh && is_same {
                return Ok(None);
            }
        }
        drop(login);
        self.grant(scopes, hint.as_deref())
    }

    fn credentials(&self, login: &mut Login) -> Result<Option<Credentials>, ClientError> {
        if login.credentials.is_none() {
            let file = ConfigFile::load(&self.settings.config_directory)?;
            login.credentials = Some(file.get(&self.site.registry)?);
        }
        Ok(login.credentials.clone().flatten())
    }

    fn login(&self) -> MutexGuard<'_, Login> {
        self.site.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of the registry's root; finds out first whether it speaks TLS, if it need not.
    pub fn home(&self) -> Result<Uri, ClientError> {
        let mut ground = self.site.ground.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match *ground {
            Some(known) => known,
            None => self.find_ground()?,
        };
        *ground = Some(found);
        self.root(found.secure)
    }

    fn root(&self, secure: bool) -> Result<Uri, ClientError> {
        location::url(secure, &self.site.authority, "/v2/")
            .ok_or_else(|| self.nonsense("is not the name of a host".to_owned()))
    }

    /// TLS if somebody answers, else plain HTTP.
    fn find_ground(&self) -> Result<Ground, ClientError> {
        let trust = Trust::Anyone;
        let ping = |secure| self.transmit(&Method::GET, &self.root(secure)?, &[], None, &mut Payload::None);
        let (secure, reply) = match ping(true) {
            Ok(reply) => (true, reply),
            Err(error @ ClientError::Certificate { .. }) => return Err(error),
            Err(error) if is_disagreement(&error) => return Err(error),
            Err(_) => (false, ping(false)?),
        };
        self.site.reached();
        if reply.status == 401 {
            self.login().challenge = Challenge::choose(reply.headers("www-authenticate"));
        }
        reply.discard();
        Ok(Ground { secure, trust })
    }

    pub fn patience(&self) -> Patience {
        Patience::new(self.settings.pause, self.site.was_reached())
    }

    pub fn nonsense(&self, what: String) -> ClientError {
        ClientError::Protocol { host: self.site.authority.clone(), what }
    }
}

const REDIRECTS: u32 = 5;
/// Without anything, with a token that turns out to be old, with a new one, and once more if the way changed.
const LOGINS: u32 = 4;
