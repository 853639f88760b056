//! `journal verify`: every record read and checked.

use std::{fmt::Write as _, io::IsTerminal as _};

use serde_json::json;
use venue_journal::{PerLane, ReadOnlyJournal, Storage, Verified, VerifyProgress};
use venue_schema::v1::Lane;

use super::super::output;
use crate::cli::Exit;

/// Reads every record, with progress on a terminal; fails if any is damaged.
pub(super) fn run<S: Storage>(journal: &ReadOnlyJournal<S>, json: bool) -> anyhow::Result<Exit> {
    let terminal = std::io::stderr().is_terminal();
    let verified = journal.verify(|progress| {
        if terminal {
            show(progress);
        }
    })?;
    if terminal {
        output::tell("");
    }
    let sound = Lane::ALL.into_iter().all(|lane| verified[lane].damaged.is_empty());
    output::print(&if json { as_json(&verified, sound)? } else { as_text(&verified) })?;
    Ok(if sound { Exit::Success } else { Exit::Failure })
}

fn show(progress: VerifyProgress) {
    let VerifyProgress { lane, percent, record_count, .. } = progress;
    output::progress(&format!("{:<9} {percent:>3} %, {record_count} records", lane.name()));
}

fn as_json(verified: &PerLane<Verified>, sound: bool) -> anyhow::Result<String> {
    let lane = |lane: Lane| {
        let of = &verified[lane];
        json!({
            "lane": lane.name(), "records": of.record_count, "event_bytes": of.event_bytes,
            "damaged": of.damaged.iter().map(|(first, last)| json!([first.0, last.0])).collect::<Vec<_>>(),
        })
    };
    Ok(serde_json::to_string_pretty(&json!({ "ok": sound, "lanes": Lane::ALL.map(lane) }))?)
}

fn as_text(verified: &PerLane<Verified>) -> String {
    let mut text = String::new();
    for lane in Lane::ALL {
        let of = &verified[lane];
        let (records, bytes) = (of.record_count, of.event_bytes);
        let _ = writeln!(text, "{:<9} {records} sound records, {bytes} bytes of events", lane.name());
        for (first, last) in &of.damaged {
            let _ = writeln!(
                text,
                "          {first} to {last} are DAMAGED; a running gateway sets them aside and says so"
            );
        }
    }
    text
}
