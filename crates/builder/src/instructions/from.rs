//! FROM: begins a stage on an image, or on nothing (`scratch`).

use types::{Platform, Reference};

use super::Instruction;
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word, words},
    plan::{PlanError, Planner},
};

struct From {
    image: Word,
    name: Option<String>,
    platform: Option<Word>,
}

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
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
    Ok(Box::new(From { image: words.swap_remove(0), name, platform }))
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

impl Instruction for From {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        planner.check_first_stage(at)?;
        let image = planner.expand(&self.image)?;
        if image.is_empty() {
            let message = format!("base name ({}) should not be blank", self.image.text);
            return Err(Problem::new(message, self.image.span.clone()).into());
        }
        if image == "scratch" {
            planner.begin(None, self.name.clone(), at);
            return Ok(());
        }
        let reference: Reference = image.parse().map_err(|error| {
            Problem::new(format!("failed to parse stage name {image:?}: {error}"), self.image.span.clone())
        })?;
        let platform = match &self.platform {
            None => planner.platform(),
            Some(word) => {
                let text = planner.expand(word)?;
                let invalid = |error| {
                    Problem::new(format!("failed to parse platform {text}: {error}"), word.span.clone())
                };
                text.parse::<Platform>().map_err(invalid)?
            }
        };
        let base = planner
            .resolve(&reference, &platform)
            .map_err(|error| PlanError::Base(Box::new(error), self.image.span.clone()))?;
        if !base.config.config.on_build.is_empty() {
            let message = format!("{image} has ONBUILD triggers, which are not yet supported");
            return Err(Problem::new(message, self.image.span.clone()).into());
        }
        planner.begin(Some((reference, base)), self.name.clone(), at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

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
    fn what_begins_no_stage_is_refused_in_dockers_words() {
        check_file("FROM a b", "FROM requires either one or three arguments");
        check_file(
            "FROM a AS 1x",
            "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        );
        check_file("FROM $X", "base name ($X) should not be blank");
        check_file("FROM A:b:c", "failed to parse stage name \"A:b:c\": invalid reference format");
        check_file("FROM missing", "docker.io/library/missing:latest: not found");
        check_file("RUN x", "no build stage in current context");
        check_file("ARG A=1", "dockerfile contains no stages to build");
        check_file("FROM base\nFROM base", "several stages (more than one FROM) are not yet supported");
    }
}
