//! A topic of `[[mqtt.topic]]` whose messages are JSON: `device`, `filter`, `mapping` and
//! `sample`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use toml::de::DeValue;
use venue_devices::{DeviceType, Unit};

use super::document::{Document, Text};
use super::finding::{ConfigErrors, Finding};
use super::reader::Reader;
use super::section::{Given, Section};
use super::setting::{Complaint, Setting, did_you_mean, nearest};
use crate::mapping::{
    self, DEVICES, Mapping, Name, PAYLOAD_BYTES_MAX, PassingRule, Pointer, READY_MADE, Sample, Scale, Template,
    TimeFormat, TimeRule, TopicFilter, ValueRule, WindRule, unit,
};

/// What a topic says of its JSON messages.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonTopic {
    /// How they become readings.
    pub mapping: Mapping,
    /// A message that `check` tries the mapping on.
    pub sample: Option<Sample>,
}

/// The ready-made mappings, under the names of their devices.
static READY_MADE_TEXT: LazyLock<Text> = LazyLock::new(|| Text::new("ready_made.toml (compiled in)", READY_MADE));
static READY_MADE_DOCUMENT: LazyLock<Document<'static>> = LazyLock::new(|| Document::parse(&READY_MADE_TEXT));

impl JsonTopic {
    /// Reads a text that holds one topic at its top level; touches no file.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, ConfigErrors> {
        let (site, nothing) = (Text::new(path, text), Text::new("", ""));
        let (site, nothing) = (Document::parse(&site), Document::parse(&nothing));
        let reader = Reader::new(&site, &nothing, std::iter::empty());
        let topic = Self::read(&mut reader.root());
        let findings = reader.finish().findings;
        if findings.iter().any(Finding::is_error) {
            return Err(ConfigErrors::new(findings));
        }
        Ok(topic.expect("a topic is absent only if an error was noted"))
    }

    /// Reads a topic's table, other keys of which may be read before or after; none if
    /// something is wrong with it.
    pub(super) fn read(topic: &mut Section<'_>) -> Option<Self> {
        let device = match topic.optional::<JsonDevice>("device") {
            Some(device) => Some(device.value.0),
            None if topic.has("device") => None,
            None => Some(&DEVICES[0]),
        };
        let document = &*READY_MADE_DOCUMENT;
        if let Some(table) = device.and_then(|device| document.root.get(device.name)) {
            topic.add_defaults(document, table.get_ref().as_table().expect("the compiled-in text is tested"));
        }
        // Of a device that is misspelled nobody knows what it leaves to be said.
        let filter = match device {
            Some(_) => topic.required::<TopicFilter>("filter"),
            None => topic.optional::<TopicFilter>("filter"),
        };
        let rules = topic.optional_section("mapping");
        if device.is_some() && !topic.has("mapping") {
            topic.missing("mapping", "add a `mapping` that says where device, time and values stand");
        }
        let mapping = rules.and_then(|rules| read_mapping(&rules, device, filter));
        let sample = read_sample(topic);
        Some(Self { mapping: mapping?, sample })
    }
}

fn read_sample(topic: &Section<'_>) -> Option<Sample> {
    let section = topic.optional_section("sample")?;
    let topic = section.required_as::<Payload>("topic", "\"venue/3/wind\"");
    let payload = section.required_as::<Payload>("payload", "'{\"speed\": 3.4}'");
    Some(Sample { topic: topic?.value.0, payload: payload?.value.0 })
}

fn read_mapping(
    section: &Section<'_>,
    device: Option<&'static DeviceType>,
    filter: Option<Given<TopicFilter>>,
) -> Option<Mapping> {
    let device_id = match device {
        Some(_) => section.required::<Template>("device_id"),
        None => section.optional::<Template>("device_id"),
    };
    let each = section.optional::<Pointer>("each");
    let time = section.optional_section("time").and_then(|time| read_time(&time));
    let key = read_key(section);
    let measurement = read_values(section, "measurement");
    let device_status = read_values(section, "device_status");
    let device_state = section.optional_section("device_state").and_then(|state| read_state(&state));
    let wind = section.optional_section("wind").and_then(|wind| read_wind(&wind));
    let passing = section.optional_section("passing").and_then(|passing| read_passing(&passing));
    let units = read_units(section);
    let contents = ["measurement", "device_status", "device_state", "wind", "passing"];
    if device.is_some() && !contents.iter().any(|key| section.has(key)) {
        let help = "add `measurement = [{ pointer = \"/…\" }]`, or one of device_status, device_state, wind, passing";
        section.error(section.place(), "the mapping names nothing that the message says", help);
    }
    let filter = filter?;
    let named = |values: &'_ [ValueRule]| {
        values.iter().map(|value| if let Name::Given(name) = &value.name { name.highest_wildcard() } else { 0 }).max()
    };
    let highest = device_id.as_ref().map(|id| id.value.highest_wildcard());
    let highest = highest.max(key.iter().map(Template::highest_wildcard).max());
    let highest = highest.max(named(&measurement)).max(named(&device_status)).unwrap_or(0);
    if highest > filter.value.wildcards() {
        let count = filter.value.wildcards();
        let wildcards = if count == 1 { "one wildcard".to_owned() } else { format!("{count} wildcards") };
        let message = format!("`{{{highest}}}` is asked for, and `{}` has {wildcards}", filter.value.plain());
        section.error(section.place(), message, "name a wildcard that is there, or put `+` into the filter");
    }
    let names_member = device_id.as_ref().is_some_and(|id| id.value.names_member());
    if names_member && each.is_none() && !section.has("each") {
        let help = "add `each`, or name a wildcard or a pointer";
        section.error(&section.place_of("device_id"), "`{member}` is the name of an element of `each`", help);
    }
    Some(Mapping {
        device: device?,
        filter: filter.value,
        device_id: device_id?.value,
        each: each.map(|each| each.value),
        time,
        key,
        measurement,
        device_status,
        device_state,
        wind,
        passing,
        units,
    })
}

fn read_time(section: &Section<'_>) -> Option<TimeRule> {
    let pointer = section.required::<Pointer>("pointer");
    let format = section.required::<TimeFormat>("format");
    let optional = is_set(section, "optional");
    Some(TimeRule { pointer: pointer?.value, format: format?.value, optional })
}

/// The parts of the key. One that is the same for every message would make all but the
/// first of them repeats.
fn read_key(section: &Section<'_>) -> Vec<Template> {
    let parts: Vec<_> = section.list::<KeyPart>("key").into_iter().map(|part| part.value.0).collect();
    if !parts.is_empty() && !parts.iter().any(Template::reads_message) {
        let help = "name a field that differs from message to message, or remove `key`";
        section.error(&section.place_of("key"), "`key` is the same for every message", help);
    }
    parts
}

fn read_units(section: &Section<'_>) -> BTreeMap<String, Unit> {
    let texts = section.texts("units");
    let read = |(name, code): (String, String)| match UnitCode::from_text(&code) {
        Ok(unit) => Some((name, unit.0)),
        Err(complaint) => {
            section.error(&section.place_of(&format!("units.{name}")), complaint.message, complaint.help);
            None
        }
    };
    texts.into_iter().filter_map(read).collect()
}

fn read_values(section: &Section<'_>, key: &'static str) -> Vec<ValueRule> {
    section.sections(key).iter().filter_map(read_value).collect()
}

fn read_value(section: &Section<'_>) -> Option<ValueRule> {
    let pointer = section.required::<Pointer>("pointer");
    let name = section.optional::<Template>("name").map(|name| name.value);
    let members = is_set(section, "members");
    let words = section.texts("enum");
    let number = is_set(section, "number");
    let unit = read_unit(section);
    let rule = read_number(section, pointer)?;
    if members {
        for key in ["name", "unit", "factor", "offset", "number", "enum"].into_iter().filter(|key| section.has(key)) {
            let help = "name the values one by one; `units` of the mapping gives members their units";
            section.error(&section.place_of(key), format!("`{key}` does not go with `members`"), help);
        }
    }
    if !words.is_empty() && (number || rule.scale != Scale::NONE || !unit.is_empty()) {
        let help = "keep `enum` for words, or `unit`, `factor`, `offset` and `number` for a number";
        section.error(section.place(), "a value is a word or a number", help);
    }
    let name = match name.or_else(|| rule.pointer.last().map(Template::literal)) {
        _ if members => Name::Members,
        Some(name) => Name::Given(name),
        None => {
            section.missing("name", "add `name = \"…\"`: the pointer has none");
            return None;
        }
    };
    Some(ValueRule { name, words, number: number || !unit.is_empty(), unit, ..rule })
}

fn read_unit(section: &Section<'_>) -> Unit {
    section.optional::<UnitCode>("unit").map_or("", |unit| unit.value.0)
}

/// The keys of every number: `pointer`, which was read before, `factor`, `offset` and
/// `optional`.
fn read_number(section: &Section<'_>, pointer: Option<Given<Pointer>>) -> Option<ValueRule> {
    let factor = section.optional::<f64>("factor");
    if let Some(factor) = factor.as_ref().filter(|factor| factor.value == 0.0) {
        section.error(&factor.place, "`factor` is 0: every value would be the same", "write what to multiply with");
    }
    let offset = section.optional::<f64>("offset");
    let optional = is_set(section, "optional");
    Some(ValueRule {
        pointer: pointer?.value,
        name: Name::Members,
        unit: "",
        scale: Scale { factor: factor.map_or(1.0, |it| it.value), offset: offset.map_or(0.0, |it| it.value) },
        number: true,
        words: BTreeMap::new(),
        optional,
    })
}

/// A number that an event has a field of its own for.
fn read_field(section: &Section<'_>, key: &'static str) -> Option<ValueRule> {
    let field = section.optional_section(key)?;
    let pointer = field.required::<Pointer>("pointer");
    read_number(&field, pointer)
}

fn read_state(section: &Section<'_>) -> Option<ValueRule> {
    let pointer = section.required::<Pointer>("pointer");
    let optional = is_set(section, "optional");
    let words = section.texts("enum");
    let states = mapping::DEVICE_STATES.map(|(name, _)| name);
    if words.is_empty() {
        section.missing("enum", "add `enum = { \"what the message says\" = \"online\", … }`");
    }
    for (said, word) in words.iter().filter(|(_, word)| mapping::device_state(word).is_none()) {
        let near = did_you_mean(nearest(word, states));
        let help = format!("{near}write one of {}", states.join(", "));
        section.error(&section.place_of(&format!("enum.{said}")), format!("`{word}` is not a device's state"), help);
    }
    let pointer = pointer?.value;
    Some(ValueRule { pointer, name: Name::Members, unit: "", scale: Scale::NONE, number: false, words, optional })
}

fn read_wind(section: &Section<'_>) -> Option<WindRule> {
    let speed = section.optional_section("speed").and_then(|speed| read_speed(&speed));
    let direction = read_field(section, "direction");
    let relative = is_set(section, "relative");
    if !section.has("speed") {
        section.missing("speed", "add `speed = { pointer = \"/…\", unit = \"m/s\" }`");
    }
    Some(WindRule { speed: speed?, direction, relative })
}

fn read_speed(section: &Section<'_>) -> Option<ValueRule> {
    let pointer = section.required::<Pointer>("pointer");
    let unit = section.required_as::<UnitCode>("unit", "\"m/s\"");
    if let Some(unit) = unit.as_ref().filter(|unit| !unit::WIND_UNITS.contains(&unit.value.0)) {
        let help = format!("write one of {}", unit::WIND_UNITS.join(", "));
        section.error(&unit.place, format!("the speed of the wind is in `{}`", unit.value.0), help);
    }
    let rule = read_number(section, pointer);
    Some(ValueRule { unit: unit?.value.0, ..rule? })
}

fn read_passing(section: &Section<'_>) -> Option<PassingRule> {
    let transponder = section.required_as::<Pointer>("transponder", "\"/epc\"");
    let text = |key| section.optional::<Pointer>(key).map(|pointer| pointer.value);
    let number = |key| read_field(section, key);
    let (start_number, location, reader, antenna) =
        (text("start_number"), text("location"), text("reader"), text("antenna"));
    let (hits, lap, rssi_dbm) = (number("hits"), number("lap"), number("rssi_dbm"));
    Some(PassingRule { transponder: transponder?.value, start_number, location, reader, antenna, hits, lap, rssi_dbm })
}

fn is_set(section: &Section<'_>, key: &'static str) -> bool {
    section.optional::<bool>(key).is_some_and(|flag| flag.value)
}

/// One of the devices that say JSON.
#[derive(Debug)]
struct JsonDevice(&'static DeviceType);

impl Setting for JsonDevice {
    const KIND: &'static str = "a device";
    const EXAMPLE: &'static str = "\"json\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        DEVICES.iter().find(|device| device.name == text).map(Self).ok_or_else(|| {
            let near = did_you_mean(nearest(text, DEVICES.iter().map(|device| device.name)));
            let list = DEVICES.iter().map(|device| device.name).collect::<Vec<_>>().join(", ");
            Complaint::new(format!("there is no device `{text}` at a topic"), format!("{near}write one of {list}"))
        })
    }
}

impl Setting for TopicFilter {
    const KIND: &'static str = "a topic filter";
    const EXAMPLE: &'static str = "\"venue/+/wind\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let help = "write levels between slashes, `+` for any one and `#` for the rest, such as \"venue/+/wind\"";
        Self::parse(text).map_err(|error| Complaint::new(format!("`{text}` is not a topic filter: {error}"), help))
    }
}

impl Setting for Pointer {
    const KIND: &'static str = "a JSON pointer";
    const EXAMPLE: &'static str = "\"/sensor/temperature\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let help = "write a JSON pointer such as \"/sensor/temperature\" or \"/list/0\"";
        Self::parse(text).map_err(|error| Complaint::new(format!("`{text}` is not a JSON pointer: {error}"), help))
    }
}

impl Setting for Template {
    const KIND: &'static str = "a text with places in it";
    const EXAMPLE: &'static str = "\"wind-{1}\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let text = String::from_text(text)?;
        if text.starts_with('/') {
            let help = format!("write \"{{{text}}}\" for what stands there in the message");
            return Err(Complaint::new(format!("`{text}` would stand there as it is"), help));
        }
        let help = "write \"wind-{1}\" for the first wildcard of the filter, \"{/id}\" for a field of the message";
        Self::parse(&text).map_err(|error| Complaint::new(format!("`{text}`: {error}"), help))
    }
}

/// A part of a key: a pointer as it is, or a text with places.
#[derive(Debug)]
struct KeyPart(Template);

impl Setting for KeyPart {
    const KIND: &'static str = "a pointer or a text with places";
    const EXAMPLE: &'static str = "\"/id\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text.starts_with(['/', '$']) {
            return Pointer::from_text(text).map(Template::pointer).map(Self);
        }
        Template::from_text(text).map(Self)
    }
}

impl Setting for TimeFormat {
    const KIND: &'static str = "a format of time";
    const EXAMPLE: &'static str = "\"rfc3339\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            "us" => Ok(Self::Microseconds),
            "rfc3339" => Ok(Self::Rfc3339),
            _ => {
                let near = did_you_mean(nearest(text, ["rfc3339"]));
                let help = format!("{near}write \"s\", \"ms\" or \"us\" since 1970, or \"rfc3339\"");
                Err(Complaint::new(format!("`{text}` is not {}", Self::KIND), help))
            }
        }
    }
}

/// A unit of the table.
#[derive(Debug)]
struct UnitCode(Unit);

impl Setting for UnitCode {
    const KIND: &'static str = "a unit";
    const EXAMPLE: &'static str = "\"Cel\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        unit::find(text).map(Self).ok_or_else(|| {
            let nearest_code = || nearest(text, unit::words()).and_then(|word| unit::find(word).or(unit::meant(word)));
            let near = did_you_mean(unit::meant(text).or_else(nearest_code));
            let help = format!("{near}the manual's page json lists the codes; leave `unit` out if none fits");
            Complaint::new(format!("`{text}` is not a UCUM code that the gateway knows"), help)
        })
    }
}

impl Setting for f64 {
    const KIND: &'static str = "a number";
    const EXAMPLE: &'static str = "0.1";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let plain = text.replace('_', "");
        plain
            .parse::<Self>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| Complaint::new(format!("`{text}` is not {}", Self::KIND), "write it in digits, such as 0.1"))
    }
    fn from_value(value: &DeValue<'_>) -> Option<Result<Self, Complaint>> {
        match value {
            DeValue::Float(number) => Some(Self::from_text(number.as_str())),
            DeValue::Integer(number) if number.radix() == 10 => Some(Self::from_text(number.as_str())),
            _ => None,
        }
    }
}

/// A text as it is, as long as a payload may be.
#[derive(Debug)]
struct Payload(String);

impl Setting for Payload {
    const KIND: &'static str = "a text";
    const EXAMPLE: &'static str = "'{\"speed\": 3.4}'";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text.len() > PAYLOAD_BYTES_MAX {
            let message = format!("the text is {} bytes long", text.len());
            return Err(Complaint::new(message, format!("use {PAYLOAD_BYTES_MAX} bytes at most")));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
