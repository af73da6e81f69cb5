//! An OCI image layout, as one archive or as a directory.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use types::{Digest, Reference};

use super::{ArchiveError, DOCKER_MANIFEST_FILE, DockerImage, INDEX_FILE, LAYOUT_FILE};
use crate::{
    hashed::BUFFER,
    manifest::{CONFIGURATION_LIMIT, Descriptor, Document, Index, MANIFEST_LIMIT, OCI_INDEX},
    store::{IMAGE_NAME, Image, LAYOUT, Layer, REFERENCE_NAME, Store},
    tarball::{Entry, Kind, Time, Writer},
};

/// What is put into a layout.
#[derive(Debug, Default)]
pub struct Layout {
    /// What `index.json` lists.
    entries: Vec<Descriptor>,
    /// Manifests, indexes and configurations, with the most they may measure.
    documents: Vec<(Digest, u64)>,
    layers: Vec<Layer>,
    /// What docker's `manifest.json` lists; there is none if it is empty.
    docker: Vec<DockerImage>,
}

impl Layout {
    /// Adds a manifest or an index of the store, which `descriptor` describes, under these names; or under none.
    pub fn list(&mut self, descriptor: &Descriptor, names: &[Reference]) {
        if names.is_empty() {
            self.entries.push(descriptor.clone());
        }
        self.entries.extend(names.iter().map(|name| named(descriptor, name)));
    }

    /// Adds what an image consists of, but lists it nowhere.
    pub fn add(&mut self, image: &Image) {
        self.documents.extend([(image.manifest, MANIFEST_LIMIT), (image.id, CONFIGURATION_LIMIT)]);
        self.layers.extend_from_slice(&image.layers);
    }

    /// Adds an index of images that are added.
    pub fn add_index(&mut self, digest: Digest) {
        self.documents.push((digest, MANIFEST_LIMIT));
    }

    /// Lists an image for docker's older readers, which know no `index.json`.
    pub fn list_for_docker(&mut self, image: &Image, names: &[Reference]) {
        self.docker.push(DockerImage {
            config: blob_name(&image.id),
            repo_tags: Some(names.iter().map(Reference::familiar).collect()),
            layers: Some(image.layers.iter().map(|layer| blob_name(&layer.blob.digest)).collect()),
        });
    }

    /// Writes it as an archive. The documents come first, so that a reader of the stream knows what the blobs are.
    pub fn write_archive(self, store: &Store, target: impl Write) -> Result<(), ArchiveError> {
        let mut archive = Archive(Writer::new(BufWriter::with_capacity(BUFFER, target)));
        let entries = self.entries.clone();
        self.write(store, entries, &mut archive)?;
        archive.0.finish().and_then(|mut target| target.flush()).map_err(ArchiveError::Write)
    }

    /// Writes it into a directory. What is in a layout there stays, but for entries of `index.json` with the same names.
    pub fn write_directory(self, store: &Store, directory: &Path) -> Result<(), ArchiveError> {
        fs::create_dir_all(directory).map_err(ArchiveError::Write)?;
        let mut entries = present_entries(directory)?;
        let name = |entry: &Descriptor| entry.annotations.get(IMAGE_NAME).cloned();
        entries.retain(|old| {
            !self.entries.iter().any(|new| new.digest == old.digest && name(new) == name(old))
                && (name(old).is_none() || !self.entries.iter().any(|new| name(new) == name(old)))
        });
        entries.extend(self.entries.iter().cloned());
        self.write(store, entries, &mut Directory(directory))
    }

    fn write(
        self,
        store: &Store,
        entries: Vec<Descriptor>,
        files: &mut dyn Files,
    ) -> Result<(), ArchiveError> {
        let index = serde_json::to_vec(&Index::new(entries)).expect("strings and numbers serialise");
        whole(files, LAYOUT_FILE, LAYOUT.as_bytes())?;
        whole(files, INDEX_FILE, &index)?;
        if !self.docker.is_empty() {
            let docker = serde_json::to_vec(&self.docker).expect("strings and numbers serialise");
            whole(files, DOCKER_MANIFEST_FILE, &docker)?;
        }
        for directory in ["blobs/", "blobs/sha256/"] {
            files.directory(directory)?;
        }
        let mut written = HashSet::new();
        for (digest, limit) in self.documents {
            if written.insert(digest) {
                whole(files, &blob_name(&digest), &store.read_blob(&digest, limit)?)?;
            }
        }
        for layer in &self.layers {
            if written.insert(layer.blob.digest) {
                files.file(&blob_name(&layer.blob.digest), layer.blob.size, &mut |target| {
                    Ok(store.copy_layer(layer, target)?)
                })?;
            }
        }
        Ok(())
    }
}

/// What `index.json` of a layout that is there already lists.
fn present_entries(directory: &Path) -> Result<Vec<Descriptor>, ArchiveError> {
    let bytes = match fs::read(directory.join(INDEX_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(ArchiveError::Read)?,
    };
    let invalid = |source| ArchiveError::Invalid { name: INDEX_FILE.to_owned(), source };
    match Document::parse(&bytes, OCI_INDEX).map_err(invalid)? {
        Document::Index(index) => Ok(index.manifests),
        Document::Manifest(_) => Err(ArchiveError::NotImages),
    }
}

/// A descriptor with a name in the annotations that docker and containerd read.
fn named(descriptor: &Descriptor, name: &Reference) -> Descriptor {
    let mut descriptor = descriptor.clone();
    descriptor.annotations.insert(IMAGE_NAME.to_owned(), name.to_string().into());
    if let Some(tag) = name.tag() {
        descriptor.annotations.insert(REFERENCE_NAME.to_owned(), tag.into());
    }
    descriptor
}

/// Writes the content of one file.
type Fill<'a> = dyn FnMut(&mut dyn Write) -> Result<(), ArchiveError> + 'a;

/// Where a layout's files go.
trait Files {
    fn directory(&mut self, name: &str) -> Result<(), ArchiveError>;

    /// Makes a file of `size` bytes, which `fill` writes.
    fn file(&mut self, name: &str, size: u64, fill: &mut Fill<'_>) -> Result<(), ArchiveError>;
}

fn whole(files: &mut dyn Files, name: &str, content: &[u8]) -> Result<(), ArchiveError> {
    files.file(name, content.len() as u64, &mut |target| {
        target.write_all(content).map_err(ArchiveError::Write)
    })
}

struct Archive<W: Write>(Writer<W>);

impl<W: Write> Files for Archive<W> {
    fn directory(&mut self, name: &str) -> Result<(), ArchiveError> {
        self.0.entry(&entry(name, Kind::Directory, 0o755)).map_err(ArchiveError::Write)
    }

    fn file(&mut self, name: &str, size: u64, fill: &mut Fill<'_>) -> Result<(), ArchiveError> {
        let header = entry(name, Kind::File { size }, 0o644);
        let mut content = self.0.begin(&header).map_err(ArchiveError::Write)?;
        fill(&mut content)?;
        content.finish().map_err(ArchiveError::Write)
    }
}

struct Directory<'a>(&'a Path);

impl Files for Directory<'_> {
    fn directory(&mut self, name: &str) -> Result<(), ArchiveError> {
        fs::create_dir_all(self.0.join(name)).map_err(ArchiveError::Write)
    }

    fn file(&mut self, name: &str, size: u64, fill: &mut Fill<'_>) -> Result<(), ArchiveError> {
        let path = self.0.join(name);
        let is_blob = name.starts_with("blobs/");
        if is_blob && fs::metadata(&path).is_ok_and(|there| there.len() == size) {
            return Ok(());
        }
        // Readers see whole files only.
        let aside = path.with_added_extension("new");
        let mut file = BufWriter::with_capacity(BUFFER, File::create(&aside).map_err(ArchiveError::Write)?);
        fill(&mut file)?;
        file.flush().and_then(|()| fs::rename(&aside, &path)).map_err(ArchiveError::Write)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn entry(name: &str, kind: Kind, mode: u32) -> Entry {
    Entry { path: name.into(), kind, mode, uid: 0, gid: 0, mtime: Time::default(), xattrs: Vec::new() }
}
