//! What the kernel is told of IPv6, where files say it.

use std::{fs, io, path::Path};

use crate::InterfaceName;

/// Whether this host speaks IPv6.
pub fn is_spoken() -> bool {
    fs::read("/proc/sys/net/ipv6/conf/all/disable_ipv6").is_ok_and(|value| value.starts_with(b"0"))
}

/// Lets an interface of the calling thread's network namespace have IPv6 addresses: those it is given, at once, and none
/// that a neighbour announces.
pub(crate) fn allow_on(interface: &InterfaceName) -> io::Result<()> {
    for (setting, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
        fs::write(format!("{CONF}/{interface}/{setting}"), value)?;
    }
    Ok(())
}

/// Keeps an interface of the calling thread's network namespace from speaking IPv6, if the kernel can.
pub(crate) fn forbid_on(interface: &InterfaceName) -> io::Result<()> {
    match fs::write(format!("{CONF}/{interface}/disable_ipv6"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the host forwards IPv6.
pub(crate) fn is_forwarded() -> io::Result<bool> {
    Ok(fs::read(format!("{CONF}/all/forwarding"))?.starts_with(b"1"))
}

/// Lets the host forward IPv6. A router takes no routes from others: interfaces that did go on doing so.
pub(crate) fn forward() -> io::Result<()> {
    for entry in fs::read_dir(CONF)? {
        let path = entry?.path().join("accept_ra");
        if path.parent() != Some(Path::new(&format!("{CONF}/all")))
            && fs::read(&path).is_ok_and(|value| value.starts_with(b"1"))
        {
            fs::write(path, "2")?;
        }
    }
    fs::write(format!("{CONF}/all/forwarding"), "1")
}

const CONF: &str = "/proc/sys/net/ipv6/conf";
