//! Parser directives: comments at the very top that change how the rest is read.

use super::lines::Lines;
use crate::diagnostic::Problem;

/// The directives `# escape=`, `# syntax=` and `# check=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// Continues lines and escapes characters.
    pub escape: char,
    /// The frontend the file asks for. Read so that it can be shown; there is one frontend here.
    pub syntax: Option<String>,
    pub check: Option<String>,
}

impl Directives {
    /// Reads them from the top of `source`. The first line that is none ends them.
    pub fn parse(source: &str) -> Result<Directives, Problem> {
        let mut directives = Directives { escape: '\\', syntax: None, check: None };
        let mut seen = Vec::new();
        for (number, line) in Lines::new(source).enumerate() {
            if number == 0 && line.text.starts_with("#!") {
                continue;
            }
            let Some((name, value)) = line.text.strip_prefix('#').and_then(name_and_value) else { break };
            let span = line.start..line.start + line.text.len();
            let name = name.to_ascii_lowercase();
            match name.as_str() {
                "escape" | "syntax" | "check" if seen.contains(&name) => {
                    let message = format!("only one {name} parser directive can be used");
                    return Err(Problem::new(message, span));
                }
                "escape" => {
                    directives.escape = match value {
                        "\\" => '\\',
                        "`" => '`',
                        other => {
                            let message = format!("invalid escape token '{other}' does not match ` or \\");
                            return Err(Problem::new(message, span));
                        }
                    }
                }
                "syntax" => directives.syntax = Some(value.to_owned()),
                "check" => directives.check = Some(value.to_owned()),
                _ => break,
            }
            seen.push(name);
        }
        Ok(directives)
    }
}

fn name_and_value(comment: &str) -> Option<(&str, &str)> {
    let (name, value) = comment.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_until_the_first_line_that_is_none() {
        let all = Directives::parse("# syntax = docker/dockerfile:1\n#Escape=`\nFROM a\n#check=skip=all\n");
        let expected = Directives { escape: '`', syntax: Some("docker/dockerfile:1".into()), check: None };
        assert_eq!(all, Ok(expected));
        for ends in ["# a comment\n# escape=`\n", "\n# escape=`\n", "# other=1\n# escape=`\n"] {
            assert_eq!(Directives::parse(ends).map(|d| d.escape), Ok('\\'), "{ends:?}");
        }
    }

    #[test]
    fn wrong_directives_are_refused_in_dockers_words() {
        let refused = |source: &str| Directives::parse(source).map_err(|problem| problem.message);
        assert_eq!(
            refused("# escape=x\n"),
            Err("invalid escape token 'x' does not match ` or \\".to_owned())
        );
        assert_eq!(
            refused("# escape=`\n# escape=`\n"),
            Err("only one escape parser directive can be used".to_owned())
        );
    }
}
