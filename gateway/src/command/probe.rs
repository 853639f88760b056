//! `probe`: which device is at a port, an address or a broker, and the block of
//! configuration for it.
//!
//! What was found goes to standard output, progress to standard error. SIGINT ends it with
//! what it knows by then.

use std::{io::IsTerminal as _, time::Duration};

use anyhow::{Context as _, bail};
use serde::Serialize;
use venue_schema::v1;

use super::{decode, event_line, output};
use crate::{
    cli::{Exit, Probe},
    probe::{
        self, Broker, BrokerAccess, BrokerReport, Finding, Heard, OnProgress, Options, Progress, Target, TopicSample,
    },
};

/// So many events are shown.
const SAMPLES: usize = 3;
/// So many topics of a broker are shown to people; `--json` holds all.
const TOPICS_SHOWN: usize = 20;
/// So much of a message, or of bytes that nobody understands.
const SHOWN_CHARS: usize = 60;
/// A line of progress takes the place of the one before, which may be longer.
const PROGRESS_COLUMNS: usize = 78;

/// What is known when the probe ends, however it ends.
#[derive(Debug, Default)]
struct Known {
    heard: Vec<Heard>,
    broker: Option<BrokerReport>,
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether a device or a broker was recognised.
    pub found: bool,
    /// As it was named.
    pub target: String,
    /// The device's name in the configuration, or `mqtt`.
    pub protocol: Option<&'static str>,
    /// `sure` or `likely`.
    pub confidence: Option<&'static str>,
    /// Speed and format of a serial line.
    pub line: Option<String>,
    /// Frames that were understood.
    pub sound: u64,
    /// Those of them whose check digits were verified.
    pub checked: u64,
    /// Frames that were recognised and rejected.
    pub rejected: u64,
    /// The first events, as `decode` prints them.
    pub events: Vec<v1::Event>,
    /// What was heard, a setting after the other.
    pub heard: Vec<HeardReport>,
    /// The broker.
    pub broker: Option<BrokerJson>,
    /// Why it ended early, if something failed.
    pub error: Option<String>,
    /// What to check where nothing was recognised.
    pub advice: Vec<&'static str>,
    /// The block for the configuration.
    pub config: Option<String>,
}

/// What was heard at a setting.
#[derive(Debug, Default, Serialize)]
pub struct HeardReport {
    /// Speed and format of a serial line.
    pub line: Option<String>,
    /// Sound bytes.
    pub bytes: usize,
    /// Bytes with wrong parity or without a stop bit.
    pub damaged_bytes: u64,
    /// How much of it is text.
    pub text_percent: u64,
}

/// A broker.
#[derive(Debug, Default, Serialize)]
pub struct BrokerJson {
    /// Its URL.
    pub url: String,
    /// `5` or `3.1.1`.
    pub version: &'static str,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Why it does not let us in.
    pub refusal: Option<String>,
    /// It wants a user name and password, or others.
    pub wants_credentials: bool,
    /// Messages that it takes unacknowledged.
    pub receive_maximum: Option<u16>,
    /// The largest packet that it takes, bytes.
    pub maximum_packet_bytes: Option<u32>,
    /// The highest QoS that it grants.
    pub maximum_qos: Option<u8>,
    /// How long it would keep this session, seconds, where it says so.
    pub session_expiry_s: Option<u32>,
    /// The filter that was subscribed.
    pub filter: Option<String>,
    /// Whether the broker granted it.
    pub granted: Option<bool>,
    /// Messages that came.
    pub messages: u64,
    /// Topics, each with its first message.
    pub topics: Vec<TopicJson>,
}

/// A topic.
#[derive(Debug, Default, Serialize)]
pub struct TopicJson {
    /// Its name.
    pub topic: String,
    /// Its first message, at most 4 KiB; U+FFFD for what is no UTF-8.
    pub payload: String,
    /// The broker had kept it.
    pub retained: bool,
}

/// Probes what the command line names, and prints what was found.
///
/// # Errors
/// If nothing was recognised because the port, the connection or the broker cannot be had.
pub fn run(arguments: &Probe) -> anyhow::Result<Exit> {
    let mut known = Known::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        let mut shown = String::new();
        let mut on_progress = |progress: Progress<'_>| show(&progress, &mut shown);
        tokio::select! {
            biased;
            _ = interrupted => Ok(()),
            ended = look(arguments, &mut known, &mut on_progress) => ended,
        }
    });
    // A name that the system's resolver still looks for must not be waited for.
    runtime.shutdown_background();
    if std::io::stderr().is_terminal() {
        output::progress(&format!("{:PROGRESS_COLUMNS$}\r", ""));
    }
    let finding = probe::judge(&known.heard);
    if finding.is_none()
        && known.broker.is_none()
        && known.heard.iter().all(Heard::is_silent)
        && let Err(error) = &ended
    {
        bail!("{error}");
    }
    let report = Report::new(arguments, &known, finding.as_ref(), ended.err())?;
    let text = if arguments.json { serde_json::to_string_pretty(&report)? } else { told(&report, &known) };
    output::print(&text)?;
    Ok(if report.found { Exit::Success } else { Exit::Failure })
}

async fn look(arguments: &Probe, known: &mut Known, on_progress: OnProgress<'_>) -> Result<(), String> {
    let options = Options { listen: Duration::from_secs(arguments.seconds), ask: arguments.ask };
    let broker = match &arguments.target {
        Target::Port(port) => return probe::probe_port(port, &options, &mut known.heard, on_progress).await,
        Target::Broker(broker) => broker.clone(),
        Target::Address(address) => match arguments.target.usual_broker() {
            Some(broker) => broker,
            None => {
                probe::probe_address(address, &options, &mut known.heard, on_progress).await?;
                if !options.ask || known.heard.iter().any(|heard| !heard.is_silent()) {
                    return Ok(());
                }
                // Nothing spoke, and it may be asked: brokers wait to be spoken to.
                let asked = ask_broker(arguments, &format!("mqtt://{address}").parse()?, known, on_progress).await;
                return if known.broker.is_some() { asked } else { Ok(()) };
            }
        },
    };
    ask_broker(arguments, &broker, known, on_progress).await
}

async fn ask_broker(
    arguments: &Probe,
    broker: &Broker,
    known: &mut Known,
    on_progress: OnProgress<'_>,
) -> Result<(), String> {
    let listen = Duration::from_secs(arguments.seconds);
    probe::probe_broker(broker, &access(arguments), &arguments.topic, listen, &mut known.broker, on_progress).await
}

fn access(arguments: &Probe) -> BrokerAccess {
    let Probe { username, password_file, ca, .. } = arguments.clone();
    BrokerAccess { username, password_file, ca }
}

/// Shows progress in place on a terminal, and elsewhere each step once, and once that
/// something comes.
fn show(progress: &Progress<'_>, shown: &mut String) {
    let Progress { doing, received, damaged, left } = *progress;
    if !std::io::stderr().is_terminal() {
        let comes = if received > 0 || damaged > 0 { ": something comes" } else { "" };
        let told = format!("{doing}{comes}");
        if *shown != told {
            output::tell(&told);
            *shown = told;
        }
        return;
    }
    let damage = if damaged > 0 { format!(", {damaged} damaged bytes") } else { String::new() };
    let text = format!("{doing}: {received} received{damage}, {} s left", left.as_secs());
    output::progress(&format!("{text:<PROGRESS_COLUMNS$}"));
}

impl Report {
    fn new(arguments: &Probe, known: &Known, finding: Option<&Finding>, error: Option<String>) -> anyhow::Result<Self> {
        let mut report = Self {
            found: finding.is_some() || known.broker.is_some(),
            target: arguments.target.to_string(),
            heard: known.heard.iter().map(HeardReport::from).collect(),
            error,
            ..Self::default()
        };
        if let Some(finding) = finding {
            report.protocol = Some(finding.device.name);
            report.confidence = Some(finding.confidence.name());
            report.line = finding.line.map(probe::written);
            let score = finding.score;
            (report.sound, report.checked, report.rejected) = (score.sound, score.checked, score.rejected);
            report.events = events(finding)?;
            report.config = Some(probe::source_block(finding.device, &arguments.target, finding.line));
        } else if let Some(broker) = &known.broker {
            report.protocol = Some("mqtt");
            report.confidence = Some(probe::Confidence::Sure.name());
            report.broker = Some(BrokerJson::from(broker));
            report.config = Some(probe::broker_block(broker, &access(arguments)));
        } else {
            report.advice = advice(&arguments.target, known, arguments.ask);
        }
        Ok(report)
    }
}

/// The first events that a decoder makes of what was found; frames that it does not read
/// only if there is nothing else.
fn events(finding: &Finding) -> anyhow::Result<Vec<v1::Event>> {
    let decode = decode::Decode {
        device: finding.device,
        chunk: None,
        hex: false,
        received_utc_ns: None,
        zone: jiff::tz::TimeZone::UTC,
        device_id: finding.device.name.to_owned(),
    };
    let mut lines = Vec::new();
    decode::run(&decode, &finding.bytes[..], &mut lines)?;
    let lines = std::str::from_utf8(&lines).context("JSON is UTF-8")?.lines();
    let all: Vec<v1::Event> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (raw, read): (Vec<_>, Vec<_>) = all.into_iter().partition(|event| event_line::kind(event) == "raw");
    Ok((if read.is_empty() { raw } else { read }).into_iter().take(SAMPLES).collect())
}

/// What an integrator checks next.
fn advice(target: &Target, known: &Known, asked: bool) -> Vec<&'static str> {
    let is_silent = known.heard.iter().all(Heard::is_silent);
    let mut advice = Vec::new();
    match (target, is_silent) {
        (Target::Port(_), true) => advice.extend([
            "is the device on, and does it say something now? Trigger an impulse, press start, and probe again with \
             `--seconds 30`: many timers are silent until then",
            "is its serial output switched on (interface RS-232 or USB, printing of impulses)?",
            "is the cable right? Two hosts of one kind need a null modem: RXD and TXD crossed, ground connected",
            "does the device wait for a handshake? Bridge RTS and CTS at its plug, or switch its handshake off",
            "is it the right port? `venue-gateway ports` lists them",
        ]),
        (Target::Port(_), false) => advice.extend([
            "much damage at every setting: wrong levels (TTL instead of RS-232, RS-422 with A and B crossed), a bad \
             ground, or a speed or format that no device here has",
            "text without damage at one setting: a protocol that is not in `venue-gateway devices`; set the device to \
             one that is",
        ]),
        (_, true) => advice.extend([
            "it is connected and silent. Let the device say something (trigger an impulse), and probe again with \
             `--seconds 30`",
            "a serial device server: are speed and format of its serial side those of the device, and is it in raw mode?",
        ]),
        (_, false) => advice.push("it speaks a protocol that is not in `venue-gateway devices`; is it the right port?"),
    }
    if !is_silent && known.heard.iter().any(Heard::is_silent) {
        advice.push(
            "where nothing came, nothing is known: let the device speak all the time, or probe again with `--seconds 30` \
             and an impulse every few seconds",
        );
    }
    if is_silent && !asked {
        advice.push("outside a race `--ask` has it asked what it is");
    }
    advice
}

/// What was found, for people.
fn told(report: &Report, known: &Known) -> String {
    let mut lines = Vec::new();
    if let Some(broker) = &report.broker {
        lines.extend(told_broker(broker));
    } else if let Some(protocol) = report.protocol {
        let device = probe::judge(&known.heard).map_or("", |finding| finding.device.title);
        let at = report.line.as_ref().map(|line| format!(" at {line}")).unwrap_or_default();
        lines.push(format!(
            "{}: {device} (`{protocol}`){at}, {}",
            report.target,
            report.confidence.unwrap_or_default()
        ));
        let Report { sound, checked, rejected, .. } = report;
        lines.push(format!(
            "  {sound} sound records, {checked} of them with verified check digits; {rejected} rejected"
        ));
        lines.extend(report.events.iter().map(|event| format!("  {}", event_line::of_sample(event))));
    } else {
        lines.extend(told_nothing(report, known));
    }
    if let Some(error) = &report.error {
        lines.push(format!("it ended early: {error}"));
    }
    if let Some(config) = &report.config {
        lines.push(format!("\nFor the configuration; `venue-gateway check` says whether it is complete:\n\n{config}"));
    }
    lines.join("\n")
}

fn told_broker(broker: &BrokerJson) -> Vec<String> {
    let tls = if broker.tls { "TLS" } else { "not encrypted" };
    let mut lines = vec![format!("{}: a broker, MQTT {}, {tls}", broker.url, broker.version)];
    if let Some(refusal) = &broker.refusal {
        lines.push(format!("  {refusal}"));
        if broker.wants_credentials {
            lines.push("  it wants credentials: give --username and --password-file".to_owned());
        }
        return lines;
    }
    let bound = |bound: Option<u64>| bound.map_or_else(|| "no bound told".to_owned(), |bound| bound.to_string());
    lines.push(format!(
        "  receive maximum {}; largest packet {} bytes; highest QoS {}",
        bound(broker.receive_maximum.map(u64::from)),
        bound(broker.maximum_packet_bytes.map(u64::from)),
        bound(broker.maximum_qos.map(u64::from)),
    ));
    if let Some(expiry) = broker.session_expiry_s {
        lines.push(format!("  it keeps sessions for {expiry} s, whatever is asked for"));
    }
    let filter = broker.filter.as_deref().unwrap_or_default();
    match broker.granted {
        Some(true) => {
            lines.push(format!("  {} messages of {filter}, {} topics:", broker.messages, broker.topics.len()))
        }
        Some(false) => lines.push(format!("  it refuses to let this client read {filter}: name one by --topic FILTER")),
        None => lines.push(format!("  it did not answer the subscription of {filter}")),
    }
    let topic = |it: &TopicJson| {
        format!(
            "    {}{}  {}",
            printable(&it.topic),
            if it.retained { " (retained)" } else { "" },
            printable(&it.payload)
        )
    };
    lines.extend(broker.topics.iter().take(TOPICS_SHOWN).map(topic));
    if broker.topics.len() > TOPICS_SHOWN {
        lines.push(format!("    and {} more", broker.topics.len() - TOPICS_SHOWN));
    }
    lines
}

fn told_nothing(report: &Report, known: &Known) -> Vec<String> {
    let mut lines = Vec::new();
    if known.heard.iter().all(Heard::is_silent) {
        let settings: Vec<&str> = report.heard.iter().filter_map(|heard| heard.line.as_deref()).collect();
        let at = if settings.is_empty() { String::new() } else { format!(" at {}", settings.join(", ")) };
        lines.push(format!("{}: nothing came{at}", report.target));
    } else {
        lines.push(format!("{}: something speaks, and no device is recognised:", report.target));
        for (heard, shown) in known.heard.iter().zip(&report.heard) {
            let HeardReport { line, bytes, damaged_bytes, text_percent } = shown;
            let line = line.as_deref().unwrap_or("connected");
            if heard.is_silent() {
                lines.push(format!("  {line:<12} nothing"));
                continue;
            }
            let sample: Vec<u8> = heard.bytes.iter().copied().take(SHOWN_CHARS / 2).collect();
            lines.push(format!(
                "  {line:<12} {bytes:>6} bytes, {damaged_bytes:>5} damaged, {text_percent:>3} % text  {}",
                sample.escape_ascii()
            ));
        }
    }
    lines.push("check:".to_owned());
    lines.extend(report.advice.iter().map(|advice| format!("  - {advice}")));
    lines
}

/// The beginning of a foreign text, which must not steer the terminal.
fn printable(text: &str) -> String {
    let more = if text.chars().count() > SHOWN_CHARS { "…" } else { "" };
    let shown = text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    shown.collect::<String>() + more
}

impl From<&Heard> for HeardReport {
    fn from(heard: &Heard) -> Self {
        Self {
            line: heard.line.map(probe::written),
            bytes: heard.bytes.len(),
            damaged_bytes: heard.errors.dropped_bytes,
            text_percent: heard.text_percent(),
        }
    }
}

impl From<&BrokerReport> for BrokerJson {
    fn from(report: &BrokerReport) -> Self {
        let topic = |(topic, sample): (&String, &TopicSample)| TopicJson {
            topic: topic.clone(),
            payload: String::from_utf8_lossy(&sample.payload).into_owned(),
            retained: sample.retained,
        };
        Self {
            url: report.broker.to_string(),
            version: report.version.name().trim_start_matches("MQTT "),
            tls: report.broker.is_tls(),
            refusal: report.refusal.clone(),
            wants_credentials: report.wants_credentials,
            receive_maximum: report.receive_maximum,
            maximum_packet_bytes: report.largest_packet_bytes,
            maximum_qos: report.maximum_qos,
            session_expiry_s: report.session_expiry_s,
            filter: report.subscription.as_ref().map(|(filter, _)| filter.clone()),
            granted: report.subscription.as_ref().map(|(_, granted)| *granted),
            messages: report.messages,
            topics: report.topics.iter().map(topic).collect(),
        }
    }
}
