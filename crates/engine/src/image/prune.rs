//! Removing all images that nobody needs.

use super::{ImageFilters, ImageSummary, Removed, remove::untag};
use crate::{Container, Engine, error::EngineError, state::Durability};

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
        let mut farewells = Vec::new();
        self.state.remove(Durability::Synced, |state| {
            for image in self.unneeded_images(unneeded, filters, &self.containers()?)? {
                let names = [image.names, image.digests].concat();
                let row = state.image_by_manifest(&image.manifest)?;
                farewells.extend(row.as_ref().map(|row| self.farewell(row, &names, true)));
                untag(state, names.clone(), &mut removed)?;
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
            Ok(())
        })?;
        farewells.iter().for_each(|farewell| farewell.note(self));
        self.write_index()?;
        let freed = self.collect()?;
        removed.extend(freed.layers.into_iter().map(Removed::Layer));
        let partials = self.images.drop_partials()?;
        let bytes = freed.bytes + partials + waiting;
        self.note_pruned("image", bytes);
        Ok(Pruned { removed, bytes })
    }

    /// The images that are meant and that none of `containers` is made from.
    pub(crate) fn unneeded_images(
        &self,
        unneeded: Unneeded,
        filters: &ImageFilters,
        containers: &[Container],
    ) -> Result<Vec<ImageSummary>, EngineError> {
        let is_used = |image: &ImageSummary| containers.iter().any(|user| user.config.image_id == image.id);
        let mut images = self.select_images(filters)?;
        images.retain(|image| {
            let is_unneeded = match unneeded {
                Unneeded::Dangling => image.names.is_empty(),
                Unneeded::Unused => true,
            };
            is_unneeded && !is_used(image)
        });
        Ok(images)
    }
}
