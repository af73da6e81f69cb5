//! A registry in a process of its own, spoken to over HTTP: each rule of the distribution specification that matters, and
//! what it does not speak of: crashes, limits, strangers, collections.

#![allow(clippy::unwrap_used, reason = "what serves tests may panic as tests do")]

mod authentication;
mod cache;
mod collection;
mod conformance;
mod crashes;
mod limits;
mod lists;
mod manifests;
mod pull;
mod push;
mod support;
