//! `type=oci` and `type=docker`: images as an image layout, in an archive or a directory.

use image::archive::Layout;
use types::Reference;

use super::{ExportError, Family, Package, Results, Target, package::Packed};

impl Results<'_> {
    pub fn layout(
        &self,
        family: Family,
        names: &[Reference],
        package: Package,
        to: Target,
    ) -> Result<Packed, ExportError> {
        if family == Family::Docker && self.images.len() > 1 {
            return Err(ExportError::SeveralForDocker);
        }
        let packed = self.package(package)?;
        let mut layout = Layout::default();
        layout.list(&packed.descriptor, names);
        if let Some(index) = &packed.index {
            layout.add_index(index.digest);
        }
        for image in &packed.images {
            layout.add(image);
            if family == Family::Docker {
                layout.list_for_docker(image, names);
            }
        }
        let store = self.lease.store();
        match to {
            Target::Archive(target) => layout.write_archive(store, target)?,
            Target::Directory(directory) => layout.write_directory(store, &directory)?,
        }
        Ok(packed)
    }
}
