//! What tests stand on: a sandbox with an engine of its own, base images, the check that nothing is left, builds to
//! compare, and inputs that nobody thought of.
//!
//! Knows the program from outside, as its users do, and the traces it leaves on a host. Knows nothing of how it
//! works. For dev-dependencies only, so what goes wrong here panics, with all it takes to understand it.

pub mod builds;
mod certificate;
mod disk;
mod firewall;
mod fuzz;
mod hostile;
mod images;
mod leaks;
mod lossy;
mod ordinary;
mod outcome;
mod process;
mod random;
mod registry;
mod sandbox;
mod steps;
pub mod vm;

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

pub use fuzz::fuzz;
pub use hostile::{Answer, Ending, Hostile};
pub use images::base_image;
pub use lossy::{Fault, Lossy};
pub use ordinary::{Ordinary, UID};
pub use outcome::Outcome;
pub use process::Process;
pub use random::Random;
pub use registry::Registry;
pub use sandbox::Sandbox;
pub use steps::{Role, Walked};

/// Repeats `attempt` until it succeeds: for what gives no sign when it is ready, such as a port nobody listens
/// on yet. Panics with the last failure when patience ends.
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("{what}: {error}"),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// How long anything may take. Generous: nothing waits for it but what hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);
