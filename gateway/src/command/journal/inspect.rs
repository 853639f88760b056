//! `journal inspect`: lanes, segments and cursors.

use std::fmt::Write as _;

use serde_json::json;
use venue_journal::{ReadOnlyJournal, Storage, Summary};
use venue_schema::v1::Lane;

use super::super::output;
use crate::cli::Exit;

/// Prints what a journal is and holds.
pub(super) fn run<S: Storage>(journal: &ReadOnlyJournal<S>, json: bool) -> anyhow::Result<Exit> {
    let summary = journal.summary();
    let text = if json { serde_json::to_string_pretty(&as_json(summary))? } else { as_text(summary) };
    output::print(&text)?;
    Ok(Exit::Success)
}

fn as_json(summary: &Summary) -> serde_json::Value {
    let lane = |lane: Lane| {
        let of = &summary.lanes[lane];
        json!({
            "lane": lane.name(),
            "first_sequence": of.first.0,
            "last_sequence": of.last.0,
            "proven_durable": of.proven.0,
            "segments": of.segments.iter().map(|it| json!({
                "file": it.name, "generation": it.generation, "first_sequence": it.first.0, "bytes": it.bytes,
            })).collect::<Vec<_>>(),
            "skipped": of.skipped.iter().map(|(first, last)| json!([first.0, last.0])).collect::<Vec<_>>(),
        })
    };
    json!({
        "gateway_id": summary.gateway_id,
        "journal_epoch": summary.epoch.to_string(),
        "predecessor_epochs": summary.predecessor_epochs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "lanes": Lane::ALL.map(lane),
        "spare_segments": summary.spare_count,
        "cursors": summary.cursors.iter().map(|it| json!({
            "name": it.name, "receiver_id": it.receiver_id, "lane": it.lane.name(), "required": it.required,
            "journal_epoch": it.epoch.to_string(), "sequence": it.mark.0, "digest": it.digest.to_string(),
        })).collect::<Vec<_>>(),
        "findings": summary.findings.iter().map(|it| json!({"case": it.case.to_string(), "text": it.text})).collect::<Vec<_>>(),
    })
}

fn as_text(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "gateway   {}", summary.gateway_id);
    let _ = writeln!(text, "epoch     {}", summary.epoch);
    for epoch in &summary.predecessor_epochs {
        let _ = writeln!(text, "before    {epoch}");
    }
    for lane in Lane::ALL {
        let of = &summary.lanes[lane];
        let segments = of.segments.len();
        let _ = writeln!(
            text,
            "{:<9} {} to {}, proven durable {}, {segments} segments",
            lane.name(),
            of.first,
            of.last,
            of.proven
        );
        for segment in &of.segments {
            let _ = writeln!(text, "          {} from {}, {} bytes", segment.name, segment.first, segment.bytes);
        }
        for (first, last) in &of.skipped {
            let _ = writeln!(text, "          {first} to {last} are missing for good, and declared");
        }
    }
    let _ = writeln!(text, "spares    {}", summary.spare_count);
    for cursor in &summary.cursors {
        let required = if cursor.required { "required" } else { "optional" };
        let receiver = cursor.receiver_id.as_deref().unwrap_or("no receiver yet");
        let _ = writeln!(
            text,
            "cursor    {} {}: {} ({receiver}, {required})",
            cursor.name,
            cursor.lane.name(),
            cursor.mark
        );
    }
    for finding in &summary.findings {
        let _ = writeln!(text, "finding   {}: {}", finding.case, finding.text);
    }
    text
}
