//! `decode`: a capture as events, without a gateway.
//!
//! One JSON event a line on standard output, and a summary as one JSON line on
//! standard error: `{"frames":…,"events":…,"bad":{KIND:…},"skipped_bytes":…}`.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    num::NonZeroUsize,
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use serde::Serialize;
use venue_devices::{Conversation, Device, DeviceType, Item, Role};
use venue_schema::v1;

use super::output;
use crate::{
    cli::{self, Exit},
    clock::{BootId, Quality, Received},
    pipeline::{Arrival, EventBuilder, KnownKeys, SourceSettings},
};

/// Bytes read at a time where nobody says how many.
const CHUNK: usize = 64 * 1024;

/// What is to be decoded, and how.
#[derive(Debug, Clone)]
pub struct Decode {
    /// The protocol.
    pub device: &'static DeviceType,
    /// Feed so many bytes at a time.
    pub chunk: Option<usize>,
    /// The input holds one frame in hex a line.
    pub hex: bool,
    /// When it was received: gives times of day their date.
    pub received_utc_ns: Option<i64>,
    /// The time zone of the device's local times.
    pub zone: TimeZone,
    /// The device's id in the events.
    pub device_id: String,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Framed and verified.
    pub frames: u64,
    /// Events printed.
    pub events: u64,
    /// Rejected, by kind.
    pub bad: BTreeMap<&'static str, u64>,
    /// Between frames.
    pub skipped_bytes: u64,
}

/// Decodes the file that the command line names, or standard input.
///
/// # Errors
/// If input or output fails.
pub fn main(arguments: &cli::Decode) -> anyhow::Result<Exit> {
    let device = DeviceType::find(&arguments.device).context("the command line takes known devices only")?;
    let decode = Decode {
        device,
        chunk: arguments.chunk.map(NonZeroUsize::get),
        hex: arguments.hex,
        received_utc_ns: arguments.received.and_then(|time| i64::try_from(time.as_nanosecond()).ok()),
        zone: arguments.timezone.clone(),
        device_id: device.name.to_owned(),
    };
    let mut events = BufWriter::new(io::stdout().lock());
    let decoded = match &arguments.file {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
            run(&decode, file, &mut events).with_context(|| path.display().to_string())
        }
        None => run(&decode, io::stdin().lock(), &mut events),
    };
    match decoded {
        Ok(summary) => output::tell(&serde_json::to_string(&summary)?),
        // Whoever read has seen enough: there is nothing to sum up.
        Err(error) if output::is_closed(&error) => drop(events.into_parts()),
        Err(error) => return Err(error),
    }
    Ok(Exit::Success)
}

/// Decodes `input` to `output` and returns the summary.
///
/// # Errors
/// If the input cannot be read or is not hex, or the output cannot be written.
pub fn run(decode: &Decode, input: impl Read, output: &mut impl Write) -> anyhow::Result<Summary> {
    let mut printer = Printer::new(decode, output);
    let mut device = Device::new(decode.device.name, Role::ListenOnly).context("the device is in the table")?;
    device.handle_connected(Duration::ZERO, &mut |item| printer.item(&item));
    let mut feed = |bytes: &[u8]| {
        let chunk = decode.chunk.unwrap_or(CHUNK).max(1);
        for piece in bytes.chunks(chunk) {
            device.handle_bytes(Duration::ZERO, piece, &mut |item| printer.item(&item));
        }
        printer.result()
    };
    if decode.hex {
        feed_hex(input, &mut feed)?
    } else {
        feed_raw(input, &mut feed)?
    }
    device.handle_disconnected(Duration::ZERO, &mut |item| printer.item(&item));
    printer.finish()
}

fn feed_raw(mut input: impl Read, feed: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match input.read(&mut buffer).context("failed to read the input")? {
            0 => return Ok(()),
            count => feed(&buffer[..count])?,
        }
    }
}

fn feed_hex(input: impl Read, feed: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for (index, line) in BufReader::new(input).lines().enumerate() {
        let line = line.context("failed to read the input")?;
        let digits: Vec<u8> = line.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let pair = |pair: &[u8]| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
        let Some(bytes) = bytes else {
            bail!("line {} is not hex: write two hex digits a byte, one frame a line", index + 1)
        };
        feed(&bytes)?;
    }
    Ok(())
}

/// Prints events and counts.
struct Printer<'a, W: Write> {
    events: EventBuilder,
    keys: Keys,
    arrival: Arrival,
    output: &'a mut W,
    summary: Summary,
    failed: Option<anyhow::Error>,
}

impl<'a, W: Write> Printer<'a, W> {
    fn new(decode: &Decode, output: &'a mut W) -> Self {
        let settings = SourceSettings {
            venue_id: String::new(),
            name: "decode".to_owned(),
            device: decode.device,
            device_id: decode.device_id.clone(),
            principal: String::new(),
            role: Role::ListenOnly,
            lane: None,
            labels: BTreeMap::new(),
            zone: decode.zone.clone(),
        };
        let quality = Quality {
            sync_state: v1::SyncState::Unspecified,
            maximum_error: None,
            date_known: decode.received_utc_ns.is_some(),
        };
        let boot_id = BootId([0; 16]);
        Self {
            events: EventBuilder::new(settings, boot_id),
            keys: Keys::default(),
            arrival: Arrival {
                received: Received { monotonic: Duration::ZERO, utc_ns: decode.received_utc_ns },
                quality,
                boot_id,
            },
            output,
            summary: Summary::default(),
            failed: None,
        }
    }

    fn item(&mut self, item: &Item<'_>) {
        match item {
            Item::Frame { .. } => self.summary.frames += 1,
            Item::Reading(reading) => {
                self.events.read(reading, &self.arrival, &self.keys);
                let event = self.events.event().clone();
                self.keys.remember(&event);
                self.print(&event);
            }
            Item::Unknown { offset, bytes } => self.raw(v1::RawReason::UnknownFrame, "", *offset, 0, bytes),
            Item::Bad { offset, bytes, error } => {
                *self.summary.bad.entry(error.kind.name()).or_default() += 1;
                self.raw(v1::RawReason::BadFrame, error.kind.name(), *offset, error.offset, bytes);
            }
            Item::Skipped { bytes, .. } => self.summary.skipped_bytes += bytes.len() as u64,
            Item::ReplayStarted => self.events.replay_started(),
            Item::ReplayEnded { .. } => self.events.replay_ended(),
        }
    }

    fn raw(&mut self, reason: v1::RawReason, error: &str, offset: u64, error_offset: usize, bytes: &[u8]) {
        let raw = v1::Raw {
            reason: reason.into(),
            error: error.to_owned(),
            error_offset: u32::try_from(error_offset).unwrap_or(u32::MAX),
            stream_offset: offset,
            bytes: bytes.len() as u64,
            count: 1,
        };
        self.events.set(v1::event::Content::Raw(raw), bytes.to_vec().into(), &self.arrival);
        let event = self.events.event().clone();
        self.print(&event);
    }

    fn print(&mut self, event: &v1::Event) {
        self.summary.events += 1;
        if self.failed.is_some() {
            return;
        }
        let printed = serde_json::to_string(event).map_err(anyhow::Error::from);
        let written = printed.and_then(|line| writeln!(self.output, "{line}").map_err(anyhow::Error::from));
        self.failed = written.err();
    }

    fn result(&mut self) -> anyhow::Result<()> {
        self.failed.take().map_or(Ok(()), |error| Err(error.context("failed to write the events")))
    }

    fn finish(mut self) -> anyhow::Result<Summary> {
        self.result()?;
        self.output.flush().context("failed to write the events")?;
        Ok(self.summary)
    }
}

/// The keys of this run: equal lines are counted as the journal would.
#[derive(Default)]
struct Keys(RefCell<BTreeMap<String, u32>>);

impl Keys {
    fn remember(&self, event: &v1::Event) {
        if let Some(v1::event::Identity::ContentKey(key)) = &event.identity {
            self.0.borrow_mut().insert(key.key.clone(), key.occurrence);
        }
    }
}

impl KnownKeys for Keys {
    fn occurrences(&self, _device_id: &str, _epoch: u64, key: &str) -> u32 {
        self.0.borrow().get(key).copied().unwrap_or(0)
    }
}
