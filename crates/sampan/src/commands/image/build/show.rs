//! How a build is shown while it goes on.

use std::{
    env,
    io::{self, Stderr, Write as _},
    sync::{
        Mutex, MutexGuard,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use builder::{Event, Observer};
use clap::Args;
use rustix::termios::tcgetwinsize;

use crate::output::progress::{Event as Shown, Mode, Progress, Screen, What};

/// What the user wants to see.
#[derive(Args)]
pub struct Appearance {
    /// Set type of progress output ("auto", "plain", "tty", "quiet")
    #[arg(long)]
    progress: Option<String>,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    pub quiet: bool,
    /// Say of each step why it was not cached
    #[arg(long)]
    why: bool,
}

impl Appearance {
    fn mode(&self) -> anyhow::Result<Mode> {
        let chosen = self.progress.clone().or_else(|| env::var("BUILDKIT_PROGRESS").ok());
        Ok(match (self.quiet, chosen) {
            (true, _) => Mode::Quiet,
            (false, Some(mode)) => mode.parse()?,
            (false, None) => Mode::Auto,
        })
    }
}

/// Shows what happens during a build.
pub struct Show {
    progress: Mutex<Progress<Stderr>>,
    began: Instant,
    /// Whether a step that was not cached says why.
    why: bool,
}

impl Show {
    pub fn new(appearance: &Appearance) -> anyhow::Result<Show> {
        // A terminal that does not know its size is no place for a live view.
        let size = tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let screen =
            size.map(|size| Screen { columns: size.ws_col, rows: size.ws_row, colour: wants_colour() });
        let progress = Mutex::new(Progress::new(appearance.mode()?, io::stderr(), screen));
        Ok(Show { progress, began: Instant::now(), why: appearance.why })
    }

    /// Lets an observer see `work`, and shows it to the end.
    pub fn during<T>(&self, work: impl FnOnce(&mut (dyn Observer + Send)) -> T) -> T {
        let mut watcher = Watcher { show: self, warnings: Vec::new() };
        let (end, ended) = mpsc::channel();
        let done = thread::scope(|scope| {
            if self.progress().is_live() {
                scope.spawn(move || self.advance(&ended));
            }
            let done = work(&mut watcher);
            drop(end);
            done
        });
        // A build goes on although nobody can see how it goes; here as for each of its events.
        let _ = self.progress().finish(self.began.elapsed());
        for warning in watcher.warnings {
            let _ = writeln!(io::stderr(), "WARNING: {warning}");
        }
        done
    }

    /// Keeps the clocks of a live view going, also while a program is silent, until the other end is dropped.
    fn advance(&self, ended: &Receiver<()>) {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let _ = self.progress().tick(self.began.elapsed());
        }
    }

    fn event(&self, step: usize, what: What<'_>) {
        let _ = self.progress().show(&Shown { step, at: self.began.elapsed(), what });
    }

    /// Whether all that programs wrote is still to be read above.
    pub fn tells_output(&self) -> bool {
        matches!(*self.progress(), Progress::Plain(_))
    }

    fn progress(&self) -> MutexGuard<'_, Progress<Stderr>> {
        self.progress.lock().expect("drawing does not panic")
    }
}

/// How often a live view's clocks advance.
const TICK: Duration = Duration::from_millis(100);

/// Tells a [`Show`] what a build does.
struct Watcher<'a> {
    show: &'a Show,
    /// Not to be printed into a live view.
    warnings: Vec<String>,
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: Event<'_>) {
        let show = self.show;
        match event {
            Event::Started { id, task } => show.event(id, What::Started { name: &task.to_string() }),
            Event::Cached { id } => show.event(id, What::Cached),
            Event::Missed { id, reason } if show.why => {
                show.event(id, What::Output(format!("not cached: {reason}\n").as_bytes()));
            }
            Event::Missed { .. } => {}
            Event::Output { id, bytes, .. } => show.event(id, What::Output(bytes)),
            Event::Finished { id, .. } => show.event(id, What::Done),
            Event::Failed { id, error } => show.event(id, What::Failed { message: error }),
            Event::Written { id, image } => {
                show.event(id, What::Output(format!("writing image {image} done\n").as_bytes()));
            }
            Event::Named { id, name } => {
                show.event(id, What::Output(format!("naming to {name} done\n").as_bytes()));
            }
            Event::Pushed { id, name } => {
                show.event(id, What::Output(format!("pushing {name} done\n").as_bytes()));
            }
            Event::Warning(text) => self.warnings.push(text.to_owned()),
        }
    }
}

pub fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none()
}
