//! A Sigstore bundle v0.3 around a DSSE envelope, signed with ECDSA on P-256 and sha256.

use base64ct::{Base64, Encoding};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, LineEnding};
use serde::{Deserialize, Serialize};

use datasets::Digest;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A key to sign with.
pub struct PrivateKey(SigningKey);

/// A key to check with.
pub struct PublicKey(VerifyingKey);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    public_key: KeyIdentifier,
    #[serde(default)]
    tlog_entries: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct KeyIdentifier {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

/// What is signed: DSSE's pre-authentication encoding (<https://github.com/secure-systems-lab/dsse>).
fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl PrivateKey {
    /// Reads a P-256 key in PEM, as `openssl ecparam -name prime256v1 -genkey -noout` or `openssl genpkey` write it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_pem(text: &str) -> Result<PrivateKey, String> {
        let sec1 = || p256::SecretKey::from_sec1_pem(text).map(SigningKey::from);
        let key = SigningKey::from_pkcs8_pem(text).or_else(|_| sec1());
        key.map(PrivateKey).map_err(|e| format!("not an unencrypted P-256 private key in PEM: {e}"))
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// A bundle around `payload`. The same payload gives the same bundle (RFC 6979).
    pub fn sign(&self, payload: &[u8]) -> String {
        let signature: DerSignature = self.0.sign(&pre_authentication_encoding(payload));
        let public = self.public();
        let bundle = Bundle {
            media_type: MEDIA_TYPE.into(),
            verification_material: VerificationMaterial {
                public_key: KeyIdentifier { hint: public.hint() },
                tlog_entries: Vec::new(),
            },
            dsse_envelope: Envelope {
                payload: Base64::encode_string(payload),
                payload_type: PAYLOAD_TYPE.into(),
                signatures: vec![Signature {
                    sig: Base64::encode_string(signature.as_bytes()),
                    keyid: String::new(),
                }],
            },
        };
        serde_json::to_string(&bundle).expect("plain strings always serialise")
    }
}

impl PublicKey {
    /// Reads a P-256 key in PEM (`openssl ec -pubout`).
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_pem(text: &str) -> Result<PublicKey, String> {
        let key = VerifyingKey::from_public_key_pem(text);
        key.map(PublicKey).map_err(|e| format!("not a P-256 public key in PEM: {e}"))
    }

    /// sha256 of the key's PEM text.
    pub fn hint(&self) -> String {
        let pem = self.0.to_public_key_pem(LineEnding::LF).expect("a point of the curve has a form in PEM");
        Digest::of(pem.as_bytes()).to_string()
    }

    /// The payload of a bundle that this key signed.
    ///
    /// # Errors
    /// What does not hold.
    pub fn open(&self, bundle: &str) -> Result<Vec<u8>, String> {
        let (hint, payload, envelope) = take_apart(bundle)?;
        if hint != self.hint() {
            return Err(format!("signed with another key: hint {hint}, expected {}", self.hint()));
        }
        let [signature] = envelope.signatures.as_slice() else {
            return Err(format!("{} signatures, expected one", envelope.signatures.len()));
        };
        let signature = DerSignature::try_from(base64(&signature.sig)?.as_slice())
            .map_err(|e| format!("not a DER signature: {e}"))?;
        let signed = pre_authentication_encoding(&payload);
        self.0
            .verify(&signed, &signature)
            .map_err(|_| "the signature does not fit the content".to_owned())?;
        Ok(payload)
    }
}

/// The key's hint and the payload of a bundle **whose signature is not checked**.
pub(super) fn unchecked(bundle: &str) -> Result<(String, Vec<u8>), String> {
    take_apart(bundle).map(|(hint, payload, _)| (hint, payload))
}

fn take_apart(bundle: &str) -> Result<(String, Vec<u8>, Envelope), String> {
    let bundle: Bundle = serde_json::from_str(bundle).map_err(|e| format!("not a signature bundle: {e}"))?;
    if bundle.media_type != MEDIA_TYPE {
        return Err(format!("media type {}, expected {MEDIA_TYPE}", bundle.media_type));
    }
    let envelope = bundle.dsse_envelope;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(format!("payload type {}, expected {PAYLOAD_TYPE}", envelope.payload_type));
    }
    let payload = base64(&envelope.payload)?;
    Ok((bundle.verification_material.public_key.hint, payload, envelope))
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    Base64::decode_vec(text).map_err(|e| format!("not base64: {e}"))
}
