//! Handing over the right to answer for a container's system calls.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::Spec;
use runtime::Failure;
use serde_json::{Value, json};

use crate::{VERSION, console};

/// Sends the listener to whoever the specification names, with what it says about the process that it is for.
pub fn hand_over(spec: &Spec, pid: i32, state: &Value, listener: OwnedFd) -> Result<(), Failure> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let Some(path) = seccomp.and_then(|seccomp| seccomp.listener_path().as_ref()) else {
        return Err(Failure::setup("seccomp notify action is used but listenerPath is not set"));
    };
    let mut message = json!({ "ociVersion": VERSION, "fds": ["seccompFd"], "pid": pid, "state": state });
    if let Some(metadata) = seccomp.and_then(|seccomp| seccomp.listener_metadata().as_ref()) {
        message["metadata"] = metadata.as_str().into();
    }
    console::send(path, message.to_string().as_bytes(), listener.as_fd()).map_err(|error| {
        Failure::setup(format_args!("failed to connect with seccomp agent {}: {error}", path.display()))
    })
}
