//! A serial port: one setting after the other.

use std::path::Path;

use venue_devices::{DEVICES, LineSettings};

use super::listen::listen;
use super::score::Heard;
use super::{OnProgress, Options, holder, settings};
use crate::source::open_line;

/// Listens at each setting that devices are found with, until one is recognised. With
/// [`Options::ask`] devices are then asked, at their own settings, those apart at which
/// something else was heard. What came is in `heard` however this ends.
///
/// # Errors
/// Why the port cannot be used, and how to mend it.
pub async fn probe(
    port: &Path,
    options: &Options,
    heard: &mut Vec<Heard>,
    on_progress: OnProgress<'_>,
) -> Result<(), String> {
    if let Some(holder) = holder::of_port(port) {
        return Err(format!("{} is in use by {holder}: it is left alone; stop that, then probe again", port.display()));
    }
    for line in settings::tried() {
        if attempt(port, line, b"", options, heard, on_progress).await? {
            return Ok(());
        }
    }
    for device in DEVICES.iter().filter(|device| options.ask && !device.identify.is_empty()) {
        for line in device.line.iter().chain(device.other_lines) {
            let is_refuted = heard.iter().any(|it| it.line == Some(*line) && it.is_refuted());
            if !is_refuted && attempt(port, *line, device.identify, options, heard, on_progress).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Listens at one setting, and returns whether a device was recognised.
async fn attempt(
    port: &Path,
    line: LineSettings,
    request: &[u8],
    options: &Options,
    heard: &mut Vec<Heard>,
    on_progress: OnProgress<'_>,
) -> Result<bool, String> {
    let opened = match open_line(port, line) {
        Ok(opened) => opened,
        // The adapter's fault, not the port's: the others are tried.
        Err(error) if error.is_of_speed() => return Ok(false),
        Err(error) => return Err(error.to_string()),
    };
    let doing = if request.is_empty() { "listens at" } else { "asks at" };
    let doing = format!("{doing} {}", settings::written(line));
    heard.push(Heard::at(Some(line)));
    let heard = heard.last_mut().expect("just pushed");
    listen(opened, request, options.listen, heard, &doing, on_progress)
        .await
        .map_err(|reason| format!("{}: {reason}", port.display()))?;
    Ok(heard.best().is_some())
}
