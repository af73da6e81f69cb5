use super::*;
use proptest::prelude::*;

fn ignored(patterns: &str, path: &str) -> bool {
    Ignore::parse(patterns).unwrap_or_else(|error| panic!("{patterns:?}: {error}")).judge_deep(path).ignored
}

#[test]
fn single_patterns_match_as_moby_documents() {
    for (pattern, path, expected) in [
        ("**", "file", true),
        ("**/", "file", true),
        ("**", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/**", "dir/dir2/dir3/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**file", "dir/xfile", true),
        ("**/file", "dir/dir/file", true),
        ("**/file", "dir/xfile", false),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        ("{a,b}", "a", false),
        ("dist/*.whl", "dist/p.py-2.4.0rc3.dev36+g08acad9.whl", true),
        (r"a\*b", "a*b", true),
        (r"a\\", r"a\", true),
        ("a", "a/b", true),
        ("*", "a/b/c", true),
        ("a*/b", "a/c/b", false),
        ("**/x/**/y", "x/y", true),
        ("**/x/**/y", "a/x/b/c/y", true),
        ("**/x/**/y", "a/x/b/c/zy", false),
    ] {
        assert_eq!(ignored(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn the_last_pattern_that_matches_decides() {
    for (patterns, path, expected) in [
        ("*.go\n!utils.go", "utils.go", false),
        ("!utils.go\n*.go", "utils.go", true),
        ("docs\n!docs/README.md", "docs/README.md", false),
        ("docs\n!docs/README.md", "docs/other.md", true),
        ("docs/\n!docs/README.md", "docs/README.md", false),
        ("docs/*\n  !docs/README.md  ", "docs/README.md", false),
        ("**\n!util/docker/web", "util/docker/web/foo", false),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", true),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
        ("*.md\n!README*.md\nREADME-secret.md", "README.md", false),
        ("a\n! b", "b", false),
    ] {
        assert_eq!(ignored(patterns, path), expected, "{patterns:?} {path}");
    }
}

#[test]
fn lines_are_cleaned_as_paths() {
    for (line, path, expected) in [
        ("/a/b/", "a/b", true),
        ("./a", "a", true),
        ("a/../b", "b", true),
        ("a//b", "a/b", true),
        ("# a\na", "a", true),
        ("#a", "#a", false),
        ("/", "a", false),
        (".", "a", false),
        ("\u{feff}a", "a", true),
    ] {
        assert_eq!(ignored(line, path), expected, "{line:?} {path}");
    }
}

#[test]
fn lines_that_are_no_patterns_are_refused() {
    for (line, words) in [
        ("!", "illegal exclusion pattern: \"!\""),
        ("[", "syntax error in pattern"),
        ("[a-]", "syntax error in pattern"),
    ] {
        assert_eq!(Ignore::parse(line).map_err(|e| e.to_string()).err().as_deref(), Some(words));
    }
}

#[test]
fn an_ignored_directory_is_skipped_only_if_nothing_in_it_can_come_back() {
    let reaches = |patterns: &str| Ignore::parse(patterns).expect("valid").may_reach_into("a/b");
    assert!(!reaches("a"));
    assert!(!reaches("a\n!c/d\n!a/bc"));
    assert!(reaches("a\n!a/b/c"));
    assert!(reaches("a\n!**/c"));
}

proptest! {
    #[test]
    fn the_walk_agrees_with_a_fresh_judgement(
        patterns in prop::collection::vec("!?[ab*]{1,3}(/[ab*]{1,2}){0,2}", 0..5),
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        // Nothing below a directory that the walk skips is ever taken.
        let ignore = Ignore::parse(&patterns.join("\n")).expect("valid");
        for (end, _) in path.match_indices('/') {
            if ignore.judge_deep(&path[..end]).ignored && !ignore.may_reach_into(&path[..end]) {
                prop_assert!(ignore.judge_deep(&path).ignored, "{:?} {}", patterns, path);
            }
        }
    }
}

#[test]
fn patterns_nobody_would_write() {
    let words = [
        "**", "*", "?", "[", "]", "[^", "-", "\\", "/", "!", "..", ".", "\n", "#", "a", "é", "\u{feff}", "$",
        "+", "(",
    ];
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/dockerignore");
    testkit::fuzz(&corpus, &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(ignore) = Ignore::parse(&text) else { return };
        for path in ["a", "a/b", "a/b/c.txt", "é/[", "..a/b\\c", "src/**/x"] {
            let verdict = ignore.judge_deep(path);
            // What the walk would pass over stays out.
            let passed_over =
                |at: usize| ignore.judge_deep(&path[..at]).ignored && !ignore.may_reach_into(&path[..at]);
            if path.match_indices('/').any(|(at, _)| passed_over(at)) {
                assert!(verdict.ignored, "{path}");
            }
        }
    });
}
