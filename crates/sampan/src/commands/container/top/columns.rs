//! Which columns the options of ps(1) ask for, and what is in them.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Titled,
    process::{Machine, Process},
};

/// Something that ps tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Pid,
    Parent,
    ProcessGroup,
    Session,
    User,
    UserId,
    Group,
    GroupId,
    Name,
    Command,
    /// Processor time over lifetime in percent: whole, and with a decimal.
    Busy,
    Cpu,
    Memory,
    Virtual,
    Resident,
    Terminal,
    /// One letter, and with what else ps notes.
    State,
    States,
    Started,
    StartedInFull,
    Elapsed,
    ElapsedSeconds,
    /// Processor time as `-ef` and as `aux` write it.
    Time,
    ShortTime,
    Nice,
    Priority,
    Threads,
}

/// The columns that `options` ask for, or why ps would not understand them.
pub fn chosen(options: &[String]) -> Result<Vec<Titled>, String> {
    let mut format = Vec::new();
    let mut style = FULL;
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let (dashed, letters) = match word.strip_prefix('-') {
            Some(letters) => (true, letters),
            None => (false, word.as_str()),
        };
        if let Some(list) = word.strip_prefix("--format") {
            let list = list.strip_prefix('=').or_else(|| words.next().map(String::as_str));
            format.extend(user_defined(list.unwrap_or_default())?);
            continue;
        }
        for (position, letter) in letters.char_indices() {
            match letter {
                'o' => {
                    // The rest of the word or the next one.
                    let rest = &letters[position + 1..];
                    let list = if rest.is_empty() { words.next().map_or("", String::as_str) } else { rest };
                    format.extend(user_defined(list)?);
                    break;
                }
                'f' if dashed => style = FULL,
                'l' => style = LONG,
                'u' if !dashed => style = BY_USER,
                // Which processes and how wide: always those of the container, always whole.
                'e' | 'A' | 'a' | 'x' | 'w' | 'H' | 'd' | 'h' | 'f' | 'T' | 'L' | 'm' => {
                    if !dashed
                        && style == FULL
                        && format.is_empty()
                        && options.len() == 1
                        && !letters.contains('u')
                    {
                        style = SHORT;
                    }
                }
                _ => {
                    return Err(format!(
                        "ps: error: unsupported option (sampan reads -ef, aux, -l and -o): {word}"
                    ));
                }
            }
        }
    }
    let columns = match format.is_empty() {
        true => style.iter().map(|(column, header)| (*column, (*header).to_owned())).collect(),
        false => format,
    };
    if columns.iter().any(|(column, _)| *column == Column::Pid) {
        Ok(columns)
    } else {
        Err("Couldn't find PID field in ps output".to_owned())
    }
}

/// `pid,user=WHO,args`: each with ps's header or one of the user's own.
fn user_defined(list: &str) -> Result<Vec<Titled>, String> {
    let mut columns = Vec::new();
    for item in list.split([',', ' ']).filter(|item| !item.is_empty()) {
        let (name, own) = match item.split_once('=') {
            Some((name, own)) => (name, Some(own)),
            None => (item, None),
        };
        let known = NAMES.iter().find(|(names, ..)| names.contains(&name));
        let (_, column, header) =
            known.ok_or_else(|| format!("ps: error: unknown user-defined format specifier {name:?}"))?;
        columns.push((*column, own.unwrap_or(header).to_owned()));
    }
    Ok(columns)
}

impl Column {
    /// What stands in this column for a process.
    pub fn of(self, process: &Process, machine: &Machine) -> String {
        let seconds = process.ticks / machine.ticks_per_second.max(1);
        let age = machine.age(process);
        let busy = if age > 0.0 { seconds as f64 / age * 100.0 } else { 0.0 };
        match self {
            Column::Pid => process.pid.to_string(),
            Column::Parent => process.parent.to_string(),
            Column::ProcessGroup => process.process_group.to_string(),
            Column::Session => process.session.to_string(),
            Column::User => machine.user(process.user),
            Column::UserId => process.user.to_string(),
            Column::Group => machine.group(process.group),
            Column::GroupId => process.group.to_string(),
            Column::Name if process.state == 'Z' => format!("{} <defunct>", process.name),
            Column::Name => process.name.clone(),
            Column::Command => process.command(),
            Column::Busy => (busy as u64).min(99).to_string(),
            Column::Cpu => format!("{busy:.1}"),
            Column::Memory => {
                format!("{:.1}", process.resident_memory as f64 * 100.0 / machine.memory.max(1) as f64)
            }
            Column::Virtual => (process.virtual_memory / 1024).to_string(),
            Column::Resident => (process.resident_memory / 1024).to_string(),
            Column::Terminal => terminal(process.terminal),
            Column::State => process.state.to_string(),
            Column::States => states(process),
            Column::Started => started(machine.now - age as i64, machine.now),
            Column::StartedInFull => {
                local(machine.now - age as i64).strftime("%a %b %e %H:%M:%S %Y").to_string()
            }
            Column::Elapsed => elapsed(age as u64),
            Column::ElapsedSeconds => (age as u64).to_string(),
            Column::Time => {
                let (days, rest) = (seconds / 86400, seconds % 86400);
                let days = if days > 0 { format!("{days}-") } else { String::new() };
                format!("{days}{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
            }
            Column::ShortTime => format!("{}:{:02}", seconds / 60, seconds % 60),
            Column::Nice => process.nice.to_string(),
            // ps turns the kernel's number round, such that a higher one is more urgent.
            Column::Priority => (39 - process.priority).to_string(),
            Column::Threads => process.threads.to_string(),
        }
    }
}

/// A terminal's name by its device number; see proc_pid_stat(5).
fn terminal(device: i32) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        0 => "?".to_owned(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major},{minor}"),
    }
}

fn states(process: &Process) -> String {
    let marks = [
        (process.nice < 0, '<'),
        (process.nice > 0, 'N'),
        (process.session == process.pid, 's'),
        (process.threads > 1, 'l'),
        (process.foreground == process.process_group, '+'),
    ];
    let marks = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark);
    [process.state].into_iter().chain(marks).collect()
}

/// The time of day for a start of today, else the day, else the year.
fn started(at: i64, now: i64) -> String {
    let (at, now) = (local(at), local(now));
    let format = match (at.year() == now.year(), at.day_of_year() == now.day_of_year()) {
        (true, true) => "%H:%M",
        (true, false) => "%b%d",
        (false, _) => "%Y",
    };
    at.strftime(format).to_string()
}

fn local(seconds: i64) -> jiff::ZonedDateTime {
    Timestamp::from_second(seconds).unwrap_or_default().to_zoned_datetime(TimeZone::system())
}

/// `[[days-]hours:]minutes:seconds`.
fn elapsed(seconds: u64) -> String {
    let (days, hours) = (seconds / 86400, seconds / 3600 % 24);
    let rest = format!("{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => rest,
        (0, hours) => format!("{hours:02}:{rest}"),
        (days, hours) => format!("{days}-{hours:02}:{rest}"),
    }
}

type Style = &'static [(Column, &'static str)];

/// `-ef`, which docker asks for unless told otherwise.
const FULL: Style = &[
    (Column::User, "UID"),
    (Column::Pid, "PID"),
    (Column::Parent, "PPID"),
    (Column::Busy, "C"),
    (Column::Started, "STIME"),
    (Column::Terminal, "TTY"),
    (Column::Time, "TIME"),
    (Column::Command, "CMD"),
];

/// `aux`.
const BY_USER: Style = &[
    (Column::User, "USER"),
    (Column::Pid, "PID"),
    (Column::Cpu, "%CPU"),
    (Column::Memory, "%MEM"),
    (Column::Virtual, "VSZ"),
    (Column::Resident, "RSS"),
    (Column::Terminal, "TTY"),
    (Column::States, "STAT"),
    (Column::Started, "START"),
    (Column::ShortTime, "TIME"),
    (Column::Command, "COMMAND"),
];

/// `ax`.
const SHORT: Style = &[
    (Column::Pid, "PID"),
    (Column::Terminal, "TTY"),
    (Column::States, "STAT"),
    (Column::ShortTime, "TIME"),
    (Column::Command, "COMMAND"),
];

/// `-l`.
const LONG: Style = &[
    (Column::State, "S"),
    (Column::UserId, "UID"),
    (Column::Pid, "PID"),
    (Column::Parent, "PPID"),
    (Column::Busy, "C"),
    (Column::Priority, "PRI"),
    (Column::Nice, "NI"),
    (Column::Virtual, "VSZ"),
    (Column::Terminal, "TTY"),
    (Column::Time, "TIME"),
    (Column::Name, "CMD"),
];

/// The names of `-o`, and the headers that they have by themselves.
const NAMES: &[(&[&str], Column, &str)] = &[
    (&["pid", "tgid"], Column::Pid, "PID"),
    (&["ppid"], Column::Parent, "PPID"),
    (&["pgid", "pgrp"], Column::ProcessGroup, "PGID"),
    (&["sid", "sess", "session"], Column::Session, "SID"),
    (&["user", "uname", "euser", "ruser"], Column::User, "USER"),
    (&["uid", "euid", "ruid"], Column::UserId, "UID"),
    (&["group", "egroup", "rgroup"], Column::Group, "GROUP"),
    (&["gid", "egid", "rgid"], Column::GroupId, "GID"),
    (&["comm", "ucmd", "ucomm"], Column::Name, "COMMAND"),
    (&["args", "command"], Column::Command, "COMMAND"),
    (&["cmd"], Column::Command, "CMD"),
    (&["c"], Column::Busy, "C"),
    (&["%cpu", "pcpu"], Column::Cpu, "%CPU"),
    (&["%mem", "pmem"], Column::Memory, "%MEM"),
    (&["vsz", "vsize"], Column::Virtual, "VSZ"),
    (&["rss", "rssize", "rsz"], Column::Resident, "RSS"),
    (&["tty", "tt", "tname"], Column::Terminal, "TT"),
    (&["s", "state"], Column::State, "S"),
    (&["stat"], Column::States, "STAT"),
    (&["stime", "start_time", "bsdstart", "start"], Column::Started, "STIME"),
    (&["lstart"], Column::StartedInFull, "STARTED"),
    (&["etime"], Column::Elapsed, "ELAPSED"),
    (&["etimes"], Column::ElapsedSeconds, "ELAPSED"),
    (&["time", "cputime"], Column::Time, "TIME"),
    (&["bsdtime"], Column::ShortTime, "TIME"),
    (&["ni", "nice"], Column::Nice, "NI"),
    (&["pri"], Column::Priority, "PRI"),
    (&["nlwp", "thcount"], Column::Threads, "NLWP"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str], expected: Result<&str, &str>) {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let headers = chosen(&options)
            .map(|columns| columns.into_iter().map(|(_, header)| header).collect::<Vec<_>>().join(" "));
        assert_eq!(headers, expected.map(String::from).map_err(String::from), "{options:?}");
    }

    #[test]
    fn options_choose_columns_as_they_do_for_ps() {
        check(&[], Ok("UID PID PPID C STIME TTY TIME CMD"));
        check(&["-ef"], Ok("UID PID PPID C STIME TTY TIME CMD"));
        check(&["aux"], Ok("USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"));
        check(&["ax"], Ok("PID TTY STAT TIME COMMAND"));
        check(&["-o", "pid,comm"], Ok("PID COMMAND"));
        check(&["-eo", "user=WHO,pid", "-o", "args"], Ok("WHO PID COMMAND"));
        check(&["-opid,%cpu"], Ok("PID %CPU"));
        check(&["--format=pid,etime"], Ok("PID ELAPSED"));
        check(&["-o", "comm"], Err("Couldn't find PID field in ps output"));
        check(&["-o", "pid,nosuch"], Err("ps: error: unknown user-defined format specifier \"nosuch\""));
    }

    #[test]
    fn times_and_terminals_are_written_as_ps_writes_them() {
        for (device, expected) in [(0, "?"), (0x8803, "pts/3"), (0x0401, "tty1"), (0x0440, "ttyS0")] {
            assert_eq!(terminal(device), expected);
        }
        for (seconds, expected) in [(5, "00:05"), (3700, "01:01:40"), (90_061, "1-01:01:01")] {
            assert_eq!(elapsed(seconds), expected);
        }
        let machine =
            Machine { ticks_per_second: 100, uptime: 1000.0, memory: 4 << 20, ..Machine::default() };
        let process = Process {
            pid: 5,
            name: "sh".to_owned(),
            state: 'S',
            session: 5,
            ticks: 370_000,
            started: 10_000,
            resident_memory: 1 << 20,
            ..Process::default()
        };
        let cells = [Column::Time, Column::ShortTime, Column::States, Column::Memory, Column::Command];
        let cells = cells.map(|column| column.of(&process, &machine));
        assert_eq!(cells, ["01:01:40", "61:40", "Ss+", "25.0", "[sh]"]);
    }
}
