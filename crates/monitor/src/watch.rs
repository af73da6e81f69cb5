//! The event loop: a container's output, its end, its names and ports, and whoever takes part in it.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use network::{Relay, RelayedDatagrams, dns::Resolver};
use runtime::{Failure, Stdio, cgroup::Cgroup};
use rustix::{
    event::{
        PollFd, PollFlags, Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
        poll,
    },
    fs::{Mode, OFlags},
    io::Errno,
    process::Signal,
};
use sys::{
    channel::{Channel, Listener},
    process::Child,
    signals::Signals,
};

use crate::{
    audience::{Audience, Seat},
    connection::Connection,
    control::{self, Report, Request},
    health::{Farewell, Observer},
    journal,
    log::{self, Log, Stream},
    order::{OnAbandon, Order, TerminalSize},
    policy,
    role::Launcher,
};

/// Everything a monitor waits for.
pub struct Watch<'a> {
    /// The container's directory.
    pub bundle: &'a Path,
    pub on_abandon: OnAbandon,
    pub process: &'a Child,
    /// To the launcher.
    pub channel: Channel,
    pub listener: &'a Listener,
    pub outputs: Vec<Output>,
    pub entrance: Entrance,
    pub connection: Option<&'a mut Connection>,
    pub health: Option<Observer<'a>>,
    pub cgroup: &'a Cgroup,
    /// What this process is to end by, and how the container is stopped then.
    pub signals: &'a Signals,
    pub farewell: Farewell,
}

/// Our end of one of the container's outputs.
#[derive(Debug)]
pub struct Output {
    stream: Stream,
    source: OwnedFd,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Somebody has not taken yet what was read before.
    Held,
    Closed,
}

/// How what is typed gets into a container.
#[derive(Debug)]
pub enum Entrance {
    /// Not at all.
    Closed,
    Terminal(OwnedFd),
    Pipe {
        end: OwnedFd,
        /// The input has ended when the first who could type has nothing more to say.
        once: bool,
    },
}

/// How it ended, and who is still to be told.
pub struct End {
    pub code: u8,
    pub launcher: Launcher,
    pub audience: Audience,
    /// Whether the container was not well, and ended to be started again.
    pub again: bool,
}

impl Output {
    pub fn new(stream: Stream, source: OwnedFd) -> Output {
        Output { stream, source, state: State::Open }
    }
}

/// A process that nobody else waits for, and whose end is to be noted.
struct Left {
    exec: String,
    process: Guest,
}

enum Guest {
    /// Started here.
    Own(Child),
    /// Started by somebody who is gone.
    Orphan(OwnedFd),
}

/// A loop that goes round.
struct Loop<'a> {
    poll: OwnedFd,
    watch: Watch<'a>,
    audience: Audience,
    launcher: Launcher,
    /// Terminals of others' processes, whose output nobody wants.
    kept: Vec<Option<OwnedFd>>,
    left: Vec<Option<Left>>,
    buffer: Vec<MaybeUninit<u8>>,
    log: Log,
    /// When the container is killed that was asked to end with us.
    killed_at: Option<Instant>,
}

impl Watch<'_> {
    /// Serves the container until its first process has ended and all its output is in the log.
    pub fn until_the_end(self, log: Log) -> io::Result<End> {
        let mut serving = Loop {
            poll: epoll::create(CreateFlags::CLOEXEC)?,
            watch: self,
            audience: Audience::default(),
            launcher: Launcher::Listens,
            kept: Vec::new(),
            left: Vec::new(),
            buffer: vec![MaybeUninit::uninit(); CHUNK],
            log,
            killed_at: None,
        };
        serving.prepare()?;
        let mut events = [MaybeUninit::uninit(); 8];
        loop {
            serving.balance()?;
            let ready = match epoll::wait(&serving.poll, &mut events, serving.timeout().as_ref()) {
                Err(Errno::INTR) => continue,
                other => other?.0,
            };
            if ready.is_empty() {
                serving.log.rest();
            }
            for event in ready.iter() {
                if let Some(code) = serving.serve(event.data.u64())? {
                    serving.settle()?;
                    let Loop { launcher, audience, watch, .. } = serving;
                    let again = watch.health.is_some_and(|health| health.wants_restart());
                    return Ok(End { code, launcher, audience, again });
                }
            }
            serving.audience.lose_patience(Instant::now());
            serving.kill_if_late();
        }
    }
}

impl Loop<'_> {
    fn prepare(&mut self) -> io::Result<()> {
        let Watch { process, listener, connection, health, outputs, channel, .. } = &self.watch;
        add(&self.poll, process.pidfd.as_fd(), PROCESS)?;
        add(&self.poll, listener.as_fd(), LISTENER)?;
        add(&self.poll, self.watch.signals.as_fd(), SIGNALS)?;
        if let Some(connection) = connection {
            connection.relay.iter().try_for_each(|relay| add(&self.poll, relay.as_fd(), RELAY))?;
            let datagrams = connection.datagrams.iter();
            datagrams.map(AsFd::as_fd).try_for_each(|relay| add(&self.poll, relay, DATAGRAMS))?;
            connection.pasta.iter().try_for_each(|pasta| add(&self.poll, pasta.as_fd(), PASTA))?;
            connection
                .resolver
                .iter()
                .try_for_each(|resolver| add(&self.poll, resolver.as_fd(), RESOLVER))?;
        }
        health.iter().try_for_each(|health| add(&self.poll, health.as_fd(), HEALTH))?;
        for (index, output) in (OUTPUTS..).zip(outputs) {
            rustix::fs::fcntl_setfl(&output.source, OFlags::NONBLOCK)?;
            add(&self.poll, output.source.as_fd(), index)?;
        }
        // What the launcher wants was said already, and the first output is for it as well.
        let launcher = channel.try_clone()?;
        let id = self.admit(launcher, Seat::Launcher)?;
        self.attend(id)
    }

    /// Does what an event asks for; the exit code, if it was the end.
    fn serve(&mut self, event: u64) -> io::Result<Option<u8>> {
        match event {
            PROCESS => {
                let code = self.watch.process.wait()?;
                self.drain();
                // With the first process, the kernel has ended all others, if that is the first of all.
                self.left.iter().flatten().for_each(Left::end);
                (0..self.left.len()).for_each(|index| self.note_exit(index));
                return Ok(Some(code));
            }
            LISTENER => {
                // An error here concerns the machine as a whole, such as no descriptor left: the container runs on,
                // and the next event tries again.
                while let Ok(Some(channel)) = self.watch.listener.accept() {
                    self.admit(channel, Seat::Guest)?;
                }
            }
            // So do these.
            RELAY => drop(self.relay().map(Relay::ready)),
            DATAGRAMS => drop(self.datagrams().map(RelayedDatagrams::ready)),
            PASTA => self.lead_out_again()?,
            RESOLVER => drop(self.resolver().map(Resolver::ready)),
            HEALTH => drop(self.watch.health.as_mut().map(Observer::ready)),
            BEHIND => self.catch_up(),
            SIGNALS => self.go_down()?,
            member if member & MEMBERS != 0 => self.attend(member as u32)?,
            kept if kept & KEPT != 0 => self.discard((kept & !KEPT) as usize),
            left if left & LEFT != 0 => self.note_exit((left & !LEFT) as usize),
            output => {
                let index = (output - OUTPUTS) as usize;
                if self.pass_on(index) == Progress::Closed {
                    self.read_from(index, State::Closed)?;
                }
            }
        }
        Ok(None)
    }

    /// Stops the container as its user would have it stopped: the machine goes down.
    fn go_down(&mut self) -> io::Result<()> {
        while self.watch.signals.next()?.is_some() {}
        let Watch { bundle, process, cgroup, farewell, .. } = &self.watch;
        // Without the mark it is started again, and stopped once more.
        let _ = policy::mark_going_down(bundle);
        journal::note(bundle, "kill", &[("signal", &farewell.signal.to_string())]);
        // These fail only if it has just ended by itself. One that stands still could not do what it is asked.
        let _ = sys::process::signal(process.pidfd.as_fd(), farewell.signal);
        let _ = cgroup.thaw();
        self.killed_at = farewell.grace.map(|grace| Instant::now() + grace);
        Ok(())
    }

    fn kill_if_late(&mut self) {
        if self.killed_at.is_some_and(|at| at <= Instant::now()) {
            self.killed_at = None;
            let signal = Signal::KILL.as_raw();
            journal::note(self.watch.bundle, "kill", &[("signal", &signal.to_string())]);
            let _ = sys::process::signal(self.watch.process.pidfd.as_fd(), signal);
        }
    }

    fn relay(&mut self) -> Option<&mut Relay> {
        self.watch.connection.as_mut()?.relay.as_mut()
    }

    fn datagrams(&mut self) -> Option<&mut RelayedDatagrams> {
        self.watch.connection.as_mut()?.datagrams.as_mut()
    }

    /// Has another pasta lead to the outside, for the one that did is gone. If there can be none, others can still be reached.
    fn lead_out_again(&mut self) -> io::Result<()> {
        let Some(connection) = &mut self.watch.connection else { return Ok(()) };
        match connection.lead_out_again() {
            Some(pasta) => add(&self.poll, pasta, PASTA),
            None => Ok(()),
        }
    }

    fn resolver(&mut self) -> Option<&mut Resolver> {
        self.watch.connection.as_mut()?.resolver.as_mut()
    }

    fn admit(&mut self, channel: Channel, seat: Seat) -> io::Result<u32> {
        let member = self.audience.admit(channel, seat);
        add(&self.poll, member.channel.as_fd(), MEMBERS | u64::from(member.id))?;
        Ok(member.id)
    }

    /// Hears what a member of the audience has to say.
    fn attend(&mut self, id: u32) -> io::Result<()> {
        while let Some(member) = self.audience.member(id) {
            match Request::receive(&member.channel) {
                Ok(Some((request, descriptors))) => {
                    // Whoever does not listen to the answer is gone, which the next look shows.
                    let _ = self.answer(id, request, descriptors);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Ok(None) | Err(_) => self.part(id)?,
            }
        }
        Ok(())
    }

    fn answer(&mut self, id: u32, request: Request, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let Some(member) = self.audience.member(id) else { return Ok(()) };
        match request {
            Request::Attach { input, output, errors } => {
                let wanted = [(output, Stream::Stdout), (errors, Stream::Stderr)];
                let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
                for ((_, stream), target) in wanted.zip(descriptors) {
                    member.listen(stream, target)?;
                }
                let way = match &self.watch.entrance {
                    Entrance::Terminal(master) => Some(master),
                    Entrance::Pipe { end, .. } if input => {
                        member.types = true;
                        Some(end)
                    }
                    Entrance::Pipe { .. } | Entrance::Closed => None,
                };
                Report::Attached.send(&member.channel, way)
            }
            Request::InputEnded => {
                if std::mem::take(&mut member.types) {
                    self.input_ended();
                }
                Ok(())
            }
            Request::Reconnect => {
                let report = match self.reconnect() {
                    Ok(()) => Report::Reconnected,
                    Err(failure) => Report::Failed(failure),
                };
                let Some(member) = self.audience.member(id) else { return Ok(()) };
                report.send(&member.channel, None)
            }
            Request::Execute { exec, terminal } => {
                let report = match self.execute(exec, terminal, descriptors) {
                    Ok(()) => Report::Executed,
                    Err(failure) => Report::Failed(failure),
                };
                let Some(member) = self.audience.member(id) else { return Ok(()) };
                report.send(&member.channel, None)
            }
            Request::GoDown => self.go_down(),
            Request::Keep => descriptors.into_iter().try_for_each(|terminal| self.keep(terminal)),
            Request::Await { exec } => {
                let Some(process) = descriptors.into_iter().next() else { return Ok(()) };
                self.look_after(Left { exec, process: Guest::Orphan(process) })
            }
        }
    }

    /// Starts a process in the container that nobody else waits for.
    fn execute(
        &mut self,
        exec: String,
        terminal: Option<TerminalSize>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let Watch { bundle, process: init, cgroup, .. } = &self.watch;
        let described = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidData.into());
        let prepare = |described| -> io::Result<_> {
            Ok((runtime::bundle::load(bundle)?, control::unpack(described)?, stdio(terminal)?))
        };
        let (spec, process, stdio) = described.and_then(prepare).map_err(Failure::setup)?;
        let started = runtime::enter(&spec, &process, init.pidfd.as_fd(), cgroup, stdio)?;
        let kept = started.terminal.map_or(Ok(()), |master| self.keep(master));
        // Who cannot be looked after runs all the same.
        let _ = kept.and_then(|()| self.look_after(Left { exec, process: Guest::Own(started.child) }));
        Ok(())
    }

    /// Keeps a terminal open that somebody else uses.
    fn keep(&mut self, terminal: OwnedFd) -> io::Result<()> {
        rustix::fs::fcntl_setfl(&terminal, OFlags::NONBLOCK)?;
        let index = free_place(&mut self.kept);
        add(&self.poll, terminal.as_fd(), KEPT | index as u64)?;
        self.kept[index] = Some(terminal);
        Ok(())
    }

    fn look_after(&mut self, left: Left) -> io::Result<()> {
        let index = free_place(&mut self.left);
        let flags = match left.process {
            Guest::Own(_) => EventFlags::IN,
            // For nothing but its hanging up, which comes when its parent has collected it: how it ended is known then.
            Guest::Orphan(_) => EventFlags::empty(),
        };
        epoll::add(&self.poll, &left, EventData::new_u64(LEFT | index as u64), flags)?;
        self.left[index] = Some(left);
        Ok(())
    }

    /// Connects the container as its order says by now.
    fn reconnect(&mut self) -> Result<(), Failure> {
        let Watch { bundle, process, connection, .. } = &mut self.watch;
        let order =
            Order::load(bundle).map_err(|error| Failure::setup(format_args!("the order: {error}")))?;
        let (Some(connection), Some(network)) = (connection, order.and_then(|order| order.network)) else {
            return Err(Failure::setup("the container has no network of its own"));
        };
        let (answered, led) = (connection.resolver.is_some(), connection.pasta.is_some());
        let changed = connection.change(network, process.pid.as_raw_nonzero().get());
        if let (false, Some(resolver)) = (answered, &connection.resolver) {
            add(&self.poll, resolver.as_fd(), RESOLVER).map_err(Failure::setup)?;
        }
        if let (false, Some(pasta)) = (led, &connection.pasta) {
            add(&self.poll, pasta.as_fd(), PASTA).map_err(Failure::setup)?;
        }
        changed
    }

    /// Lets a member of the audience go.
    fn part(&mut self, id: u32) -> io::Result<()> {
        let Some(member) = self.audience.part(id) else { return Ok(()) };
        epoll::delete(&self.poll, &member.channel)?;
        if member.types {
            self.input_ended();
        }
        if member.seat == Seat::Launcher {
            self.launcher = Launcher::Gone;
            if self.watch.on_abandon == OnAbandon::End {
                // It fails only if the process has just ended by itself.
                let _ = sys::process::signal(self.watch.process.pidfd.as_fd(), Signal::KILL.as_raw());
            }
        }
        Ok(())
    }

    /// Somebody who could type has nothing more to say.
    fn input_ended(&mut self) {
        if let Entrance::Pipe { once: true, .. } = self.watch.entrance {
            self.watch.entrance = Entrance::Closed;
        }
    }

    /// Reads only what everybody has room for, and waits for those who have none.
    fn balance(&mut self) -> io::Result<()> {
        for index in 0..self.watch.outputs.len() {
            let Output { stream, state, .. } = self.watch.outputs[index];
            match (state, self.audience.is_behind(stream) || self.log.is_behind()) {
                (State::Open, true) => self.read_from(index, State::Held)?,
                (State::Held, false) => self.read_from(index, State::Open)?,
                _ => {}
            }
        }
        for target in self.audience.behind().chain(self.log.behind()) {
            // Once each: a descriptor may leave the audience and stay open elsewhere.
            let (data, flags) = (EventData::new_u64(BEHIND), EventFlags::OUT | EventFlags::ONESHOT);
            match epoll::modify(&self.poll, target, data, flags) {
                Err(Errno::NOENT) => epoll::add(&self.poll, target, data, flags)?,
                other => other?,
            }
        }
        Ok(())
    }

    fn read_from(&mut self, index: usize, state: State) -> io::Result<()> {
        let output = &mut self.watch.outputs[index];
        match (output.state, state) {
            (State::Open, State::Held | State::Closed) => epoll::delete(&self.poll, &output.source)?,
            (State::Held, State::Open) => add(&self.poll, output.source.as_fd(), OUTPUTS + index as u64)?,
            _ => {}
        }
        output.state = state;
        Ok(())
    }

    /// How long to wait for an event at most.
    fn timeout(&self) -> Option<Timespec> {
        let deadlines = self.audience.deadline().into_iter().chain(self.killed_at);
        let left = deadlines.min().map(|at| at.saturating_duration_since(Instant::now()));
        let pause = self.log.needs_rest().then_some(PAUSE);
        Timespec::try_from(left.into_iter().chain(pause).min()?).ok()
    }

    /// Takes what the container left in its pipes. No process of it is left to write more, and one of another's that
    /// has them too is not waited for.
    fn drain(&mut self) {
        for index in 0..self.watch.outputs.len() {
            (0..MOST_LEFT).take_while(|_| self.pass_on(index) == Progress::More).for_each(drop);
        }
    }

    fn catch_up(&mut self) {
        self.audience.catch_up();
        self.log.catch_up();
    }

    /// Waits until the log is where it is wanted; not for ever, as docker does not. Whoever takes part goes on getting what
    /// was said.
    fn settle(&mut self) -> io::Result<()> {
        self.log.end();
        let deadline = Instant::now() + log::PATIENCE;
        loop {
            self.audience.catch_up();
            if self.log.catch_up() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let targets =
                self.audience.behind().map(|target| PollFd::from_borrowed_fd(target, PollFlags::OUT));
            let mut polled: Vec<_> = self.log.last().into_iter().chain(targets).collect();
            match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Passes on one chunk of an output.
    fn pass_on(&mut self, index: usize) -> Progress {
        let Output { stream, source, .. } = &self.watch.outputs[index];
        let chunk = match rustix::io::read(source, &mut *self.buffer) {
            Ok((chunk, _)) if !chunk.is_empty() => chunk,
            Err(Errno::AGAIN | Errno::INTR) => return Progress::NothingNow,
            // A terminal whose last slave is closed gives EIO.
            Ok(_) | Err(_) => return Progress::Closed,
        };
        self.log.append(*stream, chunk);
        self.audience.hear(*stream, chunk);
        Progress::More
    }

    /// Notes how a process has ended that was left alone. Of an orphan, kernels before 6.15 tell nobody but its parent.
    fn note_exit(&mut self, index: usize) {
        let Some(left) = self.left.get_mut(index).and_then(Option::take) else { return };
        let _ = epoll::delete(&self.poll, &left);
        let code = match &left.process {
            Guest::Own(child) => child.wait().map(Some),
            Guest::Orphan(process) => sys::process::exit_of(process.as_fd()),
        };
        if let Ok(Some(code)) = code {
            let attributes = [("execID", &*left.exec), ("exitCode", &code.to_string())];
            journal::note(self.watch.bundle, "exec_die", &attributes);
        }
    }

    /// Throws away what is said on a terminal that is kept.
    fn discard(&mut self, index: usize) {
        let Some(Some(terminal)) = self.kept.get(index) else { return };
        match rustix::io::read(terminal, &mut *self.buffer) {
            Ok((said, _)) if !said.is_empty() => {}
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody uses it any more.
            Ok(_) | Err(_) => {
                let _ = epoll::delete(&self.poll, terminal);
                self.kept[index] = None;
            }
        }
    }
}

impl Left {
    fn end(&self) {
        if let Guest::Own(child) = &self.process {
            // It fails only if it has just ended by itself.
            let _ = sys::process::signal(child.pidfd.as_fd(), Signal::KILL.as_raw());
        }
    }
}

impl AsFd for Left {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.process {
            Guest::Own(child) => child.pidfd.as_fd(),
            Guest::Orphan(process) => process.as_fd(),
        }
    }
}

/// The streams of a process that nobody talks to.
fn stdio(terminal: Option<TerminalSize>) -> io::Result<Stdio> {
    if let Some(TerminalSize { columns, rows }) = terminal {
        return Ok(Stdio::Terminal { columns, rows });
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Stdio::Descriptors([null.try_clone()?, null.try_clone()?, null]))
}

#[derive(PartialEq, Eq)]
enum Progress {
    More,
    NothingNow,
    Closed,
}

/// Where there is nothing: a container may live to see any number of processes come and go.
fn free_place<T>(places: &mut Vec<Option<T>>) -> usize {
    places.iter().position(Option::is_none).unwrap_or_else(|| {
        places.push(None);
        places.len() - 1
    })
}

fn add(poll: &OwnedFd, source: BorrowedFd<'_>, key: u64) -> io::Result<()> {
    Ok(epoll::add(poll, source, EventData::new_u64(key), EventFlags::IN)?)
}

/// How much is read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;
/// After this much silence a burst of output is over.
const PAUSE: Duration = Duration::from_millis(100);
/// How many chunks a pipe holds at most.
const MOST_LEFT: usize = 17;

const PROCESS: u64 = 0;
const LISTENER: u64 = 1;
const RELAY: u64 = 2;
const RESOLVER: u64 = 3;
const BEHIND: u64 = 4;
const HEALTH: u64 = 5;
const SIGNALS: u64 = 6;
const DATAGRAMS: u64 = 7;
const PASTA: u64 = 8;
const OUTPUTS: u64 = 9;
/// With a number in the lower half.
const MEMBERS: u64 = 1 << 32;
const KEPT: u64 = 1 << 33;
const LEFT: u64 = 1 << 34;
