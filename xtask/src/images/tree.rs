//! A directory tree in memory, and the one tar it can become.
//!
//! The bytes depend on names, modes and contents only: entries are sorted, root's, and of one time.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::Context;
use tar::{Builder, EntryType, Header};
use types::Digest;

use super::recipe::Mode;

/// When everything in an image was last changed: a moment that never changes.
pub const EPOCH: u64 = 1_700_000_000;

/// Files by their paths, which have no leading slash.
#[derive(Default)]
pub struct Tree(BTreeMap<String, Node>);

enum Node {
    Directory(Mode),
    File(Mode, Vec<u8>),
    Symlink(String),
    /// Another name of the file at this path.
    Link(String),
}

impl Tree {
    /// Files by path, mode and content; a path that ends in a slash is a directory.
    pub fn of(files: &[(&str, Mode, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, mode, content) in files {
            match path.strip_suffix('/') {
                Some(path) => tree.directory(path, *mode),
                None => tree.file(path, *mode, *content),
            }
        }
        tree
    }

    pub fn directory(&mut self, path: &str, mode: Mode) {
        self.add(path, Node::Directory(mode));
    }

    pub fn file(&mut self, path: &str, mode: Mode, content: impl Into<Vec<u8>>) {
        self.add(path, Node::File(mode, content.into()));
    }

    pub fn symlink(&mut self, path: &str, target: &str) {
        self.add(path, Node::Symlink(target.to_owned()));
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.add(path, Node::Link(target.to_owned()));
    }

    /// Copies the files below `from` to `path`, readable for everyone, and executable if they were.
    pub fn copy(&mut self, path: &str, from: &Path) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.copy(&path, &entry.path())?;
            } else {
                let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
                self.file(&path, if executable { 0o755 } else { 0o644 }, fs::read(entry.path())?);
            }
        }
        Ok(())
    }

    /// Leaves out whatever has a name that ends like this.
    pub fn forget_suffix(&mut self, suffix: &str) {
        self.0.retain(|path, _| !path.ends_with(suffix));
    }

    /// Adds `node`, and the directories above it that are not there yet.
    fn add(&mut self, path: &str, node: Node) {
        for (slash, _) in path.match_indices('/') {
            self.0.entry(path[..slash].to_owned()).or_insert(Node::Directory(0o755));
        }
        self.0.insert(path.to_owned(), node);
    }

    /// Writes the tar to `path`.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        self.tar(File::create(path)?).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }

    /// What the tar hashes to.
    pub fn digest(&self) -> io::Result<Digest> {
        Ok(self.tar(Digest::hasher())?.finish())
    }

    fn tar<W: Write>(&self, out: W) -> io::Result<W> {
        let mut tar = Builder::new(out);
        // Links come last: what they name has to be there.
        let is_link = |node: &&(&String, &Node)| matches!(node.1, Node::Link(_));
        let (links, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|node| is_link(&node));
        for (path, node) in others.into_iter().chain(links) {
            let header = |kind, size| header(kind, self.mode(node), size);
            match node {
                Node::Directory(_) => {
                    tar.append_data(&mut header(EntryType::Directory, 0), format!("{path}/"), io::empty())?;
                }
                Node::File(_, content) => {
                    let size = content.len() as u64;
                    tar.append_data(&mut header(EntryType::Regular, size), path, content.as_slice())?;
                }
                Node::Symlink(target) => tar.append_link(&mut header(EntryType::Symlink, 0), path, target)?,
                Node::Link(target) => tar.append_link(&mut header(EntryType::Link, 0), path, target)?,
            }
        }
        tar.into_inner()
    }

    fn mode(&self, node: &Node) -> Mode {
        match node {
            Node::Directory(mode) | Node::File(mode, _) => *mode,
            Node::Symlink(_) => 0o777,
            // Docker gives a file the mode of the last entry that names it.
            Node::Link(target) => self.0.get(target).map_or(0o644, |file| self.mode(file)),
        }
    }
}

/// The header of an entry that is root's; path and checksum are still to be filled in.
pub fn header(kind: EntryType, mode: Mode, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(EPOCH);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(tree: &Tree) -> Vec<String> {
        let tar = tree.tar(Vec::new()).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let describe = |entry: tar::Entry<'_, _>| {
            let header = entry.header();
            let link = entry.link_name().unwrap().map_or(String::new(), |l| format!(" {}", l.display()));
            format!("{:o} {}{link}", header.mode().unwrap(), entry.path().unwrap().display())
        };
        archive.entries().unwrap().map(|entry| describe(entry.unwrap())).collect()
    }

    #[test]
    fn parents_come_before_and_links_after_what_they_belong_to() {
        let mut tree = Tree::default();
        tree.link("bin/[", "bin/busybox");
        tree.file("bin/busybox", 0o755, "elf");
        tree.directory("tmp", 0o1777);
        tree.symlink("usr/bin/env", "/bin/env");
        assert_eq!(
            entries(&tree),
            [
                "755 bin/",
                "755 bin/busybox",
                "1777 tmp/",
                "755 usr/",
                "755 usr/bin/",
                "777 usr/bin/env /bin/env",
                "755 bin/[ bin/busybox"
            ]
        );
    }

    #[test]
    fn the_order_of_adding_leaves_no_trace() {
        let files = [("a/b", 0o644, "1"), ("a/", 0o700, ""), ("c", 0o600, "2")];
        let mut reversed = files;
        reversed.reverse();
        assert_eq!(Tree::of(&files).digest().unwrap(), Tree::of(&reversed).digest().unwrap());
    }
}
