//! Full quotas, full disks, the reserve, shedding, and what the journal says of it.

use super::scene::*;
use venue_journal::{
    Append, AppendError, Appended, CommitDue, CommitError, IdentityRef, Journal, ReadError, ReadItem,
    simulated::{Fault, MemoryStorage},
};
use venue_schema::{Digest, Sequence, v1};

const SIZE: usize = 30_000;

/// Fills the results lane with what can be refused, until it is; says how many were taken.
fn fill(journal: &Journal<MemoryStorage>, first: u64) -> u64 {
    let finish = journal.source("finish");
    for number in first.. {
        match append(journal, RESULTS, finish, number, SIZE, true) {
            Ok(_) => commit_all(journal, at(1)),
            Err(AppendError::Full { lane }) => {
                assert_eq!(lane, RESULTS);
                return number - first;
            }
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("a quota ends")
}

fn digest() -> Digest {
    Digest::initial(EPOCH, RESULTS)
}

/// The quota of 2 MiB is used nearly up; then senders that keep their events are refused, and nothing is deleted.
/// Once the centre has the oldest, there is room again.
#[test]
fn a_full_quota_refuses_what_senders_keep() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    let taken = fill(&journal, 1);
    assert!(taken >= 45, "{taken} events of 30 kB in 2 MiB");
    assert!(journal.status().lanes.results.full);
    journal.housekeep(at(10)).unwrap();
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=taken).collect::<Vec<_>>());
    cursor.advance(Sequence(taken / 2), digest());
    journal.housekeep(at(20)).unwrap();
    let more = fill(&journal, taken + 1);
    assert!(more >= taken / 4, "{more} more");
    let kept = read_from(&journal, RESULTS, taken / 2 + 1);
    assert_eq!(numbers(&kept), (taken / 2 + 1..=taken + more).collect::<Vec<_>>());
    // Nothing is delivered without a required cursor that says so.
    assert!(
        journal.first_retained(RESULTS) > Sequence(1) && journal.first_retained(RESULTS) <= Sequence(taken / 2 + 1)
    );
}

/// What a backlog holds of the disk is counted by whole segments, from the one that its first record is in: all of them
/// at first, then ever less as the centre takes it, and one when nothing waits.
#[test]
fn a_backlog_holds_whole_segments() {
    let (journal, _) = open(&MemoryStorage::new());
    let taken = fill(&journal, 1);
    let used = journal.status().lanes.results.used_bytes;
    assert_eq!(journal.disk_bytes_from(RESULTS, Sequence(1)), used);
    let held: Vec<_> = (1..=taken + 1).map(|first| journal.disk_bytes_from(RESULTS, Sequence(first))).collect();
    let segment = config().segment_bytes;
    assert!(held.windows(2).all(|pair| pair[0] == pair[1] || pair[0] == pair[1] + segment), "{held:?}");
    assert_eq!(held.last(), Some(&segment));
}

/// What nobody keeps goes into the reserve. When that is full too, the loss is told durably at its first
/// event, counted, and closed when space returns; the events taken are all there.
#[test]
fn the_reserve_takes_what_nobody_keeps_and_then_losses_are_counted() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    let serial = journal.source("serial");
    let mut taken = fill(&journal, 1);
    let refused = taken + 1;
    let mut lost = 0;
    for number in refused..refused + 40 {
        match append(&journal, RESULTS, serial, number, SIZE, false) {
            Ok(_) => taken += 1,
            Err(AppendError::Lost { .. }) => lost += 1,
            Err(other) => panic!("{other}"),
        }
        commit_all(&journal, at(2));
    }
    let status = journal.status();
    assert!(status.in_reserve && status.lanes.results.losing, "{status:?}");
    assert!(lost > 0 && lost < 40);
    assert!(matches!(append(&journal, RESULTS, serial, 999, SIZE, true), Err(AppendError::Full { .. })));
    let gaps = |journal: &Journal<MemoryStorage>| -> Vec<v1::Gap> {
        read(journal, RESULTS).values().filter_map(Element::gap).collect()
    };
    assert_eq!(gaps(&journal).iter().map(v1::Gap::state).collect::<Vec<_>>(), [v1::GapState::Open]);
    // The centre catches up; the reserve is refilled first.
    cursor.advance(journal.watermarks().results, digest());
    let elements = read(&journal, RESULTS);
    assert_eq!(numbers(&elements).len() as u64, taken);
    for second in 10..20 {
        journal.housekeep(at(second)).unwrap();
        commit_all(&journal, at(second));
    }
    assert!(!journal.status().in_reserve && !journal.status().lanes.results.losing);
    let told: Vec<v1::Gap> =
        read_from(&journal, RESULTS, cursor.mark().0.0 + 1).values().filter_map(Element::gap).collect();
    let [closed] = &told[..] else { panic!("one loss is closed, not {told:?}") };
    assert_eq!(
        (closed.state(), closed.cause(), closed.count),
        (v1::GapState::Closed, v1::GapCause::ReserveFull, Some(lost))
    );
    assert!(append(&journal, RESULTS, serial, 1_000, SIZE, true).is_ok());
}

/// Telemetry sheds its oldest segment, says so durably first, and says the same again whenever it is asked.
#[test]
fn telemetry_sheds_its_oldest_and_says_so() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let _centre = journal.cursor("centre", None, TELEMETRY, true).unwrap();
    let wind = journal.source("wind");
    for number in 1..=122 {
        append(&journal, TELEMETRY, wind, number, SIZE, true).unwrap();
        commit_all(&journal, at(number));
    }
    let elements = read(&journal, TELEMETRY);
    let skipped: Vec<&Element> =
        elements.values().filter(|element| matches!(element, Element::Skipped { .. })).collect();
    assert!(!skipped.is_empty());
    assert!(skipped.iter().all(|skip| skip.gap().unwrap().cause() == v1::GapCause::Shed));
    assert_eq!(skipped[0].gap().unwrap().first_receive_utc_ns, Some(1_000_000_000));
    let shed: u64 = skipped.iter().map(|skip| skip.gap().unwrap().count.unwrap()).sum();
    let lanes = journal.status().lanes;
    assert_eq!((lanes.results.shed_records, lanes.telemetry.shed_records), (0, shed));
    let kept = numbers(&elements);
    assert_eq!(kept, (kept[0]..=122).collect::<Vec<_>>());
    drop((journal, _centre));
    disk.cut_power();
    disk.restart(4);
    let (journal, _) = open(&disk);
    assert_eq!(read(&journal, TELEMETRY), elements);
    // From the middle of a range only what is left of it is told; the same again each time.
    let mut reader = journal.reader(TELEMETRY);
    let ReadItem::Skipped { first, last, gap_event } = reader.read(Sequence(2), venue_journal::Limits::BATCH).unwrap()
    else {
        panic!("skipped")
    };
    assert_eq!(first, Sequence(2));
    assert_eq!(
        reader.read(Sequence(2), venue_journal::Limits::BATCH).unwrap(),
        ReadItem::Skipped { first, last, gap_event }
    );
}

/// A receiver that comes back empty gets what is stored; the rest is told as one skipped range.
#[test]
fn a_receiver_that_forgot_gets_skipped_ranges_for_what_is_gone() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let cursor = journal.cursor("centre", Some("centre-1"), RESULTS, true).unwrap();
    let finish = journal.source("finish");
    for number in 1..=120 {
        append(&journal, RESULTS, finish, number, SIZE, true).unwrap();
        commit_all(&journal, at(0));
        cursor.advance(Sequence(number), digest());
    }
    let first_retained = journal.first_retained(RESULTS);
    assert!(first_retained > Sequence(1));
    let outcome = journal.reader(RESULTS).read(Sequence(1), venue_journal::Limits::BATCH);
    assert!(matches!(outcome, Err(ReadError::NotRetained { first_retained: from, .. }) if from == first_retained));
    let gone = journal.receiver_reset(&cursor, Sequence::ZERO, digest()).unwrap();
    assert_eq!(gone, first_retained.0 - 1);
    let elements = read(&journal, RESULTS);
    assert_eq!(elements[&1].gap().unwrap().cause(), v1::GapCause::ReceiverReset);
    assert_eq!(numbers(&elements), (first_retained.0..=120).collect::<Vec<_>>());
    assert_eq!(cursor.mark().0, Sequence::ZERO);
    // Another receiver is refused, until it is named: then it starts at the oldest record.
    assert!(cursor.pin_receiver("centre-2").is_err());
    let other = journal.cursor("centre", Some("centre-2"), RESULTS, true).unwrap();
    assert_eq!((other.mark().0, other.receiver_id().as_deref()), (Sequence::ZERO, Some("centre-2")));
}

/// A disk is full that looked as if it had room when results were taken in. They wait in memory, what is durable is
/// proven all the same, and the journal asks to be called again only when there may be space: whoever commits when it
/// is due does not spin.
#[test]
fn results_that_wait_for_space_do_not_make_a_commit_due_for_ever() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let serial = journal.source("serial");
    append(&journal, RESULTS, serial, 1, SIZE, false).unwrap();
    commit_all(&journal, at(1));
    // More than the segment and every spare hold.
    for number in 2..80 {
        // What finds no room is counted as lost.
        let _ = append(&journal, RESULTS, serial, number, SIZE, false);
    }
    disk.set_capacity(Some(disk.used_bytes()));
    let mut tries = 0;
    for now in 2..6 {
        while journal.wants_commit(at(now)) == CommitDue::Now {
            tries += 1;
            assert!(tries < 20, "it spins");
            let _ = journal.commit(at(now));
        }
    }
    let status = journal.status();
    assert!(status.lanes.results.full && status.halted.is_none(), "{status:?}");
    assert_eq!(journal.wants_commit(at(60)), CommitDue::Idle);
    let staged = status.lanes.results.last_staged;
    assert!(status.lanes.results.last_durable < staged);
    disk.set_capacity(None);
    journal.housekeep(at(60)).unwrap();
    commit_all(&journal, at(60));
    assert!(journal.status().lanes.results.last_durable >= staged);
}

/// A disk that is full though the quotas are not: telemetry makes way, results go on, and nothing is halted.
#[test]
fn a_full_disk_halts_nothing() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let _cursors = [RESULTS, TELEMETRY].map(|lane| journal.cursor("centre", None, lane, true).unwrap());
    let (finish, wind) = (journal.source("finish"), journal.source("wind"));
    for number in 1..=40 {
        append(&journal, TELEMETRY, wind, number, SIZE, true).unwrap();
        commit_all(&journal, at(number));
    }
    disk.set_capacity(Some(disk.used_bytes()));
    let mut taken = Vec::new();
    for number in 1..=60 {
        if append(&journal, RESULTS, finish, number, SIZE, false).is_ok() {
            taken.push(number);
        }
        match journal.commit(at(100 + number)) {
            Ok(_) | Err(CommitError::NoSpace { .. }) => {}
            Err(halted) => panic!("{halted}"),
        }
    }
    assert_eq!(numbers(&read(&journal, RESULTS)), taken);
    assert!(taken.len() >= 25, "{}", taken.len());
    assert!(read(&journal, TELEMETRY)[&1].gap().is_some());
    assert!(journal.status().disk_full && journal.status().halted.is_none());
    // Space returns.
    disk.set_capacity(None);
    journal.housekeep(at(300)).unwrap();
    commit_all(&journal, at(300));
    assert!(matches!(append(&journal, RESULTS, finish, 100, SIZE, true), Ok(Appended::Stored { .. })));
    assert!(!journal.status().disk_full);
}

/// One noisy source has its share of the telemetry stage; another still gets in.
#[test]
fn a_noisy_source_has_only_its_share() {
    let (journal, _) = open(&MemoryStorage::new());
    let (noisy, calm) = (journal.source("noisy"), journal.source("calm"));
    let refused_at = (1..).find(|&number| append(&journal, TELEMETRY, noisy, number, SIZE, true).is_err()).unwrap();
    let staged = journal.status().lanes.telemetry.staged_bytes;
    assert!(staged <= venue_journal::MAX_STAGED_TELEMETRY_BYTES / 2 && refused_at > 100);
    assert!(append(&journal, TELEMETRY, calm, 1_000, SIZE, true).is_ok());
}

/// Fills results and reserve until a serial line loses something; the gap that says so is durable.
fn losing(disk: &MemoryStorage) -> (Journal<MemoryStorage>, v1::Gap) {
    let (journal, _) = open(disk);
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    let serial = journal.source("serial");
    let first = fill(&journal, 1) + 1;
    for number in first..first + 40 {
        let _ = append(&journal, RESULTS, serial, number, SIZE, false);
        commit_all(&journal, at(2));
    }
    assert!(journal.status().lanes.results.losing);
    drop(cursor);
    let gaps = results_gaps(&journal);
    let [opening] = &gaps[..] else { panic!("one loss has begun, not {gaps:?}") };
    assert_eq!(opening.state(), v1::GapState::Open);
    let opening = opening.clone();
    (journal, opening)
}

fn results_gaps(journal: &Journal<MemoryStorage>) -> Vec<v1::Gap> {
    read(journal, RESULTS).values().filter_map(Element::gap).collect()
}

/// The process is killed while events are being lost. The next one ends the loss under its name, and claims no count; so it does
/// where the loss began long before the newest checkpoint, and it does so once.
#[test]
fn a_loss_that_a_crash_cuts_short_is_ended_by_the_next_process() {
    for checkpointed in [false, true] {
        let disk = MemoryStorage::new();
        let (journal, opening) = losing(&disk);
        if checkpointed {
            let segments = files(&disk, "telemetry");
            for number in 1..=20 {
                append(&journal, TELEMETRY, journal.source("wind"), number, SIZE, true).unwrap();
                commit_all(&journal, at(3 + number));
            }
            assert_ne!(files(&disk, "telemetry"), segments, "telemetry has begun a segment, with a checkpoint");
        }
        drop(journal);
        disk.cut_power();
        disk.restart(3);
        for _ in 0..2 {
            let (journal, _) = open(&disk);
            let gaps = results_gaps(&journal);
            let [first, last] = &gaps[..] else { panic!("a loss begins and ends, unlike {gaps:?}") };
            assert_eq!(first, &opening);
            assert_eq!((last.state(), last.cause()), (v1::GapState::Closed, v1::GapCause::ReserveFull));
            assert_eq!((&last.gap_id, &last.scope), (&opening.gap_id, &opening.scope));
            assert_eq!((last.count, last.last_receive_utc_ns), (None, None));
            assert_eq!(last.first_receive_utc_ns, opening.first_receive_utc_ns);
            drop(journal);
            disk.kill();
        }
    }
}

/// An orderly stop counts to the end: the loss is closed with its count, and the next process has nothing to add.
#[test]
fn an_orderly_stop_ends_a_loss_with_its_count() {
    let disk = MemoryStorage::new();
    let (journal, opening) = losing(&disk);
    journal.close(at(5)).unwrap();
    let gaps = results_gaps(&journal);
    assert_eq!((gaps[1].state(), &gaps[1].gap_id), (v1::GapState::Closed, &opening.gap_id));
    assert!(gaps[1].count.is_some_and(|count| count > 1));
    drop(journal);
    let (journal, _) = open(&disk);
    assert_eq!(results_gaps(&journal), gaps);
}

/// Wherever the power goes while a loss is being ended, it is ended exactly once.
#[test]
fn a_cut_while_a_loss_ends_leaves_it_ended_once() {
    let prepared = MemoryStorage::new();
    losing(&prepared);
    cut_each_operation_of_opening(&prepared, |journal, case| {
        let states: Vec<_> = results_gaps(journal).iter().map(v1::Gap::state).collect();
        assert_eq!(states, [v1::GapState::Open, v1::GapState::Closed], "{case}");
    });
}

/// A new epoch begins while events are being lost: the loss goes on under its name, and is closed there with all that it counts.
#[test]
fn a_loss_goes_on_in_a_new_epoch() {
    let disk = MemoryStorage::new();
    let (journal, opening) = losing(&disk);
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    cursor.advance(journal.watermarks().results, digest());
    assert!(journal.status().lanes.results.losing);
    journal.new_epoch(venue_schema::JournalEpoch::from_bytes([7; 16]), at(11)).unwrap();
    for second in 12..16 {
        journal.housekeep(at(second)).unwrap();
        commit_all(&journal, at(second));
    }
    let gaps = results_gaps(&journal);
    let closed = gaps.last().unwrap();
    assert_eq!((closed.state(), &closed.gap_id), (v1::GapState::Closed, &opening.gap_id));
    assert!(closed.count > opening.count, "{closed:?}");
}

/// Housekeeping goes on while results are in the reserve, as it does in a gateway: it makes no spare in the place of
/// what is in use, and the lane ends where quota and reserve end.
#[test]
fn housekeeping_gives_results_no_more_than_the_reserve() {
    let disk = MemoryStorage::new();
    let (journal, _) = losing(&disk);
    let full = files(&disk, "results");
    for number in 1_000..1_100 {
        journal.housekeep(at(3)).unwrap();
        let _ = append(&journal, RESULTS, journal.source("serial"), number, SIZE, false);
        commit_all(&journal, at(3));
    }
    assert_eq!(files(&disk, "results"), full);
    let status = journal.status();
    assert!(status.lanes.results.losing && status.reserve_left_bytes == 0, "{status:?}");
}

/// A device that begins again and again, and of whose numbers every other one is missing. What is remembered of it is bounded by what a
/// segment holds, newest first: commits go on, and after a start its last numbers are known.
#[test]
fn numbers_full_of_holes_leave_room_for_records() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let append = |journal: &Journal<MemoryStorage>, epoch, number| {
        journal.append(Append {
            lane: TELEMETRY,
            source: journal.source("sensors"),
            identity: IdentityRef::Sequence { device_id: "d", epoch, number },
            refusable: false,
            event: &[],
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        })
    };
    for epoch in 0..16 {
        for number in 0..1_024 {
            append(&journal, epoch, 2 * number).unwrap();
        }
        // A commit that does not come to an end comes to this one.
        disk.cut_power_at(disk.operations() + 1_000);
        commit_all(&journal, at(epoch));
    }
    drop(journal);
    disk.kill();
    let (journal, _) = open(&disk);
    let known = Ok(Appended::Known { lane: TELEMETRY, sequence: Sequence::ZERO });
    assert!((14..16).all(|epoch| append(&journal, epoch, 2 * 1_023) == known));
}

/// So many sources that what is remembered of them fills a segment of this small quota. There is no space then: no segment is begun that
/// could hold no record, so that nothing stored is pushed out, and what is staged waits.
#[test]
fn sources_that_fill_a_segment_push_nothing_out() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    for number in 0..1_100 {
        journal.source(&format!("{number:0>250}"));
    }
    let wind = journal.source("wind");
    for number in 1..=20 {
        append(&journal, TELEMETRY, wind, number, SIZE, false).unwrap();
    }
    let names = |disk: &MemoryStorage| ["telemetry", "results", "spare"].map(|kind| files(disk, kind));
    journal.housekeep(at(0)).unwrap();
    let before = names(&disk);
    disk.cut_power_at(disk.operations() + 1_000);
    for second in 1..4 {
        assert!(matches!(journal.commit(at(second)), Err(CommitError::NoSpace { lane: TELEMETRY })));
        journal.housekeep(at(second)).unwrap();
    }
    assert_eq!(names(&disk), before);
    let kept = numbers(&read(&journal, TELEMETRY));
    assert!(!kept.is_empty() && kept == (1..=kept.len() as u64).collect::<Vec<_>>(), "{kept:?}");
}

/// Telemetry that nobody fetches fills its quota, and the power goes in the midst of a commit: the segment that was being written is torn,
/// and nothing is written into it any more, not even what says that the oldest is shed.
fn torn_at_the_quota() -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let _cursors = [RESULTS, TELEMETRY].map(|lane| journal.cursor("centre", None, lane, true).unwrap());
    for number in 1..=100 {
        append(&journal, TELEMETRY, journal.source("wind"), number, SIZE, true).unwrap();
        commit_all(&journal, at(number));
        journal.housekeep(at(number)).unwrap();
    }
    append(&journal, RESULTS, journal.source("finish"), 1, 100, false).unwrap();
    commit_all(&journal, at(150));
    append(&journal, TELEMETRY, journal.source("wind"), 101, SIZE, true).unwrap();
    disk.cut_power_at(disk.operations() + 2);
    assert!(journal.commit(at(151)).is_err());
    drop((journal, _cursors));
    // Of the seeds that tear it, one.
    let torn = (0..50).map(|seed| {
        let disk = disk.copy();
        disk.restart(seed);
        disk
    });
    let is_torn = |disk: &MemoryStorage| open(&disk.copy()).1.lanes.telemetry.torn_bytes > 0;
    torn.into_iter().find(is_torn).expect("some of its pages are kept, and not all")
}

/// Telemetry from `first` on is there without a hole; what is not there any more is declared, and nothing else is.
fn check_telemetry(journal: &Journal<MemoryStorage>, last: u64) {
    let elements = read(journal, TELEMETRY);
    let kept = numbers(&elements);
    assert_eq!(kept, (kept[0]..=last).collect::<Vec<_>>());
    let declared: u64 = elements.values().filter_map(Element::gap).map(|gap| gap.count.unwrap()).sum();
    assert_eq!(declared, kept[0] - 1);
}

/// The segment that was being written is torn, the quota is full: the next one begins with a spare of the reserve, and the oldest segment,
/// shed from there, takes its place. The newest telemetry is taken and the oldest is what goes.
#[test]
fn telemetry_sheds_its_oldest_also_where_its_last_segment_is_torn() {
    let disk = torn_at_the_quota();
    let (journal, recovery) = open(&disk);
    assert!(recovery.lanes.telemetry.torn_bytes > 0);
    let segments = files(&disk, "telemetry").len();
    for number in 101..=160 {
        append(&journal, TELEMETRY, journal.source("wind"), number, SIZE, false).unwrap();
        commit_all(&journal, at(number));
        assert_eq!(journal.status().reserve_left_bytes, journal.status().reserve_bytes, "telemetry at {number}");
    }
    check_telemetry(&journal, 160);
    assert_eq!((segments, files(&disk, "telemetry").len()), (8, 8));
}

/// Wherever the power goes meanwhile, no telemetry is missing that is not declared, and no result is.
#[test]
fn a_cut_while_torn_telemetry_makes_room_loses_nothing_undeclared() {
    let torn = torn_at_the_quota();
    let run = |disk: &MemoryStorage| {
        let Ok((journal, _)) = Journal::open(disk.clone(), config(), at(0)) else { return };
        let _ = append(&journal, TELEMETRY, journal.source("wind"), 101, SIZE, false);
        let _ = journal.commit(at(1));
    };
    let whole = torn.copy();
    let begun = whole.operations();
    run(&whole);
    let operations = whole.operations() - begun;
    assert!(operations > 10, "it begins a segment and lets one go");
    for cut in 1..=operations {
        for seed in 0..4 {
            let disk = torn.copy();
            disk.cut_power_at(disk.operations() + cut);
            run(&disk);
            disk.cut_power();
            disk.restart(seed);
            let (journal, recovery) = open(&disk);
            assert!(recovery.lanes.telemetry.quarantined.is_empty(), "cut {cut}, seed {seed}: {recovery:?}");
            let kept = numbers(&read(&journal, TELEMETRY));
            check_telemetry(&journal, *kept.last().unwrap());
            assert!(*kept.last().unwrap() >= 100);
            assert_eq!(numbers(&read(&journal, RESULTS)), [1]);
        }
    }
}

/// The disk fails once meanwhile, in each operation and in each way; then it is well, and at last the power goes. Nothing is missing
/// that is not declared.
#[test]
fn a_fault_while_torn_telemetry_makes_room_loses_nothing_undeclared() {
    let torn = torn_at_the_quota();
    for fault in [Fault::Refused, Fault::Partial, Fault::Dropped] {
        for failing in 1..=40 {
            let disk = torn.copy();
            let first = disk.operations();
            disk.fail_at(first + failing, fault);
            let journal = match Journal::open(disk.clone(), config(), at(0)) {
                Ok((journal, _)) => journal,
                Err(_) => {
                    disk.kill();
                    open(&disk).0
                }
            };
            for number in 101..=112 {
                append(&journal, TELEMETRY, journal.source("wind"), number, SIZE, false).unwrap();
                append(&journal, RESULTS, journal.source("finish"), number, 100, false).unwrap();
                if journal.commit(at(number)).is_err() {
                    journal.reopen(at(number)).expect("a planned fault fails once");
                }
            }
            assert!(disk.operations() > first + 40);
            drop(journal);
            disk.cut_power();
            disk.restart(failing);
            let (journal, recovery) = open(&disk);
            assert!(recovery.lanes.telemetry.quarantined.is_empty(), "{fault:?} {failing}: {recovery:?}");
            check_telemetry(&journal, 112);
            assert_eq!(numbers(&read(&journal, RESULTS))[1..], (101..=112).collect::<Vec<_>>(), "{fault:?} {failing}");
        }
    }
}

/// The same on a full disk: telemetry makes way for results as if its last segment were whole, and what nobody keeps is not lost.
#[test]
fn torn_telemetry_makes_way_for_results_on_a_full_disk() {
    let disk = torn_at_the_quota();
    disk.set_capacity(Some(disk.used_bytes()));
    let (journal, _) = open(&disk);
    for number in 2..=40 {
        append(&journal, RESULTS, journal.source("serial"), number, SIZE, false).unwrap();
        journal.commit(at(300 + number)).unwrap();
        journal.housekeep(at(300 + number)).unwrap();
    }
    let status = journal.status();
    assert_eq!(status.reserve_left_bytes, status.reserve_bytes);
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=40).collect::<Vec<_>>());
    check_telemetry(&journal, 100);
}

/// So much of the oldest telemetry is quarantined, piece by piece, that the rest of the segment being written cannot hold the declarations of what
/// is shed with it. The next segment holds them.
#[test]
fn telemetry_in_pieces_is_shed_too() {
    let (journal, _) = open(&MemoryStorage::new());
    let _centre = journal.cursor("centre", None, TELEMETRY, true).unwrap();
    let put = |number: u64, size: usize| {
        append(&journal, TELEMETRY, journal.source("wind"), number, size, true).unwrap();
        journal.commit(at(number)).unwrap();
        journal.housekeep(at(number)).unwrap();
    };
    (1..=70).for_each(|number| put(number, 3_000));
    for piece in 1..=30 {
        journal.declare_quarantined(TELEMETRY, Sequence(2 * piece), Sequence(2 * piece), at(100)).unwrap();
    }
    (71..=200).for_each(|number| put(number, SIZE));
    check_telemetry(&journal, 200);
}

/// A larger quota has larger segments. Those from before hold less, and their files cannot be used again: telemetry that sheds one of them
/// makes a new file in its place, and takes none of the reserve. The disk in use is what the files have.
#[test]
fn segments_of_another_size_cost_the_reserve_nothing() {
    let disk = MemoryStorage::new();
    let fill = |journal: &Journal<MemoryStorage>, numbers: std::ops::RangeInclusive<u64>| {
        for number in numbers {
            append(journal, TELEMETRY, journal.source("wind"), number, SIZE, true).unwrap();
            commit_all(journal, at(number));
            let status = journal.status();
            assert_eq!(status.reserve_left_bytes, status.reserve_bytes, "{number}");
            let files = files(&disk, "telemetry");
            let on_disk: usize = files.iter().map(|name| disk.contents(name).unwrap().len()).sum();
            assert_eq!(status.lanes.telemetry.used_bytes, on_disk as u64);
            assert_eq!(journal.disk_bytes_from(TELEMETRY, Sequence(1)), on_disk as u64);
            assert!(files.len() <= 8, "{files:?}");
        }
    };
    let (journal, _) = open(&disk);
    let cursor = journal.cursor("centre", None, TELEMETRY, true).unwrap();
    fill(&journal, 1..=60);
    drop((journal, cursor));
    let mut larger = config();
    larger.segment_bytes = 512 << 10;
    larger.results.quota = 4 << 20;
    larger.telemetry.quota = 4 << 20;
    let (journal, _) = Journal::open(disk.clone(), larger, at(100)).unwrap();
    journal.housekeep(at(100)).unwrap();
    fill(&journal, 61..=200);
    check_telemetry(&journal, 200);
}
