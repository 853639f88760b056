//! Random actions on a journal, against a plain model of what it promises.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::*;
use proptest::prelude::*;
use venue_journal::{
    AppendError, Appended, Cursor, Journal, Limits, PerLane, ReadError, ReadItem,
    simulated::{Fault, MemoryStorage},
};
use venue_schema::{
    Digest, Sequence,
    v1::{self, Lane},
};

#[derive(Debug, Clone)]
enum Action {
    Append {
        results: bool,
        number: u64,
        size: usize,
        refusable: bool,
    },
    Commit,
    Housekeep,
    Advance {
        results: bool,
        percent: u64,
    },
    Reset {
        results: bool,
    },
    /// The power goes in the n-th operation from now.
    PlanCut(u64),
    /// The n-th operation from now fails.
    PlanFault(u64, Fault),
    Reopen,
    Capacity(Option<u64>),
    Kill,
    PowerCycle(u64),
    Close,
    /// A page of a segment cannot be read any longer; which, is drawn.
    BadSector {
        results: bool,
        segment: usize,
        page: u64,
    },
}

/// Actions, with bad sectors among them or none.
fn actions(bad_sectors: bool) -> impl Strategy<Value = Vec<Action>> {
    let append = (any::<bool>(), 1_u64..200, 1_usize..40_000, any::<bool>())
        .prop_map(|(results, number, size, refusable)| Action::Append { results, number, size, refusable });
    let fault = prop_oneof![Just(Fault::Refused), Just(Fault::Partial), Just(Fault::Dropped)];
    let action = prop_oneof![
        30 => append,
        12 => Just(Action::Commit),
        3 => Just(Action::Housekeep),
        4 => (any::<bool>(), 0_u64..=100).prop_map(|(results, percent)| Action::Advance { results, percent }),
        1 => any::<bool>().prop_map(|results| Action::Reset { results }),
        1 => (1_u64..12).prop_map(Action::PlanCut),
        1 => (1_u64..12, fault).prop_map(|(after, fault)| Action::PlanFault(after, fault)),
        2 => Just(Action::Reopen),
        1 => prop::option::of(2_u64 << 20..6 << 20).prop_map(Action::Capacity),
        1 => Just(Action::Kill),
        1 => any::<u64>().prop_map(Action::PowerCycle),
        1 => Just(Action::Close),
    ];
    let bad_sector = (any::<bool>(), 0_usize..8, 0_u64..64).prop_map(|(results, segment, page)| Action::BadSector {
        results,
        segment,
        page,
    });
    let action = if bad_sectors { prop_oneof![58 => action, 1 => bad_sector].boxed() } else { action.boxed() };
    prop::collection::vec(action, 1..400)
}

/// What the journal has promised.
#[derive(Default)]
struct Lanes {
    /// Seen below the watermark, and so perhaps sent.
    durable: BTreeMap<u64, Element>,
    /// Numbers taken and not yet seen durable.
    staged: BTreeSet<u64>,
    /// Numbers taken before a crash: lost, or found by the next start, which could not write them again for want of room.
    perhaps: BTreeSet<u64>,
    /// Numbers once seen durable.
    stored: BTreeSet<u64>,
    /// The highest mark that the cursor ever had.
    passed: u64,
    /// Sequences of commits that a bad sector has touched.
    spoiled: BTreeSet<u64>,
}

impl Lanes {
    /// From here on the number must become durable, unless it is already.
    fn settle(&mut self, number: u64) {
        if !self.stored.contains(&number) {
            self.staged.insert(number);
        }
    }

    fn see(&mut self, number: u64) {
        let taken = self.staged.remove(&number) | self.perhaps.remove(&number) | self.stored.contains(&number);
        assert!(taken, "{number} was never taken");
        self.stored.insert(number);
    }

    /// An element is set aside as quarantined; its event is no longer stored, unless it was taken twice.
    fn set_aside(&mut self, sequence: u64, number: Option<u64>, skipped: Element) {
        self.durable.insert(sequence, skipped);
        if let Some(number) = number.filter(|_| self.durable.values().all(|element| element.number() != number)) {
            self.stored.remove(&number);
        }
    }
}

struct World {
    disk: MemoryStorage,
    has_bad_sectors: bool,
    journal: Journal<MemoryStorage>,
    cursors: PerLane<Cursor<MemoryStorage>>,
    model: PerLane<Lanes>,
    seconds: u64,
}

fn lane_of(results: bool) -> Lane {
    if results { Lane::Results } else { Lane::Telemetry }
}

fn cursors(journal: &Journal<MemoryStorage>) -> PerLane<Cursor<MemoryStorage>> {
    PerLane::from_fn(|lane| journal.cursor("centre", None, lane, true).expect("the disk is well"))
}

impl World {
    fn new() -> Self {
        let disk = MemoryStorage::new();
        let (journal, _) = open(&disk);
        let cursors = cursors(&journal);
        Self { disk, has_bad_sectors: false, journal, cursors, model: PerLane::default(), seconds: 1 }
    }

    fn act(&mut self, action: &Action) {
        self.seconds += 1;
        match *action {
            Action::Append { results, number, size, refusable } => {
                self.append(lane_of(results), number, size, refusable)
            }
            Action::Commit => drop(self.journal.commit(at(self.seconds))),
            Action::Housekeep => drop(self.journal.housekeep(at(self.seconds))),
            Action::Reopen => drop(self.journal.reopen(at(self.seconds))),
            Action::Close => drop(self.journal.close(at(self.seconds))),
            Action::Advance { results, percent } => self.advance(lane_of(results), percent),
            Action::Reset { results } => self.reset(lane_of(results)),
            Action::PlanCut(after) => self.disk.cut_power_at(self.disk.operations() + after),
            Action::PlanFault(after, fault) => self.disk.fail_at(self.disk.operations() + after, fault),
            Action::Capacity(bytes) => self.disk.set_capacity(bytes),
            Action::Kill => self.restart(None),
            Action::PowerCycle(seed) => self.restart(Some(seed)),
            Action::BadSector { results, segment, page } => self.lose_sector(lane_of(results), segment, page * 4096),
        }
        // What only stages or plans changes nothing that can be read.
        if !matches!(action, Action::Append { .. } | Action::PlanCut(_) | Action::PlanFault(..) | Action::Capacity(_)) {
            self.look();
        }
    }

    fn append(&mut self, lane: Lane, number: u64, size: usize, refusable: bool) {
        // What is quarantined makes the journal forget all that it knows.
        let forgets = self.has_bad_sectors;
        let source = self.journal.source(if number.is_multiple_of(3) { "finish" } else { "wind" });
        let model = &mut self.model[lane];
        let promised = model.staged.contains(&number) || model.stored.contains(&number);
        match append(&self.journal, lane, source, number, size, refusable) {
            Ok(Appended::Known { .. }) => {
                assert!(promised || model.perhaps.remove(&number), "{number} is called known, and was never taken");
                model.settle(number);
            }
            Ok(Appended::Stored { .. }) => {
                assert!(!promised || forgets, "{number} is taken twice");
                model.perhaps.remove(&number);
                model.staged.insert(number);
            }
            Err(AppendError::Full { .. } | AppendError::Halted) => assert!(refusable),
            Err(AppendError::Lost { .. }) => assert!(!refusable),
            Err(error @ AppendError::TooLarge { .. }) => panic!("{error}"),
        }
    }

    fn advance(&mut self, lane: Lane, percent: u64) {
        let mark = self.cursors[lane].mark().0.0;
        let elements = self.elements_from(lane, mark + 1).unwrap_or_default();
        let ends: Vec<u64> = elements.iter().map(|(first, element)| end(*first, element)).collect();
        if let Some(&target) = ends.get((ends.len() as u64 * percent / 101) as usize) {
            self.cursors[lane].advance(Sequence(target), Digest::initial(EPOCH, lane));
            self.model[lane].passed = self.model[lane].passed.max(target);
        }
    }

    fn reset(&mut self, lane: Lane) {
        if self.journal.receiver_reset(&self.cursors[lane], Sequence::ZERO, Digest::initial(EPOCH, lane)).is_ok() {
            // From the very first on there is an element for every place.
            self.elements_from(lane, 1);
        }
    }

    /// What stands from a sequence on; none while it cannot be read.
    fn elements_from(&self, lane: Lane, from: u64) -> Option<BTreeMap<u64, Element>> {
        let readable = self.disk.is_powered() && self.declare_damage(lane, from);
        readable.then(|| read_from(&self.journal, lane, from))
    }

    /// Reads a lane as the delivery does, which has damage declared. Says whether that was possible.
    fn declare_damage(&self, lane: Lane, from: u64) -> bool {
        let spoiled = &self.model[lane].spoiled;
        if spoiled.is_empty() {
            return true;
        }
        let (mut reader, mut next) = (self.journal.reader(lane), Sequence(from));
        loop {
            match reader.read(next, Limits::BATCH) {
                Ok(ReadItem::End) => return true,
                Ok(ReadItem::Records(run)) => next = run.last_sequence().next(),
                Ok(ReadItem::Skipped { last, .. }) => next = last.next(),
                Err(ReadError::Damaged { first, last, .. }) => {
                    assert!(
                        (first.0..=last.0).all(|it| spoiled.contains(&it)),
                        "{first} to {last} are in no bad sector"
                    );
                    if self.journal.declare_quarantined(lane, first, last, at(self.seconds)).is_err() {
                        return false;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes a page of a segment, and notes which records may be lost with it: those of each commit that it touches, for
    /// its header may stand there.
    fn lose_sector(&mut self, lane: Lane, segment: usize, page: u64) {
        let names = files(&self.disk, lane.name());
        let Some(name) = names.get(segment % names.len().max(1)) else { return };
        let bytes = self.disk.contents(name).unwrap();
        let number = |at: usize, size: usize| {
            bytes[at..at + size].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        for at in (0..bytes.len() - 64).step_by(8).filter(|at| bytes[*at..].starts_with(b"VCMT")) {
            let (first, count, end) = (number(at + 8, 8), number(at + 16, 4), at as u64 + 48 + number(at + 20, 4));
            if (at as u64) < page + 4096 && page < end {
                self.model[lane].spoiled.extend(first..first + count);
                if bytes[at + 48 + 16] == 2 {
                    // A skipped range, up to that sequence: it is found missing again, and declared anew.
                    self.model[lane].spoiled.extend(1..=number(at + 48 + 8, 8));
                }
            }
        }
        self.disk.unreadable(name, page, page);
        self.has_bad_sectors = true;
    }

    /// Reads what is new, and all that the consumer has not: what was seen before is the same, but for what
    /// telemetry shed or the consumer had once.
    fn look(&mut self) {
        if !self.disk.is_powered() {
            return;
        }
        for lane in Lane::ALL {
            let mark = self.cursors[lane].mark().0.0;
            let elements = self.elements_from(lane, mark + 1);
            let model = &mut self.model[lane];
            let Some(elements) = elements else {
                // They may become durable, and telemetry be shed, unseen.
                model.perhaps.append(&mut model.staged);
                continue;
            };
            let mut set_aside = Vec::new();
            let watermark = self.journal.watermarks()[lane].0;
            let read = model.durable.range(mark + 1..).take_while(|(sequence, _)| **sequence <= watermark);
            for (sequence, before) in read {
                let now = elements
                    .range(..=*sequence)
                    .next_back()
                    .filter(|(first, element)| end(**first, element) >= *sequence);
                let (_, now) = now.unwrap_or_else(|| panic!("{} {sequence} is gone: it was {before:?}", lane.name()));
                let replaced = match now.gap().map(|gap| gap.cause()) {
                    Some(v1::GapCause::Shed) => lane == Lane::Telemetry,
                    Some(v1::GapCause::ReceiverReset) => *sequence <= model.passed,
                    Some(v1::GapCause::Quarantined) => {
                        // The rest of a range is told in other bytes than the whole.
                        let was_set_aside = before.gap().is_some_and(|gap| gap.cause() == v1::GapCause::Quarantined);
                        was_set_aside || model.spoiled.contains(sequence)
                    }
                    _ => false,
                };
                assert!(replaced || now == before, "{} {sequence} was {before:?} and is {now:?}", lane.name());
                // What the consumer had once and is no longer stored is still known.
                let is_lost = now.gap().is_some_and(|gap| gap.cause() == v1::GapCause::Quarantined);
                if now != before && is_lost && model.spoiled.contains(sequence) {
                    set_aside.push((*sequence, before.number(), now.clone()));
                }
            }
            for (sequence, element) in &elements {
                // An older copy is no sign of one that was taken again, after damage made the journal forget.
                let is_new = model.durable.get(sequence) != Some(element);
                if let Some(number) = element.number().filter(|_| is_new) {
                    model.see(number);
                }
                model.durable.insert(*sequence, element.clone());
            }
            for (sequence, number, skipped) in set_aside {
                model.set_aside(sequence, number, skipped);
            }
            let last = model.durable.last_key_value().map_or(0, |(first, element)| end(*first, element));
            assert!(watermark >= last.min(watermark), "a watermark never falls");
        }
    }

    /// The disk is well again and the centre takes everything: what was taken becomes durable.
    fn deliver(&mut self) {
        for _ in 0..100 {
            if !self.disk.is_powered() {
                self.restart(Some(3));
            }
            if self.model[Lane::Results].staged.is_empty() && self.model[Lane::Telemetry].staged.is_empty() {
                return;
            }
            for action in [Action::Housekeep, Action::Reopen, Action::Commit] {
                self.act(&action);
            }
            for results in [true, false] {
                self.act(&Action::Advance { results, percent: 100 });
            }
        }
        let staged = PerLane::from_fn(|lane| self.model[lane].staged.clone());
        panic!("{staged:?} were taken and do not become durable: {:?}", self.journal.status());
    }

    fn restart(&mut self, power: Option<u64>) {
        self.look();
        match power {
            None if self.disk.is_powered() => self.disk.kill(),
            seed => {
                self.disk.cut_power();
                self.disk.restart(seed.unwrap_or(1));
            }
        }
        let before = PerLane::from_fn(|lane| self.journal.watermarks()[lane]);
        // Capacity is no reason not to start; a bad sector that shows when it is written to is none the second time.
        let start = || Journal::open(self.disk.clone(), config(), at(0));
        let again = |error| if self.has_bad_sectors { start() } else { Err(error) };
        let (journal, recovery) = start().or_else(again).or_else(again).expect("a journal always opens");
        for lane in Lane::ALL {
            let quarantined = recovery.lanes[lane].quarantined.iter().flat_map(|(first, last)| first.0..=last.0);
            let mut durable = quarantined.take_while(|sequence| *sequence <= before[lane].0);
            assert!(
                durable.all(|it| self.model[lane].spoiled.contains(&it)),
                "what is damaged is not in it: {recovery:?}"
            );
            let may_be_damaged = recovery.lanes[lane].quarantined.is_empty() || self.has_bad_sectors;
            assert!(may_be_damaged, "nothing is damaged: {recovery:?}");
            // Where a bad sector asks for another segment and there is no room for it, what is on disk waits in memory.
            let status = journal.status().lanes[lane];
            let kept = if self.has_bad_sectors { status.last_staged } else { status.last_durable };
            assert!(kept >= before[lane], "{} fell below {}", lane.name(), before[lane]);
        }
        self.journal = journal;
        // A cursor's file may not have had its last mark; with faults planned it may not be writable.
        self.cursors = cursors(&self.journal);
        for lane in Lane::ALL {
            // What was staged and not durable may be lost, or may have become durable after all.
            let elements = self.elements_from(lane, self.cursors[lane].mark().0.0 + 1);
            let is_read = elements.is_some();
            let stored = numbers(&elements.unwrap_or_default());
            let status = self.journal.status().lanes[lane];
            let model = &mut self.model[lane];
            stored.into_iter().for_each(|number| model.see(number));
            let mut perhaps = std::mem::take(&mut model.perhaps);
            perhaps.append(&mut model.staged);
            if status.last_staged > status.last_durable || !is_read {
                model.perhaps = perhaps;
            }
        }
    }
}

fn end(first: u64, element: &Element) -> u64 {
    match element {
        Element::Event(..) => first,
        Element::Skipped { last, .. } => *last,
    }
}

/// Few cases, for each reads the lanes after every action; `PROPTEST_CASES` asks for more.
fn config_of_model() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config_of_model())]

    /// Whatever happens in whatever order, the promises hold.
    #[test]
    fn the_journal_keeps_its_promises(actions in actions(false)) {
        run(&actions);
    }

    /// With bad sectors now and then: only what was in them is set aside, and nothing silently.
    #[test]
    fn bad_sectors_cost_only_what_was_in_them(actions in actions(true)) {
        run(&actions);
    }
}

fn run(actions: &[Action]) {
    let mut world = World::new();
    for action in actions {
        if !world.disk.is_powered() && !matches!(action, Action::Kill | Action::PowerCycle(_)) {
            continue;
        }
        world.act(action);
    }
    world.disk.set_capacity(None);
    world.deliver();
    world.restart(Some(7));
    world.look();
}

/// A segment got its name, the sync of the directory failed, and the process was killed: the next one sees the name,
/// and must make it durable before it commits into that segment. Each operation of the reopening fails once.
#[test]
fn a_name_that_was_never_synced_is_made_durable_before_it_is_built_on() {
    let telemetry = |number| Action::Append { results: false, number, size: 1, refusable: false };
    let result = Action::Append { results: true, number: 1, size: 1, refusable: false };
    for failing in 1..=8 {
        let mut world = World::new();
        let failed_commit = [telemetry(2), Action::PlanFault(2, Fault::Refused), Action::Commit];
        for action in [telemetry(1), Action::Commit, Action::Housekeep].iter().chain(&failed_commit) {
            world.act(action);
        }
        for action in [
            Action::PlanFault(failing, Fault::Refused),
            Action::Reopen,
            Action::Kill,
            result.clone(),
            Action::Commit,
            Action::PowerCycle(7),
        ] {
            world.act(&action);
        }
    }
}
