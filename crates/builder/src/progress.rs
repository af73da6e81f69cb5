//! Numbers the tasks of a build and passes events on.

use std::time::Instant;

use crate::event::{Event, Observer, Task, TaskId};

/// The one way to an [`Observer`].
pub struct Progress<'a> {
    observer: &'a mut dyn Observer,
    started: TaskId,
}

impl<'a> Progress<'a> {
    pub fn new(observer: &'a mut dyn Observer) -> Progress<'a> {
        Progress { observer, started: 0 }
    }

    pub fn start(&mut self, task: &Task) -> TaskId {
        self.started += 1;
        self.observer.event(Event::Started { id: self.started, task });
        self.started
    }

    pub fn finish(&mut self, id: TaskId, began: Instant) {
        self.observer.event(Event::Finished { id, elapsed: began.elapsed() });
    }

    pub fn event(&mut self, event: Event<'_>) {
        self.observer.event(event);
    }

    /// Does `work` as a task of its own.
    pub fn task<T, E: std::fmt::Display>(
        &mut self,
        task: &Task,
        work: impl FnOnce(&mut Progress<'a>) -> Result<T, E>,
    ) -> Result<T, E> {
        let id = self.start(task);
        let began = Instant::now();
        let result = work(self);
        match &result {
            Ok(_) => self.finish(id, began),
            Err(error) => self.event(Event::Failed { id, error: &error.to_string() }),
        }
        result
    }
}
