//! Networks: their names, subnets and bridges.

use rusqlite::{ErrorCode, OptionalExtension, Row, params};
use types::{NetworkId, NetworkName};

use super::{State, images::parsed};
use crate::{
    error::EngineError,
    network::{NetworkConfig, NetworkRequest},
};

/// A network as it was created.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct NetworkRow {
    pub id: NetworkId,
    pub name: NetworkName,
    /// Nanoseconds since 1970.
    pub created: i64,
    pub config: NetworkConfig,
}

/// What networks can be made like.
#[derive(Debug, Clone)]
pub struct TemplateRow {
    pub id: NetworkId,
    pub name: NetworkName,
    /// Nanoseconds since 1970.
    pub created: i64,
    pub request: NetworkRequest,
}

impl State {
    /// Adds a network; fails with [`EngineError::NetworkExists`] if another has its name.
    pub fn insert_network(&self, row: &NetworkRow) -> Result<(), EngineError> {
        let sql = "INSERT INTO networks (id, name, created, subnet, bridge, config) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let config = serde_json::to_string(&row.config).map_err(std::io::Error::from)?;
        let inserted = self.connection.execute(
            sql,
            params![
                row.id.to_string(),
                &*row.name,
                row.created,
                row.config.subnet.to_string(),
                row.config.bridge.to_string(),
                config
            ],
        );
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                match self.network_by_name(&row.name)? {
                    Some(_) => Err(EngineError::NetworkExists(row.name.clone())),
                    None => Err(error.into()),
                }
            }
            other => Ok(other.map(drop)?),
        }
    }

    pub fn delete_network(&self, id: &NetworkId) -> Result<(), EngineError> {
        self.connection.execute("DELETE FROM networks WHERE id = ?1", [id.to_string()])?;
        Ok(())
    }

    pub fn network_by_name(&self, name: &str) -> Result<Option<NetworkRow>, EngineError> {
        let sql = "SELECT id, name, created, config FROM networks WHERE name = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([name], network).optional()?)
    }

    /// All networks, the newest first.
    pub fn networks(&self) -> Result<Vec<NetworkRow>, EngineError> {
        let sql = "SELECT id, name, created, config FROM networks ORDER BY created DESC";
        Ok(self.connection.prepare_cached(sql)?.query_map([], network)?.collect::<Result<_, _>>()?)
    }
}

impl State {
    /// Adds a configuration for networks, whose name nobody has.
    pub fn insert_template(&self, row: &TemplateRow) -> Result<(), EngineError> {
        let sql = "INSERT INTO network_templates (id, name, created, request) VALUES (?1, ?2, ?3, ?4)";
        let request = serde_json::to_string(&row.request).map_err(std::io::Error::from)?;
        self.connection.execute(sql, params![row.id.to_string(), &*row.name, row.created, request])?;
        Ok(())
    }

    pub fn delete_template(&self, id: &NetworkId) -> Result<(), EngineError> {
        self.connection.execute("DELETE FROM network_templates WHERE id = ?1", [id.to_string()])?;
        Ok(())
    }

    /// All configurations for networks, the newest first.
    pub fn templates(&self) -> Result<Vec<TemplateRow>, EngineError> {
        let sql = "SELECT id, name, created, request FROM network_templates ORDER BY created DESC";
        let template = |row: &Row<'_>| {
            Ok(TemplateRow {
                id: parsed(row, 0)?,
                name: parsed(row, 1)?,
                created: row.get(2)?,
                request: json(row, 3)?,
            })
        };
        Ok(self.connection.prepare_cached(sql)?.query_map([], template)?.collect::<Result<_, _>>()?)
    }
}

fn network(row: &Row<'_>) -> rusqlite::Result<NetworkRow> {
    Ok(NetworkRow { id: parsed(row, 0)?, name: parsed(row, 1)?, created: row.get(2)?, config: json(row, 3)? })
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
