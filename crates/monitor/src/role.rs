//! A monitor's life: one container, from the order to the cleaning up.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStringExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use jiff::Timestamp;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use runtime::{
    Confidential, Failure, Stdio,
    cgroup::{Cgroup, Layout},
};
use rustix::{
    fs::{Mode, OFlags},
    pipe::{PipeFlags, pipe_with},
    process::Signal,
};
use sys::{
    channel::{Channel, Listener},
    process::{Child, boot, start_of},
    signals::Signals,
};
use types::Publish;

use crate::{
    audience::Audience,
    connection::{Connection, release_claims},
    control::{self, Report},
    health::Observer,
    hooks::Hooked,
    journal, log,
    order::{Input, Order},
    policy::{self, Backoff, Restart},
    record::{Ended, Lock, Record, Started},
    watch::{End, Entrance, Output, Watch},
};

/// `argv[0]` of a monitor; its standard input is the channel to whoever launched it.
pub const ROLE: &str = "sampan-monitor";

/// Plays the role. Nobody reads a monitor's output: what goes wrong goes through the channel and into the
/// container's record.
pub fn play() -> ExitCode {
    match live() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn live() -> io::Result<()> {
    let channel = take_channel()?;
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    rustix::thread::set_name(c"sampan-monitor")?;
    // Takes a privilege; without it the monitor is merely as killable as anyone.
    let _ = fs::write("/proc/self/oom_score_adj", "-999");
    let Some(message) = channel.receive()? else { return Ok(()) };
    let bundle = PathBuf::from(OsString::from_vec(message.bytes));
    let mut order = Order::load(&bundle)?.ok_or(io::ErrorKind::NotFound)?;
    if let Some(namespace) = &order.namespace {
        // Before whoever launched us may go: one of us is always there to be joined.
        sys::rootless::register(namespace)?;
    }
    let mut descriptors = message.descriptors.into_iter();
    let lock = Lock::from(descriptors.next().ok_or(io::ErrorKind::InvalidData)?);
    let mut confidential = if order.confidential { descriptors.next() } else { None };
    channel.set_nonblocking()?;
    // What helps us is not to be ended by it either, and goes when we do.
    let signals = Signals::collect(&[Signal::TERM.as_raw()])?;

    let (mut restarts, mut backoff) = (order.restarts, Backoff::default());
    let mut outcome = loop {
        let begun = Instant::now();
        let outcome = carry_out(&order, &bundle, restarts, confidential.take(), &channel, &signals);
        if let Ok(outcome) = &outcome {
            journal::note_end(&bundle, &outcome.ended);
        }
        let (ended, again) = match &outcome {
            Ok(Outcome { ended, again, .. }) => (ended.clone(), *again),
            Err(_) => {
                journal::note_failure(&bundle);
                break outcome;
            }
        };
        let is_wanted = |policy: Restart| again || policy.wants(ended.code, ended.restarts);
        if policy::is_stopped(&bundle) || !is_wanted(Restart::load(&bundle)?) {
            break outcome;
        }
        Record::Restarting(ended.clone()).write(&bundle)?;
        if let Ok(outcome) = outcome {
            outcome.dismiss()?;
        }
        if !policy::wait(&bundle, backoff.after(begun.elapsed()), is_wanted, &signals)? {
            break Ok(Outcome::of(ended));
        }
        // It may have joined networks and left others.
        order = Order::load(&bundle)?.unwrap_or(order);
        restarts += 1;
    };
    // As it is by now: the container may have joined networks and left others.
    let last = Order::load(&bundle)?;
    release_claims(last.as_ref().unwrap_or(&order));
    // One that cannot be ended is found to have no user when somebody sweeps up.
    order.volumes.iter().for_each(|volume| drop(volume.end()));
    let record = match &outcome {
        Ok(outcome) => outcome.ended.clone(),
        Err(failure) => Ended::before_it_ran(failure),
    };
    Record::Exited(record).write(&bundle)?;
    Order::settle(&bundle)?;
    drop(lock);
    // The record is written: who is gone loses nothing, and who is slow to take the last output holds up nobody.
    let launcher = match &mut outcome {
        Ok(outcome) => {
            let last = Report::Exited { code: outcome.ended.code };
            let heard = std::mem::take(&mut outcome.audience).dismiss(&last)?;
            match outcome.launcher {
                Launcher::Listens if heard => Launcher::Listens,
                // One that has only said that it needs the container no more still waits for the end.
                Launcher::Gone => last.send(&channel, None).map_or(Launcher::Gone, |()| Launcher::Gone),
                Launcher::Listens => Launcher::Gone,
            }
        }
        Err(failure) => match Report::Failed(failure.clone()).send(&channel, None) {
            Ok(()) => Launcher::Listens,
            Err(_) => Launcher::Gone,
        },
    };
    match (launcher, order.afterwards.as_deref()) {
        (Launcher::Gone, Some([program, arguments @ ..])) => {
            let mut command = Command::new("/proc/self/exe");
            Err(sys::signals::unblock_in(command.arg0(program).args(arguments)).exec())
        }
        _ => Ok(()),
    }
}

/// Takes the channel from standard input and leaves nothing to read there.
fn take_channel() -> io::Result<Channel> {
    let channel = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(Channel::from(channel))
}

/// Whether the process that launched the monitor still waits for the container to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    Listens,
    Gone,
}

/// A container that runs, and our ends of its streams.
struct Container {
    process: runtime::Started,
    record: Started,
    listener: Listener,
    connection: Option<Connection>,
    outputs: Vec<Output>,
    entrance: Entrance,
    root: Option<OwnedFd>,
}

/// How it went with a container.
struct Outcome {
    ended: Ended,
    launcher: Launcher,
    /// Those who took part and are to hear of the end.
    audience: Audience,
    /// Whether it is to be started again whatever its policy says.
    again: bool,
    /// Two things that take their time to close, and that nobody who waits for the end should wait for: the root,
    /// whose unmounting may write back a great deal, and the firewall's socket.
    _root: Option<OwnedFd>,
    _firewall: Option<network::Firewall>,
}

impl Outcome {
    /// Of a container that has ended a while ago, and that nobody waits for.
    fn of(ended: Ended) -> Outcome {
        let audience = Audience::default();
        Outcome { ended, launcher: Launcher::Gone, audience, again: false, _root: None, _firewall: None }
    }

    /// Tells those who took part that this was the end, though the container is to be started again. What takes its time to
    /// close is closed: the root is not to be mounted twice.
    fn dismiss(self) -> io::Result<()> {
        self.audience.dismiss(&Report::Exited { code: self.ended.code }).map(drop)
    }
}

/// Carries out the order; what was set up outside the container's namespaces is gone afterwards, either way.
fn carry_out(
    order: &Order,
    bundle: &Path,
    restarts: u32,
    confidential: Option<OwnedFd>,
    channel: &Channel,
    signals: &Signals,
) -> Result<Outcome, Failure> {
    let layout = order.layout().map_err(context("finding the cgroups"))?;
    let mut spec = runtime::bundle::load(bundle).map_err(context("reading the bundle"))?;
    let confidential = confidential.map(Confidential::unpack).transpose();
    let confidential = confidential.map_err(context("reading what is confidential"))?.unwrap_or_default();
    confidential.add_variables(&mut spec);
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let cgroup = Cgroup::create(&layout, &order.cgroup_parent, &order.id.to_string(), &resources)
        .map_err(Failure::setup)?;
    let is_first_of_all = has_own(&spec, LinuxNamespaceType::Pid);
    let hooked = Hooked::of(&spec, order.id, bundle);
    let started = start(order, bundle, restarts, &spec, &confidential, &layout, &cgroup);
    let mut outcome = started.and_then(|container| {
        drop((spec, confidential));
        watch(order, bundle, container, channel, &cgroup, signals)
    });
    if !is_first_of_all {
        // Its end is not that of those it left behind. What goes wrong here, the removal below meets again.
        let _ = cgroup.kill();
    }
    // What can keep a cgroup from being removed is a process that is still being killed. The next start sweeps
    // what stays behind.
    let _ = cgroup.remove();
    let warnings = hooked.map(|hooked| hooked.stop()).unwrap_or_default();
    if let Ok(outcome) = &mut outcome
        && !warnings.is_empty()
    {
        outcome.ended.error = Some(warnings.join("; "));
    }
    outcome
}

/// Starts the container's program.
fn start(
    order: &Order,
    bundle: &Path,
    restarts: u32,
    spec: &Spec,
    confidential: &Confidential,
    layout: &Layout,
    cgroup: &Cgroup,
) -> Result<Container, Failure> {
    let (stdio, outputs, entrance) = streams(order).map_err(context("making pipes"))?;
    let create = || runtime::create(spec, bundle, confidential, layout, cgroup, stdio);
    let created = match network_to_join(spec) {
        // There would be no way back: the child joins it by itself.
        Some(_) if sys::rootless::is_rootless() => create(),
        // What is made inside is born there.
        Some(path) => fs::File::open(path)
            .and_then(|namespace| network::within(namespace, create))
            .map_err(context("joining the network namespace"))?,
        None => create(),
    }?;
    let connected = connect(order, spec, &created);
    let connection = match connected {
        Ok(connection) => connection,
        Err(failure) => {
            // What could not be connected may be gone, and have said why.
            return Err(created.abandon().unwrap_or(failure));
        }
    };
    let publish = connection.as_ref().map(|connection| connection.published.clone()).unwrap_or_default();
    let (record, listener) = match take_room(bundle, created.process(), publish, restarts) {
        Ok(taken) => taken,
        Err(failure) => {
            drop(connection.map(Connection::close));
            return Err(created.abandon().unwrap_or(failure));
        }
    };
    let started = match Hooked::of(spec, order.id, bundle) {
        None => created.start(),
        Some(hooked) => hooked.start(created),
    };
    let process = match started {
        Ok(process) => process,
        Err(failure) => {
            control::close(bundle, listener);
            drop(connection.map(Connection::close));
            return Err(failure);
        }
    };
    let root = format!("/proc/{}/root", record.pid);
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok();
    Ok(Container { process, record, listener, connection, outputs, entrance, root })
}

/// Has what its start takes of the disk be there before the program runs, which may fill that: the record, to be published, and
/// the socket.
fn take_room(
    bundle: &Path,
    process: &Child,
    publish: Vec<Publish>,
    restarts: u32,
) -> Result<(Started, Listener), Failure> {
    let pid = process.pid.as_raw_nonzero().get();
    let record = Started {
        pid,
        // A process that has ended already is still ours to collect, so it is still there to be asked.
        ticks: start_of(pid).map_err(context("reading the process's start"))?,
        boot: boot().map_err(context("reading the boot id"))?,
        at: Timestamp::now(),
        publish,
        restarts,
    };
    Record::Running(record.clone()).prepare(bundle).map_err(context("writing the container's record"))?;
    let listener = control::listen(bundle).map_err(context("listening for others"))?;
    Ok((record, listener))
}

/// The network namespace that the container is to share, if that is not the host's.
fn network_to_join(spec: &Spec) -> Option<&PathBuf> {
    let namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces()).flatten();
    let network = namespaces.filter(|namespace| namespace.typ() == LinuxNamespaceType::Network);
    network.filter_map(|namespace| namespace.path().as_ref()).next()
}

/// Gives the container's network namespace what the order says; one of its own without any has its loopback.
fn connect(order: &Order, spec: &Spec, created: &runtime::Created) -> Result<Option<Connection>, Failure> {
    if !has_own(spec, LinuxNamespaceType::Network) {
        return Ok(None);
    }
    let namespace = created.network_namespace().map_err(context("opening the network namespace"))?;
    match &order.network {
        Some(network) => Connection::open(network, namespace.as_fd()).map(Some),
        // From the host's network namespace, which is not ours, there is no way back: init has done it.
        None if sys::rootless::is_rootless() => Ok(None),
        None => network::loopback_up(namespace.as_fd()).map(|()| None).map_err(Failure::setup),
    }
}

/// Whether the container has a namespace of this kind that is nobody else's.
fn has_own(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let mut namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces()).flatten();
    namespaces.any(|namespace| namespace.typ() == kind && namespace.path().is_none())
}

/// Where the container's streams lead, and our ends of them.
type Streams = (Stdio, Vec<Output>, Entrance);

fn streams(order: &Order) -> io::Result<Streams> {
    if let Some(size) = order.terminal {
        // The terminal is made inside; its master comes with the start.
        let stdio = Stdio::Terminal { columns: size.columns, rows: size.rows };
        return Ok((stdio, Vec::new(), Entrance::Closed));
    }
    let (output, child_output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (errors, child_errors) = pipe_with(PipeFlags::CLOEXEC)?;
    let (child_input, entrance) = match order.input {
        Input::Closed => {
            let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            (null, Entrance::Closed)
        }
        Input::Open | Input::Once => {
            let (read, end) = pipe_with(PipeFlags::CLOEXEC)?;
            // Whoever types must not have to wait for a container that does not read.
            rustix::fs::fcntl_setfl(&end, OFlags::NONBLOCK)?;
            (read, Entrance::Pipe { end, once: order.input == Input::Once })
        }
    };
    let outputs = vec![Output::new(log::Stream::Stdout, output), Output::new(log::Stream::Stderr, errors)];
    Ok((Stdio::Descriptors([child_input, child_output, child_errors]), outputs, entrance))
}

/// Watches the container until it ends, and records that.
fn watch(
    order: &Order,
    bundle: &Path,
    container: Container,
    channel: &Channel,
    cgroup: &Cgroup,
    signals: &Signals,
) -> Result<Outcome, Failure> {
    let Container { process, record, listener, mut connection, mut outputs, entrance, root } = container;
    let observe = |check| Observer::new(check, bundle, process.child.pidfd.as_fd(), cgroup);
    let health = order.health.as_ref().map(observe).transpose();
    let health = health.map_err(context("looking after its health"))?;
    let log = log::Log::open(bundle, order).map_err(context("starting the log's carrier"))?;
    Record::publish(bundle).map_err(context("writing the container's record"))?;
    if policy::is_stopped(bundle) {
        // By somebody who may have found nothing to stop yet. It fails only if it has just ended by itself.
        let _ = sys::process::signal(process.child.pidfd.as_fd(), Signal::KILL.as_raw());
    }
    let entrance = match process.terminal {
        Some(master) => {
            let copy = master.try_clone().map_err(context("the terminal"))?;
            outputs.push(Output::new(log::Stream::Stdout, master));
            Entrance::Terminal(copy)
        }
        None => entrance,
    };
    journal::note_start(bundle);
    // A launcher that is gone is noticed by the watch.
    let _ = Report::Started { publish: record.publish }.send(channel, None);
    let watch = Watch {
        bundle,
        on_abandon: order.on_abandon,
        process: &process.child,
        channel: channel.try_clone().map_err(context("the launcher"))?,
        listener: &listener,
        outputs,
        entrance,
        connection: connection.as_mut(),
        health,
        cgroup,
        signals,
        farewell: order.farewell,
    };
    let End { code, launcher, audience, again } =
        watch.until_the_end(log).map_err(context("watching the container"))?;
    control::close(bundle, listener);
    let oom_killed = cgroup.oom_killed();
    let ended = Ended {
        code,
        started: Some(record.at),
        finished: Timestamp::now(),
        oom_killed,
        error: None,
        restarts: record.restarts,
        lost: false,
    };
    let firewall = connection.and_then(Connection::close);
    Ok(Outcome { ended, launcher, audience, again, _root: root, _firewall: firewall })
}

fn context<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::setup(format_args!("{step}: {}", error.into()))
}
