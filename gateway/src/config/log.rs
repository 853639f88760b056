//! `[log]`: what the log tells.

use tracing_subscriber::EnvFilter;

use super::section::Section;
use super::setting::{Complaint, Setting};

/// What the log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or levels by module: `info,venue_gateway::source=debug`.
    pub filter: String,
}

/// A filter that `tracing` accepts.
struct Filter(String);

impl Setting for Filter {
    const KIND: &'static str = "a log filter";
    const EXAMPLE: &'static str = "\"info\"";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        match EnvFilter::try_new(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            _ => Err(Complaint::new(
                format!("`{text}` is not a log filter"),
                "write error, warn, info, debug or trace, or levels by module: \"info,venue_gateway::source=debug\"",
            )),
        }
    }
}

impl LogConfig {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        section.required::<Filter>("filter").map(|filter| Self { filter: filter.value.0 })
    }
}
