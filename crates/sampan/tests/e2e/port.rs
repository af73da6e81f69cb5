//! `port`: where ports are published.

use crate::{idle, sandbox};

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
