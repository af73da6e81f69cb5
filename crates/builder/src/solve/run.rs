//! RUN: the process, on top of what it stands on and with what is mounted for it.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use engine::container::Limits;
use types::Bytes;

use super::{
    Solver,
    mounts::{Found, Ready},
};
use crate::{
    BuildError,
    builds::Draft,
    diagnostic::Problem,
    event::{Event, TaskId},
    graph::{Operation, OperationId, Run},
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
        number: OperationId,
    ) -> Result<(), BuildError> {
        let ready = self.prepare_mounts(run, operation, found, &place.lower, place.scratch)?;
        let step = self.process(run, &ready, place)?;
        let command = run.arguments.join(" ");
        let failed = |why: String| {
            let message = format!("process {command:?} did not complete successfully: {why}");
            self.diagnostic(Problem::new(message, operation.span.clone()))
        };
        let (mut log, began) = (Draft::default(), Instant::now());
        let ran = self.host.run(&step, self.stop, &mut |stream, bytes| {
            self.progress.event(Event::Output { id: task, stream, bytes });
            log.add(began.elapsed(), stream, bytes);
        });
        let output = String::from_utf8_lossy(log.tail(LONGEST_TAIL)).into_owned();
        if let Some(record) = self.record {
            record.logged(number, log.finish(ready.secret_values()));
        }
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
        let diagnostic = failed(format!("exit code: {code}"));
        Err(BuildError::Run { command, code, output, diagnostic })
    }

    /// The process of a RUN for which all is ready.
    pub(super) fn process(&self, run: &Run, ready: &Ready, place: Place<'_>) -> Result<RunStep, BuildError> {
        let Place { lower, upper, scratch } = place;
        let Ready { mounts, secrets, points, .. } = ready;
        Ok(RunStep {
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
        })
    }
}

/// What processes of RUN see as the machine's name.
const HOSTNAME: &str = "build";

/// How many bytes of a failed process's output its error carries.
const LONGEST_TAIL: usize = 8 << 10;
