//! Several transfers at once.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Does `work` for each of `items`, several at once, and begins them in order.
///
/// The first failure ends it and is the one that is told: nothing more begins, and what has begun sees its flag set and
/// should stop. The results are in no particular order.
pub fn for_each_at_once<T: Send, R: Send, E: Send>(
    items: Vec<T>,
    work: impl Fn(T, &AtomicBool) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = items.len().min(AT_ONCE);
    let left = Mutex::new(items.into_iter());
    let results = Mutex::new(Vec::new());
    let failure = Mutex::new(None);
    let failed = AtomicBool::new(false);
    let next = || left.lock().expect(UNPOISONED).next().filter(|_| !failed.load(Ordering::Relaxed));
    let worker = || {
        while let Some(item) = next() {
            match work(item, &failed) {
                Ok(result) => results.lock().expect(UNPOISONED).push(result),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    failure.lock().expect(UNPOISONED).get_or_insert(error);
                }
            }
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(worker))));
    match failure.into_inner().expect(UNPOISONED) {
        Some(error) => Err(error),
        None => Ok(results.into_inner().expect(UNPOISONED)),
    }
}

/// How many transfers run at once. More connections gain nothing, and annoy registries.
const AT_ONCE: usize = 6;
const UNPOISONED: &str = "nothing panics while it is held";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_it_and_is_the_one_that_is_told() {
        let begun = Mutex::new(0);
        let failure = for_each_at_once((0..100).collect(), |item: usize, failed| {
            *begun.lock().unwrap() += 1;
            while item != 3 && !failed.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            Err::<(), _>(item)
        });
        assert_eq!(failure, Err(3));
        assert!(*begun.lock().unwrap() <= AT_ONCE);
    }

    #[test]
    fn everything_is_done_once() {
        let mut doubled = for_each_at_once((0..100).collect(), |item: u32, _| Ok::<_, ()>(item * 2)).unwrap();
        doubled.sort_unstable();
        assert_eq!(doubled, (0..100).map(|item| item * 2).collect::<Vec<_>>());
    }
}
