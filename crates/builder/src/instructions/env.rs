//! ENV: variables of the image's processes, and of the instructions that follow.

use super::Instruction;
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word, words},
    plan::{PlanError, Planner},
};

struct Env(Vec<(Word, Word)>);

pub fn read(statement: &Statement, directives: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let pairs = words::pairs(&statement.arguments, "ENV", directives.escape)?;
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Env(pairs)))
}

impl Instruction for Env {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        // All values are read before any is set: `ENV A=2 B=$A` gives B the value A had before.
        let pairs = self.0.iter().map(|(name, value)| Ok((planner.expand(name)?, planner.expand(value)?)));
        let pairs: Vec<(String, String)> = pairs.collect::<Result<_, Problem>>()?;
        let stage = planner.stage(&at.span)?;
        let mut created_by = String::from("ENV");
        for (name, value) in pairs {
            stage.set(&name, &value);
            created_by.push_str(&format!(" {name}={value}"));
        }
        Ok(planner.configured(at, created_by)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn variables_are_set_in_both_forms() {
        check_history("ENV NAME World", "ENV NAME=World");
        check_history("ENV A=1 B=\"x y\" C=z\\ z", "ENV A=1 B=x y C=z z");
        check_history("ENV A b c  d", "ENV A=b c  d");
    }

    #[test]
    fn values_within_one_instruction_see_what_was_before_it() {
        let graph = planned("FROM scratch\nENV A=1\nENV A=2 B=$A\nENV C=$A").expect("valid");
        assert_eq!(graph.config.config.env[1..], ["A=2", "B=1", "C=2"]);
    }

    #[test]
    fn a_name_alone_is_refused() {
        check_problem("ENV A", "ENV must have two arguments");
        check_problem("ENV", "ENV requires at least one argument");
    }
}
