//! One pattern of an ignore file.

/// A line that is no pattern, in moby's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    #[error("illegal exclusion pattern: \"!\"")]
    LoneException,
    #[error("syntax error in pattern")]
    Syntax(String),
}

/// One line of an ignore file.
#[derive(Debug)]
pub struct Pattern {
    /// It began with `!`: what it matches is not ignored after all.
    pub exception: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Exact(String),
    /// `dir/**`, without the stars.
    Prefix(String),
    /// `**/name`, without the stars.
    Suffix(String),
    Pieces(Vec<Piece>),
}

#[derive(Debug)]
enum Piece {
    One(char),
    /// `?`
    NotSlash,
    /// `*`
    NotSlashes,
    /// `**` at the end
    Anything,
    /// `**/`
    Directories,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Parses a trimmed line; `None` if it names the context itself.
    pub fn parse(line: &str) -> Result<Option<Pattern>, InvalidPattern> {
        let (exception, path) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if path.is_empty() {
            return Err(InvalidPattern::LoneException);
        }
        let cleaned = crate::path::clean(path);
        let path = cleaned.strip_prefix('/').unwrap_or(&cleaned);
        if path.is_empty() || path == "." {
            return Ok(None);
        }
        types::wildcard::matches(path, ".").map_err(|_| InvalidPattern::Syntax(line.to_owned()))?;
        Ok(Some(Pattern { exception, kind: Kind::parse(path) }))
    }

    /// Whether the whole of `path` matches.
    pub fn matches(&self, path: &str) -> bool {
        match &self.kind {
            Kind::Exact(exact) => path == exact,
            Kind::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Kind::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/').is_some_and(|name| name == path)
            }
            Kind::Pieces(pieces) => match_pieces(pieces, path),
        }
    }

    /// Whether a path below `directory` could match. May say yes where the truth is no.
    pub fn may_reach_into(&self, directory: &str) -> bool {
        match &self.kind {
            Kind::Exact(path) => path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')),
            Kind::Prefix(_) | Kind::Suffix(_) | Kind::Pieces(_) => true,
        }
    }
}

impl Kind {
    fn parse(path: &str) -> Kind {
        let mut pieces = Vec::new();
        let mut plain = true;
        let mut deep_start = false;
        let mut rest = path.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '*' if rest.next_if_eq(&'*').is_some() => {
                    let first = pieces.is_empty() && plain;
                    rest.next_if_eq(&'/');
                    let last = rest.peek().is_none();
                    if last && plain && !first && !deep_start {
                        return Kind::Prefix(path[..path.len() - "**".len()].to_owned());
                    }
                    pieces.push(if last { Piece::Anything } else { Piece::Directories });
                    plain &= first;
                    deep_start |= first;
                }
                '*' | '?' | '[' | '\\' => {
                    plain = false;
                    pieces.push(match c {
                        '*' => Piece::NotSlashes,
                        '?' => Piece::NotSlash,
                        '[' => class(&mut rest),
                        _ => Piece::One(rest.next().unwrap_or('\\')),
                    });
                }
                _ => pieces.push(Piece::One(c)),
            }
        }
        match (plain, deep_start) {
            (true, false) => Kind::Exact(path.to_owned()),
            (true, true) => Kind::Suffix(path["**".len()..].to_owned()),
            (false, _) => Kind::Pieces(pieces),
        }
    }
}

/// The class after `[`; known to be well-formed.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Piece {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let character = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| match rest.next() {
        Some('\\') => rest.next(),
        other => other,
    };
    while rest.next_if_eq(&']').is_none() {
        let Some(low) = character(rest) else { break };
        let high = match rest.next_if_eq(&'-') {
            Some(_) => character(rest).unwrap_or(low),
            None => low,
        };
        ranges.push((low, high));
    }
    Piece::Class { negated, ranges }
}

/// Follows all ways to match at once, so that no pattern takes more than pattern × path steps.
fn match_pieces(pieces: &[Piece], path: &str) -> bool {
    let mut at = vec![false; pieces.len() + 1];
    let mut next = at.clone();
    reach(&mut at, pieces, 0);
    for c in path.chars() {
        next.fill(false);
        for (i, piece) in pieces.iter().enumerate().filter(|(i, _)| at[*i]) {
            match piece {
                Piece::One(one) if *one == c => reach(&mut next, pieces, i + 1),
                Piece::NotSlash if c != '/' => reach(&mut next, pieces, i + 1),
                Piece::NotSlashes if c != '/' => reach(&mut next, pieces, i),
                Piece::Anything => reach(&mut next, pieces, i),
                Piece::Directories => {
                    next[i] = true;
                    if c == '/' {
                        reach(&mut next, pieces, i + 1);
                    }
                }
                Piece::Class { negated, ranges }
                    if ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated =>
                {
                    reach(&mut next, pieces, i + 1);
                }
                _ => {}
            }
        }
        std::mem::swap(&mut at, &mut next);
    }
    at[pieces.len()]
}

/// Marks the piece at `i`, and those behind it that may match nothing. Directories match nothing only as a
/// whole: in their middle, the way on is through a slash.
fn reach(at: &mut [bool], pieces: &[Piece], mut i: usize) {
    at[i] = true;
    while let Some(Piece::NotSlashes | Piece::Anything | Piece::Directories) = pieces.get(i) {
        i += 1;
        at[i] = true;
    }
}
