//! Looking again and again whether a running container is well, by executing a command in it.
//!
//! What was found is in `health.json` in the container's directory, replaced as a whole after each look.
//!
//! All that a check waits for (its time, the command's output, the command's end) is behind one descriptor, which becomes
//! readable when there is something to do.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use oci_spec::runtime::Process;
use runtime::{Stdio, cgroup::Cgroup};
use rustix::{
    event::{
        PollFd, PollFlags,
        epoll::{self, CreateFlags, EventData, EventFlags},
        poll,
    },
    fs::{Mode, OFlags},
    pipe::{PipeFlags, pipe_with},
    process::Signal,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use sys::process::Child;

use crate::{journal, policy};

/// How to see whether a container is well, and how often.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Check {
    /// Ends with 0 if the container is well.
    pub process: Process,
    /// From the end of one look to the next one.
    pub interval: Duration,
    /// How long a look may take.
    pub timeout: Duration,
    /// How many looks in a row must fail for the container to count as not well.
    pub retries: u32,
    /// While it starts, failing means nothing, and looks follow each other faster.
    pub start_period: Duration,
    pub start_interval: Duration,
    pub on_failure: OnFailure,
}

/// What becomes of a container that is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    #[default]
    None,
    /// Killed, and then its policy decides.
    Kill,
    /// Stopped for good, as by a user.
    Stop(Farewell),
    /// Stopped and started again, whatever its policy says.
    Restart(Farewell),
}

/// How a container is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Farewell {
    pub signal: i32,
    /// After that it is killed; if there is none, it is waited for.
    pub grace: Option<Duration>,
}

impl Default for Farewell {
    fn default() -> Farewell {
        Farewell { signal: Signal::TERM.as_raw(), grace: Some(Duration::from_secs(10)) }
    }
}

/// What looking has shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Health {
    pub state: State,
    /// How many looks in a row have failed.
    pub failing: u32,
    /// The last looks, the newest at the end.
    pub log: Vec<Look>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Look {
    pub start: Timestamp,
    pub end: Timestamp,
    /// -1 if it took too long or could not be started.
    pub code: i32,
    pub output: String,
}

impl State {
    /// docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Healthy => "healthy",
            State::Unhealthy => "unhealthy",
        }
    }
}

impl Health {
    /// What is known of a container that was just started.
    fn unknown() -> Health {
        Health { state: State::Starting, failing: 0, log: Vec::new() }
    }

    /// The health of the container in the directory `bundle`; `None` if nobody has looked for it.
    pub fn read(bundle: &Path) -> io::Result<Option<Health>> {
        match fs::read(bundle.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, bundle: &Path) -> io::Result<()> {
        let temporary = bundle.join(".health.json");
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(temporary, bundle.join(FILE))
    }

    /// Takes account of a look, which a container may fail for free while it `is_starting`.
    fn add(&mut self, look: Look, retries: u32, is_starting: bool) {
        if look.code == 0 {
            self.failing = 0;
            self.state = State::Healthy;
        } else if !(self.state == State::Starting && is_starting) {
            self.failing += 1;
            if self.failing >= retries {
                self.state = State::Unhealthy;
            }
        }
        self.log.push(look);
        let surplus = self.log.len().saturating_sub(LOOKS);
        self.log.drain(..surplus);
    }
}

/// Looks after one container.
pub(crate) struct Observer<'a> {
    check: &'a Check,
    bundle: &'a Path,
    /// The container's first process.
    init: BorrowedFd<'a>,
    cgroup: &'a Cgroup,
    health: Health,
    poll: OwnedFd,
    timer: OwnedFd,
    begun: Instant,
    doing: Doing,
}

enum Doing {
    Waiting,
    Looking(Probe),
    /// The container was asked to end.
    Ending,
}

/// A command that is running.
struct Probe {
    start: Timestamp,
    child: Child,
    /// `None` once nobody can say anything more.
    output: Option<OwnedFd>,
    said: Vec<u8>,
}

impl<'a> Observer<'a> {
    pub fn new(
        check: &'a Check,
        bundle: &'a Path,
        init: BorrowedFd<'a>,
        cgroup: &'a Cgroup,
    ) -> io::Result<Observer<'a>> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        watch(&poll, timer.as_fd())?;
        let health = Health::unknown();
        match health.write(bundle) {
            // The container may have filled the disk already, and is not to end for that.
            Err(error) if policy::has_no_room(&error) => {}
            written => written?,
        }
        let observer = Observer {
            check,
            bundle,
            init,
            cgroup,
            health,
            poll,
            timer,
            begun: Instant::now(),
            doing: Doing::Waiting,
        };
        observer.set_timer(observer.interval())?;
        Ok(observer)
    }

    /// Does what there is to do. Never fails: a container is not to end because nobody could look at it.
    pub fn ready(&mut self) {
        let is_time = rustix::io::read(&self.timer, &mut [0; 8]).is_ok();
        match std::mem::replace(&mut self.doing, Doing::Waiting) {
            Doing::Waiting if is_time => self.look(),
            Doing::Waiting => {}
            Doing::Looking(mut probe) => {
                probe.listen();
                let code = match probe.has_ended() {
                    true => probe.child.wait().map_or(-1, i32::from),
                    false if is_time => {
                        // It fails only if the command has just ended by itself.
                        let _ = sys::process::signal(probe.child.pidfd.as_fd(), Signal::KILL.as_raw());
                        let _ = probe.child.wait();
                        TIMED_OUT
                    }
                    false => {
                        self.doing = Doing::Looking(probe);
                        return;
                    }
                };
                self.conclude(probe, code);
            }
            Doing::Ending => {
                if is_time {
                    self.signal(Signal::KILL.as_raw());
                }
                self.doing = Doing::Ending;
            }
        }
    }

    /// Whether the container was ended to be started again.
    pub fn wants_restart(&self) -> bool {
        matches!((&self.doing, self.check.on_failure), (Doing::Ending, OnFailure::Restart(_)))
    }

    fn look(&mut self) {
        // What stands still cannot answer, and is not ill for that.
        if self.cgroup.is_frozen().unwrap_or(false) {
            let _ = self.set_timer(self.interval());
            return;
        }
        let start = Timestamp::now();
        match self.start_probe(start) {
            Ok(probe) => {
                // Without a timer it ends by itself, or never.
                let _ = self.set_timer(self.check.timeout);
                self.doing = Doing::Looking(probe);
            }
            Err(reason) => self.record(Look { start, end: Timestamp::now(), code: -1, output: reason }),
        }
    }

    fn start_probe(&self, start: Timestamp) -> Result<Probe, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let spec = runtime::bundle::load(self.bundle).map_err(|error| text(&error))?;
        let pipe = || -> io::Result<_> {
            let (output, write) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK)?;
            let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            Ok((output, [null, write.try_clone()?, write]))
        };
        let (output, stdio) = pipe().map_err(|error| text(&error))?;
        let stdio = Stdio::Descriptors(stdio);
        let started = runtime::enter(&spec, &self.check.process, self.init, self.cgroup, stdio)
            .map_err(|failure| format!("OCI runtime exec failed: {failure}"))?;
        let watched =
            watch(&self.poll, output.as_fd()).and_then(|()| watch(&self.poll, started.child.pidfd.as_fd()));
        watched.map_err(|error| text(&error))?;
        Ok(Probe { start, child: started.child, output: Some(output), said: Vec::new() })
    }

    /// Takes account of a look that is over.
    fn conclude(&mut self, mut probe: Probe, code: i32) {
        probe.listen();
        let said = String::from_utf8_lossy(&probe.said).into_owned();
        let (code, output) = match code {
            TIMED_OUT if said.is_empty() => (-1, exceeded(self.check.timeout)),
            TIMED_OUT => (-1, format!("{}: {said}", exceeded(self.check.timeout))),
            code => (code, said),
        };
        self.record(Look { start: probe.start, end: Timestamp::now(), code, output });
    }

    fn record(&mut self, look: Look) {
        let before = self.health.state;
        self.health.add(look, self.check.retries, self.is_starting());
        // A full disk leaves the state as it was last known; the next look tries again.
        let _ = self.health.write(self.bundle);
        let _ = self.set_timer(self.interval());
        if self.health.state != before {
            journal::note(self.bundle, &format!("health_status: {}", self.health.state.word()), &[]);
        }
        if self.health.state == State::Unhealthy && before != State::Unhealthy {
            self.act();
        }
    }

    /// Does what is to be done with a container that is not well.
    fn act(&mut self) {
        let farewell = match self.check.on_failure {
            OnFailure::None => return,
            OnFailure::Kill => return self.signal(Signal::KILL.as_raw()),
            OnFailure::Restart(farewell) => farewell,
            OnFailure::Stop(farewell) => {
                // If it cannot be said, its policy decides.
                let _ = policy::mark_stopped(self.bundle);
                farewell
            }
        };
        self.signal(farewell.signal);
        self.doing = Doing::Ending;
        // No time is no timer.
        let _ = self
            .set_timer(farewell.grace.map_or(Duration::ZERO, |grace| grace.max(Duration::from_millis(1))));
    }

    fn signal(&self, number: i32) {
        // It fails only if the container has just ended by itself.
        let _ = sys::process::signal(self.init, number);
    }

    fn is_starting(&self) -> bool {
        self.begun.elapsed() < self.check.start_period
    }

    fn interval(&self) -> Duration {
        if self.health.state == State::Starting && self.is_starting() {
            self.check.start_interval
        } else {
            self.check.interval
        }
    }

    fn set_timer(&self, delay: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(delay).map_err(io::Error::other)?;
        let timer = Itimerspec { it_interval: zero, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }
}

/// Readable when there is something to do.
impl AsFd for Observer<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

/// A command that is not waited for any more is not to go on.
impl Drop for Observer<'_> {
    fn drop(&mut self) {
        if let Doing::Looking(probe) = &self.doing {
            let _ = sys::process::signal(probe.child.pidfd.as_fd(), Signal::KILL.as_raw());
            let _ = probe.child.wait();
        }
    }
}

impl Probe {
    /// Takes what the command has said, of which the beginning is kept.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(output) = &self.output {
            match rustix::io::read(output, &mut buffer) {
                // Closed, it is waited for no more.
                Ok(0) => self.output = None,
                Ok(length) => {
                    let room = MOST_SAID.saturating_sub(self.said.len());
                    self.said.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(_) => return,
            }
        }
    }

    fn has_ended(&self) -> bool {
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.child.pidfd, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

fn watch(poll: &OwnedFd, source: BorrowedFd<'_>) -> io::Result<()> {
    Ok(epoll::add(poll, source, EventData::new_u64(0), EventFlags::IN)?)
}

fn exceeded(timeout: Duration) -> String {
    format!("Health check exceeded timeout ({})", go_duration(timeout))
}

/// A duration as Go writes it: `1m30s`, `500ms`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_secs_f64() * 1e3),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", (seconds / 60.0).floor(), seconds % 60.0),
        whole => format!("{}h{}m{}s", whole / 3600, whole / 60 % 60, seconds % 60.0),
    }
}

const FILE: &str = "health.json";

/// As many looks are remembered.
const LOOKS: usize = 5;
/// As much of what a command says is kept.
const MOST_SAID: usize = 4096;
/// No code that a process can have.
const TIMED_OUT: i32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn look(code: i32) -> Look {
        let time = Timestamp::UNIX_EPOCH;
        Look { start: time, end: time, code, output: String::new() }
    }

    #[test]
    fn a_container_is_unhealthy_after_so_many_failures_in_a_row() {
        let mut health = Health::unknown();
        let states = [1, 1, 0, 1, 1, 1, 1, 0].map(|code| {
            health.add(look(code), 3, false);
            (health.state.word(), health.failing)
        });
        let expected = [
            ("starting", 1),
            ("starting", 2),
            ("healthy", 0),
            ("healthy", 1),
            ("healthy", 2),
            ("unhealthy", 3),
            ("unhealthy", 4),
            ("healthy", 0),
        ];
        assert_eq!(states, expected);
        assert_eq!(health.log.iter().map(|look| look.code).collect::<Vec<_>>(), [1, 1, 1, 1, 0]);
    }

    #[test]
    fn while_it_starts_failing_means_nothing_and_succeeding_ends_that() {
        let mut health = Health::unknown();
        health.add(look(1), 1, true);
        assert_eq!((health.state, health.failing), (State::Starting, 0));
        health.add(look(0), 1, true);
        health.add(look(1), 1, true);
        assert_eq!((health.state, health.failing), (State::Unhealthy, 1));
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (milliseconds, expected) in
            [(500, "500ms"), (30_000, "30s"), (1500, "1.5s"), (90_000, "1m30s"), (3_600_000, "1h0m0s")]
        {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), expected);
        }
    }
}
