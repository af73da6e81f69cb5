//! Passwords from a file as Apache's `htpasswd -B` writes it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::http::HeaderValue;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::watched::{Unreadable, Watched};

/// Users and their passwords.
///
/// bcrypt is slow on purpose, so it runs where it blocks nobody, a few at a time; what was right is remembered for a
/// minute as a keyed hash.
pub struct Htpasswd {
    hashes: Watched<Hashes, HtpasswdError>,
    remembered: Mutex<HashMap<String, ([u8; 32], Instant)>>,
    /// Makes remembered hashes useless outside this process.
    key: [u8; 32],
    turns: Semaphore,
}

/// The hash of each user's password.
type Hashes = HashMap<String, String>;

#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("{path}, line {line}: expected USER:HASH with a bcrypt hash; make one with htpasswd -B", path = path.display())]
    Line { path: PathBuf, line: usize },
    #[error("the kernel gives no randomness")]
    Randomness,
}

impl Htpasswd {
    /// Reads the file.
    pub fn open(path: &Path) -> Result<Htpasswd, HtpasswdError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| HtpasswdError::Randomness)?;
        Ok(Htpasswd {
            hashes: Watched::open(path, read)?,
            remembered: Mutex::default(),
            key,
            turns: Semaphore::new(TURNS),
        })
    }

    /// The user whose name and password `Authorization: Basic …` has.
    pub async fn check(&self, authorization: Option<&HeaderValue>) -> Option<String> {
        let (user, password) = credentials(authorization?)?;
        let hashes = self.hashes.current();
        let known = hashes.get(&user).cloned();
        // A user who is not there takes as long as one whose password is wrong.
        let hash = known.clone().unwrap_or_else(|| nobody(&hashes));
        let digest = self.digest(&user, &password, &hash);
        if let Some((right, until)) =
            self.remembered.lock().expect("nothing panics with this lock").get(&user)
            && bool::from(right.ct_eq(&digest))
            && Instant::now() < *until
        {
            return Some(user);
        }
        let turn = self.turns.acquire().await.ok()?;
        let verify = move || bcrypt::verify(password, &hash).unwrap_or(false);
        let right = tokio::task::spawn_blocking(verify).await.unwrap_or(false);
        drop(turn);
        if !right || known.is_none() {
            return None;
        }
        let mut remembered = self.remembered.lock().expect("nothing panics with this lock");
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(user.clone(), (digest, Instant::now() + MEMORY));
        Some(user)
    }

    /// Covers the hash of the file too, so that a changed password is forgotten with it.
    fn digest(&self, user: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.key);
        for part in [user, password, hash] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// The name and password of `Basic <base64>`.
fn credentials(authorization: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    // bcrypt sees 72 bytes only: two passwords that agree so far would be one.
    (password.len() <= 72 && !password.contains('\0')).then(|| (user.to_owned(), password.to_owned()))
}

fn read(path: &Path, text: &str) -> Result<Hashes, HtpasswdError> {
    let mut hashes = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = line.split_once(':').filter(|(user, hash)| !user.is_empty() && is_bcrypt(hash));
        let (user, hash) =
            entry.ok_or_else(|| HtpasswdError::Line { path: path.to_owned(), line: number + 1 })?;
        hashes.insert(user.to_owned(), hash.to_owned());
    }
    Ok(hashes)
}

/// `$2y$` and a cost that lets a server breathe.
fn is_bcrypt(hash: &str) -> bool {
    let parts: Vec<&str> = hash.split('$').collect();
    matches!(parts.as_slice(), ["", "2a" | "2b" | "2x" | "2y", cost, rest]
        if cost.parse().is_ok_and(|cost: u32| (4..=16).contains(&cost)) && rest.len() == 53)
}

/// A hash that no password has, and that takes as much work as those of the file.
fn nobody(hashes: &Hashes) -> String {
    let costs = hashes.values().filter_map(|hash| hash.split('$').nth(2));
    format!("$2y${}$abcdefghijklmnopqrstuuaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", costs.max().unwrap_or("10"))
}

/// How long a password that was right needs no bcrypt.
const MEMORY: Duration = Duration::from_secs(60);
const REMEMBERED: usize = 10_000;
/// Passwords computed side by side: they must not take the processors from everybody else.
const TURNS: usize = 2;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::watched::LOOK, *};

    fn basic(user: &str, password: &str) -> HeaderValue {
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        HeaderValue::from_str(&format!("Basic {encoded}")).unwrap()
    }

    fn entry(user: &str, password: &str) -> String {
        format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_taken_and_a_changed_file_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        fs::write(&path, entry("me", "secret")).unwrap();
        let passwords = Htpasswd::open(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(passwords.check(Some(&basic("me", "secret"))).await.as_deref(), Some("me"));
            assert_eq!(passwords.check(Some(&basic("me", "wrong"))).await, None);
        }
        assert_eq!(passwords.check(Some(&basic("you", "secret"))).await, None);
        assert_eq!(passwords.check(None).await, None);
        fs::write(&path, entry("me", "changed") + &entry("you", "too")).unwrap();
        tokio::time::sleep(LOOK).await;
        assert_eq!(passwords.check(Some(&basic("me", "secret"))).await, None);
        assert_eq!(passwords.check(Some(&basic("me", "changed"))).await.as_deref(), Some("me"));
    }

    #[test]
    fn nobody_costs_as_much_as_somebody() {
        let hashes = Hashes::from([("me".to_owned(), bcrypt::hash("secret", 5).unwrap())]);
        assert_eq!(nobody(&hashes)[..7], *"$2y$05$");
        assert!(!bcrypt::verify("secret", &nobody(&hashes)).unwrap());
    }

    #[test]
    fn hashes_other_than_bcrypt_are_refused_when_the_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        for wrong in ["me:secret", "me:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "me:$apr1$x$y", ":$2y$", "me"] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(Htpasswd::open(&path), Err(HtpasswdError::Line { line: 1, .. })), "{wrong}");
        }
    }

    #[test]
    fn headers_that_nobody_would_write_name_no_more_than_a_user_and_a_password() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/request");
        let words = ["Basic ", "basic", "OjpA", "dXNlcjpwYXNzd29yZA==", "=", "AA==", "Og==", " "];
        testkit::fuzz(&corpus, &words, |bytes| {
            let Ok(header) = HeaderValue::from_bytes(bytes) else { return };
            if let Some((user, password)) = credentials(&header) {
                assert!(!user.contains(':') && !password.contains('\0') && password.len() <= 72);
            }
        });
    }
}
