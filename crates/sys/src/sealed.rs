//! The running program through a read-only mount, so that nothing inside a container can write to it.
//!
//! A process in a container that gets hold of /proc/PID/exe of ours could open the engine's binary for
//! writing (CVE-2019-5736). A detached read-only clone of the mount it lies on forbids that at the cost of
//! three system calls, shares the page cache, and leaves no mount that anybody sees.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags},
    io::Errno,
    mount::OpenTreeFlags,
};

use crate::{
    mounts::{self, Attributes, Depth},
    process::{self, Strings},
};

/// Opens the running program on a read-only mount of its own. Needs CAP_SYS_ADMIN.
pub fn program() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = match rustix::mount::open_tree(CWD, PROGRAM, flags) {
        Ok(tree) => tree,
        // We run from such a mount already, and the kernel clones none that belongs to no namespace.
        Err(Errno::INVAL) if is_sealed()? => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            return Ok(rustix::fs::open(PROGRAM, flags, Mode::empty())?);
        }
        // It was started in another mount namespace than we are in by now.
        Err(Errno::INVAL) => by_its_path(flags)?,
        Err(error) => return Err(error.into()),
    };
    mounts::set_attributes(tree.as_fd(), Attributes::READ_ONLY, None, Depth::This)?;
    Ok(tree)
}

/// Clones the running program as this mount namespace has it, if it still is what has its path.
fn by_its_path(flags: OpenTreeFlags) -> io::Result<OwnedFd> {
    let tree = rustix::mount::open_tree(CWD, std::fs::read_link(PROGRAM)?, flags)?;
    let (found, running) = (rustix::fs::statat(&tree, "", AtFlags::EMPTY_PATH)?, rustix::fs::stat(PROGRAM)?);
    match (found.st_dev, found.st_ino) == (running.st_dev, running.st_ino) {
        true => Ok(tree),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "the program was replaced while it ran")),
    }
}

/// Makes sure that this process runs from such a mount: starts the program anew from there if not.
pub fn ensure() -> io::Result<()> {
    if is_sealed()? {
        return Ok(());
    }
    let arguments = Strings::new(std::env::args_os().map(|a| a.as_bytes().to_vec()))?;
    let environment =
        std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    Err(process::exec_file(program()?.as_fd(), &arguments, &Strings::new(environment)?))
}

fn is_sealed() -> io::Result<bool> {
    Ok(rustix::fs::statvfs(PROGRAM)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

const PROGRAM: &str = "/proc/self/exe";
