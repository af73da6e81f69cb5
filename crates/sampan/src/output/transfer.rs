//! How a pull or a push is shown: a bar per layer on a terminal, else a line for each change.
//!
//! Knows docker's words for what happens to a layer. Knows nothing of registries.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    sync::Mutex,
};

use engine::transfer::{Event, Observer, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use types::Digest;

use super::human;

/// Where a transfer is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Stdout,
    Stderr,
    /// It was asked to be quiet about it.
    Nowhere,
}

/// Shows one transfer.
pub struct Transfer {
    target: Target,
    /// Said once the other side is there and willing.
    opening: Option<String>,
    /// What a layer that waits for its turn does.
    waiting: &'static str,
    layers: Layers,
}

enum Layers {
    Lines(Mutex<HashMap<Digest, String>>),
    Bars { all: MultiProgress, each: Mutex<HashMap<Digest, ProgressBar>> },
}

impl Transfer {
    pub fn pull(target: Target, opening: String) -> Transfer {
        Transfer { target, opening: Some(opening), waiting: "Pulling fs layer", layers: Layers::on(target) }
    }

    pub fn push(target: Target) -> Transfer {
        Transfer { target, opening: None, waiting: "Preparing", layers: Layers::on(target) }
    }

    /// Says a line that stays, besides the layers.
    pub fn say(&self, line: &str) {
        // Nobody is there to be told that nobody reads this.
        let _ = match self.target {
            Target::Stdout => writeln!(io::stdout(), "{line}"),
            Target::Stderr => writeln!(io::stderr(), "{line}"),
            Target::Nowhere => Ok(()),
        };
    }

    fn layer(&self, layer: &Digest, step: Step<'_>) {
        let (words, amount) = match step {
            Step::Waiting => (self.waiting.to_owned(), Amount::None),
            Step::Pulling { done, total } => ("Downloading".to_owned(), Amount::Part { done, total }),
            Step::Pulled => ("Pull complete".to_owned(), Amount::All),
            Step::Here => ("Already exists".to_owned(), Amount::All),
            Step::Compressing { done, total } => ("Compressing".to_owned(), Amount::Part { done, total }),
            Step::Pushing { done, total } => ("Pushing".to_owned(), Amount::Part { done, total }),
            Step::Pushed => ("Pushed".to_owned(), Amount::All),
            Step::There => ("Layer already exists".to_owned(), Amount::All),
            Step::MountedFrom(repository) => (format!("Mounted from {repository}"), Amount::All),
        };
        let hex = layer.hex();
        let name = &hex[..12];
        match &self.layers {
            // Amounts are for those who watch.
            Layers::Lines(_) if matches!(amount, Amount::Part { .. }) => {}
            Layers::Lines(told) => {
                let mut told = told.lock().expect("saying a line does not panic");
                if told.insert(*layer, words.clone()).as_ref() != Some(&words) {
                    self.say(&format!("{name}: {words}"));
                }
            }
            Layers::Bars { all, each } => {
                let mut each = each.lock().expect("drawing does not panic");
                let bar = each.entry(*layer).or_insert_with(|| {
                    // Styled before it is drawn for the first time: indicatif's own style fills the line with a bar.
                    all.add(ProgressBar::no_length().with_style(style(LINE)).with_prefix(name.to_owned()))
                });
                show(bar, words, amount);
            }
        }
    }
}

impl Observer for Transfer {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Begun => self.opening.iter().for_each(|line| self.say(line)),
            Event::Layer { layer, step } => self.layer(layer, step),
        }
    }
}

impl Layers {
    fn on(target: Target) -> Layers {
        let draw = match target {
            Target::Stdout => ProgressDrawTarget::stdout(),
            Target::Stderr => ProgressDrawTarget::stderr(),
            Target::Nowhere => ProgressDrawTarget::hidden(),
        };
        match draw.is_hidden() {
            true => Layers::Lines(Mutex::default()),
            false => Layers::Bars { all: MultiProgress::with_draw_target(draw), each: Mutex::default() },
        }
    }
}

/// How much of a layer has been moved.
enum Amount {
    None,
    Part { done: u64, total: u64 },
    All,
}

/// Draws a layer's line: with a bar while there is an amount to show.
fn show(bar: &ProgressBar, words: String, amount: Amount) {
    bar.set_message(words);
    match amount {
        Amount::Part { done, total } => {
            if bar.length() != Some(total) {
                bar.set_length(total);
                let amounts = |state: &ProgressState, text: &mut dyn fmt::Write| {
                    let (done, total) = (state.pos(), state.len().unwrap_or_default());
                    // Drawing an amount is not worth failing for.
                    let _ = write!(text, "{}/{}", human::size(done, 4), human::size(total, 4));
                };
                bar.set_style(style(BAR).progress_chars("=> ").with_key("amounts", amounts));
            }
            bar.set_position(done);
        }
        Amount::None => {
            bar.set_style(style(LINE));
            bar.tick();
        }
        Amount::All => {
            bar.set_style(style(LINE));
            bar.abandon();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant")
}

const BAR: &str = "{prefix}: {msg} [{bar:50}] {amounts}";
const LINE: &str = "{prefix}: {msg}";
