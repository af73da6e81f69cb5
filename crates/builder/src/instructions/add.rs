//! ADD: COPY that also unpacks archives. Sources on the network are not yet supported.

use super::{Instruction, copy::CopyFiles};
use crate::{
    diagnostic::Problem,
    parse::{Directives, Flags, Statement},
};

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let known = ["chown", "chmod", "link", "unpack", "keep-git-dir", "checksum", "exclude"];
    let flags = Flags::checked(&statement.flags, &known)?;
    flags.refuse(&["keep-git-dir", "checksum"])?;
    let mut copy = CopyFiles::read(statement, &flags)?;
    copy.unpack = flags.value("unpack")?.is_none_or(|word| word.text != "false");
    if let Some(remote) = copy.sources.iter().find(|source| is_remote(&source.text)) {
        let problem = Problem::new("ADD from the network is not yet supported", remote.span.clone());
        return Err(problem.helped("download it in a RUN step, or put it into the build context"));
    }
    Ok(Box::new(copy))
}

fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|scheme| source.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn adding_unpacks_and_copying_does_not() {
        check_history("ADD a.tar /x/", "ADD a.tar /x/ # buildkit");
        assert!(copies("ADD a.tar /x/")[0].unpack);
        assert!(!copies("ADD --unpack=false a.tar /x/")[0].unpack);
        assert!(!copies("COPY a.tar /x/")[0].unpack);
    }

    #[test]
    fn the_network_is_refused_by_name() {
        check_problem("ADD https://example.org/a /", "ADD from the network is not yet supported");
    }
}
