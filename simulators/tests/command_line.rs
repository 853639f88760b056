//! The binary under a script: JSON lines out, control lines in, exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A running `venue-sim … --json`.
struct Bench {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Bench {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_venue-sim"));
        let command = command.args(arguments).arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// The next line that satisfies a condition.
    fn until(&mut self, condition: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended before");
            let value: Value = serde_json::from_str(&line).unwrap();
            if condition(&value) {
                return value;
            }
        }
    }

    fn started(&mut self) -> Value {
        self.until(|line| line["type"] == "started")
    }

    fn quit(mut self) {
        self.say("quit");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

/// A device behind a link: what its operator does comes through, is cut off, and stands
/// in its ledger.
#[test]
fn a_device_behind_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger.json");
    let mut device =
        Bench::start(&["device", "alge-timy", "--listen", "127.0.0.1:0", "--ledger", ledger.to_str().unwrap()]);
    let place = device.started()["place"].as_str().unwrap().to_owned();
    let mut link = Bench::start(&["link", "--connect", &place]);
    let mut stream = TcpStream::connect(link.started()["listen"].as_str().unwrap()).unwrap();
    device.until(|line| line["listened_to"] == true);

    device.say("impulse 1 7");
    let mut line = [0; 27];
    stream.read_exact(&mut line).unwrap();
    assert!(line.starts_with(b" 0007 C1  "));
    link.say("cut");
    link.until(|line| line["passage"] == "cut" && line["open"] == 0);
    assert!(stream.read_exact(&mut line).is_err());
    device.say("impulse 12 7");
    let error = device.until(|line| line["type"] == "error");
    assert!(error["message"].as_str().unwrap().contains("channel"));
    link.quit();
    device.quit();
    let ledger: Value = serde_json::from_slice(&std::fs::read(ledger).unwrap()).unwrap();
    assert_eq!(ledger["records"][0]["start_number"], 7);
    assert_eq!(ledger["lines"][0]["heard"], true);
}

/// A cloud obeys and shows; what cannot start says why and exits with 1, wrong
/// arguments with 2.
#[test]
fn exit_codes_are_as_documented() {
    let mut cloud = Bench::start(&["cloud", "--store", "memory", "--receiver-id", "centre"]);
    assert_eq!(cloud.started()["receiver_id"], "centre");
    cloud.say("stall on");
    assert_eq!(cloud.until(|line| line["type"] == "state")["stored"], 0);
    cloud.say("explode");
    cloud.until(|line| line["type"] == "error");
    cloud.quit();

    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_venue-sim")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&["cloud", "--store", "sqlite:/nonexistent/cloud.db"]);
    assert_eq!(code, Some(1));
    assert!(error.starts_with("venue-sim: failed to open the store /nonexistent/cloud.db"), "{error}");
    assert_eq!(run(&["cloud", "--store", "nowhere"]).0, Some(2));
    assert_eq!(run(&["device", "sundial"]).0, Some(2));
}
