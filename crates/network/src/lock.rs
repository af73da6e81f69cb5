//! One at a time may decide what the host's network lacks.

use std::{fs::File, io};

use rustix::fs::{FlockOperation, flock};

/// Held by whoever reads the host's network to change it by what was read, such as choosing a free subnet and
/// creating the bridge that takes it. Released when dropped, or by the kernel when the process ends.
///
/// The lock is on the network namespace itself, so all engines that share a host's network share it, whatever
/// their directories, and no file is left behind.
#[derive(Debug)]
pub struct HostLock {
    _namespace: File,
}

impl HostLock {
    /// Waits for the lock of this process's network namespace.
    pub fn acquire() -> io::Result<HostLock> {
        let namespace = File::open("/proc/thread-self/ns/net")?;
        flock(&namespace, FlockOperation::LockExclusive)?;
        Ok(HostLock { _namespace: namespace })
    }
}
