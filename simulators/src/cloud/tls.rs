//! Mutual TLS: who the gateway is, as its certificate says.

use std::path::PathBuf;

use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use venue_delivery::{Code, StreamEnd, receiver::Peer};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Files of a cloud that speaks TLS, PEM all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Its certificate, with the chain behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates of gateways.
    pub client_ca: PathBuf,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("read {file} for TLS: {cause}")]
pub struct TlsError {
    file: String,
    cause: std::io::Error,
}

impl TlsConfig {
    /// Reads the files. A client without certificate gets as far as being refused by
    /// name.
    pub(super) fn load(&self) -> Result<ServerTlsConfig, TlsError> {
        let read =
            |file: &PathBuf| std::fs::read(file).map_err(|cause| TlsError { file: file.display().to_string(), cause });
        install_crypto_provider();
        Ok(ServerTlsConfig::new()
            .identity(Identity::from_pem(read(&self.certificate)?, read(&self.key)?))
            .client_ca_root(Certificate::from_pem(read(&self.client_ca)?))
            .client_auth_optional(true))
    }
}

/// Makes ring the process's crypto provider, unless there is one.
fn install_crypto_provider() {
    // An error says that one is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The peer of a stream over TLS.
///
/// # Errors
/// UNAUTHENTICATED without a certificate.
pub(super) fn peer<T>(request: &tonic::Request<T>) -> Result<Peer, StreamEnd> {
    let certificates = request.peer_certs();
    let own = certificates.as_ref().and_then(|certificates| certificates.first());
    let own = own.ok_or_else(|| StreamEnd::new(Code::Unauthenticated, "a client certificate is needed"))?;
    let broken = |_| StreamEnd::new(Code::Unauthenticated, "the client certificate cannot be read");
    let (_, certificate) = X509Certificate::from_der(own).map_err(broken)?;
    Ok(Peer::Certified(dns_names(&certificate)))
}

/// The DNS subject alternative names.
fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}
