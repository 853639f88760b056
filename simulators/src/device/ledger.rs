//! What a simulated device said and holds: the truth that a verdict compares with.

use venue_devices::{Conversation as _, Device, Identity, Item, Role};

/// The most lines that a ledger keeps; later ones are counted.
pub const MOST_LINES: usize = 1_000_000;

/// One record that a chronometer stored, or a change of one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MemoryRecord {
    /// Its place in the memory, from 0; a change names the place it changed.
    pub index: usize,
    /// Whether it changed a record instead of adding one.
    pub correction: bool,
    /// Whether the memory had room. What was not stored was printed once and cannot be
    /// repeated.
    pub stored: bool,
    /// `C0` to `C9`, or the kind of result.
    pub code: &'static str,
    /// Start number, 0 if none.
    pub start_number: u16,
    /// The flag at the head of the line.
    pub flag: char,
    /// Local time of day of an impulse in ns.
    pub time_of_day_ns: Option<u64>,
    /// The content key of the line, as the gateway's decoder reads it, without date.
    pub key: String,
    /// Earlier key of which this line is the repeat, if it is a correction.
    pub stands_for: Option<String>,
    /// When it was stored, UTC ns.
    pub utc_ns: i64,
}

/// One line that left the device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SpokenLine {
    /// The line with its terminator, as the device meant it.
    #[serde(serialize_with = "as_text")]
    pub bytes: Vec<u8>,
    /// When its last byte left, UTC ns.
    pub left_utc_ns: i64,
    /// All of its bytes left while somebody listened, and none was damaged.
    pub heard: bool,
}

fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&bytes.escape_ascii())
}

/// What a device said and holds.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    records: Vec<MemoryRecord>,
    lines: Vec<SpokenLine>,
    forgotten_lines: u64,
}

impl Ledger {
    /// What a chronometer stored, oldest first. Empty for devices without memory.
    pub fn records(&self) -> &[MemoryRecord] {
        &self.records
    }

    /// Every line that left, oldest first: live ones, repeats and replies.
    pub fn lines(&self) -> &[SpokenLine] {
        &self.lines
    }

    /// Lines beyond [`MOST_LINES`], which are not kept.
    pub fn forgotten_lines(&self) -> u64 {
        self.forgotten_lines
    }

    pub(super) fn store(&mut self, record: MemoryRecord) {
        self.records.push(record);
    }

    /// The memory was erased; what was stored is what was stored.
    pub(super) fn speak(&mut self, line: SpokenLine) {
        if self.lines.len() < MOST_LINES {
            self.lines.push(line);
        } else {
            self.forgotten_lines += 1;
        }
    }
}

/// The content key that the gateway's own decoder reads from one line, and what it
/// stands for.
pub(super) fn key_of(device: &str, line: &[u8]) -> Option<(String, Option<String>)> {
    let mut found = None;
    let mut decoder = Device::new(device, Role::ListenOnly).ok()?;
    decoder.handle_bytes(std::time::Duration::ZERO, line, &mut |item| {
        if let Item::Reading(reading) = item
            && let Identity::Content { key, stands_for, .. } = reading.identity
        {
            found = Some((key.to_string(), stands_for.map(|key| key.to_string())));
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a line is the one that the gateway will give it.
    #[test]
    fn keys_are_read_by_the_decoder() {
        assert_eq!(key_of("alge-timy", b" 0007 C1  09:17:08.0298 00\r"), Some(("C1|09:17:08.02|00".into(), None)));
        let cleared = key_of("alge-timy", b"c0007 C1  09:17:08.0298 00\r").expect("a correction");
        assert_eq!(cleared.1.as_deref(), Some("C1|09:17:08.02|00"));
        assert_eq!(key_of("alge-timy", b"n0007\r"), None);
    }
}
