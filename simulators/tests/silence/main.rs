//! A device that falls silent although its line stands, and speaks again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use std::net::Ipv4Addr;

use serde_json::Value;
use venue_schema::v1::{DeviceState, Lane, event};
use venue_sim::{device::Attachment, gateway::text};

use stage::{SMALL, Stage, eventually, timer::Timer};

/// Long enough for an impulse to follow another in time on a busy machine, mostly.
const ALARM_S: u64 = 2;
const SOURCE: &str = "/sources/0/state";

/// The chronometer is heard, falls silent, and speaks again: `status` says so each time,
/// its headline, too, and the centre has it as events of the device.
async fn falls_silent_and_speaks_again(attachment: Attachment) {
    let mut stage = Stage::set().await;
    let timer = Timer::start_at("timer-a", attachment);
    stage.configure(SMALL, &(timer.source() + &format!("silence_alarm = \"{ALARM_S}s\"\n")));
    stage.gateway.start().unwrap();
    timer.until_asked_again(0).await;
    timer.impulses(3);
    stage.assert_exactly_once(&timer).await;

    let silent = stage.until(|status| text(status, SOURCE) == "silent").await;
    assert!(silent["sources"][0]["last_byte_age_s"].as_f64().unwrap() >= ALARM_S as f64, "{silent:#}");
    assert_eq!(silent["sources"][0]["peer"], timer.place(), "the line stands: {silent:#}");
    stage.until(|status| text(status, "/headline").contains("timer-a IS NOT HEARD SINCE")).await;
    let told = told(&stage, 2).await;
    assert_eq!(told[0], (DeviceState::Online, format!("connected: {}", timer.place())));
    assert_told(&told[1], DeviceState::Silent, "silent for ", " s");

    // It goes on speaking, for it may fall silent again before anybody has looked.
    let is_heard = |status: &Value| text(status, SOURCE) == "connected";
    eventually("a status with the device that speaks", async || {
        timer.impulses(1);
        stage.gateway.status().await.filter(is_heard)
    })
    .await;
    let told = self::told(&stage, 3).await;
    assert_told(&told[2], DeviceState::Online, "heard again after ", " s");
    eventually("a headline without it", async || {
        timer.impulses(1);
        stage.gateway.status().await.filter(|status| !text(status, "/headline").contains("IS NOT HEARD"))
    })
    .await;
    stage.assert_exactly_once(&timer).await;
    stage.gateway.stop().await.unwrap();
}

/// Waits until the centre was told so often of the device's state: what, and in which words.
async fn told(stage: &Stage, count: usize) -> Vec<(DeviceState, String)> {
    eventually("what the centre is told of the device", async || {
        let events = stage.stored(Lane::Telemetry).await;
        let states = events.iter().filter_map(|stored| {
            let event = stored.event().unwrap();
            match event.content {
                // What the device says of itself has no words.
                Some(event::Content::DeviceStatus(status)) if !status.text.is_empty() => {
                    assert_eq!(event.device_id, "timer-a");
                    Some((status.state(), status.text))
                }
                _ => None,
            }
        });
        let states: Vec<_> = states.collect();
        (states.len() >= count).then_some(states)
    })
    .await
}

/// Asserts a state, and that its words hold at least the seconds of the alarm.
#[track_caller]
fn assert_told(told: &(DeviceState, String), state: DeviceState, before: &str, behind: &str) {
    let seconds = told.1.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind)?.parse::<u64>().ok());
    assert!(told.0 == state && seconds.is_some_and(|seconds| seconds >= ALARM_S), "{told:?}");
}

/// On a serial line.
#[tokio::test]
async fn a_silent_device_on_a_serial_line() {
    falls_silent_and_speaks_again(Attachment::Pty { link: None }).await;
}

/// Over TCP, whose connection stands all the while.
#[tokio::test]
async fn a_silent_device_over_tcp() {
    falls_silent_and_speaks_again(Attachment::Listen((Ipv4Addr::LOCALHOST, 0).into())).await;
}
