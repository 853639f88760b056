//! The published contract: what a venue's devices said, as protobuf.
//!
//! The messages of `venue/v1/*.proto` as Rust types ([`v1`]), the proto3 JSON form
//! of each (serde, original field names), the ids that name gateways, journals
//! and places in a lane ([`GatewayId`], [`JournalEpoch`], [`Sequence`]), and the
//! digest chain that proves a lane ([`Digest`]). With the feature `grpc` also the
//! client and server of `EventIngestService`.
//!
//! This crate never opens anything and never decides anything; it holds names.
//!
//! ```
//! use venue_schema::{v1, Message as _};
//!
//! let event = v1::Event {
//!     venue_id: "stade-1".into(),
//!     device_id: "timer-a".into(),
//!     content: Some(v1::event::Content::Impulse(v1::Impulse {
//!         channel: "C1".into(),
//!         start_number: "12".into(),
//!         ..Default::default()
//!     })),
//!     ..Default::default()
//! };
//! let bytes = event.encode_to_vec();
//! assert_eq!(v1::Event::decode(&bytes[..]).unwrap(), event);
//! ```

mod digest;
mod id;
mod json_form;

pub use digest::Digest;
pub use id::{GatewayId, InvalidId, JournalEpoch, Sequence};
pub use json_form::base64;
pub use prost::Message;

/// The messages of package `venue.v1`, and with the feature `grpc` its service.
#[expect(missing_docs, clippy::allow_attributes, reason = "generated; documented in the .proto files")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/venue.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/venue.v1.serde.rs"));
}

/// Descriptors of package `venue.v1`, a serialized `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/venue.v1.fds"));

/// Field number of `Event.origin`, the field that the journal appends.
pub const ORIGIN_FIELD: u32 = 100;

impl v1::Lane {
    /// Both lanes, results first.
    pub const ALL: [Self; 2] = [Self::Results, Self::Telemetry];

    /// The lane's name as it stands in configuration and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Results => "results",
            Self::Telemetry => "telemetry",
        }
    }
}
