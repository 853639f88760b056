//! `journal new-epoch`: for a restored disk, or a data directory that was copied.

use std::{fmt::Write as _, path::Path};

use venue_schema::v1::Lane;

use super::{
    super::output,
    stopped::{self, Stopped},
};
use crate::{
    app::random_epoch,
    cli::{ConfigFile, Exit},
};

/// Begins a new epoch in the journal of a gateway that does not run.
pub(super) fn run(dir: &Path, file: &ConfigFile) -> anyhow::Result<Exit> {
    let Stopped { journal, clock, .. } = match stopped::open(dir, file)? {
        Ok(stopped) => stopped,
        Err(exit) => return Ok(exit),
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
