//! Containers of an ordinary user: the same commands, without root and without set-up.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use testkit::{Ordinary, PATIENCE, UID, eventually};

use crate::PROGRAM;

#[test]
fn containers_run_and_others_join_them() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    let script = "id -u; awk '{print $1,$3}' /proc/self/uid_map; touch /x; chown 7:8 /x; stat -c %u:%g /x /bin/sh; echo x > /dev/null";
    user.shell(&format!("$SAMPAN run --rm --network none busybox sh -c \"{}\"", script.replace('$', "\\$")))
        .ok()
        .prints("0\n0 1\n1 65536\n7:8\n0:0\n");
    user.shell("$SAMPAN run -d --name one --network none busybox tail -f /dev/null").ok();
    user.shell("$SAMPAN ps --format '{{.Names}} {{.State}}'; $SAMPAN exec --user 33 one id -u; $SAMPAN exec one hostname | wc -c; $SAMPAN top one")
        .ok()
        .says("one running\n33\n13\n")
        .says("tail -f /dev/null");
    user.shell("echo mine > file; $SAMPAN cp file one:/root/file; $SAMPAN exec one cat /root/file; $SAMPAN cp one:/etc/passwd - | tar -t")
        .ok()
        .prints("mine\npasswd\n");
    user.shell("$SAMPAN commit one img > /dev/null; $SAMPAN diff one; $SAMPAN run --rm --network none img cat /root/file")
        .ok()
        .says("A /root/file\n")
        .says("mine\n");
    let zero = "--network none --device /dev/zero:/dev/mine busybox sh -c 'head -c 2 /dev/mine | wc -c'";
    user.shell(&format!("$SAMPAN run --rm {zero}")).ok().prints("2\n");
    user.shell("$SAMPAN run --rm --pid host --network none busybox test -e /proc/1/status").ok();
    user.shell("$SAMPAN kill one; $SAMPAN wait one; $SAMPAN start one; $SAMPAN exec one cat /root/file; $SAMPAN rm -f one")
        .ok()
        .prints("one\n137\none\nmine\none\n");
    user.shell("$SAMPAN run --rm --network host busybox cat /sys/class/net/lo/address; $SAMPAN run --rm --network host busybox touch /sys/x")
        .fails(1)
        .prints("00:00:00:00:00:00\n");
}

#[test]
fn the_machines_root_stays_out_of_reach() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    let secret = user.place().join("secret");
    fs::write(&secret, "of root").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    user.shell("$SAMPAN run --rm --network none -v $PLACE:/place busybox cat /place/secret")
        .fails(1)
        .complains("Permission denied");
    user.shell("$SAMPAN run --rm --network none --privileged busybox sh -c 'mknod /x b 254 0; cat /proc/1/status' | grep -c CapEff")
        .ok()
        .prints("1\n");
    user.shell("$SAMPAN --root /var/lib/sampan ps").fails(1).complains("hint: ");
}

#[test]
fn files_of_the_user_are_roots_in_containers() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    user.shell("$SAMPAN run --rm --network none -v $HOME:/h -v data:/data busybox sh -c 'touch /h/made /data/x; chown 9:9 /data/x'")
        .ok();
    let made = fs::metadata(user.home().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (UID, UID));
    user.shell("$SAMPAN run --rm --network none -v data:/data busybox stat -c %u:%g /data/x")
        .ok()
        .prints("9:9\n");
    user.shell("$SAMPAN volume rm data; $SAMPAN volume ls -q").ok().prints("data\n");
}

#[test]
fn images_are_built() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    let dockerfile = "FROM busybox\\nRUN id -u > /who && chown 7:8 /who && rm -rf /home && mkdir /home\\nCOPY f /f\\nUSER 33\\n";
    user.shell(&format!("mkdir c; printf '{dockerfile}' > c/Dockerfile; echo f > c/f; $SAMPAN build --network none -q -t app c"))
        .ok();
    user.shell(
        "$SAMPAN run --rm --network none app sh -c 'cat /who /f; stat -c %u:%g /who /f; id -u; ls /home'",
    )
    .ok()
    .prints("0\nf\n7:8\n0:0\n33\n");
    user.shell("$SAMPAN save app | tar -t | grep -c blobs").ok();
    user.shell("$SAMPAN rmi app; rm -r c").ok();
}

#[test]
fn a_container_reaches_the_network_and_is_reached() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    if !has_pasta() {
        return;
    }
    let server = "mkdir /srv; echo hello > /srv/f; exec httpd -f -p 80 -h /srv";
    user.shell(&format!("$SAMPAN run -d --name web -p 80 busybox sh -c '{server}'")).ok();
    let published = user.shell("$SAMPAN port web 80 | head -1").ok();
    let port: u16 = published.word().rsplit(':').next().unwrap().parse().unwrap();
    let answer = eventually("the server answers", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /f HTTP/1.0\r\n\r\n").map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.contains("hello") { Ok(text) } else { Err(text) }
    });
    assert!(answer.ends_with("hello\n"), "{answer}");
    user.shell("$SAMPAN exec web ip route").ok().says("default via");
    user.shell(&format!("$SAMPAN run --rm -p {port}:80 busybox true"))
        .fails(125)
        .complains("port is already allocated");
    // What listens on the host's loopback is not for containers, by no address of it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap().port();
    let reach = format!(
        "for host in 127.0.0.1 $(ip route | awk '/default/ {{print $3}}'); do nc -w 1 $host {local} < /dev/null && echo reached; done; true"
    );
    user.shell(&format!("$SAMPAN exec web sh -c \"{}\"", reach.replace('$', "\\$").replace('"', "\\\"")))
        .ok()
        .prints("");
    user.shell("$SAMPAN run --rm --network container:web busybox wget -qO- http://127.0.0.1/f")
        .ok()
        .prints("hello\n");
    user.shell("$SAMPAN restart -t 0 web; $SAMPAN exec web ip route | grep -c default")
        .ok()
        .prints("web\n1\n");
    user.shell("$SAMPAN rm -f web").ok();
}

#[test]
fn containers_find_each_other_in_networks() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    if !has_pasta() {
        return;
    }
    user.shell("$SAMPAN network create blue | wc -c; $SAMPAN network create --internal --subnet 10.77.0.0/24 red > /dev/null")
        .ok()
        .prints("65\n");
    let server = "mkdir /srv; echo hello > /srv/f; exec httpd -f -p 80 -h /srv";
    user.shell(&format!(
        "$SAMPAN run -d --name web --network blue --network-alias www busybox sh -c '{server}'"
    ))
    .ok();
    let fetch = "$SAMPAN run --rm --network blue busybox wget -qO-";
    user.shell(&format!("{fetch} http://web/f; {fetch} http://www/f")).ok().prints("hello\nhello\n");
    user.shell("$SAMPAN exec web ip route | grep -c default; $SAMPAN network inspect -f '{{range .Containers}}{{.Name}} {{end}}' blue")
        .ok()
        .prints("1\nweb \n");
    // One that runs joins a network and leaves it again.
    user.shell("$SAMPAN run -d --name one --network red busybox tail -f /dev/null").ok();
    user.shell("$SAMPAN exec one ip route | grep -c default; $SAMPAN network connect --ip 10.77.0.9 red web; $SAMPAN exec one wget -qO- http://web/f; $SAMPAN exec web ip addr show dev eth1 | grep -c 10.77.0.9/24")
        .ok()
        .prints("0\nhello\n1\n");
    user.shell("$SAMPAN network disconnect red web; $SAMPAN exec one nslookup web").fails(1);
    user.shell("$SAMPAN network rm blue").fails(1).complains("has active endpoints");
    user.shell("$SAMPAN rm -f web one; $SAMPAN network rm blue; $SAMPAN network prune -f; $SAMPAN network ls -q | wc -l")
        .ok()
        .says("Deleted Networks:\nred\n")
        .says("\n3\n");
}

#[test]
fn containers_of_the_default_network_reach_each_other() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    if !has_pasta() {
        return;
    }
    let server = "mkdir /srv; echo hello > /srv/f; exec httpd -f -p 80 -h /srv";
    user.shell(&format!("$SAMPAN run -d --name web busybox sh -c '{server}'")).ok();
    let address =
        user.shell("$SAMPAN inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web").ok();
    user.shell(&format!("$SAMPAN run --rm busybox wget -qO- http://{}/f", address.word()))
        .ok()
        .prints("hello\n");
}

#[test]
fn published_ports_of_udp_answer() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    if !has_pasta() {
        return;
    }
    user.shell("$SAMPAN network create blue; $SAMPAN run -d --name echo -p 7/udp --network blue busybox tail -f /dev/null").ok();
    let published = user.shell("$SAMPAN port echo 7/udp | head -1").ok();
    let port: u16 = published.word().rsplit(':').next().unwrap().parse().unwrap();
    // The image has no server for datagrams, so one is lent to the container.
    let pid = user.shell("$SAMPAN inspect -f {{.State.Pid}} echo").ok();
    let server = user.within_container(pid.word(), || UdpSocket::bind("0.0.0.0:7")).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let clients = ["127.0.0.1:0", "[::1]:0"].map(|address| UdpSocket::bind(address).unwrap());
    let mut seen = Vec::new();
    for (client, host) in clients.iter().zip(["127.0.0.1", "::1"]) {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.connect((host, port)).unwrap();
        client.send(host.as_bytes()).unwrap();
        let mut buffer = [0; 64];
        let (length, peer) = server.recv_from(&mut buffer).unwrap();
        seen.push((peer, buffer[..length].to_vec()));
    }
    // Each gets its own answer, in whatever order they come.
    for (peer, said) in seen.iter().rev() {
        server.send_to(said, peer).unwrap();
    }
    for (client, (_, said)) in clients.iter().zip(&seen) {
        let mut buffer = [0; 64];
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], said);
    }
    user.shell("$SAMPAN rm -f echo; $SAMPAN network rm blue").ok();
}

#[test]
fn what_leads_to_the_outside_comes_back_when_it_was_killed() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    if !has_pasta() {
        return;
    }
    user.shell("$SAMPAN run -d --name one busybox tail -f /dev/null").ok();
    let pasta = || {
        let mut found = user.processes();
        found.retain(|(_, command)| command.starts_with("pasta "));
        found
    };
    let [(first, _)] = pasta()[..] else { panic!("not one pasta: {:?}", pasta()) };
    // A second container has no other.
    user.shell("$SAMPAN run -d --name two busybox tail -f /dev/null").ok();
    assert_eq!(pasta().len(), 1);
    // It stays when who had it started is gone.
    user.shell("$SAMPAN rm -f one").ok();
    assert_eq!(pasta()[0].0, first);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(first).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    eventually("another is started", || match pasta()[..] {
        [(second, _)] if second != first => Ok(()),
        ref other => Err(format!("{other:?}")),
    });
    user.shell("$SAMPAN rm -f two").ok();
    eventually("it goes with the last container", || match pasta()[..] {
        [] => Ok(()),
        ref other => Err(format!("{other:?}")),
    });
}

#[test]
fn what_takes_root_is_refused_with_a_way_out() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    let refused = |arguments: &str, code: i32, why: &str| {
        drop(user.shell(&format!("$SAMPAN {arguments}")).fails(code).complains(why).complains("hint: "));
    };
    refused("network create -d macvlan -o parent=lo net", 1, "networks with driver macvlan take root");
    refused("run -p 80:80 busybox true", 125, "cannot expose privileged port 80");
    refused("run -p 7/sctp busybox true", 125, "to publish ports of SCTP takes root");
    refused("run --network none --userns auto busybox true", 125, "take root");
    user.shell("$SAMPAN run -d --name one --network none busybox tail -f /dev/null").ok();
    refused("pause one", 1, "no cgroup controller freezer");
    user.shell("$SAMPAN rm -f one").ok();
}

#[test]
fn the_doctor_knows_what_ordinary_users_have() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    let report = user.shell("$SAMPAN doctor");
    assert!(!report.stdout.contains("FAIL"), "{report}");
    report.says("published ports  are relayed").says("delegation").says("outside");
}

#[test]
fn limits_that_were_not_delegated_are_discarded() {
    let Some(user) = Ordinary::new(PROGRAM, RANGE) else { return };
    let limits = "--memory 100m --cpus 1 --cpu-shares 9 --pids-limit 9 --cpuset-cpus 0";
    user.shell(&format!("$SAMPAN run --network none {limits} --name one busybox true"))
        .ok()
        .complains("WARNING: Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.\n")
        .complains("Shares discarded.\n")
        .complains("CPUs discarded.\n")
        .complains("PIDs limit discarded.\n")
        .complains("Cpuset discarded.\n");
    let usual = user.shell("$SAMPAN run --rm --network none busybox true").ok();
    assert_eq!(usual.stderr, "");
    user.shell("$SAMPAN inspect -f '{{.HostConfig.Memory}} {{.HostConfig.CpuShares}}' one; $SAMPAN update --memory 100m one")
        .ok()
        .prints("0 0\none\n")
        .complains("Limitation discarded.\n");
}

#[test]
fn limits_hold_where_cgroups_are_delegated() {
    let Some(user) = Ordinary::with_cgroup(PROGRAM, RANGE) else { return };
    let limits = "--memory 64m --cpus 0.5 --pids-limit 20";
    let read = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max";
    let run = user.shell(&format!("$SAMPAN run --rm --network none {limits} busybox sh -c '{read}'")).ok();
    let run = run.prints("67108864\n50000 100000\n20\n");
    assert!(!run.stderr.contains("WARNING"), "{run}");
    let hungry = "sh -c 'x=a; while :; do x=$x$x; done'";
    user.shell(&format!("$SAMPAN run --network none --memory 16m --name hungry busybox {hungry}")).fails(137);
    user.shell("$SAMPAN inspect -f '{{.State.OOMKilled}}' hungry").ok().prints("true\n");
    user.shell(&format!("$SAMPAN run -d --network none {limits} --name one busybox tail -f /dev/null")).ok();
    user.shell("$SAMPAN stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' one").ok().says("/ 64MiB 1\n");
    user.shell(
        "$SAMPAN update --memory 128m --memory-swap 128m one; $SAMPAN exec one cat /sys/fs/cgroup/memory.max",
    )
    .ok()
    .prints("one\n134217728\n");
    user.shell("$SAMPAN pause one; $SAMPAN ps --format {{.State}}; $SAMPAN unpause one; $SAMPAN commit one img > /dev/null; $SAMPAN ps --format {{.State}}")
        .ok()
        .prints("one\npaused\none\nrunning\n");
    user.shell("$SAMPAN doctor | grep delegation").says("ok").says("memory");
}

#[test]
fn without_subordinate_numbers_there_is_one_user() {
    let Some(user) = Ordinary::new(PROGRAM, "other:1:2\n") else { return };
    fs::remove_file(user.place().join("run/sampan/one-user-only")).unwrap();
    let first =
        user.shell("$SAMPAN run --rm --network none busybox sh -c 'id -u; cat /etc/passwd | head -1'").ok();
    first
        .says("0\nroot:")
        .complains("containers have one user only, for /etc/subuid gives no numbers to user ordinary")
        .complains("hint: ");
    let second = user.shell("$SAMPAN run --rm -t --network none busybox tty").ok();
    assert!(!second.stderr.contains("one user only"), "said once: {second}");
    user.shell("$SAMPAN run --rm --network none --user 33 busybox true")
        .fails(125)
        .complains("has no user 33:33");
    user.shell("mkdir c; printf 'FROM busybox\\nRUN touch /x && rm -r /home && mkdir /home\\n' > c/Dockerfile; $SAMPAN build --network none -q -t app c").ok();
    user.shell("$SAMPAN run --rm --network none app stat -c %u:%g /x; rm -r c").ok().prints("0:0\n");
}

fn has_pasta() -> bool {
    let has_pasta = Path::new("/usr/bin/pasta").exists();
    if !has_pasta {
        eprintln!("skipped: there is no /usr/bin/pasta (package passt)");
    }
    has_pasta
}

/// Numbers that nobody else has.
const RANGE: &str = "ordinary:3500000000:65536\n";
