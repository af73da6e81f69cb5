//! Where a container's output goes besides the files here: systemd's journal, or a syslog server.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf};

use monitor::log::{Address, Destination, Journald, Syslog, Words, journald_is_there};

use super::{
    log_tag::{chosen, tag},
    status::Container,
};
use crate::error::plain;

/// The journal, with what docker tells of a container in each entry.
pub(super) fn journald(container: &Container) -> Result<Destination, String> {
    if !journald_is_there() {
        return Err("journald is not enabled on this host".to_owned());
    }
    let tag = tag(container, template(&container.config.log.options))?;
    let mut fields = vec![
        ("CONTAINER_ID".to_owned(), container.id.short()),
        ("CONTAINER_ID_FULL".to_owned(), container.id.to_string()),
        ("CONTAINER_NAME".to_owned(), container.name.to_string()),
        ("CONTAINER_TAG".to_owned(), tag.clone()),
        ("IMAGE_NAME".to_owned(), container.config.image.clone()),
        ("SYSLOG_IDENTIFIER".to_owned(), tag),
    ];
    for (key, value) in chosen(container)? {
        let name = field_name(&key);
        fields.retain(|(other, _)| *other != name);
        fields.push((name, value));
    }
    fields.retain(|(name, _)| !name.is_empty());
    Ok(Destination::Journald(Journald { fields }))
}

/// What the journal calls a field that is called `key` elsewhere.
pub(super) fn field_name(key: &str) -> String {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    name.trim_start_matches('_').to_owned()
}

/// A syslog server that is there, as far as that can be known.
pub(super) fn syslog(container: &Container) -> Result<Destination, String> {
    let options = &container.config.log.options;
    let tag = tag(container, template(options))?;
    let place = place(options)?;
    let address = place.address()?;
    address.check().map_err(|error| match &address {
        Address::Usual => error.to_string(),
        _ => format!("dial {}: connect: {}", place.shown(&address), plain(&error)),
    })?;
    Ok(Destination::Syslog(Syslog { address, words: words(options)?, facility: facility(options)?, tag }))
}

/// Whether the options that only a syslog server has are right.
pub(super) fn check_syslog(options: &BTreeMap<String, String>) -> Result<(), String> {
    place(options)?;
    facility(options)?;
    words(options).map(drop)
}

fn template(options: &BTreeMap<String, String>) -> &str {
    options.get("tag").filter(|template| !template.is_empty()).map_or("{{.ID}}", String::as_str)
}

/// Where a server is, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Usual,
    Socket { kind: &'static str, path: PathBuf },
    Port { kind: &'static str, host: String, port: u16 },
}

impl Place {
    /// The same for one who knows no names.
    fn address(&self) -> Result<Address, String> {
        match self {
            Place::Usual => Ok(Address::Usual),
            Place::Socket { kind: "unix", path } => Ok(Address::Stream(path.clone())),
            Place::Socket { path, .. } => Ok(Address::Datagrams(path.clone())),
            Place::Port { kind, host, port } => {
                let name = if host.is_empty() { "localhost" } else { host };
                let found = distribution::look_up(name)
                    .map_err(|_| format!("dial {kind}: lookup {host}: no such host"))?;
                let found = found.into_iter().map(|address| SocketAddr::new(address, *port)).collect();
                Ok(if *kind == "udp" { Address::Udp(found) } else { Address::Tcp(found) })
            }
        }
    }

    /// What Go says that it connects to.
    fn shown(&self, address: &Address) -> String {
        match (self, address) {
            (Place::Socket { kind, path }, _) => format!("{kind} {}", path.display()),
            (Place::Port { kind, .. }, Address::Udp(found) | Address::Tcp(found)) => {
                found.first().map_or_else(|| (*kind).to_owned(), |address| format!("{kind} {address}"))
            }
            _ => String::new(),
        }
    }
}

fn place(options: &BTreeMap<String, String>) -> Result<Place, String> {
    let Some(text) = options.get("syslog-address").filter(|text| !text.is_empty()) else {
        return Ok(Place::Usual);
    };
    let (scheme, rest) = split_scheme(text)?;
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("", if rest.starts_with('/') { rest } else { "" }),
    };
    match scheme.as_str() {
        "unix" | "unixgram" => {
            fs::metadata(path).map_err(|error| format!("stat {path}: {}", plain(&error)))?;
            let kind = if scheme == "unix" { "unix" } else { "unixgram" };
            Ok(Place::Socket { kind, path: path.into() })
        }
        "udp" | "tcp" => {
            let (host, port) = host_and_port(text, authority)?;
            Ok(Place::Port { kind: if scheme == "udp" { "udp" } else { "tcp" }, host, port })
        }
        "tcp+tls" => Err("syslog over TLS is not supported: use tcp, udp, unix or unixgram".to_owned()),
        _ => Err(format!("unsupported scheme: '{scheme}'")),
    }
}

/// The scheme of a URL, as Go's library reads it, and what comes after it.
fn split_scheme(url: &str) -> Result<(String, &str), String> {
    let wrong = |why: &str| Err(format!("parse {url:?}: {why}"));
    let end = url.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(url.len());
    if url[end..].starts_with(':') {
        if end == 0 {
            return wrong("missing protocol scheme");
        }
        if url.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok((url[..end].to_ascii_lowercase(), &url[end + 1..]));
        }
    }
    match url.split('/').next() {
        Some(first) if first.contains(':') => wrong("first path segment in URL cannot contain colon"),
        _ => Ok((String::new(), url)),
    }
}

/// The host and port in a URL's `authority`.
fn host_and_port(url: &str, authority: &str) -> Result<(String, u16), String> {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match authority.split_once(':') {
            None => (authority, None),
            Some((_, port)) if port.contains(':') => {
                return Err(format!("address {authority}: too many colons in address"));
            }
            Some((host, port)) => (host, Some(port)),
        },
    };
    match port {
        None => Ok((host.to_owned(), PORT)),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
            Ok(port) => Ok((host.to_owned(), port)),
            Err(_) if text.is_empty() => Ok((host.to_owned(), 0)),
            Err(_) => Err(format!("dial: address {text}: invalid port")),
        },
        Some(text) => Err(format!("parse {url:?}: invalid port {:?} after host", format!(":{text}"))),
    }
}

fn facility(options: &BTreeMap<String, String>) -> Result<u8, String> {
    let text = options.get("syslog-facility").map_or("", String::as_str);
    if text.is_empty() {
        return Ok(DAEMON);
    }
    let number = FACILITIES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    number
        .or_else(|| text.parse().ok().filter(|number| *number < 24))
        .ok_or_else(|| "invalid syslog facility".to_owned())
}

fn words(options: &BTreeMap<String, String>) -> Result<Words, String> {
    match options.get("syslog-format").map_or("", String::as_str) {
        "" => Ok(Words::Local),
        "rfc3164" => Ok(Words::Rfc3164),
        "rfc5424" => Ok(Words::Rfc5424),
        "rfc5424micro" => Ok(Words::Rfc5424Micro),
        _ => Err("invalid syslog format".to_owned()),
    }
}

/// Where syslog servers listen.
const PORT: u16 = 514;
const DAEMON: u8 = 3;
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", DAEMON),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        let check = |text: &str, expected: Result<(&str, u16), &str>| {
            let found = place(&options("syslog-address", text)).map(|place| match place {
                Place::Port { host, port, .. } => (host, port),
                other => panic!("{other:?}"),
            });
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        };
        check("tcp://1.2.3.4", Ok(("1.2.3.4", 514)));
        check("UDP://log.example:1514", Ok(("log.example", 1514)));
        check("udp://[::1]:9", Ok(("::1", 9)));
        check("udp://::1:9", Err("address ::1:9: too many colons in address"));
        check("http://1.2.3.4", Err("unsupported scheme: 'http'"));
        check("corrupted:42", Err("unsupported scheme: 'corrupted'"));
        check("this is not an uri", Err("unsupported scheme: ''"));
        check(":514", Err("parse \":514\": missing protocol scheme"));
        let colon = "first path segment in URL cannot contain colon";
        check("127.0.0.1:514", Err(&format!("parse \"127.0.0.1:514\": {colon}")));
        check("udp://host:x", Err("parse \"udp://host:x\": invalid port \":x\" after host"));
        check("unix:///does/not/exist", Err("stat /does/not/exist: no such file or directory"));
        assert_eq!(place(&BTreeMap::new()), Ok(Place::Usual));
    }

    #[test]
    fn facilities_have_names_and_numbers() {
        let check = |text: &str| facility(&options("syslog-facility", text));
        assert_eq!([check(""), check("local7"), check("0"), check("23")], [Ok(3), Ok(23), Ok(0), Ok(23)]);
        for wrong in ["24", "-1", "Daemon"] {
            assert_eq!(check(wrong), Err("invalid syslog facility".to_owned()));
        }
    }

    #[test]
    fn names_of_fields_are_what_the_journal_takes() {
        assert_eq!(field_name("com.example.a-b"), "COM_EXAMPLE_A_B");
        assert_eq!(field_name("__LOW9"), "LOW9");
    }
}
