//! What of a build context is left out: the rules of .dockerignore, as moby's patternmatcher has them.
//!
//! Patterns are tried in order and the last one that matches a path or one of its parents decides; one that
//! starts with `!` takes paths back in. `*` and `?` stop at a slash, `**` is any number of directories.

mod pattern;

pub use pattern::InvalidPattern;
use pattern::Pattern;

/// The patterns of an ignore file.
#[derive(Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// What the patterns said of a directory, needed to judge what is in it.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Whether the path itself is left out.
    pub ignored: bool,
    /// Which patterns matched it or a parent of it.
    matched: Vec<bool>,
}

impl Ignore {
    /// Reads the text of a .dockerignore file.
    pub fn parse(text: &str) -> Result<Ignore, InvalidPattern> {
        let text = text.trim_start_matches('\u{feff}');
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty()).map(Pattern::parse);
        // A pattern of only a slash or a dot names the context itself, which cannot be left out.
        Ok(Ignore { patterns: patterns.filter_map(Result::transpose).collect::<Result<_, _>>()? })
    }

    /// Whether nothing is ever left out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether something may come back that is in a directory that was left out.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Judges `path`, relative to the context, given the verdict on the directory it is in
    /// (`Verdict::default()` at the top).
    pub fn judge(&self, path: &str, parent: &Verdict) -> Verdict {
        let mut verdict = Verdict { ignored: false, matched: vec![false; self.patterns.len()] };
        for (i, pattern) in self.patterns.iter().enumerate() {
            let matches = parent.matched.get(i).copied().unwrap_or(false)
                || pattern.exception == verdict.ignored && pattern.matches(path);
            verdict.matched[i] = matches;
            if matches {
                verdict.ignored = !pattern.exception;
            }
        }
        verdict
    }

    /// Judges `path` and, before it, each directory it is in.
    pub fn judge_deep(&self, path: &str) -> Verdict {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.fold(Verdict::default(), |parent, end| self.judge(&path[..end], &parent))
    }

    /// Whether something inside an ignored directory may have been taken back in.
    pub fn may_reach_into(&self, directory: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception && pattern.may_reach_into(directory))
    }
}

#[cfg(test)]
mod tests;
