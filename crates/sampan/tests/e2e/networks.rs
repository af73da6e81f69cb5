//! `pull` and `push` over networks that fail.

use std::time::Duration;

use testkit::{Fault, Lossy, Registry, Sandbox};

use crate::PROGRAM;

/// A sandbox with an image of 40 MB that cannot be compressed; what a registry has of it is of the same size.
fn sandbox_with_big_image() -> Option<Sandbox> {
    let sandbox = Sandbox::empty(PROGRAM)?;
    let mut make = sandbox.shell("head -c 40000000 /dev/urandom >big && tar -c big | $SAMPAN import - big");
    make.current_dir(sandbox.directory());
    let _ = sandbox.start(make).finish().ok();
    Some(sandbox)
}

/// Pushes the image to the registry, and forgets it here.
fn push_and_forget(sandbox: &Sandbox, registry: &Registry<'_>) {
    let name = format!("{}/big", registry.host());
    let _ = sandbox.sampan(["tag", "big", &name]).ok();
    let _ = sandbox.sampan(["push", &name]).ok();
    let _ = sandbox.sampan(["rmi", "big", &name]).ok();
}

#[test]
fn a_pull_that_is_cut_every_five_megabytes_completes_and_transfers_next_to_nothing_twice() {
    let Some(sandbox) = sandbox_with_big_image() else { return };
    let registry = Registry::start(&sandbox, &[]);
    push_and_forget(&sandbox, &registry);
    let proxy = Lossy::start(&sandbox, registry.address(), Fault::Cut { after: 5_000_000 });
    let _ = sandbox.sampan(["pull", &format!("{}/big", proxy.host())]).ok();
    assert!(proxy.connections() >= 8, "{} connections", proxy.connections());
    assert!(proxy.to_client() < 40_000_000 * 103 / 100, "{} bytes", proxy.to_client());
}

#[test]
fn a_push_that_is_cut_every_five_megabytes_completes() {
    let Some(sandbox) = sandbox_with_big_image() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let proxy = Lossy::start(&sandbox, registry.address(), Fault::Cut { after: 5_000_000 });
    let name = format!("{}/big", proxy.host());
    let _ = sandbox.sampan(["tag", "big", &name]).ok();
    let _ = sandbox.sampan(["push", &name]).ok();
    assert!(proxy.connections() >= 8, "{} connections", proxy.connections());
    let _ = sandbox.sampan(["rmi", "big", &name]).ok();
    let _ = sandbox.sampan(["pull", &format!("{}/big", registry.host())]).ok();
}

#[test]
fn connections_that_are_reset_and_a_registry_that_is_killed_are_no_end() {
    let Some(sandbox) = sandbox_with_big_image() else { return };
    let mut registry = Registry::start(&sandbox, &[]);
    push_and_forget(&sandbox, &registry);
    registry.kill_and_restart();
    let proxy = Lossy::start(&sandbox, registry.address(), Fault::Reset { after: 15_000_000 });
    let _ = sandbox.sampan(["pull", &format!("{}/big", proxy.host())]).ok();
}

#[test]
fn what_was_downloaded_before_a_kill_is_not_downloaded_again() {
    let Some(sandbox) = sandbox_with_big_image() else { return };
    let registry = Registry::start(&sandbox, &[]);
    push_and_forget(&sandbox, &registry);
    let proxy = Lossy::start(&sandbox, registry.address(), Fault::Stall { after: 20_000_000 });
    let name = format!("{}/big", proxy.host());
    let _ = sandbox.start_sampan(["pull", &name]).kill_after(Duration::from_secs(2));
    assert!(proxy.to_client() >= 19_000_000, "{} bytes", proxy.to_client());
    proxy.set(Fault::None);
    let _ = sandbox.sampan(["pull", &name]).ok();
    assert!(proxy.to_client() < 40_000_000 * 103 / 100, "{} bytes", proxy.to_client());
}
