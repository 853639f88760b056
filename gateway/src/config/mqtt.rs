//! `[mqtt]`: a venue's broker, and `[[mqtt.topic]]`: what is subscribed there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use venue_schema::v1::Lane;

use super::mapping::JsonTopic;
use super::once::Once;
use super::section::{Given, Section};
use super::setting::{Complaint, Name, Setting};
use super::source::{read_alarm, read_labels};
use crate::mapping::TopicFilter;
use crate::mqtt::link::{KEEP_ALIVE_LONGEST, KEEP_ALIVE_SHORTEST};

/// Notices within 20 s that a broker is gone: at the second ping, if the first had no answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A gateway that is repaired within a week finds its messages.
const SESSION_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// A broker and what is subscribed there.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttConfig {
    /// Where it is.
    pub broker: Broker,
    /// Certificates; given if the broker is mqtts.
    pub tls: Option<MqttTls>,
    /// User name.
    pub username: Option<String>,
    /// File that holds the password, and perhaps a line end.
    pub password_file: Option<PathBuf>,
    /// The name of the sessions at the broker, before `-results` and `-telemetry`; none: the gateway's id.
    pub client_id: Option<String>,
    /// The protocol's version.
    pub protocol: MqttProtocol,
    /// How often a quiet connection is tried.
    pub keep_alive: Duration,
    /// How long the broker keeps a session and its messages without the gateway.
    pub session_expiry: Duration,
    /// What is subscribed; not empty.
    pub topics: Vec<TopicConfig>,
}

/// A topic filter and what its messages become.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// Its name, among those of the sources.
    pub name: String,
    /// Filter, mapping and sample.
    pub json: JsonTopic,
    /// The lane of all that its messages say.
    pub lane: Lane,
    /// Given to every event.
    pub labels: BTreeMap<String, String>,
    /// How long it may be silent.
    pub silence_alarm: Option<Duration>,
}

/// Versions of MQTT that may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MqttProtocol {
    /// MQTT 5, or 3.1.1 where the broker does not know it.
    #[default]
    Auto,
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V3_1_1,
}

/// Files in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttTls {
    /// Certificates that the broker's is verified with.
    pub ca: PathBuf,
    /// The gateway's certificate and its private key, where the broker asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A broker's URL: scheme, host, perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    tls: bool,
    host: String,
    port: Option<u16>,
}

impl Broker {
    /// Whether it is mqtts.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether nothing crosses a network.
    fn is_on_this_machine(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 8883 or 1883 if the URL gives none.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 8883 } else { 1883 })
    }
}

/// As it stands in the file.
impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]", self.host)?,
            false => write!(f, "{scheme}://{}", self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// As a command line gives it.
impl std::str::FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_text(text).map_err(|it| format!("{}: {}", it.message, it.help))
    }
}

impl Setting for Broker {
    const KIND: &'static str = "a URL";
    const EXAMPLE: &'static str = "\"mqtts://broker.venue:8883\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        let wrong = |message: &str, help: &str| Err(Complaint::new(format!("`{text}` {message}"), help));
        let example = format!("write {}", Self::EXAMPLE);
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong("does not start with mqtts://", &format!("write \"mqtts://{text}\""));
        };
        let tls = match scheme {
            "mqtts" => true,
            "mqtt" => false,
            _ => return wrong("is neither mqtts nor mqtt", &example),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return wrong("holds a user name", "give `username` and `password_file` instead");
        }
        if rest.contains(['/', '?', '#']) {
            return wrong("has a path", "write scheme, host and port alone");
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return wrong("names no host", &example);
        }
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return wrong("has no usable port", "write a port of 1 to 65535, or none"),
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl MqttConfig {
    /// Reads `[mqtt]`; none if something is wrong with it, and none within if it is absent. `sources` are names that are
    /// taken.
    pub(super) fn read(root: &Section<'_>, sources: &[String]) -> Option<Option<Self>> {
        let section = root.section("mqtt");
        if !root.has("mqtt") {
            return Some(None);
        }
        let broker = section.required::<Broker>("broker");
        let tls = section.optional_section("tls").map(|tls| MqttTls::read(&tls));
        let username = section.optional::<String>("username");
        let password_file = section.optional::<PathBuf>("password_file");
        let client_id = section.optional::<Name>("client_id");
        let protocol = section.optional("protocol").map_or(MqttProtocol::Auto, |protocol| protocol.value);
        let keep_alive = section.optional::<Duration>("keep_alive");
        let session_expiry = section.optional::<Duration>("session_expiry");
        check_tls(&section, broker.as_ref());
        if let (Some(file), None) = (&password_file, &username) {
            section.error(&file.place, "`password_file` has no `username`", "add `username`");
        }
        check_keep_alive(&section, keep_alive.as_ref());
        let topics = read_topics(&section, sources);
        Some(Some(Self {
            broker: broker?.value,
            tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
            username: username.map(|it| it.value),
            password_file: password_file.map(|it| it.value),
            client_id: client_id.map(|it| it.value.0),
            protocol,
            keep_alive: keep_alive.map_or(KEEP_ALIVE, |it| it.value),
            session_expiry: session_expiry.map_or(SESSION_EXPIRY, |it| it.value),
            topics: topics?,
        }))
    }
}

fn check_tls(section: &Section<'_>, broker: Option<&Given<Broker>>) {
    let Some(Given { value, place }) = broker else { return };
    match (value.is_tls(), section.has("tls")) {
        (true, false) => {
            let help = "add `tls = { ca = \"ca.pem\" }`; the system's certificates are not used";
            section.error(place, format!("`{value}` needs certificates"), help);
        }
        (false, true) => {
            section.warning(&section.place_of("tls"), "`tls` is not used: the broker is mqtt", "write mqtts:// above");
        }
        (false, false) if value.is_on_this_machine() => {}
        (false, false) => {
            let message = format!("`{value}` is not encrypted: anyone on the network can read and write its messages");
            section.warning(place, message, "use mqtts:// and `tls = { ca = … }`");
        }
        (true, true) => {}
    }
}

fn check_keep_alive(section: &Section<'_>, keep_alive: Option<&Given<Duration>>) {
    if let Some(Given { value, place }) = keep_alive
        && !(KEEP_ALIVE_SHORTEST..=KEEP_ALIVE_LONGEST).contains(value)
    {
        section.error(place, "`keep_alive` is out of range", "write 5s to 10m");
    }
}

fn read_topics(section: &Section<'_>, sources: &[String]) -> Option<Vec<TopicConfig>> {
    let mut sections = section.sections("topic");
    if !section.has("topic") {
        section.missing("topic", "add `[[mqtt.topic]]` with a filter and a mapping");
    }
    let mut names = Once::default();
    let read: Vec<_> = sections.iter_mut().map(|section| TopicConfig::read(section, &mut names, sources)).collect();
    let topics: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    refuse_overlaps(&sections, &topics);
    Some(topics)
}

/// A message of two filters would be of two lanes.
fn refuse_overlaps(sections: &[Section<'_>], topics: &[TopicConfig]) {
    for (index, topic) in topics.iter().enumerate() {
        let filter = topic.json.mapping.filter();
        for (earlier, before) in topics[..index].iter().enumerate() {
            if !overlap(filter, before.json.mapping.filter()) {
                continue;
            }
            let place = sections[index].place_of("filter");
            let (here, there) = (filter.as_str(), before.json.mapping.filter().as_str());
            let first = sections[earlier].place_of("filter");
            if topic.lane == before.lane {
                let message = format!("`{here}` and `{there}` have topics in common: their messages go to the first");
                sections[index].warning(&place, message, format!("narrow one; the first is at {first}"));
            } else {
                let message = format!("`{here}` and `{there}` have topics in common, and are of two lanes");
                sections[index].error(
                    &place,
                    message,
                    format!("narrow one, or give both one lane; the other is at {first}"),
                );
            }
        }
    }
}

/// Whether some topic is one of both filters.
fn overlap(one: &TopicFilter, other: &TopicFilter) -> bool {
    fn levels(one: &[&str], other: &[&str]) -> bool {
        match (one, other) {
            (["#"], _) | (_, ["#"]) | ([], []) => true,
            ([], _) | (_, []) => false,
            ([a, one @ ..], [b, other @ ..]) => (a == b || *a == "+" || *b == "+") && levels(one, other),
        }
    }
    let one: Vec<&str> = one.plain().split('/').collect();
    let other: Vec<&str> = other.plain().split('/').collect();
    levels(&one, &other)
}

impl TopicConfig {
    fn read(section: &mut Section<'_>, names: &mut Once<String>, sources: &[String]) -> Option<Self> {
        let name = section.required::<Name>("name").map(|name| Given { value: name.value.0, place: name.place });
        let json = JsonTopic::read(section);
        let lane = section.optional("lane").map_or(Lane::Telemetry, |lane| lane.value);
        let labels = read_labels(section);
        let silence_alarm = read_alarm(section);
        if let Some(name) = &name {
            if let Some(first) = names.insert(name, PartialEq::eq) {
                let message = format!("the topic name `{}` stands twice", name.value);
                section.error(&name.place, message, format!("rename one; the first is at {}", first.place));
            } else if sources.contains(&name.value) {
                let message = format!("`{}` is the name of a source, too", name.value);
                section.error(&name.place, message, "rename one: sources and topics share their names");
            }
        }
        Some(Self { name: name?.value, json: json?, lane, labels, silence_alarm })
    }
}

impl MqttTls {
    fn read(section: &Section<'_>) -> Option<Self> {
        let ca = section.required_as::<PathBuf>("ca", "\"ca.pem\"");
        let cert = section.optional::<PathBuf>("cert");
        let key = section.optional::<PathBuf>("key");
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert.value, key.value)),
            (None, None) => None,
            (Some(_), None) => return missing(section, "key", "gateway.key"),
            (None, Some(_)) => return missing(section, "cert", "gateway.pem"),
        };
        Some(Self { ca: ca?.value, identity })
    }
}

fn missing<T>(section: &Section<'_>, key: &str, example: &str) -> Option<T> {
    section.missing(key, &format!("add `{key} = \"{example}\"`: certificate and key go together"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A URL keeps its text, and knows host and port for the connection.
    #[test]
    fn brokers_are_urls_of_a_host() {
        for (text, tls, host, port) in [
            ("mqtts://broker.venue", true, "broker.venue", 8883),
            ("mqtt://127.0.0.1:1884", false, "127.0.0.1", 1884),
            ("mqtts://[fd00::1]:8884", true, "fd00::1", 8884),
            ("mqtt://[fd00::1]", false, "fd00::1", 1883),
        ] {
            let broker = Broker::from_text(text).expect(text);
            assert_eq!((broker.is_tls(), broker.host(), broker.port()), (tls, host, port));
            assert_eq!(broker.to_string(), text);
        }
    }

    /// Each wrong URL is told in its own words.
    #[test]
    fn wrong_brokers_are_told_apart() {
        for (text, message) in [
            ("broker.venue:1883", "`broker.venue:1883` does not start with mqtts://"),
            ("https://a", "`https://a` is neither mqtts nor mqtt"),
            ("mqtts://", "`mqtts://` names no host"),
            ("mqtts://a/b", "`mqtts://a/b` has a path"),
            ("mqtts://me:secret@a", "`mqtts://me:secret@a` holds a user name"),
            ("mqtts://a:0", "`mqtts://a:0` has no usable port"),
        ] {
            assert_eq!(Broker::from_text(text).expect_err(text).message, message);
        }
    }

    /// Filters that no topic satisfies both of, and others.
    #[test]
    fn filters_overlap_where_a_topic_is_of_both() {
        let filter = |text| TopicFilter::parse(text).expect(text);
        for (one, other, expected) in [
            ("venue/+/wind", "venue/a/+", true),
            ("venue/+/wind", "venue/a/temperature", false),
            ("venue/#", "venue/a/wind", true),
            ("venue/#", "venue", true),
            ("venue/+", "venue/a/b", false),
            ("$share/g/venue/+", "venue/a", true),
            ("+/wind", "a/#", true),
        ] {
            assert_eq!(overlap(&filter(one), &filter(other)), expected, "{one} and {other}");
            assert_eq!(overlap(&filter(other), &filter(one)), expected, "{other} and {one}");
        }
    }
}
