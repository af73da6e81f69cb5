//! Inputs that nobody thought of: those that somebody did think of, cut up, mixed and damaged at random.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::Random;

/// Gives `check` what is in the directory `corpus`, then what can be made of it and of `words`. A panic is a finding;
/// the input that led to it is shown, and belongs into the corpus.
///
/// Everybody's tests get the same inputs. With `SAMPAN_FUZZ_SECONDS` the search goes on for that long, each time among
/// others.
pub fn fuzz(corpus: &Path, words: &[&str], check: impl Fn(&[u8])) {
    let seeds = read(corpus);
    seeds.iter().for_each(|seed| attempt(seed, &check));
    let seconds = env::var("SAMPAN_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    let mut random = Random::from(if seconds.is_some() { now } else { 1 });
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut tried = 0;
    while end.map_or(tried < USUAL, |end| Instant::now() < end) {
        let mut input = random.of(&seeds).clone();
        for _ in 0..=random.below(6) {
            damage(&mut input, &seeds, words, &mut random);
        }
        attempt(&input, &check);
        tried += 1;
    }
    eprintln!("{}: {tried} inputs", corpus.display());
}

fn read(corpus: &Path) -> Vec<Vec<u8>> {
    let listed = fs::read_dir(corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut files: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).expect("a readable seed")).collect();
    assert!(!seeds.is_empty(), "{} has no seeds", corpus.display());
    seeds
}

fn attempt(input: &[u8], check: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) {
        eprintln!("the input was \"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

/// Changes something somewhere.
fn damage(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let (from, to) = range(random, input.len());
    match random.below(8) {
        0 if !words.is_empty() => drop(input.splice(from..from, random.of(words).bytes())),
        1 if !words.is_empty() => drop(input.splice(from..to, random.of(words).bytes())),
        2 => drop(input.drain(from..to)),
        3 => input.extend_from_within(from..to),
        4 => {
            let other = random.of(seeds);
            let (start, end) = range(random, other.len());
            input.splice(from..from, other[start..end].iter().copied());
        }
        5 => input.truncate(to),
        6 if from < input.len() => input[from] ^= 1 << random.below(8),
        _ => input.insert(from, random.below(256) as u8),
    }
    input.truncate(LONGEST);
}

/// A part of so many bytes, mostly a short one.
fn range(random: &mut Random, length: usize) -> (usize, usize) {
    let from = random.below(length + 1);
    let most = if random.below(4) == 0 { length - from } else { (length - from).min(12) };
    (from, from + random.below(most + 1))
}

/// How many inputs tests make.
const USUAL: usize = 4000;
/// Beyond this inputs only get slower.
const LONGEST: usize = 4096;
