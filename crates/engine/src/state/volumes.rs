//! Volumes: which there are, and which of them nobody named.

use rusqlite::{OptionalExtension, params};

use super::State;
use crate::error::EngineError;

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRow {
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// Made for one container, and removed with it by `rm -v` and `run --rm`.
    pub anonymous: bool,
}

impl State {
    /// Adds a volume unless it exists.
    pub fn ensure_volume(&self, row: &VolumeRow) -> Result<(), EngineError> {
        let sql = "INSERT OR IGNORE INTO volumes (name, created, anonymous) VALUES (?1, ?2, ?3)";
        self.connection.execute(sql, params![row.name, row.created, row.anonymous])?;
        Ok(())
    }

    pub fn delete_volume(&self, name: &str) -> Result<bool, EngineError> {
        Ok(self.connection.execute("DELETE FROM volumes WHERE name = ?1", [name])? > 0)
    }

    pub fn volume(&self, name: &str) -> Result<Option<VolumeRow>, EngineError> {
        let sql = "SELECT name, created, anonymous FROM volumes WHERE name = ?1";
        let row = self.connection.prepare_cached(sql)?.query_row([name], |row| {
            Ok(VolumeRow { name: row.get(0)?, created: row.get(1)?, anonymous: row.get(2)? })
        });
        Ok(row.optional()?)
    }
}
