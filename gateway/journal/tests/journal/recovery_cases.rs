//! The lettered cases of recovery, each from a disk in that state.

use super::scene::*;
use venue_journal::{
    Append, CommitDue, Finding, IdentityRef, Journal, OpenError, OrdinalHole, ReadItem, Recovery, Storage as _,
    StorageFile as _, simulated::MemoryStorage,
};
use venue_schema::{Digest, GatewayId, JournalEpoch, Sequence, v1};

/// Commits so many results one by one, and closes the lanes if asked to.
fn filled(disk: &MemoryStorage, count: u64, evidence: usize, closed: bool) {
    let (journal, _) = open(disk);
    let finish = journal.source("finish");
    for number in 1..=count {
        append(&journal, RESULTS, finish, number, evidence, false).unwrap();
        commit_all(&journal, at(0));
    }
    if closed {
        journal.close(at(1)).unwrap();
    }
}

/// Ordinals of a source that so many events had; none: that lost records may have.
fn hole(source: &str, first: u64, last: u64, count: Option<u64>) -> OrdinalHole {
    OrdinalHole { source: source.into(), first, last, count }
}

fn letters(recovery: &Recovery) -> Vec<char> {
    let mut letters: Vec<char> = recovery.findings.iter().map(|finding: &Finding| finding.case).collect();
    letters.dedup();
    letters
}

/// Where a text stands in a file, and the file.
fn offset_of(disk: &MemoryStorage, name: &str, needle: &[u8]) -> u64 {
    let bytes = disk.contents(name).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).expect("the bytes are in the file") as u64
}

/// A: after an orderly stop there is nothing to say, and writing goes on in the same segment.
#[test]
fn a_clean_stop() {
    let disk = MemoryStorage::new();
    filled(&disk, 3, 100, true);
    let segments = files(&disk, "results");
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['A']);
    assert_eq!((recovery.lanes.results.rewritten_count, recovery.lanes.results.last_durable), (0, Sequence(3)));
    append(&journal, RESULTS, journal.source("finish"), 4, 100, false).unwrap();
    commit_all(&journal, at(2));
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3, 4]);
    assert_eq!(files(&disk, "results"), segments);
}

/// A killed process has no closing commit: the last commit is whole but unproven, and is written again.
#[test]
fn a_kill_after_the_sync_loses_nothing() {
    let disk = MemoryStorage::new();
    filled(&disk, 3, 100, false);
    disk.kill();
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.lanes.results.rewritten_count, 1);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3]);
}

/// B: the last commit lost a page that was never acknowledged. What is sound of it is kept, the rest is cut.
#[test]
fn b_a_torn_tail_is_cut() {
    let disk = MemoryStorage::new();
    filled(&disk, 2, 100, true);
    let (journal, _) = open(&disk);
    let finish = journal.source("finish");
    for number in 3..=6 {
        append(&journal, RESULTS, finish, number, 6_000, false).unwrap();
    }
    commit_all(&journal, at(2));
    drop(journal);
    let segment = files(&disk, "results").pop().unwrap();
    disk.flip_bit(&segment, offset_of(&disk, &segment, &[5; 100]), 0);
    disk.flip_bit(&segment, offset_of(&disk, &segment, &[6; 100]), 0);
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['B']);
    assert!(recovery.lanes.results.torn_bytes > 12_000);
    assert_eq!((recovery.lanes.results.rewritten_count, recovery.lanes.results.last_durable), (2, Sequence(4)));
    // The numbers are free again, and are given to something else in a new segment; then the page comes back.
    append(&journal, RESULTS, journal.source("finish"), 7, 100, false).unwrap();
    commit_all(&journal, at(3));
    drop(journal);
    disk.flip_bit(&segment, offset_of(&disk, &segment, &[5; 99]) - 1, 0);
    let (journal, _) = open(&disk);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3, 4, 7]);
}

/// B: of a commit that was never acknowledged the header is lost, and its records are not. A later commit in its place, of which
/// the power takes a part in turn, must not be completed with them: what was lost and stored again would come twice.
#[test]
fn b_records_without_their_commit_never_come_back() {
    let disk = MemoryStorage::new();
    filled(&disk, 2, 100, true);
    let (journal, _) = open(&disk);
    let commit = |journal: &Journal<MemoryStorage>, events: &[(u64, usize)]| {
        for &(number, evidence) in events {
            append(journal, RESULTS, journal.source("finish"), number, evidence, false).unwrap();
        }
        commit_all(journal, at(2));
        files(&disk, "results").pop().unwrap()
    };
    let segment = commit(&journal, &[(3, 6_000), (4, 6_000), (5, 6_000)]);
    drop(journal);
    let before = disk.contents(&segment).unwrap();
    let header = before.windows(4).rposition(|bytes| bytes == b"VCMT").unwrap();
    disk.flip_bit(&segment, header as u64 + 8, 0);

    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['B']);
    assert!(recovery.lanes.results.torn_bytes > 6_000, "{recovery:?}");
    assert_eq!((recovery.lanes.results.rewritten_count, recovery.lanes.results.last_durable), (0, Sequence(2)));
    let segment = commit(&journal, &[(6, 100), (7, 30_000)]);
    drop(journal);
    // The pages from the first whole one of the second record on are what they were.
    let mut torn = disk.contents(&segment).unwrap();
    let page = offset_of(&disk, &segment, &[7; 30_000]).next_multiple_of(4096) as usize;
    torn[page..].copy_from_slice(&before[page..]);
    disk.put(&segment, &torn);
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['B']);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 6]);
}

/// C: rot in a record that was durable. It alone is set aside; its neighbours in the same commit are still
/// read, and the same gap event stands in its place each time.
#[test]
fn c_a_rotten_record_is_quarantined_alone() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let finish = journal.source("finish");
    for number in 1..=5 {
        append(&journal, RESULTS, finish, number, 300, false).unwrap();
    }
    commit_all(&journal, at(0));
    journal.close(at(1)).unwrap();
    drop(journal);
    let segment = files(&disk, "results").pop().unwrap();
    disk.flip_bit(&segment, offset_of(&disk, &segment, &[3; 300]), 5);
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.lanes.results.quarantined, [(Sequence(3), Sequence(3))]);
    let elements = read(&journal, RESULTS);
    assert_eq!(numbers(&elements), [1, 2, 4, 5]);
    let gap = elements[&3].gap().unwrap();
    assert_eq!(gap.cause(), v1::GapCause::Quarantined);
    // The ordinal that went with it is declared as well, and that it may have been another source's, all of which is lost.
    assert_eq!(recovery.declared_holes, [hole("finish", 3, 3, Some(1)), hole("", 1, 1, None)]);
    drop(journal);
    disk.cut_power();
    disk.restart(1);
    let (journal, recovery) = open(&disk);
    assert_eq!(read(&journal, RESULTS), elements);
    assert!(recovery.lanes.results.quarantined.is_empty() && recovery.declared_holes.is_empty());
}

/// C: rot in the header of the last commit of an idle lane is told from a tear by the closing commit behind it.
#[test]
fn c_a_rotten_commit_header_is_no_tear() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let finish = journal.source("finish");
    append(&journal, RESULTS, finish, 1, 100, false).unwrap();
    commit_all(&journal, at(0));
    append(&journal, RESULTS, finish, 2, 100, false).unwrap();
    commit_all(&journal, at(0));
    // Idle: the closing commit is asked for within a second, and then nothing more.
    let CommitDue::At(due) = journal.wants_commit(at(0)) else { panic!("a closing commit is due") };
    assert!(due <= at(1));
    journal.commit(due).unwrap();
    assert_eq!(journal.wants_commit(due), CommitDue::Idle);
    drop(journal);
    disk.kill();
    let segment = files(&disk, "results").pop().unwrap();
    let header = offset_of(&disk, &segment, &[2; 100]) / 8 * 8;
    let bytes = disk.contents(&segment).unwrap();
    let header = (0..=header as usize).rev().step_by(8).find(|&at| bytes[at..].starts_with(b"VCMT")).unwrap();
    disk.flip_bit(&segment, header as u64 + 9, 1);
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.lanes.results.quarantined, [(Sequence(2), Sequence(2))]);
    append(&journal, RESULTS, journal.source("finish"), 3, 100, false).unwrap();
    commit_all(&journal, at(3));
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 3]);
    assert_eq!(read(&journal, RESULTS)[&2].gap().unwrap().cause(), v1::GapCause::Quarantined);
}

/// C while running: a reader meets rot below the watermark, has it declared, and reads on.
#[test]
fn c_damage_met_by_a_reader_is_declared_and_passed() {
    let disk = MemoryStorage::new();
    filled(&disk, 5, 300, true);
    let (journal, _) = open(&disk);
    let segment = files(&disk, "results").pop().unwrap();
    disk.flip_bit(&segment, offset_of(&disk, &segment, &[4; 300]), 5);
    let mut reader = journal.reader(RESULTS);
    let limits = venue_journal::Limits::BATCH;
    let ReadItem::Records(run) = reader.read(Sequence(1), limits).unwrap() else { panic!("records are expected") };
    assert_eq!(run.count, 3);
    let damage = reader.read(Sequence(4), limits);
    let Err(venue_journal::ReadError::Damaged { first, last, lane }) = damage else {
        panic!("damage is expected, not {damage:?}")
    };
    assert_eq!((first, last), (Sequence(4), Sequence(4)));
    journal.declare_quarantined(lane, first, last, at(2)).unwrap();
    let elements = read(&journal, RESULTS);
    assert_eq!(numbers(&elements), [1, 2, 3, 5]);
    drop((journal, reader));
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.declared_holes, [hole("finish", 4, 4, Some(1)), hole("", 1, 1, None)]);
    let mut again = read(&journal, RESULTS);
    for declaration in [6, 7] {
        assert_eq!(again.remove(&declaration).unwrap().gap().unwrap().cause(), v1::GapCause::Quarantined);
    }
    assert_eq!(again, elements);
}

/// D: a header that does not read. With records behind it nothing is lost; with none the file is a spare.
#[test]
fn d_a_damaged_header() {
    let disk = MemoryStorage::new();
    filled(&disk, 12, 30_000, true);
    let segments = files(&disk, "results");
    assert!(segments.len() >= 2);
    disk.flip_bit(segments.last().unwrap(), 50, 1);
    disk.flip_bit(&segments[0], 50, 1);
    let junk = "telemetry-00000000000000000099.seg";
    disk.put(junk, &vec![0; 256 << 10]);
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['D']);
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=12).collect::<Vec<_>>());
    assert!(!files(&disk, "telemetry").contains(&junk.to_owned()));
    append(&journal, RESULTS, journal.source("finish"), 13, 100, false).unwrap();
    commit_all(&journal, at(3));
    drop(journal);
    let (journal, _) = open(&disk);
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=13).collect::<Vec<_>>());
}

/// A file with a name like the journal's, and a number that no journal reaches, is none of its files: it is left alone.
#[test]
fn a_number_beyond_all_numbers_is_left_alone() {
    for kind in ["results", "telemetry", "spare", "unfinished"] {
        let disk = MemoryStorage::new();
        filled(&disk, 3, 100, true);
        let name = format!("{kind}-{}.seg", u64::MAX);
        disk.put(&name, &[1; 100]);
        let (journal, recovery) = open(&disk);
        assert_eq!(letters(&recovery), ['A'], "{kind}");
        for number in 4..=20 {
            append(&journal, RESULTS, journal.source("finish"), number, 30_000, false).unwrap();
            commit_all(&journal, at(3));
            journal.housekeep(at(3)).unwrap();
        }
        drop(journal);
        disk.kill();
        assert_eq!(numbers(&read(&open(&disk).0, RESULTS)), (1..=20).collect::<Vec<_>>(), "{kind}");
        assert_eq!(disk.contents(&name), Some(vec![1; 100]), "{kind}");
    }
}

/// E: somebody deleted a segment, in the middle or the newest: exactly its range is declared, for the
/// other lane's commits prove what was durable.
#[test]
fn e_a_missing_segment() {
    for newest in [false, true] {
        let disk = MemoryStorage::new();
        filled(&disk, 20, 30_000, true);
        let (journal, _) = open(&disk);
        append(&journal, TELEMETRY, journal.source("wind"), 1, 100, true).unwrap();
        commit_all(&journal, at(2));
        drop(journal);
        let segments = files(&disk, "results");
        assert!(segments.len() >= 3);
        let gone = if newest { segments.last().unwrap() } else { &segments[1] };
        disk.remove(gone).unwrap();
        disk.sync_directory().unwrap();
        let (journal, recovery) = open(&disk);
        let [(first, last)] = recovery.lanes.results.quarantined[..] else { panic!("one range, not {recovery:?}") };
        let expected: Vec<u64> = (1..=20).filter(|number| !(first.0..=last.0).contains(number)).collect();
        let elements = read(&journal, RESULTS);
        assert_eq!(numbers(&elements), expected);
        assert_eq!(elements[&first.0].gap().unwrap().cause(), v1::GapCause::Quarantined);
        append(&journal, RESULTS, journal.source("finish"), 21, 100, false).unwrap();
        commit_all(&journal, at(3));
        assert_eq!(numbers(&read(&journal, RESULTS)).last(), Some(&21));
    }
}

/// F: a cursor passed what is no longer there. Its mark proves what was sent, and no sequence is given twice.
#[test]
fn f_a_cursor_beyond_the_last_record() {
    let disk = MemoryStorage::new();
    filled(&disk, 2, 100, true);
    let before = disk.contents(&files(&disk, "results")[0]).unwrap();
    let (journal, _) = open(&disk);
    append(&journal, RESULTS, journal.source("finish"), 3, 100, false).unwrap();
    commit_all(&journal, at(2));
    let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
    cursor.advance(Sequence(3), Digest::initial(EPOCH, RESULTS));
    journal.sync_cursors(at(9)).unwrap();
    drop((journal, cursor));
    disk.put(&files(&disk, "results")[0], &before);
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.lanes.results.quarantined, [(Sequence(3), Sequence(3))]);
    append(&journal, RESULTS, journal.source("finish"), 4, 100, false).unwrap();
    commit_all(&journal, at(3));
    let elements = read(&journal, RESULTS);
    assert_eq!(elements[&3].gap().unwrap().cause(), v1::GapCause::Quarantined);
    assert_eq!(numbers(&elements), [1, 2, 4]);
}

/// G: another gateway's journal is refused; a stray segment of another journal is left alone.
#[test]
fn g_what_belongs_to_another() {
    let disk = MemoryStorage::new();
    filled(&disk, 2, 100, true);
    let mut other = config();
    other.gateway_id = GatewayId::new("stade-1-b").unwrap();
    let refused = Journal::open(disk.clone(), other, at(0)).map(|_| ());
    assert!(matches!(refused, Err(OpenError::ForeignGateway { .. })), "{refused:?}");
    let foreign = MemoryStorage::new();
    let mut config_of_foreign = config();
    config_of_foreign.fresh_epoch = JournalEpoch::from_bytes([9; 16]);
    let (journal, _) = Journal::open(foreign.clone(), config_of_foreign, at(0)).unwrap();
    append(&journal, RESULTS, journal.source("finish"), 9, 100, false).unwrap();
    commit_all(&journal, at(0));
    let stray = "results-00000000000000000077.seg";
    disk.put(stray, &foreign.contents(&files(&foreign, "results")[0]).unwrap());
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['G']);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2]);
    assert!(disk.contents(stray).is_some());
}

/// H: a later version's files are refused before anything is written.
#[test]
fn h_a_later_version_is_refused_untouched() {
    let disk = MemoryStorage::new();
    filled(&disk, 2, 100, true);
    let segment = files(&disk, "results").pop().unwrap();
    let mut bytes = disk.contents(&segment).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..4092]);
    bytes[4092..4096].copy_from_slice(&crc.to_le_bytes());
    disk.put(&segment, &bytes);
    let operations = disk.operations();
    let refused = Journal::open(disk.clone(), config(), at(0)).map(|_| ());
    assert!(matches!(&refused, Err(OpenError::LaterVersion { version: 2, name }) if *name == segment), "{refused:?}");
    assert_eq!(disk.operations(), operations);
}

/// I: a damaged checkpoint costs a longer replay, and no knowledge.
#[test]
fn i_a_damaged_checkpoint() {
    let disk = MemoryStorage::new();
    filled(&disk, 12, 30_000, true);
    for segment in &files(&disk, "results")[1..] {
        disk.flip_bit(segment, 4096 + 6, 1);
    }
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['I']);
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=12).collect::<Vec<_>>());
    let finish = journal.source("finish");
    for number in 1..=12 {
        let again = append(&journal, RESULTS, finish, number, 30_000, false);
        assert!(matches!(again, Ok(venue_journal::Appended::Known { .. })), "{number}: {again:?}");
    }
}

/// J: `meta` is lost altogether; the segments say whose they are.
#[test]
fn j_a_damaged_meta() {
    let disk = MemoryStorage::new();
    filled(&disk, 2, 100, true);
    disk.put("meta", &[]);
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['J']);
    assert_eq!((recovery.epoch, numbers(&read(&journal, RESULTS))), (EPOCH, vec![1, 2]));
    drop(journal);
    assert_eq!(letters(&open(&disk).1), ['A']);
}

/// L: both slots of a cursor rot. It starts again at the oldest record, where the receiver's mark corrects it.
#[test]
fn l_a_damaged_cursor() {
    let disk = MemoryStorage::new();
    filled(&disk, 2, 100, true);
    let (journal, _) = open(&disk);
    let cursor = journal.cursor("centre", Some("centre-1"), RESULTS, true).unwrap();
    for round in 1..=2 {
        cursor.advance(Sequence(round), Digest::initial(EPOCH, RESULTS));
        journal.sync_cursors(at(2 * round)).unwrap();
    }
    drop((journal, cursor));
    // One slot: the mark before it is used.
    disk.flip_bit("cursors", 600, 0);
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['A']);
    let mark = journal.cursor("centre", None, RESULTS, true).unwrap().mark().0;
    assert!(mark == Sequence(1) || mark == Sequence(2));
    drop(journal);
    let file = disk.open("cursors").unwrap();
    file.write_all_at(&[7; 1024], 0).unwrap();
    file.sync_data().unwrap();
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), ['L']);
    assert_eq!(journal.cursor("centre", None, RESULTS, true).unwrap().mark().0, Sequence::ZERO);
}

/// Telemetry that was staged and lost leaves a hole in its source's ordinals, which is declared once.
#[test]
fn a_hole_left_by_a_crash_is_declared_once() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let finish = journal.source("finish");
    append(&journal, TELEMETRY, finish, 1, 100, true).unwrap();
    append(&journal, RESULTS, finish, 2, 100, false).unwrap();
    // The results go down; the power goes in the telemetry's write.
    disk.cut_power_at(disk.operations() + 3);
    assert!(journal.commit(at(0)).is_err());
    drop(journal);
    disk.restart(3);
    let (journal, recovery) = open(&disk);
    let hole = hole("finish", 1, 1, Some(1));
    if recovery.lanes.telemetry.last_durable == Sequence::ZERO {
        assert_eq!(recovery.declared_holes, [hole]);
        assert_eq!(read(&journal, RESULTS)[&2].gap().unwrap().cause(), v1::GapCause::NeverDurable);
        // What was lost is not known: the device sends it again.
        assert!(matches!(
            append(&journal, TELEMETRY, journal.source("finish"), 1, 100, true),
            Ok(venue_journal::Appended::Stored { .. })
        ));
    } else {
        panic!("seed 3 drops the telemetry commit");
    }
    drop(journal);
    disk.kill();
    assert_eq!(open(&disk).1.declared_holes, []);
}

/// The k-th equal line of a replay is the k-th of the live stream, also after a restart.
#[test]
fn occurrences_outlive_a_restart() {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    let put = |journal: &Journal<MemoryStorage>, occurrence: u32| {
        let identity = IdentityRef::Key { device_id: "timer-a", epoch: 0, key: "C1|09:17:08.02", occurrence };
        let source = journal.source("finish");
        let append = Append {
            lane: RESULTS,
            source,
            identity,
            refusable: false,
            event: b"",
            receive_utc_ns: None,
            receive_monotonic_ns: 0,
        };
        journal.append(append).unwrap()
    };
    for k in 1..=2 {
        let source = journal.source("finish");
        assert_eq!(journal.stage().occurrences(source, "timer-a", 0, "C1|09:17:08.02"), k - 1);
        put(&journal, k);
    }
    // Known though not durable yet: its place says when it will be.
    assert_eq!(put(&journal, 1), venue_journal::Appended::Known { lane: RESULTS, sequence: Sequence(2) });
    commit_all(&journal, at(0));
    drop(journal);
    disk.kill();
    let (journal, _) = open(&disk);
    assert_eq!(put(&journal, 2), venue_journal::Appended::Known { lane: RESULTS, sequence: Sequence::ZERO });
    assert_eq!(put(&journal, 3), venue_journal::Appended::Stored { lane: RESULTS, sequence: Sequence(3) });
}

/// What opening reads does not grow with the backlog, but for the header of each segment: after an orderly stop as after a kill.
#[test]
fn opening_reads_the_tails_and_not_the_backlog() {
    let read_at_open = |events: u64, closed: bool| {
        let disk = MemoryStorage::new();
        let mut config = config();
        config.results.quota = 64 << 20;
        let (journal, _) = Journal::open(disk.clone(), config.clone(), at(0)).unwrap();
        for number in 1..=events {
            append(&journal, RESULTS, journal.source("finish"), number, 50_000, false).unwrap();
            commit_all(&journal, at(0));
        }
        if closed {
            journal.close(at(1)).unwrap();
        }
        drop(journal);
        disk.kill();
        let before = disk.bytes_read();
        let (journal, _) = Journal::open(disk.clone(), config, at(0)).unwrap();
        assert_eq!(journal.watermarks().results, Sequence(events));
        (disk.bytes_read() - before, files(&disk, "results").len() as u64)
    };
    for closed in [true, false] {
        let (small, few) = read_at_open(20, closed);
        let (large, many) = read_at_open(1_000, closed);
        assert!(many > 30 * few, "{many} and {few} segments");
        let tails = large - 4096 * (many - few);
        assert!(tails < small + (512 << 10), "{tails} bytes of tails with {many} segments, {small} with {few}");
    }
}

/// A header is damaged, and the evidence behind it is full of what a commit begins with. The search for the next commit passes over it
/// in one go: a device cannot make a start slow.
#[test]
fn what_a_device_says_does_not_slow_down_a_search() {
    let bytes_read = |word: &[u8; 8]| {
        let mut config = config();
        config.segment_bytes = 1 << 20;
        config.results.quota = 8 << 20;
        config.telemetry.quota = 8 << 20;
        let disk = MemoryStorage::new();
        let (journal, _) = Journal::open(disk.clone(), config.clone(), at(0)).unwrap();
        let append = Append {
            lane: RESULTS,
            source: journal.source("finish"),
            identity: IdentityRef::None,
            refusable: false,
            event: &[&[0; 4], &word.repeat(4_000)[..]].concat(),
            receive_utc_ns: None,
            receive_monotonic_ns: 1,
        };
        journal.append(append).unwrap();
        commit_all(&journal, at(0));
        journal.close(at(1)).unwrap();
        drop(journal);
        let name = files(&disk, "results").pop().unwrap();
        let bytes = disk.contents(&name).unwrap();
        let evidence = bytes.windows(16).position(|bytes| bytes == word.repeat(2)).unwrap();
        assert_eq!(evidence % 8, 0, "where a commit may stand");
        let header = bytes.windows(4).position(|bytes| bytes == b"VCMT").unwrap() as u64;
        assert!(header < evidence as u64);
        disk.flip_bit(&name, header + 10, 1);
        let before = disk.bytes_read();
        let (_, recovery) = Journal::open(disk.clone(), config, at(2)).unwrap();
        assert_eq!(recovery.lanes.results.quarantined, [(Sequence(1), Sequence(1))]);
        disk.bytes_read() - before
    };
    let (plain, full_of_it) = (bytes_read(b"VCMXxxxx"), bytes_read(b"VCMTxxxx"));
    assert!(full_of_it < 2 * plain, "{full_of_it} bytes were read, and {plain} where the evidence is plain");
}
