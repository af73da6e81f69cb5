//! An engine of a test's own: root and run directory, network, cgroup. Nothing of it outlives the test.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use sys::process::{Namespaces, unshare};
use tempfile::TempDir;

use crate::{Outcome, PATIENCE, PAUSE, Process, base_image, disk::Disk, leaks::Traces};

/// A directory and a network namespace, and an engine that has nothing else.
///
/// The namespace stands for the host's: what the engine makes there is nobody else's, no port is taken, and no
/// two sandboxes can be in each other's way. When the sandbox is dropped, its containers and networks are removed
/// and nothing may be left of them; see [`Sandbox::left_behind`].
#[derive(Debug)]
pub struct Sandbox {
    program: PathBuf,
    /// `None` once it is given away.
    directory: Option<TempDir>,
    root: PathBuf,
    run: PathBuf,
    network: File,
    cgroup: String,
    /// Held for as long as the sandbox is in use; see [`reclaim`].
    _lock: File,
    disk: Option<Disk>,
}

impl Sandbox {
    /// A sandbox for `program` with the image `busybox`. `None`, and why on standard error, where tests cannot
    /// have one.
    pub fn new(program: impl AsRef<Path>) -> Option<Sandbox> {
        let sandbox = Sandbox::empty(program)?;
        let archive = base_image("busybox:latest")?;
        let _ = sandbox.sampan(["load", "--quiet", "--input", utf8(&archive)]).ok();
        Some(sandbox)
    }

    /// A sandbox without any image.
    pub fn empty(program: impl AsRef<Path>) -> Option<Sandbox> {
        Sandbox::open(program.as_ref(), None)
    }

    /// A sandbox without any image, on a disk that has this room: see [`Disk::mount`].
    pub fn on_small_disk(program: impl AsRef<Path>, room: &str) -> Option<Sandbox> {
        Sandbox::open(program.as_ref(), Some(room))
    }

    fn open(program: &Path, room: Option<&str>) -> Option<Sandbox> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: containers, for now, take root");
            return None;
        }
        static RECLAIMED: Once = Once::new();
        RECLAIMED.call_once(|| reclaim(program));
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a directory in TMPDIR");
        let lock = File::create(directory.path().join(LOCK)).expect("a file in it");
        lock.lock().expect("nobody else knows it");
        let place = directory.path().join("disk");
        let disk = room.map(|room| Disk::mount(&place, room));
        let place = if disk.is_some() { place } else { directory.path().to_owned() };
        let (root, run) = (place.join("root"), place.join("run"));
        Some(Sandbox {
            program: program.to_owned(),
            network: new_network(),
            cgroup: format!("sampan-{}", &types::Digest::of(root.as_os_str().as_encoded_bytes()).hex()[..6]),
            directory: Some(directory),
            root,
            run,
            _lock: lock,
            disk,
        })
    }

    /// A directory for the test's own files.
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().expect("given away last").path()
    }

    /// Where the engine keeps what lasts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cgroup that everything of the sandbox is in, from the root of each tree.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// Where the engine looks for credentials and certificates. There is no such directory until somebody makes it.
    pub fn configuration(&self) -> PathBuf {
        self.directory().join("docker")
    }

    /// A file of the test's own, made with this content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory().join(name);
        fs::write(&path, content).expect("a file in the sandbox");
        utf8(&path).to_owned()
    }

    /// Runs a command of the program to its end, without input.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn sampan<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.start(self.command(arguments)).finish()
    }

    /// Starts a command of the program, with an input that is open.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn start_sampan<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Process {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        self.start(command)
    }

    /// Starts a command of the program on a terminal of 80 columns and 24 rows.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn on_terminal<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Process {
        self.start_on_terminal(self.command(arguments))
    }

    /// Starts a command on the sandbox's network, on a terminal of 80 columns and 24 rows.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn start_on_terminal(&self, command: Command) -> Process {
        self.within(|| Process::spawn_on_terminal(command, 80, 24, self.directory()))
            .expect("the program starts")
    }

    /// A command of the program, yet to be started: see [`Sandbox::start`].
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program_named(&self.program);
        command.args(arguments);
        command
    }

    /// A shell script, in which `$SAMPAN` is the program, yet to be started.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = self.program_named(Path::new("/bin/sh"));
        command.args(["-c", script]).env("SAMPAN", &self.program);
        command
    }

    /// A command that finds the sandbox's engine in its environment.
    pub fn program_named(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("SAMPAN_ROOT", &self.root)
            .env("SAMPAN_RUN", &self.run)
            .env("DOCKER_CONFIG", self.configuration())
            // What a test removes is to be gone, unless it says otherwise.
            .env("SAMPAN_TRASH_SPACE", "0")
            .stdin(Stdio::null());
        command
    }

    /// Starts a command on the sandbox's network.
    #[track_caller]
    #[must_use = "nobody looked at how it went"]
    pub fn start(&self, command: Command) -> Process {
        self.within(|| Process::spawn(command, self.directory())).expect("the program starts")
    }

    /// Does something on the sandbox's network.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        network::within(&self.network, work).expect("root may enter a network namespace")
    }

    /// Does something on the network of the container whose first process is `pid`.
    pub fn within_container<T>(&self, pid: &str, work: impl FnOnce() -> T) -> T {
        let network = File::open(format!("/proc/{pid}/ns/net")).expect("a running container");
        network::within(network, work).expect("root may enter a network namespace")
    }

    /// Waits until the log of a container holds `text`.
    #[track_caller]
    pub fn wait_for_log(&self, container: &str, text: &str) {
        self.start_sampan(["logs", "--follow", container]).wait_for(text);
    }

    /// Connects to a port of the sandbox's host.
    pub fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = self.within(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// All that a server at `address` says to `request`.
    pub fn ask(&self, address: &str, request: &str) -> io::Result<String> {
        let mut stream = self.connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// What a server at `address` sends back for a datagram.
    pub fn ask_udp(&self, address: &str, request: &str) -> io::Result<String> {
        let socket = self.within(|| UdpSocket::bind("0.0.0.0:0"))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.send_to(request.as_bytes(), address)?;
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Every file and directory that belongs to some image, container or volume.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut left: Vec<_> = OWNED.iter().map(|name| self.root.join(name)).collect();
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    left.push(entry.path());
                }
                files.push(entry.path());
            }
        }
        files.sort();
        files
    }

    /// What there is of containers on the host, a line each: what a test leaves of it is a leak.
    pub fn left_behind(&self) -> Vec<String> {
        self.within(|| self.traces().find())
    }

    /// What there is of networks other than the default one, a line each.
    pub fn networks_left_behind(&self) -> Vec<String> {
        self.within(|| self.traces().of_networks())
    }

    /// Expects that nothing is left of containers, all of which were removed. Waits for the kernel, which takes
    /// down a network after its last process.
    #[track_caller]
    pub fn is_clean(&self) {
        let left = until_empty(|| self.left_behind());
        assert!(left.is_empty(), "left behind in {}:\n{}", self.directory().display(), left.join("\n"));
    }

    /// Expects that nothing is left of containers, all of which have ended, but their files.
    #[track_caller]
    pub fn is_clean_but_for_containers(&self) {
        let containers = format!("file {}/", self.root.join("containers").display());
        let left = until_empty(|| {
            let left = self.left_behind().into_iter();
            left.filter(|trace| !trace.starts_with(&containers)).collect()
        });
        assert!(left.is_empty(), "left behind in {}:\n{}", self.directory().display(), left.join("\n"));
    }

    fn traces(&self) -> Traces<'_> {
        Traces {
            directory: self.disk.as_ref().map_or(self.directory(), |disk| &disk.place),
            root: &self.root,
            run: &self.run,
            cgroup: &self.cgroup,
            network: self.network.metadata().expect("an open file").ino(),
        }
    }

    /// Runs a command without minding how it goes.
    fn attempt(&self, arguments: &[&str]) -> Result<Outcome, String> {
        let process = self.within(|| Process::spawn(self.command(arguments), self.directory()));
        process.map_err(|error| error.to_string())?.try_finish()
    }

    /// Prints what a failed test's containers have to say.
    fn explain(&self) {
        let mut text = format!("\nsandbox {}\n", self.directory().display());
        let mut add = |arguments: &[&str]| match self.attempt(arguments) {
            Ok(outcome) => text += &format!("{outcome}\n"),
            Err(why) => text += &format!("{why}\n"),
        };
        add(&["ps", "--all", "--no-trunc"]);
        for id in self.containers() {
            add(&["logs", "--timestamps", &id]);
        }
        eprintln!("{text}");
    }

    fn containers(&self) -> Vec<String> {
        let listed = self.attempt(&["ps", "--all", "--quiet", "--no-trunc"]);
        listed.map(|outcome| outcome.lines().iter().map(|id| (*id).to_owned()).collect()).unwrap_or_default()
    }

    /// Removes what the test made, and returns what the removal met.
    fn clear(&self) -> Vec<String> {
        let mut trouble = Vec::new();
        let mut expect = |arguments: &[&str]| match self.attempt(arguments) {
            Ok(outcome) if outcome.code != 0 => trouble.push(outcome.to_string()),
            Ok(_) => {}
            Err(why) => trouble.push(why),
        };
        let containers = self.containers();
        if !containers.is_empty() {
            let mut arguments = vec!["rm", "--force", "--volumes"];
            arguments.extend(containers.iter().map(String::as_str));
            expect(&arguments);
        }
        let networks = self.attempt(&["network", "ls", "--format", "{{.Name}}"]);
        for name in networks.iter().flat_map(|outcome| outcome.lines()) {
            if !["bridge", "host", "none"].contains(&name) {
                expect(&["network", "rm", name]);
            }
        }
        trouble
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            self.explain();
        }
        let mut trouble = if self.root.exists() { self.clear() } else { Vec::new() };
        trouble.extend(until_empty(|| self.left_behind()));
        trouble.extend(self.networks_left_behind());
        if !trouble.is_empty() {
            self.traces().wipe();
        }
        self.traces().remove_cgroup();
        self.disk = None;
        if failed || !trouble.is_empty() {
            // What is on the disk may say more.
            let kept = self.directory.take().map(TempDir::keep).unwrap_or_default();
            let trouble = trouble.join("\n");
            let text = format!("left behind by a test; its files are in {}\n{trouble}", kept.display());
            if failed { eprintln!("{text}") } else { panic!("{text}") }
        }
    }
}

/// A network namespace that is as a host's is without a network card.
fn new_network() -> File {
    let make = || {
        unshare(Namespaces::NETWORK)?;
        File::open("/proc/thread-self/ns/net")
    };
    let network =
        thread::spawn(make).join().expect("nothing in it panics").expect("root may make namespaces");
    network::loopback_up(network.as_fd()).expect("a new loopback");
    network
}

/// Asks until nothing is left or patience ends; what is left then.
fn until_empty(ask: impl Fn() -> Vec<String>) -> Vec<String> {
    let deadline = Instant::now() + KERNELS_TIME;
    loop {
        let left = ask();
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        thread::sleep(PAUSE);
    }
}

/// Removes the containers and files of sandboxes whose tests were killed.
fn reclaim(program: &Path) {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let directory = entry.path();
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(lock) = File::open(directory.join(LOCK)) else { continue };
        if !is_one || lock.try_lock().is_err() {
            continue;
        }
        let script = "exec \"$SAMPAN\" rm --force --volumes $(\"$SAMPAN\" ps --all --quiet) >/dev/null 2>&1";
        // What cannot be cleared up now stays for the next time.
        let _ = Command::new("/bin/sh")
            .args(["-c", script])
            .env("SAMPAN", program)
            .env("SAMPAN_ROOT", directory.join("root"))
            .env("SAMPAN_RUN", directory.join("run"))
            .stdin(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(&directory);
    }
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// Directories of the root whose content has an owner.
const OWNED: [&str; 5] = ["blobs/sha256", "cache", "containers", "layers", "volumes"];
/// How long the kernel may take to take down what has no process any more.
const KERNELS_TIME: Duration = Duration::from_secs(20);
const PREFIX: &str = "sampan-test-";
const LOCK: &str = "lock";
