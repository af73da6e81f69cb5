//! The directory that has a directory for each container.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::{Container, OciError, error::Context, record::Record};

/// Containers by id.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    pub fn new(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// The container called `id`.
    pub fn container(&self, id: &str) -> Result<Container, OciError> {
        check(id)?;
        let directory = self.root.join(id);
        match Record::read(&directory) {
            Ok(record) => Ok(Container { directory, record }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OciError::NotFound),
            Err(error) => Err(error).context(format!("reading the state of container {id}")),
        }
    }

    /// All of them, by id. One that disappears meanwhile is none.
    pub fn containers(&self) -> Result<Vec<Container>, OciError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context(format!("reading {}", self.root.display())),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut containers: Vec<Container> = names.filter_map(|id| self.container(&id).ok()).collect();
        containers.sort_by(|a, b| a.record.id.cmp(&b.record.id));
        Ok(containers)
    }

    /// Makes the directory of a new container.
    pub(crate) fn make(&self, id: &str) -> Result<PathBuf, OciError> {
        check(id)?;
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        private.create(&self.root).context(format!("making {}", self.root.display()))?;
        let directory = self.root.join(id);
        match private.recursive(false).create(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(OciError::Exists),
            other => other.context(format!("making {}", directory.display())).map(|()| directory),
        }
    }

    /// Removes what a creation left that was interrupted before anything was written down.
    pub fn remove_remains(&self, id: &str) -> Result<(), OciError> {
        check(id)?;
        remove(&self.root.join(id))
    }
}

/// Removes a container's directory, if there is one.
pub(crate) fn remove(directory: &Path) -> Result<(), OciError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// An id is the name of a directory and of a cgroup.
fn check(id: &str) -> Result<(), OciError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    let is_name = !id.is_empty() && id.len() <= 255 && id.bytes().all(is_allowed) && id != "." && id != "..";
    if is_name { Ok(()) } else { Err(OciError::InvalidId) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_name_and_nothing_else() {
        for id in ["a", "A_1+2-3.4", "..."] {
            assert!(check(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\n", &"x".repeat(256)] {
            assert!(matches!(check(id), Err(OciError::InvalidId)), "{id}");
        }
    }

    #[test]
    fn a_container_is_made_once_and_none_until_something_is_written() {
        let directory = tempfile::tempdir().expect("tempdir");
        let store = Store::new(directory.path().join("deep/root"));
        assert!(store.containers().expect("readable").is_empty());
        store.make("one").expect("new");
        assert!(matches!(store.make("one"), Err(OciError::Exists)));
        assert!(matches!(store.container("one"), Err(OciError::NotFound)));
        store.remove_remains("one").expect("removed");
        store.remove_remains("one").expect("nothing to remove");
        store.make("one").expect("new again");
    }
}
