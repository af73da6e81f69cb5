//! Registries and archives that mean no good: what is refused is said clearly, and nothing is left of it anywhere.

mod answers;
mod crowd;
mod disk;
mod documents;
mod image;
mod layers;
mod tar;

use std::{
    fmt::Write,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use testkit::{Answer, Hostile, Outcome, Process, Sandbox};
use types::Digest;

use crate::PROGRAM;
use image::Image;

/// A sandbox with files that are not the engine's, and with a registry.
struct Scene {
    registry: Hostile,
    outside: String,
    /// What [`state`] was at the beginning.
    before: String,
    sandbox: Sandbox,
}

/// What a registry says of an image instead of the truth, and what is to be said of that.
struct Lie {
    /// The image's.
    name: &'static str,
    complaint: &'static str,
    answers: Box<dyn Fn(&Image) -> Answers>,
}

/// Each with what it is the answer to.
type Answers = Vec<(String, Answer)>;

impl Lie {
    fn new(
        name: &'static str,
        complaint: &'static str,
        answers: impl Fn(&Image) -> Answers + 'static,
    ) -> Lie {
        Lie { name, complaint, answers: Box::new(answers) }
    }

    fn about_manifest(
        name: &'static str,
        complaint: &'static str,
        answer: impl Fn(&Image) -> Answer + 'static,
    ) -> Lie {
        Lie::new(name, complaint, move |image| vec![(image.manifest_path(), answer(image))])
    }

    fn about_layer(
        name: &'static str,
        complaint: &'static str,
        answer: impl Fn(&Image) -> Answer + 'static,
    ) -> Lie {
        Lie::new(name, complaint, move |image| vec![(image.layer_path(), answer(image))])
    }
}

impl Scene {
    /// `None` where tests cannot have one.
    fn set() -> Option<Scene> {
        Sandbox::empty(PROGRAM).map(Scene::with)
    }

    /// The same, with the engine on a disk that has this room.
    fn on_disk(room: &str) -> Option<Scene> {
        Sandbox::on_small_disk(PROGRAM, room).map(Scene::with)
    }

    fn with(sandbox: Sandbox) -> Scene {
        let outside = sandbox.directory().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "the host's own").unwrap();
        sandbox.sampan(["images"]).ok();
        let before = state(&sandbox, &outside);
        let outside = outside.to_str().unwrap().to_owned();
        Scene { registry: Hostile::start(&sandbox), outside, before, sandbox }
    }

    /// Pulls from a registry that lies about an image, once for each lie and all at the same time; then it
    /// does not lie any more.
    #[track_caller]
    fn refuses(&self, lies: &[Lie]) {
        let images: Vec<Image> = lies.iter().map(|lie| Image::good(lie.name)).collect();
        for (image, lie) in images.iter().zip(lies) {
            image.serve(&self.registry);
            (lie.answers)(image)
                .into_iter()
                .for_each(|(target, answer)| self.registry.answer(&target, answer));
        }
        let pulls: Vec<_> = images.iter().map(|image| self.pull(image)).collect();
        let outcomes = pulls.into_iter().map(Process::finish);
        let wrong = outcomes.zip(lies).filter(|(outcome, lie)| !is_refusal(outcome, lie.complaint));
        let wrong: Vec<_> = wrong
            .map(|(outcome, lie)| format!("{}: {:?} expected\n{outcome}", lie.name, lie.complaint))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        self.is_untouched();

        // Lies stay beside the truth at addresses that nobody has a reason to ask for any more.
        images.iter().for_each(|image| image.serve(&self.registry));
        let pulls: Vec<_> = images.iter().map(|image| self.pull(image)).collect();
        pulls.into_iter().for_each(|pull| drop(pull.finish().ok()));
        self.sandbox.sampan(["image", "verify"]).ok();
    }

    fn pull(&self, image: &Image) -> Process {
        let mut pull = self.sandbox.command(["pull", "-q", &self.reference(image)]);
        pull.env("SAMPAN_REGISTRY_TIMEOUT", "1").env("SAMPAN_HINTS", "0");
        self.sandbox.start(pull)
    }

    fn reference(&self, image: &Image) -> String {
        format!("{}/{}", self.registry.host(), image.name)
    }

    /// Expects that the host's files and the images are what they were, and that the store is sound.
    #[track_caller]
    fn is_untouched(&self) {
        self.sandbox.sampan(["image", "verify"]).ok();
        assert_eq!(state(&self.sandbox, Path::new(&self.outside)), self.before);
        for blob in fs::read_dir(self.sandbox.root().join("blobs/sha256")).unwrap() {
            let path = blob.unwrap().path();
            let digest = Digest::of(&fs::read(&path).unwrap());
            assert_eq!(
                path.file_name().unwrap().to_str().unwrap(),
                digest.hex(),
                "a blob under a wrong name"
            );
        }
    }
}

/// Whether a command failed and said why in one line, with these words in it.
fn is_refusal(outcome: &Outcome, complaint: &str) -> bool {
    let Outcome { code, stdout, stderr, .. } = outcome;
    *code == 1 && stdout.is_empty() && stderr.contains(complaint) && stderr.lines().count() == 1
}

/// The images by name, and all files that are not the engine's with what hostile archives could change about them.
fn state(sandbox: &Sandbox, outside: &Path) -> String {
    let mut text = sandbox.sampan(["images", "--all", "--no-trunc"]).ok().stdout;
    let mut files = vec![outside.to_owned()];
    files.extend(outside.read_dir().unwrap().map(|entry| entry.unwrap().path()));
    files.extend([outside.with_file_name("escaped"), PathBuf::from("/sampan-escaped")]);
    files.sort();
    for file in files {
        let Ok(stat) = file.symlink_metadata() else { continue };
        let content = fs::read_to_string(&file).unwrap_or_default();
        writeln!(
            text,
            "{} {:o} {} links, {}:{}: {content}",
            file.display(),
            stat.mode(),
            stat.nlink(),
            stat.uid(),
            stat.gid()
        )
        .unwrap();
    }
    text
}
