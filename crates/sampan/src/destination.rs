//! Where an archive goes: a file, which is there complete or not at all, or standard output.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

/// Has `work` write to the file at `path`, or to standard output if there is none, which must not be a terminal then.
/// `purpose` is what fails if the path cannot be written to: `save image`.
pub fn write(
    path: Option<&str>,
    purpose: &str,
    work: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path else {
        if io::stdout().is_terminal() {
            anyhow::bail!("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        }
        return work(&mut io::stdout().lock());
    };
    check(Path::new(path)).map_err(|why| anyhow::anyhow!("failed to {purpose}: {why}"))?;
    // Written aside: an archive is there complete or not at all.
    let partial = format!("{path}.partial");
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let written = file.map_err(anyhow::Error::from).and_then(|mut file| {
        work(&mut file)?;
        file.flush()?;
        Ok(fs::rename(&partial, path)?)
    });
    if written.is_err() {
        // There may be nothing to remove, if it could not be made.
        let _ = fs::remove_file(&partial);
    }
    written
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
