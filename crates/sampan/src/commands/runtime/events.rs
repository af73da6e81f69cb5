//! `runtime events`: what a container uses, and what becomes of it.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use oci::Store;

/// Display what a container uses, and when it runs out of memory
#[derive(Args)]
pub struct Events {
    /// Time between two looks at what it uses
    #[arg(long, default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Only what it uses now
    #[arg(long)]
    stats: bool,
    #[arg(value_name = "container-id")]
    id: String,
}

impl Events {
    pub fn run(self, store: &Store) -> anyhow::Result<()> {
        let container = store.container(&self.id)?;
        if container.status()? == oci::Status::Stopped {
            bail!("container with id {} is not running", self.id);
        }
        if self.stats {
            println!("{}", oci::stats(&container)?);
            return Ok(());
        }
        let mut events = oci::Events::of(&container, self.interval)?;
        while let Some(events) = events.wait()? {
            for event in events {
                writeln!(io::stdout(), "{event}")?;
            }
        }
        Ok(())
    }
}

/// Go's durations, as far as they make sense here.
fn interval(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("invalid duration {text:?}")),
    };
    let seconds = number.parse::<f64>().ok().filter(|number| *number > 0.0).map(|number| number * unit);
    let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    interval.ok_or_else(|| "duration interval must be greater than 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_written_as_go_does() {
        assert_eq!(interval("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "5", "s", "-1s", "0s", "1x"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
