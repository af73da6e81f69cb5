//! A process that adds to a store, compresses and collects is killed at random instants, again and again. Each
//! time, what was recorded must be whole, nothing may be left that the next collection does not remove, and
//! the same work must succeed afterwards.
//!
//! `SAMPAN_KILLS` says how many times; the seed of a failure is printed, and `SAMPAN_SEED` repeats it.

#![allow(clippy::unwrap_used, reason = "what serves tests may panic as tests do")]

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use image::{
    Configuration, Layer, Live, Store, StoreError,
    manifest::{Descriptor, OCI_LAYER_GZIP},
};
use types::Digest;

#[test]
fn whenever_a_process_is_killed_the_store_stays_whole_and_the_work_can_be_done_again() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: unpacking layers takes root");
        return;
    }
    let kills: u32 = variable("SAMPAN_KILLS").unwrap_or(20);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable("SAMPAN_SEED").unwrap_or(now.as_nanos() as u64);
    eprintln!("SAMPAN_SEED={seed}");
    let top = tempfile::tempdir().unwrap();
    let work = Work::in_directory(top.path());
    let mut random = seed;
    for kill in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_micros((random >> 33) % LONGEST_ROUND_US);
        killed_after(delay, top.path());
        let store = &work.store;
        let recorded = work.recorded();
        let findings = store.verify(&recorded, |_| ()).unwrap();
        assert!(findings.is_empty(), "kill {kill} after {delay:?}: {findings:?}");
        store.collect(|| work.live()).unwrap();
        let left = fs::read_dir(top.path().join("store/leases")).unwrap().count();
        assert_eq!(left, 1, "kill {kill} after {delay:?}: only the gate stays");
        for manifest in &recorded {
            let image = store.image(manifest).unwrap();
            assert!(store.lease().unwrap().publish(&image.manifest).is_ok());
        }
    }
    work.round();
    assert_eq!(work.store.verify(&work.recorded(), |_| ()).unwrap(), []);
    work.record(&[]);
    work.store.collect(|| work.live()).unwrap();
    work.store.drop_partials().unwrap();
    let usage = work.store.usage().unwrap();
    assert!(usage.blobs.is_empty() && usage.layers.is_empty() && usage.partials == 0, "{usage:?}");
}

/// What is killed: a test of its own, so that it can be started from here.
#[test]
fn victim() {
    let Some(directory) = env::var_os(VICTIM) else { return };
    let work = Work::in_directory(Path::new(&directory));
    println!("{READY}");
    loop {
        work.round();
    }
}

fn killed_after(delay: Duration, directory: &Path) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().contains(READY)), "it begins");
    std::thread::sleep(delay);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "it worked until it was killed");
}

/// What a command does with a store, and the record of what is needed, which the engine has in its database.
struct Work {
    store: Store,
    directory: PathBuf,
}

impl Work {
    fn in_directory(directory: &Path) -> Work {
        Work { store: Store::open(&directory.join("store")).unwrap(), directory: directory.to_owned() }
    }

    /// Downloads two images that share a layer, builds one, compresses its layer, and forgets one of all.
    fn round(&self) {
        let mut recorded = self.recorded();
        for name in ["one", "two"] {
            let lease = self.store.lease().unwrap();
            let layers = ["shared", name].map(layer);
            let diff_ids = layers.each_ref().map(|(layer, _)| layer.diff_id);
            let mut staged = Vec::new();
            for (position, (layer, bytes)) in layers.iter().enumerate() {
                let held = lease.hold(&layer.blob, &diff_ids[..=position]).unwrap();
                let source = |offset: u64| Ok(Slow(&bytes[offset as usize..]));
                match lease.download(&layer.blob).unwrap() {
                    Some(download) if held.tree => {
                        lease.finish_download(download, &layer.blob, source).unwrap()
                    }
                    Some(download) => {
                        let unpacked = lease.unpack_download(download, &layer.blob, layer.diff_id, source);
                        staged.push(unpacked.unwrap());
                    }
                    None if held.tree => {}
                    None => staged.push(lease.unpack_blob(&layer.blob, layer.diff_id).unwrap()),
                }
            }
            lease.place(&diff_ids, staged).unwrap();
            let layers = layers.map(|(layer, _)| layer);
            recorded.push(lease.write_image(Configuration::default(), &layers).unwrap().manifest);
            self.record(&recorded);
        }
        let lease = self.store.lease().unwrap();
        let upper = self.directory.join("upper");
        // What is left of a build that was killed is the builder's to clear up.
        let _ = fs::remove_dir_all(&upper);
        fs::create_dir(&upper).unwrap();
        fs::write(upper.join("built"), noise("built", 3_000_000)).unwrap();
        let layer = lease.commit_layer(&upper).unwrap();
        let blob = lease.compress(&layer, &|_| ()).unwrap();
        recorded.push(
            lease.write_image(Configuration::default(), std::slice::from_ref(&layer)).unwrap().manifest,
        );
        let pushed = Layer { blob, ..layer };
        recorded.push(lease.write_image(Configuration::default(), &[pushed]).unwrap().manifest);
        self.record(&recorded);
        drop(lease);
        recorded.dedup();
        let forgotten = recorded.len() / 2;
        self.record(&recorded[forgotten..]);
        self.store.collect(|| self.live()).unwrap();
    }

    fn recorded(&self) -> Vec<Digest> {
        let text = fs::read_to_string(self.directory.join("record")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    fn record(&self, manifests: &[Digest]) {
        let new = self.directory.join("record.new");
        fs::write(&new, manifests.iter().map(|digest| format!("{digest}\n")).collect::<String>()).unwrap();
        fs::rename(new, self.directory.join("record")).unwrap();
    }

    fn live(&self) -> Result<Live, StoreError> {
        Ok(Live { manifests: self.recorded(), ..Live::default() })
    }
}

/// A layer of some files, and its blob.
fn layer(name: &str) -> (Layer, Vec<u8>) {
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..40 {
        let content = noise(name, 20_000);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // The directory is only implied, and so depends on the layer below.
        let path = format!("{name}/{}/{number}", number % 7);
        archive.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    let plain = archive.into_inner().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain).unwrap();
    let bytes = gzip.finish().unwrap();
    let blob = Descriptor::new(OCI_LAYER_GZIP, Digest::of(&bytes), bytes.len() as u64);
    (Layer { diff_id: Digest::of(&plain), blob }, bytes)
}

fn noise(name: &str, length: usize) -> Vec<u8> {
    let mut state = name.bytes().fold(7u64, |state, byte| state.wrapping_mul(31) + u64::from(byte));
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A source that gives little at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::thread::yield_now();
        let length = buffer.len().min(10_000);
        self.0.read(&mut buffer[..length])
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// About what one round takes on a slow machine, so that its last steps are met too.
const LONGEST_ROUND_US: u64 = 200_000;
const VICTIM: &str = "SAMPAN_TEST_VICTIM";
const READY: &str = "at work";
