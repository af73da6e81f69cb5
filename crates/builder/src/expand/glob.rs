//! The patterns of `${V#p}`, `${V%p}` and `${V/p/r}`: `*` and `?`, no brackets.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    One(char),
    AnyOne,
    AnyMany,
}

/// A parsed pattern.
pub struct Pattern(Vec<Piece>);

impl Pattern {
    /// `*`, `?` and `\` can be escaped by `\`; so can `}` and `/`, since those end the pattern.
    pub fn parse(pattern: &str) -> Result<Pattern, String> {
        let mut pieces = Vec::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            pieces.push(match c {
                '*' => Piece::AnyMany,
                '?' => Piece::AnyOne,
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => Piece::One(escaped),
                    other => {
                        let other = other.map(String::from).unwrap_or_default();
                        return Err(format!(
                            "invalid pattern ({pattern}) in substitution: invalid escape '\\{other}'"
                        ));
                    }
                },
                _ => Piece::One(c),
            });
        }
        Ok(Pattern(pieces))
    }

    /// `value` without the shortest or longest beginning that matches.
    pub fn without_prefix(&self, value: &str, longest: bool) -> String {
        let characters: Vec<char> = value.chars().collect();
        let length = ends(&self.0, &characters, longest).unwrap_or(0);
        characters[length..].iter().collect()
    }

    /// `value` without the shortest or longest end that matches.
    pub fn without_suffix(&self, value: &str, longest: bool) -> String {
        let reversed: Vec<Piece> = self.0.iter().rev().copied().collect();
        let characters: Vec<char> = value.chars().rev().collect();
        let length = ends(&reversed, &characters, longest).unwrap_or(0);
        characters[length..].iter().rev().collect()
    }

    /// `value` with the first match, or every match, replaced; matches are as long as they can be.
    pub fn replace(&self, value: &str, replacement: &str, everywhere: bool) -> String {
        let characters: Vec<char> = value.chars().collect();
        let mut result = String::new();
        let mut at = 0;
        while at <= characters.len() {
            match ends(&self.0, &characters[at..], true) {
                Some(length) => {
                    result.push_str(replacement);
                    at += length;
                    if !everywhere {
                        break;
                    }
                    if length == 0 {
                        result.extend(characters.get(at));
                        at += 1;
                    } else if at == characters.len() {
                        break;
                    }
                }
                None => {
                    result.extend(characters.get(at));
                    at += 1;
                }
            }
        }
        result.extend(characters.get(at..).unwrap_or_default());
        result
    }
}

/// The length of the shortest or longest beginning of `text` that matches. Follows all ways to match at once,
/// so that no pattern takes more than pattern × text steps.
fn ends(pieces: &[Piece], text: &[char], longest: bool) -> Option<usize> {
    let mut at = vec![false; pieces.len() + 1];
    reach(&mut at, pieces, 0);
    let mut found = None;
    for length in 0..=text.len() {
        if at[pieces.len()] {
            found = Some(length);
            if !longest {
                break;
            }
        }
        let Some(c) = text.get(length) else { break };
        let mut next = vec![false; pieces.len() + 1];
        for (i, piece) in pieces.iter().enumerate().filter(|(i, _)| at[*i]) {
            match piece {
                Piece::One(one) if one == c => reach(&mut next, pieces, i + 1),
                Piece::One(_) => {}
                Piece::AnyOne => reach(&mut next, pieces, i + 1),
                Piece::AnyMany => reach(&mut next, pieces, i),
            }
        }
        if !next.contains(&true) {
            break;
        }
        at = next;
    }
    found
}

/// Marks the piece at `i`, and those behind it that may match nothing.
fn reach(at: &mut [bool], pieces: &[Piece], mut i: usize) {
    at[i] = true;
    while pieces.get(i) == Some(&Piece::AnyMany) {
        i += 1;
        at[i] = true;
    }
}
