//! What a profile says, call by call: from names to numbers, from numbers to ranges.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall};

use super::{
    Assembler, Label, SeccompError,
    abi::Abi,
    assembler::{Range, Target},
    conditions::{self, Case, Condition},
};

/// A profile's rules, with verdicts as the kernel takes them.
pub struct Rules<'a> {
    default: u32,
    /// The verdict on numbers beyond the newest call of the rules.
    newer: u32,
    rules: Vec<Rule<'a>>,
}

struct Rule<'a> {
    names: &'a [String],
    verdict: u32,
    /// Sets of conditions; one whose conditions all hold is enough. `None` for a rule that always holds.
    alternatives: Option<Vec<Vec<Condition>>>,
}

pub fn read(profile: &LinuxSeccomp) -> Result<Rules<'_>, SeccompError> {
    let default = verdict(profile.default_action(), profile.default_errno_ret());
    // Who allows or only watches what the profile does not name means newer calls as well.
    let newer = match profile.default_action() {
        LinuxSeccompAction::ScmpActAllow
        | LinuxSeccompAction::ScmpActLog
        | LinuxSeccompAction::ScmpActTrace => default,
        _ => RET_ERRNO | ENOSYS,
    };
    let rules = profile.syscalls().iter().flatten().map(read_rule).collect::<Result<_, _>>()?;
    Ok(Rules { default, newer, rules })
}

fn read_rule(rule: &LinuxSyscall) -> Result<Rule<'_>, SeccompError> {
    let arguments = rule.args().as_deref().unwrap_or_default();
    if let Some(wrong) = arguments.iter().find(|argument| argument.index() > 5) {
        let call = rule.names().first().cloned().unwrap_or_default();
        return Err(SeccompError::Argument { call, index: wrong.index() });
    }
    let alternatives = (!arguments.is_empty()).then(|| alternatives(arguments));
    Ok(Rule { names: rule.names(), verdict: verdict(rule.action(), rule.errno_ret()), alternatives })
}

/// Conditions hold together, unless two are about one argument: then, as in the other runtimes, each is enough
/// by itself.
fn alternatives(arguments: &[LinuxSeccompArg]) -> Vec<Vec<Condition>> {
    let repeated = |position: usize| {
        arguments[..position].iter().any(|earlier| earlier.index() == arguments[position].index())
    };
    let conditions = arguments.iter().map(Condition::new);
    match (0..arguments.len()).any(repeated) {
        true => conditions.map(|condition| vec![condition]).collect(),
        false => vec![conditions.collect()],
    }
}

impl Rules<'_> {
    /// Writes the decision about the calls of `abi`, whose number is loaded.
    pub fn emit(&self, assembler: &mut Assembler, abi: Abi) -> Label {
        let calls = self.calls(abi);
        let newest = calls.iter().map(|call| call.number).filter(|number| *number < abi.side_block()).max();
        let mut ranges = Ranges(vec![Range { start: abi.first(), target: Target::Verdict(self.default) }]);
        for same in calls.chunk_by(|one, next| one.number == next.number) {
            let number = same[0].number;
            let target = self.target(assembler, abi, same);
            ranges.begin(number, target);
            ranges.begin(number + 1, Target::Verdict(self.default));
            if Some(number) == newest {
                ranges.begin(number + 1, Target::Verdict(self.newer));
            }
        }
        assembler.decide(&ranges.0)
    }

    /// What the rules say about numbers of `abi`, by number, and for each in the rules' order.
    fn calls(&self, abi: Abi) -> Vec<Call<'_>> {
        let mut calls: Vec<Call<'_>> = Vec::with_capacity(512);
        for rule in &self.rules {
            let numbers = abi.numbers(rule.names.iter().map(String::as_str));
            calls.extend(numbers.map(|number| Call { number, rule }));
        }
        calls.sort_by_key(|call| call.number);
        calls
    }

    fn target(&self, assembler: &mut Assembler, abi: Abi, calls: &[Call<'_>]) -> Target {
        // A rule that says what is said without it says nothing.
        let rules = || calls.iter().map(|call| call.rule).filter(|rule| rule.verdict != self.default);
        if let Some(rule) = rules().find(|rule| rule.alternatives.is_none()) {
            return Target::Verdict(rule.verdict);
        }
        let cases: Vec<Case<'_>> = rules()
            .flat_map(|rule| {
                rule.alternatives.iter().flatten().map(|set| Case { conditions: set, verdict: rule.verdict })
            })
            .collect();
        match cases.is_empty() {
            true => Target::Verdict(self.default),
            false => Target::Label(conditions::emit(assembler, abi, &cases, self.default)),
        }
    }
}

struct Call<'a> {
    number: u32,
    rule: &'a Rule<'a>,
}

/// Ranges in rising order, no two neighbours with one target.
struct Ranges(Vec<Range>);

impl Ranges {
    /// Lets `target` hold from `start` on, which is not before the last range's.
    fn begin(&mut self, start: u32, target: Target) {
        if self.0.last().is_some_and(|last| last.start == start) {
            self.0.pop();
        }
        if self.0.last().is_none_or(|last| last.target != target) {
            self.0.push(Range { start, target });
        }
    }
}

fn verdict(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    use LinuxSeccompAction::*;
    let data = errno.unwrap_or(EPERM) & 0xffff;
    match action {
        ScmpActKill | ScmpActKillThread => 0,
        ScmpActKillProcess => super::KILL_PROCESS,
        ScmpActTrap => 0x0003_0000,
        ScmpActErrno => RET_ERRNO | data,
        ScmpActTrace => 0x7ff0_0000 | data,
        ScmpActLog => 0x7ffc_0000,
        ScmpActAllow => 0x7fff_0000,
        ScmpActNotify => 0x7fc0_0000,
    }
}

const RET_ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
