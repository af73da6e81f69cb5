//! A Dockerfile's instructions, stage by stage, before anything is known of the images they stand on.

use crate::{
    diagnostic::{Problem, Span},
    instructions::{self, From, Instruction},
    parse::{self, Dockerfile, Statement},
};

/// All instructions of a Dockerfile.
pub struct Recipe {
    /// ARG before the first FROM.
    pub arguments: Vec<Step>,
    /// At least one.
    pub stages: Vec<StageRecipe>,
}

/// What one FROM begins.
pub struct StageRecipe {
    pub from: From,
    pub statement: Statement,
    pub steps: Vec<Step>,
}

/// One instruction and the statement it was read from.
pub struct Step {
    pub instruction: Box<dyn Instruction>,
    pub statement: Statement,
}

impl Recipe {
    /// Reads every statement, before anything is done for any of them.
    ///
    /// As in BuildKit, what cannot be cut into words is told before any other mistake.
    pub fn read(dockerfile: &Dockerfile) -> Result<Recipe, Problem> {
        Recipe::read_in_order(dockerfile).map_err(|problem| {
            let read = |statement| instructions::read(statement, &dockerfile.directives).err();
            dockerfile.statements.iter().filter_map(read).find(Problem::is_of_syntax).unwrap_or(problem)
        })
    }

    fn read_in_order(dockerfile: &Dockerfile) -> Result<Recipe, Problem> {
        let mut recipe = Recipe { arguments: Vec::new(), stages: Vec::new() };
        for statement in &dockerfile.statements {
            if statement.name() == "FROM" {
                let from = instructions::from::read(statement).map_err(Problem::in_an_instruction)?;
                let statement = statement.clone();
                recipe.stages.push(StageRecipe { from, statement, steps: Vec::new() });
                continue;
            }
            let instruction = instructions::read(statement, &dockerfile.directives)?;
            let step = Step { instruction, statement: statement.clone() };
            match recipe.stages.last_mut() {
                Some(stage) => stage.steps.push(step),
                None if statement.name() == "ARG" => recipe.arguments.push(step),
                None => return Err(no_stage(&statement.span)),
            }
        }
        match recipe.stages.is_empty() {
            true => Err(Problem::new("dockerfile contains no stages to build", 0..0)),
            false => Ok(recipe),
        }
    }

    /// The last stage before number `end` that is called `name`, which is in lower case.
    pub fn stage(&self, name: &str, end: usize) -> Option<usize> {
        self.stages[..end].iter().rposition(|stage| stage.from.name.as_deref() == Some(name))
    }

    /// The stage that `--from=text` means: by its number, or by its name, whatever the case.
    pub fn stage_of_flag(&self, text: &str) -> Option<usize> {
        match text.parse() {
            Ok(number) => Some(number).filter(|number| *number < self.stages.len()),
            Err(_) => self.stage(&text.to_lowercase(), self.stages.len()),
        }
    }

    /// Whether stage `from` needs stage `to`, itself or through others, as far as the text tells.
    pub fn needs(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.stages.len()];
        let mut rest = vec![from];
        while let Some(stage) = rest.pop() {
            if std::mem::replace(&mut seen[stage], true) {
                continue;
            }
            let recipe = &self.stages[stage];
            let flags = recipe.steps.iter().flat_map(|step| &step.statement.flags);
            let sources = flags.filter_map(|flag| match (flag.name.as_str(), flag.value.as_deref()?) {
                ("from", name) => Some(name),
                ("mount", options) => options.split(',').find_map(|option| option.strip_prefix("from=")),
                _ => None,
            });
            rest.extend(sources.filter_map(|text| self.stage_of_flag(text)));
            rest.extend(self.stage(&recipe.from.image.text, stage));
            if rest.contains(&to) {
                return true;
            }
        }
        false
    }

    /// What a stage is called where it has to be called something: its name, or `stage-1`.
    pub fn label(&self, stage: usize) -> String {
        match &self.stages[stage].from.name {
            Some(name) => name.clone(),
            None => format!("stage-{stage}"),
        }
    }
}

impl Step {
    /// Reads a trigger that ONBUILD left in an image, for the FROM at `place`.
    pub fn of_trigger(trigger: &str, place: &Span) -> Result<Step, Problem> {
        let read = || {
            let dockerfile = parse::parse(trigger)?;
            let Some(statement) = dockerfile.statements.into_iter().next() else {
                return Err(Problem::new("ONBUILD trigger is empty", 0..0));
            };
            let instruction = instructions::read(&statement, &dockerfile.directives)?;
            Ok(Step { instruction, statement: Statement { span: place.clone(), ..statement } })
        };
        read().map_err(|problem: Problem| Problem { span: place.clone(), ..problem })
    }

    /// Whether it changes the file system, and so is one of those that progress counts.
    pub fn counts(&self) -> bool {
        matches!(self.statement.name().as_str(), "ADD" | "COPY" | "RUN" | "WORKDIR")
    }
}

/// What is said of an instruction that stands before the first FROM.
pub fn no_stage(span: &Span) -> Problem {
    Problem::new("no build stage in current context", span.clone()).helped("begin with FROM and an image")
}
