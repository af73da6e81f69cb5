//! What whoever runs the machine wants of every container, unless told otherwise with it.

use std::{env, fs, io, path::PathBuf};

use crate::{container::Users, error::EngineError};

/// The file's keys. One that nobody knows is refused: a misspelt one would be without effect.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// As `--userns` takes it.
    userns: String,
}

/// Whose numbers the users of a container have of which nothing is said: what the key `userns` says in the file that
/// `SAMPAN_SETTINGS` names, or else in [`SETTINGS`].
pub fn users() -> Result<Users, EngineError> {
    let path = env::var_os("SAMPAN_SETTINGS").map_or_else(|| PathBuf::from(SETTINGS), PathBuf::from);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Users::Unsaid),
        Err(source) => return Err(EngineError::File { path, source }),
    };
    let refuse = |why: String| EngineError::Invalid(format!("{}: {why}", path.display()));
    let file: File = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    file.userns.parse().map_err(|error| refuse(format!("userns: {error}")))
}

/// Where the settings of this machine are.
pub const SETTINGS: &str = "/etc/sampan/settings.json";
