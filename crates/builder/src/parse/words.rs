//! The ways in which instructions split their arguments.

use super::text::{Text, Word};
use crate::diagnostic::Problem;

/// A command: a list of strings in JSON, or anything else, which a shell is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Exec(Vec<String>),
    Shell(String),
}

/// Reads a command in either form.
pub fn command(text: &Text) -> Result<Command, Problem> {
    Ok(match json(text)? {
        Some(words) => Command::Exec(words.into_iter().map(|word| word.text).collect()),
        None => Command::Shell(text.as_str().to_owned()),
    })
}

/// The strings of a JSON list; `None` if the text is none, as docker then takes it for plain words.
pub fn json(text: &Text) -> Result<Option<Vec<Word>>, Problem> {
    if !text.as_str().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text.as_str()) else { return Ok(None) };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text_of) => Ok(Word { text: text_of, span: text.whole() }),
        _ => Err(Problem::of_syntax(
            "when using JSON array syntax, arrays must be comprised of strings only",
            text.whole(),
        )),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// The words of a JSON list, or else those between white space.
pub fn json_or_plain(text: &Text) -> Result<Vec<Word>, Problem> {
    Ok(json(text)?.unwrap_or_else(|| plain(text)))
}

/// The words between white space; quotes mean nothing.
pub fn plain(text: &Text) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.as_str().char_indices().chain([(text.as_str().len(), ' ')]) {
        match (c, start) {
            (c, Some(from)) if is_space(c) => {
                words.push(text.word(from..at));
                start = None;
            }
            (c, None) if !is_space(c) => start = Some(at),
            _ => {}
        }
    }
    words
}

/// What separates plain words. A no-break space, for one, does not.
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0b' | '\x0c' | '\r')
}

/// The words as a shell would split them; quotes and escapes stay in place for the expansion to remove.
pub fn quoted(text: &Text, escape: char) -> Vec<Word> {
    let all = text.as_str();
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = all.char_indices();
    while let Some((at, c)) = characters.next() {
        match (start, quote) {
            (None, _) if c.is_whitespace() => continue,
            (Some(from), None) if c.is_whitespace() => {
                words.push(text.word(from..at));
                start = None;
                continue;
            }
            (None, _) => start = Some(at),
            _ => {}
        }
        match quote {
            // Nothing can be escaped between single quotes.
            _ if c == escape && quote != Some('\'') => drop(characters.next()),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ => {}
        }
    }
    words.extend(start.map(|from| text.word(from..all.len())));
    words
}

/// Whether a quote is opened and never closed. Nothing can be escaped between single quotes.
pub fn has_open_quote(text: &Text) -> bool {
    let mut quote = None;
    let mut characters = text.as_str().chars();
    while let Some(c) = characters.next() {
        match quote {
            None | Some('"') if c == '\\' => drop(characters.next()),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

/// Whether [`pairs`] takes `text` for a name and a value with white space between.
pub fn is_old_pair(text: &Text, escape: char) -> bool {
    quoted(text, escape).first().is_some_and(|first| !first.text.contains('='))
}

/// Names with values: `a=b c="d e"`, or the old `a b c` that gives `a` the value `b c`.
pub fn pairs(text: &Text, instruction: &str, escape: char) -> Result<Vec<(Word, Word)>, Problem> {
    let words = quoted(text, escape);
    let Some(first) = words.first() else {
        return Err(Problem::new(format!("{instruction} requires at least one argument"), text.whole()));
    };
    if is_old_pair(text, escape) {
        let all = text.as_str();
        let Some(end) = all.find(is_space) else {
            let problem = Problem::of_syntax(format!("{instruction} must have two arguments"), text.whole());
            return Err(problem.helped(format!("write {instruction} {}=value", first.text)));
        };
        let value = end + (all[end..].len() - all[end..].trim_start().len());
        return Ok(vec![(text.word(0..end), text.word(value..all.len()))]);
    }
    words.into_iter().map(|word| split_pair(&word, instruction)).collect()
}

fn split_pair(word: &Word, instruction: &str) -> Result<(Word, Word), Problem> {
    match word.text.split_once('=') {
        Some(("", _)) => {
            Err(Problem::new(format!("{instruction} names can not be blank"), word.span.clone()))
        }
        Some((name, value)) => Ok((
            Word { text: name.to_owned(), span: word.span.start..word.span.start + name.len() },
            Word { text: value.to_owned(), span: word.span.clone() },
        )),
        None => Err(Problem::of_syntax(
            format!("Syntax error - can't find = in {:?}. Must be of the form: name=value", word.text),
            word.span.clone(),
        )
        .helped("quote a value that has white space in it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> Text {
        let mut text = Text::default();
        text.push(line, 0);
        text
    }

    fn check_pairs(line: &str, expected: &[(&str, &str)]) {
        let pairs = pairs(&text(line), "ENV", '\\').unwrap_or_else(|p| panic!("{line}: {}", p.message));
        let actual: Vec<_> = pairs.iter().map(|(n, v)| (n.text.as_str(), v.text.as_str())).collect();
        assert_eq!(actual, expected, "{line}");
    }

    #[test]
    fn pairs_come_in_the_new_form_and_in_the_old() {
        check_pairs("a=b c=d", &[("a", "b"), ("c", "d")]);
        check_pairs(r#"a="b c" d='e f' g=h\ i"#, &[("a", r#""b c""#), ("d", "'e f'"), ("g", r"h\ i")]);
        check_pairs("a b c", &[("a", "b c")]);
        check_pairs("a=", &[("a", "")]);
        check_pairs("a b=c", &[("a", "b=c")]);
    }

    #[test]
    fn pairs_that_are_none_say_so_in_dockers_words() {
        let refused = |line: &str| pairs(&text(line), "ENV", '\\').map_err(|p| p.message).err();
        assert_eq!(refused("a").as_deref(), Some("ENV must have two arguments"));
        assert_eq!(refused("").as_deref(), Some("ENV requires at least one argument"));
        assert_eq!(refused("=x").as_deref(), Some("ENV names can not be blank"));
        assert_eq!(
            refused("a=b c").as_deref(),
            Some("Syntax error - can't find = in \"c\". Must be of the form: name=value")
        );
    }

    #[test]
    fn a_command_is_a_list_or_for_the_shell() {
        let check = |line: &str, expected: Command| assert_eq!(command(&text(line)), Ok(expected));
        check(r#"["a", "b c"]"#, Command::Exec(vec!["a".into(), "b c".into()]));
        check("[]", Command::Exec(vec![]));
        check("['a']", Command::Shell("['a']".into()));
        check("[ -f x ] && y", Command::Shell("[ -f x ] && y".into()));
        let refused = command(&text("[1]")).map_err(|p| p.message);
        let words = "when using JSON array syntax, arrays must be comprised of strings only";
        assert_eq!(refused, Err(words.to_owned()));
    }
}
