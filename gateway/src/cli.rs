//! The command line of `venue-gateway`, and its exit codes.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser};
use venue_devices::DEVICES;

use crate::{
    command::{self, journal::Point},
    config::{self, Config},
    mapping::TopicFilter,
    probe::Target,
};

/// The names of the lanes.
const LANES: [&str; 2] = ["results", "telemetry"];

/// Where the configuration stands if nobody says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/venue-gateway/config.toml";

/// How a command ends. The numbers are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Success = 0,
    /// It ran and found something wrong (`check`, `journal verify`), or failed.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No gateway runs; the answer comes from the journal alone (`status`, `tail`).
    NotRunning = 3,
    /// The configuration is wrong (`check`: cannot be read at all).
    Config = 4,
    /// Another process holds the data directory.
    Locked = 5,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The edge gateway that sports venues trust with their results.
#[derive(Debug, Parser)]
#[command(
    name = "venue-gateway",
    version,
    about,
    after_help = "Exit codes: 0 done · 1 something is wrong or failed · 2 wrong command line · 3 no gateway runs, answered \
                  from the journal · 4 wrong configuration · 5 another process holds the data directory"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway. SIGTERM drains and exits 0, SIGHUP reads the configuration anew
    Run(ConfigFile),
    /// Validate everything and say what is wrong, where, and how to mend it
    Check {
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
        /// Print the findings as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say whether all results are at the centre, then the detail
    Status {
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
        /// Print the state as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show events as they become durable, a line each
    Tail(Tail),
    /// Show the table of devices
    Devices {
        /// Print the table as JSON.
        #[arg(long)]
        json: bool,
    },
    /// List serial ports by stable name
    Ports {
        /// Print the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Find line settings and protocol of an unknown device; sends nothing to it
    Probe(Probe),
    /// Decode a capture: one JSON event a line, a summary on standard error
    Decode(Decode),
    /// Look into a journal, offline or beside a running gateway
    #[command(subcommand)]
    Journal(Journal),
}

/// Names the configuration.
#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// `tail`.
#[derive(Debug, Clone, Args)]
pub struct Tail {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Print events as JSON, one a line
    #[arg(long)]
    pub json: bool,
    /// Only this lane
    #[arg(long, value_name = "LANE", value_parser = LANES)]
    pub lane: Option<String>,
    /// Only this device
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// Only this kind of content
    #[arg(long, value_name = "KIND", value_parser = command::event_line::KINDS)]
    pub kind: Option<String>,
    /// Begin with the last N events of each lane
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub last: u64,
    /// Print what is there and end
    #[arg(long)]
    pub no_follow: bool,
}

/// `probe`.
#[derive(Debug, Clone, Args)]
pub struct Probe {
    /// A serial port, HOST:PORT, or a broker's URL as mqtts://HOST
    #[arg(value_name = "PORT|HOST:PORT|URL")]
    pub target: Target,
    /// Listen for N seconds at each setting, twice as long where something comes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Where listening tells nothing, send what makers have a host ask (`NSF?` for ALGE; at HOST:PORT also MQTT
    /// CONNECT). Not during a race
    #[arg(long)]
    pub ask: bool,
    /// Of a broker: the topics to look at
    #[arg(long, value_name = "FILTER", default_value = "#", value_parser = filter)]
    pub topic: String,
    /// Of a broker: user name
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Of a broker: file that holds the password
    #[arg(long, value_name = "FILE", requires = "username")]
    pub password_file: Option<PathBuf>,
    /// Of a broker: certificates of its authority
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}

/// A subscription that takes no message from another client and no statistics of the broker's.
fn filter(text: &str) -> Result<String, &'static str> {
    match TopicFilter::parse(text) {
        Ok(_) if text.starts_with('$') => Err("shared subscriptions and $SYS are not looked at: write a plain filter"),
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("no topic filter: write for example venue/+/wind"),
    }
}

/// `decode`.
#[derive(Debug, Clone, Args)]
pub struct Decode {
    /// The protocol, as `devices` lists it
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(DEVICES.iter().map(|it| it.name)))]
    pub device: String,
    /// The capture; standard input if none is given
    pub file: Option<PathBuf>,
    /// Feed N bytes at a time
    #[arg(long, value_name = "N")]
    pub chunk: Option<NonZeroUsize>,
    /// The input holds one frame in hex a line
    #[arg(long)]
    pub hex: bool,
    /// When it was received, as 2026-11-28T09:17:08Z: gives times of day their date
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub received: Option<jiff::Timestamp>,
    /// Time zone of the device's local times
    #[arg(long, value_name = "ZONE", value_parser = zone, default_value = "UTC")]
    pub timezone: jiff::tz::TimeZone,
}

fn time(text: &str) -> Result<jiff::Timestamp, &'static str> {
    text.parse().map_err(|_| "no time: write for example 2026-11-28T09:17:08Z")
}

fn zone(text: &str) -> Result<jiff::tz::TimeZone, &'static str> {
    jiff::tz::TimeZone::get(text).map_err(|_| "no time zone: write for example Europe/Paris")
}

/// `journal …`.
#[derive(Debug, Clone, Subcommand)]
pub enum Journal {
    /// Show lanes, segments and cursors
    Inspect(JournalDir),
    /// Read every record and check it
    Verify(JournalDir),
    /// Write events as JSON, one a line
    Export {
        /// Which part.
        #[command(flatten)]
        range: Range,
    },
    /// Deliver a range to a receiver, beside the running uplinks
    Replay {
        /// Which part.
        #[command(flatten)]
        range: Range,
        /// The receiver, for example http://127.0.0.1:4317
        #[arg(long, value_name = "URI")]
        receiver: String,
        /// Certificates of the receiver's authority
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// The client certificate
        #[arg(long, value_name = "FILE", requires = "key")]
        cert: Option<PathBuf>,
        /// Its key
        #[arg(long, value_name = "FILE", requires = "cert")]
        key: Option<PathBuf>,
    },
    /// Let an uplink go that the configuration has no longer: nothing is kept for it any more
    Release {
        /// The data directory
        dir: PathBuf,
        /// The uplink's name
        uplink: String,
        /// The configuration, where no gateway runs
        #[command(flatten)]
        config: ConfigFile,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Begin a new journal epoch: for a restored disk or a copied data directory
    NewEpoch {
        /// The data directory
        dir: PathBuf,
        /// The configuration, for the gateway's id and quotas
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// A data directory.
#[derive(Debug, Clone, Args)]
pub struct JournalDir {
    /// The data directory
    pub dir: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// A part of a journal.
#[derive(Debug, Clone, Args)]
pub struct Range {
    /// The data directory
    pub dir: PathBuf,
    /// The lane
    #[arg(long, value_name = "LANE", value_parser = LANES, default_value = "results")]
    pub lane: String,
    /// From this sequence, or this receive time, as 2026-11-28T10:42:17Z
    #[arg(long, value_name = "SEQUENCE|TIME")]
    pub from: Option<Point>,
    /// To this sequence, or this receive time, included
    #[arg(long, value_name = "SEQUENCE|TIME")]
    pub to: Option<Point>,
}

/// Parses the arguments (the program's name first), does what they say and
/// returns how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are printed on standard output, mistakes on standard error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success };
        }
    };
    install_crypto_provider();
    match dispatch(cli.command) {
        Ok(exit) => exit,
        Err(error) => {
            command::tell(&format!("venue-gateway: {error:#}"));
            Exit::Failure
        }
    }
}

/// One crypto provider for the whole process, installed before anything uses TLS.
fn install_crypto_provider() {
    // It fails only if one is installed already, as in the bench that is both.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(file) => with_config(&file, |config| {
            start_log(&config)?;
            command::run::run(config)
        }),
        Command::Check { config, json } => command::check::run(&config.config, json),
        Command::Status { config, json } => command::status::run(&config.config, json),
        Command::Tail(tail) => with_config(&tail.config.clone(), |config| command::tail::run(&config, &tail)),
        Command::Devices { json } => print(&command::devices::table(json)?),
        Command::Ports { json } => print(&command::ports::table(json)?),
        Command::Probe(probe) => command::probe::run(&probe),
        Command::Decode(decode) => command::decode::main(&decode),
        Command::Journal(journal) => command::journal::run(&journal),
    }
}

fn print(text: &str) -> anyhow::Result<Exit> {
    command::print(text)?;
    Ok(Exit::Success)
}

/// Loads the configuration, tells what is wrong with it, and goes on with it.
fn with_config(file: &ConfigFile, then: impl FnOnce(Config) -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    match Config::load(&file.config, config::environment()) {
        Ok(config) => then(config),
        Err(errors) => {
            command::tell(&errors.to_string());
            Ok(Exit::Config)
        }
    }
}

/// The log goes to standard error; `RUST_LOG` overrides the configuration. Colours are
/// for terminals, and not if `NO_COLOR` is set.
fn start_log(config: &Config) -> anyhow::Result<()> {
    use std::io::IsTerminal as _;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .or_else(|_| tracing_subscriber::EnvFilter::try_new(&config.log.filter))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // A log that nobody reads any more must stop no thread: the complaint about it would panic.
        .log_internal_errors(false)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("failed to start the log: {error}"))
}
