//! Measures the journal on a real disk: events a second, CPU for each 100,000, and the time of a commit.
//!
//! `cargo run -p venue-journal --release --example append_bench [DIR]`

use std::time::{Duration, Instant};

use venue_journal::{Append, CommitDue, Directory, IdentityRef, Journal, JournalConfig, Limits, ReadItem};
use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};

const EVENTS: u64 = 1_000_000;
const EVENT_BYTES: usize = 250;
/// Events between two commits: what gathers while a disk syncs.
const GATHERED: u64 = 256;

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn started() -> Instant {
    Instant::now()
}

/// CPU time of this process, from `/proc`.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap_or("").split(' ').skip(12).take(2).flat_map(str::parse).collect();
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args().nth(1);
    let temporary = tempfile::tempdir()?;
    let place = given.map_or(temporary.path().to_owned(), Into::into);
    let config = JournalConfig::new(GatewayId::new("bench")?, "bench", JournalEpoch::from_bytes([1; 16]));
    let origin = started();
    let (journal, _) = Journal::open(Directory::create(&place)?, config.clone(), origin.elapsed())?;
    println!("created in {:?}, with its reserve", origin.elapsed());

    let source = journal.source("bench");
    let event = vec![0x5A; EVENT_BYTES];
    let mut commits = Vec::new();
    let (begun, cpu_before) = (started(), cpu());
    for number in 1..=EVENTS {
        journal.append(Append {
            lane: Lane::Results,
            source,
            identity: IdentityRef::Key { device_id: "timer-a", epoch: 0, key: &number.to_string(), occurrence: 1 },
            refusable: true,
            event: &event,
            receive_utc_ns: Some(number as i64),
            receive_monotonic_ns: number,
        })?;
        if number % GATHERED == 0 || number == EVENTS {
            let commit = started();
            journal.commit(origin.elapsed())?;
            commits.push(commit.elapsed());
        }
    }
    let (took, cpu_took) = (begun.elapsed(), cpu() - cpu_before);
    commits.sort_unstable();
    println!("{:.0} events/s, {GATHERED} a commit, on one thread", EVENTS as f64 / took.as_secs_f64());
    println!("{:.3} CPU s per 100k events", cpu_took.as_secs_f64() / (EVENTS as f64 / 1e5));
    println!("commit: median {:?}, p99 {:?}", commits[commits.len() / 2], commits[commits.len() * 99 / 100]);

    let begun = started();
    let (mut reader, mut next) = (journal.reader(Lane::Results), Sequence(1));
    while let ReadItem::Records(run) = reader.read(next, Limits::BATCH)? {
        next = run.last_sequence().next();
    }
    println!("read back at {:.0} events/s", EVENTS as f64 / begun.elapsed().as_secs_f64());
    while journal.wants_commit(origin.elapsed()) != CommitDue::Idle {
        journal.close(origin.elapsed())?;
    }
    drop((journal, reader));
    let begun = started();
    let (journal, recovery) = Journal::open(Directory::existing(&place)?, config, origin.elapsed())?;
    let megabytes = journal.status().lanes.results.used_bytes >> 20;
    println!(
        "opened {megabytes} MiB of backlog in {:?}, up to {}",
        begun.elapsed(),
        recovery.lanes.results.last_durable
    );
    Ok(())
}
