//! What a container's devices have run at certain moments of its life, and what it is told of the container.
//!
//! Of these moments the runtime has those inside; the others are here. The last one comes when nothing of the container is
//! left: the monitor sees to that each time it ends, and if the monitor was killed, whoever notices.

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use oci_spec::runtime::Spec;
use runtime::{Created, Failure, Started, hooks};
use rustix::process::Signal;
use serde_json::json;
use types::ContainerId;

/// A container that has hooks.
#[derive(Debug)]
pub(crate) struct Hooked {
    id: ContainerId,
    bundle: PathBuf,
    /// Of the runtime's specification.
    version: String,
    hooks: oci_spec::runtime::Hooks,
}

impl Hooked {
    /// `None` if there is nothing to run.
    pub fn of(spec: &Spec, id: ContainerId, bundle: &Path) -> Option<Hooked> {
        let hooks = spec.hooks().clone()?;
        Some(Hooked { id, bundle: bundle.to_owned(), version: spec.version().clone(), hooks })
    }

    /// Starts the container's program. One whose hooks fail does not run.
    pub fn start(&self, mut created: Created) -> Result<Started, Failure> {
        let pid = created.process().pid.as_raw_nonzero().get();
        let creating = self.state("creating", Some(pid));
        let prepared =
            created.set_up().and_then(|()| hooks::run_outside(Some(&self.hooks), creating.as_bytes()));
        if let Err(failure) = prepared {
            return Err(created.abandon().unwrap_or(failure));
        }
        let started = created.start_with(&creating, &self.state("created", Some(pid)))?;
        let running = self.state("running", Some(pid));
        hooks::run("poststart", self.hooks.poststart().as_ref(), running.as_bytes()).inspect_err(|_| {
            // Neither can fail, for it is a child that has not been waited for.
            let _ = sys::process::signal(started.child.pidfd.as_fd(), Signal::KILL.as_raw());
            let _ = started.child.wait();
        })?;
        Ok(started)
    }

    /// Runs what comes after the container's end; what went wrong there.
    pub fn stop(&self) -> Vec<String> {
        hooks::run_all("poststop", self.hooks.poststop().as_ref(), self.state("stopped", None).as_bytes())
    }

    fn state(&self, status: &str, pid: Option<i32>) -> String {
        let mut state = json!({
            "ociVersion": self.version,
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
        });
        if let Some(pid) = pid {
            state["pid"] = pid.into();
        }
        state.to_string()
    }
}
