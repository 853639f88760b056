//! `journal new-epoch`: for a restored disk, or a data directory that was copied.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, bail};
use venue_journal::{Directory, Journal, OpenError};
use venue_schema::v1::Lane;

use super::super::output;
use crate::{
    app::{journal_config, journal_path, random_epoch},
    cli::{ConfigFile, Exit},
    clock::SystemClock,
    config::{self, Config},
};

/// Begins a new epoch in the journal of a gateway that does not run.
pub(super) fn run(dir: &Path, file: &ConfigFile) -> anyhow::Result<Exit> {
    let config = match Config::load(&file.config, config::environment()) {
        Ok(config) => config,
        Err(errors) => {
            output::tell(&errors.to_string());
            return Ok(Exit::Config);
        }
    };
    let inner = journal_path(dir);
    let path = if inner.is_dir() { inner } else { dir.to_owned() };
    let directory = Directory::existing(&path).with_context(|| format!("failed to open {}", path.display()))?;
    let clock = SystemClock::new(false);
    let epoch = random_epoch()?;
    let journal = match Journal::open(directory, journal_config(&config, epoch), clock.monotonic()) {
        Ok((_, recovery)) if recovery.created => bail!("{} held no journal", path.display()),
        Ok((journal, _)) => journal,
        Err(error @ OpenError::Locked) => {
            output::tell(&format!("{}: {error}", path.display()));
            return Ok(Exit::Locked);
        }
        Err(error) => return Err(error.into()),
    };
    let change = journal.new_epoch(random_epoch()?, clock.monotonic())?;
    journal.close(clock.monotonic())?;
    let mut text = format!("epoch     {}\nbefore    {}\n", journal.epoch(), change.predecessor);
    for lane in Lane::ALL {
        let again = change.appended_again[lane];
        let _ = writeln!(text, "{:<9} {again} events not yet acknowledged are sent under the new epoch", lane.name());
    }
    output::print(&text)?;
    Ok(Exit::Success)
}
