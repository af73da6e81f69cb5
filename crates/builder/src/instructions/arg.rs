//! ARG: a variable of the build, with a default.
//!
//! Before the first FROM it is for FROM alone; a stage that wants it too names it again. The environment wins over it.

use super::{Instruction, some_arguments};
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word, words},
    plan::{Argument, PlanError, Planner, value_of},
};

struct Arg(Vec<(Word, Option<Word>)>);

pub fn read(statement: &Statement, directives: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    let words = words::quoted(some_arguments(statement)?, directives.escape);
    let arguments = words.into_iter().map(|word| match word.text.split_once('=') {
        Some(("", _)) => Err(Problem::new("ARG names can not be blank", word.span)),
        Some((name, value)) => Ok((
            Word { text: name.to_owned(), span: word.span.clone() },
            Some(Word { text: value.to_owned(), span: word.span }),
        )),
        None => Ok((word, None)),
    });
    Ok(Box::new(Arg(arguments.collect::<Result<_, _>>()?)))
}

impl Instruction for Arg {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let mut shown = Vec::new();
        for (name, default) in &self.0 {
            let name = planner.expand(name)?;
            let default = default.as_ref().map(|word| planner.expand(word)).transpose()?;
            let value = planner.given(&name).or(default);
            if !planner.has_stage() {
                planner.global_arguments.push(Argument { name, value, hides: false });
                continue;
            }
            let value = value
                .or_else(|| value_of(&planner.global_arguments, &name))
                .or_else(|| planner.platform_argument(&name));
            shown.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            });
            planner.stage(&at.span)?.declare(name, value);
        }
        match planner.has_stage() {
            true => Ok(planner.configured(at, format!("ARG {}", shown.join(" ")))?),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_default_gives_way_to_the_command_line() {
        check_history("ARG V=1", "ARG V=1");
        check_history("ARG V", "ARG V");
        let given = planned_with(&[("V", "2")], "FROM scratch\nARG V=1\nLABEL v=$V").expect("valid");
        assert_eq!(given.config.config.labels["v"], "2");
    }

    #[test]
    fn a_global_argument_is_seen_in_a_stage_only_when_named_again() {
        let label = |dockerfile: &str| planned(dockerfile).expect("valid").config.config.labels["v"].clone();
        assert_eq!(label("ARG V=1\nFROM scratch\nLABEL v=x$V"), "x");
        assert_eq!(label("ARG V=1\nFROM scratch\nARG V\nLABEL v=x$V"), "x1");
        assert_eq!(label("ARG V=1\nFROM scratch\nARG V=2\nLABEL v=x$V"), "x2");
    }

    #[test]
    fn of_an_argument_and_the_environment_the_later_wins() {
        let label = |text: &str| {
            let text = format!("FROM scratch\n{text}\nLABEL v=$V");
            planned(&text).expect("valid").config.config.labels["v"].clone()
        };
        assert_eq!(label("ARG V=arg\nENV V=env"), "env");
        assert_eq!(label("ENV V=env\nARG V=arg"), "arg");
        assert_eq!(label("ENV V=env\nARG V"), "env");
        assert_eq!(label("ENV V=env\nARG V=arg\nENV V=again"), "again");
        assert_eq!(label("ARG V=arg\nARG V"), "arg", "what has a value keeps it");
    }

    #[test]
    fn the_platform_is_known_to_whoever_asks() {
        let graph = planned("FROM scratch\nARG TARGETOS\nLABEL os=$TARGETOS not=$TARGETARCH").expect("valid");
        assert_eq!(graph.config.config.labels["os"], "linux");
        assert_eq!(graph.config.config.labels["not"], "");
    }

    #[test]
    fn an_argument_needs_a_name() {
        check_problem("ARG", "ARG requires at least one argument");
        check_problem("ARG =x", "ARG names can not be blank");
    }
}
