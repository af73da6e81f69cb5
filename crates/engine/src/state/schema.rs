//! The database's tables, as the steps that led to them.
//!
//! A step is never changed once a program with it is out: an old database is brought up to date by the steps that it
//! lacks, a new one by all of them. How many it has is its version, SQLite's `user_version`.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::EngineError;

/// The version of a database that has every step.
pub const VERSION: u32 = STEPS.len() as u32;

/// Brings the database up to date, whatever version it is of. Of several processes that find it old at once, one does it
/// and the others wait. Fails with [`EngineError::ForeignState`] if it is of a later version.
pub fn upgrade(connection: &Connection) -> Result<(), EngineError> {
    match version(connection)? {
        VERSION => return Ok(()),
        found if found > VERSION => return Err(EngineError::ForeignState { found, known: VERSION }),
        _ => {}
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Asked again, now that nobody else can change it.
    let found = version(connection)?;
    for step in STEPS.iter().skip(found as usize) {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", VERSION.max(found))?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> Result<u32, EngineError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

const STEPS: &[&str] = &[FIRST, DIGESTS, VOLUMES, TRASH, TEMPLATES];

const FIRST: &str = "
CREATE TABLE images (
    manifest TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    created INTEGER NOT NULL,
    size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX images_by_id ON images (id);

CREATE TABLE tags (
    name TEXT PRIMARY KEY,
    manifest TEXT NOT NULL REFERENCES images (manifest)
) WITHOUT ROWID;
CREATE INDEX tags_by_manifest ON tags (manifest);

CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    image TEXT NOT NULL,
    config TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX containers_by_image ON containers (image);

CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    subnet TEXT NOT NULL UNIQUE,
    bridge TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE volumes (
    name TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    anonymous INTEGER NOT NULL
) WITHOUT ROWID;
";

/// By which digests registries know images. `repository` is the registry and the path in it.
const DIGESTS: &str = "
CREATE TABLE digests (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    image TEXT NOT NULL REFERENCES images (manifest),
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX digests_by_image ON digests (image);
";

/// Labels and options of volumes.
const VOLUMES: &str = "
ALTER TABLE volumes ADD COLUMN config TEXT NOT NULL DEFAULT '{}';
";

/// What was removed and can be had back.
const TRASH: &str = "
CREATE TABLE trash (
    id TEXT PRIMARY KEY,
    batch TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    what TEXT NOT NULL
) WITHOUT ROWID;
";

/// Networks that are only a configuration for others.
const TEMPLATES: &str = "
CREATE TABLE network_templates (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    request TEXT NOT NULL
) WITHOUT ROWID;
";

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as the first version made it.
    fn first() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch(FIRST).unwrap();
        let rows = "INSERT INTO images VALUES ('m', 'i', 1, 2); INSERT INTO tags VALUES ('n', 'm');";
        connection.execute_batch(rows).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        (directory, path)
    }

    #[test]
    fn an_old_database_is_brought_up_to_date_by_one_of_those_who_find_it() {
        let (_directory, path) = first();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let connection = Connection::open(&path).unwrap();
                    connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                    upgrade(&connection).unwrap();
                });
            }
        });
        let connection = Connection::open(&path).unwrap();
        assert_eq!(version(&connection).unwrap(), VERSION);
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM images JOIN tags USING (manifest)"), 1);
        assert_eq!(count("SELECT count(*) FROM digests"), 0);
    }

    #[test]
    fn an_old_database_ends_up_as_a_new_one() {
        let schema = |connection: &Connection| -> Vec<String> {
            let mut all =
                connection.prepare("SELECT name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1").unwrap();
            all.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let (_directory, path) = first();
        let old = Connection::open(&path).unwrap();
        upgrade(&old).unwrap();
        let new = Connection::open_in_memory().unwrap();
        upgrade(&new).unwrap();
        assert_eq!(schema(&old), schema(&new));
    }

    #[test]
    fn a_database_of_a_later_version_is_left_alone() {
        let (_directory, path) = first();
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(upgrade(&connection), Err(EngineError::ForeignState { .. })));
    }
}
