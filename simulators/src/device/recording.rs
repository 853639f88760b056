//! A recording that is played as it was recorded, byte for byte, from the moment at
//! which somebody listens.

use std::time::Duration;

use super::ledger::Ledger;
use super::model::{Action, Model, Moment, Refused};

/// Most bytes of a line of a recording; a longer run without line end goes in pieces.
const LONGEST_LINE: usize = 256;

/// A recording that is played once.
pub(super) struct Recording {
    bytes: Vec<u8>,
    played: usize,
}

impl Recording {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, played: 0 }
    }
}

impl Model for Recording {
    fn handle_bytes(&mut self, _at: Moment, _bytes: &[u8]) {}

    fn handle_timeout(&mut self, _at: Moment, _ledger: &mut Ledger) {}

    fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    fn poll_line(&mut self, _at: Moment) -> Option<Vec<u8>> {
        let rest = &self.bytes[self.played..];
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).map_or(rest.len(), |at| at + 1);
        let line = &rest[..end.min(LONGEST_LINE)];
        self.played += line.len();
        (!line.is_empty()).then(|| line.to_vec())
    }

    fn act(&mut self, _at: Moment, _action: &Action, _ledger: &mut Ledger) -> Result<(), Refused> {
        Err(Refused::NotThisDevice("operator; it plays a recording"))
    }

    fn restart(&mut self) {
        self.played = 0;
    }

    fn is_done(&self) -> bool {
        self.played == self.bytes.len()
    }

    fn waits_for_listener(&self) -> bool {
        self.played == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes come, in order, whatever they are.
    #[test]
    fn every_byte_is_played() {
        let bytes: Vec<u8> = (0..2000_u32).map(|it| (it % 256) as u8).chain(*b"\r\n\r\rend").collect();
        let mut recording = Recording::new(bytes.clone());
        let at = Moment { now: Duration::ZERO, utc_ns: 0 };
        let played: Vec<u8> = std::iter::from_fn(|| recording.poll_line(at)).flatten().collect();
        assert_eq!(played, bytes);
        assert!(recording.is_done());
    }
}
