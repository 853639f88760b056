//! Format version 1 is frozen: when this fails, the code is wrong, not `frozen/v1.hex`.
//!
//! The file holds a small journal: a line for each row of 32 bytes that are not all zero, with the name of the file, the
//! offset and the bytes, both in hex; `55*N` stands for N rows of that byte.

use std::collections::BTreeMap;

use super::scene::*;
use venue_journal::{Append, IdentityRef, Journal, Storage as _, simulated::MemoryStorage};
use venue_schema::{Digest, Sequence};

const FROZEN: &str = include_str!("frozen/v1.hex");
const ROW: usize = 32;
/// What the large events consist of.
const FILLING: u8 = 0x55;

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
    // Identities are forgotten with it: the device repeats one of its numbers, and the first of the equal lines comes late.
    append(&journal, TELEMETRY, finish, 2, 3, true).unwrap();
    let key = IdentityRef::Key { device_id: "timer-a", epoch: 9, key: "C1|09:17:08.02", occurrence: 1 };
    let append_key = Append {
        lane: TELEMETRY,
        source: finish,
        identity: key,
        refusable: true,
        event: &[],
        receive_utc_ns: Some(9),
        receive_monotonic_ns: 78,
    };
    journal.append(append_key).unwrap();
    commit_all(&journal, at(3));
    let cursor = journal.cursor("centre", Some("centre-1"), RESULTS, true).unwrap();
    cursor.advance(Sequence(1), Digest::from_bytes([0xAB; 32]));
    journal.close(at(4)).unwrap();
    // Two large events do not fit into what is left of the segment: the second begins another, behind a checkpoint.
    let large = [FILLING; 130_000];
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
        journal.commit(at(5)).unwrap();
    }
    disk
}

/// The rows of all files that are not zero; a run of rows of the large events' contents is one line with their count.
fn rows(disk: &MemoryStorage) -> String {
    let mut text = String::new();
    for name in files(disk, "").into_iter().filter(|name| !name.starts_with("spare")) {
        let contents = disk.contents(&name).unwrap();
        let mut filled = 0;
        for (index, row) in contents.chunks(ROW).enumerate() {
            if row.iter().all(|&byte| byte == FILLING) {
                filled += 1;
                continue;
            }
            if filled > 0 {
                text += &format!("{name} {:x} {FILLING:02x}*{filled}\n", (index - filled) * ROW);
                filled = 0;
            }
            if row.iter().any(|&byte| byte != 0) {
                let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
                text += &format!("{name} {:x} {hex}\n", index * ROW);
            }
        }
    }
    text
}

/// The bytes of a line's third column.
fn bytes_of(column: &str) -> Vec<u8> {
    if let Some((_, count)) = column.split_once('*') {
        return vec![FILLING; count.parse::<usize>().unwrap() * ROW];
    }
    (0..column.len()).step_by(2).map(|at| u8::from_str_radix(&column[at..at + 2], 16).unwrap()).collect()
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

/// A journal of the frozen bytes is opened, and all of it is there.
#[test]
fn the_frozen_journal_is_opened() {
    let mut contents = BTreeMap::<&str, Vec<u8>>::new();
    for line in FROZEN.lines() {
        let [name, offset, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("three columns, not {line}") };
        let bytes = bytes_of(hex);
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
    let mut reader = journal.reader(TELEMETRY);
    for (sequence, bytes) in [(4, 130_000), (5, 130_000)] {
        let item = reader.read(Sequence(sequence), venue_journal::Limits { records: 1, bytes: 0 }).unwrap();
        let venue_journal::ReadItem::Records(run) = item else { panic!("a record is expected, not {item:?}") };
        assert!(run.events().next().unwrap().starts_with(&vec![FILLING; bytes]));
    }
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    assert_eq!(cursor.mark(), (Sequence(1), Digest::from_bytes([0xAB; 32])));
    assert_eq!(cursor.receiver_id().as_deref(), Some("centre-1"));
    let again = append(&journal, TELEMETRY, journal.source("finish"), 2, 3, false);
    assert!(matches!(again, Ok(venue_journal::Appended::Known { .. })), "{again:?}");
    assert!(disk.list().unwrap().len() > 3);
}
