//! The thread of a device: waits for its port, its knobs and its deadlines.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use venue_devices::LineSettings;

use super::ledger::{Ledger, SpokenLine};
use super::model::{Action, Model, Moment, Refused};
use super::port::{self, Attachment, Port};
use super::transmitter::{Piece, Transmitter};
use super::{DeviceReport, uart};
use crate::clock::{self, Clock};

/// How long a plug takes that is pulled behind a byte: what left before has arrived, for
/// the kernel throws away what a reader has not fetched when a PTY goes.
const PLUG_TIME: Duration = Duration::from_millis(20);

/// A turn of a knob, and where its outcome is told.
pub(super) struct Order {
    pub(super) what: Knob,
    pub(super) outcome: SyncSender<Result<(), Refused>>,
}

/// What can be done to a device.
#[derive(Debug)]
pub(super) enum Knob {
    Act(Action),
    Line(Vec<u8>),
    Unplug,
    UnplugAfter(u64),
    Replug,
    Restart,
    Noise(u32),
    End,
}

/// What the thread shows to the owner of the device.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) report: DeviceReport,
}

impl Shown {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The device on its thread.
pub(super) struct Runner {
    pub(super) model: Box<dyn Model>,
    pub(super) transmitter: Transmitter,
    pub(super) attachment: Attachment,
    pub(super) line: LineSettings,
    pub(super) port: Option<Box<dyn Port>>,
    /// When a plug that is being pulled is out; nothing is sent until then.
    pub(super) unplugged_at: Option<Duration>,
    pub(super) orders: Receiver<Order>,
    pub(super) wake: Arc<OwnedFd>,
    pub(super) clock: Clock,
    pub(super) shown: Arc<Shown>,
}

impl Runner {
    /// Shows where the device is, before anybody asks.
    pub(super) fn settle(&mut self) {
        self.report();
    }

    /// Runs until the owner ends it.
    pub(super) fn run(mut self) {
        loop {
            if !self.obey() {
                return;
            }
            self.listen();
            self.think();
            self.speak();
            self.report();
            self.wait();
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), utc_ns: clock::utc_ns() }
    }

    /// Carries out what the owner ordered; false at the end.
    fn obey(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) | Ok(Order { what: Knob::End, .. }) => return false,
                Ok(Order { what, outcome }) => {
                    let done = self.turn(what);
                    self.report();
                    // Nobody may be waiting for it any more.
                    let _ = outcome.send(done);
                }
            }
        }
    }

    fn turn(&mut self, knob: Knob) -> Result<(), Refused> {
        let at = self.moment();
        match knob {
            Knob::Act(action) => return self.model.act(at, &action, &mut self.shown.lock().ledger),
            Knob::Line(bytes) => {
                return self.transmitter.push(at.now, bytes).then_some(()).ok_or(Refused::LineBusy);
            }
            Knob::Unplug => self.unplug(),
            Knob::UnplugAfter(0) => self.unplug(),
            Knob::UnplugAfter(bytes) => self.transmitter.unplug_after(bytes),
            Knob::Replug => return self.replug(),
            Knob::Restart => {
                self.transmitter.clear();
                self.model.restart();
            }
            Knob::Noise(per_million) => self.transmitter.set_noise(per_million),
            Knob::End => {}
        }
        Ok(())
    }

    fn unplug(&mut self) {
        self.port = None;
        self.unplugged_at = None;
    }

    fn replug(&mut self) -> Result<(), Refused> {
        self.unplug();
        let opened = port::open(&self.attachment, self.line).map_err(|error| Refused::Port(error.to_string()))?;
        self.port = Some(opened);
        Ok(())
    }

    /// Takes what the gateway sent, as a UART at the device's settings reads it.
    fn listen(&mut self) {
        let at = self.moment();
        if self.unplugged_at.is_some_and(|due| due <= at.now) {
            self.unplug();
        }
        let Some(port) = &mut self.port else { return };
        let mut input = Vec::new();
        port.service(at.now, &mut input);
        if !input.is_empty() {
            let far = port.far_settings().unwrap_or(self.line);
            self.model.handle_bytes(at, &uart::transfer(&input, far, self.line));
            self.shown.lock().report.bytes_received += input.len() as u64;
        }
    }

    fn think(&mut self) {
        let at = self.moment();
        if self.model.poll_timeout().is_some_and(|due| due <= at.now) {
            self.model.handle_timeout(at, &mut self.shown.lock().ledger);
        }
    }

    /// Lets leave what is due. Without a port, lines leave into the void.
    fn speak(&mut self) {
        loop {
            let at = self.moment();
            if self.transmitter.is_idle() {
                if self.model.waits_for_listener() && !self.is_heard() {
                    return;
                }
                let Some(line) = self.model.poll_line(at) else { return };
                self.transmitter.push(at.now, line);
            }
            let Some(piece) = self.transmitter.poll_piece(at.now) else { return };
            self.send(at, &piece);
        }
    }

    fn is_heard(&self) -> bool {
        self.port.as_ref().is_some_and(|port| port.is_heard())
    }

    fn send(&mut self, at: Moment, piece: &Piece) {
        let mut heard = false;
        if let (Some(port), None) = (&mut self.port, self.unplugged_at) {
            let far = port.far_settings().unwrap_or(self.line);
            heard = port.write(&uart::transfer(&piece.bytes, self.line, far)) && far == self.line && !piece.damaged;
        }
        if piece.unplug {
            self.unplugged_at = Some(at.now + PLUG_TIME);
        }
        let complete = self.transmitter.left(heard);
        let mut shown = self.shown.lock();
        shown.report.bytes_sent += piece.bytes.len() as u64;
        if let Some((bytes, heard)) = complete {
            shown.report.lines += 1;
            shown.report.lines_unheard += u64::from(!heard);
            shown.ledger.speak(SpokenLine { bytes, left_utc_ns: at.utc_ns, heard });
        }
    }

    fn report(&self) {
        let mut shown = self.shown.lock();
        let records = shown.ledger.records().len() as u64;
        let report = &mut shown.report;
        report.records = records;
        report.place = self.port.as_ref().map(|port| port.place());
        report.listened_to = self.is_heard();
        report.far_baud = self.port.as_ref().and_then(|port| port.far_settings()).map(|line| line.baud);
        report.idle = self.transmitter.is_idle();
        report.scenario_done = self.model.is_done();
        drop(shown);
        self.shown.changed.notify_all();
    }

    fn wait(&self) {
        let deadlines = [self.transmitter.poll_timeout(), self.model.poll_timeout(), self.unplugged_at];
        let now = self.clock.now();
        let until = deadlines.into_iter().flatten().min().map(|at| at.saturating_sub(now));
        let tick = self.port.as_ref().and_then(|port| port.tick());
        let timeout = until.into_iter().chain(tick).min().map(timespec);
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if let Some(port) = &self.port {
            port.poll_fds(&mut fds);
        }
        // Interrupted or not, the next turn finds out what there is to do.
        let _ = poll(&mut fds, timeout.as_ref());
        if fds[0].revents().contains(PollFlags::IN) {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
