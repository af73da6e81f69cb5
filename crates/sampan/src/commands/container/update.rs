//! `update`: change what containers are allowed.

use std::process::ExitCode;

use clap::Args;
use engine::container::{SwapLimit, Update as Request};
use types::Bytes;

use super::options::{nano_cpus, restart, swap_limit};
use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Update configuration of one or more containers
#[derive(Args)]
pub struct Update {
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    cpu_period: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int")]
    cpu_quota: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int")]
    cpu_shares: Option<u64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal")]
    cpus: Option<String>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes")]
    memory: Option<Bytes>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = swap_limit)]
    memory_swap: Option<SwapLimit>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int")]
    pids_limit: Option<i64>,
    /// Restart policy to apply when a container exits
    #[arg(long)]
    restart: Option<String>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Update {
    const NAMES: &'static [&'static str] = &["container update", "update"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let mut request = Request {
            memory: self.memory,
            memory_swap: self.memory_swap,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus,
            cpuset_mems: self.cpuset_mems,
            nano_cpus: self.cpus.as_deref().map(nano_cpus).transpose()?,
            pids: self.pids_limit,
            restart: self.restart.as_deref().map(restart).transpose()?,
        };
        if request == Request::default() {
            anyhow::bail!("you must provide one or more flags when using this command");
        }
        let engine = session::open(globals)?;
        for warning in request.discard_undelegated()? {
            eprintln!("WARNING: {warning}");
        }
        report::for_each(&self.containers, |name| {
            engine.update(&engine.container(name)?, &request)?;
            Ok(Some(name.to_owned()))
        })
    }
}
