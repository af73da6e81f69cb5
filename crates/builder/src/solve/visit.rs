//! A process of the user's in the place of a step's own.

use std::collections::BTreeMap;

use image::Layer;

use super::{Given, Solver, directories, run::Place};
use crate::{
    BuildError,
    graph::{Operation, OperationId, Run},
    host::{HostError, RunStep},
    scratch::Scratch,
};

/// Where the process is to run.
pub struct Visited<'a> {
    /// Where errors say that something is wrong.
    pub operation: &'a Operation,
    pub run: &'a Run,
    /// What it stands on, lowest first.
    pub layers: &'a [Layer],
    /// The file systems that its mounts are from.
    pub from: BTreeMap<OperationId, Vec<Layer>>,
    pub scratch: &'a Scratch,
}

impl Solver<'_, '_> {
    /// Mounts what a step's process had mounted, and lets `talk` run another in its place.
    pub fn visit(
        &self,
        visited: Visited<'_>,
        talk: &mut dyn FnMut(&RunStep) -> Result<i32, HostError>,
    ) -> Result<i32, BuildError> {
        let Visited { operation, run, layers, from, scratch } = visited;
        let upper = scratch.directory("upper").map_err(BuildError::Cache)?;
        let mut lower = directories(self.host.store(), layers)?;
        if lower.is_empty() {
            lower.push(scratch.directory("empty").map_err(BuildError::Cache)?);
        }
        let given = Given { number: 0, below: layers.to_vec(), from, before: None };
        let found = self.find_mounts(run, operation, &given)?;
        let ready = self.prepare_mounts(run, operation, &found, &lower, scratch)?;
        let step = self.process(run, &ready, Place { lower, upper: &upper, scratch })?;
        Ok(talk(&step)?)
    }
}
