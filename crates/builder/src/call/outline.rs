//! What a target can be given: `--call=outline`.

use types::Platform;

use super::read;
use crate::{
    Build, BuildError,
    diagnostic::{Problem, line_of},
    event::Observer,
    host::Host,
    ignore::Ignore,
    lint::{Circumstances, Globals, Walk, definitions, description, mount_fields},
    parse::{self, Dockerfile, Statement},
    plan::Settings,
    recipe::{Recipe, Step},
};

/// The arguments, secrets and keys that a target and the stages it needs ask for.
#[derive(Debug)]
pub struct Outline {
    /// The target's, if it has one.
    pub name: Option<String>,
    pub description: Option<String>,
    pub arguments: Vec<OutlineArgument>,
    pub secrets: Vec<Mount>,
    pub ssh: Vec<Mount>,
    /// The Dockerfile.
    pub text: String,
}

/// An ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineArgument {
    pub name: String,
    pub description: Option<String>,
    /// What it is, given or by default.
    pub value: Option<String>,
    /// From 1.
    pub lines: (usize, usize),
}

/// A secret or an agent that RUN mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub name: String,
    pub is_required: bool,
    /// From 1.
    pub lines: (usize, usize),
}

/// Lists what the target asks for, in the order of the file.
pub fn outline(
    build: Build,
    host: &dyn Host,
    observer: &mut (dyn Observer + Send),
) -> Result<Outline, BuildError> {
    read(build, host, observer, |input, settings, _| {
        let outline = of_file(&input.text, settings);
        outline.map_err(|problem| BuildError::Dockerfile(input.diagnostic(problem)))
    })?
}

fn of_file(text: &str, settings: &Settings) -> Result<Outline, Problem> {
    let dockerfile = parse::parse(text)?;
    let recipe = Recipe::read(&dockerfile)?;
    let target = target(&recipe, settings.target.as_deref())?;
    let circumstances = Circumstances {
        arguments: &settings.arguments,
        target: Some(target),
        platform: settings.platform.clone().unwrap_or_else(Platform::host),
        ignore: &Ignore::default(),
        stop: None,
    };
    Ok(of_target(text, &dockerfile, &recipe, &circumstances, target))
}

fn target(recipe: &Recipe, name: Option<&str>) -> Result<usize, Problem> {
    let stages = recipe.stages.len();
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(stages - 1) };
    let names = recipe.stages.iter().filter_map(|stage| stage.from.name.as_deref());
    recipe.stage(&name.to_lowercase(), stages).ok_or_else(|| {
        Problem::new(format!("target stage {name:?} could not be found"), 0..0).suggesting(name, names)
    })
}

fn of_target(
    text: &str,
    dockerfile: &Dockerfile,
    recipe: &Recipe,
    circumstances: &Circumstances<'_>,
    target: usize,
) -> Outline {
    let globals = Globals::of(recipe, dockerfile, circumstances);
    let directives = &dockerfile.directives;
    let walk = Walk { recipe, directives, globals: &globals, circumstances, bases: &|_| None };
    let stage = &recipe.stages[target];
    let name = stage.from.name.clone();
    let mut outline = Outline {
        description: name.as_ref().and_then(|name| description(&stage.statement, name)),
        name,
        arguments: Vec::new(),
        secrets: Vec::new(),
        ssh: Vec::new(),
        text: text.to_owned(),
    };
    let definitions = definitions_in(text, &walk);
    let mut seen = vec![false; recipe.stages.len()];
    let mut next = vec![target];
    while let Some(number) = next.pop() {
        if std::mem::replace(&mut seen[number], true) {
            continue;
        }
        outline.add_arguments(text, &walk, number, &definitions);
        outline.add_mounts(text, &recipe.stages[number].steps);
        next.extend(walk.sources(number).into_iter().rev());
    }
    outline.arguments.sort_by_key(|argument| argument.lines);
    outline.secrets.sort_by_key(|mount| mount.lines);
    outline.ssh.sort_by_key(|mount| mount.lines);
    outline
}

/// Each ARG of each stage, with the stage's number. One that only names an argument from before the first FROM
/// stands for that one; `None` then.
fn definitions_in(text: &str, walk: &Walk<'_>) -> Vec<(usize, String, Option<OutlineArgument>)> {
    let mut found = Vec::new();
    walk.go(&mut |visit| {
        if visit.statement.name() != "ARG" {
            return;
        }
        let mut scope = visit.state.scope.clone();
        for (name, default) in definitions(visit.statement, visit.escape) {
            let value = visit.argument(&name, default.as_deref(), &scope);
            let is_given = default.is_some() || walk.circumstances.arguments.contains_key(&name);
            let stands_for_global = !is_given && walk.globals.scope.value(&name).is_some();
            let own = (!stands_for_global).then(|| argument(text, visit.statement, &name, value.clone()));
            if let Some(value) = value {
                scope.set(&name, value);
            }
            found.push((visit.stage, name, own));
        }
    });
    found
}

fn argument(text: &str, statement: &Statement, name: &str, value: Option<String>) -> OutlineArgument {
    let description = description(statement, name);
    OutlineArgument { name: name.to_owned(), description, value, lines: lines(text, statement) }
}

fn lines(text: &str, statement: &Statement) -> (usize, usize) {
    (line_of(text, statement.span.start), line_of(text, statement.span.end - 1))
}

impl Outline {
    /// Adds what FROM and ARG of stage `number` use, and what that is made of, unless it is there already.
    fn add_arguments(
        &mut self,
        text: &str,
        walk: &Walk<'_>,
        number: usize,
        definitions: &[(usize, String, Option<OutlineArgument>)],
    ) {
        let from = &walk.recipe.stages[number].from;
        let words = std::iter::once(&from.image).chain(&from.platform);
        let mut used: Vec<String> = Vec::new();
        for word in words {
            let expanded = walk.globals.scope.expand(&word.text, walk.directives.escape);
            used.extend(expanded.used.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name));
        }
        let own = || definitions.iter().filter(|(stage, _, _)| *stage == number);
        used.extend(own().map(|(_, name, _)| name.clone()));
        while let Some(name) = used.pop() {
            let global = walk.globals.arguments.iter().rfind(|argument| argument.name == name);
            used.extend(global.iter().flat_map(|argument| argument.needs.clone()));
            if self.arguments.iter().any(|argument| argument.name == name) {
                continue;
            }
            let own = own().rfind(|(_, own, _)| *own == name).and_then(|(_, _, argument)| argument.clone());
            let of_global = || {
                let statement = &walk.recipe.arguments[global?.statement].statement;
                Some(argument(text, statement, &name, global?.value.clone()))
            };
            self.arguments.extend(own.or_else(of_global));
        }
    }

    /// Adds what the processes mount, unless it is there already.
    fn add_mounts(&mut self, text: &str, steps: &[Step]) {
        for statement in
            steps.iter().map(|step| &step.statement).filter(|statement| statement.name() == "RUN")
        {
            for mount in statement.flags.iter().filter(|flag| flag.name == "mount") {
                let fields: Vec<_> = mount_fields(mount.value.as_deref().unwrap_or_default()).collect();
                let field =
                    |key: &str| fields.iter().find(|(known, _)| known == key).map(|(_, value)| *value);
                let (mounts, name) = match field("type") {
                    Some("secret") => {
                        let file = field("target").or(field("dst")).or(field("destination"));
                        let file = file.and_then(|path| path.rsplit('/').next());
                        (&mut self.secrets, field("id").or(field("source")).or(field("src")).or(file))
                    }
                    Some("ssh") => (&mut self.ssh, Some(field("id").unwrap_or("default"))),
                    _ => continue,
                };
                let is_required = matches!(field("required"), Some("" | "true" | "1"));
                let name = name.unwrap_or_default().to_owned();
                if mounts.iter().all(|known| known.name != name) {
                    mounts.push(Mount { name, is_required, lines: lines(text, statement) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[(&str, &str)], target: Option<&str>, text: &str, expected: &[&str]) {
        let arguments = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let target = target.map(str::to_owned);
        let settings = Settings { arguments, target, ..Settings::default() };
        let outline = of_file(text, &settings).unwrap_or_else(|problem| panic!("{}", problem.message));
        let shown: Vec<String> = outline
            .arguments
            .iter()
            .map(|argument| {
                let description = argument.description.as_deref().unwrap_or_default();
                let value = argument.value.as_deref().unwrap_or("unset");
                format!("{} {} {value} {description}", argument.lines.0, argument.name)
            })
            .collect();
        assert_eq!(shown.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected, "{text}");
    }

    const TEXT: &str = "ARG BASE=busy\n# VER version of it\nARG VER=$BASE-1\nARG UNUSED=1\n\
                        # MODE mode\nARG MODE\n\
                        FROM scratch$VER AS build\n# foo the foo\nARG foo=bar\nARG MODE TARGETARCH none x=$foo\n\
                        FROM scratch AS other\nARG zed=1\n\
                        FROM build AS final\nARG UNUSED\nCOPY --from=other / /x\nFROM build\nARG last\n";

    #[test]
    fn a_target_asks_for_what_its_stages_and_their_defaults_ask_for() {
        check(
            &[],
            None,
            TEXT,
            &[
                "1 BASE busy",
                "3 VER busy-1 version of it",
                "9 foo bar the foo",
                "10 x bar",
                "10 none unset",
                "10 MODE unset",
                "17 last unset",
            ],
        );
    }

    #[test]
    fn given_values_are_shown_and_globals_where_they_are_declared() {
        check(
            &[("foo", "zz"), ("MODE", "m")],
            Some("FINAL"),
            TEXT,
            &[
                "1 BASE busy",
                "3 VER busy-1 version of it",
                "4 UNUSED 1",
                "9 foo zz the foo",
                "10 x zz",
                "10 none unset",
                "10 MODE m",
                "12 zed 1",
            ],
        );
    }
}
