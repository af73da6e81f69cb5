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

/// Checks what words come to with `PWD=/home`, `SHELL=bash`, `KOREAN=한국어` and an empty `NULL`.
fn check_like_a_shell(cases: &[(&str, &str)]) {
    let lookup = |name: &str| {
        let known = [("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")];
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
    };
    for (word, expected) in cases {
        let actual = Expander { escape: '\\', lookup: &lookup }.word(word);
        assert_eq!(actual.as_deref().unwrap_or("error"), *expected, "{word}");
    }
}

#[test]
fn words_come_to_what_buildkit_makes_of_them() {
    check_like_a_shell(&[
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ("he'llo", "error"),
        (r"he\'llo", "he'llo"),
        (r"he\\'llo", "error"),
        (r"abc\tdef", "abctdef"),
        (r#""abc\tdef""#, r"abc\tdef"),
        (r"'abc\tdef'", r"abc\tdef"),
        (r"hello\", "hello"),
        (r"hello\\", r"hello\"),
        (r#""hello"#, "error"),
        (r#""hello\""#, "error"),
        (r#""hel'lo""#, "hel'lo"),
        (r"'hello\'", r"hello\"),
        (r#""''""#, "''"),
        (r#"'"hello"'"#, r#""hello""#),
        ("$.", "$."),
        ("he$1x", "hex"),
        ("he$.x", "he$.x"),
        ("he$pwd.", "he."),
        ("he$PWD", "he/home"),
        (r"he\$PWD", "he$PWD"),
        (r"he\\$PWD", r"he\/home"),
        (r#""he\$PWD""#, "he$PWD"),
        (r"'he\$PWD'", r"he\$PWD"),
        (r"he\${}xx", "he${}xx"),
        ("he${}xx", "error"),
        ("he${hi}xx", "hexx"),
        ("he${PWD}", "he/home"),
        ("he${.}", "error"),
        ("he${PWD", "error"),
        ("'he${XX}'", "he${XX}"),
        (r#""he'$PWD'""#, "he'/home'"),
        ("안녕$KOREAN", "안녕한국어"),
        ("안'녕'하$1세요", "안녕하세요"),
    ]);
}

#[test]
fn modifiers_come_to_what_buildkit_makes_of_them() {
    check_like_a_shell(&[
        ("he${XXX:-000}xx", "he000xx"),
        ("he${NULL:-000}xx", "he000xx"),
        ("he${NULL-000}xx", "hexx"),
        ("he${XXX-000}xx", "he000xx"),
        ("he${PWD:-000}xx", "he/homexx"),
        ("he${XXX:-$PWD}xx", "he/homexx"),
        ("he${XXX:-${YYY:-yyy}}xx", "heyyyxx"),
        ("he${XXX:-'a}b'}xx", "hea}bxx"),
        (r"he${XXX:-\$PWD:}xx", "he$PWD:xx"),
        ("he${XXX:+${PWD}}xx", "hexx"),
        ("he${NULL:+000}xx", "hexx"),
        ("he${NULL+000}xx", "he000xx"),
        ("he${PWD:+${SHELL}}xx", "hebashxx"),
        ("he${PWD:+${PWD}:}xx", "he/home:xx"),
        ("he${XXX:?}xx", "error"),
        ("he${NULL:?}xx", "error"),
        ("he${NULL?}xx", "hexx"),
        ("he${XXX?}xx", "error"),
        ("he${PWD:?no}xx", "he/homexx"),
        ("he${XXX:YYY}", "error"),
        ("he${PWD:=000}xx", "error"),
        ("he${PWD:#x}xx", "error"),
        ("he${PWD:%x}xx", "error"),
        ("he${PWD:/x/y}xx", "error"),
        ("${PWD#/}", "home"),
        ("${PWD#*o}", "me"),
        ("${PWD##*[o]}", "/home"),
        ("${PWD%m?}", "/ho"),
        ("${PWD%%o*}", "/h"),
        ("${XXX#x}", ""),
        ("${PWD/o/0}", "/h0me"),
        ("${PWD//[eo]/0}", "/home"),
        ("${PWD//?/.}", "....."),
        (r"${PWD/\//}", "home"),
        ("${PWD/x}", "error"),
        ("${PWD/x/y", "error"),
        (r"${PWD#\x}", "error"),
        ("${XXX/a/b}", ""),
    ]);
}

#[test]
fn a_variable_is_asked_for_once_its_substitution_is_known_to_be_one() {
    let asked = |word: &str| {
        let asked = std::cell::RefCell::new(Vec::new());
        let lookup = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            None
        };
        drop(Expander { escape: '\\', lookup: &lookup }.word(word));
        asked.into_inner().join(" ")
    };
    assert_eq!(asked("$a${b}${c:-$d}"), "a b d c");
    assert_eq!(asked("${a^}"), "");
    assert_eq!(asked("${a:=b}"), "a");
    assert_eq!(asked("${a/b}"), "");
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
