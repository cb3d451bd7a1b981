//! `zoo push` and `zoo pull`: versions in any OCI registry.

mod download;
mod modelpack;
mod referrers;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use axum::http::HeaderValue;
use datasets::{Digest, yaml};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use zoo::signature::{Attestation, Policy};
use zoo::{FileRecord, MANIFEST, Manifest, VersionDir, Zoo};

use crate::error::{Error, Result};
use download::{Download, MAX_MANIFEST_BYTES};

/// How long all attestations of a version may take.
const ATTESTATIONS_TIME: Duration = Duration::from_secs(300);

/// A client for OCI registries.
pub struct Registry {
    client: Client,
    download: Download,
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
    /// How many attestations went with it.
    pub attestations: usize,
}

/// What must hold for a version to be taken.
#[derive(Default)]
pub struct PullOptions<'a> {
    /// Who must have signed and retrained it.
    pub policy: Option<&'a Policy>,
    /// Take a version that is older than the newest one here.
    pub allow_rollback: bool,
}

/// What came from a registry.
pub struct Pulled {
    /// The version, in the zoo.
    pub version: VersionDir,
    /// How many attestations came with it.
    pub attestations: usize,
    /// What lay beside it and is no statement about it, and why.
    pub passed_over: Vec<String>,
}

impl Registry {
    /// Speaks HTTPS, or plain HTTP if asked to; `login` is a user's name and password, `time` how long anything may
    /// take that is small.
    ///
    /// # Errors
    /// [`Error::System`] if the system gives no threads.
    pub fn new(plain_http: bool, login: Option<(String, String)>, time: Duration) -> Result<Registry> {
        // Another one may be in place already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(ClientConfig {
            protocol: if plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
            platform_resolver: None,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(60)),
            ..ClientConfig::default()
        });
        let download = Download::new(plain_http, login.clone(), time);
        let download = download.map_err(|problem| Error::Registry { reference: "client".into(), problem })?;
        let auth = match login {
            Some((user, password)) => RegistryAuth::Basic(user, password),
            None => RegistryAuth::Anonymous,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::system("threads"))?;
        Ok(Registry { client, download, auth, runtime })
    }

    /// Copies a version, whose files are as its manifest says, into a registry, and what was signed about it. The tag
    /// is the version's number unless `reference` has one.
    ///
    /// # Errors
    /// [`Error::Zoo`] for a damaged version or attestation, [`Error::Registry`].
    pub fn push(&self, zoo: &Zoo, version: &VersionDir, reference: &str) -> Result<Pushed> {
        version.check()?;
        let attestations = zoo.attestations(version)?.into_iter().collect::<zoo::Result<Vec<_>>>()?;
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
                self.push_blob(&to, version.read(path)?, layer).await.map_err(wrong)?;
            }
            self.push_blob(&to, config, &pack.config).await.map_err(wrong)?;
            let text = canonical(&pack);
            // The tag last: whoever pulls it finds the attestations.
            let digest = format!("sha256:{}", Digest::of(&text));
            let untagged = Reference::with_digest(to.registry().into(), to.repository().into(), digest);
            self.push_manifest(&untagged, text.clone(), OCI_IMAGE_MEDIA_TYPE).await.map_err(wrong)?;
            self.push_attestations(&to, &text, &attestations).await.map_err(wrong)?;
            self.push_manifest(&to, text.clone(), OCI_IMAGE_MEDIA_TYPE).await.map_err(wrong)?;
            Ok::<_, Error>(format!("sha256:{}", Digest::of(&text)))
        };
        let digest = self.runtime.block_on(push)?;
        Ok(Pushed { reference: to.to_string(), digest, attestations: attestations.len() })
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

    async fn push_manifest(
        &self,
        to: &Reference,
        text: Vec<u8>,
        media_type: &'static str,
    ) -> std::result::Result<(), String> {
        let media_type = HeaderValue::from_static(media_type);
        self.client.push_manifest_raw(to, text, media_type).await.map(|_| ()).map_err(|e| e.to_string())
    }

    /// Sends attestations about the manifest `subject`, and lists them under a tag if the registry does not list them.
    async fn push_attestations(
        &self,
        to: &Reference,
        subject: &[u8],
        attestations: &[Attestation],
    ) -> std::result::Result<(), String> {
        let mut manifests = Vec::new();
        let at = |place: String| Reference::with_digest(to.registry().into(), to.repository().into(), place);
        for attestation in attestations {
            let manifest = referrers::manifest(&attestation.file, &attestation.text, subject);
            for layer in &manifest.layers {
                self.push_blob(to, attestation.text.clone().into_bytes(), layer).await?;
            }
            self.push_blob(to, referrers::EMPTY_CONFIG.to_vec(), &manifest.config).await?;
            let text = canonical(&manifest);
            let place = at(format!("sha256:{}", Digest::of(&text)));
            self.push_manifest(&place, text.clone(), OCI_IMAGE_MEDIA_TYPE).await?;
            manifests.push(text);
        }
        let subject = Digest::of(subject);
        let (lists, old) = referrers::list(&self.download, to, &subject).await?;
        if lists || manifests.is_empty() {
            return Ok(());
        }
        let index = canonical(&referrers::extended(old, &manifests));
        let tag = Reference::with_tag(
            to.registry().into(),
            to.repository().into(),
            referrers::fallback_tag(&subject),
        );
        self.push_manifest(&tag, index, OCI_IMAGE_INDEX_MEDIA_TYPE).await
    }

    /// Copies a version from a registry into a zoo, under its own name and number, and what was signed about it. Every
    /// file is checked against the version's manifest before the version appears; with a policy, the attestations too.
    ///
    /// # Errors
    /// [`Error::Registry`] for what is not a version, [`Error::Zoo`] if the zoo has another version under that number,
    /// [`Error::Policy`] if the policy is not fulfilled, or the version is older than the newest one here.
    pub fn pull(&self, reference: &str, zoo: &Zoo, options: &PullOptions<'_>) -> Result<Pulled> {
        let from = parse(reference)?;
        let wrong = |problem: String| Error::Registry { reference: from.to_string(), problem };
        let (layers, subject) = self.runtime.block_on(self.pull_pack(&from)).map_err(wrong)?;
        let mut text = Vec::new();
        let layer = layers.get(MANIFEST).ok_or_else(|| wrong(format!("without {MANIFEST}")))?;
        if u64::try_from(layer.size).map_or(true, |size| size > MAX_MANIFEST_BYTES) {
            let problem = format!("{MANIFEST}: {} bytes, expected at most {MAX_MANIFEST_BYTES}", layer.size);
            return Err(wrong(problem));
        }
        self.pull_blob(&from, layer, &mut text)?;
        referrers::check(&layer.digest, &text).map_err(wrong)?;
        let path = Path::new(MANIFEST);
        let text = String::from_utf8(text).map_err(|e| wrong(format!("{MANIFEST}: {e}")))?;
        let manifest: Manifest = yaml::parse(&text, path)?;
        manifest.check(path)?;
        modelpack::check(&manifest, &layers).map_err(wrong)?;
        // A tag that is a number is a promise of which version it is.
        if let Some(tag) =
            from.tag().filter(|tag| zoo::parse_version(tag).is_some_and(|n| n != manifest.version))
        {
            return Err(wrong(format!("version {}, expected {tag}, as the tag says", manifest.version)));
        }
        refuse_rollback(zoo, &manifest, options)?;
        let attestations = self.runtime.block_on(async {
            let fetched = referrers::fetch(&self.download, &from, &subject);
            let late = |_| Err(format!("attestations: not there within {ATTESTATIONS_TIME:?}"));
            tokio::time::timeout(ATTESTATIONS_TIME, fetched).await.unwrap_or_else(late)
        });
        let referrers::Fetched { attestations, mut passed_over } = attestations.map_err(wrong)?;
        // Beside the zoo's models, and without its lock: a download may take long.
        let (_folder, work, _lock) = zoo.download_folder()?;
        // The very text that was checked: asked again, the registry may give another.
        std::fs::write(work.join(MANIFEST), &text).map_err(Error::io(&work))?;
        self.pull_files(&from, &layers, &work)?;
        let sha256 = Digest::of(text.as_bytes());
        if let Some(policy) = options.policy {
            check_policy(policy, &work, &manifest, sha256, &attestations)?;
        }
        let version = zoo.add(&manifest.name, manifest.version, &sha256, |dir| {
            layers.keys().try_for_each(|path| move_file(&work.join(path), &dir.join(path)))
        })?;
        let damaged = zoo.add_attestations(&version, &attestations)?;
        let taken = attestations.len() - damaged.len();
        passed_over.extend(damaged.iter().map(ToString::to_string));
        Ok(Pulled { version, attestations: taken, passed_over })
    }

    /// The layers of a version by the path of their file, and the digest of its OCI manifest.
    async fn pull_pack(
        &self,
        from: &Reference,
    ) -> std::result::Result<(BTreeMap<String, OciDescriptor>, Digest), String> {
        let place = from.digest().or(from.tag()).unwrap_or("latest");
        let path = format!("manifests/{place}");
        let text = self.download.document(from, &path, OCI_IMAGE_MEDIA_TYPE).await?;
        let text = text.ok_or_else(|| format!("manifest unknown: {place}"))?;
        if let Some(digest) = from.digest() {
            referrers::check(digest, &text)?;
        }
        let pack = serde_json::from_slice(&text).map_err(|e| format!("not a manifest of one image: {e}"))?;
        Ok((modelpack::unpack(pack)?, Digest::of(&text)))
    }

    fn pull_files(
        &self,
        from: &Reference,
        layers: &BTreeMap<String, OciDescriptor>,
        dir: &Path,
    ) -> Result<()> {
        for (path, layer) in layers.iter().filter(|(path, _)| *path != MANIFEST) {
            let path = dir.join(path);
            make_parent(&path)?;
            let mut file = std::fs::File::create_new(&path).map_err(Error::io(&path))?;
            self.pull_blob(from, layer, &mut file)?;
        }
        Ok(())
    }

    /// Writes a layer of its announced length to `to`.
    fn pull_blob(&self, from: &Reference, layer: &OciDescriptor, to: &mut impl Write) -> Result<()> {
        let wrong = |problem: String| Error::Registry { reference: from.to_string(), problem };
        let size =
            u64::try_from(layer.size).map_err(|_| wrong(format!("a layer of {} bytes", layer.size)))?;
        let read = self.runtime.block_on(self.download.blob(from, &layer.digest, size, to));
        read.map_err(|missing| wrong(missing.into()))
    }
}

/// JSON of a manifest; its bytes are what its digest is of.
fn canonical(manifest: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(manifest).expect("numbers, texts and lists always serialise")
}

/// An older version than the newest one here would not change what is used, unless it is asked for by its number; but
/// whoever can make a registry answer with it can keep a fix from being seen.
fn refuse_rollback(zoo: &Zoo, manifest: &Manifest, options: &PullOptions<'_>) -> Result<()> {
    let models = zoo.models()?;
    let here =
        models.iter().find(|(name, _)| *name == manifest.name).map_or(&[][..], |(_, versions)| versions);
    let newest = here.last().copied().unwrap_or(0);
    if options.allow_rollback || manifest.version >= newest || here.contains(&manifest.version) {
        return Ok(());
    }
    let (name, version) = (&manifest.name, manifest.version);
    Err(Error::Policy(format!("{name}@{version} is older than {name}@{newest}, which is here")))
}

/// Whether files that are not in a zoo yet fulfil a policy.
fn check_policy(
    policy: &Policy,
    files: &Path,
    manifest: &Manifest,
    sha256: Digest,
    attestations: &BTreeMap<String, String>,
) -> Result<()> {
    let version = VersionDir { path: files.to_owned(), manifest: manifest.clone(), manifest_sha256: sha256 };
    // In a zoo of their own, beside no model: only signatures are looked for in it.
    let own = tempfile::tempdir().map_err(Error::io(files))?;
    let zoo = Zoo::create(own.path())?;
    zoo.add_attestations(&version, attestations)?;
    let found = policy.check(&zoo, &version)?;
    match found.missing.as_slice() {
        [] => Ok(()),
        missing => Err(Error::Policy(format!(
            "{}@{} is not taken; missing: {}",
            manifest.name,
            manifest.version,
            missing.join("; ")
        ))),
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
