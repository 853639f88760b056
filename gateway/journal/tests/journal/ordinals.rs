//! No ordinal of a source is given twice, whatever is lost; what may have been lost with its ordinal is declared.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::*;
use venue_journal::{Journal, Storage as _, simulated::MemoryStorage};
use venue_schema::v1::{self, Lane, gap::Scope};

/// `finish` speaks in both lanes throughout, `early` in the first segments alone, `start` in the last records alone.
fn filled() -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let say = |source: &str, number: u64, evidence: usize| {
        for lane in Lane::ALL {
            append(&journal, lane, journal.source(source), number, evidence, false).unwrap();
            commit_all(&journal, at(number));
        }
    };
    say("early", 1, 100);
    for number in 2..=20 {
        say("finish", number, 30_000);
    }
    say("start", 21, 100);
    say("start", 22, 100);
    journal.close(at(23)).unwrap();
    disk
}

/// Ordinals by source, of what is stored in both lanes.
fn stored(journal: &Journal<MemoryStorage>) -> BTreeMap<String, BTreeSet<u64>> {
    let mut ordinals = BTreeMap::<_, BTreeSet<u64>>::new();
    for element in Lane::ALL.into_iter().flat_map(|lane| read(journal, lane).into_values()) {
        if let Element::Event(event, _) = element {
            let origin = event.origin.unwrap();
            assert!(
                ordinals.entry(origin.source).or_default().insert(origin.source_ordinal),
                "an ordinal stands twice"
            );
        }
    }
    ordinals
}

/// Ranges of ordinals that gap events declare, by source.
fn declared(journal: &Journal<MemoryStorage>) -> Vec<(String, u64, u64)> {
    let gaps = read(journal, RESULTS).into_values().filter_map(|element| element.gap());
    let range = |gap: v1::Gap| match gap.scope.clone() {
        Some(Scope::SourceRange(range)) => {
            assert_eq!(gap.cause(), v1::GapCause::Quarantined);
            assert!(gap.state() == v1::GapState::Closed && gap.count.is_none_or(|count| count > 0));
            Some((range.source, range.first_ordinal, range.last_ordinal))
        }
        _ => None,
    };
    gaps.filter_map(range).collect()
}

/// After a loss each source, old or new, says one thing more: under an ordinal that it never had, and what lies between is declared.
fn check(journal: &Journal<MemoryStorage>, before: &BTreeMap<String, BTreeSet<u64>>, case: &str) {
    for (number, source) in (100..).zip(["early", "finish", "start", "late"]) {
        append(journal, TELEMETRY, journal.source(source), number, 100, false).unwrap();
    }
    commit_all(journal, at(30));
    let (stored, declared) = (stored(journal), declared(journal));
    for source in ["early", "finish", "start", "late", "gateway"] {
        let given = before.get(source).and_then(|ordinals| ordinals.last()).copied().unwrap_or(0);
        let now = *stored[source].last().unwrap();
        assert!(now > given, "{case}: {source} had {given}, and has {now} now");
        let is_told = |ordinal: u64| {
            let told = |name: &str| name == source || name.is_empty() && ["start", "late", "gateway"].contains(&source);
            let mut ranges = declared.iter().filter(|range| told(&range.0));
            stored[source].contains(&ordinal) || ranges.any(|&(_, first, last)| first <= ordinal && ordinal <= last)
        };
        // The ranges are too long to look at each.
        let between = (given + 1..now).take(20).chain(now.saturating_sub(20).max(given + 1)..now);
        for ordinal in between {
            assert!(is_told(ordinal), "{case}: {ordinal} of {source} before {now}: {declared:?}");
        }
    }
}

/// Rot in a place that is unique in a segment.
fn rot(disk: &MemoryStorage, name: &str, number: u64) {
    let bytes = disk.contents(name).unwrap();
    let place = bytes.windows(100).position(|window| window == [number as u8; 100]).unwrap();
    disk.flip_bit(name, place as u64, 3);
}

/// The newest segment of either lane is gone, or the last records rot of which alone `start` is known. The power may go at any
/// operation while that is set right.
#[test]
fn no_ordinal_is_given_again_after_a_loss() {
    type Damage = fn(&MemoryStorage, &str);
    let damages: [(&str, Damage); 2] = [
        ("the newest segment is gone", |disk, name| {
            disk.remove(name).unwrap();
            disk.sync_directory().unwrap();
        }),
        ("the last records rot", |disk, name| {
            rot(disk, name, 21);
            rot(disk, name, 22);
        }),
    ];
    for lane in Lane::ALL {
        for (what, damage) in damages {
            let prepared = filled();
            let before = stored(&open(&prepared).0);
            let newest = files(&prepared, lane.name()).pop().unwrap();
            damage(&prepared, &newest);
            cut_each_operation_of_opening(&prepared, |journal, cut| {
                check(journal, &before, &format!("{what} in {}, {cut}", lane.name()));
            });
            drop(open(&prepared));
            check(&open(&prepared).0, &before, what);
        }
    }
}

/// Everything is gone: what comes begins behind all that may have been.
#[test]
fn no_ordinal_is_given_again_after_the_loss_of_everything() {
    let disk = filled();
    let before = stored(&open(&disk).0);
    for name in files(&disk, "results").into_iter().chain(files(&disk, "telemetry")) {
        disk.remove(&name).unwrap();
    }
    disk.sync_directory().unwrap();
    let (journal, _) = open(&disk);
    for source in ["early", "finish", "start", "late"] {
        append(&journal, RESULTS, journal.source(source), 100, 100, false).unwrap();
    }
    commit_all(&journal, at(30));
    let stored = stored(&journal);
    for (source, ordinals) in &before {
        assert!(stored[source].first() > ordinals.last(), "{source}");
    }
    // So does what comes after the next start, also if it is new then.
    drop(journal);
    disk.kill();
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.declared_holes, []);
    append(&journal, RESULTS, journal.source("later"), 101, 100, false).unwrap();
    commit_all(&journal, at(31));
    assert!(self::stored(&journal)["later"].first() > before["finish"].last());
}

/// A source speaks in both lanes in turn, and the power goes while one of them is written: however many holes that leaves between its
/// records, one event tells of all, with how many they are; the next start has nothing to add.
#[test]
fn holes_between_records_are_told_as_one() {
    let mut most = 0;
    for seed in 0..8 {
        let disk = MemoryStorage::new();
        let (journal, _) = open(&disk);
        for number in 1..=500 {
            for lane in [TELEMETRY, RESULTS] {
                append(&journal, lane, journal.source("finish"), number, 10, false).unwrap();
            }
        }
        // The results go down; the power goes in the telemetry's write.
        disk.cut_power_at(disk.operations() + 3);
        assert!(journal.commit(at(0)).is_err());
        drop(journal);
        disk.restart(seed);
        let (journal, recovery) = open(&disk);
        let [hole] = &recovery.declared_holes[..] else {
            panic!("seed {seed}: one, not {:?}", recovery.declared_holes)
        };
        let ordinals = &stored(&journal)["finish"];
        let missing: Vec<u64> = (1..=*ordinals.last().unwrap()).filter(|it| !ordinals.contains(it)).collect();
        let ends = (Some(&hole.first), Some(&hole.last));
        assert_eq!((missing.first(), missing.last(), Some(missing.len() as u64)), (ends.0, ends.1, hole.count));
        let gaps: Vec<v1::Gap> = read(&journal, RESULTS).into_values().filter_map(|element| element.gap()).collect();
        assert!(gaps.len() == 1 && gaps[0].count == hole.count, "seed {seed}: {gaps:?}");
        most = most.max(missing.len());
        drop(journal);
        disk.kill();
        assert_eq!(open(&disk).1.declared_holes, [], "seed {seed}");
    }
    assert!(most > 100, "{most}");
}
