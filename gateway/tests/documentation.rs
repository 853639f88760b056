//! What docs/exit-codes-and-json.md promises to scripts is what the program prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use venue_gateway::app::status::{
    ClockStatus, ConfigurationStatus, FormerLaneStatus, FormerUplinkStatus, JournalStatus, LaneStatus, SourceStatus,
    Status, UplinkLaneStatus, UplinkStatus,
};
use venue_gateway::cli::Exit;
use venue_gateway::command::probe::{BrokerJson, HeardReport, Report, TopicJson};
use venue_gateway::config::Config;
use venue_gateway::event_json::Instead;
use venue_gateway::ports::{SerialPort, UsbDevice};
use venue_journal::{Append, Directory, IdentityRef, Journal, JournalConfig};
use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};

const PAGE: &str = include_str!("../../docs/exit-codes-and-json.md");
/// Maps whose keys are counted things.
const MAPS: [&str; 2] = ["bad", "sources[].bad"];

/// The first cells of the table in a section, without their backticks.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('|').nth(1).unwrap_or_default().trim().trim_matches('`').to_owned()).collect()
}

/// The keys of a value as the page writes them: `a.b`, `list[].c`, `map.KIND`.
fn keys(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(value, "", &mut found);
    found
}

fn collect(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(_) if MAPS.contains(&path) => {
            found.insert(format!("{path}.KIND"));
        }
        Value::Object(fields) => {
            for (key, inner) in fields {
                let separator = if path.is_empty() { "" } else { "." };
                collect(inner, &format!("{path}{separator}{key}"), found);
            }
        }
        Value::Array(elements) if elements.first().is_some_and(Value::is_object) => {
            elements.iter().for_each(|element| collect(element, &format!("{path}[]"), found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[track_caller]
fn check(heading: &str, value: &Value) {
    assert_eq!(keys(value), documented(heading), "{heading}: what is printed, and what is documented");
}

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_venue-gateway"));
    // Variables of whoever runs the tests are no settings of theirs.
    command.args(words).env_clear().output().expect("the program starts")
}

fn printed(words: &[&str]) -> Value {
    let output = run(words);
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {told}"))
}

/// `status` with one of everything has exactly the documented keys.
#[test]
fn the_status_has_its_documented_keys() {
    let status = Status {
        headline: String::new(),
        all_results_delivered: false,
        running: true,
        gateway_id: String::new(),
        venue_id: String::new(),
        version: String::new(),
        taken_at: String::new(),
        configuration: ConfigurationStatus::default(),
        clock: ClockStatus::default(),
        journal: JournalStatus { lanes: vec![LaneStatus::default()], ..JournalStatus::default() },
        sources: vec![SourceStatus::default()],
        uplinks: vec![UplinkStatus { lanes: vec![UplinkLaneStatus::default()], ..UplinkStatus::default() }],
        former_uplinks: vec![FormerUplinkStatus {
            lanes: vec![FormerLaneStatus::default()],
            ..FormerUplinkStatus::default()
        }],
    };
    check("`status --json`", &serde_json::to_value(status).expect("plain"));
}

/// `check`, `devices`, `ports` and the summary of `decode` have their documented keys.
#[test]
fn lists_and_summaries_have_their_documented_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.toml");
    let sampled = r#"
        [gateway]
        id = "stade-1-a"
        venue = "stade-1"
        [mqtt]
        broker = "mqtt://127.0.0.1"
        [[mqtt.topic]]
        name = "wind"
        filter = "venue/+/wind"
        mapping = { device_id = "wind-{1}", wind = { speed = { pointer = "/speed", unit = "m/s" } } }
        sample = { topic = "venue/3/wind", payload = '{"speed": 3.4}' }
    "#;
    fs::write(&file, sampled).expect("written");
    check("`check --json`", &printed(&["check", "--json", "--config", &file.to_string_lossy()]));
    check("`devices --json`", &printed(&["devices", "--json"]));

    let port = SerialPort {
        name: "/dev/serial/by-id/usb-1".into(),
        tty: "/dev/ttyUSB0".into(),
        driver: String::new(),
        usb: Some(UsbDevice::default()),
    };
    check("`ports --json`", &serde_json::to_value([port]).expect("plain"));

    let capture = folder.path().join("capture");
    fs::write(&capture, "$GPZDA,100000.00,28,11,2026,00,00*6B\r\n").expect("written");
    let output = run(&["decode", "--device", "nmea", &capture.to_string_lossy()]);
    let summary = String::from_utf8(output.stderr).expect("text");
    check("`decode`: the summary", &serde_json::from_str(summary.trim_end()).expect("one JSON line"));
}

/// A probe of everything at once has the documented keys.
#[test]
fn a_probe_has_its_documented_keys() {
    let broker = BrokerJson { topics: vec![TopicJson::default()], ..BrokerJson::default() };
    let report = Report { heard: vec![HeardReport::default()], broker: Some(broker), ..Report::default() };
    check("`probe --json`", &serde_json::to_value(report).expect("plain"));
}

/// A journal with an uplink and a damaged `meta` is inspected and verified
/// with the documented keys.
#[test]
fn a_journal_is_shown_with_its_documented_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    make_journal(folder.path());
    let place = folder.path().to_string_lossy().into_owned();
    check("`journal inspect --json`", &printed(&["journal", "inspect", "--json", &place]));
    check("`journal verify --json`", &printed(&["journal", "verify", "--json", &place]));
}

/// What stands in an event's place has its documented keys.
#[test]
fn what_cannot_be_shown_has_its_documented_keys() {
    let instead = Instead::range(Lane::Results, Sequence(1), Sequence(2), "damaged");
    check("Events: `tail --json`, `journal export`, `decode`", &serde_json::to_value(instead).expect("plain"));
}

fn make_journal(folder: &Path) {
    let epoch = JournalEpoch::from_bytes([7; 16]);
    let config = JournalConfig::new(GatewayId::new("gw-1").expect("a name"), "venue", epoch);
    let directory = Directory::create(folder).expect("a folder");
    let (journal, _) = Journal::open(directory, config, Duration::ZERO).expect("a new journal");
    journal.cursor("centre", Some("receiver"), Lane::Results, true).expect("a cursor");
    let append = Append {
        lane: Lane::Results,
        source: journal.source("timer-a"),
        identity: IdentityRef::None,
        refusable: false,
        event: &[],
        receive_utc_ns: None,
        receive_monotonic_ns: 0,
    };
    journal.append(append).expect("room");
    journal.commit(Duration::ZERO).expect("a sound disk");
    journal.close(Duration::ZERO).expect("a sound disk");
    drop(journal);
    let meta = folder.join("meta");
    let mut bytes = fs::read(&meta).expect("the file is there");
    bytes.fill(0xaa);
    fs::write(meta, bytes).expect("written");
}

/// Every exit code has its row, and the help names it.
#[test]
fn exit_codes_have_their_row() {
    let all = [Exit::Success, Exit::Failure, Exit::Usage, Exit::NotRunning, Exit::Config, Exit::Locked];
    // A further code does not compile until it stands in `all`.
    let known = |exit: Exit| match exit {
        Exit::Success | Exit::Failure | Exit::Usage | Exit::NotRunning | Exit::Config | Exit::Locked => exit as u8,
    };
    let codes: BTreeSet<String> = all.map(|exit| known(exit).to_string()).into();
    assert_eq!(codes, documented("Exit codes of `venue-gateway`"));

    let help = String::from_utf8(run(&["--help"]).stdout).expect("text").replace('\n', " ");
    let listed = help.split_once("Exit codes:").expect("the help lists them").1;
    let listed = listed.split('·').filter_map(|part| Some(part.split_whitespace().next()?.to_owned()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), codes);
}

/// Each code that can be had without hardware is had as documented.
#[test]
fn commands_end_with_their_documented_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let sound = "[gateway]\nid = \"gw-1\"\nvenue = \"v\"\ntimezone = \"UTC\"\ndata_dir = \"data\"\n";
    let (sound, broken) = (file("sound.toml", sound), file("broken.toml", "[gateway]\nid = 7\n"));
    let ends = |words: &[&str], exit: Exit| {
        let output = run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(exit as u8)), "{words:?}: {told}");
    };
    ends(&["devices"], Exit::Success);
    ends(&["journal", "inspect", &folder.path().to_string_lossy()], Exit::Failure);
    ends(&["check", "--config", &broken], Exit::Failure);
    ends(&["explode"], Exit::Usage);
    ends(&["run", "--config", &broken], Exit::Config);
    ends(&["status", "--config", &broken], Exit::Config);
    // A file that cannot be read ends every command in the same way; mistakes are what
    // `check` looks for.
    let (binary, syntax) = (file("binary.toml", ""), file("syntax.toml", "[gateway\n"));
    fs::write(&binary, b"\xff").expect("written");
    for unreadable in ["/nowhere/site.toml", &folder.path().to_string_lossy(), &binary, "/dev/zero"] {
        for command in ["check", "run", "status", "tail"] {
            ends(&[command, "--config", unreadable], Exit::Config);
        }
    }
    ends(&["check", "--config", &syntax], Exit::Failure);
    ends(&["status", "--config", &syntax], Exit::Config);

    let data = folder.path().join("data");
    let journal = data.join("journal");
    fs::create_dir_all(&journal).expect("a folder");
    make_journal(&journal);
    ends(&["status", "--config", &sound], Exit::NotRunning);
    ends(&["tail", "--no-follow", "--config", &sound], Exit::NotRunning);
    let config =
        JournalConfig::new(GatewayId::new("gw-1").expect("a name"), "venue", JournalEpoch::from_bytes([8; 16]));
    let held = Journal::open(Directory::existing(&journal).expect("there"), config, Duration::ZERO).expect("ours");
    ends(&["run", "--config", &sound], Exit::Locked);
    ends(&["journal", "new-epoch", &data.to_string_lossy(), "--config", &sound], Exit::Locked);
    ends(&["journal", "release", &data.to_string_lossy(), "centre", "--config", &sound], Exit::Locked);
    drop(held);
    ends(&["journal", "release", &data.to_string_lossy(), "nobody", "--config", &sound], Exit::Failure);
    check(
        "`journal release --json`",
        &printed(&["journal", "release", &data.to_string_lossy(), "centre", "--config", &sound, "--json"]),
    );
}

/// Every protocol has its page, and what a page shows as configuration is one.
#[test]
fn examples_in_the_device_pages_are_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.toml");
    for device in venue_devices::DEVICES {
        let page = format!("{}/../docs/devices/{}.md", env!("CARGO_MANIFEST_DIR"), device.name);
        let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page}: {error}"));
        let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|text| text.split("```").next()).collect();
        assert!(!examples.is_empty(), "the page of {} shows no configuration", device.name);
        for example in examples {
            let identity = "[gateway]\nid = \"gw-1\"\nvenue = \"v\"\ntimezone = \"UTC\"\n";
            fs::write(&file, format!("{identity}{example}")).expect("written");
            let config = Config::load(&file, []).unwrap_or_else(|errors| panic!("{}: {errors}", device.name));
            assert_eq!(config.sources[0].device.name, device.name);
        }
    }
}
