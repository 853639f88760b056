//! How fast JSON messages become readings, on one core:
//! `cargo run --release -p venue-gateway --example mapping_speed`. Prints medians and
//! fails at nothing. Beside the mapping stands what `serde_json` alone takes to read the
//! message into a tree of values.

use std::hint::black_box;
use std::time::{Duration, Instant};

use venue_gateway::config::JsonTopic;
use venue_gateway::mapping::Mapping;

/// Enough that the median stands still.
const ROUNDS: usize = 41;
const MESSAGES: usize = 2_000;

fn main() {
    println!(
        "{:<26} {:>7} {:>9} {:>11} {:>11} {:>13}",
        "message", "bytes", "readings", "ns/message", "messages/s", "tree alone ns"
    );
    let flat = "filter = \"weather/+\"\n[mapping]\ndevice_id = \"weather-{1}\"\nkey = [\"/n\"]\n\
        time = { pointer = \"/at\", format = \"ms\" }\n\
        measurement = [{ pointer = \"/t\", unit = \"Cel\", factor = 0.1 }, { pointer = \"/rh\", unit = \"%\" }]";
    let list = "filter = \"hub\"\n[mapping]\neach = \"/readings\"\ndevice_id = \"{/id}\"\nkey = [\"/at\"]\n\
        time = { pointer = \"/at\", format = \"ms\" }\nmeasurement = [{ pointer = \"/t\", unit = \"Cel\" }]";
    let chirpstack = "device = \"chirpstack-v4\"\nmapping.units = { \"snow/surface\" = \"Cel\", battery = \"V\" }";
    measure("a weather station", flat, "weather/3", r#"{"n": 118, "at": 1795853828030, "t": 205, "rh": 48.5}"#);
    measure("chirpstack-v4, 2 gateways", chirpstack, "application/a/device/d/event/up", &uplink(2));
    measure("chirpstack-v4, 8 gateways", chirpstack, "application/a/device/d/event/up", &uplink(8));
    measure("a list of 100", list, "hub", &hub(100));
}

fn measure(name: &str, topic: &str, to: &str, payload: &str) {
    let mapping = JsonTopic::parse("bench.toml", topic).unwrap_or_else(|errors| panic!("{errors}")).mapping;
    let readings = mapping.map(to, payload.as_bytes()).unwrap_or_else(|error| panic!("{error}")).len();
    let mapped = median(|| map(&mapping, to, payload));
    let tree = median(|| {
        black_box(serde_json::from_str::<serde_json::Value>(black_box(payload)).expect("JSON"));
    });
    println!(
        "{name:<26} {:>7} {readings:>9} {:>11.0} {:>11.0} {:>13.0}",
        payload.len(),
        mapped.as_secs_f64() * 1e9,
        1.0 / mapped.as_secs_f64(),
        tree.as_secs_f64() * 1e9,
    );
}

fn map(mapping: &Mapping, topic: &str, payload: &str) {
    for reading in mapping.map(topic, black_box(payload.as_bytes())).expect("it fits") {
        black_box(reading.as_reading());
    }
}

/// The time of one call.
fn median(mut call: impl FnMut()) -> Duration {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = now();
            (0..MESSAGES).for_each(|_| call());
            start.elapsed() / u32::try_from(MESSAGES).expect("a small number")
        })
        .collect();
    rounds.sort();
    rounds[ROUNDS / 2]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// What ChirpStack publishes for an uplink that so many gateways heard.
fn uplink(gateways: usize) -> String {
    let heard: Vec<_> = (0..gateways)
        .map(|index| {
            format!(
                "{{\"gatewayId\": \"0016c001ff10a2{index:02x}\", \"uplinkId\": {}, \
                 \"gwTime\": \"2026-11-28T08:17:08.123456+00:00\", \"nsTime\": \"2026-11-28T08:17:08.187654321+00:00\", \
                 \"rssi\": -97, \"snr\": 6.8, \"channel\": 2, \"location\": {{\"latitude\": 47.1, \"longitude\": 11.3}}, \
                 \"context\": \"AAAAAA==\", \"metadata\": {{\"region_config_id\": \"eu868\"}}, \"crcStatus\": \"CRC_OK\"}}",
                25_311 + index
            )
        })
        .collect();
    format!(
        "{{\"deduplicationId\": \"5f0c2c1e-7d0b-4f3e-9a57-0b8d8f6f2a11\", \"time\": \"2026-11-28T08:17:08.123456+00:00\", \
         \"deviceInfo\": {{\"tenantId\": \"52f14cd4-c6f1-4fbd-8f87-4025e1d49242\", \"tenantName\": \"venue\", \
         \"applicationId\": \"17c82e96-be03-4f38-aef3-f83d48582d97\", \"applicationName\": \"snow\", \
         \"deviceProfileName\": \"snow\", \"deviceName\": \"course-3\", \"devEui\": \"70b3d57ed0001a2b\", \
         \"tags\": {{\"place\": \"curve 3\"}}}}, \"devAddr\": \"01a2b3c4\", \"adr\": true, \"dr\": 5, \"fCnt\": 118, \
         \"fPort\": 2, \"confirmed\": false, \"data\": \"AQLdBA==\", \
         \"object\": {{\"snow\": {{\"surface\": -4.2, \"depth\": 31}}, \"battery\": 3.61, \"moving\": false}}, \
         \"rxInfo\": [{}], \"txInfo\": {{\"frequency\": 868100000, \"modulation\": {{\"lora\": \
         {{\"bandwidth\": 125000, \"spreadingFactor\": 7, \"codeRate\": \"CR_4_5\"}}}}}}}}",
        heard.join(", ")
    )
}

fn hub(readings: usize) -> String {
    let one = |index| format!("{{\"id\": \"probe-{index}\", \"at\": {}, \"t\": 20.5}}", 1_795_853_828_030_u64 + index);
    let readings: Vec<_> = (0..readings as u64).map(one).collect();
    format!("{{\"readings\": [{}]}}", readings.join(", "))
}
