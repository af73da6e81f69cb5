//! Doing something inside another network namespace.

use std::{fs::File, io, os::fd::AsFd};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` with the calling thread inside the network namespace `netns`, and comes back.
///
/// What `work` opens stays where it was opened: a socket made inside keeps speaking for that namespace. If
/// the way back is refused the process ends, for nothing it did from there on would be where the caller
/// believes it to be.
pub fn within<T>(netns: impl AsFd, work: impl FnOnce() -> T) -> io::Result<T> {
    let home = File::open("/proc/thread-self/ns/net")?;
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
    let result = work();
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("a process may return to the network namespace it came from");
    Ok(result)
}
