//! Contexts with a name (`--build-context`): what FROM, `--from` and mounts take instead of an image or a stage.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use image::tree::{Links, Root};
use types::{Digest, Reference};

use super::{ContextSource, InputError, context::Courier, dockerfile::read_text, source::elsewhere};
use crate::{
    context::{Context, Index},
    ignore::Ignore,
    remote::layout::Layout,
};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum NamedContext {
    /// An image: `docker-image://busybox`.
    Image(Reference),
    /// No files: `docker-image://scratch`.
    Nothing,
    /// An image in a directory: `oci-layout://path:tag@digest`.
    Layout(Layout),
    Files(NamedFiles),
}

/// Files that a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum NamedFiles {
    Directory(PathBuf),
    Git(crate::remote::git::GitReference),
    /// One file, which is called `context`, whatever it is.
    Url(crate::remote::url::Url),
}

impl NamedContext {
    /// What `name=value` says: the name as it is looked for, and what it stands for.
    pub fn parse(text: &str) -> Result<(String, NamedContext), InputError> {
        let invalid = |reason: String| InputError::InvalidName { text: text.to_owned(), reason };
        let Some((name, value)) = text.split_once('=') else {
            return Err(invalid(format!("invalid context value: {text}, expected key=value")));
        };
        let name = normal(name)
            .ok_or_else(|| invalid(format!("invalid context name {name}: invalid reference format")))?;
        if let Some(image) = value.strip_prefix("docker-image://") {
            if image == "scratch" {
                return Ok((name, NamedContext::Nothing));
            }
            let image =
                image.parse().map_err(|error| invalid(format!("invalid image {image:?}: {error}")))?;
            return Ok((name, NamedContext::Image(image)));
        }
        if let Some(place) = value.strip_prefix("oci-layout://") {
            let layout = Layout::parse(place).map_err(|error| invalid(error.to_string()))?;
            return Ok((name, NamedContext::Layout(layout)));
        }
        let files = match elsewhere(value)? {
            Some(ContextSource::Git(reference)) => NamedFiles::Git(reference),
            Some(ContextSource::Url(url)) => NamedFiles::Url(url),
            _ => {
                let path = PathBuf::from(value);
                let failed =
                    |reason| invalid(format!("failed to get build context {name}: stat {value}: {reason}"));
                match path.metadata() {
                    Ok(found) if found.is_dir() => NamedFiles::Directory(path),
                    Ok(_) => {
                        let message = format!("failed to get build context path {value}: not a directory");
                        return Err(invalid(message));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Err(failed("no such file or directory".to_owned()));
                    }
                    Err(error) => return Err(failed(error.to_string())),
                }
            }
        };
        Ok((name, NamedContext::Files(files)))
    }

    /// Whether it takes a key to get there.
    pub fn is_ssh(&self) -> bool {
        matches!(self, NamedContext::Files(NamedFiles::Git(reference)) if reference.is_ssh())
    }

    /// What `name`, as a Dockerfile has it, stands for.
    pub fn find<'a>(
        name: &str,
        all: &'a BTreeMap<String, NamedContext>,
    ) -> Option<(usize, &'a NamedContext)> {
        if all.is_empty() {
            return None;
        }
        let name = normal(name)?;
        all.iter().enumerate().find(|(_, (known, _))| **known == name).map(|(at, (_, found))| (at, found))
    }
}

/// A name as docker compares it: without the host and the tag that everybody means.
fn normal(name: &str) -> Option<String> {
    let familiar = name.parse::<Reference>().ok()?.familiar();
    Some(familiar.strip_suffix(":latest").map_or(familiar.clone(), str::to_owned))
}

/// The files behind names, brought here when the first step asks for them.
pub struct NamedPlaces<'a, 'p> {
    courier: Courier<'a, 'p>,
    places: Vec<Place>,
}

struct Place {
    name: String,
    files: Option<NamedFiles>,
    /// Held while it is brought: whoever wants the same waits.
    context: Mutex<Option<Arc<Opened>>>,
}

/// A named context to copy from.
pub struct Opened {
    pub context: Context,
    /// Holds what was not here before.
    _scratch: Option<crate::scratch::Scratch>,
}

impl<'a, 'p> NamedPlaces<'a, 'p> {
    pub fn new(contexts: &BTreeMap<String, NamedContext>, courier: Courier<'a, 'p>) -> NamedPlaces<'a, 'p> {
        let place = |(name, context): (&String, &NamedContext)| Place {
            name: name.clone(),
            files: match context {
                NamedContext::Files(files) => Some(files.clone()),
                NamedContext::Image(_) | NamedContext::Nothing | NamedContext::Layout(_) => None,
            },
            context: Mutex::new(None),
        };
        NamedPlaces { courier, places: contexts.iter().map(place).collect() }
    }

    /// The files of the context with this number, in the order of their names.
    pub fn open(&self, number: usize) -> Result<Arc<Opened>, InputError> {
        let place = &self.places[number];
        let mut context = place.context.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*context {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(self.bring(place)?);
        *context = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn bring(&self, place: &Place) -> Result<Opened, InputError> {
        let source = match place.files.clone() {
            Some(NamedFiles::Directory(path)) => ContextSource::Directory(path),
            Some(NamedFiles::Git(reference)) => ContextSource::Git(reference),
            Some(NamedFiles::Url(url)) => return self.download(&url),
            None => return Err(InputError::NotFound(place.name.clone())),
        };
        let arrived = self.courier.bring(source)?;
        let directory = arrived.directory;
        let unusable = |source| InputError::Context { path: directory.clone(), source };
        let (ignore, index) = match arrived.scratch {
            Some(_) => (Ignore::default(), Index::default()),
            None => {
                let index = self.courier.cache.index_path(&Digest::of(arrived.identity.as_bytes()));
                (ignore(&directory)?, Index::load(&index))
            }
        };
        let context = Context::open(&directory, ignore, index).map_err(unusable)?;
        Ok(Opened { context, _scratch: arrived.scratch })
    }

    fn download(&self, url: &crate::remote::url::Url) -> Result<Opened, InputError> {
        let (directory, scratch) = self.courier.keep(url)?;
        let context = Context::open(&directory, Ignore::default(), Index::default())
            .map_err(|source| InputError::Context { path: directory.clone(), source })?;
        Ok(Opened { context, _scratch: Some(scratch) })
    }
}

/// The ignore file of a directory.
fn ignore(directory: &Path) -> Result<Ignore, InputError> {
    let name = ".dockerignore";
    let failed = |source| InputError::Read { path: directory.join(name), source };
    let root = Root::open(directory, Links::StayInside).map_err(failed)?;
    match root.file(Path::new(name)) {
        Ok(file) => Ignore::parse(&read_text(file, name)?)
            .map_err(|error| InputError::Ignore { file: directory.join(name).display().to_string(), error }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ignore::default()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, NamedContext), String> {
        NamedContext::parse(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_stands_for_an_image_a_directory_or_something_elsewhere() {
        let image = |name: &str| NamedContext::Image(name.parse().expect("an image"));
        for (text, name, context) in [
            ("base=docker-image://busybox:1", "base", image("busybox:1")),
            ("docker.io/library/a:latest=docker-image://b", "a", image("b")),
            ("a:1.2=docker-image://scratch", "a:1.2", NamedContext::Nothing),
            ("d=/", "d", NamedContext::Files(NamedFiles::Directory("/".into()))),
        ] {
            assert_eq!(parsed(text), Ok((name.to_owned(), context)), "{text}");
        }
        for elsewhere in ["x=https://h/a.git#b", "x=git@h:a", "x=http://h/file"] {
            let (_, context) = parsed(elsewhere).expect("valid");
            let is_elsewhere =
                matches!(&context, NamedContext::Files(NamedFiles::Git(_) | NamedFiles::Url(_)));
            assert!(is_elsewhere, "{elsewhere}");
        }
    }

    #[test]
    fn a_name_is_found_however_an_image_is_called() {
        let all = BTreeMap::from([("a".to_owned(), NamedContext::Nothing)]);
        for name in ["a", "a:latest", "docker.io/library/a"] {
            assert!(NamedContext::find(name, &all).is_some(), "{name}");
        }
        for name in ["a:1", "b", "quay.io/a", "A B"] {
            assert!(NamedContext::find(name, &all).is_none(), "{name}");
        }
    }

    #[test]
    fn mistakes_are_told_as_docker_tells_them() {
        for (text, problem) in [
            ("x", "invalid context value: x, expected key=value"),
            ("A B=/", "invalid context name A B: invalid reference format"),
            ("x=/none", "failed to get build context x: stat /none: no such file or directory"),
            ("x=/dev/null", "failed to get build context path /dev/null: not a directory"),
        ] {
            assert_eq!(parsed(text), Err(problem.to_owned()), "{text}");
        }
    }
}
