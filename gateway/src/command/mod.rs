//! The commands of `venue-gateway`, one file each.

pub mod check;
mod control_client;
pub mod decode;
pub mod devices;
pub mod event_line;
pub mod journal;
mod offline;
mod output;
pub mod ports;
pub mod probe;
pub mod run;
pub mod status;
mod supervise;
pub mod tail;

pub use output::{print, tell};
