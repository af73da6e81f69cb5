//! `--chmod`: permission bits, as a number or as chmod(1) changes them: `u=rwX,go=rX`.

use serde::Serialize;

/// What permission bits become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Mode {
    Bits(u32),
    Changes(Vec<Change>),
}

/// One change, such as `go-w`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The bits of those whom it is about: owner, group, others.
    who: u32,
    operator: char,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
enum What {
    /// Letters of `rwxXst`.
    Letters(String),
    /// What one of `ugo` has.
    As(char),
}

impl Mode {
    /// Reads what the flag says; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Mode> {
        match text.starts_with(|c: char| c.is_ascii_digit()) {
            true => u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777).map(Mode::Bits),
            false => {
                let clauses = text.split(',').map(clause).collect::<Option<Vec<_>>>()?;
                Some(Mode::Changes(clauses.concat()))
            }
        }
    }

    /// The bits of a directory that is made for what gets this mode. BuildKit hands a number to mkdir(2), whose mask
    /// takes its share, and keeps changes to itself.
    pub fn on_the_way(&self) -> u32 {
        match self {
            Mode::Bits(bits) => bits & 0o777 & !0o022,
            Mode::Changes(_) => USUAL_MODE,
        }
    }

    /// The bits of a file that has `bits`.
    pub fn apply(&self, bits: u32, is_directory: bool) -> u32 {
        match self {
            Mode::Bits(bits) => *bits,
            Mode::Changes(changes) => {
                changes.iter().fold(bits & 0o7777, |bits, change| change.apply(bits, is_directory))
            }
        }
    }
}

/// Of directories that nothing is said about.
pub const USUAL_MODE: u32 = 0o755;

/// `[ugoa]*([-+=][rwxXst]*|[ugo])+`
fn clause(text: &str) -> Option<Vec<Change>> {
    let start = text.find(['+', '-', '='])?;
    let (who_text, mut rest) = text.split_at(start);
    let mut who = 0;
    for c in who_text.chars() {
        who |= match c {
            'u' => OWNER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => ALL,
            _ => return None,
        };
    }
    let mut changes = Vec::new();
    while let Some(operator) = rest.chars().next() {
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (letters, next) = rest.split_at(end);
        let what = match letters {
            "u" | "g" | "o" => What::As(letters.chars().next()?),
            _ if letters.chars().all(|c| "rwxXst".contains(c)) => What::Letters(letters.to_owned()),
            _ => return None,
        };
        changes.push(Change { who, operator, what });
        rest = next;
    }
    Some(changes)
}

impl Change {
    fn apply(&self, bits: u32, is_directory: bool) -> u32 {
        // Where nobody is named it is all, but for what the usual file mode creation mask (022) takes away.
        let (who, mask) = if self.who == 0 { (ALL, 0o022) } else { (self.who, 0) };
        let mut what = 0;
        match &self.what {
            What::Letters(letters) => {
                for letter in letters.chars() {
                    what |= match letter {
                        'r' => 0o444 & who,
                        'w' => 0o222 & who,
                        'x' => 0o111 & who,
                        'X' if is_directory || bits & 0o111 != 0 => 0o111 & who,
                        's' => {
                            (if who & OWNER != 0 { 0o4000 } else { 0 })
                                | (if who & GROUP != 0 { 0o2000 } else { 0 })
                        }
                        't' if self.who == 0 || self.who == ALL || who & OTHERS != 0 => 0o1000,
                        _ => 0,
                    };
                }
            }
            What::As(whose) => {
                let shift = match whose {
                    'u' => 6,
                    'g' => 3,
                    _ => 0,
                };
                let theirs = bits >> shift & 7;
                what = (theirs << 6 | theirs << 3 | theirs) & who;
            }
        }
        what &= !mask;
        match self.operator {
            '+' => bits | what,
            '-' => bits & !what,
            _ => bits & !(who & 0o777) | what,
        }
    }
}

const OWNER: u32 = 0o700;
const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;
const ALL: u32 = 0o777;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_those_of_chmod() {
        for (text, file, directory) in [
            ("640", 0o640, 0o640),
            ("0755", 0o755, 0o755),
            ("u=rwX,go=rX", 0o644, 0o755),
            ("+x", 0o755, 0o755),
            ("a+w", 0o666, 0o777),
            ("+w", 0o644, 0o755),
            ("go-r", 0o600, 0o711),
            ("u+s", 0o4644, 0o4755),
            ("g=u", 0o664, 0o775),
            ("o=", 0o640, 0o750),
            ("u+x-r", 0o344, 0o355),
            ("+t", 0o1644, 0o1755),
        ] {
            let mode = Mode::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((mode.apply(0o644, false), mode.apply(0o755, true)), (file, directory), "{text}");
        }
        for (text, on_the_way) in [("640", 0o640), ("1777", 0o755), ("go-rwx", 0o755)] {
            assert_eq!(Mode::parse(text).map(|mode| mode.on_the_way()), Some(on_the_way), "{text}");
        }
        for text in ["", "8", "17777", "x", "u", "z+x", "u+q", "u=rw,"] {
            assert_eq!(Mode::parse(text), None, "{text}");
        }
    }
}
