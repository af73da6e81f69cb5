//! Who can reach a container's published ports, by what the host's firewall says.

use monitor::Order;
use network::{
    Attachment, Family,
    filter::{Explanation, Filters, HostInterface, Published, explain, has_legacy},
};
use types::Publish;

use super::status::Container;
use crate::error::EngineError;

/// The host as others come to it: its interfaces, and what its firewall says.
#[derive(Debug)]
pub struct Surroundings {
    pub filters: Filters,
    pub interfaces: Vec<HostInterface>,
    /// Whether there are rules that are obeyed and not among the filters.
    pub has_legacy: bool,
}

/// A published port and who reaches it.
#[derive(Debug)]
pub struct ExplainedPort {
    pub publish: Publish,
    /// As the explanation is about it; `None` if the container is on no bridge.
    pub explained: Option<(Published, Explanation)>,
}

impl Surroundings {
    /// Reads them from the kernel.
    pub fn read() -> Result<Surroundings, EngineError> {
        Ok(Surroundings {
            filters: Filters::read()?,
            interfaces: HostInterface::all()?,
            has_legacy: has_legacy(),
        })
    }
}

impl Container {
    /// The ports that are published now, and who reaches them in these surroundings.
    pub fn explain_ports(&self, surroundings: &Surroundings) -> Result<Vec<ExplainedPort>, EngineError> {
        let Some(started) = self.status()?.started().cloned() else { return Ok(Vec::new()) };
        let order = Order::load(&self.directory).map_err(|error| self.file_error(error))?;
        let attachments = order.and_then(|order| order.network).map(|network| network.attachments);
        let attachment = attachments.as_deref().and_then(monitor::way_out);
        let explained = started.publish.into_iter().map(|publish| {
            let published = attachment.and_then(|attachment| published(&publish, attachment));
            let explained = published.map(|published| {
                let explanation = explain(&surroundings.filters, &surroundings.interfaces, &published);
                (published, explanation)
            });
            ExplainedPort { publish, explained }
        });
        Ok(explained.collect())
    }
}

fn published(publish: &Publish, attachment: &Attachment) -> Option<Published> {
    Some(Published {
        protocol: publish.container.protocol,
        host_port: publish.host_port?,
        host_address: publish.host_ip,
        bridge: attachment.bridge.to_string(),
        families: match attachment.ipv6 {
            Some(_) => vec![Family::V4, Family::V6],
            None => vec![Family::V4],
        },
    })
}
