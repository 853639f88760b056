//! Simulated devices: on a PTY, a serial port or TCP, with a memory, an operator and
//! plugs that can be pulled.
//!
//! ```text
//!  operator, scenario ─► model ─► transmitter ─► UART ─► port ─► gateway
//!                         ▲ │     baud, pieces,  other    PTY, serial,
//!                         │ └──►  noise, plug    settings TCP
//!                         │ ledger                        │
//!                         └────── commands (RSM, …) ◄─────┘
//! ```
//!
//! A device does as devices do: it prints whether or not anybody listens, a byte
//! takes its time, what is written while no one has the port open is gone, and what
//! it stored can be asked for again. It speaks through the code that the gateway
//! reads with. What it never does: wait for the gateway, or tell it anything that the
//! real device would not.
//!
//! ```
//! use venue_sim::device::{DeviceConfig, SimulatedDevice};
//!
//! let timer = SimulatedDevice::start(DeviceConfig::alge_timy())?;
//! timer.impulse(1, 7, None)?;                    // nobody listens yet
//! timer.until(|report| report.lines == 1);
//! let ledger = timer.ledger();
//! assert!(!ledger.lines()[0].heard);             // gone on the line …
//! assert_eq!(ledger.records()[0].code, "C1");    // … and kept in the memory
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod control;
mod ledger;
mod model;
mod nmea;
mod port;
mod race;
mod recording;
mod runner;
mod timy;
mod transmitter;
pub mod uart;

pub use control::{Command, UnknownCommand};
pub use ledger::{Ledger, MOST_LINES, MemoryRecord, SpokenLine};
pub use model::Refused;
pub use nmea::NmeaConfig;
pub use port::{Attachment, PortError};
pub use race::RaceConfig;
pub use timy::{MEMORY_RECORDS, TimyConfig};

use std::os::fd::OwnedFd;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use venue_devices::LineSettings;

use crate::clock::{self, Clock};
use model::{Action, Model, Moment};
use runner::{Knob, Order, Runner, Shown};
use transmitter::{Pace, Transmitter};

/// The most knobs that are turned and not yet obeyed.
const MOST_ORDERS: usize = 64;

/// What a device is.
#[derive(Debug, Clone)]
pub enum DeviceKind {
    /// An ALGE Timy.
    AlgeTimy(TimyConfig),
    /// A weather station with a satellite receiver.
    Nmea(NmeaConfig),
    /// Raw bytes, played once.
    Recording(Vec<u8>),
}

/// A device, where it is plugged in, and how it sends.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// What it is.
    pub kind: DeviceKind,
    /// Where it is plugged in.
    pub attachment: Attachment,
    /// Its line settings; those of the gateway must be the same.
    pub line: LineSettings,
    /// Whether a byte takes the time that it takes on a line.
    pub pacing: bool,
    /// Most bytes that leave in one piece, at least 1; none for what the pace gives.
    pub chunk: Option<usize>,
    /// Bytes of a million of which one bit is damaged.
    pub noise_ppm: u32,
    /// Repeats the noise.
    pub seed: u64,
}

impl DeviceConfig {
    /// A Timy on a PTY, 9600 8N1, with an empty memory.
    pub fn alge_timy() -> Self {
        Self::new(DeviceKind::AlgeTimy(TimyConfig::default()), 9600)
    }

    /// A weather station on a PTY, 4800 8N1.
    pub fn nmea() -> Self {
        Self::new(DeviceKind::Nmea(NmeaConfig::default()), 4800)
    }

    fn new(kind: DeviceKind, baud: u32) -> Self {
        Self {
            kind,
            attachment: Attachment::Pty { link: None },
            line: LineSettings::eight_n_one(baud),
            pacing: true,
            chunk: None,
            noise_ppm: 0,
            seed: 0,
        }
    }

    fn pace(&self) -> Pace {
        let bits = uart::bits_per_character(self.line);
        let character = Duration::from_nanos(u64::from(bits) * 1_000_000_000 / u64::from(self.line.baud.max(1)));
        Pace { character: self.pacing.then_some(character), chunk: self.chunk }
    }
}

/// Why a device could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Its port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Its configuration.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Its thread.
    #[error("start the device's thread")]
    Thread(#[from] std::io::Error),
}

/// State and counters of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeviceReport {
    /// What the gateway is to open or connect to; none while unplugged.
    pub place: Option<String>,
    /// Somebody has the port open or is connected.
    pub listened_to: bool,
    /// The speed that the gateway has set, where it can be known.
    pub far_baud: Option<u32>,
    /// Records stored and changes of them.
    pub records: u64,
    /// Lines that left.
    pub lines: u64,
    /// Those of them of which something was not heard or was damaged.
    pub lines_unheard: u64,
    /// Bytes that left.
    pub bytes_sent: u64,
    /// Bytes that came from the gateway.
    pub bytes_received: u64,
    /// Nothing waits to leave.
    pub idle: bool,
    /// The scenario or recording has come to its end.
    pub scenario_done: bool,
}

/// A running device. Every knob returns when it is turned; what follows from it is
/// waited for by [`SimulatedDevice::until`]. Dropping it unplugs it and ends it.
#[derive(Debug)]
pub struct SimulatedDevice {
    orders: SyncSender<Order>,
    wake: Arc<OwnedFd>,
    shown: Arc<Shown>,
    thread: Option<JoinHandle<()>>,
}

impl SimulatedDevice {
    /// Plugs the device in and switches it on.
    ///
    /// # Errors
    /// [`DeviceError`] if its port cannot be opened or its configuration is wrong.
    pub fn start(config: DeviceConfig) -> Result<Self, DeviceError> {
        let clock = Clock::start();
        let at = Moment { now: clock.now(), utc_ns: clock::utc_ns() };
        let pace = config.pace();
        let model: Box<dyn Model> = match config.kind {
            DeviceKind::AlgeTimy(timy) => Box::new(timy::Timy::new(&timy, at)?),
            DeviceKind::Nmea(nmea) => Box::new(nmea::Nmea::new(nmea, at)?),
            DeviceKind::Recording(bytes) => Box::new(recording::Recording::new(bytes)),
        };
        let wake =
            rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK);
        let wake = Arc::new(wake.map_err(std::io::Error::from)?);
        let (orders, received) = sync_channel(MOST_ORDERS);
        let shown = Arc::new(Shown::default());
        let mut runner = Runner {
            model,
            transmitter: Transmitter::new(pace, config.noise_ppm, config.seed),
            port: Some(port::open(&config.attachment, config.line)?),
            unplugged_at: None,
            attachment: config.attachment,
            line: config.line,
            orders: received,
            wake: Arc::clone(&wake),
            clock,
            shown: Arc::clone(&shown),
        };
        runner.settle();
        let thread = std::thread::Builder::new().name("device".into()).spawn(move || runner.run())?;
        Ok(Self { orders, wake, shown, thread: Some(thread) })
    }

    /// Triggers an input: channel 0 to 9, start number or 0, local time of day or now.
    ///
    /// # Errors
    /// [`Refused`] if the device has no inputs or an argument is out of range.
    pub fn impulse(&self, channel: u8, start_number: u16, time_of_day: Option<Duration>) -> Result<(), Refused> {
        self.act(Action::Impulse { channel, start_number, time_of_day })
    }

    /// Has the device compute the run time of a start number's latest start and finish.
    ///
    /// # Errors
    /// [`Refused`] if the device cannot or has no such impulses.
    pub fn run_time(&self, start_number: u16) -> Result<(), Refused> {
        self.act(Action::RunTime { start_number })
    }

    /// Keys in a start number.
    ///
    /// # Errors
    /// [`Refused`] if the device has no keyboard or the number is above 9999.
    pub fn choose(&self, start_number: u16) -> Result<(), Refused> {
        self.act(Action::Choose { start_number })
    }

    /// Clears the record at a place of the memory.
    ///
    /// # Errors
    /// [`Refused`] if there is none.
    pub fn clear(&self, index: usize) -> Result<(), Refused> {
        self.act(Action::Clear { index })
    }

    /// Gives the record at a place of the memory to another start number.
    ///
    /// # Errors
    /// [`Refused`] if there is none.
    pub fn renumber(&self, index: usize, start_number: u16) -> Result<(), Refused> {
        self.act(Action::Renumber { index, start_number })
    }

    /// Says any bytes, as they are.
    ///
    /// # Errors
    /// [`Refused::LineBusy`] if too much waits.
    pub fn line(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Refused> {
        self.order(Knob::Line(bytes.into()))
    }

    /// Pulls the plug now.
    ///
    /// # Errors
    /// [`Refused::Ended`].
    pub fn unplug(&self) -> Result<(), Refused> {
        self.order(Knob::Unplug)
    }

    /// Pulls the plug behind this many more bytes, in the middle of a line if they end
    /// there.
    ///
    /// # Errors
    /// [`Refused::Ended`].
    pub fn unplug_after_bytes(&self, bytes: u64) -> Result<(), Refused> {
        self.order(Knob::UnplugAfter(bytes))
    }

    /// Plugs the device in again: a new PTY behind the same symlink, the same port, the
    /// same address.
    ///
    /// # Errors
    /// [`Refused::Port`] if the port cannot be opened.
    pub fn replug(&self) -> Result<(), Refused> {
        self.order(Knob::Replug)
    }

    /// Switches the device off and on: what waits to be said is lost, also the rest of a
    /// line that has begun; the memory stays.
    ///
    /// # Errors
    /// [`Refused::Ended`].
    pub fn restart(&self) -> Result<(), Refused> {
        self.order(Knob::Restart)
    }

    /// Damages a bit in this many bytes of a million.
    ///
    /// # Errors
    /// [`Refused::Ended`].
    pub fn set_noise(&self, per_million: u32) -> Result<(), Refused> {
        self.order(Knob::Noise(per_million))
    }

    /// What it said and holds, up to now.
    pub fn ledger(&self) -> Ledger {
        self.shown.lock().ledger.clone()
    }

    /// State and counters.
    pub fn report(&self) -> DeviceReport {
        self.shown.lock().report.clone()
    }

    /// Waits until the report satisfies a condition, and returns it. Blocks the thread.
    pub fn until(&self, mut condition: impl FnMut(&DeviceReport) -> bool) -> DeviceReport {
        let waiting = self.shown.changed.wait_while(self.shown.lock(), |state| !condition(&state.report));
        waiting.unwrap_or_else(PoisonError::into_inner).report.clone()
    }

    fn act(&self, action: Action) -> Result<(), Refused> {
        self.order(Knob::Act(action))
    }

    fn order(&self, what: Knob) -> Result<(), Refused> {
        let (outcome, told) = sync_channel(1);
        self.orders.send(Order { what, outcome }).map_err(|_| Refused::Ended)?;
        self.wake();
        told.recv().map_err(|_| Refused::Ended)?
    }

    fn wake(&self) {
        // Only a full counter refuses, and then the thread is awake anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for SimulatedDevice {
    fn drop(&mut self) {
        let (outcome, _) = sync_channel(1);
        let _ = self.orders.send(Order { what: Knob::End, outcome });
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
