//! What can go wrong with the host's network.

use std::{io, net::SocketAddr};

use types::Protocol;

use crate::InterfaceName;

/// A change of the network that the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("cannot {action}")]
    Refused { action: String, source: io::Error },
    #[error("no network interface {0}")]
    NoInterface(InterfaceName),
    /// The firewall already leads this port of the host to another container.
    #[error("host port {host}/{protocol} already leads to {taken_by}")]
    PortTaken { host: SocketAddr, protocol: Protocol, taken_by: SocketAddr },
}

impl NetworkError {
    pub(crate) fn refused(action: impl Into<String>) -> impl FnOnce(io::Error) -> NetworkError {
        let action = action.into();
        move |source| NetworkError::Refused { action, source }
    }
}
