//! `journal`: looking into a journal, offline or beside a running gateway.

mod inspect;
mod new_epoch;
mod range;
mod release;
mod replay;
mod stopped;
mod verify;

use std::io::{self, Write as _};
use std::ops::ControlFlow;

use anyhow::Context as _;

use self::range::Part;
pub use self::range::Point;
use super::{offline, output};
use crate::{
    cli::{Exit, Journal},
    event_json,
};

/// Does what the command line says.
///
/// # Errors
/// If there is no journal, or a range is none, or the disk fails.
pub fn run(journal: &Journal) -> anyhow::Result<Exit> {
    match journal {
        Journal::Inspect(dir) => inspect::run(&offline::open(&dir.dir)?, dir.json),
        Journal::Verify(dir) => verify::run(&offline::open(&dir.dir)?, dir.json),
        Journal::Export { range } => export(range),
        Journal::Replay { range, receiver, ca, cert, key } => {
            replay::run(range, receiver, ca.as_deref(), cert.as_deref(), key.as_deref())
        }
        Journal::Release { dir, uplink, config, json } => release::run(dir, uplink, config, *json),
        Journal::NewEpoch { dir, config } => new_epoch::run(dir, config),
    }
}

/// Writes a part as JSON, one event a line. What cannot be shown has its line, too, is
/// told on standard error, and makes the command fail.
fn export(range: &crate::cli::Range) -> anyhow::Result<Exit> {
    let journal = offline::open(&range.dir)?;
    let Part { lane, from, to } = Part::of(&journal, range)?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let mut unreadable = 0_u64;
    journal.visit(lane, from, to, |element| {
        let shown = event_json::read_element(lane, &element);
        if let Err(instead) = &shown {
            output::tell(&instead.to_string());
            unreadable += 1;
        }
        written = writeln!(output, "{}", event_json::line(&shown));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    match written.and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("failed to write the events");
        }
        // Whoever read has seen enough.
        Ok(()) | Err(_) => {}
    }
    if unreadable > 0 {
        let stand = if unreadable == 1 { "stands" } else { "stand" };
        output::tell(&format!("{unreadable} of the lines {stand} for what cannot be shown"));
        return Ok(Exit::Failure);
    }
    Ok(Exit::Success)
}
