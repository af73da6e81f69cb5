//! WORKDIR: the directory that instructions and processes are in. It is made if it is missing.

use super::{Instruction, one_argument};
use crate::{
    diagnostic::Problem,
    graph::{Action, MakeDirectory},
    parse::{Directives, Flags, Statement, Word},
    path,
    plan::{PlanError, Planner},
};

struct Workdir(Word);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Workdir(one_argument(statement)?)))
}

impl Instruction for Workdir {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let written = planner.expand(&self.0)?;
        let config = planner.config(&at.span)?;
        // As it is written, if that is a whole path: docker keeps it so in the image.
        let directory = match written.starts_with('/') {
            true => written.clone(),
            false => path::join(&config.working_dir, &written),
        };
        config.working_dir = directory.clone();
        let owner = Some(config.user.clone()).filter(|user| !user.is_empty());
        let created_by = format!("WORKDIR {directory}");
        if path::clean(&directory) == "/" {
            return Ok(planner.configured(at, created_by)?);
        }
        let make = MakeDirectory { path: path::clean(&directory), owner };
        Ok(planner.operate(at, Action::MakeDirectory(make), format!("WORKDIR {written}"), created_by)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_directory_is_relative_to_the_one_before() {
        check_history("WORKDIR /a\nWORKDIR b\nWORKDIR ../c", "WORKDIR /a/c");
        check_history("ENV D=/x\nWORKDIR $D/y z", "WORKDIR /x/y z");
        check_history("WORKDIR app", "WORKDIR /app");
        check_problem("WORKDIR", "WORKDIR requires exactly one argument");
    }

    #[test]
    fn the_root_needs_no_making() {
        assert_eq!(planned("FROM scratch\nWORKDIR /").expect("valid").operations.len(), 1);
    }
}
