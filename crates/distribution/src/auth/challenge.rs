//! What a registry wants to be shown: the `WWW-Authenticate` header (RFC 9110, section 11.6.1).

/// One way to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password, with every request.
    Basic,
    /// A token from the server at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The challenge to answer: a token if there is a choice, as it shows the password to fewer.
    pub fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
        let challenges: Vec<_> = headers.flat_map(parse).collect();
        let bearer = challenges.iter().position(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        challenges.into_iter().nth(bearer.unwrap_or(0))
    }

    /// Whether the same answers go for both.
    pub fn asks_like(&self, other: &Challenge) -> bool {
        match (self, other) {
            (Challenge::Basic, Challenge::Basic) => true,
            (
                Challenge::Bearer { realm, service, .. },
                Challenge::Bearer { realm: other_realm, service: other_service, .. },
            ) => (realm, service) == (other_realm, other_service),
            _ => false,
        }
    }
}

/// The challenges of one header that we know how to answer.
fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    let mut rest = header.trim_start_matches(SEPARATORS);
    while !rest.is_empty() {
        let end = rest.find(|c: char| SEPARATORS.contains(&c) || c == '=').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // A word with a value is a parameter of the scheme before; a word without one is the next scheme.
        match after.trim_start().strip_prefix('=') {
            Some(after) if !word.is_empty() => {
                let (value, after) = value(after.trim_start());
                if let Some((_, parameters)) = challenges.last_mut() {
                    parameters.push((word.to_ascii_lowercase(), value));
                }
                rest = after;
            }
            Some(after) => rest = after,
            None => {
                challenges.push((word, Vec::new()));
                rest = after;
            }
        }
        rest = rest.trim_start_matches(SEPARATORS);
    }
    challenges.into_iter().filter_map(|(scheme, parameters)| known(scheme, &parameters)).collect()
}

/// A parameter's value, a token or a quoted string, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find(SEPARATORS).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn known(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let parameter =
        |name: &str| parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        }),
        _ => None,
    }
}

const SEPARATORS: [char; 3] = [' ', ',', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_read_however_they_are_written() {
        let cases = [
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            (r#"bearer Realm = "a\"b" , service=x"#, vec![bearer("a\"b", Some("x"), None)]),
            (
                r#"Negotiate, Basic realm="x, y", Bearer realm="https://t/""#,
                vec![Challenge::Basic, bearer("https://t/", None, None)],
            ),
            ("Bearer service=x", vec![]),
            (r#"Bearer realm="unterminated"#, vec![bearer("unterminated", None, None)]),
            ("Negotiate TlRMTVNTUAAB==", vec![]),
            ("=,=\"", vec![]),
            ("", vec![]),
        ];
        for (header, expected) in cases {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn a_token_is_preferred() {
        let headers = [r#"Basic realm="x""#, r#"Bearer realm="https://t/""#];
        assert_eq!(Challenge::choose(headers.into_iter()), Some(bearer("https://t/", None, None)));
        assert_eq!(Challenge::choose([r#"Digest realm="x""#].into_iter()), None);
    }

    #[test]
    fn headers_that_nobody_would_write_say_what_their_words_say() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/header");
        let words = ["\"", "\\", "=", ",", " ", "Bearer ", "Basic", "realm=", "service=", "é", "\t"];
        testkit::fuzz(&corpus, &words, |bytes| {
            let header = String::from_utf8_lossy(bytes);
            for challenge in parse(&header) {
                let Challenge::Bearer { realm, service, scope } = challenge else { continue };
                let values = [Some(realm), service, scope].into_iter().flatten();
                // Escapes apart, a value is a part of the header.
                let plain = |text: &str| text.replace('\\', "");
                assert!(values.into_iter().all(|value| plain(&header).contains(&plain(&value))), "{header}");
            }
        });
    }
}
