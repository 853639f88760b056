//! The certificates of an uplink: readable, in their time, the gateway's own, and
//! with the right key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error as PemError, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::config::{Config, Finding, TlsFiles};

/// The largest file that is read as a certificate or key.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How long before its end a certificate is worth a warning.
const EXPIRES_SOON_HOURS: i64 = 30 * 24;

/// The look at the files of one table.
pub(super) struct Check<'a> {
    pub(super) config: &'a Config,
    /// `uplink[0].tls`
    pub(super) path: String,
    pub(super) now: Timestamp,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    pub(super) fn run(mut self, tls: &TlsFiles) {
        self.authorities("ca", &tls.ca);
        let chain = self.certificates("cert", &tls.cert);
        let gateway_id = self.config.gateway.id.as_str();
        for (index, certificate) in chain.iter().flatten().enumerate() {
            self.certificate("cert", &tls.cert, certificate, |this, parsed| {
                if index == 0 {
                    this.names(parsed, gateway_id);
                    this.purpose(parsed);
                }
            });
        }
        if let (Some(chain), Some(key)) = (chain, self.key(&tls.key)) {
            self.pair(chain, &key, &tls.key);
        }
    }

    /// Certificates that another's is verified with.
    pub(super) fn authorities(&mut self, key: &str, file: &Path) {
        for authority in self.certificates(key, file).unwrap_or_default() {
            self.certificate(key, file, &authority, |_, _| {});
        }
    }

    fn error(&mut self, key: &str, message: String, help: impl Into<String>) {
        let place = self.config.place(&format!("{}.{key}", self.path));
        self.findings.push(Finding::error(place, message, help));
    }

    fn warning(&mut self, key: &str, message: String, help: impl Into<String>) {
        let place = self.config.place(&format!("{}.{key}", self.path));
        self.findings.push(Finding::warning(place, message, help));
    }

    /// The bytes of a file; none if it cannot be read, which is noted.
    fn read(&mut self, key: &str, file: &Path) -> Option<Vec<u8>> {
        let read = fs::metadata(file).and_then(|found| match found.is_file() && found.len() <= FILE_BYTES_MAX {
            true => fs::read(file),
            false => Err(std::io::Error::other("not a file of at most 1MiB")),
        });
        read.map_err(|error| {
            let help = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "put the file there; a relative path starts at the configuration's folder"
                }
                _ => "let the gateway's user read it",
            };
            self.error(key, format!("cannot read {}: {error}", file.display()), help);
        })
        .ok()
    }

    /// The certificates of a file; none if there are none, which is noted.
    fn certificates(&mut self, key: &str, file: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let pem = self.read(key, file)?;
        match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
            Ok(found) if !found.is_empty() => return Some(found),
            Ok(_) => {
                let help = "it must hold `-----BEGIN CERTIFICATE-----`; convert DER with `openssl x509 -inform der`";
                self.error(key, format!("{} holds no certificate", file.display()), help);
            }
            Err(error) => self.not_pem(key, file, &error),
        }
        None
    }

    fn not_pem(&mut self, key: &str, file: &Path, error: &PemError) {
        self.error(key, format!("{} is not sound PEM: {error}", file.display()), "copy the file again, wholly");
    }

    /// Parses a certificate, looks at its time, then hands it on.
    fn certificate(
        &mut self,
        key: &str,
        file: &Path,
        der: &CertificateDer<'_>,
        then: impl FnOnce(&mut Self, &X509Certificate<'_>),
    ) {
        match X509Certificate::from_der(der) {
            Ok((_, parsed)) => {
                self.validity(key, &parsed);
                then(self, &parsed);
            }
            Err(error) => {
                let message = format!("{} holds something that is not a certificate: {error}", file.display());
                self.error(key, message, "have it issued again");
            }
        }
    }

    fn validity(&mut self, key: &str, certificate: &X509Certificate<'_>) {
        let (subject, validity) = (certificate.subject(), certificate.validity());
        let begins = instant(validity.not_before);
        let ends = instant(validity.not_after);
        let soon = self.now.saturating_add(EXPIRES_SOON_HOURS.hours()).unwrap_or(Timestamp::MAX);
        if self.now >= ends {
            self.error(key, format!("the certificate of `{subject}` expired at {ends}"), "have it issued again");
        } else if self.now < begins {
            let help = "look at this machine's clock, or have it issued again";
            self.error(key, format!("the certificate of `{subject}` begins only at {begins}"), help);
        } else if soon >= ends {
            self.warning(key, format!("the certificate of `{subject}` expires at {ends}"), "have it issued again soon");
        }
    }

    /// The receiver believes the name in the certificate, not the one in the hello.
    fn names(&mut self, certificate: &X509Certificate<'_>, gateway_id: &str) {
        let names = dns_names(certificate);
        if names.iter().any(|name| name.eq_ignore_ascii_case(gateway_id)) {
            return;
        }
        let has = if names.is_empty() { "no DNS name".to_owned() } else { format!("only {}", names.join(", ")) };
        let message = format!("the certificate does not name `{gateway_id}`: it has {has}");
        self.error(
            "cert",
            message,
            format!("have it issued with the DNS name (SAN) `{gateway_id}`, or correct `gateway.id`"),
        );
    }

    fn purpose(&mut self, certificate: &X509Certificate<'_>) {
        let usage = certificate.extended_key_usage().ok().flatten();
        if usage.is_some_and(|usage| !usage.value.client_auth && !usage.value.any) {
            let help = "have it issued with the extended key usage clientAuth";
            self.error("cert", "the certificate is not meant for clients".to_owned(), help);
        }
    }

    /// The private key; none if there is none, which is noted.
    fn key(&mut self, file: &Path) -> Option<PrivateKeyDer<'static>> {
        let pem = self.read("key", file)?;
        let others_may = fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0);
        if others_may {
            let message = format!("other users may read the private key {}", file.display());
            self.warning("key", message, format!("`chmod 600 {}`", file.display()));
        }
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(key) => return Some(key),
            Err(PemError::NoItemsFound) => {
                let help = "it must hold `-----BEGIN PRIVATE KEY-----`, not encrypted";
                self.error("key", format!("{} holds no private key", file.display()), help);
            }
            Err(error) => self.not_pem("key", file, &error),
        }
        None
    }

    fn pair(&mut self, chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>, file: &Path) {
        let signing = match ring::sign::any_supported_type(key) {
            Ok(signing) => signing,
            Err(error) => {
                let help = "use an ECDSA (P-256, P-384), Ed25519 or RSA key";
                return self.error("key", format!("cannot use the private key {}: {error}", file.display()), help);
            }
        };
        let matching = CertifiedKey::new(chain, Arc::clone(&signing)).keys_match();
        if matches!(matching, Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch))) {
            let message = format!("the private key {} is not that of the certificate", file.display());
            self.error("key", message, "use the key that the certificate was asked for with");
        }
    }
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Some(names) = certificate.subject_alternative_name().ok().flatten() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

/// Dates of certificates lie in the years 1950 to 9999, as do those of [`Timestamp`].
fn instant(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}
