use proptest::prelude::*;
use venue_devices::{Content, Identity, TimeValue, ValueKind};

use super::*;
use crate::config::JsonTopic;

fn mapping(toml: &str) -> Mapping {
    match JsonTopic::parse("site.toml", toml) {
        Ok(topic) => topic.mapping,
        Err(errors) => panic!("{errors}"),
    }
}

/// A mapping of `sensor/+` with the id of the topic, and more.
fn sensor(rest: &str) -> Mapping {
    mapping(&format!("filter = \"sensor/+\"\n[mapping]\ndevice_id = \"{{1}}\"\n{rest}"))
}

fn map(mapping: &Mapping, payload: &str) -> Vec<MappedReading> {
    mapping.map("sensor/s1", payload.as_bytes()).unwrap_or_else(|error| panic!("{payload}: {error}"))
}

#[track_caller]
fn refuse(mapping: &Mapping, payload: &str, kind: &str, pointer: &str, message: &str) {
    let error = mapping.map("sensor/s1", payload.as_bytes()).expect_err(payload);
    assert_eq!((error.kind.name(), error.pointer.as_str(), error.message.as_str()), (kind, pointer, message));
}

/// `name=value unit` of every value, as a reading shows them.
fn values(reading: &MappedReading) -> Vec<String> {
    let reading = reading.as_reading();
    let values = match &reading.content {
        Content::Measurement(it) => &it.values,
        Content::DeviceStatus(it) => &it.values,
        other => panic!("{other:?}"),
    };
    let one = |it: &venue_devices::Value<'_>| {
        let value = match it.value {
            ValueKind::Number(number) => format!("{number:?}"),
            ValueKind::Integer(integer) => format!("{integer}"),
            ValueKind::Flag(flag) => format!("{flag}"),
            ValueKind::Text(text) => format!("\"{text}\""),
            ValueKind::Data(_) => panic!("JSON has no bytes"),
        };
        format!("{}={value} {}", it.name, it.unit).trim_end().to_owned()
    };
    values.iter().map(one).collect()
}

fn keys(readings: &[MappedReading]) -> Vec<&str> {
    readings.iter().map(|it| it.key.as_deref().unwrap_or("none")).collect()
}

fn ids(readings: &[MappedReading]) -> Vec<&str> {
    readings.iter().map(|it| it.device_id.as_str()).collect()
}

/// Tenths of a degree, a number in a text, a switch by words and one as it is, and a
/// value that this message leaves out.
#[test]
fn fields_become_named_values_with_units() {
    let mapping = sensor(
        r#"measurement = [
            { pointer = "/t", name = "temperature", unit = "Cel", factor = 0.1 },
            { pointer = "/in/f", name = "inlet", unit = "Cel", factor = 0.5, offset = -40 },
            { pointer = "/rh", name = "humidity", unit = "%" },
            { pointer = "/door", enum = { "0" = "closed", "1" = "open" } },
            { pointer = "/lamp" },
            { pointer = "/count", number = true },
            { pointer = "/label", name = "{1}-{/kind}" },
            { pointer = "/co2", unit = "[ppm]", optional = true },
        ]"#,
    );
    let payload = r#"{"t": 3, "in": {"f": 121}, "rh": " 48.5 ", "door": 1, "lamp": true, "count": "12",
                      "kind": "note", "label": "süd", "co2": null, "other": [1, 2]}"#;
    let readings = map(&mapping, payload);
    assert_eq!(ids(&readings), ["s1"]);
    assert_eq!(
        values(&readings[0]),
        [
            "temperature=0.3 Cel",
            "inlet=20.5 Cel",
            "humidity=48.5 %",
            "door=\"open\"",
            "lamp=true",
            "count=12",
            "s1-note=\"süd\"",
        ]
    );
    assert_eq!(readings[0].evidence, payload.as_bytes());
    let reading = readings[0].as_reading();
    assert_eq!((reading.identity, reading.time.value), (Identity::None, TimeValue::None));
    assert_eq!(reading.sub_device.to_string(), "s1");
}

/// Every way in which a field may not be as it must, with its place and a sentence.
#[test]
fn a_message_that_does_not_fit_says_where_and_why() {
    let mapping = sensor(
        r#"time = { pointer = "/at", format = "s", optional = true }
        measurement = [
            { pointer = "/a~1b", name = "t", unit = "Cel" },
            { pointer = "/door", enum = { "0" = "closed", "1" = "open" }, optional = true },
            { pointer = "/x", optional = true },
        ]"#,
    );
    let bad = |payload, kind, pointer, message| refuse(&mapping, payload, kind, pointer, message);
    bad("{}", "missing_field", "/a~1b", "`/a~1b` is missing");
    bad("{\"a/b\": null}", "missing_field", "/a~1b", "`/a~1b` is missing");
    bad("{\"a/b\": true}", "wrong_type", "/a~1b", "`/a~1b` must be a number, and is true or false");
    bad("{\"a/b\": {}}", "wrong_type", "/a~1b", "`/a~1b` must be a number, and is an object");
    bad("{\"a/b\": \"n/a\"}", "bad_number", "/a~1b", "`/a~1b` is not a number: `n/a`");
    bad("{\"a/b\": \"NaN\"}", "bad_number", "/a~1b", "`/a~1b` is not a number: `NaN`");
    bad("{\"a/b\": 1e999}", "bad_number", "/a~1b", "`/a~1b` is beyond what a double holds: `1e999`");
    bad("{\"a/b\": 1, \"door\": 2}", "unknown_word", "/door", "`/door` is `2`, and `enum` has `0`, `1`");
    bad("{\"a/b\": 1, \"x\": []}", "wrong_type", "/x", "`/x` must be a single value, and is a list");
    bad(
        "{\"a/b\": 1, \"x\": \"\\ud800\"}",
        "wrong_type",
        "/x",
        "`/x` must be a single value, and is a text that is not Unicode",
    );
    bad("{\"a/b\": 1, \"at\": 5}", "bad_time", "/at", "`/at` is a time before 2000, read as seconds since 1970: `5`");
    bad("", "not_json", "", "the payload is empty");
    bad("{\"a\": 1 \"b\": 2}", "not_json", "", "the payload is not JSON: expected `,` or `}` at line 1 column 9");
    let error = mapping.map("sensor/s1", b"{\"a/b\": \"\xff\"}").expect_err("not UTF-8");
    assert_eq!(error.to_string(), "the payload is not JSON: invalid utf-8 sequence of 1 bytes from index 9");
    let long = format!("{{\"a/b\": 1, \"x\": \"{}\"}}", "x".repeat(1025));
    bad(&long, "too_large", "/x", "`/x` is a text of 1025 bytes: 1024 are read");
    let large = " ".repeat(PAYLOAD_BYTES_MAX + 1);
    bad(&large, "too_large", "", "the payload has 204801 bytes: 204800 are read");
    let error = mapping.map("sensors/s1", b"{}").expect_err("another topic");
    assert_eq!(
        (error.kind.name(), error.to_string().as_str()),
        ("topic_mismatch", "the topic `sensors/s1` is none of `sensor/+`")
    );
}

/// The longest texts that are read are read.
#[test]
fn bounds_are_inclusive() {
    let mapping = sensor("measurement = [{ pointer = \"/x\" }]");
    let text = "x".repeat(TEXT_BYTES_MAX);
    let payload = format!("{{\"x\": \"{text}\"}}");
    let payload = format!("{payload}{}", " ".repeat(PAYLOAD_BYTES_MAX - payload.len()));
    assert_eq!(values(&map(&mapping, &payload)[0]), [format!("x=\"{text}\"")]);
}

/// A whole number keeps all its digits up to 63 bits; beyond, a double is what an event
/// has. Minus zero is zero, what is too small for a double too.
#[test]
fn large_numbers_are_kept_as_far_as_an_event_can() {
    let mapping = sensor("measurement = [{ pointer = \"\", members = true }]");
    let payload = r#"{"max": 9223372036854775807, "min": -9223372036854775808, "above": 9223372036854775808,
                      "huge": 123456789012345678901234567890, "big": 1e300, "tiny": 1e-999, "zero": -0}"#;
    assert_eq!(
        values(&map(&mapping, payload)[0]),
        [
            "max=9223372036854775807",
            "min=-9223372036854775808",
            "above=9.223372036854776e18",
            "huge=1.2345678901234568e29",
            "big=1e300",
            "tiny=0.0",
            "zero=0",
        ]
    );
    refuse(
        &sensor("measurement = [{ pointer = \"/a\", factor = 1e10 }]"),
        "{\"a\": 1e300}",
        "bad_number",
        "/a",
        "`/a` is beyond what a double holds: `1e300`",
    );
}

/// Members take their names from the message, those within by their path, and their
/// units by name; with a unit a text is a number.
#[test]
fn members_are_values_by_their_own_names() {
    let mapping = sensor(
        r#"measurement = [{ pointer = "/object", members = true }]
        units = { temperature = "Cel", "probe/1/depth" = "cm", battery = "V" }"#,
    );
    let payload = r#"{"object": {"temperature": 21.5, "battery": "3.6", "mode": "day", "wet": false, "gone": null,
                      "probe": [{"depth": 5}, {"depth": 10}], "empty": {}}}"#;
    assert_eq!(
        values(&map(&mapping, payload)[0]),
        [
            "temperature=21.5 Cel",
            "battery=3.6 V",
            "mode=\"day\"",
            "wet=false",
            "probe/0/depth=5",
            "probe/1/depth=10 cm",
        ]
    );
    refuse(
        &mapping,
        r#"{"object": {"battery": "low"}}"#,
        "bad_number",
        "/object/battery",
        "`/object/battery` is not a number: `low`",
    );
    refuse(&mapping, r#"{"object": 3}"#, "wrong_type", "/object", "`/object` must be an object, and is a number");
    refuse(&mapping, r#"{"object": {}}"#, "no_values", "", "the message holds nothing that the mapping names");
    let (name, place) = ("\u{1b}".repeat(1025), format!("/object/{}…", "\u{fffd}".repeat(192)));
    let payload = serde_json::json!({"object": {name: 1}}).to_string();
    let said = format!("`/object/{}…` is a text of 1025 bytes: 1024 are read", "\u{fffd}".repeat(32));
    refuse(&mapping, &payload, "too_large", &place, &said);
    let deep = format!("{{\"object\": {}1{}}}", "{\"a\":".repeat(9), "}".repeat(9));
    let place = format!("/object{}", "/a".repeat(8));
    refuse(&mapping, &deep, "too_large", &place, &format!("`{place}` lies deeper than 8 levels"));
    let many: Vec<_> = (0..257).map(|index| format!("\"v{index}\": 0")).collect();
    let payload = format!("{{\"object\": {{{}}}}}", many.join(","));
    refuse(&mapping, &payload, "too_many_values", "/object/v256", "`/object/v256` is one value too many: 256 are read");
    let payload = payload.replace("\"v256\": 0", "\"v256\": null");
    assert_eq!(map(&mapping, &payload).len(), 16, "256 values, 16 a reading");
}

/// A reading takes 16 values; the 17th begins a second one, which has a key of its own and
/// no second copy of the message.
#[test]
fn more_than_sixteen_values_make_several_readings() {
    let mapping = sensor("key = [\"/id\"]\nmeasurement = [{ pointer = \"/v\", members = true }]");
    let members: Vec<_> = (0..17).map(|index| format!("\"v{index}\": {index}")).collect();
    let payload = format!("{{\"id\": 7, \"v\": {{{}}}}}", members.join(","));
    let readings = map(&mapping, &payload);
    assert_eq!(keys(&readings), ["7", "7#values-2"]);
    assert_eq!((values(&readings[0]).len(), values(&readings[1])), (16, vec!["v16=16".to_owned()]));
    assert_eq!((&readings[0].evidence[..], &readings[1].evidence[..]), (payload.as_bytes(), &b""[..]));
}

/// The wind in every unit that gauges write, and a vane that is mounted the wrong way.
#[test]
fn wind_is_in_metres_per_second() {
    let wind = |unit: &str, payload: &str| {
        let mapping = sensor(&format!(
            "wind = {{ speed = {{ pointer = \"/s\", unit = \"{unit}\", optional = true }}, \
             direction = {{ pointer = \"/d\", offset = 180, optional = true }}, relative = true }}"
        ));
        let readings = map(&mapping, payload);
        let reading = readings[0].as_reading();
        let Content::Wind(wind) = reading.content else { panic!("{reading:?}") };
        let text = format!("{} {}", wind.speed_text, wind.unit_text);
        (wind.speed_m_per_s, wind.direction_deg, wind.relative, wind.valid, text)
    };
    assert_eq!(wind("m/s", r#"{"s": -1.2}"#), (Some(-1.2), None, true, true, "-1.2 m/s".to_owned()));
    assert_eq!(wind("km/h", r#"{"s": 36}"#), (Some(10.0), None, true, true, "36 km/h".to_owned()));
    assert_eq!(wind("[kn_i]", r#"{"s": 900, "d": 0}"#).0, Some(463.0));
    assert_eq!(wind("[mi_i]/h", r#"{"s": "100", "d": 270}"#).0, Some(44.704));
    assert_eq!(wind("m/s", r#"{"s": 1, "d": 270}"#).1, Some(90.0));
    assert_eq!(wind("m/s", r#"{"s": 1, "d": 180}"#).1, Some(360.0));
    assert_eq!(wind("m/s", r#"{"d": 10}"#), (None, Some(190.0), true, false, " m/s".to_owned()));

    let mapping = sensor("wind = { speed = { pointer = \"/s\", unit = \"m/s\" }, direction = { pointer = \"/d\" } }");
    refuse(&mapping, r#"{"s": 1, "d": 999}"#, "bad_number", "/d", "`/d` is no direction in degrees: `999`");
    refuse(&mapping, r#"{"d": 9}"#, "missing_field", "/s", "`/s` is missing");
}

/// A message about the sensor itself: values, and whether it is there.
#[test]
fn a_device_tells_its_state() {
    let mapping = sensor(
        r#"device_status = [{ pointer = "/battery", unit = "%", optional = true }]
        device_state = { pointer = "/state", enum = { on = "online", off = "offline" }, optional = true }"#,
    );
    let state = |payload| {
        let readings = map(&mapping, payload);
        let reading = readings[0].as_reading();
        let Content::DeviceStatus(status) = reading.content else { panic!("{reading:?}") };
        (status.state, status.values.len())
    };
    assert_eq!(state(r#"{"state": "on", "battery": 80}"#), (DeviceState::Online, 1));
    assert_eq!(state(r#"{"state": "off"}"#), (DeviceState::Offline, 0));
    assert_eq!(state(r#"{"battery": 80}"#), (DeviceState::Unspecified, 1));
    refuse(&mapping, r#"{"state": "?"}"#, "unknown_word", "/state", "`/state` is `?`, and `enum` has `off`, `on`");
}

/// One message, four kinds of content: each is an event with a key of its own.
#[test]
fn a_message_may_say_several_things() {
    let mapping = sensor(
        r#"key = ["/n"]
        measurement = [{ pointer = "/t" }]
        device_status = [{ pointer = "/b" }]
        wind = { speed = { pointer = "/w", unit = "m/s" } }
        passing = { transponder = "/epc", antenna = "/port", hits = { pointer = "/hits" },
                    rssi_dbm = { pointer = "/rssi", factor = 0.01, optional = true } }"#,
    );
    let readings =
        map(&mapping, r#"{"n": 1, "t": 2, "b": 3, "w": 4, "epc": "3034", "port": 2, "hits": 5, "rssi": -6151}"#);
    assert_eq!(keys(&readings), ["1#passing", "1#wind", "1", "1#device_status"]);
    let reading = readings[0].as_reading();
    let Content::Passing(passing) = reading.content else { panic!("{reading:?}") };
    assert_eq!((passing.transponder.to_string(), passing.antenna.to_string()), ("3034".to_owned(), "2".to_owned()));
    assert_eq!((passing.hits, passing.rssi_dbm, passing.lap), (Some(5), Some(-62), None));
    let broken = r#"{"n": 1, "t": 2, "b": 3, "w": 4, "epc": "3034", "hits": -1}"#;
    refuse(&mapping, broken, "bad_number", "/hits", "`/hits` is out of range: `-1`");
}

/// A concentrator's list: a device an element, its own time, the site's name from the
/// root, and its own slice of the message as evidence.
#[test]
fn each_element_of_a_list_is_a_reading() {
    let mapping = mapping(
        r#"filter = "sensor/+"
        [mapping]
        each = "/readings"
        device_id = "{$/site}-{/id}"
        time = { pointer = "/at", format = "ms" }
        key = ["/id", "/at"]
        measurement = [{ pointer = "/t", name = "temperature", unit = "Cel" }]"#,
    );
    let payload = r#"{"site": "north", "readings": [
        {"id": 1, "at": 1795853828030, "t": 20.5}, {"id": 2, "at": 1795853828040, "t": -1}]}"#;
    let readings = map(&mapping, payload);
    assert_eq!(ids(&readings), ["north-1", "north-2"]);
    assert_eq!(keys(&readings), ["1|1795853828030", "2|1795853828040"]);
    assert_eq!(readings[1].evidence, r#"{"id": 2, "at": 1795853828040, "t": -1}"#.as_bytes());
    assert_eq!(readings[1].time.utc_ns, Some(1_795_853_828_040_000_000));
    let time = readings[0].as_reading().time.value;
    assert_eq!(time, TimeValue::UtcByOwnClock(1_795_853_828_030_000_000));

    let broken = payload.replace("-1}", "\"x\"}");
    refuse(&mapping, &broken, "bad_number", "/readings/1/t", "`/readings/1/t` is not a number: `x`");
    refuse(&mapping, r#"{"readings": []}"#, "no_values", "", "the list of readings is empty");
    refuse(
        &mapping,
        r#"{"readings": 1}"#,
        "wrong_type",
        "/readings",
        "`/readings` must be a list or an object, and is a number",
    );
    let twins = payload.replace("\"id\": 2, \"at\": 1795853828040", "\"id\": 1, \"at\": 1795853828030");
    refuse(&mapping, &twins, "duplicate_key", "", "two readings of `north-1` have the key `1|1795853828030`");
}

/// An object by device names; a key of the whole message is told apart by the element.
#[test]
fn each_member_of_an_object_is_a_reading() {
    let mapping = mapping(
        r#"filter = "hall"
        [mapping]
        each = ""
        device_id = "hall/{member}"
        key = ["{/seq}", "hall"]
        measurement = [{ pointer = "/t" }]"#,
    );
    let readings = mapping.map("hall", br#"{"a": {"t": 1, "seq": 5}, "b": {"t": 2, "seq": 5}}"#).expect("it fits");
    assert_eq!((ids(&readings), keys(&readings)), (vec!["hall/a", "hall/b"], vec!["5|hall", "5|hall"]));

    let by_message = sensor("each = \"/l\"\nkey = [\"$/seq\"]\nmeasurement = [{ pointer = \"/t\" }]");
    let readings = map(&by_message, r#"{"seq": 5, "l": {"a|b": {"t": 1}, "c": {"t": 2}}}"#);
    assert_eq!(keys(&readings), ["5#a\\|b", "5#c"]);
    let readings = map(&by_message, r#"{"seq": 5, "l": [{"t": 1}, {"t": 2}]}"#);
    assert_eq!(keys(&readings), ["5#0", "5#1"]);
}

/// A thousand readings are read, one more fails the message.
#[test]
fn readings_are_bounded() {
    let mapping = sensor("each = \"\"\nmeasurement = [{ pointer = \"\", name = \"t\" }]");
    let list = |count| format!("[{}]", vec!["1"; count].join(","));
    assert_eq!(map(&mapping, &list(1000)).len(), 1000);
    refuse(&mapping, &list(1001), "too_many_readings", "/1000", "the message has more than 1000 readings");
}

/// Joined parts keep apart what would read the same; a part that the message does not
/// say makes no identity, for all such messages would be one; a long key is hashed.
#[test]
fn keys_tell_messages_apart() {
    let mapping = sensor("key = [\"/a\", \"/b\"]\nmeasurement = [{ pointer = \"/t\" }]");
    let key = |payload: &str| map(&mapping, payload)[0].key.clone().map(|key| key.as_str().to_owned());
    assert_eq!(key(r#"{"a": "x|y", "b": "z", "t": 1}"#).as_deref(), Some("x\\|y|z"));
    assert_eq!(key(r#"{"a": "x", "b": "y|z", "t": 1}"#).as_deref(), Some("x|y\\|z"));
    assert_eq!(key(r#"{"a": "x#wind", "b": "\\", "t": 1}"#).as_deref(), Some("x\\#wind|\\\\"));
    assert_eq!(key(r#"{"a": 1.50, "b": true, "t": 1}"#).as_deref(), Some("1.50|true"));
    for absent in [r#"{"a": 1, "t": 1}"#, r#"{"a": 1, "b": null, "t": 1}"#, r#"{"a": "", "b": 1, "t": 1}"#] {
        assert_eq!(key(absent), None, "{absent}");
    }
    refuse(
        &mapping,
        r#"{"a": [], "b": 1, "t": 1}"#,
        "wrong_type",
        "/a",
        "`/a` must be a text or a number, and is a list",
    );
    let fits = "x".repeat(94);
    assert_eq!(key(&format!(r#"{{"a": "{fits}", "b": 1, "t": 1}}"#)), Some(format!("{fits}|1")));
    // printf '%s|10' "$(printf 'x%.0s' {1..94})" | sha256sum
    let hashed = key(&format!(r#"{{"a": "{fits}", "b": 10, "t": 1}}"#));
    assert_eq!(hashed.as_deref(), Some(HASHED));
}

const HASHED: &str = "sha256:da3a3b4b1d6e6e6161e75253e9123235a2cd247b78a049c5ed3c3a9422a062c7";

/// What a device is called becomes its id as it is, unless it cannot be one.
#[test]
fn a_device_id_is_checked() {
    let mapping = mapping(
        r#"filter = "+/x"
        mapping = { device_id = "{/id}", measurement = [{ pointer = "/t" }] }"#,
    );
    let id = |id: &str| {
        let payload = serde_json::json!({"id": id, "t": 1}).to_string();
        let mapped = mapping.map("a/x", payload.as_bytes());
        mapped.map(|it| it[0].device_id.clone()).map_err(|error| format!("{}: {error}", error.kind))
    };
    let longest = "x".repeat(DEVICE_ID_BYTES_MAX);
    for good in ["0004a30b001c0530", "Küche/Lampe 2", "a:b", longest.as_str()] {
        assert_eq!(id(good).as_deref(), Ok(good));
    }
    for (bad, why) in [
        ("", "bad_device_id: `` cannot be a device id: it is empty"),
        ("a\nb", "bad_device_id: `a\u{fffd}b` cannot be a device id: it holds control characters"),
        (" a", "bad_device_id: ` a` cannot be a device id: it begins or ends with a blank"),
    ] {
        assert_eq!(id(bad), Err(why.to_owned()));
    }
    assert!(id(&format!("{longest}x")).is_err_and(|error| error.ends_with("it has 257 bytes, and 256 are the most")));
}

const CHIRPSTACK: &str = r#"{
  "deduplicationId": "5f0c2c1e-7d0b-4f3e-9a57-0b8d8f6f2a11",
  "time": "2026-11-28T08:17:08.123456+00:00",
  "deviceInfo": {"tenantId": "b0a5", "applicationId": "c1d2", "deviceProfileName": "snow", "deviceName": "course-3",
                 "devEui": "70b3d57ed0001a2b", "tags": {"place": "curve 3"}},
  "devAddr": "01a2b3c4", "adr": true, "dr": 5, "fCnt": 118, "fPort": 2, "confirmed": false, "data": "AQLdBA==",
  "object": {"snow": {"surface": -4.2, "depth": 31}, "battery": 3.61, "moving": false},
  "rxInfo": [{"gatewayId": "0016c001ff10a235", "uplinkId": 25311, "rssi": -97, "snr": 6.8, "channel": 2},
             {"gatewayId": "0016c001ff10a236", "uplinkId": 1190, "rssi": -113, "snr": -3.0}],
  "txInfo": {"frequency": 868100000, "modulation": {"lora": {"bandwidth": 125000, "spreadingFactor": 7}}}
}"#;

/// An uplink of ChirpStack v4 with the units of its codec's fields.
#[test]
fn chirpstack_is_ready_made() {
    let mapping = mapping(
        r#"device = "chirpstack-v4"
        mapping = { units = { "snow/surface" = "Cel", "snow/depth" = "cm", battery = "V" } }"#,
    );
    assert_eq!(
        (mapping.device().name, mapping.filter().as_str()),
        ("chirpstack-v4", "application/+/device/+/event/up")
    );
    let topic = "application/c1d2/device/70b3d57ed0001a2b/event/up";
    let readings = mapping.map(topic, CHIRPSTACK.as_bytes()).expect("it fits");
    assert_eq!(ids(&readings), ["70b3d57ed0001a2b"]);
    assert_eq!(keys(&readings), ["5f0c2c1e-7d0b-4f3e-9a57-0b8d8f6f2a11"]);
    assert_eq!(readings[0].time.utc_ns, Some(1_795_853_828_123_456_000));
    let reading = readings[0].as_reading();
    let key = KeyText::try_from("5f0c2c1e-7d0b-4f3e-9a57-0b8d8f6f2a11").expect("short");
    assert_eq!((reading.identity, reading.evidence), (Identity::Key { epoch: 0, key }, CHIRPSTACK.as_bytes()));
    assert_eq!(reading.time.text.to_string(), "2026-11-28T08:17:08.123456+00:00");
    assert_eq!(
        values(&readings[0]),
        [
            "snow/surface=-4.2 Cel",
            "snow/depth=31 cm",
            "battery=3.61 V",
            "moving=false",
            "lorawan/f_cnt=118",
            "lorawan/rssi=-97 dB{mW}",
            "lorawan/snr=6.8 dB",
        ]
    );
    // A device without codec, heard by nobody who says how well.
    let bare = r#"{"deduplicationId": "u", "time": "2026-11-28T08:17:08Z", "deviceInfo": {"devEui": "e"}, "fCnt": 1}"#;
    assert_eq!(values(&mapping.map(topic, bare.as_bytes()).expect("it fits")[0]), ["lorawan/f_cnt=1"]);
}

const TTN: &str = r#"{
  "end_device_ids": {"device_id": "hall-2", "application_ids": {"application_id": "venue"}, "dev_eui": "70B3D57ED0001A2C",
                     "join_eui": "0000000000000000", "dev_addr": "260B1234"},
  "correlation_ids": ["gs:uplink:01"],
  "received_at": "2026-11-28T08:17:08.529981012Z",
  "uplink_message": {"session_key_id": "AYk=", "f_port": 1, "f_cnt": 4711, "frm_payload": "AWQ=",
    "decoded_payload": {"temperature": 19.25, "humidity": 44},
    "rx_metadata": [{"gateway_ids": {"gateway_id": "roof"}, "rssi": -61, "channel_rssi": -61, "snr": 9.5}],
    "settings": {"data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7}}, "frequency": "868300000"},
    "received_at": "2026-11-28T08:17:08.320151456Z", "consumed_airtime": "0.051456s"}
}"#;

/// An uplink of The Things Stack v3, and one in which everything that is empty or 0 was
/// left out: its first frame, without a decoder.
#[test]
fn ttn_is_ready_made() {
    let mapping = mapping(
        r#"device = "ttn-v3"
        mapping.units = { temperature = "Cel", humidity = "%" }"#,
    );
    let topic = "v3/venue@tenant/devices/hall-2/up";
    let readings = mapping.map(topic, TTN.as_bytes()).expect("it fits");
    assert_eq!((ids(&readings), keys(&readings)), (vec!["70B3D57ED0001A2C"], vec!["2026-11-28T08:17:08.320151456Z"]));
    assert_eq!((readings[0].time.utc_ns, readings[0].time.resolution_ns), (Some(1_795_853_828_320_151_456), 1));
    assert_eq!(
        values(&readings[0]),
        [
            "temperature=19.25 Cel",
            "humidity=44 %",
            "lorawan/f_cnt=4711",
            "lorawan/rssi=-61 dB{mW}",
            "lorawan/snr=9.5 dB",
        ]
    );
    let first = r#"{"end_device_ids": {"device_id": "d", "dev_eui": "E"}, "uplink_message": {"f_port": 1,
        "rx_metadata": [{"rssi": -61}], "received_at": "2026-11-28T08:17:08Z"}}"#;
    assert_eq!(values(&mapping.map(topic, first.as_bytes()).expect("it fits")[0]), ["lorawan/rssi=-61 dB{mW}"]);
}

/// A sample shows what `tail` would, with the key; or why it does not fit.
#[test]
fn a_sample_shows_its_events() {
    let topic = JsonTopic::parse(
        "site.toml",
        r#"filter = "venue/+/wind"
        sample = { topic = "venue/3/wind", payload = '{"ms": 3.4, "deg": 221, "at": 1795853828, "id": 9}' }
        [mapping]
        device_id = "wind-{1}"
        time = { pointer = "/at", format = "s" }
        key = ["/id"]
        wind = { speed = { pointer = "/ms", unit = "m/s" }, direction = { pointer = "/deg" } }"#,
    )
    .expect("all sound");
    let sample = topic.sample.expect("given");
    assert_eq!(
        try_sample(&topic.mapping, &sample).expect("it fits"),
        ["wind-3           wind             3.4 m/s from 221°, at 1795853828; key 9#wind"]
    );
    let broken = Sample { payload: "{\"at\": 1795853828}".to_owned(), ..sample };
    assert_eq!(
        try_sample(&topic.mapping, &broken).map_err(|error| error.to_string()),
        Err("`/ms` is missing".to_owned())
    );
}

/// Everything at once, so that a message reaches every reader of fields.
fn everything() -> Mapping {
    sensor(
        r#"time = { pointer = "/time", format = "s", optional = true }
        key = ["/deduplicationId", "{1}"]
        measurement = [
            { pointer = "", members = true, optional = true },
            { pointer = "/fCnt", unit = "1", optional = true },
            { pointer = "/dr", factor = 0.1, optional = true },
            { pointer = "/adr", enum = { true = "yes" }, optional = true },
        ]
        device_state = { pointer = "/confirmed", enum = { false = "online" }, optional = true }
        wind = { speed = { pointer = "/rxInfo/0/snr", unit = "km/h", optional = true },
                 direction = { pointer = "/rxInfo/0/rssi", optional = true } }
        passing = { transponder = "/devAddr", hits = { pointer = "/fPort", optional = true } }"#,
    )
}

/// Any JSON, three levels deep, with the names that mappings ask for.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|it| it.to_string()),
        any::<f64>().prop_filter("JSON has no other", |it| it.is_finite()).prop_map(|it| format!("{it:e}")),
        "-?[1-9][0-9]{0,60}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?",
    ];
    let text = any::<String>().prop_map(|it| serde_json::Value::String(it).to_string());
    let escape = "[0-9a-f]{4}".prop_map(|digits| format!("\"\\u{digits}\""));
    let leaf = prop_oneof![number, text, escape, "true|false|null"];
    let name = prop_oneof![
        "time|fCnt|dr|adr|confirmed|rxInfo|devAddr|fPort|deduplicationId|0|object|deviceInfo|devEui",
        "[a-z~/|#]{0,3}",
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(|it| format!("[{}]", it.join(","))),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// Whatever comes out holds what is promised of every reading.
fn promised(mapping: &Mapping, topic: &str, payload: &[u8]) {
    match mapping.map(topic, payload) {
        Ok(readings) => {
            assert!((1..=READINGS_MAX).contains(&readings.len()));
            for reading in &readings {
                let as_reading = reading.as_reading();
                assert_eq!(as_reading.sub_device.to_string(), reading.device_id);
                if let Content::Measurement(it) = as_reading.content {
                    assert!((1..=16).contains(&it.values.len()));
                }
            }
            assert!(!readings[0].evidence.is_empty());
            assert_eq!(mapping.map(topic, payload), Ok(readings), "the same bytes give the same readings");
        }
        Err(error) => {
            let told = [error.message.as_str(), error.pointer.as_str()];
            assert!(!error.message.is_empty() && !told.concat().chars().any(char::is_control), "{error:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..200), topic in "\\PC{0,20}") {
        promised(&everything(), "sensor/s1", &payload);
        promised(&everything(), &topic, &payload);
    }

    #[test]
    fn any_json_is_read_or_refused(payload in json()) {
        promised(&everything(), "sensor/s1", payload.as_bytes());
        let each = sensor("each = \"\"\nkey = [\"{member}\", \"{$/time}\"]\nmeasurement = [{ pointer = \"\", members = true }]");
        promised(&each, "sensor/s1", payload.as_bytes());
    }

    /// Good messages with a piece cut out, put elsewhere, or replaced by any JSON.
    #[test]
    fn broken_messages_are_read_or_refused(
        which in any::<bool>(), cut in 0..1200_usize, length in 0..60_usize, at in 0..1200_usize, noise in json()
    ) {
        let (device, topic, good) = match which {
            true => ("chirpstack-v4", "application/a/device/d/event/up", CHIRPSTACK),
            false => ("ttn-v3", "v3/a/devices/d/up", TTN),
        };
        let mapping = mapping(&format!("device = \"{device}\""));
        let mut bytes = good.as_bytes().to_vec();
        let (start, end) = (cut.min(bytes.len()), (cut + length).min(bytes.len()));
        let piece: Vec<_> = bytes.splice(start..end, noise.bytes()).collect();
        promised(&mapping, topic, &bytes);
        promised(&everything(), "sensor/s1", &bytes);
        let at = at.min(bytes.len());
        bytes.splice(at..at, piece);
        promised(&mapping, topic, &bytes);
        // A whole value replaced, so that the text stays JSON.
        for value in ["\"2026-11-28T08:17:08.123456+00:00\"", "118", "-97", "\"70b3d57ed0001a2b\"", "[]", "4711"] {
            promised(&mapping, topic, good.replacen(value, &noise, 1).as_bytes());
        }
    }
}
