//! RUN: a process whose changes become a layer.

use super::{Instruction, cmd::arguments};
use crate::{
    diagnostic::Problem,
    graph::{Action, Run},
    host::Network,
    parse::{
        Directives, Flags, Heredoc, Statement,
        words::{self, Command},
    },
    plan::{PlanError, Planner},
};

struct RunCommand {
    command: Command,
    network: Option<Network>,
}

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let flags = Flags::checked(&statement.flags, &["mount", "network", "security", "device"])?;
    flags.refuse(&["mount", "security", "device"])?;
    let network = match flags.value("network")? {
        None => None,
        Some(word) => Some(match word.text.as_str() {
            "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => {
                return Err(Problem::new(format!("invalid network mode: {other:?}"), word.span.clone()));
            }
        }),
    };
    if statement.arguments.is_empty() {
        return Err(Problem::new("RUN requires at least one argument", statement.keyword.span.clone()));
    }
    let command = match statement.heredocs.as_slice() {
        [] => words::command(&statement.arguments)?,
        heredocs => Command::Shell(script(statement, heredocs)?),
    };
    Ok(Box::new(RunCommand { command, network }))
}

/// The text for the shell: a lone here-document is the script itself, others are the shell's own business.
fn script(statement: &Statement, heredocs: &[Heredoc]) -> Result<String, Problem> {
    let line = statement.arguments.as_str();
    match heredocs {
        [only] if words::plain(&statement.arguments).len() == 1 => {
            let text = only.text();
            if text.starts_with("#!") {
                let message = "a here-document that names its interpreter (#!) is not yet supported";
                return Err(Problem::new(message, only.span.clone()));
            }
            Ok(text)
        }
        _ => {
            let documents = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.content, heredoc.name));
            Ok(line.to_owned() + &documents.collect::<String>())
        }
    }
}

impl Instruction for RunCommand {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let ambient =
            PROXIES.iter().filter_map(|name| Some(format!("{name}={}", planner.given(name)?))).collect();
        let network = self.network.unwrap_or(planner.settings.network);
        let stage = planner.stage(&at.span)?;
        let config = &stage.image.config;
        let arguments = arguments(&self.command, config);
        let environment = stage.environment();
        let declared = stage.arguments.iter().map(|argument| {
            format!("{}={}", argument.name, stage.variable(&argument.name).unwrap_or_default())
        });
        let declared: Vec<String> = declared.collect();
        let mut created_by = String::from("RUN ");
        if !declared.is_empty() {
            created_by.push_str(&format!("|{} {} ", declared.len(), declared.join(" ")));
        }
        created_by.push_str(&format!("{} # buildkit", arguments.join(" ")));

        let directory = match config.working_dir.as_str() {
            "" => "/".to_owned(),
            directory => directory.to_owned(),
        };
        let run = Run { arguments, environment, directory, user: config.user.clone(), network, ambient };
        Ok(planner.operate(at, Action::Run(run), at.title(), created_by)?)
    }
}

/// Whether `--build-arg name` means something without an ARG.
pub fn is_predefined(name: &str) -> bool {
    PROXIES.contains(&name)
}

/// Arguments every RUN gets without ARG. They are in no history and no cache key.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instructions::testing::*;

    fn run(arguments: &[(&str, &str)], dockerfile: &str) -> Run {
        let graph = planned_with(arguments, &format!("FROM scratch\n{dockerfile}")).expect("valid");
        match graph.operations.into_iter().last().map(|operation| operation.action) {
            Some(Action::Run(run)) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn history_has_the_shell_and_the_arguments() {
        check_history("RUN pip install x", "RUN /bin/sh -c pip install x # buildkit");
        check_history("RUN [\"a\", \"b c\"]", "RUN a b c # buildkit");
        check_history("ARG V=1\nARG W\nRUN x", "RUN |2 V=1 W= /bin/sh -c x # buildkit");
        check_history("SHELL [\"bash\", \"-c\"]\nRUN x", "RUN bash -c x # buildkit");
    }

    #[test]
    fn a_process_sees_the_environment_and_declared_arguments() {
        let run = run(&[("B", "2")], "ENV A=1\nARG B\nARG A=other\nARG C\nUSER u\nWORKDIR /w\nRUN x");
        assert_eq!(run.environment[1..], ["A=other", "B=2"]);
        assert_eq!((run.user.as_str(), run.directory.as_str()), ("u", "/w"));
    }

    #[test]
    fn proxies_are_given_to_the_process_alone() {
        let given = [("HTTP_PROXY", "p")];
        let with = run(&given, "RUN x");
        assert_eq!(with.ambient, ["HTTP_PROXY=p"]);
        let key = |run: &Run| serde_json::to_string(run).expect("serializable");
        assert_eq!(key(&with), key(&run(&[], "RUN x")));
    }

    #[test]
    fn here_documents_are_scripts_or_go_to_the_shell() {
        let text = |dockerfile: &str| run(&[], dockerfile).arguments.pop();
        assert_eq!(text("RUN <<E\na\nb\nE").as_deref(), Some("a\nb\n"));
        assert_eq!(text("RUN cat <<E > /x\na\nE").as_deref(), Some("cat <<E > /x\na\nE"));
    }

    #[test]
    fn a_network_is_one_of_three() {
        assert_eq!(run(&[], "RUN --network=none x").network, Network::None);
        check_problem("RUN --network=x y", "invalid network mode: \"x\"");
        check_problem("RUN --mount=type=cache,target=/x y", "--mount is not yet supported");
        check_problem("RUN", "RUN requires at least one argument");
    }
}
