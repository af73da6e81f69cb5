//! USER: who the instructions that follow, and the image's processes, run as.

use super::{Instruction, one_argument};
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word},
    plan::{PlanError, Planner},
};

struct User(Word);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(User(one_argument(statement)?)))
}

impl Instruction for User {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let user = planner.expand(&self.0)?;
        let created_by = format!("USER {user}");
        planner.config(&at.span)?.user = user;
        Ok(planner.configured(at, created_by)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_user_may_have_a_group_and_come_from_a_variable() {
        check_history("ARG U=app\nUSER $U:staff", "USER app:staff");
        check_problem("USER", "USER requires exactly one argument");
    }
}
