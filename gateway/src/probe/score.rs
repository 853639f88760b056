//! How sure it is that bytes are a device's, at the settings at which they were heard.
//!
//! Every decoder reads all that was heard. What counts for it are frames that it knows, by
//! their shape or by their check digits; what counts against it is everything else: frames
//! that it rejects, text that it does not know, damaged bytes.
//!
//! ```text
//!  5,34*71\r\n $GPRMC,…*61\r\n $GPZDA,…*6F\r\n \xf3\x9e $GPRMC,…*6
//!  └ forgiven┘ └── sound ───┘  └── sound ───┘  └against┘ └forgiven┘   joined and left within a line
//! ```
//!
//! A decoder that gets in step again after noise finds a frame by luck now and then: a
//! start number of ALGE's has five characters and no check digits. So one frame is not
//! enough where more noise than frame was heard.

use std::borrow::Cow;

use venue_devices::{Conversation as _, DEVICES, Device, DeviceType, Item, LineSettings, Parity, Role};

use crate::source::LineErrors;

/// So much is kept of what was heard at one setting, bytes; it is enough to judge by.
pub(super) const HEARD_BYTES_MAX: usize = 64 * 1024;
/// A frame with fewer bytes may be anything.
const SHORTEST_FRAME: usize = 5;
/// So many sound frames make sure.
const SURE_FRAMES: u64 = 3;
/// After so many bytes without a sound frame a setting is wrong: two long sentences of NMEA 0183 and a half.
const REFUTED_BYTES: usize = 200;
/// After so many damaged ones, too.
const REFUTED_DAMAGED: u64 = 20;

/// What was heard at one setting, or on one connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Settings of the line; none without a serial line.
    pub line: Option<LineSettings>,
    /// The sound bytes, at most 64 KiB.
    pub bytes: Vec<u8>,
    /// What the port counted.
    pub errors: LineErrors,
}

/// How well a device's decoder understands what was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Score {
    /// Frames that it knows.
    pub sound: u64,
    /// Those of them whose check digits were verified.
    pub checked: u64,
    /// Frames that it recognised and rejected.
    pub rejected: u64,
    sound_bytes: u64,
    /// Bytes that count against it.
    other_bytes: u64,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// There is little to judge by, or much noise.
    Likely,
    /// Several sound frames, and hardly anything else.
    Sure,
}

impl Confidence {
    /// As people and `--json` read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Likely => "likely",
            Self::Sure => "sure",
        }
    }
}

/// A device that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its row in the table of devices.
    pub device: &'static DeviceType,
    /// Its settings, which may differ from those listened at; none without a serial line.
    pub line: Option<LineSettings>,
    /// What it said.
    pub bytes: Vec<u8>,
    /// By what it was recognised.
    pub score: Score,
    /// How sure it is.
    pub confidence: Confidence,
}

impl Heard {
    /// Nothing yet.
    pub fn at(line: Option<LineSettings>) -> Self {
        Self { line, ..Self::default() }
    }

    /// Whether not even a damaged byte came.
    pub fn is_silent(&self) -> bool {
        self.bytes.is_empty() && self.errors.is_zero()
    }

    /// Takes further bytes, as far as there is room.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEARD_BYTES_MAX - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Percent of what came that is text.
    pub fn text_percent(&self) -> u64 {
        let text = self.bytes.iter().filter(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t')).count() as u64;
        let all = self.bytes.len() as u64 + self.errors.dropped_bytes;
        (text * 100).checked_div(all).unwrap_or(0)
    }

    /// The device that understands it best, if one does.
    pub fn best(&self) -> Option<Finding> {
        let mut best: Option<Finding> = None;
        for (line, bytes, damaged) in self.formats() {
            for device in DEVICES {
                let mut score = Score::of(device, &bytes);
                score.other_bytes += damaged;
                let Some(confidence) = score.confidence() else { continue };
                let finding = Finding { device, line, bytes: bytes.to_vec(), score, confidence };
                if best.as_ref().is_none_or(|best| finding.weight() > best.weight()) {
                    best = Some(finding);
                }
            }
        }
        best
    }

    /// Whether this setting is wrong, or speaks a protocol that nobody here knows.
    pub(super) fn is_refuted(&self) -> bool {
        let enough = self.bytes.len() >= REFUTED_BYTES || self.errors.dropped_bytes >= REFUTED_DAMAGED;
        enough && self.best().is_none()
    }

    /// Formats in which it can be read, each with its bytes and the number of damaged ones.
    ///
    /// Seven bits with parity are as long as eight without: heard so, the parity stands in
    /// the eighth bit and can be verified afterwards.
    fn formats(&self) -> Vec<(Option<LineSettings>, Cow<'_, [u8]>, u64)> {
        let damaged = self.errors.dropped_bytes;
        let mut formats = vec![(self.line, Cow::Borrowed(&self.bytes[..]), damaged)];
        let Some(line) = self.line.filter(|line| line.data_bits == 8 && line.parity == Parity::None) else {
            return formats;
        };
        if self.bytes.iter().any(|byte| !byte.is_ascii()) {
            for parity in [Parity::Even, Parity::Odd] {
                let ones = if parity == Parity::Even { 0 } else { 1 };
                let sound = self.bytes.iter().filter(|byte| byte.count_ones() % 2 == ones);
                let bytes: Vec<u8> = sound.map(|byte| byte & 0x7f).collect();
                let damaged = damaged + (self.bytes.len() - bytes.len()) as u64;
                formats.push((Some(LineSettings { data_bits: 7, parity, ..line }), Cow::Owned(bytes), damaged));
            }
        }
        formats
    }
}

impl Score {
    /// Reads the bytes as those of a device.
    fn of(device: &'static DeviceType, bytes: &[u8]) -> Self {
        let mut score = Self::default();
        let now = std::time::Duration::ZERO;
        let Ok(mut conversation) = Device::new(device.name, Role::ListenOnly) else { return score };
        // The frame before, if it holds no check digits: what follows says whether it is known.
        let mut unchecked = None;
        let mut sink = |item: Item<'_>| match item {
            Item::Frame { bytes, .. } => {
                unchecked = score.frame(device, bytes);
            }
            Item::Unknown { offset, .. } => {
                if let Some(bytes) = unchecked.take() {
                    score.sound -= 1;
                    score.sound_bytes -= bytes;
                    score.against(offset, bytes);
                }
            }
            Item::Bad { offset, bytes, .. } => {
                score.rejected += u64::from(offset > 0);
                score.against(offset, bytes.len() as u64);
            }
            Item::Skipped { offset, bytes } => score.against(offset, bytes.len() as u64),
            Item::Reading(_) | Item::ReplayStarted | Item::ReplayEnded { .. } => {}
        };
        conversation.handle_connected(now, &mut sink);
        conversation.handle_bytes(now, bytes, &mut sink);
        // Not disconnected: a frame that is under way is no damaged one.
        score
    }

    /// Counts a frame, and returns its length if it may turn out to be unknown.
    fn frame(&mut self, device: &DeviceType, bytes: &[u8]) -> Option<u64> {
        let is_checked = device.is_checked(bytes);
        let length = bytes.len() as u64;
        if !is_checked && bytes.trim_ascii().len() < SHORTEST_FRAME {
            return None;
        }
        self.sound += 1;
        self.checked += u64::from(is_checked);
        self.sound_bytes += length;
        (!is_checked).then_some(length)
    }

    /// Counts bytes against the device, but for those at the very beginning: whoever comes
    /// in the middle of a line hears its end.
    fn against(&mut self, offset: u64, bytes: u64) {
        if offset > 0 {
            self.other_bytes += bytes;
        }
    }

    fn confidence(&self) -> Option<Confidence> {
        let Self { sound, sound_bytes, other_bytes, .. } = *self;
        match sound {
            0 => None,
            SURE_FRAMES.. if sound_bytes >= 9 * other_bytes => Some(Confidence::Sure),
            SURE_FRAMES.. => Some(Confidence::Likely),
            _ => (sound_bytes > other_bytes).then_some(Confidence::Likely),
        }
    }
}

impl Finding {
    /// The heavier of two findings is the better.
    fn weight(&self) -> (Confidence, u64) {
        (self.confidence, self.score.sound_bytes.saturating_sub(self.score.other_bytes))
    }
}

/// The best of what was heard at several settings, the first of equals.
pub fn judge(heard: &[Heard]) -> Option<Finding> {
    let better = |best: Option<Finding>, next: Finding| match best {
        Some(best) if best.weight() >= next.weight() => Some(best),
        _ => Some(next),
    };
    heard.iter().filter_map(Heard::best).fold(None, better)
}

#[cfg(test)]
mod tests;
