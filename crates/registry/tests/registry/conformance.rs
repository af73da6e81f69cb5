//! What the distribution specification's conformance suite asks of a registry, case by case: blobs pushed in every way there
//! is, well and badly; then images, indexes and artifacts of every kind, each pushed, listed, asked for, pulled, looked up by
//! its subject, and deleted.
//!
//! The cases are those of the suite for version 1.1 of the specification with all of its options, sha512, digest headers, cancelled
//! uploads, mounts without a source and tags as parameters among them; sparse images alone, which a registry may refuse, are
//! refused here, and `manifests.rs` says so. What fails is collected, so that one run tells all of it.

use std::{collections::BTreeMap, fmt::Display, io::Write};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::support::{OCI_INDEX, OCI_MANIFEST, Reply, Server, content, finish, open, sha256};

type Outcome = Result<(), String>;

#[test]
fn every_case_of_the_conformance_suite_passes() {
    let server = Server::start();
    let mut walk = Walk { server: &server, failures: Vec::new(), cases: 0 };
    walk.before_anything_is_there();
    for algorithm in [sha256, sha512] {
        walk.blobs(algorithm);
    }
    for data in data() {
        walk.data(&data);
    }
    walk.manifests_that_are_not_there();
    walk.pages();
    assert!(walk.cases > 300, "only {} cases were walked", walk.cases);
    assert!(walk.failures.is_empty(), "of {} cases:\n{}", walk.cases, walk.failures.join("\n"));
}

struct Walk<'s> {
    server: &'s Server,
    cases: usize,
    failures: Vec<String>,
}

impl Walk<'_> {
    fn case(&mut self, name: impl Display, outcome: Outcome) {
        self.cases += 1;
        if let Err(why) = outcome {
            self.failures.push(format!("{name}: {why}"));
        }
    }

    fn before_anything_is_there(&mut self) {
        let server = self.server;
        self.case("ping", expect(server.get("/v2/"), &[200]).map(drop));
        self.case("empty: tags", expect(server.get(&format!("/v2/{ONE}/tags/list")), &[200, 404]).map(drop));
        self.case("empty: referrers", referrers(server, &sha256(b"nothing"), None).map(drop));
    }

    fn blobs(&mut self, digest: fn(&[u8]) -> String) {
        let server = self.server;
        let kind = digest(b"").split_once(':').unwrap().0.to_owned();
        let missing = digest(b"never pushed");
        let reply = server.get(&format!("/v2/{ONE}/blobs/{missing}"));
        self.case(format!("{kind}: missing"), refused(reply, &[404]).map(drop));
        for (number, way) in WAYS.iter().enumerate() {
            let blob = &content(3067 + number)[number..];
            self.case(format!("{kind}: {way:?}"), push(server, ONE, &digest(blob), blob, *way));
            self.blob_is_there_and_goes(&kind, &digest(blob), blob);
        }
        for (name, blob) in [("empty", b"".as_slice()), ("empty JSON", b"{}")] {
            self.case(format!("{kind}: {name}"), push(server, ONE, &digest(blob), blob, Way::PostPut));
            self.blob_is_there_and_goes(&kind, &digest(blob), blob);
        }
        for way in WAYS {
            let (wanted, sent) = (digest(&content(3067)), [&content(3067)[..], b"oh no"].concat());
            self.case(format!("{kind}: another digest, {way:?}"), is_spoilt(server, &wanted, &sent, way));
            let reply = server.head(&format!("/v2/{ONE}/blobs/{wanted}"));
            self.case(
                format!("{kind}: another digest, {way:?}, is not there"),
                expect(reply, &[404]).map(drop),
            );
        }
        for (from, name) in [(Some(TWO), "mount"), (None, "mount without a source")] {
            let blob = content(700 + name.len());
            self.case(
                format!("{kind}: {name}: first"),
                push(server, TWO, &digest(&blob), &blob, Way::PostOnly),
            );
            self.case(format!("{kind}: {name}"), mount(server, &digest(&blob), from, &blob));
            self.blob_is_there_and_goes(&kind, &digest(&blob), &blob);
            let reply = server.delete(&format!("/v2/{TWO}/blobs/{}", digest(&blob)));
            self.case(format!("{kind}: {name}: last"), expect(reply, &[202]).map(drop));
        }
        let mounted = server.ask("POST", &format!("{UPLOADS}?mount={missing}&from={TWO}"), &[], b"");
        self.case(format!("{kind}: mount of what is not there"), expect(mounted, &[202]).map(drop));
        let cancelled = begin(server, ONE).and_then(|place| expect(server.delete(&place), &[204]).map(drop));
        self.case(format!("{kind}: cancel"), cancelled);
        self.ranges(&kind, digest);
    }

    fn blob_is_there_and_goes(&mut self, kind: &str, digest: &str, content: &[u8]) {
        let (server, path) = (self.server, format!("/v2/{ONE}/blobs/{digest}"));
        self.case(format!("{kind}: head {digest}"), is_head(server.head(&path), digest, content.len()));
        self.case(format!("{kind}: get {digest}"), is_whole(server.get(&path), digest, content));
        self.case(format!("{kind}: delete {digest}"), expect(server.delete(&path), &[202]).map(drop));
        self.case(format!("{kind}: deleted {digest}"), expect(server.head(&path), &[404]).map(drop));
    }

    fn ranges(&mut self, kind: &str, digest: fn(&[u8]) -> String) {
        let blob = content(2048);
        let (server, path) = (self.server, format!("/v2/{ONE}/blobs/{}", digest(&blob)));
        self.case("range: push", push(server, ONE, &digest(&blob), &blob, Way::PostOnly));
        for (range, part) in [
            ("500-1499", Some(500..1500)),
            ("500-", Some(500..2048)),
            ("-500", Some(1548..2048)),
            ("2000-5000", Some(2000..2048)),
            ("500-0", None),
            ("5000-10000", None),
        ] {
            let reply = server.ask("GET", &path, &[("Range", &format!("bytes={range}"))], b"");
            let outcome = match part {
                None => expect(reply, &[416]).map(drop),
                Some(part) => expect(reply, &[206]).and_then(|reply| {
                    let length = part.len().to_string();
                    has(&reply, "content-length", &length)?;
                    has(&reply, "content-range", &format!("bytes {}-{}/2048", part.start, part.end - 1))?;
                    is_body(&reply, &blob[part])
                }),
            };
            self.case(format!("{kind}: range {range}"), outcome);
        }
        self.case("range: delete", expect(server.delete(&path), &[202]).map(drop));
    }

    /// Pushes all that there is of `data`, has a look at it in every way, and deletes it.
    fn data(&mut self, data: &Data) {
        let (server, name) = (self.server, data.name);
        let digest = data.digest;
        for (number, blob) in data.blobs.iter().enumerate() {
            let way = WAYS[number % WAYS.len()];
            self.case(format!("{name}: push a blob, {way:?}"), push(server, ONE, &digest(blob), blob, way));
        }
        for document in &data.documents {
            let named = document.digest.clone();
            self.case(
                format!("{name}: push {named}"),
                put(server, &named, document, data.tags_in_the_query(&named)),
            );
        }
        for (tag, named) in data.tags.iter().filter(|_| !data.tag_parameters) {
            self.case(format!("{name}: push {tag}"), put(server, tag, data.document(named), Vec::new()));
        }
        self.tags(data);
        let by_digest = data.documents.iter().map(|document| (&document.digest, document));
        let by_tag = data.tags.iter().map(|(tag, named)| (tag, data.document(named)));
        for (reference, document) in by_digest.chain(by_tag) {
            let path = format!("/v2/{ONE}/manifests/{reference}");
            let head = server.ask("HEAD", &path, ACCEPT, b"");
            let is_right = is_head(head, &document.digest, document.bytes.len());
            self.case(format!("{name}: head {reference}"), is_right);
            let reply = server.ask("GET", &path, ACCEPT, b"");
            self.case(format!("{name}: get {reference}"), is_document(reply, document));
        }
        for blob in &data.blobs {
            let path = format!("/v2/{ONE}/blobs/{}", digest(blob));
            self.case(format!("{name}: head a blob"), is_head(server.head(&path), &digest(blob), blob.len()));
            self.case(format!("{name}: get a blob"), is_whole(server.get(&path), &digest(blob), blob));
        }
        self.referrers(data);
        for tag in data.tags.keys() {
            self.goes(name, &format!("/v2/{ONE}/manifests/{tag}"));
        }
        for document in data.documents.iter().rev() {
            self.goes(name, &format!("/v2/{ONE}/manifests/{}", document.digest));
        }
        for blob in &data.blobs {
            self.goes(name, &format!("/v2/{ONE}/blobs/{}", digest(blob)));
        }
    }

    fn goes(&mut self, name: &str, path: &str) {
        let server = self.server;
        self.case(format!("{name}: delete {path}"), expect(server.delete(path), &[202]).map(drop));
        self.case(format!("{name}: deleted {path}"), expect(server.head(path), &[404]).map(drop));
    }

    fn tags(&mut self, data: &Data) {
        let server = self.server;
        let list = |query: &str| -> Result<Vec<String>, String> {
            let reply = expect(server.get(&format!("/v2/{ONE}/tags/list{query}")), &[200])?;
            serde_json::from_value(reply.json()["tags"].clone()).map_err(|error| error.to_string())
        };
        let outcome = list("").and_then(|tags| {
            if data.tags.keys().any(|tag| !tags.contains(tag)) {
                return Err(format!("of {:?} there are {tags:?}", data.tags.keys()));
            }
            let middle = tags.len() / 2;
            if middle == 0 {
                return Ok(());
            }
            let rest = list(&format!("?last={}", tags[middle - 1]))?;
            if rest == tags[middle..] { Ok(()) } else { Err(format!("{rest:?} follow in {tags:?}")) }
        });
        self.case(format!("{}: tags", data.name), outcome);
    }

    fn referrers(&mut self, data: &Data) {
        let mut wanted: BTreeMap<&str, Vec<&Document>> = BTreeMap::new();
        for document in &data.documents {
            if let Some(subject) = &document.subject {
                wanted.entry(subject).or_default().push(document);
            }
        }
        for (subject, documents) in wanted {
            let all = referrers(self.server, subject, None);
            let outcome = all.and_then(|all| documents.iter().try_for_each(|document| document.is_in(&all)));
            self.case(format!("{}: referrers", data.name), outcome);
            for document in &documents {
                let kind = &document.artifact_type;
                let some = referrers(self.server, subject, Some(kind)).and_then(|some| {
                    document.is_in(&some)?;
                    let strays: Vec<_> =
                        some.iter().filter(|one| one["artifactType"] != kind.as_str()).collect();
                    if strays.is_empty() { Ok(()) } else { Err(format!("{strays:?} are not {kind}")) }
                });
                self.case(format!("{}: referrers of type {kind}", data.name), some);
            }
        }
    }

    fn manifests_that_are_not_there(&mut self) {
        let server = self.server;
        let missing = sha256(b"never pushed");
        for reference in [missing.as_str(), "missing-tag"] {
            let path = format!("/v2/{ONE}/manifests/{reference}");
            let reply = server.ask("GET", &path, ACCEPT, b"");
            self.case(format!("missing {reference}"), refused(reply, &[404]));
            self.case(format!("head of missing {reference}"), expect(server.head(&path), &[404]).map(drop));
        }
        let mut data = Data::named("invalid digest");
        data.image(1, json!({}));
        for blob in &data.blobs {
            self.case("invalid digest: blob", push(server, ONE, &sha256(blob), blob, Way::PostOnly));
        }
        let text = String::from_utf8(data.documents[0].bytes.clone()).unwrap();
        let invalid = server.put_manifest(ONE, "sha256:baddigeststring", OCI_MANIFEST, &text);
        self.case("invalid digest: put", refused(invalid, &[400]));
        let reply = server.get(&format!("/v2/{ONE}/manifests/sha256:baddigeststring"));
        self.case("invalid digest: get", refused(reply, &[400, 404]));
        let other = server.put_manifest(ONE, &sha256(text.as_bytes()), OCI_MANIFEST, &format!("{text}  "));
        self.case("another digest: put", refused(other, &[400]));
        for blob in &data.blobs {
            self.goes("invalid digest", &format!("/v2/{ONE}/blobs/{}", sha256(blob)));
        }
    }

    /// Tags in pages, as the suite's first version asks for them.
    fn pages(&mut self) {
        let server = self.server;
        for tag in ["test0", "test1", "test2", "test3"] {
            server.push_image(TWO, tag, b"layer");
        }
        let mut seen = Vec::new();
        let mut query = "n=2".to_owned();
        for _ in 0..2 {
            let reply = server.get(&format!("/v2/{TWO}/tags/list?{query}"));
            let tags = reply.json()["tags"].clone();
            let tags: Vec<String> = serde_json::from_value(tags).unwrap_or_default();
            query = format!("n=2&last={}", tags.last().cloned().unwrap_or_default());
            seen.extend(tags);
        }
        let is_right = seen == ["test0", "test1", "test2", "test3"];
        self.case("pages", if is_right { Ok(()) } else { Err(format!("{seen:?}")) });
    }
}

/// How a blob is uploaded.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    PostOnly,
    PostPut,
    Stream,
    /// In chunks of 1024 bytes, the last one in the request that ends it or before; each perhaps after one that is out of
    /// order.
    Chunks {
        last_in_put: bool,
        out_of_order: bool,
    },
}

const WAYS: [Way; 7] = [
    Way::PostOnly,
    Way::PostPut,
    Way::Stream,
    Way::Chunks { last_in_put: false, out_of_order: false },
    Way::Chunks { last_in_put: true, out_of_order: false },
    Way::Chunks { last_in_put: false, out_of_order: true },
    Way::Chunks { last_in_put: true, out_of_order: true },
];

fn push(server: &Server, repository: &str, digest: &str, content: &[u8], way: Way) -> Outcome {
    let reply = expect(upload(server, repository, digest, content, way)?, &[201])?;
    has(&reply, "docker-content-digest", digest)?;
    let place = reply.header("location").ok_or("no location")?;
    is_body(&expect(server.get(place), &[200])?, content)
}

/// Expects that content with another digest than `digest` is refused.
fn is_spoilt(server: &Server, digest: &str, content: &[u8], way: Way) -> Outcome {
    refused(upload(server, ONE, digest, content, way)?, &[400])
}

/// Uploads a blob; the answer to the last request.
fn upload(
    server: &Server,
    repository: &str,
    digest: &str,
    content: &[u8],
    way: Way,
) -> Result<Reply, String> {
    let put = |place: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mark = if place.contains('?') { '&' } else { '?' };
        server.ask("PUT", &format!("{place}{mark}digest={digest}"), &[&[BYTES], headers].concat(), body)
    };
    if way == Way::PostOnly {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        return Ok(server.ask("POST", &path, &[BYTES], content));
    }
    let mut place = begin(server, repository)?;
    match way {
        Way::PostOnly => unreachable!("returned above"),
        Way::PostPut => Ok(put(&place, &[], content)),
        Way::Stream => {
            let mut stream = open(server.address, "PATCH", &place, &[BYTES], None);
            let sent = write!(stream, "{:x}\r\n", content.len())
                .and_then(|()| stream.write_all(content))
                .and_then(|()| stream.write_all(b"\r\n0\r\n\r\n"));
            sent.map_err(|error| error.to_string())?;
            let reply = expect(finish(stream), &[202])?;
            Ok(put(reply.header("location").ok_or("no location")?, &[], b""))
        }
        Way::Chunks { last_in_put, out_of_order } => {
            let chunks: Vec<&[u8]> = content.chunks(CHUNK).collect();
            for (number, chunk) in chunks.iter().enumerate() {
                let is_last = number + 1 == chunks.len();
                // With one chunk alone there is no wrong one.
                if out_of_order && chunks.len() > 1 {
                    let wrong = if is_last { 0 } else { number + 1 };
                    let range = range_of(&chunks, wrong);
                    let headers = [BYTES, ("Content-Range", range.as_str())];
                    expect(server.ask("PATCH", &place, &headers, chunks[wrong]), &[416])?;
                    let status = expect(server.get(&place), &[204])?;
                    has(&status, "range", &format!("0-{}", (number * CHUNK).saturating_sub(1)))?;
                    place = status.header("location").ok_or("no location")?.to_owned();
                }
                let range = range_of(&chunks, number);
                let headers = [("Content-Range", range.as_str())];
                if is_last && last_in_put {
                    return Ok(put(&place, &headers, chunk));
                }
                let reply = server.ask("PATCH", &place, &[BYTES, headers[0]], chunk);
                place = expect(reply, &[202])?.header("location").ok_or("no location")?.to_owned();
            }
            Ok(put(&place, &[], b""))
        }
    }
}

fn range_of(chunks: &[&[u8]], number: usize) -> String {
    let start = number * CHUNK;
    format!("{start}-{}", start + chunks[number].len() - 1)
}

fn begin(server: &Server, repository: &str) -> Result<String, String> {
    let reply = server.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
    Ok(expect(reply, &[202])?.header("location").ok_or("no location")?.to_owned())
}

fn mount(server: &Server, digest: &str, from: Option<&str>, content: &[u8]) -> Outcome {
    let from = from.map(|from| format!("&from={from}")).unwrap_or_default();
    let reply = expect(server.ask("POST", &format!("{UPLOADS}?mount={digest}{from}"), &[], b""), &[201])?;
    has(&reply, "docker-content-digest", digest)?;
    is_body(&expect(server.get(reply.header("location").ok_or("no location")?), &[200])?, content)
}

/// Pushes a manifest and expects that it is where the registry says, under its digest and with the tags asked for.
fn put(server: &Server, reference: &str, document: &Document, tags: Vec<&str>) -> Outcome {
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let path = format!("/v2/{ONE}/manifests/{reference}?{}", query.join("&"));
    let headers = [("Content-Type", document.media_type)];
    let reply = expect(server.ask("PUT", &path, &headers, &document.bytes), &[201])?;
    has(&reply, "docker-content-digest", &document.digest)?;
    if let Some(subject) = &document.subject {
        has(&reply, "oci-subject", subject)?;
    }
    let told: Vec<&str> =
        reply.headers("oci-tag").flat_map(|value| value.split(',')).map(str::trim).collect();
    if tags.iter().any(|tag| !told.contains(tag)) {
        return Err(format!("of {tags:?} it took {told:?}"));
    }
    let place = reply.header("location").ok_or("no location")?;
    is_document(server.ask("GET", place, ACCEPT, b""), document)
}

/// What refers to `subject`, or that part of it that is of one type.
fn referrers(server: &Server, subject: &str, artifact_type: Option<&str>) -> Result<Vec<Value>, String> {
    let query = artifact_type.map(|kind| format!("?artifactType={}", kind.replace('+', "%2B")));
    let path = format!("/v2/{ONE}/referrers/{subject}{}", query.unwrap_or_default());
    let reply = expect(server.get(&path), &[200])?;
    has(&reply, "content-type", OCI_INDEX)?;
    if artifact_type.is_some() {
        has(&reply, "oci-filters-applied", "artifactType")?;
    }
    let index = reply.json();
    if index["schemaVersion"] != 2 || index["mediaType"] != OCI_INDEX {
        return Err(format!("{index} is no index"));
    }
    index["manifests"].as_array().cloned().ok_or_else(|| format!("{index} lists nothing"))
}

fn expect(reply: Reply, statuses: &[u16]) -> Result<Reply, String> {
    if statuses.contains(&reply.status) { Ok(reply) } else { Err(format!("not {statuses:?}: {reply:?}")) }
}

/// Expects one of these statuses, with a code that the specification knows.
fn refused(reply: Reply, statuses: &[u16]) -> Outcome {
    let reply = expect(reply, statuses)?;
    if CODES.contains(&reply.code().as_str()) { Ok(()) } else { Err(format!("no such code: {reply:?}")) }
}

fn has(reply: &Reply, header: &str, value: &str) -> Outcome {
    match reply.headers(header).any(|found| found == value) {
        true => Ok(()),
        false => Err(format!("no {header}: {value} in {}", reply.head)),
    }
}

fn is_body(reply: &Reply, content: &[u8]) -> Outcome {
    match reply.body == content {
        true => Ok(()),
        false => Err(format!("{} bytes, not the {} expected", reply.body.len(), content.len())),
    }
}

fn is_head(reply: Reply, digest: &str, length: usize) -> Outcome {
    let reply = expect(reply, &[200])?;
    has(&reply, "content-length", &length.to_string())?;
    has(&reply, "docker-content-digest", digest)?;
    is_body(&reply, b"")
}

fn is_whole(reply: Reply, digest: &str, content: &[u8]) -> Outcome {
    let reply = expect(reply, &[200])?;
    has(&reply, "content-length", &content.len().to_string())?;
    has(&reply, "docker-content-digest", digest)?;
    is_body(&reply, content)
}

fn is_document(reply: Reply, document: &Document) -> Outcome {
    has(&reply, "content-type", document.media_type)?;
    is_whole(reply, &document.digest, &document.bytes)
}

/// Content of one kind: blobs, manifests that name them, tags.
struct Data {
    name: &'static str,
    digest: fn(&[u8]) -> String,
    blobs: Vec<Vec<u8>>,
    /// In an order in which they can be pushed.
    documents: Vec<Document>,
    /// Each with the digest it stands for.
    tags: BTreeMap<String, String>,
    /// Whether tags come with the push of the digest.
    tag_parameters: bool,
    seed: usize,
}

/// A manifest or an index.
struct Document {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
    subject: Option<String>,
    artifact_type: String,
    annotations: Value,
}

impl Document {
    /// Expects that it is in a list of referrers, as it has to be described there.
    fn is_in(&self, list: &[Value]) -> Outcome {
        let is_it = |one: &&Value| {
            one["digest"] == self.digest.as_str()
                && one["mediaType"] == self.media_type
                && one["size"] == self.bytes.len()
                && one["artifactType"].as_str().unwrap_or_default() == self.artifact_type
                && one["annotations"] == self.annotations
        };
        list.iter().find(is_it).map(drop).ok_or_else(|| format!("{} is not in {list:?}", self.digest))
    }
}

impl Data {
    fn named(name: &'static str) -> Data {
        let (blobs, documents, tags) = (Vec::new(), Vec::new(), BTreeMap::new());
        let seed = name.bytes().fold(1, |seed, byte| (seed * 31 + usize::from(byte)) % 10_007);
        Data { name, digest: sha256, blobs, documents, tags, tag_parameters: false, seed }
    }

    fn tag(mut self, tag: &str, of: &Value) -> Data {
        self.tags.insert(tag.to_owned(), of["digest"].as_str().unwrap().to_owned());
        self
    }

    fn document(&self, digest: &str) -> &Document {
        self.documents.iter().find(|document| document.digest == digest).unwrap()
    }

    fn tags_in_the_query(&self, digest: &str) -> Vec<&str> {
        let tags = self.tags.iter().filter(|(_, of)| self.tag_parameters && *of == digest);
        tags.map(|(tag, _)| tag.as_str()).collect()
    }

    /// A blob unlike all others; its descriptor.
    fn blob(&mut self, media_type: &str) -> Value {
        self.seed += 1;
        let blob = content(20_000)[self.seed % 10_007..][..700 + self.seed % 300].to_vec();
        self.known_blob(media_type, &blob)
    }

    fn known_blob(&mut self, media_type: &str, blob: &[u8]) -> Value {
        if !self.blobs.iter().any(|other| other == blob) {
            self.blobs.push(blob.to_vec());
        }
        json!({"mediaType": media_type, "digest": (self.digest)(blob), "size": blob.len()})
    }

    /// An image with so many layers, and some fields of its manifest replaced; its descriptor.
    fn image(&mut self, layers: usize, more: Value) -> Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json");
        let layers: Vec<Value> =
            (0..layers).map(|_| self.blob("application/vnd.oci.image.layer.v1.tar+gzip")).collect();
        let mut manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        replace(&mut manifest, more);
        self.add(OCI_MANIFEST, &manifest)
    }

    /// An artifact of a type; its descriptor.
    fn artifact(&mut self, artifact_type: &str, more: Value) -> Value {
        let config = self.known_blob(EMPTY, b"{}");
        let layers = [self.blob(artifact_type)];
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type, "config": config, "layers": layers,
        });
        replace(&mut manifest, more);
        self.add(OCI_MANIFEST, &manifest)
    }

    /// An index; its descriptor.
    fn index(&mut self, manifests: &[Value], more: Value) -> Value {
        let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        replace(&mut index, more);
        self.add(OCI_INDEX, &index)
    }

    /// An index of two images, or of what `one` makes.
    fn platforms(&mut self, mut one: impl FnMut(&mut Data) -> Value, more: Value) -> Value {
        let manifests = ["amd64", "arm64"].map(|architecture| {
            let mut descriptor = one(self);
            descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
            descriptor
        });
        self.index(&manifests, more)
    }

    fn add(&mut self, media_type: &'static str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = (self.digest)(&bytes);
        let artifact_type = document["artifactType"].as_str().or(document["config"]["mediaType"].as_str());
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.documents.push(Document {
            media_type,
            digest,
            bytes,
            subject: document["subject"]["digest"].as_str().map(str::to_owned),
            artifact_type: artifact_type.unwrap_or_default().to_owned(),
            annotations: document["annotations"].clone(),
        });
        descriptor
    }
}

fn replace(document: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
}

/// Every kind of content that the suite has.
fn data() -> Vec<Data> {
    let image = |data: &mut Data| data.image(3, json!({}));
    let about = |subject: &Value, more: Value| {
        let mut fields =
            json!({"subject": subject, "annotations": {"org.opencontainers.conformance": "hello"}});
        replace(&mut fields, more);
        fields
    };
    let mut all = Vec::new();
    let mut with = |name, make: &dyn Fn(&mut Data) -> Value| {
        let mut data = Data::named(name);
        let tagged = make(&mut data);
        all.push(data.tag(&name.replace(' ', "-"), &tagged));
    };

    with("image", &image);
    with("image uncompressed", &|data| {
        let layers: Vec<Value> =
            (0..3).map(|_| data.blob("application/vnd.oci.image.layer.v1.tar")).collect();
        data.image(0, json!({"layers": layers}))
    });
    with("large manifest", &|data| {
        let large = |number| (format!("large-annotation-{number}"), "A".repeat(10_000).into());
        let annotations: serde_json::Map<String, Value> = (0..390).map(large).collect();
        data.image(3, json!({"annotations": annotations}))
    });
    with("index", &|data| data.platforms(image, json!({})));
    with("nested index", &|data| {
        let two = [data.platforms(image, json!({})), data.platforms(image, json!({}))];
        data.index(&two, json!({}))
    });
    with("empty index", &|data| data.index(&[], json!({})));
    with("artifact", &|data| data.artifact(EXAMPLE, json!({})));
    with("artifact index", &|data| {
        data.platforms(|data| data.artifact(EXAMPLE, json!({})), json!({"artifactType": EXAMPLE}))
    });
    with("artifact without layers", &|data| {
        let empty = data.known_blob(EMPTY, b"{}");
        let fields = json!({"artifactType": EXAMPLE, "config": empty, "layers": [empty]});
        data.image(0, fields)
    });
    with("artifacts with subject", &|data| {
        let subject = data.image(3, json!({}));
        data.image(3, json!({"subject": subject}));
        data.artifact(EXAMPLE, about(&subject, json!({})));
        data.artifact("application/vnd.example.other+json", about(&subject, json!({})))
    });
    with("index with subject", &|data| {
        let subject = data.platforms(image, json!({}));
        let more = about(&subject, json!({"artifactType": EXAMPLE}));
        data.platforms(|data| data.artifact(EXAMPLE, json!({})), more)
    });
    with("missing subject", &|data| {
        let subject = json!({"mediaType": OCI_MANIFEST, "size": 123, "digest": sha256(b"missing content")});
        data.artifact(EXAMPLE, about(&subject, json!({})))
    });
    with("data field", &|data| {
        let mut config = data.known_blob("application/vnd.oci.image.config.v1+json", b"{\"os\": \"linux\"}");
        config["data"] = "eyJvcyI6ICJsaW51eCJ9".into();
        data.image(3, json!({"config": config}))
    });
    with("layers that are elsewhere", &|data| {
        let elsewhere = |kind: &str, name: &str| {
            let digest = sha256(name.as_bytes());
            json!({
                "mediaType": format!("application/vnd.oci.image.layer.nondistributable.v1.{kind}"), "size": 123_456,
                "digest": digest, "urls": [format!("https://store.example.com/blobs/sha256/{}", &digest[7..])],
            })
        };
        let here = data.blob("application/vnd.oci.image.layer.v1.tar+gzip");
        let layers = [elsewhere("tar+gzip", "one"), elsewhere("tar", "two"), here];
        data.image(0, json!({"layers": layers}))
    });
    with("custom fields", &|data| {
        let custom = json!({"org.example.custom": {"field": ["of", "another", "kind"]}});
        data.platforms(|data| data.image(3, custom.clone()), custom.clone())
    });
    with("no layers", &|data| data.image(0, json!({})));

    for (name, digest, tag_parameters) in [
        ("sha512", sha512 as fn(&[u8]) -> String, false),
        ("tag parameters", sha256, true),
        ("tag parameters with sha512", sha512, true),
    ] {
        let mut data = Data { digest, tag_parameters, ..Data::named(name) };
        let index = data.platforms(image, json!({}));
        if tag_parameters {
            let tag = name.replace(' ', "-");
            data = data.tag(&tag, &index);
            let digests: Vec<String> =
                data.documents.iter().map(|document| document.digest.clone()).collect();
            data.tags.extend(
                digests.into_iter().enumerate().map(|(number, digest)| (format!("{tag}-{number}"), digest)),
            );
        }
        all.push(data);
    }
    all
}

fn sha512(content: &[u8]) -> String {
    let hex: String = Sha512::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha512:{hex}")
}

const ONE: &str = "conformance/repo1";
const TWO: &str = "conformance/repo2";
const UPLOADS: &str = "/v2/conformance/repo1/blobs/uploads/";
const CHUNK: usize = 1024;
const BYTES: (&str, &str) = ("Content-Type", "application/octet-stream");
const ACCEPT: &[(&str, &str)] = &[("Accept", OCI_INDEX), ("Accept", OCI_MANIFEST)];
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EXAMPLE: &str = "application/vnd.example.conformance+json";
/// The codes of errors that the specification has.
const CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];
