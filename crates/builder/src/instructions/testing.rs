//! Planning without an engine, for the tests of single instructions.

use image::{Image, config::Execution};
use types::{Digest, Platform, Reference};

use crate::{
    config,
    graph::{Action, Copy, Graph},
    host::HostError,
    parse,
    plan::{PlanError, Planner, Settings},
    recipe::Recipe,
};

/// Knows one image, `base`.
fn find(name: &Reference, platform: &Platform) -> Result<Image, HostError> {
    if name.path() != "library/base" {
        return Err(HostError::NotFound(name.clone()));
    }
    let mut config = config::scratch(platform);
    config.config = Execution { cmd: Some(vec!["base-cmd".into()]), ..Execution::default() };
    let id = Digest::of(b"base");
    Ok(Image { manifest: id, id, config, layers: Vec::new() })
}

/// The graph of a whole Dockerfile, or what is wrong with it.
pub fn planned(dockerfile: &str) -> Result<Graph, String> {
    planned_with(&[], dockerfile)
}

/// The same with `--build-arg`s.
pub fn planned_with(arguments: &[(&str, &str)], dockerfile: &str) -> Result<Graph, String> {
    let arguments = arguments.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let settings = Settings { arguments, ..Settings::default() };
    let dockerfile = parse::parse(dockerfile).map_err(|problem| problem.message)?;
    let recipe = Recipe::read(&dockerfile).map_err(|problem| problem.message)?;
    let planner = Planner::new(&find, &settings, &dockerfile.directives, &recipe);
    planner.plan().map_err(|error| match error {
        PlanError::Problem(problem) => problem.message,
        PlanError::Base(error, _) => error.to_string(),
    })
}

/// Checks the last line of history that the instructions after a FROM leave.
pub fn check_history(instructions: &str, expected: &str) {
    let graph = planned(&format!("FROM scratch\n{instructions}"));
    let graph = graph.unwrap_or_else(|problem| panic!("{instructions}: {problem}"));
    let last = graph.history.last().map(|entry| entry.created_by.as_str());
    assert_eq!(last, Some(expected), "{instructions}");
}

/// Checks what is said of instructions after a FROM that are wrong.
pub fn check_problem(instructions: &str, expected: &str) {
    let graph = planned(&format!("FROM scratch\n{instructions}"));
    assert_eq!(graph.map(|_| ()), Err(expected.to_owned()), "{instructions}");
}

/// The copies that instructions after a FROM ask for.
pub fn copies(instructions: &str) -> Vec<Copy> {
    let graph = planned(&format!("FROM scratch\n{instructions}"));
    let graph = graph.unwrap_or_else(|problem| panic!("{instructions}: {problem}"));
    let copy = |operation: crate::graph::Operation| match operation.action {
        Action::Copy(copy) => Some(copy),
        _ => None,
    };
    graph.operations.into_iter().filter_map(copy).collect()
}
