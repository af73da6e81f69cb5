//! Reading and changing an image's configuration as instructions do.

use image::config::{Configuration, Execution};
use types::Platform;

/// What `FROM scratch` stands for.
pub fn scratch(platform: &Platform) -> Configuration {
    Configuration {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        config: Execution { working_dir: "/".to_owned(), ..Execution::default() },
        ..Configuration::default()
    }
}

/// The value of an environment variable.
pub fn variable<'a>(config: &'a Execution, name: &str) -> Option<&'a str> {
    config
        .env
        .iter()
        .find_map(|entry| entry.split_once('=').filter(|(n, _)| *n == name))
        .map(|(_, value)| value)
}

/// Sets an environment variable, in its old place if it was set before.
pub fn set_variable(config: &mut Execution, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match config.env.iter_mut().find(|e| e.split_once('=').is_some_and(|(n, _)| n == name)) {
        Some(old) => *old = entry,
        None => config.env.push(entry),
    }
}

/// The words before a command in shell form.
pub fn shell(config: &Execution) -> Vec<String> {
    config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_again_keeps_its_place() {
        let mut config = Execution::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
            set_variable(&mut config, name, value);
        }
        assert_eq!(config.env, ["A=3", "B=2"]);
        assert_eq!(variable(&config, "B"), Some("2"));
        assert_eq!(variable(&config, "C"), None);
    }
}
