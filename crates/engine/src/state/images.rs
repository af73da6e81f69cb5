//! Images and the names they have.

use rusqlite::{OptionalExtension, Row, params};
use types::{Digest, Reference};

use super::State;
use crate::error::EngineError;

/// An image of the store, as listings need it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageRow {
    pub manifest: Digest,
    /// The configuration's digest: what users call the image's id.
    pub id: Digest,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// The layers' sizes, uncompressed.
    pub size: u64,
}

/// A name and the image it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub name: Reference,
    pub manifest: Digest,
}

impl State {
    /// Adds an image. The same image by another manifest, which says only how its layers are compressed, makes way for
    /// it: all its names mean this one from now on.
    pub fn insert_image(&self, image: &ImageRow) -> Result<(), EngineError> {
        let sql = "INSERT OR IGNORE INTO images (manifest, id, created, size) VALUES (?1, ?2, ?3, ?4)";
        let (manifest, id) = (image.manifest.to_string(), image.id.to_string());
        let row = params![manifest, id, image.created, image.size as i64];
        self.connection.prepare_cached(sql)?.execute(row)?;
        for moved in [
            "UPDATE tags SET manifest = ?1 WHERE manifest IN (SELECT manifest FROM images WHERE id = ?2)",
            "UPDATE digests SET image = ?1 WHERE image IN (SELECT manifest FROM images WHERE id = ?2)",
            "DELETE FROM images WHERE id = ?2 AND manifest <> ?1",
        ] {
            self.connection.prepare_cached(moved)?.execute([&manifest, &id])?;
        }
        Ok(())
    }

    /// Removes an image that no name or digest stands for.
    pub fn delete_image(&self, manifest: &Digest) -> Result<(), EngineError> {
        self.connection.execute("DELETE FROM images WHERE manifest = ?1", [manifest.to_string()])?;
        Ok(())
    }

    /// All images, the newest first.
    pub fn images(&self) -> Result<Vec<ImageRow>, EngineError> {
        let sql = "SELECT manifest, id, created, size FROM images ORDER BY created DESC, id";
        Ok(self.connection.prepare_cached(sql)?.query_map([], image)?.collect::<Result<_, _>>()?)
    }

    /// The images whose id starts with `digits`; more than one if they are too few to tell.
    pub fn images_by_prefix(&self, digits: &str) -> Result<Vec<ImageRow>, EngineError> {
        let sql = "SELECT manifest, id, created, size FROM images WHERE id GLOB ?1 LIMIT 3";
        let pattern = format!("sha256:{digits}*");
        Ok(self.connection.prepare_cached(sql)?.query_map([pattern], image)?.collect::<Result<_, _>>()?)
    }

    pub fn image_by_manifest(&self, manifest: &Digest) -> Result<Option<ImageRow>, EngineError> {
        let sql = "SELECT manifest, id, created, size FROM images WHERE manifest = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([manifest.to_string()], image).optional()?)
    }

    pub fn image_by_id(&self, id: &Digest) -> Result<Option<ImageRow>, EngineError> {
        let sql = "SELECT manifest, id, created, size FROM images WHERE id = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([id.to_string()], image).optional()?)
    }

    /// The image that `name` stands for.
    pub fn image_by_name(&self, name: &Reference) -> Result<Option<ImageRow>, EngineError> {
        let sql = "SELECT manifest, id, created, size FROM images JOIN tags USING (manifest) WHERE name = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([name.to_string()], image).optional()?)
    }

    /// Lets `name` stand for the image of `manifest`, whatever it stood for before.
    pub fn set_tag(&self, name: &Reference, manifest: &Digest) -> Result<(), EngineError> {
        let sql = "INSERT INTO tags (name, manifest) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET manifest = excluded.manifest";
        self.connection.execute(sql, [name.to_string(), manifest.to_string()])?;
        Ok(())
    }

    pub fn delete_tag(&self, name: &Reference) -> Result<bool, EngineError> {
        Ok(self.connection.execute("DELETE FROM tags WHERE name = ?1", [name.to_string()])? > 0)
    }

    /// All tags, in order.
    pub fn tags(&self) -> Result<Vec<Tag>, EngineError> {
        let mut statement =
            self.connection.prepare_cached("SELECT name, manifest FROM tags ORDER BY name")?;
        let tags =
            statement.query_map([], |row| Ok(Tag { name: parsed(row, 0)?, manifest: parsed(row, 1)? }))?;
        Ok(tags.collect::<Result<_, _>>()?)
    }

    /// The tags of one image, in order.
    pub fn tags_of(&self, manifest: &Digest) -> Result<Vec<Reference>, EngineError> {
        let sql = "SELECT name FROM tags WHERE manifest = ?1 ORDER BY name";
        let mut statement = self.connection.prepare_cached(sql)?;
        let tags = statement.query_map([manifest.to_string()], |row| parsed(row, 0))?;
        Ok(tags.collect::<Result<_, _>>()?)
    }
}

pub(super) fn image(row: &Row<'_>) -> rusqlite::Result<ImageRow> {
    Ok(ImageRow {
        manifest: parsed(row, 0)?,
        id: parsed(row, 1)?,
        created: row.get(2)?,
        size: row.get::<_, i64>(3)? as u64,
    })
}

/// A column that holds the text of a value.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

/// A column whose text is none of a value.
pub(super) fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}
