//! TLS from files, read again at every connect.

use std::{path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::config::TlsFiles;

/// Why the files give no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// A file cannot be read as what it should be.
    #[error("failed to read {what} from {path}: {error}")]
    File {
        /// "certificates" or "the private key".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls_pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{0} holds no certificate: expected a PEM file with BEGIN CERTIFICATE")]
    Empty(PathBuf),
    /// A certificate of the authorities' file is unusable.
    #[error("a certificate in {path} cannot be used as an authority: {error}")]
    Authority {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
    /// Certificate and key do not go together.
    #[error("certificate {cert} and key {key} do not go together: {error}")]
    Identity {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// Reads the files and makes a client's configuration for HTTP/2.
///
/// # Errors
/// [`TlsFailure`], with the file and what is wrong with it.
pub(super) fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsFailure> {
    tls_config(&files.ca, Some(&(files.cert.clone(), files.key.clone())), &[b"h2"])
}

/// Reads certificates of authorities, and the client's certificate and key where it has any, and makes a client's
/// configuration for these protocols (ALPN).
///
/// # Errors
/// [`TlsFailure`], with the file and what is wrong with it.
pub fn tls_config(
    ca: &PathBuf,
    identity: Option<&(PathBuf, PathBuf)>,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsFailure> {
    let builder = ClientConfig::builder().with_root_certificates(authorities(ca)?);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let failed = |error| TlsFailure::Identity { cert: cert.clone(), key: key.clone(), error };
            builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(failed)?
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

fn authorities(path: &PathBuf) -> Result<RootCertStore, TlsFailure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| TlsFailure::Authority { path: path.clone(), error })?;
    }
    Ok(store)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsFailure> {
    let failure = |error| TlsFailure::File { what: "certificates", path: path.clone(), error };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failure)?.collect();
    let certificates = certificates.map_err(failure)?;
    if certificates.is_empty() { Err(TlsFailure::Empty(path.clone())) } else { Ok(certificates) }
}

fn private_key(path: &PathBuf) -> Result<PrivateKeyDer<'static>, TlsFailure> {
    let failure = |error| TlsFailure::File { what: "the private key", path: path.clone(), error };
    PrivateKeyDer::from_pem_file(path).map_err(failure)
}
