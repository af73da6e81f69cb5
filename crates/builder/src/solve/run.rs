//! RUN: the process, on top of what it stands on and with what is mounted for it.

use std::path::{Path, PathBuf};

use engine::container::Limits;
use types::Bytes;

use super::{
    Solver,
    mounts::{Found, Ready},
};
use crate::{
    BuildError,
    diagnostic::Problem,
    event::{Event, TaskId},
    graph::{Operation, Run},
    host::RunStep,
    scratch::Scratch,
};

/// What a process stands on, and where its changes go.
pub(super) struct Place<'a> {
    /// The layers' directories, topmost first.
    pub lower: Vec<PathBuf>,
    pub upper: &'a Path,
    /// For what is needed only as long as it runs.
    pub scratch: &'a Scratch,
}

impl Solver<'_, '_> {
    /// Runs a process to its end; what it changed is in `place.upper` then.
    pub(super) fn run(
        &self,
        run: &Run,
        operation: &Operation,
        found: &[Option<Found>],
        place: Place<'_>,
        task: TaskId,
    ) -> Result<(), BuildError> {
        let Place { lower, upper, scratch } = place;
        let ready = self.prepare_mounts(run, operation, found, &lower, scratch)?;
        let Ready { mounts, secrets, points, .. } = &ready;
        let step = RunStep {
            layers: points.iter().cloned().chain(lower).collect(),
            upper: upper.to_owned(),
            work: scratch.directory("work").map_err(BuildError::Cache)?,
            arguments: run.arguments.clone(),
            environment: [run.environment.as_slice(), &run.ambient].concat(),
            directory: run.directory.clone(),
            user: run.user.clone(),
            hostname: HOSTNAME.to_owned(),
            network: run.network,
            mounts: mounts.clone(),
            secrets: secrets.clone(),
            hosts: self.run.hosts.clone(),
            limits: Limits { shm: run.shm.map(Bytes), ..self.run.limits.clone() },
            ulimits: run.ulimits.clone(),
            cgroup_parent: self.run.cgroup_parent.clone(),
            privileged: run.insecure,
        };
        let command = run.arguments.join(" ");
        let failed = |why: String| {
            let message = format!("process {command:?} did not complete successfully: {why}");
            self.diagnostic(Problem::new(message, operation.span.clone()))
        };
        let mut tail = Vec::new();
        let ran = self.host.run(&step, self.stop, &mut |stream, bytes| {
            self.progress.event(Event::Output { id: task, stream, bytes });
            tail.extend_from_slice(bytes);
            if tail.len() > 2 * LONGEST_TAIL {
                tail.drain(..tail.len() - LONGEST_TAIL);
            }
        });
        if self.stop.is_set() {
            return Err(BuildError::Canceled);
        }
        let code = match ran {
            Ok(0) => return Ok(()),
            Ok(code) => code,
            Err(error) => {
                let diagnostic = failed(error.to_string());
                return Err(BuildError::Start { command, error: Box::new(error), diagnostic });
            }
        };
        let start = tail.len().saturating_sub(LONGEST_TAIL);
        Err(BuildError::Run {
            diagnostic: failed(format!("exit code: {code}")),
            command,
            code,
            output: String::from_utf8_lossy(&tail[start..]).into_owned(),
        })
    }
}

/// What processes of RUN see as the machine's name.
const HOSTNAME: &str = "build";

/// How many bytes of a failed process's output its error carries.
const LONGEST_TAIL: usize = 8 << 10;
