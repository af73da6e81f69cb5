//! Volumes: which there are, what they are like, and which of them nobody named.

use std::{collections::BTreeMap, io};

use rusqlite::{OptionalExtension, Row, params};

use super::State;
use crate::error::EngineError;

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VolumeRow {
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// Made for one container, and removed with it by `rm -v` and `run --rm`.
    pub anonymous: bool,
    pub config: VolumeConfig,
}

/// What a volume was made with.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct VolumeConfig {
    pub labels: BTreeMap<String, String>,
    /// What is mounted in its place, if it is not a directory of ours: `type`, `device`, `o`.
    pub options: BTreeMap<String, String>,
}

impl State {
    /// Adds a volume unless it exists; whether it was added.
    pub fn ensure_volume(&self, row: &VolumeRow) -> Result<bool, EngineError> {
        let sql = "INSERT OR IGNORE INTO volumes (name, created, anonymous, config) VALUES (?1, ?2, ?3, ?4)";
        let config = serde_json::to_string(&row.config).map_err(io::Error::from)?;
        Ok(self.connection.execute(sql, params![row.name, row.created, row.anonymous, config])? > 0)
    }

    pub fn delete_volume(&self, name: &str) -> Result<bool, EngineError> {
        Ok(self.connection.execute("DELETE FROM volumes WHERE name = ?1", [name])? > 0)
    }

    pub fn volume(&self, name: &str) -> Result<Option<VolumeRow>, EngineError> {
        let sql = "SELECT name, created, anonymous, config FROM volumes WHERE name = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([name], volume).optional()?)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<VolumeRow>, EngineError> {
        let sql = "SELECT name, created, anonymous, config FROM volumes ORDER BY name";
        Ok(self.connection.prepare_cached(sql)?.query_map([], volume)?.collect::<Result<_, _>>()?)
    }
}

fn volume(row: &Row<'_>) -> rusqlite::Result<VolumeRow> {
    let config: String = row.get(3)?;
    Ok(VolumeRow {
        name: row.get(0)?,
        created: row.get(1)?,
        anonymous: row.get(2)?,
        config: serde_json::from_str(&config).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error))
        })?,
    })
}
