//! A journal with a backlog, written without a gateway: what is measured is what the gateway does with it.

use std::path::Path;

use anyhow::Context as _;
use venue_journal::{Append, CommitDue, Directory, IdentityRef, Journal, JournalConfig};
use venue_schema::{
    GatewayId, JournalEpoch, Message as _,
    v1::{self, Lane},
};

use super::rig::{GATEWAY, QUOTA_BYTES, VENUE};
use crate::clock::{self, Clock};

/// Events between two commits.
const GATHERED: u64 = 4_096;
/// As the gateway keeps it for what a serial line says.
const RESERVE_BYTES: u64 = 64 << 20;

/// Writes `count` impulses of a chronometer of long ago into a lane of the journal in a folder, which may have one already.
///
/// # Errors
/// If the journal cannot be written.
pub(super) fn fill(folder: &Path, lane: Lane, count: u64) -> anyhow::Result<()> {
    if count == 0 {
        return Ok(());
    }
    write(folder, lane, count).with_context(|| format!("write a backlog of {count} events"))
}

fn write(folder: &Path, lane: Lane, count: u64) -> anyhow::Result<()> {
    let clock = Clock::start();
    let mut config = JournalConfig::new(GatewayId::new(GATEWAY)?, VENUE, JournalEpoch::from_bytes([1; 16]));
    (config.results.quota, config.results.reserve) = (QUOTA_BYTES, RESERVE_BYTES);
    config.telemetry.quota = QUOTA_BYTES;
    let (journal, _) = Journal::open(Directory::create(folder)?, config, clock.now())?;
    let source = journal.source(&format!("archive-{}", lane.name()));
    let received = clock::utc_ns();
    for number in 1..=count {
        let key = format!("{}|{number:010}", lane.name());
        let event = event(&key, received, number).encode_to_vec();
        journal.append(Append {
            lane,
            source,
            identity: IdentityRef::Key { device_id: "archive", epoch: 0, key: &key, occurrence: 1 },
            refusable: false,
            event: &event,
            receive_utc_ns: Some(received),
            receive_monotonic_ns: number,
        })?;
        if number % GATHERED == 0 {
            journal.commit(clock.now())?;
            journal.housekeep(clock.now())?;
        }
    }
    while journal.wants_commit(clock.now()) == CommitDue::Now {
        journal.commit(clock.now())?;
    }
    Ok(journal.close(clock.now())?)
}

/// About as large as the event of a chronometer's line.
fn event(key: &str, received: i64, number: u64) -> v1::Event {
    let at = format!("{:02}:{:02}:{:02}.0000", number / 3600 % 24, number / 60 % 60, number % 60);
    v1::Event {
        venue_id: VENUE.into(),
        device_id: "archive".into(),
        identity: Some(v1::event::Identity::ContentKey(v1::ContentKey { key: key.into(), occurrence: 1 })),
        time: Some(v1::EventTime {
            device_time: at.clone(),
            resolution_ns: 100_000,
            utc_ns: Some(received),
            receive_utc_ns: Some(received),
            receive_monotonic_ns: number,
            ..v1::EventTime::default()
        }),
        evidence: format!(" 0001 C1  {at} 00").into_bytes().into(),
        content: Some(v1::event::Content::Impulse(v1::Impulse {
            channel: "C1".into(),
            start_number: "1".into(),
            ..v1::Impulse::default()
        })),
        ..v1::Event::default()
    }
}
