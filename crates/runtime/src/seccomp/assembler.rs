//! Writes classic BPF from its end to its beginning.
//!
//! Jumps lead only forward, so what a jump leads to is there before it. Jumps with a test reach no further than
//! 255 instructions; what is further away gets a copy or a jump without a test nearby.

use sys::seccomp::Instruction;

/// An instruction that has been written, counted from the end of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(usize);

/// A stretch of values, up to where the next one begins, and where it leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    pub start: u32,
    pub target: Target,
}

/// Where a value leads: to an instruction, or to a verdict that is written where it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Label(Label),
    Verdict(u32),
}

#[derive(Default)]
pub struct Assembler {
    /// The last instruction first.
    backwards: Vec<Instruction>,
    /// The nearest instruction for each verdict.
    verdicts: Vec<(u32, Label)>,
}

impl Assembler {
    /// The program, first instruction first.
    pub fn finish(mut self) -> Vec<Instruction> {
        self.backwards.reverse();
        self.backwards
    }

    /// An instruction that returns `value`, one that is in reach if there is one.
    pub fn verdict(&mut self, value: u32) -> Label {
        let known = self.verdicts.iter().position(|(verdict, _)| *verdict == value);
        if let Some(label) = known.map(|position| self.verdicts[position].1)
            && self.distance(label) <= NEAR
        {
            return label;
        }
        let label = self.push(RETURN, 0, 0, value);
        match known {
            Some(position) => self.verdicts[position].1 = label,
            None => self.verdicts.push((value, label)),
        }
        label
    }

    pub fn label(&mut self, target: Target) -> Label {
        match target {
            Target::Label(label) => label,
            Target::Verdict(value) => self.verdict(value),
        }
    }

    /// Loads the word at `offset` of the call's data and goes on at `next`.
    pub fn load(&mut self, offset: u32, next: Label) -> Label {
        self.go_on(next);
        self.push(LOAD, 0, 0, offset)
    }

    /// Masks what is loaded and goes on at `next`.
    pub fn and(&mut self, mask: u32, next: Label) -> Label {
        self.go_on(next);
        self.push(AND, 0, 0, mask)
    }

    pub fn if_equal(&mut self, value: u32, then: Label, or: Label) -> Label {
        self.jump(JUMP_EQUAL, value, then, or)
    }

    pub fn if_above(&mut self, value: u32, then: Label, or: Label) -> Label {
        self.jump(JUMP_ABOVE, value, then, or)
    }

    pub fn if_at_least(&mut self, value: u32, then: Label, or: Label) -> Label {
        self.jump(JUMP_AT_LEAST, value, then, or)
    }

    pub fn if_any_bit(&mut self, mask: u32, then: Label, or: Label) -> Label {
        self.jump(JUMP_ANY_BIT, mask, then, or)
    }

    /// A tree of tests that leads what is loaded to the target of its range. The first of `ranges` has all that
    /// is below it as well.
    pub fn decide(&mut self, ranges: &[Range]) -> Label {
        let leaves = leaves(ranges);
        self.tree(&leaves)
    }

    fn tree(&mut self, leaves: &[Leaf]) -> Label {
        if let [leaf] = leaves {
            return self.leaf(leaf);
        }
        let (lower, upper) = leaves.split_at(leaves.len() / 2);
        let start = upper[0].start;
        let upper = self.tree(upper);
        let lower = self.tree(lower);
        self.if_at_least(start, upper, lower)
    }

    fn leaf(&mut self, leaf: &Leaf) -> Label {
        let mut next = self.label(leaf.target);
        for (value, target) in leaf.exceptions.iter().rev() {
            let target = self.label(*target);
            next = self.if_equal(*value, target, next);
        }
        next
    }

    fn jump(&mut self, code: u16, value: u32, then: Label, or: Label) -> Label {
        if then == or {
            return then;
        }
        let (mut then, mut or) = (then, or);
        // Bringing one near moves the other one instruction away.
        while self.distance(then) > REACH || self.distance(or) > REACH {
            let far = if self.distance(then) > REACH { &mut then } else { &mut or };
            *far = self.bring_near(*far);
        }
        let (if_true, if_false) = (self.distance(then) as u8, self.distance(or) as u8);
        self.push(code, if_true, if_false, value)
    }

    /// Makes the next instruction to be written be followed by what is at `next`.
    fn go_on(&mut self, next: Label) {
        if self.distance(next) > 0 {
            self.bring_near(next);
        }
    }

    fn bring_near(&mut self, label: Label) -> Label {
        let Instruction { code, value, .. } = self.backwards[label.0];
        match code {
            RETURN => {
                let copy = self.push(RETURN, 0, 0, value);
                for (_, nearest) in self.verdicts.iter_mut().filter(|(verdict, _)| *verdict == value) {
                    *nearest = copy;
                }
                copy
            }
            _ => self.push(JUMP, 0, 0, self.distance(label) as u32),
        }
    }

    fn push(&mut self, code: u16, if_true: u8, if_false: u8, value: u32) -> Label {
        self.backwards.push(Instruction { code, if_true, if_false, value });
        Label(self.backwards.len() - 1)
    }

    /// How many instructions the next one to be written would skip to get to `label`.
    fn distance(&self, label: Label) -> usize {
        self.backwards.len() - 1 - label.0
    }
}

/// Neighbouring ranges that one target is enough for, but for a few single values.
struct Leaf {
    start: u32,
    target: Target,
    exceptions: Vec<(u32, Target)>,
}

/// Divides all ranges among leaves, so that there are few tests: a leaf costs one more than its exceptions.
fn leaves(ranges: &[Range]) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let mut rest = ranges;
    while let Some(first) = rest.first() {
        let candidates = rest.iter().take(2).map(|range| (range.target, extent(rest, range.target)));
        // Of two equals the first: it needs no exception for the first range.
        let longest = candidates.rev().max_by_key(|(_, extent)| *extent);
        let (target, extent) = longest.expect("there is a first range");
        let (own, others) = rest.split_at(extent);
        let exceptions = own.iter().filter(|range| range.target != target);
        leaves.push(Leaf {
            start: first.start,
            target,
            exceptions: exceptions.map(|range| (range.start, range.target)).collect(),
        });
        rest = others;
    }
    leaves
}

/// How many of `ranges`, from the first on, a leaf for `target` can have.
fn extent(ranges: &[Range], target: Target) -> usize {
    let mut exceptions = 0;
    let mut extent = 0;
    for (position, range) in ranges.iter().enumerate() {
        if range.target == target {
            extent = position + 1;
            continue;
        }
        let single = ranges.get(position + 1).is_some_and(|next| next.start - range.start == 1);
        if !single || exceptions == MOST_EXCEPTIONS {
            break;
        }
        exceptions += 1;
    }
    extent
}

/// Exceptions are tested one after the other; more of them make fewer tests, but a longer way.
const MOST_EXCEPTIONS: usize = 6;
/// The furthest a jump with a test reaches, and how much of that is left for what comes before the jump.
const REACH: usize = 255;
const NEAR: usize = REACH - 2 * MOST_EXCEPTIONS;

// From linux/bpf_common.h.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
