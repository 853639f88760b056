//! Tells a file that is another from one that is being written. Sans-io but for [`Stamp::of`].

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

/// A file that nobody has touched for so long is whole: an editor, a copy or a deployment writes it at one go.
const QUIET: Duration = Duration::from_secs(1);

/// What tells a file from what it was and from another of its name; where a link leads counts, and not the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// There is none, or it cannot be looked at.
    Missing,
    /// File system, number, size, and times of the last write and of the last change, in seconds and ns.
    There { file: (u64, u64, u64), written: (i64, i64), changed: (i64, i64) },
}

impl Stamp {
    /// Of what is there now.
    pub(super) fn of(path: &Path) -> Self {
        let Ok(found) = fs::metadata(path) else { return Self::Missing };
        Self::There {
            file: (found.dev(), found.ino(), found.size()),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// How a file stands to the one that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is that one.
    AsTaken,
    /// It is another, and may not be whole yet.
    BeingWritten,
    /// It is another, and nobody writes it.
    Another,
}

/// Follows one file.
#[derive(Debug, Default)]
pub(super) struct Settle {
    /// None before the first.
    taken: Option<Stamp>,
    /// What was seen last, and since when.
    seen: Option<(Stamp, Duration)>,
}

impl Settle {
    /// Takes what is there at `now`. To be called every so often.
    pub(super) fn look(&mut self, now: Duration, stamp: Stamp) -> Look {
        let since = match self.seen {
            Some((seen, since)) if seen == stamp => since,
            _ => now,
        };
        self.seen = Some((stamp, since));
        if self.taken == Some(stamp) {
            Look::AsTaken
        } else if now.saturating_sub(since) < QUIET {
            Look::BeingWritten
        } else {
            Look::Another
        }
    }

    /// This one is taken, whatever comes of it.
    pub(super) fn taken(&mut self, stamp: Stamp) {
        self.taken = Some(stamp);
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::symlink};

    use super::*;

    /// A file that is written in parts, over more than a second, is another once it is left alone, and then only once.
    #[test]
    fn a_file_is_another_once_it_is_left_alone() {
        let at = Duration::from_millis;
        let part = |size| Stamp::There { file: (1, 7, size), written: (0, 0), changed: (0, 0) };
        let mut settle = Settle::default();
        settle.taken(part(10));
        let mut check = |now, stamp, expected| assert_eq!(settle.look(at(now), stamp), expected, "at {now} ms");
        check(0, part(10), Look::AsTaken);
        check(500, part(0), Look::BeingWritten);
        check(1_000, part(4), Look::BeingWritten);
        check(1_500, part(8), Look::BeingWritten);
        check(2_000, part(8), Look::BeingWritten);
        check(2_500, part(8), Look::Another);
        settle.taken(part(8));
        let mut check = |now, stamp, expected| assert_eq!(settle.look(at(now), stamp), expected, "at {now} ms");
        check(3_000, part(8), Look::AsTaken);
        // An editor moves its own file into the place, between two looks or not.
        check(3_500, Stamp::Missing, Look::BeingWritten);
        check(4_000, part(9), Look::BeingWritten);
        check(5_000, part(9), Look::Another);
        // It was only moved away and back.
        check(5_500, part(8), Look::AsTaken);
    }

    /// However a file is changed, its stamp is another: in place and of the same length, by another file of the same
    /// content and times in its place, by a link that leads elsewhere, by its end.
    #[test]
    fn every_change_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let site = path("site.toml");
        fs::write(path("one"), "text").unwrap();
        symlink("one", &site).unwrap();
        let mut stamps = vec![Stamp::of(&site)];
        let mut note = |what: &str| {
            let stamp = Stamp::of(&site);
            assert!(!stamps.contains(&stamp), "{what}: {stamp:?}");
            stamps.push(stamp);
        };

        let before = fs::metadata(path("one")).unwrap().modified().unwrap();
        let file = fs::File::options().write(true).open(path("one")).unwrap();
        // The clock of the file system may stand still for some ms.
        while fs::metadata(path("one")).unwrap().modified().unwrap() == before {
            (&file).write_all(b"next").unwrap();
            file.set_len(4).unwrap();
        }
        note("written in place");
        fs::copy(path("one"), path("two")).unwrap();
        fs::File::options().write(true).open(path("two")).unwrap().set_modified(before).unwrap();
        fs::rename(path("two"), path("one")).unwrap();
        note("moved into its place");
        fs::write(path("three"), "next").unwrap();
        symlink("three", path("link")).unwrap();
        fs::rename(path("link"), &site).unwrap();
        note("a link that leads elsewhere");
        fs::remove_file(path("three")).unwrap();
        note("gone");
    }
}
