//! When the memory is asked for, and which lines are its repeat.
//!
//! ```text
//!        connected ──► Opening ─────────────────────┐
//!                request, damaged line               ▼ RSM sent
//! Live ────────────────────────────► (ask due) ───────────► Asked
//!  ▲ ▲                                                       │ first record
//!  │ └──── 5 s without a record: ended, incomplete ◄─────────┤
//!  │                                                         ▼
//!  └────── trailer: ended ◄─────────────────────────────── Running
//! ```
//!
//! The device marks the end of a repeat (a trailer) and not its beginning, so
//! three rules stand in *(assumptions; no capture shows a line that slips in)*:
//!
//! 1. `RSM` is sent once no record came for 200 ms and nothing at all for 50 ms,
//!    at the latest after 2 s (such a repeat is not called complete). From the
//!    first record after it the repeat runs.
//! 2. An impulse that was under way slips in before the repeat proper. It is newer
//!    than the memory's first record: where, among the first 256 records, the
//!    time steps back or an impulse stands twice, the repeat begins anew, so that
//!    the one that slipped in is counted once.
//! 3. A repeat that nobody here asked for (a twin did, or the operator) shows in
//!    the same way: an impulse by wire more than 10 ms older than the one
//!    before it, or equal to it.
//!
//! 4. A line that comes before `RSM` is sent, just after the line came up, may be
//!    the rest of a repeat that was under way. It is in the memory, so the repeat
//!    that follows shows it again: until then lines count as repeated ones.
//!
//! Taking a live line for a repeated one costs nothing but two impulses of one
//! key around that line; the reverse would double the whole memory.

use core::time::Duration;

use super::{Flag, Record};
use crate::{Item, Monotonic};

/// No record for so long: the device is between lines.
pub(super) const QUIET: Duration = Duration::from_millis(200);
/// No byte for so long: no line is under way.
const PAUSE: Duration = Duration::from_millis(50);
/// A line that is never quiet is not waited for longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// No record for so long within a repeat: it was cut.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// Longest time between two tries; the first waits [`SILENCE`], each the double.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// Tries after which a repeat that came damaged is not asked for again.
const TRIES_FOR_DAMAGE: u32 = 10;
/// Records among which the beginning of the repeat proper is looked for.
const OPENING: u32 = 256;
const MILLISECOND_NS: u64 = 1_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;

/// Which part of the stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The line came up and the memory will be asked for; the pair of items round
    /// these lines is open.
    Opening,
    /// As it happens.
    Live,
    /// `RSM` was sent, into a quiet line or not; nothing came yet.
    Asked { at: Monotonic, quiet: bool },
    /// From the memory.
    Running { asked: Option<bool>, latest: Monotonic, records: u32, damaged: bool },
}

/// When `RSM` may be sent.
#[derive(Debug, Clone, Copy)]
struct Ask {
    not_before: Monotonic,
    at_latest: Monotonic,
}

impl Ask {
    fn from(not_before: Monotonic) -> Self {
        Self { not_before, at_latest: not_before + PATIENCE }
    }
}

/// The repeat of the device's memory, as far as the line shows it.
#[derive(Debug)]
pub(super) struct Replay {
    /// May send.
    active: bool,
    phase: Phase,
    ask: Option<Ask>,
    /// `ReplayStarted` was handed out, and its end not yet.
    open: bool,
    /// Tries since the last complete repeat.
    tries: u32,
    last_asked: Option<Monotonic>,
    last_line: Monotonic,
    last_byte: Monotonic,
    /// The latest impulse, and when it came; of a repeat that goes on, only once it ended or was cut.
    newest: Option<(Record, Monotonic)>,
    /// The latest impulse within the repeat, corrected or not.
    previous: Option<(Record, Monotonic)>,
}

impl Replay {
    pub(super) const fn new(active: bool) -> Self {
        Self {
            active,
            phase: Phase::Live,
            ask: None,
            open: false,
            tries: 0,
            last_asked: None,
            last_line: Duration::ZERO,
            last_byte: Duration::ZERO,
            newest: None,
            previous: None,
        }
    }

    /// Whether lines come from the memory.
    pub(super) const fn running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// The line came up: what happened while it was down is in the memory.
    pub(super) fn connected(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        self.disconnected(sink);
        (self.tries, self.last_line, self.last_byte) = (0, now, now);
        self.request(now);
        if self.active {
            self.phase = Phase::Opening;
            self.start(sink);
        }
    }

    /// The line went away.
    pub(super) fn disconnected(&mut self, sink: &mut dyn FnMut(Item<'_>)) {
        self.ask = None;
        self.close(false, sink);
        // The later of both: the device may go on with a repeat that the line cut, and all of it up to here was heard.
        let cut = self.previous.take().filter(|cut| self.newest.is_none_or(|newest| !steps_back(newest, *cut, 0)));
        self.newest = cut.or(self.newest);
        self.phase = Phase::Live;
    }

    /// The memory is wanted, as soon as the line is quiet.
    pub(super) fn request(&mut self, now: Monotonic) {
        if self.active && !matches!(self.phase, Phase::Asked { .. }) {
            self.ask = Some(Ask::from(now));
        }
    }

    /// Bytes came.
    pub(super) fn bytes(&mut self, now: Monotonic) {
        self.last_byte = now;
    }

    /// A line came that is not the running time.
    pub(super) fn line(&mut self, now: Monotonic) {
        self.last_line = now;
    }

    /// A line came damaged. It is fetched from the memory, at most once a minute;
    /// a repeat that was asked for becomes incomplete by it.
    pub(super) fn damaged(&mut self, now: Monotonic) {
        match &mut self.phase {
            Phase::Asked { quiet, .. } => *quiet = false,
            Phase::Running { damaged, latest, asked, .. } => {
                (*damaged, *latest) = (true, now);
                if asked.is_none() {
                    self.fetch_damaged(now);
                }
            }
            Phase::Live => self.fetch_damaged(now),
            Phase::Opening => (),
        }
    }

    fn fetch_damaged(&mut self, now: Monotonic) {
        if self.active && self.ask.is_none() {
            let earliest = self.last_asked.map_or(now, |asked| asked + LONGEST_BACK_OFF);
            (self.ask, self.tries) = (Some(Ask::from(earliest.max(now))), 0);
        }
    }

    /// A record came that is no line of a list. Returns whether a repeat begins
    /// with it.
    pub(super) fn record(&mut self, now: Monotonic, record: &Record, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        let this = (*record, now);
        let began = match &mut self.phase {
            Phase::Asked { quiet, .. } => {
                let asked = Some(*quiet);
                self.begin(asked, now, sink)
            }
            Phase::Opening => false,
            Phase::Live => {
                is_by_wire(record)
                    && self.newest.is_some_and(|it| steps_back(it, this, 10))
                    && self.begin(None, now, sink)
            }
            Phase::Running { asked, latest, records, .. } => {
                (*latest, *records) = (now, records.saturating_add(1));
                let opening = asked.is_some() && *records <= OPENING;
                let anew = opening && self.previous.is_some_and(|it| steps_back(it, this, 1));
                if anew {
                    // What was damaged and counted so far stays so.
                    self.start(sink);
                }
                anew
            }
        };
        if self.running() && comes_in_order(record) {
            self.previous = Some(this);
        } else if is_by_wire(record) {
            self.newest = Some(this);
        }
        began
    }

    fn begin(&mut self, asked: Option<bool>, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        self.start(sink);
        self.phase = Phase::Running { asked, latest: now, records: 1, damaged: false };
        self.previous = None;
        true
    }

    /// The trailer of a memory dump came.
    pub(super) fn trailer(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        let (sound, asked) = match self.phase {
            Phase::Live | Phase::Opening => return,
            Phase::Asked { quiet, .. } => {
                self.start(sink);
                (quiet, true)
            }
            Phase::Running { asked, damaged, .. } => (asked.unwrap_or(true) && !damaged, asked.is_some()),
        };
        self.end(sound, sink);
        if sound {
            self.tries = 0;
        } else if asked && self.tries < TRIES_FOR_DAMAGE {
            self.ask_again(now);
        }
    }

    /// Time went by.
    pub(super) fn timeout(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        let asked = match self.phase {
            Phase::Asked { at, .. } if now >= at + SILENCE => {
                self.start(sink);
                true
            }
            Phase::Running { asked, latest, .. } if now >= latest + SILENCE => asked.is_some(),
            _ => return,
        };
        self.end(false, sink);
        if asked {
            self.ask_again(now);
        }
    }

    /// When [`timeout`](Self::timeout) or [`transmit`](Self::transmit) has something to do.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Asked { at, .. } => Some(at + SILENCE),
            Phase::Running { latest, .. } => Some(latest + SILENCE),
            Phase::Live | Phase::Opening => self.ask_due(),
        }
    }

    /// Whether `RSM` is to be sent now; it then counts as sent.
    pub(super) fn transmit(&mut self, now: Monotonic) -> bool {
        let due = matches!(self.phase, Phase::Live | Phase::Opening) && self.ask_due().is_some_and(|due| now >= due);
        if due {
            self.ask = None;
            self.tries = self.tries.saturating_add(1);
            self.last_asked = Some(now);
            self.phase = Phase::Asked { at: now, quiet: now >= self.last_line + QUIET };
        }
        due
    }

    fn ask_due(&self) -> Option<Monotonic> {
        let quiet = (self.last_line + QUIET).max(self.last_byte + PAUSE);
        self.ask.map(|ask| quiet.min(ask.at_latest).max(ask.not_before))
    }

    fn ask_again(&mut self, now: Monotonic) {
        let doublings = self.tries.saturating_sub(1).min(8);
        self.ask = Some(Ask::from(now + (SILENCE * (1 << doublings)).min(LONGEST_BACK_OFF)));
    }

    /// The device came to the end of its repeat, or fell silent within it.
    fn end(&mut self, complete: bool, sink: &mut dyn FnMut(Item<'_>)) {
        self.newest = self.previous.take().or(self.newest);
        self.phase = Phase::Live;
        self.close(complete, sink);
    }

    /// Occurrences count from 1 again: what was open ends here, incomplete.
    fn start(&mut self, sink: &mut dyn FnMut(Item<'_>)) {
        self.close(false, sink);
        self.open = true;
        sink(Item::ReplayStarted);
    }

    fn close(&mut self, complete: bool, sink: &mut dyn FnMut(Item<'_>)) {
        if core::mem::take(&mut self.open) {
            sink(Item::ReplayEnded { complete });
        }
    }
}

/// An impulse, corrected or not, that stands in the memory in the order of time:
/// not one by radio, which can be late.
fn comes_in_order(record: &Record) -> bool {
    record.flag != Flag::Radio && record.time_of_day_ns().is_some()
}

/// An impulse that the device printed when it came, as it came.
fn is_by_wire(record: &Record) -> bool {
    comes_in_order(record) && record.flag.correction().is_none()
}

/// Whether an impulse shows that the device went back in its memory: it is the one
/// before it again, or older by more than `slack_ms`.
fn steps_back(before: (Record, Monotonic), this: (Record, Monotonic), slack_ms: u64) -> bool {
    let (Some(earlier), Some(later)) = (before.0.time_of_day_ns(), this.0.time_of_day_ns()) else { return false };
    let same = Record { flag: before.0.flag, ..this.0 } == before.0;
    // Clocks go round: a step back of 20 hours is midnight, one forward of 20 hours
    // is midnight backwards. After a pause of hours it is the next day.
    let back_ns = (earlier + 24 * HOUR_NS - later) % (24 * HOUR_NS);
    let longest_ns = if later < earlier { 20 * HOUR_NS } else { 4 * HOUR_NS };
    let paused = this.1.saturating_sub(before.1) > Duration::from_secs(4 * 3600);
    let back = !paused && (slack_ms * MILLISECOND_NS + 1..longest_ns).contains(&back_ns);
    comes_in_order(&this.0) && (same || back)
}
