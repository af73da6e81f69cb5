//! Old or doubtful ways to write an instruction: NoEmptyContinuation, MaintainerDeprecated, LegacyKeyValueFormat,
//! JSONArgsRecommended.

use super::{
    Findings, Visit,
    rule::{JSON_ARGS_RECOMMENDED, LEGACY_KEY_VALUE_FORMAT, MAINTAINER_DEPRECATED, NO_EMPTY_CONTINUATION},
};
use crate::parse::{Statement, words};

/// The place is the last line of the instruction, not the empty one, as BuildKit has it.
pub fn check_continuations(statements: &[Statement], findings: &mut Findings<'_>) {
    for statement in statements {
        if let Some(gap) = &statement.gap {
            let message = "Empty continuation line".to_owned();
            findings.add_at(&NO_EMPTY_CONTINUATION, statement.span.start, gap, message);
        }
    }
}

pub fn check_maintainer(statement: &Statement, findings: &mut Findings<'_>) {
    if statement.name() == "MAINTAINER" {
        let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
        findings.add(&MAINTAINER_DEPRECATED, statement, message);
    }
}

pub fn check_pairs(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    let statement = visit.statement;
    if matches!(statement.name().as_str(), "ENV" | "LABEL")
        && words::is_old_pair(&statement.arguments, visit.escape)
    {
        let name = &statement.keyword.text;
        let message =
            format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
        visit.add(&LEGACY_KEY_VALUE_FORMAT, message, findings);
    }
}

/// A shell of the image's own may well hand signals on.
pub fn check_shell(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    let statement = visit.statement;
    let is_for_shell = !matches!(words::json(&statement.arguments), Ok(Some(_)));
    if matches!(statement.name().as_str(), "CMD" | "ENTRYPOINT") && is_for_shell && !visit.state.has_shell {
        let name = &statement.keyword.text;
        let message = format!(
            "JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
        );
        visit.add(&JSON_ARGS_RECOMMENDED, message, findings);
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    #[test]
    fn an_empty_line_in_an_instruction_is_found_at_its_end() {
        check(
            "FROM scratch\nADD a \\\n\n  b\nRUN a \\\n# fine\n  b",
            &["NoEmptyContinuation: Empty continuation line (line 4)"],
        );
        check("FROM scratch\n\\\n# c\n\nENV a=b", &["NoEmptyContinuation: Empty continuation line (line 5)"]);
    }

    #[test]
    fn maintainers_belong_into_a_label() {
        check(
            "FROM scratch\nMAINTAINER me",
            &["MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)"],
        );
    }

    #[test]
    fn a_pair_without_an_equals_sign_is_old() {
        let words = |name: &str, line: usize| {
            format!(
                "LegacyKeyValueFormat: \"{name} key=value\" should be used instead of legacy \
                 \"{name} key value\" format (line {line})"
            )
        };
        check(
            "FROM scratch\nENV a b\nLABEL c d\nENV e=f \\\n g=h",
            &[words("ENV", 2).as_str(), words("LABEL", 3).as_str()],
        );
    }

    #[test]
    fn commands_for_the_default_shell_get_no_signals() {
        let words = |name: &str, line: usize| {
            format!(
                "JSONArgsRecommended: JSON arguments recommended for {name} to prevent unintended behavior \
                 related to OS signals (line {line})"
            )
        };
        check("FROM scratch\nCMD x", &[words("CMD", 2).as_str()]);
        check("FROM scratch\nENTRYPOINT ['x']\nCMD [\"y\"]", &[words("ENTRYPOINT", 2).as_str()]);
        check("FROM scratch\nSHELL [\"s\"]\nCMD x", &[]);
        check("FROM scratch AS a\nSHELL [\"s\"]\nFROM a\nENTRYPOINT x", &[]);
        check("FROM shelled\nCMD x", &[]);
    }
}
