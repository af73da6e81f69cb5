//! Names of stages: ReservedStageName, DuplicateStageName.

use super::{
    Findings,
    rule::{DUPLICATE_STAGE_NAME, RESERVED_STAGE_NAME},
};
use crate::recipe::Recipe;

pub fn check(recipe: &Recipe, findings: &mut Findings<'_>) {
    for (number, stage) in recipe.stages.iter().enumerate() {
        let Some(name) = &stage.from.name else { continue };
        if RESERVED.contains(&name.as_str()) {
            let message = format!("Stage name should not use the same name as reserved stage {name:?}");
            findings.add(&RESERVED_STAGE_NAME, &stage.statement, message);
        }
        if recipe.stages[..number].iter().any(|other| other.from.name.as_ref() == Some(name)) {
            let message = format!("Duplicate stage name {name:?}, stage names should be unique");
            findings.add(&DUPLICATE_STAGE_NAME, &stage.statement, message);
        }
    }
}

const RESERVED: [&str; 2] = ["context", "scratch"];

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    #[test]
    fn some_names_have_a_meaning_already() {
        check(
            "FROM scratch AS scratch\nFROM scratch AS context\nFROM scratch AS other",
            &[
                "ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\" (line 1)",
                "ReservedStageName: Stage name should not use the same name as reserved stage \"context\" (line 2)",
            ],
        );
    }

    #[test]
    fn a_name_is_taken_once_whatever_its_case() {
        check(
            "FROM scratch AS b\nFROM scratch AS B",
            &[
                "StageNameCasing: Stage name 'B' should be lowercase (line 2)",
                "DuplicateStageName: Duplicate stage name \"b\", stage names should be unique (line 2)",
            ],
        );
    }
}
