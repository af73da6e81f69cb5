//! `info`: what this engine has, and what the machine offers it.

use std::process::ExitCode;

use clap::Args;
use engine::Status;

use crate::{
    cli::{Globals, Verb},
    output::human,
    session,
};

/// Display system-wide information
#[derive(Args)]
pub struct Info {}

impl Verb for Info {
    const NAMES: &'static [&'static str] = &["info", "system info"];
    const USAGE: &'static str = "";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let containers = engine.containers()?;
        let (mut running, mut paused) = (0, 0);
        for container in &containers {
            match container.status()? {
                Status::Paused(_) => paused += 1,
                status => running += usize::from(status.is_running()),
            }
        }
        let uname = rustix::system::uname();
        let machine = rustix::system::sysinfo();
        println!("Containers: {}", containers.len());
        println!(" Running: {running}");
        println!(" Paused: {paused}");
        println!(" Stopped: {}", containers.len() - running - paused);
        println!("Images: {}", engine.list_images()?.len());
        println!("Server Version: {}", env!("CARGO_PKG_VERSION"));
        println!("Storage Driver: overlay2");
        println!("Logging Driver: local");
        println!("Kernel Version: {}", uname.release().to_string_lossy());
        println!("Architecture: {}", uname.machine().to_string_lossy());
        println!("CPUs: {}", std::thread::available_parallelism()?);
        println!("Total Memory: {}", human::memory(machine.totalram * u64::from(machine.mem_unit)));
        println!("Name: {}", uname.nodename().to_string_lossy());
        println!("Root Dir: {}", engine.root().display());
        Ok(ExitCode::SUCCESS)
    }
}
