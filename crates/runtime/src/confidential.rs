//! What a container is given that no disk may ever see. The specification lies in a file; this goes beside it, from
//! process to process, in memory.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::OwnedFd,
};

use oci_spec::runtime::Spec;
use rustix::fs::{MemfdFlags, SealFlags};

/// Variables and files of one container.
#[derive(Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Confidential {
    /// `NAME=value`, after those of the specification.
    pub variables: Vec<String>,
    /// The contents of files that mounts of type [`SECRET`](crate::bundle::SECRET) name by their index.
    pub files: Vec<Vec<u8>>,
}

impl Confidential {
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.files.is_empty()
    }

    /// A descriptor for another process to read it from. See memfd_create(2).
    pub fn pack(&self) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create("confidential", flags)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    }

    /// Reads what [`Confidential::pack`] wrote.
    pub fn unpack(packed: OwnedFd) -> io::Result<Confidential> {
        let (mut file, mut bytes) = (File::from(packed), Vec::new());
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Gives the process of `spec` its variables, for as long as `spec` is in memory.
    pub fn add_variables(&self, spec: &mut Spec) {
        if let Some(process) = spec.process_mut() {
            let variables = process.env().iter().flatten().chain(&self.variables).cloned().collect();
            process.set_env(Some(variables));
        }
    }
}

/// Tells how much there is, never what.
impl std::fmt::Debug for Confidential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Confidential({} variables, {} files)", self.variables.len(), self.files.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_cannot_be_changed_on_the_way() {
        let sent =
            Confidential { variables: vec!["A=1".into()], files: vec![b"\0\xff".to_vec(), Vec::new()] };
        let packed = sent.pack().expect("memfd");
        let mut copy = File::from(packed.try_clone().expect("dup"));
        assert!(copy.write_all(b"x").is_err());
        assert_eq!(Confidential::unpack(packed).expect("unpacked"), sent);
        assert_eq!(format!("{sent:?}"), "Confidential(1 variables, 2 files)");
    }
}
