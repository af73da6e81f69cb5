//! Files from web servers, kept for the next build, which only asks whether they have changed.
//!
//! ```text
//! <cache>/downloads/<digest of the URL>/about        the URL
//!                                      /state.json   what is known of the last download
//!                                      /<hex>        its content
//! ```

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    sync::OnceLock,
};

use distribution::{ClientError, HeaderName, Page, SettingsError, Web, header};
use serde::{Deserialize, Serialize};
use types::Digest;

use super::{Entry, url::Url};
use crate::cache::{self, Cache};

/// Downloads into the cache.
#[derive(Debug, Default)]
pub struct Downloads {
    web: OnceLock<Web>,
}

/// A file that is here. It stays readable whatever becomes of the cache.
#[derive(Debug)]
pub struct Download {
    pub digest: Digest,
    /// When the server says it was changed last, in seconds since 1970.
    pub modified: Option<i64>,
    pub file: File,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("invalid response status {0}")]
    Status(u16),
    /// The server has something else than what `--checksum` says.
    #[error("digest mismatch {actual}: {expected}")]
    Mismatch { actual: Digest, expected: Digest },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot keep what {url} has")]
    Keep { url: String, source: io::Error },
}

/// What is known of the last download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    digest: Digest,
    length: u64,
    etag: Option<String>,
    /// As the server wrote it.
    last_modified: Option<String>,
}

impl Downloads {
    /// What `url` has now. Downloads it unless it is the same as the last time. With `checksum` nobody is asked if that
    /// is what is here, and nothing else will do.
    pub fn get(
        &self,
        url: &Url,
        checksum: Option<&Digest>,
        cache: &Cache,
    ) -> Result<Download, DownloadError> {
        let keep = |source| DownloadError::Keep { url: url.to_string(), source };
        // A URL with a password may have another file than the one without.
        let name = Digest::of(format!("{}\0{:?}", url.request(), url.credentials).as_bytes());
        let entry = Entry::open(cache.directory("downloads").join(name.hex())).map_err(keep)?;
        let known = entry.state();
        if let (Some((state, file)), Some(checksum)) = (&known, checksum)
            && state.digest == *checksum
        {
            return Ok(state.download(file.try_clone().map_err(keep)?));
        }
        let state = match self.ask(url, known.as_ref().map(|(state, _)| state), &entry)? {
            Some(state) => state,
            None => known.map(|(state, _)| state).expect("only what is known can be unchanged"),
        };
        if let Some(expected) = checksum
            && state.digest != *expected
        {
            let (actual, expected) = (state.digest, *expected);
            return Err(DownloadError::Mismatch { actual, expected });
        }
        let file = File::open(entry.path.join(state.digest.hex())).map_err(keep)?;
        Ok(state.download(file))
    }

    /// Downloads `url` into `entry`; `None` if the server still has what is there.
    fn ask(&self, url: &Url, known: Option<&State>, entry: &Entry) -> Result<Option<State>, DownloadError> {
        let authorization = url.basic_authorization();
        let mut headers: Vec<(HeaderName, &str)> = Vec::new();
        headers.extend(authorization.as_deref().map(|value| (header::AUTHORIZATION, value)));
        match known {
            Some(State { etag: Some(etag), .. }) => headers.push((header::IF_NONE_MATCH, etag)),
            Some(State { last_modified: Some(time), .. }) => headers.push((header::IF_MODIFIED_SINCE, time)),
            _ => {}
        }
        for attempt in 1.. {
            let mut page = self.web()?.get(&url.request(), &headers)?;
            if let Some(known) = known
                && known.is_what(&page)
            {
                return Ok(None);
            }
            if !page.is_success() {
                return Err(DownloadError::Status(page.status));
            }
            match receive(&mut page, entry) {
                Ok(state) => {
                    // What this is shown as; the content matters more than its label.
                    cache::replace(&entry.path.join("about"), format!("{url}\n").as_bytes()).ok();
                    return Ok(Some(state));
                }
                // The connection broke off: from the beginning, as the file may be another by now.
                Err(error)
                    if attempt < ATTEMPTS && error.get_ref().is_some_and(|e| e.is::<ClientError>()) => {}
                Err(source) => {
                    return Err(match source.downcast::<ClientError>() {
                        Ok(error) => error.into(),
                        Err(source) => DownloadError::Keep { url: url.to_string(), source },
                    });
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    fn web(&self) -> Result<&Web, SettingsError> {
        if let Some(web) = self.web.get() {
            return Ok(web);
        }
        let web = Web::from_environment()?;
        Ok(self.web.get_or_init(|| web))
    }
}

impl Entry {
    /// What was downloaded last, if it is all there.
    fn state(&self) -> Option<(State, File)> {
        let state: State = serde_json::from_slice(&fs::read(self.path.join(STATE)).ok()?).ok()?;
        let file = File::open(self.path.join(state.digest.hex())).ok()?;
        let is_whole = file.metadata().is_ok_and(|metadata| metadata.len() == state.length);
        is_whole.then_some((state, file))
    }
}

impl State {
    fn download(&self, file: File) -> Download {
        let modified = self.last_modified.as_deref().and_then(seconds);
        Download { digest: self.digest, modified, file }
    }

    /// Whether `page` is what was downloaded the last time: the server says so, or it gives it the same tag, which some
    /// do that do not understand the question. A weak tag is as good, as it is for docker.
    fn is_what(&self, page: &Page) -> bool {
        let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        let tags = (self.etag.as_deref().map(strong), page.header("etag").map(strong));
        page.status == 304 || page.is_success() && tags.0.is_some() && tags.0 == tags.1
    }
}

/// Writes what comes to the disk. Only when all of it is there is it what the entry has.
fn receive(page: &mut Page, entry: &Entry) -> io::Result<State> {
    let aside = entry.path.join("partial");
    let mut file = File::create(&aside)?;
    let mut hasher = Digest::hasher();
    let mut length = 0;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match page.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                file.write_all(&buffer[..read])?;
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // Its room is worth more than the failure to free it.
                fs::remove_file(&aside).ok();
                return Err(error);
            }
        }
    }
    file.sync_data()?;
    let state = State {
        digest: hasher.finish(),
        length,
        etag: page.header("etag").map(str::to_owned),
        last_modified: page.header("last-modified").map(str::to_owned),
    };
    fs::rename(&aside, entry.path.join(state.digest.hex()))?;
    cache::replace(&entry.path.join(STATE), &serde_json::to_vec(&state)?)?;
    remove_others(&entry.path, &state.digest.hex())?;
    Ok(state)
}

/// Removes earlier contents.
fn remove_others(directory: &Path, name: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != name && entry.file_name().len() == name.len() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What a server writes as a time (RFC 9110, section 5.6.7), in seconds since 1970.
fn seconds(date: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second())
}

const STATE: &str = "state.json";

/// How often a download that breaks off is tried.
const ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests;
