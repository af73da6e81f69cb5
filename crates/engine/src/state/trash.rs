//! What was removed and can be had back.

use rusqlite::{Row, params};

use super::State;
use crate::{error::EngineError, trash::Removal};

/// One thing in the trash. Its files, if it has any, are in a directory that its id names.
#[derive(Debug, Clone)]
pub struct TrashRow {
    pub id: String,
    /// The same for all that one command removed; later ones sort later.
    pub batch: String,
    /// Nanoseconds since 1970.
    pub deleted: i64,
    /// The disk space that emptying it gives back.
    pub bytes: u64,
    pub what: Removal,
}

impl State {
    pub fn insert_trash(&self, row: &TrashRow) -> Result<(), EngineError> {
        let sql = "INSERT INTO trash (id, batch, deleted, bytes, what) VALUES (?1, ?2, ?3, ?4, ?5)";
        let what = serde_json::to_string(&row.what).map_err(std::io::Error::from)?;
        self.connection.execute(sql, params![row.id, row.batch, row.deleted, row.bytes as i64, what])?;
        Ok(())
    }

    pub fn delete_trash(&self, id: &str) -> Result<bool, EngineError> {
        Ok(self.connection.execute("DELETE FROM trash WHERE id = ?1", [id])? > 0)
    }

    /// All of it, what was removed last first.
    pub fn trash(&self) -> Result<Vec<TrashRow>, EngineError> {
        let sql = "SELECT id, batch, deleted, bytes, what FROM trash ORDER BY batch DESC, deleted DESC";
        Ok(self.connection.prepare_cached(sql)?.query_map([], trash)?.collect::<Result<_, _>>()?)
    }

    /// How many things there are, and how much space they take.
    pub fn trash_size(&self) -> Result<(u64, u64), EngineError> {
        let sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM trash";
        let size = self
            .connection
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?;
        Ok(size)
    }
}

fn trash(row: &Row<'_>) -> rusqlite::Result<TrashRow> {
    let what: String = row.get(4)?;
    Ok(TrashRow {
        id: row.get(0)?,
        batch: row.get(1)?,
        deleted: row.get(2)?,
        bytes: row.get::<_, i64>(3)? as u64,
        what: serde_json::from_str(&what).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error))
        })?,
    })
}
