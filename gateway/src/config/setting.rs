//! How a value of the file or of a variable becomes a setting.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use toml::de::DeValue;
use venue_devices::{DEVICES, DeviceType, Parity, Role};
use venue_schema::{GatewayId, v1::Lane};

use super::gateway::ClockTrust;
use super::mqtt::MqttProtocol;

/// Why a value is refused, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) help: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// A type that can be read from one value.
pub(super) trait Setting: Sized {
    /// What it is, with an article: `a size`.
    const KIND: &'static str;
    /// How it is written in TOML: `"8GiB"`.
    const EXAMPLE: &'static str;

    /// Reads it from text, as a variable holds it or a string of the file.
    fn from_text(text: &str) -> Result<Self, Complaint>;

    /// Reads it from a value of the file; none if the value has the wrong type.
    fn from_value(value: &DeValue<'_>) -> Option<Result<Self, Complaint>> {
        value.as_str().map(Self::from_text)
    }
}

/// The candidate that a misspelled word most probably means, if any is near.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
    let (near, candidate) = candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min()?;
    (near <= 1 + word.chars().count() / 4).then_some(candidate)
}

/// `did you mean `x`? ` or nothing, to stand before a list.
pub(super) fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default()
}

/// Takes one of a few words.
fn one_of<T: Copy>(text: &str, kind: &str, words: &[(&str, T)]) -> Result<T, Complaint> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let near = nearest(text, words.iter().map(|(word, _)| *word));
    let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    Err(Complaint::new(format!("`{text}` is not {kind}"), format!("{}write one of {list}", did_you_mean(near))))
}

macro_rules! words {
    ($type:ty, $kind:literal, $example:literal, $words:expr) => {
        impl Setting for $type {
            const KIND: &'static str = $kind;
            const EXAMPLE: &'static str = $example;
            fn from_text(text: &str) -> Result<Self, Complaint> {
                one_of(text, Self::KIND, $words)
            }
        }
    };
}

words!(
    ClockTrust,
    "a way to treat the clock",
    "\"auto\"",
    &[("auto", ClockTrust::Auto), ("trusted", ClockTrust::Trusted)]
);
words!(Role, "a role", "\"active\"", &[("active", Role::Active), ("listen-only", Role::ListenOnly)]);
words!(Lane, "a lane", "\"results\"", &[("results", Lane::Results), ("telemetry", Lane::Telemetry)]);
words!(
    MqttProtocol,
    "a version of MQTT",
    "\"auto\"",
    &[("auto", MqttProtocol::Auto), ("5", MqttProtocol::V5), ("3.1.1", MqttProtocol::V3_1_1)]
);
words!(Parity, "a parity", "\"none\"", &[("none", Parity::None), ("even", Parity::Even), ("odd", Parity::Odd)]);

impl Setting for bool {
    const KIND: &'static str = "a yes or no";
    const EXAMPLE: &'static str = "true";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        one_of(text, Self::KIND, &[("true", true), ("false", false)])
    }
    fn from_value(value: &DeValue<'_>) -> Option<Result<Self, Complaint>> {
        value.as_bool().map(Ok)
    }
}

impl Setting for u32 {
    const KIND: &'static str = "a whole number";
    const EXAMPLE: &'static str = "9600";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map_err(|_| Complaint::new(format!("`{text}` is not {}", Self::KIND), "write it in digits"))
    }
    fn from_value(value: &DeValue<'_>) -> Option<Result<Self, Complaint>> {
        let number = value.as_integer()?;
        let read = u32::from_str_radix(number.as_str(), number.radix());
        Some(read.map_err(|_| Complaint::new(format!("{number} is out of range"), "write 0 to 4294967295")))
    }
}

impl Setting for String {
    const KIND: &'static str = "a text";
    const EXAMPLE: &'static str = "\"…\"";

    /// Takes what may stand in an event and in a log line.
    fn from_text(text: &str) -> Result<Self, Complaint> {
        const BYTES_MAX: usize = 256;
        if text.trim().is_empty() {
            return Err(Complaint::new("the text is empty", "write something, or remove the key"));
        }
        if text.len() > BYTES_MAX {
            let message = format!("the text is {} bytes long", text.len());
            return Err(Complaint::new(message, format!("use {BYTES_MAX} bytes at most")));
        }
        if text.chars().any(char::is_control) {
            return Err(Complaint::new("the text holds control characters", "remove line ends and tabs"));
        }
        Ok(text.to_owned())
    }
}

/// A name that people type and that metrics, logs and the journal hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

impl Setting for Name {
    const KIND: &'static str = "a name";
    const EXAMPLE: &'static str = "\"finish-timer-a\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=64).contains(&text.len()) && text.chars().all(sound) {
            return Ok(Self(text.to_owned()));
        }
        let help = "use 1 to 64 letters (a-z, A-Z), digits, `-`, `_` and `.`";
        Err(Complaint::new(format!("`{text}` is not a name"), help))
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "a path";
    const EXAMPLE: &'static str = "\"/var/lib/venue-gateway\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text.starts_with("-----BEGIN") {
            return Err(Complaint::new("this is the content of a file", "give the path of the file instead"));
        }
        String::from_text(text).map(Self::from)
    }
}

impl Setting for GatewayId {
    const KIND: &'static str = "a gateway id";
    const EXAMPLE: &'static str = "\"stade-1-a\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let help = "use a DNS name, as in the certificate: a-z, 0-9, `-` and `.`, \
                    each part starting and ending with a letter or digit";
        Self::new(text).map_err(|_| Complaint::new(format!("`{text}` is not a gateway id"), help))
    }
}

impl Setting for TimeZone {
    const KIND: &'static str = "a time zone";
    const EXAMPLE: &'static str = "\"Europe/Paris\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        Self::get(text).map_err(|_| {
            let known: Vec<_> = jiff::tz::db().available().map(|name| name.to_string()).collect();
            let near = did_you_mean(nearest(text, known.iter().map(String::as_str)));
            let help = format!("{near}write an IANA name such as \"Europe/Paris\"");
            Complaint::new(format!("there is no time zone `{text}`"), help)
        })
    }
}

impl Setting for &'static DeviceType {
    const KIND: &'static str = "a device";
    const EXAMPLE: &'static str = "\"alge-timy\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        DeviceType::find(text).ok_or_else(|| {
            let near = did_you_mean(nearest(text, DEVICES.iter().map(|device| device.name)));
            let list = DEVICES.iter().map(|device| device.name).collect::<Vec<_>>().join(", ");
            Complaint::new(format!("there is no device `{text}`"), format!("{near}the gateway speaks {list}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word is guessed when it is near, and only then.
    #[test]
    fn near_words_are_guessed_and_far_ones_are_not() {
        let keys = ["quota", "reserve", "keep"];
        assert_eq!(nearest("quoata", keys), Some("quota"));
        assert_eq!(nearest("Reserv", keys), Some("reserve"));
        assert_eq!(nearest("kee", keys), Some("keep"));
        assert_eq!(nearest("baud", keys), None);
        assert_eq!(nearest("x", []), None);
    }

    /// A time zone is an IANA name; the neighbour of a misspelled one is named.
    #[test]
    fn time_zones_are_iana_names() {
        assert!(TimeZone::from_text("Europe/Paris").is_ok());
        let complaint = TimeZone::from_text("Europe/Pariss").expect_err("no such city");
        assert!(complaint.help.starts_with("did you mean `Europe/Paris`?"), "{}", complaint.help);
    }

    /// A key pasted in place of its path must not be taken for one.
    #[test]
    fn a_secret_is_not_a_path() {
        let complaint = PathBuf::from_text("-----BEGIN PRIVATE KEY-----").expect_err("not a path");
        assert_eq!(complaint.help, "give the path of the file instead");
    }
}
