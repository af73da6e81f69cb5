//! `type=local`: the files of the image in a directory of the user's.
//!
//! As BuildKit has it: what is in the directory and not in the image stays; a file replaces what has its name, and so
//! does a directory anything but a directory; links in the directory are replaced, never followed. All is the user's
//! who builds, with the modes and times of the image.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path};

use image::tree::{Found, Links, Owner, Root};

use super::{ExportError, Results, Split};
use crate::stack::Copier;

impl Results<'_> {
    pub fn local(&self, to: &Path, split: Split) -> Result<(), ExportError> {
        for (directory, stack) in self.trees(split)? {
            let to = directory.map_or(to.to_owned(), |directory| to.join(directory));
            let failed = |source| ExportError::Write { path: to.clone(), source };
            let mut copier = Copier::new(open(&to).map_err(failed)?, Some(our_user()));
            stack.walk(Path::new(""), &mut |_, found: Found<'_>| {
                let path = to.join(found.path);
                copier.put(&found).map_err(|source| ExportError::Write { path, source })
            })?;
            copier.finish().map_err(failed)?;
        }
        Ok(())
    }
}

/// Opens the directory, making it if it is not there. It may be given by a link; below it none is followed.
fn open(path: &Path) -> io::Result<Root> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    Root::open(&path.canonicalize()?, Links::Refused)
}

fn our_user() -> Owner {
    Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}
