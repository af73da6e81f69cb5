//! What becomes of a finished build: an image in the store, in a registry or in a file, or the files themselves.
//!
//! A file for each kind. All of them work on images that the store holds and nobody else knows yet: only
//! [`Output::Image`] lets a name stand for one.

mod annotation;
mod files;
mod index;
mod layout;
mod local;
mod package;
mod tar;

use std::{io, io::Write, path::PathBuf, time::Instant};

use image::{ArchiveError, Image, Lease, StoreError, layer::PackError, manifest::Descriptor};
use types::{Platform, Reference};

pub use annotation::{Annotation, Annotations, Place};
pub use package::Package;

use crate::{
    event::{Event, Exporter, Task, TaskId},
    host::{Host, HostError},
    progress::Progress,
};
use package::Packed;

/// Something to make of what was built. Docker's names for the kinds are those of its `--output`.
pub enum Output {
    /// `image`: into the store, under the build's names or these, if there are any; with `push`, to their registries too.
    Image { names: Vec<Reference>, push: bool, package: Package },
    /// `oci`, and `docker` with a destination: an image as a file.
    Layout { family: Family, names: Vec<Reference>, package: Package, to: Target },
    /// `tar`: the files, as one archive.
    Tar { to: Box<dyn Write + Send>, split: Split },
    /// `local`: the files.
    Local { to: PathBuf, split: Split },
}

/// Whom an image in a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Oci,
    /// With docker's `manifest.json` for readers older than OCI layouts.
    Docker,
}

/// Where an image goes as a file.
pub enum Target {
    Archive(Box<dyn Write + Send>),
    Directory(PathBuf),
}

/// Whether each platform's files go into a directory of their own: `linux_amd64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Split {
    /// If there are several.
    #[default]
    Auto,
    Never,
}

/// What was exported, as far as it can be named afterwards.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exported {
    /// What the image is: its manifest, or an index if it is for several platforms. `None` if only files were exported.
    pub descriptor: Option<Descriptor>,
    /// What it is called.
    pub names: Vec<Reference>,
}

/// Why a result could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("cannot read the image's files")]
    Read(#[from] io::Error),
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("docker exporter does not support exporting manifest lists, use the oci exporter instead")]
    SeveralForDocker,
    #[error("index annotations not supported for single platform export")]
    NoIndex,
    #[error("tag is needed when pushing to registry")]
    NoTag,
    #[error("layers that are not compressed cannot be pushed: choose compression=gzip or zstd")]
    PushPlain,
    #[error("several platforms cannot be exported to one directory: leave out platform-split=false")]
    Unsplit,
}

/// What is exported.
pub struct Results<'a> {
    pub host: &'a dyn Host,
    /// Holds all of the images.
    pub lease: &'a Lease,
    /// One for each platform.
    pub images: &'a [Image],
    /// `--tag`.
    pub tags: &'a [Reference],
    pub annotations: &'a Annotations,
}

impl Results<'_> {
    /// Carries out `outputs`, in their order.
    pub fn export(&self, outputs: Vec<Output>, progress: &Progress<'_>) -> Result<Exported, ExportError> {
        let mut exported = Exported::default();
        for output in outputs {
            let id = progress.start(&Task::Export(output.exporter()));
            let began = Instant::now();
            match self.output(output, id, progress, &mut exported) {
                Ok(()) => progress.finish(id, began),
                Err(error) => {
                    progress.event(Event::Failed { id, error: &error.to_string() });
                    return Err(error);
                }
            }
        }
        Ok(exported)
    }

    fn output(
        &self,
        output: Output,
        id: TaskId,
        progress: &Progress<'_>,
        exported: &mut Exported,
    ) -> Result<(), ExportError> {
        match output {
            Output::Image { names, push, package } => {
                let names = self.names(&names);
                if push && names.is_empty() {
                    return Err(ExportError::NoTag);
                }
                let packed = self.store(&names, id, progress)?;
                let packed = match push {
                    true => self.push(&names, package, id, progress)?,
                    false => packed,
                };
                exported.descriptor = Some(packed.descriptor);
                exported.name(names);
            }
            Output::Layout { family, names, package, to } => {
                let names = self.names(&names);
                let packed = self.layout(family, &names, package, to)?;
                exported.descriptor.get_or_insert(packed.descriptor);
                exported.name(names);
            }
            Output::Tar { to, split } => self.tar(to, split)?,
            Output::Local { to, split } => self.local(&to, split)?,
        }
        Ok(())
    }

    /// Lets `names` stand for the image here: of several platforms', the one for this machine, or the first.
    fn store(&self, names: &[Reference], id: TaskId, progress: &Progress<'_>) -> Result<Packed, ExportError> {
        let here = Platform::host();
        let ours = self.images.iter().position(|image| image.config.platform().will_do_for(&here));
        for (position, image) in self.images.iter().enumerate() {
            let named = if position == ours.unwrap_or(0) { names } else { &[] };
            self.host.record(self.lease, image, named)?;
            progress.event(Event::Written { id, image: image.id });
        }
        names.iter().for_each(|name| progress.event(Event::Named { id, name }));
        self.packed(self.images.to_vec())
    }

    /// Gives their registries what `names` are to stand for there.
    fn push(
        &self,
        names: &[Reference],
        package: Package,
        id: TaskId,
        progress: &Progress<'_>,
    ) -> Result<Packed, ExportError> {
        let packed = self.package_to_push(package)?;
        let mut descriptor = packed.descriptor.clone();
        for name in names {
            let pushed = self.host.push(self.lease, &packed.images, packed.index.as_ref(), name)?;
            descriptor = Descriptor { digest: pushed.digest, size: pushed.size, ..descriptor };
            progress.event(Event::Pushed { id, name });
        }
        Ok(Packed { descriptor, ..packed })
    }

    /// An output's own names, or else the build's.
    fn names(&self, own: &[Reference]) -> Vec<Reference> {
        // As docker has it: `--tag` overrides what an output calls it.
        if self.tags.is_empty() { own.to_vec() } else { self.tags.to_vec() }
    }
}

impl Exported {
    fn name(&mut self, names: Vec<Reference>) {
        self.names.extend(names);
        self.names.dedup();
    }
}

impl Output {
    /// An image in the store, under the build's names.
    pub fn stored() -> Output {
        Output::Image { names: Vec::new(), push: false, package: Package::default() }
    }

    fn exporter(&self) -> Exporter {
        match self {
            Output::Image { .. } => Exporter::Image,
            Output::Layout { family: Family::Oci, .. } => Exporter::Oci,
            Output::Layout { family: Family::Docker, .. } => Exporter::Docker,
            Output::Tar { .. } => Exporter::Tar,
            Output::Local { .. } => Exporter::Local,
        }
    }
}
