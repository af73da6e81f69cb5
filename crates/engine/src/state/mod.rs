//! What must outlive every process: names, images' tags, networks, volumes, containers' configurations.
//!
//! One SQLite database in WAL mode, opened by each command for itself. Running processes are not in it: their
//! truth is in their containers' directories, guarded by locks that the kernel releases.
//!
//! Durability is chosen per transaction. What a user cannot get back is synced before the command says so; what
//! a crash may cost, such as the row of a `--rm` container, is not.

mod ballast;
mod containers;
mod digests;
mod images;
mod networks;
mod schema;
mod trash;
mod volumes;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

use self::ballast::Ballast;
pub use self::{
    containers::ContainerRow,
    digests::DigestRow,
    images::ImageRow,
    networks::{NetworkRow, TemplateRow},
    trash::TrashRow,
    volumes::{VolumeConfig, VolumeRow},
};
use crate::error::EngineError;

/// The database, open.
#[derive(Debug)]
pub struct State {
    connection: Connection,
    /// SQLite's write-ahead log.
    log: PathBuf,
    ballast: Ballast,
}

/// Whether a change is on the disk when the command says it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Survives a power cut at the next instant.
    Synced,
    /// Survives the death of any process; a power cut may take it back, as a whole.
    Lazy,
}

impl State {
    /// Opens the database below `root`, making it if it is not there, and bringing it up to date if it is old.
    pub fn open(root: &Path) -> Result<State, EngineError> {
        let path = root.join("state.db");
        if !path.exists() {
            create(root, &path)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        // Whoever closes last would otherwise write the log back and sync, at the end of every command.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // The first to open reads the whole log: keep it short.
        connection.pragma_update(None, "wal_autocheckpoint", LONG_PAGES)?;
        schema::upgrade(&connection)?;
        Ok(State { connection, log: root.join("state.db-wal"), ballast: Ballast::below(root) })
    }

    /// Runs `work` as one transaction that sees and changes the state as if nobody else were there.
    pub fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&State) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let synchronous = match durability {
            Durability::Synced => "FULL",
            Durability::Lazy => "NORMAL",
        };
        self.connection.pragma_update(None, "synchronous", synchronous)?;
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let result = work(self)?;
        transaction.commit()?;
        // The change is made whether or not this can be done now; whoever makes the next one tries again.
        let _ = self.shorten_log();
        Ok(result)
    }

    /// Runs `work`, which removes something, as [`State::write`] does; on a full disk in the room that was kept for it.
    pub fn remove<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&State) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.ballast.give_up_if_scarce();
        self.write(durability, work)
    }

    /// Empties the log if it is long, unless somebody reads from it.
    ///
    /// SQLite writes it anew from its beginning only if one process makes several changes, or another has the database
    /// open: for commands that come one after the other and make one change each, it would grow for ever.
    fn shorten_log(&self) -> Result<(), EngineError> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LONG) {
            self.ballast.take();
            self.connection.busy_timeout(Duration::ZERO)?;
            let shortened = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.connection.busy_timeout(PATIENCE)?;
            shortened?;
        }
        Ok(())
    }
}

/// Makes an empty database at `path`, unless somebody else is faster. It is made aside and appears complete:
/// changing to WAL mode is the one thing that SQLite does not let several processes wait for.
fn create(root: &Path, path: &Path) -> Result<(), EngineError> {
    let aside = tempfile::Builder::new().prefix(".state-").tempdir_in(root)?;
    let new = aside.path().join("state.db");
    let connection = Connection::open(&new)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    schema::upgrade(&connection)?;
    // Writes everything into the one file and removes the log.
    connection.close().map_err(|(_, error)| error)?;
    match fs::hard_link(&new, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(EngineError::File { path: path.to_owned(), source: error })
        }
        _ => {
            Ballast::below(root).take();
            Ok(())
        }
    }
}

/// How long to wait for others who change something.
const PATIENCE: Duration = Duration::from_secs(30);
/// The length from which on the log is written back into the database: in pages, and in bytes.
const LONG_PAGES: u32 = 100;
const LONG: u64 = LONG_PAGES as u64 * 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_short_though_each_command_makes_but_one_change() {
        let root = tempfile::tempdir().expect("tempdir");
        let change = |number: i64| {
            let state = State::open(root.path()).expect("opened");
            let written = state.write(Durability::Lazy, |state| {
                Ok(state.connection.execute("INSERT INTO volumes VALUES (?1, 0, 0, '{}')", [number])?)
            });
            assert_eq!(written.expect("written"), 1);
            fs::metadata(&state.log).expect("there is a log").len()
        };
        let longest = (0..500).map(change).max().expect("several");
        assert!(longest < 2 * LONG, "{longest}");
        let state = State::open(root.path()).expect("opened");
        let count = state.connection.query_row("SELECT count(*) FROM volumes", [], |row| row.get(0));
        assert_eq!(count, Ok(500));
    }
}
