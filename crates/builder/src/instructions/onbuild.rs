//! ONBUILD: an instruction for builds that stand on this image, which carries it out right after their FROM.

use super::Instruction;
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement},
    plan::{PlanError, Planner},
};

struct OnBuild {
    trigger: String,
}

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    let mut trigger = statement.arguments.as_str().to_owned();
    let keyword = trigger.split_whitespace().next().unwrap_or_default().to_uppercase();
    let refuse = |message: String| Err(Problem::new(message, statement.span.clone()));
    match keyword.as_str() {
        "" => refuse("ONBUILD requires at least one argument".into()),
        "ONBUILD" => refuse("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into()),
        "MAINTAINER" | "FROM" => refuse(format!("{keyword} isn't allowed as an ONBUILD trigger")),
        // Anything else is read when a build stands on the image, which may know more instructions.
        _ => {
            for heredoc in &statement.heredocs {
                trigger.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
            }
            Ok(Box::new(OnBuild { trigger }))
        }
    }
}

impl Instruction for OnBuild {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        planner.config(&at.span)?.on_build.push(self.trigger.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_trigger_waits_for_a_build_on_the_image() {
        let graph = planned("FROM scratch\nONBUILD RUN echo $X").expect("valid");
        assert_eq!(graph.config.config.on_build, ["RUN echo $X"]);
        let graph = planned("FROM scratch\nONBUILD COPY <<E /x\ntext\nE\n").expect("valid");
        assert_eq!(graph.config.config.on_build, ["COPY <<E /x\ntext\nE"]);
        let graph = planned("FROM scratch AS a\nONBUILD ENV A=1\nONBUILD COPY x y\nFROM a\nLABEL a=$A")
            .expect("valid");
        assert_eq!(graph.config.config.labels["a"], "1");
        assert!(graph.config.config.on_build.is_empty());
        assert_eq!(graph.operations.last().expect("the copy").label.to_string(), "[stage-1 1/1] ");
    }

    #[test]
    fn what_cannot_be_a_trigger_is_refused_in_dockers_words() {
        check_problem("ONBUILD", "ONBUILD requires at least one argument");
        check_problem("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
        check_problem("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger");
        let on_trigger = planned("FROM scratch AS a\nONBUILD RUNN x\nFROM a");
        assert_eq!(on_trigger.map(drop), Err("unknown instruction: RUNN".to_owned()));
    }
}
