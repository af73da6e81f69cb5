//! What the processes of RUN get: their network, what else `build` grants, and what limits them.

use anyhow::Context as _;
use builder::{Build as Request, Limits, Network, Privilege, RunSettings, SwapLimit, Ulimit};
use clap::Args;
use types::Bytes;

use super::{agent, host, secret};
use crate::commands::container::{swap_limit, ulimit};

/// How RUN's processes run.
#[derive(Args)]
pub struct Processes {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long, value_name = "strings")]
    add_host: Vec<String>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure")
    #[arg(long, value_name = "stringArray")]
    allow: Vec<String>,
    /// Set the parent cgroup for the "RUN" instructions during build
    #[arg(long)]
    cgroup_parent: Option<String>,
    /// Limit the CPU CFS (Completely Fair Scheduler) period
    #[arg(long)]
    cpu_period: Option<i64>,
    /// Limit the CPU CFS (Completely Fair Scheduler) quota
    #[arg(long)]
    cpu_quota: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long)]
    cpu_shares: Option<i64>,
    /// CPUs in which to allow execution ("0-3", "0,1")
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution ("0-3", "0,1")
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes")]
    memory: Option<Bytes>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = swap_limit)]
    memory_swap: Option<SwapLimit>,
    /// Set the networking mode for the "RUN" instructions during build
    #[arg(long, default_value = "default")]
    network: String,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
    #[arg(long, value_name = "stringArray")]
    secret: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes")]
    shm_size: Option<Bytes>,
    /// SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")
    #[arg(long, value_name = "stringArray")]
    ssh: Vec<String>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = ulimit)]
    ulimit: Vec<Ulimit>,
}

impl Processes {
    /// Adds these to `request`. Fails with docker's words for what is wrong.
    pub fn add_to(&self, request: &mut Request) -> anyhow::Result<()> {
        let secrets = secret::secrets(&self.secret)?;
        self.grants(request).context("failed to build")?;
        request.run.secrets = secrets;
        Ok(())
    }

    fn grants(&self, request: &mut Request) -> anyhow::Result<()> {
        let mut allowed =
            self.allow.iter().map(|name| privilege(name)).collect::<anyhow::Result<Vec<_>>>()?;
        request.network = network(&self.network)?;
        if request.network == Network::Host {
            // Who says it on the command line allows it.
            allowed.push(Privilege::HostNetwork);
        }
        request.run = RunSettings {
            allowed,
            hosts: host::hosts(&self.add_host)?,
            agents: agent::agents(&self.ssh)?,
            limits: self.limits(),
            ulimits: self.ulimit.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            ..RunSettings::default()
        };
        Ok(())
    }

    /// Zero is docker's word for no limit.
    fn limits(&self) -> Limits {
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let size = |size: Option<Bytes>| size.filter(|size| size.0 > 0);
        Limits {
            memory: size(self.memory),
            memory_swap: self.memory_swap.filter(|limit| *limit != SwapLimit::Total(Bytes(0))),
            cpu_shares: self.cpu_shares.and_then(positive),
            cpu_period: self.cpu_period.and_then(positive),
            cpu_quota: self.cpu_quota.filter(|quota| *quota != 0),
            cpuset_cpus: self.cpuset_cpus.clone().filter(|set| !set.is_empty()),
            cpuset_mems: self.cpuset_mems.clone().filter(|set| !set.is_empty()),
            shm: size(self.shm_size),
            ..Limits::default()
        }
    }
}

fn network(mode: &str) -> anyhow::Result<Network> {
    Ok(match mode {
        "" | "default" => Network::Default,
        "none" => Network::None,
        "host" => Network::Host,
        other => anyhow::bail!("network mode {other:?} not supported by sampan"),
    })
}

fn privilege(name: &str) -> anyhow::Result<Privilege> {
    name.parse().map_err(|_| anyhow::anyhow!("unknown entitlement {name}"))
}
