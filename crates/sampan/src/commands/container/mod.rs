//! Commands about containers.

pub mod attach;
pub mod commit;
pub mod cp;
pub mod create;
pub mod diff;
pub mod exec;
pub mod export;
mod follow;
pub mod inspect;
pub mod kill;
pub mod logs;
pub mod ls;
mod mounts;
pub mod networks;
mod options;
pub mod port;
pub mod restart;
pub mod rm;
pub mod run;
pub mod start;
pub mod stop;
mod supply;
pub mod wait;

pub use options::ulimit;
