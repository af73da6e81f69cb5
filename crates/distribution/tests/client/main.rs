//! The client against servers that do as a test says: well, badly, or not at all.

#![allow(clippy::unwrap_used, reason = "what serves tests may panic as tests do")]

mod blob;
mod helper;
mod lists;
mod login;
mod pull;
mod redirects;
mod server;
mod tls;
mod upload;
mod web;

use std::{ops::Deref, sync::Arc, time::Duration};

use distribution::{Client, Settings};
use image::manifest::{Descriptor, OCI_LAYER_GZIP};
use tempfile::TempDir;
use types::Digest;

/// Somebody with a home.
struct User {
    home: Arc<TempDir>,
}

/// A user's client, which is in a hurry.
struct UsersClient {
    client: Client,
    _home: Arc<TempDir>,
}

impl Deref for UsersClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl User {
    fn new() -> User {
        User { home: Arc::new(tempfile::tempdir().unwrap()) }
    }

    /// With this text as `config.json`.
    fn configured(text: &str) -> User {
        let user = User::new();
        std::fs::write(user.home.path().join("config.json"), text).unwrap();
        user
    }

    /// Who has logged in to these registries as `me`, with `secret`.
    fn logged_in(registries: &[&str]) -> User {
        // me:secret
        let auths: Vec<_> =
            registries.iter().map(|registry| format!(r#""{registry}":{{"auth":"bWU6c2VjcmV0"}}"#)).collect();
        User::configured(&format!(r#"{{"auths":{{{}}}}}"#, auths.join(",")))
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.home.path());
        settings.silence = Duration::from_millis(300);
        settings.pause = Duration::from_millis(5);
        settings
    }

    fn client(&self) -> UsersClient {
        UsersClient { client: Client::new(self.settings()), _home: self.home.clone() }
    }
}

/// What `me:secret` looks like.
const BASIC: &str = "Basic bWU6c2VjcmV0";

/// A layer with these bytes.
fn layer(bytes: &[u8]) -> Descriptor {
    Descriptor::new(OCI_LAYER_GZIP, Digest::of(bytes), bytes.len() as u64)
}

/// Bytes that are different everywhere.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}
