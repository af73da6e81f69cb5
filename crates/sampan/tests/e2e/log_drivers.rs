//! `run --log-driver` and `--log-opt`: output that is wanted elsewhere, and output that may be lost.

use std::{
    fs::File,
    io::{ErrorKind, IoSliceMut, Read},
    mem::MaybeUninit,
    net::{Shutdown, TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
};

use rustix::{
    fs::{FileType, Mode},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags},
};
use testkit::{PATIENCE, Sandbox, eventually};

use crate::{background, inspect, sandbox};

/// A server of the test's own, and the options that have a container's output go there.
fn syslog(sandbox: &Sandbox) -> (UnixDatagram, [String; 4]) {
    let path = sandbox.directory().join("syslog");
    let address = format!("syslog-address=unixgram://{}", path.display());
    (listen(&path), ["--log-driver".into(), "syslog".into(), "--log-opt".into(), address])
}

fn listen(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = vec![0; 64 * 1024];
    let size = loop {
        match socket.recv(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => break received.expect("somebody sends something"),
        }
    };
    String::from_utf8(buffer[..size].to_vec()).unwrap()
}

/// What a message says, without what stands before it.
fn text(message: &str) -> &str {
    message.split_once("]: ").map_or(message, |(_, text)| text).trim_end()
}

fn words<'a>(options: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    options.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn a_syslog_server_gets_each_line_and_logs_still_has_them() {
    let Some(sandbox) = sandbox() else { return };
    let (server, options) = syslog(&sandbox);
    let script = "echo out; echo; echo err >&2; printf unfinished";
    let options = words(&options, &["--log-opt", "tag={{.Name}}/{{.ImageName}}", "--name", "web"]);
    sandbox.sampan([&["run"], &options[..], &["busybox", "sh", "-c", script]].concat()).ok();
    let messages: Vec<_> = (0..3).map(|_| receive(&server)).collect();
    let find = |end: &str| {
        let found = messages.iter().find(|message| message.ends_with(&format!("]: {end}\n")));
        found.unwrap_or_else(|| panic!("no {end} in {messages:?}")).as_str()
    };
    assert!(find("out").starts_with("<30>") && find("out").contains(" web/busybox["), "{messages:?}");
    assert!(find("err").starts_with("<27>") && find("unfinished").starts_with("<30>"), "{messages:?}");
    let logs = sandbox.sampan(["logs", "web"]).ok().prints("out\n\nunfinished");
    assert_eq!(logs.stderr, "err\n");
    assert_eq!(inspect(&sandbox, "web", "{{.HostConfig.LogConfig.Type}} {{.LogPath}}"), "syslog");
}

#[test]
fn other_forms_go_over_udp_and_tcp() {
    let Some(sandbox) = sandbox() else { return };
    let run = |address: &str, form: &str| {
        let form = format!("syslog-format={form}");
        let address = format!("syslog-address={address}");
        let options = ["--log-driver", "syslog", "--log-opt", &address, "--log-opt", &form];
        let more = ["--log-opt", "syslog-facility=local3", "--log-opt", "tag=web"];
        let command = ["busybox", "seq", "2"];
        sandbox.sampan([&["run", "--rm"], &options[..], &more, &command].concat()).ok().prints("1\n2\n");
    };
    let udp = sandbox.within(|| UdpSocket::bind("127.0.0.1:0")).unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    run(&format!("udp://{}", udp.local_addr().unwrap()), "rfc5424");
    let mut buffer = [0; 1000];
    let size = udp.recv(&mut buffer).unwrap();
    let said = String::from_utf8_lossy(&buffer[..size]);
    let fields: Vec<_> = said.split(' ').collect();
    assert_eq!(fields[0], "<158>1", "{said}");
    assert!(fields[1].contains('T') && fields[3] == "web" && fields[5..] == ["web", "-", "1\n"], "{said}");

    let tcp = sandbox.within(|| TcpListener::bind("127.0.0.1:0")).unwrap();
    run(&format!("tcp://{}", tcp.local_addr().unwrap()), "rfc5424micro");
    // The first connection was made to see whether anybody is there.
    let said = tcp.incoming().take(2).map(|connection| {
        let mut said = String::new();
        connection.unwrap().read_to_string(&mut said).unwrap();
        said
    });
    let said = said.collect::<String>();
    let lines: Vec<_> = said.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(lines, ["1", "2"], "{said}");
    let time = said.split(' ').nth(1).unwrap();
    assert_eq!(time.find('.'), Some("2026-01-02T03:04:05".len()), "{said}");
}

#[test]
fn a_server_that_stalls_holds_up_nobody_and_loses_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let (server, options) = syslog(&sandbox);
    let script = "seq 1 20000; echo done >&2; exec tail -f /dev/null";
    let id = background(&sandbox, &words(&options, &[]), script);
    // Nobody has taken a message so far, and the kernel keeps few.
    eventually("everything is said", || {
        let logs = sandbox.sampan(["logs", &id]).ok();
        if logs.stderr == "done\n" { Ok(()) } else { Err(logs) }
    });
    let mut expected = 1;
    while expected <= 20000 {
        let message = receive(&server);
        if text(&message) != "done" {
            assert_eq!(text(&message), expected.to_string());
            expected += 1;
        }
    }
}

#[test]
fn a_container_waits_for_a_server_rather_than_lose_what_is_more_than_fits() {
    let Some(sandbox) = sandbox() else { return };
    let (server, options) = syslog(&sandbox);
    let line = "x".repeat(999);
    let script = format!("yes {line} | head -n 20000");
    background(&sandbox, &words(&options, &[]), &script);
    for number in 0..20000 {
        let message = receive(&server);
        assert!(text(&message) == line, "message {number} is {message}");
    }
}

#[test]
fn what_may_be_lost_is_lost_in_whole_lines_and_keeps_no_memory() {
    let Some(sandbox) = sandbox() else { return };
    let (server, options) = syslog(&sandbox);
    let line = "x".repeat(999);
    let script = format!("yes {line} | head -n 20000; echo done >&2; exec tail -f /dev/null");
    let more = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=100k"];
    let id = background(&sandbox, &words(&options, &more), &script);
    eventually("everything is said, and nobody has taken a message", || {
        let logs = sandbox.sampan(["logs", "-n", "1", &id]).ok();
        if logs.stderr == "done\n" { Ok(()) } else { Err(logs) }
    });
    let pid = inspect(&sandbox, &id, "{{.State.Pid}}");
    let monitor = status(&pid, "PPid:");
    let kilobytes: u32 = status(&monitor, "RssAnon:").trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 4000, "{kilobytes} kB for 20 MB of output");

    server.set_nonblocking(true).unwrap();
    let mut kept = 0;
    let mut take_all = || {
        let mut buffer = vec![0; 2000];
        while let Ok(size) = server.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..size]).into_owned();
            assert!(text(&message) == line || text(&message) == "done", "{message}");
            kept += 1;
        }
    };
    // It is not over before all that was kept is sent.
    let mut kill = sandbox.start_sampan(["kill", &id]);
    eventually("the container has ended", || {
        take_all();
        if kill.hears(&id) { Ok(()) } else { Err("there is more") }
    });
    kill.finish().ok();
    take_all();
    assert!((100..20000).contains(&kept), "{kept} lines");
}

/// What the kernel says of a process.
fn status(pid: &str, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned()
}

#[test]
fn a_server_that_is_started_anew_misses_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let (server, options) = syslog(&sandbox);
    let options = words(&options, &["-i", "--name", "talker"]);
    let mut talker = sandbox.start_sampan([&["run"], &options[..], &["busybox", "cat"]].concat());
    talker.write("one\n").wait_for("one\n");
    assert_eq!(text(&receive(&server)), "one");
    let path = sandbox.directory().join("syslog");
    // Closed it may go on living for a moment, in a process that another test is about to start.
    server.shutdown(Shutdown::Both).unwrap();
    drop(server);
    std::fs::remove_file(&path).unwrap();
    talker.write("two\n").wait_for("two\n").write("three\n").wait_for("three\n");
    let server = listen(&path);
    assert_eq!(
        [receive(&server), receive(&server)].map(|message| text(&message).to_owned()),
        ["two", "three"]
    );
    talker.close_input();
    talker.finish().ok();
}

#[test]
fn a_disk_that_stalls_costs_what_may_be_lost_and_no_time() {
    let Some(sandbox) = sandbox() else { return };
    let options =
        ["--log-driver", "json-file", "--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=100k"];
    let command = ["--name", "talker", "busybox", "seq", "50000"];
    let id = sandbox.sampan([&["create"], &options[..], &command].concat()).ok().word().to_owned();
    // In the place of the log something that takes nothing, for now.
    let log = sandbox.root().join("containers").join(&id).join(format!("{id}-json.log"));
    rustix::fs::mknodat(rustix::fs::CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut talker = sandbox.start_sampan(["start", "--attach", "talker"]);
    talker.wait_for("\n50000\n");
    let mut kept = String::new();
    File::open(&log).unwrap().read_to_string(&mut kept).unwrap();
    talker.finish().ok();
    std::fs::remove_file(&log).unwrap();
    let lines: Vec<_> = kept.lines().collect();
    let whole = lines.iter().filter(|line| line.starts_with("{\"log\":\"") && line.ends_with("Z\"}"));
    assert_eq!(whole.count(), lines.len());
    assert!((1000..50_000).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[0].starts_with("{\"log\":\"1\\n\",\"stream\":\"stdout\","), "{}", lines[0]);
}

/// A command on a machine whose journal is at `journal`, if it has any.
fn with_journal(sandbox: &Sandbox, journal: Option<&Path>, arguments: &[&str]) -> Command {
    let script = "mount -t tmpfs tmpfs /run
        if [ \"$JOURNAL\" ]; then mkdir -p /run/systemd/journal && mount --bind \"$JOURNAL\" /run/systemd/journal; fi
        exec \"$SAMPAN\" \"$@\"";
    let mut command = sandbox.program_named(Path::new("/usr/bin/unshare"));
    command.args(["--mount", "sh", "-c", script, "sh"]).args(arguments);
    command.env("SAMPAN", crate::PROGRAM).env("JOURNAL", journal.map_or("".as_ref(), Path::as_os_str));
    command
}

#[test]
fn the_journal_gets_each_line_with_what_it_should_know_of_the_container() {
    let Some(sandbox) = sandbox() else { return };
    let journal = sandbox.directory().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let server = listen(&journal.join("socket"));
    let options = ["--log-driver", "journald", "--log-opt", "labels-regex=^com", "--log-opt", "env=WHO"];
    let more = ["--log-opt", "tag=a {{.Name}}", "--label", "com.example.kind=web", "--env", "WHO=me"];
    let script = "echo out; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x; echo";
    let command = ["--name", "web", "busybox", "sh", "-c", script];
    let arguments = [&["run"], &options[..], &more, &command].concat();
    sandbox.start(with_journal(&sandbox, Some(&journal), &arguments)).finish().ok();
    let mut entries: Vec<_> = (0..4).map(|_| receive(&server)).collect();
    let id = inspect(&sandbox, "web", "{{.Id}}");
    let common = [
        format!("CONTAINER_ID={}", &id[..12]),
        format!("CONTAINER_ID_FULL={id}"),
        "CONTAINER_NAME=web".to_owned(),
        "CONTAINER_TAG=a web".to_owned(),
        "IMAGE_NAME=busybox".to_owned(),
        "SYSLOG_IDENTIFIER=a web".to_owned(),
        "COM_EXAMPLE_KIND=web".to_owned(),
        "WHO=me".to_owned(),
    ];
    for (entry, field) in entries.iter().flat_map(|entry| common.iter().map(move |field| (entry, field))) {
        assert!(entry.lines().any(|line| line == field), "{field} in {entry}");
    }
    entries.retain(|entry| !entry.contains("PRIORITY=3\nMESSAGE=err\n"));
    let [out, first, last] = entries.as_slice() else { panic!("{entries:?}") };
    assert!(out.starts_with("PRIORITY=6\nMESSAGE=out\n"), "{out}");
    assert!(first.contains("\nCONTAINER_PARTIAL_MESSAGE=true\n"), "{first}");
    assert!(first.contains(&format!("MESSAGE={}\n", "x".repeat(16 * 1024))), "{first}");
    assert!(last.contains("\nCONTAINER_PARTIAL_ORDINAL=2\nCONTAINER_PARTIAL_LAST=true\n"), "{last}");
    let logs = sandbox.sampan(["logs", "web"]).ok();
    assert!(logs.stdout == format!("out\n{}\n", "x".repeat(20000)) && logs.stderr == "err\n", "{logs}");
    sandbox.sampan(["logs", "--details", "web"]).ok().says("COM_EXAMPLE_KIND=web,WHO=me out\n");
}

#[test]
fn what_is_too_long_for_a_message_to_the_journal_comes_as_a_file() {
    let Some(sandbox) = sandbox() else { return };
    let journal = sandbox.directory().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let server = listen(&journal.join("socket"));
    // Together they are longer than the kernel takes.
    let long = "x".repeat(60_000);
    let labels: Vec<_> = (0..5).map(|number| format!("big{number}={long}")).collect();
    let labels = labels.iter().flat_map(|label| ["--label", label]).collect::<Vec<_>>();
    let options = ["--log-driver", "journald", "--log-opt", "labels-regex=^big"];
    let arguments = [&["run", "--rm"], &options[..], &labels, &["busybox", "echo", "hello"]].concat();
    sandbox.start(with_journal(&sandbox, Some(&journal), &arguments)).finish().ok().prints("hello\n");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = [0; 100];
    let received = rustix::net::recvmsg(
        &server,
        &mut [IoSliceMut::new(&mut buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    );
    assert_eq!(received.unwrap().bytes, 0);
    let file = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let file = file.expect("a file");
    let seals = rustix::fs::fcntl_get_seals(&file).unwrap();
    assert!(seals.contains(rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SHRINK), "{seals:?}");
    let mut entry = String::new();
    let mut file = File::from(file);
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut entry).unwrap();
    assert!(entry.starts_with("PRIORITY=6\nMESSAGE=hello\n"), "{} bytes", entry.len());
    assert!(entry.ends_with(&format!("\nBIG4={long}\n")), "{} bytes", entry.len());
}

#[test]
fn a_driver_that_cannot_work_is_told_before_anything_runs() {
    let Some(sandbox) = sandbox() else { return };
    let command = ["busybox", "true"];
    let arguments = [&["run", "--rm", "--log-driver", "journald"], &command[..]].concat();
    let outcome = sandbox.start(with_journal(&sandbox, None, &arguments)).finish().fails(125);
    let start = "failed to create task for container: failed to initialize logging driver: ";
    outcome.complains(&format!("{start}journald is not enabled on this host")).complains("hint: ");

    let refused = |code: i32, options: &[&str], why: &str| {
        let options = options.iter().flat_map(|option| ["--log-opt", option]);
        let options: Vec<_> = options.collect();
        let arguments = [&["run", "--rm", "--log-driver", "syslog"], &options[..], &command].concat();
        sandbox.sampan(arguments).fails(code).complains(why)
    };
    let nowhere = "syslog-address=tcp://127.0.0.1:9";
    refused(125, &[nowhere], &format!("{start}dial tcp 127.0.0.1:9: connect: connection refused"));
    refused(127, &["syslog-address=unixgram:///nowhere"], "stat /nowhere: no such file or directory");
    let file = format!("syslog-address=unixgram://{}", sandbox.file("file", ""));
    refused(125, &[&file], "connect: connection refused");
    refused(125, &["syslog-address=udp://a:b"], "parse \"udp://a:b\": invalid port \":b\" after host");
    refused(125, &["syslog-address=tcp+tls://127.0.0.1"], "syslog over TLS is not supported");
    refused(125, &["syslog-format=rfc1"], "invalid syslog format");
    refused(125, &["max-size=1m"], "unknown log opt 'max-size' for syslog log driver");
    let udp = "syslog-address=udp://127.0.0.1:9";
    refused(125, &[udp, "tag={{.Nope}}"], "executing \"log-tag\" at <.Nope>: can't evaluate field Nope");
    refused(125, &[udp, "tag={{.Name"], &format!("{start}template: log-tag:1: unclosed action"));
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
}

#[test]
fn without_a_cache_there_is_nothing_to_read() {
    let Some(sandbox) = sandbox() else { return };
    let (server, options) = syslog(&sandbox);
    let options = words(&options, &["--log-opt", "cache-disabled=true", "--name", "quiet"]);
    sandbox.sampan([&["run"], &options[..], &["busybox", "echo", "said"]].concat()).ok().prints("said\n");
    assert_eq!(text(&receive(&server)), "said");
    sandbox
        .sampan(["logs", "quiet"])
        .fails(1)
        .complains("Error response from daemon: configured logging driver does not support reading");
}
