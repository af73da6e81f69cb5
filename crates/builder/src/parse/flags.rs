//! Flags of an instruction: `--name` or `--name=value` before its arguments.

use super::text::{Text, Word};
use crate::diagnostic::{Problem, Span};

/// One flag as written, quotes and escapes removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    pub name: String,
    pub value: Option<String>,
    pub span: Span,
}

/// The flags of one instruction, all of them known to it.
#[derive(Debug, Clone)]
pub struct Flags<'a>(&'a [Flag]);

impl<'a> Flags<'a> {
    /// Checks that each flag is one of `known`.
    pub fn checked(flags: &'a [Flag], known: &[&str]) -> Result<Flags<'a>, Problem> {
        match flags.iter().find(|flag| !known.contains(&flag.name.as_str())) {
            None => Ok(Flags(flags)),
            Some(flag) => {
                let dashed: Vec<String> = known.iter().map(|name| format!("--{name}")).collect();
                let written = format!("--{}", flag.name);
                Err(Problem::new(format!("unknown flag: {written}"), flag.span.clone())
                    .suggesting(&written, dashed.iter().map(String::as_str)))
            }
        }
    }

    /// The value of a flag that may be given once.
    pub fn value(&self, name: &str) -> Result<Option<Word>, Problem> {
        match self.once(name)? {
            None => Ok(None),
            Some(Flag { value: Some(value), span, .. }) => {
                Ok(Some(Word { text: value.clone(), span: span.clone() }))
            }
            Some(flag) => Err(Problem::new(format!("missing a value on flag: --{name}"), flag.span.clone())),
        }
    }

    /// The values of a flag that may be given several times.
    pub fn values(&self, name: &str) -> Result<Vec<Word>, Problem> {
        let given = self.0.iter().filter(|flag| flag.name == name);
        let values = given.map(|flag| match &flag.value {
            Some(value) => Ok(Word { text: value.clone(), span: flag.span.clone() }),
            None => Err(Problem::new(format!("missing a value on flag: --{name}"), flag.span.clone())),
        });
        values.collect()
    }

    /// Whether a flag that takes no value, or `true` or `false`, is set.
    pub fn switch(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.choice(name)?.unwrap_or(false))
    }

    /// What a flag that takes no value, or `true` or `false`, is set to, if it is there.
    pub fn choice(&self, name: &str) -> Result<Option<bool>, Problem> {
        let Some(flag) = self.once(name)? else { return Ok(None) };
        match flag.value.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("") => Err(Problem::new(format!("missing a value on flag: --{name}"), flag.span.clone())),
            Some("false") => Ok(Some(false)),
            Some(_) => {
                let value = flag.value.as_deref().unwrap_or_default();
                let message = format!("expecting boolean value for flag --{name}, not: {value}");
                Err(Problem::new(message, flag.span.clone()))
            }
        }
    }

    /// The first of `names` that is used, though this release cannot do what it asks.
    pub fn refuse(&self, names: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|flag| names.contains(&flag.name.as_str())) {
            None => Ok(()),
            Some(flag) => {
                Err(Problem::new(format!("--{} is not yet supported", flag.name), flag.span.clone()))
            }
        }
    }

    fn once(&self, name: &str) -> Result<Option<&'a Flag>, Problem> {
        let mut found = self.0.iter().filter(|flag| flag.name == name);
        match (found.next(), found.next()) {
            (_, Some(second)) => {
                Err(Problem::new(format!("duplicate flag specified: --{name}"), second.span.clone()))
            }
            (first, None) => Ok(first),
        }
    }
}

/// Splits flags off the front of an instruction's text; returns them and the rest.
///
/// Whatever the escape directive says, it is `\` that escapes here, as in BuildKit.
pub fn split(text: &Text) -> (Vec<Flag>, Text) {
    let mut flags = Vec::new();
    let all = text.as_str();
    let mut at = 0;
    loop {
        at += all[at..].len() - all[at..].trim_start().len();
        if !all[at..].starts_with("--") {
            return (flags, text.slice(at..all.len()).trim());
        }
        let start = at;
        let word = flag_word(all, &mut at);
        if word == "--" {
            return (flags, text.slice(at..all.len()).trim());
        }
        let (name, value) = match word[2..].split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word[2..].to_owned(), None),
        };
        flags.push(Flag { name, value, span: text.span(start..at) });
    }
}

/// The word at `at` without its quotes and escapes; moves `at` behind it.
fn flag_word(text: &str, at: &mut usize) -> String {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text[*at..].chars();
    while let Some(c) = characters.next() {
        match quote {
            None if c.is_whitespace() => break,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ if c == '\\' => {
                if let Some(escaped) = characters.next() {
                    *at += escaped.len_utf8();
                    word.push(escaped);
                }
            }
            _ => word.push(c),
        }
        *at += c.len_utf8();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[(&str, Option<&str>)], rest: &str) {
        let mut text = Text::default();
        text.push(line, 0);
        let (flags, remaining) = split(&text);
        let actual: Vec<_> = flags.iter().map(|f| (f.name.as_str(), f.value.as_deref())).collect();
        assert_eq!((actual.as_slice(), remaining.as_str()), (expected, rest), "{line}");
    }

    #[test]
    fn flags_end_at_the_first_word_that_is_none() {
        check("--chown=1:2 --link a --b", &[("chown", Some("1:2")), ("link", None)], "a --b");
        check(r#"--a="x y" --b=c\ d e"#, &[("a", Some("x y")), ("b", Some("c d"))], "e");
        check("-- --a", &[], "--a");
        check("--a=x\\\"y --b='it is' --", &[("a", Some("x\"y")), ("b", Some("it is"))], "");
        check("--a=\"never closed b", &[("a", Some("never closed b"))], "");
        check("--a= --b", &[("a", Some("")), ("b", None)], "");
        check("-a --b", &[], "-a --b");
        check("echo", &[], "echo");
    }

    #[test]
    fn an_unknown_flag_suggests_the_nearest_and_a_repeated_one_is_refused() {
        let flag = |name: &str| Flag { name: name.into(), value: None, span: 0..1 };
        let flags = [flag("chwon")];
        let problem = Flags::checked(&flags, &["chown", "link"]).expect_err("misspelt");
        assert_eq!(problem.message, "unknown flag: --chwon");
        assert_eq!(problem.help.as_deref(), Some("did you mean --chown?"));
        let flags = [flag("link"), flag("link")];
        let flags = Flags::checked(&flags, &["link"]).expect("known");
        assert_eq!(
            flags.switch("link").map_err(|p| p.message),
            Err("duplicate flag specified: --link".into())
        );
    }

    #[test]
    fn a_switch_is_true_or_false_and_a_value_has_to_be_there() {
        let flag =
            |value: Option<&str>| [Flag { name: "x".into(), value: value.map(str::to_owned), span: 0..1 }];
        let switch = |value| Flags(&flag(value)).switch("x").map_err(|problem| problem.message);
        assert_eq!(switch(None), Ok(true));
        assert_eq!(switch(Some("TRUE")), Ok(true));
        assert_eq!(switch(Some("False")), Ok(false));
        assert_eq!(switch(Some("")), Err("missing a value on flag: --x".into()));
        assert_eq!(switch(Some("Maybe")), Err("expecting boolean value for flag --x, not: Maybe".into()));
        let value = |value| Flags(&flag(value)).value("x").map_err(|problem| problem.message);
        assert_eq!(value(Some("")).map(|word| word.map(|word| word.text)), Ok(Some(String::new())));
        assert_eq!(value(None), Err("missing a value on flag: --x".into()));
    }
}
