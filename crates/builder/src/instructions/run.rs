//! RUN: a process whose changes become a layer.

mod mount;

use self::mount::{MountFlag, Mounts};
use super::{Instruction, cmd::arguments};
use crate::{
    diagnostic::Problem,
    graph::{Action, Mount, MountKind, Run},
    host::Network,
    parse::{
        Directives, Flags, Heredoc, Statement, Word,
        words::{self, Command},
    },
    path,
    plan::{PlanError, Planner},
    run_settings::Privilege,
};

struct RunCommand {
    command: Command,
    /// A here-document that names its interpreter: the command is its name.
    script: Option<Script>,
    network: Option<Network>,
    insecure: bool,
    mounts: Vec<MountFlag>,
}

struct Script {
    name: String,
    content: String,
}

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let flags = Flags::checked(&statement.flags, &["mount", "network", "security", "device"])?;
    if let Some(device) = statement.flags.iter().find(|flag| flag.name == "device") {
        let message = "RUN --device is not supported: no devices are described to this engine (CDI)";
        return Err(Problem::new(message, device.span.clone()));
    }
    let network = match flags.value("network")? {
        None => None,
        Some(word) => Some(match word.text.as_str() {
            "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => {
                return Err(Problem::new(format!("invalid network mode {other:?}"), word.span.clone()));
            }
        }),
    };
    let insecure = match flags.value("security")? {
        Some(Word { text, span }) if !matches!(text.as_str(), "sandbox" | "insecure") => {
            return Err(Problem::new(format!("security {text:?} is not valid"), span));
        }
        given => given.is_some_and(|word| word.text == "insecure"),
    };
    let mounts = flags.values("mount")?.into_iter().map(MountFlag::read).collect::<Result<_, _>>()?;
    let (command, script) = match statement.heredocs.as_slice() {
        [] if statement.arguments.is_empty() => (Command::Shell(String::new()), None),
        [] => (words::command(&statement.arguments)?, None),
        [only] if is_script(statement.arguments.as_str()) => match only.text() {
            content if content.starts_with("#!") => {
                let (name, command) = (only.name.clone(), format!("{PIPES}/{}", only.name));
                (Command::Shell(command), Some(Script { name, content }))
            }
            content => (Command::Shell(content), None),
        },
        heredocs => (Command::Shell(with_documents(statement.arguments.as_str(), heredocs)), None),
    };
    Ok(Box::new(RunCommand { command, script, network, insecure, mounts }))
}

/// Whether a here-document is all there is to run.
fn is_script(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<");
    let name = rest.map(|rest| rest.strip_prefix('-').unwrap_or(rest).trim());
    name.is_some_and(|name| !name.contains('<') && !name.contains(char::is_whitespace))
}

/// The text for a shell that knows here-documents itself.
fn with_documents(line: &str, heredocs: &[Heredoc]) -> String {
    let documents = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.content, heredoc.name));
    line.to_owned() + &documents.collect::<String>()
}

impl Instruction for RunCommand {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let chosen = self.network.filter(|network| *network != Network::Default);
        let network = chosen.unwrap_or(planner.settings.network);
        self.check_allowed(at, planner)?;
        let ambient = PROXIES.iter().flat_map(|name| {
            let lower = name.to_lowercase();
            let value = [planner.given(name), planner.given(&lower)].into_iter().flatten().next();
            value.map(|value| [format!("{name}={value}"), format!("{lower}={value}")]).into_iter().flatten()
        });
        let ambient = ambient.collect();
        let directory = match planner.config(&at.span)?.working_dir.as_str() {
            "" => "/".to_owned(),
            directory => path::clean(directory),
        };
        let Mounts { mut mounts, variables } = mount::plan(&self.mounts, &directory, planner)?;
        if let Some(Script { name, content }) = &self.script {
            let kind = MountKind::Script { name: name.clone(), content: content.clone() };
            mounts.push(Mount { target: PIPES.to_owned(), read_only: true, kind });
        }
        let (hosts, ulimits, shm) = {
            let settings = &planner.settings.run;
            let hosts = settings.hosts.iter().map(|host| host.name.clone()).collect();
            (hosts, settings.ulimits.clone(), settings.limits.shm.map(|shm| shm.0))
        };
        let stage = planner.stage(&at.span)?;
        let config = &stage.image.config;
        let arguments = arguments(&self.command, config);
        let mut environment = stage.environment();
        let agent = mounts.iter().find(|mount| matches!(mount.kind, MountKind::Agent { .. }));
        if let Some(agent) = agent
            && !environment.iter().any(|entry| entry.starts_with("SSH_AUTH_SOCK="))
        {
            environment.push(format!("SSH_AUTH_SOCK={}", agent.target));
        }
        let declared = stage.arguments.iter().map(|argument| {
            format!("{}={}", argument.name, stage.variable(&argument.name).unwrap_or_default())
        });
        let declared: Vec<String> = declared.collect();
        let mut created_by = String::from("RUN ");
        if !declared.is_empty() {
            created_by.push_str(&format!("|{} {} ", declared.len(), declared.join(" ")));
        }
        created_by.push_str(&format!("{} # buildkit", arguments.join(" ")));

        let run = Run {
            arguments,
            environment,
            directory,
            user: config.user.clone(),
            network,
            insecure: self.insecure,
            mounts,
            secrets: variables,
            hosts,
            ulimits,
            shm,
            ambient,
        };
        Ok(planner.operate(at, Action::Run(run), at.title(), created_by)?)
    }
}

impl RunCommand {
    /// Refuses what the user has not allowed.
    fn check_allowed(&self, at: &Statement, planner: &Planner<'_>) -> Result<(), Problem> {
        let settings = planner.settings;
        let is_host = self.network == Some(Network::Host) && settings.network != Network::Host;
        let wanted = [(is_host, Privilege::HostNetwork), (self.insecure, Privilege::Insecure)];
        for (wants, privilege) in wanted {
            if wants && !settings.run.allowed.contains(&privilege) {
                let name = privilege.name();
                let message = format!("failed to load LLB: {name} is not allowed");
                let help = format!("give `--allow {name}` to the build if its Dockerfile is to be trusted");
                return Err(Problem::new(message, at.span.clone()).helped(help));
            }
        }
        Ok(())
    }
}

/// Whether `--build-arg name` means something without an ARG.
pub fn is_predefined(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

/// Arguments every RUN gets without ARG, in capitals and in small letters. They are in no history and no cache key.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Where here-documents that name their interpreter are seen.
const PIPES: &str = "/dev/pipes";

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
        assert_eq!(with.ambient, ["HTTP_PROXY=p", "http_proxy=p"]);
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
        check_problem("RUN --network=x y", "invalid network mode \"x\"");
    }

    #[test]
    fn what_reaches_beyond_the_sandbox_has_to_be_allowed() {
        check_problem("RUN --network=host y", "failed to load LLB: network.host is not allowed");
        check_problem("RUN --security=insecure y", "failed to load LLB: security.insecure is not allowed");
        check_problem("RUN --security=x y", "security \"x\" is not valid");
        assert!(!run(&[], "RUN --security=sandbox x").insecure);
    }

    #[test]
    fn a_here_document_that_names_its_interpreter_is_a_file_to_be_run() {
        let run = run(&[], "RUN <<E\n#!/bin/sed -f\na\nE");
        assert_eq!(run.arguments.last().map(String::as_str), Some("/dev/pipes/E"));
        let kind = MountKind::Script { name: "E".into(), content: "#!/bin/sed -f\na\n".into() };
        assert_eq!(run.mounts, [Mount { target: "/dev/pipes".into(), read_only: true, kind }]);
    }

    #[test]
    fn nothing_to_run_is_the_shells_business() {
        check_history("RUN", "RUN /bin/sh -c  # buildkit");
    }
}
