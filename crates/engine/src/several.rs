//! Work on many things that several processors share.

use std::{num::NonZero, thread};

/// What `look` finds of each of the `items`, in their order. Many are looked at by several threads.
pub fn by_several<T: Sync, R: Send>(items: &[T], look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let look_at = |items: &[T]| items.iter().map(&look).collect::<Vec<R>>();
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len() / WORTH_A_THREAD);
    if threads < 2 {
        return look_at(items);
    }
    thread::scope(|scope| {
        let mut shares = items.chunks(items.len().div_ceil(threads));
        let ours = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || look_at(share))).collect();
        let mut found = look_at(ours);
        found.extend(others.into_iter().flat_map(|other| other.join().expect("looking does not panic")));
        found
    })
}

/// Looking at fewer containers takes no longer than starting a thread.
const WORTH_A_THREAD: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_threads_find_is_in_order() {
        for count in [0, 1, WORTH_A_THREAD, 7 * WORTH_A_THREAD + 3] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(by_several(&items, |item| *item), items);
        }
    }
}
