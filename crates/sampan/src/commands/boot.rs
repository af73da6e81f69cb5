//! `boot`: containers that run after the machine was started, by a unit of systemd's that starts them.
//!
//! The unit runs `boot start` once and leaves: what it starts has monitors of its own. When the machine goes down, it runs `boot
//! stop`.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use engine::{DEFAULT_ROOT, Engine, container::Attach};
use types::Digest;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Start containers by their restart policies whenever the machine is started
#[derive(Args)]
pub struct Enable {
    #[command(flatten)]
    units: Units,
}

/// Do not start containers when the machine is started
#[derive(Args)]
pub struct Disable {
    #[command(flatten)]
    units: Units,
}

/// Show whether containers are started with the machine, and which
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    units: Units,
}

/// Start the containers that are to run after a boot
#[derive(Args)]
pub struct Start {}

/// Stop all containers as when the machine goes down: those that are to run after a boot are started again by `boot start`
#[derive(Args)]
pub struct Stop {}

/// Where systemd finds its units.
#[derive(Args)]
struct Units {
    /// Directory of systemd's units
    #[arg(long, value_name = "path", default_value = "/etc/systemd/system")]
    unit_directory: PathBuf,
}

impl Verb for Enable {
    const NAMES: &'static [&'static str] = &["boot enable"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let root = session::root(globals)?;
        let (unit, link) = self.units.paths(&root);
        let program = env::current_exe().context("finding this program")?;
        let text = unit_text(&program, &root, env::var_os("SAMPAN_RUN").as_deref().map(Path::new))?;
        let write = || -> io::Result<()> {
            fs::create_dir_all(link.parent().unwrap_or(&link))?;
            // Whole or not at all, should the machine go down just now.
            let temporary = unit.with_extension("new");
            let mut file = File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(temporary, &unit)?;
            match symlink(&unit, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            self.units.sync()
        };
        write().with_context(|| format!("cannot write {}", unit.display()))?;
        println!("{}", unit.display());
        Ok(ExitCode::SUCCESS)
    }
}

impl Verb for Disable {
    const NAMES: &'static [&'static str] = &["boot disable"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (unit, link) = self.units.paths(&session::root(globals)?);
        // First what has it run.
        for path in [link, unit] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        self.units.sync().context("cannot write systemd's units")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Verb for Status {
    const NAMES: &'static [&'static str] = &["boot status"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (unit, link) = self.units.paths(&session::root(globals)?);
        let is_enabled = unit.exists() && link.symlink_metadata().is_ok();
        println!("{}", if is_enabled { "enabled" } else { "disabled" });
        if !is_enabled {
            report::advise("`sampan boot enable` has containers started with the machine");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Verb for Start {
    const NAMES: &'static [&'static str] = &["boot start"];
    const USAGE: &'static str = "";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let wanted = engine.wanted_at_boot()?;
        let names: Vec<String> = wanted.iter().map(|container| container.name.to_string()).collect();
        report::for_each(&names, |name| start(&engine, name))
    }
}

impl Verb for Stop {
    const NAMES: &'static [&'static str] = &["boot stop"];
    const USAGE: &'static str = "";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        // All are asked before any is waited for: together they take as long as the slowest.
        let asked: Vec<_> = engine
            .containers()?
            .into_iter()
            .map(|container| {
                (container.name.to_string(), engine.go_down(&container).map(|runs| (runs, container)))
            })
            .collect();
        let mut code = ExitCode::SUCCESS;
        for (name, asked) in asked {
            let ended = asked.and_then(|(runs, container)| {
                if runs {
                    engine.wait_until_settled(&container)?;
                }
                Ok(runs)
            });
            match ended {
                Ok(true) => println!("{name}"),
                Ok(false) => {}
                Err(error) => code = report::failure(&error.into()),
            }
        }
        Ok(code)
    }
}

fn start(engine: &Engine, name: &str) -> anyhow::Result<Option<String>> {
    // One that was lost is started by being found.
    let container = engine.container(name)?;
    if let Some(lock) = engine.lock_to_start(&container)? {
        engine.start(&container, lock, Attach::Detached)?;
    }
    Ok(Some(name.to_owned()))
}

impl Units {
    /// The unit of the engine at `root`, and the link that has systemd start it.
    fn paths(&self, root: &Path) -> (PathBuf, PathBuf) {
        let name = match root == Path::new(DEFAULT_ROOT) {
            true => "sampan-boot.service".to_owned(),
            // Each engine has one of its own.
            false => {
                let digits = Digest::of(root.as_os_str().as_encoded_bytes()).hex();
                format!("sampan-boot-{}.service", &digits[..6])
            }
        };
        (self.unit_directory.join(&name), self.wanted().join(&name))
    }

    /// Where the links lie that have systemd start units with the machine.
    fn wanted(&self) -> PathBuf {
        self.unit_directory.join("multi-user.target.wants")
    }

    /// Has what was made or removed survive whatever happens next.
    fn sync(&self) -> io::Result<()> {
        for directory in [self.wanted(), self.unit_directory.clone()] {
            match File::open(directory) {
                Ok(directory) => directory.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What the unit says; see systemd.service(5).
fn unit_text(program: &Path, root: &Path, run: Option<&Path>) -> anyhow::Result<String> {
    let (program, root) = (quoted(program)?, quoted(root)?);
    let run =
        run.map(|run| anyhow::Ok(format!("Environment=\"SAMPAN_RUN={}\"\n", plain(run)?))).transpose()?;
    let run = run.unwrap_or_default();
    // The monitors it starts stay behind in its cgroup, and are not to be killed when it has done its work.
    Ok(format!(
        "[Unit]
Description=Containers that run after a boot
Wants=network-online.target
After=network-online.target local-fs.target
RequiresMountsFor={root}

[Service]
Type=oneshot
RemainAfterExit=yes
KillMode=process
TimeoutStartSec=infinity
TimeoutStopSec=infinity
{run}ExecStart={program} --root {root} boot start
ExecStop={program} --root {root} boot stop

[Install]
WantedBy=multi-user.target
"
    ))
}

/// A path as a word of a unit's command line.
fn quoted(path: &Path) -> anyhow::Result<String> {
    Ok(format!("\"{}\"", plain(path)?))
}

/// A path as it stands within quotes: `%` and `$` begin something else there.
fn plain(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().filter(|text| !text.contains('\n'));
    let text = text.with_context(|| format!("a unit cannot name {}", path.display()))?;
    Ok(text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_runs_this_program_for_this_root() {
        let text = unit_text(Path::new("/usr/bin/sampan"), Path::new("/srv/50% \"of\" it"), None).unwrap();
        assert!(
            text.contains("\nExecStart=\"/usr/bin/sampan\" --root \"/srv/50%% \\\"of\\\" it\" boot start\n"),
            "{text}"
        );
        assert!(unit_text(Path::new("/a\nb"), Path::new("/c"), None).is_err());
    }
}
