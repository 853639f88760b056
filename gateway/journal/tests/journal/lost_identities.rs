//! Never is an identity known whose record is lost: what a device repeats restores it.

use super::scene::*;
use venue_journal::{
    Append, Appended, IdentityRef, Journal, Limits, ReadError, Storage as _, simulated::MemoryStorage,
};
use venue_schema::{
    Sequence,
    v1::{self, Lane},
};

const COUNT: u64 = 20;
const KEY: &str = "C1|09:17:08.02";

/// Appends the event of a number of `timer-a`.
fn say(journal: &Journal<MemoryStorage>, number: u64) -> Appended {
    append(journal, RESULTS, journal.source("finish"), number, 30_000, false).unwrap()
}

/// Appends the k-th equal line of a device that has no numbers.
fn say_key(journal: &Journal<MemoryStorage>, occurrence: u32) -> Appended {
    let identity = IdentityRef::Key { device_id: "timer-b", epoch: 0, key: KEY, occurrence };
    let event = event(u64::from(occurrence) + 100, 2_000);
    let append = Append {
        lane: RESULTS,
        source: journal.source("photocell"),
        identity,
        refusable: false,
        event: &event,
        receive_utc_ns: None,
        receive_monotonic_ns: 0,
    };
    journal.append(append).unwrap()
}

/// Three equal lines, and then twenty numbered events over several segments.
fn filled(disk: &MemoryStorage) {
    let (journal, _) = open(disk);
    for occurrence in 1..=3 {
        say_key(&journal, occurrence);
        commit_all(&journal, at(0));
    }
    for number in 1..=COUNT {
        say(&journal, number);
        commit_all(&journal, at(0));
    }
    journal.close(at(1)).unwrap();
    assert!(files(disk, "results").len() >= 3);
}

fn rot(disk: &MemoryStorage, segment: &str, needle: &[u8]) {
    let bytes = disk.contents(segment).unwrap();
    let place = bytes.windows(needle.len()).position(|window| window == needle).expect("the bytes are in the file");
    disk.flip_bit(segment, place as u64, 5);
}

/// Whether each of the numbered events, and each of the equal lines, is known; what is not is taken.
fn repeat(journal: &Journal<MemoryStorage>) -> (Vec<bool>, Vec<bool>) {
    let is_known = |appended| matches!(appended, Appended::Known { .. });
    let numbers = (1..=COUNT).map(|number| is_known(say(journal, number))).collect();
    let keys = (1..=3).map(|occurrence| is_known(say_key(journal, occurrence))).collect();
    commit_all(journal, at(9));
    (numbers, keys)
}

/// Reads the results as the uplink does: what is damaged is declared, and the rest is passed on.
fn declare_damage(journal: &Journal<MemoryStorage>) -> Vec<(u64, u64)> {
    let (mut reader, mut next, mut declared) = (journal.reader(RESULTS), Sequence(1), Vec::new());
    while next <= journal.watermarks()[Lane::Results] {
        match reader.read(next, Limits::BATCH) {
            Ok(venue_journal::ReadItem::Records(run)) => next = run.last_sequence().next(),
            Ok(venue_journal::ReadItem::Skipped { last, .. }) => next = last.next(),
            Ok(venue_journal::ReadItem::End) => break,
            Err(ReadError::Damaged { first, last, .. }) => {
                journal.declare_quarantined(RESULTS, first, last, at(5)).unwrap();
                declared.push((first.0, last.0));
            }
            Err(error) => panic!("{error}"),
        }
    }
    declared
}

/// A record rots long after the checkpoint that calls its identity known. Once it is met and set aside, everything that its
/// device repeats is taken again: the lost one is restored, the others come a second time with equal identity. That holds
/// also where the power goes right after the damage was declared; and then all is known again.
#[test]
fn a_rotten_record_is_restored_by_its_devices_repeat() {
    for (cut, seed) in [(false, 0), (true, 1), (true, 2)] {
        let disk = MemoryStorage::new();
        filled(&disk);
        let oldest = files(&disk, "results").remove(0);
        rot(&disk, &oldest, &[2; 1_000]);
        let (mut journal, recovery) = open(&disk);
        // Opening reads the tails, not the backlog.
        assert_eq!(recovery.lanes.results.quarantined, []);
        assert_eq!(declare_damage(&journal), [(5, 5)]);
        if cut {
            drop(journal);
            disk.cut_power();
            disk.restart(seed);
            journal = open(&disk).0;
        }
        // What stands behind the checkpoint is learned from the records themselves, and only where it was opened again.
        let learned_from = if cut { 17 } else { COUNT + 1 };
        let expected = (1..=COUNT).map(|number| number >= learned_from).collect::<Vec<_>>();
        assert_eq!(repeat(&journal), (expected, vec![false; 3]));
        assert_eq!(repeat(&journal), (vec![true; COUNT as usize], vec![true; 3]));
        let elements = read(&journal, RESULTS);
        for number in 1..=COUNT {
            let same = |element: &&Element| element.number() == Some(number);
            let copies = elements.values().filter(same).count();
            assert_eq!(copies, if number == 2 || number >= learned_from { 1 } else { 2 }, "number {number}");
        }
        // Behind the skip record and across another restart it stays that way.
        drop(journal);
        disk.kill();
        let (journal, _) = open(&disk);
        assert_eq!(repeat(&journal), (vec![true; COUNT as usize], vec![true; 3]));
        // A live line that equals the three has a number of its own.
        let source = journal.source("photocell");
        assert_eq!(journal.stage().occurrences(source, "timer-b", 0, KEY), 3);
    }
}

/// A whole segment below the checkpoint is deleted: opening notices, and forgets, before a checkpoint is written again as well as
/// at later openings.
#[test]
fn a_deleted_segment_is_restored_by_its_devices_repeat() {
    for opened_again in [false, true] {
        let disk = MemoryStorage::new();
        filled(&disk);
        let second = files(&disk, "results").remove(1);
        disk.remove(&second).unwrap();
        disk.sync_directory().unwrap();
        let (mut journal, recovery) = open(&disk);
        let [(first, last)] = recovery.lanes.results.quarantined[..] else { panic!("one range, not {recovery:?}") };
        if opened_again {
            drop(journal);
            disk.kill();
            let (opened, recovery) = open(&disk);
            assert_eq!(recovery.lanes.results.quarantined, []);
            journal = opened;
        }
        let gap = read(&journal, RESULTS)[&first.0].gap().unwrap();
        assert_eq!((gap.cause(), gap.count), (v1::GapCause::Quarantined, Some(last.0 - first.0 + 1)));
        let (numbers, keys) = repeat(&journal);
        assert_eq!((&numbers[..16], keys), (&[false; 16][..], vec![false; 3]));
    }
}

/// Rot behind the checkpoint is told apart record by record: only what is lost is taken again, and of equal
/// lines those from the lost one on.
#[test]
fn behind_the_checkpoint_only_what_is_lost_is_taken_again() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    for occurrence in 1..=3 {
        say_key(&journal, occurrence);
    }
    for number in 1..=4 {
        append(&journal, RESULTS, journal.source("finish"), number, 300, false).unwrap();
    }
    commit_all(&journal, at(0));
    journal.close(at(1)).unwrap();
    drop(journal);
    let segment = files(&disk, "results").remove(0);
    rot(&disk, &segment, &[102; 2_000]);
    rot(&disk, &segment, &[3; 300]);
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.lanes.results.quarantined, [(Sequence(2), Sequence(2)), (Sequence(6), Sequence(6))]);
    let (numbers, keys) = repeat(&journal);
    assert_eq!(numbers[..4], [true, true, false, true]);
    assert_eq!(keys, [true, false, false]);
}

/// Damage that beginning an epoch meets is forgotten too, also where the power goes right after it and no other checkpoint was
/// due since the epoch began.
#[test]
fn a_new_epoch_knows_nothing_of_what_it_could_not_read() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    for number in 1..=3 {
        append(&journal, RESULTS, journal.source("finish"), number, 300, false).unwrap();
    }
    commit_all(&journal, at(0));
    journal.close(at(1)).unwrap();
    rot(&disk, &files(&disk, "results")[0], &[2; 300]);
    journal.new_epoch(venue_schema::JournalEpoch::from_bytes([7; 16]), at(3)).unwrap();
    drop(journal);
    disk.cut_power();
    disk.restart(5);
    let (journal, _) = open(&disk);
    let (numbers, _) = repeat(&journal);
    assert!(!numbers[1], "the lost one is taken again");
}

/// More rotten records with sound ones between them than skipped ranges are remembered: each reader still gets every sound
/// record and a skipped range in place of each other, whatever was forgotten in between, and so does one after a restart.
#[test]
fn more_rotten_places_than_are_remembered() {
    const RECORDS: u64 = 301;
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    for number in 1..=RECORDS {
        append(&journal, RESULTS, journal.source("finish"), number, 500, false).unwrap();
    }
    commit_all(&journal, at(0));
    let segment = files(&disk, "results").remove(0);
    let rotten: Vec<u64> = (1..=RECORDS).filter(|number| number % 3 == 0).collect();
    let bytes = disk.contents(&segment).unwrap();
    let mut from = 0;
    for number in &rotten {
        // Evidence repeats after 256 numbers.
        let needle = [*number as u8; 400];
        let place = bytes[from..].windows(needle.len()).position(|window| window == needle).unwrap();
        disk.flip_bit(&segment, (from + place) as u64, 1);
        from += place;
    }
    let as_ranges: Vec<(u64, u64)> = rotten.iter().map(|&number| (number, number)).collect();
    assert!(as_ranges.len() > venue_journal::MAX_SKIPS_PER_LANE);
    assert_eq!(declare_damage(&journal), as_ranges);
    let again = declare_damage(&journal);
    assert!(!again.is_empty() && again.iter().all(|range| as_ranges.contains(range)), "{again:?}");
    journal.close(at(6)).unwrap();
    drop(journal);
    let (journal, recovery) = open(&disk);
    // One for the source, and one for all sources of which no other record tells.
    let counts: Vec<Option<u64>> = recovery.declared_holes.iter().map(|hole| hole.count).collect();
    assert_eq!(counts, [Some(rotten.len() as u64), None]);
    let mut elements = declare_damage(&journal);
    elements.retain(|range| !as_ranges.contains(range));
    assert_eq!(elements, [], "nothing sound is set aside");
}
