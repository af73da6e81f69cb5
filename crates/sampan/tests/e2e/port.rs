//! `port`: where ports are published.

use testkit::Sandbox;

use crate::{NAME, SERVER, background, idle, sandbox};

/// Tells the sandbox's own firewall something.
fn nft(sandbox: &Sandbox, command: &str) {
    let mut nft = sandbox.program_named("nft".as_ref());
    nft.args(command.split(' '));
    let _ = sandbox.start(nft).finish().ok();
}

#[test]
fn ports_are_listed_and_looked_up() {
    let Some(sandbox) = sandbox() else { return };
    idle(
        &sandbox,
        &[
            "--name",
            "web",
            "-p",
            "127.0.0.1:4000:80",
            "-p",
            "127.0.0.1:5000:53/udp",
            "-p",
            "127.0.0.1:6000-6001:70-71",
        ],
    );
    sandbox
        .sampan(["port", "web"])
        .ok()
        .says("80/tcp -> 127.0.0.1:4000\n")
        .says("53/udp -> 127.0.0.1:5000\n")
        .says("71/tcp -> 127.0.0.1:6001\n");
    sandbox.sampan(["port", "web", "80"]).ok().prints("127.0.0.1:4000\n");
    sandbox.sampan(["port", "web", "53/udp"]).ok().prints("127.0.0.1:5000\n");
    sandbox.sampan(["port", "web", "81"]).fails(1).complains("No public port '81' published for web");
    sandbox.sampan(["port", "nosuch"]).fails(1).complains("No such container: nosuch");
}

#[test]
fn who_reaches_a_port_is_explained_by_the_rule_that_says_so() {
    let Some(sandbox) = sandbox() else { return };
    let web = background(&sandbox, &["--name", "web", "-p", "4000:80"], SERVER);
    sandbox.wait_for_log(&web, "ready");
    idle(&sandbox, &["--name", "local", "-p", "127.0.0.1:5000:53/udp"]);
    let ask = |expected: Option<&str>| {
        let script =
            "timeout 2 wget -q -O - http://$(ip route | grep default | cut -d' ' -f3):4000/name; exit $?";
        let outcome = crate::shell(&sandbox, &[], script);
        assert_eq!((outcome.code == 0).then_some(outcome.word()), expected, "{outcome}");
    };
    ask(Some(&web[..12]));
    sandbox
        .sampan(["port", "--explain", "web"])
        .ok()
        .says("web  80/tcp -> 0.0.0.0:4000, [::]:4000\n  this host ")
        .says("  containers on sampan-")
        .says("  open to everybody: no rules\n");

    nft(&sandbox, "add table inet own");
    nft(&sandbox, "add chain inet own input { type filter hook input priority filter ; policy drop ; }");
    nft(&sandbox, "add rule inet own input iif lo accept");
    nft(&sandbox, "add rule inet own input ct state established accept");
    ask(None);
    assert!(sandbox.ask("127.0.0.1:4000", NAME).is_ok(), "the host asks nobody");
    sandbox
        .sampan(["port", "--explain"])
        .ok()
        .says("  closed to everybody: inet own input: its policy\n")
        .says("to open it: `nft insert rule inet own input tcp dport 4000 accept`\n")
        .says("local  53/udp -> 127.0.0.1:5000\n")
        .says("  others     closed: no address that others reach\n");
    let mut legacy = sandbox.program_named("iptables-legacy".as_ref());
    legacy.args(["-A", "INPUT", "-p", "udp", "-j", "DROP"]);
    let _ = sandbox.start(legacy).finish().ok();
    sandbox.sampan(["port", "--explain", "web"]).ok().complains("iptables-legacy has rules as well");

    nft(&sandbox, "insert rule inet own input tcp dport 4000 accept");
    ask(Some(&web[..12]));
    let listed = sandbox.sampan(["port", "--explain", "--format", "json", "web", "80"]).ok();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let verdict = &listed[0]["Reach"][0]["Verdicts"][0];
    assert_eq!(verdict["Decision"], "accepted", "{listed}");
    assert_eq!(verdict["Sources"], "everybody");
    assert!(verdict["Reason"].as_str().unwrap().ends_with(": tcp dport 4000 accept"), "{listed}");
    assert_eq!(listed[0]["Obstacles"].as_array().unwrap().len(), 0, "{listed}");
}

#[test]
fn what_cannot_be_explained_is_an_error() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "web", "-p", "4000:80"]);
    sandbox
        .sampan(["port", "--explain", "web", "81"])
        .fails(1)
        .complains("No public port '81' published for web");
    sandbox.sampan(["port", "--explain", "nosuch"]).fails(1).complains("No such container: nosuch");
    sandbox.sampan(["port"]).fails(1).complains("requires at least 1 and at most 2 arguments");
    sandbox.sampan(["port", "--explain"]).ok().says("web  80/tcp -> 0.0.0.0:4000, [::]:4000\n");
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox.sampan(["port", "--explain"]).ok().prints("");
}
