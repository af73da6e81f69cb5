//! Comments that describe an argument or a stage begin with its name: InvalidDefinitionDescription.

use super::{Findings, rule::INVALID_DEFINITION_DESCRIPTION};
use crate::parse::{Statement, words};

pub fn check(statement: &Statement, escape: char, findings: &mut Findings<'_>) {
    let name = statement.name();
    let defined = match name.as_str() {
        "ARG" => argument_names(statement, escape),
        "FROM" => words::plain(&statement.arguments)
            .get(2)
            .map(|word| word.text.to_lowercase())
            .into_iter()
            .collect(),
        _ => return,
    };
    let Some(comment) = statement.comments.last() else { return };
    let described = comment.split(' ').next().unwrap_or_default();
    let example = match defined.as_slice() {
        [] => return,
        names if names.iter().any(|name| name == described) => return,
        [only] => only,
        _ => "<arg_key>",
    };
    let message = format!("Comment for {name} should follow the format: `# {example} <description>`");
    findings.add(&INVALID_DEFINITION_DESCRIPTION, statement, message);
}

/// What an ARG declares, as written.
pub fn argument_names(statement: &Statement, escape: char) -> Vec<String> {
    let words = words::quoted(&statement.arguments, escape);
    words.iter().map(|word| word.text.split('=').next().unwrap_or_default().to_owned()).collect()
}

/// What a comment before a definition says of `name`.
pub fn description(statement: &Statement, name: &str) -> Option<String> {
    let start = format!("{name} ");
    let after = statement.comments.iter().find_map(|comment| comment.strip_prefix(&start));
    after.filter(|_| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    fn check_experimental(dockerfile: &str, expected: &[&str]) {
        check(&format!("# check=experimental=InvalidDefinitionDescription\n{dockerfile}"), expected);
    }

    #[test]
    fn a_description_names_what_it_describes() {
        check_experimental(
            "# foo the foo\nARG foo=1\n# base the base\nFROM scratch AS base\n# a\nARG a=1 b=2",
            &[],
        );
        check_experimental("# other\n#\nARG foo\n# for COPY\nFROM scratch", &[]);
        let found = |what: &str, name: &str, line: usize| {
            format!(
                "InvalidDefinitionDescription: Comment for {what} should follow the format: \
                 `# {name} <description>` (line {line})"
            )
        };
        check_experimental(
            "# bar\nARG foo\n# BasE this\nFROM scratch AS base\n# bad\n\nARG v=1\n# bad\nARG a=1 b=2",
            &[
                found("ARG", "foo", 3).as_str(),
                found("FROM", "base", 5).as_str(),
                found("ARG", "v", 8).as_str(),
                found("ARG", "<arg_key>", 10).as_str(),
            ],
        );
    }

    #[test]
    fn the_rule_is_asked_for_or_left_out() {
        check("# bar\nARG foo\nFROM scratch", &[]);
    }
}
