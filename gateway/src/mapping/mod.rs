//! From a JSON message over MQTT to readings, by a table that a person wrote.
//!
//! A [`Mapping`] is made once from the configuration ([`JsonTopic`](crate::config::JsonTopic))
//! and then asked for every message of its topic filter. It is sans-io and keeps
//! nothing from message to message: the same bytes give the same readings.
//!
//! ```text
//! topic ──► wildcards ─┐
//!                      ├─► device id, key      ┐
//! payload ─► element ──┼─► time                ├─► MappedReading ─► pipeline
//!            (`each`)  └─► values, wind, …     ┘
//! ```
//!
//! A message fits its mapping whole or not at all: one field that is not as it must be
//! fails it with a [`MappingError`], and the caller keeps it as `raw`, so that nothing of
//! it is lost and it can be mapped again later. No input panics.
//!
//! What it never does: subscribe, know the time, decide a lane, drop a repeat.

mod error;
mod json;
mod pointer;
mod reading;
mod sample;
mod template;
mod time;
mod topic;
pub mod unit;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use venue_devices::{DeviceState, DeviceType, Evidence, KeyText, Transport, Unit};

use error::quoted;
use json::{Kind, Node};
use pointer::{Scope, child_path, shown};
use reading::VALUES_PER_READING;
use value::short;

pub use error::{ErrorKind, MappingError};
pub use pointer::{InvalidPointer, Pointer};
pub use reading::{MappedContent, MappedKind, MappedPassing, MappedReading, MappedValue};
pub use sample::{Sample, try_sample};
pub use template::{InvalidTemplate, Template};
pub use time::{MappedTime, TimeFormat, TimeRule};
pub use topic::{InvalidFilter, TopicFilter};
pub use value::{MEMBERS_DEPTH_MAX, Name, Scale, TEXT_BYTES_MAX, VALUES_MAX, ValueRule};

/// The longest payload that is read, bytes; a longer one fails. The evidence is stored
/// beside what was read from it, and the journal takes events of 252 KiB at most.
pub const PAYLOAD_BYTES_MAX: usize = 200 << 10;
/// The most readings of a message; one with more fails.
pub const READINGS_MAX: usize = 1000;
/// The longest device id, bytes; a longer one fails the message.
pub const DEVICE_ID_BYTES_MAX: usize = 256;
/// The longest identity key, bytes; a longer one is replaced by its SHA-256.
pub const KEY_BYTES_MAX: usize = 96;

/// What a topic's messages are read by, and the ready-made mappings among them. They
/// stand beside the table of serial and TCP devices: MQTT topics are no sources of it.
pub const DEVICES: [DeviceType; 3] = [
    device("json", "any sensor that says JSON over MQTT, by a mapping"),
    device("chirpstack-v4", "LoRaWAN sensors behind ChirpStack v4"),
    device("ttn-v3", "LoRaWAN sensors behind The Things Stack v3"),
];

/// The compiled-in topics of the ready-made mappings, as a user would write them.
pub const READY_MADE: &str = include_str!("ready_made.toml");

const fn device(name: &'static str, title: &'static str) -> DeviceType {
    DeviceType {
        name,
        title,
        transports: &[Transport::Mqtt],
        line: None,
        other_lines: &[],
        identify: b"",
        evidence: Evidence::Documentation,
        back_fill: "",
        acknowledgement: "PUBACK",
        timing: false,
        decoder_version: 1,
    }
}

/// How the messages of a topic filter become readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// What the events name as their decoder.
    pub(crate) device: &'static DeviceType,
    pub(crate) filter: TopicFilter,
    pub(crate) device_id: Template,
    /// Where a list or an object stands whose elements are mapped one by one.
    pub(crate) each: Option<Pointer>,
    pub(crate) time: Option<TimeRule>,
    /// The parts of the identity key; empty for no identity.
    pub(crate) key: Vec<Template>,
    pub(crate) measurement: Vec<ValueRule>,
    pub(crate) device_status: Vec<ValueRule>,
    /// Its words are those of [`device_state`].
    pub(crate) device_state: Option<ValueRule>,
    pub(crate) wind: Option<WindRule>,
    pub(crate) passing: Option<PassingRule>,
    /// Units of values by their names, where the value's own rule has none.
    pub(crate) units: BTreeMap<String, Unit>,
}

/// Where the wind stands in a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WindRule {
    /// Its unit is one of [`unit::WIND_UNITS`].
    pub(crate) speed: ValueRule,
    /// In degrees.
    pub(crate) direction: Option<ValueRule>,
    pub(crate) relative: bool,
}

/// Where a transponder's passing stands in a message. Texts other than the transponder
/// may be absent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PassingRule {
    pub(crate) transponder: Pointer,
    pub(crate) start_number: Option<Pointer>,
    pub(crate) location: Option<Pointer>,
    pub(crate) reader: Option<Pointer>,
    pub(crate) antenna: Option<Pointer>,
    pub(crate) hits: Option<ValueRule>,
    pub(crate) lap: Option<ValueRule>,
    pub(crate) rssi_dbm: Option<ValueRule>,
}

/// The state of a word of `device_state`.
pub(crate) fn device_state(word: &str) -> Option<DeviceState> {
    DEVICE_STATES.iter().find(|(name, _)| *name == word).map(|(_, state)| *state)
}

/// The words that `device_state` may give.
pub(crate) const DEVICE_STATES: [(&str, DeviceState); 4] = [
    ("online", DeviceState::Online),
    ("offline", DeviceState::Offline),
    ("silent", DeviceState::Silent),
    ("fault", DeviceState::Fault),
];

impl Mapping {
    /// What the events name as their decoder: one of [`DEVICES`].
    pub fn device(&self) -> &'static DeviceType {
        self.device
    }

    /// The filter to subscribe.
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The readings of a message, at least one and at most [`READINGS_MAX`], in the order
    /// of the message; of one element: passing, wind, measurements, device status.
    ///
    /// # Errors
    /// The message does not fit: which field, and why.
    pub fn map(&self, topic: &str, payload: &[u8]) -> Result<Vec<MappedReading>, MappingError> {
        let whole = |kind, message| Err(MappingError::new(kind, "", message));
        let Some(captures) = self.filter.captures(topic) else {
            let message = format!("the topic {} is none of `{}`", quoted(topic), self.filter.plain());
            return whole(ErrorKind::TopicMismatch, message);
        };
        if payload.len() > PAYLOAD_BYTES_MAX {
            let message = format!("the payload has {} bytes: {PAYLOAD_BYTES_MAX} are read", payload.len());
            return whole(ErrorKind::TooLarge, message);
        }
        if payload.is_empty() {
            return whole(ErrorKind::NotJson, "the payload is empty".to_owned());
        }
        let payload = Bytes::copy_from_slice(payload);
        let parsed = match std::str::from_utf8(&payload) {
            Ok(text) => Node::parse(text).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let root = match parsed {
            Ok(root) => root,
            Err(error) => return whole(ErrorKind::NotJson, format!("the payload is not JSON: {error}")),
        };
        let mut message = Message { mapping: self, captures, payload: &payload, readings: Vec::new() };
        let scope = Scope { root: &root, element: &root, member: "", path: "" };
        match &self.each {
            None => message.element(&scope)?,
            Some(each) => message.elements(each, &scope)?,
        }
        if message.readings.is_empty() {
            return whole(ErrorKind::NoValues, "the list of readings is empty".to_owned());
        }
        Ok(message.readings)
    }
}

/// A message on its way through its mapping.
struct Message<'m> {
    mapping: &'m Mapping,
    captures: Vec<&'m str>,
    payload: &'m Bytes,
    readings: Vec<MappedReading>,
}

impl Message<'_> {
    fn elements(&mut self, each: &Pointer, scope: &Scope<'_, '_>) -> Result<(), MappingError> {
        let list = each.require(scope)?;
        let is_list = match list.kind() {
            Kind::Array => true,
            Kind::Object => false,
            other => {
                let what = format!("must be a list or an object, and is {}", other.name());
                return Err(each.error(scope, ErrorKind::WrongType, what));
            }
        };
        let place = each.place(scope);
        for (index, (name, element)) in list.members().iter().enumerate() {
            let member = if is_list { index.to_string() } else { name.to_string() };
            let path = child_path(&place, &member);
            self.element(&Scope { root: scope.root, element, member: &member, path: &path })?;
        }
        self.refuse_twins()
    }

    fn element(&mut self, scope: &Scope<'_, '_>) -> Result<(), MappingError> {
        let contents = self.contents(scope)?;
        if contents.is_empty() {
            let message = format!("{} holds nothing that the mapping names", shown(scope.path));
            return Err(MappingError::new(ErrorKind::NoValues, scope.path, message));
        }
        if self.readings.len() + contents.len() > READINGS_MAX {
            let message = format!("the message has more than {READINGS_MAX} readings");
            return Err(MappingError::new(ErrorKind::TooManyReadings, scope.path, message));
        }
        let device_id = self.device_id(scope)?;
        let time = self.mapping.time.as_ref().map_or_else(|| Ok(MappedTime::default()), |time| time.read(scope))?;
        let key = self.key(scope)?;
        let mut evidence = self.payload.slice_ref(scope.element.text().as_bytes());
        for (part, content) in contents {
            self.readings.push(MappedReading {
                device_id: device_id.clone(),
                key: key.as_deref().map(|key| complete(key, &part)),
                time: time.clone(),
                content,
                evidence: std::mem::take(&mut evidence),
            });
        }
        Ok(())
    }

    /// What an element says, each with what tells its key from its siblings'.
    fn contents(&self, scope: &Scope<'_, '_>) -> Result<Vec<(String, MappedContent)>, MappingError> {
        let mapping = self.mapping;
        let mut contents = Vec::new();
        if let Some(rule) = &mapping.passing {
            contents.push(("#passing".to_owned(), rule.read(scope)?));
        }
        if let Some(wind) = mapping.wind.as_ref().map(|rule| rule.read(scope)).transpose()?.flatten() {
            contents.push(("#wind".to_owned(), wind));
        }
        let measured = self.values(&mapping.measurement, scope)?;
        for (index, values) in chunks(measured).into_iter().enumerate() {
            let part = if index == 0 { String::new() } else { format!("#values-{}", index + 1) };
            contents.push((part, MappedContent::Measurement(values)));
        }
        let told = self.values(&mapping.device_status, scope)?;
        let state = match &mapping.device_state {
            Some(rule) => rule.find(scope)?.map(|node| rule.word(scope, node)).transpose()?,
            None => None,
        };
        let state = state.and_then(device_state);
        let mut told = chunks(told);
        if told.is_empty() && state.is_some() {
            told.push(Vec::new());
        }
        for (index, values) in told.into_iter().enumerate() {
            let part = if index == 0 { "#device_status".to_owned() } else { format!("#device_status-{}", index + 1) };
            contents.push((part, MappedContent::DeviceStatus { state: state.unwrap_or_default(), values }));
        }
        Ok(contents)
    }

    fn values(&self, rules: &[ValueRule], scope: &Scope<'_, '_>) -> Result<Vec<MappedValue>, MappingError> {
        let mut values = Vec::with_capacity(rules.len());
        for rule in rules {
            rule.read(&self.captures, scope, &self.mapping.units, &mut values)?;
        }
        Ok(values)
    }

    fn device_id(&self, scope: &Scope<'_, '_>) -> Result<String, MappingError> {
        let id = self.mapping.device_id.render(&self.captures, scope)?;
        let wrong = if id.is_empty() {
            "it is empty".to_owned()
        } else if id.len() > DEVICE_ID_BYTES_MAX {
            format!("it has {} bytes, and {DEVICE_ID_BYTES_MAX} are the most", id.len())
        } else if id.chars().any(char::is_control) {
            "it holds control characters".to_owned()
        } else if id.trim() != id {
            "it begins or ends with a blank".to_owned()
        } else {
            return Ok(id);
        };
        let message = format!("{} cannot be a device id: {wrong}", quoted(&id));
        Err(MappingError::new(ErrorKind::BadDeviceId, scope.path, message))
    }

    /// The parts of the key, joined so that no two different lists give one text.
    fn key(&self, scope: &Scope<'_, '_>) -> Result<Option<String>, MappingError> {
        let parts = &self.mapping.key;
        if parts.is_empty() {
            return Ok(None);
        }
        let mut key = String::new();
        for (index, part) in parts.iter().enumerate() {
            let Some(text) = part.render_if_there(&self.captures, scope)? else { return Ok(None) };
            key.push_str(if index == 0 { "" } else { "|" });
            escape(&text, &mut key);
        }
        if self.mapping.each.is_some() && !parts.iter().any(Template::reads_element) {
            key.push('#');
            escape(scope.member, &mut key);
        }
        Ok(Some(key))
    }

    /// Two readings of a device with one identity: the second would be dropped as a repeat.
    fn refuse_twins(&self) -> Result<(), MappingError> {
        let mut seen = BTreeSet::new();
        let keys = self.readings.iter().filter_map(|it| Some((it.device_id.as_str(), it.key.as_deref()?)));
        for (device_id, key) in keys {
            if !seen.insert((device_id, key)) {
                let message = format!("two readings of {} have the key {}", quoted(device_id), quoted(key));
                return Err(MappingError::new(ErrorKind::DuplicateKey, "", message));
            }
        }
        Ok(())
    }
}

impl WindRule {
    fn read(&self, scope: &Scope<'_, '_>) -> Result<Option<MappedContent>, MappingError> {
        let speed = self.speed.read_number(scope)?;
        let direction = self.direction.as_ref().map(|rule| rule.read_number(scope)).transpose()?.flatten();
        if speed.is_none() && direction.is_none() {
            return Ok(None);
        }
        let unit = self.speed.unit;
        let (speed, speed_text) = speed.unzip();
        let direction_deg = match (direction, &self.direction) {
            (Some((degrees, text)), Some(rule)) => Some(circle(degrees).ok_or_else(|| {
                let what = format!("is no direction in degrees: {}", quoted(&text));
                rule.pointer.error(scope, ErrorKind::BadNumber, what)
            })?),
            _ => None,
        };
        Ok(Some(MappedContent::Wind {
            speed_m_per_s: speed.and_then(|speed| unit::metres_per_second(speed, unit)),
            direction_deg,
            relative: self.relative,
            speed_text: short(speed_text.unwrap_or_default(), scope.path)?,
            unit,
        }))
    }
}

/// A direction on the circle. An offset for the mounting may lead once around; what
/// lies further off is a code of the sensor, such as 999.
fn circle(degrees: f64) -> Option<f64> {
    match degrees {
        0.0..=360.0 => Some(degrees),
        -360.0..=720.0 => Some(degrees.rem_euclid(360.0)),
        _ => None,
    }
}

impl PassingRule {
    fn read(&self, scope: &Scope<'_, '_>) -> Result<MappedContent, MappingError> {
        let text = |pointer: &Pointer, node| short(template::scalar(pointer, scope, node)?.into_owned(), scope.path);
        let optional = |pointer: &Option<Pointer>| {
            let found = pointer.as_ref().and_then(|pointer| Some((pointer, pointer.find(scope)?)));
            found.map_or_else(|| Ok(String::new()), |(pointer, node)| text(pointer, node))
        };
        Ok(MappedContent::Passing(Box::new(MappedPassing {
            transponder: text(&self.transponder, self.transponder.require(scope)?)?,
            start_number: optional(&self.start_number)?,
            location: optional(&self.location)?,
            reader: optional(&self.reader)?,
            antenna: optional(&self.antenna)?,
            hits: whole(self.hits.as_ref(), scope)?,
            lap: whole(self.lap.as_ref(), scope)?,
            rssi_dbm: whole(self.rssi_dbm.as_ref(), scope)?,
        })))
    }
}

/// A number that an event holds whole, rounded.
fn whole<T: TryFrom<i64>>(rule: Option<&ValueRule>, scope: &Scope<'_, '_>) -> Result<Option<T>, MappingError> {
    let Some(rule) = rule else { return Ok(None) };
    let Some((number, text)) = rule.read_number(scope)? else { return Ok(None) };
    // The cast saturates, and what it saturates at is out of range for every `T`.
    T::try_from(number.round() as i64)
        .map(Some)
        .map_err(|_| rule.pointer.error(scope, ErrorKind::BadNumber, format!("is out of range: {}", quoted(&text))))
}

/// As many values as a reading takes, in order.
fn chunks(values: Vec<MappedValue>) -> Vec<Vec<MappedValue>> {
    let mut values = values.into_iter().peekable();
    let mut chunks = Vec::new();
    while values.peek().is_some() {
        chunks.push(values.by_ref().take(VALUES_PER_READING).collect());
    }
    chunks
}

/// Adds a part of a key, so that what joins parts does not stand in it.
fn escape(part: &str, key: &mut String) {
    for c in part.chars() {
        if matches!(c, '|' | '#' | '\\') {
            key.push('\\');
        }
        key.push(c);
    }
}

/// The key of a reading: as it is, or `sha256:` and 64 hexadecimal digits.
fn complete(key: &str, part: &str) -> KeyText {
    let text = [key, part].concat();
    KeyText::try_from(text.as_str()).unwrap_or_else(|_| {
        let mut hashed = KeyText::try_from("sha256:").expect("7 bytes of 96");
        let written = Sha256::digest(&text).iter().try_for_each(|byte| write!(hashed, "{byte:02x}"));
        written.expect("71 bytes of 96");
        hashed
    })
}

#[cfg(test)]
mod tests;
