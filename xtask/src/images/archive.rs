//! Packs layers into a tar that OCI tools and `docker load` both read, as `docker save` writes it.

use std::{
    fs::File,
    io::{self, BufWriter, Seek},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tar::{Builder, EntryType};
use types::Digest;

use super::{
    recipe::{Recipe, architecture},
    tree::header,
};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// [`super::tree::EPOCH`], as JSON has it.
const CREATED: &str = "2023-11-14T22:13:20Z";

/// Writes the image of `recipe`, made of `layers` with their histories, to the file `tar`.
pub fn write(recipe: &Recipe, layers: &[(PathBuf, String)], tar: &Path) -> anyhow::Result<()> {
    let mut out = Image { tar: Builder::new(BufWriter::new(File::create(tar)?)) };
    out.directory("blobs/")?;
    out.directory("blobs/sha256/")?;
    let layers = layers
        .iter()
        .map(|(path, created_by)| Ok((out.layer(path)?, created_by.as_str())))
        .collect::<io::Result<Vec<_>>>()?;
    let descriptors: Vec<&Value> = layers.iter().map(|(descriptor, _)| descriptor).collect();

    // Layers are not compressed, so a layer's diff-id is its digest.
    let config = json!({
        "architecture": architecture(),
        "config": recipe.config.json(),
        "created": CREATED,
        "history": layers.iter().map(|(_, by)| json!({ "created": CREATED, "created_by": by })).collect::<Vec<_>>(),
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": descriptors.iter().map(|d| &d["digest"]).collect::<Vec<_>>() },
    });
    let config = out.blob(CONFIG, &config)?;
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors });
    let mut manifest = out.blob(MANIFEST, &manifest)?;

    let (repository, tag) = recipe.name.split_once(':').unwrap_or((recipe.name, "latest"));
    manifest["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/{repository}:{tag}"),
        "org.opencontainers.image.ref.name": tag,
    });
    out.json("index.json", &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] }))?;
    out.json("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    let path = |descriptor: &Value| blob_path(descriptor["digest"].as_str().unwrap_or_default());
    out.json(
        "manifest.json",
        &json!([{
            "Config": path(&config),
            "RepoTags": [recipe.name],
            "Layers": descriptors.iter().map(|d| path(d)).collect::<Vec<_>>(),
        }]),
    )?;
    out.tar.into_inner()?.into_inner()?.sync_all()?;
    Ok(())
}

/// A tar being written; its methods return the descriptors of what they added.
struct Image {
    tar: Builder<BufWriter<File>>,
}

impl Image {
    fn layer(&mut self, path: &Path) -> io::Result<Value> {
        let mut file = File::open(path)?;
        let mut hasher = Digest::hasher();
        let size = io::copy(&mut file, &mut hasher)?;
        let digest = hasher.finish().to_string();
        file.rewind()?;
        self.tar.append_data(&mut header(EntryType::Regular, 0o644, size), blob_path(&digest), file)?;
        Ok(json!({ "mediaType": LAYER, "digest": digest, "size": size }))
    }

    fn blob(&mut self, media_type: &str, content: &Value) -> io::Result<Value> {
        let digest = Digest::of(content.to_string().as_bytes()).to_string();
        let size = self.json(&blob_path(&digest), content)?;
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": size }))
    }

    fn json(&mut self, path: &str, content: &Value) -> io::Result<usize> {
        let text = content.to_string();
        let mut header = header(EntryType::Regular, 0o644, text.len() as u64);
        self.tar.append_data(&mut header, path, text.as_bytes())?;
        Ok(text.len())
    }

    fn directory(&mut self, path: &str) -> io::Result<()> {
        self.tar.append_data(&mut header(EntryType::Directory, 0o755, 0), path, io::empty())
    }
}

/// Where an OCI layout keeps what has this digest.
fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}
