//! `run -p` and `-P`: ports of the host.

use std::{
    net::{TcpListener, UdpSocket},
    thread,
};

use testkit::Sandbox;

use crate::{NAME, SERVER, background, idle, inspect, sandbox};

/// Starts the server and waits until it is ready; its short id.
fn server(sandbox: &Sandbox, options: &[&str]) -> String {
    let id = background(sandbox, options, SERVER);
    sandbox.wait_for_log(&id, "ready");
    id[..12].to_owned()
}

#[test]
fn a_published_port_is_reached_on_every_address_of_the_host() {
    let Some(sandbox) = sandbox() else { return };
    let id = server(&sandbox, &["-p", "4000:80"]);
    for address in ["127.0.0.1:4000", "[::1]:4000"] {
        let answer = sandbox.ask(address, NAME).unwrap();
        assert!(answer.ends_with(&format!("{id}\n")), "{address}: {answer}");
    }
    sandbox.sampan(["port", &id]).ok().prints("80/tcp -> 0.0.0.0:4000\n80/tcp -> [::]:4000\n");
    sandbox.sampan(["rm", "-f", &id]).ok();
    assert!(sandbox.connect("127.0.0.1:4000").is_err(), "the port is closed with its container");
    assert!(sandbox.connect("[::1]:4000").is_err(), "the port is closed with its container");
    sandbox.is_clean();
}

#[test]
fn a_port_published_on_one_address_is_reached_there_only() {
    let Some(sandbox) = sandbox() else { return };
    let id = server(&sandbox, &["-p", "127.0.0.1:4000:80"]);
    assert!(sandbox.ask("127.0.0.1:4000", NAME).unwrap().contains(&id));
    assert!(sandbox.connect("127.0.0.2:4000").is_err());
    assert!(sandbox.connect("[::1]:4000").is_err());
    let six = server(&sandbox, &["-p", "[::1]:4000:80"]);
    assert!(sandbox.ask("[::1]:4000", NAME).unwrap().contains(&six));
}

#[test]
fn the_host_chooses_a_port_where_none_is_given() {
    let Some(sandbox) = sandbox() else { return };
    for options in [&["-p", "80"][..], &["-P", "--expose", "80"], &["-p", "127.0.0.1::80"]] {
        let id = server(&sandbox, options);
        let at = sandbox.sampan(["port", &id, "80/tcp"]).ok().lines()[0].replace("0.0.0.0", "127.0.0.1");
        assert!(sandbox.ask(&at, NAME).unwrap().contains(&id), "{options:?} at {at}");
    }
}

#[test]
fn datagrams_are_published_too() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(&sandbox, &["-p", "5353:53/udp"]);
    // The image has no server for datagrams, so one is lent to the container.
    let pid = inspect(&sandbox, &id, "{{.State.Pid}}");
    let socket = sandbox.within_container(&pid, || UdpSocket::bind("0.0.0.0:53")).unwrap();
    let server = thread::spawn(move || {
        let mut buffer = [0; 64];
        let (length, client) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..length], client).unwrap();
    });
    assert_eq!(sandbox.ask_udp("127.0.0.1:5353", "hello").unwrap(), "hello");
    server.join().unwrap();
}

#[test]
fn a_port_in_use_names_its_holder_and_leaves_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let listener = sandbox.within(|| TcpListener::bind("0.0.0.0:4000")).unwrap();
    let before = sandbox.files();
    let me = format!("(pid {})", std::process::id());
    sandbox
        .sampan(["run", "--rm", "-p", "4000:80", "busybox", "true"])
        .fails(125)
        .complains("failed to bind host port 0.0.0.0:4000/tcp: address already in use")
        .complains(&me);
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
    assert_eq!(sandbox.files(), before);
    sandbox.is_clean();
    drop(listener);
    sandbox.sampan(["run", "--rm", "-p", "4000:80", "busybox", "true"]).ok();
}

#[test]
fn a_port_of_another_container_names_that_container() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "first", "-p", "4000:80"]);
    sandbox
        .sampan(["run", "--name", "second", "-p", "4000:80", "busybox", "true"])
        .fails(125)
        .complains("Bind for 0.0.0.0:4000 failed: port is already allocated")
        .complains("first");
    sandbox.sampan(["rm", "-f", "first"]).ok();
    sandbox.sampan(["start", "-a", "second"]).ok();
}

#[test]
fn a_container_reaches_published_ports_by_the_hosts_address() {
    let Some(sandbox) = sandbox() else { return };
    let id = server(&sandbox, &["-p", "4000:80"]);
    let script = "wget -q -O - http://$(ip route | grep default | cut -d' ' -f3):4000/name";
    crate::shell(&sandbox, &[], script).ok().prints(&format!("{id}\n"));
}

#[test]
fn what_is_not_published_cannot_be_reached() {
    let Some(sandbox) = sandbox() else { return };
    let id = server(&sandbox, &["--expose", "80"]);
    assert!(sandbox.connect("127.0.0.1:80").is_err());
    sandbox.sampan(["port", &id]).ok().prints("");
}
