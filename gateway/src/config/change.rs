//! What differs between two configurations, and what of it a running gateway can take.

use std::fmt;

use super::{
    Config, GatewayConfig, HttpConfig, JournalSettings, LogConfig, MqttConfig, ResultsSettings, TelemetrySettings,
};

/// What differs between the configuration in force and another.
///
/// ```
/// use venue_gateway::config::Config;
/// let gateway = "gateway = { id = \"stade-1-a\", venue = \"stade-1\", data_dir = \"/var/lib/venue\" }\n";
/// let source = "[[source]]\nname = \"wind\"\ndevice = \"nmea\"\ntcp = { connect = \"10.20.0.21:5403\" }\n";
/// let running = Config::parse("site.toml", gateway, []).expect("it is sound");
/// let text = gateway.replace("/var/lib/venue", "/srv/venue") + source;
/// let changes = running.changes_to(&Config::parse("site.toml", &text, []).expect("so is this"));
/// assert_eq!(changes.to_string(), "added: source wind");
/// assert_eq!(changes.needs_restart, ["gateway.data_dir"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What is new: `source wind`, `topic gates`, `uplink centre`.
    pub added: Vec<String>,
    /// What is gone.
    pub removed: Vec<String>,
    /// What is there in both, and not the same: beside those, `[mqtt]` for the connections to the broker, and `[alarm]`.
    pub changed: Vec<String>,
    /// Keys that have another value, and cannot take it while the gateway runs.
    pub needs_restart: Vec<&'static str>,
}

impl Changes {
    /// Whether a running gateway has nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn list<T: PartialEq>(&mut self, kind: &str, old: &[T], new: &[T], name: impl Fn(&T) -> &str) {
        let named = |item: &T| format!("{kind} {}", name(item));
        let same_name = |list: &[T], item: &T| list.iter().position(|other| name(other) == name(item));
        for item in new {
            match same_name(old, item) {
                None => self.added.push(named(item)),
                Some(index) if old[index] != *item => self.changed.push(named(item)),
                Some(_) => {}
            }
        }
        self.removed.extend(old.iter().filter(|item| same_name(new, item).is_none()).map(named));
    }
}

/// What a running gateway does: `added: source wind; changed: topic gates, [alarm]`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let told = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<_> = told.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
        f.write_str(if told.is_empty() { "nothing changed" } else { "" })?;
        f.write_str(&told.join("; "))
    }
}

impl Config {
    /// What differs in another configuration.
    pub fn changes_to(&self, next: &Self) -> Changes {
        // Each part by its name, so that a new one is not forgotten.
        let Self { gateway, journal, sources, mqtt, uplinks, http, alarm, log, warnings: _, origin: _ } = self;
        let mut changes = Changes::default();
        changes.list("source", sources, &next.sources, |it| &it.name);
        let topics = |mqtt: &Option<MqttConfig>| mqtt.iter().flat_map(|mqtt| mqtt.topics.clone()).collect::<Vec<_>>();
        changes.list("topic", &topics(mqtt), &topics(&next.mqtt), |it| &it.name);
        changes.list("uplink", uplinks, &next.uplinks, |it| &it.name);
        let broker = |mqtt: &Option<MqttConfig>| mqtt.clone().map(|mqtt| MqttConfig { topics: Vec::new(), ..mqtt });
        let parts = [("[mqtt]", broker(mqtt) != broker(&next.mqtt)), ("[alarm]", *alarm != next.alarm)];
        changes.changed.extend(parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part.to_owned()));

        let GatewayConfig { id, venue, timezone: _, timezone_name, clock, data_dir } = gateway;
        let JournalSettings { results, telemetry } = journal;
        let ResultsSettings { quota, reserve, keep } = results;
        let TelemetrySettings { quota: telemetry_quota, commit_window, keep: telemetry_keep } = telemetry;
        let (HttpConfig { listen }, LogConfig { filter }) = (http, log);
        let keys = [
            ("gateway.id", *id != next.gateway.id),
            ("gateway.venue", *venue != next.gateway.venue),
            ("gateway.timezone", *timezone_name != next.gateway.timezone_name),
            ("gateway.clock", *clock != next.gateway.clock),
            ("gateway.data_dir", *data_dir != next.gateway.data_dir),
            ("journal.results.quota", *quota != next.journal.results.quota),
            ("journal.results.reserve", *reserve != next.journal.results.reserve),
            ("journal.results.keep", *keep != next.journal.results.keep),
            ("journal.telemetry.quota", *telemetry_quota != next.journal.telemetry.quota),
            ("journal.telemetry.commit_window", *commit_window != next.journal.telemetry.commit_window),
            ("journal.telemetry.keep", *telemetry_keep != next.journal.telemetry.keep),
            ("http.listen", *listen != next.http.listen),
            ("log.filter", *filter != next.log.filter),
        ];
        changes.needs_restart = keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect();
        changes
    }

    /// As much of it as a gateway that runs by another configuration can take: what needs a restart is as there.
    #[must_use]
    pub fn taken_by(self, running: &Self) -> Self {
        Self {
            gateway: running.gateway.clone(),
            journal: running.journal,
            http: running.http.clone(),
            log: running.log.clone(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = r#"
[gateway]
id = "stade-1-a"
venue = "stade-1"
[[source]]
name = "finish"
device = "alge-timy"
serial = { port = "/dev/ttyS0" }
[[source]]
name = "wind"
device = "nmea"
tcp = { connect = "10.20.0.21:5403" }
[mqtt]
broker = "mqtt://127.0.0.1"
[[mqtt.topic]]
name = "gates"
device = "ttn-v3"
[[uplink]]
name = "centre"
endpoints = ["http://127.0.0.1:4317"]
[alarm]
results_wait = "20s"
"#;

    fn config(text: &str) -> Config {
        Config::parse("site.toml", text, []).unwrap()
    }

    /// Each edit of the site's file, what a running gateway does for it, and what waits for a restart.
    #[test]
    fn each_edit_is_told_apart() {
        let running = config(SITE);
        let check = |from: &str, to: &str, told: &str, needs_restart: &[&str]| {
            assert!(SITE.contains(from), "{from}");
            let next = config(&SITE.replacen(from, to, 1));
            let changes = running.changes_to(&next);
            assert_eq!(
                (changes.to_string().as_str(), &*changes.needs_restart),
                (told, needs_restart),
                "{from} -> {to}"
            );
            assert_eq!(changes.is_empty(), told == "nothing changed");

            let taken = next.taken_by(&running);
            assert_eq!(running.changes_to(&taken), Changes { needs_restart: Vec::new(), ..changes }, "{from} -> {to}");
        };
        let start = "[[source]]\nname = \"start\"\ndevice = \"nmea\"\ntcp = { connect = \"10.20.0.22:5403\" }\n";
        check("", "", "nothing changed", &[]);
        check("[gateway]", "# A remark.\n[gateway]", "nothing changed", &[]);
        check("[mqtt]", &format!("{start}[mqtt]"), "added: source start", &[]);
        check(":5403", ":5404", "changed: source wind", &[]);
        check("\"/dev/ttyS0\"", "\"/dev/ttyS0\", baud = 4800", "changed: source finish", &[]);
        check("name = \"wind\"", "name = \"gusts\"", "added: source gusts; removed: source wind", &[]);
        check("ttn-v3\"", "ttn-v3\"\nlane = \"results\"", "changed: topic gates", &[]);
        check("127.0.0.1\"", "127.0.0.2\"", "changed: [mqtt]", &[]);
        check("127.0.0.1:4317", "127.0.0.2:4317", "changed: uplink centre", &[]);
        check("20s", "30s", "changed: [alarm]", &[]);
        check("stade-1-a", "stade-1-b", "nothing changed", &["gateway.id"]);
        check("\"stade-1\"", "\"stade-2\"", "nothing changed", &["gateway.venue"]);
        let both = "[http]\nlisten = \"127.0.0.1:9180\"\n[alarm]\nclear_after = \"2m\"\n";
        check("[alarm]\n", both, "changed: [alarm]", &["http.listen"]);
        let all = "\ntimezone = \"Europe/Paris\"\nclock = \"trusted\"\ndata_dir = \"/srv/venue\"\n[log]\nfilter = \"debug\"\n\
                   [journal]\nresults = { quota = \"4GiB\", reserve = \"1MiB\", keep = \"1d\" }\n\
                   telemetry = { quota = \"2GiB\", commit_window = \"0s\", keep = \"1d\" }\n[[source]]";
        let keys = [
            "gateway.timezone",
            "gateway.clock",
            "gateway.data_dir",
            "journal.results.quota",
            "journal.results.reserve",
            "journal.results.keep",
            "journal.telemetry.quota",
            "journal.telemetry.commit_window",
            "journal.telemetry.keep",
            "log.filter",
        ];
        check("\n[[source]]", all, "nothing changed", &keys);
    }

    /// The order of the file is the order of `status`, and no difference.
    #[test]
    fn another_order_is_no_change() {
        let (running, mut next) = (config(SITE), config(SITE));
        next.sources.reverse();
        assert_eq!(running.changes_to(&next), Changes::default());
    }
}
