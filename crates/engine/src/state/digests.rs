//! The digests by which registries know images: docker's RepoDigests.

use rusqlite::{OptionalExtension, Row, params};
use types::{Digest, Reference};

use super::{ImageRow, State, images};
use crate::error::EngineError;

/// A digest under which a registry knows an image: of its manifest, or of an index that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestRow {
    /// The registry and the path in it.
    pub repository: String,
    pub digest: Digest,
    /// The image's manifest.
    pub image: Digest,
}

impl DigestRow {
    /// The name that is made of it: `docker.io/library/busybox@sha256:…`.
    pub fn name(&self) -> Reference {
        format!("{}@{}", self.repository, self.digest).parse().expect("tried when the row was read")
    }
}

impl State {
    /// Lets `digest`, in the repository of `name`, stand for the image of `manifest`.
    pub fn set_digest(
        &self,
        name: &Reference,
        digest: &Digest,
        manifest: &Digest,
    ) -> Result<(), EngineError> {
        let sql = "INSERT INTO digests (repository, digest, image) VALUES (?1, ?2, ?3)
                   ON CONFLICT (repository, digest) DO UPDATE SET image = excluded.image";
        let (digest, manifest) = (digest.to_string(), manifest.to_string());
        self.connection.execute(sql, [repository(name), digest, manifest])?;
        Ok(())
    }

    /// The image that `digest` stands for in the repository of `name`.
    pub fn image_by_digest(
        &self,
        name: &Reference,
        digest: &Digest,
    ) -> Result<Option<ImageRow>, EngineError> {
        let sql = "SELECT manifest, id, created, size FROM images JOIN digests ON image = manifest
                   WHERE repository = ?1 AND digest = ?2";
        let key = params![repository(name), digest.to_string()];
        Ok(self.connection.prepare_cached(sql)?.query_row(key, images::image).optional()?)
    }

    pub fn delete_digest(&self, name: &Reference, digest: &Digest) -> Result<bool, EngineError> {
        let sql = "DELETE FROM digests WHERE repository = ?1 AND digest = ?2";
        Ok(self.connection.execute(sql, [repository(name), digest.to_string()])? > 0)
    }

    /// All digests, in the order of their repositories.
    pub fn digests(&self) -> Result<Vec<DigestRow>, EngineError> {
        let sql = "SELECT repository, digest, image FROM digests ORDER BY repository, digest";
        Ok(self.connection.prepare_cached(sql)?.query_map([], digest)?.collect::<Result<_, _>>()?)
    }

    /// All that one image is called: its tags, then its digests.
    pub fn names_of(&self, manifest: &Digest) -> Result<Vec<Reference>, EngineError> {
        let mut names = self.tags_of(manifest)?;
        names.extend(self.digests_of(manifest)?.iter().map(DigestRow::name));
        Ok(names)
    }

    /// The digests of one image.
    pub fn digests_of(&self, manifest: &Digest) -> Result<Vec<DigestRow>, EngineError> {
        let sql =
            "SELECT repository, digest, image FROM digests WHERE image = ?1 ORDER BY repository, digest";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_map([manifest.to_string()], digest)?.collect::<Result<_, _>>()?)
    }
}

/// Of a name, the registry and the path.
fn repository(name: &Reference) -> String {
    format!("{}/{}", name.registry(), name.path())
}

fn digest(row: &Row<'_>) -> rusqlite::Result<DigestRow> {
    let found = DigestRow {
        repository: row.get(0)?,
        digest: images::parsed(row, 1)?,
        image: images::parsed(row, 2)?,
    };
    let name = format!("{}@{}", found.repository, found.digest).parse::<Reference>();
    name.map(|_| found).map_err(|error| images::unreadable(0, error))
}
