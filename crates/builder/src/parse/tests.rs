use super::*;
use proptest::prelude::*;

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

#[test]
fn a_file_without_instructions_is_refused() {
    assert_eq!(parse("# x\n\n").map_err(|p| p.message), Err("file with no instructions".into()));
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

proptest! {
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
