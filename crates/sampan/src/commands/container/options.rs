//! The options that `run` and `create` share, and what they ask of the engine.

use std::{env, fs, io};

use clap::Args;
use engine::{
    EngineError,
    container::{
        Create, HealthAction, HealthCheck, Isolation, Limits, LogConfig, Restart, Streams, SwapLimit, Ulimit,
    },
};
use types::{InvalidPort, Port, Publish};

use super::{isolation::IsolationOptions, limits::LimitOptions, mounts, networks::Networks};
use crate::usage::number_error;

/// How a container is to be.
#[derive(Args)]
pub struct Options {
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = stream)]
    pub attach: Vec<Stream>,
    /// Add Linux capabilities
    #[arg(long)]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long)]
    cap_drop: Vec<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    pub cidfile: Option<String>,
    /// Skip image verification
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long)]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = variable)]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long)]
    env_file: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long)]
    expose: Vec<String>,
    /// Command to run to check health
    #[arg(long)]
    health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = nanoseconds)]
    health_interval: Option<i64>,
    /// What to do with a container that is unhealthy ("none", "kill", "restart", "stop")
    #[arg(long, value_name = "string", value_parser = health_action)]
    health_on_failure: Option<HealthAction>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int")]
    health_retries: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = nanoseconds)]
    health_start_interval: Option<i64>,
    /// Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = nanoseconds)]
    health_start_period: Option<i64>,
    /// Maximum time to allow one check to run (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = nanoseconds)]
    health_timeout: Option<i64>,
    /// Container host name
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub interactive: bool,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "list")]
    label_file: Vec<String>,
    /// Logging driver for the container
    #[arg(long, value_name = "string")]
    log_driver: Option<String>,
    /// Log driver options
    #[arg(long, value_name = "list")]
    log_opt: Vec<String>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount", value_parser = mounts::fields)]
    mount: Vec<mounts::Fields>,
    /// Assign a name to the container
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    networks: Networks,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    no_healthcheck: bool,
    /// Give extended privileges to this container
    #[arg(long)]
    privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long)]
    publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    read_only: bool,
    /// Restart policy to apply when a container exits
    #[arg(long, default_value = "no")]
    restart: String,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    pub rm: bool,
    /// Storage driver options for the container
    #[arg(long, value_name = "list")]
    storage_opt: Vec<String>,
    /// Signal to stop the container
    #[arg(long)]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int")]
    stop_timeout: Option<i32>,
    /// Mount a tmpfs directory
    #[arg(long)]
    tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub tty: bool,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = ulimit)]
    ulimit: Vec<Ulimit>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long)]
    user: Option<String>,
    /// Bind mount a volume
    #[arg(short, long)]
    volume: Vec<String>,
    /// Optional volume driver for the container
    #[arg(long, value_name = "string")]
    volume_driver: Option<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "list")]
    volumes_from: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long)]
    workdir: Option<String>,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    isolation: IsolationOptions,
}

/// One of the standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Input,
    Output,
    Errors,
}

impl Options {
    /// What the caller takes part in: everything there is, if nothing was chosen.
    pub fn streams(&self) -> Streams {
        let chosen = |stream: Stream| self.attach.contains(&stream);
        match self.attach.is_empty() {
            true => Streams { input: self.interactive, output: true, errors: true },
            false => Streams {
                input: chosen(Stream::Input),
                output: chosen(Stream::Output),
                errors: chosen(Stream::Errors),
            },
        }
    }

    /// What these options, the image and the command ask of the engine.
    pub fn into_request(self, image: String, command: Vec<String>) -> anyhow::Result<Create> {
        let attach = self.streams();
        let health = self.health()?;
        let mut mounts = Vec::new();
        for (index, text) in self.volume.iter().enumerate() {
            // The same twice is no conflict.
            if !self.volume[..index].contains(text) {
                mounts.push(mounts::volume(text)?);
            }
        }
        for fields in self.mount {
            mounts.push(fields.into_mount()?);
        }
        for text in &self.tmpfs {
            mounts.push(mounts::tmpfs(text)?);
        }
        let volumes_from = self.volumes_from.iter().map(|text| mounts::volumes_from(text));
        let volumes_from = volumes_from.collect::<anyhow::Result<Vec<_>>>()?;
        if self.disable_content_trust {
            eprintln!("WARNING: --disable-content-trust has no effect: no image is verified by a signature.");
        }
        let storage = self.storage_opt.iter().map(|text| match text.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(anyhow::anyhow!("invalid storage option")),
        });
        let storage = storage.collect::<anyhow::Result<_>>()?;
        let restart = restart(&self.restart)?;
        if self.rm && restart != Restart::No {
            anyhow::bail!("conflicting options: cannot specify both --restart and --rm");
        }
        let asked = self.isolation.into_request(self.privileged)?;
        let mut labels = label_files(&self.label_file)?;
        labels.extend(self.label.iter().map(|label| split(label)));
        let mut publish = Vec::new();
        for text in &self.publish {
            publish.extend(Publish::parse(text).map_err(|error| port_error(&error))?);
        }
        let mut expose = Vec::new();
        for text in &self.expose {
            let ports = Port::parse_range(text).map_err(|error| expose_error(text, &error))?;
            expose.extend(ports);
        }
        let networks = self.networks.memberships()?;
        if !publish.is_empty() && networks.first().is_some_and(|(network, _)| network == "host") {
            eprintln!("WARNING: Published ports are discarded when using host network mode");
        }
        if let Some(signal) = &self.stop_signal {
            let parsed = signal.parse::<types::Signal>();
            parsed.map_err(|error| EngineError::Invalid(error.to_string()))?;
        }
        Ok(Create {
            name: self.name,
            image,
            entrypoint: self.entrypoint.map(|entrypoint| vec![entrypoint]),
            command,
            env: environment(&self.env_file, self.env)?,
            working_directory: self.workdir,
            user: self.user,
            hostname: self.hostname.map(hostname).transpose()?,
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive && attach.input,
            attach,
            log: log_config(self.log_driver, &self.log_opt)?,
            labels,
            expose,
            publish,
            publish_all: self.publish_all,
            mounts,
            volumes_from,
            volume_driver: self.volume_driver.unwrap_or_default(),
            naming: self.networks.naming(),
            networks,
            limits: Limits { storage, ..self.limits.into_limits()? },
            ulimits: self.ulimit,
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            privileged: self.privileged,
            no_new_privileges: asked.no_new_privileges,
            seccomp: asked.seccomp,
            read_only: self.read_only,
            init: self.init,
            auto_remove: self.rm,
            start_at_once: false,
            stop_signal: self.stop_signal,
            stop_timeout: self.stop_timeout,
            restart,
            health,
            health_on_failure: self.health_on_failure.unwrap_or_default(),
            isolation: Isolation { id_file: self.cidfile.unwrap_or_default(), ..asked.isolation },
        })
    }
}

impl Options {
    /// How the user wants to see whether the container is well.
    fn health(&self) -> anyhow::Result<HealthCheck> {
        let numbers = [
            ("--health-interval", self.health_interval),
            ("--health-timeout", self.health_timeout),
            ("--health-retries", self.health_retries),
            ("--health-start-period", self.health_start_period),
            ("--health-start-interval", self.health_start_interval),
        ];
        let command = self.health_cmd.as_deref().filter(|command| !command.is_empty());
        let is_set = |number: &Option<i64>| number.is_some_and(|number| number != 0);
        if self.no_healthcheck {
            if command.is_some() || numbers.iter().any(|(_, number)| is_set(number)) {
                anyhow::bail!("--no-healthcheck conflicts with --health-* options");
            }
            return Ok(HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() });
        }
        if let Some((flag, _)) = numbers.iter().find(|(_, number)| number.is_some_and(|number| number < 0)) {
            anyhow::bail!("{flag} cannot be negative");
        }
        Ok(HealthCheck {
            test: command.map(|command| vec!["CMD-SHELL".to_owned(), command.to_owned()]).unwrap_or_default(),
            interval: self.health_interval.unwrap_or(0),
            timeout: self.health_timeout.unwrap_or(0),
            start_period: self.health_start_period.unwrap_or(0),
            start_interval: self.health_start_interval.unwrap_or(0),
            retries: self.health_retries.unwrap_or(0),
        })
    }
}

/// A duration as Go reads it: `1m30s`, `500ms`, `-1s`.
fn nanoseconds(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += number * unit;
        rest = after;
    }
    Ok((sign * total) as i64)
}

fn health_action(text: &str) -> Result<HealthAction, String> {
    match text {
        "none" => Ok(HealthAction::None),
        "kill" => Ok(HealthAction::Kill),
        "restart" => Ok(HealthAction::Restart),
        "stop" => Ok(HealthAction::Stop),
        _ => Err(format!("invalid on-failure action {text:?}: use one of none, kill, restart, stop")),
    }
}

/// The variables of files and flags: a name alone takes the caller's value, or none.
pub fn environment(files: &[String], flags: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut entries = Vec::new();
    for file in files {
        for line in lines(file)? {
            let name = line.split('=').next().unwrap_or_default();
            if name.is_empty() {
                anyhow::bail!("invalid env file ({file}): no variable name on line '{line}'");
            }
            if name.contains(char::is_whitespace) {
                anyhow::bail!("invalid env file ({file}): variable '{name}' contains whitespaces");
            }
            entries.push(line);
        }
    }
    entries.extend(flags);
    let mut environment = Vec::new();
    for entry in entries {
        match entry.split_once('=') {
            Some(_) => environment.push(entry),
            // Without a value it only keeps the image's out.
            None => {
                environment.push(env::var(&entry).map_or(entry.clone(), |value| format!("{entry}={value}")))
            }
        }
    }
    Ok(environment)
}

fn log_config(driver: Option<String>, options: &[String]) -> anyhow::Result<LogConfig> {
    let driver = driver.unwrap_or_default();
    if driver == "none" && !options.is_empty() {
        anyhow::bail!("invalid logging opts for driver none");
    }
    Ok(LogConfig { driver, options: options.iter().map(|option| split(option)).collect() })
}

fn stream(text: &str) -> Result<Stream, String> {
    match text.to_lowercase().as_str() {
        "stdin" => Ok(Stream::Input),
        "stdout" => Ok(Stream::Output),
        "stderr" => Ok(Stream::Errors),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

/// The client of docker begins with a capital where its builder does not.
fn port_error(error: &InvalidPort) -> anyhow::Error {
    let text = error.to_string().replace("invalid IP address", "invalid ip address");
    anyhow::anyhow!("{}{}", text[..1].to_uppercase(), &text[1..])
}

/// Why docker cannot expose what `text` says.
fn expose_error(text: &str, error: &InvalidPort) -> anyhow::Error {
    if !matches!(error, InvalidPort::Container(_)) {
        return port_error(error);
    }
    let numbers = text.split('/').next().unwrap_or_default();
    let bad = numbers.split('-').find_map(|number| Some((number, number.parse::<u16>().err()?)));
    let why = match bad {
        Some((number, error)) => number_error("ParseUint", number, &error),
        None => error.to_string(),
    };
    anyhow::anyhow!("invalid range format for --expose: {text}, error: {why}")
}

/// `NAME=value`, or a name alone.
pub fn variable(text: &str) -> Result<String, String> {
    match text.split('=').next() {
        None | Some("") => Err(format!("invalid environment variable: {text}")),
        Some(_) => Ok(text.to_owned()),
    }
}

fn label(text: &str) -> Result<String, String> {
    match text.split('=').next() {
        None | Some("") => Err(format!("invalid label '{text}': empty name")),
        Some(_) => Ok(text.to_owned()),
    }
}

fn label_files(files: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let mut labels = Vec::new();
    for file in files {
        // A name alone means nothing here: there is no environment to take a value from.
        labels.extend(lines(file)?.iter().filter(|line| line.contains('=')).map(|line| split(line)));
    }
    Ok(labels)
}

/// The lines of a file of variables or labels, without those that are empty or comments.
fn lines(file: &str) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("open {file}: no such file or directory"),
        _ => anyhow::anyhow!("open {file}: {error}"),
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

/// `name=soft[:hard]`; -1 is no limit.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, values) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    if hard.contains(':') {
        return Err(format!(
            "too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
        ));
    }
    let value = |text: &str| match text {
        "-1" => Ok(u64::MAX),
        text => {
            text.parse::<u64>().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
        }
    };
    let (soft, hard) = (value(soft)?, value(hard)?);
    if soft > hard {
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// The resources of getrlimit(2) by docker's names.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `no`, `on-failure[:N]`, `always` or `unless-stopped`.
pub fn restart(text: &str) -> anyhow::Result<Restart> {
    let (name, count) = match text.split_once(':') {
        Some(("", _)) => anyhow::bail!("invalid restart policy format: no policy provided before colon"),
        Some((name, "")) => (name, 0),
        Some((name, count)) => match count.parse::<i64>() {
            Ok(count) => (name, count),
            Err(_) => {
                anyhow::bail!("invalid restart policy format: maximum retry count must be an integer")
            }
        },
        None => (text, 0),
    };
    let refused = |text: &str| Err(EngineError::Invalid(format!("invalid restart policy: {text}")).into());
    let policy = match name {
        "" | "no" => Restart::No,
        "always" => Restart::Always,
        "unless-stopped" => Restart::UnlessStopped,
        "on-failure" if count < 0 => return refused("maximum retry count cannot be negative"),
        "on-failure" => {
            return Ok(Restart::OnFailure { most: u32::try_from(count).ok().filter(|most| *most > 0) });
        }
        _ => {
            return refused(&format!(
                "unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            ));
        }
    };
    match count {
        0 => Ok(policy),
        1.. => refused("maximum retry count can only be used with 'on-failure'"),
        _ => refused("maximum retry count can only be used with 'on-failure' and cannot be negative"),
    }
}

/// How much memory and swap together; -1 is no limit.
pub fn swap_limit(text: &str) -> Result<SwapLimit, String> {
    match text {
        "-1" => Ok(SwapLimit::Unlimited),
        text => text.parse().map(SwapLimit::Total).map_err(|error: types::InvalidSize| error.to_string()),
    }
}

pub fn nano_cpus(text: &str) -> anyhow::Result<u64> {
    let cpus: f64 =
        text.parse().map_err(|_| anyhow::anyhow!("failed to parse {text} as a rational number"))?;
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    if !(0.01..=available as f64).contains(&cpus) {
        anyhow::bail!(
            "range of CPUs is from 0.01 to {available}.00, as there are only {available} CPUs available"
        );
    }
    Ok((cpus * 1e9) as u64)
}

fn hostname(name: String) -> anyhow::Result<String> {
    // As a line of /etc/hosts has to hold it, and the kernel.
    let valid = !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control);
    if valid { Ok(name) } else { anyhow::bail!("invalid hostname: {name:?}") }
}

fn split(label: &str) -> (String, String) {
    let (key, value) = label.split_once('=').unwrap_or((label, ""));
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_are_read_as_docker_reads_them() {
        let check = |text, expected: Result<Restart, &str>| {
            let actual = restart(text).map_err(|error| error.to_string());
            assert_eq!(actual, expected.map_err(String::from), "{text}");
        };
        check("no", Ok(Restart::No));
        check("always", Ok(Restart::Always));
        check("unless-stopped", Ok(Restart::UnlessStopped));
        check("on-failure", Ok(Restart::OnFailure { most: None }));
        check("on-failure:", Ok(Restart::OnFailure { most: None }));
        check("on-failure:3", Ok(Restart::OnFailure { most: Some(3) }));
        check(":3", Err("invalid restart policy format: no policy provided before colon"));
        check("on-failure:x", Err("invalid restart policy format: maximum retry count must be an integer"));
        check("on-failure:-1", Err("invalid restart policy: maximum retry count cannot be negative"));
        check(
            "always:2",
            Err("invalid restart policy: maximum retry count can only be used with 'on-failure'"),
        );
        check(
            "never",
            Err(
                "invalid restart policy: unknown policy 'never'; use one of 'no', 'always', 'on-failure', or \
                 'unless-stopped'",
            ),
        );
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("1m30s", Ok(90_000_000_000)),
            ("500ms", Ok(500_000_000)),
            ("1.5s", Ok(1_500_000_000)),
            ("-1s", Ok(-1_000_000_000)),
            ("0", Ok(0)),
            ("5", Err("time: missing unit in duration \"5\"")),
            ("5x", Err("time: unknown unit \"x\" in duration \"5x\"")),
            ("", Err("time: invalid duration \"\"")),
            ("s", Err("time: invalid duration \"s\"")),
        ] {
            assert_eq!(nanoseconds(text), expected.map_err(String::from), "{text}");
        }
    }

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        let limit = ulimit("nofile=1024:-1").expect("valid");
        assert_eq!((limit.soft, limit.hard), (1024, u64::MAX));
        assert!(ulimit("nofile=2:1").is_err());
        assert!(ulimit("nofile").is_err());
        assert!(ulimit("nofile=1:2:3").is_err());
    }
}
