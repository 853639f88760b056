//! Whether the process does its work, and whether the gateway as a whole does: reasons against it, none if all is well.

use std::time::Duration;

use super::{progress::CommitProgress, status::Status};

/// A commit thread that is at one thing for so long is held by the disk. It comes round every second at least, and a
/// commit of all that may be staged takes far less on the slowest card.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Why what is heard is not being made safe; for `/healthz`. It waits for nothing.
pub(super) fn troubles_of_process(progress: &CommitProgress, now: Duration) -> Vec<String> {
    let busy = progress.busy_for(now);
    let stuck =
        (busy >= STUCK_AFTER).then(|| format!("the disk has not answered the journal for {} s", busy.as_secs()));
    let halted = progress.halt_reason().map(|why| format!("the journal cannot be written: {why}"));
    stuck.into_iter().chain(halted).collect()
}

/// Why the gateway as a whole does not do its work; for `/readyz`.
pub(super) fn troubles_of_service(status: &Status) -> Vec<String> {
    let halted = status.journal.halted.iter().map(|why| format!("the journal cannot be written: {why}"));
    let full = status.journal.lanes.iter().filter(|lane| lane.full && lane.lane == "results");
    let full = full.map(|_| "the room for results on disk is full".to_owned());
    let uplinks = status.uplinks.iter().filter(|uplink| uplink.required).flat_map(|uplink| {
        let starts = uplink.lanes.is_empty().then(|| format!("uplink {}: it starts", uplink.name));
        let lanes = uplink.lanes.iter().filter(|lane| !lane.delivering).map(|lane| {
            let error = lane.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            format!("uplink {}, {}: {}{error}", uplink.name, lane.lane, lane.state)
        });
        starts.into_iter().chain(lanes)
    });
    let sources = status.sources.iter().filter(|source| source.state == "stopped by a fault");
    let sources = sources.map(|source| format!("source {}: stopped by a fault of the program", source.name));
    halted.chain(full).chain(uplinks).chain(sources).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::status::{JournalStatus, LaneStatus, SourceStatus, UplinkLaneStatus, UplinkStatus};

    /// The process is well while its commit thread comes round and the disk takes what it is given.
    #[test]
    fn a_disk_that_fails_or_hangs_is_told() {
        let at = Duration::from_secs;
        let progress = CommitProgress::new(at(100));
        assert_eq!(troubles_of_process(&progress, at(109)), [""; 0]);
        assert_eq!(troubles_of_process(&progress, at(131)), ["the disk has not answered the journal for 31 s"]);
        progress.came_round(at(131));
        progress.halted("fdatasync: Input/output error");
        assert_eq!(
            troubles_of_process(&progress, at(131)),
            ["the journal cannot be written: fdatasync: Input/output error"]
        );
        progress.reopened();
        assert_eq!(troubles_of_process(&progress, at(131)), [""; 0]);
    }

    fn status() -> Status {
        let lane = |lane: &str| UplinkLaneStatus {
            lane: lane.to_owned(),
            state: "delivering".to_owned(),
            delivering: true,
            ..UplinkLaneStatus::default()
        };
        let uplink = |name: &str, required| UplinkStatus {
            name: name.to_owned(),
            required,
            lanes: vec![lane("results"), lane("telemetry")],
            ..UplinkStatus::default()
        };
        let journal_lane = |lane: &str| LaneStatus { lane: lane.to_owned(), ..LaneStatus::default() };
        Status {
            journal: JournalStatus {
                lanes: vec![journal_lane("results"), journal_lane("telemetry")],
                ..JournalStatus::default()
            },
            sources: vec![SourceStatus {
                name: "finish".to_owned(),
                state: "connected".to_owned(),
                ..SourceStatus::default()
            }],
            uplinks: vec![uplink("centre", true), uplink("second", false)],
            ..Status::default()
        }
    }

    /// Each thing that keeps results from the centre is a reason of its own, in words that say what. A device that is off
    /// is none, nor an uplink that is not required.
    #[test]
    fn each_reason_is_told() {
        let check = |change: &dyn Fn(&mut Status), reasons: &[&str]| {
            let mut status = status();
            change(&mut status);
            assert_eq!(troubles_of_service(&status), reasons);
        };
        check(&|_| {}, &[]);
        check(&|it| it.journal.halted = Some("gone".to_owned()), &["the journal cannot be written: gone"]);
        check(&|it| it.journal.lanes[0].full = true, &["the room for results on disk is full"]);
        check(&|it| it.journal.lanes[1].full = true, &[]);
        let cut = |status: &mut Status, uplink: usize| {
            let lane = &mut status.uplinks[uplink].lanes[0];
            lane.delivering = false;
            lane.state = "no connection to the centre".to_owned();
            lane.last_error = Some("connection refused".to_owned());
        };
        check(&|it| cut(it, 0), &["uplink centre, results: no connection to the centre: connection refused"]);
        check(&|it| cut(it, 1), &[]);
        check(&|it| it.uplinks[0].lanes.clear(), &["uplink centre: it starts"]);
        check(&|it| it.sources[0].state = "disconnected".to_owned(), &[]);
        check(
            &|it| it.sources[0].state = "stopped by a fault".to_owned(),
            &["source finish: stopped by a fault of the program"],
        );
    }
}
