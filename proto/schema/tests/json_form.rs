//! What a gateway years old does with the JSON form of an event that a newer one wrote.

use serde_json::{Value, json};
use venue_schema::v1::{self, event::Content};

/// An event's JSON form is `expected`, and reads back as the same event.
#[track_caller]
fn check(event: &v1::Event, expected: &Value) {
    let text = serde_json::to_string(event).expect("any event has a JSON form");
    assert_eq!(&serde_json::from_str::<Value>(&text).expect("JSON"), expected);
    let back: v1::Event = serde_json::from_str(&text).expect("the JSON form reads back");
    // By their text, for a NaN is equal to nothing.
    assert_eq!(format!("{back:?}"), format!("{event:?}"));
}

/// proto3 JSON writes the number of an enum where its name is not known.
#[test]
fn an_enum_number_of_a_later_version_is_written_as_that_number() {
    let gap = v1::Gap { cause: 99, state: v1::GapState::Open.into(), ..v1::Gap::default() };
    let origin = v1::Origin { lane: 7, ..v1::Origin::default() };
    let time = v1::EventTime { time_base: -1, sync_state: i32::MAX, ..v1::EventTime::default() };
    let event =
        v1::Event { content: Some(Content::Gap(gap)), origin: Some(origin), time: Some(time), ..v1::Event::default() };
    check(
        &event,
        &json!({
            "gap": {"cause": 99, "state": "GAP_STATE_OPEN"},
            "origin": {"lane": 7},
            "time": {"time_base": -1, "sync_state": 2_147_483_647},
        }),
    );
}

/// A known number may be given in place of the name; a wrong name, and a number that
/// no enum has, are refused.
#[test]
fn an_enum_is_read_by_name_or_number() {
    let read = |edge: Value| serde_json::from_value::<v1::Impulse>(json!({ "edge": edge })).map(|it| it.edge);
    assert_eq!(read(json!("EDGE_RISING")).expect("a name"), 1);
    assert_eq!(read(json!(1)).expect("a number"), 1);
    assert!(read(json!("EDGE_SIDEWAYS")).is_err());
    assert!(read(json!(1_u64 << 40)).is_err());
    assert!(read(json!(1.5)).is_err());
}

/// JSON has no number for these, and proto3 JSON writes words.
#[test]
fn a_double_that_is_no_number_is_written_as_a_word() {
    let value = |number| v1::Value { value: Some(v1::value::Value::Number(number)), ..v1::Value::default() };
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5].map(value).to_vec();
    let measurement = v1::Measurement { values, historical: false };
    check(
        &v1::Event { content: Some(Content::Measurement(measurement)), ..v1::Event::default() },
        &json!({"measurement": {"values": [
            {"number": "NaN"}, {"number": "Infinity"}, {"number": "-Infinity"}, {"number": -0.5},
        ]}}),
    );
    let wind = v1::Wind { speed_m_per_s: Some(f64::NAN), direction_deg: Some(f64::INFINITY), ..v1::Wind::default() };
    check(
        &v1::Event { content: Some(Content::Wind(wind)), ..v1::Event::default() },
        &json!({"wind": {"speed_m_per_s": "NaN", "direction_deg": "Infinity"}}),
    );
}
