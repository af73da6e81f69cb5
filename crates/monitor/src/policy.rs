//! Whether a container that has ended is started again, and after how long.
//!
//! Two files in the container's directory say what its users want, which may change while it runs:
//!
//! ```text
//!   restart.json  the policy, if there is one; replaced as a whole
//!   stopped       there if the container was stopped since it was last started, by somebody or with the machine
//! ```
//!
//! Whoever stops a container writes the second before it looks what there is to stop, and whoever starts one again looks
//! for it after saying that it runs: one of them sees the other.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    io::Errno,
};

use sys::{process::boot, signals::Signals};

use crate::record::read_small;

/// When a container that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    #[default]
    No,
    /// If it says by its exit code that it has failed, and if a number is given, only so often.
    OnFailure {
        most: Option<u32>,
    },
    Always,
    /// Always, but not at the machine's start if somebody had stopped it.
    UnlessStopped,
}

impl Restart {
    /// Whether a container that ended with `code` by itself and was started again `restarts` times is to be started once
    /// more.
    pub fn wants(self, code: u8, restarts: u32) -> bool {
        match self {
            Restart::No => false,
            Restart::OnFailure { most } => code != 0 && most.is_none_or(|most| restarts < most),
            Restart::Always | Restart::UnlessStopped => true,
        }
    }

    /// The policy of the container in the directory `bundle`.
    pub(crate) fn load(bundle: &Path) -> io::Result<Restart> {
        match read_small(&bundle.join(POLICY))? {
            Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
            None => Ok(Restart::No),
        }
    }

    /// Says what is to become of the container in the directory `bundle` from its next end on.
    pub fn store(self, bundle: &Path) -> io::Result<()> {
        if self == Restart::No {
            // Most containers have none, and are to start fast.
            return match fs::remove_file(bundle.join(POLICY)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let temporary = bundle.join(".restart.json");
        fs::write(&temporary, serde_json::to_vec(&self)?)?;
        fs::rename(temporary, bundle.join(POLICY))
    }
}

/// Says that somebody wants the container to end, which no policy is to undo.
pub fn mark_stopped(bundle: &Path) -> io::Result<()> {
    // Whoever has asked it to stop has still done so.
    despite_a_full_disk(
        bundle,
        File::options().create(true).append(true).open(bundle.join(STOPPED)).map(drop),
    )
}

/// The same, by the command that stops containers: that it did is told with the container's end.
pub fn mark_asked_to_stop(bundle: &Path) -> io::Result<()> {
    despite_a_full_disk(bundle, fs::write(bundle.join(STOPPED), ASKED))
}

/// Says that the container ends with the machine, or with whatever unit of its init system this process is in, and is to be
/// started again with it. That somebody has stopped it before is not forgotten.
pub(crate) fn mark_going_down(bundle: &Path) -> io::Result<()> {
    match File::options().create_new(true).write(true).open(bundle.join(STOPPED)) {
        Ok(mut file) => file.write_all(format!("{DOWN}{}", boot()?).as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// That there is no room for the mark is no reason to let a container run that somebody wants to end. The policy, which is to
/// be followed no more, takes the mark's place, and where there is none, nothing would start the container again.
fn despite_a_full_disk(bundle: &Path, marked: io::Result<()>) -> io::Result<()> {
    match marked {
        Err(error) if has_no_room(&error) => match fs::rename(bundle.join(POLICY), bundle.join(STOPPED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        marked => marked,
    }
}

/// Whether a disk or somebody's share of it is full.
pub(crate) fn has_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the container was asked to stop since it was last started, rather than ended in another way.
pub(crate) fn is_asked_to_stop(bundle: &Path) -> bool {
    fs::read_to_string(bundle.join(STOPPED)).is_ok_and(|mark| mark == ASKED || mark.starts_with(DOWN))
}

/// Says that the container is wanted again.
pub fn clear_stopped(bundle: &Path) -> io::Result<()> {
    match fs::remove_file(bundle.join(STOPPED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the container was stopped since it was last started.
pub fn is_stopped(bundle: &Path) -> bool {
    bundle.join(STOPPED).exists()
}

/// How a container was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    BySomebody,
    /// With the machine, and that was not started again since.
    GoingDown,
    /// With the machine, before that was started again.
    BeforeBoot,
}

/// How the container was stopped since it was last started, if it was.
pub fn stopped(bundle: &Path) -> io::Result<Option<Stopped>> {
    let mark = match fs::read_to_string(bundle.join(STOPPED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        mark => mark?,
    };
    Ok(Some(match mark.strip_prefix(DOWN) {
        None => Stopped::BySomebody,
        Some(at) if at == boot()? => Stopped::GoingDown,
        Some(_) => Stopped::BeforeBoot,
    }))
}

/// How long the next restart is put off: twice as long each time, until the container has run for a while.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The delay after a run that took this long.
    pub fn after(&mut self, run: Duration) -> Duration {
        let last = self.last.filter(|_| run < LONG_ENOUGH);
        let delay = last.map_or(SHORTEST, |last| (last * 2).min(LONGEST));
        self.last = Some(delay);
        delay
    }
}

/// Waits for `delay`; whether the container is wanted until then, as its policy is. Returns at once when it is not any more.
pub(crate) fn wait(
    bundle: &Path,
    delay: Duration,
    is_wanted: impl Fn(Restart) -> bool,
    signals: &Signals,
) -> io::Result<bool> {
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let kinds = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::DELETE;
    inotify::add_watch(&changes, bundle, kinds)?;
    let deadline = Instant::now() + delay;
    let mut buffer = [0; 4096];
    loop {
        if is_stopped(bundle) || !is_wanted(Restart::load(bundle)?) {
            return Ok(false);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let sources = [changes.as_fd(), signals.as_fd()];
        match poll(&mut sources.map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)), Some(&left)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) if signals.next()?.is_some() => mark_going_down(bundle)?,
            // What has changed is looked at above.
            Ok(_) => while rustix::io::read(&changes, &mut buffer).is_ok_and(|length| length > 0) {},
            Err(error) => return Err(error.into()),
        }
    }
}

const POLICY: &str = "restart.json";
const STOPPED: &str = "stopped";
const ASKED: &str = "asked\n";
/// Before the boot's id.
const DOWN: &str = "going down ";

/// A container that has run for this long was not failing at its start.
const LONG_ENOUGH: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_depends_on_how_and_how_often_it_ended() {
        for (policy, code, restarts, expected) in [
            (Restart::No, 1, 0, false),
            (Restart::OnFailure { most: None }, 0, 0, false),
            (Restart::OnFailure { most: None }, 1, 1000, true),
            (Restart::OnFailure { most: Some(3) }, 1, 2, true),
            (Restart::OnFailure { most: Some(3) }, 1, 3, false),
            (Restart::Always, 0, 1000, true),
            (Restart::UnlessStopped, 137, 0, true),
        ] {
            assert_eq!(policy.wants(code, restarts), expected, "{policy:?} {code} {restarts}");
        }
    }

    #[test]
    fn delays_double_up_to_a_minute_and_begin_anew_after_ten_seconds_of_running() {
        let mut backoff = Backoff::default();
        let mut after = |seconds| backoff.after(Duration::from_secs(seconds)).as_millis();
        assert_eq!([0, 1, 9, 0].map(&mut after), [100, 200, 400, 800]);
        assert_eq!([10, 0].map(&mut after), [100, 200]);
        assert_eq!((0..20).map(|_| after(0)).last(), Some(60_000));
    }

    #[test]
    fn on_a_full_disk_the_policy_makes_room_for_the_mark() {
        let directory = tempfile::tempdir().expect("tempdir");
        let bundle = directory.path();
        let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
        despite_a_full_disk(bundle, full()).expect("nothing would start it again");
        assert!(!is_stopped(bundle));
        Restart::Always.store(bundle).expect("writable");
        despite_a_full_disk(bundle, full()).expect("renamed");
        assert!(is_stopped(bundle) && !is_asked_to_stop(bundle));
        assert_eq!(Restart::load(bundle).expect("readable"), Restart::No);
        assert!(despite_a_full_disk(bundle, Err(io::ErrorKind::PermissionDenied.into())).is_err());
    }

    #[test]
    fn waiting_ends_early_if_the_container_is_wanted_no_more() {
        let directory = tempfile::tempdir().expect("tempdir");
        let bundle = directory.path();
        let long = Duration::from_secs(600);
        let signals = Signals::collect(&[]).expect("none");
        let wait = |delay| wait(bundle, delay, |policy| policy == Restart::Always, &signals);
        Restart::Always.store(bundle).expect("writable");
        assert!(wait(Duration::ZERO).expect("waited"));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(long));
            mark_asked_to_stop(bundle).expect("writable");
            assert!(!waiting.join().expect("no panic").expect("waited"));
        });
        mark_stopped(bundle).expect("writable");
        assert!(is_stopped(bundle) && is_asked_to_stop(bundle), "being killed, too, changes nothing");
        clear_stopped(bundle).expect("removable");
        mark_stopped(bundle).expect("writable");
        assert!(is_stopped(bundle) && !is_asked_to_stop(bundle));
        clear_stopped(bundle).expect("removable");
        clear_stopped(bundle).expect("nothing to remove");
        assert_eq!(stopped(bundle).expect("readable"), None);
        mark_going_down(bundle).expect("writable");
        assert!(is_stopped(bundle) && is_asked_to_stop(bundle));
        assert_eq!(stopped(bundle).expect("readable"), Some(Stopped::GoingDown));
        fs::write(bundle.join(STOPPED), format!("{DOWN}another boot")).expect("writable");
        assert_eq!(stopped(bundle).expect("readable"), Some(Stopped::BeforeBoot));
        mark_asked_to_stop(bundle).expect("writable");
        mark_going_down(bundle).expect("there already");
        assert_eq!(stopped(bundle).expect("readable"), Some(Stopped::BySomebody));
        clear_stopped(bundle).expect("removable");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(long));
            Restart::No.store(bundle).expect("writable");
            assert!(!waiting.join().expect("no panic").expect("waited"));
        });
    }
}
