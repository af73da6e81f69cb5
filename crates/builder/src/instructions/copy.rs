//! COPY: files of the build context into the image.

use super::{
    Instruction,
    add::{self, Remotes},
};
use crate::{
    diagnostic::Problem,
    graph::{Action, Copy, Selection, Source},
    mode::Mode,
    parse::{Directives, Flags, Heredoc, Statement, Word, announced_heredoc, words},
    path,
    plan::{PlanError, Planner},
};

/// COPY or ADD as written.
pub struct CopyFiles {
    from: Option<Word>,
    pub sources: Vec<Word>,
    destination: Word,
    heredocs: Vec<Heredoc>,
    owner: Option<Word>,
    mode: Option<Word>,
    excludes: Vec<Word>,
    parents: bool,
    link: bool,
    pub unpack: bool,
    /// For ADD, which takes what is elsewhere too.
    pub remotes: Option<Remotes>,
}

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let known = ["chown", "chmod", "link", "from", "parents", "exclude"];
    let flags = Flags::checked(&statement.flags, &known)?;
    let copy = CopyFiles {
        from: flags.value("from")?,
        parents: flags.switch("parents")?,
        ..CopyFiles::read(statement, &flags)?
    };
    Ok(Box::new(copy))
}

impl CopyFiles {
    /// What COPY and ADD have in common.
    pub fn read(statement: &Statement, flags: &Flags<'_>) -> Result<CopyFiles, Problem> {
        let mut sources = words::json_or_plain(&statement.arguments)?;
        let name = statement.name();
        let Some(destination) = sources.pop().filter(|_| !sources.is_empty()) else {
            let message = format!(
                "{name} requires at least two arguments, but only one was provided. \
                 Destination could not be determined"
            );
            return Err(Problem::new(message, statement.span.clone()));
        };
        if announced_heredoc(&destination).is_some() {
            let message = format!("{name} cannot accept a heredoc as a destination");
            return Err(Problem::new(message, destination.span));
        }
        Ok(CopyFiles {
            from: None,
            sources,
            destination,
            heredocs: statement.heredocs.clone(),
            owner: flags.value("chown")?,
            mode: flags.value("chmod")?,
            excludes: flags.values("exclude")?,
            parents: false,
            link: flags.switch("link")?,
            unpack: false,
            remotes: None,
        })
    }

    fn source(&self, word: &Word, planner: &Planner<'_>) -> Result<Source, Problem> {
        let Some(announced) = announced_heredoc(word) else {
            let text = planner.expand(word)?;
            let refuse =
                |what| Err(Problem::new(format!("source can't be {what} for COPY"), word.span.clone()));
            return match &self.remotes {
                Some(remotes) => Ok(remotes.source(&text, word, planner)?.unwrap_or(Source::Files(text))),
                None if add::repository(&text, word)?.is_some() => refuse("a git ref"),
                None if add::is_http(&text) => refuse("a URL"),
                None => Ok(Source::Files(text)),
            };
        };
        let heredoc = self.heredocs.iter().rfind(|heredoc| heredoc.name == announced.name);
        let content = heredoc.map(Heredoc::text).unwrap_or_default();
        let content = match announced.expand {
            true => planner.expand_text(&Word { text: content, span: word.span.clone() })?,
            false => content,
        };
        Ok(Source::Inline { name: announced.name, content })
    }
}

impl Instruction for CopyFiles {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let sources: Vec<Source> =
            self.sources.iter().map(|word| self.source(word, planner)).collect::<Result<_, _>>()?;
        if let Some(remotes) = &self.remotes {
            let sources: Vec<_> =
                sources.iter().filter(|source| !matches!(source, Source::Inline { .. })).collect();
            remotes.check_checksum(&sources)?;
        }
        let from = self.from.as_ref().map(|word| planner.origin(word)).transpose()?.unwrap_or_default();
        let written = planner.expand(&self.destination)?;
        let owner = self.owner.as_ref().map(|word| planner.expand(word)).transpose()?;
        let mode_text = self.mode.as_ref().map(|word| planner.expand(word)).transpose()?;
        let mode = match (&mode_text, &self.mode) {
            (Some(text), Some(word)) => Some(parse_mode(text, word)?),
            _ => None,
        };
        let excludes = self.excludes.iter().map(|word| planner.expand(word)).collect::<Result<_, _>>()?;
        let selection = Selection { excludes, parents: self.parents };
        let is_directory = path::names_directory(&written);
        let directory = &planner.config(&at.span)?.working_dir;
        let absolute = path::join(directory, &written);
        let destination = match is_directory && absolute != "/" {
            true => absolute + "/",
            false => absolute,
        };

        let mut created_by = at.name();
        owner.iter().for_each(|owner| created_by.push_str(&format!(" --chown={owner}")));
        mode_text.iter().for_each(|mode| created_by.push_str(&format!(" --chmod={mode}")));
        // Here-documents are told last.
        let is_inline = |source: &&Source| matches!(source, Source::Inline { .. });
        let (inline, others): (Vec<_>, Vec<_>) = sources.iter().partition(is_inline);
        for source in others.into_iter().chain(inline) {
            created_by.push_str(&match source {
                Source::Files(path) => format!(" {path}"),
                Source::Inline { name, .. } => format!(" <<{name}"),
                Source::Url(source) => format!(" {}", source.url),
                Source::Git(source) => format!(" {}", source.written),
            });
        }
        created_by.push_str(&format!(" {written}"));
        let title = match &self.from {
            Some(from) => created_by.replacen(' ', &format!(" --from={} ", from.text), 1),
            None => created_by.clone(),
        };
        created_by.push_str(" # buildkit");
        let (unpack, link) = (self.unpack, self.link);
        let copy = Copy { from, sources, selection, destination, owner, mode, unpack, link };
        Ok(planner.operate(at, Action::Copy(copy), title, created_by)?)
    }
}

fn parse_mode(text: &str, word: &Word) -> Result<Mode, Problem> {
    Mode::parse(text).ok_or_else(|| {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit());
        let message = match is_number {
            true => format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            ),
            false => "invalid syntax".to_owned(),
        };
        Problem::new(message, word.span.clone()).helped("write --chmod=640, or --chmod=u=rwX,go=rX")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instructions::testing::*;

    #[test]
    fn destinations_are_relative_to_the_working_directory() {
        for (dockerfile, destination) in [
            ("COPY a b", "/b"),
            ("WORKDIR /app\nCOPY . .", "/app/"),
            ("WORKDIR /app\nCOPY a b/", "/app/b/"),
            ("WORKDIR /app\nCOPY a ..", "/"),
            ("COPY a /x/../y", "/y"),
        ] {
            assert_eq!(copies(dockerfile)[0].destination, destination, "{dockerfile}");
        }
    }

    #[test]
    fn history_repeats_what_was_written_with_variables_resolved() {
        check_history("COPY . /app", "COPY . /app # buildkit");
        check_history("ENV D=/x\nCOPY [\"a b\", \"$D\"]", "COPY a b /x # buildkit");
        check_history(
            "ARG U=7\nCOPY --chown=$U:8 --chmod=640 a b c/",
            "COPY --chown=7:8 --chmod=640 a b c/ # buildkit",
        );
    }

    #[test]
    fn here_documents_are_sources() {
        let inline = |source: &str| copies(source)[0].sources.clone();
        let expected = |content: &str| vec![Source::Inline { name: "E".into(), content: content.into() }];
        assert_eq!(inline("ENV A=1\nCOPY <<E /x\n$A \"q\"\nE"), expected("1 \"q\"\n"));
        assert_eq!(inline("ENV A=1\nCOPY <<-'E' /x\n\t$A\n\tE"), expected("$A\n"));
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        check_problem(
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. \
             Destination could not be determined",
        );
        check_problem("COPY --frm=x a b", "unknown flag: --frm");
        check_problem("COPY --from=x a b", "docker.io/library/x:latest: not found");
        check_problem("COPY http://a/b c", "source can't be a URL for COPY");
        check_problem("ENV U=git@h:x\nCOPY $U c", "source can't be a git ref for COPY");
        check_problem(
            "COPY --chmod=888 a b",
            "invalid chmod parameter: '888'. it should be octal string and between 0 and 07777",
        );
        check_problem("COPY --chmod=u+q a b", "invalid syntax");
    }
}
