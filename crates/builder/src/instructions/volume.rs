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
    let paths = words::json_or_plain(some_arguments(statement)?)?;
    if paths.is_empty() {
        return Err(Problem::new("VOLUME requires at least one argument", statement.span.clone()));
    }
    match paths.iter().find(|path| path.text.trim().is_empty()) {
        Some(path) => Err(empty_path(path)),
        None => Ok(Box::new(Volume(paths))),
    }
}

impl Instruction for Volume {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let mut paths = Vec::new();
        for word in &self.0 {
            let path = planner.expand(word)?;
            if path.is_empty() {
                return Err(empty_path(word).into());
            }
            paths.push(path);
        }
        let created_by = format!("VOLUME {}", history::plain_list(&paths));
        planner.config(&at.span)?.volumes.0.extend(paths);
        Ok(planner.configured(at, created_by)?)
    }
}

fn empty_path(word: &Word) -> Problem {
    Problem::new("VOLUME specified can not be an empty string", word.span.clone())
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn volumes_are_words_or_a_list() {
        check_history("VOLUME /a /b", "VOLUME [/a /b]");
        check_history("ENV D=/d\nVOLUME [\"$D\"]", "VOLUME [/d]");
        check_problem("VOLUME []", "VOLUME requires at least one argument");
        check_problem("VOLUME $X", "VOLUME specified can not be an empty string");
        check_problem("VOLUME [\"\"]", "VOLUME specified can not be an empty string");
    }
}
