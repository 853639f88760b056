//! One direction of a connection: bytes are read, held and written when due.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Passage;
use super::conditions::Knobs;
use super::listener::Shared;
use super::report::Reporter;
use crate::clock::Clock;
use crate::random::Random;

/// Most bytes that a pipe holds; a full one does not read, so that the sender feels
/// it. With a latency of 100 ms this passes 10 MB/s.
pub const PIPE_BYTES: usize = 1024 * 1024;

/// Most bytes of one read, and with it of a piece that has a jitter of its own.
const READ_BYTES: usize = 16 * 1024;

/// Most bytes written at once where a rate holds: the payload of a packet.
const PACKET_BYTES: usize = 1440;

/// Which way a pipe leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From client to target.
    Up,
    /// From target to client.
    Down,
}

/// What was read at one time; without bytes it is the end of the stream.
#[derive(Debug)]
struct Piece {
    arrived: Duration,
    jitter_ppm: u32,
    bytes: Bytes,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    direction: Direction,
    knobs: watch::Receiver<Knobs>,
    reporter: Reporter,
    clock: Clock,
    random: Random,
    pieces: VecDeque<Piece>,
    held_bytes: usize,
    line_free_at: Duration,
}

/// What a pipe waits for.
enum Turn {
    Changed,
    Read(io::Result<Bytes>),
    Wrote(io::Result<usize>),
}

impl Pipe {
    pub(super) fn new(shared: &Shared, direction: Direction, number: u64) -> Self {
        let stream = number * 2 + u64::from(direction == Direction::Down);
        Self {
            direction,
            knobs: shared.knobs.clone(),
            reporter: shared.reporter.clone(),
            clock: shared.clock,
            random: Random::new(shared.seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            pieces: VecDeque::new(),
            held_bytes: 0,
            line_free_at: Duration::ZERO,
        }
    }

    /// Passes everything from one stream to the other, and then the end.
    pub(super) async fn run(mut self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        let mut ended = false;
        loop {
            match self.turn(from, to, ended).await {
                Turn::Changed => {}
                Turn::Read(bytes) => {
                    let bytes = bytes?;
                    ended = bytes.is_empty();
                    self.hold(bytes);
                }
                Turn::Wrote(count) => {
                    if self.release(count?) {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn turn(&mut self, from: &TcpStream, to: &TcpStream, ended: bool) -> Turn {
        let conditions = self.knobs.borrow_and_update().conditions.clone();
        let open = conditions.passage == Passage::Open;
        let may_read = open && !ended && self.held_bytes < PIPE_BYTES;
        let room = (PIPE_BYTES - self.held_bytes).min(READ_BYTES);
        let front = self.pieces.front().filter(|_| open);
        let due = front.map(|it| conditions.release(it.arrived, it.jitter_ppm, self.line_free_at));
        let most = if conditions.rate.limit().is_some() { PACKET_BYTES } else { READ_BYTES };
        let clock = self.clock;
        tokio::select! {
            // An error means that the link ends; so does this task, then.
            _ = self.knobs.changed() => Turn::Changed,
            count = write_when_due(to, front, due, most, clock) => Turn::Wrote(count),
            bytes = read(from, room), if may_read => Turn::Read(bytes),
        }
    }

    fn hold(&mut self, bytes: Bytes) {
        let jitter_ppm = self.random.below(1_000_000) as u32;
        self.held_bytes += bytes.len();
        self.reporter.update(|it| it.held_bytes += bytes.len() as u64);
        self.pieces.push_back(Piece { arrived: self.clock.now(), jitter_ppm, bytes });
    }

    /// Accounts for bytes that left; returns whether it was the end of the stream.
    fn release(&mut self, count: usize) -> bool {
        let rate = self.knobs.borrow().conditions.rate;
        self.line_free_at = self.line_free_at.max(self.clock.now()) + rate.time_for(count);
        let front = self.pieces.front_mut().expect("only what is held is written");
        let end = front.bytes.is_empty();
        front.bytes.advance(count);
        if front.bytes.is_empty() {
            self.pieces.pop_front();
        }
        self.held_bytes -= count;
        let direction = self.direction;
        self.reporter.update(|it| {
            it.held_bytes -= count as u64;
            match direction {
                Direction::Up => it.bytes_up += count as u64,
                Direction::Down => it.bytes_down += count as u64,
            }
        });
        end
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.reporter.update(|it| it.held_bytes -= self.held_bytes as u64);
    }
}

/// Reads what is there, at most `room` bytes; none at the end of the stream. Cancel
/// safe: nothing is read unless it is returned.
async fn read(from: &TcpStream, room: usize) -> io::Result<Bytes> {
    let mut buffer = BytesMut::with_capacity(room);
    loop {
        from.readable().await?;
        match from.try_read_buf(&mut buffer) {
            Ok(_) => return Ok(buffer.freeze()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until a piece is due and the stream takes some of it, or closes this
/// direction if the piece is the end. Never returns without a piece. Cancel safe:
/// nothing is written unless it is returned.
async fn write_when_due(
    to: &TcpStream,
    piece: Option<&Piece>,
    due: Option<Duration>,
    most: usize,
    clock: Clock,
) -> io::Result<usize> {
    let (Some(piece), Some(due)) = (piece, due) else { return std::future::pending().await };
    if due > clock.now() {
        tokio::time::sleep_until(clock.deadline(due)).await;
    }
    if piece.bytes.is_empty() {
        shutdown(to, Shutdown::Write)?;
        return Ok(0);
    }
    loop {
        to.writable().await?;
        match to.try_write(&piece.bytes[..piece.bytes.len().min(most)]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return written,
        }
    }
}
