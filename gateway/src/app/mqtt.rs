//! Joins the sessions at a venue's broker to pipelines, a topic a pipeline, and tells their state.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;
use venue_devices::{Item, Role};
use venue_journal::{Journal, Storage, Watermarks};
use venue_schema::v1::Lane;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    commit::CommitSignal,
    spawn,
    status::{SourceStatus, rfc3339},
};
use crate::{
    clock::{Received, SystemClock},
    config::{Config, MqttConfig, MqttProtocol, TopicConfig},
    mapping::Mapping,
    mqtt::{
        link::{LinkError, LinkOptions, Message, Version},
        session::{self, Event, Intake, SessionOptions, Taken},
    },
    pipeline::{Arrival, Counters, LineEvent, SourcePipeline, SourceSettings},
    source::back_off,
    uplink,
};

/// So much of a topic is shown in labels and in the log.
const TOPIC_SHOWN_BYTES: usize = 1024;

/// So many topics that the configuration does not have are told in the log, each once.
const STRAYS_TOLD: usize = 32;

/// The sessions at the broker of a configuration.
#[derive(Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Default)]
struct State {
    running: Vec<Session>,
    /// None is started any more.
    stopped: bool,
}

/// A lane's connection to the broker: acknowledgements are in order within a connection, and results must not wait
/// for telemetry.
struct Session {
    /// With the topics of its lane.
    config: MqttConfig,
    /// As its file had it when the session was started.
    password: Option<Vec<u8>>,
    topics: Vec<SharedState>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

type SharedState = Arc<Mutex<TopicState>>;

/// What status shows of a topic.
#[derive(Debug, Clone, Default)]
struct TopicState {
    counters: Counters,
    /// How the broker is spoken to; none without a connection.
    connected: Option<String>,
    /// The broker does not let us subscribe.
    refused: bool,
    silent: bool,
    connects: u64,
    bytes: u64,
    /// Messages that came again after a reconnect, and were told by packet id and content.
    resends: u64,
    /// Messages without a key that a process before this one may have stored.
    possible_duplicates: u64,
    last_message: Option<Received>,
    last_error: Option<String>,
}

impl Sessions {
    /// Starts a session for each lane that has topics, unless it runs.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(super) fn start_missing<S: Storage>(
        &self,
        config: &Config,
        journal: &Journal<S>,
        clock: &Arc<SystemClock>,
        commits: &CommitSignal,
        durable: &watch::Receiver<Watermarks>,
    ) -> io::Result<()> {
        let mut state = lock(&self.0);
        for mqtt in Lane::ALL.into_iter().filter_map(|lane| of_lane(config, lane)) {
            if !state.stopped && !state.running.iter().any(|session| session.config == mqtt) {
                state.running.push(Session::start(config, mqtt, journal, clock, commits, durable)?);
            }
        }
        // As they stand in a status: results first.
        state.running.sort_by_key(|session| session.config.topics[0].lane);
        Ok(())
    }

    /// Stops the sessions that a configuration does not have as they run, and waits for them, as [`stop`](Self::stop).
    pub(super) fn stop_but(&self, config: &Config) {
        let wanted: Vec<_> = Lane::ALL.into_iter().filter_map(|lane| of_lane(config, lane)).collect();
        let is_unwanted = |session: &mut Session| {
            let same = wanted.iter().find(|mqtt| session.config == **mqtt);
            // The password may be another in the same file.
            same.is_none_or(|mqtt| password(mqtt).is_some_and(|it| Some(it) != session.password))
        };
        stop(lock(&self.0).running.extract_if(.., is_unwanted).collect());
    }

    /// Stops all sessions for good, once what they took in is on disk and acknowledged, or after two seconds.
    pub(super) fn stop(&self) {
        let running = {
            let mut state = lock(&self.0);
            state.stopped = true;
            std::mem::take(&mut state.running)
        };
        stop(running);
    }

    /// State of every topic at `now`.
    pub(super) fn status(&self, now: Duration) -> Vec<SourceStatus> {
        lock(&self.0).topics().map(|(config, state)| lock(state).status(config, now)).collect()
    }

    /// Topics of results that lost events since the start: name, and how many.
    pub(super) fn lost(&self) -> Vec<(String, u64)> {
        let state = lock(&self.0);
        let of_results = state.topics().filter(|(config, _)| config.lane == Lane::Results);
        let lost = of_results.map(|(config, state)| (config.name.clone(), lock(state).counters.lost));
        lost.filter(|(_, count)| *count > 0).collect()
    }

    /// Topics of results that are not heard, since their broker is not: name, and since when in UTC ns.
    pub(super) fn dark(&self) -> Vec<(String, Option<i64>)> {
        let dark = |(config, state): (&TopicConfig, &SharedState)| {
            let state = lock(state);
            let since = state.last_message.and_then(|it| it.utc_ns);
            (state.connected.is_none() || state.refused || state.silent).then(|| (config.name.clone(), since))
        };
        lock(&self.0).topics().filter(|(config, _)| config.lane == Lane::Results).filter_map(dark).collect()
    }
}

impl State {
    fn topics(&self) -> impl Iterator<Item = (&TopicConfig, &SharedState)> {
        self.running.iter().flat_map(|session| session.config.topics.iter().zip(&session.topics))
    }
}

impl Session {
    fn start<S: Storage>(
        config: &Config,
        mqtt: MqttConfig,
        journal: &Journal<S>,
        clock: &Arc<SystemClock>,
        commits: &CommitSignal,
        durable: &watch::Receiver<Watermarks>,
    ) -> io::Result<Self> {
        let lane = mqtt.topics[0].lane;
        let password = password(&mqtt);
        let options = session_options(config, &mqtt, lane);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let arrival = clock.arrival();
        let topics: Vec<_> = mqtt.topics.iter().map(|topic| Topic::new(config, topic, journal, &arrival)).collect();
        let states = topics.iter().map(|topic| Arc::clone(&topic.state)).collect();
        let peer = mqtt.broker.to_string();
        let (clock, commits, session_present) = (Arc::clone(clock), commits.clone(), false);
        let strays = Strays::default();
        let intake = LaneIntake { peer, topics, clock, commits, session_present, strays, arrival };
        let (stop, stopping) = watch::channel(false);
        let durable = durable.clone();
        let name = if lane == Lane::Results { "mqtt-results" } else { "mqtt-telemetry" };
        let run = move || {
            runtime.block_on(session::run(options, intake, durable, stopping));
            // A look-up of a name that nobody answers is not waited for.
            runtime.shutdown_background();
        };
        let thread = spawn(name, run)?;
        Ok(Self { config: mqtt, password, topics: states, stop, thread })
    }
}

/// The broker with the topics of one lane; none if it has none.
fn of_lane(config: &Config, lane: Lane) -> Option<MqttConfig> {
    let mqtt = config.mqtt.as_ref()?;
    let topics: Vec<_> = mqtt.topics.iter().filter(|topic| topic.lane == lane).cloned().collect();
    (!topics.is_empty()).then(|| MqttConfig { topics, ..mqtt.clone() })
}

fn stop(sessions: Vec<Session>) {
    for session in &sessions {
        session.stop.send_replace(true);
    }
    sessions.into_iter().for_each(|session| super::join(session.thread));
}

impl TopicState {
    fn status(&self, config: &TopicConfig, now: Duration) -> SourceStatus {
        let state = match (&self.connected, self.refused, self.silent) {
            (None, ..) => "disconnected",
            (Some(_), true, _) => "refused by the broker",
            (Some(_), false, true) => "silent",
            (Some(_), false, false) => "connected",
        };
        SourceStatus {
            name: config.name.clone(),
            device: config.json.mapping.device().name.to_owned(),
            device_id: config.name.clone(),
            carries_results: config.lane == Lane::Results,
            state: state.to_owned(),
            peer: self.connected.clone(),
            last_byte_age_s: self.last_message.map(|it| now.saturating_sub(it.monotonic).as_secs_f64()),
            last_byte_at: self.last_message.and_then(|it| it.utc_ns).map(|ns| rfc3339(Some(ns))),
            bytes: self.bytes,
            connects: self.connects,
            frames: self.counters.frames,
            events: self.counters.events,
            known: self.counters.known + self.resends,
            bad: self.counters.bad.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            possible_duplicates: self.possible_duplicates,
            refused: self.counters.refused,
            lost: self.counters.lost,
            gap_since: self.counters.gap_since.map(rfc3339),
            last_error: self.last_error.clone(),
            ..SourceStatus::default()
        }
    }
}

/// One topic filter on its lane's thread.
struct Topic<S: Storage> {
    mapping: Mapping,
    pipeline: SourcePipeline<S>,
    state: SharedState,
    silence_alarm: Option<Duration>,
    /// The message that found no room last, which comes again next, and how many of its readings are stored.
    begun: Option<(Message, usize)>,
    /// Some of it is published at QoS 0, which no broker keeps.
    has_unkept: bool,
    /// When a message came last, or the topic was started.
    heard_at: Duration,
}

impl<S: Storage> Topic<S> {
    fn new(config: &Config, topic: &TopicConfig, journal: &Journal<S>, arrival: &Arrival) -> Self {
        let settings = SourceSettings {
            venue_id: config.gateway.venue.clone(),
            name: topic.name.clone(),
            device: topic.json.mapping.device(),
            device_id: topic.name.clone(),
            principal: format!("mqtt:{}", topic.json.mapping.filter().plain()),
            role: Role::Active,
            lane: Some(topic.lane),
            labels: topic.labels.clone(),
            zone: config.gateway.timezone.clone(),
        };
        let pipeline = SourcePipeline::new(journal.clone(), settings, arrival);
        Self {
            mapping: topic.json.mapping.clone(),
            pipeline,
            state: SharedState::default(),
            silence_alarm: topic.silence_alarm,
            begun: None,
            has_unkept: false,
            heard_at: arrival.received.monotonic,
        }
    }

    /// What is published from here on comes; `session_present`: and all that the broker kept since the last connection.
    fn is_heard(&mut self, arrival: &Arrival, peer: &str, session_present: bool) {
        let was_refused = {
            let mut state = lock(&self.state);
            if state.connected.is_some() {
                return;
            }
            (state.connected, state.last_error) = (Some(peer.to_owned()), None);
            state.connects += 1;
            std::mem::take(&mut state.refused)
        };
        self.pipeline.line(arrival, &LineEvent::Connected { peer });
        self.pipeline.resumed(arrival, session_present && !was_refused && !self.has_unkept);
    }

    /// The broker does not let us subscribe.
    fn is_refused(&mut self, arrival: &Arrival, peer: &str) {
        let filter = self.mapping.filter().as_str();
        tracing::error!(broker = peer, filter, "the broker does not let this gateway subscribe");
        let reason = format!("the broker refuses `{filter}`: let this client read it there");
        if lock(&self.state).connected.is_some() {
            self.pipeline.line(arrival, &LineEvent::Disconnected { reason: &reason });
        }
        let mut state = lock(&self.state);
        (state.connected, state.refused, state.last_error) = (Some(peer.to_owned()), true, Some(reason));
    }

    /// How long from `now` until the topic counts as silent; none if it has no alarm, or is told already.
    fn silent_in(&self, now: Duration) -> Option<Duration> {
        let alarm = self.silence_alarm.filter(|_| !lock(&self.state).silent)?;
        Some((self.heard_at + alarm).saturating_sub(now))
    }

    fn fell_silent(&mut self, arrival: &Arrival) {
        let silence = arrival.received.monotonic.saturating_sub(self.heard_at);
        self.pipeline.line(arrival, &LineEvent::Silent { silence });
        lock(&self.state).silent = true;
    }

    fn heard(&mut self, arrival: &Arrival) {
        let now = arrival.received.monotonic;
        let silence = now.saturating_sub(std::mem::replace(&mut self.heard_at, now));
        if std::mem::take(&mut lock(&self.state).silent) {
            self.pipeline.line(arrival, &LineEvent::HeardAgain { silence });
        }
    }

    fn take(&mut self, arrival: &Arrival, message: &Message, perhaps_again: bool) -> Taken {
        let mapped = self.mapping.map(&message.topic, &message.payload);
        // By its keys the journal knows a message for good; what does not fit its mapping has none.
        let has_keys = mapped.as_ref().is_ok_and(|readings| readings.iter().all(|it| it.key.is_some()));
        let possible_duplicate = perhaps_again && !has_keys;
        let mut labels = BTreeMap::from([("mqtt_topic".to_owned(), shown(&message.topic))]);
        if message.packet_id == 0 {
            labels.insert("mqtt_qos".to_owned(), "0".to_owned());
        }
        if message.retained {
            labels.insert("mqtt_retained".to_owned(), "true".to_owned());
        }
        if possible_duplicate {
            labels.insert("mqtt_possible_duplicate".to_owned(), "true".to_owned());
        }
        let is_same = |begun: &Message| (&begun.topic, &begun.payload) == (&message.topic, &message.payload);
        let begun = self.begun.take_if(|_| message.packet_id != 0).filter(|(begun, _)| is_same(begun));
        let pipeline = &mut self.pipeline;
        pipeline.message(labels, message.packet_id != 0);
        if begun.is_none() {
            pipeline.item(arrival, &Item::Frame { offset: 0, bytes: &message.payload });
        }
        let stored = begun.map_or(0, |(_, stored)| stored);
        let refused_at = match mapped {
            Ok(readings) => (stored..readings.len()).find(|index| {
                pipeline.item(arrival, &Item::Reading(readings[*index].as_reading()));
                pipeline.has_refused()
            }),
            Err(error) => {
                pipeline.rejected(arrival, error.kind.name(), &error.to_string(), &message.payload);
                pipeline.has_refused().then_some(0)
            }
        };
        if let Some(index) = refused_at {
            self.begun = Some((message.clone(), index));
            return Taken::Refused;
        }
        lock(&self.state).possible_duplicates += u64::from(possible_duplicate);
        Taken::Until(pipeline.ends())
    }
}

/// The topics of one lane.
struct LaneIntake<S: Storage> {
    peer: String,
    topics: Vec<Topic<S>>,
    clock: Arc<SystemClock>,
    commits: CommitSignal,
    /// The broker went on with the session of the connection before.
    session_present: bool,
    strays: Strays,
    /// Of what was read last.
    arrival: Arrival,
}

/// Messages that no topic of the configuration has.
#[derive(Default)]
struct Strays {
    count: u64,
    /// Hashes of their topics' names, the first [`STRAYS_TOLD`]; the log is told of no others.
    told: BTreeSet<u64>,
}

impl Strays {
    /// Counts one; whether its topic is to be told.
    fn is_news(&mut self, topic: &str) -> bool {
        self.count += 1;
        self.told.len() < STRAYS_TOLD && self.told.insert(xxh3_64(topic.as_bytes()))
    }
}

/// The topic that a message is of: the first that has it.
fn topic_of<'a, S: Storage>(topics: &'a mut [Topic<S>], message: &Message) -> Option<&'a mut Topic<S>> {
    topics.iter_mut().find(|topic| topic.mapping.filter().has(&message.topic))
}

impl<S: Storage> Intake for LaneIntake<S> {
    fn message(&mut self, message: &Message, perhaps_again: bool) -> Taken {
        self.arrival = self.clock.arrival();
        let arrival = self.arrival;
        let Some(topic) = topic_of(&mut self.topics, message) else {
            if self.strays.is_news(&message.topic) {
                tracing::warn!(
                    topic = shown(&message.topic),
                    "a message that no topic of the configuration has ({} so far): the broker keeps a \
                     subscription of before; end it there, or set another `client_id`",
                    self.strays.count
                );
            }
            return Taken::Until(Watermarks::default());
        };
        {
            let mut state = lock(&topic.state);
            state.last_message = Some(arrival.received);
            state.bytes += message.payload.len() as u64;
        }
        if message.packet_id == 0 {
            topic.has_unkept = true;
        } else {
            // A session that goes on says what it kept before the subscription is answered.
            topic.is_heard(&arrival, &self.peer, self.session_present);
        }
        topic.heard(&arrival);
        topic.take(&arrival, message, perhaps_again)
    }

    fn resend(&mut self, message: &Message) {
        if let Some(topic) = topic_of(&mut self.topics, message) {
            lock(&topic.state).resends += 1;
        }
    }

    fn flush(&mut self) {
        for topic in &mut self.topics {
            topic.pipeline.flush(&self.arrival);
            lock(&topic.state).counters.clone_from(topic.pipeline.counters());
        }
        self.commits.poke();
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.topics.iter().filter_map(|topic| topic.silent_in(now)).min()
    }

    fn handle_timeout(&mut self) {
        self.arrival = self.clock.arrival();
        let arrival = self.arrival;
        let now = arrival.received.monotonic;
        for topic in self.topics.iter_mut().filter(|topic| topic.silent_in(now).is_some_and(|wait| wait.is_zero())) {
            topic.fell_silent(&arrival);
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        self.arrival = self.clock.arrival();
        let (arrival, peer) = (self.arrival, self.peer.clone());
        match event {
            Event::Connected { version, session_present } => {
                let session = if *session_present { "the session goes on" } else { "a new session" };
                tracing::info!(broker = peer, "connected by {}; {session}", version.name());
                self.session_present = *session_present;
                for topic in &mut self.topics {
                    topic.begun = topic.begun.take().filter(|_| *session_present);
                }
            }
            Event::Subscribed { refused } => {
                for (number, topic) in self.topics.iter_mut().enumerate() {
                    if refused.contains(&number) {
                        topic.is_refused(&arrival, &peer);
                    } else {
                        topic.is_heard(&arrival, &peer, self.session_present);
                    }
                }
            }
            Event::Left => {
                for topic in &mut self.topics {
                    topic.pipeline.line(&arrival, &LineEvent::Left);
                    lock(&topic.state).connected = None;
                }
            }
            Event::Ended { error, stood } => {
                let reason = ended(error, *stood);
                let is_news =
                    *stood || self.topics.iter().any(|topic| lock(&topic.state).last_error.as_ref() != Some(&reason));
                if is_news {
                    tracing::warn!(broker = peer, "{reason}; tried again until it succeeds");
                }
                for topic in &mut self.topics {
                    if *stood {
                        topic.pipeline.line(&arrival, &LineEvent::Disconnected { reason: &reason });
                    } else if is_news {
                        topic.pipeline.line(&arrival, &LineEvent::Failed { error: &reason });
                    }
                    let mut state = lock(&topic.state);
                    (state.connected, state.last_error) = (None, Some(reason.clone()));
                }
            }
        }
    }
}

/// A topic as it is shown: one may have 64 KiB.
fn shown(topic: &str) -> String {
    match topic.floor_char_boundary(TOPIC_SHOWN_BYTES) {
        cut if cut < topic.len() => format!("{}…", &topic[..cut]),
        _ => topic.to_owned(),
    }
}

/// Why there is no connection, and how to mend it.
fn ended(error: &LinkError, stood: bool) -> String {
    match error {
        LinkError::Broken(why) if stood => format!("the connection to the broker ended ({why})"),
        LinkError::Broken(why) => format!(
            "no connection to the broker ({why}): check that it runs, its address, and that no firewall stands between"
        ),
        told => told.to_string(),
    }
}

/// What the file of the password holds, where there is one and it can be read.
fn password(mqtt: &MqttConfig) -> Option<Vec<u8>> {
    std::fs::read(mqtt.password_file.as_ref()?).ok()
}

fn session_options(config: &Config, mqtt: &MqttConfig, lane: Lane) -> SessionOptions {
    let client = mqtt.client_id.as_deref().unwrap_or(config.gateway.id.as_str());
    let (client_id, of_broker) = (format!("{client}-{}", lane.name()), mqtt.clone());
    SessionOptions {
        link: Box::new(move || link_options(&client_id, &of_broker)),
        version: match mqtt.protocol {
            MqttProtocol::Auto => None,
            MqttProtocol::V5 => Some(Version::V5),
            MqttProtocol::V3_1_1 => Some(Version::V3_1_1),
        },
        filters: mqtt.topics.iter().map(|topic| topic.json.mapping.filter().as_str().to_owned()).collect(),
        seed: back_off::seed(lane.name(), Duration::ZERO),
    }
}

/// What a connection is made with, by files as they are now.
fn link_options(client_id: &str, mqtt: &MqttConfig) -> Result<LinkOptions, LinkError> {
    let password = |path: &PathBuf| match std::fs::read_to_string(path) {
        Ok(password) => Ok(password.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(LinkError::File(format!(
            "failed to read the password in {}: {error}; let the gateway read it, or correct `mqtt.password_file`",
            path.display()
        ))),
    };
    let password = mqtt.password_file.as_ref().map(password).transpose()?.unwrap_or_default();
    let tls = mqtt.tls.as_ref().filter(|_| mqtt.broker.is_tls());
    let tls = tls.map(|tls| uplink::tls_config(&tls.ca, tls.identity.as_ref(), &[])).transpose();
    Ok(LinkOptions {
        client_id: client_id.to_owned(),
        host: mqtt.broker.host().to_owned(),
        port: mqtt.broker.port(),
        credentials: mqtt.username.clone().map(|name| (name, password)),
        tls: tls.map_err(|error| LinkError::File(error.to_string()))?,
        keep_alive: mqtt.keep_alive,
        session_expiry: mqtt.session_expiry,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
