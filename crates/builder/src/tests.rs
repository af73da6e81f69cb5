//! Whole builds against an engine of files: layers are directories, and processes are shell scripts in `upper`.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Mutex,
};

use image::{
    Image, Lease, Store,
    manifest::{Descriptor, Manifest},
};
use types::{Digest, Platform, Reference};

use super::*;

/// An engine in a directory: a real store, names in memory, and processes that run right here in `upper`.
struct FakeEngine {
    root: tempfile::TempDir,
    store: Store,
    names: Mutex<BTreeMap<String, Image>>,
    runs: Mutex<Vec<RunStep>>,
    pushed: Mutex<Vec<String>>,
}

impl FakeEngine {
    fn new() -> FakeEngine {
        let root = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(&root.path().join("store")).expect("store");
        let (names, runs, pushed) = Default::default();
        FakeEngine { root, store, names, runs, pushed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Makes the image `base` of one layer that `fill` puts files into.
    fn base(&self, fill: impl FnOnce(&Path)) {
        let directory = self.path("base");
        fs::create_dir(&directory).expect("layer");
        fill(&directory);
        let lease = self.store.lease().expect("lease");
        let layer = lease.commit_layer(&directory).expect("committed");
        let mut config = config::scratch(&Platform::host());
        config.created = Some("2020-01-01T00:00:00Z".into());
        let image = lease.write_image(config, &[layer]).expect("written");
        self.names
            .lock()
            .expect("no test panics holding it")
            .insert("docker.io/library/base:latest".into(), image);
    }

    fn layers(&self) -> usize {
        fs::read_dir(self.path("store/layers")).expect("layers").count()
    }

    /// Where the topmost of the image's layers that has `path` has it.
    fn file(&self, built: &Built, path: &str) -> PathBuf {
        let layers = self.store.layer_directories(&built.image).expect("layers");
        let mut places = layers.iter().map(|layer| layer.join(path));
        places.find(|place| place.symlink_metadata().is_ok()).unwrap_or_else(|| panic!("no {path}"))
    }

    fn read(&self, built: &Built, path: &str) -> String {
        fs::read_to_string(self.file(built, path)).expect("readable")
    }
}

impl Host for FakeEngine {
    fn store(&self) -> &Store {
        &self.store
    }

    fn resolve(&self, name: &Reference, _: &Platform, _: bool) -> Result<Image, HostError> {
        let image = self.names.lock().expect("no test panics holding it").get(&name.to_string()).cloned();
        image.ok_or_else(|| HostError::NotFound(name.clone()))
    }

    fn record(&self, _: &Lease, image: &Image, names: &[Reference]) -> Result<(), HostError> {
        let named = names.iter().map(|name| (name.to_string(), image.clone()));
        self.names.lock().expect("no test panics holding it").extend(named);
        Ok(())
    }

    fn push(
        &self,
        lease: &Lease,
        images: &[Image],
        index: Option<&Descriptor>,
        name: &Reference,
    ) -> Result<Pushed, HostError> {
        let digest = index.map_or(images[0].manifest, |index| index.digest);
        let bytes = lease.store().read_blob(&digest, 1 << 20).expect("in the store");
        self.pushed.lock().expect("no test panics holding it").push(name.familiar());
        Ok(Pushed { digest, size: bytes.len() as u64 })
    }

    fn fetch_manifest(&self, name: &Reference) -> Result<(Manifest, Vec<u8>), HostError> {
        Err(HostError::NotFound(name.clone()))
    }

    fn fetch_layer(
        &self,
        _: &Lease,
        name: &Reference,
        _: &Descriptor,
        _: &[Digest],
    ) -> Result<(), HostError> {
        Err(HostError::NotFound(name.clone()))
    }

    fn run(&self, step: &RunStep, _: &Stop, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, HostError> {
        self.runs.lock().expect("no test panics holding it").push(step.clone());
        let run = std::process::Command::new(&step.arguments[0])
            .args(&step.arguments[1..])
            .current_dir(&step.upper)
            .output()
            .map_err(|error| HostError::Other(error.into()))?;
        output(Stream::Out, &run.stdout);
        output(Stream::Err, &run.stderr);
        Ok(run.status.code().unwrap_or(-1))
    }
}

/// What happened, a word each for the steps.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Started { task: task @ Task::Step { .. }, .. } => self.0.push(task.to_string()),
            Event::Cached { .. } => self.0.push("CACHED".into()),
            Event::Missed { reason, .. } => self.0.push(format!("because {reason}")),
            Event::Output { bytes, .. } => self.0.push(String::from_utf8_lossy(bytes).trim().to_owned()),
            Event::Warning(warning) => self.0.push(format!("warning: {warning}")),
            _ => {}
        }
        self.0.retain(|note| !note.is_empty());
    }
}

/// A context with a Dockerfile and other files.
struct Project(tempfile::TempDir);

impl Project {
    fn new(dockerfile: &str, files: &[(&str, &str)]) -> Project {
        let directory = tempfile::tempdir().expect("temporary directory");
        put(directory.path(), "Dockerfile", dockerfile);
        files.iter().for_each(|(path, content)| put(directory.path(), path, content));
        Project(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("Dockerfile")).expect("readable")
    }

    fn settings(&self, engine: &FakeEngine) -> Build {
        let context = ContextSource::Directory(self.0.path().to_owned());
        let mut build = Build::new(context, DockerfileSource::Default, engine.path("cache"));
        build.tags.push("out".parse().expect("reference"));
        build
    }

    fn build(&self, engine: &FakeEngine) -> (Result<Built, BuildError>, String) {
        run(self.settings(engine), engine)
    }

    fn built(&self, engine: &FakeEngine) -> Built {
        let (result, notes) = self.build(engine);
        result.unwrap_or_else(|error| panic!("{error:?}\n{notes}"))
    }
}

fn run(settings: Build, engine: &FakeEngine) -> (Result<Built, BuildError>, String) {
    let mut notes = Notes::default();
    let result = build(settings, engine, &mut notes);
    (result, notes.0.join("\n"))
}

fn put(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("below the root")).expect("parents");
    fs::write(path, content).expect("file");
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(30);
        header.set_gid(40);
        archive.append_data(&mut header, name, content.as_bytes()).expect("entry");
    }
    archive.into_inner().expect("archive")
}

/// Copied files become root's, which only root can do.
fn not_root() -> bool {
    let not_root = !rustix::process::geteuid().is_root();
    if not_root {
        eprintln!("skipped: needs root");
    }
    not_root
}

#[test]
fn a_tutorials_dockerfile_becomes_an_image() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|layer| put(layer, "etc/passwd", ""));
    let project = Project::new(
        "FROM base\nWORKDIR /app\nADD . /app\nRUN echo installing && echo x > made\nEXPOSE 80\n\
         ENV NAME World\nCMD [\"python\", \"app.py\"]\n",
        &[("app.py", "print()"), ("sub/x", "x"), (".dockerignore", "*.log"), ("noise.log", "")],
    );
    let (built, notes) = project.build(&engine);
    let built = built.expect("built");
    assert_eq!(
        notes,
        "warning: LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \
         \"ENV key value\" format (line 6)\n\
         [1/4] FROM docker.io/library/base:latest\n\
         [2/4] WORKDIR /app\nbecause it was never built\n\
         [3/4] ADD . /app\nbecause it was never built\n\
         [4/4] RUN echo installing && echo x > made\nbecause it was never built\ninstalling"
    );
    let config = &built.image.config;
    let history: Vec<_> = config.history.iter().map(|h| h.created_by.as_str()).collect();
    assert_eq!(
        history,
        [
            "WORKDIR /app",
            "ADD . /app # buildkit",
            "RUN /bin/sh -c echo installing && echo x > made # buildkit",
            "EXPOSE [80/tcp]",
            "ENV NAME=World",
            "CMD [\"python\" \"app.py\"]",
        ]
    );
    assert_eq!(
        config.history.iter().map(|h| h.empty_layer).collect::<Vec<_>>(),
        [false, false, false, true, true, true]
    );
    assert_eq!(config.rootfs.diff_ids.len(), 4);
    assert_eq!(config.config.working_dir, "/app");
    assert_eq!(engine.read(&built, "app/sub/x"), "x");
    let ignored = engine.file(&built, "app/app.py").with_file_name("noise.log");
    assert!(!ignored.exists());
    assert_eq!(
        engine.names.lock().expect("no test panics holding it")["docker.io/library/out:latest"],
        built.image
    );
    assert_eq!(fs::read_dir(engine.path("cache/scratch")).expect("scratch").count(), 0);
}

#[test]
fn an_unchanged_build_makes_the_same_image_and_a_change_says_what_it_was() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|_| {});
    let project =
        Project::new("FROM base\nCOPY src /src\nRUN echo x > y\n", &[("src/a", "1"), ("src/b", "1")]);
    let first = project.built(&engine);
    let (again, notes) = project.build(&engine);
    assert_eq!(again.expect("built"), first);
    assert_eq!(notes.matches("CACHED").count(), 2, "{notes}");

    let touched = fs::File::options().append(true).open(project.path("src/a")).expect("file");
    touched.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("time");
    let (_, notes) = project.build(&engine);
    assert_eq!(notes.matches("CACHED").count(), 2, "times are no content: {notes}");

    put(project.0.path(), "src/b", "2");
    let (changed, notes) = project.build(&engine);
    assert!(notes.contains("because src/b changed"), "{notes}");
    assert!(notes.contains("because parent changed"), "{notes}");
    assert_ne!(changed.expect("built"), first);

    put(project.0.path(), "src/b", "1");
    let (back, notes) = project.build(&engine);
    assert_eq!((back.expect("built"), notes.matches("CACHED").count()), (first, 2), "{notes}");
}

#[test]
fn without_the_cache_every_step_is_done_again_and_a_lost_layer_is_made_again() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    let project = Project::new("FROM scratch\nCOPY a /a\n", &[("a", "1")]);
    let first = project.built(&engine);
    let (again, notes) = run(Build { no_cache: true, ..project.settings(&engine) }, &engine);
    assert!(notes.contains("because the cache is not used (--no-cache)"), "{notes}");
    let layer = |built: &Built| built.image.layers[0].diff_id;
    assert_eq!(layer(&again.expect("built")), layer(&first));
    fs::remove_dir_all(engine.path("store/layers").join(layer(&first).hex())).expect("removed");
    let (_, notes) = project.build(&engine);
    assert!(notes.contains("because the layer it made is gone"), "{notes}");
}

#[test]
fn a_failing_process_is_shown_with_its_line_and_leaves_nothing() {
    let engine = FakeEngine::new();
    let project = Project::new("FROM scratch\n\nRUN echo no; exit 3\n", &[]);
    let (result, _) = project.build(&engine);
    let error = result.expect_err("fails");
    assert_eq!(
        error.to_string(),
        "process \"/bin/sh -c echo no; exit 3\" did not complete successfully: exit code: 3"
    );
    let diagnostic = error.diagnostic().expect("a place");
    assert_eq!(diagnostic.line(), 3);
    let BuildError::Run { output, code, .. } = &error else { panic!("{error:?}") };
    assert_eq!((output.as_str(), *code), ("no\n", 3));
    assert_eq!(fs::read_dir(engine.path("cache/scratch")).expect("scratch").count(), 0);
    assert_eq!(engine.layers(), 0);
}

#[test]
fn copies_belong_to_root_or_to_whom_the_image_knows() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|layer| {
        put(layer, "etc/passwd", "app:x:10:20::/:/bin/sh\n");
        put(layer, "etc/group", "staff:x:50:app\n");
    });
    let project = Project::new(
        "FROM base\nCOPY a /plain/\nCOPY --chown=app a /own/a\nCOPY --chown=app:staff --chmod=640 d /d\n",
        &[("a", "1"), ("d/x", "")],
    );
    std::os::unix::fs::chown(project.path("a"), Some(1000), Some(1000)).expect("chown");
    fs::set_permissions(project.path("a"), fs::Permissions::from_mode(0o751)).expect("mode");
    let built = project.built(&engine);
    let about = |path: &str| {
        let metadata = fs::metadata(engine.file(&built, path)).expect("metadata");
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    assert_eq!(about("plain/a"), (0, 0, 0o751));
    assert_eq!(about("plain"), (0, 0, 0o755));
    assert_eq!(about("own/a"), (10, 20, 0o751));
    assert_eq!(about("d/x"), (10, 50, 0o640));
    let time = fs::metadata(engine.file(&built, "plain/a")).expect("metadata").mtime();
    assert_eq!(time, 315_532_800, "whenever the file was written");
}

#[test]
fn directories_keep_their_modes_but_the_one_whose_content_is_copied_does_not() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    let project = Project::new("FROM scratch\nCOPY . /all\nCOPY d /new\n", &[("d/x", "")]);
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
    chmod(project.0.path(), 0o700);
    chmod(&project.path("d"), 0o750);
    let built = project.built(&engine);
    let mode = |path: &str| fs::metadata(engine.file(&built, path)).expect("there").mode() & 0o7777;
    assert_eq!((mode("all"), mode("all/d"), mode("new")), (0o755, 0o750, 0o755));
    assert_eq!(mode(""), 0o755);
    chmod(&project.path("d"), 0o755);
    let (_, notes) = project.build(&engine);
    assert!(notes.contains("because d changed"), "{notes}");
}

#[test]
fn destinations_follow_the_images_links_and_never_leave_it() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|layer| {
        put(layer, "usr/lib/libc", "");
        symlink("usr/lib", layer.join("lib")).expect("link");
        symlink("../../../../../../tmp/outside", layer.join("escape")).expect("link");
    });
    let project = Project::new("FROM base\nCOPY a /lib/a\nCOPY a /escape/a\nWORKDIR /lib/w\n", &[("a", "1")]);
    let built = project.built(&engine);
    assert_eq!(engine.read(&built, "usr/lib/a"), "1");
    assert_eq!(engine.read(&built, "tmp/outside/a"), "1");
    assert!(engine.file(&built, "usr/lib/w").is_dir());
    assert!(!Path::new("/tmp/outside").exists());

    let project = Project::new("FROM base\nCOPY root /\n", &[("root/lib/x", "")]);
    let (result, _) = project.build(&engine);
    assert_eq!(result.expect_err("would hide a link").to_string(), "cannot copy to non-directory: /lib");
}

#[test]
fn sources_are_patterns_directories_and_links_within_the_context() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    let files = [("a1.txt", "1"), ("a2.txt", "2"), ("dir/sub/x", "x"), ("dir/y", "y")];
    let project = Project::new(
        "FROM scratch\nCOPY a*.txt none* /t/\nCOPY dir /d\nCOPY inner /i\nCOPY dir/*/x /x\nCOPY <<E /here\nhi\nE\n",
        &files,
    );
    symlink("dir/sub", project.path("inner")).expect("link");
    let built = project.built(&engine);
    for (path, content) in
        [("t/a1.txt", "1"), ("t/a2.txt", "2"), ("d/sub/x", "x"), ("i/x", "x"), ("x", "x"), ("here", "hi\n")]
    {
        assert_eq!(engine.read(&built, path), content, "{path}");
    }

    symlink("/etc/passwd", project.path("passwd")).expect("link");
    put(project.0.path(), "Dockerfile", "FROM scratch\nCOPY passwd /\n");
    let error = project.build(&engine).0.expect_err("outside");
    assert_eq!(
        error.to_string(),
        "failed to compute cache key: failed to calculate checksum of ref context: \"/passwd\": not found"
    );
    assert_eq!(error.diagnostic().map(Diagnostic::line), Some(2));
}

#[test]
fn an_added_archive_is_unpacked_and_its_files_keep_their_owners() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|layer| {
        put(layer, "usr/lib/libc", "");
        symlink("usr/lib", layer.join("lib")).expect("link");
    });
    let project = Project::new("FROM base\nADD a.tar /x/\nADD --chown=7:8 a.tar /y\nCOPY a.tar /z/\n", &[]);
    fs::write(project.path("a.tar"), archive(&[("d/f", "1")])).expect("archive");
    let built = project.built(&engine);
    let owner = |path: &str| {
        let metadata = fs::metadata(engine.file(&built, path)).expect("metadata");
        (metadata.uid(), metadata.gid())
    };
    assert_eq!((owner("x/d/f"), owner("y/d/f")), ((30, 40), (7, 8)));
    assert!(engine.file(&built, "z/a.tar").is_file());

    put(project.0.path(), "Dockerfile", "FROM base\nADD a.tar /\n");
    fs::write(project.path("a.tar"), archive(&[("lib/new", "1")])).expect("archive");
    let error = project.build(&engine).0.expect_err("would hide a link");
    assert_eq!(error.to_string(), "cannot copy to non-directory: /lib");
}

#[test]
fn a_dockerfiles_own_ignore_file_goes_before_the_contexts() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    let files = [("a", "1"), ("b", "1"), (".dockerignore", "a"), ("x/My.dockerignore", "b"), ("x/My", "")];
    let project = Project::new("FROM scratch\nCOPY a b* /\n", &files);
    put(project.0.path(), "x/My", "FROM scratch\nCOPY a b* /\n");
    let error = project.build(&engine).0.expect_err("a is ignored");
    let help = error.diagnostic().and_then(|diagnostic| diagnostic.problem.help.clone());
    assert_eq!(help.as_deref(), Some("the ignore file (.dockerignore) leaves it out"));
    let dockerfile = DockerfileSource::Path(project.path("x/My"));
    let built = run(Build { dockerfile, ..project.settings(&engine) }, &engine).0.expect("built");
    assert_eq!(engine.read(&built, "a"), "1");
    assert!(!engine.file(&built, "a").with_file_name("b").exists());
}

#[test]
fn a_context_may_be_an_archive_and_a_stream_may_be_the_dockerfile() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    let project = Project::new("", &[]);
    let archive = archive(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "1")]);
    let context = ContextSource::Stream(Box::new(io::Cursor::new(archive)));
    let built = run(Build { context, ..project.settings(&engine) }, &engine).0.expect("built");
    assert_eq!(engine.read(&built, "a"), "1");

    let text = "FROM scratch\nLABEL a=b\n".as_bytes();
    let context = ContextSource::Stream(Box::new(text));
    let built = run(Build { context, ..project.settings(&engine) }, &engine).0.expect("built");
    assert_eq!(built.image.config.config.labels["a"], "b");
}

#[test]
fn a_stream_that_is_a_dockerfile_leaves_no_room_for_another_one() {
    let engine = FakeEngine::new();
    let project = Project::new("", &[]);
    let context = ContextSource::Stream(Box::new("FROM scratch\n".as_bytes()));
    let dockerfile = DockerfileSource::Path("x".into());
    let error = run(Build { context, dockerfile, ..project.settings(&engine) }, &engine).0.expect_err("two");
    assert_eq!(
        error.to_string(),
        "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles"
    );
}

#[test]
fn an_archives_ignore_file_is_a_file_like_any_other() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    let project = Project::new("", &[]);
    let files = [("Dockerfile", "FROM scratch\nCOPY . /\n"), ("a", "1"), (".dockerignore", "a")];
    let context = ContextSource::Stream(Box::new(io::Cursor::new(archive(&files))));
    let built = run(Build { context, ..project.settings(&engine) }, &engine).0.expect("built");
    assert_eq!((engine.read(&built, "a"), engine.read(&built, ".dockerignore")), ("1".into(), "a".into()));
}

#[test]
fn a_named_context_goes_before_images_and_takes_the_place_of_stages() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|layer| put(layer, "b", "base"));
    let other = Project::new("", &[("f", "1"), ("g", "1"), (".dockerignore", "g")]);
    let directory = || NamedContext::Files(NamedFiles::Directory(other.0.path().to_owned()));
    let base = NamedContext::Image("base".parse().expect("a name"));
    let contexts: BTreeMap<String, NamedContext> =
        [("files", directory()), ("alias:1", base), ("stage", directory()), ("none", NamedContext::Nothing)]
            .map(|(name, context)| (name.to_owned(), context))
            .into();
    let project = Project::new(
        "FROM missing AS stage\nRUN exit 1\nFROM alias:1 AS two\nCOPY --from=files f /named\nCOPY --from=stage f /staged\n\
         COPY --from=alias:1 b /aliased\nFROM files\nCOPY --from=two / /two\nCOPY --from=none / /none\n",
        &[],
    );
    let build = || run(Build { contexts: contexts.clone(), ..project.settings(&engine) }, &engine);
    let (built, notes) = build();
    let built = built.unwrap_or_else(|error| panic!("{error:?} {notes}"));
    for (path, content) in
        [("f", "1"), ("two/b", "base"), ("two/named", "1"), ("two/staged", "1"), ("two/aliased", "base")]
    {
        assert_eq!(engine.read(&built, path), content, "{path}");
    }
    let layers = engine.store.layer_directories(&built.image).expect("layers");
    assert!(layers.iter().all(|layer| !layer.join("g").exists()), "its ignore file leaves it out");
    assert!(!build().1.contains("because"), "all is known");
    put(other.0.path(), "f", "2");
    let (built, notes) = build();
    assert_eq!(engine.read(&built.expect("built"), "two/named"), "2");
    assert!(notes.contains("because f changed"), "{notes}");
}

#[test]
fn a_context_may_be_named_by_a_link() {
    let engine = FakeEngine::new();
    let project = Project::new("FROM scratch\nLABEL a=b\n", &[]);
    let link = engine.path("link");
    symlink(project.0.path(), &link).expect("link");
    let context = ContextSource::Directory(link);
    run(Build { context, ..project.settings(&engine) }, &engine).0.expect("built");
}

#[test]
fn mistakes_are_found_before_anything_is_done() {
    let engine = FakeEngine::new();
    let project = Project::new("FORM base\n", &[]);
    let error = project.build(&engine).0.expect_err("misspelt");
    assert_eq!(
        error.to_string(),
        "dockerfile parse error on line 1: unknown instruction: FORM (did you mean FROM?)"
    );
    put(project.0.path(), "Dockerfile", "FROM nowhere\nRUN x\n");
    let error = project.build(&engine).0.expect_err("missing");
    assert_eq!(error.to_string(), "docker.io/library/nowhere:latest: not found");
    fs::remove_file(project.path("Dockerfile")).expect("removed");
    let error = project.build(&engine).0.expect_err("no Dockerfile");
    assert_eq!(error.to_string(), "failed to read dockerfile: open Dockerfile: no such file or directory");
}

#[test]
fn arguments_that_nobody_takes_are_mentioned() {
    let engine = FakeEngine::new();
    let project = Project::new("FROM scratch\nARG A\nRUN :\n", &[]);
    let arguments = ["A", "B", "HTTP_PROXY"].map(|name| (name.to_owned(), "1".to_owned())).into();
    let (built, notes) = run(Build { arguments, ..project.settings(&engine) }, &engine);
    built.expect("built");
    assert!(notes.contains("warning: One or more build-args [B] were not consumed"), "{notes}");
    let environment = engine.runs.lock().expect("no test panics holding it")[0].environment.clone();
    // As BuildKit has it, programs find a proxy in either spelling.
    assert_eq!(environment[1..], ["A=1", "HTTP_PROXY=1", "http_proxy=1"]);
}

#[test]
fn files_come_from_other_stages_as_they_are_there() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|layer| {
        put(layer, "keep/low", "low");
        put(layer, "keep/gone", "gone");
    });
    let project = Project::new(
        "FROM base AS one\nCOPY --chown=7:8 a /keep/high\nRUN mkdir -p keep && mknod keep/gone c 0 0\n\
         FROM scratch\nCOPY --from=one /keep /all\nCOPY --from=0 --chown=3 --chmod=go= /keep/h* /some/\n\
         COPY --from=base /keep/low /\n",
        &[("a", "high")],
    );
    let built = project.built(&engine);
    let about = |path: &str| {
        let metadata = fs::metadata(engine.file(&built, path)).expect("metadata");
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    assert_eq!((engine.read(&built, "all/low"), engine.read(&built, "low")), ("low".into(), "low".into()));
    assert!(!engine.file(&built, "all").join("gone").exists(), "what was removed does not come back");
    assert_eq!((about("all/high"), about("some/high")), ((7, 8, 0o644), (3, 3, 0o600)));
    let (_, notes) = project.build(&engine);
    assert_eq!(notes.matches("CACHED").count(), 5, "{notes}");

    // What a stage leaves counts, not how it came to that.
    put(project.0.path(), "Dockerfile", &project.text().replace("RUN mkdir", "RUN true; mkdir"));
    let (_, notes) = project.build(&engine);
    assert_eq!(notes.matches("CACHED").count(), 4, "{notes}");
}

#[test]
fn independent_stages_are_built_at_the_same_time() {
    let engine = FakeEngine::new();
    // Each waits for the other, for a while.
    let meet = |own: &str, other: &str| {
        let place = engine.path("meeting").display().to_string();
        format!(
            "mkdir -p {place}; touch {place}/{own}; i=0; until [ -e {place}/{other} ]; do \
             [ $((i+=1)) -lt 500 ] || exit 9; sleep 0.01; done; echo {own} > {own}"
        )
    };
    let dockerfile = format!(
        "FROM scratch AS a\nRUN {}\nFROM scratch AS b\nRUN {}\nFROM scratch\nCOPY --from=a a /\nCOPY --from=b b /\n",
        meet("a", "b"),
        meet("b", "a")
    );
    if not_root() {
        return;
    }
    let built = Project::new(&dockerfile, &[]).built(&engine);
    assert_eq!((engine.read(&built, "a"), engine.read(&built, "b")), ("a\n".into(), "b\n".into()));
}

#[test]
fn flags_choose_which_files_are_copied() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    let files = ["x/a.txt", "x/b.md", "y/deep/c.txt", "y/deep/d.md"].map(|name| (name, name));
    let project = Project::new(
        "FROM scratch\nCOPY --exclude=*.md x /one/\nCOPY --exclude=**/*.md --exclude=x/a* . /two/\n\
         COPY --parents x/a.txt y/*/c.txt /three/\nCOPY --parents ./y/./deep/*.md /four/\n",
        &files,
    );
    let built = project.built(&engine);
    let mut names = Vec::new();
    for layer in engine.store.layer_directories(&built.image).expect("layers").iter().rev() {
        let layer = image::tree::Root::open(layer, image::tree::Links::Refused).expect("layer");
        let note = &mut |found: image::tree::Found<'_>| -> io::Result<bool> {
            if found.file_type().is_file() && found.name != Path::new("Dockerfile") {
                names.push(found.path.display().to_string());
            }
            Ok(true)
        };
        image::tree::walk(&layer, Path::new(""), note).expect("walked");
    }
    let expected = ["one/a.txt", "two/y/deep/c.txt", "three/x/a.txt", "three/y/deep/c.txt", "four/deep/d.md"];
    assert_eq!(names, expected);
}

#[test]
fn a_linked_copy_does_not_look_at_what_is_there() {
    if not_root() {
        return;
    }
    let engine = FakeEngine::new();
    engine.base(|layer| {
        put(layer, "usr/lib/x", "");
        symlink("usr/lib", layer.join("lib")).expect("link");
    });
    let project = Project::new("FROM base\nCOPY --link a /lib/a\n", &[("a", "1")]);
    let built = project.built(&engine);
    let top = engine.store.layer_directories(&built.image).expect("layers").remove(0);
    assert!(top.join("lib").symlink_metadata().expect("there").is_dir());
    put(project.0.path(), "Dockerfile", "FROM base\nRUN echo x > y\nCOPY --link a /lib/a\n");
    let (_, notes) = project.build(&engine);
    assert!(notes.ends_with("COPY a /lib/a\nCACHED"), "{notes}");
}

#[test]
fn a_small_change_of_a_large_copy_is_kept_as_a_difference_and_comes_to_the_same() {
    if not_root() {
        return;
    }
    let (engine, bare) = (FakeEngine::new(), FakeEngine::new());
    for engine in [&engine, &bare] {
        engine.base(|layer| put(layer, "app/3/below", "of the base"));
    }
    let project = Project::new("FROM base\nCOPY src /app\nRUN echo x > y\n", &[]);
    let path = |name: &str| project.path("src").join(name);
    for number in 0..60 {
        put(&path(&format!("{}", number / 10)), &format!("{number}"), &format!("{number}"));
    }
    symlink("0", path("1/link")).expect("link");
    put(&path("1"), "file", "no directory yet");
    let mode = |name: &str, bits: u32| {
        fs::set_permissions(path(name), fs::Permissions::from_mode(bits)).expect("mode");
    };
    // What is done to the files, and whether the copy of all of them is kept as a difference then.
    type Edit<'a> = (&'a dyn Fn(), bool);
    let edits: &[Edit<'_>] = &[
        (&|| {}, false),
        (&|| put(&path("0"), "0", "changed"), true),
        (&|| put(&path("0"), "1", "changed too"), true),
        (&|| put(&path("0"), "0", "once more"), true),
        (&|| put(&path("new/deep"), "file", "new"), true),
        (&|| mode("new", 0o700), true),
        (&|| mode("2", 0o711), true),
        (&|| mode("2/20", 0o755), true),
        (&|| fs::create_dir(path("empty")).expect("directory"), true),
        (
            &|| {
                fs::remove_file(path("1/link")).expect("removed");
                put(&path("1/link"), "below", "where a link was");
            },
            true,
        ),
        (
            &|| {
                fs::remove_file(path("1/file")).expect("removed");
                put(&path("1/file"), "below", "where a file was");
            },
            true,
        ),
        (&|| fs::remove_file(path("5/59")).expect("removed"), false),
        (&|| put(&path("4"), "40", "on the whole one"), true),
        (&|| fs::hard_link(path("3/30"), path("3/again")).expect("another name"), false),
        (&|| put(&path("4"), "40", "with a file of two names"), false),
        (&|| fs::remove_file(path("3/again")).expect("removed"), false),
        (
            &|| {
                fs::remove_dir_all(path("empty"))
                    .and_then(|()| fs::write(path("empty"), "no directory"))
                    .expect("file")
            },
            true,
        ),
        (&|| (0..30).for_each(|number| put(&path("many"), &number.to_string(), "")), false),
    ];
    for (number, (edit, is_difference)) in edits.iter().enumerate() {
        edit();
        let built = project.built(&engine);
        let anew = run(Build { no_cache: true, ..project.settings(&bare) }, &bare).0.expect("built");
        assert_eq!(built.image.id, anew.image.id, "after edit {number}");
        let directories = engine.store.layer_directories(&built.image).expect("layers");
        assert_eq!(directories.len(), 3 + usize::from(*is_difference), "after edit {number}");
        assert_eq!(engine.read(&built, "app/1/10"), "10");
        assert_eq!(engine.read(&built, "app/3/below"), "of the base");
        assert_eq!(engine.read(&built, "y"), "x\n");
    }
    assert_eq!(engine.store.verify(&[], |_| ()).expect("verified"), []);
}
