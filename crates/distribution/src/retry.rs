//! When to try again, and after how long.

use std::{thread, time::Duration};

use crate::ClientError;

/// What is left of our patience with something that fails again and again without getting anywhere.
#[derive(Debug)]
pub(crate) struct Patience {
    /// Before the second try; doubled before each further one.
    pause: Duration,
    /// Tries in a row that got nowhere.
    failures: u32,
    /// Those of them that ended in silence.
    silences: u32,
    /// Whether the other side was ever there.
    was_reached: bool,
    /// Whether something was achieved before the first failure.
    got_somewhere: bool,
}

impl Patience {
    /// `was_reached`: whether the registry has answered before. Nobody waits for one that was never there: most
    /// likely its name is wrong.
    pub fn new(pause: Duration, was_reached: bool) -> Patience {
        Patience { pause, failures: 0, silences: 0, was_reached, got_somewhere: false }
    }

    /// Something was achieved: what comes is a new difficulty.
    pub fn progress(&mut self) {
        (self.failures, self.silences) = (0, 0);
        (self.was_reached, self.got_somewhere) = (true, true);
    }

    /// Waits until it is time to try again; gives `error` back if there is no point in that.
    pub fn wait_after(&mut self, error: ClientError) -> Result<(), ClientError> {
        let is_worth_it = match error {
            ClientError::Unreachable { .. } => self.was_reached,
            _ => error.is_passing(),
        };
        if is_worth_it { self.wait_anyway(error) } else { Err(error) }
    }

    /// The same, after an error that does not pass by itself, but that the caller has done something about.
    pub fn wait_anyway(&mut self, error: ClientError) -> Result<(), ClientError> {
        let jitter = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
        match self.pause_after(&error, jitter) {
            Some(pause) => {
                thread::sleep(pause);
                Ok(())
            }
            None => Err(error),
        }
    }

    /// How long to wait after `error`; `jitter` is between 0 and 1, so that many who were cut off together do not
    /// come back together. `None` if it has been too often.
    fn pause_after(&mut self, error: &ClientError, jitter: f64) -> Option<Duration> {
        self.failures += 1;
        if matches!(error, ClientError::Silent { .. }) {
            self.silences += 1;
        }
        if self.failures >= TRIES || self.silences >= SILENCES {
            return None;
        }
        // What broke off in the middle of something is gone on with at once.
        let backoff = match (self.failures, self.got_somewhere) {
            (1, true) => Duration::ZERO,
            (failures, _) => self.pause.mul_f64(f64::from(1 << (failures - 1)) * (0.5 + jitter / 2.0)),
        };
        match error.refusal().and_then(|refusal| refusal.retry_after) {
            Some(asked) if asked > LONGEST => None,
            Some(asked) => Some(asked.max(backoff)),
            None => Some(backoff),
        }
    }
}

const TRIES: u32 = 5;
/// Silence takes a minute each time.
const SILENCES: u32 = 2;
/// Whoever is asked to wait longer would rather know now.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::Refusal;

    fn broken() -> ClientError {
        ClientError::Broken { host: "r".into(), source: io::ErrorKind::ConnectionReset.into() }
    }

    fn unreachable() -> ClientError {
        ClientError::Unreachable { host: "r".into(), source: io::ErrorKind::ConnectionRefused.into() }
    }

    fn too_many(seconds: u64) -> ClientError {
        ClientError::TooMany(Box::new(Refusal {
            registry: "r".into(),
            repository: None,
            status: 429,
            code: String::new(),
            message: String::new(),
            retry_after: Some(Duration::from_secs(seconds)),
        }))
    }

    fn patience() -> Patience {
        Patience::new(Duration::from_millis(100), true)
    }

    fn pauses(patience: &mut Patience, error: &ClientError, jitter: f64) -> Vec<u128> {
        std::iter::from_fn(|| patience.pause_after(error, jitter)).map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn pauses_double_and_five_failures_in_a_row_are_enough() {
        assert_eq!(pauses(&mut patience(), &broken(), 1.0), [100, 200, 400, 800]);
        assert_eq!(pauses(&mut patience(), &broken(), 0.0), [50, 100, 200, 400]);
    }

    #[test]
    fn progress_starts_the_count_again_and_the_first_try_after_it_is_at_once() {
        let mut patience = patience();
        pauses(&mut patience, &broken(), 1.0);
        patience.progress();
        assert_eq!(pauses(&mut patience, &broken(), 1.0), [0, 200, 400, 800]);
    }

    #[test]
    fn who_was_never_there_is_not_waited_for() {
        assert!(Patience::new(Duration::ZERO, false).wait_after(unreachable()).is_err());
        assert!(Patience::new(Duration::ZERO, true).wait_after(unreachable()).is_ok());
    }

    #[test]
    fn a_minute_of_silence_is_borne_once_more() {
        let silent = ClientError::Silent { host: "r".into(), after: Duration::from_secs(60) };
        assert_eq!(pauses(&mut patience(), &silent, 1.0).len(), 1);
    }

    #[test]
    fn a_registry_may_ask_for_a_pause_of_a_minute_and_not_more() {
        assert_eq!(patience().pause_after(&too_many(7), 0.0), Some(Duration::from_secs(7)));
        assert_eq!(patience().pause_after(&too_many(3600), 0.0), None);
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let protocol = ClientError::Protocol { host: "r".into(), what: "nonsense".into() };
        assert!(patience().wait_after(protocol).is_err());
    }
}
