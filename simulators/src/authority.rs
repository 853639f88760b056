//! An authority for the bench and what it signs, as PEM files.

use std::path::Path;

use anyhow::Context as _;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// When a certificate ends.
#[derive(Debug, Clone, Copy)]
pub enum Ends {
    /// In the year 2090.
    Late,
    /// Years ago.
    Early,
}

/// Signs certificates.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// An authority of this common name, with a key of its own.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().context("make a key")?;
        let certificate = parameters.self_signed(&key).context("sign an authority")?;
        Ok(Self { certificate, issuer: Issuer::new(parameters, key) })
    }

    /// Writes into a folder what a centre on this machine and a gateway trust each other by: `ca.pem`, `clients-ca.pem`,
    /// and certificate and key of `centre` and `gateway`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn equip(&self, folder: &Path, gateway_id: &str) -> anyhow::Result<()> {
        self.publish(&folder.join("clients-ca.pem"))?;
        self.publish(&folder.join("ca.pem"))?;
        self.sign(folder, "centre", "localhost", Ends::Late)?;
        self.sign(folder, "gateway", gateway_id, Ends::Late)
    }

    /// Writes `STEM.pem` and `STEM.key` for a DNS name.
    ///
    /// # Errors
    /// If the name is none, or a file cannot be written.
    pub fn sign(&self, directory: &Path, stem: &str, name: &str, ends: Ends) -> anyhow::Result<()> {
        let mut parameters = CertificateParams::new([name.to_owned()]).context("name a certificate")?;
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = match ends {
            Ends::Late => date_time_ymd(2090, 1, 1),
            Ends::Early => date_time_ymd(2021, 1, 1),
        };
        let key = KeyPair::generate().context("make a key")?;
        let certificate = parameters.signed_by(&key, &self.issuer).context("sign a certificate")?;
        replace(&directory.join(format!("{stem}.key")), &key.serialize_pem())?;
        replace(&directory.join(format!("{stem}.pem")), &certificate.pem())
    }

    /// Writes the authority's own certificate.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn publish(&self, file: &Path) -> anyhow::Result<()> {
        replace(file, &self.certificate.pem())
    }
}

/// Puts a file in the place of an older one at once, as certificate tools do.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("write {}", file.display()))
}
