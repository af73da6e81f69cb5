//! ONBUILD: instructions for builds that stand on this image. Recognised, not yet supported.

use super::Instruction;
use crate::{
    diagnostic::Problem,
    parse::{Directives, Statement},
};

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    Err(Problem::new("ONBUILD is not yet supported", statement.keyword.span.clone()))
}
