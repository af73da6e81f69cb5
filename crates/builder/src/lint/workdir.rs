//! A directory that hangs on what the base image has: WorkdirRelativePath.

use super::{Findings, Visit, rule::WORKDIR_RELATIVE_PATH};

/// Only the first WORKDIR of a file matters: with it, all that follow are put right.
pub fn check(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    if visit.statement.name() != "WORKDIR" || visit.state.has_workdir {
        return;
    }
    let arguments = &visit.statement.arguments;
    let path = visit.expand(&arguments.word(0..arguments.as_str().len()));
    if !path.starts_with('/') {
        let message =
            format!("Relative workdir {path:?} can have unexpected results if the base image changes");
        visit.add(&WORKDIR_RELATIVE_PATH, message, findings);
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    #[test]
    fn the_first_directory_is_absolute() {
        let found = |path: &str, line: usize| {
            format!(
                "WorkdirRelativePath: Relative workdir {path:?} can have unexpected results if the base image \
                 changes (line {line})"
            )
        };
        check("FROM scratch\nWORKDIR app/\nWORKDIR b", &[found("app/", 2).as_str()]);
        check("FROM scratch\nARG d=x\nWORKDIR $d", &[found("x", 3).as_str()]);
        check("FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR sub", &[]);
        check("FROM scratch AS a\nWORKDIR /app\nFROM scratch\nWORKDIR sub", &[found("sub", 4).as_str()]);
    }
}
