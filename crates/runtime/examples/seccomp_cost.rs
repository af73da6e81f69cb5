//! Prints what the default system call filter costs here: to compile and to load. Needs root.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use runtime::seccomp::{compile, default_profile};
use rustix::process::{WaitOptions, waitpid};
use sys::process::{Fork, Namespaces, fork};

fn main() -> Result<(), Box<dyn Error>> {
    let mut compiling = Vec::new();
    let mut profiling = Vec::new();
    let mut loading = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let profile = default_profile(None);
        profiling.push(start.elapsed());
        let start = Instant::now();
        let filter = compile(&profile)?;
        compiling.push(start.elapsed());
        match fork(Namespaces::NONE, None)? {
            Fork::Child => {
                let start = Instant::now();
                filter.install()?;
                std::process::exit((start.elapsed().as_micros() / 5).min(255) as i32);
            }
            Fork::Parent(child) => {
                let (_, status) = waitpid(Some(child.pid), WaitOptions::empty())?.ok_or("no child")?;
                let code = status.exit_status().ok_or("the child was killed")?;
                loading.push(Duration::from_micros(code as u64 * 5));
            }
        }
    }
    println!("{} instructions", compile(&default_profile(None))?.length());
    for (name, mut times) in
        [("make the profile", profiling), ("compile it", compiling), ("load it", loading)]
    {
        times.sort();
        println!("{name:18} median {:>8.1?}  least {:>8.1?}", times[ROUNDS / 2], times[0]);
    }
    Ok(())
}

const ROUNDS: usize = 101;
