//! A registry of a test's own, on its sandbox's network.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, PAUSE, Sandbox, certificate, eventually};

/// `sampan serve registry`, running. Asked to end when dropped; what it said is printed if the test has failed.
#[derive(Debug)]
pub struct Registry<'s> {
    sandbox: &'s Sandbox,
    address: SocketAddr,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: PathBuf,
    server: Child,
}

impl<'s> Registry<'s> {
    /// Starts a registry with these arguments beside its address and its directory, and waits until it listens.
    #[track_caller]
    pub fn start(sandbox: &'s Sandbox, arguments: &[&str]) -> Registry<'s> {
        Registry::start_in(sandbox, arguments, &[])
    }

    /// Starts a registry that finds these variables in its environment.
    #[track_caller]
    pub fn start_in(sandbox: &'s Sandbox, arguments: &[&str], environment: &[(&str, &str)]) -> Registry<'s> {
        let address = free_address(sandbox);
        let directory = sandbox.directory().join(format!("registry-{}", address.port()));
        fs::create_dir(&directory).expect("a directory in the sandbox");
        let mut arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        if !arguments.iter().any(|argument| argument == METRICS) {
            // By default they are at the next port, which may be somebody's by now.
            arguments.extend([METRICS.to_owned(), "none".to_owned()]);
        }
        let environment: Vec<_> =
            environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let server = serve(sandbox, address, &directory, &arguments, &environment);
        Registry { sandbox, address, arguments, environment, directory, server }
    }

    /// Starts a registry that speaks TLS, with a certificate from an authority that nobody trusts yet; see
    /// [`Registry::authority`].
    #[track_caller]
    pub fn start_with_tls(sandbox: &'s Sandbox, arguments: &[&str]) -> Registry<'s> {
        let files = certificate::make(sandbox.directory(), Ipv4Addr::LOCALHOST);
        let [certificate, key] =
            files.each_ref().map(|path| path.to_str().expect("paths of tests are UTF-8"));
        Registry::start(sandbox, &[&["--tls-cert", certificate, "--tls-key", key], arguments].concat())
    }

    /// What the names of its images begin with, such as `127.0.0.1:41234`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it keeps what was pushed.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// The certificate of the authority that vouches for a registry with TLS.
    pub fn authority(&self) -> PathBuf {
        self.sandbox.directory().join(certificate::AUTHORITY)
    }

    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join(LOG)).unwrap_or_default()
    }

    /// Kills it at once, and starts it again where it was.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.server.kill().expect("it has not ended by itself");
        self.server.wait().expect("our own child");
        self.server = serve(self.sandbox, self.address, &self.directory, &self.arguments, &self.environment);
    }

    /// Asks it to end, and waits for that.
    fn end(&mut self) -> Result<(), String> {
        // Not a child that was waited for: its number cannot be somebody else's.
        if let Ok(None) = self.server.try_wait() {
            kill_process(Pid::from_child(&self.server), Signal::TERM).map_err(|error| error.to_string())?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.server.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("it ended with {status}")),
                None if Instant::now() > deadline => break,
                None => thread::sleep(PAUSE),
            }
        }
        self.server.kill().and_then(|()| self.server.wait()).map_err(|error| error.to_string())?;
        Err("it does not end when asked to".to_owned())
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        let ended = self.end();
        if thread::panicking() {
            eprintln!("registry {}, {ended:?}\n{}", self.address, self.log());
        } else if let Err(why) = ended {
            panic!("registry {}: {why}\n{}", self.address, self.log());
        }
    }
}

/// Starts the server and waits until it listens.
#[track_caller]
fn serve(
    sandbox: &Sandbox,
    address: SocketAddr,
    directory: &Path,
    arguments: &[String],
    environment: &[(String, String)],
) -> Child {
    let log = directory.join(LOG);
    let output = File::options().create(true).append(true).open(&log).expect("a file in the sandbox");
    let mut command = sandbox.command(["serve", "registry", "--listen", &address.to_string()]);
    if !arguments.iter().any(|argument| argument == STORAGE) {
        command.arg("--root").arg(directory.join("root"));
    }
    command.args(arguments).envs(environment.iter().cloned());
    command.stdout(output.try_clone().expect("an open file")).stderr(output);
    let mut server = sandbox.within(|| command.spawn()).expect("the program starts");
    eventually("a registry listens", || {
        if let Ok(Some(status)) = server.try_wait() {
            panic!("the registry ended with {status}\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        sandbox.within(|| TcpStream::connect(address))
    });
    server
}

/// An address of the sandbox's host that nobody uses. Nobody else will soon: the network is the sandbox's own.
fn free_address(sandbox: &Sandbox) -> SocketAddr {
    let listener = sandbox.within(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    listener.and_then(|listener| listener.local_addr()).expect("a port on the loopback")
}

const METRICS: &str = "--metrics-listen";
/// Says that images are elsewhere than on the disk.
const STORAGE: &str = "--storage";
/// In the registry's directory, beside its root.
const LOG: &str = "log";
