//! Numbers the tasks of a build and passes events on, from all threads.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::event::{Event, Observer, Task, TaskId};

/// The one way to an [`Observer`].
pub struct Progress<'a>(Mutex<Told<'a>>);

struct Told<'a> {
    observer: &'a mut (dyn Observer + Send),
    started: TaskId,
}

impl<'a> Progress<'a> {
    pub fn new(observer: &'a mut (dyn Observer + Send)) -> Progress<'a> {
        Progress(Mutex::new(Told { observer, started: 0 }))
    }

    pub fn start(&self, task: &Task) -> TaskId {
        let mut told = self.told();
        told.started += 1;
        let id = told.started;
        told.observer.event(Event::Started { id, task });
        id
    }

    pub fn finish(&self, id: TaskId, began: Instant) {
        self.event(Event::Finished { id, elapsed: began.elapsed() });
    }

    pub fn event(&self, event: Event<'_>) {
        self.told().observer.event(event);
    }

    /// Does `work` as a task of its own.
    pub fn task<T, E: std::fmt::Display>(
        &self,
        task: &Task,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let id = self.start(task);
        let began = Instant::now();
        let result = work();
        match &result {
            Ok(_) => self.finish(id, began),
            Err(error) => self.event(Event::Failed { id, error: &error.to_string() }),
        }
        result
    }

    /// An observer that panicked on another thread may have told less than it should; that is no reason to stop.
    fn told(&self) -> MutexGuard<'_, Told<'a>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
