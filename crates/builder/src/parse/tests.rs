use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::expand::Expander;

/// Each statement as `KEYWORD|flags|arguments`, heredocs after it.
fn outline(source: &str) -> String {
    let dockerfile = parse(source).unwrap_or_else(|problem| panic!("{source:?}: {}", problem.message));
    let lines = dockerfile.statements.iter().map(|s| {
        let flags: Vec<_> = s.flags.iter().map(|f| f.name.as_str()).collect();
        let heredocs: String = s.heredocs.iter().map(|h| format!(" <{}:{:?}>", h.name, h.content)).collect();
        format!("{}|{}|{}{heredocs}", s.name(), flags.join(","), s.arguments.as_str())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn comments_blank_lines_and_continuations_are_taken_out() {
    let source =
        "\u{feff}# hello\n\nfrom a\n  # indented\nRun x \\\n# inside\n\n  && y \\  \n\t&& z\r\nCMD []";
    assert_eq!(outline(source), "FROM||a\nRUN||x   && y \t&& z\nCMD||[]");
}

#[test]
fn a_byte_order_mark_is_one_at_the_top_only() {
    assert_eq!(outline("# escape=`\n\u{feff}FROM a"), "\u{feff}FROM||a");
}

#[test]
fn two_escapes_at_the_end_of_a_line_do_not_continue_it() {
    assert_eq!(outline("FROM a\nRUN x \\\\\nRUN y"), "FROM||a\nRUN||x \\\\\nRUN||y");
}

#[test]
fn the_escape_directive_changes_what_continues_a_line() {
    assert_eq!(outline("# escape=`\nFROM a\nRUN dir c:\\\nRUN b `\n c"), "FROM||a\nRUN||dir c:\\\nRUN||b  c");
}

#[test]
fn flags_stand_apart_from_arguments() {
    assert_eq!(outline("FROM a\nCOPY --chown=1:2 --link x y"), "FROM||a\nCOPY|chown,link|x y");
}

#[test]
fn here_documents_are_taken_from_the_lines_that_follow() {
    assert_eq!(
        outline("RUN <<A cat <<-\"B\"\n# one\nA\n\ttwo\n\tB\nCMD x"),
        "RUN||<<A cat <<-\"B\" <A:\"# one\\n\"> <B:\"\\ttwo\\n\">\nCMD||x"
    );
    assert_eq!(outline("ENV a <<b"), "ENV||a <<b");
    assert_eq!(parse("RUN <<EOF\nx").map_err(|p| p.message), Err("unterminated heredoc".into()));
}

#[test]
fn places_point_into_the_file() {
    let source = "FROM a\nRUN --x=y one \\\n   two\nCMD z";
    let dockerfile = parse(source).expect("valid");
    let run = &dockerfile.statements[1];
    assert_eq!(&source[run.span.clone()], "RUN --x=y one \\\n   two");
    assert_eq!(&source[run.flags[0].span.clone()], "--x=y");
    assert_eq!(&source[words::plain(&run.arguments)[1].span.clone()], "two");
}

/// Checks the statements of each file, one outline per line.
fn check(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(outline(source), *expected, "{source:?}");
    }
}

fn check_refused(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(
            parse(source).map(|_| ()).map_err(|p| p.message).as_ref(),
            Err(&expected.to_string()),
            "{source:?}"
        );
    }
}

#[test]
fn lines_are_joined_as_buildkit_joins_them() {
    check(&[
        // White space before a line is the instruction's only where it goes on.
        ("  # c\n  FROM a\n\tRUN x", "FROM||a\nRUN||x"),
        ("FROM a\nRUN x \\\n    y", "FROM||a\nRUN||x     y"),
        ("FROM a\nRUN x\\\ny", "FROM||a\nRUN||xy"),
        // Comments and empty lines within, of any kind; not a # that is behind something.
        ("FROM a\nRUN x \\\n# c \\\n  # d\n\n \t\n y", "FROM||a\nRUN||x  y"),
        ("FROM a\nRUN x # y \\\n z", "FROM||a\nRUN||x # y  z"),
        // Escapes that continue nothing, or have nothing after them.
        ("FROM a\nRUN x \\\\\nRUN y", "FROM||a\nRUN||x \\\\\nRUN||y"),
        ("FROM a\nRUN x \\\\\\\nRUN y", "FROM||a\nRUN||x \\\\\\\nRUN||y"),
        ("FROM a\nRUN x \\ z\nRUN y", "FROM||a\nRUN||x \\ z\nRUN||y"),
        ("FROM a\nRUN x \\", "FROM||a\nRUN||x"),
        ("FROM a\n\\\n# c\n\nRUN x", "FROM||a\nRUN||x"),
        ("FROM a\n\\\n", "FROM||a\n||"),
        // The ends of lines.
        ("FROM a\r\nRUN x \\\r\n y\r\n", "FROM||a\nRUN||x  y"),
        ("\u{feff}FROM a", "FROM||a"),
        ("FROM a\r\r\nRUN x", "FROM||a\nRUN||x"),
        // Any case, any blanks between; but a no-break space belongs to the word.
        ("fRoM\t a  \nrun\x0bx", "FROM||a\nRUN||x"),
        ("FROM\u{a0}a", "FROM\u{a0}A||"),
    ]);
}

#[test]
fn another_escape_character_continues_lines_and_the_usual_one_does_not() {
    check(&[
        ("# escape=`\nFROM a\nCOPY x `\n c:\\\nRUN y", "FROM||a\nCOPY||x  c:\\\nRUN||y"),
        ("# Escape = ` \n# syntax=x\nFROM a `\n AS b", "FROM||a  AS b"),
        ("# c\n# escape=`\nFROM a \\\n AS b", "FROM||a  AS b"),
    ]);
}

#[test]
fn here_documents_come_in_many_forms() {
    check(&[
        ("RUN <<E\nE", "RUN||<<E <E:\"\">"),
        ("RUN 3<<E x\na\nE", "RUN||3<<E x <E:\"a\\n\">"),
        ("RUN << E\na\nE", "RUN||<< E <E:\"a\\n\">"),
        ("RUN <<E \\\n x\na\nE", "RUN||<<E  x <E:\"a\\n\">"),
        ("RUN <<'E F'\na\nE F", "RUN||<<'E F' <E F:\"a\\n\">"),
        ("RUN <<\\E\na\nE", "RUN||<<\\E <E:\"a\\n\">"),
        ("RUN <<E>f\na\nE>f", "RUN||<<E>f <E>f:\"a\\n\">"),
        ("RUN <<$E\na\n$E", "RUN||<<$E <$E:\"a\\n\">"),
        ("RUN <<E\na\n E\nE \nE", "RUN||<<E <E:\"a\\n E\\nE \\n\">"),
        ("RUN <<-E\n\ta\n\t\tE", "RUN||<<-E <E:\"\\ta\\n\">"),
        ("RUN <<E\r\na\r\nE\r\n", "RUN||<<E <E:\"a\\r\\n\">"),
        ("RUN <<E <<E\na\nE\nb\nE", "RUN||<<E <<E <E:\"a\\n\"> <E:\"b\\n\">"),
        ("RUN --mount=x <<E\nE", "RUN|mount|<<E <E:\"\">"),
        ("COPY <<X <<Y /d\nY\nX\nX\nY", "COPY||<<X <<Y /d <X:\"Y\\n\"> <Y:\"X\\n\">"),
        ("ADD <<X /d\n# no comment\n\nX", "ADD||<<X /d <X:\"# no comment\\n\\n\">"),
        ("ONBUILD RUN <<E\na\nE\nCMD x", "ONBUILD||RUN <<E <E:\"a\\n\">\nCMD||x"),
        // None at all.
        ("RUN <<<E\nE", "RUN||<<<E\nE||"),
        ("RUN x<<E\nE", "RUN||x<<E\nE||"),
        ("RUN '<<E' \"<<F\"\nE", "RUN||'<<E' \"<<F\"\nE||"),
        ("RUN <<\"E\nE", "RUN||<<\"E\nE||"),
        ("RUN <<-\n-", "RUN||<<-\n-||"),
        ("RUN [\"<<E\", \"x\"]\nE", "RUN||[\"<<E\", \"x\"]\nE||"),
        ("CMD <<E\nE", "CMD||<<E\nE||"),
        ("RUN echo $((1<<2))\nRUN x", "RUN||echo $((1<<2))\nRUN||x"),
    ]);
    check_refused(&[
        ("RUN <<E", "unterminated heredoc"),
        ("RUN x 1 << 2\nRUN y", "unterminated heredoc"),
        ("# escape=`\nRUN <<E`\nE", "unterminated heredoc"),
    ]);
}

#[test]
fn only_what_is_not_quoted_expands_and_only_a_dash_takes_tabs_away() {
    let source = "RUN <<A <<-\"B\" <<\\C <<D'd'\n\ta\nA\n\tb\nB\nc\nC\nd\nDd";
    let dockerfile = parse(source).expect("valid");
    let forms: Vec<_> =
        dockerfile.statements[0].heredocs.iter().map(|h| (h.name.as_str(), h.expand, h.text())).collect();
    let expected = [("A", true, "\ta\n"), ("B", false, "b\n"), ("C", true, "c\n"), ("Dd", false, "d\n")];
    assert_eq!(forms, expected.map(|(name, expand, text)| (name, expand, text.to_owned())));
}

#[test]
fn a_statement_keeps_its_comments_and_the_gaps_within() {
    let source =
        "# syntax=x\n# one\n\n# two\nFROM a\n#\nRUN x \\\n# inside\n\n  y\n# gone\n#\n  # three\nRUN z";
    let statements = parse(source).expect("valid").statements;
    let comments: Vec<_> = statements.iter().map(|statement| statement.comments.join("|")).collect();
    assert_eq!(comments, ["one|two", "", "# three"]);
    let gap = |statement: &Statement| statement.gap.clone().map(|gap| source[gap].to_owned());
    assert_eq!(statements.iter().map(gap).collect::<Vec<_>>(), [None, Some("  y".into()), None]);
}

#[test]
fn a_statement_ends_with_its_last_here_document() {
    let source = "RUN <<A\nx\nA\nCMD y";
    let statements = parse(source).expect("valid").statements;
    assert_eq!(&source[statements[0].span.clone()], "RUN <<A\nx\nA");
}

#[test]
fn files_that_are_none_are_refused() {
    check_refused(&[
        ("", "file with no instructions"),
        ("\n \n", "file with no instructions"),
        ("# x\n\n", "file with no instructions"),
        ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\"),
        ("# check=a=b\n# check=a=b\nFROM a", "only one check parser directive can be used"),
    ]);
}

#[test]
fn lines_have_an_end() {
    let line = |length: usize| format!("FROM a\nLABEL a={}", "x".repeat(length - "LABEL a=".len()));
    assert!(parse(&line(LONGEST)).is_ok());
    assert!(parse(&format!("{}\nRUN x", line(LONGEST))).is_ok());
    let problem = parse(&format!("{}\nRUN x", line(LONGEST + 1))).expect_err("too long");
    assert_eq!(problem.message, "dockerfile line greater than max allowed size of 65535");
    assert_eq!(problem.span, 7..7 + LONGEST + 1);
    let problem = parse(&format!("RUN <<E\n{}", "x".repeat(LONGEST + 1))).expect_err("too long");
    assert_eq!(problem.message, "unterminated heredoc");
}

/// Where another parser sees statements begin.
fn oracle(source: &str) -> Option<Vec<usize>> {
    use parse_dockerfile::Instruction::*;
    let dockerfile = parse_dockerfile::parse(source).ok()?;
    let start = |instruction: &parse_dockerfile::Instruction<'_>| match instruction {
        Add(i) => i.add.span.start,
        Arg(i) => i.arg.span.start,
        Cmd(i) => i.cmd.span.start,
        Copy(i) => i.copy.span.start,
        Entrypoint(i) => i.entrypoint.span.start,
        Env(i) => i.env.span.start,
        Expose(i) => i.expose.span.start,
        From(i) => i.from.span.start,
        Healthcheck(i) => i.healthcheck.span.start,
        Label(i) => i.label.span.start,
        Run(i) => i.run.span.start,
        User(i) => i.user.span.start,
        Workdir(i) => i.workdir.span.start,
        other => panic!("not in these tests: {other:?}"),
    };
    Some(dockerfile.instructions.iter().map(start).collect())
}

#[test]
fn statements_begin_where_another_parser_says() {
    for source in [
        "FROM a\nWORKDIR /app\nADD . /app\nRUN pip install x \\\n   y\nEXPOSE 80\nENV NAME World\nCMD [\"a\"]\n",
        "# syntax=x\nARG V=1\nfrom a:$V as b\n\n# c\ncopy --chown=1 a b\nRUN <<EOF\nFROM not\nEOF\nCMD x\n",
        "FROM a\nRUN x \\\n\n  # c\n  y\nLABEL a=b \\\n  c=\"d e\"\nHEALTHCHECK --interval=1s CMD x\n",
        "# escape=`\nFROM a\nRUN x `\n  y\nUSER b\n",
    ] {
        let ours = parse(source).expect("valid").statements;
        let ours: Vec<_> = ours.iter().map(|s| s.span.start).collect();
        assert_eq!(Some(ours), oracle(source), "{source}");
    }
}

/// The statement as text that means the same, at the top of a file of its own.
fn render(statement: &Statement) -> String {
    let mut text = statement.keyword.text.clone();
    // A byte order mark is one only there, and passed over.
    if text.starts_with('\u{feff}') {
        text.insert(0, '\u{feff}');
    }
    for flag in &statement.flags {
        let value = flag.value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
        text.push_str(" --");
        for c in format!("{}{value}", flag.name).chars() {
            if c.is_whitespace() || matches!(c, '"' | '\'' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
    }
    let arguments = statement.arguments.as_str();
    // What looks like a flag is an argument behind two dashes.
    text.push_str(if arguments.starts_with("--") { " -- " } else { " " });
    text.push_str(arguments);
    for heredoc in &statement.heredocs {
        text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
    }
    text + "\n"
}

/// What a statement says, wherever it stands.
fn meaning(statement: &Statement) -> impl PartialEq + std::fmt::Debug + use<> {
    let flags = statement.flags.iter().map(|flag| (flag.name.clone(), flag.value.clone()));
    let heredocs = statement.heredocs.iter().map(|heredoc| (heredoc.name.clone(), heredoc.content.clone()));
    let arguments = statement.arguments.as_str().to_owned();
    (statement.keyword.text.clone(), flags.collect::<Vec<_>>(), arguments, heredocs.collect::<Vec<_>>())
}

/// Text that is much like a Dockerfile, and wrong in many ways.
fn dockerfile_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "(?s)[ -~\n\t\\\\#<é\u{a0}]{0,8}",
        prop::sample::select(vec![
            "FROM a",
            "RUN ",
            "COPY ",
            "ONBUILD ",
            "ENV ",
            "<<E",
            "<<-'E'",
            "\nE\n",
            "E",
            "\\\n",
            "\\",
            "\n",
            "\r\n",
            "--a=\"b c\" ",
            "--",
            "[\"a\"]",
            "# escape=`\n",
            "# c\n",
            "`\n",
            "\"",
            "'",
            "$x",
            "\u{feff}",
            "  ",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn places_lie_in_the_text_and_between_characters(source in dockerfile_like()) {
        let spans = match parse(&source) {
            Err(problem) => vec![problem.span],
            Ok(dockerfile) => dockerfile.statements.iter().flat_map(|statement| {
                let words = words::quoted(&statement.arguments, dockerfile.directives.escape);
                let words = words.into_iter().chain(words::plain(&statement.arguments)).map(|word| word.span);
                let flags = statement.flags.iter().map(|flag| flag.span.clone());
                let heredocs = statement.heredocs.iter().map(|heredoc| heredoc.span.clone());
                let own = [statement.span.clone(), statement.keyword.span.clone(), statement.arguments.whole()];
                own.into_iter().chain(statement.gap.clone()).chain(words).chain(flags).chain(heredocs).collect::<Vec<_>>()
            }).collect(),
        };
        for span in spans {
            prop_assert!(source.get(span.clone()).is_some(), "{:?} {:?}", source, span);
        }
    }

    #[test]
    fn a_statement_is_read_again_from_its_own_text(source in dockerfile_like()) {
        let Ok(dockerfile) = parse(&source) else { return Ok(()) };
        for statement in dockerfile.statements.iter().filter(|statement| !statement.keyword.text.is_empty()) {
            // What only the escape directive keeps apart would be joined without it.
            let rendered = render(statement);
            if rendered.lines().next().is_some_and(|line| line.trim_end().ends_with('\\')) {
                continue;
            }
            let again = parse(&rendered).map_err(|problem| TestCaseError::fail(problem.message))?;
            prop_assert_eq!(again.statements.len(), 1, "{:?}", rendered);
            prop_assert_eq!(meaning(&again.statements[0]), meaning(statement), "{:?}", rendered);
        }
    }

    #[test]
    fn every_statement_is_an_instruction_or_a_problem_with_a_place(source in dockerfile_like()) {
        if let Ok(dockerfile) = parse(&source)
            && let Err(problem) = crate::recipe::Recipe::read(&dockerfile)
        {
            prop_assert!(source.get(problem.span.clone()).is_some(), "{:?} {:?}", source, problem);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused_with_a_place_inside_it(source in "(?s)[ -~\n\t\\\\#<é]{0,200}") {
        match parse(&source) {
            Ok(dockerfile) => for statement in dockerfile.statements {
                let first = statement.keyword.text.chars().next();
                prop_assert_eq!(source[statement.keyword.span.clone()].chars().next(), first);
                prop_assert!(statement.span.end <= source.len());
            },
            Err(problem) => prop_assert!(problem.span.end <= source.len()),
        }
    }

    #[test]
    fn lists_of_words_split_where_another_parser_splits(words in prop::collection::vec("[a-z]{1,6}", 1..5)) {
        let source = format!("FROM a\nRUN {}\n", words.join(" \\\n  "));
        let ours = parse(&source).expect("valid").statements.len();
        prop_assert_eq!(Some(ours), oracle(&source).map(|all| all.len()));
    }
}

/// Whatever the text: it is understood or refused, with a place that is inside of it, and so is every word of it.
#[test]
fn dockerfiles_nobody_would_write() {
    let words = [
        "RUN ",
        "COPY ",
        "FROM ",
        "ENV ",
        "ONBUILD ",
        "HEALTHCHECK ",
        "<<EOF",
        "<<-'E'",
        "\nEOF\n",
        "\\\n",
        "\r\n",
        "# escape=`\n",
        "--mount=type=",
        "--chmod=",
        "${",
        "}",
        ":-",
        "//",
        "[\"",
        "\"]",
        "\"",
        "'",
        "\u{feff}",
        "é",
        "\0",
        " ",
        "=",
        "#",
    ];
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/dockerfile");
    testkit::fuzz(&corpus, &words, |bytes| {
        let source = String::from_utf8_lossy(bytes);
        let inside = |span: &Span| assert!(source.get(span.clone()).is_some(), "{span:?}");
        let dockerfile = match parse(&source) {
            Err(problem) => return inside(&problem.span),
            Ok(dockerfile) => dockerfile,
        };
        let lookup = |name: &str| name.len().is_multiple_of(2).then(|| name.to_owned());
        for statement in &dockerfile.statements {
            inside(&statement.span);
            let expander = Expander { escape: dockerfile.directives.escape, lookup: &lookup };
            let _ = expander.words(statement.arguments.as_str());
        }
        if let Err(problem) = crate::recipe::Recipe::read(&dockerfile) {
            inside(&problem.span);
        }
    });
}
