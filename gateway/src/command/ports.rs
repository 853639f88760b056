//! `ports`: serial ports by stable name.

use super::devices::columns;
use crate::ports;

/// The list as text, or as one JSON array.
///
/// # Errors
/// If the system's list of ports cannot be read.
pub fn table(json: bool) -> anyhow::Result<String> {
    let ports = ports::list()?;
    if json {
        return Ok(serde_json::to_string_pretty(&ports)?);
    }
    if ports.is_empty() {
        return Ok("no serial port: plug the adapter in, and check `dmesg` for its driver".to_owned());
    }
    let heading = ["NAME", "TTY", "DRIVER", "USB"].map(str::to_owned);
    let row = |port: &ports::SerialPort| {
        let usb = port.usb.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        [port.name.display().to_string(), port.tty.display().to_string(), port.driver.clone(), usb]
    };
    Ok(columns(&std::iter::once(heading).chain(ports.iter().map(row)).collect::<Vec<_>>()))
}
