//! `type=tar`: the files of the image as one archive, owners and all.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use image::{
    layer::{Packer, Packing},
    tree::Found,
};

use super::{ExportError, Results, Split};

impl Results<'_> {
    pub fn tar(&self, target: impl Write, split: Split) -> Result<(), ExportError> {
        let mut archive = Packer::new(BufWriter::with_capacity(BUFFER, target), Packing::Files);
        for (directory, stack) in self.trees(split)? {
            if let Some(directory) = directory {
                archive.begin(&directory)?;
            }
            stack.walk(Path::new(""), &mut |_, found: Found<'_>| archive.pack(&found))?;
        }
        archive.finish()?;
        Ok(())
    }
}

const BUFFER: usize = 128 << 10;
