//! The stages of a Dockerfile: `--call=targets`.

use super::read;
use crate::{
    Build, BuildError,
    diagnostic::{Problem, line_of},
    event::Observer,
    host::Host,
    lint::description,
    parse,
    recipe::{Recipe, StageRecipe},
};

/// All that can be built.
#[derive(Debug)]
pub struct Targets {
    pub targets: Vec<ListedTarget>,
    /// The Dockerfile.
    pub text: String,
}

/// One stage.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedTarget {
    /// In lower case.
    pub name: Option<String>,
    /// What is built if nobody says what.
    pub is_default: bool,
    /// What the comment before it says, after the name.
    pub description: Option<String>,
    /// As written.
    pub base: String,
    pub platform: Option<String>,
    /// The lines of its FROM, from 1.
    pub lines: (usize, usize),
}

/// Lists the stages, in order.
pub fn targets(
    build: Build,
    host: &dyn Host,
    observer: &mut (dyn Observer + Send),
) -> Result<Targets, BuildError> {
    read(build, host, observer, |input, _, _| match list(&input.text) {
        Ok(targets) => Ok(Targets { targets, text: input.text.clone() }),
        Err(problem) => Err(BuildError::Dockerfile(input.diagnostic(problem))),
    })?
}

fn list(text: &str) -> Result<Vec<ListedTarget>, Problem> {
    let recipe = Recipe::read(&parse::parse(text)?)?;
    let last = recipe.stages.len() - 1;
    let target = |(number, stage): (usize, &StageRecipe)| {
        let (from, span) = (&stage.from, &stage.statement.span);
        ListedTarget {
            description: from.name.as_ref().and_then(|name| description(&stage.statement, name)),
            name: from.name.clone(),
            is_default: number == last,
            base: from.image.text.clone(),
            platform: from.platform.as_ref().map(|word| word.text.clone()),
            lines: (line_of(text, span.start), line_of(text, span.end - 1)),
        }
    };
    Ok(recipe.stages.iter().enumerate().map(target).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_listed_with_what_is_said_of_them() {
        let text = "ARG V=1\n# build builds\nFROM --platform=$BUILDPLATFORM a:$V AS Build\nRUN x\nFROM \\\n scratch\n";
        let listed = list(text).expect("valid");
        let build = ListedTarget {
            name: Some("build".into()),
            is_default: false,
            description: Some("builds".into()),
            base: "a:$V".into(),
            platform: Some("$BUILDPLATFORM".into()),
            lines: (3, 3),
        };
        assert_eq!(listed[0], build);
        assert_eq!((listed[1].name.as_deref(), listed[1].is_default, listed[1].lines), (None, true, (5, 6)));
    }
}
