//! Serial sources on real PTYs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bench::{Bench, Lines, Seen, serial};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, InputModes, LocalModes, OptionalActions, tcgetattr, tcsetattr};
use venue_devices::{LineSettings, Parity};
use venue_gateway::config::TransportConfig;
use venue_gateway::source::LineErrors;

/// A simulated device: the far end of a PTY. Dropped, it is unplugged.
struct Device {
    far: File,
    tty: PathBuf,
}

impl Device {
    fn plug_in() -> Self {
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let tty = ptsname(&far, Vec::new()).unwrap().into_string().unwrap().into();
        Self { far: far.into(), tty }
    }

    /// Plugs in under a lasting name, as udev does.
    fn plug_in_as(name: &Path) -> Self {
        let device = Self::plug_in();
        let _ = std::fs::remove_file(name);
        symlink(&device.tty, name).unwrap();
        device
    }

    fn say(&mut self, bytes: &[u8]) {
        self.far.write_all(bytes).unwrap();
    }

    /// Reads until a line's end.
    fn hear(&mut self) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            self.far.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap()
    }
}

/// Bytes of every value arrive as they were sent, whatever the pieces: the tty's
/// marking of damaged bytes (which doubles FF) is undone.
#[test]
fn every_byte_arrives_in_any_split() {
    let mut device = Device::plug_in();
    let bench = Bench::start(serial(&device.tty));
    bench.record.wait_connected(1);
    let body: Vec<u8> = (0..=255_u8).filter(|byte| *byte != b'\n').collect();
    let expected = String::from_utf8_lossy(&body).into_owned();
    for piece in [1, 2, 3, 7, 64, 256] {
        for part in [&body[..], b"\n"].concat().chunks(piece) {
            device.say(part);
        }
    }
    let seen = bench.record.wait("six lines", |seen| seen.len() == 7);
    assert_eq!(seen[1..], vec![Seen::Line(expected); 6]);
    let state = bench.source.state().snapshot();
    assert_eq!((state.bytes_received, state.errors), (6 * 256, LineErrors::default()));
}

/// The port is set as configured: raw, no echo (an echo would be heard as the
/// device's own words and could answer itself), damaged bytes marked.
#[test]
fn the_port_is_raw_and_marks_damage() {
    let device = Device::plug_in();
    let bench = Bench::start(serial(&device.tty));
    bench.record.wait_connected(1);
    let look: OwnedFd = rustix::fs::open(&device.tty, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let termios = tcgetattr(&look).unwrap();
    assert_eq!(termios.input_speed(), 19_200);
    assert!(termios.input_modes.contains(InputModes::INPCK | InputModes::PARMRK));
    assert!(!termios.input_modes.intersects(InputModes::IGNPAR | InputModes::ISTRIP | InputModes::IXON));
    assert!(!termios.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
    assert!(!termios.control_modes.intersects(ControlModes::CRTSCTS | ControlModes::HUPCL));
}

/// A speed that no table of termios has, and two stop bits: the port takes them, and
/// the next start, which finds the port so, opens it as well.
#[test]
fn an_odd_speed_is_taken_again_and_again() {
    let device = Device::plug_in();
    let line = LineSettings { baud: 31_250, data_bits: 8, parity: Parity::Odd, stop_bits: 2 };
    for _ in 0..2 {
        let bench = Bench::start(TransportConfig::Serial { port: device.tty.clone(), line });
        bench.record.wait_connected(1);
        let look: OwnedFd = rustix::fs::open(&device.tty, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let termios = tcgetattr(&look).unwrap();
        assert_eq!((termios.input_speed(), termios.output_speed()), (31_250, 31_250));
        assert!(termios.control_modes.contains(ControlModes::CSTOPB | ControlModes::PARODD));
        bench.stop();
    }
}

/// What the device said before the gateway opened its port is heard.
#[test]
fn what_was_said_before_the_start_is_heard() {
    let mut device = Device::plug_in();
    let look: OwnedFd = rustix::fs::open(&device.tty, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut termios = tcgetattr(&look).unwrap();
    termios.make_raw();
    tcsetattr(&look, OptionalActions::Now, &termios).unwrap();
    device.say(b"before\n");
    let bench = Bench::start(serial(&device.tty));
    bench.record.wait_line("before");
}

/// The device is greeted when the line comes up, told what is durable when that
/// moves, and polled when its time has come; nothing else is sent.
#[test]
fn the_conversation_reaches_the_device() {
    let mut device = Device::plug_in();
    let bench = Bench::start(serial(&device.tty));
    assert_eq!(device.hear(), "hello\n");
    device.say(b"one\ntwo\n");
    bench.record.wait_line("two");
    bench.make_durable(2);
    assert_eq!(device.hear(), "safe 2\n");
    bench.pass(Duration::from_secs(61));
    assert_eq!(device.hear(), "poll\n");
    bench.wait_state("count of what was sent", |state| state.bytes_sent == 18);
}

/// An adapter is pulled out in the middle of a line and comes back under another
/// tty number: the cut line is reported, the port is found by its lasting name, the
/// next line is whole, and the absence is told once.
#[test]
fn a_replugged_adapter_is_found_by_its_lasting_name() {
    let by_id = tempfile::tempdir().unwrap();
    let name = by_id.path().join("usb-Timer_A1-if00-port0");
    let mut device = Device::plug_in_as(&name);
    let bench = Bench::start(serial(&name));
    device.say(b"whole\nin the mid");
    bench.record.wait_line("whole");
    // The unfinished line is at the source before the adapter goes.
    bench.wait_state("unfinished line", |state| state.bytes_received == 16);
    let first_tty = device.tty.clone();
    std::fs::remove_file(&name).unwrap();
    drop(device);
    bench.record.wait("failure", |seen| seen.iter().any(|it| matches!(it, Seen::Failed(_))));
    for _ in 0..3 {
        bench.pass(Duration::from_secs(2));
    }
    // Takes the lowest free number, as another adapter would.
    let _other = Device::plug_in();
    let mut device = Device::plug_in_as(&name);
    bench.pass(Duration::from_secs(2));
    device.say(b"whole again\n");
    let seen = bench.record.wait_line("whole again");

    let tty = |path: &Path| Seen::Connected(path.display().to_string());
    assert_eq!(seen[..2], [tty(&first_tty), Seen::Line("whole".to_owned())]);
    assert_eq!(seen[2], Seen::Truncated("in the mid".to_owned()));
    assert!(matches!(&seen[3], Seen::Disconnected(reason) if reason.contains("plugged in")), "{seen:#?}");
    assert!(matches!(&seen[4], Seen::Failed(error) if error.contains("usb-Timer_A1")), "{seen:#?}");
    assert_eq!(seen[5..], [tty(&device.tty), Seen::Line("whole again".to_owned())]);
    let state = bench.source.state().snapshot();
    assert_eq!((state.reconnects(), state.connected.unwrap().peer), (1, device.tty.display().to_string()));
}

/// A gateway is killed while it holds the port. A second one, which was told that
/// the port is taken, gets it as soon as the first is gone.
#[test]
fn the_port_is_free_after_its_holder_was_killed() {
    let mut device = Device::plug_in();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "serial::holds_the_port_until_killed", "--ignored", "--nocapture"])
        .env("HELD_PORT", &device.tty)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("the port is held")), "the holder ended early");
    assert_eq!(device.hear(), "hello\n");

    let bench = Bench::start(serial(&device.tty));
    let seen = bench.record.wait("failure", |seen| !seen.is_empty());
    assert!(matches!(&seen[0], Seen::Failed(error) if error.contains("another program holds")), "{seen:?}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    bench.pass(Duration::from_secs(2));
    bench.record.wait_connected(1);
    device.say(b"after\n");
    bench.record.wait_line("after");
}

/// The process that the test above kills.
#[test]
#[ignore = "started by the_port_is_free_after_its_holder_was_killed"]
fn holds_the_port_until_killed() {
    let bench = Bench::start(serial(std::env::var("HELD_PORT").expect("started by the other test")));
    bench.record.wait_connected(1);
    println!("the port is held");
    // Ends by itself, too, should the test that waits for it die.
    let _ = std::io::stdin().read(&mut [0]);
}

/// After the time of its alarm without a byte a device is reported silent, once; the
/// next byte ends that. The alarm also covers a device that never came.
#[test]
fn a_silent_device_is_reported_once() {
    let (alarm, pause) = (Duration::from_secs(30), Duration::from_secs(31));
    let by_id = tempfile::tempdir().unwrap();
    let name = by_id.path().join("usb-Timer_A1-if00-port0");
    let bench = Bench::start_with(serial(&name), Some(alarm), Lines::default());
    bench.record.wait("failure", |seen| !seen.is_empty());
    bench.pass(pause);
    bench.record.wait("alarm", |seen| seen.iter().any(|it| matches!(it, Seen::Silent(_))));
    let mut device = Device::plug_in_as(&name);
    bench.pass(pause);
    bench.record.wait_connected(1);
    assert!(bench.source.state().snapshot().silent);
    device.say(b"awake\n");
    bench.record.wait_line("awake");
    assert!(!bench.source.state().snapshot().silent);
    bench.pass(alarm / 2);
    device.say(b"still awake\n");
    bench.record.wait_line("still awake");
    bench.pass(pause);
    let seen = bench.record.wait("second alarm", |seen| matches!(seen.last(), Some(Seen::Silent(_))));

    let [Seen::Failed(_), Seen::Silent(first), Seen::Connected(_), Seen::HeardAgain(heard), ..] = &seen[..] else {
        panic!("{seen:#?}");
    };
    assert!(*first >= pause && *first < 2 * pause, "{first:?}");
    assert!(*heard >= 2 * pause && *heard < 3 * pause, "{heard:?}");
    let lines = ["awake", "still awake"].map(|line| Seen::Line(line.to_owned()));
    assert_eq!(seen[4..6], lines);
    assert!(matches!(&seen[6..], [Seen::Silent(second)] if *second >= pause && *second < 2 * pause), "{seen:#?}");
}

/// A source stops at once, whether the port is there or it waits to try again.
#[test]
fn stopping_is_prompt() {
    let device = Device::plug_in();
    for port in [device.tty.as_path(), Path::new("/dev/serial/by-id/none")] {
        // The best of three: a busy machine may make one of them late.
        let stop = || {
            let bench = Bench::start(serial(port));
            bench.record.wait("first event", |seen| !seen.is_empty());
            bench.stop()
        };
        let best = (0..3).map(|_| stop()).min().unwrap();
        assert!(best < Duration::from_millis(200), "{best:?} for {}", port.display());
    }
}
