//! Parser directives: comments at the very top that change how the rest is read.

use super::lines::Lines;
use crate::diagnostic::{Problem, Span};

/// The directives `# escape=`, `# syntax=` and `# check=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// Continues lines and escapes characters.
    pub escape: char,
    /// The frontend the file asks for. Read so that it can be shown; there is one frontend here.
    pub syntax: Option<String>,
    /// Options for the checks, and their place.
    pub check: Option<(String, Span)>,
    /// Where the last directive ends: what is before is no comment.
    pub end: usize,
}

impl Directives {
    /// Reads them from the top of `source`. The first line that is none ends them; a line `#!` before them is
    /// passed over, but then, as BuildKit does it, the escape character can no longer be chosen.
    pub fn parse(source: &str) -> Result<Directives, Problem> {
        let mut directives = Directives { escape: '\\', syntax: None, check: None, end: 0 };
        let mut seen = Vec::new();
        let mut lines = Lines::new(source).peekable();
        let is_script = lines.next_if(|line| line.text.starts_with("#!")).is_some();
        for line in lines {
            let indented = line.text.len() != line.text.trim_start().len();
            let comment = line.text.trim_start().strip_prefix('#');
            let Some((name, value)) = comment.and_then(name_and_value) else { break };
            let span = line.start..line.start + line.text.len();
            let name = name.to_ascii_lowercase();
            if !matches!(name.as_str(), "escape" | "syntax" | "check") {
                break;
            }
            let is_repeated = seen.contains(&name);
            if is_repeated && is_script {
                break;
            }
            if is_repeated {
                let message = format!("only one {name} parser directive can be used");
                return Err(Problem::new(message, span));
            }
            match name.as_str() {
                "escape" if is_script => {}
                "escape" => directives.escape = escape(value, &span)?,
                // Only the parser looks past white space for directives, and it looks for the escape character.
                _ if indented => {}
                "syntax" => directives.syntax = Some(value.to_owned()),
                _ => directives.check = Some((first_word(value).to_owned(), span)),
            }
            if !is_script {
                directives.end = line.start + line.raw.len();
            }
            seen.push(name);
        }
        Ok(directives)
    }
}

fn escape(value: &str, span: &Span) -> Result<char, Problem> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        other => {
            let message = format!("invalid escape token '{other}' does not match ` or \\");
            Err(Problem::new(message, span.clone()).helped("write # escape=` or # escape=\\"))
        }
    }
}

fn name_and_value(comment: &str) -> Option<(&str, &str)> {
    let (name, value) = comment.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then_some((name, value))
}

/// BuildKit reads the options of `# check=` up to the first space.
fn first_word(value: &str) -> &str {
    value.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_until_the_first_line_that_is_none() {
        let text = "# syntax = docker/dockerfile:1\n#Escape=`\n# check = skip=A; error=true\nFROM a\n#check=skip=all\n";
        let all = Directives::parse(text).expect("valid");
        assert_eq!((all.escape, all.syntax.as_deref()), ('`', Some("docker/dockerfile:1")));
        assert_eq!(all.check.map(|(options, _)| options).as_deref(), Some("skip=A;"));
        assert_eq!(&text[all.end..all.end + 6], "FROM a");
        for ends in ["# a comment\n# escape=`\n", "\n# escape=`\n", "# other=1\n# escape=`\n", "# escape\n"] {
            assert_eq!(Directives::parse(ends).map(|d| (d.escape, d.end)), Ok(('\\', 0)), "{ends:?}");
        }
    }

    #[test]
    fn white_space_and_scripts_hide_some_directives() {
        let read = |text: &str| {
            let directives = Directives::parse(text).expect("valid");
            (directives.escape, directives.check.map(|(options, _)| options))
        };
        assert_eq!(read("  # escape=`\n"), ('`', None));
        assert_eq!(read("  # check=skip=all\n"), ('\\', None));
        assert_eq!(read("\u{feff}# check=skip=all\r\n"), ('\\', Some("skip=all".into())));
        assert_eq!(read("#!/bin/x\n# escape=`\n# check=skip=all\n"), ('\\', Some("skip=all".into())));
    }

    #[test]
    fn wrong_directives_are_refused_in_dockers_words() {
        let refused = |source: &str| Directives::parse(source).map_err(|problem| problem.message);
        assert_eq!(
            refused("# escape=x\n"),
            Err("invalid escape token 'x' does not match ` or \\".to_owned())
        );
        for name in ["escape", "check", "syntax"] {
            let expected = format!("only one {name} parser directive can be used");
            let twice = format!("# {name}=`\n# {}=`\n", name.to_uppercase());
            assert_eq!(refused(&twice), Err(expected));
        }
    }
}
