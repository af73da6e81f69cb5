//! Serves a registry: the address and the directory are the arguments.

use std::{env, process::ExitCode};

use registry::{Options, Writes};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(directory)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: serve ADDRESS:PORT DIRECTORY");
        return ExitCode::FAILURE;
    };
    let Ok(address) = address.parse() else { return ExitCode::FAILURE };
    let mut options = Options::new(address, directory.into());
    options.writes = Writes::PushAndDelete;
    match registry::serve(options, |listening| eprintln!("Registry listening on http://{}", listening.registry)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
