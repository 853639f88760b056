//! Measures how long opening takes before a large backlog: after an orderly stop, after a kill, and from outside.
//!
//! `cargo run -p venue-journal --release --example open_bench [DIR [MIB]]`

use std::time::Instant;

use venue_journal::{Append, Directory, IdentityRef, Journal, JournalConfig, ReadOnlyJournal};
use venue_schema::{GatewayId, JournalEpoch, v1::Lane};

const EVENT_BYTES: usize = 250;
/// Events between two commits.
const GATHERED: u64 = 4096;

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn started() -> Instant {
    Instant::now()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let place = arguments.next().map_or(temporary.path().to_owned(), Into::into);
    let wanted = arguments.next().map_or(Ok(1024), |mib| mib.parse::<u64>())? << 20;
    let config = JournalConfig::new(GatewayId::new("bench")?, "bench", JournalEpoch::from_bytes([1; 16]));
    let origin = started();
    let (journal, _) = Journal::open(Directory::create(&place)?, config.clone(), origin.elapsed())?;
    let source = journal.source("bench");
    let event = vec![0x5A; EVENT_BYTES];
    for number in 1.. {
        journal.append(Append {
            lane: Lane::Results,
            source,
            identity: IdentityRef::Key { device_id: "timer-a", epoch: 0, key: &number.to_string(), occurrence: 1 },
            refusable: true,
            event: &event,
            receive_utc_ns: Some(number as i64),
            receive_monotonic_ns: number,
        })?;
        if number % GATHERED == 0 {
            journal.commit(origin.elapsed())?;
            if journal.status().lanes.results.used_bytes > wanted {
                break;
            }
        }
    }
    println!("{} MiB of backlog written in {:?}", journal.status().lanes.results.used_bytes >> 20, origin.elapsed());
    drop(journal);
    for state in ["a kill", "an orderly stop"] {
        let begun = started();
        let (journal, recovery) = Journal::open(Directory::existing(&place)?, config.clone(), origin.elapsed())?;
        println!("opened after {state} in {:?}, up to {}", begun.elapsed(), recovery.lanes.results.last_durable);
        journal.close(origin.elapsed())?;
    }
    let begun = started();
    let outside = ReadOnlyJournal::open(Directory::existing(&place)?)?;
    println!(
        "looked at from outside in {:?}, {} segments",
        begun.elapsed(),
        outside.summary().lanes.results.segments.len()
    );
    Ok(())
}
