//! Where a container's output is kept, as docker's users say it: a driver and its options.

use std::collections::BTreeMap;

use monitor::log::{Destination, Errand, Format, Limits};

use super::{
    log_receiver::{check_syslog, field_name, journald, syslog},
    log_tag::{chosen, tag},
    status::Container,
};
use crate::error::EngineError;

/// A driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct LogConfig {
    /// docker's name for it; empty for the default one.
    pub driver: String,
    pub options: BTreeMap<String, String>,
}

impl LogConfig {
    /// The driver's name.
    pub fn driver(&self) -> &str {
        if self.driver.is_empty() { DEFAULT } else { &self.driver }
    }

    /// Refuses a driver or an option that does not exist.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        let driver = self.driver();
        let wrong = |why: String| EngineError::LogOption { why, hint: None };
        if driver == "none" {
            return Ok(());
        }
        match self.option("mode") {
            None | Some("" | "blocking" | "non-blocking") => {}
            Some(other) => return Err(wrong(format!("logger: logging mode not supported: {other}"))),
        }
        if let Some(size) = self.option("max-buffer-size") {
            if !self.may_lose() {
                let why = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
                return Err(wrong(why.to_owned()));
            }
            size_of(size, 1024)
                .map_err(|why| wrong(format!("error parsing option max-buffer-size: {why}")))?;
        }
        if let Some(text) = self.option("cache-disabled").filter(|text| !text.is_empty()) {
            boolean(text).map_err(|_| wrong(format!("invalid value for option cache-disabled: {text}")))?;
        }
        let Some((_, known)) = DRIVERS.iter().find(|(name, _)| *name == driver) else {
            let names = DRIVERS.map(|(name, _)| name).join(", ");
            return Err(EngineError::LogOption {
                why: format!("logger: no log driver named '{driver}' is registered"),
                hint: Some(format!("there are {names}")),
            });
        };
        let is_known = |option: &str| known.contains(&option) || OF_ALL.contains(&option);
        if let Some(option) = self.options.keys().find(|option| !is_known(option)) {
            let why = match driver {
                "local" => format!("unknown log opt '{option}' for log driver local"),
                _ => format!("unknown log opt '{option}' for {driver} log driver"),
            };
            return Err(EngineError::LogOption {
                why,
                hint: Some(format!("its options are {}", [known, &OF_ALL[..2]].concat().join(", "))),
            });
        }
        match driver {
            "syslog" => check_syslog(&self.options).map_err(wrong),
            _ => Ok(()),
        }
    }

    /// How the files of `container`'s log are kept.
    pub(super) fn files(&self, container: &Container) -> Result<(Format, Limits), EngineError> {
        let default = Limits::default();
        let (format, usual, prefix) = match self.driver() {
            "none" => return Ok((Format::None, default)),
            "json-file" => {
                let attributes = attributes(container)?;
                let attributes = match attributes.is_empty() {
                    true => String::new(),
                    false => serde_json::to_string(&attributes).map_err(std::io::Error::from)?,
                };
                let name = format!("{}-json.log", container.id);
                let limits = Limits { file_bytes: u64::MAX, files: 1, compress: false };
                (Format::Json { name, attributes }, limits, "")
            }
            // What is sent elsewhere is kept as well, to be read here.
            "journald" | "syslog" => {
                match self.option("cache-disabled").is_some_and(|text| boolean(text) == Ok(true)) {
                    true => return Ok((Format::None, default)),
                    false => (Format::Lines, default, "cache-"),
                }
            }
            _ => (Format::Lines, default, ""),
        };
        Ok((format, self.limits(prefix, usual).map_err(EngineError::LogDriver)?))
    }

    /// What is to be done with the output of `container` beside its monitor. Blocks while it looks for whoever is to have
    /// it.
    pub(super) fn errand(&self, container: &Container) -> Result<Option<Errand>, EngineError> {
        let destination = match self.driver() {
            "none" => return Ok(None),
            "journald" => journald(container),
            "syslog" => syslog(container),
            _ if self.may_lose() => Ok(Destination::Files),
            _ => return Ok(None),
        };
        let spare = match self.option("max-buffer-size") {
            _ if !self.may_lose() => None,
            None => Some(SPARE),
            Some(size) => Some(size_of(size, 1024).map_err(EngineError::LogDriver)?),
        };
        Ok(Some(Errand { destination: destination.map_err(EngineError::LogDriver)?, spare }))
    }

    /// Whether what is said may be lost rather than have the container wait.
    fn may_lose(&self) -> bool {
        self.option("mode") == Some("non-blocking")
    }

    fn limits(&self, prefix: &str, usual: Limits) -> Result<Limits, String> {
        let option = |name: &str| self.option(&format!("{prefix}{name}"));
        // docker's two drivers say it differently, and whoever named none may have its other default in mind.
        let is_local = self.driver == "local";
        let wrong = |name: &str, text: &str, why: String| match (is_local, name) {
            (false, _) => why,
            (true, "compress") => format!("invalid boolean value for compress: {why}"),
            (true, name) => format!("invalid value for {name}: {text}: {why}"),
        };
        let file_bytes = match option("max-size") {
            None => usual.file_bytes,
            Some("-1") if !is_local => u64::MAX,
            Some(text) => match size_of(text, 1000).map_err(|why| wrong("max-size", text, why))? {
                0 if !is_local => return Err("max-size must be a positive number".to_owned()),
                0 => u64::MAX,
                size => size,
            },
        };
        let files = match option("max-file") {
            None => usual.files,
            Some(text) => match text.parse::<i64>() {
                Err(_) => {
                    let why = format!("strconv.Atoi: parsing {text:?}: invalid syntax");
                    return Err(wrong("max-file", text, why));
                }
                Ok(..0) if is_local => return Err("max-file must not be negative".to_owned()),
                Ok(..1) if !is_local => return Err("max-file cannot be less than 1".to_owned()),
                Ok(files) => u32::try_from(files).unwrap_or(u32::MAX),
            },
        };
        let several = files > 1 && file_bytes < u64::MAX;
        let wanted = match option("compress") {
            Some(text) => Some(boolean(text).map_err(|why| wrong("compress", text, why))?),
            None => None,
        };
        match wanted {
            _ if is_local && files <= 1 && wanted != Some(false) => {
                Err("compression cannot be enabled when max file count is 1".to_owned())
            }
            Some(true) if !several && !is_local => {
                Err("compress cannot be true when max-file is less than 2 or max-size is not set".to_owned())
            }
            _ => {
                let compress = wanted.unwrap_or(usual.compress) && several;
                Ok(Limits { file_bytes, files: files.max(1), compress })
            }
        }
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// What each entry of a container's log tells of the container: the labels and variables that were chosen for it, and a
/// tag.
pub fn attributes(container: &Container) -> Result<BTreeMap<String, String>, EngineError> {
    let config = &container.config.log;
    let chosen = chosen(container).map_err(EngineError::LogDriver)?;
    if config.driver() == "journald" {
        return Ok(chosen.into_iter().map(|(key, value)| (field_name(&key), value)).collect());
    }
    let mut attributes = chosen;
    // Messages to a syslog server have their tag outside.
    let template = config.option("tag").filter(|template| !template.is_empty());
    if let Some(template) = template.filter(|_| config.driver() != "syslog") {
        attributes.insert("tag".to_owned(), tag(container, template).map_err(EngineError::LogDriver)?);
    }
    Ok(attributes)
}

/// A number of bytes, where `k` is a thousand or 1024 of them.
fn size_of(text: &str, kilo: u32) -> Result<u64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let power = match unit.trim_start().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(invalid()),
    };
    Ok((number * f64::from(kilo).powi(power)) as u64)
}

/// A truth value, as Go's library reads it.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// The driver that is used unless another is asked for.
const DEFAULT: &str = "local";

/// How many bytes are kept for one who is slow to take them, where the rest may be lost.
const SPARE: u64 = 1_000_000;

/// Every driver, and its own options.
const DRIVERS: [(&str, &[&str]); 5] = [
    ("local", &["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"]),
    ("json-file", &["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"]),
    ("journald", &["labels", "labels-regex", "env", "env-regex", "tag"]),
    (
        "syslog",
        &[
            "syslog-address",
            "syslog-facility",
            "syslog-format",
            "syslog-tls-ca-cert",
            "syslog-tls-cert",
            "syslog-tls-key",
            "syslog-tls-skip-verify",
            "labels",
            "labels-regex",
            "env",
            "env-regex",
            "tag",
        ],
    ),
    ("none", &[]),
];

/// What every driver has; those of the cache have an effect only where there is one.
const OF_ALL: [&str; 6] =
    ["mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

#[cfg(test)]
mod tests {
    use super::*;

    fn config(driver: &str, options: &[(&str, &str)]) -> LogConfig {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        LogConfig { driver: driver.to_owned(), options: options.collect() }
    }

    fn check_refused(driver: &str, options: &[(&str, &str)], expected: &str) {
        let refused = config(driver, options).check().expect_err("refused");
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn drivers_and_options_that_do_not_exist_are_refused() {
        check_refused("paper", &[], "logger: no log driver named 'paper' is registered");
        check_refused("json-file", &[("size", "1")], "unknown log opt 'size' for json-file log driver");
        check_refused("local", &[("mode", "lazy")], "logger: logging mode not supported: lazy");
        check_refused(
            "local",
            &[("max-buffer-size", "1m")],
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        );
        check_refused("local", &[("colour", "red")], "unknown log opt 'colour' for log driver local");
        check_refused(
            "journald",
            &[("max-size", "1m")],
            "unknown log opt 'max-size' for journald log driver",
        );
        check_refused(
            "syslog",
            &[("cache-disabled", "perhaps")],
            "invalid value for option cache-disabled: perhaps",
        );
        check_refused("syslog", &[("syslog-facility", "x")], "invalid syslog facility");
        check_refused("syslog", &[("syslog-format", "x")], "invalid syslog format");
        check_refused(
            "local",
            &[("mode", "non-blocking"), ("max-buffer-size", "lots")],
            "error parsing option max-buffer-size: invalid size: 'lots'",
        );
        assert!(config("", &[("max-size", "1m"), ("mode", "non-blocking")]).check().is_ok());
    }

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        let usual = Limits { file_bytes: u64::MAX, files: 1, compress: false };
        let check_driver = |driver: &str, options: &[(&str, &str)], expected: Result<Limits, &str>| {
            assert_eq!(
                config(driver, options).limits("", usual),
                expected.map_err(str::to_owned),
                "{options:?}"
            );
        };
        let check = |options: &[(&str, &str)], expected: Result<Limits, &str>| {
            check_driver("json-file", options, expected);
        };
        let check_local = |options: &[(&str, &str)], expected: &str| {
            check_driver("local", options, Err(expected));
        };
        check(&[], Ok(usual));
        check(
            &[("max-size", "1.5m"), ("max-file", "3"), ("compress", "true")],
            Ok(Limits { file_bytes: 1_500_000, files: 3, compress: true }),
        );
        check(&[("max-size", "0")], Err("max-size must be a positive number"));
        check(&[("max-size", "ten")], Err("invalid size: 'ten'"));
        check(&[("max-file", "0")], Err("max-file cannot be less than 1"));
        check(&[("max-file", "x")], Err("strconv.Atoi: parsing \"x\": invalid syntax"));
        check(
            &[("compress", "true")],
            Err("compress cannot be true when max-file is less than 2 or max-size is not set"),
        );
        check_local(&[("max-size", "ten")], "invalid value for max-size: ten: invalid size: 'ten'");
        check_local(&[("max-file", "-1")], "max-file must not be negative");
        check_local(&[("max-file", "1")], "compression cannot be enabled when max file count is 1");
        let plain = Limits { file_bytes: 1000, files: 1, compress: false };
        check_driver("local", &[("max-size", "1k"), ("max-file", "1"), ("compress", "false")], Ok(plain));
    }
}
