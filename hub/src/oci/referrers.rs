//! Attestations beside a version in a registry: one manifest for each, whose `subject` is the version's.
//!
//! Source: <https://github.com/opencontainers/distribution-spec>, "Listing Referrers", and "Referrers Tag Schema" for
//! registries that do not list them.

use std::collections::BTreeMap;

use datasets::Digest;
use oci_client::Reference;
use oci_client::manifest::{
    OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde::{Deserialize, Serialize};

use super::download::{Download, Missing};

/// Type of the artifacts: what Sigstore's tools look for.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The content of a config that says nothing.
pub(super) const EMPTY_CONFIG: &[u8] = b"{}";
/// Annotation with an attestation's file name.
const TITLE: &str = "org.opencontainers.image.title";
/// More attestations are not taken.
const MOST: usize = 200;
/// Longer ones neither.
const MAX_BUNDLE_BYTES: u64 = 256 << 10;

/// A list of manifests with what `oci-client`'s lacks: the type of each artifact.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    manifests: Vec<Entry>,
    /// What other programs wrote, and find again.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

fn described(media_type: &str, bytes: &[u8]) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.into(),
        digest: format!("sha256:{}", Digest::of(bytes)),
        size: bytes.len() as i64,
        ..OciDescriptor::default()
    }
}

/// The manifest of an attestation about the manifest `subject`.
pub(super) fn manifest(file: &str, text: &str, subject: &[u8]) -> OciImageManifest {
    let title = BTreeMap::from([(TITLE.to_owned(), file.to_owned())]);
    OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
        artifact_type: Some(BUNDLE.into()),
        config: described(EMPTY, EMPTY_CONFIG),
        layers: vec![OciDescriptor { annotations: Some(title), ..described(BUNDLE, text.as_bytes()) }],
        subject: Some(described(OCI_IMAGE_MEDIA_TYPE, subject)),
        ..OciImageManifest::default()
    }
}

/// The tag that lists them where the registry does not.
pub(super) fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{subject}")
}

/// The list with these manifests of attestations; those of before stay.
pub(super) fn extended(old: Option<Index>, manifests: &[Vec<u8>]) -> Index {
    let media_type = Some(OCI_IMAGE_INDEX_MEDIA_TYPE.into());
    let new =
        || Index { schema_version: 2, media_type, manifests: Vec::new(), others: serde_json::Map::default() };
    let mut index = old.unwrap_or_else(new);
    for bytes in manifests {
        let OciDescriptor { digest, size, .. } = described(OCI_IMAGE_MEDIA_TYPE, bytes);
        if !index.manifests.iter().any(|entry| entry.digest == digest) {
            let artifact_type = Some(BUNDLE.into());
            index.manifests.push(Entry {
                media_type: OCI_IMAGE_MEDIA_TYPE.into(),
                digest,
                size,
                artifact_type,
                others: serde_json::Map::default(),
            });
        }
    }
    index
}

/// Whether the registry lists referrers itself; else what the fallback tag lists, if it is there.
pub(super) async fn list(
    download: &Download,
    from: &Reference,
    subject: &Digest,
) -> Result<(bool, Option<Index>), String> {
    let path = format!("referrers/sha256:{subject}");
    let listed = download.document(from, &path, OCI_IMAGE_INDEX_MEDIA_TYPE).await?;
    let lists = listed.is_some();
    let text = match listed {
        Some(text) => Some(text),
        None => {
            let path = format!("manifests/{}", fallback_tag(subject));
            download.document(from, &path, OCI_IMAGE_INDEX_MEDIA_TYPE).await?
        }
    };
    let index = text.map(|text| serde_json::from_slice(&text)).transpose();
    Ok((lists, index.map_err(|e| format!("list of referrers: {e}"))?))
}

/// What refers to a version.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// Attestations by file name, in the order of the list: there may be several of one name.
    pub(super) attestations: BTreeMap<String, Vec<String>>,
    /// What was listed and cannot be read, and why: anybody may refer to a version, and lists outlive what they list.
    pub(super) passed_over: Vec<String>,
}

/// The attestations of a version. What is of another type is none of ours.
pub(super) async fn fetch(
    download: &Download,
    from: &Reference,
    subject: &Digest,
) -> Result<Fetched, String> {
    let (_, index) = list(download, from, subject).await?;
    let mut entries = index.map(|index| index.manifests).unwrap_or_default();
    entries.retain(|entry| entry.artifact_type.as_deref().is_none_or(|kind| kind == BUNDLE));
    let mut fetched = Fetched::default();
    if let Some(more) = entries.len().checked_sub(MOST).filter(|&more| more > 0) {
        fetched.passed_over.push(format!("{more} of {} referrers, more than {MOST}", entries.len()));
    }
    for Entry { digest, .. } in entries.iter().take(MOST) {
        let problem = match attestation(download, from, digest).await {
            Ok(Some((title, text))) => {
                let known = fetched.attestations.entry(title).or_default();
                // Listed again, it is as new as its last place.
                known.retain(|other| *other != text);
                known.push(text);
                continue;
            }
            Ok(None) => continue,
            Err(Missing::Content(problem)) => problem,
            Err(Missing::Transport(problem)) => return Err(format!("referrer {digest}: {problem}")),
        };
        fetched.passed_over.push(format!("referrer {digest}: {problem}"));
    }
    Ok(fetched)
}

/// File name and text of an attestation; `None` for what is none.
async fn attestation(
    download: &Download,
    from: &Reference,
    digest: &str,
) -> Result<Option<(String, String)>, Missing> {
    let text = download.document(from, &format!("manifests/{digest}"), OCI_IMAGE_MEDIA_TYPE).await?;
    let text = text.ok_or_else(|| Missing::Content("listed but not found".into()))?;
    check(digest, &text).map_err(Missing::Content)?;
    let manifest: OciImageManifest =
        serde_json::from_slice(&text).map_err(|e| Missing::Content(e.to_string()))?;
    let [layer] = manifest.layers.as_slice() else { return Ok(None) };
    let title = layer.annotations.as_ref().and_then(|annotations| annotations.get(TITLE));
    let (Some(title), true) = (title, layer.media_type == BUNDLE) else { return Ok(None) };
    let size = u64::try_from(layer.size).ok().filter(|&size| size <= MAX_BUNDLE_BYTES);
    let expected = || format!("{} bytes, expected at most {MAX_BUNDLE_BYTES}", layer.size);
    let mut bytes = Vec::new();
    download.blob(from, &layer.digest, size.ok_or_else(|| Missing::Content(expected()))?, &mut bytes).await?;
    check(&layer.digest, &bytes).map_err(Missing::Content)?;
    let text = String::from_utf8(bytes).map_err(|e| Missing::Content(e.to_string()))?;
    Ok(Some((title.clone(), text)))
}

/// Whether bytes have the digest under which they were asked for.
pub(super) fn check(digest: &str, bytes: &[u8]) -> Result<(), String> {
    let found = format!("sha256:{}", Digest::of(bytes));
    if found == digest { Ok(()) } else { Err(format!("{digest}: what came has {found}")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_other_programs_listed_stays_as_it_is() {
        let theirs = r#"{"schemaVersion": 2, "annotations": {"a": "b"}, "manifests": [{"mediaType": "m", "digest": "sha256:0",
            "size": 1, "artifactType": "sbom", "annotations": {"by": "them"}, "platform": {"os": "linux"}}]}"#;
        let index = extended(Some(serde_json::from_str(theirs).unwrap()), &[b"ours".to_vec()]);
        let (mut written, theirs): (serde_json::Value, serde_json::Value) =
            (serde_json::to_value(&index).unwrap(), serde_json::from_str(theirs).unwrap());
        let ours = written["manifests"].as_array_mut().unwrap().pop().unwrap();
        assert_eq!(ours["artifactType"], BUNDLE);
        assert_eq!(written, theirs);
    }
}
