//! Capitals and small letters: ConsistentInstructionCasing, FromAsCasing, StageNameCasing.

use super::{
    Findings,
    rule::{CONSISTENT_INSTRUCTION_CASING, FROM_AS_CASING, STAGE_NAME_CASING},
};
use crate::{
    parse::{Statement, words},
    recipe::Recipe,
};

/// The name of a stage, and `as` beside its `from`.
pub fn check_from(statement: &Statement, findings: &mut Findings<'_>) {
    if statement.name() != "FROM" {
        return;
    }
    let words = words::plain(&statement.arguments);
    let [_, keyword, name, rest @ ..] = words.as_slice() else { return };
    if rest.is_empty() && !is_lower(&name.text) {
        let message = format!("Stage name '{}' should be lowercase", name.text);
        findings.add(&STAGE_NAME_CASING, statement, message);
    }
    let from = &statement.keyword.text;
    // A FROM of both kinds of letters is a matter for the rule on instructions.
    let fits = match (is_lower(from), is_upper(from)) {
        (true, _) => is_lower(&keyword.text),
        (_, true) => is_upper(&keyword.text),
        (false, false) => true,
    };
    if !fits {
        let message = format!("'{}' and '{from}' keywords' casing do not match", keyword.text);
        findings.add(&FROM_AS_CASING, statement, message);
    }
}

/// Whether instructions are written as most of them are. ARG before the first FROM does not count.
pub fn check_all(recipe: &Recipe, findings: &mut Findings<'_>) {
    let statements = || {
        recipe.stages.iter().flat_map(|stage| {
            let steps = stage.steps.iter().map(|step| &step.statement);
            std::iter::once(&stage.statement).chain(steps)
        })
    };
    let lower = statements().filter(|statement| is_lower(&statement.keyword.text)).count();
    let upper = statements().filter(|statement| is_upper(&statement.keyword.text)).count();
    let (fits, casing): (fn(&str) -> bool, _) = match lower > upper {
        true => (is_lower, "lowercase"),
        false => (is_upper, "uppercase"),
    };
    for statement in statements() {
        let keyword = &statement.keyword.text;
        if !fits(keyword) {
            let message =
                format!("Command '{keyword}' should match the case of the command majority ({casing})");
            findings.add(&CONSISTENT_INSTRUCTION_CASING, statement, message);
        }
    }
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    #[test]
    fn stage_names_are_lower_case() {
        check(
            "FROM scratch AS BadName",
            &["StageNameCasing: Stage name 'BadName' should be lowercase (line 1)"],
        );
        check("FROM scratch AS good-name", &[]);
    }

    #[test]
    fn as_is_written_like_from() {
        let found = |as_: &str, from: &str| {
            format!("FromAsCasing: '{as_}' and '{from}' keywords' casing do not match (line 1)")
        };
        check("FROM scratch as b", &[found("as", "FROM").as_str()]);
        check("from scratch AS b", &[found("AS", "from").as_str()]);
        check("FROM scratch aS b", &[found("aS", "FROM").as_str()]);
        check("from scratch as b", &[]);
    }

    #[test]
    fn instructions_are_written_as_most_of_them() {
        let found = |word: &str, casing: &str, line: usize| {
            format!(
                "ConsistentInstructionCasing: Command '{word}' should match the case of the command majority \
                 ({casing}) (line {line})"
            )
        };
        check("FROM scratch\ncopy a b\nCOPY c d", &[found("copy", "uppercase", 2).as_str()]);
        check("from scratch\ncopy a b\nADD c d", &[found("ADD", "lowercase", 3).as_str()]);
        check("From scratch as b\nFROM scratch", &[found("From", "uppercase", 1).as_str()]);
        check("from scratch\nCOPY a b", &[found("from", "uppercase", 1).as_str()]);
        check("ARG a=1\narg b=1\nFROM scratch\nCOPY a b", &[]);
    }
}
