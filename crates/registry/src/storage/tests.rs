//! The suite that every driver passes: what `Storage` promises, one test for each sentence.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::*;
use crate::{digest::Algorithm, name::Tag};

/// A driver, and what has to live as long as it.
struct Subject {
    storage: Arc<dyn Storage>,
    _directory: Option<tempfile::TempDir>,
}

fn files() -> Subject {
    let directory = tempfile::tempdir().unwrap();
    Subject { storage: Arc::new(Files::open(directory.path()).unwrap()), _directory: Some(directory) }
}

#[cfg(feature = "s3")]
fn objects() -> Subject {
    let store = Arc::new(object_store::memory::InMemory::new());
    Subject { storage: Arc::new(Objects::new(store, "some/prefix", 1000)), _directory: None }
}

/// Makes a test of each sentence, for each driver.
macro_rules! suite {
    ($($sentence:ident)*) => {
        mod on_files {
            $(#[tokio::test] async fn $sentence() { super::$sentence(&*super::files().storage).await; })*
        }
        #[cfg(feature = "s3")]
        mod on_objects {
            $(#[tokio::test] async fn $sentence() { super::$sentence(&*super::objects().storage).await; })*
        }
    };
}

suite! {
    a_document_is_what_was_put_last
    a_listing_has_what_begins_with_its_prefix_and_nothing_else
    an_upload_in_pieces_becomes_the_blob_they_make
    an_upload_goes_on_only_where_it_ends
    what_came_before_an_interruption_is_kept
    content_that_is_not_what_was_said_is_gone_with_its_upload
    an_upload_that_was_given_up_or_never_begun_is_unknown
    a_blob_is_read_from_anywhere_to_anywhere
    the_empty_blob_is_a_blob
    a_sha512_is_verified_too
    the_same_blob_twice_is_there_once_removed_gone
    a_blob_that_is_renewed_is_young
    a_small_blob_is_put_at_once
    the_exclusive_pass_waits_for_the_shared_ones
    sweeping_leaves_what_is_in_use
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(repository: &str, tag: &str) -> Key {
    Key::tag(&name(repository), &tag.parse::<Tag>().unwrap())
}

fn body(pieces: &[&[u8]]) -> Incoming {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

/// Bytes that no part of them repeats.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

async fn upload(storage: &dyn Storage, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    let id = storage.begin(&name("a")).await.unwrap();
    storage.append(&id, None, body(&[content])).await.unwrap();
    assert_eq!(storage.commit(&id, &digest).await.unwrap(), content.len() as u64);
    digest
}

async fn read(storage: &dyn Storage, digest: &Digest, range: Range<u64>) -> Option<Vec<u8>> {
    let stream = storage.read(digest, range).await.unwrap()?;
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    Some(pieces.concat())
}

async fn a_document_is_what_was_put_last(storage: &dyn Storage) {
    let key = tag("a/b", "v1");
    assert_eq!(storage.document(&key).await.unwrap(), None);
    assert_eq!(storage.modified(&key).await.unwrap(), None);
    for content in ["one", "", "two"] {
        storage.put(&key, content.into()).await.unwrap();
        assert_eq!(storage.document(&key).await.unwrap().unwrap(), content.as_bytes());
    }
    let age = storage.modified(&key).await.unwrap().unwrap().elapsed().unwrap_or_default();
    assert!(age < Duration::from_secs(60), "{age:?}");
    assert!(storage.remove(&key).await.unwrap());
    assert!(!storage.remove(&key).await.unwrap());
    assert_eq!(storage.document(&key).await.unwrap(), None);
}

async fn a_listing_has_what_begins_with_its_prefix_and_nothing_else(storage: &dyn Storage) {
    let wanted = [tag("a", "1"), tag("a", "2"), tag("a", "_")];
    // A repository whose name goes on where another's ends, and one that begins like it.
    for key in wanted.iter().chain(&[tag("a/b", "3"), tag("ab", "4"), Key::repository(&name("a"))]) {
        storage.put(key, "x".into()).await.unwrap();
    }
    let listed = |prefix: Prefix| async move {
        let mut keys: Vec<Key> =
            storage.list(&prefix).map_ok(|found| found.name).try_collect().await.unwrap();
        keys.sort();
        keys
    };
    assert_eq!(listed(Prefix::tags(&name("a"))).await, wanted);
    assert_eq!(listed(Prefix::repositories()).await, [Key::repository(&name("a"))]);
    assert_eq!(listed(Prefix::tags(&name("none"))).await, []);
}

async fn an_upload_in_pieces_becomes_the_blob_they_make(storage: &dyn Storage) {
    let content = content(4321);
    let digest = Digest::of(&content);
    let id = storage.begin(&name("a/b")).await.unwrap();
    assert_eq!(storage.upload(&id).await.unwrap(), Some(Upload { repository: name("a/b"), length: 0 }));
    assert_eq!(
        storage.append(&id, None, body(&[&content[..10], &[], &content[10..1500]])).await.unwrap(),
        1500
    );
    assert_eq!(storage.append(&id, Some(1500), body(&[&content[1500..1501]])).await.unwrap(), 1501);
    assert_eq!(storage.append(&id, None, body(&[])).await.unwrap(), 1501);
    assert_eq!(storage.append(&id, Some(1501), body(&[&content[1501..]])).await.unwrap(), 4321);
    assert_eq!(storage.upload(&id).await.unwrap().unwrap().length, 4321);
    assert_eq!(storage.blob(&digest).await.unwrap(), None);
    assert_eq!(storage.commit(&id, &digest).await.unwrap(), 4321);
    assert_eq!(storage.blob(&digest).await.unwrap().unwrap().size, 4321);
    assert_eq!(read(storage, &digest, 0..4321).await.unwrap(), content);
    assert_eq!(storage.upload(&id).await.unwrap(), None);
    let blobs: Vec<_> = storage.blobs().map_ok(|found| (found.name, found.size)).try_collect().await.unwrap();
    assert_eq!(blobs, [(digest, 4321)]);
}

async fn an_upload_goes_on_only_where_it_ends(storage: &dyn Storage) {
    let id = storage.begin(&name("a")).await.unwrap();
    storage.append(&id, Some(0), body(&[b"hello"])).await.unwrap();
    for at in [0, 4, 6] {
        let refused = storage.append(&id, Some(at), body(&[b"x"])).await;
        assert!(matches!(refused, Err(UploadError::Offset { length: 5 })), "{at}: {refused:?}");
    }
    storage.append(&id, Some(5), body(&[b", world"])).await.unwrap();
    storage.commit(&id, &Digest::of(b"hello, world")).await.unwrap();
}

async fn what_came_before_an_interruption_is_kept(storage: &dyn Storage) {
    let content = content(3000);
    let id = storage.begin(&name("a")).await.unwrap();
    let broken = body(&[&content[..2500]]).chain(stream::iter([Err(Interrupted::Gone)]));
    let interrupted = storage.append(&id, None, Box::pin(broken)).await;
    assert!(matches!(interrupted, Err(UploadError::Interrupted(Interrupted::Gone))), "{interrupted:?}");
    assert_eq!(storage.upload(&id).await.unwrap().unwrap().length, 2500);
    storage.append(&id, Some(2500), body(&[&content[2500..]])).await.unwrap();
    storage.commit(&id, &Digest::of(&content)).await.unwrap();
}

async fn content_that_is_not_what_was_said_is_gone_with_its_upload(storage: &dyn Storage) {
    let wanted = Digest::of(b"good");
    let id = storage.begin(&name("a")).await.unwrap();
    storage.append(&id, None, body(&[b"evil"])).await.unwrap();
    let refused = storage.commit(&id, &wanted).await;
    assert!(
        matches!(&refused, Err(UploadError::Mismatch { actual }) if *actual == Digest::of(b"evil")),
        "{refused:?}"
    );
    assert_eq!(storage.upload(&id).await.unwrap(), None);
    assert_eq!(storage.blob(&wanted).await.unwrap(), None);
    assert_eq!(storage.blob(&Digest::of(b"evil")).await.unwrap(), None);
}

async fn an_upload_that_was_given_up_or_never_begun_is_unknown(storage: &dyn Storage) {
    let id = storage.begin(&name("a")).await.unwrap();
    storage.append(&id, None, body(&[&content(2500)])).await.unwrap();
    let listed: Vec<_> = storage.uploads().map_ok(|found| found.name).try_collect().await.unwrap();
    assert_eq!(listed.as_slice(), std::slice::from_ref(&id));
    assert!(storage.abort(&id).await.unwrap());
    assert!(!storage.abort(&id).await.unwrap());
    for id in [id, UploadId::random().unwrap()] {
        assert_eq!(storage.upload(&id).await.unwrap(), None);
        assert!(matches!(storage.append(&id, None, body(&[b"x"])).await, Err(UploadError::Unknown)));
        assert!(matches!(storage.commit(&id, &Digest::of(b"x")).await, Err(UploadError::Unknown)));
    }
    assert_eq!(storage.uploads().count().await, 0);
}

async fn a_blob_is_read_from_anywhere_to_anywhere(storage: &dyn Storage) {
    let content = content(700_000);
    let digest = upload(storage, &content).await;
    for range in [0..700_000, 0..1, 699_999..700_000, 262_143..262_145, 5..5, 100_000..600_000] {
        let expected = &content[range.start as usize..range.end as usize];
        assert!(read(storage, &digest, range.clone()).await.unwrap() == expected, "{range:?}");
    }
    assert_eq!(read(storage, &Digest::of(b"none"), 0..1).await, None);
}

async fn the_empty_blob_is_a_blob(storage: &dyn Storage) {
    let digest = upload(storage, b"").await;
    assert_eq!(storage.blob(&digest).await.unwrap().unwrap().size, 0);
    assert_eq!(read(storage, &digest, 0..0).await.unwrap(), b"");
}

async fn a_sha512_is_verified_too(storage: &dyn Storage) {
    let content = content(2500);
    let digest = Algorithm::Sha512.digest(&content);
    for (content, is_right) in [(content.as_slice(), true), (b"other", false)] {
        let id = storage.begin(&name("a")).await.unwrap();
        storage.append(&id, None, body(&[content])).await.unwrap();
        assert_eq!(storage.commit(&id, &digest).await.is_ok(), is_right);
    }
    assert_eq!(read(storage, &digest, 0..2500).await.unwrap(), content);
}

async fn the_same_blob_twice_is_there_once_removed_gone(storage: &dyn Storage) {
    let content = content(1234);
    let first = upload(storage, &content);
    let second = upload(storage, &content);
    let (digest, _) = tokio::join!(first, second);
    assert_eq!(read(storage, &digest, 0..1234).await.unwrap(), content);
    assert!(storage.remove_blob(&digest).await.unwrap());
    assert!(!storage.remove_blob(&digest).await.unwrap());
    assert_eq!(storage.blob(&digest).await.unwrap(), None);
    assert_eq!(storage.blobs().count().await, 0);
}

async fn a_blob_that_is_renewed_is_young(storage: &dyn Storage) {
    let digest = upload(storage, b"content").await;
    let before = storage.blob(&digest).await.unwrap().unwrap().modified;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(storage.renew_blob(&digest).await.unwrap());
    let after = storage.blob(&digest).await.unwrap().unwrap();
    assert!(after.modified.duration_since(before).unwrap() >= Duration::from_secs(1));
    assert_eq!(after.size, 7);
    assert!(!storage.renew_blob(&Digest::of(b"none")).await.unwrap());
}

async fn a_small_blob_is_put_at_once(storage: &dyn Storage) {
    let digest = Digest::of(b"{}");
    storage.insert(&digest, Bytes::from_static(b"{}")).await.unwrap();
    storage.insert(&digest, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(read(storage, &digest, 0..2).await.unwrap(), b"{}");
}

async fn the_exclusive_pass_waits_for_the_shared_ones(storage: &dyn Storage) {
    let one = storage.gate(Pass::Shared).await.unwrap();
    let two = storage.gate(Pass::Shared).await.unwrap();
    let mut exclusive = std::pin::pin!(storage.gate(Pass::Exclusive));
    let soon = tokio::time::timeout(Duration::from_millis(100), exclusive.as_mut()).await;
    assert!(soon.is_err(), "it did not wait");
    drop((one, two));
    drop(exclusive.await.unwrap());
    drop(storage.gate(Pass::Shared).await.unwrap());
}

async fn sweeping_leaves_what_is_in_use(storage: &dyn Storage) {
    storage.check().await.unwrap();
    let digest = upload(storage, &content(1500)).await;
    let id = storage.begin(&name("a")).await.unwrap();
    storage.append(&id, None, body(&[&content(1700)])).await.unwrap();
    storage.put(&tag("a", "v1"), "x".into()).await.unwrap();
    storage.sweep(SystemTime::now() + Duration::from_secs(3600)).await.unwrap();
    assert_eq!(read(storage, &digest, 0..1500).await.unwrap(), content(1500));
    assert_eq!(storage.upload(&id).await.unwrap().unwrap().length, 1700);
    storage.commit(&id, &Digest::of(&content(1700))).await.unwrap();
    assert!(storage.document(&tag("a", "v1")).await.unwrap().is_some());
}

#[test]
fn who_holds_the_exclusive_pass_finds_a_thread_to_work_on_however_many_wait() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build().unwrap();
    runtime.block_on(async {
        let subject = files();
        let storage = &subject.storage;
        let exclusive = storage.gate(Pass::Exclusive).await.unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let storage = Arc::clone(storage);
                tokio::spawn(async move { drop(storage.gate(Pass::Shared).await.unwrap()) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let looked = tokio::time::timeout(Duration::from_secs(5), storage.blob(&Digest::of(b"none"))).await;
        // Before anything panics: the threads are waited for then.
        drop(exclusive);
        assert!(looked.is_ok(), "all threads wait for the gate");
        for waiting in waiting {
            waiting.await.unwrap();
        }
    });
}

#[tokio::test]
async fn an_upload_that_waited_long_becomes_a_young_blob() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Files::open(directory.path()).unwrap();
    let id = storage.begin(&"a".parse().unwrap()).await.unwrap();
    let body: Incoming = Box::pin(stream::iter([Ok(Bytes::from_static(b"content"))]));
    storage.append(&id, None, body).await.unwrap();
    let data = directory.path().join("uploads").join(id.as_str()).join("data");
    let old = SystemTime::now() - Duration::from_secs(12 * 3600);
    std::fs::File::options().write(true).open(data).unwrap().set_modified(old).unwrap();
    let digest = Digest::of(b"content");
    storage.commit(&id, &digest).await.unwrap();
    let blob = storage.blob(&digest).await.unwrap().unwrap();
    assert!(blob.modified.elapsed().unwrap_or_default() < Duration::from_secs(60));
}
