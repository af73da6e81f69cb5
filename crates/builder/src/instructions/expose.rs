//! EXPOSE: ports the image's processes listen on.

use std::collections::BTreeSet;

use types::Port;

use super::{Instruction, some_arguments};
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement, Word, words},
    plan::{PlanError, Planner},
};

struct Expose(Vec<Word>);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Flags::checked(&statement.flags, &[])?;
    Ok(Box::new(Expose(words::plain(some_arguments(statement)?))))
}

impl Instruction for Expose {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let mut ports = BTreeSet::new();
        for word in &self.0 {
            for text in planner.expand_words(word)? {
                let parsed = Port::parse_range(&text);
                let parsed = parsed.map_err(|error| Problem::new(error.to_string(), word.span.clone()))?;
                ports.extend(parsed.iter().map(Port::to_string));
            }
        }
        let shown: Vec<String> = ports.iter().map(|port| format!("{port}:{{}}")).collect();
        planner.config(&at.span)?.exposed_ports.0.extend(ports);
        Ok(planner.configured(at, format!("EXPOSE map[{}]", shown.join(" ")))?)
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn ports_have_a_protocol_and_may_be_ranges() {
        check_history("EXPOSE 80", "EXPOSE map[80/tcp:{}]");
        check_history("ENV P=53/udp\nEXPOSE 8080 $P", "EXPOSE map[53/udp:{} 8080/tcp:{}]");
        check_history("EXPOSE 7000-7001", "EXPOSE map[7000/tcp:{} 7001/tcp:{}]");
    }

    #[test]
    fn what_is_no_port_is_refused() {
        check_problem("EXPOSE web", "invalid containerPort: web");
        check_problem("EXPOSE 80/icmp", "invalid proto: icmp");
        check_problem("EXPOSE", "EXPOSE requires at least one argument");
    }
}
