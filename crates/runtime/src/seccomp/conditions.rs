//! Conditions on a call's arguments: 64-bit comparisons out of 32-bit tests.

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator};

use super::{
    ARGUMENTS, Assembler, Label,
    abi::Abi,
    assembler::{Range, Target},
};

/// `(argument & mask) <relation> value`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    index: u32,
    mask: u64,
    relation: Relation,
    value: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relation {
    Equal,
    NotEqual,
    Below,
    NotAbove,
    AtLeast,
    Above,
}

/// A verdict and the conditions that must all hold for it.
pub struct Case<'a> {
    pub conditions: &'a [Condition],
    pub verdict: u32,
}

impl Condition {
    pub fn new(argument: &LinuxSeccompArg) -> Condition {
        use LinuxSeccompOperator::*;
        let (mask, relation, value) = match argument.op() {
            ScmpCmpNe => (u64::MAX, Relation::NotEqual, argument.value()),
            ScmpCmpLt => (u64::MAX, Relation::Below, argument.value()),
            ScmpCmpLe => (u64::MAX, Relation::NotAbove, argument.value()),
            ScmpCmpEq => (u64::MAX, Relation::Equal, argument.value()),
            ScmpCmpGe => (u64::MAX, Relation::AtLeast, argument.value()),
            ScmpCmpGt => (u64::MAX, Relation::Above, argument.value()),
            ScmpCmpMaskedEq => (argument.value(), Relation::Equal, argument.value_two().unwrap_or(0)),
        };
        Condition { index: argument.index() as u32, mask, relation, value }
    }

    /// Writes the test, whose outcomes go on at `then` and `or`.
    fn emit(&self, assembler: &mut Assembler, abi: Abi, then: Label, or: Label) -> Label {
        // Half of the relations are the other half denied.
        let (relation, then, or) = match self.relation {
            Relation::NotEqual => (Relation::Equal, or, then),
            Relation::Below => (Relation::AtLeast, or, then),
            Relation::NotAbove => (Relation::Above, or, then),
            relation => (relation, then, or),
        };
        let [low, high] = [self.word(0), self.word(1)];
        // The upper half of a narrow argument counts as 0, whatever the register held.
        let high_decides = abi.is_64_bit() && high.mask != 0;
        if !high_decides && high.value != 0 {
            return or;
        }
        let lower = match relation {
            Relation::Equal => low.emit_equal(assembler, then, or),
            Relation::AtLeast => low.emit(assembler, Assembler::if_at_least, then, or),
            _ => low.emit(assembler, Assembler::if_above, then, or),
        };
        match relation {
            _ if !high_decides => lower,
            Relation::Equal => high.emit_equal(assembler, lower, or),
            _ => {
                let not_above = assembler.if_equal(high.value, lower, or);
                high.emit(assembler, Assembler::if_above, then, not_above)
            }
        }
    }

    fn word(&self, half: u32) -> Word {
        // The machines this runs on are little-endian: the lower half is the first.
        let offset = ARGUMENTS + self.index * 8 + half * 4;
        let part = |value: u64| (value >> (half * 32)) as u32;
        Word { offset, mask: part(self.mask), value: part(self.value) }
    }

    /// The values of the argument's lower half for which it holds, if that half alone decides and they are one
    /// stretch.
    fn interval(&self, abi: Abi) -> Option<(u32, u32)> {
        let [low, high] = [self.word(0), self.word(1)];
        if self.relation != Relation::Equal || high.value != 0 || (abi.is_64_bit() && high.mask != 0) {
            return None;
        }
        let loose = !low.mask;
        let is_stretch = loose & loose.wrapping_add(1) == 0 && low.value & loose == 0;
        is_stretch.then_some((low.value, low.value | loose))
    }
}

/// Half of an argument.
struct Word {
    offset: u32,
    mask: u32,
    value: u32,
}

impl Word {
    fn emit_equal(&self, assembler: &mut Assembler, then: Label, or: Label) -> Label {
        if self.mask != u32::MAX && self.value == 0 {
            let test = assembler.if_any_bit(self.mask, or, then);
            return assembler.load(self.offset, test);
        }
        let mut test = assembler.if_equal(self.value, then, or);
        if self.mask != u32::MAX {
            test = assembler.and(self.mask, test);
        }
        assembler.load(self.offset, test)
    }

    fn emit(
        &self,
        assembler: &mut Assembler,
        test: impl Fn(&mut Assembler, u32, Label, Label) -> Label,
        then: Label,
        or: Label,
    ) -> Label {
        let test = test(assembler, self.value, then, or);
        assembler.load(self.offset, test)
    }
}

/// Writes the tests for `cases` in their order; where none fits, `default` is the verdict.
pub fn emit(assembler: &mut Assembler, abi: Abi, cases: &[Case<'_>], default: u32) -> Label {
    if let Some((offset, ranges)) = ranges(abi, cases, default) {
        let decision = assembler.decide(&ranges);
        return assembler.load(offset, decision);
    }
    let mut next = assembler.verdict(default);
    for case in cases.iter().rev() {
        let mut holds = assembler.verdict(case.verdict);
        for condition in case.conditions.iter().rev() {
            holds = condition.emit(assembler, abi, holds, next);
        }
        next = holds;
    }
    next
}

/// Cases that are all about the lower half of one argument, as ranges of its values: the argument is then loaded
/// once and a tree decides.
fn ranges(abi: Abi, cases: &[Case<'_>], default: u32) -> Option<(u32, Vec<Range>)> {
    let offset = cases.first()?.conditions.first()?.word(0).offset;
    let mut intervals = Vec::new();
    for case in cases {
        let [condition] = case.conditions else { return None };
        if condition.word(0).offset != offset {
            return None;
        }
        intervals.push((condition.interval(abi)?, case.verdict));
    }
    let mut starts: Vec<u32> = [0].into_iter().collect();
    for ((first, last), _) in &intervals {
        starts.push(*first);
        starts.extend(last.checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    let verdict = |value: u32| {
        let fitting = intervals.iter().find(|((first, last), _)| (*first..=*last).contains(&value));
        fitting.map_or(default, |(_, verdict)| *verdict)
    };
    let all = starts.into_iter().map(|start| Range { start, target: Target::Verdict(verdict(start)) });
    let mut ranges: Vec<Range> = Vec::new();
    for range in all {
        if ranges.last().is_none_or(|last| last.target != range.target) {
            ranges.push(range);
        }
    }
    Some((offset, ranges))
}
