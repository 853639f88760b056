//! Which settings of a serial line are tried, in which order.

use venue_devices::{DEVICES, LineSettings, Parity};

/// The settings that any device is found with, the most likely first: the default of each
/// device, then the next most frequent of each, and so on.
///
/// All that are known have eight bits without parity. Seven bits with parity need no
/// listening of their own: they are as long on the line, and what was heard tells them
/// (see `score`).
pub(super) fn tried() -> Vec<LineSettings> {
    let of_device: Vec<Vec<LineSettings>> = DEVICES
        .iter()
        .map(|device| device.line.into_iter().chain(device.other_lines.iter().copied()).collect())
        .collect();
    let longest = of_device.iter().map(Vec::len).max().unwrap_or(0);
    let mut tried = Vec::new();
    for line in (0..longest).flat_map(|index| of_device.iter().filter_map(move |lines| lines.get(index))) {
        if !tried.contains(line) {
            tried.push(*line);
        }
    }
    tried
}

/// As people write it: `9600 8N1`.
pub fn written(line: LineSettings) -> String {
    let parity = match line.parity {
        Parity::None => 'N',
        Parity::Even => 'E',
        Parity::Odd => 'O',
    };
    format!("{} {}{parity}{}", line.baud, line.data_bits, line.stop_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defaults of the devices come first, and each setting once.
    #[test]
    fn the_most_likely_come_first() {
        let tried: Vec<String> = tried().into_iter().map(written).collect();
        assert_eq!(tried, ["9600 8N1", "4800 8N1", "38400 8N1", "19200 8N1", "115200 8N1", "2400 8N1", "57600 8N1"]);
    }
}
