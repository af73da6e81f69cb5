//! Registries that answer otherwise than they should.

use std::fs;

use testkit::{Answer, Ending, Hostile};

use super::{
    Lie, Scene,
    image::{Image, MANIFEST},
};

#[test]
fn a_registry_that_lies_is_found_out_and_the_next_pull_from_an_honest_one_succeeds() {
    let Some(scene) = Scene::set() else { return };
    scene.refuses(&[
        Lie {
            name: "another-blob",
            answers: |image| {
                let mut other = image.layer.clone();
                *other.last_mut().unwrap() ^= 1;
                vec![(image.layer_path(), Answer::new(200).body(other))]
            },
            complaint: "is damaged: its content hashes to sha256:",
        },
        Lie {
            name: "noise",
            answers: |image| {
                vec![(image.layer_path(), Answer::new(200).body(vec![b'x'; image.layer.len()]))]
            },
            complaint: "is damaged: its content hashes to sha256:",
        },
        Lie {
            name: "another-configuration",
            answers: |image| {
                let mut other = image.config.clone();
                *other.last_mut().unwrap() = b' ';
                vec![(image.config_path(), Answer::new(200).body(other))]
            },
            complaint: "is damaged: its content hashes to sha256:",
        },
        Lie {
            name: "another-manifest",
            answers: |image| {
                let digest = types::Digest::of(b"something else");
                let lie = image.true_manifest().header("Docker-Content-Digest", digest);
                vec![(image.manifest_path(), lie)]
            },
            complaint: "the manifest from 127.0.0.1:",
        },
        Lie {
            name: "a-longer-blob",
            answers: |image| {
                let more = [image.layer.as_slice(), b"more"].concat();
                vec![(image.layer_path(), Answer::new(200).body(more))]
            },
            complaint: ", expected ",
        },
        Lie {
            name: "an-endless-blob",
            answers: |image| {
                let endless = Answer::new(200).body(image.layer.as_slice()).ending(Ending::Repeat);
                vec![(image.layer_path(), endless)]
            },
            complaint: "sends more of blob sha256:",
        },
        Lie {
            name: "a-shorter-blob",
            answers: |image| {
                let (_, shorter) = image.layer.split_last().unwrap();
                vec![(image.layer_path(), Answer::new(200).body(shorter))]
            },
            complaint: ", expected ",
        },
        Lie {
            name: "another-part",
            answers: |image| {
                let part = Answer::new(206).header("Content-Range", "bytes 1-2/3").body("abc");
                vec![(image.layer_path(), part)]
            },
            complaint: "?",
        },
        Lie {
            name: "one-gigabyte",
            answers: |image| {
                let large = Answer::new(200).header("Content-Type", MANIFEST);
                let large = large.header("Content-Length", 1 << 30).ending(Ending::Stall);
                vec![(image.manifest_path(), large)]
            },
            complaint: "sends a manifest of more than 4194304 bytes",
        },
        Lie {
            name: "an-endless-manifest",
            answers: |image| {
                let endless = Answer::new(200).header("Content-Type", MANIFEST).body([b' '; 65536]);
                vec![(image.manifest_path(), endless.ending(Ending::Repeat))]
            },
            complaint: "sends a manifest of more than 4194304 bytes",
        },
    ]);
}

#[test]
fn a_registry_that_does_not_answer_is_given_up_and_its_reasons_are_told() {
    let Some(scene) = Scene::set() else { return };
    scene.refuses(&[
        Lie {
            name: "silence",
            answers: |image| vec![(image.manifest_path(), Answer::new(200).header("Content-Type", MANIFEST).header("Content-Length", 9).ending(Ending::Stall))],
            complaint: "has been silent for 1 seconds",
        },
        Lie {
            name: "a-blob-that-stalls",
            answers: |image| vec![(image.layer_path(), half(image).ending(Ending::Stall))],
            complaint: "has been silent for 1 seconds",
        },
        Lie {
            name: "a-blob-that-breaks-off",
            answers: |image| vec![(image.layer_path(), half(image).ending(Ending::Close))],
            complaint: "broke off",
        },
        Lie {
            name: "reset",
            answers: |image| vec![(image.manifest_path(), Answer::new(200).ending(Ending::Reset))],
            complaint: "?",
        },
        Lie {
            name: "reset-blob",
            answers: |image| vec![(image.layer_path(), half(image).ending(Ending::Reset))],
            complaint: "broke off",
        },
        Lie { name: "s401", answers: |image| vec![(image.manifest_path(), Answer::new(401))], complaint: "unauthorized: authentication required" },
        Lie { name: "s403", answers: |image| vec![(image.manifest_path(), Answer::new(403))], complaint: "pull access denied for 127.0.0.1:" },
        Lie { name: "s404", answers: |image| vec![(image.manifest_path(), Answer::new(404))], complaint: "s404:latest not found: " },
        Lie { name: "s404-blob", answers: |image| vec![(image.layer_path(), Answer::new(404))], complaint: "blob sha256:" },
        Lie {
            name: "s429",
            answers: |image| vec![(image.manifest_path(), Answer::new(429).header("Retry-After", 86400))],
            complaint: "toomanyrequests: too many requests (try again in 86400 seconds)",
        },
        Lie { name: "s500", answers: |image| vec![(image.manifest_path(), Answer::new(500))], complaint: "received unexpected HTTP status: 500" },
        Lie { name: "s503", answers: |image| vec![(image.layer_path(), Answer::new(503))], complaint: "received unexpected HTTP status: 503" },
        Lie {
            name: "web-page",
            answers: |image| vec![(image.manifest_path(), Answer::new(200).header("Content-Type", "text/html; charset=utf-8").body("<html>"))],
            complaint: "answers with a web page (HTTP 200); is 127.0.0.1:",
        },
        Lie {
            name: "web-page-blob",
            answers: |image| vec![(image.layer_path(), Answer::new(200).header("Content-Type", "text/html").body("<html>"))],
            complaint: "answers with a web page (HTTP 200); is 127.0.0.1:",
        },
        Lie {
            name: "words",
            answers: |image| {
                let text = r#"{"errors":[{"code":"DENIED","message":"\u001b[2J\r\nError: all is well\u0007"}]}"#;
                vec![(image.manifest_path(), Answer::new(400).header("Content-Type", "application/json").body(text))]
            },
            complaint: "denied: [2J  Error: all is well\n",
        },
        Lie {
            name: "round-and-round",
            answers: |image| vec![(image.layer_path(), Answer::new(307).header("Location", image.layer_path()))],
            complaint: "redirects more than 5 times",
        },
        Lie {
            name: "nowhere",
            answers: |image| vec![(image.layer_path(), Answer::new(307).header("Location", "file:///etc/passwd"))],
            complaint: "redirects to nowhere",
        },
    ]);
}

#[test]
fn run_fails_as_the_container_s_engine_does() {
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
    assert!(told(&scene.registry).contains("authorization: basic bwu6c2vjcmv0"), "{:?}", scene.registry.seen());
    let elsewhere = told(&elsewhere);
    assert!(elsewhere.starts_with("get /content?signature=1 "), "{elsewhere}");
    assert!(!elsewhere.contains("authorization") && !elsewhere.contains("bwu6"), "{elsewhere}");
}

/// An answer that announces the whole layer, and half of it.
fn half(image: &Image) -> Answer {
    let length = image.layer.len();
    Answer::new(200).header("Content-Length", length).body(&image.layer[..length / 2])
}
