//! `create`: a container that has not been started.

use crate::{inspect, sandbox};

#[test]
fn a_created_container_waits_to_be_started() {
    let Some(sandbox) = sandbox() else { return };
    let id = sandbox.sampan(["create", "--name", "later", "busybox", "echo", "hello"]).ok().word().to_owned();
    assert_eq!(id.len(), 64);
    sandbox.sampan(["ps", "-q"]).ok().prints("");
    sandbox.sampan(["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).ok().prints("later Created\n");
    assert_eq!(inspect(&sandbox, "later", "{{.State.Status}} {{.State.Pid}}"), "created 0");
    sandbox.sampan(["start", "-a", "later"]).ok().prints("hello\n");
    assert_eq!(inspect(&sandbox, "later", "{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
}

#[test]
fn of_many_with_the_same_name_exactly_one_wins() {
    let Some(sandbox) = sandbox() else { return };
    let attempts: Vec<_> =
        (0..10).map(|_| sandbox.start_sampan(["create", "--name", "same", "busybox", "true"])).collect();
    let outcomes: Vec<_> = attempts.into_iter().map(|attempt| attempt.finish()).collect();
    let (winners, losers): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|outcome| outcome.code == 0);
    assert_eq!(winners.len(), 1);
    for loser in losers {
        loser.fails(1).complains(&format!("already in use by container \"{}\"", winners[0].word()));
    }
    sandbox.sampan(["ps", "-aq"]).ok().prints(&format!("{}\n", &winners[0].word()[..12]));
    let containers = std::fs::read_dir(sandbox.root().join("containers")).unwrap().count();
    assert_eq!(containers, 1);
}

#[test]
fn one_that_is_to_remove_itself_waits_for_its_start_all_the_same() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--rm", "--name", "later", "busybox", "true"]).ok();
    for _ in 0..2 {
        sandbox.sampan(["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).ok().prints("later Created\n");
    }
    sandbox.sampan(["start", "-a", "later"]).ok();
    testkit::eventually("the container removes itself", || match sandbox.sampan(["ps", "-aq"]).ok() {
        listed if listed.word().is_empty() => Ok(()),
        listed => Err(listed),
    });
}
