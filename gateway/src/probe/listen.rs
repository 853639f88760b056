//! Listens at a line until it is clear what speaks there, or the time is over.

use std::time::Duration;

use tokio::time::interval;

use super::score::{Confidence, HEARD_BYTES_MAX, Heard};
use super::{OnProgress, Progress};
use crate::source::{Line, ReadOutcome};

/// How often the line is read, what was heard is judged, and progress is told. Nothing is
/// stamped here, and a tty's buffer holds what comes meanwhile: at 115,200 baud a quarter
/// of its 4 KiB.
const TICK: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 4096;

/// Listens for `time`, twice as long once something came, and shorter once it is clear
/// what it is or that the setting is wrong. `request` is sent first, if there is one.
/// What came stays in `heard` however this ends, cancelled too.
///
/// # Errors
/// Why the line went away.
pub(super) async fn listen(
    mut line: Line,
    request: &[u8],
    time: Duration,
    heard: &mut Heard,
    doing: &str,
    on_progress: OnProgress<'_>,
) -> Result<(), String> {
    // A few bytes into an idle line: it takes them, or is no line.
    if !request.is_empty() && line.write(request)? < request.len() {
        return Err("the line takes no bytes; is its handshake off?".to_owned());
    }
    let mut ticks = interval(TICK);
    let mut elapsed = Duration::ZERO;
    loop {
        ticks.tick().await;
        let has_news = drain(&mut line, heard)?;
        let all = if heard.is_silent() { time } else { 2 * time };
        let left = all.saturating_sub(elapsed);
        on_progress(Progress { doing, received: heard.bytes.len(), damaged: heard.errors.dropped_bytes, left });
        if has_news && is_clear(heard) || left.is_zero() {
            return Ok(());
        }
        elapsed += TICK;
    }
}

/// Takes what the line has now, and returns whether that is anything.
fn drain(line: &mut Line, heard: &mut Heard) -> Result<bool, String> {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let mut has_news = false;
    let ended = loop {
        match line.read(&mut buffer) {
            ReadOutcome::Bytes => {
                has_news = true;
                heard.push(&buffer);
                if heard.bytes.len() == HEARD_BYTES_MAX {
                    break Ok(true);
                }
            }
            ReadOutcome::WouldBlock => break Ok(has_news),
            ReadOutcome::Closed(reason) => break Err(reason),
        }
    };
    heard.errors += line.take_errors();
    ended
}

/// Whether listening on would tell nothing new.
fn is_clear(heard: &Heard) -> bool {
    heard.bytes.len() == HEARD_BYTES_MAX
        || heard.is_refuted()
        || heard.best().is_some_and(|found| found.confidence == Confidence::Sure)
}
