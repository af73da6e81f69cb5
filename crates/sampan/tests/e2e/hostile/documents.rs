//! Manifests, indexes and configurations that are not what they should be.

use serde_json::{Value, json};
use testkit::Answer;
use types::Digest;

use super::{
    Lie, Scene,
    image::{Image, INDEX, MANIFEST, architecture, descriptor, document, index},
};

#[test]
fn a_document_that_cannot_be_used_is_refused_with_the_reason() {
    let Some(scene) = Scene::set() else { return };
    scene.refuses(&[
        Lie {
            name: "an-index-in-itself",
            answers: |image| {
                let own = "an index that knew its digest";
                let index = index(INDEX, own.as_bytes(), &architecture());
                let path = image.manifest_path_of(Digest::of(own.as_bytes()));
                vec![(path, document(INDEX, &index)), (image.manifest_path(), document(INDEX, &index))]
            },
            complaint: "is damaged: expected sha256:",
        },
        Lie {
            name: "indexes-in-indexes",
            answers: |image| {
                let mut answers = Vec::new();
                let mut inner = image.manifest.clone();
                for kind in [MANIFEST, INDEX, INDEX, INDEX] {
                    let text = inner.to_string();
                    let path = image.manifest_path_of(Digest::of(text.as_bytes()));
                    answers.push((path, document(kind, &inner)));
                    inner = index(kind, text.as_bytes(), &architecture());
                }
                answers.push((image.manifest_path(), document(INDEX, &inner)));
                answers
            },
            complaint: "it has more than 3 indexes in each other",
        },
        Lie {
            name: "for-another-machine",
            answers: |image| {
                let index = index(MANIFEST, image.manifest.to_string().as_bytes(), "pdp11");
                vec![(image.manifest_path(), document(INDEX, &index))]
            },
            complaint: "no matching manifest for linux/",
        },
        Lie {
            name: "both",
            answers: |image| changed(image, |manifest| manifest["manifests"] = json!([])),
            complaint: "it has the fields of both a manifest and an index",
        },
        Lie {
            name: "called-otherwise",
            answers: |image| vec![(image.manifest_path(), document(INDEX, &image.manifest))],
            complaint: "it calls itself \"application/vnd.oci.image.manifest.v1+json\"",
        },
        Lie {
            name: "called-nothing",
            answers: |image| {
                vec![(image.manifest_path(), Answer::new(200).body(image.manifest.to_string()))]
            },
            complaint: "does not say what kind of manifest it has",
        },
        Lie {
            name: "called-text",
            answers: |image| vec![(image.manifest_path(), document("text/plain", &image.manifest))],
            complaint: "?",
        },
        Lie {
            name: "a-chart",
            answers: |image| {
                changed(image, |manifest| {
                    manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into();
                })
            },
            complaint: "it is an artifact of type \"application/vnd.cncf.helm.config.v1+json\", not an image",
        },
        Lie {
            name: "a-foreign-layer",
            answers: |image| {
                changed(image, |manifest| {
                    manifest["layers"][0]["mediaType"] =
                        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
                })
            },
            complaint: "it has a layer that registries do not hand out",
        },
        Lie {
            name: "schema-1",
            answers: |image| {
                let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
                let schema_1 = json!({
                    "schemaVersion": 1, "name": image.name, "tag": "latest", "architecture": "amd64",
                    "fsLayers": [{ "blobSum": Digest::of(&image.layer).to_string() }],
                    "history": [{ "v1Compatibility": "{}" }], "signatures": [],
                });
                vec![(image.manifest_path(), document(kind, &schema_1))]
            },
            complaint: "its schema version is 1, expected 2",
        },
        Lie {
            name: "another-layer",
            answers: |image| {
                let diff_ids = json!([Digest::of(b"other").to_string()]);
                configured(image, &json!({ "type": "layers", "diff_ids": diff_ids }))
            },
            complaint: "is damaged: its content hashes to sha256:",
        },
        Lie {
            name: "another-number-of-layers",
            answers: |image| configured(image, &json!({ "type": "layers", "diff_ids": [] })),
            complaint: "the manifest has 1 layers and the configuration 0",
        },
        Lie {
            name: "no-json",
            answers: |image| {
                let text = Answer::new(200).header("Content-Type", MANIFEST).body("{\"schemaVersion\":2,");
                vec![(image.manifest_path(), text)]
            },
            complaint: "it is not the JSON expected",
        },
        Lie {
            name: "deep-json",
            answers: |image| {
                let text = "[".repeat(1 << 20);
                vec![(image.manifest_path(), Answer::new(200).header("Content-Type", MANIFEST).body(text))]
            },
            complaint: "nested deeper than 64 levels",
        },
        Lie {
            name: "a-huge-layer",
            answers: |image| changed(image, |manifest| manifest["layers"][0]["size"] = u64::MAX.into()),
            complaint: ", expected 18446744073709551615",
        },
        Lie {
            name: "a-negative-layer",
            answers: |image| changed(image, |manifest| manifest["layers"][0]["size"] = (-1).into()),
            complaint: "it is not the JSON expected",
        },
        Lie {
            name: "a-path-for-a-digest",
            answers: |image| {
                changed(image, |manifest| manifest["config"]["digest"] = "sha256:../../../../escaped".into())
            },
            complaint: "it is not the JSON expected",
        },
        Lie {
            name: "an-empty-layer",
            answers: |image| {
                let layers = json!([descriptor("application/vnd.oci.image.layer.v1.tar", b"")]);
                changed(image, |manifest| manifest["layers"] = layers.clone())
            },
            complaint: "?",
        },
    ]);
}

/// Answers with another manifest.
fn changed(image: &Image, change: impl Fn(&mut Value)) -> Vec<(String, Answer)> {
    let mut manifest = image.manifest.clone();
    change(&mut manifest);
    vec![(image.manifest_path(), document(MANIFEST, &manifest))]
}

/// Answers with an image whose configuration says this of its layers.
fn configured(image: &Image, rootfs: &Value) -> Vec<(String, Answer)> {
    let config = json!({ "architecture": architecture(), "os": "linux", "rootfs": rootfs });
    let other = Image::with_config(&image.name, image.layer.clone(), &config);
    vec![
        (other.manifest_path(), other.true_manifest()),
        (other.config_path(), Answer::new(200).body(other.config)),
    ]
}
