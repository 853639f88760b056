//! A session at a broker: connections one after another, messages in, acknowledgements out once they are on disk.
//!
//! ```text
//! task 1: the library's event loop ─► intake ─► journal ─► commit thread
//! task 2: PUBACKs, in order       ◄────── watermarks ◄────────┘
//! ```
//!
//! Both run on one thread and share their state without waiting for each other. A connection has a [`Link`] of its own,
//! and what was handed over to be sent ends with it: an acknowledgement or a goodbye never leaves on the next one.

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

/// The longest wait for the disk to make room for a message; shorter than any keep-alive.
const ROOM: Duration = Duration::from_secs(2);

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
pub struct SessionOptions {
    /// What a connection is made with. Asked before each, so that files are read anew; an error is told and tried again
    /// like a broker that is not there.
    pub link: Box<dyn Fn() -> Result<LinkOptions, LinkError> + Send>,
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
    /// Of the connection that stands or is being made.
    replies: Option<Replies>,
    stands: bool,
    /// Popped, and the library had no room for it.
    unsent: Option<u16>,
    /// Nothing more is taken in on this connection: the broker keeps it, and sends it again on the next.
    refuses: bool,
    goodbye: Goodbye,
    stops: bool,
}

/// The end of a connection by us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    NotYet,
    Wanted,
    Said,
}

/// Runs a session until told to stop.
pub async fn run(
    options: SessionOptions,
    intake: impl Intake,
    durable: watch::Receiver<Watermarks>,
    stop: watch::Receiver<bool>,
) {
    let shared = RefCell::new(Shared::new());
    let (taken, intake) = (Notify::new(), RefCell::new(intake));
    let receiver = Receiver {
        options: &options,
        intake: &intake,
        shared: &shared,
        taken: &taken,
        granted: false,
        durable: durable.clone(),
    };
    tokio::select! {
        () = receiver.run() => {}
        () = acknowledge(&shared, &taken, durable, stop) => {}
        () = tick(&intake, &taken) => {}
    }
    let mut intake = intake.into_inner();
    intake.event(&Event::Left);
    intake.flush();
}

/// The receiving task.
struct Receiver<'a, I> {
    options: &'a SessionOptions,
    intake: &'a RefCell<I>,
    shared: &'a RefCell<Shared>,
    taken: &'a Notify,
    /// The broker let this process subscribe to all filters, last it was asked.
    granted: bool,
    durable: watch::Receiver<Watermarks>,
}

impl<I: Intake> Receiver<'_, I> {
    /// Makes one connection after another, until the session stops.
    async fn run(mut self) {
        let mut back_off = BackOff::new(RETRY_FIRST, RETRY_LONGEST, self.options.seed);
        let newest = self.options.version.unwrap_or(Version::V5);
        let mut version = newest;
        loop {
            let mut subscribed = false;
            let error = match (self.options.link)() {
                Ok(options) => {
                    let (link, replies) = Link::new(version, &options);
                    self.shared.borrow_mut().replies = Some(replies);
                    self.listen(link, &mut subscribed).await
                }
                Err(error) => error,
            };
            let stood = self.shared.borrow_mut().ended();
            if self.shared.borrow().stops {
                return;
            }
            self.intake.borrow_mut().event(&Event::Ended { error: &error, stood });
            self.flush();
            // Where there is no room for a message, there is none the sooner for a sound connection.
            if subscribed && !self.shared.borrow().refuses {
                back_off.reset();
            }
            let is_older = error == LinkError::Version(Version::V5) && version == Version::V5;
            if self.options.version.is_none() && is_older {
                version = Version::V3_1_1;
            } else {
                // The broker may have been replaced, or have hung up for another reason.
                version = newest;
                sleep(back_off.next()).await;
            }
        }
    }

    /// The library's event loop, until the connection's end.
    async fn listen(&mut self, mut link: Link, subscribed: &mut bool) -> LinkError {
        loop {
            match link.poll().await {
                Ok(Heard::Connected { session_present }) => {
                    let version = link.version();
                    self.shared.borrow_mut().connected(session_present);
                    self.intake.borrow_mut().event(&Event::Connected { version, session_present });
                    // By MQTT 3.1.1 the broker tells all that it retained to whoever subscribes again.
                    if session_present && self.granted && version == Version::V3_1_1 {
                        *subscribed = true;
                        self.subscribed(&[]);
                    } else {
                        self.shared.borrow().subscribe(&self.options.filters);
                    }
                }
                Ok(Heard::Subscribed { refused }) => {
                    *subscribed = true;
                    self.subscribed(&refused);
                }
                Ok(Heard::Message(message)) => self.take(&message).await,
                Ok(Heard::Answered { acknowledgements }) => {
                    self.shared.borrow_mut().deliveries.proven(acknowledgements);
                }
                Ok(Heard::Other) => {}
                Err(error) => return error,
            }
            if !link.has_more() {
                self.flush();
            }
        }
    }

    fn subscribed(&mut self, refused: &[usize]) {
        self.granted = refused.is_empty();
        self.intake.borrow_mut().event(&Event::Subscribed { refused });
    }

    /// Takes a message in. If there is no room for it while earlier ones wait for the disk, it waits with them: a disk
    /// that is slow for a moment is no reason to have the broker send all of it again.
    async fn take(&mut self, message: &Message) {
        let given_up = sleep(ROOM);
        tokio::pin!(given_up);
        loop {
            let durable = *self.durable.borrow_and_update();
            if self.is_taken(message) {
                return;
            }
            self.flush();
            let waits = self.shared.borrow().deliveries.wait_for_disk(durable);
            let moves_on = tokio::select! {
                changed = self.durable.changed(), if waits => changed.is_ok(),
                () = &mut given_up, if waits => false,
                else => false,
            };
            if !moves_on {
                // What follows would be acknowledged before it; on the next connection all of it comes again.
                let mut shared = self.shared.borrow_mut();
                (shared.refuses, shared.goodbye) = (true, Goodbye::Wanted);
                return;
            }
        }
    }

    /// Whether nothing more is to be done with a message; else there is no room for it.
    fn is_taken(&self, message: &Message) -> bool {
        let (mut shared, mut intake) = (self.shared.borrow_mut(), self.intake.borrow_mut());
        if shared.stops || (shared.refuses && message.packet_id != 0) {
            return true;
        }
        if message.packet_id == 0 {
            intake.message(message, false);
            return true;
        }
        let fingerprint = Fingerprint::of(message.packet_id, message.topic.as_bytes(), &message.payload);
        match shared.deliveries.received(fingerprint) {
            Receipt::Resend => intake.resend(message),
            receipt => match intake.message(message, receipt == Receipt::PerhapsResend) {
                Taken::Until(until) => shared.deliveries.taken(fingerprint, until),
                Taken::Refused => return false,
            },
        }
        true
    }

    fn flush(&self) {
        self.intake.borrow_mut().flush();
        self.taken.notify_one();
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
        let (stops, has_room) = {
            let mut shared = shared.borrow_mut();
            if *stop.borrow() && !std::mem::replace(&mut shared.stops, true) {
                shared.refuses = true;
                grace.set(sleep(STOP));
            }
            if shared.stops && !shared.stands {
                return;
            }
            (shared.stops, shared.send(*durable.borrow_and_update()))
        };
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
    fn new() -> Self {
        Self {
            deliveries: Deliveries::new(RECEIVE_MAXIMUM),
            replies: None,
            stands: false,
            unsent: None,
            refuses: false,
            goodbye: Goodbye::NotYet,
            stops: false,
        }
    }

    /// The connection stands.
    fn connected(&mut self, session_present: bool) {
        self.deliveries.connected(session_present);
        (self.stands, self.refuses, self.goodbye) = (true, self.stops, Goodbye::NotYet);
    }

    fn subscribe(&self, filters: &[String]) {
        if let Some(replies) = &self.replies {
            replies.subscribe(filters);
        }
    }

    /// It is gone, with all that was handed over to be sent; whether it had stood.
    fn ended(&mut self) -> bool {
        self.deliveries.disconnected();
        (self.replies, self.unsent) = (None, None);
        std::mem::take(&mut self.stands)
    }

    /// Hands over what may be acknowledged, and behind it the goodbye; false if the library has no room for more. The
    /// event loop ends when the broker has hung up.
    fn send(&mut self, durable: Watermarks) -> bool {
        let Some(replies) = &self.replies else { return true };
        while let Some(packet_id) = self.unsent.take().or_else(|| self.deliveries.poll_acknowledge(durable)) {
            if !replies.acknowledge(packet_id) {
                self.unsent = Some(packet_id);
                return false;
            }
        }
        if self.stops && self.deliveries.unacknowledged() == 0 && self.goodbye == Goodbye::NotYet {
            self.goodbye = Goodbye::Wanted;
        }
        if self.goodbye == Goodbye::Wanted {
            if !replies.disconnect() {
                return false;
            }
            self.goodbye = Goodbye::Said;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a connection nothing waits to be acknowledged: a stop waits for nothing.
    #[tokio::test]
    async fn a_session_without_a_connection_stops_at_once() {
        let shared = RefCell::new(Shared::new());
        let taken = Notify::new();
        let (_durable, marks) = watch::channel(Watermarks::default());
        let (_stop, stopping) = watch::channel(true);
        tokio::select! {
            biased;
            () = acknowledge(&shared, &taken, marks, stopping) => {}
            () = std::future::ready(()) => panic!("it waits"),
        }
    }
}
