//! The centre's files and the uplink that goes with them.

use std::path::Path;

use venue_sim::cloud::TlsConfig;

use super::uplink;

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
