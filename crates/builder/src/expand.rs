//! Variables and quotes in words, as docker's build reads them: like a shell, but not all of it.
//!
//! `$V ${V} ${V:-d} ${V-d} ${V:+a} ${V+a} ${V:?e} ${V?e} ${V#p} ${V##p} ${V%p} ${V%%p} ${V/p/r} ${V//p/r}`,
//! single and double quotes, and the escape character.

use std::{iter::Peekable, str::Chars};

mod glob;

/// Expands words with the values that `lookup` knows.
pub struct Expander<'a> {
    pub escape: char,
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a word cannot be expanded, in docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {word:?}: {reason}")]
pub struct InvalidWord {
    word: String,
    reason: String,
}

impl Expander<'_> {
    /// The text `word` stands for.
    pub fn word(&self, word: &str) -> Result<String, InvalidWord> {
        Ok(self.expand(word)?.0)
    }

    /// The words `word` stands for: it is split at white space that is not quoted, after expansion.
    pub fn words(&self, word: &str) -> Result<Vec<String>, InvalidWord> {
        Ok(self.expand(word)?.1)
    }

    /// The text with its variables replaced; quotes are characters like any other.
    pub fn text(&self, text: &str) -> Result<String, InvalidWord> {
        let mut lexer = Lexer { quotes: false, ..self.lexer(text) };
        let expanded = lexer.until(None, false);
        Ok(expanded.map_err(|reason| InvalidWord { word: text.to_owned(), reason })?.0)
    }

    fn lexer<'a>(&'a self, word: &'a str) -> Lexer<'a> {
        Lexer { expander: self, rest: word.chars().peekable(), depth: 0, quotes: true }
    }

    fn expand(&self, word: &str) -> Result<(String, Vec<String>), InvalidWord> {
        let mut lexer = self.lexer(word);
        lexer.until(None, false).map_err(|reason| InvalidWord { word: word.to_owned(), reason })
    }
}

struct Lexer<'a> {
    expander: &'a Expander<'a>,
    rest: Peekable<Chars<'a>>,
    /// How many `${…}` are open.
    depth: usize,
    /// Whether quotes are special.
    quotes: bool,
}

/// The expanded text, both whole and split at white space.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// Adds text whose white space separates words.
    fn split(&mut self, text: &str) {
        self.text.push_str(text);
        for c in text.chars() {
            match c.is_whitespace() {
                true if !self.word.is_empty() => self.words.push(std::mem::take(&mut self.word)),
                true => {}
                false => self.word.push(c),
            }
        }
    }

    /// Adds text that was quoted.
    fn whole(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    fn finish(mut self) -> (String, Vec<String>) {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        (self.text, self.words)
    }
}

impl Lexer<'_> {
    /// Reads to the end, or to `stop`, which is taken too. With `raw`, escape characters stay.
    fn until(&mut self, stop: Option<char>, raw: bool) -> Result<(String, Vec<String>), String> {
        let mut output = Output::default();
        while let Some(&c) = self.rest.peek() {
            match c {
                _ if Some(c) == stop => {
                    self.rest.next();
                    return Ok(output.finish());
                }
                '\'' if self.quotes => output.whole(&self.single_quoted()?),
                '"' if self.quotes => output.whole(&self.double_quoted(raw)?),
                '$' => output.split(&self.dollar()?),
                _ if c == self.expander.escape => {
                    self.rest.next();
                    if raw {
                        output.whole(c.encode_utf8(&mut [0; 4]));
                    }
                    if let Some(escaped) = self.rest.next() {
                        output.whole(escaped.encode_utf8(&mut [0; 4]));
                    }
                }
                _ => {
                    self.rest.next();
                    output.split(c.encode_utf8(&mut [0; 4]));
                }
            }
        }
        match stop {
            None => Ok(output.finish()),
            Some(stop) => Err(missing(stop)),
        }
    }

    /// The text up to `stop`, which is taken too. Whatever else is wrong when the text ends before it, it is missing.
    fn up_to(&mut self, stop: char, raw: bool) -> Result<String, String> {
        match self.until(Some(stop), raw) {
            Err(_) if self.rest.peek().is_none() => Err(missing(stop)),
            read => Ok(read?.0),
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.rest.next();
        let mut text = String::new();
        for c in self.rest.by_ref() {
            match c {
                '\'' => return Ok(text),
                _ => text.push(c),
            }
        }
        Err("unexpected end of statement while looking for matching single-quote".into())
    }

    fn double_quoted(&mut self, raw: bool) -> Result<String, String> {
        self.rest.next();
        let mut text = String::new();
        while let Some(&c) = self.rest.peek() {
            if c == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            self.rest.next();
            if c == '"' {
                return Ok(text);
            }
            if c != self.expander.escape {
                text.push(c);
                continue;
            }
            if raw {
                text.push(c);
            }
            match self.rest.peek() {
                // The only characters that can be escaped between double quotes.
                Some(&escaped) if matches!(escaped, '"' | '$') || escaped == c => {
                    self.rest.next();
                    text.push(escaped);
                }
                Some(_) => text.push(c),
                None => {}
            }
        }
        Err("unexpected end of statement while looking for matching double-quote".into())
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.rest.next();
        if self.rest.peek() != Some(&'{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { self.value(&name).unwrap_or_default() });
        }
        self.rest.next();
        if self.depth == DEEPEST {
            return Err("syntax error: bad substitution".into());
        }
        self.depth += 1;
        let value = self.braced();
        self.depth -= 1;
        value
    }

    /// What follows `${`, up to and with the brace that closes it.
    fn braced(&mut self) -> Result<String, String> {
        match self.rest.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        let mut modifier = self.rest.next();
        let empty_is_unset = modifier == Some(':');
        if empty_is_unset {
            modifier = self.rest.next();
        }
        let unsupported = |c: char| {
            let colon = if empty_is_unset { ":" } else { "" };
            Err(format!("unsupported modifier ({colon}{c}) in substitution"))
        };
        match modifier {
            None => Err("syntax error: missing '}'".into()),
            Some('}') if !empty_is_unset => Ok(self.value(&name).unwrap_or_default()),
            Some(c @ ('#' | '%')) if empty_is_unset => unsupported(c),
            Some(end @ ('#' | '%')) => {
                let pattern = self.up_to('}', true)?;
                let (pattern, longest) = match pattern.strip_prefix(end) {
                    Some(pattern) => (pattern, true),
                    None => (pattern.as_str(), false),
                };
                let value = self.value(&name).unwrap_or_default();
                let pattern = glob::Pattern::parse(pattern)?;
                Ok(match end {
                    '#' => pattern.without_prefix(&value, longest),
                    _ => pattern.without_suffix(&value, longest),
                })
            }
            Some('/') if !empty_is_unset => {
                let everywhere = self.rest.next_if_eq(&'/').is_some();
                let pattern = self.up_to('/', true)?;
                let replacement = self.up_to('}', true)?;
                let value = self.value(&name).unwrap_or_default();
                let pattern = glob::Pattern::parse(&pattern)?;
                Ok(pattern.replace(&value, &replacement, everywhere))
            }
            Some(c) if empty_is_unset || matches!(c, '-' | '+' | '?') => {
                let word = self.up_to('}', false)?;
                let value = self.value(&name);
                let set = value.clone().filter(|value| !(empty_is_unset && value.is_empty()));
                match c {
                    '-' => Ok(set.unwrap_or(word)),
                    '+' => Ok(set.map(|_| word).unwrap_or_default()),
                    '?' => set.ok_or_else(|| demand(&name, &word, value.is_some())),
                    _ => unsupported(c),
                }
            }
            Some(c) => unsupported(c),
        }
    }

    /// A variable's name: letters, digits and `_`; or digits alone; or one special character.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.rest.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.rest.next_if(char::is_ascii_digit) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.rest.next()),
            _ => {
                while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.expander.lookup)(name)
    }
}

/// That the text ends before `stop`.
fn missing(stop: char) -> String {
    match stop {
        '/' => "syntax error: missing '/' in ${}".to_owned(),
        stop => format!("syntax error: missing '{stop}'"),
    }
}

/// What `${name:?word}` says of a variable that is not set, or set to nothing.
fn demand(name: &str, word: &str, is_set: bool) -> String {
    match word {
        "" if is_set => format!("{name}: is not allowed to be empty"),
        "" => format!("{name}: is not allowed to be unset"),
        word => format!("{name}: {word}"),
    }
}

/// How many `${…}` may stand inside each other; a Dockerfile is not to choose how deep our stack grows.
const DEEPEST: usize = 64;

#[cfg(test)]
mod tests;
