//! Containers: their names and how they were configured.

use std::cmp::Reverse;

use rusqlite::{ErrorCode, OptionalExtension, Row, params};
use types::{ContainerId, Digest, Name};

use super::{State, images::parsed};
use crate::{container::Config, error::EngineError, several::by_several};

/// A container as it was configured. Nothing here changes because it runs.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ContainerRow {
    pub id: ContainerId,
    pub name: Name,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// The manifest of its image, which stays while the container does.
    pub image: Digest,
    pub config: Config,
}

impl State {
    /// Adds a container; fails with [`EngineError::NameInUse`] if another has its name.
    pub fn insert_container(&self, row: &ContainerRow) -> Result<(), EngineError> {
        let sql = "INSERT INTO containers (id, name, created, image, config) VALUES (?1, ?2, ?3, ?4, ?5)";
        let config = serde_json::to_string(&row.config).map_err(std::io::Error::from)?;
        let inserted = self.connection.prepare_cached(sql)?.execute(params![
            row.id.to_string(),
            &*row.name,
            row.created,
            row.image.to_string(),
            config
        ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                match self.container_by_name(&row.name)? {
                    Some(holder) => Err(EngineError::NameInUse { name: row.name.clone(), holder: holder.id }),
                    None => Err(error.into()),
                }
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Gives a container another name; fails with [`EngineError::NameInUse`] if another has it.
    pub fn rename_container(&self, id: &ContainerId, name: &Name) -> Result<(), EngineError> {
        let sql = "UPDATE containers SET name = ?2 WHERE id = ?1";
        match self.connection.prepare_cached(sql)?.execute(params![id.to_string(), &**name]) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                match self.container_by_name(name)? {
                    Some(holder) => Err(EngineError::NameInUse { name: name.clone(), holder: holder.id }),
                    None => Err(error.into()),
                }
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Replaces a container's configuration.
    pub fn set_config(&self, id: &ContainerId, config: &Config) -> Result<(), EngineError> {
        let config = serde_json::to_string(config).map_err(std::io::Error::from)?;
        let sql = "UPDATE containers SET config = ?2 WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![id.to_string(), config])?;
        Ok(())
    }

    pub fn delete_container(&self, id: &ContainerId) -> Result<(), EngineError> {
        self.connection.prepare_cached("DELETE FROM containers WHERE id = ?1")?.execute([id.to_string()])?;
        Ok(())
    }

    pub fn container_by_name(&self, name: &str) -> Result<Option<ContainerRow>, EngineError> {
        self.one_container("name = ?1", name)
    }

    pub fn container_by_id(&self, id: &ContainerId) -> Result<Option<ContainerRow>, EngineError> {
        self.one_container("id = ?1", &id.to_string())
    }

    fn one_container(&self, condition: &str, value: &str) -> Result<Option<ContainerRow>, EngineError> {
        let sql = format!("SELECT id, name, created, image, config FROM containers WHERE {condition}");
        Ok(self.connection.prepare_cached(&sql)?.query_row([value], container).optional()?)
    }

    /// The containers whose id starts with `digits`; more than one if they are too few to tell.
    pub fn containers_by_prefix(&self, digits: &str) -> Result<Vec<ContainerRow>, EngineError> {
        let sql = "SELECT id, name, created, image, config FROM containers WHERE id GLOB ?1 LIMIT 2";
        let pattern = format!("{digits}*");
        Ok(self.connection.prepare_cached(sql)?.query_map([pattern], container)?.collect::<Result<_, _>>()?)
    }

    /// All containers, the newest first.
    pub fn containers(&self) -> Result<Vec<ContainerRow>, EngineError> {
        let sql = "SELECT id, name, created, image, config FROM containers";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query_map([], Unread::of)?.collect::<Result<Vec<_>, _>>()?;
        // SQLite would copy every configuration to put them in order.
        rows.sort_by_key(|row| Reverse(row.created));
        Ok(by_several(&rows, Unread::read).into_iter().collect::<Result<_, _>>()?)
    }
}

/// A row whose configuration, which is the most of it, is still text.
struct Unread {
    id: ContainerId,
    name: Name,
    created: i64,
    image: Digest,
    config: String,
}

impl Unread {
    fn of(row: &Row<'_>) -> rusqlite::Result<Unread> {
        let (id, name, image) = (parsed(row, 0)?, parsed(row, 1)?, parsed(row, 3)?);
        Ok(Unread { id, name, created: row.get(2)?, image, config: row.get(4)? })
    }

    fn read(&self) -> rusqlite::Result<ContainerRow> {
        let Unread { id, name, created, image, config } = self;
        let config = serde_json::from_str(config).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error))
        })?;
        Ok(ContainerRow { id: *id, name: name.clone(), created: *created, image: *image, config })
    }
}

fn container(row: &Row<'_>) -> rusqlite::Result<ContainerRow> {
    Unread::of(row)?.read()
}
