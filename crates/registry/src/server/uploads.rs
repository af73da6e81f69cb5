//! Blobs coming in: at once, or in a session of several requests.
//!
//! ```text
//! POST  …/uploads/?mount=D&from=N   another repository's blob, or anyone's without a name: 201, or as without
//! POST  …/uploads/?digest=D + body  at once: 201
//! POST  …/uploads/                  a session: 202, Location
//! PATCH Location + body             docker's way: one stream of any length; Content-Range makes it a chunk
//! GET   Location                    204, Range: how far it is
//! PUT   Location?digest=D [+ body]  the end: 201
//! ```

use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use futures_util::TryStreamExt;

use super::{
    Ask, Code, Refusal, Registry,
    blobs::{ascii, describe},
    body, route,
    turns::Turn,
};
use crate::{
    auth::{Access, Action},
    digest::Digest,
    name::RepositoryName,
    range::Chunk,
    storage::{Upload, UploadError, UploadId},
};

/// `POST /v2/<name>/blobs/uploads/`
pub async fn begin(ask: Ask<'_>, name: RepositoryName, body: Body) -> Result<Response<Body>, Refusal> {
    if let Some(wanted) = ask.parameter("mount") {
        let wanted = route::digest(&wanted)?;
        let mounted = match ask.parameter("from") {
            Some(from) => mount(&ask, &name, &wanted, &from).await?,
            // Whoever may pull from everywhere need not say from where.
            None => ask.grant.covers_everything() && ask.contents().give_blob(&name, &wanted).await?,
        };
        if mounted {
            return Ok(created(&name, &wanted));
        }
    }
    let at_once = ask.parameter("digest").map(|text| route::digest(&text)).transpose()?;
    let body = receive(&ask, body)?;
    ask.registry.make_room().await?;
    let storage = &ask.contents().storage;
    let id = storage.begin(&name).await?;
    ask.registry.uploads.fetch_add(1, Ordering::Relaxed);
    let Some(digest) = at_once else {
        return Ok(session(StatusCode::ACCEPTED, &name, &id, 0));
    };
    let received = storage.append(&id, None, body).await;
    match received {
        Ok(_) => commit(&ask, &name, &id, &digest).await,
        Err(error) => {
            // Nobody was told of this session.
            storage.abort(&id).await?;
            ask.registry.upload_ended();
            Err(error.into())
        }
    }
}

/// Gives the repository a blob of another, if the caller could pull it from there.
async fn mount(ask: &Ask<'_>, name: &RepositoryName, digest: &Digest, from: &str) -> Result<bool, Refusal> {
    let Ok(from) = from.parse::<RepositoryName>() else { return Ok(false) };
    let may_pull = ask.grant.allows(&Access::Repository(from.clone(), &[Action::Pull]));
    if !may_pull || ask.contents().blob(&from, digest).await?.is_none() {
        return Ok(false);
    }
    Ok(ask.contents().give_blob(name, digest).await?)
}

/// `GET /v2/<name>/blobs/uploads/<id>`
pub async fn status(ask: Ask<'_>, name: RepositoryName, id: UploadId) -> Result<Response<Body>, Refusal> {
    let _turn = turn(&ask, &id).await?;
    let upload = find(&ask, &name, &id).await?;
    Ok(session(StatusCode::NO_CONTENT, &name, &id, upload.length))
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`
pub async fn append(
    ask: Ask<'_>,
    name: RepositoryName,
    id: UploadId,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    find(&ask, &name, &id).await?;
    let turn = turn(&ask, &id).await?;
    let length = add(&ask, &turn, &name, &id, body).await?;
    Ok(session(StatusCode::ACCEPTED, &name, &id, length))
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>`, with the last chunk or everything.
pub async fn finish(
    ask: Ask<'_>,
    name: RepositoryName,
    id: UploadId,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    find(&ask, &name, &id).await?;
    let missing = || Refusal::new(Code::DigestInvalid).saying("digest missing");
    let digest = route::digest(&ask.parameter("digest").ok_or_else(missing)?)?;
    let turn = turn(&ask, &id).await?;
    if !body.is_end_stream() {
        add(&ask, &turn, &name, &id, body).await?;
    }
    commit(&ask, &name, &id, &digest).await
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`
pub async fn cancel(ask: Ask<'_>, name: RepositoryName, id: UploadId) -> Result<Response<Body>, Refusal> {
    find(&ask, &name, &id).await?;
    let _turn = turn(&ask, &id).await?;
    ask.contents().storage.abort(&id).await?;
    ask.registry.upload_ended();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Ends what older requests do with the upload.
async fn turn<'a>(ask: &Ask<'a>, id: &UploadId) -> Result<Turn<'a>, Refusal> {
    ask.registry.turns.take(id).await.ok_or_else(|| Refusal::new(Code::Conflict))
}

/// The upload, if it belongs to this repository.
async fn find(ask: &Ask<'_>, name: &RepositoryName, id: &UploadId) -> Result<Upload, Refusal> {
    let upload = ask.contents().storage.upload(id).await?;
    upload.filter(|upload| upload.repository == *name).ok_or_else(|| Refusal::new(Code::BlobUploadUnknown))
}

/// Adds the body to an upload and returns its length. A chunk has to begin where the upload ends.
async fn add(
    ask: &Ask<'_>,
    turn: &Turn<'_>,
    name: &RepositoryName,
    id: &UploadId,
    body: Body,
) -> Result<u64, Refusal> {
    let at = chunk(ask)?.map(|chunk| chunk.start);
    match ask.contents().storage.append(id, at, turn.limit(receive(ask, body)?)).await {
        Ok(length) => Ok(length),
        Err(UploadError::Offset { length }) => {
            let mut refusal = Refusal::new(Code::RangeInvalid);
            for (name, value) in &whereabouts(name, id, length) {
                refusal = refusal.with(name.clone(), value.clone());
            }
            Err(refusal)
        }
        Err(error) => Err(error.into()),
    }
}

/// The body as it comes, with as many bytes as were announced.
fn receive(ask: &Ask<'_>, body: Body) -> Result<crate::storage::Incoming, Refusal> {
    let announced = ask.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    let chunk = chunk(ask)?.map(|chunk| chunk.length);
    if let (Some(announced), Some(chunk)) = (announced, chunk)
        && announced != chunk
    {
        return Err(Refusal::new(Code::SizeInvalid));
    }
    Ok(body::incoming(body, chunk.or(announced), ask.registry.patience))
}

fn chunk(ask: &Ask<'_>) -> Result<Option<Chunk>, Refusal> {
    let range = ask.header(header::CONTENT_RANGE).filter(|text| !text.is_empty());
    range.map(str::parse).transpose().map_err(|_| Refusal::new(Code::RangeInvalid))
}

/// Verifies an upload, and gives the blob to the repository.
async fn commit(
    ask: &Ask<'_>,
    name: &RepositoryName,
    id: &UploadId,
    digest: &Digest,
) -> Result<Response<Body>, Refusal> {
    let contents = ask.contents().clone();
    // Carried through even if the client goes away: it may ask with HEAD whether it worked.
    let committed = tokio::spawn({
        let (name, id, digest) = (name.clone(), id.clone(), *digest);
        async move {
            contents.storage.commit(&id, &digest).await?;
            Ok::<_, UploadError>(contents.give_blob(&name, &digest).await?)
        }
    });
    let committed = committed.await.map_err(|_| Refusal::new(Code::Unknown))?;
    if !matches!(committed, Err(UploadError::Busy)) {
        ask.registry.upload_ended();
    }
    match committed? {
        true => Ok(created(name, digest)),
        // Deleted in the same moment.
        false => Err(Refusal::new(Code::BlobUploadInvalid)),
    }
}

impl Registry {
    /// Refuses more uploads than there may be at a time, unless some of them look abandoned: those go first.
    async fn make_room(&self) -> Result<(), Refusal> {
        if self.uploads.load(Ordering::Relaxed) < self.uploads_limit {
            return Ok(());
        }
        // That counted beginnings only; now count what is there.
        let storage = &self.contents.storage;
        let mut left = 0;
        let mut uploads = storage.uploads();
        while let Some(found) = uploads.try_next().await? {
            let idle = found.modified.elapsed().unwrap_or_default();
            let is_abandoned = idle > ABANDONED || found.size == 0 && idle > self.patience;
            if !is_abandoned || !storage.abort(&found.name).await? {
                left += 1;
            }
        }
        self.uploads.store(left, Ordering::Relaxed);
        if left < self.uploads_limit {
            return Ok(());
        }
        let later = Refusal::new(Code::TooManyRequests).saying("too many uploads are going on");
        Err(later.with(header::RETRY_AFTER, HeaderValue::from_static("60")))
    }

    /// Counts an upload less.
    fn upload_ended(&self) {
        // Those of other processes, or from before, were never counted here.
        let _ = self.uploads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    describe(response.headers_mut(), digest);
    response.headers_mut().insert(header::LOCATION, ascii(&format!("/v2/{name}/blobs/{digest}")));
    response
}

fn session(status: StatusCode, name: &RepositoryName, id: &UploadId, length: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().extend(whereabouts(name, id, length));
    response
}

/// Where an upload goes on, and from which byte. Of nothing, docker's clients expect `0-0` too.
fn whereabouts(name: &RepositoryName, id: &UploadId, length: u64) -> HeaderMap {
    let id = id.as_str();
    HeaderMap::from_iter([
        (header::LOCATION, ascii(&format!("/v2/{name}/blobs/uploads/{id}"))),
        (header::RANGE, ascii(&format!("0-{}", length.saturating_sub(1)))),
        (HeaderName::from_static("docker-upload-uuid"), ascii(id)),
    ])
}

/// How long an upload that has bytes may be idle when others want its place.
const ABANDONED: Duration = Duration::from_secs(3600);
