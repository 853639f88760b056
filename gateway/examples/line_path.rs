//! What a line of a chronometer costs on its way from bytes to a durable event, on one core:
//! `cargo run --release -p venue-gateway --example line_path [LINES]`. Under
//! `valgrind --tool=callgrind` it shows where the instructions go; see docs/performance.md.
//! Prints medians and fails at nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use venue_devices::{
    Conversation as _, Device, DeviceType, Role,
    alge_timy::{Channel, Code, LineBuffer, Message, PrintStyle, Record},
};
use venue_gateway::{
    clock::{BootId, Quality, Received},
    pipeline::{Arrival, SourcePipeline, SourceSettings},
};
use venue_journal::{Directory, Journal, JournalConfig};
use venue_schema::{GatewayId, JournalEpoch, v1::SyncState};

/// Bytes that are read at once from a line that is never empty.
const READ_BYTES: usize = 16 * 1024;
/// Reads between two commits.
const READS: usize = 8;
const ROUNDS: u64 = 9;

fn main() {
    let lines: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config =
        JournalConfig::new(GatewayId::new("bench").expect("a name"), "v", JournalEpoch::from_bytes([7; 16]));
    config.results.reserve = 1 << 20;
    let directory = Directory::create(folder.path()).expect("a folder");
    let (journal, _) = Journal::open(directory, config, Duration::ZERO).expect("a journal");
    let started = now();
    // As a gateway's clock gives it, which valgrind cannot run.
    let arrival = || {
        let monotonic = started.elapsed();
        let utc_ns = Some(1_795_853_828_200_000_000 + monotonic.as_nanos() as i64);
        let quality = Quality {
            sync_state: SyncState::Synchronized,
            maximum_error: Some(Duration::from_millis(2)),
            date_known: true,
        };
        Arrival { received: Received { monotonic, utc_ns }, quality, boot_id: BootId([7; 16]) }
    };
    let settings = SourceSettings {
        venue_id: "bench".to_owned(),
        name: "timer".to_owned(),
        device: DeviceType::find("alge-timy").expect("a device"),
        device_id: "timer".to_owned(),
        principal: "tcp:127.0.0.1".to_owned(),
        role: Role::ListenOnly,
        lane: None,
        labels: BTreeMap::new(),
        zone: TimeZone::get("Europe/Paris").expect("bundled time zones"),
    };
    let mut pipeline = SourcePipeline::new(journal.clone(), settings, &arrival());
    let mut device = Device::new("alge-timy", Role::ListenOnly).expect("a device");
    let (mut taken_in, mut committed) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let bytes: Vec<u8> = (round * lines..(round + 1) * lines).flat_map(line).collect();
        let (mut taking, mut committing) = (Duration::ZERO, Duration::ZERO);
        for reads in bytes.chunks(READ_BYTES * READS) {
            let begun = now();
            for read in reads.chunks(READ_BYTES) {
                let arrival = arrival();
                device.handle_bytes(arrival.received.monotonic, read, &mut |item| pipeline.item(&arrival, &item));
                pipeline.flush(&arrival);
            }
            taking += begun.elapsed();
            let begun = now();
            journal.commit(started.elapsed()).expect("a disk");
            committing += begun.elapsed();
        }
        journal.housekeep(started.elapsed()).expect("a disk");
        taken_in.push(taking);
        committed.push(committing);
    }
    let per_line = |mut all: Vec<Duration>| {
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64() * 1e9 / lines as f64
    };
    println!("bytes to staged event: {:.0} ns a line", per_line(taken_in));
    println!("commit, with its fdatasync: {:.0} ns a line", per_line(committed));
}

fn line(number: u64) -> Vec<u8> {
    let at = number * 10_000_000 % (24 * 3600 * 1_000_000_000);
    let start_number = (number % 9_999 + 1) as u16;
    let record = Record::impulse(start_number, Code::Impulse(Channel::FINISH), at).expect("before midnight");
    let mut buffer = LineBuffer::new();
    Message::Record(record).emit(PrintStyle::default(), &mut buffer);
    buffer.to_vec()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}
