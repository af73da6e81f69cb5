//! LABEL: names and values attached to the image.

use super::Instruction;
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word, words},
    plan::{PlanError, Planner},
};

struct Label(Vec<(Word, Word)>);

pub fn read(statement: &Statement, directives: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let pairs = words::pairs(&statement.arguments, "LABEL", directives.escape)?;
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Label(pairs)))
}

impl Instruction for Label {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let mut created_by = String::from("LABEL");
        for (name, value) in &self.0 {
            let (name, value) = (planner.expand(name)?, planner.expand(value)?);
            created_by.push_str(&format!(" {name}={value}"));
            planner.config(&at.span)?.labels.insert(name, value);
        }
        Ok(planner.configured(at, created_by)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn labels_are_quoted_like_variables() {
        check_history("LABEL \"a.b\"=\"c d\" e='$f'", "LABEL a.b=c d e=$f");
        let graph = planned("FROM scratch\nLABEL a=1\nLABEL a=2 b=3").expect("valid");
        let labels: Vec<_> = graph.config.config.labels.into_iter().collect();
        assert_eq!(labels, [("a".into(), "2".into()), ("b".into(), "3".into())]);
    }
}
