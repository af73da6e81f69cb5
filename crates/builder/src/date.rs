//! When what a build makes is said to have been made: the same on every machine and every day.
//!
//! A date that the user chose (<https://reproducible-builds.org/specs/source-date-epoch/>), else that of the commit the
//! context is at, else a fixed one.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use jiff::Timestamp;

/// A date, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceDate {
    /// Results of other dates will not do.
    Chosen(i64),
    /// Results of earlier commits are as good: what did not change need not be made again.
    Found(i64),
}

impl SourceDate {
    /// The date of a build of the sources in `directory`.
    pub fn of(chosen: Option<i64>, directory: &Path) -> SourceDate {
        match chosen {
            Some(seconds) => SourceDate::Chosen(seconds),
            None => SourceDate::Found(commit_date(directory).unwrap_or(FIXED)),
        }
    }

    pub fn seconds(self) -> i64 {
        let (SourceDate::Chosen(seconds) | SourceDate::Found(seconds)) = self;
        seconds
    }

    /// What the user chose, and every result depends on.
    pub fn chosen(self) -> Option<i64> {
        match self {
            SourceDate::Chosen(seconds) => Some(seconds),
            SourceDate::Found(_) => None,
        }
    }

    /// In RFC 3339, as configurations have it.
    pub fn text(self) -> String {
        Timestamp::from_second(self.seconds()).unwrap_or_default().to_string()
    }
}

/// When the commit was made that a git work tree is at; none where there is no work tree, no commit or no git.
fn commit_date(directory: &Path) -> Option<i64> {
    if !directory.ancestors().any(|above| above.join(".git").exists()) {
        return None;
    }
    let mut git = Command::new("git");
    // Nothing that the tree's owner configured is run: the commit is read, and that is all.
    git.args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "log.showSignature=false"])
        .arg("-C")
        .arg(directory)
        .args(["log", "-1", "--format=%ct", "HEAD"])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let answer = git.output().ok().filter(|answer| answer.status.success())?;
    String::from_utf8(answer.stdout).ok()?.trim().parse().ok()
}

/// 1980-01-01: no archive format knows anything earlier that some program still reads (zip begins here).
const FIXED: i64 = 315_532_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_date_wins_and_where_there_is_no_history_it_is_the_fixed_one() {
        let directory = tempfile::tempdir().expect("temporary directory");
        assert_eq!(SourceDate::of(None, directory.path()).text(), "1980-01-01T00:00:00Z");
        let chosen = SourceDate::of(Some(1_700_000_000), directory.path());
        assert_eq!((chosen.text().as_str(), chosen.chosen()), ("2023-11-14T22:13:20Z", Some(1_700_000_000)));
    }

    #[test]
    fn a_work_tree_has_the_date_of_its_commit() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(directory.path()).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
            git.args(arguments).env("GIT_COMMITTER_DATE", "1600000000 +0200").stdout(Stdio::null());
            git.status().is_ok_and(|status| status.success())
        };
        if !git(&["init", "-q"]) {
            eprintln!("skipped: there is no git");
            return;
        }
        let below = directory.path().join("a/b");
        std::fs::create_dir_all(&below).expect("directories");
        assert_eq!(SourceDate::of(None, &below), SourceDate::Found(FIXED), "no commit yet");
        assert!(git(&["commit", "-q", "--allow-empty", "-m", "x"]));
        assert_eq!(SourceDate::of(None, &below), SourceDate::Found(1_600_000_000));
    }
}
