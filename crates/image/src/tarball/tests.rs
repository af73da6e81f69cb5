use std::io::Read;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;

/// An archive made by hand, right or wrong.
#[derive(Default)]
pub struct Raw(Vec<u8>);

impl Raw {
    pub fn file(self, name: &str, content: &[u8]) -> Raw {
        self.with(name, EntryType::Regular, content, |_| {})
    }

    pub fn directory(self, name: &str) -> Raw {
        self.with(name, EntryType::Directory, b"", |header| header.set_mode(0o755))
    }

    pub fn symlink(self, name: &str, target: &str) -> Raw {
        self.with(name, EntryType::Symlink, b"", |header| header.set_link_name_literal(target).unwrap())
    }

    pub fn hard_link(self, name: &str, target: &str) -> Raw {
        self.with(name, EntryType::Link, b"", |header| header.set_link_name_literal(target).unwrap())
    }

    pub fn device(self, name: &str, kind: EntryType, major: u32, minor: u32) -> Raw {
        self.with(name, kind, b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// A PAX header for the next entry.
    pub fn pax(self, records: &[(&str, &str)]) -> Raw {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|n| rest + n.to_string().len() == *n).unwrap();
            content.extend(format!("{length} {key}={value}\n").into_bytes());
        }
        self.with("pax", EntryType::XHeader, &content, |_| {})
    }

    pub fn with(
        mut self,
        name: &str,
        kind: EntryType,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Raw {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn entries(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut reader = Reader::new(archive);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).map_err(TarError::Read)?;
        all.push((entry, content));
    }
    Ok(all)
}

fn refused(archive: Raw, why: &str) {
    let error = entries(&archive.end()).expect_err(why).to_string();
    assert!(error.contains(why), "{error:?} does not say {why:?}");
}

#[test]
fn the_extended_size_counts_wherever_there_is_one() {
    // The plain size says 0: a reader that believes it takes the content for the next header.
    let hidden = Raw::default().file("smuggled", b"").0;
    let archive = Raw::default()
        .pax(&[("size", "512")])
        .with("outer", EntryType::Regular, &hidden, |header| header.set_size(0))
        .end();
    let all = entries(&archive).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0.path.as_slice(), &all[0].1), (b"outer".as_slice(), &hidden));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let sized = |bytes: [u8; 12]| {
        Raw::default().with("f", EntryType::Regular, b"", move |h| h.as_old_mut().size = bytes)
    };
    refused(sized([0xff; 12]), "size"); // -1
    refused(sized([0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), "size"); // 2^63
    refused(sized(*b"00000000009\0"), "size");
    refused(sized(*b"-0000000001\0"), "size");
    refused(Raw::default().pax(&[("size", "9223372036854775808")]).file("f", b""), "size");
    refused(Raw::default().pax(&[("size", "-1")]).file("f", b""), "size");
    refused(Raw::default().with("d", EntryType::Directory, b"content", |_| {}), "cannot have any");
    refused(Raw::default().pax(&[("size", "5")]).symlink("l", "t"), "cannot have any");
    refused(Raw::default().pax(&[("size", "5")]).hard_link("l", "t"), "cannot have any");
}

#[test]
fn what_readers_could_understand_differently_is_refused() {
    refused(Raw::default().pax(&[("path", "a")]).pax(&[("path", "b")]).file("f", b""), "two extended");
    let long = |raw: Raw, name: &[u8]| raw.with("././@LongLink", EntryType::GNULongName, name, |_| {});
    refused(long(Raw::default().pax(&[("path", "a")]), b"b\0").file("f", b""), "two long names");
    refused(long(Raw::default(), b"a\0b\0").file("f", b""), "NUL");
    refused(Raw::default().pax(&[("path", "a\0b")]).file("f", b""), "NUL");
    refused(Raw::default().pax(&[("path", "a")]), "without an entry");
    refused(
        Raw::default().with("g", EntryType::XGlobalHeader, b"9 path=x\n", |_| {}).file("f", b""),
        "global",
    );
    refused(Raw::default().with("m", EntryType::new(b'M'), b"", |_| {}), "unknown type");
    refused(
        Raw::default().file("f", b"").with("x", EntryType::Regular, b"", |h| h.as_old_mut().mode = [b'9'; 8]),
        "mode",
    );
    let mut lone_zeros = Raw::default().file("a", b"").0;
    lone_zeros.extend([0; 512]);
    lone_zeros.extend(Raw::default().file("b", b"").0);
    refused(Raw(lone_zeros), "after the end");
    let large = vec![b' '; (1 << 20) + 1];
    refused(Raw::default().with("x", EntryType::XHeader, &large, |_| {}).file("f", b""), "1 MiB");
}

#[test]
fn what_is_no_archive_or_only_part_of_one_is_told_apart() {
    assert!(matches!(entries(&[b'x'; 2048]), Err(TarError::NotTar)));
    let archive = Raw::default().file("name", &[1; 1000]).end();
    assert!(matches!(entries(&archive[..700]), Err(TarError::Truncated { .. }) | Err(TarError::Read(_))));
    assert!(matches!(entries(&archive[..100]), Err(TarError::Truncated { .. })));
    assert_eq!(entries(&archive[..512 + 1024]).unwrap().len(), 1, "an end of file is an end too");
    assert_eq!(entries(b"").unwrap(), []);
}

#[test]
fn gnu_tar_and_its_dialects_are_read() {
    let top = tempfile::tempdir().unwrap();
    let name = "long/".repeat(60) + "name";
    let file = top.path().join("in").join(&name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "content").unwrap();
    let holes = std::fs::File::create(top.path().join("in/sparse")).unwrap();
    holes.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"data", 5 << 20).unwrap();
    for format in ["gnu", "posix", "oldgnu"] {
        let archive = top.path().join(format);
        let done = std::process::Command::new("tar")
            .arg("--sparse")
            .arg(format!("--format={format}"))
            .arg("-cf")
            .args([&archive, std::path::Path::new("-C"), &top.path().join("in"), std::path::Path::new(".")])
            .status()
            .unwrap();
        assert!(done.success());
        let all = entries(&std::fs::read(&archive).unwrap()).unwrap();
        let long = all.iter().find(|(e, _)| e.path.ends_with(b"long/name")).expect(format);
        assert_eq!(long.0.path, format!("./{name}").into_bytes(), "{format}");
        assert_eq!(long.1, b"content", "{format}");
        let (sparse, content) = all.iter().find(|(e, _)| e.path == b"./sparse").expect(format);
        assert_eq!(sparse.kind, Kind::File { size: 10 << 20 }, "{format}");
        assert!(content.len() < 1 << 20, "{format}: holes are not in the content");
    }
}

#[test]
fn what_ustar_cannot_say_stands_in_an_extended_header() {
    let entry = Entry {
        path: "p".repeat(300).into_bytes(),
        kind: Kind::HardLink { target: "t".repeat(101).into_bytes() },
        mode: 0o4755,
        uid: 4_000_000,
        gid: 0o7_777_777,
        mtime: Time { seconds: -5, nanoseconds: 0 },
        xattrs: vec![(b"security.capability".to_vec(), vec![1, 0, b'\n', b'='])],
    };
    let mut writer = Writer::new(Vec::new());
    writer.entry(&entry).unwrap();
    assert_eq!(entries(&writer.finish().unwrap()).unwrap(), [(entry, Vec::new())]);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        path in "[a-zé/._-]{1,200}",
        mode in 0u32..0o10000,
        uid in 0u32..u32::MAX,
        seconds in -100_000_000_000i64..100_000_000_000,
        content in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let entry = Entry {
            path: path.into_bytes(),
            kind: Kind::File { size: content.len() as u64 },
            mode, uid, gid: uid / 2,
            mtime: Time { seconds, nanoseconds: 0 },
            xattrs: Vec::new(),
        };
        let mut writer = Writer::new(Vec::new());
        writer.file(&entry, content.as_slice()).unwrap();
        prop_assert_eq!(entries(&writer.finish().unwrap()).unwrap(), vec![(entry, content)]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 512..4096), kind in any::<u8>()) {
        bytes[156] = kind;
        let sum: u64 = bytes[..512].iter().enumerate()
            .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u64::from(*b) }).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        _ = entries(&bytes);
    }
}
