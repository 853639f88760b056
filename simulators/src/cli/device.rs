//! `venue-sim device NAME`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use venue_devices::alge_timy::PrintStyle;
use venue_devices::{DeviceType, LineSettings, Parity};

use super::console::{Bench, Console};
use crate::device::{
    Attachment, Command, DeviceConfig, DeviceKind, NmeaConfig, RaceConfig, SimulatedDevice, TimyConfig,
};
use crate::quantity;

/// Arguments of `device`.
#[derive(Debug, Args)]
#[command(
    after_help = "Control lines on stdin: impulse CHANNEL [NUMBER], run-time NUMBER, number NUMBER, clear INDEX, \
                        renumber INDEX NUMBER, line TEXT, unplug, unplug-after BYTES, replug, restart, \
                        noise PER-MILLION, status, quit."
)]
pub(super) struct DeviceArguments {
    /// The device.
    name: Name,
    #[command(flatten)]
    plug: Plug,
    #[command(flatten)]
    line: LineArguments,
    #[command(flatten)]
    content: ContentArguments,
    /// Repeats scenario, wind and noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Ends when scenario or recording has been said.
    #[arg(long)]
    until_done: bool,
    /// Writes what it said and holds here at the end, as JSON.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Says all as JSON lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// ALGE Timy with memory.
    AlgeTimy,
    /// Weather station with satellite receiver.
    Nmea,
}

impl Name {
    /// The row of the table of devices.
    fn row(self) -> &'static DeviceType {
        match self {
            Self::AlgeTimy => &venue_devices::alge_timy::DEVICE,
            Self::Nmea => &venue_devices::nmea::DEVICE,
        }
    }
}

/// Where it is plugged in; a PTY if nothing else is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Plug {
    /// A symlink that always leads to its PTY.
    #[arg(long, value_name = "PATH")]
    pty_link: Option<PathBuf>,
    /// A real serial port.
    #[arg(long, value_name = "PATH")]
    port: Option<PathBuf>,
    /// TCP; the gateway connects.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// TCP; the device connects.
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
}

impl Plug {
    fn attachment(self) -> Attachment {
        let port = self.port.map(|port| Attachment::Serial { port });
        let listen = self.listen.map(Attachment::Listen);
        let connect = self.connect.map(Attachment::Connect);
        port.or(listen).or(connect).unwrap_or(Attachment::Pty { link: self.pty_link })
    }
}

/// How bytes leave.
#[derive(Debug, Args)]
struct LineArguments {
    /// Bits a second; by default those of the device.
    #[arg(long)]
    baud: Option<u32>,
    /// Data bits, parity and stop bits, for example 8N1 or 7E1.
    #[arg(long, value_parser = format, default_value = "8N1")]
    format: (u8, Parity, u8),
    /// Sends as fast as the port takes it.
    #[arg(long)]
    no_pacing: bool,
    /// Sends at most so many bytes at once.
    #[arg(long, value_name = "BYTES")]
    chunk: Option<usize>,
    /// Damages a bit in so many bytes of a million.
    #[arg(long, value_name = "PER-MILLION", default_value_t = 0)]
    noise: u32,
}

fn format(text: &str) -> Result<(u8, Parity, u8), String> {
    let wrong = || format!("`{text}` is no line format: write 7 or 8, N, E or O, and 1 or 2, for example 8N1");
    let [data @ (b'7' | b'8'), parity, stop @ (b'1' | b'2')] = *text.as_bytes() else { return Err(wrong()) };
    let parity = match parity.to_ascii_uppercase() {
        b'N' => Parity::None,
        b'E' => Parity::Even,
        b'O' => Parity::Odd,
        _ => return Err(wrong()),
    };
    Ok((data - b'0', parity, stop - b'0'))
}

/// What it says.
#[derive(Debug, Args)]
struct ContentArguments {
    /// What happens at an alge-timy: a race.
    #[arg(long, conflicts_with = "recording")]
    scenario: Option<Scenario>,
    /// Runners of the race.
    #[arg(long, default_value_t = 10)]
    runners: u16,
    /// From start to start.
    #[arg(long, value_parser = quantity::duration, default_value = "1s")]
    interval: Duration,
    /// Zone whose time of day the device shows, for example Europe/Paris.
    #[arg(long, value_parser = jiff::tz::TimeZone::get, default_value = "UTC")]
    timezone: jiff::tz::TimeZone,
    /// Starts an alge-timy in checksum mode (CHK1).
    #[arg(long)]
    checksum: bool,
    /// Samples of wind a second of an nmea station, 0 to 4.
    #[arg(long, default_value_t = 1)]
    wind_hz: u32,
    /// Plays raw bytes instead, from the moment somebody listens.
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scenario {
    Race,
}

impl ContentArguments {
    fn kind(self, name: Name, seed: u64) -> anyhow::Result<DeviceKind> {
        if let Some(file) = self.recording {
            return Ok(DeviceKind::Recording(
                std::fs::read(&file).with_context(|| format!("read the recording {}", file.display()))?,
            ));
        }
        let race =
            self.scenario.map(|Scenario::Race| RaceConfig { runners: self.runners, seed, interval: self.interval });
        Ok(match name {
            Name::AlgeTimy => DeviceKind::AlgeTimy(TimyConfig {
                style: PrintStyle { checksum: self.checksum, ..PrintStyle::default() },
                timezone: self.timezone,
                race,
            }),
            Name::Nmea if race.is_some() => anyhow::bail!("start the scenario: an nmea station has no race"),
            Name::Nmea => DeviceKind::Nmea(NmeaConfig { wind_hz: self.wind_hz, clock: true, seed }),
        })
    }
}

pub(super) async fn run(arguments: DeviceArguments) -> anyhow::Result<()> {
    let DeviceArguments { name, plug, line, content, seed, until_done, ledger, json } = arguments;
    let (data_bits, parity, stop_bits) = line.format;
    let baud = line.baud.or(name.row().line.map(|line| line.baud)).unwrap_or(9600);
    let device = SimulatedDevice::start(DeviceConfig {
        kind: content.kind(name, seed)?,
        attachment: plug.attachment(),
        line: LineSettings { baud, data_bits, parity, stop_bits },
        pacing: !line.no_pacing,
        chunk: line.chunk,
        noise_ppm: line.noise,
        seed,
    })?;
    let mut console = Console::open(json);
    let place = device.report().place.unwrap_or_default();
    let (name, people) = (name.row().name, format!("{} at {place}", name.row().name));
    console.started(json!({ "device": name, "place": place, "baud": baud }), &people)?;
    let mut bench = DeviceBench { device, until_done };
    console.drive(&mut bench).await?;
    match ledger {
        Some(file) => write_ledger(&bench.device, &file),
        None => Ok(()),
    }
}

fn write_ledger(device: &SimulatedDevice, file: &PathBuf) -> anyhow::Result<()> {
    let ledger = device.ledger();
    let text = json!({
        "records": ledger.records(),
        "lines": ledger.lines(),
        "forgotten_lines": ledger.forgotten_lines(),
    });
    std::fs::write(file, format!("{text}\n")).with_context(|| format!("write the ledger {}", file.display()))
}

struct DeviceBench {
    device: SimulatedDevice,
    until_done: bool,
}

impl Bench for DeviceBench {
    async fn obey(&mut self, line: &str) -> Result<(), String> {
        let command: Command = line.parse().map_err(|error: crate::device::UnknownCommand| error.to_string())?;
        command.apply(&self.device).map_err(|error| error.to_string())
    }

    fn state(&self) -> Value {
        json!(self.device.report())
    }

    fn describe(&self) -> String {
        let report = self.device.report();
        let place = match (&report.place, report.listened_to) {
            (None, _) => "unplugged".to_owned(),
            (Some(place), true) => format!("{place}, listened to"),
            (Some(place), false) => format!("{place}, nobody listens"),
        };
        format!("{place}: {} records, {} lines, {} of them unheard", report.records, report.lines, report.lines_unheard)
    }

    fn is_done(&self) -> bool {
        let report = self.device.report();
        self.until_done && report.scenario_done && report.idle
    }
}
