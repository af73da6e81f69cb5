//! The command line of a build, as its record has it, and a build from such a record.

use std::{env, ffi::OsString};

use builder::builds;

/// What a build is recorded with: the words after the command's name, without passwords.
pub fn request(words: &[OsString], context: &str, dockerfile: Option<&str>) -> builds::Request {
    let mut incomplete = None;
    let mut arguments = Vec::new();
    for word in words {
        let Some(text) = word.to_str() else {
            incomplete = Some("its command line is no text".to_owned());
            continue;
        };
        let (masked, is_masked) = without_passwords(text);
        if is_masked {
            incomplete = Some("a password in its command line was not recorded".to_owned());
        }
        arguments.push(masked);
    }
    if context == "-" || dockerfile == Some("-") {
        incomplete = Some("it read its standard input".to_owned());
    }
    let directory = env::current_dir().unwrap_or_default().to_string_lossy().into_owned();
    let dockerfile = dockerfile.map(|file| without_passwords(file).0);
    builds::Request { arguments, directory, context: without_passwords(context).0, dockerfile, incomplete }
}

/// `text` with the password of every URL in it masked, and whether there was one.
fn without_passwords(text: &str) -> (String, bool) {
    let (mut masked, mut is_masked) = (String::new(), false);
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        masked.push_str(before);
        let end = after.find(['/', '?', '#', ' ', ',']).unwrap_or(after.len());
        let authority = &after[..end];
        match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
            Some((user, host)) => {
                masked.push_str(&format!("{user}:xxxxx@{host}"));
                is_masked = true;
            }
            None => masked.push_str(authority),
        }
        rest = &after[end..];
    }
    masked.push_str(rest);
    (masked, is_masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_recorded() {
        for (text, expected) in [
            ("https://u:secret@host/repo.git", "https://u:xxxxx@host/repo.git"),
            ("HTTP_PROXY=http://u:se@cret@host:80", "HTTP_PROXY=http://u:xxxxx@host:80"),
            ("a=https://u:p@h/x,b=https://u:q@h", "a=https://u:xxxxx@h/x,b=https://u:xxxxx@h"),
            ("ssh://git@host/x", "ssh://git@host/x"),
            ("a@b:c", "a@b:c"),
        ] {
            assert_eq!(without_passwords(text), (expected.to_owned(), text != expected), "{text}");
        }
        let request = request(&["-t".into(), "a".into(), "-".into()], "-", None);
        assert_eq!(request.incomplete.as_deref(), Some("it read its standard input"));
        assert_eq!(request.arguments, ["-t", "a", "-"]);
    }
}
