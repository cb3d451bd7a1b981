//! `zoo push` and `zoo pull`: versions in any OCI registry.

mod modelpack;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use datasets::{Digest, yaml};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use tokio::io::AsyncWrite;
use zoo::{FileRecord, MANIFEST, Manifest, VersionDir, Zoo};

use crate::error::{Error, Result};

/// Larger manifests are refused.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// How long a registry may take for the OCI manifest.
const MANIFEST_TIME: Duration = Duration::from_secs(60);

/// A client for OCI registries.
pub struct Registry {
    client: Client,
    auth: RegistryAuth,
    runtime: tokio::runtime::Runtime,
}

/// Where a version went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Its full name with tag.
    pub reference: String,
    /// Digest of the OCI manifest, which has those of all layers.
    pub digest: String,
}

impl Registry {
    /// Speaks HTTPS, or plain HTTP if asked to; `login` is a user's name and password.
    ///
    /// # Errors
    /// [`Error::System`] if the system gives no threads.
    pub fn new(plain_http: bool, login: Option<(String, String)>) -> Result<Registry> {
        // Another one may be in place already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(ClientConfig {
            protocol: if plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
            platform_resolver: None,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(60)),
            ..ClientConfig::default()
        });
        let auth = match login {
            Some((user, password)) => RegistryAuth::Basic(user, password),
            None => RegistryAuth::Anonymous,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::system("threads"))?;
        Ok(Registry { client, auth, runtime })
    }

    /// Copies a version, whose files are as its manifest says, into a registry. The tag is the
    /// version's number unless `reference` has one.
    ///
    /// # Errors
    /// [`Error::Zoo`] for a damaged version, [`Error::Registry`].
    pub fn push(&self, version: &VersionDir, reference: &str) -> Result<Pushed> {
        version.check()?;
        let to = match has_tag(reference) {
            true => parse(reference)?,
            false => parse(&format!("{reference}:{}", version.manifest.version))?,
        };
        let bytes = version.read(MANIFEST)?.len() as u64;
        let mut files = version.manifest.files.clone();
        files.insert(MANIFEST.into(), FileRecord { bytes, sha256: version.manifest_sha256 });
        let (config, pack) = modelpack::pack(&version.manifest, &files);
        let wrong = |problem: String| Error::Registry { reference: to.to_string(), problem };
        let push = async {
            let client = &self.client;
            client.auth(&to, &self.auth, RegistryOperation::Push).await.map_err(|e| wrong(e.to_string()))?;
            for (path, layer) in files.keys().zip(&pack.layers) {
                let path = version.path.join(path);
                let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
                self.push_blob(&to, bytes, layer).await.map_err(wrong)?;
            }
            self.push_blob(&to, config, &pack.config).await.map_err(wrong)?;
            let manifest = OciManifest::Image(pack.clone());
            client.push_manifest(&to, &manifest).await.map_err(|e| wrong(e.to_string()))?;
            let digest = client.fetch_manifest_digest(&to, &self.auth).await;
            digest.map_err(|e| wrong(e.to_string()))
        };
        let digest = self.runtime.block_on(push)?;
        Ok(Pushed { reference: to.to_string(), digest })
    }

    /// Sends what the registry does not have yet. It checks the digest.
    async fn push_blob(
        &self,
        to: &Reference,
        bytes: Vec<u8>,
        layer: &OciDescriptor,
    ) -> std::result::Result<(), String> {
        if !self.client.blob_exists(to, &layer.digest).await.unwrap_or(false) {
            self.client.push_blob(to, bytes, &layer.digest).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Copies a version from a registry into a zoo, under its own name and number. Every file is
    /// checked against the version's manifest before the version appears.
    ///
    /// # Errors
    /// [`Error::Registry`] for what is not a version, [`Error::Zoo`] if the zoo has another version
    /// under that number.
    pub fn pull(&self, reference: &str, zoo: &Zoo) -> Result<VersionDir> {
        let from = parse(reference)?;
        let wrong = |problem: String| Error::Registry { reference: from.to_string(), problem };
        let layers = self.runtime.block_on(async {
            let pulled =
                tokio::time::timeout(MANIFEST_TIME, self.client.pull_image_manifest(&from, &self.auth));
            let pulled = pulled.await.map_err(|_| wrong(format!("no manifest within {MANIFEST_TIME:?}")))?;
            modelpack::unpack(pulled.map_err(|e| wrong(e.to_string()))?.0).map_err(wrong)
        })?;
        let mut text = Vec::new();
        let layer = layers.get(MANIFEST).ok_or_else(|| wrong(format!("without {MANIFEST}")))?;
        if u64::try_from(layer.size).map_or(true, |size| size > MAX_MANIFEST_BYTES) {
            let problem = format!("{MANIFEST}: {} bytes, expected at most {MAX_MANIFEST_BYTES}", layer.size);
            return Err(wrong(problem));
        }
        self.pull_blob(&from, layer, &mut text)?;
        let path = Path::new(MANIFEST);
        let text = String::from_utf8(text).map_err(|e| wrong(format!("{MANIFEST}: {e}")))?;
        let manifest: Manifest = yaml::parse(&text, path)?;
        manifest.check(path)?;
        modelpack::check(&manifest, &layers).map_err(wrong)?;
        // Beside the zoo's models, and without its lock: a download may take long.
        let work = tempfile::Builder::new().prefix(".pull-").tempdir_in(zoo.root());
        let work = work.map_err(Error::io(zoo.root()))?;
        self.pull_files(&from, &layers, work.path())?;
        zoo.add(&manifest.name, manifest.version, &Digest::of(text.as_bytes()), |dir| {
            layers.keys().try_for_each(|path| move_file(&work.path().join(path), &dir.join(path)))
        })
    }

    fn pull_files(
        &self,
        from: &Reference,
        layers: &BTreeMap<String, OciDescriptor>,
        dir: &Path,
    ) -> Result<()> {
        for (path, layer) in layers {
            let path = dir.join(path);
            make_parent(&path)?;
            let file = std::fs::File::create_new(&path).map_err(Error::io(&path))?;
            self.pull_blob(from, layer, file)?;
        }
        Ok(())
    }

    /// Writes a layer, whose digest is checked, to `to`.
    fn pull_blob(&self, from: &Reference, layer: &OciDescriptor, to: impl Write + Unpin) -> Result<()> {
        let wrong = |problem: String| Error::Registry { reference: from.to_string(), problem };
        let left =
            u64::try_from(layer.size).map_err(|_| wrong(format!("a layer of {} bytes", layer.size)))?;
        let pull = self.client.pull_blob(from, layer, Bounded { to, left });
        self.runtime.block_on(pull).map_err(|e| wrong(format!("{}: {e}", layer.digest)))
    }
}

fn move_file(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    std::fs::rename(from, to).map_err(Error::io(to))
}

fn make_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), |parent| std::fs::create_dir_all(parent).map_err(Error::io(parent)))
}

fn parse(reference: &str) -> Result<Reference> {
    reference.parse().map_err(|e| {
        Error::Usage(format!("`{reference}`: {e}; expected HOST/REPOSITORY:TAG, all in lower case"))
    })
}

/// Whether a tag or digest follows the repository: a colon before the last slash is a port's.
fn has_tag(reference: &str) -> bool {
    reference.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
}

/// Takes so many bytes and no more: a registry may send what it likes. Writes at once, which is
/// all that this thread has to do.
struct Bounded<W> {
    to: W,
    left: u64,
}

impl<W: Write + Unpin> AsyncWrite for Bounded<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Poll::Ready(Err(std::io::Error::other("more bytes than announced")));
        };
        self.left = left;
        Poll::Ready(self.to.write_all(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.to.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
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
