//! What of a tree is taken: by patterns that count from its context, and by others that count from the tree itself.

use std::path::{Path, PathBuf};

use crate::ignore::{Ignore, Verdict};

/// Patterns at work on one walk.
pub struct Sieve<'a> {
    meshes: Vec<Mesh<'a>>,
}

/// One list of patterns.
struct Mesh<'a> {
    ignore: &'a Ignore,
    /// What the patterns see before a path of the walk.
    prefix: &'a Path,
    /// The directories the walk is in, from where it began, with what the patterns said of them.
    above: Vec<(PathBuf, Verdict)>,
}

/// What is said of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    pub taken: bool,
    /// Something in it may be taken, whether or not it is itself.
    pub enter: bool,
}

impl<'a> Sieve<'a> {
    pub fn new() -> Sieve<'a> {
        Sieve { meshes: Vec::new() }
    }

    /// Leaves out what `ignore` says. To its patterns the walk begins at `prefix`.
    pub fn through(mut self, ignore: &'a Ignore, prefix: &'a Path) -> Sieve<'a> {
        if !ignore.is_empty() {
            let text = prefix.to_string_lossy();
            let verdict = if text.is_empty() { Verdict::default() } else { ignore.judge_deep(&text) };
            self.meshes.push(Mesh { ignore, prefix, above: vec![(PathBuf::new(), verdict)] });
        }
        self
    }

    /// What becomes of where the walk begins.
    pub fn start(&self) -> Passage {
        let mut passage = Passage { taken: true, enter: true };
        for Mesh { ignore, prefix, above } in &self.meshes {
            if above[0].1.ignored {
                passage.taken = false;
                passage.enter &= ignore.may_reach_into(&prefix.to_string_lossy());
            }
        }
        passage
    }

    /// What becomes of what is at `path`, from where the walk began. To be asked in the order of a walk.
    pub fn judge(&mut self, path: &Path) -> Passage {
        let mut passage = Passage { taken: true, enter: true };
        for Mesh { ignore, prefix, above } in &mut self.meshes {
            let parent = path.parent().unwrap_or(Path::new(""));
            while above.len() > 1 && above.last().is_some_and(|(directory, _)| directory != parent) {
                above.pop();
            }
            let full = prefix.join(path);
            let full = full.to_string_lossy();
            let verdict = above.last().map(|(_, parent)| ignore.judge(&full, parent)).unwrap_or_default();
            if verdict.ignored {
                passage.taken = false;
                passage.enter &= ignore.may_reach_into(&full);
            }
            above.push((path.to_owned(), verdict));
        }
        passage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_of_patterns_counts_from_its_own_place() {
        let ignore = |text: &str| Ignore::parse(text).expect("patterns");
        let (outer, inner) = (ignore("d/a\nd/deep\n!d/deep/x"), ignore("*.txt"));
        let mut sieve = Sieve::new().through(&outer, Path::new("d")).through(&inner, Path::new(""));
        assert_eq!(sieve.start(), Passage { taken: true, enter: true });
        for (path, taken, enter) in [
            ("a", false, false),
            ("b.txt", false, false),
            ("c", true, true),
            ("deep", false, true),
            ("deep/x", true, true),
            ("deep/y", false, false),
            ("e", true, true),
            ("e/f.txt", true, true),
        ] {
            assert_eq!(sieve.judge(Path::new(path)), Passage { taken, enter }, "{path}");
        }
    }
}
