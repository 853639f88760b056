//! ALGE TdC 8000/8001, Timy, Timy2, Timy3: the chronometers of alpine skiing,
//! track cycling, equestrian sport and many athletics clubs.
//!
//! ASCII lines that end with CR, printed as things happen; nothing is numbered and
//! nothing acknowledged. What was missed is fetched by having the device repeat
//! its whole memory (`RSM`), and told from what is new by content (see `key.rs`).
//!
//! ```text
//!  0007 C0  10:04:55.6513 00      impulse on the start channel, to 1/10 000 s
//!  0007 C1  10:05:55.4113 00      … on the finish channel
//!  0007 RT  00:00:59.76   00      run time, cut to 1/100 s
//! c0007 C1  10:05:55.4113 00      that finish was cleared at the device
//! n0008                           start number 8 was keyed in
//! ```
//!
//! | file | subject |
//! |---|---|
//! | `record` | the long line; `flag`, `code`, `value`, `checksum` are its parts |
//! | `short_line`, `listing`, `reply` | the other lines |
//! | `message` | any line |
//! | `meaning`, `key` | what a line means as a reading, and its identity |
//! | `replay`, `conversation` | when the memory is asked for, what is its repeat |
//! | `command`, `emulator` | the device's end, for simulators |
//!
//! Sources: ALGE Timy and Timy3 manuals, "RS-232 interface"; race dumps of a TdC
//! 8001 and a Timy.

mod checksum;
mod code;
mod command;
mod conversation;
mod emulator;
mod flag;
mod key;
mod listing;
mod meaning;
mod message;
mod print;
mod record;
mod replay;
mod reply;
mod short_line;
mod value;

pub use code::{Channel, Code, ResultCode, SpeedUnit};
pub use command::Command;
pub use conversation::Timy;
pub use emulator::Emulator;
pub use flag::Flag;
pub use listing::{Title, Trailer};
pub use message::Message;
pub use print::{Checks, LineBuffer, LineEnd, PrintStyle};
pub use record::{Course, Record, RecordLine};
pub use reply::Reply;
pub use short_line::{NumberSource, RunningTime, StartNumber};
pub use value::{PrintedSpeed, PrintedTime, PrintedValue};

use crate::{DeviceType, Evidence, LineSettings, Transport};

/// Row of the table of devices.
pub const DEVICE: DeviceType = DeviceType {
    name: "alge-timy",
    title: "ALGE TdC 8000/8001, Timy, Timy2, Timy3",
    transports: &[Transport::Serial, Transport::TcpConnect, Transport::TcpListen],
    line: Some(LineSettings::eight_n_one(9600)),
    other_lines: &[
        LineSettings::eight_n_one(38_400),
        LineSettings::eight_n_one(19_200),
        LineSettings::eight_n_one(4800),
        LineSettings::eight_n_one(2400),
    ],
    identify: b"NSF?\r",
    evidence: Evidence::GenuineCapture,
    back_fill: "RSM (memory replay)",
    acknowledgement: "",
    timing: true,
    decoder_version: 1,
};
