//! Variables that nothing has defined where they are used: UndefinedVar.

use super::{
    Findings, Visit,
    rule::UNDEFINED_VAR,
    scope::{Expanded, Scope, definitions},
    walk::mount_fields,
};
use crate::{
    diagnostic::nearest,
    parse::{Statement, announced_heredoc, words},
};

/// Of the processes' own words, as in RUN and CMD, the shell knows more than we do.
pub fn check(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    // Who does not know the base does not know what it defines.
    if visit.state.is_unsure {
        return;
    }
    if visit.statement.name() == "ARG" {
        return check_defaults(visit, findings);
    }
    let scope = &visit.state.scope;
    for word in expanded_words(visit.statement, visit.escape) {
        report(visit, scope, &scope.expand(&word, visit.escape), findings);
    }
    let contents = visit.statement.heredocs.iter().filter(|heredoc| heredoc.expand);
    if matches!(visit.statement.name().as_str(), "ADD" | "COPY") {
        for content in contents {
            report(visit, scope, &scope.expand_text(&content.text()), findings);
        }
    }
}

/// Each default sees the arguments before it in the same statement.
fn check_defaults(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    let mut scope = visit.state.scope.clone();
    for (name, default) in definitions(visit.statement, visit.escape) {
        let is_given = visit.circumstances.arguments.contains_key(&name);
        if let Some(default) = default.as_deref().filter(|_| !is_given) {
            report(visit, &scope, &scope.expand(default, visit.escape), findings);
        }
        let value = visit.argument(&name, default.as_deref(), &scope);
        scope.declare(&name);
        if let Some(value) = value {
            scope.set(&name, value);
        }
    }
}

fn report(visit: &Visit<'_>, scope: &Scope, expanded: &Expanded, findings: &mut Findings<'_>) {
    for (name, is_set) in &expanded.used {
        if *is_set || scope.knows(name) || NOT_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let meant = match nearest(name, scope.names()) {
            Some(known) => format!(" (did you mean ${known}?)"),
            None => String::new(),
        };
        let message = format!("Usage of undefined variable '${name}'{meant}");
        visit.add(&UNDEFINED_VAR, message, findings);
    }
}

/// The words of a statement that are expanded, in BuildKit's order.
fn expanded_words(statement: &Statement, escape: char) -> Vec<String> {
    let arguments = &statement.arguments;
    let flag = |name: &str| {
        statement.flags.iter().find(|flag| flag.name == name).and_then(|flag| flag.value.clone())
    };
    let name = statement.name();
    match name.as_str() {
        "ENV" | "LABEL" => {
            let pairs = words::pairs(arguments, &name, escape).unwrap_or_default();
            pairs.into_iter().flat_map(|(name, value)| [name.text, value.text]).collect()
        }
        "ADD" | "COPY" => {
            let flags = ["chown", "chmod", "checksum"].into_iter().filter_map(flag);
            let paths = words::json_or_plain(arguments).unwrap_or_default();
            let paths = paths.into_iter().filter(|word| announced_heredoc(word).is_none());
            flags.chain(paths.map(|word| word.text)).collect()
        }
        "VOLUME" => {
            words::json_or_plain(arguments).unwrap_or_default().into_iter().map(|word| word.text).collect()
        }
        "RUN" => {
            let mounts = statement.flags.iter().filter(|flag| flag.name == "mount");
            let fields = mounts.filter_map(|mount| mount.value.as_deref()).flat_map(mount_fields);
            fields.filter(|(key, _)| key != "from").map(|(_, value)| value.to_owned()).collect()
        }
        "STOPSIGNAL" | "USER" | "WORKDIR" => vec![arguments.as_str().to_owned()],
        _ => Vec::new(),
    }
}

/// Arguments for BuildKit itself, which no process sees.
const NOT_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

#[cfg(test)]
mod tests {
    use super::expanded_words;
    use crate::{
        lint::testing::{check, check_with},
        parse,
    };

    fn found(name: &str, meant: &str, line: usize) -> String {
        let meant = if meant.is_empty() { String::new() } else { format!(" (did you mean ${meant}?)") };
        format!("UndefinedVar: Usage of undefined variable '${name}'{meant} (line {line})")
    }

    #[test]
    fn variables_are_defined_before_they_are_used() {
        check("FROM scratch\nCOPY $foo .\nARG foo=bar\nCOPY $foo .", &[found("foo", "", 2).as_str()]);
        check("FROM scratch\nARG foo\nCOPY Dockerfile${foo} .\nRUN echo $any $PATH", &[]);
        check("FROM scratch AS a\nARG foo=1\nENV bar=2\nFROM a\nCOPY $foo $bar", &[]);
        check("ARG g=1\nFROM scratch\nCOPY $g /", &[found("g", "", 3).as_str()]);
        check("ARG g=1\nFROM scratch\nARG g\nARG TARGETARCH\nCOPY $g$TARGETARCH /", &[]);
        check("FROM base\nWORKDIR /$BASE_VARIABLE", &[]);
        check("FROM nobody-knows\nCOPY $HOME /", &[]);
    }

    #[test]
    fn the_nearest_variable_is_offered() {
        check("FROM scratch\nENV PATH=$PAHT:/x", &[found("PAHT", "PATH", 2).as_str()]);
        check(
            "FROM scratch\nARG DIR_BINARIES=b/\nARG DIR_ASSETS=a/\nCOPY $DIR_ASSET .",
            &[found("DIR_ASSET", "DIR_ASSETS", 4).as_str()],
        );
    }

    #[test]
    fn every_place_that_is_expanded_counts() {
        check(
            "FROM scratch\nENV long=1\nCOPY --chown=$uuuu --chmod=$mmmm <<E $ssss /$dddd/\n$hhhh\nE\nUSER $vvvv$vvvv\n\
             LABEL $kkkk=${wwww:-$xxxx}\nSTOPSIGNAL ${yyyy+x}9",
            &[
                found("uuuu", "", 3),
                found("mmmm", "", 3),
                found("ssss", "", 3),
                found("dddd", "", 3),
                found("hhhh", "", 3),
                found("vvvv", "", 6),
                found("kkkk", "", 7),
                // A default is expanded before it is known whether it is needed.
                found("xxxx", "", 7),
                found("wwww", "", 7),
                found("yyyy", "", 8),
            ]
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
        );
        check("FROM scratch\nCOPY <<'E' /x\n$h\nE\nCMD [\"$c\"]\nENTRYPOINT [\"$e\"]", &[]);
    }

    #[test]
    fn of_a_process_only_its_mounts_are_expanded() {
        let dockerfile =
            parse::parse("RUN --mount=type=cache,target=$t,id=$i --mount=from=$f $n").expect("valid");
        assert_eq!(expanded_words(&dockerfile.statements[0], '\\'), ["cache", "$t", "$i"]);
    }

    #[test]
    fn a_default_is_read_unless_another_value_is_given() {
        check("FROM scratch\nARG aaaa=$bbbb cccc=$aaaa", &[found("bbbb", "", 2).as_str()]);
        check_with(&[("a", "1")], "FROM scratch\nARG a=$b", &[]);
    }

    #[test]
    fn triggers_speak_for_the_stage_that_has_them() {
        check("FROM scratch AS a\nONBUILD COPY $xxxx /\nFROM a\nRUN x", &[found("xxxx", "", 3).as_str()]);
    }
}
