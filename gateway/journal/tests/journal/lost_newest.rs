//! The newest segment of a lane is gone, or cannot be read at all: nothing but `meta` tells, and still no sequence is given twice.

use super::scene::*;
use venue_journal::{Appended, Journal, PerLane, ReadOnlyJournal, Recovery, Storage as _, simulated::MemoryStorage};
use venue_schema::{
    Sequence,
    v1::{self, Lane},
};

const COUNT: u64 = 20;

/// Results over several segments. Telemetry stays empty, so that no header of its own proves what came last in results.
fn filled() -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    for number in 1..=COUNT {
        append(&journal, RESULTS, journal.source("finish"), number, 30_000, false).unwrap();
        commit_all(&journal, at(0));
    }
    drop(journal);
    disk.kill();
    disk
}

fn delete(disk: &MemoryStorage, name: &str) {
    disk.remove(name).unwrap();
    disk.sync_directory().unwrap();
}

/// The events that are left are the first ones; behind them one range is skipped, and the next event comes after all
/// that was ever given. Says which range that is.
fn check(journal: &Journal<MemoryStorage>, case: &str) -> (u64, u64) {
    let elements = read(journal, RESULTS);
    let kept = numbers(&elements);
    assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "{case}");
    let skipped = elements.values().find(|element| matches!(element, Element::Skipped { .. }));
    let Some(Element::Skipped { first, last, .. }) = skipped else { panic!("{case}: a range is skipped") };
    let gap = skipped.unwrap().gap().unwrap();
    assert_eq!((gap.cause(), gap.count), (v1::GapCause::Quarantined, None), "{case}: nobody knows how many");
    assert_eq!(*first, kept.len() as u64 + 1, "{case}");
    assert!(*last >= COUNT, "{case}: {last}");
    (*first, *last)
}

/// Goes on after a loss: a device's repeat of what is gone is taken again, under new sequences.
fn go_on(journal: &Journal<MemoryStorage>, after: u64, case: &str) {
    for number in [COUNT, COUNT + 1] {
        let appended = append(journal, RESULTS, journal.source("finish"), number, 100, false).unwrap();
        let Appended::Stored { sequence, .. } = appended else { panic!("{case}: {number} is not {appended:?}") };
        assert!(sequence.0 > after, "{case}: {number} at {sequence}");
        commit_all(journal, at(9));
    }
}

fn e_only(recovery: &Recovery) -> bool {
    recovery.findings.iter().all(|finding| "CE".contains(finding.case))
}

/// E: deleted, or overwritten with zeros (D, and so gone as well). What may have been in it is one skipped range without a count; it is
/// found once, and told in the same bytes for ever.
#[test]
fn the_newest_segment_is_missed() {
    for zeroed in [false, true] {
        let disk = filled();
        let newest = files(&disk, "results").pop().unwrap();
        if zeroed {
            disk.put(&newest, &vec![0; 256 << 10]);
        } else {
            delete(&disk, &newest);
        }
        let outside = ReadOnlyJournal::open(disk.clone()).unwrap();
        assert!(outside.summary().findings.iter().any(|finding| finding.case == 'E'), "{:?}", outside.summary());
        let (journal, recovery) = open(&disk);
        assert!(zeroed || e_only(&recovery), "{recovery:?}");
        let (first, last) = check(&journal, "first");
        assert_eq!(recovery.lanes.results.quarantined, [(Sequence(first), Sequence(last))]);
        go_on(&journal, last, "first");
        let elements = read(&journal, RESULTS);
        drop(journal);
        disk.cut_power();
        disk.restart(2);
        let (journal, recovery) = open(&disk);
        assert_eq!(recovery.lanes.results.quarantined, []);
        assert_eq!(read(&journal, RESULTS), elements);
    }
}

/// All segments of both lanes are gone: even then the numbers go on behind what may have been sent.
#[test]
fn all_segments_are_missed() {
    let disk = filled();
    for name in files(&disk, "results").into_iter().chain(files(&disk, "telemetry")) {
        delete(&disk, &name);
    }
    let (journal, recovery) = open(&disk);
    assert!(e_only(&recovery), "{recovery:?}");
    for lane in Lane::ALL {
        assert!(recovery.lanes[lane].last_durable.0 >= COUNT, "{recovery:?}");
    }
    go_on(&journal, COUNT, "all");
}

/// The power may go at any operation while that is set right: no cut leads to a sequence that is given again, nor to a
/// range that nobody declares.
#[test]
fn a_cut_while_it_is_set_right_gives_no_sequence_again() {
    let prepared = filled();
    delete(&prepared, &files(&prepared, "results").pop().unwrap());
    cut_each_operation_of_opening(&prepared, |journal, case| {
        let (_, last) = check(journal, case);
        go_on(journal, last, case);
    });
}

/// A rotation that the power cuts leaves no note of a segment that is not there.
#[test]
fn a_cut_while_a_segment_is_begun_misses_nothing() {
    let rotation = |disk: &MemoryStorage| -> Option<Journal<MemoryStorage>> {
        let (journal, _) = Journal::open(disk.clone(), config(), at(0)).ok()?;
        for number in 1..=9 {
            let _ = append(&journal, RESULTS, journal.source("finish"), number, 30_000, false);
            journal.commit(at(number)).ok()?;
        }
        Some(journal)
    };
    let whole = MemoryStorage::new();
    rotation(&whole).unwrap();
    assert!(files(&whole, "results").len() >= 2);
    for cut in 1..=whole.operations() {
        let disk = MemoryStorage::new();
        disk.cut_power_at(cut);
        rotation(&disk);
        disk.cut_power();
        disk.restart(cut);
        let (journal, recovery) = open(&disk);
        let quarantined = PerLane::from_fn(|lane| recovery.lanes[lane].quarantined.clone());
        assert_eq!(quarantined, PerLane::default(), "cut {cut}");
        let kept = numbers(&read(&journal, RESULTS));
        assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "cut {cut}");
    }
}

/// The missing segment had superseded a torn tail: what the tail still holds there was never sent under these sequences, and
/// does not come back in their place.
#[test]
fn what_the_missing_segment_superseded_stays_superseded() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    append(&journal, RESULTS, journal.source("finish"), 1, 100, false).unwrap();
    commit_all(&journal, at(0));
    journal.close(at(1)).unwrap();
    for number in 2..=4 {
        append(&journal, RESULTS, journal.source("finish"), number, 6_000, false).unwrap();
    }
    commit_all(&journal, at(2));
    drop(journal);
    disk.kill();
    // The third is torn, and the fourth sound behind it: both are cut, and their sequences are given to others.
    let segment = files(&disk, "results").pop().unwrap();
    let bytes = disk.contents(&segment).unwrap();
    let place = bytes.windows(1_000).position(|window| window == [3; 1_000]).unwrap();
    disk.flip_bit(&segment, place as u64, 2);
    let (journal, _) = open(&disk);
    for number in 5..=6 {
        append(&journal, RESULTS, journal.source("finish"), number, 100, false).unwrap();
        commit_all(&journal, at(3));
    }
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 5, 6]);
    drop(journal);
    disk.kill();
    delete(&disk, &files(&disk, "results").pop().unwrap());
    let (journal, _) = open(&disk);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1]);
}
