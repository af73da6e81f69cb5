//! The way from a container's network into the world where the host's network is not ours to change: an ordinary user's.
//!
//! pasta(1), of the package passt, gives the container's network namespace an interface and speaks for it through sockets of the
//! user's own. It has the host's address and routes inside, and passes on what comes to published ports.

use std::{
    ffi::CString,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read, Seek},
    os::fd::OwnedFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use runtime::Failure;
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, memfd_create},
    mount::MountPropagationFlags,
    process::{Pid, Signal, WaitOptions, waitpid},
};
use sys::process::{Child, Fork, Namespaces, Strings, exec, fork, signal, unshare};
use types::{Protocol, Publish};

/// One that runs. It ends with this, or with the process that has started it.
#[derive(Debug)]
pub struct Pasta {
    /// The ports as they were published, with the host's ports filled in.
    pub published: Vec<Publish>,
    child: Child,
}

impl Pasta {
    /// Connects the network of the container in the directory `bundle` whose first process is `container`, and waits until it is.
    pub fn start(bundle: &Path, container: Pid, publish: &[Publish]) -> Result<Pasta, Failure> {
        let context = |error: io::Error| Failure::setup(format_args!("starting pasta: {error}"));
        let published = choose(publish)?;
        let said = memfd_create("pasta", MemfdFlags::CLOEXEC).map_err(|error| context(error.into()))?;
        let network = format!("/proc/{}/ns/net", container.as_raw_nonzero());
        // Something to mount it on.
        let place = bundle.join("netns");
        let placed =
            File::create(&place).and_then(|_| spawn(&arguments(&place, &published), &network, &place, &said));
        let child = placed.map_err(context)?;
        let pasta = Pasta { published, child };
        match pasta.wait_for(container).map_err(context)? {
            true => Ok(pasta),
            false => {
                let mut text = String::new();
                let mut said = File::from(said);
                let read = said.rewind().and_then(|()| said.read_to_string(&mut text));
                read.map_err(context)?;
                Err(Failure::setup(format_args!("pasta cannot connect the container: {}", last_line(&text))))
            }
        }
    }

    /// Waits until the container has a route; `false` if pasta has ended instead.
    fn wait_for(&self, container: Pid) -> io::Result<bool> {
        let routes = format!("/proc/{}/net/route", container.as_raw_nonzero());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // The first line is a heading.
            if fs::read_to_string(&routes)?.lines().nth(1).is_some() {
                return Ok(true);
            }
            if waitpid(Some(self.child.pid), WaitOptions::NOHANG)?.is_some() {
                return Ok(false);
            }
            thread::sleep(PAUSE);
        }
        Ok(false)
    }
}

impl Drop for Pasta {
    fn drop(&mut self) {
        use std::os::fd::AsFd;
        // It may have ended by itself, and been collected.
        let _ = signal(self.child.pidfd.as_fd(), Signal::KILL.as_raw());
        let _ = self.child.wait();
    }
}

/// Finds a port of the host for each. Somebody else may take one before pasta does, who then says so.
fn choose(publish: &[Publish]) -> Result<Vec<Publish>, Failure> {
    let mut reserved = Vec::new();
    for one in publish {
        if one.container.protocol == Protocol::Sctp {
            return Err(Failure::setup("ports of SCTP are published by root only"));
        }
        reserved.push(network::reserve(one).map_err(|error| match std::error::Error::source(&error) {
            Some(source) => Failure::setup(format_args!("{error}: {source}")),
            None => Failure::setup(error),
        })?);
    }
    Ok(reserved.into_iter().map(|reservation| reservation.publish).collect())
}

fn arguments(network: &Path, published: &[Publish]) -> Vec<String> {
    let ports = |protocol: Protocol| {
        let mut text = String::new();
        for one in published.iter().filter(|one| one.container.protocol == protocol) {
            let separator = if text.is_empty() { "" } else { "," };
            let address = one.host_ip.map(|address| format!("{address}/")).unwrap_or_default();
            let port = one.host_port.unwrap_or_default();
            let _ = write!(text, "{separator}{address}{port}:{}", one.container.number);
        }
        if text.is_empty() { "none".to_owned() } else { text }
    };
    let (tcp, udp) = (ports(Protocol::Tcp), ports(Protocol::Udp));
    let network = network.to_string_lossy();
    // Nothing inside reaches what listens on the host's own loopback, by whatever address.
    let fixed = ["pasta", "--config-net", "--foreground", "--stderr", "--quiet", "--no-map-gw"];
    let ports = ["-t", &tcp, "-u", &udp, "-T", "none", "-U", "none", "--netns-only", "--netns", &network];
    fixed.into_iter().chain(ports).map(str::to_owned).collect()
}

/// Starts it as a child that dies with us, and to which `network` is mounted at `place`: it has given up by then what it takes to
/// open that.
fn spawn(arguments: &[String], network: &str, place: &Path, errors: &OwnedFd) -> io::Result<Child> {
    let program = CString::new(PROGRAM)?;
    let arguments = Strings::new(arguments)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match fork(Namespaces::NONE, None)? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let mounted = unshare(Namespaces::MOUNT).and_then(|()| {
                let change = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
                rustix::mount::mount_change("/", change)?;
                Ok(rustix::mount::mount_bind(network, place)?)
            });
            if let Err(error) = mounted {
                let text = format!("mounting its network namespace: {error}");
                let _ = rustix::io::write(errors, text.as_bytes());
                std::process::exit(1)
            }
            let ready = rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                .and_then(|()| rustix::stdio::dup2_stdin(&null))
                .and_then(|()| rustix::stdio::dup2_stdout(&null))
                .and_then(|()| rustix::stdio::dup2_stderr(errors));
            // It takes a signal that is ignored already for a failure of its own.
            if ready.is_ok() && sys::signals::reset().is_ok() {
                let nothing: [&str; 0] = [];
                if let Ok(environment) = Strings::new(nothing) {
                    let _ = exec(&program, &arguments, &environment);
                }
            }
            std::process::exit(1)
        }
    }
}

fn last_line(text: &str) -> &str {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it does not say why").trim()
}

/// Whether it is installed.
pub fn is_installed() -> bool {
    Path::new(PROGRAM).exists()
}

const PROGRAM: &str = "/usr/bin/pasta";
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_by_protocol_and_address() {
        let published: Vec<Publish> = ["8080:80", "127.0.0.1:8081:81/tcp", "5353:53/udp"]
            .iter()
            .flat_map(|text| Publish::parse(text).expect("valid"))
            .collect();
        let all = arguments(Path::new("/c/netns"), &published).join(" ");
        assert!(all.contains("-t 8080:80,127.0.0.1/8081:81 -u 5353:53 -T none -U none"), "{all}");
        assert!(arguments(Path::new("/c/netns"), &[]).join(" ").contains("-t none -u none"));
    }
}
