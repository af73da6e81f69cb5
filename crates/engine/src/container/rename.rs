//! Giving a container another name, also in the networks of one that runs.
//!
//! There it has both names for a moment: the new one leads to it before it is recorded, the old one until after that. The
//! order lists the files of both, so that a command that is killed in between leaves nothing beyond the container's end.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use monitor::{Order, journal::Subject};
use network::HostLock;
use types::Name;

use super::{
    claims::{names, rename_claim},
    status::Container,
};
use crate::{Engine, error::EngineError, network::DEFAULT, state::Durability};

impl Engine {
    /// Gives a container another name.
    pub fn rename(&self, container: &Container, name: &str) -> Result<(), EngineError> {
        let refused = |error| EngineError::Rename(Box::new(error));
        let name = name.strip_prefix('/').unwrap_or(name);
        let name: Name = name.parse().map_err(|_: types::InvalidName| {
            // With the slash that docker has before names.
            let text =
                format!("Invalid container name (/{name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
            refused(EngineError::Invalid(text))
        })?;
        if name == container.name {
            return Err(EngineError::Invalid(
                "Renaming a container with the same name as its current name".to_owned(),
            ));
        }
        // One change of the host's network at a time.
        let _lock = HostLock::acquire()?;
        let renamed = Container { name, ..container.clone() };
        let claimed = self.claim_names(container, &renamed)?;
        let recorded = self
            .state
            .write(Durability::Synced, |state| state.rename_container(&container.id, &renamed.name));
        if let Err(error) = recorded {
            claimed.release(&claimed.added);
            return Err(match error {
                EngineError::NameInUse { .. } => refused(error),
                other => other,
            });
        }
        claimed.release(&claimed.outdated);
        for address in &claimed.addresses {
            rename_claim(address, &renamed.name)?;
        }
        // For the monitor, if there is one.
        if let Some(known) = Subject::load(&container.directory) {
            let subject = Subject { uses: known.uses, ..self.subject(&renamed) };
            subject.store(&container.directory).map_err(|error| container.file_error(error))?;
        }
        self.note(&renamed, "rename", &[("oldName", &format!("/{}", container.name))]);
        Ok(())
    }

    /// Has the new name of a running container lead to it, beside the old one.
    fn claim_names(&self, container: &Container, renamed: &Container) -> Result<Claimed, EngineError> {
        let mut claimed = Claimed::default();
        let order = Order::load(&container.directory).map_err(|error| container.file_error(error))?;
        let Some(mut order) = order.filter(|_| container.status().is_ok_and(|status| status.is_running()))
        else {
            return Ok(claimed);
        };
        let Some(connected) = &mut order.network else { return Ok(claimed) };
        for (membership, network) in self.networks_of(&container.config.network)? {
            let directory = self.network_directory(&network.id);
            let (before, after) = (names(container, membership), names(renamed, membership));
            let has_names = *network.name != *DEFAULT;
            for claim in &connected.claims {
                let Ok(address) = claim.strip_prefix(directory.join("addresses")) else { continue };
                claimed.addresses.push(claim.clone());
                let only_in = |one: &[String], other: &[String]| -> Vec<PathBuf> {
                    let names = one.iter().filter(|name| has_names && !other.contains(name));
                    names.map(|name| directory.join("names").join(name).join(address)).collect()
                };
                claimed.added.extend(only_in(&after, &before));
                claimed.outdated.extend(only_in(&before, &after));
            }
        }
        connected.claims.extend(claimed.added.iter().cloned());
        order.replace(&container.directory).map_err(|error| container.file_error(error))?;
        for file in &claimed.added {
            let made = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(file));
            if let Err(source) = made {
                claimed.release(&claimed.added);
                return Err(EngineError::File { path: file.clone(), source });
            }
        }
        Ok(claimed)
    }
}

/// What a running container's other name changes in its networks.
#[derive(Debug, Default)]
struct Claimed {
    /// The claims of its addresses, which name it.
    addresses: Vec<PathBuf>,
    /// Names that lead to it only now.
    added: Vec<PathBuf>,
    /// Names that are to lead to it no more.
    outdated: Vec<PathBuf>,
}

impl Claimed {
    fn release(&self, names: &[PathBuf]) {
        // One that stays goes with the container's end.
        names.iter().for_each(|name| drop(fs::remove_file(name)));
    }
}
