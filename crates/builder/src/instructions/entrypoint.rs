//! ENTRYPOINT: what a container always runs; CMD becomes its arguments.

use super::{Instruction, cmd::arguments};
use crate::{
    diagnostic::Problem,
    history,
    parse::{
        Directives, Flags, Statement,
        words::{self, Command},
    },
    plan::{PlanError, Planner},
};

struct Entrypoint(Command);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Entrypoint(words::command(&statement.arguments)?)))
}

impl Instruction for Entrypoint {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let stage = planner.stage(&at.span)?;
        let arguments = arguments(&self.0, &stage.image.config);
        let created_by = format!("ENTRYPOINT {}", history::quoted_list(&arguments));
        stage.image.config.entrypoint = Some(arguments).filter(|words| !words.is_empty());
        // The base's command was meant for the base's entry point.
        if !stage.cmd_is_own {
            stage.image.config.cmd = None;
        }
        Ok(planner.configured(at, created_by)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn an_entry_point_drops_the_bases_command_but_not_the_stages_own() {
        let config = |dockerfile: &str| planned(dockerfile).expect("valid").config.config;
        assert_eq!(config("FROM base\nENTRYPOINT [\"a\"]").cmd, None);
        assert_eq!(config("FROM base\nCMD [\"b\"]\nENTRYPOINT [\"a\"]").cmd, Some(vec!["b".into()]));
        assert_eq!(config("FROM base\nENTRYPOINT []").entrypoint, None);
        assert_eq!(config("FROM base").cmd, Some(vec!["base-cmd".into()]));
    }

    #[test]
    fn history_quotes_the_words() {
        check_history("ENTRYPOINT [\"a\", \"b c\"]", r#"ENTRYPOINT ["a" "b c"]"#);
        check_history("ENTRYPOINT top -b", r#"ENTRYPOINT ["/bin/sh" "-c" "top -b"]"#);
    }
}
