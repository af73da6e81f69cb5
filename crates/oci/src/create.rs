//! Making a container: everything up to its program.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use oci_spec::runtime::{Process, Spec};
use runtime::{
    Gate, Held, Started, Stdio, Way,
    cgroup::{Cgroup, Layout},
    hooks,
};

use crate::{
    Container, OciError, Status, Store, VERSION, console,
    container::{LOCK, Lock},
    error::Context,
    foreign, notify,
    record::{Init, Record},
    store::remove,
    systemd::{self, Scope},
};

/// How a container is made, besides what its specification says.
#[derive(Debug, Clone)]
pub struct Options {
    pub bundle: PathBuf,
    /// Where to write the number of the first process.
    pub pid_file: Option<PathBuf>,
    pub terminal: Terminal,
    /// How many of the caller's descriptors after the standard streams the program is given.
    pub preserved: u32,
    /// Whether the root can be pivoted to.
    pub pivot: bool,
    /// Whether the program gets a session keyring of its own.
    pub new_keyring: bool,
    /// Whether systemd makes the cgroup, and the specification says where in its words.
    pub systemd: bool,
}

/// Who gets a container's terminal, if the specification wants one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terminal {
    /// Whoever listens at this socket.
    Sent(PathBuf),
    /// The caller, who stays.
    Kept,
    /// Nobody: there must be none.
    None,
}

/// What the caller has of a new container.
#[derive(Debug)]
pub struct Foreground {
    pub process: Started,
    /// What could not be done as the specification says, and is done without.
    pub warnings: Vec<String>,
}

/// Makes the container `id` up to the point where it can be started. On failure nothing of it stays.
///
/// The calling process must have no other threads and run from a sealed program (see [`sys::sealed`]).
pub fn create(store: &Store, id: &str, options: &Options) -> Result<(Container, Foreground), OciError> {
    let bundle = fs::canonicalize(&options.bundle).context(format!("bundle {}", options.bundle.display()))?;
    // What the specification says by relative paths is meant from there.
    rustix::process::chdir(&bundle).context(format!("bundle {}", bundle.display()))?;
    let text = match fs::read(bundle.join(runtime::bundle::CONFIG)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OciError::NoConfig { path: runtime::bundle::CONFIG.into() });
        }
        other => other.context("reading config.json")?,
    };
    let (spec, mut warnings) = foreign::parse(&text)?;
    let annotations = spec.annotations().clone().unwrap_or_default().into_iter().collect();
    let spec = foreign::adopt(spec, &bundle)?;
    check_terminal(&spec, &options.terminal)?;
    let scope = options.systemd.then(|| foreign::scope(&spec, id)).transpose()?;
    let rootfs = spec.root().as_ref().map(|root| root.path().clone()).unwrap_or_default();
    let record = Record {
        oci_version: match spec.version().as_str() {
            "" => VERSION.to_owned(),
            version => version.to_owned(),
        },
        id: id.to_owned(),
        bundle,
        rootfs,
        created: Timestamp::now(),
        owner: owner(),
        annotations,
        cgroup: match &scope {
            Some(scope) => scope.cgroup(),
            None => foreign::cgroup(&spec, id)?,
        },
        scope: scope.as_ref().map(|scope| scope.unit.clone()),
        init: None,
    };
    let directory = store.make(id)?;
    let mut container = Container { directory, record };
    let lock = Lock::take(&container.directory.join(LOCK));
    let made = lock.and_then(|lock| {
        let noted = container.record.write(&container.directory);
        noted
            .and_then(|()| runtime::bundle::store(&spec, &container.directory))
            .context("writing the state")?;
        let made = bring_up(&mut container, &spec, options, scope.as_ref());
        drop(lock);
        made
    });
    match made {
        Ok(mut foreground) => {
            warnings.append(&mut foreground.warnings);
            Ok((container, Foreground { warnings, ..foreground }))
        }
        Err(error) => {
            // Why it failed matters more than what the clearing up may meet.
            let _ = remove(&container.directory);
            Err(error)
        }
    }
}

fn bring_up(
    container: &mut Container,
    spec: &Spec,
    options: &Options,
    scope: Option<&Scope>,
) -> Result<Foreground, OciError> {
    let layout = Layout::detect()?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let stand_in = scope.map(|scope| scope.make(&container.record.id, &resources)).transpose()?;
    let (cgroup, has_others) = Cgroup::create_or_share(&layout, "", &container.record.cgroup, &resources)?;
    let is_shared = has_others && stand_in.is_none();
    let mut outcome = start(container, spec, options, &layout, &cgroup);
    match &mut outcome {
        Ok(foreground) if is_shared => foreground.warnings.push("container's cgroup is not empty".to_owned()),
        Err(_) if !is_shared => {
            drop(stand_in);
            // As above.
            let _ = cgroup.kill();
            scope.iter().for_each(|scope| systemd::stop(&scope.unit));
            let _ = cgroup.remove();
        }
        _ => {}
    }
    outcome
}

fn start(
    container: &mut Container,
    spec: &Spec,
    options: &Options,
    layout: &Layout,
    cgroup: &Cgroup,
) -> Result<Foreground, OciError> {
    let process = spec.process().as_ref().expect("adopted with one");
    let held = Held {
        gate: Gate::make(&container.gate()).context("making the gate")?,
        preserved: options.preserved,
        way: if options.pivot { Way::Pivot } else { Way::Move },
        keyring: options.new_keyring.then(|| format!("_ses.{}", container.record.id)),
    };
    let stdio = stdio(process)?;
    let root = &container.record.bundle.clone();
    let mut created =
        runtime::create_held(spec, root, layout, cgroup, stdio, held).map_err(OciError::Start)?;
    let noted = Init::of(created.process()).and_then(|init| {
        container.record.init = Some(init);
        container.record.write(&container.directory)
    });
    let prepared = noted.context("writing the state").and_then(|()| {
        created.set_up().map_err(OciError::Start)?;
        let state = container.state(Status::Creating).to_string();
        hooks::run_outside(spec.hooks().as_ref(), state.as_bytes()).map_err(OciError::Start)
    });
    if let Err(error) = prepared {
        return Err(created.abandon().map_or(error, OciError::Start));
    }
    let creating = container.state(Status::Creating).to_string();
    let state = container.state(Status::Created);
    let pid = created.process().pid.as_raw_nonzero().get();
    let mut listen = |listener| notify::hand_over(spec, pid, &state, listener);
    let started = created.go_on(&creating, &state.to_string(), &mut listen).map_err(OciError::Start)?;
    hand_over(started, &options.terminal, options.pid_file.as_deref())
}

/// Gives others what is for them: the terminal, and the number of the process.
pub(crate) fn hand_over(
    mut started: Started,
    terminal: &Terminal,
    pid_file: Option<&Path>,
) -> Result<Foreground, OciError> {
    if let (Terminal::Sent(socket), Some(master)) = (terminal, &started.terminal) {
        console::send(socket, console::TERMINAL, master.as_fd())
            .context(format!("console socket {}", socket.display()))?;
        started.terminal = None;
    }
    if let Some(path) = pid_file {
        let pid = started.child.pid.as_raw_nonzero().to_string();
        write_pid(path, &pid).context(format!("writing {}", path.display()))?;
    }
    let warnings = std::mem::take(&mut started.warnings);
    Ok(Foreground { process: started, warnings })
}

/// Whoever waits for the file finds all of it.
fn write_pid(path: &Path, pid: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_file_name(format!(".{}", name.display()));
    fs::write(&temporary, pid)?;
    fs::rename(temporary, path)
}

/// Where the streams of `process` lead: to a terminal of its own, or where the caller's lead.
pub(crate) fn stdio(process: &Process) -> Result<Stdio, OciError> {
    if process.terminal() == Some(true) {
        let size = process.console_size().unwrap_or_default();
        let short = |size: u64| u16::try_from(size).unwrap_or(u16::MAX);
        return Ok(Stdio::Terminal { columns: short(size.width()), rows: short(size.height()) });
    }
    let copy = |stream: io::Result<OwnedFd>| stream.context("the standard streams");
    Ok(Stdio::Descriptors([
        copy(io::stdin().as_fd().try_clone_to_owned())?,
        copy(io::stdout().as_fd().try_clone_to_owned())?,
        copy(io::stderr().as_fd().try_clone_to_owned())?,
    ]))
}

fn check_terminal(spec: &Spec, terminal: &Terminal) -> Result<(), OciError> {
    let wanted = spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true));
    check(wanted, terminal)
}

/// Whether there is somebody for a terminal that is wanted, and nobody for one that is not.
pub(crate) fn check(wanted: bool, terminal: &Terminal) -> Result<(), OciError> {
    match (wanted, terminal) {
        (true, Terminal::None) => Err(OciError::TerminalWithoutSocket),
        (false, Terminal::Sent(_)) => Err(OciError::SocketWithoutTerminal),
        _ => Ok(()),
    }
}

/// The caller, by name if the machine knows one.
fn owner() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entries = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut names =
        entries.filter(|entry| entry.get(2) == Some(&uid.as_str())).map(|entry| entry[0].to_owned());
    names.next().unwrap_or_default()
}
