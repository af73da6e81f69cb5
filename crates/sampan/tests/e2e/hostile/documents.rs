//! Manifests, indexes and configurations that are not what they should be.

use serde_json::{Value, json};
use testkit::Answer;
use types::Digest;

use super::{
    Lie, Scene,
    image::{INDEX, Image, MANIFEST, architecture, descriptor, document, index},
};

#[test]
fn an_index_that_leads_nowhere_is_refused() {
    let Some(scene) = Scene::set() else { return };
    scene.refuses(&[
        Lie::new("in-itself", "is damaged: expected sha256:", |image| {
            // No index knows its own digest, so the registry has to make one up.
            let own = b"an index's own digest";
            let index = document(INDEX, &index(INDEX, own, &architecture()));
            vec![(image.manifest_path_of(Digest::of(own)), index.clone()), (image.manifest_path(), index)]
        }),
        Lie::new("in-each-other", "it has more than 3 indexes in each other", |image| {
            let mut answers = Vec::new();
            let mut inner = image.manifest.clone();
            for kind in [MANIFEST, INDEX, INDEX, INDEX] {
                let text = inner.to_string();
                answers.push((image.manifest_path_of(Digest::of(text.as_bytes())), document(kind, &inner)));
                inner = index(kind, text.as_bytes(), &architecture());
            }
            answers.push((image.manifest_path(), document(INDEX, &inner)));
            answers
        }),
        Lie::about_manifest("for-another-machine", "no matching manifest for linux/", |image| {
            document(INDEX, &index(MANIFEST, image.manifest.to_string().as_bytes(), "pdp11"))
        }),
    ]);
}

#[test]
fn a_manifest_that_is_none_is_refused_with_the_reason() {
    let Some(scene) = Scene::set() else { return };
    let text = |text: &str| Answer::new(200).header("Content-Type", MANIFEST).body(text);
    scene.refuses(&[
        changed("both", "it has the fields of both a manifest and an index", |manifest| {
            manifest["manifests"] = json!([]);
        }),
        Lie::about_manifest("called-an-index", "it calls itself \"application/vnd.oci.image.man", |image| {
            document(INDEX, &image.manifest)
        }),
        Lie::about_manifest("called-text", "but was called \"text/plain\"", |image| {
            document("text/plain", &image.manifest)
        }),
        Lie::about_manifest("not-called", "does not say what kind of manifest it has", |image| {
            Answer::new(200).body(image.manifest.to_string())
        }),
        Lie::about_manifest("schema-1", "its schema version is 1, expected 2", |image| {
            let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
            let layers = json!([{ "blobSum": Digest::of(&image.layer).to_string() }]);
            let schema_1 = json!({ "schemaVersion": 1, "name": "x", "tag": "latest", "fsLayers": layers });
            document(signed, &schema_1)
        }),
        changed("a-chart", "it is an artifact of type \"application/vnd.cncf.helm.conf", |manifest| {
            manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into();
        }),
        changed("a-foreign-layer", "it has a layer that registries do not hand out", |manifest| {
            let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
            manifest["layers"][0]["mediaType"] = foreign.into();
        }),
        Lie::about_manifest("no-json", NO_JSON, move |_| text("{\"schemaVersion\":2,")),
        Lie::about_manifest("deep-json", "nested deeper than 64 levels", move |_| text(&"[".repeat(1 << 20))),
        changed("a-negative-layer", NO_JSON, |manifest| manifest["layers"][0]["size"] = (-1).into()),
        changed("a-huge-layer", ", expected 18446744073709551615", |manifest| {
            manifest["layers"][0]["size"] = u64::MAX.into();
        }),
        changed("a-path-for-a-digest", NO_JSON, |manifest| {
            manifest["config"]["digest"] = "sha256:../../../../escaped".into();
        }),
    ]);
}

#[test]
fn a_configuration_that_describes_another_image_is_refused() {
    let Some(scene) = Scene::set() else { return };
    scene.refuses(&[
        configured("another-layer", DAMAGED, json!([Digest::of(b"other").to_string()])),
        configured("no-layer", "the manifest has 1 layers and the configuration 0", json!([])),
        changed("an-empty-layer", DAMAGED, |manifest| {
            manifest["layers"] = json!([descriptor("application/vnd.oci.image.layer.v1.tar", b"")]);
        }),
    ]);
}

/// An image whose manifest is a little different.
fn changed(name: &'static str, complaint: &'static str, change: impl Fn(&mut Value) + 'static) -> Lie {
    Lie::about_manifest(name, complaint, move |image| {
        let mut manifest = image.manifest.clone();
        change(&mut manifest);
        document(MANIFEST, &manifest)
    })
}

/// An image whose configuration names these layers.
fn configured(name: &'static str, complaint: &'static str, diff_ids: Value) -> Lie {
    Lie::new(name, complaint, move |image| {
        let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
        let config = json!({ "architecture": architecture(), "os": "linux", "rootfs": rootfs });
        let other = Image::with_config(&image.name, image.layer.clone(), &config);
        let config = Answer::new(200).body(other.config.as_slice());
        vec![(other.manifest_path(), other.true_manifest()), (other.config_path(), config)]
    })
}

const DAMAGED: &str = "is damaged: its content hashes to sha256:";
const NO_JSON: &str = "it is not the JSON expected";
