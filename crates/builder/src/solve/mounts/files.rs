//! Copies of what is in a context or a state, for a process to see.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
};

use engine::container::StepSource;
use image::tree::{self, Choice, CopyOptions, Links, Owner, Root};
use rustix::fs::FileType;

use crate::{
    context::{Context, Tree},
    scratch::Scratch,
};

/// A copy of `tree` that is the build's own, so that whatever is done to it, the user's files stay as they are.
pub fn copied(place: &Context, tree: &Tree, scratch: &Scratch) -> io::Result<StepSource> {
    let path = scratch.unique("files")?.join("copy");
    copy(place, tree, &path)?;
    Ok(StepSource::Host { path, below: PathBuf::new() })
}

/// Copies `tree` to `target`, which is not there yet. Files of a context belong to root.
pub fn copy(place: &Context, tree: &Tree, target: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (to, name) = (Root::open(parent, Links::Refused)?, Path::new(name));
    let owner = (!place.keeps_owners).then(Owner::default);
    let options = CopyOptions { owner, xattrs: place.keeps_owners, ..CopyOptions::default() };
    if !tree.is_directory {
        let layer = tree.entries.values().next().map_or(0, |entry| entry.layer);
        tree::copy(place.layer(layer), &tree.path, &to, name, options)?;
    } else {
        let layers: BTreeSet<usize> = tree.entries.values().map(|entry| entry.layer).collect();
        if layers.is_empty() {
            to.make_directories(name, 0o755, Owner::default(), &mut |_| {})?;
        }
        for layer in layers {
            let own =
                || tree.entries.iter().filter(|(_, entry)| entry.layer == layer).map(|(below, _)| below);
            let mut choices: HashMap<&Path, Choice> = HashMap::new();
            choices.extend(own().flat_map(|below| below.ancestors().skip(1)).map(|it| (it, Choice::Descend)));
            choices.extend(own().map(|below| (below.as_path(), Choice::Take)));
            let choose = |below: &Path, _: FileType| choices.get(below).copied().unwrap_or(Choice::Skip);
            let options = CopyOptions { choose: Some(&choose), ..options };
            tree::copy(place.layer(layer), &tree.path, &to, name, options)?;
        }
    }
    place.check_unchanged(tree, &|_| true).map_err(io::Error::other)
}
