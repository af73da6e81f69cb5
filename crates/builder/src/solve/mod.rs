//! Carries out a graph: what does not wait for something else goes on at the same time.

mod bytecode;
mod copy;
mod dates;
mod difference;
mod mounts;
mod remote;
mod run;
mod step;
mod verify;
mod visit;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, mpsc},
    thread,
};

use image::{Layer, Lease};
use types::Digest;

use crate::{
    BuildError,
    builds::Recorder,
    cache::{Before, Cache, Record, Trace, transport::Imports},
    context::Context,
    date::SourceDate,
    graph::{Graph, OperationId},
    host::Host,
    input::NamedPlaces,
    progress::Progress,
    remote::Remotes,
    run_settings::RunSettings,
    stop::Stop,
};

pub use copy::CopyError;
pub use mounts::MountError;
pub use step::directories;
pub use verify::{Again, StepDifference};
pub use visit::Visited;

/// What operations are carried out with.
pub struct Solver<'a, 'p> {
    pub host: &'a dyn Host,
    pub lease: &'a Lease,
    pub cache: &'a Cache,
    /// Caches outside this machine, asked for what this one does not have.
    pub imports: &'a Imports,
    pub context: &'a Context,
    pub remotes: &'a Remotes,
    pub named: &'a NamedPlaces<'a, 'p>,
    pub progress: &'a Progress<'p>,
    /// Known results are not used for RUN, nor for anything else: `--no-cache`.
    pub ignore_cache: bool,
    /// For each operation whether it is done anew, whatever is known.
    pub redo: &'a [bool],
    /// When everything that is made here is said to have been made.
    pub date: SourceDate,
    /// The Dockerfile, for showing where something failed.
    pub file: &'a str,
    pub source: &'a str,
    /// What earlier builds of this Dockerfile went through: tells why a step is not known.
    pub before: &'a Before<'a>,
    /// What this one does.
    pub trace: Mutex<Trace>,
    /// An operation failed, or nobody wants the result any more: those that are under way end.
    pub stop: &'a Stop,
    pub run: &'a RunSettings,
    /// Where it is written down how operations end.
    pub record: Option<&'a Recorder>,
    /// What is being verified, if something is.
    pub again: Option<Again<'a>>,
}

/// A file system: its layers, lowest first, and what the last operation on it came to.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub layers: Vec<Layer>,
    pub record: Option<Record>,
}

/// What an operation works on, as it is when all that it needs is done.
pub struct Given {
    number: OperationId,
    /// The file system that is changed.
    below: Vec<Layer>,
    /// Those that files are taken from.
    from: BTreeMap<OperationId, Vec<Layer>>,
    /// What the operation came to before, if that is being verified.
    before: Option<State>,
}

impl Solver<'_, '_> {
    /// Carries out all operations; the answer has a state for each. Returns the first failure when everything that
    /// was under way has ended.
    pub fn solve(&self, graph: &Graph) -> Result<Vec<State>, BuildError> {
        let mut schedule = Schedule::new(graph, self.again.as_ref().map(|again| again.states));
        let mut failure = None;
        thread::scope(|scope| {
            let (sender, results) = mpsc::channel();
            let mut running = 0;
            loop {
                while failure.is_none()
                    && !self.stop.is_set()
                    && running < MOST_AT_ONCE
                    && let Some(id) = schedule.ready.pop_front()
                {
                    let (operation, given) = (&graph.operations[id], schedule.given(graph, id));
                    if running == 0 && schedule.ready.is_empty() {
                        // Nothing else can go on meanwhile: no thread is needed.
                        match self.carry_out(operation, given) {
                            Ok(state) => schedule.done(graph, id, state),
                            Err(error) => failure = Some(error),
                        }
                        continue;
                    }
                    running += 1;
                    let sender = sender.clone();
                    let work = move || drop(sender.send((id, self.carry_out(operation, given))));
                    if let Err(error) = thread::Builder::new().spawn_scoped(scope, work) {
                        running -= 1;
                        failure = Some(BuildError::Cache(error));
                    }
                }
                if running == 0 {
                    break;
                }
                let Ok((id, result)) = results.recv() else { break };
                running -= 1;
                match result {
                    Ok(state) => schedule.done(graph, id, state),
                    Err(error) => {
                        self.stop.set();
                        failure.get_or_insert(error);
                    }
                }
            }
        });
        match failure {
            Some(error) => Err(error),
            None if self.stop.is_set() => Err(BuildError::Canceled),
            None => Ok(schedule.states.into_iter().map(Option::unwrap_or_default).collect()),
        }
    }
}

/// What is done, what can be done now, and what waits for how many others.
struct Schedule<'a> {
    states: Vec<Option<State>>,
    /// What operations stand on instead of what others come to now: see [`Again`].
    before: Option<&'a [State]>,
    ready: VecDeque<OperationId>,
    waits_for: Vec<usize>,
    /// For each operation those that need it, as often as they do.
    needed_by: Vec<Vec<OperationId>>,
}

impl<'a> Schedule<'a> {
    fn new(graph: &Graph, before: Option<&'a [State]>) -> Schedule<'a> {
        let count = graph.operations.len();
        let mut schedule = Schedule {
            states: vec![None; count],
            before,
            ready: VecDeque::new(),
            waits_for: vec![0; count],
            needed_by: vec![Vec::new(); count],
        };
        for (id, operation) in graph.operations.iter().enumerate() {
            for needed in operation.needs() {
                schedule.waits_for[id] += 1;
                schedule.needed_by[needed].push(id);
            }
            if schedule.waits_for[id] == 0 {
                schedule.ready.push_back(id);
            }
        }
        schedule
    }

    fn given(&self, graph: &Graph, id: OperationId) -> Given {
        let operation = &graph.operations[id];
        let state = |id: OperationId| match self.before {
            Some(before) => Some(&before[id]),
            None => self.states[id].as_ref(),
        };
        let layers = |id: OperationId| state(id).map(|state| state.layers.clone()).unwrap_or_default();
        Given {
            number: id,
            below: operation.input.map(layers).unwrap_or_default(),
            from: operation.takes_from().into_iter().map(|id| (id, layers(id))).collect(),
            before: self.before.map(|before| before[id].clone()),
        }
    }

    fn done(&mut self, graph: &Graph, id: OperationId, state: State) {
        debug_assert!(id < graph.operations.len());
        self.states[id] = Some(state);
        for waiting in std::mem::take(&mut self.needed_by[id]) {
            self.waits_for[waiting] -= 1;
            if self.waits_for[waiting] == 0 {
                self.ready.push_back(waiting);
            }
        }
    }
}

/// A digest that stands for a file system: of the layers' digests.
fn chain(layers: &[Layer]) -> Digest {
    let all: String = layers.iter().map(|layer| layer.diff_id.hex()).collect();
    Digest::of(all.as_bytes())
}

/// How many operations go on at the same time: a Dockerfile of a hundred stages is not to run a hundred compilers.
const MOST_AT_ONCE: usize = 16;
