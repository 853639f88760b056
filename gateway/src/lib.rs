//! The edge gateway that sports venues trust with their results.
pub mod clock;
