//! What docker printed for a few hundred commands, and that the program prints the same.
//!
//! A file of `cases` is a recording. A case begins with `== ` and a title; then come commands for a shell, each with what it
//! wrote and how it ended:
//!
//! ```text
//! == a case
//! $ docker run --rm busybox sh -c 'echo out; echo err >&2; exit 3'
//! > out
//! ! err
//! [3]
//! ```
//!
//! A command with a `~` for the `$` is one that the program does not do as docker does, yet: it is run, and not compared.
//!
//! Ids and times stand as `<id>`, `<short>` and `<time>`, the case's directory as `<here>`. What only one engine says of its inner
//! workings is left out; see [`neutral`]. To record new cases, write the commands, have a docker daemon of version 28 with
//! busybox and nothing else in it, and run these tests with `RECORD_CASES=1`: they then run `docker` as the `PATH` has it.

use std::{
    env,
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use testkit::Sandbox;

use crate::{PROGRAM, sandbox};

#[test]
fn run() {
    check("run");
}

#[test]
fn limits() {
    check("limits");
}

#[test]
fn isolation() {
    check("isolation");
}

#[test]
fn devices() {
    check("devices");
}

#[test]
fn changing() {
    check("changing");
}

#[test]
fn lifecycle() {
    check("lifecycle");
}

#[test]
fn listing() {
    check("listing");
}

#[test]
fn inspecting() {
    check("inspecting");
}

#[test]
fn things() {
    check("things");
}

#[test]
fn templates() {
    check("templates");
}

#[test]
fn networks() {
    check("networks");
}

#[test]
fn system() {
    check("system");
}

/// Runs the commands of a recording, and compares. Or records, if that is what is wanted.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/e2e/cases/{name}.txt"));
    let recorded = fs::read_to_string(&path).expect("a recording");
    let cases = parse(&recorded);
    if env::var_os("RECORD_CASES").is_some() {
        let directory = tempfile_in(&env::temp_dir());
        fs::write(&path, write(&play(&cases, &Engine::Docker(directory))))
            .expect("the recording can be written");
        return;
    }
    let Some(sandbox) = sandbox() else { return };
    let actual = play(&cases, &Engine::Own(&sandbox));
    let differences = compare(&cases, &actual);
    assert!(differences.is_empty(), "{}:\n{differences}", path.display());
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    title: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Step {
    command: String,
    /// Compared.
    agreed: bool,
    output: Vec<String>,
    errors: Vec<String>,
    code: i32,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            cases.push(Case { title: title.to_owned(), steps: Vec::new() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        let agreed = line.starts_with("$ ");
        if let Some(command) = line.strip_prefix("$ ").or(line.strip_prefix("~ ")) {
            case.steps.push(Step { command: command.to_owned(), agreed, ..Step::default() });
            continue;
        }
        let Some(step) = case.steps.last_mut() else { continue };
        let text = |line: &str| line.strip_prefix(' ').unwrap_or(line).to_owned();
        match (line.strip_prefix('>'), line.strip_prefix('!'), line.strip_prefix('[')) {
            (Some(line), ..) => step.output.push(text(line)),
            (_, Some(line), _) => step.errors.push(text(line)),
            (.., Some(code)) => step.code = code.trim_end_matches(']').parse().expect("an exit code"),
            _ => {}
        }
    }
    cases
}

fn write(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        let separator = if text.is_empty() { "" } else { "\n" };
        writeln!(text, "{separator}== {}", case.title).expect("memory");
        for step in &case.steps {
            writeln!(text, "{} {}", if step.agreed { '$' } else { '~' }, step.command).expect("memory");
            step.output
                .iter()
                .for_each(|line| writeln!(text, "{}", format!("> {line}").trim_end()).expect("memory"));
            step.errors
                .iter()
                .for_each(|line| writeln!(text, "{}", format!("! {line}").trim_end()).expect("memory"));
            if step.code != 0 {
                writeln!(text, "[{}]", step.code).expect("memory");
            }
        }
    }
    text
}

/// Whose command line is called `docker` in the cases.
enum Engine<'a> {
    Own(&'a Sandbox),
    /// docker's own, with a directory for the cases' files.
    Docker(PathBuf),
}

impl Engine<'_> {
    fn directory(&self) -> PathBuf {
        match self {
            Engine::Own(sandbox) => sandbox.directory().to_owned(),
            Engine::Docker(directory) => directory.clone(),
        }
    }

    fn shell(&self, script: &str, place: &Path) -> (String, String, i32) {
        let mut command = match self {
            Engine::Own(sandbox) => {
                let mut command = sandbox.shell(script);
                let programs = sandbox.directory().join("bin");
                command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()));
                command.env("SAMPAN_HINTS", "0");
                command
            }
            Engine::Docker(_) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script]).env_remove("TERM");
                command
            }
        };
        command.current_dir(place).stdin(Stdio::null());
        let ended = match self {
            Engine::Own(sandbox) => sandbox.within(|| command.output()),
            Engine::Docker(_) => command.output(),
        };
        let ended = ended.expect("a shell");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(ended.stdout), text(ended.stderr), ended.status.code().unwrap_or(-1))
    }
}

/// The cases with what is printed now.
fn play(cases: &[Case], engine: &Engine<'_>) -> Vec<Case> {
    let directory = engine.directory();
    if let Engine::Own(_) = engine {
        fs::create_dir_all(directory.join("bin")).expect("a directory in the sandbox");
        symlink(PROGRAM, directory.join("bin/docker")).expect("a link in the sandbox");
    }
    let mut played = Vec::new();
    for case in cases {
        let place = directory.join("case");
        fs::create_dir_all(&place).expect("a directory for the case");
        let mut steps = Vec::new();
        for step in &case.steps {
            let (output, errors, code) = engine.shell(&step.command, &place);
            steps.push(Step {
                command: step.command.clone(),
                agreed: step.agreed,
                output: neutral(&output, &place),
                errors: neutral(&errors, &place),
                code,
            });
        }
        // Whatever a case leaves is not for the next to find.
        engine.shell(CLEAN_UP, &place);
        fs::remove_dir_all(&place).expect("the case's directory can be removed");
        played.push(Case { title: case.title.clone(), steps });
    }
    played
}

/// The lines of `text` without what differs from run to run and from engine to engine.
fn neutral(text: &str, place: &Path) -> Vec<String> {
    let mut text = text.replace(&place.display().to_string(), "<here>");
    for words in INNER_WORKINGS {
        text = text.replace(words, "");
    }
    text.lines().map(|line| without_ids(line).trim_end().to_owned()).collect()
}

/// Replaces words that are ids or times.
fn without_ids(line: &str) -> String {
    let mut replaced = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if end == 0 {
            replaced.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let word = &rest[..end];
        let is_hex = word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if let Some(length) = time_at(rest) {
            replaced.push_str(if rest.starts_with("0001") { &rest[..length] } else { "<time>" });
            rest = &rest[length..];
            continue;
        }
        replaced.push_str(match word.len() {
            64 if is_hex => "<id>",
            12 if is_hex && word.bytes().any(|b| b.is_ascii_lowercase()) => "<short>",
            _ => word,
        });
        rest = &rest[end..];
    }
    replaced
}

/// How long the time is that `text` begins with: `2026-01-02T03:04:05.678Z`.
fn time_at(text: &str) -> Option<usize> {
    let shape = "dddd-dd-ddTdd:dd:dd";
    let fits = |(expected, actual): (char, char)| match expected {
        'd' => actual.is_ascii_digit(),
        other => other == actual,
    };
    if text.len() < shape.len() || !shape.chars().zip(text.chars()).all(fits) {
        return None;
    }
    let rest = &text[shape.len()..];
    let fraction = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[fraction..].starts_with('Z').then_some(shape.len() + fraction + 1)
}

/// What differs, each with its command.
fn compare(expected: &[Case], actual: &[Case]) -> String {
    let mut text = String::new();
    for (expected, actual) in expected.iter().zip(actual) {
        for (wanted, got) in expected.steps.iter().zip(&actual.steps) {
            if wanted == got || !wanted.agreed {
                continue;
            }
            writeln!(text, "{}\n$ {}", expected.title, wanted.command).expect("memory");
            for (name, wanted, got) in
                [("stdout", &wanted.output, &got.output), ("stderr", &wanted.errors, &got.errors)]
            {
                if wanted != got {
                    wanted.iter().for_each(|line| writeln!(text, "  - {name} | {line}").expect("memory"));
                    got.iter().for_each(|line| writeln!(text, "  + {name} | {line}").expect("memory"));
                }
            }
            if wanted.code != got.code {
                writeln!(text, "  exit code {} instead of {}", got.code, wanted.code).expect("memory");
            }
        }
    }
    text
}

fn tempfile_in(directory: &Path) -> PathBuf {
    let place = directory.join(format!("cases-{}", std::process::id()));
    fs::create_dir_all(&place).expect("a directory for the cases");
    place
}

/// Says nothing about what is not there.
const CLEAN_UP: &str = "docker rm -fv $(docker ps -aq)
    docker volume rm -f $(docker volume ls -q)
    docker network rm $(docker network ls --format '{{.Name}}' | grep -v -x -e bridge -e host -e none)";

/// Who passed on a failure, which differs from engine to engine and from version to version.
const INNER_WORKINGS: [&str; 8] = [
    "failed to create task for container: ",
    "failed to create shim task: ",
    "OCI runtime create failed: ",
    "OCI runtime exec failed: ",
    "runc create failed: ",
    "exec failed: ",
    "unable to start container process: ",
    "error during container init: ",
];
