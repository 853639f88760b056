//! `[alarm]`: who is told when results do not get through.

use std::{fmt, path::PathBuf, time::Duration};

use hyper::Uri;

use super::section::Section;
use super::setting::{Complaint, Setting};

/// Who is told, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmConfig {
    /// A command that is run.
    pub command: Option<PathBuf>,
    /// A webhook that is posted to.
    pub webhook: Option<WebhookConfig>,
    /// How long a result may wait for an uplink.
    pub results_wait: Duration,
    /// How long something must stay away before it is over.
    pub clear_after: Duration,
}

/// A webhook and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where notices are posted to.
    pub url: WebhookUrl,
    /// Certificates that its own is verified with; given if it is https.
    pub ca: Option<PathBuf>,
}

/// A URL that is posted to. Its path may hold a secret, and is not printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    /// Whether it is https.
    pub fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 443 or 80 if the URL gives none.
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// Host and port as they stand in the URL.
    pub fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Path and query, from the first slash.
    pub fn path_and_query(&self) -> &str {
        self.0.path_and_query().map_or("/", |it| it.as_str())
    }

    fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// Without its path.
impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme_str().unwrap_or_default(), self.authority())
    }
}

impl Setting for WebhookUrl {
    const KIND: &'static str = "a URL";
    const EXAMPLE: &'static str = "\"https://alerts.example.org/venue\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        let example = || format!("write for example {}", Self::EXAMPLE);
        let wrong = |message: &str| Err(Complaint::new(message, example()));
        let scheme = text.split("://").next();
        if !text.contains("://") || !matches!(scheme, Some("https" | "http")) {
            return wrong("the URL starts neither with https:// nor with http://");
        }
        let Ok(uri) = text.parse::<Uri>() else { return wrong("this is not a URL") };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return wrong("the URL holds a user name, which is not sent");
        }
        if authority.len() > uri.host().unwrap_or_default().len() && uri.port_u16().is_none_or(|port| port == 0) {
            return wrong("the URL has no usable port");
        }
        if uri.host().is_none_or(str::is_empty) {
            return wrong("the URL names no host");
        }
        Ok(Self(uri))
    }
}

impl AlarmConfig {
    /// Whether there is anybody to tell.
    pub const fn is_told(&self) -> bool {
        self.command.is_some() || self.webhook.is_some()
    }

    /// Reads the section; none if something is wrong with it.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let command = section.optional::<PathBuf>("command").map(|command| command.value);
        let webhook = section.optional::<WebhookUrl>("webhook");
        let ca = section.optional::<PathBuf>("webhook_ca");
        let results_wait = section.required::<Duration>("results_wait");
        let clear_after = section.required::<Duration>("clear_after");
        match (&webhook, &ca) {
            (Some(webhook), None) if webhook.value.is_tls() => {
                let help = "add `webhook_ca = \"ca.pem\"`, or \"/etc/ssl/certs/ca-certificates.crt\" for public ones; \
                            the system's certificates are not used by themselves";
                section.error(&webhook.place, format!("`{}` needs certificates", webhook.value), help);
            }
            (Some(webhook), ca) if !webhook.value.is_tls() => {
                if !webhook.value.is_loopback() {
                    let message = format!("anyone on the way to `{}` can read and forge alarms", webhook.value);
                    section.warning(&webhook.place, message, "use https:// and `webhook_ca`");
                }
                if let Some(ca) = ca {
                    section.warning(&ca.place, "`webhook_ca` is not used: the webhook is not https", "remove it");
                }
            }
            (None, Some(ca)) => section.warning(&ca.place, "there is no webhook to use this for", "add `webhook`"),
            _ => {}
        }
        let webhook = webhook.map(|url| WebhookConfig { url: url.value, ca: ca.map(|ca| ca.value) });
        Some(Self { command, webhook, results_wait: results_wait?.value, clear_after: clear_after?.value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A webhook has any path, and keeps it to itself.
    #[test]
    fn a_webhook_is_any_url() {
        let url = WebhookUrl::from_text("https://alerts.example.org:8443/hooks/T0P?s=secret").unwrap();
        assert_eq!((url.host(), url.port(), url.is_tls()), ("alerts.example.org", 8443, true));
        assert_eq!(url.path_and_query(), "/hooks/T0P?s=secret");
        assert_eq!(url.to_string(), "https://alerts.example.org:8443");
        let local = WebhookUrl::from_text("http://[::1]").unwrap();
        assert_eq!((local.host(), local.port(), local.path_and_query()), ("::1", 80, "/"));
    }

    /// Each wrong URL is told in its own words, which do not hold what may be secret.
    #[test]
    fn wrong_webhooks_are_told_apart() {
        for (text, message) in [
            ("alerts.example.org/secret", "the URL starts neither with https:// nor with http://"),
            ("https://", "this is not a URL"),
            ("ftp://a/secret", "the URL starts neither with https:// nor with http://"),
            ("https://me:secret@a/x", "the URL holds a user name, which is not sent"),
            ("https://a:0/secret", "the URL has no usable port"),
        ] {
            assert_eq!(WebhookUrl::from_text(text).expect_err(text).message, message, "{text}");
        }
    }
}
