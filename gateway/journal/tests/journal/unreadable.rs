//! Bad sectors: what the disk cannot read is treated as rot in its place is, when opening and while reading. Nothing is taken for lost
//! because the disk was gone for a moment.

use super::scene::*;
use venue_journal::{
    Appended, Journal, Limits, OpenError, ReadError, ReadItem, ReadOnlyJournal, Recovery, Storage as _, StoredElement,
    simulated::MemoryStorage,
};
use venue_schema::{
    Digest, Sequence,
    v1::{self, Lane},
};

const PAGE: u64 = 4096;
/// Evidence of an event that covers whole pages.
const LARGE: usize = 3 * PAGE as usize;

/// Results one by one, closed in good order.
fn filled(count: u64, evidence: usize) -> MemoryStorage {
    let disk = MemoryStorage::new();
    let (journal, _) = open(&disk);
    for number in 1..=count {
        append(&journal, RESULTS, journal.source("finish"), number, evidence, false).unwrap();
        commit_all(&journal, at(0));
    }
    journal.close(at(1)).unwrap();
    drop(journal);
    disk
}

/// A page in the middle of the evidence of an event cannot be read any longer. Says which: file and first byte.
fn lose_event(disk: &MemoryStorage, number: u64) -> (String, u64) {
    for name in files(disk, "results") {
        let bytes = disk.contents(&name).unwrap();
        let needle = [number as u8; 2 * PAGE as usize];
        if let Some(place) = bytes.windows(needle.len()).position(|window| window == needle) {
            let first = (place as u64).next_multiple_of(PAGE);
            disk.unreadable(&name, first, first);
            return (name, first);
        }
    }
    panic!("event {number} is in a file")
}

fn letters(recovery: &Recovery) -> String {
    let mut letters: Vec<char> = recovery.findings.iter().map(|finding| finding.case).collect();
    letters.sort_unstable();
    letters.dedup();
    letters.into_iter().collect()
}

fn says(recovery: &Recovery, case: char, words: &[&str]) -> bool {
    let fits = |text: &str| words.iter().all(|word| text.contains(word));
    recovery.findings.iter().any(|finding| finding.case == case && fits(&finding.text))
}

/// The journal takes another event, which outlives a power cut, and the next start has nothing to add.
fn goes_on(disk: &MemoryStorage, journal: Journal<MemoryStorage>, number: u64) {
    append(&journal, RESULTS, journal.source("finish"), number, 100, false).unwrap();
    commit_all(&journal, at(5));
    journal.close(at(6)).unwrap();
    let before = both(&journal);
    assert_eq!(numbers(&before.results).last(), Some(&number));
    drop(journal);
    disk.cut_power();
    disk.restart(1);
    let (journal, recovery) = open(disk);
    assert_eq!(both(&journal), before);
    assert!(recovery.lanes.results.quarantined.is_empty(), "{recovery:?}");
}

/// C: an event that was durable has a bad sector. It alone is set aside and declared, those behind it are read, and people
/// are told where the disk is bad. Looked at from outside first, it is the same.
#[test]
fn c_a_bad_sector_at_or_below_the_mark_is_quarantined() {
    let disk = filled(5, LARGE);
    let (name, first) = lose_event(&disk, 3);
    let outside = ReadOnlyJournal::open(disk.clone()).unwrap();
    assert!(outside.summary().findings.iter().any(|finding| finding.case == 'M'), "{:?}", outside.summary());
    assert_eq!(outside.verify(|_| {}).unwrap().results.damaged, [(Sequence(3), Sequence(3))]);
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), "CM");
    assert!(says(&recovery, 'M', &[&name, &format!("bytes {first} to {}", first + PAGE - 1)]), "{recovery:?}");
    assert_eq!(recovery.lanes.results.quarantined, [(Sequence(3), Sequence(3))]);
    let elements = read(&journal, RESULTS);
    assert_eq!(numbers(&elements), [1, 2, 4, 5]);
    assert_eq!(elements[&3].gap().unwrap().cause(), v1::GapCause::Quarantined);
    goes_on(&disk, journal, 6);
}

/// C: the sector held the header of a commit, or of the record behind it.
#[test]
fn c_reading_goes_on_at_the_next_commit() {
    let disk = filled(30, 1_000);
    let name = files(&disk, "results").pop().unwrap();
    // In the third page of commits.
    disk.unreadable(&name, 4 * PAGE, 4 * PAGE);
    let (journal, recovery) = open(&disk);
    let [(first, last)] = recovery.lanes.results.quarantined[..] else { panic!("one range, not {recovery:?}") };
    assert!(last.0 - first.0 < 6, "{first} to {last} have something in 4096 bytes");
    let expected: Vec<u64> = (1..=30).filter(|number| !(first.0..=last.0).contains(number)).collect();
    assert_eq!(numbers(&read(&journal, RESULTS)), expected);
    goes_on(&disk, journal, 31);
}

/// B would be to cut it: above the mark nothing proves that it was durable. But it may have been, and then its source was told so and
/// its sequence perhaps sent: it is set aside, what is sound around it is kept, and no more is written into that segment.
#[test]
fn b_a_bad_sector_above_the_mark_is_declared_and_not_cut() {
    let disk = filled(2, 100);
    let (journal, _) = open(&disk);
    for number in 3..=5 {
        append(&journal, RESULTS, journal.source("finish"), number, LARGE, false).unwrap();
    }
    commit_all(&journal, at(2));
    drop(journal);
    disk.kill();
    lose_event(&disk, 4);
    let segments = files(&disk, "results").len();
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), "CM");
    assert_eq!(recovery.lanes.results.quarantined, [(Sequence(4), Sequence(4))]);
    assert_eq!(files(&disk, "results").len(), segments + 1);
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3, 5]);
    goes_on(&disk, journal, 6);
}

/// A lane that is idle has its last events and the closing commit that proves them in one sector. What may have stood there
/// is declared, and no sequence of it is given again.
#[test]
fn a_bad_sector_at_the_end_may_have_held_durable_events() {
    let disk = filled(20, 1_000);
    let name = files(&disk, "results").pop().unwrap();
    let bytes = disk.contents(&name).unwrap();
    let last = bytes.windows(1_000).rposition(|window| window == [20; 1_000]).unwrap() as u64;
    disk.unreadable(&name, last, last + PAGE);
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), "CM");
    let [(first, end)] = recovery.lanes.results.quarantined[..] else { panic!("one range, not {recovery:?}") };
    assert!((15..=20).contains(&first.0) && end.0 >= 20, "{first} to {end}");
    let elements = read(&journal, RESULTS);
    assert_eq!(numbers(&elements), (1..first.0).collect::<Vec<_>>());
    let gap = elements[&first.0].gap().unwrap();
    assert_eq!((gap.cause(), gap.count), (v1::GapCause::Quarantined, None), "nobody knows how many");
    let Appended::Stored { sequence, .. } =
        append(&journal, RESULTS, journal.source("finish"), 20, 1_000, false).unwrap()
    else {
        panic!("what is lost is taken again")
    };
    assert!(sequence > end);
    commit_all(&journal, at(2));
    goes_on(&disk, journal, 21);
}

/// A large result and a small one, each with a commit of its own; killed. Says the lane's last segment and where its last byte stands.
fn killed_behind_two_commits(large: usize) -> (MemoryStorage, String, u64) {
    let disk = filled(1, 100);
    let (journal, _) = open(&disk);
    for (number, evidence) in [(2, large), (3, 1)] {
        append(&journal, RESULTS, journal.source("finish"), number, evidence, false).unwrap();
        commit_all(&journal, at(2));
    }
    drop(journal);
    disk.kill();
    let name = files(&disk, "results").pop().unwrap();
    let last_byte = disk.contents(&name).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    (disk, name, last_byte as u64)
}

/// The last page of a lane cannot be read. Wherever it begins, within the last commit's record, within the commit's header or before
/// both, no sequence of that commit is given again.
#[test]
fn a_last_commit_that_runs_into_a_bad_sector_may_have_been_durable() {
    let (_, _, last_byte) = killed_behind_two_commits(LARGE);
    let to_page = (PAGE - last_byte % PAGE) as usize;
    for into_page in (0..320).step_by(8) {
        let (disk, name, last_byte) = killed_behind_two_commits(LARGE + to_page + into_page);
        disk.unreadable(&name, last_byte, last_byte);
        let (journal, _) = open(&disk);
        let appended = append(&journal, RESULTS, journal.source("finish"), 4, 100, false).unwrap();
        let Appended::Stored { sequence, .. } = appended else { panic!("{into_page}: {appended:?}") };
        assert!(sequence > Sequence(3), "{into_page}: {sequence} is given again");
        commit_all(&journal, at(3));
        goes_on(&disk, journal, 5);
    }
}

/// The header of a lane's last commit stands in a page that cannot be read, and so does a page within it or at its end; the records
/// between are sound. None of their sequences is given again, and what the commit held is declared.
#[test]
fn a_last_commit_that_runs_on_behind_the_bad_sector_of_its_header_may_have_been_durable() {
    const LAST: u64 = 501;
    for also_bad in [None, Some(5), Some(0)] {
        let disk = filled(1, 100);
        let (journal, _) = open(&disk);
        for number in 2..=LAST {
            append(&journal, RESULTS, journal.source("finish"), number, 100, false).unwrap();
        }
        commit_all(&journal, at(2));
        assert_eq!(journal.watermarks().results, Sequence(LAST));
        drop(journal);
        disk.kill();
        let name = files(&disk, "results").pop().unwrap();
        let bytes = disk.contents(&name).unwrap();
        let header = (0..bytes.len()).step_by(8).rfind(|at| bytes[*at..].starts_with(b"VCMT")).unwrap() as u64;
        let last_byte = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        disk.unreadable(&name, header, header);
        if let Some(pages) = also_bad {
            disk.unreadable(&name, last_byte - pages * PAGE, last_byte - pages * PAGE);
        }
        let (journal, recovery) = open(&disk);
        let [(first, last)] = recovery.lanes.results.quarantined[..] else { panic!("one range, not {recovery:?}") };
        assert!(first <= Sequence(2) && last >= Sequence(LAST), "{also_bad:?}: {first} to {last}");
        let gap = read(&journal, RESULTS)[&first.0].gap().unwrap();
        assert_eq!((gap.cause(), gap.count), (v1::GapCause::Quarantined, None), "nobody knows how many");
        let appended = append(&journal, RESULTS, journal.source("finish"), LAST + 1, 100, false).unwrap();
        let Appended::Stored { sequence, .. } = appended else { panic!("{also_bad:?}: {appended:?}") };
        assert!(sequence > last, "{also_bad:?}: {sequence} is given again");
        commit_all(&journal, at(3));
        goes_on(&disk, journal, LAST + 2);
    }
}

/// The newest segment has a bad sector, so that the next must be begun, and the disk is full. What the last commit before a kill holds
/// was durable, and waits in memory to be written again. When there is space, and the power is cut while the next segment is
/// begun, wherever that is, it is still there: what supersedes it carries it.
#[test]
fn what_waits_for_space_outlives_the_beginning_of_the_next_segment() {
    for (operations, declares) in (0..=12).flat_map(|it| [(it, false), (it, true)]) {
        let disk = filled(3, LARGE);
        let (journal, _) = open(&disk);
        append(&journal, RESULTS, journal.source("finish"), 4, 100, false).unwrap();
        commit_all(&journal, at(2));
        let before = read(&journal, RESULTS)[&4].clone();
        drop(journal);
        disk.kill();
        lose_event(&disk, 2);
        files(&disk, "spare").iter().for_each(|name| disk.unopenable(name));
        disk.set_capacity(Some(0));
        let (journal, _) = open(&disk);
        assert_eq!(journal.status().lanes.results.last_durable, Sequence(3), "there is no space for it");
        disk.set_capacity(None);
        journal.housekeep(at(3)).unwrap();
        disk.cut_power_at(disk.operations() + operations);
        if declares {
            // A reader meets another bad sector, and what says so asks for the next segment first.
            lose_event(&disk, 3);
            drop(journal.declare_quarantined(RESULTS, Sequence(3), Sequence(3), at(3)));
        }
        drop(journal.commit(at(3)));
        drop(journal);
        disk.cut_power();
        disk.restart(operations);
        let (journal, _) = open(&disk);
        assert_eq!(read_from(&journal, RESULTS, 4).get(&4), Some(&before), "{operations}, {declares}");
        if declares {
            journal.declare_quarantined(RESULTS, Sequence(3), Sequence(3), at(4)).unwrap();
        }
        goes_on(&disk, journal, 5);
    }
}

/// A bad sector where nothing is written yet costs nothing but a new segment: to write into its page would fail.
#[test]
fn a_bad_sector_behind_the_last_commit_is_not_written_to() {
    let disk = filled(2, 100);
    let name = files(&disk, "results").pop().unwrap();
    disk.unreadable(&name, 3 * PAGE, 200_000);
    let (journal, recovery) = open(&disk);
    assert!(recovery.lanes.results.quarantined.is_empty());
    for number in 3..=8 {
        append(&journal, RESULTS, journal.source("finish"), number, LARGE, false).unwrap();
        commit_all(&journal, at(2));
    }
    assert_eq!(numbers(&read(&journal, RESULTS)), [1, 2, 3, 4, 5, 6, 7, 8]);
    goes_on(&disk, journal, 9);
}

/// D: the page of a header. The segment is read without it.
#[test]
fn d_a_header_that_cannot_be_read() {
    let disk = filled(20, 30_000);
    for name in files(&disk, "results") {
        disk.unreadable(&name, 0, 0);
    }
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), "DM");
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=20).collect::<Vec<_>>());
    goes_on(&disk, journal, 21);
}

/// I: the page of a checkpoint. An older one and a longer replay know as much.
#[test]
fn i_a_checkpoint_that_cannot_be_read() {
    let disk = filled(12, 30_000);
    for name in &files(&disk, "results")[1..] {
        disk.unreadable(name, PAGE, PAGE);
    }
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), "IM");
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=12).collect::<Vec<_>>());
    for number in 1..=12 {
        let again = append(&journal, RESULTS, journal.source("finish"), number, 30_000, false);
        assert!(matches!(again, Ok(Appended::Known { .. })), "{number}: {again:?}");
    }
    goes_on(&disk, journal, 13);
}

/// J: one slot of `meta`, both, or the file itself.
#[test]
fn j_a_meta_that_cannot_be_read() {
    for case in 0..4 {
        let (expected, spoil): (&str, fn(&MemoryStorage)) = match case {
            0 => ("M", |disk| disk.unreadable("meta", 0, 0)),
            1 => ("M", |disk| disk.unreadable("meta", PAGE, PAGE)),
            2 => ("JM", |disk| disk.unreadable("meta", 0, 2 * PAGE - 1)),
            _ => ("JM", |disk| disk.unopenable("meta")),
        };
        let disk = filled(20, 30_000);
        spoil(&disk);
        let (journal, recovery) = open(&disk);
        assert_eq!((letters(&recovery).as_str(), recovery.epoch), (expected, EPOCH), "{case}");
        assert_eq!(numbers(&read(&journal, RESULTS)), (1..=20).collect::<Vec<_>>());
        goes_on(&disk, journal, 21);
    }
}

/// L: the page with a cursor's slots, or the file itself. The cursor starts again at the oldest record, and can be written.
#[test]
fn l_cursors_that_cannot_be_read() {
    let spoil: [fn(&MemoryStorage); 2] = [|disk| disk.unreadable("cursors", 0, 0), |disk| disk.unopenable("cursors")];
    for spoil in spoil {
        let disk = filled(3, 100);
        let (journal, _) = open(&disk);
        let cursor = journal.cursor("centre", Some("centre-1"), RESULTS, true).unwrap();
        cursor.advance(Sequence(2), Digest::initial(EPOCH, RESULTS));
        journal.sync_cursors(at(2)).unwrap();
        drop((journal, cursor));
        spoil(&disk);
        assert!(ReadOnlyJournal::open(disk.clone()).unwrap().summary().cursors.is_empty());
        let (journal, recovery) = open(&disk);
        assert_eq!(letters(&recovery), "LM");
        let cursor = journal.cursor("centre", Some("centre-1"), RESULTS, true).unwrap();
        assert_eq!(cursor.mark().0, Sequence::ZERO);
        cursor.advance(Sequence(3), Digest::initial(EPOCH, RESULTS));
        journal.sync_cursors(at(4)).unwrap();
        drop((journal, cursor));
        let (journal, recovery) = open(&disk);
        assert_eq!(letters(&recovery), "A");
        assert_eq!(journal.cursor("centre", None, RESULTS, true).unwrap().mark().0, Sequence(3));
    }
}

/// E: a segment cannot be opened, or read to its last page: the oldest, one in the middle, the newest. Its range is declared, the
/// others are read, and the file stays for whoever can make something of it. Should the disk give it back, what was declared stays so.
#[test]
fn e_a_segment_that_cannot_be_opened_or_read() {
    let spoil: [fn(&MemoryStorage, &str); 2] =
        [|disk, name| disk.unopenable(name), |disk, name| disk.unreadable(name, 0, 256 << 10)];
    for spoil in spoil {
        for index in [0, 1, 2] {
            let disk = filled(20, 30_000);
            let (journal, _) = open(&disk);
            // All of it is still to be delivered.
            let cursor = journal.cursor("centre", None, RESULTS, true).unwrap();
            append(&journal, TELEMETRY, journal.source("wind"), 1, 100, true).unwrap();
            commit_all(&journal, at(2));
            drop((journal, cursor));
            let segments = files(&disk, "results");
            assert_eq!(segments.len(), 3);
            spoil(&disk, &segments[index]);
            let (journal, recovery) = open(&disk);
            assert!(says(&recovery, 'E', &[&segments[index], "left alone"]), "{recovery:?}");
            let [(first, last)] = recovery.lanes.results.quarantined[..] else { panic!("one range, not {recovery:?}") };
            let elements = read(&journal, RESULTS);
            let kept: Vec<u64> = (1..=20).filter(|number| !(first.0..=last.0).contains(number)).collect();
            assert!(kept.len() >= 11);
            assert_eq!(numbers(&elements), kept, "{index}");
            assert_eq!(elements[&first.0].gap().unwrap().cause(), v1::GapCause::Quarantined);
            assert!(files(&disk, "results").contains(&segments[index]));
            // Its device repeats one of them: it is taken again.
            let lost = first.0;
            let again = append(&journal, RESULTS, journal.source("finish"), lost, 30_000, false);
            assert!(matches!(again, Ok(Appended::Stored { .. })), "{again:?}");
            commit_all(&journal, at(3));
            let elements = read(&journal, RESULTS);
            drop(journal);
            disk.readable_again();
            let (journal, recovery) = open(&disk);
            assert_eq!(read(&journal, RESULTS), elements, "{index}");
            assert!(recovery.lanes.results.quarantined.is_empty(), "{recovery:?}");
            goes_on(&disk, journal, 21);
        }
    }
}

/// A spare that cannot be opened is removed, and another made.
#[test]
fn a_spare_that_cannot_be_opened_is_replaced() {
    let disk = filled(2, 100);
    let spares = files(&disk, "spare");
    spares.iter().for_each(|name| disk.unopenable(name));
    let (journal, recovery) = open(&disk);
    assert_eq!(letters(&recovery), "A");
    journal.housekeep(at(2)).unwrap();
    let replaced = files(&disk, "spare");
    assert!(replaced.len() >= spares.len() && replaced.iter().all(|name| !spares.contains(name)), "{replaced:?}");
    goes_on(&disk, journal, 3);
}

/// A spare has a bad sector that shows only when it is begun as a segment: it is removed, and another is taken.
#[test]
fn a_spare_that_cannot_be_written_is_removed() {
    let disk = filled(2, 100);
    let (journal, _) = open(&disk);
    journal.housekeep(at(2)).unwrap();
    let spares = files(&disk, "spare");
    // The last page of header and checkpoint is written in part.
    spares.iter().for_each(|name| disk.unreadable(name, PAGE, PAGE));
    for number in 3..=20 {
        append(&journal, RESULTS, journal.source("finish"), number, 30_000, false).unwrap();
        commit_all(&journal, at(number));
    }
    assert_eq!(numbers(&read(&journal, RESULTS)), (1..=20).collect::<Vec<_>>());
    let left = files(&disk, "spare");
    assert!(spares.iter().any(|name| !left.contains(name)), "{left:?}");
    goes_on(&disk, journal, 21);
}

/// The delivery of a backlog meets bad sectors, and a whole segment that cannot be opened, while the gateway runs: what is lost is
/// set aside and declared as rot is, and delivery goes on behind it. The next start, with the sectors readable again, has the same
/// records and takes none of those for known that were set aside.
#[test]
fn a_reader_passes_what_the_disk_cannot_read_once_that_is_declared() {
    let disk = filled(20, 30_000);
    let (journal, _) = open(&disk);
    let segments = files(&disk, "results");
    let (bad, _) = lose_event(&disk, 3);
    assert_eq!(bad, segments[0]);
    disk.unopenable(&segments[1]);
    lose_event(&disk, 19);
    let mut reader = journal.reader(RESULTS);
    let (mut next, mut damaged) = (Sequence(1), Vec::new());
    loop {
        match reader.read(next, Limits::BATCH) {
            Ok(ReadItem::End) => break,
            Ok(ReadItem::Records(run)) => next = run.last_sequence().next(),
            Ok(ReadItem::Skipped { last, .. }) => next = last.next(),
            Err(ReadError::Damaged { lane, first, last }) => {
                assert_eq!(first, next);
                damaged.push((first.0, last.0));
                journal.declare_quarantined(lane, first, last, at(2)).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((damaged.len(), damaged[0], damaged[2]), (3, (3, 3), (19, 19)), "{damaged:?}");
    let is_lost = |number: &u64| damaged.iter().any(|(first, last)| (first..=last).contains(&number));
    let elements = read(&journal, RESULTS);
    assert_eq!(numbers(&elements), (1..=20).filter(|number| !is_lost(number)).collect::<Vec<_>>());
    drop((journal, reader));
    disk.cut_power();
    disk.restart(2);
    disk.readable_again();
    let (journal, _) = open(&disk);
    let again = read(&journal, RESULTS);
    let last = *elements.last_key_value().unwrap().0;
    assert_eq!(again.range(..=last).collect::<Vec<_>>(), elements.iter().collect::<Vec<_>>());
    for number in (1..=20).filter(is_lost) {
        let repeated = append(&journal, RESULTS, journal.source("finish"), number, 30_000, false);
        assert!(matches!(repeated, Ok(Appended::Stored { .. })), "{number}: {repeated:?}");
    }
}

/// An export beside a running gateway shows what cannot be read as damaged, and goes on.
#[test]
fn a_visit_goes_on_behind_what_cannot_be_read() {
    let disk = filled(20, 30_000);
    let segments = files(&disk, "results");
    let outside = ReadOnlyJournal::open(disk.clone()).unwrap();
    lose_event(&disk, 3);
    disk.unopenable(&segments[1]);
    let (mut kept, mut damaged) = (Vec::new(), 0);
    let visited = outside.visit(RESULTS, Sequence(1), Sequence(20), |element| {
        match element {
            StoredElement::Record { sequence, .. } => kept.push(sequence.0),
            StoredElement::Damaged { .. } => damaged += 1,
            StoredElement::Skipped { .. } => panic!("nothing is declared"),
        }
        std::ops::ControlFlow::Continue(())
    });
    visited.unwrap();
    assert!(damaged == 2 && !kept.contains(&3) && kept.contains(&20), "{kept:?}");
    assert_eq!(outside.seek(RESULTS, 20_000_000_000).unwrap(), Some(Sequence(20)));
}

/// A disk that reads nothing for a moment is no disk with bad sectors: opening fails and changes nothing, with `meta` in the cache
/// or not. When the disk is back, everything is.
#[test]
fn a_disk_that_reads_nothing_costs_nothing() {
    for spoil_meta in [true, false] {
        let disk = filled(20, 30_000);
        for name in disk.list().unwrap() {
            if spoil_meta || name != "meta" {
                disk.unreadable(&name, 0, 1 << 20);
            }
        }
        let operations = disk.operations();
        let refused = Journal::open(disk.clone(), config(), at(0)).map(|_| ());
        assert!(matches!(refused, Err(OpenError::Unreadable)), "{refused:?}");
        assert!(ReadOnlyJournal::open(disk.clone()).is_err());
        assert_eq!(disk.operations(), operations);
        disk.readable_again();
        let (journal, recovery) = open(&disk);
        assert_eq!(letters(&recovery), "A");
        assert_eq!(numbers(&read(&journal, RESULTS)), (1..=20).collect::<Vec<_>>());
    }
}

/// Where neither `meta` nor any header can be read, nothing says whose the segments are. A new journal begun there would write over them.
#[test]
fn segments_that_nothing_names_are_not_written_over() {
    let disk = filled(20, 30_000);
    disk.unreadable("meta", 0, 2 * PAGE);
    for name in files(&disk, "results").iter().chain(&files(&disk, "telemetry")) {
        disk.unreadable(name, 0, 0);
    }
    let refused = Journal::open(disk.clone(), config(), at(0)).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Unreadable)), "{refused:?}");
    disk.readable_again();
    let (journal, _) = open(&disk);
    assert_eq!(numbers(&read(&journal, Lane::Results)), (1..=20).collect::<Vec<_>>());
}
