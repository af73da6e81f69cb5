//! FROM: begins a stage on an image, on another stage, or on nothing (`scratch`).

use types::{Platform, Reference};

use crate::{
    diagnostic::Problem,
    parse::{Flags, Statement, Word, words},
    plan::{PlanError, Planner},
};

/// What a stage is called and what it stands on.
pub struct From {
    pub image: Word,
    /// In lower case.
    pub name: Option<String>,
    pub platform: Option<Word>,
}

pub fn read(statement: &Statement) -> Result<From, Problem> {
    let flags = Flags::checked(&statement.flags, &["platform"])?;
    let platform = flags.value("platform")?;
    let mut words = words::plain(&statement.arguments);
    let name = match words.as_slice() {
        [_] => None,
        [_, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => Some(stage_name(name)?),
        _ => {
            let message = "FROM requires either one or three arguments";
            return Err(Problem::new(message, statement.span.clone()));
        }
    };
    Ok(From { image: words.swap_remove(0), name, platform })
}

fn stage_name(word: &Word) -> Result<String, Problem> {
    let name = word.text.to_lowercase();
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    match valid {
        true => Ok(name),
        false => Err(Problem::new(
            format!(
                "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                word.text
            ),
            word.span.clone(),
        )),
    }
}

impl From {
    /// Begins the stage with this number in the plan.
    pub fn plan(&self, number: usize, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let image = planner.expand(&self.image)?;
        if image.is_empty() {
            let message = format!("base name ({}) should not be blank", self.image.text);
            return Err(Problem::new(message, self.image.span.clone()).into());
        }
        if let Some(stage) = planner.recipe.stage(&image, number) {
            return planner.begin_on_stage(number, stage);
        }
        if image == "scratch" {
            planner.begin_on_nothing(number);
            return Ok(());
        }
        let platform = match &self.platform {
            None => planner.platform(),
            Some(word) if planner.expand(word)?.is_empty() => planner.platform(),
            Some(word) => {
                let text = planner.expand(word)?;
                let invalid = |_| {
                    let why = "cannot parse platform specifier: invalid argument";
                    Problem::new(
                        format!("failed to parse platform {text}: {text:?}: {why}"),
                        word.span.clone(),
                    )
                    .helped("write an operating system and an architecture, such as linux/amd64")
                };
                text.parse::<Platform>().map_err(invalid)?
            }
        };
        if planner.begin_on_named(number, &image, &platform, &self.image.span)? {
            return Ok(());
        }
        let reference = reference(&image, &self.image)?;
        planner.begin_on_image(number, &reference, &platform, &self.image.span)
    }
}

/// The image that `text` names, which was written as `word`.
pub fn reference(text: &str, word: &Word) -> Result<Reference, Problem> {
    text.parse().map_err(|error| {
        Problem::new(format!("failed to parse stage name {text:?}: {error}"), word.span.clone())
    })
}

#[cfg(test)]
mod tests {
    use crate::{graph::Action, instructions::testing::*};

    fn check_file(dockerfile: &str, problem: &str) {
        assert_eq!(planned(dockerfile).map(|_| ()), Err(problem.to_owned()), "{dockerfile}");
    }

    #[test]
    fn the_image_may_be_named_by_arguments() {
        let graph = planned("ARG T=base\nFROM ${T:-x} AS One").expect("valid");
        assert_eq!(graph.operations[0].title, "FROM docker.io/library/base:latest");
    }

    #[test]
    fn scratch_is_nothing_with_a_path() {
        let graph = planned("FROM scratch").expect("valid");
        assert!(graph.config.config.env[0].starts_with("PATH="));
        assert!(graph.config.rootfs.diff_ids.is_empty());
    }

    #[test]
    fn a_stage_goes_on_where_the_one_it_stands_on_ends() {
        let dockerfile = "FROM base AS One\nARG V=1\nENV A=2\nUSER u\nWORKDIR /w\n\
                          FROM one\nWORKDIR x\nLABEL v=$V$A";
        let graph = planned(dockerfile).expect("valid");
        assert_eq!(graph.config.config.labels["v"], "12");
        assert_eq!(
            (graph.config.config.user.as_str(), graph.config.config.working_dir.as_str()),
            ("u", "/w/x")
        );
        let history: Vec<_> = graph.history.iter().map(|entry| entry.created_by.as_str()).collect();
        assert_eq!(history, ["ARG V=1", "ENV A=2", "USER u", "WORKDIR /w", "WORKDIR /w/x", "LABEL v=12"]);
        let steps: Vec<_> = graph.operations.iter().map(|operation| operation.label.to_string()).collect();
        assert_eq!(steps, ["[one 1/2] ", "[one 2/2] ", "[stage-1 1/1] "]);
    }

    #[test]
    fn stages_that_nothing_needs_are_not_planned() {
        let dockerfile =
            "FROM nosuch AS a\nRUN x\nFROM scratch AS b\nCOPY x y\nFROM scratch\nCOPY --from=1 y z";
        let graph = planned(dockerfile).expect("valid");
        let runs = graph.operations.iter().filter(|operation| matches!(operation.action, Action::Run(_)));
        assert_eq!((runs.count(), graph.operations.len()), (0, 4));
    }

    #[test]
    fn what_begins_no_stage_is_refused_in_dockers_words() {
        check_file("FROM a b", "FROM requires either one or three arguments");
        check_file(
            "FROM a AS 1x",
            "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        );
        check_file("FROM $X", "base name ($X) should not be blank");
        check_file(
            "FROM A:b:c",
            "failed to parse stage name \"A:b:c\": invalid reference format: \
             repository name (library/A) must be lowercase",
        );
        check_file("FROM a:b:c", "failed to parse stage name \"a:b:c\": invalid reference format");
        check_file("FROM missing", "docker.io/library/missing:latest: not found");
        check_file("RUN x", "no build stage in current context");
        check_file("ARG A=1", "dockerfile contains no stages to build");
        check_file("FROM base AS b\nCOPY --from=b x y", "circular dependency detected on stage: b");
        let cycle = "FROM base AS a\nCOPY --from=b x y\nFROM base AS b\nCOPY --from=a x y";
        check_file(cycle, "circular dependency detected on stage: a");
        let late = "FROM base AS a\nCOPY --from=b x y\nFROM base AS b\nFROM a";
        check_file(late, "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"");
        check_file("FROM base\nCOPY --from=7 x y", "invalid stage index 7");
    }
}
