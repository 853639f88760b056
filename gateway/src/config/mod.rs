//! What the gateway is told: compiled-in defaults, the site's file, variables.
//!
//! [`Config::load`] turns a TOML file and `VENUE_*` variables into typed settings,
//! or into every mistake at once, each with its line, what is wrong and how to
//! mend it ([`ConfigErrors`]). It reads that one file and nothing else; whether
//! ports, certificates and disk are there is for [`check`](crate::check).
//!
//! A value is taken from the first of these that gives it:
//!
//! 1. a variable: `VENUE_` and the path in capitals, `VENUE_JOURNAL_RESULTS_QUOTA`;
//! 2. the site's file;
//! 3. [`DEFAULTS`], which is also the reference manual.
//!
//! Sources and uplinks are lists, and so are given in the file alone. Secrets are
//! never values but paths of files; a relative path starts at the folder of the
//! site's file, also when a variable gives it.

mod alarm;
mod change;
mod document;
mod duration;
mod finding;
mod gateway;
mod http;
mod journal;
mod log;
mod mapping;
mod mqtt;
mod network;
mod once;
mod reader;
mod section;
mod setting;
mod size;
mod source;
mod transport;
mod uplink;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use document::{Document, Text};
use reader::{Notes, PREFIX, Reader};

pub use alarm::{AlarmConfig, WebhookConfig, WebhookUrl};
pub use change::Changes;
pub use duration::{DisplayDuration, InvalidDuration, parse_duration};
pub(crate) use finding::sort;
pub use finding::{ConfigErrors, Finding, LinePlace, Place, Severity, summary};
pub use gateway::{ClockTrust, GatewayConfig};
pub use http::HttpConfig;
pub use journal::{COMMIT_WINDOW_MAX, JournalSettings, QUOTA_MIN, RESERVE_MIN, ResultsSettings, TelemetrySettings};
pub use log::LogConfig;
pub use mapping::JsonTopic;
pub use mqtt::{Broker, MqttConfig, MqttProtocol, MqttTls, TopicConfig};
pub use network::{InvalidNetwork, IpNetwork};
pub use size::{ByteSize, InvalidSize};
pub use source::{LABELS_MAX, SourceConfig};
pub use transport::{TransportConfig, host_port};
pub use uplink::{Endpoint, InvalidEndpoint, TlsFiles, UPLINKS_MAX, UplinkConfig};

/// The compiled-in file: every key with its meaning and its default.
pub const DEFAULTS: &str = include_str!("default.toml");

/// The name of the compiled-in file in places.
const DEFAULTS_FILE: &str = "default.toml (compiled in)";

/// The largest file that is read as a configuration.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything that the gateway is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which gateway this is.
    pub gateway: GatewayConfig,
    /// How the journal uses the disk.
    pub journal: JournalSettings,
    /// The devices.
    pub sources: Vec<SourceConfig>,
    /// A venue's broker, if there is one.
    pub mqtt: Option<MqttConfig>,
    /// The receivers.
    pub uplinks: Vec<UplinkConfig>,
    /// Where metrics and health are served.
    pub http: HttpConfig,
    /// Who is told when results do not get through.
    pub alarm: AlarmConfig,
    /// What the log tells.
    pub log: LogConfig,
    /// What is doubtful in it, in the order of the file.
    pub warnings: Vec<Finding>,
    origin: Origin,
}

/// Where the values came from.
#[derive(Debug, Clone, PartialEq)]
struct Origin {
    file: PathBuf,
    places: BTreeMap<String, Place>,
}

impl Config {
    /// Reads a file, with `environment` as the variables ([`environment`] gives
    /// those of the process).
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(
        path: impl AsRef<Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let path = path.as_ref();
        let text = read(path).map_err(ConfigErrors::unreadable)?;
        Self::parse(path, &text, environment)
    }

    /// Reads a text as the file of that name; touches no file.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn parse(
        path: impl AsRef<Path>,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let site = Text::new(path, text);
        let defaults = Text::new(DEFAULTS_FILE, DEFAULTS);
        let (site, defaults) = (Document::parse(&site), Document::parse(&defaults));
        assert!(defaults.syntax.is_empty(), "the compiled-in file is tested");
        let reader = Reader::new(&site, &defaults, environment.into_iter());
        let draft = Draft::read(&reader);
        draft.finish(reader.finish(), &site.text.file)
    }

    /// Where a value was given, by its path (`source[0].serial.port`); the file, if
    /// nothing gave it.
    pub fn place(&self, path: &str) -> Place {
        self.origin.places.get(path).cloned().unwrap_or_else(|| Place::File(self.origin.file.clone()))
    }

    /// The names of all sources and topics.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let topics = self.mqtt.iter().flat_map(|mqtt| &mqtt.topics).map(|topic| topic.name.as_str());
        self.sources.iter().map(|source| source.name.as_str()).chain(topics)
    }

    /// The site's file.
    pub fn file(&self) -> &Path {
        &self.origin.file
    }
}

/// Where a gateway that runs by a file keeps its data, whatever else is wrong with the file now; the default where it
/// cannot be told.
pub fn data_dir(path: impl AsRef<Path>, environment: impl IntoIterator<Item = (String, String)>) -> PathBuf {
    let path = path.as_ref();
    let site = Text::new(path, read(path).unwrap_or_default());
    let defaults = Text::new(DEFAULTS_FILE, DEFAULTS);
    let (site, defaults) = (Document::parse(&site), Document::parse(&defaults));
    let reader = Reader::new(&site, &defaults, environment.into_iter());
    let given = reader.root().section("gateway").required::<PathBuf>("data_dir");
    // One that is no path has no better answer than the one that is compiled in.
    let given = given.or_else(|| {
        Reader::new(&defaults, &defaults, std::iter::empty()).root().section("gateway").optional("data_dir")
    });
    path.parent().unwrap_or(Path::new("")).join(given.map(|given| given.value).unwrap_or_default())
}

/// The process's variables that may be settings.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// The text of a file, with an end to its length.
fn read(path: &Path) -> Result<String, Finding> {
    let at = || Place::File(path.to_owned());
    let unreadable = |error: io::Error| {
        let help = match error.kind() {
            io::ErrorKind::NotFound => "name the file with --config FILE",
            io::ErrorKind::PermissionDenied => "let the gateway's user read it",
            _ => "name a TOML file with --config FILE",
        };
        Finding::error(at(), format!("cannot read the configuration: {error}"), help)
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("the file is larger than {}", ByteSize::bytes(FILE_BYTES_MAX));
        return Err(Finding::error(at(), message, "name a TOML file with --config FILE"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let place = Text::new(path, text).place(sound..sound + 1);
        Finding::error(place, "this is not UTF-8", "save the file in the encoding UTF-8")
    })
}

/// The parts, each none if something is wrong with it.
struct Draft {
    gateway: Option<GatewayConfig>,
    journal: Option<JournalSettings>,
    sources: Option<Vec<SourceConfig>>,
    mqtt: Option<Option<MqttConfig>>,
    uplinks: Option<Vec<UplinkConfig>>,
    http: HttpConfig,
    alarm: Option<AlarmConfig>,
    log: Option<LogConfig>,
}

impl Draft {
    fn read(reader: &Reader<'_>) -> Self {
        let root = reader.root();
        let gateway = GatewayConfig::read(&root.section("gateway"));
        let journal = JournalSettings::read(&root.section("journal"));
        let sources = SourceConfig::read_all(&root);
        let names: Vec<_> = sources.iter().flatten().map(|source| source.name.clone()).collect();
        Self {
            gateway,
            journal,
            mqtt: MqttConfig::read(&root, &names),
            uplinks: UplinkConfig::read_all(&root),
            http: HttpConfig::read(&root.section("http"), sources.as_deref().unwrap_or_default()),
            sources,
            alarm: AlarmConfig::read(&root.section("alarm")),
            log: LogConfig::read(&root.section("log")),
        }
    }

    fn finish(self, notes: Notes, file: &Path) -> Result<Config, ConfigErrors> {
        let Notes { mut findings, places, .. } = notes;
        if findings.iter().any(Finding::is_error) {
            return Err(ConfigErrors::new(findings));
        }
        sort(&mut findings);
        let noted = "a part is absent only if an error was noted";
        let mut config = Config {
            gateway: self.gateway.expect(noted),
            journal: self.journal.expect(noted),
            sources: self.sources.expect(noted),
            mqtt: self.mqtt.expect(noted),
            uplinks: self.uplinks.expect(noted),
            http: self.http,
            alarm: self.alarm.expect(noted),
            log: self.log.expect(noted),
            warnings: findings,
            origin: Origin { file: file.to_owned(), places },
        };
        config.resolve_paths();
        Ok(config)
    }
}

impl Config {
    /// Lets relative paths start at the folder of the site's file.
    fn resolve_paths(&mut self) {
        let folder = self.origin.file.parent().map(Path::to_owned).unwrap_or_default();
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        resolve(&mut self.gateway.data_dir);
        for source in &mut self.sources {
            if let TransportConfig::Serial { port, .. } = &mut source.transport {
                resolve(port);
            }
        }
        self.alarm.command.as_mut().map(resolve);
        self.alarm.webhook.as_mut().and_then(|webhook| webhook.ca.as_mut()).map(resolve);
        if let Some(mqtt) = &mut self.mqtt {
            mqtt.password_file.as_mut().map(resolve);
            if let Some(tls) = &mut mqtt.tls {
                resolve(&mut tls.ca);
                if let Some((cert, key)) = &mut tls.identity {
                    resolve(cert);
                    resolve(key);
                }
            }
        }
        for tls in self.uplinks.iter_mut().filter_map(|uplink| uplink.tls.as_mut()) {
            resolve(&mut tls.ca);
            resolve(&mut tls.cert);
            resolve(&mut tls.key);
        }
    }
}

#[cfg(test)]
mod tests;
