//! What a message said, owned: the twin of `venue_devices::Reading`.

use bytes::Bytes;
use venue_devices::{
    Charset, Content, DeviceState, DeviceStatus, Identity, KeyText, Measurement, Passing, Reading, Text, Unit, Value,
    ValueKind, Wind,
};

use super::time::MappedTime;

/// How many values go into one reading: as many as a `Measurement` takes.
pub(super) const VALUES_PER_READING: usize = 16;

/// One thing that a message said.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedReading {
    /// Which device it is of: the whole id, nothing is to be put before it.
    pub device_id: String,
    /// What makes it the same when it comes again; none: each is a new one.
    pub key: Option<KeyText>,
    /// When it happened; the receive time, if the message does not say.
    pub time: MappedTime,
    /// What was said.
    pub content: MappedContent,
    /// The text of the message or of its element, a slice of one copy of the payload.
    /// Where one text gave several readings, the first has it.
    pub evidence: Bytes,
}

/// What was said.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields as in `venue_devices`")]
pub enum MappedContent {
    /// At most 16 values.
    Measurement(Vec<MappedValue>),
    /// At most 16 values.
    DeviceStatus {
        state: DeviceState,
        values: Vec<MappedValue>,
    },
    Wind {
        speed_m_per_s: Option<f64>,
        direction_deg: Option<f64>,
        relative: bool,
        /// Number as it was written.
        speed_text: String,
        unit: Unit,
    },
    Passing(Box<MappedPassing>),
}

/// A transponder or tag was read.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub struct MappedPassing {
    pub transponder: String,
    pub start_number: String,
    pub location: String,
    pub reader: String,
    pub antenna: String,
    pub hits: Option<u32>,
    pub lap: Option<u32>,
    pub rssi_dbm: Option<i32>,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedValue {
    /// What is measured.
    pub name: String,
    /// The value.
    pub value: MappedKind,
    /// Its unit, as a UCUM code; empty for none.
    pub unit: Unit,
}

/// The value of a [`MappedValue`].
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MappedKind {
    Number(f64),
    Integer(i64),
    Flag(bool),
    Text(String),
}

impl MappedReading {
    /// The reading, as the pipeline takes it. The device's id stands in `sub_device`.
    pub fn as_reading(&self) -> Reading<'_> {
        Reading {
            sub_device: utf8(&self.device_id),
            identity: self.key.clone().map_or(Identity::None, |key| Identity::Key { epoch: 0, key }),
            time: self.time.as_device_time(),
            content: self.content.as_content(),
            evidence: &self.evidence,
        }
    }
}

impl MappedContent {
    fn as_content(&self) -> Content<'_> {
        match self {
            Self::Measurement(values) => {
                Content::Measurement(Measurement { values: as_values(values), historical: false })
            }
            Self::DeviceStatus { state, values } => {
                Content::DeviceStatus(DeviceStatus { state: *state, values: as_values(values), text: Text::EMPTY })
            }
            Self::Wind { speed_m_per_s, direction_deg, relative, speed_text, unit } => Content::Wind(Wind {
                speed_m_per_s: *speed_m_per_s,
                direction_deg: *direction_deg,
                relative: *relative,
                valid: speed_m_per_s.is_some(),
                speed_text: utf8(speed_text),
                unit_text: utf8(unit),
                status: Text::EMPTY,
            }),
            Self::Passing(it) => Content::Passing(Passing {
                transponder: utf8(&it.transponder),
                start_number: utf8(&it.start_number),
                location: utf8(&it.location),
                reader: utf8(&it.reader),
                antenna: utf8(&it.antenna),
                hits: it.hits,
                lap: it.lap,
                rssi_dbm: it.rssi_dbm,
                ..Passing::default()
            }),
        }
    }
}

fn as_values<'a, Values: FromIterator<Value<'a>>>(values: &'a [MappedValue]) -> Values {
    assert!(values.len() <= VALUES_PER_READING, "the mapping makes no longer ones");
    let one = |it: &'a MappedValue| Value {
        name: utf8(&it.name),
        value: match &it.value {
            MappedKind::Number(number) => ValueKind::Number(*number),
            MappedKind::Integer(integer) => ValueKind::Integer(*integer),
            MappedKind::Flag(flag) => ValueKind::Flag(*flag),
            MappedKind::Text(text) => ValueKind::Text(utf8(text)),
        },
        unit: it.unit,
        invalid: false,
    };
    values.iter().map(one).collect()
}

pub(super) fn utf8(text: &str) -> Text<'_> {
    Text::new(text.as_bytes(), Charset::Utf8)
}
