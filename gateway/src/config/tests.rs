use super::*;

fn load(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse("/etc/venue/site.toml", text, [])
}

/// The manual with its examples switched on.
fn manual_in_use() -> String {
    let lines = DEFAULTS.lines().map(|line| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Paths of all values, list numbers left out: `source.serial.port`.
fn paths(prefix: &str, value: &toml::Value, into: &mut std::collections::BTreeSet<String>) {
    match value {
        toml::Value::Table(table) if !["source.labels", "mqtt.topic.labels"].contains(&prefix) => {
            for (key, value) in table {
                paths(&if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") }, value, into);
            }
        }
        toml::Value::Array(items) if items.iter().all(toml::Value::is_table) => {
            items.iter().for_each(|item| paths(prefix, item, into));
        }
        _ => {
            into.insert(prefix.to_owned());
        }
    }
}

/// The manual is the truth: its examples are accepted as they stand, and it names
/// every key that the code asks for.
#[test]
fn the_manual_is_complete_and_its_examples_hold() {
    let text = manual_in_use();
    let site = Text::new("/etc/venue/site.toml", text.as_str());
    let (document, nothing) = (Document::parse(&site), Text::new("none", ""));
    let nothing = Document::parse(&nothing);
    let reader = Reader::new(&document, &nothing, std::iter::empty());
    let draft = Draft::read(&reader);
    let notes = reader.finish();
    assert_eq!(notes.findings, []);
    let asked = notes.asked.clone();
    draft.finish(notes, &site.file).expect("no findings");

    let mut told = std::collections::BTreeSet::new();
    paths("", &toml::Value::Table(text.parse().expect("the manual is TOML")), &mut told);
    // Of these docs/devices/json.md is the manual.
    let of_a_mapping = |path: &String| path.starts_with("mqtt.topic.mapping.");
    let told: std::collections::BTreeSet<_> = told.into_iter().filter(|path| !of_a_mapping(path)).collect();
    let asked: std::collections::BTreeSet<_> =
        asked.into_iter().filter(|path| !of_a_mapping(path) && path != "mqtt.topic.mapping").collect();
    assert_eq!(told, asked);
}

/// Only the identity of the gateway has no default; the file may hold no more.
#[test]
fn a_file_of_two_lines_is_enough() {
    let config = load("[gateway]\nid = \"a\"\nvenue = \"v\"").expect("nothing else is required");
    assert_eq!(config.gateway.data_dir, Path::new("/var/lib/venue-gateway"));
    assert_eq!(config.journal.results.quota, ByteSize::mib(8 * 1024));
    assert_eq!(config.journal.telemetry.commit_window, std::time::Duration::from_millis(2));
    assert_eq!(config.log.filter, "info");
    let warnings: Vec<_> = config.warnings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "`gateway.timezone` is not given: local times of devices are taken for UTC",
            "there is no source: no device is read",
            "there is no uplink: events stay in the journal"
        ]
    );
}

/// A key of the site replaces its own default and leaves its neighbours'.
#[test]
fn layers_merge_key_by_key() {
    let text = "[gateway]\nid = \"a\"\nvenue = \"v\"\n[journal]\nresults = { quota = \"1GiB\" }";
    let variables =
        [("VENUE_GATEWAY_ID", "from-variable"), ("VENUE_JOURNAL_TELEMETRY_COMMIT_WINDOW", "0s"), ("PATH", "/bin")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::parse("site.toml", text, variables).expect("all sound");
    assert_eq!(config.gateway.id.as_str(), "from-variable");
    assert_eq!(config.journal.results.quota, ByteSize::mib(1024));
    assert_eq!(config.journal.results.reserve, ByteSize::mib(64));
    assert_eq!(config.journal.telemetry.commit_window, std::time::Duration::ZERO);
    assert_eq!(config.place("gateway.id"), Place::Variable("VENUE_GATEWAY_ID".to_owned()));
    assert_eq!(config.place("journal.results.quota").to_string(), "site.toml:5:21");
    assert_eq!(config.place("log.filter").file(), Some(Path::new("default.toml (compiled in)")));
}

/// Paths start at the file's folder, wherever the process was started.
#[test]
fn relative_paths_start_at_the_files_folder() {
    let text = r#"
        gateway = { id = "a", venue = "v", data_dir = "data" }
        [[source]]
        name = "s"
        device = "nmea"
        serial = { port = "tty" }
        [[uplink]]
        name = "u"
        endpoints = ["https://a"]
        tls = { ca = "ca.pem", cert = "/abs/gateway.pem", key = "../gateway.key" }
    "#;
    let config = load(text).expect("all sound");
    assert_eq!(config.gateway.data_dir, Path::new("/etc/venue/data"));
    let TransportConfig::Serial { port, .. } = &config.sources[0].transport else { panic!("a serial line") };
    assert_eq!(port, Path::new("/etc/venue/tty"));
    let tls = config.uplinks[0].tls.as_ref().expect("given");
    assert_eq!(tls.ca, Path::new("/etc/venue/ca.pem"));
    assert_eq!(tls.cert, Path::new("/abs/gateway.pem"));
    assert_eq!(tls.key, Path::new("/etc/venue/../gateway.key"));
}

/// Whoever asks a running gateway finds it though its file is broken now; where nothing can be read, at the default.
#[test]
fn the_data_directory_is_found_in_a_broken_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.toml");
    let found = |text: &str| {
        std::fs::write(&file, text).expect("written");
        data_dir(&file, [])
    };
    assert_eq!(found("[gateway]\ndata_dir = \"data\"\nvenue = 1\n[[source]\nname = \"a\n"), folder.path().join("data"));
    assert_eq!(found("[gateway]\ndata_dir = 7\n"), Path::new("/var/lib/venue-gateway"));
    assert_eq!(found("\0"), Path::new("/var/lib/venue-gateway"));
    let variable = ("VENUE_GATEWAY_DATA_DIR".to_owned(), "/srv/venue".to_owned());
    assert_eq!(data_dir(folder.path().join("none.toml"), [variable]), Path::new("/srv/venue"));
}

/// A source takes the line settings of its device where it gives none.
#[test]
fn line_settings_come_from_the_device() {
    let source = |serial: &str| {
        let head = "[gateway]\nid = \"a\"\nvenue = \"v\"\n[[source]]\nname = \"s\"\ndevice = \"alge-timy\"\n";
        let config = load(&format!("{head}serial = {serial}")).expect(serial);
        match config.sources[0].transport {
            TransportConfig::Serial { line, .. } => line,
            ref other => panic!("{other:?}"),
        }
    };
    let default = venue_devices::DeviceType::find("alge-timy").and_then(|device| device.line).expect("a serial device");
    assert_eq!(source("{ port = \"p\" }"), default);
    let line = source("{ port = \"p\", baud = 38_400, parity = \"even\" }");
    assert_eq!(line, venue_devices::LineSettings { baud: 38_400, parity: venue_devices::Parity::Even, ..default });
}

proptest::proptest! {
    /// No text, however broken, panics: neither one made of anything, nor the
    /// manual with a piece cut out or put elsewhere.
    #[test]
    fn any_text_is_read_or_refused(noise in "\\PC{0,40}", cut in 0..8192usize, length in 0..200usize, at in 0..8192usize) {
        let text = manual_in_use();
        let edge = |at: usize| text.floor_char_boundary(at.min(text.len()));
        let (start, end) = (edge(cut), edge(cut + length));
        let mut broken = text.clone();
        broken.replace_range(start..end, &noise);
        let at = broken.floor_char_boundary(at.min(broken.len()));
        broken.insert_str(at, &text[start..end]);
        for text in [broken.as_str(), noise.as_str()] {
            if let Err(errors) = load(text) {
                proptest::prop_assert!(!errors.to_string().is_empty());
            }
        }
    }
}
