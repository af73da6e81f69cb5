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

/// The numbers that `names` have in `table`; names that are not in it are passed over.
///
/// Names in rising order are found by walking along the table, others by searching it.
pub fn look_up<'a>(
    table: &'static [Entry],
    names: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = u32> {
    let mut at = 0;
    let known = names.into_iter().filter(|name| name.len() <= LONGEST).map(padded);
    known.filter_map(move |name| {
        if at == table.len() || table[at].name > name {
            at = 0;
        }
        let steps = table[at..].iter().take(FEW).position(|entry| entry.name >= name);
        at += steps.unwrap_or_else(|| table[at..].partition_point(|entry| entry.name < name));
        table.get(at).filter(|entry| entry.name == name).map(|entry| entry.number)
    })
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
/// How many entries are worth a look before a search.
const FEW: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(table: &'static [Entry], names: &[&str]) -> Vec<u32> {
        look_up(table, names.iter().copied()).collect()
    }

    #[test]
    fn every_table_is_sorted_and_finds_what_it_holds_in_any_order() {
        for table in [&X86_64[..], &X32, &X86, &AARCH64, &ARM] {
            assert!(table.is_sorted_by(|one, next| one.name < next.name));
            let names: Vec<_> =
                table.iter().map(|entry| String::from_utf8(entry.name.into()).unwrap()).collect();
            let names: Vec<_> = names.iter().map(|name| name.trim_end_matches('\0')).collect();
            let mut expected: Vec<_> = table.iter().map(|entry| entry.number).collect();
            assert_eq!(numbers(table, &names), expected);
            expected.reverse();
            let backwards: Vec<_> = names.into_iter().rev().collect();
            assert_eq!(numbers(table, &backwards), expected);
        }
    }

    #[test]
    fn names_that_a_table_does_not_have_are_passed_over() {
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(numbers(&X86_64, &["", "close", "no_such_call", "zzz", &long, "read", "arm"]), [3, 0]);
    }

    #[test]
    fn each_abi_has_its_own_numbers() {
        let getpid = [&X86_64[..], &X32, &X86, &AARCH64, &ARM].map(|table| numbers(table, &["getpid"]));
        assert_eq!(getpid, [[39], [39], [20], [172], [20]]);
        assert_eq!(numbers(&X32, &["execve"]), [520]);
        assert_eq!(numbers(&AARCH64, &["open", "openat"]), [56]);
    }
}
