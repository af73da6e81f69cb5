//! Which rules are looked at, and whether breaking one is an error: `# check=skip=A,B;error=true`.

use super::rule::Rule;

/// What `# check=` or the build argument `BUILDKIT_DOCKERFILE_CHECK` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    skip: Selection,
    experimental: Selection,
    /// A broken rule fails the build.
    pub error: bool,
}

/// Some rules, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Selection {
    All,
    Named(Vec<String>),
}

/// Text that is no options, in BuildKit's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    #[error("invalid check option {0:?}")]
    Unknown(String),
    #[error("failed to parse check option {option:?}: strconv.ParseBool: parsing {value:?}: invalid syntax")]
    Boolean { option: String, value: String },
}

impl Options {
    pub fn parse(text: &str) -> Result<Options, InvalidOptions> {
        let mut options = Options::default();
        if text.trim().is_empty() {
            return Ok(options);
        }
        for option in text.trim().splitn(MOST, ';') {
            let Some((name, value)) = option.split_once('=') else {
                return Err(InvalidOptions::Unknown(option.to_owned()));
            };
            let value = value.trim();
            match name.trim() {
                "skip" => options.skip = Selection::parse(value),
                "experimental" => options.experimental = Selection::parse(value),
                "error" => match value {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => options.error = true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => options.error = false,
                    _ => {
                        let (option, value) = (option.to_owned(), value.to_owned());
                        return Err(InvalidOptions::Boolean { option, value });
                    }
                },
                unknown => return Err(InvalidOptions::Unknown(unknown.to_owned())),
            }
        }
        Ok(options)
    }

    /// Whether `rule` is to be looked at. One that is experimental cannot be skipped, only left out.
    pub fn want(&self, rule: &Rule) -> bool {
        match rule.experimental {
            true => self.experimental.has(rule.name),
            false => !self.skip.has(rule.name),
        }
    }
}

impl Selection {
    fn parse(value: &str) -> Selection {
        match value {
            "all" => Selection::All,
            names => Selection::Named(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Selection::All => true,
            Selection::Named(names) => names.iter().any(|selected| selected == name),
        }
    }
}

impl Default for Selection {
    fn default() -> Selection {
        Selection::Named(Vec::new())
    }
}

/// How many options there may be; a further `;` belongs to the value of the last.
const MOST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::rule;

    #[test]
    fn rules_are_skipped_by_name_and_experimental_ones_asked_for() {
        let check = |text: &str, legacy: bool, ignored: bool, error: bool| {
            let options = Options::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let wants = |rule| options.want(rule);
            assert_eq!(wants(&rule::LEGACY_KEY_VALUE_FORMAT), legacy, "{text}");
            assert_eq!(wants(&rule::COPY_IGNORED_FILE), ignored, "{text}");
            assert_eq!(options.error, error, "{text}");
        };
        check("", true, false, false);
        check("skip=all", false, false, false);
        check("skip=A, LegacyKeyValueFormat ;error=1", false, false, true);
        check("skip=all;experimental=CopyIgnoredFile;error=false", false, true, false);
        check("experimental=all", true, true, false);
    }

    #[test]
    fn what_is_no_option_is_refused_in_buildkits_words() {
        let refused = |text: &str| Options::parse(text).expect_err("wrong").to_string();
        assert_eq!(refused("foo"), "invalid check option \"foo\"");
        assert_eq!(refused("foo=bar"), "invalid check option \"foo\"");
        assert_eq!(refused("skip=A;"), "invalid check option \"\"");
        assert_eq!(
            refused("error=yes"),
            "failed to parse check option \"error=yes\": strconv.ParseBool: parsing \"yes\": invalid syntax"
        );
    }
}
