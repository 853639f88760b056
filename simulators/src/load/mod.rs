//! Load through the real gateway, and what it makes of it: the numbers of the documentation.
//!
//! Each [`Row`] starts the gateway as a process of its own, a chronometer that prints into TCP and a centre in memory,
//! and measures one thing. Nothing of it passes or fails by time: the table says which goals are reached.
//! What does fail is a line that is lost, doubled or out of order.

mod backlog;
mod disk;
mod figure;
mod lines;
mod mosquitto;
mod rig;
mod rows;
mod spread;
mod usage;

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

pub use rows::Row;

use crate::clock::Clock;
use figure::Figure;
use rig::Drive;
use spread::{Spread, ms};

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// The rows, in their order.
    pub rows: Vec<Row>,
    /// How often each is measured; medians are shown.
    pub runs: usize,
    /// Events of each run; a row has its own number without.
    pub events: Option<u64>,
    /// Records that wait for a second receiver meanwhile, in either lane half of them.
    pub backlog: u64,
    /// Where journals are written: the disk that is measured. The temporary folder if none is given.
    pub directory: Option<PathBuf>,
    /// One JSON line a row on standard output instead of the table.
    pub json: bool,
}

/// Measures, shows, and returns whether every run ended, and every line arrived once and in order. A run that fails is told and left
/// out; the others are shown.
///
/// # Errors
/// If there is no folder for a journal.
pub async fn run(config: LoadConfig) -> anyhow::Result<bool> {
    let mut sound = true;
    for row in &config.rows {
        let mut runs = Vec::new();
        for number in 1..=config.runs {
            eprintln!("{row}: run {number} of {}", config.runs);
            let folder = match &config.directory {
                Some(directory) => tempfile::tempdir_in(directory),
                None => tempfile::tempdir(),
            };
            let folder = folder.context("make a folder for the journal")?;
            let synced = disk::fdatasync(folder.path(), Clock::start())?;
            match row.measure(folder.path(), &config, synced).await {
                Ok(run) => {
                    sound &= run.drives.iter().all(Drive::is_sound);
                    runs.push(Run { synced, ..run });
                }
                Err(error) => {
                    eprintln!("{row}: run {number} failed: {error:#}");
                    sound = false;
                }
            }
        }
        if !runs.is_empty() {
            show(*row, &runs, config.json);
        }
    }
    Ok(sound)
}

/// What one run of a row measured.
#[derive(Debug, Clone, Default)]
struct Run {
    figures: Vec<Figure>,
    /// The loads it was measured under.
    drives: Vec<Drive>,
    /// What the disk took for an `fdatasync` just before.
    synced: Spread,
}

fn show(row: Row, runs: &[Run], as_json: bool) {
    let figures = Figure::medians(&runs.iter().map(|run| run.figures.clone()).collect::<Vec<_>>());
    if as_json {
        println!("{}", json_line(row, runs, &figures));
        return;
    }
    println!("{row}: {}", row.what());
    figures.iter().for_each(|figure| println!("{}", figure.line()));
    let drives = || runs.iter().flat_map(|run| &run.drives);
    let sums = drives()
        .fold([0; 3], |sums, drive| [sums[0] + drive.lost, sums[1] + drive.duplicated, sums[2] + drive.out_of_order]);
    if drives().next().is_some() {
        println!("  lost {}, duplicated {}, out of order {}", sums[0], sums[1], sums[2]);
    }
    let synced = middle(runs);
    println!(
        "  fdatasync of this disk: p50 {:.3} ms, p99 {:.3} ms; median of {} runs",
        ms(synced.p50),
        ms(synced.p99),
        runs.len()
    );
}

fn middle(runs: &[Run]) -> Spread {
    let mut all: Vec<Spread> = runs.iter().map(|run| run.synced).collect();
    all.sort_by_key(|spread| spread.p50);
    all.get(all.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

fn json_line(row: Row, runs: &[Run], figures: &[Figure]) -> Value {
    let of = |run: &Run| {
        let drive = run.drives.first();
        json!({
            "events_per_second": drive.map(|it| it.lines as f64 / it.took.as_secs_f64()),
            "lost": drive.map(|it| it.lost),
            "duplicated": drive.map(|it| it.duplicated),
            "out_of_order": drive.map(|it| it.out_of_order),
            "latency_ms": drive.map(|it| it.latency.json()),
            "gateway": drive.map(|it| json!({
                "cpu_s_per_100k": it.cpu_s_per_100k(),
                "rss_mib_peak": it.rss_peak as f64 / f64::from(1 << 20),
            })),
            "fdatasync_ms": run.synced.json(),
        })
    };
    // The run in the middle stands for the row; all of them are below it.
    let mut ordered: Vec<&Run> = runs.iter().collect();
    ordered.sort_by_key(|run| run.drives.first().map(|drive| drive.took));
    let mut line = ordered.get(ordered.len().saturating_sub(1) / 2).map_or(Value::Null, |run| of(run));
    line["row"] = row.to_string().into();
    line["figures"] = figures.iter().map(Figure::json).collect();
    line["runs"] = runs.iter().map(of).collect();
    line
}

impl Drive {
    fn is_sound(&self) -> bool {
        (self.lost, self.duplicated, self.out_of_order) == (0, 0, 0)
    }

    fn events_per_second(&self) -> f64 {
        self.lines as f64 / self.took.as_secs_f64()
    }

    fn cpu_s_per_100k(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.lines as f64 / 100_000.0)
    }
}
