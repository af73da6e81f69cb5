//! Against repositories in directories, which is allowed here only.

use std::{path::Path, process::Command};

use super::*;

/// A place with repositories and a cache.
struct Place(tempfile::TempDir);

const PLAIN: Wanted = Wanted { keep_git_dir: false, submodules: true };

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a shell script in a repository, which is made first if need be; what it writes.
    fn shell(&self, repository: &str, script: &str) -> String {
        let directory = self.path(repository);
        fs::create_dir_all(&directory).expect("directory");
        let mut command = Command::new("sh");
        command.arg("-euc").arg(format!("[ -d .git ] || git init -q -b main .\n{script}"));
        command.current_dir(&directory).env_clear().env("PATH", std::env::var_os("PATH").expect("a path"));
        for name in ["GIT_AUTHOR", "GIT_COMMITTER"] {
            command.env(format!("{name}_NAME"), "A").env(format!("{name}_EMAIL"), "a@b");
            command.env(format!("{name}_DATE"), "1700000000 +0000");
        }
        command.env("HOME", self.0.path()).env("GIT_ALLOW_PROTOCOL", "file");
        let output = command.output().expect("a shell");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn reference(&self, repository: &str, revision: Option<&str>) -> GitReference {
        let text = format!("git://h/x{}", revision.map(|r| format!("#{r}")).unwrap_or_default());
        let reference = GitReference::parse(&text).expect("valid").expect("a repository");
        GitReference { remote: format!("file://{}", self.path(repository).display()), ..reference }
    }

    fn check_out(&self, reference: &GitReference, wanted: Wanted) -> Result<Files, GitError> {
        let cache = Cache::new(self.path("cache"));
        let settings = GitSettings { allow_files: true, agent: None };
        let mirror = Mirror::open(reference, &cache, &settings)?;
        let revision = mirror.resolve()?;
        let scratch = tempfile::tempdir_in(self.0.path()).expect("scratch");
        let directory = mirror.check_out(&revision, wanted, scratch.path())?;
        Ok(Files { directory, revision, _scratch: scratch })
    }

    fn files(&self, repository: &str, revision: Option<&str>) -> Files {
        self.check_out(&self.reference(repository, revision), PLAIN)
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn error(&self, reference: &GitReference) -> String {
        let error = self.check_out(reference, PLAIN).map(|files| files.all()).expect_err("fails");
        error.to_string().replace(&self.0.path().display().to_string(), "DIR")
    }
}

struct Files {
    directory: PathBuf,
    revision: Revision,
    _scratch: tempfile::TempDir,
}

impl Files {
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.directory.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// All files with their content, sorted.
    fn all(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        let mut rest = vec![self.directory.clone()];
        while let Some(directory) = rest.pop() {
            for entry in fs::read_dir(directory).expect("directory") {
                let entry = entry.expect("entry");
                let name = entry.path().strip_prefix(&self.directory).expect("below").to_owned();
                match entry.file_type().expect("kind").is_dir() {
                    true => rest.push(entry.path()),
                    false => all.push((name, fs::read(entry.path()).unwrap_or_default())),
                }
            }
        }
        all.sort();
        all
    }

    fn names(&self) -> Vec<String> {
        self.all().iter().map(|(name, _)| name.display().to_string()).collect()
    }
}

const COMMIT: &str = "git add -A && git commit -qm x && git rev-parse HEAD";

#[test]
fn branches_tags_and_commits_are_found_and_the_default_branch_is_the_servers() {
    let place = Place::new();
    let first = place.shell("r", &format!("echo 1 > a; {COMMIT}; git tag v1; git tag -a -m x v1a"));
    let first = first.lines().next().expect("a commit").to_owned();
    let second =
        place.shell("r", &format!("git checkout -qb side; echo 2 > a; {COMMIT}; git checkout -q main"));
    for (revision, content, commit, name) in [
        (None, "1\n", &first, Some("refs/heads/main")),
        (Some("side"), "2\n", &second, Some("refs/heads/side")),
        (Some("refs/heads/side"), "2\n", &second, Some("refs/heads/side")),
        (Some("v1"), "1\n", &first, Some("refs/tags/v1")),
        (Some("v1a"), "1\n", &first, Some("refs/tags/v1a")),
        (Some(second.as_str()), "2\n", &second, None),
    ] {
        let files = place.files("r", revision);
        assert_eq!(files.read("a"), content, "{revision:?}");
        assert_eq!((&files.revision.commit, files.revision.name.as_deref()), (commit, name));
        assert_eq!(files.names(), ["a"], "{revision:?}");
    }
    place.shell("r", &format!("echo 3 > a; {COMMIT}"));
    assert_eq!(place.files("r", None).read("a"), "3\n", "a branch has moved on");
    assert_eq!(place.files("r", Some(&first)).read("a"), "1\n");
}

#[test]
fn what_is_not_there_is_said() {
    let place = Place::new();
    let commit = place.shell("r", &format!("echo 1 > a; {COMMIT}"));
    let none = place.reference("r", Some("none"));
    assert_eq!(place.error(&none), "repository does not contain ref none: file://DIR/r");
    let missing = place.error(&place.reference("missing", None));
    assert!(missing.starts_with("failed to fetch remote file://DIR/missing: git ls-remote: "), "{missing}");
    let no_commit = place.error(&place.reference("r", Some(&"0".repeat(40))));
    assert_eq!(no_commit, format!("repository does not contain ref {}: file://DIR/r", "0".repeat(40)));
    let checksum = Some("deadbeef".to_owned());
    let wrong = place.error(&GitReference { checksum, ..place.reference("r", None) });
    assert_eq!(wrong, format!("expected checksum to match deadbeef, got {commit}"));
    let right = GitReference { checksum: Some(commit[..8].into()), ..place.reference("r", None) };
    place.check_out(&right, PLAIN).expect("it begins so");
    for directory in ["none", "a", "../..", "/etc"] {
        let directory = Some(directory.to_owned());
        let reference = GitReference { directory, ..place.reference("r", None) };
        match reference.directory.as_deref() {
            // The root's parent is the root.
            Some("../..") => assert_eq!(place.check_out(&reference, PLAIN).expect("inside").names(), ["a"]),
            _ => assert!(place.error(&reference).starts_with("failed to open subdir")),
        }
    }
}

#[test]
fn a_part_of_a_repository_is_reached_through_its_links_and_nothing_outside_is() {
    let place = Place::new();
    let script =
        "mkdir -p d/e; echo 1 > d/e/f; chmod 700 d/e/f; ln -s d in; ln -s /etc out; ln -s ../../.. up";
    place.shell("r", &format!("{script}; {COMMIT}"));
    let part =
        |directory: &str| GitReference { directory: Some(directory.into()), ..place.reference("r", None) };
    let files = place.check_out(&part("in/e/"), PLAIN).expect("inside");
    assert_eq!(files.names(), ["f"]);
    let mode = files.directory.join("f").metadata().expect("there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o755);
    assert!(place.check_out(&part("out"), PLAIN).is_err(), "there is no etc inside");
    let up = place.check_out(&part("up/d"), PLAIN).expect("the root's parent is the root");
    assert_eq!(up.names(), ["e/f"]);
}

#[test]
fn a_kept_repository_is_of_one_commit_and_the_same_wherever_it_was_made() {
    let place = Place::new();
    let commits = format!("echo 1 > a; {COMMIT}; echo 2 > a; {COMMIT}; git tag -a -m x v1");
    place.shell("r", &commits);
    let wanted = Wanted { keep_git_dir: true, submodules: true };
    let tagged = place.check_out(&place.reference("r", Some("v1")), wanted).expect("checked out");
    let git = |files: &Files, arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&files.directory).args(arguments).output();
        String::from_utf8(output.expect("git").stdout).expect("text").trim().to_owned()
    };
    assert_eq!(git(&tagged, &["describe", "--tags"]), "v1");
    assert_eq!(git(&tagged, &["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(git(&tagged, &["status", "--porcelain"]), "");
    assert_eq!(git(&tagged, &["fsck"]), "");
    let branch = place.check_out(&place.reference("r", Some("main")), wanted).expect("checked out");
    assert_eq!(git(&branch, &["branch", "--format=%(refname:short)", "--list", "main"]), "main");

    let first = place.check_out(&place.reference("r", None), wanted).expect("checked out").all();
    fs::remove_dir_all(place.path("cache")).expect("removed");
    let again = place.check_out(&place.reference("r", None), wanted).expect("checked out").all();
    assert_eq!(first, again);
    let shown = |path: &Path| path.display().to_string();
    for (name, content) in &first {
        assert!(!shown(name).contains("logs") && !shown(name).contains("hooks"), "{name:?}");
        let text = String::from_utf8_lossy(content);
        assert!(!text.contains("/cache/"), "{name:?} {text}");
    }
}

#[test]
fn submodules_come_along_and_leave_no_trace_of_this_machine() {
    let place = Place::new();
    place.shell("inner", &format!("echo in > i; {COMMIT}"));
    place.shell("outer", &format!("git submodule --quiet add ../inner sub; {COMMIT}"));
    assert_eq!(place.files("outer", None).names(), [".gitmodules", "sub/i"]);
    let wanted = Wanted { submodules: false, ..PLAIN };
    let without = place.check_out(&place.reference("outer", None), wanted).expect("checked out");
    assert_eq!(without.names(), [".gitmodules"]);
    let wanted = Wanted { keep_git_dir: true, submodules: true };
    let kept = place.check_out(&place.reference("outer", None), wanted).expect("checked out");
    assert_eq!(kept.read("sub/i"), "in\n");
    assert_eq!(kept.read("sub/.git"), "gitdir: ../.git/modules/sub\n");
}

#[test]
fn a_strangers_repository_cannot_have_files_of_this_machine_as_a_submodule() {
    let place = Place::new();
    place.shell("secret", &format!("echo s > s; {COMMIT}"));
    let add = format!("git submodule --quiet add file://{} sub; {COMMIT}", place.path("secret").display());
    place.shell("r", &add);
    let cache = Cache::new(place.path("cache"));
    let reference = place.reference("r", None);
    let trusting = GitSettings { allow_files: true, agent: None };
    let mirror = Mirror::open(&reference, &cache, &trusting).expect("opened");
    let revision = mirror.resolve().expect("there");
    mirror.fetch(&revision).expect("fetched");
    drop(mirror);
    // From now on as with any server, but that the commit is here already.
    let settings = GitSettings::default();
    let mirror = Mirror::open(&reference, &cache, &settings).expect("opened");
    let scratch = tempfile::tempdir().expect("scratch");
    let error = mirror.check_out(&revision, PLAIN, scratch.path()).expect_err("refused").to_string();
    assert!(error.contains("transport 'file' not allowed"), "{error}");
    let error = mirror.resolve().expect_err("refused").to_string();
    assert!(error.contains("transport 'file' not allowed"), "{error}");
}

#[test]
fn a_key_is_needed_for_ssh_and_is_nobodys_but_the_agents() {
    let place = Place::new();
    for text in ["git@127.0.0.1:x", "ssh://127.0.0.1:1/x"] {
        let reference = GitReference::parse(text).expect("valid").expect("a repository");
        let error = place.error(&reference);
        assert_eq!(error, "no SSH key \"default\" forwarded from the client", "{text}");
    }
}

#[test]
fn hooks_and_filters_of_a_repository_are_not_run() {
    let place = Place::new();
    let script = "mkdir hooks; printf '#!/bin/sh\\ntouch ../ran' > hooks/post-checkout; chmod +x hooks/*
        echo '* filter=evil' > .gitattributes; printf '[filter \"evil\"]\\nsmudge = touch ran' > .gitconfig";
    place.shell("r", &format!("{script}; {COMMIT}"));
    let files = place.files("r", None);
    assert_eq!(files.names(), [".gitattributes", ".gitconfig", "hooks/post-checkout"]);
}

#[test]
fn a_repository_of_the_new_kind_is_as_good() {
    let place = Place::new();
    fs::create_dir(place.path("r")).expect("directory");
    let init = "rm -rf .git; git init -q -b main --object-format=sha256 .; echo 1 > a";
    let commit = place.shell("r", &format!("{init}; {COMMIT}"));
    assert_ne!(commit.len(), SHA1);
    assert_eq!(place.files("r", Some(&commit)).read("a"), "1\n");
    assert_eq!(place.files("r", None).read("a"), "1\n");
}
