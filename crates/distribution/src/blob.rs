//! Reading a blob, across broken connections.

use std::{
    fmt,
    io::{self, Read},
    sync::Arc,
};

use image::manifest::Descriptor;
use ureq::{
    BodyReader,
    http::{Method, header},
};

use crate::{
    Client, ClientError, ask::Payload, auth::Scope, reply::Reply, repository, retry::Patience, site::Site,
    transport,
};

/// The bytes of a blob, as a registry sends them: not more than its descriptor says, and not verified.
///
/// When the connection breaks off, another one goes on where it did; a reader notices nothing but the time it
/// takes. An error of `read` holds a [`ClientError`] and is final.
pub struct Blob<'c> {
    client: &'c Client,
    /// Those still to be asked, the one being asked first.
    sites: Vec<Arc<Site>>,
    path: String,
    blob: Descriptor,
    position: u64,
    body: Option<BodyReader<'static>>,
    patience: Patience,
}

impl<'c> Blob<'c> {
    /// Opens the blob at the first of `sites` that has it.
    pub(crate) fn open(
        client: &'c Client,
        sites: Vec<Arc<Site>>,
        path: &str,
        blob: &Descriptor,
        offset: u64,
    ) -> Result<Blob<'c>, ClientError> {
        let patience = client.exchange(&sites[0]).patience();
        let blob = blob.clone();
        let mut blob =
            Blob { client, sites, path: path.to_owned(), blob, position: offset, body: None, patience };
        if blob.position < blob.blob.size {
            blob.connect()?;
        }
        Ok(blob)
    }

    /// How many bytes of the blob, counted from its beginning, have been read.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn connect(&mut self) -> Result<(), ClientError> {
        loop {
            match self.request() {
                Ok(body) => {
                    self.body = Some(body);
                    return Ok(());
                }
                Err(error) => self.recover(error)?,
            }
        }
    }

    /// Waits until it is time to try again, here or at the next site. Gives `error` back if there is no point.
    fn recover(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.body = None;
        match self.patience.wait_after(error) {
            Err(_) if self.sites.len() > 1 => {
                self.sites.remove(0);
                self.patience = self.client.exchange(&self.sites[0]).patience();
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The rest of the blob from our position on.
    fn request(&self) -> Result<BodyReader<'static>, ClientError> {
        let what = format!("blobs/{}", self.blob.digest);
        let mut ask = repository::ask(Method::GET, &self.path, &what, Scope::pull(&self.path));
        if self.position > 0 {
            ask = ask.header(header::RANGE, format!("bytes={}-", self.position));
        }
        let reply = self.client.exchange(&self.sites[0]).send_once(&ask, Payload::None)?;
        let skip = match reply.status {
            206 => self.check_range(&reply)?,
            // The registry does not know ranges: what we have comes again.
            _ => self.position,
        };
        let expected = self.blob.size - self.position + skip;
        match reply.length() {
            Some(length) if length != expected => Err(reply
                .nonsense(format!("sends {length} bytes of blob {}, expected {expected}", self.blob.digest))),
            _ => {
                let mut body = reply.into_reader();
                let skipped = io::copy(&mut body.by_ref().take(skip), &mut io::sink());
                match skipped.map_err(|error| self.broken(error))? {
                    skipped if skipped == skip => Ok(body),
                    _ => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
                }
            }
        }
    }

    /// Whether a partial answer begins where we are, and ends where the blob does.
    fn check_range(&self, reply: &Reply) -> Result<u64, ClientError> {
        let range = reply.header("content-range").and_then(Range::parse);
        let last = self.blob.size - 1;
        match range {
            Some(Range { from, to, size })
                if from == self.position && to == last && size.is_none_or(|size| size == self.blob.size) =>
            {
                Ok(0)
            }
            _ => Err(reply.nonsense(format!(
                "sends another part of blob {} than bytes {}-{last}",
                self.blob.digest, self.position
            ))),
        }
    }

    /// Makes sure that nothing follows the last byte; the connection is then free for others.
    fn finish(&mut self) -> Result<(), ClientError> {
        let Some(mut body) = self.body.take() else { return Ok(()) };
        match body.read(&mut [0]) {
            // How the connection ends does not matter any more.
            Ok(0) | Err(_) => Ok(()),
            Ok(_) => Err(self.client.exchange(&self.sites[0]).nonsense(format!(
                "sends more of blob {} than the {} bytes it has",
                self.blob.digest, self.blob.size
            ))),
        }
    }

    fn broken(&self, error: io::Error) -> ClientError {
        let exchange = self.client.exchange(&self.sites[0]);
        transport::broken(error, exchange.site.authority.clone(), exchange.settings.silence)
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.blob.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        loop {
            if self.body.is_none() {
                self.connect()?;
            }
            let body = self.body.as_mut().expect("connected above");
            let error = match body.read(&mut buffer[..wanted]) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(length) => {
                    self.position += length as u64;
                    self.patience.progress();
                    if self.position == self.blob.size {
                        self.finish()?;
                    }
                    return Ok(length);
                }
                Err(error) => error,
            };
            let error = self.broken(error);
            self.recover(error)?;
        }
    }
}

impl fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} at {} of {})", self.blob.digest, self.position, self.blob.size)
    }
}

/// `Content-Range: bytes 5-9/10`.
#[derive(Debug, PartialEq)]
struct Range {
    from: u64,
    to: u64,
    size: Option<u64>,
}

impl Range {
    fn parse(header: &str) -> Option<Range> {
        let (range, size) = header.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
        let (from, to) = range.split_once('-')?;
        let size = match size {
            "*" => None,
            size => Some(size.parse().ok()?),
        };
        Some(Range { from: from.parse().ok()?, to: to.parse().ok()?, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_with_and_without_the_whole_size() {
        assert_eq!(Range::parse("bytes 5-9/10"), Some(Range { from: 5, to: 9, size: Some(10) }));
        assert_eq!(Range::parse("bytes 5-9/*"), Some(Range { from: 5, to: 9, size: None }));
        for wrong in ["bytes */10", "5-9/10x", "bytes 5/10", "bytes -5-9/10", ""] {
            assert_eq!(Range::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ranges_that_nobody_would_write_are_not_read_or_are_what_they_say() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/header");
        let words = ["bytes ", "-", "/", "*", "0", "18446744073709551615", "18446744073709551616", " ", "é"];
        testkit::fuzz(&corpus, &words, |bytes| {
            let header = String::from_utf8_lossy(bytes);
            let Some(Range { from, to, size }) = Range::parse(&header) else { return };
            let size = size.map_or("*".to_owned(), |size| size.to_string());
            assert_eq!(Range::parse(&format!("bytes {from}-{to}/{size}")), Range::parse(&header));
        });
    }
}
