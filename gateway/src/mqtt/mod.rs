//! MQTT: a venue's broker as a source of messages.

mod deliveries;
pub mod link;
pub mod session;

pub use deliveries::{Deliveries, Fingerprint, Receipt};
