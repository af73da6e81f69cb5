//! `build` with what is elsewhere: web servers, repositories of Git, contexts that are neither a directory nor a stream.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use testkit::{Answer, Ending, Hostile, Outcome, Process, Sandbox};
use types::Digest;

use crate::{inspect, sandbox};

/// A context with nothing but this Dockerfile; its path.
fn context(sandbox: &Sandbox, dockerfile: &str) -> String {
    let directory = sandbox.directory().join("context");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    directory.to_str().unwrap().to_owned()
}

#[track_caller]
fn build(sandbox: &Sandbox, dockerfile: &str) -> Outcome {
    let context = context(sandbox, dockerfile);
    sandbox.sampan(["build", "-t", "app", "--progress", "plain", "--why", &context])
}

/// What a script in a container of the image says.
#[track_caller]
fn says(sandbox: &Sandbox, script: &str) -> String {
    let run = sandbox.sampan(["run", "--rm", "app", "sh", "-c", script]).ok();
    run.lines().join("\n")
}

/// A tar archive of these files.
fn archive(sandbox: &Sandbox, files: &[(&str, &str)]) -> Vec<u8> {
    let directory = sandbox.directory().join("packed");
    for (name, content) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let tar = Command::new("tar").arg("-C").arg(&directory).args(["-cz", "."]).output().unwrap();
    assert!(tar.status.success(), "{tar:?}");
    tar.stdout
}

/// A repository in the sandbox's directory `git`, changed by a shell script and committed; its commit.
fn commit(sandbox: &Sandbox, name: &str, script: &str) -> String {
    let directory = sandbox.directory().join("git").join(name);
    fs::create_dir_all(&directory).unwrap();
    let script = format!(
        "set -eu; [ -d .git ] || git init -q -b main .
        {script}
        git add -A && git -c user.name=a -c user.email=a@b commit -qm x && git rev-parse HEAD"
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(&directory).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Serves the sandbox's repositories as `git://127.0.0.1/NAME`, until it is dropped.
fn serve(sandbox: &Sandbox) -> Process {
    let directory = sandbox.directory().join("git");
    let mut daemon = sandbox.shell(
        "exec $(git --exec-path)/git-daemon --export-all --base-path=. --listen=127.0.0.1 --reuseaddr",
    );
    daemon.current_dir(&directory).env("GIT_CONFIG_COUNT", "1");
    daemon.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    let daemon = sandbox.start(daemon);
    while sandbox.connect("127.0.0.1:9418").is_err() {
        std::thread::yield_now();
    }
    daemon
}

/// Puts a repository where web servers have it, for who asks for one file after the other.
fn publish(sandbox: &Sandbox, server: &Hostile, name: &str) {
    let bare = sandbox.directory().join("bare");
    let script =
        format!("rm -rf bare && git clone -q --bare git/{name} bare && git -C bare update-server-info");
    let mut clone = sandbox.shell(&script);
    clone.current_dir(sandbox.directory());
    let _ = sandbox.start(clone).finish().ok();
    let mut rest = vec![bare.clone()];
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
                continue;
            }
            let below = path.strip_prefix(&bare).unwrap().display().to_string();
            let answer = Answer::new(200).body(fs::read(&path).unwrap());
            server.answer(&format!("/{name}.git/{below}?service=git-upload-pack"), answer.clone());
            server.answer(&format!("/{name}.git/{below}"), answer);
        }
    }
}

#[test]
fn a_file_of_a_web_server_is_added_and_asked_for_again_but_not_built_again() {
    let Some(sandbox) = sandbox() else { return };
    let server = Hostile::start(&sandbox);
    let host = server.host();
    let page = |content: &str| {
        Answer::new(200).header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT").body(content)
    };
    server.answer("/a/page.txt?x=1", page("one\n"));
    let dockerfile = format!(
        "FROM busybox\nADD http://{host}/a/page.txt?x=1 /d/\nADD --chown=7:8 --chmod=640 http://{host}/a/page.txt?x=1 /own\n"
    );
    let _ = build(&sandbox, &dockerfile).ok();
    assert_eq!(
        says(&sandbox, "cat /d/page.txt; stat -c '%a %u:%g %n' /d/page.txt /own"),
        "one\n600 0:0 /d/page.txt\n640 7:8 /own"
    );
    build(&sandbox, &dockerfile).ok().complains("CACHED");
    assert!(!build(&sandbox, &dockerfile).ok().stderr.contains("not cached"));
    server.answer("/a/page.txt?x=1", page("two\n"));
    build(&sandbox, &dockerfile).ok().complains(&format!("http://{host}/a/page.txt?x=1 changed"));
    assert_eq!(says(&sandbox, "cat /own"), "two");
    sandbox.is_clean();
}

#[test]
fn an_archive_of_a_web_server_stays_one_unless_it_is_to_be_unpacked() {
    let Some(sandbox) = sandbox() else { return };
    let server = Hostile::start(&sandbox);
    let url = format!("http://{}/x.tar.gz", server.host());
    let content = archive(&sandbox, &[("d/f", "in it")]);
    let checksum = Digest::of(&content);
    server.answer("/x.tar.gz", Answer::new(200).body(content));
    let add =
        format!("ADD {url} /\nADD --unpack --checksum={checksum} {url} /u\nADD --unpack=false {url} /p/");
    let _ = build(&sandbox, &format!("FROM busybox\n{add}\n")).ok();
    assert_eq!(says(&sandbox, "ls /x.tar.gz /p; cat /u/d/f"), "/x.tar.gz\n\n/p:\nx.tar.gz\nin it");
}

#[test]
fn what_has_a_checksum_is_that_or_the_build_fails() {
    let Some(sandbox) = sandbox() else { return };
    let server = Hostile::start(&sandbox);
    server.answer("/a", Answer::new(200).body("content"));
    let add =
        |digest: Digest| format!("FROM busybox\nADD --checksum={digest} http://{}/a /a\n", server.host());
    let (right, wrong) = (Digest::of(b"content"), Digest::of(b"other"));
    build(&sandbox, &add(wrong)).fails(1).complains("digest mismatch").complains("2 | >>> ADD --checksum");
    let _ = build(&sandbox, &add(right)).ok();
    let asked = server.seen().len();
    build(&sandbox, &add(right)).ok().complains("CACHED");
    assert_eq!(server.seen().len(), asked, "nobody has to be asked");
}

#[test]
fn servers_that_fail_are_named_and_nothing_is_left_of_what_they_sent() {
    let Some(sandbox) = sandbox() else { return };
    let server = Hostile::start(&sandbox);
    let elsewhere = Hostile::start(&sandbox);
    let to = format!("http://{}/b", elsewhere.host());
    elsewhere.answer("/b", Answer::new(200).body("moved"));
    server.answer("/moved", Answer::new(302).header("Location", &to));
    server.answer("/file", Answer::new(302).header("Location", "file:///etc/passwd"));
    server
        .answer("/short", Answer::new(200).header("Content-Length", 100).body("half").ending(Ending::Close));
    server.answer("/slow", Answer::new(200).header("Content-Length", 100).body("half").ending(Ending::Stall));
    let add = |path: &str| format!("FROM busybox\nADD http://{}{path} /x\n", server.host());
    let _ = build(&sandbox, &add("/moved")).ok();
    assert_eq!(says(&sandbox, "cat /x"), "moved");
    for (path, problem) in
        [("/none", "invalid response status 404"), ("/file", "redirects to nowhere"), ("/short", "broke off")]
    {
        build(&sandbox, &add(path)).fails(1).complains(problem).complains("2 | >>> ADD http://");
    }
    let context = context(&sandbox, &add("/slow"));
    let mut slow = sandbox.command(["build", &context]);
    slow.env("SAMPAN_REGISTRY_TIMEOUT", "0.3");
    sandbox.start(slow).finish().fails(1).complains("has been silent for 0.3 seconds");
    let left: Vec<_> = sandbox.files().into_iter().filter(|file| file.ends_with("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
    sandbox.is_clean();
}

#[test]
fn a_repository_is_added_by_branch_commit_and_directory_and_built_again_when_it_moves() {
    let Some(sandbox) = sandbox() else { return };
    let first =
        commit(&sandbox, "r", "mkdir d; echo 1 > d/f; echo '#!/bin/sh' > d/x; chmod +x d/x; ln -s /etc out");
    let daemon = serve(&sandbox);
    let url = "git://127.0.0.1/r";
    let dockerfile = format!(
        "FROM busybox\nADD {url} /all\nADD {url}#main:d /part\nADD --checksum={first} {url}#{first} /pinned\n\
         ADD --keep-git-dir {url}?tag=none&ref= /never\n"
    );
    build(&sandbox, &dockerfile).fails(1).complains("query \"ref\" has no value");
    let dockerfile = format!(
        "FROM busybox\nADD {url} /all\nADD {url}#main:d /part\nADD --checksum={first} {url}#{first} /pinned\n\
         ADD --keep-git-dir {url} /kept\n"
    );
    let _ = build(&sandbox, &dockerfile).ok();
    let script =
        "ls -A /all /part; stat -c '%a %u %n' /part/f /part/x; readlink /all/out; cat /kept/.git/HEAD";
    assert_eq!(
        says(&sandbox, script),
        format!("/all:\nd\nout\n\n/part:\nf\nx\n644 0 /part/f\n755 0 /part/x\n/etc\n{first}")
    );
    assert!(!build(&sandbox, &dockerfile).ok().stderr.contains("not cached"));

    commit(&sandbox, "r", "echo 2 > d/f");
    build(&sandbox, &dockerfile).ok().complains("git://127.0.0.1/r changed");
    assert_eq!(says(&sandbox, "cat /all/d/f /part/f /pinned/d/f"), "2\n2\n1");
    let wrong = format!("FROM busybox\nADD --checksum={first} {url} /x\n");
    build(&sandbox, &wrong).fails(1).complains(&format!("expected checksum to match {first}, got "));
    let none = format!("FROM busybox\nADD {url}#nosuch /x\n");
    build(&sandbox, &none).fails(1).complains("repository does not contain ref nosuch");
    let nowhere = format!("FROM busybox\nADD {url}#main:../../etc /x\n");
    build(&sandbox, &nowhere).fails(1).complains("failed to open subdir ../../etc");
    drop(daemon);
    sandbox.is_clean();
}

#[test]
fn a_submodule_cannot_be_a_directory_of_this_machine() {
    let Some(sandbox) = sandbox() else { return };
    commit(&sandbox, "secret", "echo s > s");
    let secret = sandbox.directory().join("git/secret").display().to_string();
    commit(
        &sandbox,
        "r",
        &format!("git -c protocol.file.allow=always submodule --quiet add file://{secret} sub"),
    );
    let daemon = serve(&sandbox);
    build(&sandbox, "FROM busybox\nADD git://127.0.0.1/r /x\n")
        .fails(1)
        .complains("failed to update submodules")
        .complains("transport 'file' not allowed");
    let _ = build(&sandbox, "FROM busybox\nADD git://127.0.0.1/r?submodules=false /x\n").ok();
    drop(daemon);
}

#[test]
fn a_context_may_be_a_repository_or_a_part_of_one() {
    let Some(sandbox) = sandbox() else { return };
    let script =
        "mkdir d; echo 'FROM busybox\nCOPY . /x' > Dockerfile; cp Dockerfile d; echo 'LABEL v=other' > other
        sed -i '1i FROM busybox' other; echo a > .dockerignore; echo a > a; echo b > d/b";
    commit(&sandbox, "r", script);
    let daemon = serve(&sandbox);
    let url = "git://127.0.0.1/r";
    let _ = sandbox.sampan(["build", "-t", "app", url]).ok();
    // What is elsewhere is taken as it is.
    assert_eq!(says(&sandbox, "ls -A /x"), ".dockerignore\nDockerfile\na\nd\nother");
    let _ = sandbox.sampan(["build", "-t", "app", &format!("{url}#main:d")]).ok();
    assert_eq!(says(&sandbox, "ls -A /x"), "Dockerfile\nb");
    let _ = sandbox.sampan(["build", "-t", "app", "-f", "other", url]).ok();
    assert_eq!(inspect(&sandbox, "app", "{{.Config.Labels.v}}"), "other");
    let own = sandbox.file("Own", "FROM busybox\nCOPY d/b /own\n");
    let _ = sandbox.sampan(["build", "-t", "app", "-f", &own, url]).ok();
    assert_eq!(says(&sandbox, "cat /own"), "b");
    sandbox.sampan(["build", &format!("{url}#main:none")]).fails(1).complains("failed to open subdir none");
    sandbox.sampan(["build", "git://127.0.0.1/none"]).fails(1).complains("failed to fetch remote");
    drop(daemon);
    sandbox.is_clean();
}

#[test]
fn a_repository_is_read_from_a_server_that_knows_nothing_of_git() {
    let Some(sandbox) = sandbox() else { return };
    let server = Hostile::start(&sandbox);
    commit(&sandbox, "r", "echo 'FROM busybox\nCOPY a /a' > Dockerfile; echo a > a");
    publish(&sandbox, &server, "r");
    let _ = sandbox.sampan(["build", "-t", "app", &format!("http://{}/r.git", server.host())]).ok();
    assert_eq!(says(&sandbox, "cat /a"), "a");
}

#[test]
fn a_context_may_be_an_archive_or_a_dockerfile_of_a_web_server() {
    let Some(sandbox) = sandbox() else { return };
    let server = Hostile::start(&sandbox);
    let url = |path: &str| format!("http://{}{path}", server.host());
    let files = [
        ("Dockerfile", "FROM busybox\nCOPY a /a\n"),
        ("a", "in it"),
        ("o/Other", "FROM busybox\nLABEL v=o\n"),
    ];
    server.answer("/x.tgz", Answer::new(200).body(archive(&sandbox, &files)));
    server.answer("/file", Answer::new(200).body("FROM busybox\nLABEL v=file\n"));
    server.answer("/page", Answer::new(200).body("<html>"));
    let _ = sandbox.sampan(["build", "-t", "app", &url("/x.tgz")]).ok();
    assert_eq!(says(&sandbox, "cat /a"), "in it");
    let _ = sandbox.sampan(["build", "-t", "app", "-f", "o/Other", &url("/x.tgz")]).ok();
    assert_eq!(inspect(&sandbox, "app", "{{.Config.Labels.v}}"), "o");
    let _ = sandbox.sampan(["build", "-t", "app", &url("/file")]).ok();
    assert_eq!(inspect(&sandbox, "app", "{{.Config.Labels.v}}"), "file");
    let here = context(&sandbox, "FROM nowhere\n");
    let _ = sandbox.sampan(["build", "-t", "app", "-f", &url("/file"), &here]).ok();
    assert_eq!(inspect(&sandbox, "app", "{{.Config.Labels.v}}"), "file");
    sandbox.sampan(["build", &url("/none")]).fails(1).complains("invalid response status 404");
    sandbox.sampan(["build", &url("/page")]).fails(1).complains("unknown instruction: <html>");
    sandbox.is_clean();
}

#[test]
fn names_stand_for_what_the_command_line_says() {
    let Some(sandbox) = sandbox() else { return };
    let server = Hostile::start(&sandbox);
    server.answer("/f", Answer::new(200).body("from a server"));
    commit(&sandbox, "r", "echo from a repository > f");
    let daemon = serve(&sandbox);
    let directory = sandbox.directory().join("other");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("f"), "from a directory").unwrap();
    let dockerfile = "FROM base\nCOPY --from=d f /d\nCOPY --from=r f /r\nCOPY --from=s context /s\n\
                      COPY --from=l etc/passwd /l\n";
    let context = context(&sandbox, dockerfile);
    let layout = sandbox.directory().join("layout");
    fs::create_dir(&layout).unwrap();
    let mut save = sandbox.shell("\"$0\" save busybox | tar -x -C layout");
    save.arg(crate::PROGRAM).current_dir(sandbox.directory());
    let _ = sandbox.start(save).finish().ok();
    let names = [
        "base=docker-image://busybox".to_owned(),
        format!("d={}", directory.display()),
        "r=git://127.0.0.1/r".to_owned(),
        format!("s=http://{}/f", server.host()),
        format!("l=oci-layout://{}", layout.display()),
    ];
    let mut arguments = vec!["build", "-t", "app", &context];
    names.iter().for_each(|name| arguments.extend(["--build-context", name]));
    let _ = sandbox.sampan(&arguments).ok();
    let script = "cat /d; echo; cat /r /s; echo; grep -c root /l; stat -c '%a %n' /s";
    assert_eq!(says(&sandbox, script), "from a directory\nfrom a repository\nfrom a server\n1\n600 /s");
    let wrong = |name: &str, problem: &str| {
        sandbox.sampan(["build", "--build-context", name, &context]).fails(1).complains(problem);
    };
    wrong("x", "invalid context value: x, expected key=value");
    wrong("x=/none", "failed to get build context x: stat /none: no such file or directory");
    wrong("base=oci-layout:///none", "invalid store at /none");
    drop(daemon);
    sandbox.is_clean();
}

#[test]
fn a_context_that_is_nowhere_is_refused_in_dockers_words() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["build", "nothing"])
        .fails(1)
        .complains("unable to prepare context: path \"nothing\" not found");
    sandbox.sampan(["build", ""]).fails(1).complains("please specify build context");
    sandbox
        .sampan(["build", "-f", "-", "-"])
        .fails(1)
        .complains("invalid argument: can't use stdin for both build context and dockerfile");
}

#[test]
fn without_git_it_is_said_what_is_missing() {
    let Some(sandbox) = sandbox() else { return };
    let empty = sandbox.directory().join("bin");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).unwrap();
    let context = context(&sandbox, "FROM busybox\nADD git://127.0.0.1/r /x\n");
    let mut command = sandbox.command(["build", &context]);
    command.env("PATH", &empty);
    sandbox
        .start(command)
        .finish()
        .fails(1)
        .complains("git is needed for this")
        .complains("install the git program");
}
