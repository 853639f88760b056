//! Format version 1 is frozen: when this fails, the code is wrong, not `frozen/v1.hex`.
//!
//! The file holds a small journal: a line for each row of 32 bytes that are not all zero, with the name of the file, the
//! offset and the bytes, both in hex.

#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "test code")]

mod scene;

use std::collections::BTreeMap;

use scene::*;
use venue_journal::{Append, IdentityRef, Journal, Storage as _, simulated::MemoryStorage};
use venue_schema::{Digest, Sequence};

const FROZEN: &str = include_str!("frozen/v1.hex");
const ROW: usize = 32;

/// A journal with a record of each identity, a closing commit, a skip record, a cursor, and a second segment with a checkpoint.
fn journal_of_today() -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let finish = journal.source("finish");
    append(&journal, RESULTS, finish, 1, 3, false).unwrap();
    let key = IdentityRef::Key { device_id: "timer-a", epoch: 9, key: "C1|09:17:08.02", occurrence: 2 };
    for (identity, receive_utc_ns) in [(key, None), (IdentityRef::None, Some(-5))] {
        let append = Append {
            lane: RESULTS,
            source: finish,
            identity,
            refusable: true,
            event: &[],
            receive_utc_ns,
            receive_monotonic_ns: 77,
        };
        journal.append(append).unwrap();
    }
    commit_all(&journal, at(1));
    append(&journal, TELEMETRY, finish, 2, 3, true).unwrap();
    commit_all(&journal, at(2));
    journal.declare_quarantined(RESULTS, Sequence(2), Sequence(2), at(2)).unwrap();
    let cursor = journal.cursor("centre", Some("centre-1"), RESULTS, true).unwrap();
    cursor.advance(Sequence(1), Digest::from_bytes([0xAB; 32]));
    journal.close(at(3)).unwrap();
    // Two large events do not fit into what is left of the segment: the second begins another, behind a checkpoint.
    let large = [0x55; 130_000];
    for _ in 0..2 {
        let identity = IdentityRef::None;
        let append = Append {
            lane: TELEMETRY,
            source: finish,
            identity,
            refusable: true,
            event: &large,
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        };
        journal.append(append).unwrap();
        journal.commit(at(4)).unwrap();
    }
    disk
}

/// The rows of all files that are not zero, without those of the large events' contents.
fn rows(disk: &MemoryStorage) -> String {
    let mut text = String::new();
    for name in files(disk, "").into_iter().filter(|name| !name.starts_with("spare")) {
        for (index, row) in disk.contents(&name).unwrap().chunks(ROW).enumerate() {
            if row.iter().any(|&byte| byte != 0) && row.iter().any(|&byte| byte != 0x55) {
                let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
                text += &format!("{name} {:x} {hex}\n", index * ROW);
            }
        }
    }
    text
}

/// What is written today is what was written when the format was frozen.
#[test]
fn todays_bytes_are_the_frozen_ones() {
    let today = rows(&journal_of_today());
    for (line, (today, frozen)) in today.lines().zip(FROZEN.lines()).enumerate() {
        assert_eq!(today, frozen, "line {}", line + 1);
    }
    assert_eq!(today.lines().count(), FROZEN.lines().count());
}

/// A journal of the frozen bytes is opened, and all of it is there; what the rows leave out is filled in.
#[test]
fn the_frozen_journal_is_opened() {
    let mut contents = BTreeMap::<&str, Vec<u8>>::new();
    for line in FROZEN.lines() {
        let [name, offset, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("three columns, not {line}") };
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        let file =
            contents.entry(name).or_insert_with(|| vec![0; if name.ends_with(".seg") { 256 << 10 } else { 8192 }]);
        file[offset..offset + bytes.len()].copy_from_slice(&bytes);
    }
    let disk = MemoryStorage::new();
    for (name, bytes) in &contents {
        disk.put(name, bytes);
    }
    let (journal, recovery) = Journal::open(disk.clone(), config(), at(0)).unwrap();
    assert_eq!((recovery.created, recovery.epoch), (false, EPOCH));
    let results = read(&journal, RESULTS);
    assert_eq!(numbers(&results), [1]);
    assert!(results[&2].gap().is_some() && results.contains_key(&3));
    assert_eq!(numbers(&read_from(&journal, TELEMETRY, 1)).first(), Some(&2));
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    assert_eq!(cursor.mark(), (Sequence(1), Digest::from_bytes([0xAB; 32])));
    assert_eq!(cursor.receiver_id().as_deref(), Some("centre-1"));
    let again = append(&journal, RESULTS, journal.source("finish"), 1, 3, false);
    assert!(matches!(again, Ok(venue_journal::Appended::Known { .. })), "{again:?}");
    assert!(disk.list().unwrap().len() > 3);
}
