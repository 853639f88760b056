//! `devices`: the table of protocols.

use serde::Serialize;
use venue_devices::{DEVICES, DeviceType};

use crate::{mapping, probe};

/// A row, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    title: &'static str,
    transports: Vec<&'static str>,
    line: Option<String>,
    evidence: &'static str,
    back_fill: &'static str,
    acknowledgement: &'static str,
}

impl Row {
    fn new(device: &'static DeviceType) -> Self {
        Self {
            name: device.name,
            title: device.title,
            transports: device.transports.iter().map(|it| it.name()).collect(),
            line: device.line.map(probe::written),
            evidence: device.evidence.name(),
            back_fill: device.back_fill,
            acknowledgement: device.acknowledgement,
        }
    }
}

/// The table as text, or as one JSON array.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn table(json: bool) -> anyhow::Result<String> {
    let rows: Vec<Row> = DEVICES.iter().chain(&mapping::DEVICES).map(Row::new).collect();
    if json {
        return Ok(serde_json::to_string_pretty(&rows)?);
    }
    let heading = ["NAME", "TRANSPORTS", "LINE", "EVIDENCE", "BACK-FILL", "ACK", "DEVICE"].map(str::to_owned);
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let cells = rows.iter().map(|row| {
        [
            row.name.to_owned(),
            row.transports.join(", "),
            row.line.clone().unwrap_or_else(|| "-".to_owned()),
            row.evidence.to_owned(),
            dash(row.back_fill),
            dash(row.acknowledgement),
            row.title.to_owned(),
        ]
    });
    Ok(columns(&std::iter::once(heading).chain(cells).collect::<Vec<_>>()))
}

/// Rows in columns as wide as their widest cell.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let row = |cells: &[String; N]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every protocol has its line, and the columns stand below each other.
    #[test]
    fn the_table_has_a_line_a_device() {
        let table = table(false).expect("text");
        for device in DEVICES.iter().chain(&mapping::DEVICES) {
            assert!(table.lines().any(|line| line.starts_with(device.name)), "{table}");
        }
        let evidence = table.lines().next().and_then(|line| line.find("EVIDENCE")).expect("a heading");
        assert!(table.lines().skip(1).all(|line| line.as_bytes()[evidence - 1] == b' '), "{table}");
    }
}
