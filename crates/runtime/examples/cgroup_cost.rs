//! Prints what a container's cgroups cost here: to make them, to join them, to remove them. Needs root.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use runtime::cgroup::{Cgroup, Layout};
use rustix::process::{WaitOptions, waitpid};
use sys::process::{Fork, Namespaces, fork};

fn main() -> Result<(), Box<dyn Error>> {
    let limits = serde_json::from_str(LIMITS)?;
    let mut samples = Vec::new();
    for round in 0..ROUNDS {
        let start = Instant::now();
        let mut steps = [Duration::ZERO; STEPS.len()];
        let mut step = 0;
        let mut lap = |since: &mut Instant| {
            steps[step] = since.elapsed();
            *since = Instant::now();
            step += 1;
        };
        let mut since = start;
        let layout = Layout::detect()?;
        lap(&mut since);
        let cgroup = Cgroup::create(&layout, "sampan-cost", &format!("group{round}"), &limits)?;
        lap(&mut since);
        let entry = cgroup.entry()?;
        lap(&mut since);
        match fork(Namespaces::NONE, entry.directory())? {
            Fork::Child => {
                let joining = Instant::now();
                let failed = entry.join().is_err();
                let tens_of_us = joining.elapsed().as_micros().div_ceil(10).min(254) as i32;
                std::process::exit(if failed { 255 } else { tens_of_us });
            }
            Fork::Parent(child) => {
                let (_, status) = waitpid(Some(child.pid), WaitOptions::empty())?.ok_or("no child")?;
                let code = status.exit_status().ok_or("the child was killed")?;
                assert_ne!(code, 255, "the child could not join");
                lap(&mut since);
                cgroup.remove()?;
                lap(&mut since);
                steps[STEPS.len() - 1] = Duration::from_micros(code as u64 * 10);
            }
        }
        samples.push(steps);
    }
    Cgroup::open(&Layout::detect()?, "", "sampan-cost").remove()?;
    for (position, name) in STEPS.into_iter().enumerate() {
        let mut times: Vec<_> = samples.iter().map(|steps| steps[position]).collect();
        times.sort();
        println!(
            "{name:24} median {:>8.1?}  least {:>8.1?}  most {:>8.1?}",
            times[ROUNDS / 2],
            times[0],
            times[ROUNDS - 1]
        );
    }
    Ok(())
}

const ROUNDS: usize = 101;
const STEPS: [&str; 6] =
    ["detect", "create and limit", "open the entry", "fork, join, exit, wait", "remove", "of that, join"];
const LIMITS: &str = r#"{
    "pids": {"limit": 4096},
    "devices": [
        {"allow": false},
        {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "b", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 7, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
        {"allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
        {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
        {"allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
        {"allow": true, "type": "c", "major": 136, "access": "rwm"}
    ]
}"#;
