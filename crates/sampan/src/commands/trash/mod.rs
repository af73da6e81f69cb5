//! Commands about what was removed, and what commands that remove things share.

pub mod empty;
pub mod ls;
pub mod restore;
pub mod undo;

use std::env;

use clap::Args;
use engine::{
    Engine,
    trash::{Disposal, TrashItem},
};
use types::Bytes;

use crate::{
    cli::Globals,
    output::{human, table},
    session,
};

/// Options of commands that remove things.
#[derive(Args, Clone, Copy)]
pub struct Removing {
    /// Say what would be removed, without removing it
    #[arg(long)]
    pub dry_run: bool,
    /// Remove for good, instead of into the trash
    #[arg(long)]
    purge: bool,
}

impl Removing {
    /// The engine, with its trash if it is wanted.
    pub fn open(self, globals: &Globals) -> anyhow::Result<Engine> {
        let disposal = if self.purge { Disposal::Purge } else { Disposal::Trash };
        Ok(session::open(globals)?.disposing(disposal, budget()?))
    }

    /// Sees to the size of the trash.
    pub fn finish(self, engine: &Engine) -> anyhow::Result<()> {
        Ok(engine.trim_trash()?)
    }
}

/// How much the trash may hold: `SAMPAN_TRASH_SPACE`, or 2 GiB.
fn budget() -> anyhow::Result<Bytes> {
    match env::var("SAMPAN_TRASH_SPACE") {
        Ok(size) => size.parse().map_err(|error| anyhow::anyhow!("SAMPAN_TRASH_SPACE: {error}")),
        Err(_) => Ok(Bytes(2 << 30)),
    }
}

/// Says what would go.
pub fn show_plan(items: &[TrashItem]) {
    let lines: Vec<Vec<String>> = items
        .iter()
        .map(|item| vec![item.kind.to_owned(), item.name.clone(), human::size(item.bytes, 4)])
        .collect();
    print!("{}", table::table(&["KIND", "NAME", "SIZE"], &lines));
    println!("\nWould free: {}", human::size(items.iter().map(|item| item.bytes).sum(), 4));
}
