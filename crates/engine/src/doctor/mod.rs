//! What this machine offers containers, and how to mend what is missing.
//!
//! As much as can be is tried out, in namespaces that nobody else sees and that are gone with the child that made them (see
//! [`trial`]); the rest is read. Nothing on the machine is changed, not even the engine's own directories, which need not exist.

mod cgroups;
mod kernel;
mod network;
mod storage;
mod trial;
mod users;

use std::path::Path;

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub subject: &'static str,
    pub state: State,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What a finding means for containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Something that some containers want is missing.
    Warn,
    /// No container can run.
    Fail,
}

/// Findings of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: &'static str,
    pub findings: Vec<Finding>,
}

/// Looks at everything an engine with this root would need. Takes a second or so if a name server does not answer.
///
/// Forks, so the process must have one thread; see [`sys::process::fork`].
pub fn examine(root: &Path) -> Vec<Group> {
    let group = |name, findings| Group { name, findings };
    vec![
        group("kernel", kernel::examine()),
        group("cgroups", cgroups::examine()),
        group("users", users::examine(root)),
        group("storage", storage::examine(root)),
        group("network", network::examine()),
    ]
}

impl Finding {
    fn ok(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding { subject, state: State::Ok, text: text.into(), remedy: None }
    }

    fn warn(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { subject, state: State::Warn, text: text.into(), remedy: Some(remedy.into()) }
    }

    fn fail(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { subject, state: State::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }
}
