//! A session on a thread of its own, as the gateway runs it, with a disk that the test holds in its hands.

use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;
use venue_gateway::mqtt::{
    link::{LinkError, LinkOptions, Message, Version},
    session::{self, Event, Intake, SessionOptions, Taken},
};
use venue_journal::Watermarks;
use venue_schema::Sequence;

use super::broker::eventually;

/// What the intake saw, in words.
pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

/// What a session's connections are made with.
pub(crate) type LinkSource = Box<dyn Fn() -> Result<LinkOptions, LinkError> + Send>;

/// A running session.
pub(crate) struct Subscriber {
    pub(crate) seen: Seen,
    durable: watch::Sender<Watermarks>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    room: Arc<Mutex<u64>>,
}

struct Recorder {
    seen: Seen,
    places: u64,
    durable: watch::Receiver<Watermarks>,
    /// So many messages are taken in beyond what is on disk.
    room: Arc<Mutex<u64>>,
}

impl Intake for Recorder {
    fn message(&mut self, message: &Message, perhaps_again: bool) -> Taken {
        let text = String::from_utf8_lossy(&message.payload);
        let text = if text.len() > 40 { format!("{} bytes", text.len()) } else { text.into_owned() };
        let staged = self.places.saturating_sub(self.durable.borrow().results.0);
        if staged >= *self.room.lock().unwrap() && message.packet_id != 0 {
            self.say(format!("refused {text}"));
            return Taken::Refused;
        }
        self.places += 1;
        let qos = if message.packet_id == 0 { " at QoS 0" } else { "" };
        let retained = if message.retained { ", retained" } else { "" };
        let doubt = if perhaps_again { ", perhaps again" } else { "" };
        self.say(format!("took {text}{qos}{retained}{doubt}"));
        Taken::Until(Watermarks { results: Sequence(self.places), telemetry: Sequence::ZERO })
    }

    fn resend(&mut self, message: &Message) {
        self.say(format!("knew {}", String::from_utf8_lossy(&message.payload)));
    }

    fn flush(&mut self) {}

    fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    fn handle_timeout(&mut self) {
        panic!("not asked for");
    }

    fn event(&mut self, event: &Event<'_>) {
        self.say(match event {
            Event::Connected { version, session_present } => {
                format!("connected by {}, {}", version.name(), if *session_present { "resumed" } else { "new session" })
            }
            Event::Subscribed { refused } => format!("subscribed, {} refused", refused.len()),
            Event::Left => "left".to_owned(),
            Event::Ended { stood: true, .. } => "ended".to_owned(),
            Event::Ended { error, .. } => format!("no connection: {error}"),
        });
    }
}

/// A client of a broker on loopback.
pub(crate) fn link_options(port: u16, tls: Option<Arc<rustls::ClientConfig>>) -> LinkOptions {
    LinkOptions {
        client_id: "stade-1-a-results".to_owned(),
        host: if tls.is_some() { "localhost" } else { "127.0.0.1" }.to_owned(),
        port,
        credentials: None,
        tls,
        keep_alive: Duration::from_secs(5),
        session_expiry: Duration::from_secs(3600),
    }
}

impl Recorder {
    fn say(&self, text: String) {
        self.seen.lock().unwrap().push(text);
    }
}

impl Subscriber {
    /// One that the broker lets subscribe.
    pub(crate) async fn subscribed(port: u16) -> Self {
        let subscriber = Self::start(port, None);
        subscriber.until("subscribed, 0 refused", 1).await;
        subscriber
    }

    pub(crate) fn start(port: u16, version: Option<Version>) -> Self {
        Self::start_with(port, version, None)
    }

    /// The same over TLS.
    pub(crate) fn start_with(port: u16, version: Option<Version>, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let link = link_options(port, tls);
        Self::start_by(Box::new(move || Ok(link.clone())), version)
    }

    /// With what a connection is made with.
    pub(crate) fn start_by(link: LinkSource, version: Option<Version>) -> Self {
        let options = SessionOptions { link, version, filters: vec!["venue/+/wind".to_owned()], seed: 1 };
        let (durable, marks) = watch::channel(Watermarks::default());
        let (stop, stopping) = watch::channel(false);
        let (seen, room) = (Seen::default(), Arc::new(Mutex::new(u64::MAX)));
        let recorder = Recorder { seen: Arc::clone(&seen), places: 0, durable: marks.clone(), room: Arc::clone(&room) };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(session::run(options, recorder, marks, stopping));
        });
        Self { seen, durable, stop, thread: Some(thread), room }
    }

    /// The n-th message that was taken in, and all before it, are on disk.
    pub(crate) fn sync(&self, places: u64) {
        self.durable.send_replace(Watermarks { results: Sequence(places), telemetry: Sequence::ZERO });
    }

    /// There is room for so many messages beyond what is on disk.
    pub(crate) fn set_room(&self, messages: u64) {
        *self.room.lock().unwrap() = messages;
    }

    /// Waits until that was seen so many times.
    pub(crate) async fn until(&self, what: &str, times: usize) {
        let count = || self.seen.lock().unwrap().iter().filter(|it| *it == what).count();
        let name = format!("{what:?} {times} times");
        let wait = eventually(&name, || (count() >= times).then_some(()));
        if tokio::time::timeout(Duration::from_secs(50), wait).await.is_err() {
            panic!("no {name}: {:#?}", self.seen.lock().unwrap());
        }
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|it| it.starts_with(prefix)).count()
    }

    /// Stops it as the gateway does.
    pub(crate) async fn stop(&mut self) {
        self.stop.send_replace(true);
        let thread = self.thread.take().unwrap();
        eventually("end of the session", || thread.is_finished().then_some(())).await;
        thread.join().unwrap();
    }
}
