//! `save`: images into an archive.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use types::Platform;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Args)]
pub struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long)]
    output: Option<String>,
    /// Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long)]
    platform: Option<Platform>,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Save {
    const NAMES: &'static [&'static str] = &["image save", "save"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match &self.output {
            None if io::stdout().is_terminal() => {
                anyhow::bail!("cowardly refusing to save to a terminal. Use the -o flag or redirect")
            }
            Some(path) => {
                check(Path::new(path)).map_err(|why| anyhow::anyhow!("failed to save image: {why}"))?
            }
            None => {}
        }
        let engine = session::open(globals)?;
        let platform = self.platform.as_ref();
        let Some(path) = &self.output else {
            engine.save(&self.images, platform, io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        };
        // Written aside: an archive is there complete or not at all.
        let partial = format!("{path}.partial");
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial);
        let written = file.map_err(anyhow::Error::from).and_then(|mut file| {
            engine.save(&self.images, platform, &mut file)?;
            file.flush()?;
            Ok(fs::rename(&partial, path)?)
        });
        if written.is_err() {
            // There may be nothing to remove, if it could not be made.
            let _ = fs::remove_file(&partial);
        }
        written.map(|()| ExitCode::SUCCESS)
    }
}

/// Refuses to put an archive in the place of anything but a file: a device, say, would be one no more.
fn check(path: &Path) -> Result<(), String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = fs::metadata(parent) {
        return Err(format!("invalid output path: stat {}: {error}", parent.display()));
    }
    match fs::metadata(path).map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_dir() => Err("cannot write to a directory".to_owned()),
        Ok(kind) if kind.is_char_device() => Err("cannot write to a character device file".to_owned()),
        Ok(kind) if kind.is_block_device() => Err("cannot write to a block device file".to_owned()),
        Ok(kind) if !kind.is_file() => Err("cannot write to what is no regular file".to_owned()),
        _ => Ok(()),
    }
}
