//! Goes through the stages with the variables of each place, without carrying anything out.

use image::Configuration;
use types::{Platform, Reference};

use super::{
    Circumstances, Findings, Rule,
    scope::{Globals, Scope, definitions},
};
use crate::{
    diagnostic::Span,
    parse::{self, Directives, Statement, Word, words},
    recipe::{Recipe, StageRecipe},
};

/// Knows the configuration of base images; `None` of one that nobody knows.
pub type Bases<'a> = dyn Fn(&StageRecipe) -> Option<Configuration> + 'a;

/// What a walk needs to know.
pub struct Walk<'a> {
    pub recipe: &'a Recipe,
    pub directives: &'a Directives,
    pub globals: &'a Globals,
    pub circumstances: &'a Circumstances<'a>,
    pub bases: &'a Bases<'a>,
}

/// What a stage stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    Nothing,
    Stage(usize),
    Image {
        written: String,
        platform: Platform,
    },
    /// Its name is wrong, or has no value.
    Unknown,
}

/// One statement, and all that is known where it stands.
pub struct Visit<'a> {
    pub statement: &'a Statement,
    /// Where findings about it belong: its own place, or the FROM of a stage whose base left it as a trigger.
    pub place: &'a Span,
    /// The number of its stage.
    pub stage: usize,
    pub state: &'a State,
    pub globals: &'a Globals,
    pub circumstances: &'a Circumstances<'a>,
    pub escape: char,
    /// Of a FROM: the base and, if it is an image, its configuration.
    pub base: Option<(&'a Base, Option<&'a Configuration>)>,
}

/// What the instructions so far came to.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub scope: Scope,
    /// Not even the base's variables are known.
    pub is_unsure: bool,
    /// SHELL was used, here or in the base.
    pub has_shell: bool,
    pub has_workdir: bool,
    /// The last of each instruction of which only the last counts.
    last: Vec<(String, Span)>,
    triggers: Vec<String>,
}

impl Walk<'_> {
    /// Lets `visitor` see every statement of every stage that counts, in the file's order of stages.
    pub fn go(&self, visitor: &mut dyn FnMut(&Visit<'_>)) {
        let mut ends: Vec<Option<State>> = Vec::new();
        for (number, is_needed) in self.needed().into_iter().enumerate() {
            let end = is_needed.then(|| self.go_through(number, &ends, visitor));
            ends.push(end);
        }
    }

    /// Which stages the target needs; all of them, if there is no target.
    pub fn needed(&self) -> Vec<bool> {
        let stages = self.recipe.stages.len();
        let Some(target) = self.circumstances.target else { return vec![true; stages] };
        let mut needed = vec![false; stages];
        let mut next = vec![target];
        while let Some(number) = next.pop() {
            if !std::mem::replace(&mut needed[number], true) {
                next.extend(self.sources(number));
            }
        }
        needed
    }

    /// The stages that a stage stands on or takes files from.
    pub fn sources(&self, number: usize) -> Vec<usize> {
        let mut sources = Vec::new();
        if let Base::Stage(base) = self.base(number) {
            sources.push(base);
        }
        for step in &self.recipe.stages[number].steps {
            let from = from_flags(&step.statement);
            sources.extend(from.iter().filter_map(|name| self.recipe.stage_of_flag(name)));
        }
        sources
    }

    pub fn base(&self, number: usize) -> Base {
        let from = &self.recipe.stages[number].from;
        let scope = &self.globals.scope;
        let Some(written) = scope.expand(&from.image.text, self.directives.escape).text else {
            return Base::Unknown;
        };
        if let Some(stage) = self.recipe.stage(&written, number) {
            return Base::Stage(stage);
        }
        if written == "scratch" {
            return Base::Nothing;
        }
        let platform = match &from.platform {
            None => Some(self.circumstances.platform.clone()),
            Some(word) if word.text.is_empty() => Some(self.circumstances.platform.clone()),
            Some(word) => {
                let text = scope.expand(&word.text, self.directives.escape).text;
                text.and_then(|text| text.parse().ok())
            }
        };
        match (written.parse::<Reference>(), platform) {
            (Ok(_), Some(platform)) => Base::Image { written, platform },
            _ => Base::Unknown,
        }
    }

    fn go_through(
        &self,
        number: usize,
        ends: &[Option<State>],
        visitor: &mut dyn FnMut(&Visit<'_>),
    ) -> State {
        let stage = &self.recipe.stages[number];
        let base = self.base(number);
        let image = match &base {
            Base::Image { .. } => (self.bases)(stage),
            _ => None,
        };
        let mut state = match &base {
            Base::Stage(base) => ends.get(*base).cloned().flatten().unwrap_or_default(),
            Base::Nothing => State::default(),
            Base::Image { .. } | Base::Unknown => State::on(image.as_ref()),
        };
        if state.scope.value("PATH").is_none() {
            state.scope.set("PATH", String::new());
        }
        state.last.clear();
        let first = self.visit(number, &stage.statement, &state);
        visitor(&Visit { base: Some((&base, image.as_ref())), ..first });
        for trigger in std::mem::take(&mut state.triggers) {
            let Ok(dockerfile) = parse::parse(&trigger) else { continue };
            for statement in &dockerfile.statements {
                let escape = dockerfile.directives.escape;
                let visit = Visit { escape, ..self.visit(number, statement, &state) };
                visitor(&visit);
                let next = visit.after();
                state = next;
            }
        }
        for step in &stage.steps {
            let visit = self.visit(number, &step.statement, &state);
            let visit = Visit { place: &step.statement.span, ..visit };
            visitor(&visit);
            let next = visit.after();
            state = next;
        }
        state
    }

    fn visit<'a>(&'a self, stage: usize, statement: &'a Statement, state: &'a State) -> Visit<'a> {
        Visit {
            statement,
            place: &self.recipe.stages[stage].statement.span,
            stage,
            state,
            globals: self.globals,
            circumstances: self.circumstances,
            escape: self.directives.escape,
            base: None,
        }
    }
}

impl State {
    /// At the beginning of a stage on an image.
    fn on(image: Option<&Configuration>) -> State {
        let Some(image) = image else { return State { is_unsure: true, ..State::default() } };
        let mut scope = Scope::default();
        for variable in &image.config.env {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            scope.set(name, value.to_owned());
        }
        let has_shell = image.config.shell.as_ref().is_some_and(|shell| !shell.is_empty());
        State { scope, has_shell, triggers: image.config.on_build.clone(), ..State::default() }
    }

    /// Where in this stage the instruction was used before, if only the last of it counts.
    pub fn earlier(&self, name: &str) -> Option<&Span> {
        self.last.iter().find(|(last, _)| last == name).map(|(_, span)| span)
    }
}

impl Visit<'_> {
    /// Notes that the statement breaks a rule.
    pub fn add(&self, rule: &'static Rule, message: String, findings: &mut Findings<'_>) {
        findings.add_at(rule, self.place.start, self.place, message);
    }

    /// `word` with its variables; empty if it cannot be expanded.
    pub fn expand(&self, word: &Word) -> String {
        self.state.scope.expand(&word.text, self.escape).text.unwrap_or_default()
    }

    pub fn expand_words(&self, word: &Word) -> Vec<String> {
        self.state.scope.expand_words(&word.text, self.escape)
    }

    /// The state after the statement.
    fn after(&self) -> State {
        let mut state = self.state.clone();
        let name = self.statement.name();
        match name.as_str() {
            "ENV" => {
                let pairs = words::pairs(&self.statement.arguments, "ENV", self.escape).unwrap_or_default();
                for (name, value) in &pairs {
                    state.scope.set(&self.expand(name), self.expand(value));
                }
            }
            "ARG" => {
                for (name, default) in definitions(self.statement, self.escape) {
                    let value = self.argument(&name, default.as_deref(), &state.scope);
                    state.scope.declare(&name);
                    if let Some(value) = value {
                        state.scope.set(&name, value);
                    }
                }
            }
            "SHELL" => state.has_shell = true,
            "WORKDIR" => state.has_workdir = true,
            "ONBUILD" => state.triggers.push(self.statement.arguments.as_str().to_owned()),
            "CMD" | "ENTRYPOINT" | "HEALTHCHECK" => {
                state.last.retain(|(last, _)| *last != name);
                state.last.push((name, self.place.clone()));
            }
            _ => {}
        }
        state
    }

    /// The value of an argument that is declared with `default` where `scope` holds.
    pub fn argument(&self, name: &str, default: Option<&str>, scope: &Scope) -> Option<String> {
        if let Some(given) = self.circumstances.arguments.get(name) {
            return Some(given.clone());
        }
        match default {
            Some(default) => scope.expand(default, self.escape).text,
            None => self.globals.scope.value(name).map(str::to_owned),
        }
    }
}

/// The stages or images that COPY and the mounts of RUN take files from.
fn from_flags(statement: &Statement) -> Vec<String> {
    let mut names = Vec::new();
    for flag in &statement.flags {
        let Some(value) = &flag.value else { continue };
        match (statement.name().as_str(), flag.name.as_str()) {
            ("COPY", "from") => names.push(value.clone()),
            ("RUN", "mount") => names.extend(
                mount_fields(value).filter_map(|(key, value)| (key == "from").then(|| value.to_owned())),
            ),
            _ => {}
        }
    }
    names
}

/// The `key=value`s of a mount, keys in small letters.
pub fn mount_fields(mount: &str) -> impl Iterator<Item = (String, &str)> {
    mount.split(',').map(|field| {
        let (key, value) = field.trim_matches('"').split_once('=').unwrap_or((field, ""));
        (key.trim().to_lowercase(), value)
    })
}
