//! SHELL: what runs commands that are not lists.

use super::Instruction;
use crate::{
    diagnostic::Problem,
    history,
    parse::{Directives, Flags, Statement, words},
    plan::{PlanError, Planner},
};

struct Shell(Vec<String>);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    match words::json(&statement.arguments)? {
        Some(words) if !words.is_empty() => {
            Ok(Box::new(Shell(words.into_iter().map(|word| word.text).collect())))
        }
        Some(_) => Err(Problem::new("SHELL requires at least one argument", statement.span.clone())),
        None if statement.arguments.is_empty() => {
            Err(Problem::new("SHELL requires at least one argument", statement.span.clone()))
        }
        None => Err(Problem::new("SHELL requires the arguments to be in JSON form", statement.span.clone())
            .helped("write SHELL [\"/bin/bash\", \"-c\"]")),
    }
}

impl Instruction for Shell {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        planner.config(&at.span)?.shell = Some(self.0.clone());
        Ok(planner.configured(at, format!("SHELL {}", history::plain_list(&self.0)))?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_shell_is_a_list() {
        check_history(r#"SHELL ["/bin/bash", "-c"]"#, "SHELL [/bin/bash -c]");
        check_problem("SHELL bash -c", "SHELL requires the arguments to be in JSON form");
        check_problem("SHELL", "SHELL requires at least one argument");
        check_problem("SHELL []", "SHELL requires at least one argument");
    }
}
