//! What happened to containers, images, networks and volumes: a journal that every process of the engine writes to.
//!
//! ```text
//!   <run>/events/now       one event in a line of JSON, the newest at the end
//!   <run>/events/before    what `now` was until it had grown too large
//! ```
//!
//! Lines are added whole and under a lock, in the order of their times. Whoever follows the journal waits for changes of the
//! directory's files; see [`Journal::follow`].

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    io::Errno,
};

use crate::{policy, record::Ended};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    pub time: Timestamp,
    /// What it happened to: `container`, `image`, `network`, `volume` or `builder`, and its id or name. Of what happened to all of
    /// a kind, the id is empty.
    pub kind: String,
    pub id: String,
    /// What happened, in docker's words: `start`, `health_status: healthy`.
    pub action: String,
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// One that happens just now: the time comes with its being noted.
    fn now(kind: &str, id: &str, action: &str, attributes: BTreeMap<String, String>) -> Event {
        Event {
            time: Timestamp::UNIX_EPOCH,
            kind: kind.to_owned(),
            id: id.to_owned(),
            action: action.to_owned(),
            attributes,
        }
    }
}

/// Something that events are about, and where they are noted. In a container's directory, this tells its monitor what to say
/// of it; see [`Subject::store`].
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Subject {
    pub journal: Journal,
    pub kind: String,
    pub id: String,
    pub attributes: BTreeMap<String, String>,
    /// What a container has while it runs, what it gets first first.
    #[serde(default)]
    pub uses: Vec<Use>,
}

/// Something that a container has while it runs, such as a network, and what is told of that as it starts and when it has
/// ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Use {
    pub kind: String,
    pub id: String,
    pub begins: Happening,
    pub ends: Happening,
}

/// An event of something that is known.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Happening {
    pub action: String,
    pub attributes: BTreeMap<String, String>,
}

impl Use {
    fn happens(&self, what: &Happening) -> Event {
        Event::now(&self.kind, &self.id, &what.action, what.attributes.clone())
    }
}

impl Subject {
    /// Notes that something has just happened to it, with more attributes than it always has.
    pub fn note(&self, action: &str, more: &[(&str, &str)]) {
        self.journal.note_all(vec![self.event(action, more)]);
    }

    fn event(&self, action: &str, more: &[(&str, &str)]) -> Event {
        let mut attributes = self.attributes.clone();
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Event::now(&self.kind, &self.id, action, attributes)
    }

    /// Leaves it in the container's directory `bundle`.
    pub fn store(&self, bundle: &Path) -> io::Result<()> {
        let temporary = bundle.join(".subject.json");
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(temporary, bundle.join(SUBJECT))
    }

    /// Reads it there again; `None` of a container that nobody is to know of.
    pub fn load(bundle: &Path) -> Option<Subject> {
        serde_json::from_slice(&fs::read(bundle.join(SUBJECT)).ok()?).ok()
    }
}

/// Notes what has happened to the container in the directory `bundle`, if somebody is to know of it.
pub(crate) fn note(bundle: &Path, action: &str, more: &[(&str, &str)]) {
    if let Some(subject) = Subject::load(bundle) {
        subject.note(action, more);
    }
}

/// Notes that the container runs, with all that it uses.
pub(crate) fn note_start(bundle: &Path) {
    if let Some(subject) = Subject::load(bundle) {
        let mut events: Vec<Event> = subject.uses.iter().map(|one| one.happens(&one.begins)).collect();
        events.push(subject.event("start", &[]));
        subject.journal.note_all(events);
    }
}

/// Notes that the container has ended, and how, and that it uses nothing any more.
pub(crate) fn note_end(bundle: &Path, ended: &Ended) {
    let Some(subject) = Subject::load(bundle) else { return };
    let mut events = Vec::new();
    if ended.oom_killed {
        events.push(subject.event("oom", &[]));
    }
    let run = ended.started.map(|started| ended.finished.duration_since(started).as_secs().max(0));
    let (run, code) = (run.unwrap_or(0).to_string(), ended.code.to_string());
    events.extend(subject.uses.iter().rev().map(|one| one.happens(&one.ends)));
    // Between the two, as docker has it.
    if policy::is_asked_to_stop(bundle) {
        events.push(subject.event("stop", &[]));
    }
    events.push(subject.event("die", &[("execDuration", &run), ("exitCode", &code)]));
    subject.journal.note_all(events);
}

/// Notes that the container has not come to run, as docker does: nothing but what became of what it was to use. That it
/// joined its networks is not told, and that it left them is.
pub(crate) fn note_failure(bundle: &Path) {
    let Some(subject) = Subject::load(bundle) else { return };
    let begun = subject.uses.iter().filter(|one| one.kind != "network").map(|one| one.happens(&one.begins));
    let ended = subject.uses.iter().rev().map(|one| one.happens(&one.ends));
    subject.journal.note_all(begun.chain(ended).collect());
}

/// Where events are noted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Journal {
    directory: PathBuf,
}

impl Journal {
    /// The journal of the engine whose run directory is `run`.
    pub fn of(run: &Path) -> Journal {
        Journal { directory: run.join("events") }
    }

    /// Notes that something has just happened. What cannot be noted, for the disk is full or gone, is lost: nothing that
    /// users wait for depends on it.
    pub fn note(&self, kind: &str, id: &str, action: &str, attributes: BTreeMap<String, String>) {
        self.note_all(vec![Event::now(kind, id, action, attributes)]);
    }

    fn note_all(&self, events: Vec<Event>) {
        let _ = self.append(events);
    }

    fn append(&self, events: Vec<Event>) -> io::Result<()> {
        let file = loop {
            let file = self.open_to_append()?;
            file.lock()?;
            // Between the opening and the lock, somebody may have begun another.
            let current = fs::metadata(self.now()).is_ok_and(|now| {
                file.metadata().is_ok_and(|file| (file.dev(), file.ino()) == (now.dev(), now.ino()))
            });
            if !current {
                continue;
            }
            if file.metadata()?.len() < FULL {
                break file;
            }
            fs::rename(self.now(), self.before())?;
        };
        // With the lock held, so that times are in order.
        let mut lines = Vec::new();
        for mut event in events {
            event.time = Timestamp::now();
            serde_json::to_writer(&mut lines, &event)?;
            lines.push(b'\n');
        }
        let mut file = file;
        file.write_all(&lines)
    }

    fn open_to_append(&self) -> io::Result<File> {
        let open = || File::options().append(true).create(true).open(self.now());
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.directory)?;
                open()
            }
            opened => opened,
        }
    }

    /// A reader that begins with the oldest event there is.
    pub fn follow(&self) -> io::Result<Follower> {
        fs::create_dir_all(&self.directory)?;
        // First, so that nothing is missed between the reading and the waiting.
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let kinds = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY;
        inotify::add_watch(&changes, &self.directory, kinds)?;
        let mut files = Vec::new();
        for path in [self.before(), self.now()] {
            match File::open(&path) {
                Ok(file) => files.push(Source { file, partial: Vec::new() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Follower { journal: self.clone(), changes, files })
    }

    fn now(&self) -> PathBuf {
        self.directory.join("now")
    }

    fn before(&self) -> PathBuf {
        self.directory.join("before")
    }
}

/// Reads a journal, and waits for more.
#[derive(Debug)]
pub struct Follower {
    journal: Journal,
    changes: OwnedFd,
    /// Those not read to their end yet; the last one grows.
    files: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    file: File,
    /// A line whose end is still to come.
    partial: Vec<u8>,
}

impl Follower {
    /// The events that were noted since the last call.
    pub fn read(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        for source in &mut self.files {
            source.read(&mut events)?;
        }
        // Read first, then looked for another: what was noted in the old one before it was replaced is not missed.
        while let Some(next) = self.next()? {
            if let Some(last) = self.files.last_mut() {
                last.read(&mut events)?;
            }
            let mut next = Source { file: next, partial: Vec::new() };
            next.read(&mut events)?;
            self.files = vec![next];
        }
        if let Some(last) = self.files.pop() {
            self.files = vec![last];
        }
        Ok(events)
    }

    /// The file that events are noted in now, if that is not the one that is read.
    fn next(&self) -> io::Result<Option<File>> {
        let next = match File::open(self.journal.now()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            next => next?,
        };
        let is_known = match self.files.last() {
            Some(last) => last.file.metadata()?.ino() == next.metadata()?.ino(),
            None => false,
        };
        Ok((!is_known).then_some(next))
    }

    /// Waits until something was noted, or for this long at most. Returns for other reasons, too.
    pub fn wait(&self, most: Option<Duration>) -> io::Result<()> {
        let most = most.map(|most| Timespec::try_from(most).map_err(io::Error::other)).transpose()?;
        match poll(&mut [PollFd::new(&self.changes, PollFlags::IN)], most.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.changes, &mut buffer).is_ok_and(|length| length > 0) {}
        Ok(())
    }
}

impl Source {
    /// Adds the events of all whole lines that are new.
    fn read(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        self.file.read_to_end(&mut self.partial)?;
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in self.partial[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A line torn by a full disk is not worth losing the others.
            events.extend(serde_json::from_slice::<Event>(line).ok());
        }
        self.partial.drain(..whole);
        Ok(())
    }
}

const SUBJECT: &str = "subject.json";

/// A file of this many bytes is followed by another. Two of them hold far more than the 256 events that docker keeps.
const FULL: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_in_order_and_nothing_twice() {
        let run = tempfile::tempdir().expect("tempdir");
        let journal = Journal::of(run.path());
        let mut early = journal.follow().expect("followed");
        assert_eq!(early.read().expect("read"), []);
        let note = |action: &str| journal.note("container", "id", action, BTreeMap::new());
        let actions = |events: Vec<Event>| events.into_iter().map(|event| event.action).collect::<Vec<_>>();
        note("create");
        note("start");
        early.wait(None).expect("waited");
        assert_eq!(actions(early.read().expect("read")), ["create", "start"]);
        note("die");
        assert_eq!(actions(early.read().expect("read")), ["die"]);
        assert_eq!(actions(early.read().expect("read")), [""; 0]);
        let mut late = journal.follow().expect("followed");
        assert_eq!(actions(late.read().expect("read")), ["create", "start", "die"]);
    }

    #[test]
    fn what_a_container_uses_is_told_of_with_its_start_and_its_end() {
        let (run, bundle) = (tempfile::tempdir().expect("tempdir"), tempfile::tempdir().expect("tempdir"));
        let journal = Journal::of(run.path());
        note_start(bundle.path());
        let happening = |action: &str| Happening { action: action.to_owned(), attributes: BTreeMap::new() };
        let uses = [("volume", "mount"), ("network", "connect")].map(|(kind, action)| Use {
            kind: kind.to_owned(),
            id: kind[..1].to_owned(),
            begins: happening(action),
            ends: happening(if kind == "volume" { "unmount" } else { "disconnect" }),
        });
        let subject = Subject {
            journal: journal.clone(),
            kind: "container".to_owned(),
            id: "c".to_owned(),
            attributes: BTreeMap::new(),
            uses: uses.into(),
        };
        subject.store(bundle.path()).expect("stored");
        note_start(bundle.path());
        policy::mark_asked_to_stop(bundle.path()).expect("writable");
        let ended = Ended {
            code: 137,
            started: None,
            finished: Timestamp::UNIX_EPOCH,
            oom_killed: true,
            error: None,
            restarts: 0,
            lost: false,
        };
        note_end(bundle.path(), &ended);
        let events = journal.follow().and_then(|mut follower| follower.read()).expect("read");
        let told: Vec<String> = events.iter().map(|event| format!("{} {}", event.id, event.action)).collect();
        let expected =
            ["v mount", "n connect", "c start", "c oom", "n disconnect", "v unmount", "c stop", "c die"];
        assert_eq!(told, expected);
        let mut follower = journal.follow().expect("followed");
        follower.read().expect("read");
        note_failure(bundle.path());
        let events = follower.read().expect("read");
        let told: Vec<String> = events.iter().map(|event| format!("{} {}", event.id, event.action)).collect();
        assert_eq!(told, ["v mount", "n disconnect", "v unmount"]);
    }

    #[test]
    fn the_oldest_events_go_and_followers_miss_none() {
        let run = tempfile::tempdir().expect("tempdir");
        let journal = Journal::of(run.path());
        let mut follower = journal.follow().expect("followed");
        let long = BTreeMap::from([("label".to_owned(), "x".repeat(100_000))]);
        let mut seen = 0;
        for round in 0..30 {
            journal.note("image", &round.to_string(), "tag", long.clone());
            if round % 7 == 0 {
                for event in follower.read().expect("read") {
                    assert_eq!(event.id, seen.to_string());
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 29);
        let kept = journal.follow().and_then(|mut follower| follower.read()).expect("read");
        assert!(kept.len() < 25 && kept.last().is_some_and(|event| event.id == "29"), "{}", kept.len());
        let times: Vec<_> = kept.iter().map(|event| event.time).collect();
        assert!(times.is_sorted());
    }
}
