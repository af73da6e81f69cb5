//! `doctor`: what this machine offers containers, and how to mend what is missing.

use std::process::ExitCode;

use clap::Args;
use engine::doctor::{Finding, Group, State};
use serde_json::{Value, json};

use crate::{
    cli::{Globals, Verb},
    output::{human, json::View},
    session,
};

/// Check what this machine offers containers, and say how to mend what is missing
#[derive(Args)]
pub struct Doctor {
    /// Format output using a custom template, or "json" for a list of all that was looked at
    #[arg(short, long)]
    format: Option<String>,
}

impl Verb for Doctor {
    const NAMES: &'static [&'static str] = &["system doctor", "doctor"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        // What an ordinary user's commands become: what can be done there is what counts.
        session::enter(globals)?;
        // Before anything that takes a thread, as templates do.
        let groups = engine::doctor::examine(&session::root(globals)?);
        let view = self.format.as_deref().map(|format| View::parse(Some(format))).transpose()?;
        match view {
            Some(view) => print!("{}", view.show(&groups.iter().flat_map(documents).collect::<Vec<_>>())?),
            None => print!("{}", report(&groups)),
        }
        let fails = |finding: &Finding| finding.state == State::Fail;
        let healthy = groups.iter().flat_map(|group| &group.findings).all(|finding| !fails(finding));
        Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn documents(group: &Group) -> impl Iterator<Item = Value> {
    group.findings.iter().map(|finding| {
        json!({
            "Group": group.name,
            "Subject": finding.subject,
            "State": finding.state,
            "Text": finding.text,
            "Remedy": finding.remedy.as_deref().unwrap_or_default(),
        })
    })
}

/// Everything that was looked at, a line each, and what comes of it.
fn report(groups: &[Group]) -> String {
    let findings: Vec<&Finding> = groups.iter().flat_map(|group| &group.findings).collect();
    let width = findings.iter().map(|finding| finding.subject.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Group { name, findings } in groups {
        text += &format!("{name}\n");
        for Finding { subject, state, text: found, remedy } in findings {
            text += &format!("  {:<4}  {subject:<width$}  {}\n", word(*state), human::visible(found));
            let remedy = remedy.iter().map(|remedy| human::visible(remedy));
            remedy.for_each(|remedy| text += &format!("  {:<4}  {:<width$}  to mend it: {remedy}\n", "", ""));
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let verdict = match (count(State::Fail), count(State::Warn)) {
        (0, 0) => "containers can run, and nothing is missing".to_owned(),
        (0, warnings) => format!("containers can run; missing for some: {warnings}"),
        (failures, _) => format!("containers cannot run; to be mended first: {failures}"),
    };
    format!("{text}\n{verdict}\n")
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "FAIL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_what_to_do_and_the_verdict_is_last() {
        let finding = |subject, state, remedy: Option<&str>| Finding {
            subject,
            state,
            text: format!("{subject} is so"),
            remedy: remedy.map(str::to_owned),
        };
        let sound = Group { name: "kernel", findings: vec![finding("version", State::Ok, None)] };
        let lacking =
            Group { name: "users", findings: vec![finding("ranges", State::Warn, Some("add some\u{1b}"))] };
        let expected = "\
kernel
  ok    version  version is so
users
  warn  ranges   ranges is so
                 to mend it: add some\\u{1b}

containers can run; missing for some: 1
";
        assert_eq!(report(&[sound, lacking]), expected);
        let failing =
            Group { name: "kernel", findings: vec![finding("version", State::Fail, Some("upgrade"))] };
        assert!(report(&[failing]).ends_with("\ncontainers cannot run; to be mended first: 1\n"));
        assert!(report(&[]).ends_with("\ncontainers can run, and nothing is missing\n"));
    }
}
