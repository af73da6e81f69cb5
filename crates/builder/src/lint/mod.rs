//! Checks of a Dockerfile: what is allowed, and yet rarely what was meant. The rules are BuildKit's.
//!
//! ```text
//! statements ──▶ rules on words ──recipe──▶ rules on stages ──walk──▶ rules on what instructions come to
//! ```
//!
//! Some rules look at single statements, some at all stages, and some follow the variables from one instruction to
//! the next, so findings come in BuildKit's order: by phase, then by place.

mod casing;
mod describing;
mod expose;
mod form;
mod from;
mod ignored;
mod once;
mod options;
mod rule;
mod scope;
mod secrets;
mod stages;
mod undefined;
mod walk;
mod workdir;

pub use describing::description;
pub use options::Options;
pub use rule::Rule;
pub use scope::{Globals, definitions};
pub use walk::{Bases, Walk, mount_fields};

use std::collections::BTreeMap;

use types::Platform;

use crate::{
    diagnostic::{Problem, Span, line_of},
    ignore::Ignore,
    parse::{Dockerfile, Statement},
    recipe::{Recipe, StageRecipe},
};
use walk::Visit;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    pub message: String,
    /// The statement it is about.
    pub span: Span,
    /// The first and the last line of it, from 1.
    pub lines: (usize, usize),
}

impl Finding {
    /// It in one line, as progress shows it.
    pub fn summary(&self) -> String {
        format!("{}: {} (line {})", self.rule.name, self.message, self.lines.0)
    }
}

/// What the command line says about a build, as far as rules care.
pub struct Circumstances<'a> {
    /// `--build-arg`.
    pub arguments: &'a BTreeMap<String, String>,
    /// The stage to stop at; every stage is looked at if there is none.
    pub target: Option<usize>,
    pub platform: Platform,
    pub ignore: &'a Ignore,
    /// Where a build would come to an end with an error.
    pub stop: Option<Span>,
}

/// The rules that need nothing but statements; to be asked first, as they count even if no recipe comes of these.
pub fn of_statements(text: &str, dockerfile: &Dockerfile, read: usize, options: &Options) -> Vec<Finding> {
    let mut findings = Findings::new(text, options);
    findings.begin(Phase::Lines);
    form::check_continuations(&dockerfile.statements, &mut findings);
    findings.begin(Phase::Words);
    for (number, statement) in dockerfile.statements.iter().take(read + 1).enumerate() {
        form::check_maintainer(statement, &mut findings);
        casing::check_from(statement, &mut findings);
        // Of the statement that cannot be read, BuildKit does not look at the description any more.
        if number < read {
            describing::check(statement, dockerfile.directives.escape, &mut findings);
        }
    }
    findings.in_order()
}

/// The rules that look at whole stages and at what is in them.
pub fn of_recipe(
    text: &str,
    dockerfile: &Dockerfile,
    recipe: &Recipe,
    circumstances: &Circumstances<'_>,
    bases: &Bases<'_>,
    options: &Options,
) -> Vec<Finding> {
    let mut findings = Findings::new(text, options);
    findings.stop = circumstances.stop.as_ref().map(|span| stop(recipe, span));
    findings.begin(Phase::Names);
    stages::check(recipe, &mut findings);
    findings.begin(Phase::Casing);
    casing::check_all(recipe, &mut findings);
    let globals = Globals::of(recipe, dockerfile, circumstances);
    findings.begin(Phase::Defaults);
    from::check_defaults(recipe, dockerfile, circumstances, &mut findings);
    findings.begin(Phase::Froms);
    from::check(recipe, dockerfile, &globals, &mut findings);
    let walk = Walk { recipe, directives: &dockerfile.directives, globals: &globals, circumstances, bases };
    walk.go(&mut |visit: &Visit<'_>| {
        findings.begin(Phase::Bases);
        from::check_base(visit, &mut findings);
        findings.begin(Phase::Steps);
        undefined::check(visit, &mut findings);
        form::check_pairs(visit, &mut findings);
        form::check_shell(visit, &mut findings);
        secrets::check(visit, &mut findings);
        once::check(visit, &mut findings);
        workdir::check(visit, &mut findings);
        expose::check(visit, &mut findings);
        ignored::check(visit, circumstances.ignore, &mut findings);
    });
    findings.in_order()
}

/// The error that broken rules are, if they are to be one: each rule is named once.
pub fn violation(findings: &[Finding], options: &Options) -> Option<Problem> {
    if !options.error || findings.is_empty() {
        return None;
    }
    let mut rules = Vec::new();
    for finding in findings {
        if !rules.contains(&finding.rule.name) {
            rules.push(finding.rule.name);
        }
    }
    let message = format!("lint violation found for rules: {}", rules.join(", "));
    Some(Problem::new(message, findings[0].span.clone()))
}

/// The order in which BuildKit looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Lines,
    Words,
    Names,
    Casing,
    Defaults,
    Froms,
    Bases,
    Steps,
}

/// What BuildKit does not get beyond if something is wrong at `span`.
fn stop(recipe: &Recipe, span: &Span) -> (Phase, usize) {
    let is_from = |stage: &StageRecipe| stage.statement.span.contains(&span.start);
    let first = recipe.stages[0].statement.span.start;
    if span.start < first || span.is_empty() {
        (Phase::Froms, usize::MAX)
    } else if recipe.stages.iter().any(is_from) {
        (Phase::Froms, span.start)
    } else {
        (Phase::Steps, span.start)
    }
}

/// Takes down what rules find.
pub struct Findings<'a> {
    text: &'a str,
    options: &'a Options,
    phase: Phase,
    stop: Option<(Phase, usize)>,
    /// Each with what orders it: the phase, and where the statement begins that gave rise to it.
    found: Vec<((Phase, usize), Finding)>,
}

impl<'a> Findings<'a> {
    fn new(text: &'a str, options: &'a Options) -> Findings<'a> {
        Findings { text, options, phase: Phase::Lines, stop: None, found: Vec::new() }
    }

    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// Notes that `statement` breaks a rule.
    fn add(&mut self, rule: &'static Rule, statement: &Statement, message: String) {
        self.add_at(rule, statement.span.start, &statement.span, message);
    }

    /// Notes that a rule is broken at `span`, found out at the statement that begins at `order`.
    fn add_at(&mut self, rule: &'static Rule, order: usize, span: &Span, message: String) {
        if self.options.want(rule) {
            let last = span.end.saturating_sub(1).max(span.start);
            let lines = (line_of(self.text, span.start), line_of(self.text, last));
            let finding = Finding { rule, message, span: span.clone(), lines };
            self.found.push(((self.phase, order), finding));
        }
    }

    fn in_order(mut self) -> Vec<Finding> {
        let stop = self.stop;
        self.found.retain(|(order, _)| stop.is_none_or(|stop| *order <= stop));
        self.found.sort_by_key(|(order, _)| *order);
        self.found.into_iter().map(|(_, finding)| finding).collect()
    }
}

#[cfg(test)]
mod testing;
