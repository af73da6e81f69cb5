//! A volume's files as an archive, out and in.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use image::{
    archive,
    layer::{PackError, Packer, Packing},
    tree::{self, Links, Root},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{DATA, NewVolume, local, row};
use crate::{Engine, error::EngineError, state::Durability};

/// Whether files that a volume holds may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    No,
    Yes,
}

impl Engine {
    /// Writes the files of a volume to `target` as a tar archive.
    pub fn export_volume(&self, name: &str, target: impl Write) -> Result<(), EngineError> {
        let volume = self.volume(name)?;
        let used = self.begin_use(name, &format!("export-{}", std::process::id()))?;
        let pack = || -> Result<(), EngineError> {
            let tree = Root::open(&self.volume_directory(name)?, Links::Refused)
                .map_err(|source| EngineError::File { path: volume.directory.clone(), source })?;
            let mut packer = Packer::new(target, Packing::Files);
            tree::walk::<PackError>(&tree, Path::new(""), &mut |found| packer.pack(&found))?;
            packer.finish()?;
            Ok(())
        };
        let packed = pack();
        let ended = used.map_or(Ok(()), |(used, _file)| used.end());
        packed.and(ended.map_err(EngineError::from))
    }

    /// Makes the files of a tar archive, which may be compressed, those of a volume, which is made if it is not there.
    ///
    /// All of them appear at once, when they are on the disk, or none do.
    pub fn import_volume(&self, name: &str, source: impl Read, replace: Replace) -> Result<(), EngineError> {
        let row = row(NewVolume { name: Some(name.to_owned()), ..NewVolume::default() })?;
        self.check_import(name, replace)?;
        let aside = tempfile::Builder::new().prefix(".import.").tempdir_in(self.root.join("volumes"))?;
        // For as long as it is held, nobody sweeps the directory up.
        let lock = fs::File::open(aside.path())?;
        lock.lock()?;
        let data = aside.path().join(DATA);
        let limit = self.state.volume(name)?.and_then(|row| local::size(&row.config.options));
        match limit {
            None => fs::create_dir(&data)?,
            Some(bytes) => self.limited_directory(&data, bytes)?,
        }
        archive::extract(source, &Root::open(&data, Links::Refused)?, None)?;
        rustix::fs::syncfs(&lock).map_err(io::Error::from)?;
        let is_new = self.state.write(Durability::Synced, |state| {
            let is_new = self.record_volume(state, &row)?;
            self.check_import(name, replace)?;
            let place = self.volume_directory(name)?;
            renameat_with(CWD, &data, CWD, &place, RenameFlags::EXCHANGE).map_err(io::Error::from)?;
            Ok(is_new)
        })?;
        if is_new {
            self.note_volume(name, "create");
        }
        Ok(())
    }

    /// Refuses to put files where some are, or where they would not be seen.
    fn check_import(&self, name: &str, replace: Replace) -> Result<(), EngineError> {
        let Some(row) = self.state.volume(name)? else { return Ok(()) };
        if local::takes_a_mount(&row.config.options) {
            let why = "volume has options: what is mounted there cannot be replaced by an archive";
            return Err(EngineError::Invalid(format!("import {name}: {why}")));
        }
        let mut users = Vec::new();
        for container in self.containers()? {
            if crate::container::uses_volume(&container.config, name) && container.status()?.is_running() {
                users.push(container.id);
            }
        }
        if !users.is_empty() {
            return Err(EngineError::VolumeInUse { name: name.to_owned(), users });
        }
        let is_empty = match fs::read_dir(self.volume_place(name).join(DATA)) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error.into()),
        };
        match is_empty || replace == Replace::Yes {
            true => Ok(()),
            false => Err(EngineError::VolumeNotEmpty(name.to_owned())),
        }
    }
}
