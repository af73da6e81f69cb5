//! Values as people read them: sizes, durations, times, ids, commands, ports.
//!
//! Scripts parse what docker prints, so thresholds, digits and grouping are docker's, oddities included.

use std::{fmt::Write, net::IpAddr, time::Duration};

use types::Port;

/// A size in steps of 1000 with as many significant `digits`; listings show three: `4.26MB`.
pub fn size(bytes: u64, digits: usize) -> String {
    scaled(bytes, 1000.0, digits, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A size in steps of 1024 with four digits, as memory is shown: `1.944GiB`.
pub fn memory(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

fn scaled(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= base && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    significant(number, digits) + units[unit]
}

/// C's `%.*g` for numbers of at least one, and zero. Rounding up to one digit more than asked switches to
/// an exponent (`1e+03kB` for 999.9 kB), there as here.
fn significant(number: f64, digits: usize) -> String {
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("the e format has an exponent");
    let exponent: usize = exponent.parse().expect("the number is zero or at least one");
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < digits {
        trim(&format!("{number:.*}", digits - 1 - exponent))
    } else {
        format!("{}e+{exponent:02}", trim(mantissa))
    }
}

/// How long something took or takes, in one unit: `About a minute`, `5 hours`, `3 weeks`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (duration.as_secs_f64() / 3600.0 + 0.5) as u64;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, ..48) => format!("{hours} hours"),
        (_, _, ..336) => format!("{} days", hours / 24),
        (_, _, ..1440) => format!("{} weeks", hours / (24 * 7)),
        (_, _, ..17520) => format!("{} months", hours / (24 * 30)),
        _ => format!("{} years", seconds / (3600 * 24 * 365)),
    }
}

/// How long ago something happened: `2 weeks ago`.
pub fn ago(elapsed: Duration) -> String {
    duration(elapsed) + " ago"
}

/// How long ago `at` was, seen from `now`: `2 weeks ago`. What a clock set back puts into the future is of now.
pub fn since(at: jiff::Timestamp, now: jiff::Timestamp) -> String {
    ago(Duration::try_from(now.duration_since(at)).unwrap_or_default())
}

/// An instant in the local time zone, as the `CREATED AT` columns show it: `2026-11-23 19:29:27 +0000 UTC`.
pub fn local_time(at: jiff::Timestamp) -> String {
    at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// The first 12 digits of an id or digest, without the algorithm's name.
pub fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// `text` cut to a display width of `width`, with `…` as the last column where something was cut.
pub fn ellipsis(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let mut cut: String = text
        .chars()
        .take_while(|c| {
            used += char_width(*c);
            used < width
        })
        .collect();
    cut.push('…');
    cut
}

/// How many columns of a terminal docker counts for `text`: two for wide characters, else one.
pub fn display_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    use unicode_width::UnicodeWidthChar;
    if c.width() == Some(2) { 2 } else { 1 }
}

/// A container's command in quotes, cut to 20 columns unless `full`: `"sh -c 'while true; …"`.
pub fn command(line: &str, full: bool) -> String {
    if full { quote(line) } else { quote(&ellipsis(line, 20)) }
}

/// What strangers have written, with that made visible which a terminal would obey. Its lines stay lines.
pub fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() && c != '\n' { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Go's quoting of a string, which differs from Rust's for control characters and apostrophes.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => {
                write!(quoted, "\\x{:02x}", c as u32).expect("a String takes everything")
            }
            c if c.is_control() || (c.is_whitespace() && c != ' ') => {
                write!(quoted, "\\u{:04x}", c as u32).expect("a String takes everything")
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A port of a container and, if it is published, where.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortMapping {
    pub container: Port,
    pub host: Option<(IpAddr, u16)>,
}

/// The PORTS column: `0.0.0.0:4000->80/tcp, 9000-9001/tcp`.
///
/// Neighbouring ports that are not published, or published under their own number, join to a range.
/// A range appears when the next one of its kind begins, the last ranges follow in the order their kind
/// was first seen, and ports published under another number come last.
pub fn ports(mappings: &[PortMapping]) -> String {
    struct Range {
        host: Option<IpAddr>,
        first: Port,
        last: u16,
    }
    impl Range {
        fn show(&self) -> String {
            let Port { number, protocol } = self.first;
            let numbers =
                if number == self.last { number.to_string() } else { format!("{number}-{}", self.last) };
            match self.host {
                Some(ip) => format!("{}->{numbers}/{protocol}", join_host_port(ip, &numbers)),
                None => format!("{numbers}/{protocol}"),
            }
        }
    }

    let mut sorted = mappings.to_vec();
    sorted.sort_by_key(|m| (m.container.number, m.host, m.container.protocol));
    let mut shown = Vec::new();
    let mut elsewhere = Vec::new();
    let mut open: Vec<Range> = Vec::new();
    for PortMapping { container, host } in sorted {
        if let Some((ip, number)) = host
            && number != container.number
        {
            elsewhere.push(format!("{}->{container}", join_host_port(ip, &number.to_string())));
            continue;
        }
        let next = Range { host: host.map(|(ip, _)| ip), first: container, last: container.number };
        match open.iter_mut().find(|r| r.host == next.host && r.first.protocol == container.protocol) {
            Some(range) if range.last.checked_add(1) == Some(next.last) => range.last = next.last,
            Some(range) => shown.push(std::mem::replace(range, next).show()),
            None => open.push(next),
        }
    }
    shown.extend(open.iter().map(Range::show));
    shown.extend(elsewhere);
    shown.join(", ")
}

fn join_host_port(ip: IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_speak_to_the_terminal() {
        assert_eq!(visible("\u{1b}[2Jé\n\u{9b}\t"), "\\u{1b}[2Jé\n\\u{9b}\\t");
    }

    #[test]
    fn sizes_count_in_steps_of_1000() {
        for (bytes, expected) in [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (2050, "2.05kB"),
            (2_154_321, "2.154MB"),
            (117_000_000, "117MB"),
            (1_200_000_000, "1.2GB"),
            (999_949, "999.9kB"),
            (999_999, "1000kB"),
            (u64::MAX, "18.45EB"),
        ] {
            assert_eq!(size(bytes, 4), expected, "{bytes}");
        }
    }

    #[test]
    fn listings_show_three_digits() {
        for (bytes, expected) in [
            (4_261_550, "4.26MB"),
            (1_170_000_123, "1.17GB"),
            (0, "0B"),
            (999_400, "999kB"),
            (999_949, "1e+03kB"),
            (999_999, "1e+03kB"),
            (77_800_000, "77.8MB"),
        ] {
            assert_eq!(size(bytes, 3), expected, "{bytes}");
        }
    }

    #[test]
    fn memory_counts_in_steps_of_1024() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (2_087_321_600, "1.944GiB"),
            (6 << 20, "6MiB"),
            (1 << 40, "1TiB"),
        ] {
            assert_eq!(memory(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn a_duration_changes_its_unit_where_docker_does() {
        const MINUTE: f64 = 60.0;
        const HOUR: f64 = 3600.0;
        const DAY: f64 = 24.0 * HOUR;
        for (seconds, expected) in [
            (0.0, "Less than a second"),
            (0.999, "Less than a second"),
            (1.0, "1 second"),
            (1.999, "1 second"),
            (2.0, "2 seconds"),
            (59.999, "59 seconds"),
            (MINUTE, "About a minute"),
            (2.0 * MINUTE - 0.001, "About a minute"),
            (2.0 * MINUTE, "2 minutes"),
            (HOUR - 0.001, "59 minutes"),
            (HOUR, "About an hour"),
            (1.5 * HOUR - 0.001, "About an hour"),
            (1.5 * HOUR, "2 hours"),
            (47.5 * HOUR - 0.001, "47 hours"),
            (47.5 * HOUR, "2 days"),
            (14.0 * DAY - 0.5 * HOUR - 0.001, "13 days"),
            (14.0 * DAY - 0.5 * HOUR, "2 weeks"),
            (60.0 * DAY - 0.5 * HOUR - 0.001, "8 weeks"),
            (60.0 * DAY - 0.5 * HOUR, "2 months"),
            (730.0 * DAY - 0.5 * HOUR - 0.001, "24 months"),
            (730.0 * DAY - 0.5 * HOUR, "1 years"),
            (730.0 * DAY, "2 years"),
            (10.0 * 365.0 * DAY, "10 years"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), expected, "{seconds} s");
        }
        assert_eq!(ago(Duration::from_secs(300)), "5 minutes ago");
    }

    #[test]
    fn an_id_is_short_with_or_without_its_algorithm() {
        assert_eq!(short_id(&format!("sha256:{}", "ab12".repeat(16))), "ab12ab12ab12");
        assert_eq!(short_id(&"0f".repeat(32)), "0f0f0f0f0f0f");
        assert_eq!(short_id("short"), "short");
    }

    #[test]
    fn a_command_is_quoted_and_cut_to_twenty_columns() {
        for (line, expected) in [
            ("python app.py", r#""python app.py""#),
            ("", r#""""#),
            ("sh -c 'while true; do sleep 1; done'", r#""sh -c 'while true; …""#),
            ("echo \"hi\tthere\"", r#""echo \"hi\tthere\"""#),
            ("ünïcödé command which is long", r#""ünïcödé command whi…""#),
            ("exactly twenty chars", r#""exactly twenty chars""#),
            ("日本日本日本日本日本日本", r#""日本日本日本日本日…""#),
            ("a\\b\u{1b}\u{85}", r#""a\\b\x1b\u0085""#),
        ] {
            assert_eq!(command(line, false), expected, "{line}");
        }
        assert_eq!(command("sh -c 'while true; do sleep 1'", true), r#""sh -c 'while true; do sleep 1'""#);
    }

    fn check_ports(mappings: &[(Option<&str>, &str)], expected: &str) {
        let mappings: Vec<_> = mappings
            .iter()
            .map(|(host, container)| PortMapping {
                container: container.parse().unwrap(),
                host: host.map(|h| {
                    let address: std::net::SocketAddr = h.parse().unwrap();
                    (address.ip(), address.port())
                }),
            })
            .collect();
        assert_eq!(ports(&mappings), expected);
    }

    #[test]
    fn ports_published_elsewhere_show_both_numbers() {
        check_ports(&[], "");
        check_ports(
            &[(Some("[::]:4000"), "80/tcp"), (Some("0.0.0.0:4000"), "80/tcp")],
            "0.0.0.0:4000->80/tcp, [::]:4000->80/tcp",
        );
    }

    #[test]
    fn neighbouring_ports_join_in_dockers_order() {
        check_ports(
            &[
                (Some("0.0.0.0:8000"), "8000/tcp"),
                (Some("0.0.0.0:8001"), "8001/tcp"),
                (Some("0.0.0.0:8002"), "8002/tcp"),
                (None, "9000/tcp"),
                (None, "9001/tcp"),
                (None, "9003/tcp"),
                (None, "53/udp"),
                (Some("127.0.0.1:8443"), "443/tcp"),
                (Some("[::1]:81"), "81/tcp"),
            ],
            "9000-9001/tcp, 53/udp, [::1]:81->81/tcp, 0.0.0.0:8000-8002->8000-8002/tcp, 9003/tcp, \
             127.0.0.1:8443->443/tcp",
        );
    }
}
