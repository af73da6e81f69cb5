//! Commands about registries.

pub mod copy;
pub mod login;
pub mod logout;
pub mod search;
