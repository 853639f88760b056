//! How fast each device's bytes become readings, on one core:
//! `cargo bench -p venue-devices`, or `… -- nmea` for the streams whose name holds
//! that. Prints medians and fails at nothing.
//!
//! A stream of about a megabyte of what the device says is read in pieces of 4 KiB,
//! as from a TCP connection, and in pieces of 64 bytes, as from a serial line.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use venue_devices::nmea::{Decimal, Mwv, Reference, SpeedUnit, Talker, TimeOfDay, Zda};
use venue_devices::{CivilDate, Conversation as _, Device, Item, Role};

/// Enough that the median stands still.
const ROUNDS: usize = 41;
const STREAM_BYTES: usize = 1_000_000;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!("{:<24} {:>9} {:>9} {:>9} {:>9} {:>9}", "stream", "piece", "items", "MB/s", "ns/item", "best MB/s");
    for (device, content, part) in STREAMS {
        let name = format!("{device} {content}");
        if !name.contains(&wanted) {
            continue;
        }
        let stream = stream_of(*part);
        for piece in [4096, 64] {
            let (items, median, best) = measure(device, &stream, piece);
            let megabytes = stream.len() as f64 / 1e6;
            println!(
                "{name:<24} {piece:>7} B {items:>9} {:>9.0} {:>9.0} {:>9.0}",
                megabytes / median.as_secs_f64(),
                median.as_secs_f64() * 1e9 / items as f64,
                megabytes / best.as_secs_f64(),
            );
        }
    }
}

/// Device, what is in the stream, and the writer of its n-th part.
type Stream = (&'static str, &'static str, fn(&mut Vec<u8>, u64));

const STREAMS: &[Stream] = &[
    ("alge-timy", "impulses", alge_impulse),
    ("nmea", "receiver", nmea_receiver),
    ("nmea", "time", nmea_time),
    ("nmea", "wind", nmea_wind),
];

fn stream_of(part: fn(&mut Vec<u8>, u64)) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut index = 0;
    while stream.len() < STREAM_BYTES {
        part(&mut stream, index);
        index += 1;
    }
    stream
}

/// Items of one pass over the stream, and the median and the best time of a pass: on
/// a machine that does other work, the truth lies near the best.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn measure(name: &str, stream: &[u8], piece: usize) -> (usize, Duration, Duration) {
    let mut times = [Duration::ZERO; ROUNDS];
    let mut items = 0;
    for time in &mut times {
        let mut device = Device::new(name, Role::ListenOnly).expect("a known device");
        let mut sink = |item: Item<'_>| {
            items += 1;
            black_box(&item);
        };
        let start = Instant::now();
        device.handle_connected(Duration::ZERO, &mut sink);
        stream.chunks(piece).for_each(|piece| device.handle_bytes(Duration::ZERO, piece, &mut sink));
        *time = start.elapsed();
    }
    times.sort_unstable();
    (items / ROUNDS, times[ROUNDS / 2], times[0])
}

/// An impulse of a chronometer, every 100 ms.
fn alge_impulse(stream: &mut Vec<u8>, index: u64) {
    let (second, tenth) = (index / 10 % 86_400, index % 10);
    let mut line = String::new();
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(line, " {:04} C{}  {hour:02}:{minute:02}:{second:02}.{tenth}123 00\r", index % 9999 + 1, index % 2);
    stream.extend(line.bytes());
}

/// A second of a satellite receiver: one sentence in six is read, the others, as
/// long as receivers write them, are verified and handed on.
fn nmea_receiver(stream: &mut Vec<u8>, index: u64) {
    nmea_time(stream, index);
    let (second, minute) = (index % 60, index / 60 % 60);
    for body in [
        format!("GPGGA,10{minute:02}{second:02}.000,4637.5000,N,00652.2500,E,2,8,0.94,1102.4,M,47.5,M,,"),
        "GPGSA,A,3,04,09,16,26,07,03,27,02,,,,,1.21,0.94,0.76".into(),
        "GPGSV,3,1,11,04,77,125,31,09,63,293,26,16,56,098,23,26,34,055,33".into(),
        "GPGSV,3,2,11,46,29,199,28,07,27,252,25,03,24,186,33,02,08,319,17".into(),
        "GPGSV,3,3,11,27,07,123,16,06,07,274,,29,04,012,15".into(),
    ] {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        stream.extend(format!("${body}*{sum:02X}\r\n").bytes());
    }
}

/// A receiver that was told to say the time alone.
fn nmea_time(stream: &mut Vec<u8>, index: u64) {
    let time = TimeOfDay::new(index % 86_400 * 1_000_000_000, 2);
    stream.extend(Zda { talker: Talker::GPS, time, date: CivilDate::new(2026, 11, 28), zone: None }.emit());
}

/// A sample of an anemometer.
fn nmea_wind(stream: &mut Vec<u8>, index: u64) {
    let mwv = Mwv {
        talker: Talker::WEATHER,
        angle_deg: Decimal::new((index * 7 % 3600) as i64, 1),
        reference: Some(Reference::Relative),
        speed: Decimal::new((index * 3 % 250) as i64, 1),
        unit: Some(SpeedUnit::MetresPerSecond),
        valid: true,
    };
    stream.extend(mwv.emit());
}
