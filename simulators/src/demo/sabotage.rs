//! Ways to break the demo, so that tests see the verdict fail for the right reason.

use std::{fs, io, path::Path};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// The centre drops a result that it acknowledges.
    CentreForgets,
    /// The gateway may not ask a chronometer for its memory.
    NoReplay,
    /// Nobody recognises repeats: the gateway forgets what it heard when it is
    /// killed, and the centre merges nothing.
    NoRecognition,
    /// What was sent is cut from the journal while the gateway is down, marks and all:
    /// as if it had been sent before it was durable.
    CutJournal,
    /// The gateway crashes when it is asked to stop.
    UncleanEnd,
}

/// A copy of the journal's files as they are now, to be put back later.
pub(super) struct EarlierJournal(Vec<(std::path::PathBuf, Vec<u8>)>);

impl EarlierJournal {
    /// Reads every file of a journal.
    pub(super) fn of(journal: &Path) -> io::Result<Self> {
        let files = fs::read_dir(journal)?.collect::<io::Result<Vec<_>>>()?;
        let read = |entry: fs::DirEntry| Ok((entry.path(), fs::read(entry.path())?));
        Ok(Self(files.into_iter().map(read).collect::<io::Result<_>>()?))
    }

    /// Puts the files back: what was written since is gone.
    pub(super) fn restore(&self, journal: &Path) -> io::Result<()> {
        fs::remove_dir_all(journal)?;
        fs::create_dir(journal)?;
        self.0.iter().try_for_each(|(path, bytes)| fs::write(path, bytes))
    }
}
