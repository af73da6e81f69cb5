//! Files that .dockerignore keeps out of the context cannot be copied from it: CopyIgnoredFile.

use super::{Findings, Visit, rule::COPY_IGNORED_FILE};
use crate::{
    ignore::Ignore,
    parse::{announced_heredoc, words},
    path,
};

pub fn check(visit: &Visit<'_>, ignore: &Ignore, findings: &mut Findings<'_>) {
    let statement = visit.statement;
    let command = match statement.name().as_str() {
        "COPY" if statement.flags.iter().any(|flag| flag.name == "from") => return,
        "COPY" => "Copy",
        "ADD" => "Add",
        _ => return,
    };
    let mut sources = words::json_or_plain(&statement.arguments).unwrap_or_default();
    sources.pop();
    for source in sources.iter().filter(|source| announced_heredoc(source).is_none()) {
        let written = visit.expand(source);
        let is_remote = written.contains("://") || written.starts_with("git@");
        // As in BuildKit, a path that begins with a slash is not taken for one of the context here.
        if !is_remote && ignore.judge_deep(&path::clean(&written)).ignored {
            let message =
                format!("Attempting to {command} file {written:?} that is excluded by .dockerignore");
            visit.add(&COPY_IGNORED_FILE, message, findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::check_ignoring;

    #[test]
    fn what_is_ignored_cannot_be_copied() {
        let found = |what: &str, line: usize| {
            format!("CopyIgnoredFile: Attempting to {what} that is excluded by .dockerignore (line {line})")
        };
        check_ignoring(
            "foo\n*.go\n",
            "# check=experimental=all\nFROM scratch AS a\nCOPY foo foo/x . ./foo/ /foo /x/\nADD a.go b/a.go /y/\n\
             COPY --from=a foo /z",
            &[
                found("Copy file \"foo\"", 3).as_str(),
                found("Copy file \"foo/x\"", 3).as_str(),
                found("Copy file \"./foo/\"", 3).as_str(),
                found("Add file \"a.go\"", 4).as_str(),
            ],
        );
        check_ignoring("foo\n", "FROM scratch\nCOPY foo /", &[]);
        check_ignoring(
            "**\n!foo/bar\n",
            "# check=experimental=all\nFROM scratch\nCOPY foo /x/\nCOPY foo/bar /x/\nCOPY . /x/",
            &[found("Copy file \"foo\"", 3).as_str(), found("Copy file \".\"", 5).as_str()],
        );
    }
}
