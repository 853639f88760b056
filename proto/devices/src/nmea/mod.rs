//! NMEA 0183: satellite receivers, anemometers and weather stations. Sentences
//! in, readings out; the emitters beside them for the simulator.
//!
//! ```text
//!   $  GP  RMC , 223251.00 , A , 3757.92653 , N , …  *  5B  \r\n
//!   │  │    │    └──────────── fields ────────────┘     └─ XOR of all between $ and *
//!   │  │    └ formatter        empty: not known
//!   │  └ talker: who says it (GP, GN: satellites; WI: weather)
//!   └ start of a sentence; ! for encapsulated ones
//! ```
//!
//! | sentence | says | reading | identity |
//! |---|---|---|---|
//! | [`Rmc`] | time, date, position, speed | measurement, time UTC | address, time and date |
//! | [`Zda`] | time, date, local zone | measurement, time UTC | address, time and date |
//! | [`Mwv`] | wind | wind | none |
//! | [`Xdr`] | values of transducers | measurements of at most 16 values | none |
//!
//! Every other sound sentence, proprietary ones too, is handed out as unknown and
//! kept as it is. The checksum is always verified; a sentence without one is bad.
//! Nothing is ever sent: the protocol has listeners only.
//!
//! What this module never does: set a clock (a sentence arrives 50 to 800 ms after
//! the second it names), join sentences of one second, average wind.
//!
//! Source: NMEA 0183 version 4.11, as far as makers' interface manuals print it.

mod clock;
mod decimal;
mod emit;
mod framing;
mod mwv;
mod position;
mod rmc;
mod sentence;
mod units;
mod xdr;
mod zda;

pub use clock::{TimeOfDay, Zone};
pub use decimal::Decimal;
pub use emit::{EmitError, EmittedLine};
pub use framing::LONGEST;
pub use mwv::{Mwv, Reference, SpeedUnit};
pub use position::{Latitude, Longitude};
pub use rmc::Rmc;
pub use sentence::{Field, Fields, Letter, Sentence, Talker};
pub use xdr::{MOST_TRANSDUCERS, Transducer, TransducerValue, Xdr};
pub use zda::Zda;

use crate::{
    Conversation, DecodeError, DeviceType, ErrorKind, Evidence, Item, LineSettings, Monotonic, Role, Transport,
};
use framing::{Framer, Piece};

/// Row of the table of devices.
pub const DEVICE: DeviceType = DeviceType {
    name: "nmea",
    title: "NMEA 0183 (GNSS receivers, anemometers)",
    transports: &[Transport::Serial, Transport::TcpConnect, Transport::TcpListen],
    line: Some(LineSettings::eight_n_one(4800)),
    other_lines: &[
        LineSettings::eight_n_one(9600),
        LineSettings::eight_n_one(38_400),
        LineSettings::eight_n_one(115_200),
        LineSettings::eight_n_one(19_200),
        LineSettings::eight_n_one(57_600),
    ],
    identify: b"",
    evidence: Evidence::GenuineCapture,
    back_fill: "",
    acknowledgement: "",
    timing: false,
    decoder_version: 1,
};

/// Listens to a line that speaks NMEA 0183.
#[derive(Debug)]
pub struct Nmea {
    framer: Framer,
}

impl Nmea {
    /// A listener at the beginning of a stream. Both roles only listen.
    pub const fn new(_role: Role) -> Self {
        Self { framer: Framer::new() }
    }

    /// Whether a sound frame holds check digits: each does.
    pub const fn is_checked(_frame: &[u8]) -> bool {
        true
    }
}

impl Conversation for Nmea {
    fn handle_connected(&mut self, _now: Monotonic, _sink: &mut dyn FnMut(Item<'_>)) {
        self.framer = Framer::new();
    }

    fn handle_bytes(&mut self, _now: Monotonic, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        self.framer.push(bytes, &mut |piece| hand_out(piece, sink));
    }

    fn handle_disconnected(&mut self, _now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        self.framer.finish(&mut |piece| hand_out(piece, sink));
    }

    fn handle_timeout(&mut self, _now: Monotonic, _sink: &mut dyn FnMut(Item<'_>)) {}

    fn handle_durable(&mut self, _now: Monotonic, _items: u64) {}

    fn poll_transmit(&mut self, _now: Monotonic, _buffer: &mut [u8]) -> usize {
        0
    }

    fn poll_timeout(&self) -> Option<Monotonic> {
        None
    }
}

/// Turns a piece of the stream into items.
fn hand_out(piece: Piece<'_>, sink: &mut dyn FnMut(Item<'_>)) {
    match piece {
        Piece::Skipped { offset, bytes } => sink(Item::Skipped { offset, bytes }),
        Piece::TooLong { offset, bytes } => {
            sink(Item::Bad { offset, bytes, error: DecodeError::new(ErrorKind::TooLong, bytes.len()) });
        }
        // Text that names sentences, as in a banner: `for $GPRMC and $GPZDA see`.
        Piece::Sentence { offset, bytes, behind_noise: true, .. } if !sentence::ends_with_check_digits(bytes) => {
            sink(Item::Skipped { offset, bytes });
        }
        Piece::Sentence { offset, bytes, terminated, .. } => {
            if let Err(error) = verify(bytes, terminated).and_then(|sentence| read(&sentence, offset, sink)) {
                sink(Item::Bad { offset, bytes, error });
            }
        }
    }
}

/// Verifies a sentence. One that no terminator ended is whole if it ends in check
/// digits.
fn verify(bytes: &[u8], terminated: bool) -> Result<Sentence<'_>, DecodeError> {
    if terminated || sentence::ends_with_check_digits(bytes) {
        Sentence::parse(bytes)
    } else {
        Err(DecodeError::new(ErrorKind::Truncated, bytes.len()))
    }
}

/// Reads all fields of a kind that is known, and only then hands out the frame and
/// what it says.
fn read(sentence: &Sentence<'_>, offset: u64, sink: &mut dyn FnMut(Item<'_>)) -> Result<(), DecodeError> {
    let bytes = sentence.bytes();
    let frame = Item::Frame { offset, bytes };
    match sentence.formatter() {
        Some(b"RMC") => {
            let rmc = Rmc::parse(sentence)?;
            sink(frame);
            sink(Item::Reading(rmc.reading(sentence)));
        }
        Some(b"ZDA") => {
            let zda = Zda::parse(sentence)?;
            sink(frame);
            sink(Item::Reading(zda.reading(sentence)));
        }
        Some(b"MWV") => {
            let mwv = Mwv::parse(sentence)?;
            sink(frame);
            sink(Item::Reading(mwv.reading(sentence)));
        }
        Some(b"XDR") => {
            let xdr = Xdr::parse(sentence)?;
            sink(frame);
            xdr.readings(bytes, &mut |reading| sink(Item::Reading(reading)));
        }
        _ => {
            sink(frame);
            sink(Item::Unknown { offset, bytes });
        }
    }
    Ok(())
}
