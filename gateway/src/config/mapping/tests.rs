use super::*;
use crate::mapping::{MappingError, try_sample};

const PAGE: &str = include_str!("../../../../docs/devices/json.md");

/// The topics of `[[mqtt.topic]]` in a text.
fn topics(text: &str) -> Vec<JsonTopic> {
    let (site, nothing) = (Text::new("site.toml", text), Text::new("", ""));
    let (site, nothing) = (Document::parse(&site), Document::parse(&nothing));
    let reader = Reader::new(&site, &nothing, std::iter::empty());
    let read = {
        let root = reader.root();
        let mut sections = root.section("mqtt").sections("topic");
        sections.iter_mut().map(JsonTopic::read).collect::<Option<Vec<_>>>()
    };
    assert_eq!(reader.finish().findings, [], "{text}");
    read.expect("nothing is wrong")
}

/// Everything that is wrong with a topic: `line:column what; how to mend it`.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let errors = JsonTopic::parse("site.toml", text).expect_err("something is wrong");
    let told = errors.findings().iter().map(|finding| {
        let (line, column) = finding.place.line_and_column().unwrap_or((0, 0));
        format!("{line}:{column} {}; {}", finding.message, finding.help)
    });
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// A mapping of one line, with `rest` from the third line on.
#[track_caller]
fn check_mapping(rest: &str, expected: &[&str]) {
    check(&format!("filter = \"a/+\"\nmapping.device_id = \"{{1}}\"\n{rest}"), expected);
}

/// The fenced blocks of the manual's page, with their languages.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut blocks = Vec::new();
    let mut rest = PAGE;
    while let Some((_, fenced)) = rest.split_once("\n```") {
        let (block, after) = fenced.split_once("\n```\n").expect("a fence has its end");
        blocks.push(block.split_once('\n').expect("a fence names its language"));
        rest = after;
    }
    blocks
}

/// Every example of the manual gives what the manual says that it gives.
#[test]
fn the_examples_of_the_manual_hold() {
    let blocks = blocks();
    let mut examples = 0;
    for pair in blocks.chunks(2) {
        let [("toml", toml), ("text", text)] = pair else { panic!("an example and what it gives: {pair:?}") };
        let lines = |topic: &JsonTopic| try_sample(&topic.mapping, topic.sample.as_ref().expect("every one has one"));
        let given: Result<Vec<_>, MappingError> = topics(toml).iter().map(lines).collect();
        let given = given.unwrap_or_else(|error| panic!("{toml}\n{error}")).concat();
        assert_eq!(given, text.lines().collect::<Vec<_>>(), "{toml}");
        examples += 1;
    }
    assert_eq!(examples, 5);
}

/// The manual lists the units and the kinds of error, those and no others.
#[test]
fn the_tables_of_the_manual_are_complete() {
    let section = |heading: &str| PAGE.split_once(&format!("\n## {heading}\n")).expect(heading).1;
    let units = section("Units").lines().filter(|line| line.starts_with("| ")).skip(1);
    let told: Vec<_> = units.flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    assert_eq!(told, unit::UNITS);

    let kinds = section("When a message does not fit").split("\n## ").next().unwrap_or_default();
    let told: Vec<_> = kinds.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(told, mapping::ErrorKind::ALL.map(mapping::ErrorKind::name));
}

/// The ready-made mappings hold as they stand, and are read for devices of their names.
#[test]
fn the_ready_made_mappings_are_sound() {
    let document = &*READY_MADE_DOCUMENT;
    assert_eq!(document.syntax, []);
    let named: Vec<_> = document.root.keys().map(|name| name.get_ref().to_string()).collect();
    assert_eq!(named, DEVICES[1..].iter().map(|device| device.name).collect::<Vec<_>>());
    for name in named {
        let topic = JsonTopic::parse("site.toml", &format!("device = \"{name}\"")).expect("it needs nothing more");
        assert_eq!(topic.mapping.device().name, name);
    }
}

/// A site may replace any part of a ready-made mapping.
#[test]
fn a_ready_made_mapping_is_replaced_key_by_key() {
    let plain = JsonTopic::parse("site.toml", "device = \"ttn-v3\"").expect("all sound").mapping;
    let text = "device = \"ttn-v3\"\nfilter = \"v3/mine/devices/+/up\"\nmapping.device_id = \"ttn-{1}\"";
    let own = JsonTopic::parse("site.toml", text).expect("all sound").mapping;
    assert_eq!(own.filter.as_str(), "v3/mine/devices/+/up");
    assert_eq!(own.device_id, Template::parse("ttn-{1}").expect("a template"));
    assert_eq!(Mapping { filter: plain.filter.clone(), device_id: plain.device_id.clone(), ..own }, plain);
}

/// Mistakes of a topic, each at its place.
#[test]
fn mistakes_of_a_topic_are_told() {
    check(
        "device = \"chirpstack\"\nmapping.units = { t = \"Cel\" }",
        &["1:10 `device`: there is no device `chirpstack` at a topic; \
         did you mean `chirpstack-v4`? write one of json, chirpstack-v4, ttn-v3"],
    );
    check(
        "",
        &[
            "0:0 `filter` is missing; add `filter = \"venue/+/wind\"`",
            "0:0 `mapping` is missing; add a `mapping` that says where device, time and values stand",
        ],
    );
    check(
        "filter = \"a/b+\"\nmapping = 3\nsample = { topic = \"a\" }",
        &[
            "1:10 `filter`: `a/b+` is not a topic filter: `+` and `#` stand alone between slashes; \
         write levels between slashes, `+` for any one and `#` for the rest, such as \"venue/+/wind\"",
            "2:11 `mapping` must be a table, not an integer; write `[mapping]`",
            "3:10 `sample.payload` is missing; add `payload = '{\"speed\": 3.4}'`",
        ],
    );
    check(
        "filter = \"a/+\"\n[mapping]\n",
        &[
            "2:1 `mapping.device_id` is missing; add `device_id = \"wind-{1}\"`",
            "2:1 the mapping names nothing that the message says; \
         add `measurement = [{ pointer = \"/…\" }]`, or one of device_status, device_state, wind, passing",
        ],
    );
}

/// Mistakes of a mapping that would show at the first message, or never.
#[test]
fn mistakes_of_a_mapping_are_told() {
    let value = "mapping.measurement = [{ pointer = \"/t\" }]";
    check(
        &format!("filter = \"a/+\"\nmapping.device_id = \"x{{2}}\"\n{value}"),
        &["2:1 `{2}` is asked for, and `a/+` has one wildcard; \
         name a wildcard that is there, or put `+` into the filter"],
    );
    check(
        &format!("filter = \"a\"\nmapping.device_id = \"{{member}}\"\n{value}"),
        &["2:21 `{member}` is the name of an element of `each`; add `each`, or name a wildcard or a pointer"],
    );
    check(
        &format!("filter = \"a\"\nmapping.device_id = \"/id\"\n{value}"),
        &["2:21 `device_id`: `/id` would stand there as it is; \
         write \"{/id}\" for what stands there in the message"],
    );
    check_mapping(
        &format!("mapping.key = [\"status\", \"{{1}}\"]\n{value}"),
        &["3:15 `key` is the same for every message; \
         name a field that differs from message to message, or remove `key`"],
    );
    check_mapping(
        &format!("mapping.time = {{ pointer = \"ts\", format = \"rfc3336\" }}\n{value}"),
        &[
            "3:28 `pointer`: `ts` is not a JSON pointer: a pointer begins with `/`, or with `$/` from the message's root; \
         write a JSON pointer such as \"/sensor/temperature\" or \"/list/0\"",
            "3:43 `format`: `rfc3336` is not a format of time; \
         did you mean `rfc3339`? write \"s\", \"ms\" or \"us\" since 1970, or \"rfc3339\"",
        ],
    );
    check_mapping(
        &format!("mapping.units = {{ t = \"C\" }}\n{value}"),
        &["3:23 `C` is not a UCUM code that the gateway knows; \
         did you mean `Cel`? the manual's page json lists the codes; leave `unit` out if none fits"],
    );
}

/// Mistakes of a value.
#[test]
fn mistakes_of_a_value_are_told() {
    let check_value = |value: &str, expected: &[&str]| {
        check_mapping(&format!("mapping.measurement = [{value}]"), expected);
    };
    check_value(
        "{ pointer = \"/t\", unti = \"Cel\" }",
        &["3:42 unknown key `unti`; did you mean `unit`? \
         `mapping.measurement[0]` has pointer, name, members, enum, number, unit, factor, offset, optional"],
    );
    check_value(
        "{ pointer = \"/t\", unit = \"celcius\" }",
        &["3:49 `unit`: `celcius` is not a UCUM code that the gateway knows; \
         did you mean `Cel`? the manual's page json lists the codes; leave `unit` out if none fits"],
    );
    check_value(
        "{ pointer = \"/t\", unit = \"knots\" }",
        &["3:49 `unit`: `knots` is not a UCUM code that the gateway knows; \
         did you mean `[kn_i]`? the manual's page json lists the codes; leave `unit` out if none fits"],
    );
    check_value(
        "{ pointer = \"/t\", factor = 0 }",
        &["3:51 `factor` is 0: every value would be the same; write what to multiply with"],
    );
    check_value(
        "{ pointer = \"/t\", factor = inf, offset = \"1\" }",
        &[
            "3:51 `factor`: `inf` is not a number; write it in digits, such as 0.1",
            "3:65 `offset` must be a number, not a string; write 0.1",
        ],
    );
    check_value(
        "{ pointer = \"\" }",
        &["3:24 `mapping.measurement[0].name` is missing; add `name = \"…\"`: the pointer has none"],
    );
    check_value(
        "{ pointer = \"/t\", members = true, unit = \"Cel\" }",
        &["3:65 `unit` does not go with `members`; \
         name the values one by one; `units` of the mapping gives members their units"],
    );
    check_value(
        "{ pointer = \"/t\", enum = { \"0\" = \"off\" }, unit = \"V\" }",
        &["3:24 a value is a word or a number; \
         keep `enum` for words, or `unit`, `factor`, `offset` and `number` for a number"],
    );
}

/// Mistakes of what has fields of its own.
#[test]
fn mistakes_of_wind_and_state_are_told() {
    check_mapping(
        "mapping.wind = { speed = { pointer = \"/s\", unit = \"Pa\" }, direction = { pointer = \"/d\", unit = \"rad\" } }",
        &[
            "3:51 the speed of the wind is in `Pa`; write one of m/s, km/h, [kn_i], [mi_i]/h",
            "3:89 unknown key `unit`; `mapping.wind.direction` has pointer, factor, offset, optional",
        ],
    );
    check_mapping(
        "mapping.wind = { direction = { pointer = \"/d\" } }",
        &["3:16 `mapping.wind.speed` is missing; add `speed = { pointer = \"/…\", unit = \"m/s\" }`"],
    );
    check_mapping(
        "mapping.device_state = { pointer = \"/s\", enum = { up = \"on-line\" } }",
        &["3:56 `on-line` is not a device's state; \
         did you mean `online`? write one of online, offline, silent, fault"],
    );
    check_mapping(
        "mapping.device_state = { pointer = \"/s\" }",
        &["3:24 `mapping.device_state.enum` is missing; \
         add `enum = { \"what the message says\" = \"online\", … }`"],
    );
    check_mapping(
        "mapping.passing = { antenna = \"/a\", hits = \"/h\" }",
        &[
            "3:19 `mapping.passing.transponder` is missing; add `transponder = \"/epc\"`",
            "3:44 `hits` must be a table, not a string; write `hits = { … }`",
        ],
    );
}

proptest::proptest! {
    /// No text panics: the manual's examples with a piece cut out or put elsewhere.
    #[test]
    fn any_topic_is_read_or_refused(which in 0..5_usize, cut in 0..900_usize, length in 0..60_usize, noise in "\\PC{0,10}") {
        let (_, toml) = blocks()[2 * which];
        let text = toml.replace("[[mqtt.topic]]", "").replace("mqtt.topic.", "");
        let edge = |at: usize| text.floor_char_boundary(at.min(text.len()));
        let mut broken = text.clone();
        broken.replace_range(edge(cut)..edge(cut + length), &noise);
        if let Err(errors) = JsonTopic::parse("site.toml", &broken) {
            proptest::prop_assert!(!errors.to_string().is_empty());
        }
    }
}
