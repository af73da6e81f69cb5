//! `stats`: what containers use.

use crate::{background, idle, sandbox};

#[test]
fn a_line_for_each_container_says_what_it_uses() {
    let Some(sandbox) = sandbox() else { return };
    let busy = background(&sandbox, &["--name", "busy", "-m", "64m"], "while :; do :; done");
    idle(&sandbox, &["--name", "idle"]);
    sandbox.sampan(["create", "--name", "over", "busybox"]).ok();
    let shown = sandbox.sampan(["stats", "--no-stream"]).ok();
    let lines = shown.lines();
    assert!(lines[0].starts_with("CONTAINER ID   NAME      CPU %"), "{shown}");
    assert!(
        lines[0].ends_with("MEM %     NET I/O         BLOCK I/O   PIDS") || lines[0].contains("BLOCK I/O"),
        "{shown}"
    );
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(lines[2].starts_with(&busy[..12]) && lines[2].contains(" / 64MiB "), "{shown}");

    let template = "{{.Name}} {{.CPUPerc}} {{.PIDs}} {{.MemPerc}}";
    let shown = sandbox.sampan(["stats", "--no-stream", "--format", template, "busy", "idle", "over"]).ok();
    let lines: Vec<Vec<&str>> = shown.lines().iter().map(|line| line.split(' ').collect()).collect();
    let percent = |text: &str| text.trim_end_matches('%').parse::<f64>().unwrap();
    assert!(percent(lines[0][1]) > percent(lines[1][1]), "{shown}");
    assert_eq!((lines[0][2], lines[1][2]), ("1", "1"), "{shown}");
    assert_eq!(lines[2], ["over", "0.00%", "0", "0.00%"], "{shown}");

    let all = sandbox.sampan(["stats", "--all", "--no-stream", "--no-trunc", "--format", "{{.ID}}"]).ok();
    assert!(all.lines().len() == 3 && all.lines().contains(&busy.as_str()), "{all}");
    sandbox.sampan(["stats", "--no-stream", "--format", "json", "idle"]).ok().says("\"Container\":\"idle\"");
    sandbox.sampan(["stats", "--no-stream", "nosuch"]).fails(1).complains("No such container: nosuch");
}
