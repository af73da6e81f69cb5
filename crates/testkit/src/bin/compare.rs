//! Builds cases with several builders and shows where they differ: `compare [--record] BASE PLACE CASES BUILDER...`.
//!
//! `BASE` is an archive of the image that they all have as `busybox`, `PLACE` a directory to work in, and builders are
//! programs with docker's command line. All are compared with the first, whose records are kept if that is asked for. Those
//! with a `~` before their path write histories of their own, and are only looked at for what else they make.

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
    let builders: Vec<_> = builders.iter().map(|builder| Builder::of(builder)).collect();
    match compare(Path::new(base), Path::new(place), Path::new(cases), &builders, keep) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Builder {
    path: PathBuf,
    has_own_history: bool,
}

impl Builder {
    fn of(text: &str) -> Builder {
        let path = text.strip_prefix('~');
        Builder { path: path.unwrap_or(text).into(), has_own_history: path.is_some() }
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Whether all came out the same.
fn compare(base: &Path, place: &Path, cases: &Path, builders: &[Builder], keep: bool) -> io::Result<bool> {
    let mut same = vec![0; builders.len()];
    let cases = BuildCase::all(cases)?;
    let mut differences = String::new();
    for case in &cases {
        let mut row = format!("{:<44}", case.name());
        let mut first: Option<Result<Record, String>> = None;
        for (number, builder) in builders.iter().enumerate() {
            let directory = place.join("case");
            fs::create_dir(&directory)?;
            let record = case.run(Command::new("/bin/sh"), &builder.path, &directory, base);
            fs::remove_dir_all(&directory)?;
            if number == 0
                && keep
                && let Ok(record) = &record
            {
                record.write(&case.record_path())?;
            }
            let seen =
                |record: &Record| if builder.has_own_history { record.essence() } else { record.clone() };
            let word = match (&first, &record) {
                // Its errors need not look like any.
                (Some(Ok(first)), Err(_)) if builder.has_own_history && first.is_error() => {
                    same[number] += 1;
                    "same"
                }
                (_, Err(error)) => {
                    differences += &format!("\n{} {}\n{error}\n", case.name(), builder.name());
                    "broken"
                }
                (Some(Ok(first)), Ok(record)) if seen(first) != seen(record) => {
                    let difference = seen(record).difference(&seen(first));
                    differences += &format!("\n{} {}\n{difference}", case.name(), builder.name());
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
        println!("{}: {same} of {} as {}", builder.name(), cases.len(), builders[0].name());
    }
    // Where those differ that write histories of their own, BuildKit has changed what they do.
    let of_interest = builders.iter().zip(&same).filter(|(builder, _)| !builder.has_own_history);
    Ok(of_interest.map(|(_, same)| *same).all(|same| same == cases.len()))
}
