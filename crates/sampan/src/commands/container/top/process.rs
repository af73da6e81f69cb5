//! A process as /proc describes it: proc_pid_stat(5), proc_pid_cmdline(5).

use std::{fs, io, os::unix::fs::MetadataExt};

/// What /proc says of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub name: String,
    /// What it was started with; empty for one that has ended.
    pub command_line: String,
    pub user: u32,
    pub group: u32,
    pub state: char,
    pub parent: i32,
    pub process_group: i32,
    pub session: i32,
    pub terminal: i32,
    /// The process group in the foreground of its terminal.
    pub foreground: i32,
    /// Clock ticks on processors.
    pub ticks: u64,
    pub priority: i64,
    pub nice: i64,
    pub threads: u64,
    /// Clock ticks from the boot to its start.
    pub started: u64,
    /// Bytes.
    pub virtual_memory: u64,
    pub resident_memory: u64,
}

impl Process {
    pub fn read(pid: i32) -> io::Result<Process> {
        let directory = format!("/proc/{pid}");
        let owner = fs::metadata(&directory)?;
        let stat = fs::read_to_string(format!("{directory}/stat"))?;
        let command_line = fs::read(format!("{directory}/cmdline"))?;
        let command_line = String::from_utf8_lossy(&command_line).trim_end_matches('\0').replace('\0', " ");
        let process = Process::parse(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let status = fs::read_to_string(format!("{directory}/status"))?;
        let resident_memory = resident(&status);
        Ok(Process { command_line, user: owner.uid(), group: owner.gid(), resident_memory, ..process })
    }

    fn parse(stat: &str) -> Option<Process> {
        // The name may hold anything, but it ends at the last parenthesis.
        let (before, after) = stat.rsplit_once(") ")?;
        let (pid, name) = before.split_once(" (")?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // The manual counts from 1, and the state is the third.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |position| field(position)?.parse::<i64>().ok();
        let natural = |position| field(position)?.parse::<u64>().ok();
        let short = |position| field(position)?.parse::<i32>().ok();
        Some(Process {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            command_line: String::new(),
            user: 0,
            group: 0,
            state: field(3)?.chars().next()?,
            parent: short(4)?,
            process_group: short(5)?,
            session: short(6)?,
            terminal: short(7)?,
            foreground: short(8)?,
            ticks: natural(14)? + natural(15)?,
            priority: number(18)?,
            nice: number(19)?,
            threads: natural(20)?,
            started: natural(22)?,
            virtual_memory: natural(23)?,
            resident_memory: 0,
        })
    }

    /// The command line, or the name of one that has none any more.
    pub fn command(&self) -> String {
        match (self.command_line.is_empty(), self.state) {
            (false, _) => self.command_line.clone(),
            (true, 'Z') => format!("[{}] <defunct>", self.name),
            (true, _) => format!("[{}]", self.name),
        }
    }
}

/// The memory that a process has, from its `status`: that is in kilobytes, where `stat` has pages of unknown size.
fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// What a process is seen in proportion to.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Ticks of the clock in a second.
    pub ticks_per_second: u64,
    /// Seconds since the boot.
    pub uptime: f64,
    /// Seconds from 1970 to now.
    pub now: i64,
    /// Bytes.
    pub memory: u64,
    pub(super) users: String,
    pub(super) groups: String,
}

impl Machine {
    pub fn read() -> io::Result<Machine> {
        let uptime = fs::read_to_string("/proc/uptime")?;
        let machine = rustix::system::sysinfo();
        Ok(Machine {
            ticks_per_second: TICKS_PER_SECOND,
            uptime: uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0),
            now: jiff::Timestamp::now().as_second(),
            memory: machine.totalram * u64::from(machine.mem_unit),
            users: fs::read_to_string("/etc/passwd").unwrap_or_default(),
            groups: fs::read_to_string("/etc/group").unwrap_or_default(),
        })
    }

    /// The host's name for a user, as ps shows it: in eight columns.
    pub fn user(&self, id: u32) -> String {
        named(&self.users, id)
    }

    pub fn group(&self, id: u32) -> String {
        named(&self.groups, id)
    }

    /// How many seconds ago a process started.
    pub fn age(&self, process: &Process) -> f64 {
        (self.uptime - process.started as f64 / self.ticks_per_second as f64).max(0.0)
    }
}

/// The first field of the line whose third is `id`.
fn named(table: &str, id: u32) -> String {
    let id = id.to_string();
    let line = table.lines().find(|line| line.split(':').nth(2) == Some(&id));
    match line.and_then(|line| line.split(':').next()) {
        None => id,
        Some(name) if name.chars().count() > 8 => name.chars().take(7).chain(['+']).collect(),
        Some(name) => name.to_owned(),
    }
}

/// What the kernel tells its users of time in (USER_HZ), whatever its own clock: the same on all machines we know.
const TICKS_PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_other_fields() {
        let stat = "42 (a) R 1 (b) S 7 42 42 34816 42 4194560 95 0 0 0 150 30 0 0 20 0 3 0 8800 4096000 220 18446744073709551615";
        let process = Process::parse(stat).unwrap();
        assert_eq!((process.pid, process.name.as_str(), process.state), (42, "a) R 1 (b", 'S'));
        assert_eq!((process.parent, process.terminal, process.threads), (7, 34816, 3));
        assert_eq!((process.ticks, process.started, process.virtual_memory), (180, 8800, 4_096_000));
        assert_eq!(Process::parse("42 (sh) R"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id().cast_signed();
        let process = Process::read(pid).unwrap();
        assert_eq!(process.pid, pid);
        assert!(process.resident_memory > 0 && !process.command_line.is_empty(), "{process:?}");
    }

    #[test]
    fn long_names_are_cut_and_unknown_ids_stay_numbers() {
        let table = "root:x:0:0::/root:/bin/sh\nsystemd-network:x:998:998::/:\n";
        assert_eq!(named(table, 0), "root");
        assert_eq!(named(table, 998), "systemd+");
        assert_eq!(named(table, 5), "5");
    }
}
