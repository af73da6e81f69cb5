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
        let refusal = format!("operation is not permitted on predefined {name} network");
        sandbox.sampan(["network", "create", name]).fails(1).complains(&refusal);
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

#[test]
fn a_container_is_in_several_networks_and_reaches_the_world_by_the_one_that_matters_most() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "--subnet", "10.98.0.0/24", "blue"]).ok();
    sandbox.sampan(["network", "create", "--subnet", "10.99.0.0/24", "green"]).ok();
    let id = background(&sandbox, &["--name", "web", "--network", "green", "--network-alias", "www"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    let script = "wget -q -O - http://www/name; ip route | grep default; ip -4 -o addr | grep -c eth";
    let both = ["--network", "name=blue,alias=b", "--network", "name=green,gw-priority=0"];
    shell(&sandbox, &both, script)
        .ok()
        .prints(&format!("{}\ndefault via 10.98.0.1 dev eth0 \n2\n", &id[..12]));
    let both = ["--network", "blue", "--network", "name=green,gw-priority=1"];
    shell(&sandbox, &both, script)
        .ok()
        .prints(&format!("{}\ndefault via 10.99.0.1 dev eth1 \n2\n", &id[..12]));
    sandbox
        .sampan(["run", "--network", "blue", "--network", "host", "busybox", "true"])
        .fails(125)
        .complains("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
}

#[test]
fn addresses_may_be_named_in_subnets_that_were() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "--subnet", "10.99.0.0/24", "blue"]).ok();
    network(&sandbox, "green");
    let mine = ["--network", "blue", "--ip", "10.99.0.77", "--mac-address", "92:d0:c6:0a:29:33"];
    idle(&sandbox, &[&["--name", "web"], &mine[..]].concat());
    let seen = "{{.NetworkSettings.Networks.blue.IPAddress}}/{{.NetworkSettings.Networks.blue.MacAddress}}";
    assert_eq!(inspect(&sandbox, "web", seen), "10.99.0.77/92:d0:c6:0a:29:33");
    sandbox.sampan(["exec", "web", "cat", "/sys/class/net/eth0/address"]).ok().prints("92:d0:c6:0a:29:33\n");
    let refused = |options: &[&str], why: &str| {
        let command = [&["run", "--rm"], options, &["busybox", "true"]].concat();
        sandbox.sampan(command).fails(125).complains(why);
    };
    refused(&["--network", "blue", "--ip", "10.99.0.77"], "Address already in use");
    refused(
        &["--network", "blue", "--ip", "10.9.0.7"],
        "no configured subnet or ip-range contain the IP address 10.9.0.7",
    );
    refused(
        &["--network", "green", "--ip", "172.18.0.9"],
        "user specified IP address is supported only when connecting to networks with user configured subnets",
    );
    refused(&["--ip", "172.17.0.9"], "user specified IP address is supported on user defined networks only");
    refused(&["--network", "blue", "--ip", "10.99"], "invalid IPv4 address: 10.99");
    sandbox.sampan(["rm", "-f", "web"]).ok();
    shell(&sandbox, &["--network", "blue", "--ip", "10.99.0.77"], "true").ok();
}

#[test]
fn a_container_shares_the_network_of_another_that_runs() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    let id = background(&sandbox, &["--name", "web", "--network", "blue"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    shell(&sandbox, &["--network", "container:web"], "hostname; wget -q -O - http://127.0.0.1/name")
        .ok()
        .prints(&format!("{0}\n{0}\n", &id[..12]));
    let mode = "{{.HostConfig.NetworkMode}} {{len .NetworkSettings.Networks}}";
    let other =
        sandbox.sampan(["create", "--network", "container:web", "busybox", "true"]).ok().word().to_owned();
    sandbox.sampan(["inspect", "-f", mode, &other]).ok().prints(&format!("container:{id} 0\n"));
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox.sampan(["start", &other]).fails(1);
    let refused = |options: &[&str], why: &str| {
        let command = [&["run", "--rm", "--network"], options, &["busybox", "true"]].concat();
        sandbox.sampan(command).fails(125).complains(why);
    };
    refused(&["container:nobody"], "No such container: nobody");
    idle(&sandbox, &["--name", "db"]);
    refused(
        &["container:db", "-p", "80:80"],
        "conflicting options: port publishing and the container type network mode",
    );
    refused(&["container:db", "--hostname", "x"], "conflicting options: hostname and the network mode");
    sandbox.sampan(["stop", "-t", "0", "db"]).ok();
    refused(&["container:db"], "cannot join network namespace of a non running container: db");
}

#[test]
fn a_network_is_as_its_options_say() {
    let Some(sandbox) = sandbox() else { return };
    let options = [
        ["--subnet", "10.99.0.0/16"],
        ["--gateway", "10.99.0.254"],
        ["--ip-range", "10.99.4.0/24"],
        ["--aux-address", "router=10.99.4.1"],
        ["--label", "tier=web"],
        ["-o", "com.docker.network.driver.mtu=1400"],
        ["-o", "com.docker.network.bridge.name=blue0"],
        ["-o", "com.docker.network.bridge.enable_icc=false"],
    ];
    let command = [&["network", "create"], &options.concat()[..], &["blue"]].concat();
    sandbox.sampan(command).ok();
    let script = "ip -4 -o addr show eth0 | grep -o 'inet [^ ]*'; ip route | head -n 1 | cut -d' ' -f3; \
                  cat /sys/class/net/eth0/mtu";
    shell(&sandbox, &["--network", "blue"], script).ok().prints("inet 10.99.4.0/16\n10.99.0.254\n1400\n");
    let template =
        "{{json .IPAM.Config}} {{.Labels.tier}} {{index .Options \"com.docker.network.bridge.name\"}}";
    sandbox.sampan(["network", "inspect", "-f", template, "blue"]).ok().prints(
        "[{\"Subnet\":\"10.99.0.0/16\",\"IPRange\":\"10.99.4.0/24\",\"Gateway\":\"10.99.0.254\",\
         \"AuxiliaryAddresses\":{\"router\":\"10.99.4.1\"}}] web blue0\n",
    );
    let id = background(&sandbox, &["--name", "web", "--network", "blue"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    let address = inspect(&sandbox, "web", "{{.NetworkSettings.Networks.blue.IPAddress}}");
    shell(&sandbox, &["--network", "blue"], &format!("nc -w 1 {address} 80 < /dev/null")).fails(1);
    let refused = |options: &[&str], why: &str| {
        let command = [&["network", "create"], options, &["red"]].concat();
        sandbox.sampan(command).fails(1).complains(why);
    };
    refused(&["--gateway", "10.1.0.1"], "every ip-range or gateway must have a corresponding subnet");
    refused(&["-o", "com.docker.network.bridge.name=blue0"], "networks have same bridge name");
    refused(
        &["-o", "com.docker.network.bridge.enable_icc=x"],
        "strconv.ParseBool: parsing \"x\": invalid syntax",
    );
    refused(&["-d", "warp"], "plugin \"warp\" not found");
    refused(&["-d", "host"], "only one instance of \"host\" network is allowed");
    sandbox.sampan(["network", "ls", "-q", "--filter", "name=red"]).ok().prints("");
}

#[test]
fn networks_are_listed_as_filters_say_and_pruned_unless_somebody_is_in_them() {
    let Some(sandbox) = sandbox() else { return };
    for (name, label) in [("blue", "tier=web"), ("green", "tier=db"), ("red", "keep")] {
        sandbox.sampan(["network", "create", "--label", label, name]).ok();
    }
    idle(&sandbox, &["--name", "web", "--network", "blue"]);
    let listed = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["--filter", filter]).collect::<Vec<_>>();
        let command = [&["network", "ls", "--format", "{{.Name}}"], &filters[..]].concat();
        sandbox.sampan(command).ok().lines().join(" ")
    };
    assert_eq!(listed(&["label=tier"]), "blue green");
    assert_eq!(listed(&["label=tier=db"]), "green");
    assert_eq!(listed(&["name=e"]), "blue bridge green none red");
    assert_eq!(listed(&["type=builtin"]), "bridge host none");
    assert_eq!(listed(&["driver=null"]), "none");
    assert_eq!(listed(&["dangling=true"]), "green red");
    sandbox.sampan(["network", "ls", "--filter", "x=y"]).fails(1).complains("invalid filter 'x'");
    sandbox
        .sampan(["network", "prune", "-f", "--filter", "label!=keep"])
        .ok()
        .prints("Deleted Networks:\ngreen\n\n");
    sandbox.sampan(["network", "prune", "-f"]).ok().prints("Deleted Networks:\nred\n\n");
    sandbox.sampan(["network", "prune", "-f"]).ok().prints("");
    assert_eq!(listed(&["type=custom"]), "blue");
    for (name, driver) in [("host", "host"), ("none", "null")] {
        sandbox
            .sampan(["network", "inspect", "-f", "{{.Driver}} {{.Scope}}", name])
            .ok()
            .prints(&format!("{driver} local\n"));
    }
}

#[test]
fn hundreds_of_networks_fit() {
    let Some(sandbox) = sandbox() else { return };
    let names: Vec<String> = (0..40).map(|n| format!("net{n}")).collect();
    names.iter().for_each(|name| drop(network(&sandbox, name)));
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let template = "{{(index .IPAM.Config 0).Subnet}}";
    let command = [&["network", "inspect", "-f", template], &ids[..]].concat();
    let subnets = sandbox.sampan(command).ok();
    let mut lines = subnets.lines();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 40, "{subnets}");
    sandbox.sampan([&["network", "rm"], &ids[..]].concat()).ok();
}

#[test]
fn whom_to_ask_and_what_others_are_called_may_be_said() {
    let Some(sandbox) = sandbox() else { return };
    let options = [
        ["--dns", "10.9.9.9"],
        ["--dns-search", "corp.example"],
        ["--dns-option", "debug"],
        ["--add-host", "db:10.1.2.3"],
        ["--add-host", "outside=host-gateway"],
        ["--hostname", "web"],
        ["--domainname", "corp.example"],
    ];
    shell(&sandbox, &options.concat(), "grep -v '^#' /etc/resolv.conf; tail -n 3 /etc/hosts; hostname")
        .ok()
        .prints(
            "\nnameserver 10.9.9.9\nsearch corp.example\noptions debug\n\n10.1.2.3\tdb\n172.17.0.1\toutside\n\
         172.17.0.2\tweb.corp.example web\nweb\n",
        );
    network(&sandbox, "blue");
    let options = ["--network", "blue", "--dns", "10.9.9.9", "--dns-search", ".", "--dns-option", "debug"];
    shell(&sandbox, &options, "grep -v '^$' /etc/resolv.conf").ok().prints(
        "# Generated by sampan.\nnameserver 127.0.0.11\noptions debug ndots:0\n\
         # Based on host file: '/etc/resolv.conf' (internal resolver)\n# ExtServers: [10.9.9.9]\n\
         # Overrides: [nameservers search options]\n# Option ndots from: internal\n",
    );
    let refused = |option: &str, value: &str, why: &str| {
        let complaint = format!("invalid argument {value:?} for \"{option}\" flag: {why}");
        sandbox.sampan(["run", option, value, "busybox", "true"]).fails(125).complains(&complaint);
    };
    refused("--dns", "x", "IP address is not correctly formatted: x");
    refused("--dns-search", "..", ".. is not a valid domain");
    refused("--add-host", "x", "bad format for add-host: \"x\"");
    refused("--add-host", "a:b", "invalid IP address in add-host: \"b\"");
}

#[test]
fn a_link_is_another_name_for_a_container_that_runs() {
    let Some(sandbox) = sandbox() else { return };
    let id = background(&sandbox, &["--name", "web"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    shell(&sandbox, &["--link", "web:www"], "wget -q -O - http://www/name")
        .ok()
        .prints(&format!("{}\n", &id[..12]));
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox
        .sampan(["run", "--link", "web:www", "busybox", "true"])
        .fails(125)
        .complains("No such container: web");
}

#[test]
fn a_link_tells_of_another_container_by_variables_and_in_etc_hosts() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(&sandbox, &["--name", "db", "--expose", "80", "-e", "A=1"]);
    let address = inspect(&sandbox, "db", "{{.NetworkSettings.IPAddress}}");
    idle(&sandbox, &["--name", "web", "--link", "db:my-db"]);
    let exec = |script: &str| sandbox.sampan(["exec", "web", "sh", "-c", script]);
    let expected = format!(
        "MY_DB_ENV_A=1\nMY_DB_NAME=/web/my-db\nMY_DB_PORT=tcp://{address}:80\nMY_DB_PORT_80_TCP=tcp://{address}:80\n\
         MY_DB_PORT_80_TCP_ADDR={address}\nMY_DB_PORT_80_TCP_PORT=80\nMY_DB_PORT_80_TCP_PROTO=tcp\n"
    );
    exec("env | grep ^MY_DB | sort").ok().prints(&expected);
    exec("tr '\\0' '\\n' </proc/1/environ | grep ^MY_DB | sort").ok().prints(&expected);
    exec("grep my-db /etc/hosts").ok().prints(&format!("{address}\tmy-db {} db\n", &id[..12]));
    assert_eq!(inspect(&sandbox, "web", "{{json .HostConfig.Links}}"), r#"["/db:/web/my-db"]"#);
    // What it is called now makes no difference, and where it is now is told.
    sandbox.sampan(["rename", "db", "store"]).ok();
    sandbox.sampan(["stop", "-t", "0", "store"]).ok();
    exec("true").fails(1).complains("Cannot link to a non running container: /store AS /web/my-db");
    idle(&sandbox, &["--name", "other"]);
    sandbox.sampan(["start", "store"]).ok();
    let moved = inspect(&sandbox, "store", "{{.NetworkSettings.IPAddress}}");
    assert_ne!(moved, address);
    exec("grep my-db /etc/hosts | cut -f 1").ok().prints(&format!("{moved}\n"));
    // Without it, there is no start either.
    sandbox.sampan(["rm", "-f", "store"]).ok();
    let text = format!("Cannot link to a non running container: /{id} AS /web/my-db");
    sandbox.sampan(["restart", "-t", "0", "web"]).fails(1).complains(&text);
}

#[test]
fn a_link_leads_to_a_container_that_is_there() {
    let Some(sandbox) = sandbox() else { return };
    let refused = |link: &str, text: &str| {
        sandbox.sampan(["create", "--link", link, "busybox"]).fails(1).complains(text);
    };
    refused("nosuch:x", "could not get container for nosuch: No such container: nosuch");
    sandbox.sampan(["create", "--name", "host", "--network", "host", "busybox"]).ok();
    refused("host:x", "conflicting options: host type networking can't be used with links");
    sandbox.sampan(["network", "create", "blue"]).ok();
    let id = idle(&sandbox, &["--name", "apart", "--network", "blue"]);
    let text = format!("container {id} not attached to default bridge network");
    sandbox.sampan(["run", "--link", "apart", "busybox", "true"]).fails(125).complains(&text);
}

#[test]
fn a_network_may_be_called_what_a_container_may_not() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["a", "a b", "-x/y"] {
        sandbox.sampan(["network", "create", "--", name]).ok();
        sandbox
            .sampan(["network", "inspect", "-f", "{{.Name}}", "--", name])
            .ok()
            .prints(&format!("{name}\n"));
    }
    shell(&sandbox, &["--network", "a", "--name", "web"], "nslookup -type=a web").ok();
    sandbox.sampan(["network", "rm", "--", "a", "a b", "-x/y"]).ok().prints("a\na b\n-x/y\n");
    sandbox.sampan(["network", "create", " "]).fails(1).complains("invalid name: name is empty");
    sandbox.sampan(["create", "--name", "a", "busybox"]).fails(1).complains("Invalid container name (a)");
    sandbox.sampan(["volume", "create", "a"]).fails(1).complains(
        "create a: volume name is too short, names should be at least two alphanumeric characters",
    );
}

#[test]
fn networks_are_made_like_a_configuration() {
    let Some(sandbox) = sandbox() else { return };
    let create = |arguments: &[&str]| sandbox.sampan([&["network", "create"], arguments].concat());
    let pool = ["--subnet", "10.99.0.0/24", "--gateway", "10.99.0.254", "--ipam-opt", "a=b"];
    create(
        &[
            &["--config-only", "-o", "com.docker.network.driver.mtu=1400", "--label", "x=y"],
            &pool[..],
            &["plan"],
        ]
        .concat(),
    )
    .ok();
    create(&["--config-only", "plan"]).fails(1).complains("network with name plan already exists");
    create(&["plan"]).fails(1).complains("network with name plan already exists");
    create(&["--config-from", "plan", "blue"]).ok();
    let inspect = |name: &str, template: &str| {
        sandbox.sampan(["network", "inspect", "-f", template, name]).ok().word().to_owned()
    };
    let config = "{{json .IPAM.Config}} {{json .IPAM.Options}} {{json .Options}} {{json .Labels}}";
    let expected = r#"[{"Subnet":"10.99.0.0/24","Gateway":"10.99.0.254"}] {"a":"b"} {"com.docker.network.driver.mtu":"1400"} {"x":"y"}"#;
    assert_eq!(inspect("plan", config), expected);
    assert_eq!(inspect("blue", config), expected);
    let kind = "{{.Driver}} {{.ConfigOnly}} {{.ConfigFrom.Network}}";
    assert_eq!(inspect("plan", kind), "null true");
    assert_eq!(inspect("blue", kind), "bridge false plan");
    shell(
        &sandbox,
        &["--network", "blue"],
        "cat /sys/class/net/eth0/mtu; ip route | head -n 1 | cut -d' ' -f3",
    )
    .ok()
    .prints("1400\n10.99.0.254\n");
    sandbox
        .sampan(["run", "--network", "plan", "busybox", "true"])
        .fails(125)
        .complains("cannot create endpoint on configuration-only network");
    let listed =
        sandbox.sampan(["network", "ls", "--format", "{{.Name}} {{.Driver}}", "-f", "name=plan"]).ok();
    listed.prints("plan null\n");
    sandbox
        .sampan(["network", "rm", "plan"])
        .fails(1)
        .complains("error while removing network: configuration network \"plan\" is in use");
    sandbox.sampan(["network", "prune", "-f"]).ok().says("blue\n");
    sandbox.sampan(["network", "rm", "plan"]).ok().prints("plan\n");
}

#[test]
fn what_takes_a_cluster_or_a_plugin_is_refused_as_docker_refuses_it() {
    let Some(sandbox) = sandbox() else { return };
    let refused = |options: &[&str], text: &str| {
        let arguments = [&["network", "create"], options, &["blue"]].concat();
        sandbox.sampan(arguments).fails(1).complains(&format!("Error response from daemon: {text}"));
    };
    refused(&["--scope", "swarm"], "cannot create a swarm scoped network when swarm is not active");
    refused(&["--ingress"], "Ingress network can only be global scope network");
    refused(&["-d", "overlay"], "This node is not a swarm manager.");
    refused(&["--ipam-driver", "x"], "plugin \"x\" not found");
    refused(&["-d", "x"], "plugin \"x\" not found");
    let operators = "configuration network can only contain network specific fields.";
    for option in [&["--ingress"][..], &["--internal"], &["--attachable"], &["--scope", "local"]] {
        refused(&[&["--config-only"], option].concat(), operators);
    }
    refused(&["--config-from", "nosuch"], "configuration network \"nosuch\" does not exist");
    let text = "a configuration network cannot depend on another configuration network";
    refused(&["--config-only", "--config-from", "x"], text);
    let text =
        "user specified configurations are not supported if the network depends on a configuration network";
    refused(&["--config-from", "x", "--label", "a=b"], text);
    let text = "network driver options are not supported if the network depends on a configuration network";
    refused(&["--config-from", "x", "-o", "a=b"], text);
    sandbox.sampan(["network", "create", "--attachable", "--scope", "global", "blue"]).ok();
    let template = "{{.Scope}} {{.Attachable}}";
    sandbox.sampan(["network", "inspect", "-f", template, "blue"]).ok().prints("global true\n");
    sandbox.sampan(["network", "ls", "-q", "-f", "scope=local", "-f", "name=blue"]).ok().prints("");
}

#[test]
fn a_network_of_ones_own_speaks_ipv6_and_the_default_one_does_not() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    let id = background(&sandbox, &["--name", "web", "--network", "blue", "-p", "4000:80"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    let address = inspect(&sandbox, "web", "{{.NetworkSettings.Networks.blue.GlobalIPv6Address}}");
    assert!(address.starts_with("fd"), "{address}");
    let script =
        format!("wget -q -O - 'http://[{address}]/name'; nslookup -type=aaaa web | grep -c '{address}'");
    shell(&sandbox, &["--network", "blue"], &script).ok().prints(&format!("{}\n1\n", &id[..12]));
    for published in ["127.0.0.1:4000", "[::1]:4000"] {
        assert!(sandbox.ask(published, NAME).unwrap().ends_with(&format!("{}\n", &id[..12])), "{published}");
    }
    shell(&sandbox, &[], "grep -c eth0 /proc/net/if_inet6").fails(1).prints("0\n");
    let speaks = |name: &str| {
        sandbox.sampan(["network", "inspect", "-f", "{{.EnableIPv6}}", name]).ok().word().to_owned()
    };
    sandbox.sampan(["network", "create", "--ipv6=false", "green"]).ok();
    sandbox.sampan(["network", "create", "--subnet", "10.99.0.0/24", "red"]).ok();
    assert_eq!(
        [speaks("blue"), speaks("green"), speaks("red"), speaks("bridge")],
        ["true", "false", "false", "false"]
    );
    let both =
        ["--subnet", "10.98.0.0/24", "--subnet", "fd12::/64", "--gateway", "fd12::fe", "--ipv6", "grey"];
    sandbox.sampan([&["network", "create"], &both[..]].concat()).ok();
    let script =
        "ip -6 -o addr show eth0 | grep -o 'inet6 fd[^ ]*'; ip -6 route | grep default | cut -d' ' -f3";
    shell(&sandbox, &["--network", "grey", "--ip6", "fd12::99"], script)
        .ok()
        .prints("inet6 fd12::99/64\nfd12::fe\n");
}

#[test]
fn of_many_ports_of_the_host_the_first_free_one_is_taken() {
    let Some(sandbox) = sandbox() else { return };
    let options = ["-p", "127.0.0.1:7000-7001:80"];
    for (name, port) in [("one", 7000), ("two", 7001)] {
        let id = background(&sandbox, &[&["--name", name], &options[..]].concat(), SERVER);
        sandbox.wait_for_log(&id, "ready");
        sandbox.sampan(["port", name]).ok().prints(&format!("80/tcp -> 127.0.0.1:{port}\n"));
        assert!(
            sandbox.ask(&format!("127.0.0.1:{port}"), NAME).unwrap().ends_with(&format!("{}\n", &id[..12]))
        );
    }
    sandbox
        .sampan([&["run", "--rm"], &options[..], &["busybox", "true"]].concat())
        .fails(125)
        .complains("address already in use");
    let bindings = "{{json (index .HostConfig.PortBindings \"80/tcp\")}}";
    assert_eq!(inspect(&sandbox, "one", bindings), "[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"7000-7001\"}]");
}

#[test]
fn a_macvlan_is_a_part_of_an_interface_of_the_hosts() {
    let Some(sandbox) = sandbox() else { return };
    // With somebody on it, the bridge is as good as a network card.
    idle(&sandbox, &["--name", "neighbour"]);
    let template = "{{index .Options \"com.docker.network.bridge.name\"}}";
    let parent = sandbox.sampan(["network", "inspect", "-f", template, "bridge"]).ok().word().to_owned();
    let option = format!("parent={parent}");
    let create = ["network", "create", "-d", "macvlan", "--subnet", "10.99.0.0/24", "-o"];
    sandbox.sampan([&create[..], &[&option, "lan"]].concat()).ok();
    let id = background(&sandbox, &["--name", "web", "--network", "lan", "--ip", "10.99.0.9"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    shell(&sandbox, &["--network", "lan"], "wget -q -O - http://web/name")
        .ok()
        .prints(&format!("{}\n", &id[..12]));
    sandbox
        .sampan(["network", "create", "-d", "macvlan", "adrift"])
        .fails(1)
        .complains("takes -o parent=INTERFACE");
    sandbox
        .sampan([&create[..], &[&option, "-o", "macvlan_mode=loud", "loud"]].concat())
        .fails(1)
        .complains("requested macvlan mode 'loud' is not valid");
    sandbox.sampan(["rm", "-f", "web"]).ok();
    sandbox.sampan(["network", "rm", "lan"]).ok();
}

#[test]
fn a_container_joins_and_leaves_networks_while_it_runs() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "--subnet", "10.98.0.0/24", "blue"]).ok();
    sandbox.sampan(["network", "create", "--subnet", "10.99.0.0/24", "green"]).ok();
    let id = background(&sandbox, &["--name", "web", "--network", "blue"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    idle(&sandbox, &["--name", "observer", "--network", "green"]);
    let ask = |name: &str| {
        sandbox.sampan(["exec", "observer", "wget", "-q", "-O", "-", &format!("http://{name}/name")])
    };
    ask("web").fails(1);
    for _ in 0..2 {
        sandbox
            .sampan(["network", "connect", "--alias", "www", "--ip", "10.99.0.77", "green", "web"])
            .ok()
            .prints("");
        for name in ["web", "www", "10.99.0.77"] {
            ask(name).ok().prints(&format!("{}\n", &id[..12]));
        }
        // The other way too, and both in what is shown.
        sandbox.sampan(["exec", "web", "nslookup", "observer"]).ok();
        assert_eq!(inspect(&sandbox, "web", "{{len .NetworkSettings.Networks}}"), "2");
        sandbox.sampan(["exec", "web", "grep", "-c", "10.99.0.77", "/etc/hosts"]).ok().prints("1\n");
        sandbox
            .sampan(["network", "connect", "green", "web"])
            .fails(1)
            .complains("endpoint with name web already exists in network green");
        sandbox.sampan(["network", "disconnect", "green", "web"]).ok().prints("");
        ask("web").fails(1);
        sandbox.sampan(["exec", "web", "ls", "/sys/class/net"]).ok().says("eth0\nlo\n");
        sandbox
            .sampan(["network", "disconnect", "green", "web"])
            .fails(1)
            .complains(&format!("container {id} is not connected to network green"));
    }
    // What it joined is where it is after a restart.
    sandbox.sampan(["network", "connect", "green", "web"]).ok();
    sandbox.sampan(["network", "disconnect", "blue", "web"]).ok();
    let script = "ip route | grep default | cut -d' ' -f3";
    sandbox.sampan(["exec", "web", "sh", "-c", script]).ok().prints("10.99.0.1\n");
    sandbox.sampan(["restart", "-t", "0", "web"]).ok();
    sandbox.sampan(["exec", "web", "sh", "-c", script]).ok().prints("10.99.0.1\n");
    sandbox.sampan(["rm", "-f", "web", "observer"]).ok();
    sandbox.is_clean();
}

#[test]
fn a_container_of_the_default_network_gets_names_when_it_joins_one_that_has_them() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    idle(&sandbox, &["--name", "db", "--network", "blue"]);
    let id = background(&sandbox, &["--name", "web", "-p", "4000:80"], SERVER);
    sandbox.wait_for_log(&id, "ready");
    sandbox.sampan(["network", "connect", "blue", "web"]).ok();
    sandbox.sampan(["exec", "web", "nslookup", "db"]).ok();
    // Published ports follow to where the container still is.
    sandbox.sampan(["network", "disconnect", "bridge", "web"]).ok();
    assert!(sandbox.ask("127.0.0.1:4000", NAME).unwrap().ends_with(&format!("{}\n", &id[..12])));
    sandbox.sampan(["network", "disconnect", "blue", "web"]).ok();
    assert_eq!(inspect(&sandbox, "web", "{{len .NetworkSettings.Networks}}"), "0");
    sandbox.sampan(["network", "connect", "bridge", "web"]).ok();
    assert!(sandbox.ask("127.0.0.1:4000", NAME).unwrap().ends_with(&format!("{}\n", &id[..12])));
}

#[test]
fn what_has_no_network_of_its_own_joins_none() {
    let Some(sandbox) = sandbox() else { return };
    network(&sandbox, "blue");
    for (mode, why) in [
        (
            "host",
            "container sharing network namespace with another container or host cannot be connected to any other network",
        ),
        (
            "none",
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ),
    ] {
        sandbox.sampan(["create", "--name", mode, "--network", mode, "busybox", "true"]).ok();
        sandbox.sampan(["network", "connect", "blue", mode]).fails(1).complains(why);
    }
    sandbox.sampan(["create", "--name", "web", "busybox", "true"]).ok();
    sandbox.sampan(["network", "connect", "red", "web"]).fails(1).complains("network red not found");
    sandbox.sampan(["network", "connect", "blue", "nobody"]).fails(1).complains("No such container: nobody");
    sandbox
        .sampan(["network", "connect", "--ip", "10.0.0.9", "blue", "web"])
        .fails(1)
        .complains("only when connecting to networks with user configured subnets");
    sandbox.sampan(["network", "connect", "--alias", "www", "blue", "web"]).ok();
    assert_eq!(inspect(&sandbox, "web", "{{len .NetworkSettings.Networks}}"), "2");
    sandbox.sampan(["network", "disconnect", "blue", "web"]).ok();
    sandbox
        .sampan(["network", "disconnect", "blue", "web"])
        .fails(1)
        .complains("is not connected to the network blue");
}
