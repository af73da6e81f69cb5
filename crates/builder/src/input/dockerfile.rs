//! Finds the Dockerfile, and the ignore file that goes with it.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use image::tree::Root;

use super::InputError;
use crate::ignore::Ignore;

/// A Dockerfile that was found.
pub struct Dockerfile {
    pub name: String,
    /// Its text, if it did not come from a file.
    text: Option<String>,
    /// The file, and whether it is outside the context.
    beside: Option<Location>,
}

enum Location {
    InContext(PathBuf),
    Outside(PathBuf),
}

impl Dockerfile {
    /// One whose text is here already.
    pub fn of_text(name: &str, text: String) -> Dockerfile {
        Dockerfile { name: name.to_owned(), text: Some(text), beside: None }
    }

    pub fn default(root: &Root) -> Result<Dockerfile, InputError> {
        let known = ["Dockerfile", "Containerfile", "dockerfile"];
        for name in known {
            match root.stat(Path::new(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(InputError::Read { path: name.into(), source }),
                Ok(_) => {}
            }
            let beside = Some(Location::InContext(name.into()));
            return Ok(Dockerfile { name: name.into(), text: None, beside });
        }
        Err(InputError::NoDockerfile { name: "Dockerfile".into() })
    }

    /// A file in the context is opened as such, so that no link in it leads outside. It is one if it is named in a
    /// context that `is_elsewhere`, and came here as a whole.
    pub fn at(path: &Path, context: &Path, is_elsewhere: bool) -> Result<Dockerfile, InputError> {
        let name = path.display().to_string();
        let inside = match is_elsewhere {
            true => Some(path.to_owned()),
            false => {
                let parent =
                    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
                let (parent, context) = (parent.canonicalize().ok(), context.canonicalize().ok());
                let below = parent
                    .zip(context)
                    .and_then(|(parent, context)| parent.strip_prefix(context).map(Path::to_owned).ok());
                below.zip(path.file_name()).map(|(below, name)| below.join(name))
            }
        };
        let beside = match inside {
            Some(inside) => Location::InContext(inside),
            None => Location::Outside(path.to_owned()),
        };
        Ok(Dockerfile { name, text: None, beside: Some(beside) })
    }

    pub fn read(&self, root: &Root) -> Result<String, InputError> {
        let text = match (&self.text, &self.beside) {
            (Some(text), _) => text.clone(),
            (None, Some(location)) => {
                let file = location.open(root, "").map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound => InputError::NoDockerfile { name: self.name.clone() },
                    _ => InputError::Read { path: self.name.clone().into(), source },
                })?;
                read_text(file, &self.name)?
            }
            (None, None) => String::new(),
        };
        match text.trim().is_empty() {
            true => Err(InputError::Empty(self.name.clone())),
            false => Ok(text),
        }
    }

    /// `<Dockerfile>.dockerignore` beside the Dockerfile, or else `.dockerignore` in the context.
    pub fn ignore(&self, root: &Root) -> Result<Ignore, InputError> {
        let own = self.beside.as_ref().map(|location| (location, ".dockerignore"));
        let shared = Location::InContext(".dockerignore".into());
        for (location, suffix) in own.into_iter().chain([(&shared, "")]) {
            let path = location.path(suffix);
            match location.open(root, suffix) {
                Ok(file) => {
                    let file_name = path.display().to_string();
                    let text = read_text(file, &file_name)?;
                    return Ignore::parse(&text)
                        .map_err(|error| InputError::Ignore { file: file_name, error });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(InputError::Read { path, source }),
            }
        }
        Ok(Ignore::default())
    }
}

impl Location {
    fn path(&self, suffix: &str) -> PathBuf {
        let (Location::InContext(path) | Location::Outside(path)) = self;
        let mut path = path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn open(&self, root: &Root, suffix: &str) -> io::Result<std::fs::File> {
        let path = self.path(suffix);
        match self {
            Location::InContext(_) => root.file(&path),
            Location::Outside(_) => std::fs::File::open(path),
        }
    }
}

/// The text of a Dockerfile or an ignore file.
pub fn read_text(file: impl Read, name: &str) -> Result<String, InputError> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| InputError::Read { path: name.into(), source })?;
    if bytes.len() as u64 > LARGEST {
        return Err(InputError::TooLarge(name.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| InputError::NotText(name.to_owned()))
}

/// What a Dockerfile or an ignore file may measure, in bytes.
const LARGEST: u64 = 1 << 20;
