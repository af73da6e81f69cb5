//! The server under test, and a client that can do what no decent client does.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use registry::{Identity, OperatorAddress, Options, Proxied, Untagged, Writes};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A registry in a process of its own, ended with the test.
pub struct Server {
    pub address: SocketAddr,
    pub operator: SocketAddr,
    child: Child,
    pub directory: Option<TempDir>,
}

/// What the child is told, in its environment.
const TOLD: &str = "REGISTRY_UNDER_TEST";

/// Not a test: the process in which every other test's registry runs.
#[test]
fn the_process_that_serves() {
    let Ok(told) = env::var(TOLD) else { return };
    let told: Value = serde_json::from_str(&told).unwrap();
    let mut options =
        Options::new("127.0.0.1:0".parse().unwrap(), told["directory"].as_str().unwrap().into());
    options.operator = OperatorAddress::At("127.0.0.1:0".parse().unwrap());
    options.writes = match told["writes"].as_str() {
        Some("nothing") => Writes::Nothing,
        Some("push") => Writes::Push,
        _ => Writes::PushAndDelete,
    };
    options.quiet = true;
    if let Some(path) = told["htpasswd"].as_str() {
        options.identity = Identity::Htpasswd(path.into());
    }
    if let Some(url) = told["proxy"].as_str() {
        options.proxied = Some(Proxied { url: url.to_owned(), login: None });
    }
    if let Some(seconds) = told["patience"].as_f64() {
        options.limits.patience = Duration::from_secs_f64(seconds);
    }
    if let Some(seconds) = told["grace"].as_f64() {
        options.collection.grace = Duration::from_secs_f64(seconds);
    }
    if let Some(uploads) = told["uploads"].as_u64() {
        options.uploads = uploads as usize;
    }
    if told["untagged"] == true {
        options.collection.untagged = Untagged::Remove;
    }
    registry::serve(options, |listening| {
        eprintln!("\nlistening {} {}", listening.registry, listening.operator.unwrap());
    })
    .unwrap();
}

impl Server {
    /// A registry with everything switched on.
    pub fn start() -> Server {
        Server::told(json!({}))
    }

    /// A registry that is told what differs.
    pub fn told(what: Value) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry");
        let mut server = Server::in_directory(&path, what);
        server.directory = Some(directory);
        server
    }

    /// A registry in a directory that may have something already.
    pub fn in_directory(directory: &Path, mut what: Value) -> Server {
        what["directory"] = directory.to_str().unwrap().into();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "support::the_process_that_serves", "--nocapture"])
            .env(TOLD, what.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("listening "));
        let said = said.expect("the server did not start");
        let addresses: Vec<SocketAddr> = said.split(' ').skip(1).map(|text| text.parse().unwrap()).collect();
        // What else it says is seen when a test fails.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Server { address: addresses[0], operator: addresses[1], child, directory: None }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.as_ref().unwrap().path().join("registry")
    }

    /// Kills it without a word, and returns what it had.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.directory.take().unwrap()
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub fn head(&self, path: &str) -> Reply {
        self.ask("HEAD", path, &[], b"")
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path, &[], b"")
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        ask(self.address, method, path, headers, body)
    }

    /// Begins an upload and returns where it goes on.
    pub fn begin(&self, repository: &str) -> String {
        let reply = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.header("location").unwrap().to_owned()
    }

    /// Pushes a blob at once and returns its digest.
    pub fn push_blob(&self, repository: &str, content: &[u8]) -> String {
        let digest = sha256(content);
        let reply =
            self.ask("POST", &format!("/v2/{repository}/blobs/uploads/?digest={digest}"), &[], content);
        assert_eq!(reply.status, 201, "{reply:?}");
        digest
    }

    /// Pushes a manifest of one layer, with its blobs, and returns its digest.
    pub fn push_image(&self, repository: &str, tag: &str, layer: &[u8]) -> String {
        self.push_blob(repository, b"{}");
        self.push_blob(repository, layer);
        let manifest = manifest(layer);
        let reply = self.put_manifest(repository, tag, OCI_MANIFEST, &manifest);
        assert_eq!(reply.status, 201, "{reply:?}");
        sha256(manifest.as_bytes())
    }

    pub fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, manifest: &str) -> Reply {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.ask("PUT", &path, &[("Content-Type", media_type)], manifest.as_bytes())
    }

    /// Has the operator collect, and returns what was.
    pub fn collect(&self) -> Value {
        let reply = ask(self.operator, "POST", "/_sampan/gc", &[], b"");
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_slice(&reply.body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer, read to its end.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// Each value of a header that may be there several times.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The specification's code of an error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned();
        write!(f, "{}{body}", self.head)
    }
}

/// One request on a connection of its own.
pub fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut stream = open(to, method, path, headers, Some(body.len()));
    // A server that refuses early does not read everything.
    let _ = stream.write_all(body);
    finish(stream)
}

/// Sends the head of a request. Without a length its body is to be sent in chunks.
pub fn open(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    length: Option<usize>,
) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n");
    match length {
        Some(length) => head += &format!("Content-Length: {length}\r\n"),
        None => head += "Transfer-Encoding: chunked\r\n",
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes()).unwrap();
    stream
}

/// Reads the answer of a request that was sent.
pub fn finish(mut stream: TcpStream) -> Reply {
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all);
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {ended:?} {:?}", String::from_utf8_lossy(&all)));
    let head = String::from_utf8(all[..end + 2].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    Reply { status, head, body: all.split_off(end + 4) }
}

pub fn sha256(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The manifest of an image with the configuration `{}` and one layer.
pub fn manifest(layer: &[u8]) -> String {
    manifest_with(layer, json!({}))
}

/// The same, with more fields.
pub fn manifest_with(layer: &[u8], more: Value) -> String {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    for (key, value) in more.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    manifest.to_string()
}

pub fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(content), "size": content.len() })
}

/// Bytes that do not repeat.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
