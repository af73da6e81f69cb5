//! Level 3 of the model: containers, and the images, networks and volumes they stand on.
//!
//! The rules live here, once, whoever asks: commands, the API and stacks only parse and print. Knows nothing of
//! Dockerfiles, Compose files, HTTP or terminals.
//!
//! An [`Engine`] is a view of the disk that lives as long as a command. Any number of them, in as many processes,
//! work on the same root at once.

pub mod container;
pub mod doctor;
mod error;
pub mod events;
pub mod image;
mod moment;
mod names;
pub mod network;
pub mod plan;
mod quota;
mod settings;
mod several;
mod state;
mod sweep;
pub mod transfer;
pub mod trash;
pub mod usage;
pub mod volume;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use self::state::State;
pub use ::network::filter;
pub use runtime::FailureKind;

pub use self::{
    container::{Container, Status},
    error::EngineError,
    image::{ImageSummary, Removed},
    network::Network,
    settings::SETTINGS,
    state::ImageRow,
};

/// Everything on one disk: open it, ask it, drop it.
#[derive(Debug)]
pub struct Engine {
    root: PathBuf,
    run: PathBuf,
    state: State,
    images: ::image::store::Store,
    /// Where what is removed waits, if it does.
    trash: Option<trash::Batch>,
}

impl Engine {
    /// Opens the engine's directories, making them if they are missing.
    ///
    /// `root` keeps what lasts, `run` what dies with the boot; both are the user's alone.
    pub fn open(root: &Path, run: &Path) -> Result<Engine, EngineError> {
        let make = |path: &Path| match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Err(source) => Err(EngineError::File { path: path.to_owned(), source }),
            Ok(()) => Ok(()),
        };
        if !root.join("state.db").exists() {
            make(&root.join("containers"))?;
            make(&root.join("volumes"))?;
        }
        if !run.join("networks").exists() {
            make(&run.join("networks"))?;
        }
        Ok(Engine {
            state: State::open(root)?,
            images: ::image::store::Store::open(root)?,
            root: root.to_owned(),
            run: run.to_owned(),
            trash: None,
        })
    }

    /// Where what lasts is kept.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where what dies with the boot is kept.
    pub fn run_directory(&self) -> &Path {
        &self.run
    }

    /// The store of images.
    pub fn images(&self) -> &::image::store::Store {
        &self.images
    }

    /// A word for this engine among others on the host: part of names that all of them share. Empty for the
    /// default root.
    fn suffix(&self) -> String {
        if self.root == Path::new(DEFAULT_ROOT) {
            return String::new();
        }
        use std::os::unix::ffi::OsStrExt;
        types::Digest::of(self.root.as_os_str().as_bytes()).hex()[..6].to_owned()
    }
}

/// Removes a directory and everything in it; one that is not there is as good as removed.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        // Somebody else removes it as well, or it is just being made: whoever comes last is done with it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(())
        }
        other => other,
    }
}

/// Nanoseconds since 1970, as the database keeps times. Fits until the year 2262.
fn now() -> i64 {
    Timestamp::now().as_nanosecond() as i64
}

/// The time that a column of the database stands for.
fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}

/// Where root's engine keeps what lasts.
pub const DEFAULT_ROOT: &str = "/var/lib/sampan";
/// The directory in an ordinary user's run directory with the list of those who are in its user namespace. See
/// [`sys::rootless`].
pub const NAMESPACE: &str = "namespace";
/// Where root's engine keeps what dies with the boot.
pub const DEFAULT_RUN: &str = "/run/sampan";
