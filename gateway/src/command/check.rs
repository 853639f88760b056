//! `check`: everything that is wrong, where, and how to mend it.

use std::path::Path;

use serde::Serialize;

use super::output;
use crate::{
    check::{self, SampleResult},
    cli::Exit,
    clock::wall_clock,
    config::{self, Config, Finding},
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    findings: &'a [Finding],
    samples: &'a [SampleResult],
}

/// Validates a configuration and all that it names, and prints the findings.
///
/// # Errors
/// If they cannot be printed.
pub fn run(path: &Path, json: bool) -> anyhow::Result<Exit> {
    let (findings, samples, exit) = match Config::load(path, config::environment()) {
        // Mistakes are what was asked for. A file that nobody can read is not the answer
        // to that question but a question that could not be put: as in any other command.
        Err(errors) if errors.is_unreadable() => (errors.findings().to_vec(), Vec::new(), Exit::Config),
        Err(errors) => (errors.findings().to_vec(), Vec::new(), Exit::Failure),
        Ok(config) => {
            let findings = check::check(&config, wall_clock());
            let exit = if findings.iter().any(Finding::is_error) { Exit::Failure } else { Exit::Success };
            (findings, check::samples(&config), exit)
        }
    };
    let text = if json {
        serde_json::to_string_pretty(&Report { ok: exit == Exit::Success, findings: &findings, samples: &samples })?
    } else {
        let told: String = findings.iter().map(|finding| format!("{finding}\n\n")).collect();
        told + &shown(&samples) + &config::summary(&findings)
    };
    output::print(&text)?;
    Ok(exit)
}

/// What comes of each sample message.
fn shown(samples: &[SampleResult]) -> String {
    let event = |line: &String| format!("    {line}\n");
    let one = |it: &SampleResult| {
        let events: String = it.events.iter().map(event).collect();
        format!("sample of `{}`, {}:\n{events}\n", it.name, it.topic)
    };
    samples.iter().map(one).collect()
}
