//! `venue-sim sensors`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::console::{Bench, Console};
use crate::clock::Clock;
use crate::quantity;
use crate::sensors::{BrokerAddress, FleetConfig, SensorFleet};

/// Arguments of `sensors`.
#[derive(Debug, Args)]
#[command(
    after_help = "Control lines on stdin: finish (measure nothing more, end when all is acknowledged), status, quit."
)]
pub(super) struct SensorsArguments {
    /// Where they publish, by MQTT 5.
    #[arg(long, value_name = "mqtt://HOST:PORT")]
    broker: BrokerAddress,
    /// How many: wind, climate, people and battery in turn.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// Quality of service, 0 or 1; at 0 nothing is promised.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// From sample to sample of one sensor, at least 1ms.
    #[arg(long, value_parser = quantity::duration, default_value = "1s")]
    interval: Duration,
    /// First levels of every topic, which is PREFIX/NAME/wind or PREFIX/NAME/state.
    #[arg(long, default_value = "venue")]
    prefix: String,
    /// Ends when each sensor has said so many and the broker has them.
    #[arg(long)]
    messages: Option<u64>,
    /// Measures for so long, and ends when the broker has all of it.
    #[arg(long, value_parser = quantity::duration, value_name = "DURATION")]
    until: Option<Duration>,
    /// Repeats what they measure.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Writes what they said and what the broker acknowledged here at the end, as JSON.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Says all as JSON lines.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: SensorsArguments) -> anyhow::Result<()> {
    let SensorsArguments { broker, count, qos, interval, prefix, messages, until, seed, ledger, json } = arguments;
    let config = FleetConfig { broker, count, prefix, qos, interval, messages, seed };
    let mut bench = SensorsBench { fleet: SensorFleet::start(&config), clock: Clock::start(), until };
    let mut console = Console::open(json);
    let broker = config.broker.to_string();
    let people = format!("{count} sensors publish to {broker} every {interval:?} at QoS {qos}");
    console.started(json!({ "broker": broker, "count": count, "qos": qos, "prefix": config.prefix }), &people)?;
    console.drive(&mut bench).await?;
    match ledger {
        Some(file) => {
            let text = serde_json::to_string(&bench.fleet.ledger())?;
            std::fs::write(&file, format!("{text}\n")).with_context(|| format!("write the ledger {}", file.display()))
        }
        None => Ok(()),
    }
}

struct SensorsBench {
    fleet: SensorFleet,
    clock: Clock,
    until: Option<Duration>,
}

impl Bench for SensorsBench {
    async fn obey(&mut self, line: &str) -> Result<(), String> {
        match line.trim() {
            "status" => {}
            "finish" => self.fleet.finish(),
            other => return Err(format!("`{other}` is no command; say finish, status or quit")),
        }
        Ok(())
    }

    fn state(&self) -> Value {
        json!(self.fleet.report())
    }

    fn describe(&self) -> String {
        let report = self.fleet.report();
        let mut line = format!(
            "{} of {} sensors connected: {} samples, {} acknowledged, {} waiting",
            report.connected, report.running, report.samples, report.acknowledged, report.waiting
        );
        for (count, what) in [(report.unheard, "unheard"), (report.refused, "refused"), (report.skipped, "skipped")] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        match report.last_error {
            Some(error) if report.connected < report.running || report.refused > 0 => format!("{line}; {error}"),
            _ => line,
        }
    }

    fn is_done(&self) -> bool {
        if self.until.is_some_and(|until| self.clock.now() >= until) {
            self.fleet.finish();
        }
        self.fleet.report().running == 0
    }
}
