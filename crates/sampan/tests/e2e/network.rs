//! `network`: containers that find each other by name, and those that do not.

use testkit::Sandbox;

use crate::{NAME, SERVER, background, idle, inspect, sandbox, shell};

fn network(sandbox: &Sandbox, name: &str) -> String {
    sandbox.sampan(["network", "create", name]).ok().word().to_owned()
}

#[test]
fn create_prints_the_id_and_rm_the_name() {
    let Some(sandbox) = sandbox() else { return };
    let id = network(&sandbox, "blue");
    assert_eq!(id.len(), 64);
    let listed = sandbox.sampan(["network", "ls"]).ok();
    let lines = listed.lines();
    assert_eq!(lines[0], "NETWORK ID     NAME      DRIVER    SCOPE", "{listed}");
    assert_eq!(lines[1], format!("{}   blue      bridge    local", &id[..12]), "{listed}");
    let names = sandbox.sampan(["network", "ls", "--format", "{{.Name}} {{.Driver}}"]).ok();
    assert_eq!(names.lines(), ["blue bridge", "bridge bridge", "host host", "none null"]);
    sandbox.sampan(["network", "rm", "blue"]).ok().prints("blue\n");
    sandbox.sampan(["network", "rm", "blue"]).fails(1).complains("network blue not found");
}

#[test]
fn names_and_aliases_lead_to_containers_of_the_same_network() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    let id = background(&sandbox, &["--name", "web", "--network", "blue", "--network-alias", "www"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    for name in ["web", "www", "WWW", &id[..12]] {
        shell(&sandbox, &["--network", "blue"], &format!("wget -q -O - http://{name}/name"))
            .ok()
            .prints(&format!("{}\n", &id[..12]));
    }
    // The container itself too.
    sandbox
        .sampan(["exec", "web", "wget", "-q", "-O", "-", "http://www/name"])
        .ok()
        .prints(&format!("{}\n", &id[..12]));
}

#[test]
fn names_do_not_cross_networks_and_packets_do_not_either() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    network(&sandbox, "green");
    let id = background(&sandbox, &["--name", "web", "--network", "blue"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    let address = inspect(&sandbox, "web", "{{.NetworkSettings.Networks.blue.IPAddress}}");
    shell(&sandbox, &["--network", "green"], "nslookup web").fails(1);
    for other in ["green", "bridge"] {
        shell(&sandbox, &["--network", other], &format!("nc -w 1 {address} 80 < /dev/null")).fails(1);
    }
    shell(&sandbox, &["--network", "blue"], &format!("nc -w 5 {address} 80 < /dev/null")).ok();
}

#[test]
fn on_the_default_network_there_are_addresses_but_no_names() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &["--name", "web"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    let address = inspect(&sandbox, "web", "{{.NetworkSettings.IPAddress}}");
    shell(&sandbox, &[], &format!("wget -q -O - http://{address}/name"))
        .ok()
        .prints(&format!("{}\n", &id[..12]));
    shell(&sandbox, &[], "grep -c 127.0.0.11 /etc/resolv.conf").fails(1);
    sandbox
        .sampan(["run", "--network-alias", "x", "busybox", "true"])
        .fails(125)
        .complains("network-scoped aliases are only supported for user-defined networks");
}

#[test]
fn a_name_is_gone_with_its_container_and_follows_the_next() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    idle(&sandbox, &["--name", "observer", "--network", "blue"]);
    let look_up = || sandbox.sampan(["exec", "observer", "nslookup", "db"]);
    for _ in 0..2 {
        idle(&sandbox, &["--name", "db", "--network", "blue"]);
        let address = inspect(&sandbox, "db", "{{.NetworkSettings.Networks.blue.IPAddress}}");
        look_up().ok().says(&address);
        sandbox.sampan(["rm", "-f", "db"]).ok();
        look_up().fails(1);
    }
}

#[test]
fn an_alias_of_several_leads_to_all_of_them() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    let address = "{{.NetworkSettings.Networks.blue.IPAddress}}";
    let addresses: Vec<_> = (0..3)
        .map(|_| inspect(&sandbox, &idle(&sandbox, &["--network", "blue", "--network-alias", "db"]), address))
        .collect();
    let answer = shell(&sandbox, &["--network", "blue"], "nslookup db").ok();
    assert!(addresses.iter().all(|address| answer.stdout.contains(address)), "{addresses:?}\n{answer}");
}

#[test]
fn none_has_loopback_alone_and_host_has_what_the_host_has() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["--network", "none"], "ls /sys/class/net; ping -c 1 127.0.0.1 > /dev/null && echo up")
        .ok()
        .prints("lo\nup\n");
    let listener = sandbox.within(|| std::net::TcpListener::bind("127.0.0.1:7000")).unwrap();
    let server = std::thread::spawn(move || listener.accept().map(drop));
    shell(&sandbox, &["--network", "host"], "nc 127.0.0.1 7000 < /dev/null && echo reached")
        .ok()
        .prints("reached\n");
    server.join().unwrap().unwrap();
    sandbox.is_clean();
}

#[test]
fn a_network_in_use_stays() {
    let Some(sandbox) = sandbox() else { return };
    let id = network(&sandbox, "blue");
    idle(&sandbox, &["--name", "web", "--network", "blue"]);
    let refusal = format!("error while removing network: network blue id {id} has active endpoints");
    sandbox.sampan(["network", "rm", "blue"]).fails(1).complains(&refusal);
    let inspected =
        sandbox.sampan(["network", "inspect", "--format", "{{range .Containers}}{{.Name}}{{end}}", "blue"]);
    inspected.ok().prints("web\n");
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox.sampan(["network", "rm", &id[..12]]).ok().prints(&format!("{}\n", &id[..12]));
    sandbox.is_clean();
}

#[test]
fn predefined_networks_and_names_in_use_are_refused() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    sandbox.sampan(["network", "create", "blue"]).fails(1).complains("network with name blue already exists");
    for name in ["bridge", "host", "none"] {
        sandbox.sampan(["network", "create", name]).fails(1);
        sandbox
            .sampan(["network", "rm", name])
            .fails(1)
            .complains(&format!("{name} is a pre-defined network and cannot be removed"));
    }
}

#[test]
fn a_subnet_is_chosen_apart_from_others_or_taken_as_given() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "--subnet", "10.99.0.0/24", "blue"]).ok();
    shell(
        &sandbox,
        &["--network", "blue"],
        "ip -4 -o addr show eth0 | grep -o 'inet [^ ]*'; ip route | head -n 1 | cut -d' ' -f3",
    )
    .ok()
    .prints("inet 10.99.0.2/24\n10.99.0.1\n");
    sandbox
        .sampan(["network", "create", "--subnet", "10.99.0.128/25", "green"])
        .fails(1)
        .complains("Pool overlaps");
    sandbox.sampan(["network", "create", "--subnet", "10.99", "green"]).fails(1).complains("invalid subnet");
    let subnet = |name: &str| {
        let template = "{{(index .IPAM.Config 0).Subnet}}";
        sandbox.sampan(["network", "inspect", "--format", template, name]).ok().word().to_owned()
    };
    network(&sandbox, "one");
    network(&sandbox, "two");
    assert_ne!(subnet("one"), subnet("two"));
}

#[test]
fn nothing_leaves_an_internal_network() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "--internal", "inside"]).ok();
    let id = background(&sandbox, &["--name", "web", "--network", "inside"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    shell(&sandbox, &["--network", "inside"], "ip route | grep -c default; wget -q -O - http://web/name")
        .ok()
        .prints(&format!("0\n{}\n", &id[..12]));
}

#[test]
fn a_containers_answers_reach_the_host() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    let id = background(&sandbox, &["--name", "web", "--network", "blue", "-p", "4000:80"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    let address = inspect(&sandbox, "web", "{{.NetworkSettings.Networks.blue.IPAddress}}");
    for address in [format!("{address}:80"), "127.0.0.1:4000".to_owned()] {
        assert!(sandbox.ask(&address, NAME).unwrap().ends_with(&format!("{}\n", &id[..12])), "{address}");
    }
}

#[test]
fn the_hosts_network_comes_with_the_hosts_name_and_leaves_that_alone() {
    let Some(sandbox) = sandbox() else { return };
    let name = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let before = name();
    sandbox.sampan(["run", "--rm", "--network", "host", "busybox", "hostname"]).ok().prints(&before);
    assert_eq!(name(), before);
}
