//! Removing all images that nobody needs.

use types::Digest;

use super::{ImageFilters, ImageSummary, Removed, remove::untag};
use crate::{Engine, error::EngineError, state::Durability, trash::TrashItem};

/// Which images nobody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unneeded {
    /// Those that no tag stands for.
    Dangling,
    /// Those that no container is made from.
    Unused,
}

/// What pruning took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: Vec<Removed>,
    /// The disk space it gave back, or will when the trash is emptied.
    pub bytes: u64,
}

impl Engine {
    /// Removes the images that are meant and that nobody needs, with what interrupted commands left in the store. No image
    /// that a container is made from is removed.
    pub fn prune_images(&self, unneeded: Unneeded, filters: &ImageFilters) -> Result<Pruned, EngineError> {
        let mut removed = Vec::new();
        let mut waiting = 0;
        self.state.write(Durability::Synced, |state| {
            let used: Vec<Digest> = self.containers()?.into_iter().map(|user| user.config.image_id).collect();
            let is_unneeded = |image: &ImageSummary| match unneeded {
                Unneeded::Dangling => image.names.is_empty(),
                Unneeded::Unused => true,
            };
            for image in self.select_images(filters)? {
                if is_unneeded(&image) && !used.contains(&image.id) {
                    let names = [image.names, image.digests].concat();
                    untag(state, names.clone(), &mut removed)?;
                    let row = state.image_by_manifest(&image.manifest)?;
                    state.delete_image(&image.manifest)?;
                    removed.push(Removed::Image(image.id));
                    if let (true, Some(row)) = (self.keeps_trash(), row) {
                        let (layers, bytes) = self.going_with(&row.manifest)?;
                        if self.throw_names_away(state, &row, &names, bytes)? {
                            removed.extend(layers.into_iter().map(Removed::Layer));
                            waiting += bytes;
                        }
                    }
                }
            }
            Ok(())
        })?;
        self.note_removed(&removed);
        self.write_index()?;
        let freed = self.collect()?;
        removed.extend(freed.layers.into_iter().map(Removed::Layer));
        let partials = self.images.drop_partials()?;
        let bytes = freed.bytes + partials + waiting;
        self.note_of("image", "", "prune", &[("reclaimed", &bytes.to_string())]);
        Ok(Pruned { removed, bytes })
    }

    /// What [`Engine::prune_images`] would take away. Of layers that several of the images share, none counts.
    pub fn would_prune_images(
        &self,
        unneeded: Unneeded,
        filters: &ImageFilters,
    ) -> Result<Vec<TrashItem>, EngineError> {
        let used: Vec<Digest> = self.containers()?.into_iter().map(|user| user.config.image_id).collect();
        let mut items = Vec::new();
        for image in self.select_images(filters)? {
            if (unneeded == Unneeded::Unused || image.names.is_empty()) && !used.contains(&image.id) {
                let name = image.names.first().map_or_else(|| image.id.to_string(), |name| name.familiar());
                items.push(TrashItem::planned("image", name, self.going_with(&image.manifest)?.1));
            }
        }
        Ok(items)
    }
}
