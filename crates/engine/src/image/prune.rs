//! Removing all images that nobody needs.

use types::Digest;

use super::{ImageFilters, ImageSummary, Removed, remove::untag};
use crate::{Engine, error::EngineError, state::Durability};

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
    /// The disk space it gave back.
    pub bytes: u64,
}

impl Engine {
    /// Removes the images that are meant and that nobody needs, with what interrupted commands left in the store. No image
    /// that a container is made from is removed.
    pub fn prune_images(&self, unneeded: Unneeded, filters: &ImageFilters) -> Result<Pruned, EngineError> {
        let mut removed = Vec::new();
        self.state.write(Durability::Synced, |state| {
            let used: Vec<Digest> = self.containers()?.into_iter().map(|user| user.config.image_id).collect();
            let is_unneeded = |image: &ImageSummary| match unneeded {
                Unneeded::Dangling => image.names.is_empty(),
                Unneeded::Unused => true,
            };
            for image in self.select_images(filters)? {
                if is_unneeded(&image) && !used.contains(&image.id) {
                    untag(state, [image.names, image.digests].concat(), &mut removed)?;
                    state.delete_image(&image.manifest)?;
                    removed.push(Removed::Image(image.id));
                }
            }
            Ok(())
        })?;
        self.write_index()?;
        let freed = self.collect()?;
        removed.extend(freed.layers.into_iter().map(Removed::Layer));
        let partials = self.images.drop_partials()?;
        Ok(Pruned { removed, bytes: freed.bytes + partials })
    }
}
