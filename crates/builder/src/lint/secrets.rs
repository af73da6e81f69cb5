//! Secrets in arguments and variables stay in the image: SecretsUsedInArgOrEnv.

use super::{Findings, Visit, describing::argument_names, rule::SECRETS_USED_IN_ARG_OR_ENV};
use crate::parse::words;

pub fn check(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    let statement = visit.statement;
    let name = statement.name();
    let defined = match name.as_str() {
        "ARG" => argument_names(statement, visit.escape),
        "ENV" => {
            let pairs = words::pairs(&statement.arguments, "ENV", visit.escape).unwrap_or_default();
            pairs.iter().map(|(name, _)| visit.expand(name)).collect()
        }
        _ => return,
    };
    for key in defined.iter().filter(|key| is_secret(key)) {
        let message = format!("Do not use ARG or ENV instructions for sensitive data ({name} {key:?})");
        visit.add(&SECRETS_USED_IN_ARG_OR_ENV, message, findings);
    }
}

/// Whether one of the words of `name` between underscores, or at either end, speaks of a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let has_one_of = |words: &[&str]| name.split('_').any(|word| words.contains(&word));
    has_one_of(&SECRET) && !has_one_of(&HARMLESS)
}

const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

const HARMLESS: [&str; 1] = ["public"];

#[cfg(test)]
mod tests {
    use crate::lint::testing::check;

    #[test]
    fn a_name_tells_that_the_value_is_secret() {
        let found = |what: &str, line: usize| {
            format!(
                "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data ({what}) (line {line})"
            )
        };
        check(
            "FROM scratch\nARG SECRET_PASSPHRASE auth=1\nENV git_key= PUBLIC_KEY=1 monkey=2 x_Token_y=3\nENV password p",
            &[
                found("ARG \"SECRET_PASSPHRASE\"", 2).as_str(),
                found("ARG \"auth\"", 2).as_str(),
                found("ENV \"git_key\"", 3).as_str(),
                found("ENV \"x_Token_y\"", 3).as_str(),
                "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format \
                 (line 4)",
                found("ENV \"password\"", 4).as_str(),
            ],
        );
        check("ARG secret=1\nFROM scratch", &[]);
    }
}
