//! Several threads at one journal: appenders, the committer, housekeeping and readers, all at once.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use super::scene::*;
use venue_journal::{
    Append, AppendError, Appended, CommitDue, Directory, IdentityRef, Journal, Limits, PerLane, ReadItem, Storage,
    simulated::MemoryStorage,
};
use venue_schema::{Digest, Message as _, Sequence, v1, v1::Lane};

const APPENDERS: u64 = 4;
/// Events of each appender, half of them in each lane: several segments of each lane.
const EVENTS: u64 = 1_500;

/// What the threads share beside the journal.
#[derive(Default)]
struct Shared {
    /// A clock that only moves on: milliseconds.
    now_ms: AtomicU64,
    appenders_done: AtomicU64,
    all_durable: AtomicBool,
}

impl Shared {
    fn now(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.now_ms.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whose the `number`-th event of an appender is, and how large.
fn lane_of(number: u64) -> Lane {
    if number.is_multiple_of(2) { RESULTS } else { TELEMETRY }
}

/// Appends until everything is taken; what is refused is tried again, as its sender would. Each third is repeated at once, and
/// must be known. Returns what stands at each place.
fn appender<S: Storage>(journal: &Journal<S>, index: u64, shared: &Shared) -> Vec<(Lane, Sequence, u64)> {
    let source = journal.source(&format!("source-{index}"));
    let device = format!("device-{index}");
    let mut places = Vec::new();
    for number in 1..=EVENTS {
        let lane = lane_of(number);
        let event = event(number, 100 + (number % 700) as usize);
        let append = Append {
            lane,
            source,
            identity: IdentityRef::Sequence { device_id: &device, epoch: 1, number },
            refusable: true,
            event: &event,
            receive_utc_ns: Some(number as i64),
            receive_monotonic_ns: number,
        };
        let sequence = loop {
            match journal.append(append) {
                Ok(Appended::Stored { sequence, .. }) => break sequence,
                Err(AppendError::Full { .. }) => thread::yield_now(),
                other => panic!("{number} of {device}: {other:?}"),
            }
        };
        if number.is_multiple_of(3) {
            assert!(matches!(journal.append(append), Ok(Appended::Known { .. })), "{number} of {device}");
        }
        places.push((lane, sequence, number));
    }
    shared.appenders_done.fetch_add(1, Ordering::Release);
    places
}

fn committer<S: Storage>(journal: &Journal<S>, shared: &Shared) {
    loop {
        let done = shared.appenders_done.load(Ordering::Acquire) == APPENDERS;
        match journal.wants_commit(shared.now()) {
            CommitDue::Now => drop(journal.commit(shared.now()).unwrap()),
            _ if done && staged(journal) == journal.watermarks() => break,
            _ => thread::yield_now(),
        }
    }
    shared.all_durable.store(true, Ordering::Release);
}

fn staged<S: Storage>(journal: &Journal<S>) -> PerLane<Sequence> {
    let stage = journal.stage();
    PerLane::from_fn(|lane| stage.staged_end(lane))
}

fn housekeeper<S: Storage>(journal: &Journal<S>, shared: &Shared) {
    while !shared.all_durable.load(Ordering::Acquire) {
        journal.housekeep(shared.now()).unwrap();
        thread::yield_now();
    }
}

/// Follows a lane to its end as the uplink does, with a required cursor: what is read is dense and never beyond the watermark.
fn reader<S: Storage>(journal: &Journal<S>, lane: Lane, shared: &Shared) -> BTreeMap<u64, Vec<u8>> {
    let cursor = journal.cursor("centre", None, lane, true).unwrap();
    let (mut reader, mut next, mut read) = (journal.reader(lane), Sequence(1), BTreeMap::new());
    loop {
        let ended = shared.all_durable.load(Ordering::Acquire);
        match reader.read(next, Limits { records: 61, bytes: 32 << 10 }).unwrap() {
            ReadItem::Records(run) => {
                assert_eq!(run.first_sequence, next);
                assert!(run.last_sequence() <= journal.watermarks()[lane]);
                read.extend((next.0..).zip(run.events().map(|event| event.to_vec())));
                next = run.last_sequence().next();
                if cursor.mark().0 < run.last_sequence() {
                    cursor.advance(run.last_sequence(), Digest::initial(EPOCH, lane));
                }
            }
            ReadItem::End if ended => return read,
            ReadItem::End => thread::yield_now(),
            ReadItem::Skipped { first, last, .. } => panic!("{} {first} to {last} is skipped", lane.name()),
        }
    }
}

/// Everything at once on one storage; then every event stands at its place, once, byte for byte.
fn check<S: Storage>(storage: S, reopened: impl FnOnce() -> S) {
    let mut config = config();
    // Nothing is shed while the readers are behind.
    config.telemetry.quota = 16 << 20;
    config.results.quota = 16 << 20;
    let (journal, _) = Journal::open(storage, config.clone(), at(0)).unwrap();
    let shared = Shared::default();
    let (places, read) = thread::scope(|scope| {
        let (journal, shared) = (&journal, &shared);
        let appenders: Vec<_> =
            (0..APPENDERS).map(|index| scope.spawn(move || appender(journal, index, shared))).collect();
        let readers = Lane::ALL.map(|lane| scope.spawn(move || reader(journal, lane, shared)));
        scope.spawn(move || committer(journal, shared));
        scope.spawn(move || housekeeper(journal, shared));
        let places: Vec<_> = appenders.into_iter().map(|thread| thread.join().unwrap()).collect();
        let [results, telemetry] = readers.map(|thread| thread.join().unwrap());
        (places, PerLane { results, telemetry })
    });
    for (index, places) in places.iter().enumerate() {
        for (lane, sequence, number) in places {
            let stored = v1::Event::decode(&read[*lane][&sequence.0][..]).unwrap();
            let origin = stored.origin.unwrap();
            let expected = (format!("source-{index}"), sequence.0, *number);
            assert_eq!((origin.source, origin.sequence, origin.source_ordinal), expected);
            assert!(read[*lane][&sequence.0].starts_with(&event(*number, 100 + (number % 700) as usize)));
        }
    }
    for lane in Lane::ALL {
        assert_eq!(read[lane].len() as u64, APPENDERS * EVENTS / 2);
        assert!(journal.status().lanes[lane].segment_count > 2, "{:?}", journal.status());
    }
    journal.close(shared.now()).unwrap();
    drop(journal);
    let (journal, recovery) = Journal::open(reopened(), config, at(9)).unwrap();
    assert_eq!(recovery.findings[0].case, 'A', "{recovery:?}");
    for lane in Lane::ALL {
        let again = reader(&journal, lane, &shared);
        assert_eq!(again, read[lane]);
    }
}

/// On the simulated disk.
#[test]
fn many_threads_on_a_simulated_disk() {
    let disk = MemoryStorage::new();
    check(disk.clone(), || disk);
}

/// In a real directory, with real syncs.
#[test]
fn many_threads_in_a_real_directory() {
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::create(place.path().join("journal")).unwrap();
    check(directory.clone(), || directory);
}
