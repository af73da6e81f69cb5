//! The options that limit what a container may use of the machine.

use std::path::PathBuf;

use clap::Args;
use engine::container::{DEFAULT_PIDS, Limits, Measure, SwapLimit, Throttle};
use types::Bytes;

use super::options::swap_limit;

/// How much a container may have.
#[derive(Args)]
pub struct LimitOptions {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    #[arg(long, value_name = "uint16")]
    blkio_weight: Option<u16>,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "list", value_parser = weight)]
    blkio_weight_device: Vec<PathBuf>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    cpu_period: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int")]
    cpu_quota: Option<i64>,
    /// Limit CPU real-time period in microseconds
    #[arg(long, value_name = "int")]
    cpu_rt_period: Option<u64>,
    /// Limit CPU real-time runtime in microseconds
    #[arg(long, value_name = "int")]
    cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int")]
    cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = nano_cpus)]
    cpus: Option<NanoCpus>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "list", value_parser = bytes_per_second)]
    device_read_bps: Vec<Rate>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "list", value_parser = per_second)]
    device_read_iops: Vec<Rate>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "list", value_parser = bytes_per_second)]
    device_write_bps: Vec<Rate>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "list", value_parser = per_second)]
    device_write_iops: Vec<Rate>,
    /// Kernel memory limit
    #[arg(long, value_name = "bytes", hide = true)]
    kernel_memory: Option<Bytes>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes")]
    memory: Option<Bytes>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes")]
    memory_reservation: Option<Bytes>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = swap_limit)]
    memory_swap: Option<SwapLimit>,
    /// Tune container memory swappiness (0 to 100)
    #[arg(long, value_name = "int", default_value = "-1", hide_default_value = true)]
    memory_swappiness: i64,
    /// Disable OOM Killer
    #[arg(long)]
    oom_kill_disable: bool,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int")]
    pids_limit: Option<i64>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes")]
    shm_size: Option<Bytes>,
}

impl LimitOptions {
    /// The limits these options come to. What this machine cannot do is said and left out.
    pub fn into_limits(self) -> anyhow::Result<Limits> {
        let swappiness = self.memory_swappiness;
        if !(-1..=100).contains(&swappiness) {
            anyhow::bail!("invalid value: {swappiness}. Valid memory swappiness range is 0-100");
        }
        if self.blkio_weight.is_some_and(|weight| weight != 0) || !self.blkio_weight_device.is_empty() {
            warn(
                "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
            );
        }
        if self.kernel_memory.is_some() {
            warn("Specifying a kernel memory limit is deprecated and has no effect.");
        }
        let mut throttles = Vec::new();
        for (measure, rates) in [
            (Measure::BytesRead, self.device_read_bps),
            (Measure::BytesWritten, self.device_write_bps),
            (Measure::Reads, self.device_read_iops),
            (Measure::Writes, self.device_write_iops),
        ] {
            throttles.extend(rates.into_iter().map(|Rate(device, rate)| Throttle { device, measure, rate }));
        }
        let set = |bytes: &Bytes| bytes.0 != 0;
        Ok(Limits {
            memory: self.memory.filter(set),
            memory_swap: self.memory_swap,
            cpu_shares: self
                .cpu_shares
                .and_then(|shares| u64::try_from(shares).ok())
                .filter(|shares| *shares > 0),
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus,
            cpuset_mems: self.cpuset_mems,
            shm: self.shm_size.filter(set),
            nano_cpus: self.cpus.map(|NanoCpus(count)| count),
            pids: match self.pids_limit {
                None => Some(DEFAULT_PIDS),
                Some(limit) => u32::try_from(limit).ok().filter(|limit| *limit > 0),
            },
            memory_reservation: self.memory_reservation.filter(set),
            memory_swappiness: u64::try_from(swappiness).ok(),
            oom_kill_disable: self.oom_kill_disable,
            cpu_realtime_period: self.cpu_rt_period,
            cpu_realtime_runtime: self.cpu_rt_runtime,
            throttles,
            ..Limits::default()
        })
    }
}

fn warn(text: &str) {
    eprintln!("WARNING: {text}");
}

/// Billionths of a processor.
#[derive(Clone, Copy)]
struct NanoCpus(u64);

fn nano_cpus(text: &str) -> Result<NanoCpus, String> {
    let unreadable = || format!("failed to parse {text} as a rational number");
    let cpus: f64 = match text.split_once('/') {
        None => text.parse().map_err(|_| unreadable())?,
        Some((dividend, divisor)) => {
            let number = |text: &str| text.parse::<f64>().map_err(|_| unreadable());
            number(dividend)? / number(divisor)?
        }
    };
    match cpus.is_finite() {
        true => Ok(NanoCpus((cpus * 1e9) as u64)),
        false => Err(unreadable()),
    }
}

/// A device and how much of it there may be in a second.
#[derive(Clone)]
struct Rate(PathBuf, u64);

fn bytes_per_second(text: &str) -> Result<Rate, String> {
    let (device, rate) = device_and_value(text)?;
    let rate = rate.parse::<Bytes>().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. \
             Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(Rate(device.into(), rate.0))
}

fn per_second(text: &str) -> Result<Rate, String> {
    let (device, rate) = device_and_value(text)?;
    let rate = rate.parse().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
             Number must be a positive integer"
        )
    })?;
    Ok(Rate(device.into(), rate))
}

fn weight(text: &str) -> Result<PathBuf, String> {
    let (device, weight) = device_and_value(text)?;
    match weight.parse::<u16>() {
        Ok(0 | 10..=1000) => Ok(device.into()),
        _ => Err(format!("invalid weight for device: {text}")),
    }
}

fn device_and_value(text: &str) -> Result<(&str, &str), String> {
    let (device, value) = text
        .split_once(':')
        .filter(|(device, _)| !device.is_empty())
        .ok_or_else(|| format!("bad format: {text}"))?;
    match device.starts_with("/dev/") {
        true => Ok((device, value)),
        false => Err(format!("bad format for device path: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_may_be_a_fraction() {
        let nano = |text| nano_cpus(text).map(|NanoCpus(count)| count);
        assert_eq!(nano("0.5"), Ok(500_000_000));
        assert_eq!(nano("3/2"), Ok(1_500_000_000));
        for text in ["x", "1/0", "1/x", ""] {
            assert_eq!(nano(text), Err(format!("failed to parse {text} as a rational number")));
        }
    }

    #[test]
    fn rates_are_for_devices() {
        let rate = |parsed: Result<Rate, String>| parsed.map(|Rate(_, rate)| rate);
        assert_eq!(rate(bytes_per_second("/dev/sda:1mb")), Ok(1 << 20));
        assert_eq!(rate(per_second("/dev/sda:1000")), Ok(1000));
        assert_eq!(rate(per_second("/dev/sda")), Err("bad format: /dev/sda".to_owned()));
        assert_eq!(rate(per_second("sda:1")), Err("bad format for device path: sda:1".to_owned()));
        assert!(rate(per_second("/dev/sda:1mb")).is_err());
        assert!(weight("/dev/sda:10").is_ok() && weight("/dev/sda:9").is_err());
    }
}
