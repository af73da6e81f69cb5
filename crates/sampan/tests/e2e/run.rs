//! `run`: what is run, as whom, where, under which name, and what the exit code says.

use crate::{background, idle, sandbox, shell};

#[test]
fn the_output_of_the_command_and_its_exit_code_pass_through() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "busybox", "echo", "hello"]).ok().prints("hello\n");
    let outcome = shell(&sandbox, &[], "echo out; echo err >&2; exit 42").fails(42).prints("out\n");
    assert_eq!(outcome.stderr, "err\n");
}

#[test]
fn a_large_output_comes_complete_and_in_order() {
    let Some(sandbox) = sandbox() else { return };
    let outcome = shell(&sandbox, &[], "seq 1 200000").ok();
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(outcome.stdout == expected, "{} bytes came", outcome.stdout.len());
}

#[test]
fn the_images_own_command_runs_if_none_is_given() {
    let Some(sandbox) = sandbox() else { return };
    let mut process = sandbox.start_sampan(["run", "-i", "--rm", "busybox"]);
    process.write("echo from sh: $0\n").close_input();
    process.finish().ok().prints("from sh: sh\n");
}

#[test]
fn detached_it_prints_the_id_of_64_digits_and_nothing_else() {
    let Some(sandbox) = sandbox() else { return };
    let outcome = sandbox.sampan(["run", "-d", "busybox", "echo", "unseen"]).ok();
    let id = outcome.stdout.strip_suffix('\n').unwrap();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{outcome}");
    assert_eq!(outcome.stderr, "");
    sandbox.sampan(["wait", id]).ok().prints("0\n");
    sandbox.sampan(["logs", id]).ok().prints("unseen\n");
}

#[test]
fn the_hostname_is_the_short_id_unless_chosen() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &[], "hostname; cat /etc/hostname; grep -c $(hostname) /etc/hosts");
    sandbox.sampan(["wait", &id]).ok().prints("0\n");
    let short = &id[..12];
    sandbox.sampan(["logs", &id]).ok().prints(&format!("{short}\n{short}\n1\n"));
    shell(&sandbox, &["--hostname", "web.example"], "hostname; echo $HOSTNAME")
        .ok()
        .prints("web.example\nweb.example\n");
    shell(&sandbox, &["-h", "web"], "hostname").ok().prints("web\n");
}

#[test]
fn a_failure_before_the_start_is_125_with_dockers_words() {
    let Some(sandbox) = sandbox() else { return };
    let before = sandbox.files();
    sandbox
        .sampan(["run", "--pull", "never", "nosuchimage"])
        .fails(125)
        .complains("sampan: Error response from daemon: ")
        .complains("No such image: nosuchimage:latest")
        .complains("Run 'sampan run --help' for more information");
    sandbox.sampan(["run", "Busybox"]).fails(125).complains("must be lowercase");
    sandbox.sampan(["run", "--name", "a b", "busybox"]).fails(125).complains("Invalid container name (a b)");
    sandbox.sampan(["run", "-v", "relative:path", "busybox"]).fails(125).complains("must be absolute");
    sandbox
        .sampan(["run", "--network", "nosuch", "busybox"])
        .fails(125)
        .complains("network nosuch not found");
    sandbox
        .sampan(["run", "-m", "1m", "busybox"])
        .fails(125)
        .complains("Minimum memory limit allowed is 6MB");
    sandbox.sampan(["run", "--nosuch", "busybox"]).fails(125).complains("unknown flag: --nosuch");
    sandbox.sampan(["run", "--cap-add", "FLYING", "busybox"]).fails(125).complains("FLYING");
    sandbox.sampan(["run", "--entrypoint", "", "busybox"]).fails(125).complains("no command specified");
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
    assert_eq!(sandbox.files(), before);
    sandbox.is_clean();
}

#[test]
fn a_command_that_is_not_there_is_127() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["run", "--rm", "busybox", "nosuch"])
        .fails(127)
        .complains("exec: \"nosuch\": executable file not found in $PATH");
    sandbox
        .sampan(["run", "--rm", "busybox", "/bin/nosuch"])
        .fails(127)
        .complains("no such file or directory");
    sandbox.is_clean();
}

#[test]
fn a_command_that_cannot_be_executed_is_126() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--rm", "busybox", "/etc/passwd"]).fails(126).complains("permission denied");
    sandbox.sampan(["run", "--rm", "busybox", "/etc"]).fails(126);
    sandbox.is_clean();
}

#[test]
fn a_command_killed_by_a_signal_is_128_and_its_number() {
    let Some(sandbox) = sandbox() else { return };
    // A first process is not killed by its own signals, so another one is.
    shell(&sandbox, &["--init"], "kill -9 $$").fails(137);
    shell(&sandbox, &["--init"], "kill -TERM $$").fails(143);
}

#[test]
fn a_container_that_did_not_start_stays_and_can_be_removed() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--name", "lame", "busybox", "nosuch"]).fails(127);
    sandbox.sampan(["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).ok().prints("lame Created\n");
    sandbox.sampan(["rm", "lame"]).ok().prints("lame\n");
    sandbox.is_clean();
}

#[test]
fn rm_removes_the_container_however_it_ends() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &[], "exit 3").fails(3);
    sandbox.sampan(["run", "--rm", "busybox", "nosuch"]).fails(127);
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
    let id = background(&sandbox, &["--rm"], "read nothing < /dev/zero & exec tail -f /dev/null");
    sandbox.sampan(["kill", &id]).ok();
    testkit::eventually("the container removes itself", || match sandbox.sampan(["ps", "-aq"]).ok().word() {
        "" => Ok(()),
        left => Err(left.to_owned()),
    });
    sandbox.is_clean();
}

#[test]
fn a_name_is_given_once_and_free_again_after_removal() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(&sandbox, &["--name", "web"]);
    let conflict = format!(
        "Conflict. The container name \"/web\" is already in use by container \"{id}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    );
    let before = sandbox.files();
    sandbox.sampan(["run", "--name", "web", "busybox", "true"]).fails(125).complains(&conflict);
    assert_eq!(sandbox.files(), before);
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox.sampan(["run", "--name", "web", "busybox", "true"]).ok();
}

#[test]
fn a_container_without_a_name_gets_one_of_two_words() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &[]);
    let name = sandbox.sampan(["ps", "--format", "{{.Names}}"]).ok();
    let words: Vec<&str> = name.word().split('_').collect();
    assert!(words.len() == 2 && words.iter().all(|word| !word.is_empty()), "{name}");
}

#[test]
fn the_environment_is_the_images_with_the_users_over_it() {
    let Some(sandbox) = sandbox() else { return };
    let file = sandbox.file("variables", "# a comment\nFROM_FILE=1 2\nBOTH=file\n\n");
    let mut command = sandbox.command([
        "run",
        "--rm",
        "--env-file",
        &file,
        "-e",
        "BOTH=flag",
        "-e",
        "COPIED",
        "-e",
        "ABSENT",
        "-e",
        "EMPTY=",
        "busybox",
        "sh",
        "-c",
        "echo $FROM_FILE $BOTH $COPIED ${ABSENT-absent} ${EMPTY-absent} $HOME $TERM; echo $PATH",
    ]);
    command.env("COPIED", "from the caller").env("SECRET", "of the caller");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let expected = format!("1 2 flag from the caller absent /root\n{path}\n");
    sandbox.start(command).finish().ok().prints(&expected);
}

#[test]
fn the_working_directory_is_made_if_it_is_missing() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &[], "pwd").ok().prints("/\n");
    shell(&sandbox, &["-w", "/made/on/the/way"], "pwd").ok().prints("/made/on/the/way\n");
    shell(&sandbox, &["-w", "/etc/passwd"], "pwd").fails(125);
}

#[test]
fn a_user_is_looked_up_in_the_image_and_a_number_is_taken_as_it_is() {
    let Some(sandbox) = sandbox() else { return };
    let script = "id -u; id -g; grep CapEff /proc/self/status | cut -f2";
    shell(&sandbox, &["-u", "1234:567"], script).ok().prints("1234\n567\n0000000000000000\n");
    shell(&sandbox, &["-u", "1234"], script).ok().prints("1234\n0\n0000000000000000\n");
    shell(&sandbox, &["-u", "nobody"], "id -un").ok().prints("nobody\n");
    shell(&sandbox, &["-u", "nosuch"], "id").fails(125).complains("nosuch");
    sandbox.is_clean();
}

#[test]
fn the_entrypoint_is_replaced_and_the_images_command_with_it() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"]).ok().prints("a b\n");
    sandbox.sampan(["run", "--rm", "--entrypoint", "echo", "busybox"]).ok().prints("\n");
}

#[test]
fn init_forwards_signals_and_collects_orphans() {
    let Some(sandbox) = sandbox() else { return };
    let script = "trap 'echo asked to end; exit 7' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    let id = background(&sandbox, &["--init"], script);
    sandbox.wait_for_log(&id, "ready");
    sandbox.sampan(["exec", &id, "sh", "-c", "[ \"$(readlink /proc/1/exe)\" != /bin/busybox ]"]).ok();
    sandbox.sampan(["exec", &id, "sh", "-c", "(true &) ; true"]).ok();
    testkit::eventually("orphans are collected", || {
        let zombies =
            sandbox.sampan(["exec", &id, "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l"]).ok();
        if zombies.word() == "0" { Ok(()) } else { Err(zombies) }
    });
    sandbox.sampan(["stop", &id]).ok();
    sandbox.sampan(["wait", &id]).ok().prints("7\n");
    sandbox.sampan(["logs", &id]).ok().says("asked to end");
}

#[test]
fn called_docker_it_answers_as_docker() {
    let Some(sandbox) = sandbox() else { return };
    let link = sandbox.directory().join("docker");
    std::os::unix::fs::symlink(crate::PROGRAM, &link).unwrap();
    let docker = |arguments: &[&str]| {
        let mut command = sandbox.program_named(&link);
        command.args(arguments);
        sandbox.start(command).finish()
    };
    docker(&["run", "--rm", "busybox", "echo", "hello"]).ok().prints("hello\n");
    docker(&["run"])
        .fails(1)
        .complains("docker: 'docker run' requires at least 1 argument")
        .complains("Usage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]")
        .complains("See 'docker run --help' for more information");
    docker(&["run", "--pull", "never", "nosuch"])
        .fails(125)
        .complains("docker: Error response from daemon: ");
}

#[test]
fn signals_to_the_command_are_passed_to_the_container() {
    let Some(sandbox) = sandbox() else { return };
    let script = "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 1 & wait $!; done";
    let mut process = sandbox.start_sampan(["run", "--rm", "busybox", "sh", "-c", script]);
    process.wait_for("ready").signal(rustix::process::Signal::USR1);
    process.finish().fails(9).says("got it");
}

#[test]
fn the_root_is_chosen_by_an_option_too() {
    let Some(sandbox) = sandbox() else { return };
    let other = sandbox.directory().join("other");
    let other = other.to_str().unwrap();
    sandbox.sampan(["--root", other, "images", "-q"]).ok().prints("");
    sandbox.sampan(["--root", sandbox.root().to_str().unwrap(), "images", "-q"]).ok().says("\n");
}
