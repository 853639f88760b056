//! A chronometer that prints as fast as it is read: impulses of one channel, a hundredth of a second apart.

use std::{
    io::{self, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use venue_devices::alge_timy::{Channel, Code, LineBuffer, Message, PrintStyle, Record};

use crate::clock::Clock;

/// Bytes of a line with its end.
pub(super) const LINE_BYTES: usize = 27;
/// From line to line by the chronometer's own clock, so that each has a key of its own.
const STEP_NS: u64 = 10_000_000;
/// Lines that one write holds when there is no pace.
const LINES_PER_WRITE: u64 = 2_048;
/// Lines that fit between midnight and midnight.
pub(super) const MOST_LINES: u64 = 24 * 3600 * 1_000_000_000 / STEP_NS;

/// When each line was handed to the network, by the bench's clock.
pub(super) type Written = Arc<Mutex<Vec<Duration>>>;

/// How many lines are printed, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) lines: u64,
    /// Lines a second; as fast as they are read without one.
    pub(super) per_second: Option<u64>,
}

/// Prints the lines from `first` on into a connection.
///
/// # Errors
/// If the other end is gone.
pub(super) fn print(mut to: &TcpStream, clock: Clock, pace: Pace, written: &Written) -> io::Result<()> {
    let begun = clock.now();
    let (mut next, mut bytes) = (0, Vec::with_capacity(LINES_PER_WRITE as usize * LINE_BYTES));
    while next < pace.lines {
        let count = match pace.per_second {
            None => LINES_PER_WRITE.min(pace.lines - next),
            Some(per_second) => {
                let due = begun + Duration::from_nanos(next * 1_000_000_000 / per_second);
                std::thread::sleep(due.saturating_sub(clock.now()));
                1
            }
        };
        bytes.clear();
        (next..next + count).for_each(|number| put(number, &mut bytes));
        {
            let at = clock.now();
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            let reached = written.len() + count as usize;
            written.resize(reached, at);
        }
        to.write_all(&bytes)?;
        next += count;
    }
    Ok(())
}

fn put(number: u64, bytes: &mut Vec<u8>) {
    let code = Code::Impulse(Channel::FINISH);
    let start_number = (number % 9_999 + 1) as u16;
    let record = Record::impulse(start_number, code, number % MOST_LINES * STEP_NS).expect("before midnight");
    let mut line = LineBuffer::new();
    Message::Record(record).emit(PrintStyle::default(), &mut line);
    bytes.extend_from_slice(&line);
}
