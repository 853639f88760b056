//! skeleton
use crate::*;

/// Row of the table of devices.
pub const DEVICE: DeviceType = DeviceType {
    name: "nmea",
    title: "",
    transports: &[Transport::Serial, Transport::TcpConnect, Transport::TcpListen],
    line: Some(LineSettings::eight_n_one(9600)),
    evidence: Evidence::GenuineCapture,
    back_fill: "",
    acknowledgement: "",
    decoder_version: 1,
};

/// The conversation.
#[derive(Debug)]
pub struct Nmea;

impl Nmea {
    /// New.
    pub fn new(_role: Role) -> Self {
        Self
    }
}

impl Conversation for Nmea {
    fn handle_connected(&mut self, _now: Monotonic, _sink: &mut dyn FnMut(Item<'_>)) {}
    fn handle_bytes(&mut self, _now: Monotonic, _bytes: &[u8], _sink: &mut dyn FnMut(Item<'_>)) {}
    fn handle_disconnected(&mut self, _now: Monotonic, _sink: &mut dyn FnMut(Item<'_>)) {}
    fn handle_timeout(&mut self, _now: Monotonic, _sink: &mut dyn FnMut(Item<'_>)) {}
    fn handle_durable(&mut self, _now: Monotonic, _items: u64) {}
    fn poll_transmit(&mut self, _now: Monotonic, _buffer: &mut [u8]) -> usize {
        0
    }
    fn poll_timeout(&self) -> Option<Monotonic> {
        None
    }
}
