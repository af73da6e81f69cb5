//! `build`, compared with BuildKit: `builds/` has cases, and records of what BuildKit made of them.
//!
//! `bench/compare` makes the records, and compares with a BuildKit that is there.

use std::{fs, path::PathBuf};

use testkit::builds::{BuildCase, Record};

use crate::{PROGRAM, sandbox};

macro_rules! subjects {
    ($($subject:ident)*) => {
        $(
            #[test]
            fn $subject() {
                comes_out_as_recorded(stringify!($subject));
            }
        )*

        #[test]
        fn all_subjects_are_tests() {
            let subjects = [$(stringify!($subject)),*];
            let mut directories: Vec<_> = fs::read_dir(directory()).unwrap().flatten().collect();
            directories.sort_by_key(fs::DirEntry::file_name);
            assert_eq!(directories.iter().map(fs::DirEntry::file_name).collect::<Vec<_>>(), subjects);
        }
    };
}

subjects! {
    add arg cmd copy entrypoint env expand expose from healthcheck ignore label maintainer onbuild option run shell
    stopsignal syntax user volume workdir
}

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/builds"))
}

/// Builds a subject's cases. They come to what BuildKit made of them, be it an image or an error.
fn comes_out_as_recorded(subject: &str) {
    let Some(sandbox) = sandbox() else { return };
    let base = testkit::base_image("busybox:latest").expect("the sandbox has it");
    let place = sandbox.directory().join("case");
    let mut faults = String::new();
    for case in BuildCase::all(&directory().join(subject)).unwrap() {
        fs::create_dir(&place).unwrap();
        let shell = sandbox.program_named("/bin/sh".as_ref());
        let made = sandbox.within(|| case.run(shell, PROGRAM.as_ref(), &place, &base));
        fs::remove_dir_all(&place).unwrap();
        let expected = Record::read(&case.record_path()).unwrap();
        let fault = match made {
            Ok(record) => record.difference(&expected),
            Err(fault) => fault,
        };
        if !fault.is_empty() {
            faults += &format!("\n{}\n{fault}", case.name());
        }
    }
    assert!(faults.is_empty(), "of BuildKit: -, of sampan: +\n{faults}");
    sandbox.is_clean();
}
