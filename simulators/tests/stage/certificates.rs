//! An authority and what it signs, as files.

use std::path::Path;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use venue_sim::cloud::TlsConfig;

use super::{GATEWAY, uplink};

/// When a certificate ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ends {
    /// Long after this test.
    Late,
    /// Years ago.
    Early,
}

/// Signs certificates.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    /// Writes into a folder what a centre and a gateway trust each other by.
    pub(crate) fn equip(&self, folder: &Path) {
        self.publish(&folder.join("clients-ca.pem"));
        self.publish(&folder.join("ca.pem"));
        self.sign(folder, "centre", "localhost", Ends::Late);
        self.sign(folder, "gateway", GATEWAY, Ends::Late);
    }

    /// Writes `STEM.pem` and `STEM.key` for a DNS name.
    pub(crate) fn sign(&self, directory: &Path, stem: &str, name: &str, ends: Ends) {
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = match ends {
            Ends::Late => date_time_ymd(2090, 1, 1),
            Ends::Early => date_time_ymd(2021, 1, 1),
        };
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        replace(&directory.join(format!("{stem}.key")), &key.serialize_pem());
        replace(&directory.join(format!("{stem}.pem")), &certificate.pem());
    }

    /// Writes the authority's own certificate.
    pub(crate) fn publish(&self, file: &Path) {
        replace(file, &self.certificate.pem());
    }
}

/// Puts a file in the place of an older one at once, as certificate tools do.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, file).unwrap();
}

/// The centre's files in a folder.
pub(crate) fn centre_files(folder: &Path) -> TlsConfig {
    let [certificate, key, client_ca] = ["centre.pem", "centre.key", "clients-ca.pem"].map(|name| folder.join(name));
    TlsConfig { certificate, key, client_ca }
}

/// The uplink to a port of this machine, with the gateway's files.
pub(crate) fn secured_uplink(port: u16) -> String {
    let tls = "tls = { ca = \"ca.pem\", cert = \"gateway.pem\", key = \"gateway.key\" }\n";
    uplink(&[format!("https://localhost:{port}")]) + tls
}
