//! The program, and what it answers.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use venue_gateway::cli::Exit;

/// The program with these words.
pub(crate) fn gateway(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_venue-gateway"));
    // Variables of whoever runs the tests are no settings of theirs.
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

/// Starts a probe whose answer is read later.
pub(crate) fn probe(words: &[&str]) -> Child {
    let mut command = gateway(&["probe"]);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// What it printed, once it has ended so.
#[track_caller]
pub(crate) fn answer(probe: Child, exit: Exit) -> String {
    let output = probe.wait_with_output().expect("it ends");
    ends(&output, exit);
    text(&output.stdout)
}

/// What it printed as JSON, once it has ended so.
#[track_caller]
pub(crate) fn json(probe: Child, exit: Exit) -> Value {
    let answer = answer(probe, exit);
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[track_caller]
pub(crate) fn ends(output: &Output, exit: Exit) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(exit as u8)), "{}{told}", text(&output.stdout));
    assert!(!told.contains("panicked"), "{told}");
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A block that was printed passes `check` as a site's file.
#[track_caller]
pub(crate) fn passes_check(block: &Value, folder: &Path) {
    let block = block.as_str().expect("a block");
    let file = folder.join("site.toml");
    let identity = "[gateway]\nid = \"gw-1\"\nvenue = \"v\"\ntimezone = \"UTC\"\ndata_dir = \"data\"\n";
    let quotas = "[journal]\nresults = { quota = \"2MiB\", reserve = \"1MiB\" }\ntelemetry = { quota = \"2MiB\" }\n";
    std::fs::write(&file, format!("{identity}{quotas}{block}")).expect("written");
    let checked = gateway(&["check", "--config", &file.to_string_lossy()]).output().expect("it starts");
    assert!(checked.status.success(), "{block}\n{}", text(&checked.stdout));
}
