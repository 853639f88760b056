//! `[http]`: where metrics and health are served.

use std::net::SocketAddr;

use super::section::Section;
use super::setting::{Complaint, Setting};
use super::source::SourceConfig;
use super::transport::{TransportConfig, collide};

/// Where `/metrics`, `/healthz` and `/readyz` are served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address; nowhere if none. Port 0 is any free port.
    pub listen: Option<SocketAddr>,
}

/// An address of this machine.
struct ListenAddress(SocketAddr);

impl Setting for ListenAddress {
    const KIND: &'static str = "an address to listen at";
    const EXAMPLE: &'static str = "\"127.0.0.1:9180\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map(Self).map_err(|_| {
            let help = "write IP:PORT of this machine, for example \"127.0.0.1:9180\" or \"[::1]:9180\"";
            Complaint::new(format!("`{text}` is not an address to listen at"), help)
        })
    }
}

impl HttpConfig {
    /// Reads the section; `sources` may listen, too.
    pub(super) fn read(section: &Section<'_>, sources: &[SourceConfig]) -> Self {
        let Some(listen) = section.optional::<ListenAddress>("listen") else { return Self::default() };
        let address = listen.value.0;
        if !address.ip().to_canonical().is_loopback() {
            let message = format!("whoever reaches {address} can read the names and the state of everything here");
            let help = "listen at 127.0.0.1, or in a network that only the venue's own machines reach";
            section.warning(&listen.place, message, help);
        }
        let same = |source: &&SourceConfig| match &source.transport {
            TransportConfig::TcpListen { address: other, .. } => address.port() > 0 && collide(&address, other),
            _ => false,
        };
        if let Some(source) = sources.iter().find(same) {
            let message = format!("the source `{}` listens at port {}, too", source.name, address.port());
            section.error(&listen.place, message, "give each its own");
        }
        Self { listen: Some(address) }
    }
}
