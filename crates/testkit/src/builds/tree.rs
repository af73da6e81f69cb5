//! The files of an image, as its layers make them one upon the other.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Read},
};

use tar::{Archive, EntryType};
use types::Digest;

/// By path, without a slash at either end, the numbers of nodes; what has several paths is linked.
#[derive(Default)]
pub struct Tree {
    paths: BTreeMap<String, usize>,
    nodes: Vec<Node>,
}

#[derive(Clone, PartialEq)]
struct Node {
    kind: Kind,
    mode: u32,
    owner: (u64, u64),
    attributes: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq)]
enum Kind {
    Directory,
    File(Content),
    Symlink(String),
    Fifo,
    Device { letter: char, major: u32, minor: u32 },
}

#[derive(Clone, PartialEq)]
enum Content {
    Short(String),
    Long(Digest, usize),
}

impl Tree {
    /// Puts a layer on top.
    pub fn apply(&mut self, layer: impl Read) -> io::Result<()> {
        let mut archive = Archive::new(layer);
        let mut added: Vec<String> = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = plain(&entry.path_bytes());
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if name == OPAQUE {
                self.remove(&format!("{parent}/"), &added);
                continue;
            }
            if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                let hidden = if parent.is_empty() { hidden.to_owned() } else { format!("{parent}/{hidden}") };
                self.remove(&hidden, &added);
                continue;
            }
            let header = entry.header().clone();
            let kind = header.entry_type();
            let mut attributes = BTreeMap::new();
            for extension in entry.pax_extensions()?.into_iter().flatten() {
                let extension = extension?;
                let key = extension.key().unwrap_or_default();
                if let Some(name) = key.strip_prefix(PAX_ATTRIBUTE) {
                    attributes.insert(name.to_owned(), extension.value_bytes().to_vec());
                }
            }
            let node = if kind == EntryType::Link {
                let target = plain(&entry.link_name_bytes().unwrap_or_default());
                *self.paths.get(&target).ok_or_else(|| io::Error::other(format!("{path}: no {target}")))?
            } else {
                let device = || (header.device_major(), header.device_minor());
                let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or_default();
                let kind = match kind {
                    EntryType::Directory => Kind::Directory,
                    EntryType::Symlink => {
                        let target = entry.link_name_bytes().unwrap_or_default();
                        Kind::Symlink(String::from_utf8_lossy(&target).into_owned())
                    }
                    EntryType::Fifo => Kind::Fifo,
                    EntryType::Char | EntryType::Block => {
                        let (major, minor) = device();
                        let letter = if kind == EntryType::Char { 'c' } else { 'b' };
                        Kind::Device { letter, major: number(major), minor: number(minor) }
                    }
                    _ => {
                        let mut bytes = Vec::new();
                        entry.read_to_end(&mut bytes)?;
                        Kind::File(Content::of(bytes))
                    }
                };
                let owner = (header.uid()?, header.gid()?);
                self.nodes.push(Node { kind, mode: header.mode()? & 0o7777, owner, attributes });
                self.nodes.len() - 1
            };
            if self.nodes[node].kind != Kind::Directory {
                self.remove(&format!("{path}/"), &[]);
            }
            self.paths.insert(path.clone(), node);
            added.push(path);
        }
        Ok(())
    }

    /// Removes a path and what is below it, or, with a slash at its end, only that.
    fn remove(&mut self, path: &str, except: &[String]) {
        let below = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
        let below = if below == "/" { String::new() } else { below };
        self.paths.retain(|other, _| except.contains(other) || !(other == path || other.starts_with(&below)));
    }

    /// A line for each path that is not as it is in `base`.
    pub fn lines_beyond(&self, base: &Tree) -> String {
        let mut lines = String::new();
        let mut first = BTreeMap::new();
        for (path, number) in &self.paths {
            let node = &self.nodes[*number];
            if base.node(path) == Some(node) || path.is_empty() && node.is_usual_root() {
                continue;
            }
            let slash = if node.kind == Kind::Directory && !path.is_empty() { "/" } else { "" };
            let line = match first.get(number) {
                Some(other) => format!("/{path} = /{other}"),
                None => format!("/{path}{slash} {}", node.text()),
            };
            first.entry(*number).or_insert(path);
            lines += &line;
            lines.push('\n');
        }
        let mut gone = String::new();
        for path in base.paths.keys().filter(|path| !path.is_empty() && !self.paths.contains_key(*path)) {
            // What goes with its directory needs no line.
            if gone.is_empty() || !path.starts_with(&gone) {
                let _ = writeln!(lines, "/{path} is gone");
                gone = format!("{path}/");
            }
        }
        lines
    }

    fn node(&self, path: &str) -> Option<&Node> {
        self.paths.get(path).map(|number| &self.nodes[*number])
    }
}

impl Node {
    fn is_usual_root(&self) -> bool {
        self.mode == 0o755 && self.owner == (0, 0) && self.attributes.is_empty()
    }

    fn text(&self) -> String {
        let (uid, gid) = self.owner;
        let mut text = match &self.kind {
            // A link's mode means nothing.
            Kind::Symlink(target) => format!("{uid}:{gid} -> {target}"),
            kind => format!("{:o} {uid}:{gid}{kind}", self.mode),
        };
        for (name, value) in &self.attributes {
            let _ = write!(text, " {name}={}", value.escape_ascii());
        }
        text
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Directory | Kind::Symlink(_) => Ok(()),
            Kind::File(Content::Short(text)) => write!(f, " {text:?}"),
            Kind::File(Content::Long(digest, size)) => write!(f, " {size} bytes, {digest}"),
            Kind::Fifo => f.write_str(" fifo"),
            Kind::Device { letter, major, minor } => write!(f, " {letter} {major}:{minor}"),
        }
    }
}

impl Content {
    fn of(bytes: Vec<u8>) -> Content {
        match String::from_utf8(bytes) {
            Ok(text) if text.len() <= SHORT => Content::Short(text),
            Ok(text) => Content::Long(Digest::of(text.as_bytes()), text.len()),
            Err(binary) => Content::Long(Digest::of(binary.as_bytes()), binary.as_bytes().len()),
        }
    }
}

/// `./a/b/` as `a/b`.
fn plain(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    let components: Vec<_> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    components.join("/")
}

/// A file that is no longer is shown as it is.
const SHORT: usize = 200;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const PAX_ATTRIBUTE: &str = "SCHILY.xattr.";
