//! Who is told when results do not get through: a command and a webhook, by the real gateway.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;
mod webhook;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;

use stage::{SMALL, Stage, eventually, is_delivering, timer::Timer};
use webhook::Webhook;

const PAGE: &str = include_str!("../../../docs/operations.md");

/// A command that keeps what it is told.
const COMMAND: &str = "#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\nprintf '%s\\n' \"$1\" >> texts\ncat >> notices\n";

fn install_command(folder: &Path) {
    let command = folder.join("venue-alarm");
    fs::write(&command, COMMAND).unwrap();
    fs::set_permissions(command, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the command was told, whole lines alone.
fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

fn states(notices: &[Value]) -> Vec<&str> {
    notices.iter().map(|notice| notice["state"].as_str().unwrap()).collect()
}

/// Keys that the table of the documentation names.
fn documented_keys() -> BTreeSet<String> {
    let (_, section) = PAGE.split_once("\n| key | is |\n").unwrap();
    let rows = section.lines().skip(1).take_while(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

/// The uplink is cut: command and webhook are told once, in the words of `status`, though the link flaps meanwhile, the
/// webhook refuses at first and the gateway is killed. The uplink is back: they are told once, and no more.
#[tokio::test]
async fn a_cut_is_told_once_and_its_end_once() {
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    install_command(&stage.path(""));
    let webhook = Webhook::start().await;
    let alarm = format!(
        "[alarm]\ncommand = \"venue-alarm\"\nwebhook = \"http://{}/hook\"\nresults_wait = \"1s\"\nclear_after = \"2s\"\n",
        webhook.address()
    );
    stage.configure(SMALL, &(timer.source() + &alarm));
    stage.start(&timer).await;
    timer.impulses(1);
    stage.assert_exactly_once(&timer).await;

    stage.link.cut();
    webhook.refuse(1);
    timer.impulses(1);
    let (texts, notices) = (stage.path("texts"), stage.path("notices"));
    eventually("a command that is told", async || (!lines(&notices).is_empty()).then_some(())).await;
    eventually("a webhook that is told", async || (!webhook.taken().is_empty()).then_some(())).await;
    stage.link.restore();
    stage.link.cut();
    stage.gateway.kill().await.unwrap();
    stage.start(&timer).await;
    stage.until(|status| status["uplinks"][0]["lanes"][0]["oldest_waiting_age_s"].as_f64() > Some(2.0)).await;

    stage.link.restore();
    stage.assert_exactly_once(&timer).await;
    stage.until(is_delivering).await;
    eventually("a command that hears of the end", async || (lines(&notices).len() > 1).then_some(())).await;
    eventually("a webhook that hears of the end", async || (webhook.taken().len() > 1).then_some(())).await;
    stage.gateway.stop().await.unwrap();

    let told: Vec<Value> = lines(&notices).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(states(&told), ["raised", "cleared"], "the command: {told:?}");
    assert_eq!(states(&webhook.taken()), ["raised", "cleared"], "the webhook: {:?}", webhook.taken());
    assert_eq!(webhook.refused().len(), 1, "tried again once it had refused");
    assert_eq!(webhook.refused()[0]["state"], "raised");

    let (raised, cleared) = (&told[0], &told[1]);
    assert_eq!(raised["id"], "stade-1-a/results_waiting/centre");
    assert_eq!(raised["condition"], "results_waiting");
    for key in ["id", "condition", "gateway", "venue", "since"] {
        assert_eq!(raised[key], cleared[key], "{key}");
    }
    let text = |notice: &Value| notice["text"].as_str().unwrap().to_owned();
    assert!(text(raised).starts_with("ALARM: results wait for the uplink centre: 1 RESULT WAITS HERE SINCE "));
    assert!(text(cleared).starts_with("OVER: results wait for the uplink centre: "), "{}", text(cleared));
    assert_eq!(lines(&texts), [text(raised), text(cleared)], "the argument is the text");
    let keys: BTreeSet<String> = raised.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, documented_keys(), "what is told, and what is documented");
}

/// A command that hangs and a webhook that is gone hold up nobody: results are delivered, and the gateway stops at once.
#[tokio::test]
async fn who_cannot_be_told_holds_up_nothing() {
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    let command = stage.path("venue-alarm");
    fs::write(&command, "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n: > started\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alarm = format!("[alarm]\ncommand = \"venue-alarm\"\nwebhook = \"http://{gone}\"\nresults_wait = \"1s\"\n");
    stage.configure(SMALL, &(timer.source() + &alarm));
    stage.start(&timer).await;
    stage.link.cut();
    timer.impulses(1);
    eventually("a command that hangs", async || stage.path("started").exists().then_some(())).await;
    let failed = "an alarm could not be told; tried again";
    eventually("a webhook that is gone", async || stage.log().contains(failed).then_some(())).await;
    assert!(stage.log().contains("failed to connect: Connection refused"), "{}", stage.log());

    stage.link.restore();
    timer.impulses(1);
    stage.assert_exactly_once(&timer).await;
    assert!(stage.gateway.terminate().await.unwrap().success());
}
