//! Instructions of which a stage keeps only the last: MultipleInstructionsDisallowed.

use super::{Findings, Visit, rule::MULTIPLE_INSTRUCTIONS_DISALLOWED};

/// The place is that of the one that is in vain.
pub fn check(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    if let Some(earlier) = visit.state.earlier(&visit.statement.name()) {
        let name = &visit.statement.keyword.text;
        let message = format!(
            "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
        );
        findings.add_at(&MULTIPLE_INSTRUCTIONS_DISALLOWED, visit.place.start, earlier, message);
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    #[test]
    fn only_the_last_counts() {
        let found = |name: &str, line: usize| {
            format!(
                "MultipleInstructionsDisallowed: Multiple {name} instructions should not be used in the same stage \
                 because only the last one will be used (line {line})"
            )
        };
        check(
            "FROM scratch\nENTRYPOINT [\"a\"]\nCMD [\"b\"]\nENTRYPOINT [\"c\"]\nCMD [\"d\"]\nCMD [\"e\"]\n\
             HEALTHCHECK NONE\nHEALTHCHECK CMD x",
            &[
                found("ENTRYPOINT", 2).as_str(),
                found("CMD", 3).as_str(),
                found("CMD", 5).as_str(),
                found("HEALTHCHECK", 7).as_str(),
            ],
        );
        check("FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", &[]);
    }
}
