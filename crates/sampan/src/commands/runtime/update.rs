//! `runtime update`: other limits for a container that runs.

use std::{fs::File, io, path::PathBuf};

use anyhow::Context;
use clap::Args;
use oci::Store;
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};
use types::{Bytes, InvalidSize};

/// Update a container's limits
#[derive(Args)]
pub struct Update {
    /// File with the resources section of a specification, or - for standard input; nothing else counts then
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Microseconds
    #[arg(long, value_name = "TIME")]
    cpu_period: Option<u64>,
    /// Microseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    #[arg(long, value_name = "TIME")]
    cpu_burst: Option<u64>,
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,
    #[arg(long, value_name = "TIME")]
    cpu_rt_period: Option<u64>,
    #[arg(long, value_name = "TIME")]
    cpu_rt_runtime: Option<i64>,
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    cpu_idle: Option<i64>,
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    #[arg(long, value_name = "NODES")]
    cpuset_mems: Option<String>,
    /// Bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = size)]
    memory: Option<i64>,
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = size)]
    memory_reservation: Option<i64>,
    /// Memory and swap; -1 for any amount
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = size)]
    memory_swap: Option<i64>,
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    #[arg(value_name = "container-id")]
    id: String,
}

impl Update {
    pub fn run(self, store: &Store) -> anyhow::Result<()> {
        let container = store.container(&self.id)?;
        let resources: LinuxResources = match &self.resources {
            Some(path) if path.as_os_str() == "-" => serde_json::from_reader(io::stdin().lock())?,
            Some(path) => serde_json::from_reader(File::open(path).context(path.display().to_string())?)?,
            None => serde_json::from_value(self.resources())?,
        };
        Ok(container.update(&resources)?)
    }

    /// What the options say, as a specification would.
    fn resources(&self) -> Value {
        let mut resources = json!({
            "cpu": {
                "period": self.cpu_period,
                "quota": self.cpu_quota,
                "burst": self.cpu_burst,
                "shares": self.cpu_share,
                "realtimePeriod": self.cpu_rt_period,
                "realtimeRuntime": self.cpu_rt_runtime,
                "idle": self.cpu_idle,
                "cpus": self.cpuset_cpus,
                "mems": self.cpuset_mems,
            },
            "memory": {
                "limit": self.memory,
                "reservation": self.memory_reservation,
                "swap": self.memory_swap,
            },
        });
        if let Some(weight) = self.blkio_weight {
            resources["blockIO"] = json!({ "weight": weight });
        }
        if let Some(limit) = self.pids_limit {
            resources["pids"] = json!({ "limit": limit });
        }
        resources
    }
}

/// Bytes, in units of thousands if there is one; a negative number stands for any amount.
fn size(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(bytes) => Ok(bytes),
        Err(_) => {
            text.parse().map(|Bytes(bytes)| bytes as i64).map_err(|error: InvalidSize| error.to_string())
        }
    }
}
