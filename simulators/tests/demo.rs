//! The demo as a stranger runs it: it passes, for root and for a user without rights,
//! and its verdict finds every way in which the demo can be broken.
//!
//! A play takes some 25 s, most of it waiting for the race, so all of them run at once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::geteuid;
use serde_json::Value;
use tempfile::TempDir;

const VENUE_SIM: &str = env!("CARGO_BIN_EXE_venue-sim");
/// `nobody` and `nogroup`, who own nothing.
const NOBODY: u32 = 65_534;
/// Where the keys of `demo --json` are promised.
const PAGE: &str = include_str!("../../docs/exit-codes-and-json.md");

/// A demo that runs, in a folder of its own.
struct Play {
    child: Child,
    home: TempDir,
}

impl Play {
    /// Starts `venue-sim demo --json` with further arguments.
    fn start(further: &[&str]) -> Self {
        Self::start_as(Command::new(VENUE_SIM), tempfile::tempdir().unwrap(), further)
    }

    /// Starts it as a user without rights, who owns a folder with a copy of the program in
    /// it. Where the test is not root, it is such a user itself.
    fn start_without_rights() -> Self {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("venue-sim");
        fs::copy(VENUE_SIM, &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        if !geteuid().is_root() {
            return Self::start_as(Command::new(program), home, &[]);
        }
        chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={NOBODY}")).arg("--clear-groups").arg(program);
        Self::start_as(command, home, &[])
    }

    fn start_as(mut command: Command, home: TempDir, further: &[&str]) -> Self {
        command.args(["demo", "--json", "--dir"]).arg(home.path().join("venue")).args(further);
        command.current_dir(home.path()).env_clear().env("PATH", "/usr/bin:/bin");
        // A setting of whoever runs the demo, and none of the demo's gateway.
        command.env("VENUE_GATEWAY_ID", "somebody-else");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { child, home }
    }

    /// Waits for its end: exit code, verdict, and what to show if they are not as wanted.
    fn end(self) -> (Option<i32>, Value, String) {
        let Output { status, stdout, stderr } = self.child.wait_with_output().unwrap();
        let stdout = String::from_utf8(stdout).unwrap();
        let log = fs::read_to_string(self.home.path().join("venue/gateway.log")).unwrap_or_default();
        let told = format!("{status}\n{stdout}{}\n{log}", String::from_utf8_lossy(&stderr));
        let verdict = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("no verdict: {error}\n{told}"));
        (status.code(), verdict, told)
    }
}

#[track_caller]
fn assert_passed(play: Play) {
    let (code, verdict, told) = play.end();
    assert_eq!((code, &verdict["ok"]), (Some(0), &Value::Bool(true)), "{told}");
    let count = |key: &str| verdict[key].as_u64().unwrap();
    assert!(count("sent") > 100, "{told}");
    assert_eq!((count("delivered"), count("lost")), (count("sent"), 0), "{told}");
    assert_eq!((count("duplicated"), count("out_of_order")), (0, 0), "{told}");
    assert!(count("declared") > 0, "the gauge was never missed, so no gap was tried: {told}");
    let (p50, p99) = (&verdict["latency_ms"]["p50"], &verdict["latency_ms"]["p99"]);
    assert!(p50.as_f64().unwrap() > 0.0 && p99.as_f64() >= p50.as_f64(), "{told}");
}

/// Through two kills, a cut uplink and a pulled cable everything arrives once and in
/// order; needing no rights, and nothing but the program itself.
#[test]
fn everything_arrives_once_with_rights_and_without() {
    let plays = [Play::start(&[]), Play::start_without_rights()];
    plays.into_iter().for_each(assert_passed);
}

/// Each way of breaking the chain is found, by exit code and by what the verdict names;
/// and the verdict has each documented key, and no other.
#[test]
fn a_sabotaged_demo_fails_for_the_right_reason() {
    type Symptom = fn(&Value) -> bool;
    let expected: [(&str, Symptom); 5] = [
        ("centre-forgets", |verdict| verdict["lost"] == 1 && names(verdict, "lost: ")),
        ("no-replay", |verdict| verdict["lost"].as_u64() > Some(1) && verdict["duplicated"] == 0),
        ("no-recognition", |verdict| verdict["duplicated"].as_u64() > Some(1) && names(verdict, "doubled: ")),
        ("cut-journal", |verdict| names(verdict, "the centre was ahead of the journal")),
        ("unclean-end", |verdict| names(verdict, "asked to stop, the gateway ended with signal: 9")),
    ];
    let plays = expected.map(|(sabotage, symptom)| (sabotage, symptom, Play::start(&["--sabotage", sabotage])));
    for (sabotage, symptom, play) in plays {
        let (code, verdict, told) = play.end();
        assert_eq!((code, &verdict["ok"]), (Some(1), &Value::Bool(false)), "{sabotage}: {told}");
        assert!(symptom(&verdict), "{sabotage}: {told}");
        assert_eq!(keys(&verdict), documented_keys(), "{sabotage}");
    }
}

/// The verdict's keys as the page writes them: `latency_ms.p50`.
fn keys(verdict: &Value) -> BTreeSet<String> {
    let fields = verdict.as_object().unwrap();
    let inner = |(key, value): (&String, &Value)| match value.as_object() {
        Some(fields) => fields.keys().map(|field| format!("{key}.{field}")).collect(),
        None => vec![key.clone()],
    };
    fields.iter().flat_map(inner).collect()
}

/// The first cells of the table of `venue-sim demo --json`.
fn documented_keys() -> BTreeSet<String> {
    let (_, section) = PAGE.split_once("\n## `venue-sim demo --json`\n").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

/// Whether a violation says so.
fn names(verdict: &Value, beginning: &str) -> bool {
    verdict["violations"].as_array().unwrap().iter().any(|it| it.as_str().unwrap().starts_with(beginning))
}

/// What cannot start says why and exits with 1.
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let run = Command::new(VENUE_SIM).args(["demo", "--dir", "/proc/nowhere"]).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    let told = String::from_utf8(run.stderr).unwrap();
    assert!(told.starts_with("venue-sim: failed to create /proc/nowhere"), "{told}");
    assert!(!Path::new("/proc/nowhere").exists());
}
