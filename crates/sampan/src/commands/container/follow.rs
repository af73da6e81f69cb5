//! Taking part in a container from a terminal: until it ends, or until the user leaves it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use engine::{
    Engine,
    container::{Attached, Container},
};
use rustix::termios::{Winsize, tcgetwinsize};
use sys::signals::Signals;

use crate::{
    cli::Globals,
    session,
    terminal::{Conversation, DetachKeys, Parting, Raw},
};

/// A part in a container, as its user wants it.
pub struct Follow<'a> {
    pub engine: &'a Engine,
    pub container: &'a Container,
    /// Whether what the user types is for the container.
    pub input: bool,
    /// Whether signals are for the container, unless it has a terminal, where keys do that.
    pub sig_proxy: bool,
    pub detach_keys: DetachKeys,
}

/// How it went.
pub enum Outcome {
    Ended(u8),
    Detached,
}

impl Follow<'_> {
    /// Takes part until the container ends or the user leaves.
    pub fn until_parting(
        self,
        mut attached: Attached,
        signals: &Signals,
        raw: Option<Raw>,
    ) -> anyhow::Result<Outcome> {
        let Follow { engine, container, input: types, sig_proxy, detach_keys } = self;
        let tty = container.config.tty;
        let input = attached.take_input();
        let master = match (&input, tty) {
            (Some(input), true) => Some(input.try_clone()?),
            _ => None,
        };
        let forward = |number: i32| {
            if let Ok(signal) = number.to_string().parse() {
                // One that has just ended needs no signal any more.
                let _ = engine.kill(container, &container.name, signal);
            }
        };
        let resized = |size: Winsize| {
            let (height, width) = (size.ws_row.to_string(), size.ws_col.to_string());
            engine.note(container, "resize", &[("height", &height), ("width", &width)]);
        };
        if tty && let Ok(size) = tcgetwinsize(rustix::stdio::stdout()) {
            resized(size);
        }
        let conversation = Conversation {
            ended: attached.as_fd(),
            input: input.filter(|_| types),
            input_ended: &|| without_a_listener(attached.input_ended()),
            terminal: master.as_ref(),
            print: false,
            forward: (sig_proxy && !tty).then_some(&forward),
            resized: Some(&resized),
            detach: tty.then_some(detach_keys),
        };
        let parting = conversation.hold(signals)?;
        drop(raw);
        match parting {
            Parting::Ended => Ok(Outcome::Ended(attached.wait()?)),
            Parting::Detached => {
                engine.note(container, "detach", &[]);
                Ok(Outcome::Detached)
            }
            Parting::Signalled(number) => sys::signals::die_of(number),
        }
    }
}

/// Gives a container its input and takes no other part in it.
pub fn feed(mut attached: Attached, signals: &Signals) -> anyhow::Result<()> {
    let input: Option<OwnedFd> = attached.take_input();
    if input.is_none() {
        return Ok(());
    }
    // Ready when there is nothing more to type, too.
    let (done, done_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let done_end = std::cell::Cell::new(Some(done_end));
    let conversation = Conversation {
        ended: done.as_fd(),
        input,
        input_ended: &|| {
            drop(done_end.take());
            without_a_listener(attached.input_ended())
        },
        terminal: None,
        print: false,
        forward: None,
        resized: None,
        detach: None,
    };
    match conversation.hold(signals)? {
        Parting::Signalled(number) => sys::signals::die_of(number),
        Parting::Ended | Parting::Detached => Ok(()),
    }
}

/// A monitor that does not listen any more has nothing to be told.
fn without_a_listener(told: io::Result<()>) -> io::Result<()> {
    match told {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// The keys that leave a container: those of the option, or of the user's configuration, or docker's.
pub fn detach_keys(globals: &Globals, option: Option<String>) -> anyhow::Result<DetachKeys> {
    match option.or_else(|| session::configured(globals, "detachKeys")).filter(|keys| !keys.is_empty()) {
        None => Ok(DetachKeys::default()),
        Some(keys) => {
            Ok(DetachKeys::parse(&keys).map_err(|error| engine::EngineError::Invalid(error.to_string()))?)
        }
    }
}
