//! The numbers of system calls by name, one table for each ABI, sorted by name.

mod aarch64;
mod arm;
mod x32;
mod x86;
mod x86_64;

pub use aarch64::TABLE as AARCH64;
pub use arm::TABLE as ARM;
pub use x32::TABLE as X32;
pub use x86::TABLE as X86;
pub use x86_64::TABLE as X86_64;

/// One system call. Without a pointer, so that the tables need no relocation when the program starts and stay
/// pages of its file, shared by all its processes.
pub struct Entry {
    name: [u8; LONGEST],
    number: u32,
}

/// The number that `name` has in `table`.
pub fn look_up(table: &[Entry], name: &str) -> Option<u32> {
    if name.len() > LONGEST {
        return None;
    }
    let name = padded(name);
    let found = table.binary_search_by(|entry| entry.name.cmp(&name)).ok()?;
    Some(table[found].number)
}

const fn entry(name: &str, number: u32) -> Entry {
    Entry { name: padded(name), number }
}

const fn padded(name: &str) -> [u8; LONGEST] {
    let mut padded = [0; LONGEST];
    let mut at = 0;
    while at < name.len() {
        padded[at] = name.as_bytes()[at];
        at += 1;
    }
    padded
}

/// The length of `sched_rr_get_interval_time64`.
const LONGEST: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_sorted_and_finds_what_it_holds() {
        for table in [&X86_64[..], &X32, &X86, &AARCH64, &ARM] {
            assert!(table.is_sorted_by(|one, next| one.name < next.name));
            assert!(look_up(table, "execve").is_some());
            assert_eq!(look_up(table, "no_such_call"), None);
            assert_eq!(look_up(table, &"x".repeat(LONGEST + 1)), None);
        }
    }

    #[test]
    fn each_abi_has_its_own_numbers() {
        let getpid = [&X86_64[..], &X32, &X86, &AARCH64, &ARM].map(|table| look_up(table, "getpid"));
        assert_eq!(getpid, [Some(39), Some(39), Some(20), Some(172), Some(20)]);
        assert_eq!(look_up(&X32, "execve"), Some(520));
        assert_eq!(look_up(&AARCH64, "open"), None);
    }
}
