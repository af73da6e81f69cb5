//! VOLUME: directories whose content is kept apart from the container.

use super::{Instruction, some_arguments};
use crate::{
    diagnostic::Problem,
    history,
    parse::{Directives, Flags, Statement, Word, words},
    plan::{PlanError, Planner},
};

struct Volume(Vec<Word>);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Volume(words::json_or_plain(some_arguments(statement)?)?)))
}

impl Instruction for Volume {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let mut paths = Vec::new();
        for word in &self.0 {
            let path = planner.expand(word)?;
            if path.is_empty() {
                let message = "VOLUME specified can not be an empty string";
                return Err(Problem::new(message, word.span.clone()).into());
            }
            paths.push(path);
        }
        let created_by = format!("VOLUME {}", history::plain_list(&paths));
        planner.config(&at.span)?.volumes.0.extend(paths);
        Ok(planner.configured(at, created_by)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn volumes_are_words_or_a_list() {
        check_history("VOLUME /a /b", "VOLUME [/a /b]");
        check_history("ENV D=/d\nVOLUME [\"$D\"]", "VOLUME [/d]");
        check_problem("VOLUME [\"\"]", "VOLUME specified can not be an empty string");
    }
}
