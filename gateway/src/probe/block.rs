//! What was found, as a block for the site's file that `check` accepts.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use venue_devices::{DeviceType, LineSettings, Parity};

use super::{BrokerAccess, BrokerReport, Target, TopicSample};
use crate::config::JsonTopic;
use crate::mapping;
use crate::ports;

/// So many topics are written out; the others are for the integrator to choose from.
const TOPICS: usize = 3;
/// A longer message is no sample that a person reads.
const SAMPLE_BYTES_MAX: usize = 2048;
/// Mappings of a message, the most telling first: of all its members, of its one value.
const MEASUREMENTS: [&str; 2] = ["{ pointer = \"\", members = true }", "{ pointer = \"\", name = \"value\" }"];

/// `[[source]]` of a device.
pub fn source_block(device: &DeviceType, target: &Target, line: Option<LineSettings>) -> String {
    let mut block = format!("[[source]]\nname = \"{0}\"\ndevice = \"{0}\"\n", device.name);
    let reached = match (target, line) {
        (Target::Port(port), Some(line)) => {
            let parity = match line.parity {
                Parity::None => "",
                Parity::Even => ", parity = \"even\"",
                Parity::Odd => ", parity = \"odd\"",
            };
            let data_bits = if line.data_bits == 8 { "" } else { ", data_bits = 7" };
            let port = text(&lasting_name(port));
            format!("serial = {{ port = {port}, baud = {}{data_bits}{parity} }}", line.baud)
        }
        _ => format!("tcp = {{ connect = {} }}", text(&target.to_string())),
    };
    writeln!(block, "{reached}").expect("a String takes everything");
    block
}

/// The port's name that stays when it is plugged in again, if it has one.
fn lasting_name(port: &std::path::Path) -> String {
    let absolute = std::path::absolute(port).unwrap_or_else(|_| port.to_owned());
    let listed = ports::list().unwrap_or_default();
    let lasting = listed.into_iter().find(|it| it.tty == absolute).map(|it| it.name);
    lasting.unwrap_or(absolute).display().to_string()
}

/// `[mqtt]` of a broker, and `[[mqtt.topic]]` of the first topics whose messages are JSON.
/// Every mapping has been tried on its sample.
pub fn broker_block(report: &BrokerReport, access: &BrokerAccess) -> String {
    let mut block = format!("[mqtt]\nbroker = {}\n", text(&report.broker.to_string()));
    let mut add = |line: &str| writeln!(block, "{line}").expect("a String takes everything");
    if let Some(ca) = access.ca.as_ref().filter(|_| report.broker.is_tls()) {
        add(&format!("tls = {{ ca = {} }}", text(&absolute(ca))));
    }
    match (&access.username, &access.password_file) {
        (Some(name), file) => {
            add(&format!("username = {}", text(name)));
            if let Some(file) = file {
                add(&format!("password_file = {}", text(&absolute(file))));
            }
        }
        (None, _) if report.wants_credentials => {
            add("#username = \"gateway\"");
            add("#password_file = \"mqtt-password\"");
        }
        (None, _) => {}
    }
    let mut names = BTreeSet::new();
    let topics = report.topics.iter().filter_map(|(topic, sample)| {
        let block = topic_block(topic, sample, &name(topic))?;
        names.insert(name(topic)).then_some(block)
    });
    let topics: Vec<String> = topics.take(TOPICS).collect();
    if topics.is_empty() {
        // A topic is required, and shows what one looks like.
        let filter = report.subscription.as_ref().map_or("venue/#", |(filter, _)| filter.as_str());
        add("\n# No message told how it is mapped: write what stands in yours (docs/devices/json.md).");
        add(&format!("[[mqtt.topic]]\nname = \"sensors\"\nfilter = {}", text(filter)));
        add(&format!("mapping = {{ device_id = \"sensors\", measurement = [{}] }}", MEASUREMENTS[0]));
    }
    for topic in &topics {
        add(&format!("\n{topic}"));
    }
    block.trim_end().to_owned() + "\n"
}

fn absolute(path: &std::path::Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// `[[mqtt.topic]]` of a topic; none if no mapping reads its message.
fn topic_block(topic: &str, sample: &TopicSample, name: &str) -> Option<String> {
    let payload = std::str::from_utf8(&sample.payload).ok().filter(|text| text.len() <= SAMPLE_BYTES_MAX)?;
    let keys = |measurement: &str| {
        format!(
            "filter = {0}\nmapping = {{ device_id = {1}, measurement = [{measurement}] }}\n\
             sample = {{ topic = {0}, payload = {2} }}",
            text(topic),
            text(&topic.replace(['{', '}'], "-")),
            text(payload),
        )
    };
    let fits = |keys: &String| {
        let Ok(JsonTopic { mapping, sample: Some(sample), .. }) = JsonTopic::parse("probe", keys) else { return false };
        mapping::try_sample(&mapping, &sample).is_ok()
    };
    let keys = MEASUREMENTS.iter().map(|measurement| keys(measurement)).find(fits)?;
    Some(format!("[[mqtt.topic]]\nname = {}\n{keys}", text(name)))
}

/// A topic as a name of the configuration.
fn name(topic: &str) -> String {
    let sound = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    topic.chars().map(sound).take(64).collect()
}

/// As TOML writes a text.
fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Config, SourceConfig, TransportConfig};
    use crate::mqtt::link::Version;

    fn parsed(block: &str) -> Config {
        let identity = "[gateway]\nid = \"gw-1\"\nvenue = \"v\"\ntimezone = \"UTC\"\n";
        Config::parse("/site.toml", &format!("{identity}{block}"), [])
            .unwrap_or_else(|errors| panic!("{block}\n{errors}"))
    }

    /// Every device's block is configuration, with the settings that were found.
    #[test]
    fn a_source_is_read_as_it_was_found() {
        let port = Target::Port("/dev/serial/by-id/usb-\"odd\"_name".into());
        for device in venue_devices::DEVICES {
            for (data_bits, parity) in [(8, Parity::None), (7, Parity::Even), (7, Parity::Odd)] {
                let line = LineSettings { data_bits, parity, ..LineSettings::eight_n_one(38_400) };
                let config = parsed(&source_block(device, &port, Some(line)));
                let [SourceConfig { device: read, transport, .. }] = &config.sources[..] else { panic!("one source") };
                let Target::Port(port) = port.clone() else { unreachable!("made above") };
                assert_eq!((read.name, transport), (device.name, &TransportConfig::Serial { port, line }));
            }
            let config = parsed(&source_block(device, &Target::Address("10.20.0.21:5403".to_owned()), None));
            let address = "10.20.0.21:5403".to_owned();
            assert_eq!(config.sources[0].transport, TransportConfig::TcpConnect { address });
        }
    }

    fn report(topics: &[(&str, &str)]) -> BrokerReport {
        let sample = |payload: &str| TopicSample { payload: payload.to_owned().into(), retained: false };
        BrokerReport {
            broker: "mqtt://127.0.0.1:1884".parse().expect("a URL"),
            version: Version::V5,
            refusal: None,
            wants_credentials: false,
            receive_maximum: None,
            largest_packet_bytes: None,
            maximum_qos: None,
            session_expiry_s: None,
            subscription: Some(("#".to_owned(), true)),
            messages: 0,
            topics: topics
                .iter()
                .map(|(topic, payload)| ((*topic).to_owned(), sample(payload)))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    /// Objects and plain numbers have a mapping that fits their sample; what is no JSON, or
    /// would have the name of another topic, is left out.
    #[test]
    fn topics_are_mapped_as_their_messages_are() {
        let told = report(&[
            ("a/1", r#"{"speed": 3.4, "quote": "'''\"", "at": {"n": [1, 2]}}"#),
            ("a/2", "\0\x01"),
            ("b {x}", "21.5"),
            ("c/ä", "{\"n\": true}"),
            ("c/ö", "{\"n\": true}"),
            ("d", "{}"),
        ]);
        let config = parsed(&broker_block(&told, &BrokerAccess::default()));
        let topics = &config.mqtt.as_ref().expect("[mqtt]").topics;
        let names: Vec<_> =
            topics.iter().map(|topic| (topic.name.as_str(), topic.json.mapping.filter().as_str())).collect();
        assert_eq!(names, [("a-1", "a/1"), ("b--x-", "b {x}"), ("c--", "c/ä")]);
        let samples = crate::check::samples(&config);
        assert_eq!(samples.len(), 3, "each fits its mapping");
        assert!(
            samples[0].events[0].contains("speed 3.4") && samples[1].events[0].contains("value 21.5"),
            "{samples:?}"
        );
    }

    /// A broker that told nothing, or lets nobody in, still gives configuration.
    #[test]
    fn a_silent_broker_has_a_block() {
        let refused = BrokerReport { subscription: None, wants_credentials: true, ..report(&[]) };
        let block = broker_block(&refused, &BrokerAccess::default());
        assert!(block.contains("#password_file"), "{block}");
        assert_eq!(parsed(&block).mqtt.expect("[mqtt]").topics.len(), 1);
        let access = BrokerAccess {
            username: Some("gateway".to_owned()),
            password_file: Some("/etc/password".into()),
            ca: Some("/etc/ca.pem".into()),
        };
        let secured = BrokerReport { broker: "mqtts://broker.venue".parse().expect("a URL"), ..report(&[]) };
        let mqtt = parsed(&broker_block(&secured, &access)).mqtt.expect("[mqtt]");
        assert_eq!((mqtt.username.as_deref(), mqtt.password_file), (Some("gateway"), access.password_file));
        assert_eq!(mqtt.tls.map(|tls| tls.ca), access.ca);
    }
}
