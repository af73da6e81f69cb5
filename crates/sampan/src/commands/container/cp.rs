//! `cp`: files between a container and this machine.

mod place;

use std::{
    fs,
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::FileTypeExt,
    path::Path,
    process::ExitCode,
    thread,
};

use clap::Args;
use engine::{
    Engine, EngineError,
    container::{Container, Files, Purpose, copy_in},
};
use image::{
    archive::{Pick, pick},
    tree::{Links, Owner, Root},
};

use self::place::{Destination, Source, base, clean, joined, renamed, split};
use crate::{
    cli::{Globals, Verb},
    output::human,
    session,
};

/// Copy files/folders between a container and the local filesystem
#[derive(Args)]
pub struct Copy {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    quiet: bool,
    source: String,
    destination: String,
}

impl Verb for Copy {
    const NAMES: &'static [&'static str] = &["container cp", "cp"];
    const USAGE: &'static str =
        "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.source.is_empty() {
            anyhow::bail!("source can not be empty");
        }
        if self.destination.is_empty() {
            anyhow::bail!("destination can not be empty");
        }
        let engine = session::open(globals)?;
        match (place::in_container(&self.source), place::in_container(&self.destination)) {
            (Some((name, path)), None) => self.take(&engine, name, path)?,
            (None, Some((name, path))) => self.put(&engine, name, path)?,
            (Some(_), Some(_)) => anyhow::bail!("copying between containers is not supported"),
            (None, None) => anyhow::bail!("must specify at least one container source"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Copy {
    fn take(&self, engine: &Engine, name: &str, path: &str) -> anyhow::Result<()> {
        let to_stdout = self.destination == "-";
        let target = if to_stdout { String::new() } else { absolute(&self.destination)? };
        if !to_stdout {
            check_output(&target)?;
        }
        let container = engine.container(name)?;
        let files = engine.files(&container, name, Purpose::Read)?;
        let mut path = path.to_owned();
        let mut rename = None;
        if self.follow_link
            && let Ok(found) = files.find(&path)
            && let Some(link) = found.target
        {
            (path, rename) = renamed(&path, &clean(&link));
        }
        let is_directory = files.find(&path)?.kind.is_dir();
        if to_stdout {
            files.archive(&path, Path::new(base(&path)), io::stdout().lock())?;
            engine.note(&container, TAKEN, &[]);
            return Ok(());
        }
        let destination = local_destination(&target)?;
        let source = Source { path: &path, is_directory, rename: rename.as_deref() };
        let (directory, name) = place::plan(&source, &destination)?;
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = (!self.archive).then_some(Owner { uid, gid });
        let root = fs::canonicalize(&directory).and_then(|real| Root::open(&real, Links::Refused));
        let root = root.map_err(|error| anyhow::anyhow!("{directory}: {error}"))?;
        let copied = through_pipe(
            |pipe| Ok(files.archive(&path, Path::new(&name), pipe)?),
            |pipe| match copy_in(pipe, &root, &directory, owner) {
                // What this machine says, not the engine.
                Err(EngineError::Invalid(why)) => Err(anyhow::anyhow!(why)),
                other => Ok(other?),
            },
        )?;
        engine.note(&container, TAKEN, &[]);
        self.report(copied, &target);
        Ok(())
    }

    fn put(&self, engine: &Engine, name: &str, path: &str) -> anyhow::Result<()> {
        let local = if self.source == "-" { None } else { Some(absolute(&self.source)?) };
        let container = match engine.container(name) {
            Ok(container) => container,
            Err(error) => {
                // Of two things that are missing, docker tells of the one here.
                local.as_deref().map_or(Ok(()), |path| local_source(path, self.follow_link).map(drop))?;
                return Err(error.into());
            }
        };
        let files = engine.files(&container, name, Purpose::Write)?;
        let destination = container_destination(&files, &container, name, path)?;
        let Some(local) = local else {
            if !destination.is_directory() {
                anyhow::bail!("destination \"{name}:{path}\" must be a directory");
            }
            files.extract(&destination.path, io::stdin().lock())?;
            engine.note(&container, PUT, &[]);
            return Ok(());
        };
        let (resolved, rename) = local_source(&local, self.follow_link)?;
        let is_directory =
            fs::symlink_metadata(&resolved).map_err(|error| lstat(&resolved, &error))?.is_dir();
        let source = Source { path: &resolved, is_directory, rename: rename.as_deref() };
        let (directory, base) = place::plan(&source, &destination)?;
        let root = Root::open(Path::new("/"), Links::StayInside)?;
        let follow = resolved.ends_with('/') || resolved.ends_with("/.");
        let copied = through_pipe(
            |pipe| {
                let picked = Pick { path: Path::new(&resolved), name: Path::new(&base), follow };
                Ok(pick(&root, picked, &|_| true, pipe)?)
            },
            |pipe| Ok(files.extract(&directory, pipe)?),
        )?;
        engine.note(&container, PUT, &[]);
        self.report(copied, &format!("{name}:{}", destination.path));
        Ok(())
    }

    fn report(&self, bytes: u64, place: &str) {
        if !self.quiet && io::stdout().is_terminal() {
            eprintln!("Successfully copied {} to {place}", human::size(bytes, 3));
        }
    }
}

/// docker's words for the two ways.
const TAKEN: &str = "archive-path";
const PUT: &str = "extract-to-dir";

/// What the destination in a container is; a link at its end is followed.
fn container_destination(
    files: &Files<'_>,
    container: &Container,
    name: &str,
    path: &str,
) -> anyhow::Result<Destination> {
    let mut place = path.to_owned();
    let mut found = files.find(&place);
    if let Ok(link) = &found
        && let Some(target) = &link.target
    {
        place = clean(target);
        found = files.find(&place);
    }
    let kind = found.ok().map(|found| found.kind);
    if kind.is_some_and(|kind| kind.is_char_device() || kind.is_block_device()) {
        let container = if name.is_empty() { &*container.name } else { name };
        anyhow::bail!(
            "destination \"{container}:{path}\" must be a directory or a regular file: got a device"
        );
    }
    Ok(Destination { path: place, is_directory: kind.map(|kind| kind.is_dir()) })
}

/// What the destination on this machine is; links at its end are followed, even to where nothing is.
fn local_destination(path: &str) -> anyhow::Result<Destination> {
    let mut place = path.to_owned();
    for _ in 0..10 {
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_symlink() => {
                let link = fs::read_link(&place)?;
                place = joined(split(&place).0, &link.to_string_lossy());
            }
            Ok(metadata) => return Ok(Destination { path: place, is_directory: Some(metadata.is_dir()) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = split(&place).0;
                match fs::metadata(parent) {
                    Ok(metadata) if metadata.is_dir() => {}
                    Ok(_) => anyhow::bail!("not a directory"),
                    Err(error) => anyhow::bail!("stat {parent}: {}", plain(&error)),
                }
                return Ok(Destination { path: place, is_directory: None });
            }
            Err(error) => return Err(lstat(&place, &error)),
        }
    }
    anyhow::bail!("too many symlinks in {path}")
}

/// The source on this machine with the links on the way to it resolved, and the one at its end if `follow`; and what it is
/// to be called, if that changed its name.
fn local_source(path: &str, follow: bool) -> anyhow::Result<(String, Option<String>)> {
    let real = |path: &str| {
        fs::canonicalize(path)
            .map(|real| real.to_string_lossy().into_owned())
            .map_err(|error| lstat(&first_missing(path), &error))
    };
    if follow {
        return Ok(renamed(path, &real(path)?));
    }
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(end);
    let directory = real(if directory.is_empty() { "." } else { directory })?;
    let resolved = format!("{}/{name}", directory.trim_end_matches('/'));
    fs::symlink_metadata(&resolved).map_err(|error| lstat(&resolved, &error))?;
    let rename = (path.ends_with('/') && base(path) != base(&resolved)).then(|| base(path).to_owned());
    Ok((resolved, rename))
}

/// The first part of a path that is not there.
fn first_missing(path: &str) -> String {
    let path = clean(path);
    let ancestors: Vec<&Path> = Path::new(&path).ancestors().collect();
    let missing = ancestors.into_iter().rev().find(|part| fs::symlink_metadata(part).is_err());
    missing.unwrap_or(Path::new(&path)).to_string_lossy().into_owned()
}

/// Refuses what no file can be written to.
fn check_output(path: &str) -> anyhow::Result<()> {
    let cleaned = clean(path);
    let directory = Path::new(&cleaned).parent().unwrap_or(Path::new("/"));
    if !directory.exists() {
        anyhow::bail!("invalid output path: directory {directory:?} does not exist");
    }
    let kind = fs::metadata(path).map(|metadata| metadata.file_type());
    let what = match kind {
        Ok(kind) if kind.is_char_device() || kind.is_block_device() => "got a device",
        _ => return Ok(()),
    };
    anyhow::bail!("invalid output path: {path:?} must be a directory or a regular file: {what}")
}

/// A path from the root, with the slash or dot at its end that means something.
fn absolute(path: &str) -> io::Result<String> {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{}/{path}", std::env::current_dir()?.display())
    };
    let cleaned = clean(&whole);
    Ok(match path {
        _ if cleaned == "/" => cleaned,
        _ if path == "." || path.ends_with("/.") => format!("{cleaned}/."),
        _ if path.ends_with('/') => format!("{cleaned}/"),
        _ => cleaned,
    })
}

fn lstat(path: &str, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("lstat {path}: {}", plain(error))
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Has one side write an archive that the other reads; how many bytes went through.
fn through_pipe(
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()> + Send,
    read: impl FnOnce(&mut dyn Read) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let (reader, writer) = io::pipe()?;
    thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut writer = Counted { pipe: writer, bytes: 0 };
            write(&mut writer).map(|()| writer.bytes)
        });
        let mut reader = reader;
        let done = read(&mut reader);
        if done.is_ok() {
            // What follows the archive's end, for the writer not to break off.
            io::copy(&mut reader, &mut io::sink())?;
        }
        drop(reader);
        let written = writing.join().expect("nothing in it panics");
        match (done, written) {
            (Ok(()), written) => written,
            // A writer that stopped leaves an archive that ends too early: why it did says more.
            (Err(_), Err(why)) if !is_broken_pipe(&why) => Err(why),
            (Err(why), _) => Err(why),
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

struct Counted<W> {
    pipe: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.pipe.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}
