//! `[[uplink]]`: where events are delivered to.

use std::fmt;
use std::path::PathBuf;

use tonic::transport::Uri;

use super::once::Once;
use super::section::{Given, Section};
use super::setting::{Complaint, Name, Setting};

/// The most uplinks, and so the most cursors that retention waits for.
pub const UPLINKS_MAX: usize = 8;

/// A receiver and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkConfig {
    /// Its name, which is also its cursor's.
    pub name: String,
    /// Ways to the one receiver, the preferred first; not empty.
    pub endpoints: Vec<Endpoint>,
    /// Certificates; given if an endpoint is https.
    pub tls: Option<TlsFiles>,
    /// Whether results are kept until this receiver has them.
    pub required: bool,
    /// The receiver to pin in place of the one that was pinned before.
    pub receiver_id: Option<String>,
}

/// Files in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that the receiver's is verified with.
    pub ca: PathBuf,
    /// The gateway's certificate, followed by its intermediates.
    pub cert: PathBuf,
    /// The gateway's private key.
    pub key: PathBuf,
}

/// A URL of a receiver: scheme, host, perhaps a port, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    /// The URL.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether it is https.
    pub fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host, to be verified with the receiver's certificate; an IPv6 address
    /// without brackets.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 443 or 80 if the URL gives none.
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }
}

/// As it stands in the file, without a slash at the end.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }
}

impl std::str::FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        Self::from_text(text).map_err(|Complaint { message, help }| InvalidEndpoint { message, help })
    }
}

/// Why a text is not the URL of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {help}")]
pub struct InvalidEndpoint {
    message: String,
    help: String,
}

impl Setting for Endpoint {
    const KIND: &'static str = "a URL";
    const EXAMPLE: &'static str = "\"https://ingest.example.org\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        let wrong = |message: &str, help: String| Err(Complaint::new(format!("`{text}` {message}"), help));
        let example = format!("write {}", Self::EXAMPLE);
        if !text.contains("://") {
            return wrong("does not start with https://", format!("write \"https://{text}\""));
        }
        let Ok(uri) = text.parse::<Uri>() else { return wrong("is not a URL", example) };
        if !matches!(uri.scheme_str(), Some("https" | "http")) {
            return wrong("is neither https nor http", example);
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return wrong("holds a user name", "the certificate says who the gateway is; remove it".to_owned());
        }
        if authority.len() > uri.host().unwrap_or_default().len() && uri.port_u16().is_none_or(|port| port == 0) {
            return wrong("has no usable port", "write a port of 1 to 65535, or none".to_owned());
        }
        if uri.host().is_none_or(str::is_empty) {
            return wrong("names no host", example);
        }
        if uri.path() != "/" || uri.query().is_some() {
            let scheme = uri.scheme_str().unwrap_or_default();
            return wrong("has a path", format!("write \"{scheme}://{authority}\"; the service has its own path"));
        }
        Ok(Self(uri))
    }
}

impl UplinkConfig {
    /// Reads every `[[uplink]]`; none if one of them is wrong.
    pub(super) fn read_all(root: &Section<'_>) -> Option<Vec<Self>> {
        let sections = root.sections("uplink");
        if !root.has("uplink") {
            let help = "add an `[[uplink]]` with the receiver's URL";
            root.warning(root.place(), "there is no uplink: events stay in the journal", help);
        }
        if let Some(first) = sections.get(UPLINKS_MAX) {
            root.error(first.place(), "too many uplinks", format!("keep {UPLINKS_MAX} at most"));
        }
        let mut names = Once::default();
        let read: Vec<_> = sections.iter().map(|section| Self::read(section, &mut names)).collect();
        let uplinks: Vec<_> = read.into_iter().collect::<Option<_>>()?;
        warn_if_none_is_required(root, &sections, &uplinks);
        Some(uplinks)
    }

    fn read(section: &Section<'_>, names: &mut Once<String>) -> Option<Self> {
        let name = section.required::<Name>("name").map(|name| Given { value: name.value.0, place: name.place });
        let endpoints = read_endpoints(section);
        let tls = section.optional_section("tls");
        let required = section.optional("required").is_none_or(|required| required.value);
        let receiver_id = section.optional("receiver_id").map(|id| id.value);
        if let Some(name) = &name
            && let Some(first) = names.insert(name, PartialEq::eq)
        {
            let message = format!("the uplink name `{}` stands twice", name.value);
            section.error(&name.place, message, format!("rename one; the first is at {}", first.place));
        }
        check_tls(section, &endpoints);
        let tls = tls.map(|tls| TlsFiles::read(&tls));
        let endpoints = endpoints.into_iter().map(|endpoint| endpoint.value).collect();
        Some(Self {
            name: name?.value,
            endpoints,
            tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
            required,
            receiver_id,
        })
    }
}

fn read_endpoints(section: &Section<'_>) -> Vec<Given<Endpoint>> {
    let endpoints = section.list::<Endpoint>("endpoints");
    if !section.has("endpoints") {
        section.missing("endpoints", "add `endpoints = [\"https://ingest.example.org\"]`");
    } else if endpoints.is_empty() && section.is_empty_list("endpoints") {
        section.error(&section.place_of("endpoints"), "`endpoints` is empty", "add the receiver's URL");
    }
    let mut once = Once::default();
    for endpoint in &endpoints {
        if once.insert(endpoint, PartialEq::eq).is_some() {
            section.warning(&endpoint.place, format!("`{}` stands twice", endpoint.value), "remove one");
        }
    }
    endpoints
}

fn check_tls(section: &Section<'_>, endpoints: &[Given<Endpoint>]) {
    let has_tls = section.has("tls");
    for endpoint in endpoints.iter().filter(|endpoint| !endpoint.value.is_tls()) {
        let message =
            format!("`{}` is for the bench only: anyone can read it, and claim to be this gateway", endpoint.value);
        section.warning(&endpoint.place, message, "use https:// and `tls = { ca = …, cert = …, key = … }`");
    }
    if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.value.is_tls() && !has_tls) {
        let help = "add `tls = { ca = \"ca.pem\", cert = \"gateway.pem\", key = \"gateway.key\" }`; \
                    the system's certificates are not used";
        section.error(&endpoint.place, format!("`{}` needs certificates", endpoint.value), help);
    }
    if has_tls && !endpoints.is_empty() && endpoints.iter().all(|endpoint| !endpoint.value.is_tls()) {
        section.warning(&section.place_of("tls"), "`tls` is not used: no endpoint is https", "write https:// above");
    }
}

fn warn_if_none_is_required(root: &Section<'_>, sections: &[Section<'_>], uplinks: &[UplinkConfig]) {
    if let Some(first) = sections.first()
        && uplinks.iter().all(|uplink| !uplink.required)
    {
        let message = "no uplink is `required`: results are deleted by age and quota, delivered or not";
        root.warning(&first.place_of("required"), message, "set `required = true` for the one that must have them");
    }
}

impl TlsFiles {
    fn read(section: &Section<'_>) -> Option<Self> {
        let ca = section.required_as("ca", "\"ca.pem\"");
        let cert = section.required_as("cert", "\"gateway.pem\"");
        let key = section.required_as("key", "\"gateway.key\"");
        Some(Self { ca: ca?.value, cert: cert?.value, key: key?.value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A URL keeps its text, and knows host and port for the connection.
    #[test]
    fn endpoints_are_urls_of_a_host() {
        for (text, host, port) in [
            ("https://ingest-1.example.org", "ingest-1.example.org", 443),
            ("http://127.0.0.1:50051", "127.0.0.1", 50051),
            ("https://[fd00::1]:8443", "fd00::1", 8443),
        ] {
            let endpoint = Endpoint::from_text(text).expect(text);
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.to_string().as_str()), (host, port, text));
        }
    }

    /// Each wrong URL is told in its own words.
    #[test]
    fn wrong_endpoints_are_told_apart() {
        for (text, message) in [
            ("ingest.example.org:443", "`ingest.example.org:443` does not start with https://"),
            ("mqtts://a", "`mqtts://a` is neither https nor http"),
            ("https://", "`https://` is not a URL"),
            ("https://a/v1", "`https://a/v1` has a path"),
            ("https://a?x=1", "`https://a?x=1` has a path"),
            ("https://me:secret@a", "`https://me:secret@a` holds a user name"),
            ("https://a:0", "`https://a:0` has no usable port"),
            ("https://a:70000", "`https://a:70000` has no usable port"),
        ] {
            assert_eq!(Endpoint::from_text(text).expect_err(text).message, message);
        }
    }
}
