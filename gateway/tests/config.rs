//! What a person who got the configuration wrong is told: all of it, at once.

use std::fs;
use std::path::Path;

use venue_gateway::config::{Config, ConfigErrors, Finding, Place};

fn refused(text: &str) -> ConfigErrors {
    Config::parse("site.toml", text, []).expect_err("a mistake")
}

/// `line:column message (help)` of every finding.
fn brief(errors: &ConfigErrors) -> Vec<String> {
    let place = |finding: &Finding| match finding.place.line_and_column() {
        Some((line, column)) => format!("{line}:{column}"),
        None => finding.place.to_string(),
    };
    errors.findings().iter().map(|it| format!("{} {} ({})", place(it), it.message, it.help)).collect()
}

fn check(text: &str, expected: &[&str]) {
    let found = match Config::parse("site.toml", text, []) {
        Ok(config) => config.warnings.iter().map(|it| format!("{}: {}", it.place, it.message)).collect(),
        Err(errors) => brief(&errors),
    };
    assert_eq!(found, expected, "in\n{text}");
}

const TEN_MISTAKES: &str = r#"[gateway]
id = "Stade_1"
timezone = "Europe/Pariss"

[journal]
results = { quoata = "8GiB" }
telemetry = { quota = "1MiB", commit_window = 2 }

[[source]]
name = "finish"
device = "alge-tiny"
tcp = { connect = "10.20.0.21" }

[[source]]
name = "finish"
device = "nmea"
tcp = { listen = "10.20.0.1:5000" }

[[uplink]]
name = "centre"
endpoints = ["https://ingest.example.org"]
tls = { ca = "ca.pem", cert = "gateway.pem", key = "gateway.key" }
"#;

/// One round of corrections, not ten: each mistake with its line and its remedy.
#[test]
fn ten_mistakes_are_ten_messages() {
    let expected = r#"error: `gateway.venue` is missing
 --> site.toml:1:1
  |
1 | [gateway]
  | ^^^^^^^^^
  = help: add `venue = "stade-1"`

error: `id`: `Stade_1` is not a gateway id
 --> site.toml:2:6
  |
2 | id = "Stade_1"
  |      ^^^^^^^^^
  = help: use a DNS name, as in the certificate: a-z, 0-9, `-` and `.`, each part starting and ending with a letter or digit

error: `timezone`: there is no time zone `Europe/Pariss`
 --> site.toml:3:12
  |
3 | timezone = "Europe/Pariss"
  |            ^^^^^^^^^^^^^^^
  = help: did you mean `Europe/Paris`? write an IANA name such as "Europe/Paris"

error: unknown key `quoata`
 --> site.toml:6:13
  |
6 | results = { quoata = "8GiB" }
  |             ^^^^^^
  = help: did you mean `quota`? `journal.results` has quota, reserve, keep

error: `quota` is 1MiB, less than the journal can work with
 --> site.toml:7:23
  |
7 | telemetry = { quota = "1MiB", commit_window = 2 }
  |                       ^^^^^^
  = help: give it 2MiB or more

error: `commit_window`: `2` is not a duration: it has no unit
 --> site.toml:7:47
  |
7 | telemetry = { quota = "1MiB", commit_window = 2 }
  |                                               ^
  = help: give the unit, for example "2s"

error: `device`: there is no device `alge-tiny`
  --> site.toml:11:10
   |
11 | device = "alge-tiny"
   |          ^^^^^^^^^^^
   = help: did you mean `alge-timy`? the gateway speaks alge-timy, nmea

error: `connect`: `10.20.0.21` has no port
  --> site.toml:12:19
   |
12 | tcp = { connect = "10.20.0.21" }
   |                   ^^^^^^^^^^^^
   = help: write HOST:PORT, for example "10.20.0.21:5403" or "[fd00::21]:5403"

error: the source name `finish` stands twice
  --> site.toml:15:8
   |
15 | name = "finish"
   |        ^^^^^^^^
   = help: rename one; the first is at site.toml:10:8

error: `listen` without `allow`: anyone could send results
  --> site.toml:17:18
   |
17 | tcp = { listen = "10.20.0.1:5000" }
   |                  ^^^^^^^^^^^^^^^^
   = help: name the device's address or network: `allow = ["10.20.0.21"]`
"#;
    let told = refused(TEN_MISTAKES).to_string();
    let (messages, total) = told.rsplit_once('\n').expect("many lines");
    let known: Vec<_> = venue_devices::DEVICES.iter().map(|device| device.name).collect();
    let expected = expected.replace("alge-timy, nmea", &known.join(", "));
    assert_eq!(messages.trim_end(), expected.trim_end());
    assert_eq!(total, "10 errors");
}

/// A minimal sound configuration and what is added to it.
fn with(more: &str) -> String {
    format!("gateway = {{ id = \"a\", venue = \"v\", timezone = \"UTC\" }}\n{more}")
}

/// A sound configuration with one source, given its keys.
fn with_source(keys: &str) -> String {
    with(&format!("uplink = []\n[[source]]\nname = \"s\"\ndevice = \"alge-timy\"\n{keys}"))
}

/// A source has one way to its device, and that way is complete.
#[test]
fn a_source_has_one_transport() {
    check(
        &with_source(""),
        &["3:1 `source[0].serial` or `tcp` is missing \
        (add `serial = { port = \"/dev/serial/by-id/…\" }` or `tcp = { connect = \"HOST:PORT\" }`)"],
    );
    check(
        &with_source("serial = { port = \"p\" }\ntcp = { connect = \"h:1\" }"),
        &["7:7 `serial` and `tcp` both stand in one source \
        (keep the one that the device hangs on; for both, write a source each)"],
    );
    check(
        &with_source("serial = { baud = 9600 }"),
        &["6:10 `source[0].serial.port` is missing (add `port = \"/dev/serial/by-id/…\"`)"],
    );
    check(
        &with_source("tcp = {}"),
        &["6:7 `source[0].tcp.connect` or `listen` is missing (add `connect = \"HOST:PORT\"`)"],
    );
    check(
        &with_source("tcp = { connect = \"h:1\", allow = [\"10.0.0.1\"] }"),
        &["6:34 `allow` belongs to `listen` (remove it)"],
    );
    check(
        &with_source("tcp = { listen = \"h:1\", allow = [] }"),
        &[
            "6:18 `listen`: `h:1` is not an address to listen at (write IP:PORT of this machine, \
        for example \"10.20.0.1:5000\", or \"0.0.0.0:5000\" for all its addresses)",
            "6:33 `allow` lets nobody in (name the device's address or network)",
        ],
    );
    check(
        &with_source("serial = { port = \"p\", baud = 12, data_bits = 9, parity = \"evne\" }"),
        &[
            "6:31 `baud` cannot be 12 (write 50 to 4000000)",
            "6:47 `data_bits` cannot be 9 (write 7 to 8)",
            "6:59 `parity`: `evne` is not a parity (did you mean `even`? write one of \"none\", \"even\", \"odd\")",
        ],
    );
}

/// Two sources do not share a name, a port or a place to listen; what is only
/// suspicious is a warning.
#[test]
fn sources_do_not_share() {
    let two = |one: &str, other: &str| {
        let source = |name: &str, keys: &str| format!("[[source]]\nname = \"{name}\"\ndevice = \"nmea\"\n{keys}\n");
        with(&format!("uplink = []\n{}{}", source("a", one), source("b", other)))
    };
    check(
        &two("serial = { port = \"p\" }", "serial = { port = \"p\" }"),
        &["10:19 two sources read the port p (a port has one reader; the first is at site.toml:6:19)"],
    );
    let listen = |address: &str| format!("tcp = {{ listen = \"{address}\", allow = [\"10.0.0.0/8\"] }}");
    check(
        &two(&listen("0.0.0.0:5000"), &listen("10.0.0.1:5000")),
        &["10:18 two sources listen at port 5000 (give each its own; the first is at site.toml:6:18)"],
    );
    check(
        &two("tcp = { connect = \"h:1\" }", "device_id = \"a\"\ntcp = { connect = \"h:1\" }"),
        &[
            "site.toml:10:13: the device id `a` stands twice: both count as one device",
            "site.toml:11:19: two sources connect to h:1",
        ],
    );
}

/// An uplink says where to and with which certificates; the bench is told apart.
#[test]
fn an_uplink_is_complete() {
    let uplink = |keys: &str| with(&format!("source = []\n[[uplink]]\nname = \"u\"\n{keys}"));
    check(&uplink(""), &["3:1 `uplink[0].endpoints` is missing (add `endpoints = [\"https://ingest.example.org\"]`)"]);
    check(&uplink("endpoints = []"), &["5:13 `endpoints` is empty (add the receiver's URL)"]);
    check(
        &uplink("endpoints = [\"ingest:443\"]"),
        &["5:14 `endpoints`: `ingest:443` does not start with https:// (write \"https://ingest:443\")"],
    );
    check(
        &uplink("endpoints = [\"https://a\"]"),
        &["5:14 `https://a` needs certificates (add `tls = { ca = \"ca.pem\", cert = \"gateway.pem\", \
        key = \"gateway.key\" }`; the system's certificates are not used)"],
    );
    check(
        &uplink("endpoints = [\"https://a\"]\ntls = { ca = \"ca.pem\", cert = \"c.pem\" }"),
        &["6:7 `uplink[0].tls.key` is missing (add `key = \"gateway.key\"`)"],
    );
    check(
        &uplink("endpoints = [\"http://a\"]\nrequired = false"),
        &[
            "site.toml:5:14: `http://a` is for the bench only: anyone can read it, and claim to be this gateway",
            "site.toml:6:12: no uplink is `required`: results are deleted by age and quota, delivered or not",
        ],
    );
}

/// Metrics are served where the file says and nowhere else; to others than this machine with a warning, and not at a
/// source's port.
#[test]
fn metrics_are_served_where_the_file_says() {
    let nothing = "source = []\nuplink = []\n";
    let listen = |text: &str| Config::parse("site.toml", &with(text), []).expect("sound").http.listen;
    assert_eq!(listen(nothing), None);
    assert_eq!(listen(&format!("{nothing}http = {{ }}")), None);
    for address in ["127.0.0.1:9180", "[::1]:9180", "127.0.0.1:0"] {
        let text = format!("{nothing}http = {{ listen = \"{address}\" }}");
        check(&with(&text), &[]);
        assert_eq!(listen(&text), address.parse().ok());
    }
    check(
        &with(&format!("{nothing}http = {{ listen = \"0.0.0.0:9180\" }}")),
        &["site.toml:4:19: whoever reaches 0.0.0.0:9180 can read the names and the state of everything here"],
    );
    check(
        &with(&format!("{nothing}http = {{ listen = \"localhost:9180\", port = 1 }}")),
        &[
            "4:19 `listen`: `localhost:9180` is not an address to listen at (write IP:PORT of this machine, for example \
             \"127.0.0.1:9180\" or \"[::1]:9180\")",
            "4:37 unknown key `port` (`http` has listen)",
        ],
    );
    check(
        &with(
            "uplink = []\nhttp = { listen = \"127.0.0.1:5000\" }\n[[source]]\nname = \"a\"\ndevice = \"nmea\"\n\
             tcp = { listen = \"0.0.0.0:5000\", allow = [\"10.0.0.1\"] }",
        ),
        &["3:19 the source `a` listens at port 5000, too (give each its own)"],
    );
}

/// Wrong types are told in words, with an example; what later versions may know is
/// unknown today.
#[test]
fn wrong_types_and_unknown_keys_are_told() {
    check(
        &with("source = []\nuplink = []\njournal = 3\nhub = { listen = \"0.0.0.0:443\" }"),
        &[
            "4:11 `journal` must be a table, not an integer (write `[journal]`)",
            "5:1 unknown key `hub` (the top level has gateway, journal, source, mqtt, uplink, http, alarm, log)",
        ],
    );
    check(
        &with("uplink = []\nsources = []\nsource = {}"),
        &[
            "3:1 unknown key `sources` (did you mean `source`? the top level has gateway, journal, source, mqtt, uplink, http, alarm, log)",
            "4:10 `source` must be a list of tables, not a table (write `[[source]]`)",
        ],
    );
    check(
        &with("source = []\nuplink = []\n[log]\nfilter = [\"info\"]"),
        &["5:10 `filter` must be a log filter, not an array (write \"info\")"],
    );
    check(
        &with_source("serial = { port = \"p\" }\nlabels = { heat = 3 }\nsilence_alarm = \"0s\""),
        &[
            "7:19 `heat` must be a text, not an integer (write \"…\")",
            "8:17 `silence_alarm` is zero: it would never end (remove it for no alarm, or write \"30s\")",
        ],
    );
}

/// A broker's connection is tried as often as the library and the protocol can.
#[test]
fn a_keep_alive_that_the_library_refuses_is_told() {
    let at = |keep_alive: &str| {
        let topic = "[[mqtt.topic]]\nname = \"sensors\"\ndevice = \"ttn-v3\"";
        with(&format!(
            "source = []\nuplink = []\n[mqtt]\nbroker = \"mqtt://127.0.0.1\"\nkeep_alive = \"{keep_alive}\"\n{topic}"
        ))
    };
    for keep_alive in ["4999ms", "10m1s"] {
        check(&at(keep_alive), &["6:14 `keep_alive` is out of range (write 5s to 10m)"]);
    }
    for keep_alive in ["5s", "10m"] {
        check(&at(keep_alive), &[]);
    }
}

/// A line that is not TOML is told together with what is wrong elsewhere, and
/// without echoes of what it hides.
#[test]
fn broken_toml_does_not_hide_other_mistakes() {
    check(
        "[gateway]\nid = stade-1\nvenues = \"v\"\n",
        &[
            "2:6 not TOML: string values must be quoted, expected literal string (put the text between quotes: \"…\")",
            "3:1 unknown key `venues` (did you mean `venue`? `gateway` has id, venue, timezone, clock, data_dir)",
        ],
    );
}

/// A variable is checked like the file, and named; one that no setting has is
/// told, for a typing error would else go unseen.
#[test]
fn mistakes_in_variables_are_named() {
    let variables = [("VENUE_GATEWAY_DATADIR", "/data"), ("VENUE_JOURNAL_RESULTS_QUOTA", "8gib"), ("HOME", "/root")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let errors = Config::parse("site.toml", &with("source = []\nuplink = []"), variables).expect_err("two mistakes");
    assert_eq!(
        brief(&errors),
        [
            "environment variable VENUE_JOURNAL_RESULTS_QUOTA `quota`: `8gib` is not a size: there is no unit `gib` \
        (write the unit as `GiB`)",
            "environment variable VENUE_GATEWAY_DATADIR no setting has the variable `VENUE_GATEWAY_DATADIR` \
        (did you mean `VENUE_GATEWAY_DATA_DIR`? correct it, or unset it)",
        ]
    );
}

/// What is far from every setting is somebody else's and stops nothing: `VENUE_HOME` of
/// another tool, what Kubernetes sets beside a service named `venue-gateway`. Within
/// two letters of a setting it is a typing error, which would else go unseen.
#[test]
fn variables_of_others_are_warnings_and_typing_errors_are_not() {
    let load = |name: &str| {
        let variable = [(name.to_owned(), "x".to_owned())];
        Config::parse("site.toml", &with("source = []\nuplink = []"), variable)
    };
    for name in ["VENUE_HOME", "VENUE_", "VENUE_GATEWAY_PORT", "VENUE_GATEWAY_SERVICE_HOST", "VENUE_DATA_DIR"] {
        let config = load(name).unwrap_or_else(|errors| panic!("{errors}"));
        let told = config.warnings.iter().find(|finding| finding.place == Place::Variable(name.to_owned()));
        let told = told.unwrap_or_else(|| panic!("{name} is not told"));
        assert_eq!(told.message, format!("no setting has the variable `{name}`"));
        assert!(
            told.help.starts_with("it is ignored; names that begin with VENUE_ are settings, the nearest is `VENUE_")
        );
    }
    let near = load("VENUE_DATA_DIR").expect("a warning").warnings.pop().expect("one").help;
    assert!(near.ends_with("`VENUE_GATEWAY_DATA_DIR`"), "{near}");
    for name in ["VENUE_GATEWAY_I", "VENUE_GATEWAYID", "VENUE_GATWAY_VENUES", "VENUE_LOG_FLITER"] {
        let errors = load(name).expect_err(name);
        assert!(errors.findings()[0].help.starts_with("did you mean `VENUE_"), "{errors}");
    }
}

/// An empty file lacks what has no default, and is itself the place.
#[test]
fn an_empty_file_lacks_the_identity() {
    let errors = refused("");
    let lacking: Vec<_> = errors.findings().iter().filter(|finding| finding.is_error()).collect();
    assert_eq!(
        lacking.iter().map(|it| it.message.as_str()).collect::<Vec<_>>(),
        ["`gateway.id` is missing", "`gateway.venue` is missing"]
    );
    assert!(errors.findings().iter().all(|it| it.place == Place::File("site.toml".into())), "{errors}");
}

/// A file that cannot be read as text is told as such.
#[test]
fn unreadable_files_are_told() {
    let folder = tempfile::tempdir().expect("a place for files");
    let path = folder.path().join("site.toml");
    let message = |path: &Path| {
        let errors = Config::load(path, []).expect_err("not a configuration");
        let finding = &errors.findings()[0];
        (finding.message.clone(), finding.place.clone())
    };
    let (missing, place) = message(&path);
    assert!(missing.starts_with("cannot read the configuration: No such file"), "{missing}");
    assert_eq!(place, Place::File(path.clone()));

    fs::write(&path, b"[gateway]\nid = \"\xff\"").expect("written");
    let (message_text, place) = message(&path);
    assert_eq!((message_text.as_str(), place.line_and_column()), ("this is not UTF-8", Some((2, 7))));

    let endless = message(Path::new("/dev/zero")).0;
    assert_eq!(endless, "the file is larger than 1MiB");
}

/// The page that people read is the file that is compiled in.
#[test]
fn the_documentation_shows_the_compiled_in_file() {
    let page = include_str!("../../docs/configuration.md");
    let shown = page.split("```toml\n").find(|part| part.starts_with("# The configuration"));
    let shown = shown.and_then(|part| part.split("```").next()).expect("the page shows the file");
    assert_eq!(
        shown,
        venue_gateway::config::DEFAULTS,
        "paste gateway/src/config/default.toml into docs/configuration.md"
    );
}

/// Alarms go to a command, a webhook or both; a webhook over the network is secured, and a file that nobody uses is told.
#[test]
fn alarms_are_told_to_whom_the_file_names() {
    let alarm = |text: &str| with(&format!("source = []\nuplink = []\n[alarm]\n{text}"));
    let read = |text: &str| Config::parse("/etc/venue/site.toml", &alarm(text), []).expect("sound").alarm;
    assert!(!read("").is_told());
    assert_eq!((read("").results_wait.as_secs(), read("").clear_after.as_secs()), (30, 60));
    let told = read("command = \"bin/alarm\"\nwebhook = \"https://a/x?token=7\"\nwebhook_ca = \"ca.pem\"");
    assert_eq!(told.command.as_deref(), Some(Path::new("/etc/venue/bin/alarm")));
    let webhook = told.webhook.expect("it is there");
    assert_eq!(webhook.ca.as_deref(), Some(Path::new("/etc/venue/ca.pem")));

    for loopback in ["http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost/x"] {
        check(&alarm(&format!("webhook = \"{loopback}\"")), &[]);
    }
    check(
        &alarm("webhook = \"http://a/x\"\nwebhook_ca = \"ca.pem\""),
        &[
            "site.toml:5:11: anyone on the way to `http://a` can read and forge alarms",
            "site.toml:6:14: `webhook_ca` is not used: the webhook is not https",
        ],
    );
    check(&alarm("webhook_ca = \"ca.pem\""), &["site.toml:5:14: there is no webhook to use this for"]);
    check(
        &alarm("webhook = \"https://a/x\""),
        &["5:11 `https://a` needs certificates (add `webhook_ca = \"ca.pem\"`, or \
           \"/etc/ssl/certs/ca-certificates.crt\" for public ones; the system's certificates are not used by themselves)"],
    );
    check(
        &alarm("webhook = \"a/x\"\nurl = 1"),
        &[
            "5:11 `webhook`: the URL starts neither with https:// nor with http:// \
             (write for example \"https://alerts.example.org/venue\")",
            "6:1 unknown key `url` (`alarm` has command, webhook, webhook_ca, results_wait, clear_after)",
        ],
    );
}
