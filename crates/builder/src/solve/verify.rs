//! `--verify`: every step is done once more, and what it comes to is compared with what it came to before.
//!
//! The second time each step stands on what the first time came to. If all steps come to the same on the same ground, two
//! whole builds do; if one does not, those that stand on it are not blamed for it.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use image::Layer;

use super::{Solver, State};
use crate::{
    BuildError,
    cache::{Made, Record},
    compare::{self, FileDifference},
    diagnostic::Problem,
    event::{Event, TaskId},
    graph::{Graph, Operation},
    host::Stream,
};

/// A build that is gone through a second time.
pub struct Again<'a> {
    /// What its operations came to.
    pub states: &'a [State],
    different: Mutex<Vec<StepDifference>>,
}

impl<'a> Again<'a> {
    pub fn new(states: &'a [State]) -> Again<'a> {
        Again { states, different: Mutex::default() }
    }
}

/// A step that did not come to the same again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDifference {
    /// As progress shows it: `[build 2/5] `, or nothing.
    pub label: String,
    pub title: String,
    pub files: Vec<FileDifference>,
    span: crate::diagnostic::Span,
}

impl StepDifference {
    /// What the step is called: `[build 2/5] RUN make`.
    pub fn name(&self) -> String {
        format!("{}{}", self.label, self.title)
    }

    /// A line for each file, or for the first of very many.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.files.iter().take(MOST_TOLD).map(FileDifference::to_string).collect();
        if self.files.len() > MOST_TOLD {
            lines.push(format!("and {} more", self.files.len() - MOST_TOLD));
        }
        lines
    }
}

/// `[build 2/5] ` when it is gone through again: `[verify build 2/5] `.
pub(super) fn label(label: &str) -> String {
    match label.strip_prefix('[') {
        Some(rest) => format!("[verify {rest}"),
        None => format!("[verify] {label}"),
    }
}

impl Solver<'_, '_> {
    /// Tells how a step ended that was done again, and notes it if it is not as `before`.
    pub(super) fn compare(
        &self,
        operation: &Operation,
        before: &State,
        now: &Record,
        task: TaskId,
        began: Instant,
    ) -> Result<(), BuildError> {
        let layer =
            |record: Option<&Record>| record.and_then(|record| record.layer.as_ref()).map(Made::layer);
        let (before, now) = (layer(before.record.as_ref()), layer(Some(now)));
        if before.as_ref().map(|layer| layer.diff_id) == now.as_ref().map(|layer| layer.diff_id) {
            self.progress.finish(task, began);
            return Ok(());
        }
        let directory = |layer: Option<Layer>| self.directories(layer.as_slice());
        let files = match (directory(before)?.as_slice(), directory(now)?.as_slice()) {
            ([before], [now]) => compare::layers(before, now),
            (before, now) => compare::file_systems(before, now),
        };
        let (label, title) = (operation.label.clone(), operation.title.clone());
        let files = files.map_err(BuildError::Cache)?;
        let difference = StepDifference { label, title, files, span: operation.span.clone() };
        for line in difference.lines() {
            let bytes = format!("{line}\n");
            self.progress.event(Event::Output { id: task, stream: Stream::Out, bytes: bytes.as_bytes() });
        }
        let error = match difference.files.len() {
            1 => "not reproducible: 1 file differs".to_owned(),
            count => format!("not reproducible: {count} files differ"),
        };
        self.progress.event(Event::Failed { id: task, error: &error });
        if let Some(again) = &self.again {
            again.different.lock().unwrap_or_else(PoisonError::into_inner).push(difference);
        }
        Ok(())
    }

    /// Fails if any step did not come to the same again.
    pub fn verdict(self, graph: &Graph) -> Result<(), BuildError> {
        let Some(Again { different, .. }) = &self.again else { return Ok(()) };
        let mut steps = std::mem::take(&mut *different.lock().unwrap_or_else(PoisonError::into_inner));
        // They ended in any order.
        let place =
            |step: &StepDifference| graph.operations.iter().position(|operation| operation.span == step.span);
        steps.sort_by_key(place);
        let Some(first) = steps.first() else { return Ok(()) };
        let problem = Problem::new("not reproducible", first.span.clone());
        let diagnostic = self.diagnostic(problem.helped(ADVICE));
        Err(BuildError::Differs { steps, diagnostic })
    }
}

/// How many files of one step are told.
const MOST_TOLD: usize = 100;

const ADVICE: &str = "what such a step writes often depends on the time, on random numbers, on the order of a directory, or \
                      on what a network says today; nothing was exported";
