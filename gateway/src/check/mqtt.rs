//! A venue's broker: files that can be read, and mappings that do what their samples show.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde::Serialize;

use crate::config::{Config, Finding, MqttConfig};
use crate::{mapping, uplink};

/// What comes of a topic's sample message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampleResult {
    /// The topic's name.
    pub name: String,
    /// The topic of the message.
    pub topic: String,
    /// Its events, a line each as `tail` shows them, with the key behind.
    pub events: Vec<String>,
}

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let Some(mqtt) = &config.mqtt else { return };
    password(config, mqtt, findings);
    if let Some(tls) = &mqtt.tls
        && let Err(error) = uplink::tls_config(&tls.ca, tls.identity.as_ref(), &[])
    {
        let help = "give the broker's authority in `ca`, and `cert` with its `key` where the broker asks for them";
        findings.push(Finding::error(config.place("mqtt.tls"), error.to_string(), help));
    }
    for (index, topic) in mqtt.topics.iter().enumerate() {
        let Some(sample) = &topic.json.sample else { continue };
        if let Err(error) = mapping::try_sample(&topic.json.mapping, sample) {
            let place = config.place(&format!("mqtt.topic[{index}].sample.payload"));
            let message = format!("the mapping of `{}` does not fit its sample: {error}", topic.name);
            findings.push(Finding::error(place, message, "mend the mapping or the sample"));
        }
    }
}

/// What comes of the samples that fit.
pub fn samples(config: &Config) -> Vec<SampleResult> {
    let topics = config.mqtt.iter().flat_map(|mqtt| &mqtt.topics);
    let of_topic = |topic: &crate::config::TopicConfig| {
        let sample = topic.json.sample.as_ref()?;
        let events = mapping::try_sample(&topic.json.mapping, sample).ok()?;
        Some(SampleResult { name: topic.name.clone(), topic: sample.topic.clone(), events })
    };
    topics.filter_map(of_topic).collect()
}

fn password(config: &Config, mqtt: &MqttConfig, findings: &mut Vec<Finding>) {
    let Some(path) = &mqtt.password_file else { return };
    let place = || config.place("mqtt.password_file");
    match fs::read_to_string(path) {
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            findings.push(Finding::error(place(), message, "let the gateway's user read the file"));
        }
        Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {
            let message = format!("{} is empty", path.display());
            findings.push(Finding::error(place(), message, "write the password into it, and nothing else"));
        }
        Ok(_) => {
            if fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
                let message = format!("others can read the password in {}", path.display());
                findings.push(Finding::warning(place(), message, format!("`chmod 600 {}`", path.display())));
            }
        }
    }
}
