//! Gaps that are opened for a source are remembered until they are ended, over crashes, checkpoints and new epochs; and what
//! the gateway says of a source does not count as heard from it.

use super::scene::*;
use venue_journal::{Append, IdentityRef, Journal, OpenGap, simulated::MemoryStorage};
use venue_schema::{
    JournalEpoch, Message as _,
    v1::{self, GapCause, GapState},
};

const GAP: &str = "dark-wind-7";

fn append_of<'a>(journal: &Journal<MemoryStorage>, event: &'a [u8], second: u64) -> Append<'a> {
    Append {
        lane: TELEMETRY,
        source: journal.source("wind"),
        identity: IdentityRef::None,
        refusable: false,
        event,
        receive_utc_ns: Some(second as i64 * 1_000_000_000),
        receive_monotonic_ns: second,
    }
}

/// Opens or ends the gap of a source that was last heard in second 7.
fn tell(journal: &Journal<MemoryStorage>, state: GapState, second: u64) {
    let gap = v1::Gap {
        cause: GapCause::DeviceDark.into(),
        state: state.into(),
        first_receive_utc_ns: Some(7_000_000_000),
        first_receive_monotonic_ns: Some(7),
        gap_id: GAP.into(),
        ..v1::Gap::default()
    };
    let content = Some(v1::event::Content::Gap(gap.clone()));
    let event = v1::Event { content, ..v1::Event::default() }.encode_to_vec();
    let append = append_of(journal, &event, second);
    journal.stage().append_gap(append, &gap).unwrap();
}

fn opened() -> OpenGap {
    OpenGap {
        lane: TELEMETRY,
        source: "wind".into(),
        gap_id: GAP.into(),
        cause: GapCause::DeviceDark,
        count: 0,
        first_receive_utc_ns: Some(7_000_000_000),
        first_receive_monotonic_ns: Some(7),
    }
}

/// Begins segments of telemetry, each with a checkpoint.
fn fill(journal: &Journal<MemoryStorage>, first: u64) {
    for number in first..first + 10 {
        append(journal, TELEMETRY, journal.source("finish"), number, 60_000, true).unwrap();
        commit_all(journal, at(number));
    }
}

fn crash(disk: &MemoryStorage, journal: Journal<MemoryStorage>, power: bool) -> Journal<MemoryStorage> {
    drop(journal);
    if power {
        disk.cut_power();
        disk.restart(5);
    } else {
        disk.kill();
    }
    open(disk).0
}

/// A gap that is open at a crash is open after it, and after an orderly stop; one that was ended is not. So it is where
/// the records themselves are behind the newest checkpoint.
#[test]
fn an_open_gap_is_remembered_until_it_is_ended() {
    for (checkpointed, power) in [(false, false), (false, true), (true, false), (true, true)] {
        let disk = MemoryStorage::new();
        let (mut journal, _) = open(&disk);
        tell(&journal, GapState::Open, 9);
        assert_eq!(journal.open_gaps(), [opened()]);
        commit_all(&journal, at(9));
        for first in [10, 30] {
            if checkpointed {
                fill(&journal, first);
            }
            if first == 30 {
                journal.close(at(50)).unwrap();
            }
            journal = crash(&disk, journal, power);
            assert_eq!(journal.open_gaps(), [opened()]);
        }
        tell(&journal, GapState::Closed, 60);
        commit_all(&journal, at(60));
        for first in [70, 90] {
            assert_eq!(journal.open_gaps(), []);
            if checkpointed {
                fill(&journal, first);
            }
            journal = crash(&disk, journal, power);
        }
    }
}

/// Power goes at any operation of the commit that opens or ends a gap, among them those that begin a segment, whose checkpoint
/// comes before the record is durable: the gap is as open as the lane says.
#[test]
fn a_gap_is_as_open_as_the_durable_records_say() {
    for last in [GapState::Open, GapState::Closed] {
        let prepared = || {
            let disk = MemoryStorage::new();
            let (journal, _) = open(&disk);
            if last == GapState::Closed {
                tell(&journal, GapState::Open, 9);
                commit_all(&journal, at(9));
            }
            for number in 1..=10 {
                append(&journal, RESULTS, journal.source("finish"), number, 60_000, true).unwrap();
            }
            tell(&journal, last, 10);
            (disk, journal)
        };
        let (whole, journal) = prepared();
        let start = whole.operations();
        commit_all(&journal, at(10));
        let mut seen = [0, 0];
        // The last of them comes after it.
        for cut in start + 1..=whole.operations() + 1 {
            let (disk, journal) = prepared();
            disk.cut_power_at(cut);
            let _ = journal.commit(at(10));
            let journal = crash(&disk, journal, true);
            let said = read(&journal, TELEMETRY).values().filter_map(Element::gap).next_back();
            let is_open = said.is_some_and(|gap| gap.state() == GapState::Open);
            assert_eq!(journal.open_gaps(), if is_open { vec![opened()] } else { vec![] }, "{last:?}, cut {cut}");
            seen[usize::from(is_open)] += 1;
        }
        assert!(files(&whole, "results").len() > 1 && seen.iter().all(|&count| count > 0), "{seen:?}");
    }
}

/// A new epoch begins while a gap is open: it is open there, too.
#[test]
fn an_open_gap_goes_on_in_a_new_epoch() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    tell(&journal, GapState::Open, 9);
    commit_all(&journal, at(9));
    journal.new_epoch(JournalEpoch::from_bytes([7; 16]), at(10)).unwrap();
    assert_eq!(journal.open_gaps(), [opened()]);
    let journal = crash(&disk, journal, true);
    assert_eq!(journal.open_gaps(), [opened()]);
}

/// A source was last heard when it was heard, whatever the gateway said of it afterwards, and whichever lane was written first. The
/// end of a gap accounts for all time before it.
#[test]
fn what_the_gateway_says_of_a_source_is_not_heard_from_it() {
    let disk = MemoryStorage::new();
    let (mut journal, _) = open(&disk);
    journal.append(append_of(&journal, &[], 7)).unwrap();
    let own = Append { lane: RESULTS, ..append_of(&journal, &[], 8) };
    journal.stage().append_own(own).unwrap();
    tell(&journal, GapState::Open, 9);
    commit_all(&journal, at(9));
    let heard = |journal: &Journal<MemoryStorage>| journal.last_received(journal.source("wind")).unwrap().0.unwrap();
    assert_eq!(heard(&journal), 7_000_000_000);
    for checkpointed in [false, true] {
        if checkpointed {
            fill(&journal, 10);
        }
        journal = crash(&disk, journal, true);
        assert_eq!(heard(&journal), 7_000_000_000);
    }
    tell(&journal, GapState::Closed, 60);
    commit_all(&journal, at(60));
    assert_eq!(heard(&journal), 60_000_000_000);
}
