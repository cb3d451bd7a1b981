//! Copying a version into a registry.

use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use datasets::Digest;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use zoo::signature::Attestation;
use zoo::{FileRecord, MANIFEST, VersionDir, Zoo};

use super::{Registry, check_tag, download, modelpack, parse, referrers};
use crate::error::{Error, Result};

/// How long a token is used.
const TOKEN_TIME: Duration = Duration::from_secs(30);

/// Where a version went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Its full name with tag.
    pub reference: String,
    /// Digest of the OCI manifest, which has those of all layers.
    pub digest: String,
    /// How many attestations went with it.
    pub attestations: usize,
}

impl Registry {
    /// Copies a version, whose files are as its manifest says, into a registry, and what was signed about it. The tag
    /// is the version's number unless `reference` has one.
    ///
    /// # Errors
    /// [`Error::Zoo`] for a damaged version or attestation, [`Error::Registry`].
    pub fn push(&self, zoo: &Zoo, version: &VersionDir, reference: &str) -> Result<Pushed> {
        version.check()?;
        let attestations = zoo.attestations(version)?.into_iter().collect::<zoo::Result<Vec<_>>>()?;
        if reference.contains('@') {
            let problem =
                "a digest follows from what is pushed; expected HOST/REPOSITORY or HOST/REPOSITORY:TAG";
            return Err(Error::Registry { reference: reference.to_owned(), problem: problem.into() });
        }
        let to = match has_tag(reference) {
            true => parse(reference)?,
            false => parse(&format!("{reference}:{}", version.manifest.version))?,
        };
        let bytes = version.read(MANIFEST)?.len() as u64;
        let mut files = version.manifest.files.clone();
        files.insert(MANIFEST.into(), FileRecord { bytes, sha256: version.manifest_sha256 });
        let (config, pack) = modelpack::pack(&version.manifest, &files);
        let wrong = |problem: String| Error::Registry { reference: to.to_string(), problem };
        check_tag(&to, &version.manifest).map_err(wrong)?;
        let push = async {
            let mut sender = Sender::log_in(self, &to).await.map_err(wrong)?;
            for (path, layer) in files.keys().zip(&pack.layers) {
                sender.blob(version.read(path)?, layer).await.map_err(wrong)?;
            }
            sender.blob(config, &pack.config).await.map_err(wrong)?;
            let text = canonical(&pack);
            // The tag last: whoever pulls it finds the attestations.
            let digest = format!("sha256:{}", Digest::of(&text));
            let untagged = sender.at(digest.clone());
            sender.manifest(&untagged, text.clone(), OCI_IMAGE_MEDIA_TYPE).await.map_err(wrong)?;
            sender.attestations(&text, &attestations).await.map_err(wrong)?;
            sender.manifest(&to, text, OCI_IMAGE_MEDIA_TYPE).await.map_err(wrong)?;
            Ok::<_, Error>(digest)
        };
        let digest = self.runtime.block_on(push)?;
        Ok(Pushed { reference: to.to_string(), digest, attestations: attestations.len() })
    }

    fn client(&self) -> Client {
        Client::new(ClientConfig {
            protocol: if self.plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
            platform_resolver: None,
            connect_timeout: Some(self.time.min(Duration::from_secs(10))),
            // Each request has its time from `in_time`: that of a chunk depends on its length.
            read_timeout: None,
            ..ClientConfig::default()
        })
    }
}

/// One push: a client that has a token, and where it sends.
struct Sender<'a> {
    registry: &'a Registry,
    to: &'a Reference,
    client: Client,
    logged_in: Instant,
}

impl<'a> Sender<'a> {
    /// Gets what the registry wants to know whoever pushes by. The client would read a token of any length.
    async fn log_in(registry: &'a Registry, to: &'a Reference) -> std::result::Result<Sender<'a>, String> {
        let token = registry.download.token_for_push(to).await?;
        let auth = token.map_or_else(|| registry.auth.clone(), RegistryAuth::Bearer);
        // A client keeps the first token that it gets, and goes back to it where its copy of a later one is a minute old.
        let sender = Sender { registry, to, client: registry.client(), logged_in: Instant::now() };
        // The client asks for each by itself.
        for operation in [RegistryOperation::Push, RegistryOperation::Pull] {
            sender.in_time(0, "logging in", sender.client.auth(to, &auth, operation)).await??;
        }
        Ok(sender)
    }

    /// Tokens hold for a minute at least, by the specification; a push may take longer.
    async fn stay_logged_in(&mut self) -> std::result::Result<(), String> {
        if self.logged_in.elapsed() >= TOKEN_TIME {
            *self = Sender::log_in(self.registry, self.to).await?;
        }
        Ok(())
    }

    /// Waits for what the client does, with so many bytes to send. The outer result is the time's.
    async fn in_time<T>(
        &self,
        bytes: usize,
        what: &str,
        work: impl Future<Output = oci_client::errors::Result<T>>,
    ) -> std::result::Result<std::result::Result<T, String>, String> {
        let time = self.registry.time + download::transfer_time(bytes as u64);
        let done = tokio::time::timeout(time, work).await;
        let done = done.map_err(|_| format!("{what}: timed out, not done within {time:?}"))?;
        Ok(done.map_err(|error| format!("{what}: {}", download::message(&error))))
    }

    /// A manifest in the same repository.
    fn at(&self, digest: String) -> Reference {
        Reference::with_digest(self.to.registry().into(), self.to.repository().into(), digest)
    }

    /// Sends what the registry does not have yet. It checks the digest.
    async fn blob(&mut self, bytes: Vec<u8>, layer: &OciDescriptor) -> std::result::Result<(), String> {
        self.stay_logged_in().await?;
        let (client, to, digest) = (&self.client, self.to, layer.digest.as_str());
        // Where the registry does not say, it gets the blob.
        if !self.in_time(0, digest, client.blob_exists(to, digest)).await?.unwrap_or(false) {
            self.in_time(bytes.len(), digest, client.push_blob(to, bytes, digest)).await??;
        }
        Ok(())
    }

    async fn manifest(
        &mut self,
        to: &Reference,
        text: Vec<u8>,
        media_type: &'static str,
    ) -> std::result::Result<(), String> {
        self.stay_logged_in().await?;
        let media_type = HeaderValue::from_static(media_type);
        self.in_time(0, "manifest", self.client.push_manifest_raw(to, text, media_type)).await??;
        Ok(())
    }

    /// Sends attestations about the manifest `subject`, and lists them under a tag if the registry does not list them.
    async fn attestations(
        &mut self,
        subject: &[u8],
        attestations: &[Attestation],
    ) -> std::result::Result<(), String> {
        let mut manifests = Vec::new();
        for attestation in attestations {
            let manifest = referrers::manifest(&attestation.file, &attestation.text, subject);
            for layer in &manifest.layers {
                self.blob(attestation.text.clone().into_bytes(), layer).await?;
            }
            self.blob(referrers::EMPTY_CONFIG.to_vec(), &manifest.config).await?;
            let text = canonical(&manifest);
            let place = self.at(format!("sha256:{}", Digest::of(&text)));
            self.manifest(&place, text.clone(), OCI_IMAGE_MEDIA_TYPE).await?;
            manifests.push(text);
        }
        let subject = Digest::of(subject);
        let (lists, old) = referrers::list(&self.registry.download, self.to, &subject).await?;
        if lists || manifests.is_empty() {
            return Ok(());
        }
        let index = canonical(&referrers::extended(old, &manifests));
        let (registry, repository) = (self.to.registry().into(), self.to.repository().into());
        let tag = Reference::with_tag(registry, repository, referrers::fallback_tag(&subject));
        self.manifest(&tag, index, OCI_IMAGE_INDEX_MEDIA_TYPE).await
    }
}

/// JSON of a manifest; its bytes are what its digest is of.
fn canonical(manifest: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(manifest).expect("numbers, texts and lists always serialise")
}

/// Whether a tag or digest follows the repository: a colon before the last slash is a port's.
fn has_tag(reference: &str) -> bool {
    reference.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        for (reference, tagged) in [
            ("localhost:5000/zoo/mnist-cnn", false),
            ("localhost:5000/zoo/mnist-cnn:1", true),
            ("example.org/zoo/mnist-cnn@sha256:00", true),
            ("example.org/zoo/mnist-cnn", false),
        ] {
            assert_eq!(has_tag(reference), tagged, "{reference}");
        }
    }
}
