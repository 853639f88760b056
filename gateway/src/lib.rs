//! The edge gateway that sports venues trust with their results.
//!
//! The library holds every part; the binary is a thin `main`. [`app`] joins the
//! parts: [`source`]s feed [`pipeline`]s, pipelines append to the journal
//! (`venue-journal`), the [`uplink`] delivers from it. Each part's module says what
//! it never does.

pub mod alarm;
pub mod app;
mod causes;
pub mod check;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod event_json;
pub mod http;
mod limits;
pub mod mapping;
pub mod mqtt;
pub mod pipeline;
pub mod ports;
pub mod probe;
pub mod source;
pub mod systemd;
pub mod uplink;
