//! The certificate of a server, read again when its files change: certificates are renewed while servers run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Longest file of certificates or of a key.
const MAX_BYTES: u64 = 1 << 20;

/// A certificate chain and its private key, both PEM.
pub(super) struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<(Stamp, Arc<ServerConfig>)>,
}

/// When both files were changed last.
type Stamp = [Option<SystemTime>; 2];

impl Certificates {
    /// Reads both files.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Certificates, String> {
        let current = RwLock::new((stamp(certificate, key), config(certificate, key)?));
        Ok(Certificates { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// For a new connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.1))
    }

    /// Reads the files again if they changed. If they cannot be used, the old certificate stays: while they are being
    /// replaced, they may not fit together.
    pub(super) fn renew(&self) {
        let new = stamp(&self.certificate, &self.key);
        let old = self.current.read().unwrap_or_else(PoisonError::into_inner).0;
        if new == old {
            return;
        }
        let read = config(&self.certificate, &self.key);
        match read {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = (new, config);
                tracing::info!("the certificate was read anew");
            }
            Err(error) => tracing::error!(error, "the certificate stays the old one"),
        }
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let wrong = |path: &Path, problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let read = |path: &Path| datasets::files::read(path, MAX_BYTES).map_err(|e| wrong(path, &e));
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(certificate, &format!("not certificates in PEM: {e}")))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|e| wrong(key, &format!("not a private key in PEM: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| wrong(certificate, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
