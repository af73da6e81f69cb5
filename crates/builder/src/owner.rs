//! `--chown` and USER: numbers, or names to be looked up in the image's own passwd and group files.

use std::{io, path::Path};

use image::tree::Owner;

use crate::stack::Stack;

/// Why `user[:group]` names nobody.
#[derive(Debug, thiserror::Error)]
pub enum UnknownOwner {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
    #[error("cannot read {0} in the image")]
    Read(&'static str, #[source] io::Error),
}

/// Whom `text` means in the image that `stack` shows. Without a group it is the user's own; for a number that no user
/// has, the group of the same number.
pub fn find(text: &str, stack: &Stack) -> Result<Owner, UnknownOwner> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let (uid, own_group) = match number(user) {
        Some(uid) => (uid, None),
        None => {
            let entries = read(stack, "/etc/passwd")?;
            let (uid, gid) = user_entry(&entries, user).ok_or_else(|| UnknownOwner::User(user.to_owned()))?;
            (uid, Some(gid))
        }
    };
    let gid = match group.filter(|group| !group.is_empty()) {
        None => own_group.unwrap_or(uid),
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => {
                let entries = read(stack, "/etc/group")?;
                group_entry(&entries, group).ok_or_else(|| UnknownOwner::Group(group.to_owned()))?
            }
        },
    };
    Ok(Owner { uid, gid })
}

/// Digits are a number and never a name; the last number is no user's.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|number| *number != u32::MAX)
}

fn user_entry(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = entries.find(|fields| fields.len() >= 4 && fields[0] == name)?;
    Some((number(fields[2])?, number(fields[3])?))
}

fn group_entry(group: &str, name: &str) -> Option<u32> {
    let mut entries = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    number(entries.find(|fields| fields.len() >= 3 && fields[0] == name)?[2])
}

fn read(stack: &Stack, path: &'static str) -> Result<String, UnknownOwner> {
    let content = stack.read(Path::new(path), LARGEST).map_err(|error| UnknownOwner::Read(path, error))?;
    Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
}

/// What passwd and group files may measure, in bytes.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_images_and_digits_are_numbers() {
        let layer = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(layer.path().join("etc")).expect("etc");
        std::fs::write(layer.path().join("etc/passwd"), "root:x:0:0\napp:x:10:20:::\n1:x:99:99\n")
            .expect("passwd");
        std::fs::write(layer.path().join("etc/group"), "staff:x:50:\n").expect("group");
        let stack = Stack::open([layer.path()]).expect("layer");
        for (text, expected) in [
            ("app", Ok((10, 20))),
            ("app:staff", Ok((10, 50))),
            ("7", Ok((7, 7))),
            ("1", Ok((1, 1))),
            ("7:8", Ok((7, 8))),
            ("app:", Ok((10, 20))),
            ("nobody", Err("unable to find user nobody: no matching entries in passwd file")),
            ("0:nobody", Err("unable to find group nobody: no matching entries in group file")),
            ("4294967295", Err("unable to find user 4294967295: no matching entries in passwd file")),
        ] {
            let found = find(text, &stack).map(|owner| (owner.uid, owner.gid)).map_err(|e| e.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }
}
