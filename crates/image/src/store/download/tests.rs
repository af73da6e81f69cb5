use std::{
    io::Cursor,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::{
    manifest::{OCI_LAYER, OCI_LAYER_GZIP},
    store::tests::{Sandbox, sandbox},
    tarball::tests::Raw,
};

/// A layer of one file, too large for the pipe's buffers, whose bytes nothing makes much smaller.
struct Sample {
    plain: Vec<u8>,
    bytes: Vec<u8>,
    blob: Descriptor,
    diff_id: Digest,
}

fn sample() -> Sample {
    let mut state = 1u64;
    let noise = (0..400_000).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()
    });
    let plain = Raw::default().file("noise", &noise.collect::<Vec<u8>>()).end();
    let mut bytes = GzEncoder::new(Vec::new(), Compression::fast());
    bytes.write_all(&plain).unwrap();
    let bytes = bytes.finish().unwrap();
    let blob = Descriptor::new(OCI_LAYER_GZIP, Digest::of(&bytes), bytes.len() as u64);
    Sample { diff_id: Digest::of(&plain), plain, bytes, blob }
}

/// Gives some bytes, then this error.
struct Breaking<'a>(&'a [u8], io::ErrorKind);

impl Read for Breaking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(self.1.into()),
            count => Ok(count),
        }
    }
}

/// The length of what is there of a blob.
fn partial(sandbox: &Sandbox, blob: &Descriptor) -> Option<u64> {
    fs::metadata(sandbox.store.partial_path(&blob.digest)).ok().map(|file| file.len())
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let Some(sandbox) = sandbox() else { return };
    let Sample { plain, bytes, blob, diff_id } = sample();
    for stop in [0, 1, 300_000, 1_000_000, bytes.len() as u64] {
        let lease = sandbox.store.lease().unwrap();
        let download = lease.download(&blob).unwrap().unwrap();
        let there = download.length();
        let broken = lease.unpack_download(download, &blob, diff_id, |offset| {
            assert_eq!(offset, there);
            Ok(Breaking(&bytes[offset as usize..stop as usize], io::ErrorKind::ConnectionReset))
        });
        let Err(StoreError::Source(error)) = broken else { panic!("{stop}: {:?}", broken.map(drop)) };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(partial(&sandbox, &blob), Some(stop).filter(|stop| *stop > 0), "nothing empty is left");
    }
    let lease = sandbox.store.lease().unwrap();
    let download = lease.download(&blob).unwrap().unwrap();
    assert_eq!(download.length(), blob.size);
    let nothing_to_ask = |_| -> io::Result<&[u8]> { panic!("everything is there") };
    let staged = lease.unpack_download(download, &blob, diff_id, nothing_to_ask).unwrap();
    assert_eq!(partial(&sandbox, &blob), None);
    assert!(sandbox.store.is_sound(&blob).unwrap());
    lease.place(&[diff_id], vec![staged]).unwrap();
    let file = fs::read(sandbox.store.layer_path(&diff_id).join("tree/noise")).unwrap();
    assert_eq!(file, plain[512..512 + file.len()]);
    assert!(lease.download(&blob).unwrap().is_none(), "the store has it");
}

#[test]
fn wrong_bytes_are_never_built_upon() {
    let Some(sandbox) = sandbox() else { return };
    let Sample { bytes, blob, diff_id, .. } = sample();
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let too_many = [bytes.as_slice(), b"x"].concat();
    let lease = sandbox.store.lease().unwrap();
    for liar in [&wrong[..], &too_many, &[7; 100], b"\x1f\x8bno gzip at all"] {
        let download = lease.download(&blob).unwrap().unwrap();
        assert_eq!(download.length(), 0);
        let source = Breaking(liar, io::ErrorKind::ConnectionReset);
        let error = lease.unpack_download(download, &blob, diff_id, |_| Ok(source)).map(drop).unwrap_err();
        // Only what looks good so far may be worth going on with.
        let kept = matches!(error, StoreError::Source(_)).then_some(liar.len() as u64);
        assert_eq!(partial(&sandbox, &blob), kept, "{error}");
        if kept.is_some() {
            let download = lease.download(&blob).unwrap().unwrap();
            let rest = |offset| Ok(&bytes[offset as usize..]);
            let error = lease.finish_download(download, &blob, rest).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
    let download = lease.download(&blob).unwrap().unwrap();
    let other = Digest::of(b"another layer");
    let error = lease.unpack_download(download, &blob, other, |_| Ok(bytes.as_slice())).map(drop);
    assert!(matches!(error, Err(StoreError::DamagedLayer { expected, .. }) if expected == other));
    assert_eq!(partial(&sandbox, &blob), None);
    assert!(!sandbox.store.has_blob(&blob.digest).unwrap());
}

#[test]
fn bytes_that_are_neither_an_archive_nor_the_blob_are_said_to_be_damaged() {
    let Some(sandbox) = sandbox() else { return };
    let Sample { bytes, blob, diff_id, .. } = sample();
    let lease = sandbox.store.lease().unwrap();
    let unpack = |liar: Vec<u8>, blob: &Descriptor| {
        let download = lease.download(blob).unwrap().unwrap();
        let unpacked = lease.unpack_download(download, blob, diff_id, |_| Ok(Cursor::new(liar)));
        assert_eq!(partial(&sandbox, blob), None);
        unpacked.map(drop).unwrap_err()
    };
    let noise = vec![b'x'; bytes.len()];
    let expected = Descriptor::new(OCI_LAYER, Digest::of(&noise), noise.len() as u64);
    assert!(matches!(unpack(noise.clone(), &blob), StoreError::Damaged { .. }));
    assert!(matches!(unpack(noise, &expected), StoreError::Unpack { .. }));
}

#[test]
fn a_source_that_ends_early_can_be_gone_on_with() {
    let Some(sandbox) = sandbox() else { return };
    let Sample { bytes, blob, .. } = sample();
    let lease = sandbox.store.lease().unwrap();
    let download = lease.download(&blob).unwrap().unwrap();
    let error = lease.finish_download(download, &blob, |_| Ok(&bytes[..10])).unwrap_err();
    assert!(matches!(error, StoreError::Source(_)), "{error}");
    let download = lease.download(&blob).unwrap().unwrap();
    assert_eq!(download.length(), 10);
    lease.finish_download(download, &blob, |offset| Ok(&bytes[offset as usize..])).unwrap();
    assert!(sandbox.store.is_sound(&blob).unwrap());
}

#[test]
fn what_two_want_at_once_is_downloaded_once() {
    let Some(sandbox) = sandbox() else { return };
    let Sample { bytes, blob, .. } = sample();
    let (first, second) = (sandbox.store.lease().unwrap(), sandbox.store.lease().unwrap());
    let download = first.download(&blob).unwrap().unwrap();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let (second, blob) = (&second, &blob);
        scope.spawn(move || {
            sender.send(None).unwrap();
            sender.send(Some(second.download(blob).unwrap().is_some())).unwrap();
        });
        assert_eq!(receiver.recv().unwrap(), None);
        assert!(receiver.try_recv().is_err(), "it waits");
        first.finish_download(download, blob, |_| Ok(Cursor::new(&bytes))).unwrap();
        assert_eq!(receiver.recv().unwrap(), Some(false), "nothing is left to download");
    });
}

#[test]
fn a_damaged_blob_can_be_downloaded_again() {
    let Some(sandbox) = sandbox() else { return };
    let archive = Raw::default().file("a", b"x").end();
    let diff_id = Digest::of(&archive);
    let blob = Descriptor::new(OCI_LAYER, diff_id, archive.len() as u64);
    let path = sandbox.store.blob_path(&diff_id);
    fs::write(&path, &archive[..600]).unwrap();
    let lease = sandbox.store.lease().unwrap();
    assert!(lease.unpack_blob(&blob, diff_id).is_err());
    let download = lease.download(&blob).unwrap().expect("it was set aside");
    lease.finish_download(download, &blob, |_| Ok(archive.as_slice())).unwrap();
    lease.unpack_blob(&blob, diff_id).unwrap();
}

#[test]
fn downloads_that_nobody_goes_on_with_are_removed_in_time() {
    let Some(sandbox) = sandbox() else { return };
    let store = &sandbox.store;
    let lease = store.lease().unwrap();
    let begin = |content: &[u8]| {
        let blob = Descriptor::new(OCI_LAYER, Digest::of(content), 10_000);
        let download = lease.download(&blob).unwrap().unwrap();
        lease.finish_download(download, &blob, |_| Ok([1; 5000].as_slice())).unwrap_err();
        blob
    };
    let (going_on, old, new) = (begin(b"going on"), begin(b"old"), begin(b"new"));
    let eight_days_ago = SystemTime::now() - Duration::from_hours(8 * 24);
    for blob in [&going_on, &old] {
        let file = File::options().append(true).open(store.partial_path(&blob.digest)).unwrap();
        file.set_modified(eight_days_ago).unwrap();
    }
    let held = lease.download(&going_on).unwrap().unwrap();
    let freed = store.collect(|| Ok::<_, StoreError>(Default::default())).unwrap();
    assert_eq!(freed.bytes, 8192, "two blocks of 4 KiB");
    let left = |blob| partial(&sandbox, blob).is_some();
    assert_eq!([left(&going_on), left(&old), left(&new)], [true, false, true]);
    assert_eq!(store.drop_partials().unwrap(), 8192);
    assert_eq!([left(&going_on), left(&new)], [true, false]);
    drop(held);
    assert_eq!(store.drop_partials().unwrap(), 8192);
}
