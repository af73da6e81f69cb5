//! The files of an image, as those see them who export nothing else.

use image::Image;
use types::Platform;

use super::{ExportError, Results, Split};
use crate::stack::Stack;

impl Results<'_> {
    /// The file systems to export, each with the directory it is to go to, if it is to have one of its own.
    pub fn trees(&self, split: Split) -> Result<Vec<(Option<String>, Stack)>, ExportError> {
        let is_split = match (split, self.images) {
            (Split::Never, [_, _, ..]) => return Err(ExportError::Unsplit),
            (Split::Never, _) => false,
            (Split::Auto, images) => images.len() > 1,
        };
        let tree = |image: &Image| {
            let directories = self.lease.store().layer_directories(image)?;
            let stack = Stack::open(directories.iter().map(|directory| directory.as_path()))?;
            Ok((is_split.then(|| directory_of(&image.config.platform())), stack))
        };
        self.images.iter().map(tree).collect()
    }
}

/// `linux_arm64_v8`.
fn directory_of(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}
