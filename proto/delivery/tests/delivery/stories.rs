//! Stories of an uplink: both ends, a network and a virtual clock.

use bytes::Bytes;
use venue_delivery::{
    Code, Mark,
    receiver::Appended,
    sender::{LinkState, Reason},
};
use venue_schema::{Sequence, v1};

use crate::pair::{HOUR, MILLISECOND, MINUTE, Pair, SECOND, journal::Journal};

fn results(gateway: &str) -> Journal {
    Journal::new(gateway, 1, v1::Lane::Results)
}

/// A pair whose first `count` impulses have been delivered.
fn delivered(count: u64, endpoints: usize) -> Pair {
    let mut pair = Pair::new(results("stade-1-a"), endpoints);
    pair.append_impulses(0, count);
    pair.drain(MINUTE);
    pair
}

/// The everyday case: what is appended is at the centre one round trip later, and
/// both ends hold the same digest.
#[test]
fn an_impulse_is_acknowledged_within_a_round_trip() {
    let mut pair = delivered(1, 1);
    let before = pair.now;
    pair.append_impulses(0, 1);
    pair.drain(SECOND);
    assert!(pair.now - before <= 2 * pair.latency + MILLISECOND, "took {:?}", pair.now - before);
    pair.check_rows(0);
    assert_eq!(pair.gateways[0].journal.receiver_id.as_deref(), Some("centre"));
}

/// Ten hours without a network, 100,000 records wait. The drain is pipelined: it
/// takes as many round trips as the window has fillings, not one a batch.
#[test]
fn a_backlog_of_ten_hours_drains_at_the_rate_of_the_window() {
    let mut pair = delivered(5, 1);
    pair.refusing[0] = true;
    pair.cut_all(0);
    for _ in 0..10 {
        pair.append_impulses(0, 10_000);
        pair.run(HOUR);
    }
    assert!(matches!(pair.state(0), LinkState::Waiting { .. } | LinkState::Connecting));
    let attempts = pair.gateways[0].connects.len();
    assert!((10 * 120..10 * 300).contains(&attempts), "{attempts} attempts: once in 15 to 30 s");

    pair.refusing[0] = false;
    let frames = pair.frames;
    pair.run_until(31 * SECOND, "the link is back", |pair| pair.state(0) == LinkState::Delivering);
    let before = pair.now;
    pair.drain(MINUTE);
    let (round_trips, batches) = ((pair.now - before).as_millis() / 40, pair.frames - frames);
    assert!((100_000 / 512..250).contains(&batches), "{batches} batches");
    assert!(u64::try_from(round_trips).unwrap() * 8 < batches, "{round_trips} round trips for {batches} batches");
    assert!(pair.peak_in_flight_bytes <= 4 * 1024 * 1024 + 1024, "{} bytes in flight", pair.peak_in_flight_bytes);
    pair.check_rows(0);
}

/// The centre's store elects a leader for 10 s: the connection is kept and so is the
/// window; nothing is sent twice.
#[test]
fn a_store_that_elects_a_leader_is_waited_for() {
    let mut pair = delivered(10, 1);
    pair.store.set_available(false);
    pair.append_impulses(0, 100);
    pair.run(10 * SECOND);
    assert_eq!(pair.state(0), LinkState::Delivering);
    assert_eq!(pair.gateways[0].sender.status().in_flight, 100);
    pair.store.set_available(true);
    pair.drain(SECOND);
    assert!(pair.gateways[0].disconnects.is_empty());
    assert_eq!(pair.gateways[0].sender.status().counters.records, 110);
}

/// A receiver that acknowledges nothing for longer than any election is left, and
/// what was in flight is sent again without being stored twice.
#[test]
fn a_receiver_that_stalls_for_a_minute_is_left() {
    let mut pair = delivered(10, 1);
    pair.silent[0] = true;
    pair.append_impulses(0, 50);
    pair.run(61 * SECOND);
    assert!(matches!(pair.gateways[0].disconnects[..], [Reason::Stalled(_), ..]), "{:?}", pair.gateways[0].disconnects);
    pair.silent[0] = false;
    pair.drain(MINUTE);
    pair.check_rows(0);
}

/// An idle connection is no stall: an hour without results leaves it alone, and the time
/// counts from the first result after it.
#[test]
fn silence_without_anything_in_flight_is_no_stall() {
    let mut pair = delivered(10, 1);
    pair.run(HOUR);
    pair.store.set_available(false);
    pair.append_impulses(0, 1);
    pair.run(50 * SECOND);
    pair.store.set_available(true);
    pair.drain(SECOND);
    assert!(pair.gateways[0].disconnects.is_empty());
    assert_eq!(pair.gateways[0].connects.len(), 1);
}

/// A link on which something is always in flight is no stall while acknowledgements come.
#[test]
fn a_busy_link_is_no_stall() {
    let mut pair = delivered(10, 1);
    pair.latency = 300 * MILLISECOND;
    for _ in 0..600 {
        pair.append_impulses(0, 1);
        pair.run(200 * MILLISECOND);
        assert!(pair.gateways[0].sender.status().in_flight > 0);
    }
    assert!(pair.gateways[0].disconnects.is_empty(), "{:?}", pair.gateways[0].disconnects);
    pair.drain(SECOND);
}

/// Acknowledgements are lost with the connection: the receiver's mark wins, after its
/// digest has been found to be ours, and nothing crosses the wire again.
#[test]
fn lost_acknowledgements_are_recovered_by_comparing() {
    let mut pair = delivered(10, 1);
    pair.append_impulses(0, 1000);
    let lane = pair.lane(0);
    pair.run_until(SECOND, "the store has it all", |pair| pair.store.mark(&lane).sequence == Sequence(1010));
    assert_eq!(pair.gateways[0].journal.cursor.sequence, Sequence(10));
    let sent = pair.gateways[0].sender.status().counters.records;
    pair.cut_all(0);
    pair.drain(MINUTE);
    assert_eq!(pair.gateways[0].sender.status().counters.records, sent);
    pair.check_rows(0);
}

/// The receiver forgets its marks but keeps its events: all is sent again, all of it is
/// seen again, nothing is stored twice.
#[test]
fn a_receiver_that_forgets_its_marks_gets_everything_again() {
    let mut pair = delivered(2000, 1);
    pair.store.forget_marks();
    pair.amnesia = true;
    pair.cut_all(0);
    pair.drain(MINUTE);
    assert_eq!(pair.gateways[0].rewinds, 1);
    assert_eq!(pair.store.totals(), Appended { stored: 2000, seen_again: 2000 });
    pair.check_rows(0);
}

/// The receiver forgets a part, and what it forgot has been deleted here in part: a
/// skip record stands for what is gone, and the rest follows.
#[test]
fn a_forgotten_and_deleted_range_crosses_as_skipped() {
    let mut pair = delivered(2000, 1);
    pair.store = venue_delivery::receiver::MemoryStore::with_rows();
    pair.amnesia = true;
    pair.gateways[0].journal.retire(1501);
    pair.cut_all(0);
    pair.drain(MINUTE);
    assert_eq!(pair.gateways[0].resets, [(1, 1500)]);
    assert_eq!(pair.store.rows(&pair.lane(0)).len(), 501);
    pair.check_rows(0);
    // A second loss of memory brings the same bytes again.
    pair.store.forget_marks();
    pair.amnesia = true;
    pair.cut_all(0);
    pair.drain(MINUTE);
    assert_eq!(pair.gateways[0].resets.len(), 1);
    pair.check_rows(0);
}

/// While the journal writes the skip record nothing is sent, and status says why.
#[test]
fn a_reset_waits_until_its_skip_record_is_durable() {
    let mut pair = delivered(20, 1);
    pair.store.forget_marks();
    pair.amnesia = true;
    pair.gateways[0].journal.retire(11);
    pair.gateways[0].declares_resets = false;
    pair.cut_all(0);
    pair.run_until(MINUTE, "the reset is asked for", |pair| pair.state(0) == LinkState::AwaitingReset);
    pair.run(MINUTE);
    assert_eq!(pair.store.mark(&pair.lane(0)).sequence, Sequence::ZERO);
    let now = pair.now;
    pair.gateways[0].journal.skip(1, 10, v1::GapCause::ReceiverReset);
    pair.gateways[0].sender.handle_reset_declared(now);
    pair.drain(MINUTE);
}

/// A journal that claims to have written the skip record and has not is not asked in a
/// tight loop; status says what is wrong.
#[test]
fn a_reset_that_was_not_written_is_asked_for_again_after_a_pause() {
    let mut pair = delivered(20, 1);
    pair.store.forget_marks();
    pair.amnesia = true;
    pair.gateways[0].journal.retire(11);
    pair.gateways[0].declares_resets = false;
    pair.cut_all(0);
    pair.run_until(MINUTE, "the reset is asked for", |pair| pair.state(0) == LinkState::AwaitingReset);
    let now = pair.now;
    pair.gateways[0].sender.handle_reset_declared(now);
    pair.run(100 * MILLISECOND);
    assert_eq!(pair.state(0), LinkState::JournalUnreadable);
    pair.run(2 * SECOND);
    assert_eq!(pair.gateways[0].resets, [(1, 10), (1, 10)]);
    pair.gateways[0].journal.skip(1, 10, v1::GapCause::ReceiverReset);
    let now = pair.now;
    pair.gateways[0].sender.handle_reset_declared(now);
    pair.drain(MINUTE);
}

/// Telemetry is shed while the link is away, also what the receiver had taken without
/// our knowing: its mark wins though the digest cannot be recomputed.
#[test]
fn shed_telemetry_crosses_as_skipped() {
    let mut pair = Pair::new(Journal::new("stade-1-a", 1, v1::Lane::Telemetry), 1);
    pair.append_impulses(0, 100);
    pair.drain(MINUTE);
    pair.append_impulses(0, 100);
    let lane = pair.lane(0);
    pair.run_until(SECOND, "the store has it all", |pair| pair.store.mark(&lane).sequence == Sequence(200));
    pair.refusing[0] = true;
    pair.cut_all(0);
    pair.append_impulses(0, 300);
    pair.gateways[0].journal.skip(151, 400, v1::GapCause::Shed);
    pair.run(MINUTE);
    pair.refusing[0] = false;
    pair.drain(MINUTE);
    let rows: Vec<_> = pair.store.rows(&lane).iter().map(|row| row.sequence.0).collect();
    assert_eq!(rows, (1..=200).chain([400]).chain(401..=500).collect::<Vec<_>>());
}

/// The same where what was shed lies wholly within what the receiver holds: the digest
/// differs, and proves nothing, since the range had crossed as records.
#[test]
fn shed_telemetry_that_had_arrived_is_no_second_gateway() {
    let mut pair = Pair::new(Journal::new("stade-1-a", 1, v1::Lane::Telemetry), 1);
    pair.append_impulses(0, 200);
    let lane = pair.lane(0);
    pair.run_until(SECOND, "the store has it all", |pair| pair.store.mark(&lane).sequence == Sequence(200));
    pair.cut_all(0);
    pair.gateways[0].journal.skip(51, 80, v1::GapCause::Shed);
    pair.drain(SECOND);
    assert_eq!(pair.store.rows(&lane).len(), 200);
}

/// After a long outage the delays have grown; one acknowledgement later they start anew.
#[test]
fn an_acknowledgement_ends_the_back_off() {
    let mut pair = delivered(10, 1);
    pair.refusing[0] = true;
    pair.cut_all(0);
    pair.run(10 * MINUTE);
    assert!(pair.gateways[0].sender.status().failed_attempts > 10);
    pair.refusing[0] = false;
    pair.append_impulses(0, 1);
    pair.drain(31 * SECOND);
    pair.cut_all(0);
    pair.append_impulses(0, 1);
    pair.drain(500 * MILLISECOND);
}

/// A gateway's disk is restored from a backup: the receiver holds more than the
/// journal. A new epoch begins and closes the old one; what both hold is merged.
#[test]
fn a_restored_disk_begins_a_new_epoch() {
    let mut pair = delivered(100, 1);
    let backup = pair.gateways[0].journal.clone();
    pair.append_impulses(0, 100);
    pair.drain(MINUTE);

    pair.gateways[0].journal = backup;
    pair.amnesia = true;
    pair.restart(0);
    pair.run_until(MINUTE, "a new epoch is asked for", |pair| pair.gateways[0].ended_epoch == Some(200));
    assert_eq!(pair.state(0), LinkState::EpochEnded);
    let old = pair.gateways[0].journal.clone();
    pair.gateways[0].journal = old.successor(2);
    pair.gateways[0].ended_epoch = None;
    pair.restart(0);
    // The timer is asked for its memory: 101 to 200 come again under the new epoch.
    (101..=210).for_each(|number| pair.gateways[0].journal.append_impulse("timer-a", number));
    let durable = pair.gateways[0].journal.last_durable();
    pair.gateways[0].sender.handle_durable(durable);
    pair.drain(MINUTE);
    assert_eq!(pair.store.totals(), Appended { stored: 210, seen_again: 100 });

    // The old journal comes back from somewhere: it is refused, and keeps everything.
    let ghost = pair.add_gateway(old);
    pair.append_impulses(ghost, 5);
    pair.run(10 * MINUTE);
    let status = pair.gateways[ghost].sender.status();
    assert!(matches!(status.state, LinkState::Refused { .. }), "{status:?}");
    assert!(status.last_error.as_ref().unwrap().message.contains("two gateways with one identity"));
    assert_eq!(status.backlog(), pair.gateways[ghost].journal.last_durable().0 - 100);
    assert!((9..25).contains(&pair.gateways[ghost].connects.len()), "it is asked about once a minute");
}

/// Two gateways run with one identity. Whatever the order of their attempts, the one that
/// lost is refused by digest or begins another epoch; no lane is ever mixed.
#[test]
fn a_cloned_gateway_is_found_out() {
    let mut pair = delivered(100, 1);
    let mut clone = pair.gateways[0].journal.clone();
    (1..=500).for_each(|number| clone.append_impulse("another-timer", number));
    pair.append_impulses(0, 300);
    pair.run(3 * pair.latency);
    let cloned = pair.add_gateway(clone);
    pair.run(10 * MINUTE);
    let lane = pair.lane(0);
    let rows = pair.store.rows(&lane);
    let winner = [0, cloned]
        .into_iter()
        .find(|it| rows.last().map(|row| &row.bytes) == Some(pair.gateways[*it].journal.record(rows.len() as u64)));
    let winner = winner.expect("the lane is one of the two histories");
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.bytes, pair.gateways[winner].journal.record(index as u64 + 1));
    }
    let loser = &pair.gateways[cloned - winner];
    assert!(
        loser.disconnects.iter().any(|reason| matches!(reason, Reason::DigestDiffers { .. })),
        "{:?}",
        loser.disconnects
    );
    assert!(loser.sender.has_unacknowledged(), "the loser keeps everything");
    assert!(loser.connects.len() < 30, "and does not hammer the receiver: {}", loser.connects.len());
}

/// A receiver with another history at the same mark is refused before anything is sent.
#[test]
fn a_digest_that_differs_at_a_common_mark_is_refused() {
    let mut pair = delivered(50, 1);
    let lane = pair.lane(0);
    let forged = Mark { sequence: Sequence(50), ..Mark::initial(lane.journal_epoch, v1::Lane::Telemetry) };
    pair.store.restore_mark(&lane, forged);
    pair.cut_all(0);
    pair.append_impulses(0, 1);
    pair.run(5 * SECOND);
    let status = pair.gateways[0].sender.status();
    assert!(matches!(status.state, LinkState::Refused { .. }));
    assert!(status.last_error.unwrap().message.contains("FAILED_PRECONDITION"));
    assert_eq!(pair.store.mark(&lane), forged);
    // Once a person has set it right, delivery goes on by itself.
    pair.store.restore_mark(&lane, pair.gateways[0].journal.cursor);
    pair.drain(2 * MINUTE);
    pair.check_rows(0);
}

/// An endpoint that leads to another receiver than the pinned one gets nothing.
#[test]
fn a_foreign_receiver_gets_nothing() {
    let mut pair = delivered(10, 1);
    pair.receivers[0] = venue_delivery::Receiver::new("another-centre");
    pair.cut_all(0);
    pair.append_impulses(0, 1);
    pair.run(5 * SECOND);
    assert!(matches!(pair.gateways[0].disconnects.last(), Some(Reason::ForeignReceiver { pinned, answered })
        if pinned == "centre" && answered == "another-centre"));
    assert_eq!(pair.store.mark(&pair.lane(0)).sequence, Sequence(10));
}

/// Somebody mends what the receiver refused, and says so: it is tried at once, and not
/// only when the minute is over. Where nothing is wrong it changes nothing.
#[test]
fn what_was_mended_is_tried_at_once() {
    let mut pair = delivered(10, 1);
    pair.receivers[0] = venue_delivery::Receiver::new("another-centre");
    pair.cut_all(0);
    pair.append_impulses(0, 1);
    pair.run(5 * SECOND);
    assert!(matches!(pair.state(0), LinkState::Refused { until } if until > pair.now + 20 * SECOND));
    pair.receivers[0] = venue_delivery::Receiver::new("centre");
    pair.gateways[0].sender.handle_mended(pair.now);
    pair.drain(SECOND);
    pair.gateways[0].sender.handle_mended(pair.now);
    assert_eq!(pair.state(0), LinkState::Delivering);
}

/// The first endpoint dies: the second takes over within a second or two, and the first
/// is returned to without a break once it answers again.
#[test]
fn endpoints_fail_over_and_back() {
    let mut pair = delivered(10, 2);
    pair.refusing[0] = true;
    pair.cut_all(0);
    pair.append_impulses(0, 10);
    pair.drain(2 * SECOND);
    assert_eq!(pair.gateways[0].sender.status().endpoint, 1);

    // The first is tried beside the second every five minutes, which costs nothing.
    pair.run(6 * MINUTE);
    assert_eq!(pair.gateways[0].sender.status().endpoint, 1);
    let broken = pair.gateways[0].disconnects.len();
    pair.refusing[0] = false;
    pair.run(5 * MINUTE);
    assert_eq!(pair.gateways[0].sender.status().endpoint, 0);
    assert_eq!(pair.gateways[0].disconnects[broken..], [Reason::MovedToPreferred]);
    pair.append_impulses(0, 10);
    pair.drain(SECOND);
    pair.check_rows(0);
}

/// A preferred endpoint that swallows packets never disturbs the stream on the other.
#[test]
fn a_silent_preferred_endpoint_is_left_alone() {
    let mut pair = delivered(10, 2);
    pair.silent[0] = true;
    pair.append_impulses(0, 10);
    pair.drain(2 * MINUTE);
    let streams = pair.gateways[0].sender.status().counters.streams;
    for _ in 0..120 {
        pair.run(10 * SECOND);
        pair.append_impulses(0, 1);
        pair.drain(SECOND);
    }
    assert_eq!(pair.gateways[0].sender.status().counters.streams, streams);
    assert!(pair.gateways[0].connects.iter().filter(|endpoint| **endpoint == 0).count() >= 4);
}

/// The old stream's last batches arrive at one endpoint while the gateway greets another.
/// Whenever they do, one of the two streams is ended by the store's mark, nothing is
/// stored twice, and delivery goes on at once.
#[test]
fn late_batches_of_an_older_stream_change_nothing() {
    let mut aborted = 0;
    for late in 0..200 {
        let mut pair = delivered(10, 2);
        pair.latency = 5 * MILLISECOND;
        pair.append_impulses(0, 20);
        pair.run(MILLISECOND);
        pair.half_cut_all(0, 5 * late * MILLISECOND);
        pair.refusing[0] = true;
        pair.append_impulses(0, 20);
        pair.drain(5 * SECOND);
        pair.run(SECOND);
        pair.check_rows(0);
        assert_eq!(pair.store.totals(), Appended { stored: 50, seen_again: 0 });
        aborted += u32::from(pair.gateways[0].ends.contains(&Code::Aborted));
    }
    assert!(aborted > 0, "the race between the two streams was never met");
}

/// While results wait, telemetry keeps a few packets' worth in flight, and the full window
/// once they are through.
#[test]
fn telemetry_trickles_while_results_wait() {
    let mut pair = Pair::new(Journal::new("stade-1-a", 1, v1::Lane::Telemetry), 1);
    pair.gateways[0].sender.handle_results_backlog(true);
    pair.append_impulses(0, 50_000);
    pair.run(2 * SECOND);
    assert!(pair.peak_in_flight_bytes <= 8 * 1024 + 300, "{}", pair.peak_in_flight_bytes);
    assert!(pair.gateways[0].journal.cursor.sequence > Sequence(1000), "it trickles, it does not stop");
    pair.gateways[0].sender.handle_results_backlog(false);
    pair.drain(10 * SECOND);
    assert!(pair.peak_in_flight_bytes > 1024 * 1024);
    pair.check_rows(0);
}

/// A record larger than a batch, and than the trickle, travels alone and blocks nothing.
#[test]
fn a_large_record_travels_alone() {
    let mut pair = Pair::new(Journal::new("stade-1-a", 1, v1::Lane::Telemetry), 1);
    pair.gateways[0].sender.handle_results_backlog(true);
    for size in [10, 300 * 1024, 10, 20 * 1024, 10] {
        pair.gateways[0].journal.append(v1::Event { evidence: Bytes::from(vec![b'x'; size]), ..Default::default() });
    }
    let durable = pair.gateways[0].journal.last_durable();
    pair.gateways[0].sender.handle_durable(durable);
    pair.drain(MINUTE);
    pair.check_rows(0);
}

/// The disk fails to read for a while: the connection is kept, status says what is
/// wrong, and delivery goes on when it can be read again.
#[test]
fn a_journal_that_cannot_be_read_is_read_again() {
    let mut pair = delivered(10, 1);
    pair.gateways[0].journal.faults = 3;
    pair.append_impulses(0, 10);
    pair.run(SECOND);
    assert_eq!(pair.state(0), LinkState::JournalUnreadable);
    assert!(pair.gateways[0].sender.status().last_error.unwrap().message.contains("input/output error"));
    pair.drain(10 * SECOND);
    assert!(pair.gateways[0].disconnects.is_empty());
}
