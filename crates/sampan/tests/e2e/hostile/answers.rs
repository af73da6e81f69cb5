//! Registries that answer otherwise than they should.

use std::fs;

use testkit::{Answer, Ending, Hostile};
use types::Digest;

use super::{
    Lie, Scene,
    image::{Image, MANIFEST},
};

#[test]
fn a_registry_that_lies_is_found_out_and_an_honest_one_is_believed_afterwards() {
    let Some(scene) = Scene::set() else { return };
    scene.refuses(&[
        Lie::about_layer("another-blob", DAMAGED, |image| body(&spoilt(&image.layer))),
        Lie::about_layer("noise", DAMAGED, |image| body(&vec![b'x'; image.layer.len()])),
        Lie::new("another-configuration", DAMAGED, |image| {
            vec![(image.config_path(), body(&spoilt(&image.config)))]
        }),
        Lie::about_manifest("another-manifest", "is damaged: expected sha256:", |image| {
            image.true_manifest().header("Docker-Content-Digest", Digest::of(b"something else"))
        }),
        Lie::about_layer("a-longer-blob", ", expected ", |image| {
            body(&[image.layer.as_slice(), b"more"].concat())
        }),
        Lie::about_layer("an-endless-blob", "sends more of blob sha256:", |image| {
            body(&image.layer).ending(Ending::Repeat)
        }),
        Lie::about_layer("a-shorter-blob", ", expected ", |image| body(&image.layer[1..])),
        Lie::about_layer("another-part", "sends another part of blob sha256:", |_| {
            Answer::new(206).header("Content-Range", "bytes 1-2/3").body("abc")
        }),
        Lie::about_manifest("one-gigabyte", "sends a manifest of more than 4194304 bytes", |_| {
            manifest().header("Content-Length", 1 << 30).ending(Ending::Stall)
        }),
        Lie::about_manifest("an-endless-manifest", "sends a manifest of more than 4194304 bytes", |_| {
            manifest().body([b' '; 65536]).ending(Ending::Repeat)
        }),
    ]);
}

#[test]
fn a_registry_that_does_not_answer_is_given_up_in_time() {
    let Some(scene) = Scene::set() else { return };
    let begun = || manifest().header("Content-Length", 9);
    scene.refuses(&[
        Lie::about_manifest("silence", SILENT, move |_| begun().ending(Ending::Stall)),
        Lie::about_layer("a-layer-stalls", SILENT, |image| half(image).ending(Ending::Stall)),
        Lie::about_layer("a-layer-breaks-off", "broke off", |image| half(image).ending(Ending::Close)),
        Lie::about_manifest("reset", "broke off", move |_| begun().ending(Ending::Reset)),
        Lie::about_layer("a-layer-is-reset", "broke off", |image| half(image).ending(Ending::Reset)),
        Lie::about_layer("round-and-round", "redirects more than 5 times", |image| {
            Answer::new(307).header("Location", image.layer_path())
        }),
        Lie::about_layer("nowhere", "redirects to nowhere", |_| {
            Answer::new(307).header("Location", "file:///etc/passwd")
        }),
    ]);
}

#[test]
fn a_refusal_is_told_in_the_registry_s_words_or_in_docker_s() {
    let Some(scene) = Scene::set() else { return };
    let web_page = "answers with a web page (HTTP 200); is 127.0.0.1:";
    scene.refuses(&[
        Lie::about_manifest("s401", "unauthorized: authentication required", |_| Answer::new(401)),
        Lie::about_manifest("s403", "pull access denied for 127.0.0.1:", |_| Answer::new(403)),
        Lie::about_manifest("s404", "s404:latest not found: ", |_| Answer::new(404)),
        Lie::about_layer("s404-layer", " not found: ", |_| Answer::new(404)),
        Lie::about_manifest("s429", "too many requests (try again in 86400 seconds)", |_| {
            Answer::new(429).header("Retry-After", 86400)
        }),
        Lie::about_manifest("s500", "received unexpected HTTP status: 500", |_| Answer::new(500)),
        Lie::about_layer("s503-layer", "received unexpected HTTP status: 503", |_| Answer::new(503)),
        Lie::about_manifest("page", web_page, |_| page()),
        Lie::about_layer("page-for-a-layer", web_page, |_| page()),
        Lie::about_manifest("control-characters", "denied: [2J Error: all is well\n", |_| {
            let text = r#"{"errors":[{"code":"DENIED","message":"\u001b[2J\nError: all is well\u0007"}]}"#;
            Answer::new(400).header("Content-Type", "application/json").body(text)
        }),
    ]);
}

#[test]
fn run_fails_with_the_same_words_and_its_own_exit_code() {
    let Some(scene) = Scene::set() else { return };
    let image = Image::good("hello");
    image.serve(&scene.registry);
    scene.registry.answer(&image.layer_path(), Answer::new(200).body(vec![0; image.layer.len()]));
    let reference = scene.reference(&image);
    scene.sandbox.sampan(["run", &reference]).fails(125).complains("is damaged: its content hashes to");
    scene.sandbox.sampan(["run", &format!("{reference}:nosuch")]).fails(125).complains(":nosuch not found");
    scene.is_untouched();
    scene.sandbox.sampan(["ps", "--all", "--quiet"]).ok().prints("");
}

#[test]
fn who_is_asked_to_come_back_soon_does() {
    let Some(scene) = Scene::set() else { return };
    let image = Image::good("busy");
    image.serve(&scene.registry);
    let busy = Answer::new(429).header("Retry-After", 1);
    scene.registry.answer_first(&image.manifest_path(), busy.clone());
    scene.registry.answer_first(&image.layer_path(), busy);
    scene.pull(&image).finish().ok();
    let asked = scene.registry.seen();
    let times = |target: &str| asked.iter().filter(|head| head.contains(target)).count();
    assert_eq!((times(&image.manifest_path()), times(&image.layer_path())), (2, 2), "{asked:?}");
}

#[test]
fn whoever_a_registry_leads_to_is_not_told_the_password() {
    let Some(scene) = Scene::set() else { return };
    let elsewhere = Hostile::start(&scene.sandbox);
    let image = Image::good("elsewhere");
    image.serve(&scene.registry);
    let place = format!("http://{}/content?signature=1", elsewhere.host());
    scene.registry.answer(&image.layer_path(), Answer::new(307).header("Location", &place));
    elsewhere.answer("/content?signature=1", Answer::new(200).body(image.layer.as_slice()));
    // It asks for a password at first, as registries do.
    scene.registry.answer("/v2/", Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\""));
    fs::create_dir(scene.sandbox.configuration()).unwrap();
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, scene.registry.host());
    fs::write(scene.sandbox.configuration().join("config.json"), config).unwrap();

    scene.pull(&image).finish().ok();
    let told = |registry: &Hostile| registry.seen().join("").to_lowercase();
    assert!(
        told(&scene.registry).contains("authorization: basic bwu6c2vjcmv0"),
        "{:?}",
        scene.registry.seen()
    );
    let elsewhere = told(&elsewhere);
    assert!(elsewhere.starts_with("get /content?signature=1 "), "{elsewhere}");
    assert!(!elsewhere.contains("authorization") && !elsewhere.contains("bwu6"), "{elsewhere}");
}

/// An answer that announces the whole layer, and half of it.
fn half(image: &Image) -> Answer {
    let length = image.layer.len();
    Answer::new(200).header("Content-Length", length).body(&image.layer[..length / 2])
}

fn body(bytes: &[u8]) -> Answer {
    Answer::new(200).body(bytes)
}

/// An answer that will be a manifest.
fn manifest() -> Answer {
    Answer::new(200).header("Content-Type", MANIFEST)
}

fn page() -> Answer {
    Answer::new(200).header("Content-Type", "text/html; charset=utf-8").body("<html>Welcome</html>")
}

/// The same bytes but for the last.
fn spoilt(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

const DAMAGED: &str = "is damaged: its content hashes to sha256:";
const SILENT: &str = "has been silent for 1 seconds";
