//! Moves manifests and blobs between registries and here: the client side of the OCI distribution
//! specification.
//!
//! Knows registries' protocol, how to log in, and docker's credentials file; and, with the same transport, how to fetch
//! any file by its URL ([`Web`]). Knows nothing of stores, of what
//! images are called on this machine, or of terminals. Everything is synchronous: a caller who wants several
//! things at once brings threads, which share one [`Client`].
//!
//! ```text
//! Client ─▶ Repository ─▶ exchange ─▶ transport
//!             │             │  who we are (auth), again and again (retry), redirects
//!             └─ Blob, upload: what goes on where it broke off
//! ```

mod ask;
mod at_once;
mod auth;
mod blob;
mod client;
pub mod copy;
pub mod credentials;
mod error;
mod exchange;
mod location;
mod paging;
mod reply;
mod repository;
mod retry;
mod search;
mod session;
mod settings;
mod site;
mod source;
mod transport;
mod upload;
mod web;

pub use at_once::for_each_at_once;
pub use blob::Blob;
pub use client::Client;
pub use credentials::{ConfigFile, Credentials, CredentialsError};
pub use error::{ClientError, Refusal};
pub use repository::{Fetched, Repository, Selector};
pub use search::Found;
pub use session::{Mounted, Session};
pub use settings::{Registries, Settings, SettingsError};
pub use transport::{Proxies, look_up};
pub use upload::Open;
pub use ureq::http::{HeaderName, header};
pub use web::{Page, Web};
