//! `zoo pull` and, in `push.rs`, `zoo push`: versions in any OCI registry.

mod download;
mod modelpack;
mod push;
mod referrers;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use datasets::{Digest, yaml};
use oci_client::Reference;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use zoo::signature::{Attestation, Policy};
use zoo::{MANIFEST, Manifest, VersionDir, Zoo};

use crate::error::{Error, Result};
use download::{Download, MAX_MANIFEST_BYTES};
pub use push::Pushed;

/// How long all attestations of a version may take.
const ATTESTATIONS_TIME: Duration = Duration::from_secs(300);

/// A client for OCI registries.
pub struct Registry {
    plain_http: bool,
    download: Download,
    auth: RegistryAuth,
    /// How long anything may take that is small.
    time: Duration,
    runtime: tokio::runtime::Runtime,
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
        let download = Download::new(plain_http, login.clone(), time);
        let download = download.map_err(|problem| Error::Registry { reference: "client".into(), problem })?;
        let auth = match login {
            Some((user, password)) => RegistryAuth::Basic(user, password),
            None => RegistryAuth::Anonymous,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::system("threads"))?;
        Ok(Registry { plain_http, download, auth, time, runtime })
    }

    /// Copies a version from a registry into a zoo, under its own name and number, and what was signed about it. Every
    /// file is checked against the version's manifest before the version appears; with a policy, the attestations too.
    ///
    /// # Errors
    /// [`Error::Registry`] for what is not a version, [`Error::Zoo`] if the zoo has another version under that number,
    /// [`Error::Policy`] if the policy is not fulfilled, [`Error::Rollback`] if the version is older than the newest one
    /// here.
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
        check_tag(&from, &manifest).map_err(wrong)?;
        refuse_rollback(zoo, &manifest, options)?;
        let attestations = self.runtime.block_on(async {
            let fetched = referrers::fetch(&self.download, &from, &subject);
            let late = |_| Err(format!("attestations: not there within {ATTESTATIONS_TIME:?}"));
            tokio::time::timeout(ATTESTATIONS_TIME, fetched).await.unwrap_or_else(late)
        });
        let referrers::Fetched { attestations: named, mut passed_over } = attestations.map_err(wrong)?;
        // Beside the zoo's models, and without its lock: a download may take long.
        let (_folder, work, _lock) = zoo.download_folder()?;
        // The very text that was checked: asked again, the registry may give another.
        std::fs::write(work.join(MANIFEST), &text).map_err(Error::io(&work))?;
        self.pull_files(&from, &layers, &work)?;
        let sha256 = Digest::of(text.as_bytes());
        let incoming = VersionDir { path: work.clone(), manifest, manifest_sha256: sha256 };
        let here: Vec<_> = zoo.attestations(&incoming)?.into_iter().flatten().collect();
        let attestations = one_of_each_name(&incoming, &named, &here, options.policy, &mut passed_over);
        if let Some(policy) = options.policy {
            check_policy(policy, &incoming, &attestations)?;
        }
        let manifest = incoming.manifest;
        let version = zoo.add(&manifest.name, manifest.version, &sha256, |dir| {
            layers.keys().try_for_each(|path| move_file(&work.join(path), &dir.join(path)))
        })?;
        let damaged = zoo.add_attestations(&version, &attestations)?;
        let came = attestations.iter().filter(|(name, text)| named[*name].contains(text)).count();
        let taken = came.saturating_sub(damaged.len());
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
    Err(Error::Rollback(format!("{name}@{version} is older than {name}@{newest}, which is here")))
}

/// A tag that is a number is a promise of which version it is.
fn check_tag(reference: &Reference, manifest: &Manifest) -> std::result::Result<(), String> {
    let version = manifest.version;
    match reference.tag().filter(|tag| zoo::parse_version(tag).is_some_and(|number| number != version)) {
        Some(tag) => Err(format!("version {version}, expected {tag}, as the tag says")),
        None => Ok(()),
    }
}

/// Of several attestations of one name, as of a version that was signed again with another key, the one to keep.
fn one_of_each_name(
    version: &VersionDir,
    named: &BTreeMap<String, Vec<String>>,
    here: &[Attestation],
    policy: Option<&Policy>,
    passed_over: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let keep = |(name, texts): (&String, &Vec<String>)| {
        let mut texts = texts.clone();
        // What is in the zoo stays where nothing is better: the last of equals.
        let own = here.iter().find(|own| own.file == *name);
        if let Some(own) = own {
            texts.retain(|text| *text != own.text);
            texts.push(own.text.clone());
        }
        let kept = zoo::signature::best(version, name, &texts, policy)?;
        let others = texts.len() - 1;
        if others > 0 && own.is_some_and(|own| own.text == kept) {
            passed_over.push(format!(
                "{others} others that are called {name}: the one that is here stays; remove it to take another"
            ));
        } else if others > 0 {
            passed_over.push(format!("{others} others that are called {name}"));
        }
        Some((name.clone(), kept.to_owned()))
    };
    named.iter().filter_map(keep).collect()
}

/// Whether a version that is not in a zoo yet fulfils a policy.
fn check_policy(
    policy: &Policy,
    version: &VersionDir,
    attestations: &BTreeMap<String, String>,
) -> Result<()> {
    // In a zoo of their own, beside no model: only signatures are looked for in it.
    let own = tempfile::tempdir().map_err(Error::io(&version.path))?;
    let zoo = Zoo::new(own.path());
    zoo.add_attestations(version, attestations)?;
    let found = policy.check(&zoo, version)?;
    let Manifest { name, version, .. } = &version.manifest;
    match found.missing.as_slice() {
        [] => Ok(()),
        missing => {
            Err(Error::Policy(format!("{name}@{version} is not taken; missing: {}", missing.join("; "))))
        }
    }
}

fn move_file(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    std::fs::rename(from, to).map_err(Error::io(to))
}

fn make_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), |parent| std::fs::create_dir_all(parent).map_err(Error::io(parent)))
}

/// Without a host, programs of containers mean Docker's registry: nobody's model and login are to go there by a slip.
fn parse(reference: &str) -> Result<Reference> {
    let expected = "expected HOST/REPOSITORY:TAG, all in lower case";
    let wrong = |problem: &str| Error::Usage(format!("`{reference}`: {problem}; {expected}"));
    let host = reference.split_once('/').map(|(host, _)| host);
    if !host.is_some_and(|host| host == "localhost" || host.contains(['.', ':'])) {
        return Err(wrong("without a host, which has a dot, a port, or is localhost"));
    }
    reference.parse().map_err(|error: oci_client::ParseError| wrong(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_needed() {
        for reference in ["zoo", "zoo:1", "zoo/mnist-cnn", "zoo/mnist-cnn:1", "library/zoo/mnist-cnn:1"] {
            let refused = parse(reference).unwrap_err().to_string();
            assert!(refused.contains("without a host"), "{refused}");
        }
        for (reference, host) in [
            ("localhost/zoo:1", "localhost"),
            ("registry:5000/zoo", "registry:5000"),
            ("example.org/zoo/mnist-cnn:1", "example.org"),
            ("docker.io/me/zoo:1", "docker.io"),
        ] {
            assert_eq!(parse(reference).unwrap().registry(), host);
        }
    }
}
