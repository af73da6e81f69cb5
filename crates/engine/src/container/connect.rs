//! Joining and leaving networks, while a container runs or not.
//!
//! What a running container is connected to is in its order. The engine claims and writes what is to be there, and the
//! monitor does what the order says. A command that is killed in between leaves claims that the order names, which go
//! with the container's end.

use std::fs;

use monitor::Order;
use network::HostLock;
use types::ContainerId;

use super::{
    claims::Claim,
    networking::{EndpointSettings, Membership, NetworkMode, Networking, check_settings},
    start::{attachment, launch_error, way_out},
    status::Container,
};
use crate::{Engine, Network, error::EngineError, network::Predefined, state::Durability};

impl Engine {
    /// Puts a container into one more network.
    pub fn connect(
        &self,
        reference: &str,
        container: &Container,
        settings: EndpointSettings,
    ) -> Result<(), EngineError> {
        let refuse = |text: &str| Err(EngineError::Invalid(text.to_owned()));
        match Predefined::find(reference) {
            Some(Predefined::Host) => return refuse(NOT_THE_HOST),
            Some(Predefined::None) => return refuse(NOT_WITH_NONE),
            None => {}
        }
        let network = self.network(reference)?;
        // One change of the host's network at a time.
        let _lock = HostLock::acquire()?;
        let container = &self.container(&container.id.to_string())?;
        match &container.config.network.mode {
            NetworkMode::Host | NetworkMode::Container(_) => return refuse(SHARED),
            NetworkMode::None => return refuse(NOT_WITH_NONE),
            NetworkMode::Bridge | NetworkMode::User(_) => {}
        }
        check_settings(&network.name, Some(&network), &settings)?;
        let membership = Membership { network: network.name.clone(), settings };
        let is_in = container.config.network.membership(&network.name).is_some();
        match self.lock_to_start(container)? {
            // It does not run, and cannot be started meanwhile.
            Some(_lock) if is_in => Ok(()),
            Some(_lock) => self.change_networking(&container.id, |networking| {
                networking.memberships.push(membership);
            }),
            None if is_in => refuse(&format!(
                "endpoint with name {} already exists in network {}",
                container.name, network.name
            )),
            None => {
                let claim = self.claim(container, &membership, &network)?;
                if let Err(error) = self.join(container, &membership, &network, &claim) {
                    claim.release();
                    return Err(error);
                }
                self.note_membership(container, &network, "connect");
                Ok(())
            }
        }
    }

    /// Takes a container out of a network.
    pub fn disconnect(&self, reference: &str, container: &Container) -> Result<(), EngineError> {
        let refuse = |text: String| Err(EngineError::Invalid(text));
        if Predefined::find(reference) == Some(Predefined::Host) {
            return refuse(NOT_THE_HOST.to_owned());
        }
        // A network that is gone may still be in a container's configuration, by its name.
        let network = match self.network(reference) {
            Err(EngineError::NoNetwork(_)) if container.config.network.membership(reference).is_some() => {
                None
            }
            network => Some(network?),
        };
        let name = network.as_ref().map_or_else(|| reference.to_owned(), |network| network.name.to_string());
        let _lock = HostLock::acquire()?;
        let container = &self.container(&container.id.to_string())?;
        let is_in = container.config.network.membership(&name).is_some();
        let leave = |networking: &mut Networking| networking.memberships.retain(|one| *one.network != *name);
        match self.lock_to_start(container)? {
            Some(_lock) if !is_in => {
                return refuse(format!("container {} is not connected to the network {name}", container.id));
            }
            Some(_lock) => self.change_networking(&container.id, leave)?,
            None if !is_in => {
                return refuse(format!("container {} is not connected to network {name}", container.id));
            }
            None => {
                self.leave(container, &self.network(&name)?)?;
                self.change_networking(&container.id, leave)?;
            }
        }
        if let Some(network) = &network {
            self.note_membership(container, network, "disconnect");
        }
        Ok(())
    }

    /// Changes what is recorded of a container's networks.
    fn change_networking(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut Networking),
    ) -> Result<(), EngineError> {
        self.state.write(Durability::Synced, |state| {
            let row = state.container_by_id(id)?.ok_or_else(|| EngineError::NoContainer(id.to_string()))?;
            let mut config = row.config;
            change(&mut config.network);
            state.set_config(id, &config)
        })
    }

    /// Connects a running container.
    fn join(
        &self,
        container: &Container,
        membership: &Membership,
        network: &Network,
        claim: &Claim,
    ) -> Result<(), EngineError> {
        self.bring_up([network])?;
        let mut networking = container.config.network.clone();
        networking.memberships.push(membership.clone());
        self.rewrite_order(container, &networking, |connected| {
            let used =
                |nth: &u8| connected.attachments.iter().any(|one| *one.interface == *format!("eth{nth}"));
            let nth = (0..MOST_INTERFACES).find(|nth| !used(nth));
            let nth = nth.ok_or_else(|| EngineError::Invalid("too many networks".to_owned()))?;
            connected.attachments.push(attachment(container, membership, network, claim, nth, false));
            connected.claims.extend(claim.files.iter().cloned());
            Ok(())
        })?;
        self.change_networking(&container.id, |networking| networking.memberships.push(membership.clone()))?;
        let path = container.directory.join("hosts");
        let hosts = fs::read_to_string(&path).map_err(|error| container.file_error(error))?;
        let name = container.config.full_name();
        let lines: String = claim.addresses().map(|address| format!("{address}\t{name}\n")).collect();
        fs::write(&path, hosts + &lines).map_err(|error| container.file_error(error))?;
        self.brief(container, &networking)
    }

    /// Disconnects a running container.
    fn leave(&self, container: &Container, network: &Network) -> Result<(), EngineError> {
        let mut networking = container.config.network.clone();
        networking.memberships.retain(|membership| membership.network != network.name);
        let directory = self.network_directory(&network.id);
        let mut claims = Vec::new();
        let mut addresses = Vec::new();
        self.rewrite_order(container, &networking, |connected| {
            let is_here = |one: &network::Attachment| network.config.subnet.contains(&one.address);
            for one in connected.attachments.iter().filter(|one| is_here(one)) {
                addresses.push(format!("{}\t", one.address));
                addresses.extend(one.ipv6.as_ref().map(|ipv6| format!("{}\t", ipv6.address)));
            }
            connected.attachments.retain(|one| !is_here(one));
            let (gone, kept) = std::mem::take(&mut connected.claims)
                .into_iter()
                .partition(|file| file.starts_with(&directory));
            (claims, connected.claims) = (gone, kept);
            Ok(())
        })?;
        // One that stays is found to be stale once the container has ended.
        claims.iter().for_each(|claim| drop(fs::remove_file(claim)));
        let path = container.directory.join("hosts");
        let hosts = fs::read_to_string(&path).map_err(|error| container.file_error(error))?;
        let is_own = |line: &&str| addresses.iter().any(|address| line.starts_with(address.as_str()));
        let kept: String = hosts.split_inclusive('\n').filter(|line| !is_own(line)).collect();
        fs::write(&path, kept).map_err(|error| container.file_error(error))?;
        self.brief(container, &networking)
    }

    /// Changes what the order says of a running container's network, and has the monitor do it.
    fn rewrite_order(
        &self,
        container: &Container,
        networking: &Networking,
        change: impl FnOnce(&mut monitor::Network) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let stopped = || EngineError::NotRunning(container.name.to_string());
        let load = || Order::load(&container.directory).map_err(|error| container.file_error(error));
        let before = load()?.ok_or_else(stopped)?;
        let mut order = load()?.ok_or_else(stopped)?;
        let Some(connected) = &mut order.network else { return Err(stopped()) };
        change(connected)?;
        let networks = self.networks_of(networking)?;
        let way_out = way_out(&networks).map(|nth| &networks[nth].1);
        for attachment in &mut connected.attachments {
            let leads_out = way_out.filter(|network| network.config.subnet.contains(&attachment.address));
            attachment.gateway = leads_out.map(|network| network.config.gateway);
            if let Some(ipv6) = &mut attachment.ipv6 {
                ipv6.gateway =
                    leads_out.and_then(|network| network.config.ipv6.as_ref()).map(|pool| pool.gateway);
            }
        }
        self.answer_names(connected, &networks, &container.config.naming);
        order.replace(&container.directory).map_err(|error| container.file_error(error))?;
        if let Err(error) = monitor::reconnect(&container.directory) {
            // Of a container that has ended there is no order any more.
            if container.status()?.is_running() {
                before.replace(&container.directory).map_err(|error| container.file_error(error))?;
            }
            return Err(launch_error(error));
        }
        self.write_resolv_conf(container, networking)
    }
}

const NOT_THE_HOST: &str = "container cannot be disconnected from host network or connected to host network";
const NOT_WITH_NONE: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";
const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any \
                      other network";
/// What `veth` names can tell apart.
const MOST_INTERFACES: u8 = 36;
