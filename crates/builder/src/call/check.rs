//! What the rules find in a Dockerfile: `--check`.

use std::collections::BTreeMap;

use image::Configuration;
use types::{Platform, Reference};

use super::read;
use crate::{
    Build, BuildError,
    diagnostic::{Diagnostic, Problem},
    event::{Observer, Task},
    graph::{Action, Operation},
    host::Host,
    input::Input,
    lint::{self, Circumstances, Finding, Options},
    parse::{self, Directives, Dockerfile},
    plan::{FindImage, PlanError, Planner, Settings},
    recipe::{Recipe, StageRecipe},
};

/// A Dockerfile and what was found in it.
#[derive(Debug)]
pub struct Checked {
    /// The Dockerfile's name, as messages give it.
    pub file: String,
    pub text: String,
    /// In the order in which BuildKit finds them.
    pub findings: Vec<Finding>,
    /// What makes a build impossible. The findings are those before it.
    pub error: Option<Box<Diagnostic>>,
}

/// Looks at the target and what it needs, or at all stages if there is no target. Base images are resolved, as they
/// say which variables there are; nothing else is carried out.
pub fn check(
    build: Build,
    host: &dyn Host,
    observer: &mut (dyn Observer + Send),
) -> Result<Checked, BuildError> {
    read(build, host, observer, |input, settings, progress| {
        let find = |name: &Reference, platform: &Platform| {
            let task = Task::FindImage { name: name.clone() };
            progress.task(&task, || host.resolve(name, platform, settings.pull))
        };
        let mut findings = Vec::new();
        let outcome = examine(input, settings, &find, &mut findings);
        let error = outcome.err().map(|problem| input.diagnostic(problem));
        Checked { file: input.file.clone(), text: input.text.clone(), findings, error }
    })
}

fn examine(
    input: &Input,
    settings: &Settings,
    find: &FindImage<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(), Problem> {
    let text = &input.text;
    let options = options(text, &settings.arguments)?;
    let dockerfile = parse::parse(text)?;
    let recipe = Recipe::read(&dockerfile);
    findings.extend(lint::of_statements(text, &dockerfile, readable(&dockerfile, &recipe), &options));
    let recipe = recipe?;
    let planner = Planner::new(find, settings, &dockerfile.directives, &recipe);
    let target = planner.target().ok();
    let (operations, error) = planner.rehearse();
    let error = error.map(|error| match error {
        PlanError::Problem(problem) => problem,
        PlanError::Base(error, span) => Problem::new(error.to_string(), span),
    });
    let target = settings.target.as_ref().and(target);
    let circumstances = circumstances(input, settings, target, error.as_ref());
    let bases = bases(&operations);
    findings.extend(lint::of_recipe(text, &dockerfile, &recipe, &circumstances, &bases, &options));
    match error.or_else(|| lint::violation(findings, &options)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The findings for a build whose graph is `operations`, ending in stage `target`; none is left out.
pub fn of_build(
    input: &Input,
    settings: &Settings,
    dockerfile: &Dockerfile,
    recipe: &Recipe,
    target: Option<usize>,
    operations: &[Operation],
    options: &Options,
) -> Vec<Finding> {
    let circumstances = circumstances(input, settings, target, None);
    lint::of_recipe(&input.text, dockerfile, recipe, &circumstances, &bases(operations), options)
}

fn circumstances<'a>(
    input: &'a Input,
    settings: &'a Settings,
    target: Option<usize>,
    error: Option<&Problem>,
) -> Circumstances<'a> {
    Circumstances {
        arguments: &settings.arguments,
        target,
        platform: settings.platform.clone().unwrap_or_else(Platform::host),
        ignore: input.context.ignore(),
        stop: error.map(|problem| problem.span.clone()),
    }
}

/// The configurations of the images that were found for FROM.
fn bases(operations: &[Operation]) -> impl Fn(&StageRecipe) -> Option<Configuration> + '_ {
    |stage| {
        operations.iter().find_map(|operation| match &operation.action {
            Action::Base(Some(image)) if operation.span == stage.statement.span => Some(image.config.clone()),
            _ => None,
        })
    }
}

/// What `# check=` says, or the build argument that takes its place.
pub fn options(text: &str, arguments: &BTreeMap<String, String>) -> Result<Options, Problem> {
    if let Some(given) = arguments.get(ARGUMENT) {
        let refuse = |error| Problem::new(format!("failed to parse build-arg:{ARGUMENT}: {error}"), 0..0);
        return Options::parse(given).map_err(refuse);
    }
    // What is wrong with other directives is the parser's to tell.
    let Ok(Directives { check: Some((given, span)), .. }) = Directives::parse(text) else {
        return Ok(Options::default());
    };
    let refuse = |error| Problem::new(format!("failed to parse check options: {error}"), span);
    Options::parse(&given).map_err(refuse)
}

/// How many statements can be read, the first that cannot be excluded.
pub fn readable(dockerfile: &Dockerfile, recipe: &Result<Recipe, Problem>) -> usize {
    let Err(problem) = recipe else { return dockerfile.statements.len() };
    match problem.is_of_syntax() {
        true => 0,
        false => dockerfile.statements.iter().take_while(|s| s.span.end <= problem.span.start).count(),
    }
}

const ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";
