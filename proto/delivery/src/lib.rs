//! The uplink conversation of a venue gateway, both ends, without I/O.
//!
//! The [`Sender`] turns the records of one lane of a journal into the frames of
//! `venue.v1.EventIngestService.Deliver`, and acknowledgements into a cursor; the
//! [`Receiver`] turns the frames of many gateways into transactions of a store, and
//! each transaction into an acknowledgement. On the wire everything comes at least
//! once; in effect exactly once, since the receiver keeps events, mark and digest
//! in one transaction and the gateway goes on behind that mark.
//!
//! ```text
//!  journal ──read──► Sender ──hello, batch, skipped──► Receiver ──append──► Store
//!     ▲                │  ▲                              │  ▲                 │
//!     └── AdvanceCursor┘  └───────welcome, ack───────────┘  └── mark, digest ─┘
//! ```
//!
//! The states of a sender are drawn in [`sender`], those of a stream at the other
//! end in [`receiver`], the bytes in [`frame`].
//!
//! **What it never does.** It opens no connection, reads no clock and draws no random
//! number: `now` is a parameter, counted from any fixed origin, and jitter comes from
//! a seed. It never decodes an event on its way up, never sends what is not durable,
//! never moves a cursor to a place whose digest it does not know, and never gives up:
//! whatever a receiver says, everything is kept and tried again. It sends one batch
//! after another without waiting, as far as the window goes.
//!
//! # Driving both ends
//!
//! ```
//! use std::{num::NonZeroUsize, time::Duration};
//!
//! use venue_delivery::{
//!     Mark, Receiver, Sender,
//!     frame::push_element,
//!     receiver::{MemoryStore, Output, Peer},
//!     sender::{Action, Read, ReadFault, ReadLimits, RecordSource, SenderConfig, Transmit, Tuning},
//! };
//! use venue_schema::{GatewayId, JournalEpoch, Sequence, v1::Lane};
//!
//! /// A journal of three records.
//! struct Journal;
//!
//! impl RecordSource for Journal {
//!     fn first_retained(&self) -> Sequence {
//!         Sequence(1)
//!     }
//!
//!     fn read(&mut self, from: Sequence, limits: ReadLimits) -> Result<Read, ReadFault> {
//!         let mut elements = Vec::new();
//!         let events = [b"one", b"two", b"six"].into_iter().skip(from.0 as usize - 1).take(limits.records);
//!         let count = events.map(|event| push_element(event, &mut elements)).count();
//!         Ok(Read::Records { first_sequence: from, count, elements: elements.into() })
//!     }
//! }
//!
//! let epoch = JournalEpoch::from_bytes([7; 16]);
//! let config = SenderConfig {
//!     gateway_id: GatewayId::new("stade-1-a")?,
//!     journal_epoch: epoch,
//!     lane: Lane::Results,
//!     predecessors: Vec::new(),
//!     software_version: "1.0.0".into(),
//!     receiver_id: None,
//!     endpoints: NonZeroUsize::MIN,
//!     seed: 1,
//!     tuning: Tuning::default(),
//! };
//! let now = Duration::ZERO; // a driver reads its clock before each call
//! let mut cursor = Mark::initial(epoch, Lane::Results);
//! let mut sender = Sender::new(config, cursor, Sequence(3), now);
//! let (mut receiver, mut store) = (Receiver::new("centre"), MemoryStore::new());
//! let stream = receiver.handle_opened(now, Peer::Believed);
//!
//! while sender.has_unacknowledged() {
//!     if sender.poll_timeout().is_some_and(|at| at <= now) {
//!         sender.handle_timeout(now);
//!     }
//!     while let Some(action) = sender.poll_action() {
//!         match action {
//!             Action::Connect { connection, .. } => sender.handle_connected(now, connection),
//!             Action::AdvanceCursor { mark } => cursor = mark,
//!             Action::PinReceiver { receiver_id } => assert_eq!(receiver_id, "centre"),
//!             other => panic!("{other:?}"),
//!         }
//!     }
//!     while let Some(connection) = sender.connection() {
//!         match sender.poll_transmit(now, &mut Journal) {
//!             Transmit::Frame(frame) => receiver.handle_request(stream, frame.to_request()?, &mut store),
//!             Transmit::Again | Transmit::Idle => break, // actions come first
//!         }
//!         receiver.commit(&mut store)?;
//!         while let Some(Output::Respond { response, .. }) = receiver.poll_output() {
//!             sender.handle_response(now, connection, response);
//!         }
//!     }
//! }
//! assert_eq!(receiver.totals().stored, 3);
//! while let Some(Action::AdvanceCursor { mark }) = sender.poll_action() {
//!     cursor = mark;
//! }
//! assert_eq!(cursor.sequence, Sequence(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod code;
pub mod frame;
mod mark;
pub mod receiver;
pub mod sender;

pub use code::{Code, StreamEnd};
pub use frame::Frame;
pub use mark::Mark;
pub use receiver::Receiver;
pub use sender::Sender;

/// Version of the conversation that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;
