//! When the certificates of the uplinks and of the broker end.

use std::{fs, path::Path};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::config::Config;

/// The largest file that is read as certificates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The certificates of a file of an uplink, or of the broker.
#[derive(Debug, Clone)]
pub(in crate::app) struct Certificate {
    /// None: of the broker.
    pub(in crate::app) uplink: Option<String>,
    /// `gateway` or `ca`.
    pub(in crate::app) which: &'static str,
    /// End of the first of them to end, UTC seconds.
    pub(in crate::app) ends_utc_s: i64,
}

/// Those that the files hold now: whatever is read at every connect is read at every look.
pub(in crate::app) fn of(config: &Config) -> Vec<Certificate> {
    let of_uplinks = config.uplinks.iter().filter_map(|uplink| {
        let tls = uplink.tls.as_ref()?;
        Some((Some(uplink.name.clone()), &tls.ca, Some(&tls.cert)))
    });
    let tls = config.mqtt.as_ref().filter(|mqtt| mqtt.broker.is_tls()).and_then(|mqtt| mqtt.tls.as_ref());
    let of_broker = tls.map(|tls| (None, &tls.ca, tls.identity.as_ref().map(|(cert, _)| cert)));
    let files = of_uplinks
        .chain(of_broker)
        .flat_map(|(uplink, ca, cert)| [(uplink.clone(), "gateway", cert), (uplink, "ca", Some(ca))]);
    files
        .filter_map(|(uplink, which, file)| Some(Certificate { uplink, which, ends_utc_s: first_end(file?)? }))
        .collect()
}

/// End of the first certificate of a PEM file to end, UTC seconds; none if the file cannot be read or is not sound, which
/// the uplink tells when it connects.
fn first_end(file: &Path) -> Option<i64> {
    fs::metadata(file).ok().filter(|found| found.is_file() && found.len() <= FILE_BYTES_MAX)?;
    let pem = fs::read(file).ok()?;
    let end = |der: Result<CertificateDer<'_>, _>| {
        let der = der.ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        Some(certificate.validity().not_after.timestamp())
    };
    CertificateDer::pem_slice_iter(&pem).map(end).collect::<Option<Vec<_>>>()?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn ending(year: i32) -> String {
        let mut params = CertificateParams::new(["gw-1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    /// The first of a chain to end counts; a file that is replaced is seen at the next look, one that is broken or gone
    /// has no end.
    #[test]
    fn the_first_to_end_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.pem");
        let check = |text: &str, ends| {
            fs::write(&file, text).unwrap();
            assert_eq!(first_end(&file), ends, "{text}");
        };
        check(&(ending(2040) + &ending(2030)), Some(1_893_456_000));
        check(&ending(2040), Some(2_208_988_800));
        check("", None);
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None);
        check(&ending(2040).replace("-----END", ""), None);
        assert_eq!(first_end(folder.path()), None);
    }
}
