//! Devices on PTYs and TCP.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Stdio};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use venue_gateway::cli::Exit;

use crate::program::{answer, ends, gateway, json, passes_check, probe, text};

const RUN: &str = " 0007 C0  10:04:55.6513 00\r 0007 C1  10:05:55.4113 00\r 0007 RT  00:00:59.76   00\r";
const SECOND: &str =
    "$GPZDA,100000.00,28,11,2026,00,00*6B\r\n$WIMWV,57.5,R,13.0,N,A*26\r\n$GPZDA,005947.00,08,07,2010,+00,00*4E\r\n";

/// A port with a device behind it: a PTY that is raw from the beginning, so that nothing of
/// the device's is echoed or lost before somebody listens.
struct Port {
    far: File,
    tty: String,
}

impl Port {
    fn plug_in() -> Self {
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a PTY");
        grantpt(&far).and_then(|()| unlockpt(&far)).expect("a PTY");
        let tty = ptsname(&far, Vec::new()).expect("its name").into_string().expect("text");
        let mut termios = tcgetattr(&far).expect("a tty");
        termios.make_raw();
        tcsetattr(&far, OptionalActions::Now, &termios).expect("a tty");
        Self { far: far.into(), tty }
    }

    fn say(&mut self, text: &str) {
        self.far.write_all(text.as_bytes()).expect("the port is there");
    }

    /// The near end, to look at its settings and to keep it from hanging up.
    fn look(&self) -> OwnedFd {
        rustix::fs::open(self.tty.as_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("a tty")
    }

    /// What the other end has sent until now.
    fn sent(&mut self) -> Vec<u8> {
        rustix::io::ioctl_fionbio(&self.far, true).expect("a tty");
        let mut sent = Vec::new();
        let _ = self.far.read_to_end(&mut sent);
        sent
    }
}

/// What the probe tells while it works.
struct Told(BufReader<ChildStderr>);

impl Told {
    fn of(probe: &mut Child) -> Self {
        Self(BufReader::new(probe.stderr.take().expect("piped")))
    }

    /// Waits for a line.
    fn wait(&mut self, expected: &str) {
        let mut line = String::new();
        while line.trim_end() != expected {
            line.clear();
            assert!(self.0.read_line(&mut line).expect("text") > 0, "it ended without {expected:?}");
        }
    }
}

/// A timer and a receiver are recognised on a port; not a byte is sent to them, and the block
/// that is printed passes `check`.
#[test]
fn a_device_on_a_port_is_found_and_left_in_peace() {
    let folder = tempfile::tempdir().expect("a folder");
    for (device, said, kind, checked) in [("alge-timy", RUN, "impulse", 0), ("nmea", SECOND, "measurement", 3)] {
        let mut port = Port::plug_in();
        let _open = port.look();
        port.say(said);
        let found = json(probe(&[&port.tty, "--json", "--seconds", "60"]), Exit::Success);
        assert_eq!((&found["found"], &found["protocol"]), (&true.into(), &device.into()), "{found}");
        assert_eq!((&found["confidence"], &found["line"]), (&"sure".into(), &"9600 8N1".into()));
        assert_eq!((&found["sound"], &found["checked"], &found["rejected"]), (&3.into(), &checked.into(), &0.into()));
        assert_eq!(found["events"].as_array().map(Vec::len), Some(3));
        assert!(found["events"][0].get(kind).is_some(), "{found}");
        passes_check(&found["config"], folder.path());
        assert_eq!(text(&port.sent()), "", "a probe only listens");
    }
}

/// What people read names the device, shows events, and ends with the block.
#[test]
fn a_person_reads_device_events_and_block() {
    let mut port = Port::plug_in();
    let _open = port.look();
    port.say(RUN);
    let found = answer(probe(&[&port.tty, "--seconds", "60"]), Exit::Success);
    let first = format!("{}: ALGE TdC 8000/8001, Timy, Timy2, Timy3 (`alge-timy`) at 9600 8N1, sure", port.tty);
    assert_eq!(found.lines().next(), Some(&first[..]), "{found}");
    assert!(found.contains("3 sound records, 0 of them with verified check digits; 0 rejected"), "{found}");
    assert!(found.contains("C0 #7") && found.contains("run time #7"), "{found}");
    let block = format!("serial = {{ port = \"{}\", baud = 9600 }}", port.tty);
    assert!(found.trim_end().ends_with(&block), "{found}");
}

/// Nothing comes: all settings are tried, and the answer is what to check.
#[test]
fn silence_is_told_with_what_to_check() {
    let port = Port::plug_in();
    let _open = port.look();
    let nothing = answer(probe(&[&port.tty, "--seconds", "1"]), Exit::Failure);
    assert!(nothing.starts_with(&format!("{}: nothing came at 9600 8N1, 4800 8N1, ", port.tty)), "{nothing}");
    for cure in ["is the device on", "null modem", "RTS and CTS", "--ask"] {
        assert!(nothing.contains(cure), "{nothing}");
    }
}

/// What nobody here speaks is shown as it came, setting by setting.
#[test]
fn a_foreign_protocol_is_shown() {
    let mut port = Port::plug_in();
    let _open = port.look();
    port.say(&"STX;lane=4;50.21\r\n".repeat(20));
    let unknown = json(probe(&[&port.tty, "--seconds", "1", "--json"]), Exit::Failure);
    assert_eq!((&unknown["found"], &unknown["config"]), (&false.into(), &serde_json::Value::Null));
    let first = &unknown["heard"][0];
    assert_eq!(
        (&first["line"], &first["bytes"], &first["text_percent"]),
        (&"9600 8N1".into(), &360.into(), &100.into())
    );
    assert!(unknown["advice"][2].as_str().is_some_and(|it| it.contains("where nothing came")), "{unknown}");
    assert!(unknown["advice"][1].as_str().is_some_and(|it| it.contains("not in `venue-gateway devices`")), "{unknown}");
}

/// A timer that is silent is asked for its firmware if the integrator says so, and only after
/// listening.
#[test]
fn a_silent_timer_answers_when_it_is_asked() {
    let mut port = Port::plug_in();
    let _open = port.look();
    let mut probe = probe(&[&port.tty, "--seconds", "1", "--ask", "--json"]);
    let mut told = Told::of(&mut probe);
    told.wait("listens at 57600 8N1");
    let mut asked = [0; 5];
    port.far.read_exact(&mut asked).expect("the port is there");
    assert_eq!(&asked, b"NSF?\r");
    port.say("NSF 20A1\r");
    let found = json(probe, Exit::Success);
    assert_eq!((&found["protocol"], &found["confidence"]), (&"alge-timy".into(), &"likely".into()), "{found}");
}

/// SIGINT ends a probe with what it knows: here one impulse, which is not enough to be sure.
#[test]
fn sigint_ends_it_with_what_is_known() {
    let mut port = Port::plug_in();
    let _open = port.look();
    let mut probe = probe(&[&port.tty, "--seconds", "3600", "--json"]);
    let mut told = Told::of(&mut probe);
    told.wait("listens at 9600 8N1");
    port.say(" 0007 C0  10:04:55.6513 00\r");
    told.wait("listens at 9600 8N1: something comes");
    kill_process(Pid::from_child(&probe), Signal::INT).expect("it runs");
    let found = json(probe, Exit::Success);
    assert_eq!(
        (&found["protocol"], &found["confidence"], &found["sound"]),
        (&"alge-timy".into(), &"likely".into(), &1.into())
    );
}

/// A running gateway's port: refused by name, and neither its settings nor its bytes are touched.
#[test]
fn a_running_gateways_port_is_left_alone() {
    let mut port = Port::plug_in();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.toml");
    let site = format!(
        "[gateway]\nid = \"gw-1\"\nvenue = \"v\"\ntimezone = \"UTC\"\ndata_dir = \"data\"\n\
         [journal]\nresults = {{ quota = \"2MiB\", reserve = \"1MiB\" }}\ntelemetry = {{ quota = \"2MiB\" }}\n\
         [[source]]\nname = \"timer\"\ndevice = \"alge-timy\"\nserial = {{ port = \"{}\", baud = 19200 }}\n",
        port.tty
    );
    std::fs::write(&file, site).expect("written");
    let mut running = gateway(&["run", "--config", &file.to_string_lossy()]);
    let mut running = Ended(running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
    // It has the port once it asks the timer for its memory.
    let mut asked = [0; 4];
    port.far.read_exact(&mut asked).expect("the port is there");
    assert_eq!(&asked, b"RSM\r");

    let refused = gateway(&["probe", &port.tty, "--ask"]).output().expect("it starts");
    ends(&refused, Exit::Failure);
    let told = text(&refused.stderr);
    let holder = format!("{} is in use by venue-gateway (process {})", port.tty, running.0.id());
    assert!(told.contains(&holder) && told.contains("left alone"), "{told}");
    assert_eq!(tcgetattr(port.look()).expect("a tty").input_speed(), 19_200);
    port.say(RUN);
    kill_process(Pid::from_child(&running.0), Signal::TERM).expect("it runs");
    assert_eq!(running.0.wait().expect("ours").code(), Some(0));
    let journal = gateway(&["journal", "export", &folder.path().join("data").to_string_lossy()]).output();
    let stored = text(&journal.expect("it starts").stdout);
    assert!(stored.contains("10:05:55.4113"), "{stored}");
}

/// A process that a failing test leaves behind nowhere.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A device that listens on TCP: says something to whoever connects, waits until the other end
/// hangs up, and returns what that sent.
fn listening(said: &'static str) -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let device = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        client.write_all(said.as_bytes()).expect("it listens");
        let mut sent = Vec::new();
        let _ = client.read_to_end(&mut sent);
        sent
    });
    (address, device)
}

/// A device behind TCP is found without a word to it.
#[test]
fn a_device_behind_tcp_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    for (said, device) in [(RUN, "alge-timy"), (SECOND, "nmea")] {
        let (address, listening) = listening(said);
        let found = json(probe(&[&address, "--seconds", "60", "--json"]), Exit::Success);
        assert_eq!((&found["protocol"], &found["confidence"]), (&device.into(), &"sure".into()), "{found}");
        assert_eq!(found["line"], serde_json::Value::Null);
        passes_check(&found["config"], folder.path());
        assert_eq!(text(&listening.join().expect("the device")), "", "a probe only listens");
    }
}

/// Silence behind TCP is silence: nothing is sent to try it.
#[test]
fn a_silent_address_is_not_spoken_to() {
    let (address, listening) = listening("");
    let nothing = answer(probe(&[&address, "--seconds", "1"]), Exit::Failure);
    assert!(nothing.contains("nothing came") && nothing.contains("serial device server"), "{nothing}");
    assert_eq!(text(&listening.join().expect("the device")), "");
}

/// A device that this machine is connected to already gets no second connection, which could
/// cost it the first.
#[test]
fn a_connection_that_stands_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let _gateway = std::net::TcpStream::connect(address).expect("it listens");
    let refused = gateway(&["probe", &address.to_string()]).output().expect("it starts");
    ends(&refused, Exit::Failure);
    let told = text(&refused.stderr);
    assert!(told.contains("is in use: this machine"), "{told}");
    listener.accept().expect("the gateway's");
    listener.set_nonblocking(true).expect("a socket");
    assert!(listener.accept().is_err(), "there is no second connection");
}

/// What cannot be looked at says how to mend it.
#[test]
fn mistakes_say_how_to_mend_them() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").to_string();
    for (words, exit, cure) in [
        (vec!["ttyUSB0"], Exit::Usage, "/dev/ttyUSB0"),
        (vec!["10.20.0.21"], Exit::Usage, "write HOST:PORT"),
        (vec!["mqtt://a", "--topic", "$share/g/#"], Exit::Usage, "write a plain filter"),
        (vec!["mqtt://a", "--topic", "a/#/b"], Exit::Usage, "no topic filter"),
        (vec!["/dev/serial/by-id/none"], Exit::Failure, "`venue-gateway ports` lists those there are"),
        (vec!["/dev/null"], Exit::Failure, "this is no serial port"),
        (vec![&closed[..]], Exit::Failure, "is the device on, and its port right?"),
    ] {
        let output = gateway(&["probe"]).args(&words).output().expect("it starts");
        ends(&output, exit);
        let told = text(&output.stderr);
        assert!(told.contains(cure), "{words:?}: {told}");
    }
}
