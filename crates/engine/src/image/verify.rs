//! Whether the store is sound, and mending it where it is not.

use distribution::{Client, ClientError, Selector};
use image::{
    Lease,
    manifest::Descriptor,
    store::{Finding, Repair, Subject, Verified},
};
use types::{Digest, Reference};

use crate::{Engine, error::EngineError};

impl Engine {
    /// Looks at every blob and every unpacked layer, and at whether any that is needed is missing. `told` learns of
    /// each as it is done. The findings come in an order in which they can be repaired.
    pub fn verify(&self, told: impl FnMut(Verified<'_>)) -> Result<Vec<Finding>, EngineError> {
        Ok(self.images.verify(&self.live()?.manifests, told)?)
    }

    /// Repairs something that [`Engine::verify`] found: from what else is in the store, or from a registry that knows one
    /// of the images which need it. False if neither can help: a build that needs a layer makes it again then.
    pub fn repair(&self, client: &Client, finding: &Finding) -> Result<bool, EngineError> {
        let repaired = self.repair_from_elsewhere(client, finding)?;
        if let (false, Subject::Layer { diff_id, key }) = (repaired, finding.subject) {
            self.forget_cached(&[diff_id, key])?;
        }
        Ok(repaired)
    }

    fn repair_from_elsewhere(&self, client: &Client, finding: &Finding) -> Result<bool, EngineError> {
        let lease = self.images.lease()?;
        match lease.repair(finding)? {
            Repair::Done => Ok(true),
            Repair::Impossible => Ok(false),
            Repair::FetchManifest(digest) => self.fetch_manifest(client, &lease, finding, &digest),
            Repair::Fetch(blob) => {
                let fetched = self.fetch_blob(client, &lease, finding, &blob)?;
                match finding.subject {
                    // A layer is still to be unpacked from it.
                    Subject::Layer { .. } if fetched => Ok(lease.repair(finding)? == Repair::Done),
                    _ => Ok(fetched),
                }
            }
        }
    }

    fn fetch_manifest(
        &self,
        client: &Client,
        lease: &Lease,
        finding: &Finding,
        digest: &Digest,
    ) -> Result<bool, EngineError> {
        self.first_that_has_it(finding, |from| {
            let repository = client.repository(from.registry(), from.path());
            let fetched = repository.manifest(&Selector::Digest(*digest))?;
            lease.put_blob(&fetched.bytes)?;
            Ok(())
        })
    }

    fn fetch_blob(
        &self,
        client: &Client,
        lease: &Lease,
        finding: &Finding,
        blob: &Descriptor,
    ) -> Result<bool, EngineError> {
        self.first_that_has_it(finding, |from| {
            let repository = client.repository(from.registry(), from.path());
            let Some(download) = lease.download(blob)? else { return Ok(()) };
            let rest = |offset| Ok(repository.blob(blob, offset)?);
            Ok(lease.finish_download(download, blob, rest)?)
        })
    }

    /// Does `fetch` with the names of the images that need what was found, until it succeeds. False if there is no
    /// repository left that might have it.
    fn first_that_has_it(
        &self,
        finding: &Finding,
        fetch: impl Fn(&Reference) -> Result<(), EngineError>,
    ) -> Result<bool, EngineError> {
        let needs_it = |manifest: &Digest| finding.manifests.contains(manifest);
        let rows = self.state.digests()?.into_iter();
        for row in rows.filter(|row| needs_it(&row.image) || needs_it(&row.digest)) {
            match fetch(&row.name()) {
                Err(EngineError::Registry(ClientError::NotFound { .. })) => {}
                other => return other.map(|()| true),
            }
        }
        Ok(false)
    }
}
