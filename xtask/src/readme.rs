//! Checks that the commands README.md shows exist: its `make` targets, its `cargo xtask` tasks, and
//! its `sampan` commands, which the program itself is asked about.

use std::{fs, process::Command};

use anyhow::{Context, bail, ensure};

use crate::TASKS;

/// `arguments` name the program to ask. Building it is for the caller, whose environment cargo knows from before: in ours,
/// which a cargo has set, another would compile half of the libraries again.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [sampan] = arguments else { bail!("which program? cargo xtask readme target/…/sampan") };
    let readme = fs::read_to_string("README.md").context("cannot read README.md")?;
    let makefile = fs::read_to_string("Makefile").context("cannot read Makefile")?;
    let mut absent = Vec::new();
    for line in shell_lines(&readme) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let exists = match words.as_slice() {
            ["make", target, ..] if is_name(target) => has_target(&makefile, target),
            ["cargo", "xtask", task, ..] => TASKS.iter().any(|known| known.name == *task),
            ["sampan", command, rest @ ..] if is_name(command) => has_command(sampan, command, rest.first())?,
            _ => true,
        };
        if !exists {
            absent.push(line);
        }
    }
    ensure!(absent.is_empty(), "README.md shows what does not exist:\n  {}", absent.join("\n  "));
    Ok(())
}

/// The commands in `markdown`: the lines of its fenced shell blocks, without prompt, comment and `sudo`.
fn shell_lines(markdown: &str) -> Vec<&str> {
    let mut in_shell = false;
    let mut lines = Vec::new();
    for line in markdown.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            in_shell = !in_shell && ["sh", "shell", "bash", "console"].contains(&language);
        } else if in_shell {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let line = line.strip_prefix("sudo ").unwrap_or(line);
            lines.push(line.split(" #").next().unwrap_or(line));
        }
    }
    lines
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains('=')
}

fn has_target(makefile: &str, target: &str) -> bool {
    makefile.lines().any(|line| line.strip_prefix(target).is_some_and(|rest| rest.starts_with(':')))
}

/// Whether the program knows `command`, and below a noun such as `network` also the verb `next`.
fn has_command(sampan: &str, command: &str, next: Option<&&str>) -> anyhow::Result<bool> {
    let Some(help) = help(sampan, &[command])? else {
        return Ok(false);
    };
    let is_noun = help.lines().any(|line| line.trim_end() == "Commands:");
    match next {
        Some(verb) if is_noun && is_name(verb) => Ok(self::help(sampan, &[command, verb])?.is_some()),
        _ => Ok(true),
    }
}

/// What the program says of `command`, if it knows it.
fn help(sampan: &str, command: &[&str]) -> anyhow::Result<Option<String>> {
    let output = Command::new(sampan).args(command).arg("--help").output();
    let output = output.with_context(|| format!("cannot run {sampan}"))?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shell_blocks_hold_commands() {
        let markdown = "make no\n```sh\n$ sudo make demo # all of it\n```\n```rust\nmake no\n```\n";
        assert_eq!(shell_lines(markdown), ["make demo"]);
    }

    #[test]
    fn a_target_is_a_line_that_begins_with_its_name_and_a_colon() {
        let makefile = "build: ## Build\n\tcargo build\nimages-x:\n";
        assert!(has_target(makefile, "build"));
        assert!(!has_target(makefile, "images"));
        assert!(!has_target(makefile, "cargo"));
    }
}
