use super::*;
use proptest::prelude::*;

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "A" => "hello",
        "EMPTY" => "",
        "PATHS" => "/a/b/a/b",
        "SPACED" => "one two",
        "FILE" => "foo.tar.gz",
        "DASH" => "a-b-c",
        _ => return None,
    };
    Some(value.to_owned())
}

fn check(word: &str, expected: &str) {
    let expander = Expander { escape: '\\', lookup: &lookup };
    let actual = expander.word(word).unwrap_or_else(|error| error.to_string());
    assert_eq!(actual, expected, "{word}");
}

#[test]
fn variables_stand_for_their_values() {
    check("$A", "hello");
    check("${A}", "hello");
    check("x${A}y$A.z", "xhelloyhello.z");
    check("$MISSING-$EMPTY.", "-.");
    check("$", "$");
    check("a$ b", "a$ b");
    check("$1x$@", "x");
}

#[test]
fn defaults_alternatives_and_demands() {
    check("${A:-d}${EMPTY:-d}${MISSING:-d}", "hellodd");
    check("${A-d}${EMPTY-d}${MISSING-d}", "hellod");
    check("${A:+a}${EMPTY:+a}${MISSING:+a}", "a");
    check("${A+a}${EMPTY+a}${MISSING+a}", "aa");
    check("${MISSING:-${A}}/${MISSING:-a b}", "hello/a b");
    check("${A:?no}", "hello");
    check("${MISSING:?no}", r#"failed to process "${MISSING:?no}": MISSING: no"#);
    check("${MISSING?}", r#"failed to process "${MISSING?}": MISSING: is not allowed to be unset"#);
    check("${EMPTY:?}", r#"failed to process "${EMPTY:?}": EMPTY: is not allowed to be empty"#);
    check("${EMPTY?}", "");
}

#[test]
fn patterns_cut_and_replace() {
    check("${FILE%.*}", "foo.tar");
    check("${FILE%%.*}", "foo");
    check("${FILE#*.}", "tar.gz");
    check("${FILE##*.}", "gz");
    check("${FILE#???}", ".tar.gz");
    check("${FILE%nothing}", "foo.tar.gz");
    check("${PATHS/a/X}", "/X/b/a/b");
    check("${PATHS//a/X}", "/X/b/X/b");
    check(r"${PATHS//\//-}", "-a-b-a-b");
    check("${DASH//-/}", "abc");
    check("${DASH/-*/}", "a");
    check(
        r"${A#\x}",
        r#"failed to process "${A#\\x}": invalid pattern (\x) in substitution: invalid escape '\x'"#,
    );
}

#[test]
fn quotes_and_escapes_are_removed_and_protect() {
    check(r"\$A", "$A");
    check(r#"'$A' "$A" "\$A""#, "$A hello $A");
    check(r#""a\b\"c""#, r#"a\b"c"#);
    check(r"a\ b\\c", r"a b\c");
    check("\"it's\"", "it's");
    check(
        "'a",
        r#"failed to process "'a": unexpected end of statement while looking for matching single-quote"#,
    );
}

#[test]
fn broken_substitutions_say_what_is_wrong() {
    check("${A", r#"failed to process "${A": syntax error: missing '}'"#);
    check("${}", r#"failed to process "${}": syntax error: bad substitution"#);
    check("${A:-b", r#"failed to process "${A:-b": syntax error: missing '}'"#);
    check("${A^}", r#"failed to process "${A^}": unsupported modifier (^) in substitution"#);
}

#[test]
fn words_split_after_expansion_unless_quoted() {
    let words = |word: &str| {
        let expander = Expander { escape: '\\', lookup: &lookup };
        expander.words(word).expect("valid").join("|")
    };
    assert_eq!(words("a  $SPACED b"), "a|one|two|b");
    assert_eq!(words(r#""$SPACED" 'c d' e\ f"#), "one two|c d|e f");
    assert_eq!(words("x$SPACED"), "xone|two");
}

#[test]
fn the_escape_character_is_the_files_own() {
    let expander = Expander { escape: '`', lookup: &lookup };
    assert_eq!(expander.word(r"c:\$A`$A"), Ok(r"c:\hello$A".to_owned()));
}

proptest! {
    #[test]
    fn no_word_is_too_strange(word in "[$:{}/#%*?\\\\'\"A-C+-]{0,60}") {
        let expander = Expander { escape: '\\', lookup: &lookup };
        drop(expander.words(&word));
    }

    #[test]
    fn text_without_special_characters_stays(word in "[a-z .,/=]{0,40}") {
        check(&word, &word);
    }
}
