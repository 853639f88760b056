//! A session at a broker: connections one after another, messages in, acknowledgements out once they are on disk.
//!
//! ```text
//! task 1: the library's event loop ─► intake ─► journal ─► commit thread
//! task 2: PUBACKs, in order       ◄────── watermarks ◄────────┘
//! ```
//!
//! Both run on one thread and share their state without waiting for each other. So between the end of a connection,
//! when the library drops what it was to send, and the moment when [`Deliveries`] knows of it, no acknowledgement can
//! slip in that would go out on the next connection.

use std::{cell::RefCell, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use venue_journal::Watermarks;

use super::{
    deliveries::{Deliveries, Fingerprint, Receipt},
    link::{Heard, Link, LinkError, LinkOptions, Message, RECEIVE_MAXIMUM, Replies, Version},
};
use crate::source::back_off::BackOff;

/// The first and the longest wait before another connection is made.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// The intake's time is looked at so often.
const TICK_SHORTEST: Duration = Duration::from_millis(10);
const TICK_LONGEST: Duration = Duration::from_millis(500);
/// A stopping session waits so long for what it has taken in to be on disk and acknowledged.
const STOP: Duration = Duration::from_secs(2);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is staged, and on disk once the lanes have reached these places.
    Until(Watermarks),
    /// There is no room for it: the broker keeps it, if it is of QoS 1.
    Refused,
}

/// What happened to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// It stands.
    Connected {
        /// The protocol's version.
        version: Version,
        /// The broker kept the session.
        session_present: bool,
    },
    /// The subscriptions are answered.
    Subscribed {
        /// Filters that the broker refuses, by their number.
        refused: &'a [usize],
    },
    /// The session is stopped as asked.
    Left,
    /// It is gone, or could not be made.
    Ended {
        /// For people.
        error: &'a LinkError,
        /// Whether it had stood.
        stood: bool,
    },
}

/// Takes what a session receives. Called from the session's thread alone.
pub trait Intake {
    /// Takes a message in; not one that an earlier connection brought. `perhaps_again`: a process before this one may
    /// have taken it in.
    fn message(&mut self, message: &Message, perhaps_again: bool) -> Taken;

    /// A message came again that an earlier connection had brought.
    fn resend(&mut self, message: &Message);

    /// All that was read is handed over.
    fn flush(&mut self);

    /// Something happened to the connection.
    fn event(&mut self, event: &Event<'_>);

    /// In how long [`handle_timeout`](Self::handle_timeout) wants to be called, whatever comes; none for never.
    fn poll_timeout(&self) -> Option<Duration>;

    /// That time has come.
    fn handle_timeout(&mut self);
}

/// What a session is made with.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// For each connection; read anew before it is made.
    pub link: LinkOptions,
    /// The only version to be spoken; none: MQTT 5, or 3.1.1 where the broker does not know it.
    pub version: Option<Version>,
    /// What is subscribed to.
    pub filters: Vec<String>,
    /// Seed of the waits between connections.
    pub seed: u64,
}

/// What both tasks share.
struct Shared {
    deliveries: Deliveries,
    replies: Replies,
    /// Popped, and the library had no room for it.
    unsent: Option<u16>,
    /// Nothing more is taken in on this connection: the broker keeps it, and sends it again on the next.
    refuses: bool,
    stops: bool,
    said_goodbye: bool,
}

/// Runs a session until told to stop.
pub async fn run(
    options: SessionOptions,
    intake: impl Intake,
    durable: watch::Receiver<Watermarks>,
    stop: watch::Receiver<bool>,
) {
    let version = options.version.unwrap_or(Version::V5);
    let (link, replies) = Link::new(version, &options.link);
    let deliveries = Deliveries::new(RECEIVE_MAXIMUM);
    let shared = Shared { deliveries, replies, unsent: None, refuses: false, stops: false, said_goodbye: false };
    let shared = RefCell::new(shared);
    let (taken, intake) = (Notify::new(), RefCell::new(intake));
    tokio::select! {
        () = receive(&options, version, link, &intake, &shared, &taken) => {}
        () = acknowledge(&shared, &taken, durable, stop) => {}
        () = tick(&intake, &taken) => {}
    }
}

/// The library's event loop.
async fn receive(
    options: &SessionOptions,
    mut version: Version,
    mut link: Link,
    intake: &RefCell<impl Intake>,
    shared: &RefCell<Shared>,
    taken: &Notify,
) {
    let mut back_off = BackOff::new(RETRY_FIRST, RETRY_LONGEST, options.seed);
    let mut stands = false;
    loop {
        match link.poll().await {
            Ok(Heard::Connected { session_present }) => {
                let mut shared = shared.borrow_mut();
                shared.deliveries.connected(session_present);
                (shared.unsent, shared.refuses, stands) = (None, shared.stops, true);
                shared.replies.subscribe(&options.filters);
                intake.borrow_mut().event(&Event::Connected { version, session_present });
            }
            Ok(Heard::Subscribed { refused }) => {
                back_off.reset();
                intake.borrow_mut().event(&Event::Subscribed { refused: &refused });
            }
            Ok(Heard::Message(message)) => {
                take(&message, &mut *intake.borrow_mut(), &mut shared.borrow_mut());
            }
            Ok(Heard::Answered { acknowledgements }) => shared.borrow_mut().deliveries.proven(acknowledgements),
            Ok(Heard::Other) => {}
            Err(error) => {
                shared.borrow_mut().deliveries.disconnected();
                let stops = shared.borrow().stops;
                let ended = Event::Ended { error: &error, stood: std::mem::take(&mut stands) };
                intake.borrow_mut().event(if stops { &Event::Left } else { &ended });
                intake.borrow_mut().flush();
                if stops {
                    return;
                }
                let is_older = error == LinkError::Version(Version::V5) && version == Version::V5;
                if options.version.is_none() && is_older {
                    version = Version::V3_1_1;
                } else {
                    // The broker may have been replaced, or have hung up for another reason.
                    version = options.version.unwrap_or(Version::V5);
                    sleep(back_off.next()).await;
                }
                if link.version() != version {
                    let (other, replies) = Link::new(version, &options.link);
                    (link, shared.borrow_mut().replies) = (other, replies);
                }
                continue;
            }
        }
        if !link.has_more() {
            intake.borrow_mut().flush();
            taken.notify_one();
        }
    }
}

fn take(message: &Message, intake: &mut impl Intake, shared: &mut Shared) {
    if shared.stops || (shared.refuses && message.packet_id != 0) {
        return;
    }
    if message.packet_id == 0 {
        intake.message(message, false);
        return;
    }
    let fingerprint = Fingerprint::of(message.packet_id, message.topic.as_bytes(), &message.payload);
    match shared.deliveries.received(fingerprint) {
        Receipt::Resend => intake.resend(message),
        receipt => match intake.message(message, receipt == Receipt::PerhapsResend) {
            Taken::Until(until) => shared.deliveries.taken(fingerprint, until),
            Taken::Refused => {
                // What follows would be acknowledged before it; on the next connection all of it comes again.
                shared.refuses = true;
                shared.replies.disconnect();
            }
        },
    }
}

/// Calls the intake when it wants to be called though nothing came.
async fn tick(intake: &RefCell<impl Intake>, taken: &Notify) {
    loop {
        let wait = intake.borrow().poll_timeout().unwrap_or(TICK_LONGEST);
        // A message may make it due earlier; it is at most so much late.
        sleep(wait.clamp(TICK_SHORTEST, TICK_LONGEST)).await;
        if intake.borrow().poll_timeout().is_some_and(|wait| wait.is_zero()) {
            let mut intake = intake.borrow_mut();
            intake.handle_timeout();
            intake.flush();
            taken.notify_one();
        }
    }
}

/// Acknowledges what is on disk. Told to stop, it takes nothing more in, waits a little for what was, and says goodbye.
async fn acknowledge(
    shared: &RefCell<Shared>,
    taken: &Notify,
    mut durable: watch::Receiver<Watermarks>,
    mut stop: watch::Receiver<bool>,
) {
    let grace = sleep(STOP);
    tokio::pin!(grace);
    loop {
        let state = {
            let mut shared = shared.borrow_mut();
            let has_room = shared.acknowledge(*durable.borrow_and_update());
            if *stop.borrow() && !std::mem::replace(&mut shared.stops, true) {
                shared.refuses = true;
                grace.set(sleep(STOP));
            }
            if shared.stops && has_room && shared.deliveries.unacknowledged() == 0 && !shared.said_goodbye {
                // Behind the last acknowledgement; the event loop ends when the broker has hung up.
                shared.said_goodbye = true;
                shared.replies.disconnect();
            }
            (shared.stops, has_room)
        };
        let (stops, has_room) = state;
        tokio::select! {
            () = &mut grace, if stops => return,
            changed = durable.changed() => if changed.is_err() { return },
            _ = stop.changed(), if !stops => {}
            () = taken.notified() => {}
            () = sleep(Duration::from_millis(1)), if !has_room => {}
        }
    }
}

impl Shared {
    /// Hands over what may be acknowledged; false if the library has no room for more.
    fn acknowledge(&mut self, durable: Watermarks) -> bool {
        while let Some(packet_id) = self.unsent.take().or_else(|| self.deliveries.poll_acknowledge(durable)) {
            if !self.replies.acknowledge(packet_id) {
                self.unsent = Some(packet_id);
                return false;
            }
        }
        true
    }
}
