//! `--squash`: one layer for all that a build put on its base.
//!
//! What the layers say together: the topmost of each file, and of what they delete only that which the base has.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use image::{
    Image, Layer, Lease,
    config::History,
    layer,
    tree::{Attributes, Links, Root},
};
use rustix::fs::{FileType, OFlags};

use crate::{
    BuildError,
    graph::{Action, Graph, OperationId},
    scratch::Scratch,
    solve::{self, State},
    stack::{Copier, Stack},
};

/// The image with the layers above its base as one. The history tells the steps still, and the merge as docker does.
pub fn squash(
    image: &Image,
    graph: &Graph,
    states: &[State],
    lease: &Lease,
    scratch: &Scratch,
) -> Result<Image, BuildError> {
    let base = base(graph, graph.result);
    let height = states[base].layers.len();
    if image.layers.len() < height + 2 {
        return Ok(image.clone());
    }
    let below = &image.layers[..height];
    let mut directories = lease.store().layer_directories(image)?;
    let lower = solve::directories(lease.store(), below)?;
    directories.truncate(directories.len() - lower.len());
    let merged = scratch.directory("squashed").map_err(BuildError::Cache)?;
    merge(&directories, &lower, &merged).map_err(BuildError::Cache)?;
    let layer = lease.commit_layer(&merged)?;

    let mut config = image.config.clone();
    let (parent, told) = match &graph.operations[base].action {
        Action::Base(Some(base)) => (base.id.to_string(), base.config.history.len()),
        _ => (String::new(), 0),
    };
    for line in config.history.iter_mut().skip(told) {
        line.empty_layer = true;
    }
    config.history.push(History {
        created: config.created.clone(),
        comment: format!("merge {} to {parent}", image.id),
        ..History::default()
    });
    let layers: Vec<Layer> = below.iter().cloned().chain([layer]).collect();
    Ok(lease.write_image(config, &layers)?)
}

/// The operation that began the stage.
fn base(graph: &Graph, mut id: OperationId) -> OperationId {
    while let Some(input) = graph.operations[id].input {
        id = input;
    }
    id
}

/// Fills `target` with what the directories `own` say of those `below` them, all topmost first.
fn merge(own: &[PathBuf], below: &[PathBuf], target: &Path) -> io::Result<()> {
    let paths = |directories: &'_ [PathBuf]| Stack::open(directories.iter().map(PathBuf::as_path));
    let (own, below) = (paths(own)?, paths(below)?);
    let target = Root::open(target, Links::Refused)?;
    let root = own.top().open_at(Path::new(""), OFlags::RDONLY)?;
    let attributes = Attributes::of(root.as_fd())?;
    let merged = target.open_at(Path::new(""), OFlags::RDONLY)?;
    let mut copier = Copier::new(target, None);
    own.walk_changes(&mut |found, hides| -> io::Result<bool> {
        let there = match hides {
            true => below.find(found.path)?.map(|(_, stat)| FileType::from_raw_mode(stat.st_mode)),
            false => None,
        };
        if layer::is_whiteout(&found.stat) && there.is_none() {
            return Ok(false);
        }
        let is_directory = copier.put(&found)?;
        if is_directory && there.is_some_and(FileType::is_dir) {
            layer::set_opaque(copier.open(found.path)?.as_fd())?;
        }
        Ok(is_directory)
    })?;
    copier.finish()?;
    attributes.apply(merged.as_fd())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, Mode};

    use super::*;

    #[test]
    fn several_layers_say_as_one_what_they_said_together() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: whiteouts cannot be made here (not root?)");
            return;
        }
        let root = tempfile::tempdir().expect("temporary directory");
        let layer = |number: &str| root.path().join(number);
        for path in ["0/etc/new", "1/etc", "1/d/kept", "2/etc", "2/d/gone", "2/gone", "2/f", "3"] {
            fs::create_dir_all(layer(path)).expect("directories");
        }
        let whiteout =
            |path: &str| rustix::fs::mknodat(CWD, layer(path), FileType::CharacterDevice, Mode::empty(), 0);
        for path in ["0/gone", "0/never", "1/f", "1/d/gone"] {
            whiteout(path).expect("whiteout");
        }
        fs::create_dir(layer("0/f")).expect("a directory over something deleted");
        fs::create_dir(layer("merged")).expect("target");
        merge(&[layer("0"), layer("1")], &[layer("2")], &layer("merged")).expect("merged");
        let all = Stack::open([layer("merged").as_path(), &layer("2")]).expect("stack");
        let mut seen = Vec::new();
        all.walk(Path::new(""), &mut |_, found| -> io::Result<bool> {
            seen.push(found.path.display().to_string());
            Ok(true)
        })
        .expect("walked");
        assert_eq!(seen, ["d", "d/kept", "etc", "etc/new", "f"]);
        assert!(!layer("merged/never").exists(), "nothing is deleted that never was");
        let hidden = Stack::open([layer("merged").as_path()]).expect("stack");
        let mut opaque = Vec::new();
        hidden
            .walk_changes(&mut |found, hides| -> io::Result<bool> {
                opaque
                    .extend((hides && found.file_type().is_dir()).then(|| found.path.display().to_string()));
                Ok(true)
            })
            .expect("walked");
        assert_eq!(opaque, ["f"]);
    }
}
