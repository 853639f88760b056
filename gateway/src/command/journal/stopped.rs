//! The journal of a gateway that does not run, opened for writing.

use std::path::Path;

use anyhow::Context as _;
use venue_journal::{Directory, Journal, OpenError};

use super::super::{offline, output};
use crate::{
    app::{journal_config, random_epoch},
    cli::{ConfigFile, Exit},
    clock::SystemClock,
    config::{self, Config},
};

/// An open journal, with what it is opened by.
pub(super) struct Stopped {
    pub(super) journal: Journal<Directory>,
    pub(super) config: Config,
    pub(super) clock: SystemClock,
}

/// Opens the journal of a data directory, or the journal's own directory. Where that cannot be for a reason with an exit code
/// of its own, the reason was told.
///
/// # Errors
/// If there is none, or it cannot be opened.
pub(super) fn open(dir: &Path, file: &ConfigFile) -> anyhow::Result<Result<Stopped, Exit>> {
    // Opening for writing makes a journal where there is none.
    drop(offline::open(dir)?);
    let config = match Config::load(&file.config, config::environment()) {
        Ok(config) => config,
        Err(errors) => {
            output::tell(&errors.to_string());
            return Ok(Err(Exit::Config));
        }
    };
    let path = offline::path(dir);
    let directory = Directory::existing(&path).with_context(|| format!("failed to open {}", path.display()))?;
    let clock = SystemClock::new(false);
    match Journal::open(directory, journal_config(&config, random_epoch()?), clock.monotonic()) {
        Ok((journal, _)) => Ok(Ok(Stopped { journal, config, clock })),
        Err(error @ OpenError::Locked) => {
            output::tell(&format!("{}: {error}", path.display()));
            Ok(Err(Exit::Locked))
        }
        Err(error) => Err(error.into()),
    }
}
