//! `journal`: looking into a journal, offline or beside a running gateway.

mod inspect;
mod new_epoch;
mod range;
mod replay;
mod verify;

use std::io::{self, Write as _};
use std::ops::ControlFlow;

use venue_schema::{Message as _, v1};

use self::range::Part;
use super::offline;
use crate::cli::{Exit, Journal};

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
        Journal::NewEpoch { dir, config } => new_epoch::run(dir, config),
    }
}

/// Writes a part as JSON, one event a line. Damage is told on standard error.
fn export(range: &crate::cli::Range) -> anyhow::Result<Exit> {
    let journal = offline::open(&range.dir)?;
    let Part { lane, from, to } = Part::of(&journal, range)?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut failed: Option<anyhow::Error> = None;
    let mut damaged = false;
    journal.visit(lane, from, to, |element| {
        let Some(bytes) = offline::event_bytes(&element) else {
            eprintln!("damaged: {element:?}");
            damaged = true;
            return ControlFlow::Continue(());
        };
        let written = v1::Event::decode(bytes)
            .map_err(anyhow::Error::from)
            .and_then(|event| Ok(serde_json::to_string(&event)?))
            .and_then(|line| Ok(writeln!(output, "{line}")?));
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(error) if is_broken_pipe(&error) => Ok(Exit::Success),
        Some(error) => Err(error),
        None => {
            output.flush()?;
            Ok(if damaged { Exit::Failure } else { Exit::Success })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
