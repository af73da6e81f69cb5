//! Instructions become a graph, one after the other, each changing the stage it is in.
//!
//! Decides nothing about any single instruction; holds what they share: the stage, variables, the graph so far.

use std::collections::BTreeMap;

use image::{Configuration, Image, config::Execution};
use types::{Platform, Reference};

use crate::{
    config,
    diagnostic::{Problem, Span},
    expand::Expander,
    graph::{Action, Entry, Graph, Operation, OperationId},
    host::{Host, HostError, Network},
    parse::{Directives, Statement, Word},
};

/// What the command line says about a build, as far as it changes the graph.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub target: Option<String>,
    pub platform: Option<Platform>,
    pub network: Network,
    pub pull: bool,
}

/// The state between two instructions.
pub struct Planner<'a> {
    pub host: &'a dyn Host,
    pub settings: &'a Settings,
    pub directives: &'a Directives,
    /// ARG before the first FROM, in order.
    pub global_arguments: Vec<Argument>,
    stage: Option<Stage>,
    operations: Vec<Operation>,
    /// Names of `settings.arguments` that an ARG took.
    pub consumed: Vec<String>,
}

/// A variable that ARG declared, with its value if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    pub value: Option<String>,
}

/// The part of the Dockerfile from one FROM on.
#[derive(Debug)]
pub struct Stage {
    pub name: Option<String>,
    pub image: Configuration,
    pub arguments: Vec<Argument>,
    /// A CMD stood in this stage, so an ENTRYPOINT does not reset it.
    pub cmd_is_own: bool,
    history: Vec<Entry>,
    /// The operation that made the file system so far.
    top: OperationId,
}

/// Why there is no graph.
#[derive(Debug)]
pub enum PlanError {
    Problem(Problem),
    /// The base image cannot be had; the span is that of its name.
    Base(Box<HostError>, Span),
}

impl From<Problem> for PlanError {
    fn from(problem: Problem) -> PlanError {
        PlanError::Problem(problem)
    }
}

impl<'a> Planner<'a> {
    pub fn new(host: &'a dyn Host, settings: &'a Settings, directives: &'a Directives) -> Planner<'a> {
        Planner {
            host,
            settings,
            directives,
            global_arguments: Vec::new(),
            stage: None,
            operations: Vec::new(),
            consumed: Vec::new(),
        }
    }

    /// The graph of everything planned.
    pub fn finish(mut self) -> Result<Graph, Problem> {
        let Some(mut stage) = self.stage.take() else {
            return Err(Problem::new("dockerfile contains no stages to build", 0..0));
        };
        if let Some(target) = &self.settings.target
            && target != "0"
            && stage.name.as_deref() != Some(target.to_lowercase().as_str())
        {
            return Err(Problem::new(format!("target stage {target:?} could not be found"), 0..0));
        }
        for (name, value) in &self.settings.labels {
            stage.image.config.labels.insert(name.clone(), value.clone());
        }
        Ok(Graph {
            operations: self.operations,
            config: stage.image,
            history: stage.history,
            result: stage.top,
        })
    }

    /// Refuses a second stage.
    pub fn check_first_stage(&self, statement: &Statement) -> Result<(), Problem> {
        match self.stage {
            None => Ok(()),
            Some(_) => {
                let message = "several stages (more than one FROM) are not yet supported";
                Err(Problem::new(message, statement.keyword.span.clone()))
            }
        }
    }

    /// Begins the stage on `base`; `None` is scratch.
    pub fn begin(&mut self, base: Option<(Reference, Image)>, name: Option<String>, statement: &Statement) {
        let title = format!("FROM {}", base.as_ref().map_or("scratch".into(), |(name, _)| name.to_string()));
        let mut image = match &base {
            Some((_, base)) => base.config.clone(),
            None => config::scratch(&self.platform()),
        };
        if config::variable(&image.config, "PATH").is_none() {
            config::set_variable(&mut image.config, "PATH", DEFAULT_PATH);
        }
        let top = self.operations.len();
        let action = Action::Base(base.map(|(_, image)| Box::new(image)));
        self.operations.push(Operation { input: None, action, title, span: statement.span.clone() });
        self.stage =
            Some(Stage { name, image, arguments: Vec::new(), cmd_is_own: false, history: Vec::new(), top });
    }

    /// The stage the instruction at `span` is in.
    pub fn stage(&mut self, span: &Span) -> Result<&mut Stage, Problem> {
        self.stage.as_mut().ok_or_else(|| no_stage(span))
    }

    pub fn has_stage(&self) -> bool {
        self.stage.is_some()
    }

    /// The configuration so far.
    pub fn config(&mut self, span: &Span) -> Result<&mut Execution, Problem> {
        Ok(&mut self.stage(span)?.image.config)
    }

    /// Adds an operation on the stage's file system; its layer's line of history is `created_by`.
    pub fn operate(
        &mut self,
        statement: &Statement,
        action: Action,
        title: String,
        created_by: String,
    ) -> Result<(), Problem> {
        let id = self.operations.len();
        let stage = self.stage(&statement.span)?;
        let input = Some(std::mem::replace(&mut stage.top, id));
        stage.history.push(Entry { created_by, operation: Some(id) });
        self.operations.push(Operation { input, action, title, span: statement.span.clone() });
        Ok(())
    }

    /// Notes a change of the configuration in the history.
    pub fn configured(&mut self, statement: &Statement, created_by: String) -> Result<(), Problem> {
        self.stage(&statement.span)?.history.push(Entry { created_by, operation: None });
        Ok(())
    }

    /// `word` with variables and quotes resolved.
    pub fn expand(&self, word: &Word) -> Result<String, Problem> {
        self.expander(&|name| self.variable(name))
            .word(&word.text)
            .map_err(|error| Problem::new(error.to_string(), word.span.clone()))
    }

    /// As [`Planner::expand`], but white space in values separates words.
    pub fn expand_words(&self, word: &Word) -> Result<Vec<String>, Problem> {
        self.expander(&|name| self.variable(name))
            .words(&word.text)
            .map_err(|error| Problem::new(error.to_string(), word.span.clone()))
    }

    /// `word` with variables resolved and quotes left alone: the content of a here-document.
    pub fn expand_text(&self, word: &Word) -> Result<String, Problem> {
        self.expander(&|name| self.variable(name))
            .text(&word.text)
            .map_err(|error| Problem::new(error.to_string(), word.span.clone()))
    }

    /// The image that a FROM names.
    pub fn resolve(&self, name: &Reference, platform: &Platform) -> Result<Image, HostError> {
        self.host.resolve(name, platform, self.settings.pull)
    }

    /// The platform that is built for.
    pub fn platform(&self) -> Platform {
        self.settings.platform.clone().unwrap_or_else(Platform::host)
    }

    /// What the command line gives an argument, and notes that somebody asked.
    pub fn given(&mut self, name: &str) -> Option<String> {
        let value = self.settings.arguments.get(name).cloned();
        if value.is_some() {
            self.consumed.push(name.to_owned());
        }
        value
    }

    /// `TARGETPLATFORM` and its like, which every Dockerfile may use.
    pub fn platform_argument(&self, name: &str) -> Option<String> {
        let (platform, part) = match (name.strip_prefix("TARGET"), name.strip_prefix("BUILD")) {
            (Some(part), _) => (self.platform(), part),
            (_, Some(part)) => (Platform::host(), part),
            (None, None) => return None,
        };
        match part {
            "PLATFORM" => Some(platform.to_string()),
            "OS" => Some(platform.os),
            "ARCH" => Some(platform.architecture),
            "VARIANT" => Some(platform.variant.unwrap_or_default()),
            _ => None,
        }
    }

    fn expander<'b>(&self, lookup: &'b dyn Fn(&str) -> Option<String>) -> Expander<'b> {
        Expander { escape: self.directives.escape, lookup }
    }

    /// A variable's value where an instruction stands: ENV before ARG; before the first FROM, ARG alone.
    fn variable(&self, name: &str) -> Option<String> {
        match &self.stage {
            None => value_of(&self.global_arguments, name).or_else(|| self.platform_argument(name)),
            Some(stage) => {
                let own = config::variable(&stage.image.config, name).map(str::to_owned);
                own.or_else(|| value_of(&stage.arguments, name))
            }
        }
    }
}

impl Stage {
    /// Declares an argument, or gives it a new value.
    pub fn declare(&mut self, argument: Argument) {
        self.arguments.retain(|a| a.name != argument.name);
        self.arguments.push(argument);
    }
}

/// The last value given to `name`.
pub fn value_of(arguments: &[Argument], name: &str) -> Option<String> {
    arguments.iter().rev().find(|argument| argument.name == name)?.value.clone()
}

fn no_stage(span: &Span) -> Problem {
    Problem::new("no build stage in current context", span.clone()).helped("begin with FROM and an image")
}

/// What an image without a PATH gets, as docker has it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
