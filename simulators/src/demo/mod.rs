//! `venue-sim demo`: the whole chain on one machine, with nothing installed.
//!
//! ```text
//!  Timy A ──PTY──┐                                   ┌── SIGKILL, twice
//!  Timy B ──PTY──┼─► venue-gateway (own process) ◄───┘
//!  wind ────PTY──┤        │ gRPC
//!  12 sensors ───┘        └─► link (cut for a while) ─► centre (SQLite)
//!     └─ MQTT, over a broker in this process
//! ```
//!
//! A small downhill race is run: start gate, two intermediates, finish, on an ALGE
//! Timy; a second Timy is system B, as the rules ask; a wind gauge stands beside, and a
//! dozen sensors publish to the venue's broker, of which three measure official wind.
//! Meanwhile the gateway is killed, the uplink cut and a cable pulled in the middle
//! of a line. The verdict compares what the devices said and the broker acknowledged with what the centre
//! stored, and knows nothing of the gateway's inside.

mod race;
mod sabotage;
mod scene;
mod verdict;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;

pub use sabotage::Sabotage;
pub use verdict::{Latency, Verdict};

use scene::Scene;

/// What a demo is asked to do.
#[derive(Debug, Clone)]
pub struct DemoConfig {
    /// Competitors, at least 1.
    pub runners: u16,
    /// Where configuration, journal, log and the centre's store go; a new folder if
    /// none is given.
    pub directory: Option<PathBuf>,
    /// Print the verdict as JSON on standard output.
    pub json: bool,
    /// Break something, to see that the verdict finds it.
    pub sabotage: Option<Sabotage>,
}

/// Plays the demo and prints its verdict. Exit code 0 only if nothing is lost or
/// doubled and no invariant was broken; 1 otherwise.
///
/// # Errors
/// If a part cannot be started.
pub async fn run(config: DemoConfig) -> anyhow::Result<ExitCode> {
    let directory = match &config.directory {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("venue-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let teller = Teller::new();
    teller.tell(&format!("everything of this demo is in {}", directory.display()));
    let mut scene = Scene::set(&directory, config.sabotage, teller).await?;
    race::run(&mut scene, config.runners).await?;
    let verdict = scene.close().await?;
    if config.json {
        println!("{}", serde_json::to_string(&verdict)?);
    }
    tell_verdict(&verdict, &directory);
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells what happens, with the time since the start, on standard error.
struct Teller {
    clock: crate::clock::Clock,
}

impl Teller {
    fn new() -> Self {
        Self { clock: crate::clock::Clock::start() }
    }

    fn elapsed(&self) -> Duration {
        self.clock.now()
    }

    fn tell(&self, what: &str) {
        let seconds = self.elapsed().as_secs_f64();
        if std::io::stderr().is_terminal() {
            eprintln!("\x1b[2m{seconds:6.1} s\x1b[0m  {what}");
        } else {
            eprintln!("{seconds:6.1} s  {what}");
        }
    }
}

fn tell_verdict(verdict: &Verdict, directory: &std::path::Path) {
    let word = if verdict.ok { "NOTHING LOST, NOTHING DOUBLED" } else { "FAILED" };
    eprintln!("\n{word}");
    eprintln!("  sent by chronometers and sensors  {:>6}   ({} over MQTT)", verdict.sent, verdict.sent_over_mqtt);
    eprintln!("  delivered to the centre           {:>6}", verdict.delivered);
    eprintln!("  lost                              {:>6}", verdict.lost);
    eprintln!("  duplicated                        {:>6}", verdict.duplicated);
    eprintln!("  out of order                      {:>6}", verdict.out_of_order);
    eprintln!("  wind samples declared missing     {:>6}   (the gauge has no memory)", verdict.declared);
    eprintln!(
        "  device byte to acknowledgement    p50 {:.1} ms, p99 {:.1} ms while nothing was cut",
        verdict.latency_ms.p50, verdict.latency_ms.p99
    );
    eprintln!("  the longest, through every cut    {:.1} s", verdict.latency_ms_longest / 1000.0);
    for violation in &verdict.violations {
        eprintln!("  ! {violation}");
    }
    let shown = directory.display();
    let program = std::env::current_exe().unwrap_or_else(|_| "venue-sim".into());
    let gateway = format!("{} gateway", program.display());
    eprintln!("\nlook around:");
    eprintln!("  less {shown}/gateway.toml         # the configuration");
    eprintln!("  less {shown}/gateway.log          # what the gateway told");
    eprintln!("  sqlite3 {shown}/centre.sqlite     # what the centre stored, if you have sqlite3");
    eprintln!("  {gateway} status --config {shown}/gateway.toml");
    eprintln!("  {gateway} tail --no-follow --last 40 --config {shown}/gateway.toml");
    eprintln!("  {gateway} journal inspect {shown}/data");
}
