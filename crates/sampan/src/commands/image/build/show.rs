//! How a build is shown while it goes on.

use std::{
    env,
    io::{self, IsTerminal, Stderr, Write as _},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use builder::{Event, Observer};
use clap::Args;
use rustix::termios::tcgetwinsize;

use crate::output::progress::{Event as Shown, Mode, Palette, Progress, Screen, What};

/// What the user wants to see.
#[derive(Args)]
pub struct Appearance {
    /// Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container
    /// output
    #[arg(long, value_name = "string", default_value = "auto")]
    progress: String,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Say of each step why it was not cached
    #[arg(long)]
    why: bool,
}

impl Appearance {
    /// How progress is shown: as the flags say, or else `BUILDKIT_PROGRESS`.
    pub fn mode(&self) -> anyhow::Result<Mode> {
        let flag: Mode = self.progress.parse()?;
        if self.quiet {
            return match flag {
                Mode::Auto | Mode::Quiet => Ok(Mode::Quiet),
                _ => anyhow::bail!("progress={} and quiet cannot be used together", self.progress),
            };
        }
        match (flag, env::var("BUILDKIT_PROGRESS")) {
            (Mode::Auto, Ok(mode)) => Ok(mode.parse()?),
            _ => Ok(flag),
        }
    }
}

/// Shows what happens during a build.
pub struct Show {
    mode: Mode,
    progress: Mutex<Progress<Stderr>>,
    began: Instant,
    /// Whether a step that was not cached says why.
    why: bool,
    /// The id that the build is recorded under.
    recorded: Mutex<Option<String>>,
}

impl Show {
    /// Fails if it cannot be shown as the user wants it.
    pub fn new(appearance: &Appearance) -> anyhow::Result<Show> {
        let mode = appearance.mode()?;
        let progress = Progress::new(mode, io::stderr(), screen(), palette(), SystemTime::now())?;
        let (progress, began) = (Mutex::new(progress), Instant::now());
        Ok(Show { mode, progress, began, why: appearance.why, recorded: Mutex::default() })
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
        let _ = self.progress().finish(self.began.elapsed(), screen());
        if !watcher.warnings.is_empty() && self.mode != Mode::None && self.mode != Mode::Quiet {
            let _ = io::stderr().write_all(warnings(&watcher.warnings).as_bytes());
        }
        done
    }

    /// Keeps the clocks of a live view going, also while a program is silent, until the other end is dropped.
    fn advance(&self, ended: &Receiver<()>) {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let _ = self.progress().tick(self.began.elapsed(), screen());
        }
    }

    fn event(&self, step: usize, what: What<'_>) {
        let _ = self.progress().show(&Shown { step, at: self.began.elapsed(), what });
    }

    /// Whether the image's id is all that is to be said.
    pub fn is_quiet(&self) -> bool {
        self.mode == Mode::Quiet
    }

    /// The id that the build is recorded under, if it is.
    pub fn recorded(&self) -> Option<String> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            Event::Recorded { id } => {
                *show.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
            }
            Event::Planned { tasks } => show.progress().expect(tasks),
            Event::Started { id, task } => show.event(id, What::Started { name: &task.to_string() }),
            Event::Cached { id } => show.event(id, What::Cached),
            Event::Missed { id, reason } if show.why => {
                show.event(id, What::Remark(&format!("not cached: {reason}")));
            }
            Event::Missed { .. } => {}
            Event::Output { id, stream, bytes } => show.event(id, What::Output { stream, bytes }),
            Event::Finished { id, .. } => show.event(id, What::Done),
            Event::Failed { id, error } => show.event(id, What::Failed { message: error }),
            Event::Canceled { id } => show.event(id, What::Canceled),
            Event::Part { id, name } => show.event(id, What::Part(name)),
            Event::Written { id, image } => show.event(id, What::Part(&format!("writing image {image}"))),
            Event::Named { id, name } => show.event(id, What::Part(&format!("naming to {name}"))),
            Event::Pushed { id, name } => show.event(id, What::Part(&format!("pushing {name}"))),
            Event::Warning(text) => self.warnings.push(text.to_owned()),
        }
    }
}

/// What to know about a build that is no error, after all else.
fn warnings(texts: &[String]) -> String {
    let style = if io::stderr().is_terminal() { palette().warning } else { Palette::none().warning };
    let count = match texts.len() {
        1 => "1 warning found:".to_owned(),
        count => format!("{count} warnings found:"),
    };
    let list: String = texts.iter().map(|text| format!(" - {text}\n")).collect();
    format!("\n {style}{count}{style:#}\n{list}")
}

/// The terminal that a live view can be drawn on. One that does not know its size, or cannot move its cursor, is none.
fn screen() -> Option<Screen> {
    if env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return None;
    }
    let size = tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Screen { columns: size.ws_col, rows: size.ws_row })
}

fn palette() -> Palette {
    let variable = |name| env::var(name).ok();
    Palette::chosen(variable("NO_COLOR").as_deref(), variable("BUILDKIT_COLORS").as_deref())
}
