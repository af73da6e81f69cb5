//! Python's compiled modules carry the time of their source, and are compiled anew if that has another. As sources are
//! set back to the build's date, so is what compiled modules say.
//!
//! The header is a magic number, from Python 3.7 on flags (PEP 552), then the time as 32 little-endian bits.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

/// Where the source of the compiled module at `path` is: beside it, or beside the `__pycache__` it is in (PEP 3147).
/// None for anything that is not called like one.
pub fn source(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(".pyc")?;
    let directory = path.parent()?;
    Some(match directory.file_name().is_some_and(|name| name == "__pycache__") {
        true => directory.parent()?.join(format!("{}.py", name.split('.').next()?)),
        false => directory.join(format!("{name}.py")),
    })
}

/// Sets back the time that the compiled module `name` says its source has, if it is after `date` (seconds since 1970).
/// Anything else called so stays as it is.
pub fn limit(directory: impl AsFd, name: &Path, date: i64) -> io::Result<()> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    let mut header = Vec::new();
    file.by_ref().take(HEADER).read_to_end(&mut header)?;
    let Some((offset, seconds)) = source_time(&header) else { return Ok(()) };
    match (i64::from(seconds) > date, u32::try_from(date)) {
        (true, Ok(date)) => file.write_all_at(&date.to_le_bytes(), offset),
        _ => Ok(()),
    }
}

/// Where the time of the source stands, and what it is.
fn source_time(header: &[u8]) -> Option<(u64, u32)> {
    let word = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let [low, high, b'\r', b'\n', ..] = header else { return None };
    let offset = match u16::from_le_bytes([*low, *high]) {
        // 3.7 and later: without flags it is the time, otherwise a digest of the source.
        3390..20_000 if word(4)? == 0 => 8,
        3390..20_000 => return None,
        // 3.0 to 3.6, and 2.x.
        3000..3390 | 50_000.. => 4,
        _ => return None,
    };
    Some((offset as u64, word(offset)?))
}

const HEADER: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_where_each_python_puts_it() {
        let header = |magic: u16, words: &[u32]| {
            let words = words.iter().flat_map(|word| word.to_le_bytes());
            magic.to_le_bytes().into_iter().chain(*b"\r\n").chain(words).collect::<Vec<u8>>()
        };
        for (header, expected) in [
            (header(3531, &[0, 77, 5]), Some((8, 77))),
            (header(3531, &[1, 77, 5]), None),
            (header(3379, &[77, 5, 0]), Some((4, 77))),
            (header(62_211, &[77, 5, 0]), Some((4, 77))),
            (header(1, &[77, 5, 0]), None),
            (b"text".to_vec(), None),
            (header(3531, &[0]), None),
        ] {
            assert_eq!(source_time(&header), expected, "{header:?}");
        }
    }

    #[test]
    fn the_source_is_beside_the_module_or_its_directory() {
        let found = |path: &str| source(Path::new(path)).map(|source| source.display().to_string());
        assert_eq!(found("a/__pycache__/x.cpython-313.pyc").as_deref(), Some("a/x.py"));
        assert_eq!(found("__pycache__/x.cpython-313.opt-1.pyc").as_deref(), Some("x.py"));
        assert_eq!(found("a/x.pyc").as_deref(), Some("a/x.py"));
        assert_eq!(found("a/x.py"), None);
    }

    #[test]
    fn a_newer_time_is_set_back_and_an_older_one_stays() {
        let top = tempfile::tempdir().expect("temporary directory");
        let directory = File::open(top.path()).expect("directory");
        let check = |seconds: u32, expected: u32| {
            let module = |seconds: u32| {
                [&[0xcb, 0x0d, b'\r', b'\n', 0, 0, 0, 0][..], &seconds.to_le_bytes(), b"size and code"]
                    .concat()
            };
            let path = top.path().join("x.pyc");
            std::fs::write(&path, module(seconds)).expect("module");
            limit(&directory, Path::new("x.pyc"), 1000).expect("limited");
            assert_eq!(std::fs::read(&path).expect("readable"), module(expected));
        };
        check(2000, 1000);
        check(999, 999);
    }
}
