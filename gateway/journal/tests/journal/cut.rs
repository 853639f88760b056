//! Power cuts at every single operation of a scenario.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::*;
use venue_journal::{Journal, PerLane, simulated::MemoryStorage};
use venue_schema::v1::Lane;

/// What a run promised before the power went.
#[derive(Default)]
struct Promised {
    /// Elements that were durable, and so may have been sent and acknowledged.
    durable: PerLane<BTreeMap<u64, Element>>,
}

/// Two sources fill both lanes over several segments, with a cursor that advances and housekeeping in between. Ends at the first failure.
fn scenario(disk: &MemoryStorage, promised: &mut Promised) -> Option<()> {
    let (journal, _) = Journal::open(disk.clone(), config(), at(0)).ok()?;
    let sources = [journal.source("finish"), journal.source("wind")];
    let _required = journal.cursor("centre", None, RESULTS, true).ok()?;
    for round in 1..=12_u64 {
        for step in 0..4 {
            let number = round * 10 + step;
            let _ = append(&journal, RESULTS, sources[(number % 2) as usize], number, 9_000, false);
            let _ = append(&journal, TELEMETRY, sources[1], number, 6_000, true);
        }
        let outcome = journal.commit(at(round));
        // Everything below the watermark counts, even where the commit of the other lane failed.
        for lane in Lane::ALL {
            let from = promised.durable[lane].last_key_value().map_or(1, |(sequence, _)| sequence + 1);
            if disk.is_powered() {
                promised.durable[lane].extend(read_from(&journal, lane, from));
            }
        }
        outcome.ok()?;
        if round % 4 == 0 {
            journal.housekeep(at(round)).ok()?;
        }
        if round == 6 {
            journal.commit(at(round) + at(1)).ok()?;
        }
    }
    journal.close(at(20)).ok()
}

/// Whatever operation the power goes in: afterwards each lane is gapless, all that was durable is there byte for byte, no sequence
/// stands for anything else, what is known is exactly what is stored, and the journal takes events again.
#[test]
fn nothing_durable_is_lost_by_a_cut_at_any_operation() {
    let whole = MemoryStorage::new();
    scenario(&whole, &mut Promised::default()).expect("without a cut the scenario ends well");
    let operations = whole.operations();
    assert!(operations > 100, "the scenario has {operations} operations");
    for cut in 1..=operations {
        let disk = MemoryStorage::new();
        disk.cut_power_at(cut);
        let mut promised = Promised::default();
        scenario(&disk, &mut promised);
        disk.restart(cut);
        check_recovered(&disk, &promised, &format!("cut {cut}"));
    }
}

fn check_recovered(disk: &MemoryStorage, promised: &Promised, case: &str) {
    let (journal, recovery) = open(disk);
    let found = both(&journal);
    for lane in Lane::ALL {
        assert!(recovery.lanes[lane].quarantined.is_empty(), "{case}: nothing is damaged, yet {:?}", recovery);
        for (sequence, element) in &promised.durable[lane] {
            assert_eq!(found[lane].get(sequence), Some(element), "{case}: {} {sequence}", lane.name());
        }
    }
    check_ordinals(&found, case);
    // The sender repeats everything: exactly what is stored is known.
    let source = journal.source("wind");
    let stored = numbers(&found.telemetry);
    for number in (10..130).filter(|number| number % 10 < 4) {
        let outcome = append(&journal, TELEMETRY, source, number, 6_000, true).expect(case);
        let known = matches!(outcome, venue_journal::Appended::Known { .. });
        assert_eq!(known, stored.contains(&number), "{case}: number {number}");
        commit_all(&journal, at(30));
    }
    let again = both(&journal);
    for lane in Lane::ALL {
        for (sequence, element) in &found[lane] {
            assert_eq!(again[lane].get(sequence), Some(element), "{case}: {} {sequence} changed", lane.name());
        }
    }
    check_ordinals(&again, case);
    // And once more, from what is on disk now.
    drop(journal);
    disk.cut_power();
    disk.restart(3);
    let (journal, recovery) = open(disk);
    assert_eq!(recovery.declared_holes, [], "{case}: holes are declared once");
    assert_eq!(both(&journal), again, "{case}: a second cut after everything was durable");
}

/// Each source's ordinals are dense over both lanes, but for holes that are declared, with how many they are.
fn check_ordinals(found: &PerLane<BTreeMap<u64, Element>>, case: &str) {
    let mut ordinals = BTreeMap::<String, BTreeSet<u64>>::new();
    let mut declared = Vec::new();
    for element in Lane::ALL.into_iter().flat_map(|lane| found[lane].values()) {
        if let Element::Event(event, _) = element {
            let origin = event.origin.as_ref().expect("every record has an origin");
            let is_new = ordinals.entry(origin.source.clone()).or_default().insert(origin.source_ordinal);
            assert!(is_new, "{case}: ordinal {} of {} stands twice", origin.source_ordinal, origin.source);
        }
        if let Some(gap) = element.gap()
            && let Some(venue_schema::v1::gap::Scope::SourceRange(range)) = gap.scope
        {
            declared.push((range, gap.count));
        }
    }
    for (range, count) in declared {
        let of_source = ordinals.entry(range.source).or_default();
        let missing = (range.first_ordinal..=range.last_ordinal).filter(|ordinal| of_source.insert(*ordinal)).count();
        assert_eq!(count, Some(missing as u64), "{case}: {} to {}", range.first_ordinal, range.last_ordinal);
    }
    for (source, ordinals) in ordinals {
        let dense: BTreeSet<u64> = (1..=ordinals.len() as u64).collect();
        assert_eq!(ordinals, dense, "{case}: ordinals of {source}");
    }
}
