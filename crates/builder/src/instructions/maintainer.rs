//! MAINTAINER: the image's author. Deprecated in favour of a label.

use super::{Instruction, one_argument};
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word},
    plan::{PlanError, Planner},
};

struct Maintainer(Word);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Maintainer(one_argument(statement)?)))
}

impl Instruction for Maintainer {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        planner.stage(&at.span)?.image.author.clone_from(&self.0.text);
        Ok(planner.configured(at, format!("MAINTAINER {}", self.0.text))?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn the_author_is_the_whole_line() {
        check_history("MAINTAINER A B <a@b>", "MAINTAINER A B <a@b>");
        let graph = planned("FROM scratch\nMAINTAINER A B").expect("valid");
        assert_eq!(graph.config.author, "A B");
    }
}
