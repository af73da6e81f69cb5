//! STOPSIGNAL: the signal that asks the image's containers to end.

use types::Signal;

use super::{Instruction, one_argument};
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word},
    plan::{PlanError, Planner},
};

struct StopSignal(Word);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(StopSignal(one_argument(statement)?)))
}

impl Instruction for StopSignal {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let signal = planner.expand(&self.0)?;
        signal.parse::<Signal>().map_err(|error| Problem::new(error.to_string(), self.0.span.clone()))?;
        let created_by = format!("STOPSIGNAL {signal}");
        planner.config(&at.span)?.stop_signal = signal;
        Ok(planner.configured(at, created_by)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_signal_is_kept_as_it_was_written() {
        check_history("STOPSIGNAL SIGQUIT", "STOPSIGNAL SIGQUIT");
        check_history("STOPSIGNAL 9", "STOPSIGNAL 9");
        assert!(planned("FROM scratch\nSTOPSIGNAL SIGNOPE").is_err());
    }
}
