//! Uploading a blob, across broken connections.
//!
//! ```text
//! POST  uploads/            a session opens, at a place of the registry's choosing
//! PATCH <place>             the bytes; each answer names the next place
//! GET   <place>             after a failure: how much has arrived?
//! PUT   <place>?digest=…    the session closes, the registry compares
//! ```
//!
//! As long as nothing fails, one PATCH carries the whole blob, as docker's does: every registry knows it, and nobody
//! waits for answers in between. After a failure the chunks are smaller (with `Content-Range`, as the specification
//! has it), so that a registry that forgets what a broken request brought loses little. Small blobs, and those of
//! registries that refuse chunks, go in the PUT itself.

use std::io::{self, Read};

use image::manifest::Descriptor;
use types::Digest;
use ureq::http::{Method, Uri, header};

use crate::{
    ClientError, Repository,
    ask::{Ask, Payload},
    auth::Scope,
    exchange::Exchange,
    location,
    reply::Reply,
    retry::Patience,
    session::Session,
    source::Source,
};

/// Opens what is to be uploaded, from an offset on.
pub type Open<'a> = dyn Fn(u64) -> io::Result<Box<dyn Read + Send + 'a>> + 'a;

impl Repository<'_> {
    /// Uploads a blob. `open` opens it from an offset on, and is called again after a failure; `sent` is told how
    /// much of the blob has been sent, which goes down where a part has to be sent again.
    pub fn upload_blob(
        &self,
        blob: &Descriptor,
        open: &Open<'_>,
        sent: &dyn Fn(u64),
    ) -> Result<(), ClientError> {
        self.continue_upload(self.start_upload()?, blob, open, sent)
    }

    /// [`Repository::upload_blob`] in a session that a declined mount has opened.
    pub fn continue_upload(
        &self,
        session: Session,
        blob: &Descriptor,
        open: &Open<'_>,
        sent: &dyn Fn(u64),
    ) -> Result<(), ClientError> {
        let patience = self.exchange().patience();
        let in_one = blob.size <= SMALL;
        Upload {
            repository: self,
            blob,
            open,
            sent,
            session,
            offset: 0,
            furthest: 0,
            chunk: blob.size,
            in_one,
            began_anew: false,
            patience,
        }
        .run()
    }
}

/// An upload on its way.
struct Upload<'a, 'o> {
    repository: &'a Repository<'a>,
    blob: &'a Descriptor,
    open: &'a Open<'o>,
    sent: &'a dyn Fn(u64),
    session: Session,
    /// How much the registry has.
    offset: u64,
    /// How much it ever had: beginning anew is no progress until it has more.
    furthest: u64,
    /// How much to send at a time.
    chunk: u64,
    /// Whether the blob goes in the PUT.
    in_one: bool,
    began_anew: bool,
    patience: Patience,
}

impl Upload<'_, '_> {
    fn run(mut self) -> Result<(), ClientError> {
        loop {
            let outcome = match (self.in_one, self.offset < self.blob.size) {
                (true, _) => self.put(0, self.blob.size),
                (false, true) => match self.patch() {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                (false, false) => self.put(self.offset, 0),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if self.is_there_after(&error) => return Ok(()),
                Err(error) => self.recover(error)?,
            }
        }
    }

    /// Sends the next chunk.
    fn patch(&mut self) -> Result<(), ClientError> {
        let length = self.chunk.max(self.session.smallest).min(self.blob.size - self.offset);
        let end = self.offset + length;
        let mut ask = self.ask(Method::PATCH, self.session.url.clone());
        if length < self.blob.size {
            ask = ask.header(header::CONTENT_RANGE, format!("{}-{}", self.offset, end - 1));
        }
        let reply = self.transmit(&ask, self.offset, length)?;
        let arrived = arrived(&reply).unwrap_or(end);
        if arrived > end {
            return Err(reply.nonsense("claims to have more of a blob than it was sent"));
        }
        let is_progress = arrived == end || arrived > self.furthest;
        let nothing_new = reply.nonsense("takes a part of a blob, and then does not have it");
        self.has(arrived);
        self.session = Session::of(reply, self.session.smallest)?;
        // Else a registry that forgets what it is sent would be sent it for ever.
        if is_progress { Ok(()) } else { self.patience.wait_anyway(nothing_new) }
    }

    /// Sends the last `length` bytes, from `offset` on, and closes the session.
    fn put(&mut self, offset: u64, length: u64) -> Result<(), ClientError> {
        let digest = self.blob.digest;
        let url = location::with_query(&self.session.url, "digest", &digest.to_string())
            .ok_or_else(|| self.exchange().nonsense("names an upload that is no URL".to_owned()))?;
        let reply = self.transmit(&self.ask(Method::PUT, url), offset, length)?;
        let named = reply.header("docker-content-digest").map(str::parse::<Digest>);
        let registry = self.repository.registry().to_owned();
        reply.discard();
        match named {
            Some(Ok(actual)) if actual != digest => {
                Err(ClientError::Damaged { registry, what: "the upload", expected: digest, actual })
            }
            _ => Ok(()),
        }
    }

    /// Sends `length` bytes of the blob from `offset` on.
    fn transmit(&self, ask: &Ask, offset: u64, length: u64) -> Result<Reply, ClientError> {
        if length == 0 {
            return self.exchange().send_once(ask, Payload::Bytes(&[]));
        }
        let content = (self.open)(offset).map_err(ClientError::Source)?;
        let mut source = Source::new(content, offset, length, self.sent);
        let outcome = self.exchange().send_once(ask, Payload::Stream(&mut source, length));
        match source.failure {
            Some(failure) => Err(ClientError::Source(failure)),
            None => outcome,
        }
    }

    /// Finds out after `error` what the registry has, and makes ready to send it the rest.
    fn recover(&mut self, error: ClientError) -> Result<(), ClientError> {
        match &error {
            _ if !self.in_one && self.offset == 0 && refuses_chunks(&error) => {
                self.in_one = true;
                return self.begin_anew(self.blob.size);
            }
            // The registry disagrees about what it has, or forgot about it, or the token was too old to begin
            // with: asking again costs one of the tries.
            ClientError::Refused(refusal) if refusal.status == 416 && !self.in_one => {}
            ClientError::Unauthorized(_) => {}
            ClientError::NotFound { .. } if self.offset > 0 => {}
            // What came in pieces may have been pieced together wrongly.
            ClientError::Refused(refusal)
                if refusal.code == "DIGEST_INVALID" && self.chunk < self.blob.size =>
            {
                if std::mem::replace(&mut self.began_anew, true) {
                    return Err(error);
                }
                return self.begin_anew(self.blob.size);
            }
            other if !other.is_passing() => return Err(error),
            _ => {}
        }
        self.patience.wait_anyway(error)?;
        let chunk = (self.chunk.min(CHUNK) / 4).max(SMALLEST_CHUNK);
        if self.in_one {
            return self.begin_anew(self.blob.size);
        }
        let ask = self.ask(Method::GET, self.session.url.clone());
        match self.exchange().send(&ask, &[]) {
            Ok(reply) => {
                let arrived = arrived(&reply)
                    .ok_or_else(|| reply.nonsense("does not say how much it has of an upload"))?;
                if arrived > self.blob.size {
                    return Err(reply.nonsense("claims to have more of a blob than it was sent"));
                }
                self.has(arrived);
                self.chunk = chunk;
                // Some do not repeat the place.
                if reply.header("location").is_some() {
                    self.session = Session::of(reply, self.session.smallest)?;
                }
                Ok(())
            }
            Err(ClientError::NotFound { .. } | ClientError::Refused(_)) => self.begin_anew(chunk),
            Err(error) => Err(error),
        }
    }

    /// Takes note of how much the registry has.
    fn has(&mut self, arrived: u64) {
        if arrived > self.furthest {
            self.furthest = arrived;
            self.patience.progress();
        }
        self.offset = arrived;
    }

    fn begin_anew(&mut self, chunk: u64) -> Result<(), ClientError> {
        self.session = self.repository.start_upload()?;
        (self.offset, self.chunk) = (0, chunk);
        Ok(())
    }

    /// Whether the blob has arrived although the answer got lost.
    fn is_there_after(&self, error: &ClientError) -> bool {
        let is_complete = self.in_one || self.offset == self.blob.size;
        is_complete
            && (error.is_passing() || error.is_not_found())
            && matches!(self.repository.has_blob(&self.blob.digest), Ok(Some(size)) if size == self.blob.size)
    }

    fn ask(&self, method: Method, url: Uri) -> Ask {
        let what = format!("upload of blob {}", self.blob.digest);
        self.repository
            .ask(method.clone(), String::new(), Scope::push(self.repository.path()))
            .about(self.repository.path(), what)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .moved(method, url)
    }

    fn exchange(&self) -> Exchange<'_> {
        self.repository.exchange()
    }
}

/// Whether a registry does not want blobs in pieces.
fn refuses_chunks(error: &ClientError) -> bool {
    match error {
        ClientError::NotFound { .. } => true,
        ClientError::Refused(refusal) => matches!(refusal.status, 400 | 405 | 411 | 413 | 415 | 416 | 501),
        _ => false,
    }
}

/// How many bytes the registry has, according to its `Range: 0-N`. `0-0` is said of nothing, and of one byte.
fn arrived(reply: &Reply) -> Option<u64> {
    let range = reply.header("range")?;
    let last: u64 = range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

/// Blobs up to this size take two requests instead of three, and start again when something fails.
const SMALL: u64 = 1 << 20;
/// No chunk is larger once something has failed.
const CHUNK: u64 = 64 << 20;
const SMALLEST_CHUNK: u64 = 1 << 20;
