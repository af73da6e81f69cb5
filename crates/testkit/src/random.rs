//! Chance that repeats itself.

/// Marsaglia's xorshift: quick, and the same everywhere.
#[derive(Debug)]
pub struct Random(u64);

impl From<u64> for Random {
    /// The numbers that belong to this seed.
    fn from(seed: u64) -> Random {
        // From zero, nothing else would ever come.
        Random(seed.max(1))
    }
}

impl Random {
    /// Some number from 0 on, less than `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// One of these, which are some.
    pub fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
