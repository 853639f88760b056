//! Notices that certificate files were replaced.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::config::TlsFiles;

/// How often an uplink that waits for its next attempt looks at its files.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The files of an uplink, as they were when a connection was last made with them.
#[derive(Debug)]
pub(super) struct WatchedFiles {
    paths: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

/// What tells one content of a file from the next: inode, size, time of change in s
/// and ns. The time of change (ctime) moves also where a tool keeps the older mtime.
type Stamp = (u64, u64, i64, i64);

impl WatchedFiles {
    /// The files of an uplink as they are; without TLS there are none to watch.
    pub(super) fn new(files: Option<&TlsFiles>) -> Self {
        let paths = files.map_or_else(Vec::new, |it| vec![it.ca.clone(), it.cert.clone(), it.key.clone()]);
        let mut watched = Self { paths, seen: Vec::new() };
        watched.remember();
        watched
    }

    /// Remembers the files as they are. Call it before they are read, so that a change
    /// in between is not missed.
    pub(super) fn remember(&mut self) {
        self.seen = self.stamps();
    }

    /// Whether any of them changed since it was remembered, or seen here.
    pub(super) fn have_changed(&mut self) -> bool {
        let now = self.stamps();
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.paths.iter().map(|path| stamp(path)).collect()
    }
}

/// None while there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is replaced, removed or put there is noticed once; without TLS
    /// nothing ever changes.
    #[test]
    fn each_change_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let files = TlsFiles { ca: place("ca.pem"), cert: place("gateway.pem"), key: place("gateway.key") };
        fs::write(&files.cert, "expired").unwrap();
        let mut watched = WatchedFiles::new(Some(&files));
        assert!(!watched.have_changed());

        let replace = || {
            fs::write(place("new"), "renewed").unwrap();
            fs::rename(place("new"), &files.cert).unwrap();
        };
        for change in [&replace as &dyn Fn(), &|| fs::remove_file(&files.cert).unwrap(), &replace] {
            change();
            assert!(watched.have_changed());
            assert!(!watched.have_changed());
        }

        assert!(!WatchedFiles::new(None).have_changed());
    }
}
