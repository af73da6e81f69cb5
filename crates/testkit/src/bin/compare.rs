//! Builds cases with several builders and shows where they differ: `compare [--record] BASE PLACE CASES BUILDER...`.
//!
//! `BASE` is an archive of the image that they all have as `busybox`, `PLACE` a directory to work in, and builders are
//! programs with docker's command line. All are compared with the first, whose records are kept if that is asked for.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use testkit::builds::{BuildCase, Record};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let keep = arguments.first().is_some_and(|first| first == "--record");
    if keep {
        arguments.remove(0);
    }
    let [base, place, cases, builders @ ..] = &arguments[..] else {
        eprintln!("usage: compare [--record] BASE PLACE CASES BUILDER...");
        return ExitCode::FAILURE;
    };
    let builders: Vec<_> = builders.iter().map(PathBuf::from).collect();
    match compare(Path::new(base), Path::new(place), Path::new(cases), &builders, keep) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all came out the same.
fn compare(base: &Path, place: &Path, cases: &Path, builders: &[PathBuf], keep: bool) -> io::Result<bool> {
    let mut same = vec![0; builders.len()];
    let cases = BuildCase::all(cases)?;
    let mut differences = String::new();
    let name = |builder: &Path| builder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for case in &cases {
        let mut row = format!("{:<44}", case.name());
        let mut first: Option<Result<Record, String>> = None;
        for (number, builder) in builders.iter().enumerate() {
            let directory = place.join("case");
            fs::create_dir(&directory)?;
            let record = case.run(Command::new("/bin/sh"), builder, &directory, base);
            fs::remove_dir_all(&directory)?;
            if number == 0
                && keep
                && let Ok(record) = &record
            {
                record.write(&case.record_path())?;
            }
            let word = match (&first, &record) {
                (_, Err(error)) => {
                    differences += &format!("\n{} {}\n{error}\n", case.name(), name(builder));
                    "broken"
                }
                (Some(Ok(first)), Ok(record)) if first != record => {
                    let difference = record.difference(first);
                    differences += &format!("\n{} {}\n{difference}", case.name(), name(builder));
                    "differs"
                }
                _ => {
                    same[number] += 1;
                    "same"
                }
            };
            row += &format!(" {word:<10}");
            first.get_or_insert(record);
        }
        println!("{row}");
    }
    println!("{differences}");
    for (builder, same) in builders.iter().zip(&same) {
        println!("{}: {same} of {} as {}", name(builder), cases.len(), name(&builders[0]));
    }
    Ok(same.iter().all(|same| *same == cases.len()))
}
