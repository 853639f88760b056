//! A device at one end of a real PTY, the gateway's conversation at the other.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use venue_devices::{Conversation as _, Device, Identity, Item, Role};

use super::*;

fn timy(link: &Path) -> DeviceConfig {
    DeviceConfig {
        attachment: Attachment::Pty { link: Some(link.to_owned()) },
        pacing: false,
        ..DeviceConfig::alge_timy()
    }
}

/// Opens a port as the gateway does: raw, at a speed.
fn open(path: &Path, baud: u32) -> File {
    let options = rustix::fs::OFlags::NOCTTY.bits() as i32;
    let file = File::options().read(true).write(true).custom_flags(options).open(path).unwrap();
    let mut termios = tcgetattr(&file).unwrap();
    termios.make_raw();
    termios.set_speed(baud).unwrap();
    tcsetattr(&file, OptionalActions::Now, &termios).unwrap();
    file
}

/// Reads this many bytes.
fn read(file: &mut File, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    file.read_exact(&mut bytes).unwrap();
    bytes
}

fn write(file: &File, bytes: &[u8]) {
    assert_eq!(rustix::io::write(file.as_fd(), bytes), Ok(bytes.len()));
}

fn noon(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(12 * 3600 + seconds))
}

/// Length of a long line with its CR.
const LINE: usize = 27;

/// What is said while nobody has the port open is gone from the line and repeated from
/// the memory on RSM; what is said afterwards is heard live. The gateway's own
/// conversation asks, and finds each impulse once.
#[test]
fn the_memory_gives_back_what_nobody_heard() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("timer");
    let device = SimulatedDevice::start(timy(&link)).unwrap();
    device.impulse(0, 7, noon(0)).unwrap();
    device.impulse(1, 7, noon(48)).unwrap();
    device.until(|report| report.lines == 2);
    assert_eq!(device.report().lines_unheard, 2);

    let mut port = open(&link, 9600);
    device.until(|report| report.listened_to);
    device.impulse(0, 8, noon(60)).unwrap();
    let heard = read(&mut port, LINE);
    assert_eq!(heard, b" 0008 C0  12:01:00.0000 00\r", "nothing of before is in the port");

    let mut conversation = Device::new("alge-timy", Role::Active).unwrap();
    let mut keys = Vec::new();
    let mut ended = false;
    let mut sink = |item: Item<'_>| match item {
        Item::Reading(reading) => {
            if let Identity::Content { key, .. } = reading.identity {
                keys.push(key.to_string());
            }
        }
        Item::ReplayEnded { complete } => ended = complete,
        _ => {}
    };
    conversation.handle_connected(Duration::ZERO, &mut sink);
    let due = conversation.poll_timeout().unwrap();
    conversation.handle_timeout(due, &mut sink);
    let mut command = [0; 256];
    let count = conversation.poll_transmit(due, &mut command);
    assert_eq!(&command[..count], b"RSM\r");
    write(&port, &command[..count]);
    while !ended {
        let mut bytes = [0; 64];
        let count = port.read(&mut bytes).unwrap();
        let mut sink = |item: Item<'_>| match item {
            Item::Reading(reading) => {
                if let Identity::Content { key, .. } = reading.identity {
                    keys.push(key.to_string());
                }
            }
            Item::ReplayEnded { complete } => ended = complete,
            _ => {}
        };
        conversation.handle_bytes(due, &bytes[..count], &mut sink);
    }
    let ledger = device.ledger();
    let promised: Vec<_> = ledger.records().iter().map(|record| record.key.clone()).collect();
    assert_eq!(keys, promised);
    assert_eq!(ledger.records()[1].time_of_day_ns, Some((12 * 3600 + 48) * 1_000_000_000));
}

/// What a reader left in the port when he closed it is not there for the next one, as
/// with a serial port.
#[test]
fn a_closed_port_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("timer");
    let device = SimulatedDevice::start(timy(&link)).unwrap();
    let port = open(&link, 9600);
    device.until(|report| report.listened_to);
    device.impulse(0, 7, noon(0)).unwrap();
    device.until(|report| report.lines == 1);
    drop(port);
    device.until(|report| !report.listened_to);
    let mut port = open(&link, 9600);
    device.until(|report| report.listened_to);
    device.impulse(1, 7, noon(48)).unwrap();
    assert_eq!(read(&mut port, LINE), b" 0007 C1  12:00:48.0000 00\r");
}

/// The plug is pulled in the middle of a line: the port reads as far as it came and
/// then fails, the symlink is gone, and leads to a new port after the plug is in again.
#[test]
fn a_plug_is_pulled_within_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("timer");
    let device = SimulatedDevice::start(DeviceConfig { chunk: Some(4), ..timy(&link) }).unwrap();
    let mut port = open(&link, 9600);
    device.until(|report| report.listened_to);
    device.unplug_after_bytes(13).unwrap();
    device.impulse(0, 7, noon(0)).unwrap();
    let mut read_back = Vec::new();
    let end = port.read_to_end(&mut read_back);
    assert!(b" 0007 C0  12:".starts_with(&read_back), "{}", read_back.escape_ascii());
    assert!(end.is_err() || end.is_ok_and(|count| count <= 13), "EIO or the end, as the kernel has it");
    device.until(|report| report.place.is_none() && report.lines == 1);
    assert!(!link.exists());

    device.replug().unwrap();
    let mut port = open(&link, 9600);
    device.until(|report| report.listened_to);
    device.impulse(1, 7, noon(48)).unwrap();
    assert_eq!(read(&mut port, LINE), b" 0007 C1  12:00:48.0000 00\r");
    device.until(|report| report.lines == 2);
    let heard: Vec<bool> = device.ledger().lines().iter().map(|line| line.heard).collect();
    assert_eq!(heard, [false, true]);
}

/// A gateway that set another speed reads what a UART reads then, and the device does
/// not understand it; at the right speed both do, without opening the port again.
#[test]
fn a_wrong_speed_garbles_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("timer");
    let device = SimulatedDevice::start(timy(&link)).unwrap();
    let mut port = open(&link, 4800);
    device.until(|report| report.far_baud == Some(4800));
    write(&port, b"NSF?\r");
    device.until(|report| report.bytes_received == 5);
    device.line(*b"U\r").unwrap();
    let garbled = uart::transfer(b"U\r", LineSettings::eight_n_one(9600), LineSettings::eight_n_one(4800));
    assert_ne!(garbled, b"U\r");
    assert_eq!(read(&mut port, garbled.len()), garbled);

    let mut termios = tcgetattr(&port).unwrap();
    termios.set_speed(9600).unwrap();
    tcsetattr(&port, OptionalActions::Now, &termios).unwrap();
    // The end of a line first: what was garbled is still in the ears of the device.
    write(&port, b"\rNSF?\r");
    assert_eq!(read(&mut port, 3), b"NSF");
    device.until(|report| report.idle && report.lines >= 2);
    assert_eq!(device.report().lines_unheard, 1);
}

/// At 9600 baud a line of 27 characters takes 28 ms.
#[test]
fn a_line_takes_the_time_of_its_speed() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("timer");
    let device = SimulatedDevice::start(DeviceConfig { pacing: true, ..timy(&link) }).unwrap();
    let mut port = open(&link, 9600);
    device.until(|report| report.listened_to);
    let clock = Clock::start();
    device.impulse(0, 7, noon(0)).unwrap();
    read(&mut port, LINE);
    assert!(clock.now() >= Duration::from_millis(28), "{:?}", clock.now());
}

/// A race runs through, its memory holds every impulse once, and switching the device
/// off and on loses nothing of it.
#[test]
fn a_race_is_in_the_ledger() {
    let race = RaceConfig { runners: 20, seed: 3, interval: Duration::from_millis(2) };
    let kind = DeviceKind::AlgeTimy(TimyConfig { race: Some(race), ..TimyConfig::default() });
    let attachment = Attachment::Listen((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let config = DeviceConfig { kind, attachment, pacing: false, ..DeviceConfig::alge_timy() };
    let device = SimulatedDevice::start(config).unwrap();
    device.until(|report| report.scenario_done);
    device.restart().unwrap();
    let ledger = device.ledger();
    let count = |code: &str| ledger.records().iter().filter(|it| it.code == code && !it.correction).count();
    let cleared = ledger.records().iter().filter(|it| it.correction && it.flag == 'c').count();
    assert_eq!((count("C0"), count("RT")), (20, 20));
    assert_eq!(count("C1"), 20 + cleared);
    assert!(
        ledger
            .records()
            .iter()
            .all(|it| it.stored && it.key.starts_with(if it.correction { ['c', 'n'] } else { ['C', 'R'] }))
    );

    let mut stream = std::net::TcpStream::connect(device.report().place.unwrap()).unwrap();
    std::io::Write::write_all(&mut stream, b"RSM\r").unwrap();
    let mut dump = Vec::new();
    while !dump.windows(5).any(|it| it == b"TIMY ") {
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes).unwrap();
        dump.extend_from_slice(&bytes[..count]);
    }
    let lines = dump.split(|byte| *byte == b'\r').filter(|line| line.len() == LINE - 1).count();
    assert_eq!(lines, ledger.records().iter().filter(|it| !it.correction).count());
    assert!(device.impulse(10, 1, None).is_err());
    assert!(device.impulse(1, 10_000, None).is_err());
    assert!(device.clear(9999).is_err());
}

/// A recording is played to whoever connects to, byte for byte.
#[test]
fn a_recording_is_played_as_it_is() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let config = DeviceConfig {
        kind: DeviceKind::Recording(bytes.clone()),
        attachment: Attachment::Connect(listener.local_addr().unwrap().to_string()),
        line: LineSettings::eight_n_one(115_200),
        ..DeviceConfig::nmea()
    };
    let device = SimulatedDevice::start(config).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut read = Vec::new();
    device.until(|report| report.scenario_done && report.idle);
    drop(device);
    stream.read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes);
}
