//! Where a container's output is kept, as docker's users say it: a driver and its options.

use std::collections::BTreeMap;

use monitor::log::{Format, Limits};

use super::status::Container;
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
        let Some((_, known)) = DRIVERS.iter().find(|(name, _)| *name == driver) else {
            return Err(EngineError::Invalid(format!(
                "logger: no log driver named '{driver}' is registered"
            )));
        };
        if driver == "none" {
            return Ok(());
        }
        match self.option("mode") {
            None | Some("" | "blocking" | "non-blocking") => {}
            Some(other) => {
                return Err(EngineError::Invalid(format!("logger: logging mode not supported: {other}")));
            }
        }
        if let Some(size) = self.option("max-buffer-size") {
            if self.option("mode") != Some("non-blocking") {
                return Err(EngineError::Invalid(
                    "logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned(),
                ));
            }
            size_of(size).map_err(|why| {
                EngineError::Invalid(format!("error parsing option max-buffer-size: {why}"))
            })?;
        }
        let unknown = self.options.keys().find(|option| {
            !known.contains(&option.as_str()) && !["mode", "max-buffer-size"].contains(&option.as_str())
        });
        match unknown {
            Some(option) => {
                Err(EngineError::Invalid(format!("unknown log opt '{option}' for {driver} log driver")))
            }
            None => Ok(()),
        }
    }

    /// How the monitor of `container` is to keep its log.
    pub(super) fn settings(&self, container: &Container) -> Result<(Format, Limits), EngineError> {
        let default = Limits::default();
        let (format, usual) = match self.driver() {
            "none" => return Ok((Format::None, default)),
            "json-file" => {
                let attributes = attributes(container);
                let attributes = match attributes.is_empty() {
                    true => String::new(),
                    false => serde_json::to_string(&attributes).map_err(std::io::Error::from)?,
                };
                let name = format!("{}-json.log", container.id);
                (
                    Format::Json { name, attributes },
                    Limits { file_bytes: u64::MAX, files: 1, compress: false },
                )
            }
            _ => (Format::Lines, default),
        };
        let limits = self.limits(usual).map_err(|why| {
            EngineError::Invalid(format!(
                "failed to create task for container: failed to initialize logging driver: {why}"
            ))
        })?;
        Ok((format, limits))
    }

    fn limits(&self, usual: Limits) -> Result<Limits, String> {
        let file_bytes = match self.option("max-size") {
            None => usual.file_bytes,
            Some("-1") => u64::MAX,
            Some(text) => match size_of(text)? {
                0 => return Err("max-size must be a positive number".to_owned()),
                size => size,
            },
        };
        let files = match self.option("max-file") {
            None => usual.files,
            Some(text) => match text.parse::<i64>() {
                Err(_) => return Err(format!("strconv.Atoi: parsing {text:?}: invalid syntax")),
                Ok(..1) => return Err("max-file cannot be less than 1".to_owned()),
                Ok(files) => u32::try_from(files).unwrap_or(u32::MAX),
            },
        };
        let several = files > 1 && file_bytes < u64::MAX;
        let compress = match self.option("compress") {
            None => usual.compress && several,
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") if !several => {
                return Err(
                    "compress cannot be true when max-file is less than 2 or max-size is not set".to_owned()
                );
            }
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => true,
            Some("0" | "f" | "F" | "FALSE" | "false" | "False") => false,
            Some(text) => return Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
        };
        Ok(Limits { file_bytes, files, compress })
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// What each entry of a container's log tells of the container: the labels and variables that were chosen for it, and a
/// tag.
pub fn attributes(container: &Container) -> BTreeMap<String, String> {
    let config = &container.config;
    let options = &config.log.options;
    let names = |option: &str| -> Vec<String> {
        let names = options.get(option).into_iter().flat_map(|names| names.split(','));
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let mut attributes = BTreeMap::new();
    let labels = names("labels");
    for (key, value) in config.labels.iter().filter(|(key, _)| labels.contains(key)) {
        attributes.insert(key.clone(), value.clone());
    }
    let variables = names("env");
    for (name, value) in config.env.iter().filter_map(|entry| entry.split_once('=')) {
        if variables.iter().any(|wanted| wanted == name) {
            attributes.insert(name.to_owned(), value.to_owned());
        }
    }
    if let Some(template) = options.get("tag").filter(|template| !template.is_empty()) {
        attributes.insert("tag".to_owned(), tag(container, template));
    }
    attributes
}

/// What a template for tags comes to.
fn tag(container: &Container, template: &str) -> String {
    let image = container.config.image_id.to_string();
    let short_image = image.rsplit(':').next().unwrap_or_default().chars().take(12).collect();
    let fields = [
        ("ID", container.id.short()),
        ("FullID", container.id.to_string()),
        ("Name", container.name.to_string()),
        ("ImageID", short_image),
        ("ImageFullID", image),
        ("ImageName", container.config.image.clone()),
        ("DaemonName", "sampan".to_owned()),
    ];
    let mut text = template.to_owned();
    for (name, value) in fields {
        text = text.replace(&format!("{{{{.{name}}}}}"), &value);
    }
    text
}

/// A number of bytes as docker reads those of logs: `k` is a thousand.
fn size_of(text: &str) -> Result<u64, String> {
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
    Ok((number * 1000_f64.powi(power)) as u64)
}

/// The driver that is used unless another is asked for.
const DEFAULT: &str = "local";

/// Every driver, and its own options.
const DRIVERS: [(&str, &[&str]); 3] = [
    ("local", &["max-size", "max-file", "compress", "labels", "env", "tag"]),
    ("json-file", &["max-size", "max-file", "compress", "labels", "env", "tag"]),
    ("none", &[]),
];

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
        let check = |options: &[(&str, &str)], expected: Result<Limits, &str>| {
            assert_eq!(
                config("json-file", options).limits(usual),
                expected.map_err(str::to_owned),
                "{options:?}"
            );
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
    }
}
