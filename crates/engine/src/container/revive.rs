//! Starting containers again that nobody was there to start again: their monitor was killed, or the machine was started.

use monitor::{
    Restart, Status,
    policy::{self, Stopped},
};

use super::{start::Attach, status::Container};
use crate::{Engine, error::EngineError};

impl Engine {
    /// The containers that are to run after the machine was started and do not: those whose policy says so, but for those
    /// that somebody had stopped for good. In the order in which they were started before, for the later ones may need the
    /// earlier ones.
    pub fn wanted_at_boot(&self) -> Result<Vec<Container>, EngineError> {
        let mut wanted = Vec::new();
        for container in self.containers()? {
            let Status::Exited(ended) = container.status()? else { continue };
            // One that never ran was not running before either.
            let Some(started) = ended.started else { continue };
            let stopped =
                policy::stopped(&container.directory).map_err(|error| container.file_error(error))?;
            let is_stopped = stopped == Some(Stopped::BySomebody);
            let is_wanted = match container.config.restart {
                Restart::No => false,
                Restart::Always => true,
                Restart::UnlessStopped => !is_stopped,
                Restart::OnFailure { .. } => {
                    !is_stopped && container.config.restart.wants(ended.code, ended.restarts)
                }
            };
            if is_wanted {
                wanted.push((started, container));
            }
        }
        wanted.sort_by_key(|(started, _)| *started);
        Ok(wanted.into_iter().map(|(_, container)| container).collect())
    }

    /// Starts a container again that was lost with its monitor or went down with the machine, if its policy wants that.
    ///
    /// Says nothing if it cannot be started: whoever comes by wants something else of the container, or of another, and
    /// finds in its record what was wrong.
    pub(crate) fn revive(&self, container: &Container) -> Result<(), EngineError> {
        if container.config.restart == Restart::No || !self.is_lost(container)? {
            return Ok(());
        }
        let Some(lock) = self.lock_to_start(container)? else { return Ok(()) };
        // Somebody may have been faster.
        let Status::Exited(ended) = container.status()? else { return Ok(()) };
        if self.is_lost(container)? {
            let _ = self.start_again(container, lock, Attach::Detached, ended.restarts + 1);
        }
        Ok(())
    }

    fn is_lost(&self, container: &Container) -> Result<bool, EngineError> {
        Ok(match container.status()? {
            Status::Exited(ended) => {
                let stopped = policy::stopped(&container.directory);
                let was_running = match stopped.map_err(|error| container.file_error(error))? {
                    None => ended.lost,
                    Some(stopped) => stopped == Stopped::BeforeBoot,
                };
                was_running && container.config.restart.wants(ended.code, ended.restarts)
            }
            _ => false,
        })
    }
}
