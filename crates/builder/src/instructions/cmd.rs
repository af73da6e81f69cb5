//! CMD: what a container runs unless it is told otherwise.

use image::config::Execution;

use super::Instruction;
use crate::{
    config,
    diagnostic::Problem,
    history,
    parse::{
        Directives, Flags, Statement,
        words::{self, Command},
    },
    plan::{PlanError, Planner},
};

struct Cmd(Command);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Cmd(words::command(&statement.arguments)?)))
}

impl Instruction for Cmd {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let stage = planner.stage(&at.span)?;
        let arguments = arguments(&self.0, &stage.image.config);
        let created_by = format!("CMD {}", history::quoted_list(&arguments));
        stage.image.config.cmd = Some(arguments);
        // A field that only Windows ever read, and that docker still writes.
        stage.image.config.other.insert("ArgsEscaped".to_owned(), true.into());
        stage.cmd_is_own = true;
        Ok(planner.configured(at, created_by)?)
    }
}

/// The words to execute: those of the list, or the shell's with the text as its last.
pub fn arguments(command: &Command, config: &Execution) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => [config::shell(config), vec![text.clone()]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_command_is_a_list_or_goes_to_the_shell() {
        check_history(r#"CMD ["python", "app.py"]"#, r#"CMD ["python" "app.py"]"#);
        check_history("CMD echo $HOME", r#"CMD ["/bin/sh" "-c" "echo $HOME"]"#);
        check_history("SHELL [\"sh\", \"-ec\"]\nCMD x", r#"CMD ["sh" "-ec" "x"]"#);
        check_problem("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only");
    }
}
