//! Commands about containers.

pub mod attach;
pub mod commit;
pub mod cp;
pub mod create;
pub mod diff;
pub mod exec;
pub mod export;
mod follow;
mod host_config;
pub mod inspect;
mod isolation;
pub mod kill;
mod limits;
pub mod logs;
pub mod ls;
mod mounts;
pub mod networks;
mod options;
pub mod pause;
pub mod port;
pub mod prune;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod run;
pub mod start;
pub mod stats;
pub mod stop;
mod supply;
pub mod top;
pub mod unpause;
pub mod update;
pub mod wait;

pub use options::{swap_limit, ulimit};
