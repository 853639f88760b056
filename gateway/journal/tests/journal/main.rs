//! The journal's promises, on simulated disks and on a real one.

#![expect(clippy::unwrap_used, reason = "a test may panic; what it prepares for its test does so too")]

mod cursors;
mod cut;
mod epoch;
mod frozen_format;
mod halt;
mod lost_identities;
mod lost_newest;
mod model;
mod open_gaps;
mod ordinals;
mod quota;
mod recovery_cases;
mod retirement;
mod scene;
mod threads;
mod unreadable;
