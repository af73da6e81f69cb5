//! `--chown` and USER: numbers, or names to be looked up in the image's own passwd and group files.

use std::{io, path::Path};

use image::tree::Owner;

use crate::stack::Stack;

/// A name that nobody has.
#[derive(Debug, thiserror::Error)]
pub enum UnknownOwner {
    #[error("there is no user {0} in the image: files belong to root")]
    User(String),
    #[error("there is no group {0} in the image: files belong to group root")]
    Group(String),
}

/// Whom `text`, `user[:group]`, means in the image that `stack` shows. Without a group it is the user's own; for a number
/// that no user has, the group of the same number. A name that nobody has means root, as BuildKit has it: `unknown` is
/// told.
pub fn find(text: &str, stack: &Stack, unknown: &dyn Fn(UnknownOwner)) -> io::Result<Owner> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let (uid, own_group) = match number(user) {
        Some(uid) => (uid, None),
        None if user.is_empty() => (0, Some(0)),
        None => {
            let (uid, gid) = user_entry(&read(stack, "/etc/passwd")?, user).unwrap_or_else(|| {
                unknown(UnknownOwner::User(user.to_owned()));
                (0, 0)
            });
            (uid, Some(gid))
        }
    };
    let gid = match group.filter(|group| !group.is_empty()) {
        None => own_group.unwrap_or(uid),
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => group_entry(&read(stack, "/etc/group")?, group).unwrap_or_else(|| {
                unknown(UnknownOwner::Group(group.to_owned()));
                0
            }),
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

fn read(stack: &Stack, path: &str) -> io::Result<String> {
    let content = stack.read(Path::new(path), LARGEST)?;
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
        for (text, expected, said) in [
            ("app", (10, 20), ""),
            ("app:staff", (10, 50), ""),
            ("7", (7, 7), ""),
            ("1", (1, 1), ""),
            ("7:8", (7, 8), ""),
            (":8", (0, 8), ""),
            ("app:", (10, 20), ""),
            ("nobody", (0, 0), "there is no user nobody in the image: files belong to root"),
            ("4:nobody", (4, 0), "there is no group nobody in the image: files belong to group root"),
        ] {
            let told = std::cell::RefCell::new(String::new());
            let unknown = &|owner: UnknownOwner| told.borrow_mut().push_str(&owner.to_string());
            let found = find(text, &stack, unknown).expect("readable");
            assert_eq!(((found.uid, found.gid), told.borrow().as_str()), (expected, said), "{text}");
        }
    }
}
