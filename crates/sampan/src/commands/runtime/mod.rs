//! `runtime`: this program as an OCI runtime, for other engines. What is said and logged is what they look for.
//!
//! Its command line is not docker's but runc's: options of the whole come before the command.

mod create;
mod delete;
mod events;
mod exec;
mod foreground;
mod kill;
mod list;
mod log;
mod ps;
mod run;
mod spec;
mod update;

use std::{env, ffi::OsString, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use oci::Store;

use self::log::Log;
use crate::cli::{Globals, Verb};

/// Run containers for other engines, as an OCI runtime
#[derive(Args)]
pub struct Runtime {
    /// Options, one of create, start, state, kill, delete, run, exec, ps, list, pause, resume, update, events, spec and
    /// features, and its arguments; `help` explains them
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Verb for Runtime {
    const NAMES: &'static [&'static str] = &["runtime"];
    const USAGE: &'static str = "[OPTIONS] COMMAND [ARG...]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        Ok(play(self.words))
    }
}

/// The name by which the program is a runtime and nothing else.
pub const NAME: &str = "sampan-runtime";

#[derive(Parser)]
#[command(name = NAME, version = VERSION, about = "An OCI runtime", no_binary_name = true, args_override_self = true, disable_version_flag = true)]
struct Line {
    /// Print the version
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// Directory of the containers' state, which should not survive a boot
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// File to write errors and warnings to
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Form of what is written there
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
    /// Have systemd make the cgroups
    #[arg(long)]
    systemd_cgroup: bool,
    /// Accepted for compatibility
    #[arg(long)]
    debug: bool,
    /// Accepted for compatibility
    #[arg(long, hide = true)]
    rootless: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(create::Create),
    Start(Named),
    State(Named),
    Kill(kill::Kill),
    Delete(delete::Delete),
    Run(run::Run),
    Exec(exec::Exec),
    Ps(ps::Processes),
    List(list::List),
    Pause(Named),
    Resume(Named),
    Update(Box<update::Update>),
    Events(events::Events),
    Spec(spec::Spec),
    Features(Features),
}

/// Start a created container, output the state of one, suspend or resume all its processes
#[derive(Args)]
struct Named {
    #[arg(value_name = "container-id")]
    id: String,
}

/// Output what this runtime can do
#[derive(Args)]
struct Features {}

/// Does what `words` say, and exits as other runtimes do.
pub fn play(words: Vec<OsString>) -> ExitCode {
    let line = match Line::try_parse_from(words) {
        Ok(line) => line,
        Err(page) => {
            // Nobody is left to be told that nobody listens.
            let _ = page.print();
            return if page.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let log = Log::new(line.log, &line.log_format);
    let store = Store::new(line.root.unwrap_or_else(usual_root));
    let done = match line.command {
        Command::Create(create) => create.run(&store, line.systemd_cgroup, &log),
        Command::Start(Named { id }) => start(&store, &id, &log),
        Command::State(Named { id }) => state(&store, &id),
        Command::Kill(kill) => kill.run(&store),
        Command::Delete(delete) => delete.run(&store, &log),
        Command::Run(run) => return run.run(&store, line.systemd_cgroup, &log),
        Command::Exec(exec) => return exec.run(&store, &log),
        Command::Ps(ps) => ps.run(&store),
        Command::List(list) => list.run(&store),
        Command::Pause(Named { id }) => store.container(&id).and_then(|one| one.pause()).map_err(Into::into),
        Command::Resume(Named { id }) => {
            store.container(&id).and_then(|one| one.resume()).map_err(Into::into)
        }
        Command::Update(update) => update.run(&store),
        Command::Events(events) => events.run(&store),
        Command::Spec(spec) => spec.run(),
        Command::Features(_) => print_json(&oci::features()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => log.failure(&error, 1),
    }
}

fn start(store: &Store, id: &str, log: &Log) -> anyhow::Result<()> {
    log.warn_all(&store.container(id)?.start()?);
    Ok(())
}

fn state(store: &Store, id: &str) -> anyhow::Result<()> {
    print_json(&store.container(id)?.description()?)
}

fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    serde_json::to_writer_pretty(&output, value)?;
    Ok(output.write_all(b"\n")?)
}

fn usual_root() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !rustix::process::geteuid().is_root() => {
            PathBuf::from(directory).join("sampan/runtime")
        }
        _ => PathBuf::from("/run/sampan/runtime"),
    }
}

const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.1");
