//! Instructions become a graph, one after the other, each changing the stage it is in.
//!
//! Decides nothing about any single instruction; holds what they share: the stage, variables, the graph so far.

mod named;

use std::collections::BTreeMap;

use image::{Configuration, Image, config::Execution};
use types::{Platform, Reference};

use crate::{
    config,
    diagnostic::{Problem, Span},
    expand::Expander,
    graph::{Action, Entry, Graph, Operation, OperationId, Origin, Process},
    host::{HostError, Network},
    input::NamedContext,
    instructions::{self, from},
    parse::{Directives, Statement, Word},
    recipe::{Recipe, Step, no_stage},
    run_settings::RunSettings,
};

/// What the command line says about a build, as far as it changes the graph.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// `--build-context`.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The images of those contexts that are layouts, by their numbers.
    pub layouts: BTreeMap<usize, Image>,
    pub target: Option<String>,
    pub platform: Option<Platform>,
    pub network: Network,
    pub run: RunSettings,
    pub pull: bool,
}

/// Finds the image that has a name, for a platform.
pub type FindImage<'a> = dyn Fn(&Reference, &Platform) -> Result<Image, HostError> + 'a;

/// The state between two instructions.
pub struct Planner<'a> {
    find: &'a FindImage<'a>,
    pub settings: &'a Settings,
    pub directives: &'a Directives,
    pub recipe: &'a Recipe,
    /// The images that were asked for already.
    images: Vec<(Reference, Platform, Image)>,
    /// ARG before the first FROM, in order.
    pub global_arguments: Vec<Argument>,
    /// Those of the recipe that are planned, each in its place.
    stages: Vec<Option<Stage>>,
    /// The one that is being planned.
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
    /// It was declared after ENV set a variable of its name, which it hides until ENV sets it again.
    pub hides: bool,
}

/// The part of the Dockerfile from one FROM on.
#[derive(Debug, Clone)]
pub struct Stage {
    number: usize,
    pub image: Configuration,
    pub arguments: Vec<Argument>,
    /// A CMD stood in this stage, so an ENTRYPOINT does not reset it.
    pub cmd_is_own: bool,
    history: Vec<Entry>,
    /// The operation that made the file system so far.
    top: OperationId,
    counter: Counter,
}

/// Numbers the operations of a stage for progress: `[build 2/5] `.
#[derive(Debug, Clone)]
struct Counter {
    /// Empty in a Dockerfile of one stage without a name.
    stage: String,
    so_far: usize,
    total: usize,
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
    pub fn new(
        find: &'a FindImage<'a>,
        settings: &'a Settings,
        directives: &'a Directives,
        recipe: &'a Recipe,
    ) -> Planner<'a> {
        Planner {
            find,
            settings,
            directives,
            recipe,
            images: Vec::new(),
            global_arguments: Vec::new(),
            stages: vec![None; recipe.stages.len()],
            stage: None,
            operations: Vec::new(),
            consumed: Vec::new(),
        }
    }

    /// The graph of all that the target needs.
    pub fn plan(mut self) -> Result<Graph, PlanError> {
        for step in &self.recipe.arguments {
            step.instruction.plan(&step.statement, &mut self)?;
        }
        let target = self.target()?;
        let mut stage = self.require(target)?.clone();
        for (name, value) in &self.settings.labels {
            stage.image.config.labels.insert(name.clone(), value.clone());
        }
        let unused = self.settings.arguments.keys().filter(|name| {
            !self.consumed.iter().any(|consumed| consumed == *name) && !instructions::is_predefined(name)
        });
        Ok(Graph {
            unused_arguments: unused.cloned().collect(),
            operations: self.operations,
            config: stage.image,
            history: stage.history,
            result: stage.top,
        })
    }

    /// Plans all that the target needs, or every stage if there is no target, to see what is wrong with it; and gives
    /// the operations up to there.
    pub fn rehearse(mut self) -> (Vec<Operation>, Option<PlanError>) {
        let error = self.plan_all().err();
        (self.operations, error)
    }

    fn plan_all(&mut self) -> Result<(), PlanError> {
        for step in &self.recipe.arguments {
            step.instruction.plan(&step.statement, self)?;
        }
        match self.settings.target {
            Some(_) => self.require(self.target()?).map(drop),
            None => (0..self.recipe.stages.len()).try_for_each(|stage| self.require(stage).map(drop)),
        }
    }

    /// The stage to end with.
    pub fn target(&self) -> Result<usize, Problem> {
        let stages = self.recipe.stages.len();
        let Some(target) = self.settings.target.as_deref().filter(|target| !target.is_empty()) else {
            return Ok(stages - 1);
        };
        self.recipe.stage(&target.to_lowercase(), stages).ok_or_else(|| {
            let names = self.recipe.stages.iter().filter_map(|stage| stage.from.name.as_deref());
            Problem::new(format!("target stage {target:?} could not be found"), 0..0)
                .suggesting(target, names)
        })
    }

    /// The stage with this number, planned now if it is not yet. A stage needs only those before it.
    fn require(&mut self, number: usize) -> Result<&Stage, PlanError> {
        if self.stages[number].is_none() {
            let outer = self.stage.take();
            let stage = self.plan_stage(number)?;
            self.stage = outer;
            self.stages[number] = Some(stage);
        }
        match &self.stages[number] {
            Some(stage) => Ok(stage),
            None => unreachable!("it was just planned"),
        }
    }

    fn plan_stage(&mut self, number: usize) -> Result<Stage, PlanError> {
        let recipe = self.recipe;
        let stage = &recipe.stages[number];
        let place = &stage.statement.span;
        let platform = self.platform();
        if let Some(name) = &stage.from.name
            && self.begin_on_named(number, name, &platform, place)?
        {
            // It takes the place of the whole stage.
            return self.stage.take().ok_or_else(|| no_stage(place).into());
        }
        stage.from.plan(number, self)?;
        let triggers = std::mem::take(&mut self.stage(place)?.image.config.on_build);
        let triggers = triggers.iter().map(|trigger| Step::of_trigger(trigger, &stage.from.image.span));
        let triggers = triggers.collect::<Result<Vec<_>, _>>()?;
        self.stage(place)?.counter.total += triggers.iter().filter(|step| step.counts()).count();
        for step in &triggers {
            let in_place = |error| match error {
                PlanError::Problem(problem) => {
                    PlanError::Problem(Problem { span: stage.from.image.span.clone(), ..problem })
                }
                other => other,
            };
            step.instruction.plan(&step.statement, self).map_err(in_place)?;
        }
        for step in &stage.steps {
            step.instruction.plan(&step.statement, self)?;
        }
        self.stage.take().ok_or_else(|| no_stage(place).into())
    }

    /// Begins stage `number` where another one ends: with its files, configuration, arguments and history.
    pub fn begin_on_stage(&mut self, number: usize, base: usize) -> Result<(), PlanError> {
        let counter = self.counter(number);
        let base = self.require(base)?.clone();
        self.stage = Some(Stage { number, cmd_is_own: false, counter, ..base });
        Ok(())
    }

    /// Begins stage `number` on an image, which is pulled if need be.
    pub fn begin_on_image(
        &mut self,
        number: usize,
        name: &Reference,
        platform: &Platform,
        span: &Span,
    ) -> Result<(), PlanError> {
        let image = self.resolve(name, platform, span)?;
        let mut counter = self.counter(number);
        counter.total += 1;
        let place = self.recipe.stages[number].statement.span.clone();
        self.begin(number, image.config.clone(), counter, Some((name.to_string(), image)), place);
        Ok(())
    }

    /// Begins stage `number` without any file.
    pub fn begin_on_nothing(&mut self, number: usize) {
        let place = self.recipe.stages[number].statement.span.clone();
        self.begin(number, config::scratch(&self.platform()), self.counter(number), None, place);
    }

    fn begin(
        &mut self,
        number: usize,
        mut image: Configuration,
        mut counter: Counter,
        base: Option<(String, Image)>,
        span: Span,
    ) {
        if config::variable(&image.config, "PATH").is_none() {
            config::set_variable(&mut image.config, "PATH", DEFAULT_PATH);
        }
        let top = self.operations.len();
        let (title, label) = match &base {
            Some((name, _)) => (format!("FROM {name}"), counter.next()),
            None => ("FROM scratch".to_owned(), String::new()),
        };
        let action = Action::Base(base.map(|(_, image)| Box::new(image)));
        let (arguments, history) = (Vec::new(), Vec::new());
        let stage = Stage { number, image, arguments, cmd_is_own: false, history, top, counter };
        let process = stage.process();
        self.operations.push(Operation { process, ..Operation::source(action, label, title, span) });
        self.stage = Some(stage);
    }

    fn counter(&self, number: usize) -> Counter {
        let is_only = self.recipe.stages.len() == 1 && self.recipe.stages[number].from.name.is_none();
        let stage = if is_only { String::new() } else { self.recipe.label(number) };
        let total = self.recipe.stages[number].steps.iter().filter(|step| step.counts()).count();
        Counter { stage, so_far: 0, total }
    }

    /// Where `--from=word` takes files: a stage by name or number, or an image.
    pub fn origin(&mut self, word: &Word) -> Result<Origin, PlanError> {
        self.find_origin(word, &|from, to| {
            format!("cannot copy from stage {from:?}, it needs to be defined before current stage {to:?}")
        })
    }

    /// The same for a mount on `target`.
    pub fn mount_origin(&mut self, word: &Word, target: &str) -> Result<Origin, PlanError> {
        self.find_origin(word, &|from, _| {
            format!(
                "cannot mount from stage {from:?} to {target:?}, stage needs to be defined before current \
                 command"
            )
        })
    }

    /// `too_late` says that the one stage stands after the other.
    fn find_origin(
        &mut self,
        word: &Word,
        too_late: &dyn Fn(&str, &str) -> String,
    ) -> Result<Origin, PlanError> {
        let refuse = |message: String| Err(Problem::new(message, word.span.clone()).into());
        let stages = self.recipe.stages.len();
        if word.text.contains('$') {
            return refuse(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from \
                 global scope as a workaround"
                    .into(),
            );
        }
        if let Some(stage) = self.recipe.stage_of_flag(&word.text) {
            let here = self.stage.as_ref().map_or(stages, |stage| stage.number);
            if stage >= here && self.recipe.needs(stage, here) || stage == here {
                return refuse(format!("circular dependency detected on stage: {}", self.recipe.label(here)));
            }
            if stage > here {
                let (from, to) = (self.recipe.label(stage), self.recipe.label(here));
                return refuse(too_late(&from, &to));
            }
            return Ok(Origin::State(self.require(stage)?.top));
        }
        if let Ok(number) = word.text.parse::<usize>() {
            return refuse(format!("invalid stage index {number}"));
        }
        if word.text == "scratch" {
            let id = self.operations.len();
            let (label, title) = (String::new(), "FROM scratch".to_owned());
            self.operations.push(Operation::source(Action::Base(None), label, title, word.span.clone()));
            return Ok(Origin::State(id));
        }
        if let Some(origin) = self.named_origin(&word.text, &word.span)? {
            return Ok(origin);
        }
        let name = from::reference(&word.text, word)?;
        let image = self.resolve(&name, &self.platform(), &word.span)?;
        let id = self.operations.len();
        let (action, title) = (Action::Base(Some(Box::new(image))), format!("FROM {name}"));
        let (label, span) = (String::new(), word.span.clone());
        self.operations.push(Operation::source(action, label, title, span));
        Ok(Origin::State(id))
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
        let (label, place) = (stage.counter.next(), stage.counter.place());
        let arguments = stage.arguments.iter().map(|argument| argument.name.clone()).collect();
        let process = stage.process();
        let stands_on_base = input.is_some_and(|input| self.operations[input].input.is_none());
        let span = statement.span.clone();
        let operation =
            Operation { input, action, label, place, stands_on_base, arguments, process, title, span };
        self.operations.push(operation);
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

    /// The image called `name`; one that several stages stand on is asked for once.
    fn resolve(&mut self, name: &Reference, platform: &Platform, span: &Span) -> Result<Image, PlanError> {
        if let Some((_, _, image)) = self.images.iter().find(|(n, p, _)| n == name && p == platform) {
            return Ok(image.clone());
        }
        let image = (self.find)(name, platform);
        let image = image.map_err(|error| PlanError::Base(Box::new(error), span.clone()))?;
        self.images.push((name.clone(), platform.clone(), image.clone()));
        Ok(image)
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

    /// `TARGETPLATFORM`, `TARGETSTAGE` and their like, which every Dockerfile may use.
    pub fn platform_argument(&self, name: &str) -> Option<String> {
        if name == "TARGETSTAGE" {
            return Some(self.settings.target.clone().unwrap_or_else(|| "default".to_owned()));
        }
        let (platform, part) = match (name.strip_prefix("TARGET"), name.strip_prefix("BUILD")) {
            (Some(part), _) => (self.platform(), part),
            (_, Some(part)) => (Platform::host(), part),
            (None, None) => return None,
        };
        match part {
            "PLATFORM" => Some(platform.to_string()),
            "OS" => Some(platform.os),
            // A matter of Windows.
            "OSVERSION" => Some(String::new()),
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
            Some(stage) => stage.variable(name).map(str::to_owned),
        }
    }
}

impl Stage {
    /// Declares an argument, or gives it a new value; without one it keeps what it has.
    pub fn declare(&mut self, name: String, value: Option<String>) {
        let before = value_of(&self.arguments, &name);
        self.arguments.retain(|argument| argument.name != name);
        let hides = value.is_some() && config::variable(&self.image.config, &name).is_some();
        self.arguments.push(Argument { name, value: value.or(before), hides });
    }

    /// Sets a variable of the environment.
    pub fn set(&mut self, name: &str, value: &str) {
        config::set_variable(&mut self.image.config, name, value);
        self.arguments.iter_mut().filter(|argument| argument.name == name).for_each(|it| it.hides = false);
    }

    /// A variable's value for the instructions that follow: of ENV and ARG, the later.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let argument = self.arguments.iter().find(|argument| argument.name == name);
        let own = config::variable(&self.image.config, name);
        match argument {
            Some(Argument { value: Some(value), hides, .. }) if *hides || own.is_none() => Some(value),
            _ => own,
        }
    }

    /// What a process finds here.
    fn process(&self) -> Process {
        let directory = self.image.config.working_dir.as_str();
        Process {
            environment: self.environment(),
            directory: if directory.is_empty() { "/" } else { directory }.to_owned(),
            user: self.image.config.user.clone(),
            shell: self.image.config.shell.clone().unwrap_or_default(),
        }
    }

    /// All variables that a process finds.
    pub fn environment(&self) -> Vec<String> {
        let of_env = self.image.config.env.iter().map(|entry| match entry.split_once('=') {
            Some((name, value)) => format!("{name}={}", self.variable(name).unwrap_or(value)),
            None => entry.clone(),
        });
        let of_arg = self
            .arguments
            .iter()
            .filter(|argument| config::variable(&self.image.config, &argument.name).is_none());
        let of_arg =
            of_arg.filter_map(|argument| Some(format!("{}={}", argument.name, argument.value.as_ref()?)));
        of_env.chain(of_arg).collect()
    }
}

/// The last value given to `name`.
pub fn value_of(arguments: &[Argument], name: &str) -> Option<String> {
    arguments.iter().rev().find(|argument| argument.name == name)?.value.clone()
}

impl Counter {
    fn place(&self) -> String {
        format!("{} {}", self.stage, self.so_far)
    }

    /// As BuildKit aligns it: the number as wide as the total.
    fn next(&mut self) -> String {
        self.so_far += 1;
        let space = if self.stage.is_empty() { "" } else { " " };
        let width = self.total.to_string().len();
        format!("[{}{space}{:width$}/{}] ", self.stage, self.so_far, self.total)
    }
}

/// What an image without a PATH gets, as docker has it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
