//! Files that no registry keeps: anything that a web server gives to whoever knows its URL.

use std::{
    fmt,
    io::{self, Read},
    time::Duration,
};

use ureq::{
    BodyReader,
    http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header},
};

use crate::{
    ClientError, Settings, SettingsError,
    location::{self, Origin},
    reply::Reply,
    retry::Patience,
    transport::{self, Transport, Trust},
};

/// Asks web servers, by the system's name servers, proxies and certificates, and with none of the exceptions that are
/// made for registries.
pub struct Web {
    transport: Transport,
    pause: Duration,
    silence: Duration,
}

/// A server's answer, whatever its status: reading it reads its body. An error of `read` holds a [`ClientError`].
pub struct Page {
    pub status: u16,
    /// Those that are text, by their names in lower case.
    headers: Vec<(String, String)>,
    /// How many bytes the body is said to have.
    pub length: Option<u64>,
    host: String,
    silence: Duration,
    body: BodyReader<'static>,
}

impl Web {
    pub fn new(settings: &Settings) -> Web {
        Web { transport: Transport::new(settings), pause: settings.pause, silence: settings.silence }
    }

    /// With the proxies and the patience that the environment names.
    pub fn from_environment() -> Result<Web, SettingsError> {
        Settings::of_the_web().map(|settings| Web::new(&settings))
    }

    /// Asks for `url`, with these headers besides the usual ones, and follows where that leads; tries again what fails
    /// on the way to an answer. `Authorization` is for the first server only.
    ///
    /// As for docker, a redirection may lead from a secure connection to one that is not: what must not be tampered
    /// with has a checksum.
    pub fn get(&self, url: &str, headers: &[(HeaderName, &str)]) -> Result<Page, ClientError> {
        let nonsense =
            || ClientError::Protocol { host: url.to_owned(), what: "is not the URL of a file".into() };
        let url: Uri = url.parse().ok().filter(|url| Origin::of(url).is_some()).ok_or_else(nonsense)?;
        let mut patience = Patience::new(self.pause, false);
        loop {
            match self.follow(&url, headers) {
                Ok(page) => return Ok(page),
                Err(error) => patience.wait_after(error)?,
            }
        }
    }

    fn follow(&self, url: &Uri, headers: &[(HeaderName, &str)]) -> Result<Page, ClientError> {
        let home = Origin::of(url);
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let is_home = Origin::of(&url) == home;
            let headers = headers.iter().filter(|(name, _)| is_home || *name != header::AUTHORIZATION);
            let reply = self.ask(&url, headers)?;
            let location = match reply.status {
                301 | 302 | 303 | 307 | 308 => reply.header("location"),
                _ => None,
            };
            let Some(location) = location else { return Ok(Page::of(reply, self.silence)) };
            let next =
                location::join(&url, location).ok_or_else(|| reply.nonsense("redirects to nowhere"))?;
            reply.discard();
            url = next;
        }
        let host = home.map_or_else(String::new, |home| home.authority());
        Err(ClientError::Redirects { host, limit: REDIRECTS })
    }

    fn ask<'a>(
        &self,
        url: &Uri,
        headers: impl Iterator<Item = &'a (HeaderName, &'a str)>,
    ) -> Result<Reply, ClientError> {
        let host = Origin::of(url).expect("every URL was checked when it was made").authority();
        let mut request = Request::builder().uri(url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(()).map_err(|_| ClientError::Protocol {
            host: host.clone(),
            what: "cannot be asked with headers like these".into(),
        })?;
        let response = self.transport.send(&host, Trust::Certified, request)?;
        Ok(Reply::new(response, url.clone(), host, self.silence))
    }
}

impl Page {
    fn of(reply: Reply, silence: Duration) -> Page {
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.trim().to_owned()))
        };
        Page {
            status: reply.status,
            headers: reply.all_headers().filter_map(text).collect(),
            length: reply.length(),
            host: reply.host().to_owned(),
            silence,
            body: reply.into_reader(),
        }
    }

    /// Whether it is what was asked for.
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }

    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl Read for Page {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => transport::broken(error, self.host.clone(), self.silence).into(),
        })
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web(…)")
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("status", &self.status).field("host", &self.host).finish_non_exhaustive()
    }
}

/// As many as docker's downloads follow.
const REDIRECTS: u32 = 10;
