//! What `check` finds on a machine: ports, disk and certificates, each with its line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use jiff::{Timestamp, ToSpan as _};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use tempfile::TempDir;
use venue_gateway::check::check;
use venue_gateway::config::Config;

/// A folder with a site's file and the files that it names.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a place for files"))
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        self
    }

    /// A certificate of these DNS names, 2026 to 2027, and its key.
    fn certificate(&self, cert: &str, key: &str, names: &[&str], usage: Option<ExtendedKeyUsagePurpose>) -> &Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("DNS names");
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        params.extended_key_usages = usage.into_iter().collect();
        let pair = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&pair).expect("signed");
        self.write(cert, &certificate.pem()).write(key, &pair.serialize_pem())
    }

    fn findings(&self, more: &str, now: &str) -> Vec<String> {
        let text = format!(
            "gateway = {{ id = \"gw-1\", venue = \"v\", timezone = \"UTC\", data_dir = \".\" }}\n{SMALL}\n{more}"
        );
        let path = self.write("site.toml", &text).0.path().join("site.toml");
        let config = Config::load(path, []).expect("a sound configuration");
        let now: Timestamp = now.parse().expect("a time");
        check(&config, now).iter().map(|finding| self.brief(finding)).collect()
    }

    /// `error 8:8 …`, without the folder's random name.
    fn brief(&self, finding: &venue_gateway::config::Finding) -> String {
        let (line, column) = finding.place.line_and_column().unwrap_or_default();
        let message = finding.message.replace(&*self.0.path().to_string_lossy(), "SITE");
        format!("{} {line}:{column} {message}", finding.severity.name())
    }
}

const SMALL: &str =
    "journal = { results = { quota = \"2MiB\", reserve = \"1MiB\" }, telemetry = { quota = \"2MiB\" } }";

const UPLINK: &str = "source = []
[[uplink]]
name = \"centre\"
endpoints = [\"https://ingest.example.org\"]
tls = { ca = \"ca.pem\", cert = \"gateway.pem\", key = \"gateway.key\" }";

/// Nothing is found where nothing is wrong.
#[test]
fn a_sound_site_passes() {
    let site = Site::new();
    site.certificate("ca.pem", "ca.key", &["ca"], None);
    site.certificate("gateway.pem", "gateway.key", &["other", "gw-1"], Some(ExtendedKeyUsagePurpose::ClientAuth));
    assert_eq!(site.findings(UPLINK, "2026-06-01T00:00:00Z"), [""; 0]);
}

/// A certificate's time is looked at before a competition day, not during it.
#[test]
fn certificates_have_their_time() {
    let site = Site::new();
    site.certificate("ca.pem", "ca.key", &["ca"], None).certificate("gateway.pem", "gateway.key", &["gw-1"], None);
    let found =
        |now| site.findings(UPLINK, now).iter().map(|it| it.replace("rcgen self signed cert", "x")).collect::<Vec<_>>();
    assert_eq!(
        found("2027-01-01T00:00:00Z"),
        [
            "error 7:14 the certificate of `CN=x` expired at 2027-01-01T00:00:00Z",
            "error 7:31 the certificate of `CN=x` expired at 2027-01-01T00:00:00Z",
        ]
    );
    assert_eq!(
        found("2026-12-15T00:00:00Z"),
        [
            "warning 7:14 the certificate of `CN=x` expires at 2027-01-01T00:00:00Z",
            "warning 7:31 the certificate of `CN=x` expires at 2027-01-01T00:00:00Z",
        ]
    );
    assert_eq!(
        found("2025-12-31T23:59:59Z"),
        [
            "error 7:14 the certificate of `CN=x` begins only at 2026-01-01T00:00:00Z",
            "error 7:31 the certificate of `CN=x` begins only at 2026-01-01T00:00:00Z",
        ]
    );
}

/// What the receiver would refuse is found before it does.
#[test]
fn a_certificate_is_the_gateways_own() {
    let site = Site::new();
    site.certificate("ca.pem", "ca.key", &["ca"], None);
    site.certificate("gateway.pem", "gateway.key", &["gw-2"], Some(ExtendedKeyUsagePurpose::ServerAuth));
    site.certificate("other.pem", "gateway.key", &["gw-1"], None);
    fs::set_permissions(site.0.path().join("gateway.key"), fs::Permissions::from_mode(0o644)).expect("ours");
    assert_eq!(
        site.findings(UPLINK, "2026-06-01T00:00:00Z"),
        [
            "error 7:31 the certificate does not name `gw-1`: it has only gw-2",
            "error 7:31 the certificate is not meant for clients",
            "warning 7:52 other users may read the private key SITE/gateway.key",
            "error 7:52 the private key SITE/gateway.key is not that of the certificate",
        ]
    );
}

/// Files that are missing, empty, mixed up or cut short are told apart.
#[test]
fn broken_files_are_told_apart() {
    let site = Site::new();
    site.certificate("gateway.key", "gateway.pem", &["gw-1"], None);
    assert_eq!(
        site.findings(UPLINK, "2026-06-01T00:00:00Z"),
        [
            "error 7:14 cannot read SITE/ca.pem: No such file or directory (os error 2)",
            "error 7:31 SITE/gateway.pem holds no certificate",
            "error 7:52 SITE/gateway.key holds no private key",
        ]
    );
    site.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let cut = &site.findings(UPLINK, "2026-06-01T00:00:00Z")[0];
    assert!(cut.starts_with("error 7:14 SITE/ca.pem is not sound PEM: "), "{cut}");
    site.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let hollow = &site.findings(UPLINK, "2026-06-01T00:00:00Z")[0];
    assert!(hollow.starts_with("error 7:14 SITE/ca.pem holds something that is not a certificate: "), "{hollow}");
}

fn source(name: &str, transport: &str) -> String {
    format!("[[source]]\nname = \"{name}\"\ndevice = \"nmea\"\n{transport}\n")
}

/// Ports are looked for, also under their second names.
#[test]
fn ports_are_there_and_are_ports() {
    let site = Site::new();
    let pty = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).expect("a PTY");
    rustix::pty::grantpt(&pty).and_then(|()| rustix::pty::unlockpt(&pty)).expect("a usable PTY");
    let name = rustix::pty::ptsname(&pty, Vec::new()).expect("its name").into_string().expect("plain text");
    std::os::unix::fs::symlink(&name, site.0.path().join("by-id")).expect("a second name");
    let more = [
        "uplink = []\n".to_owned(),
        source("a", &format!("serial = {{ port = \"{name}\" }}")),
        source("b", "serial = { port = \"by-id\" }"),
        source("c", "serial = { port = \"site.toml\" }"),
        source("d", "serial = { port = \"/dev/ttyUSB4711\" }"),
    ];
    assert_eq!(
        site.findings(&more.concat(), "2026-06-01T00:00:00Z"),
        [
            "error 11:19 SITE/by-id is the port of `a` under another name",
            "error 15:19 SITE/site.toml is not a serial port",
            "error 19:19 there is no port /dev/ttyUSB4711",
            "warning 19:19 /dev/ttyUSB4711 may be another port after the next start",
        ]
    );
}

/// An address to listen at is one of this machine (192.0.2.0/24 is nobody's).
#[test]
fn addresses_to_listen_at_are_ours() {
    let site = Site::new();
    let listen = |address: &str| format!("tcp = {{ listen = \"{address}\", allow = [\"10.0.0.1\"] }}");
    let more =
        ["uplink = []\n".to_owned(), source("a", &listen("127.0.0.1:5000")), source("b", &listen("192.0.2.1:5000"))];
    let http = "[http]\nlisten = \"192.0.2.1:9180\"\n".to_owned();
    assert_eq!(
        site.findings(&(more.concat() + &http), "2026-06-01T00:00:00Z"),
        [
            "error 11:18 192.0.2.1 is not an address of this machine",
            "warning 13:10 whoever reaches 192.0.2.1:9180 can read the names and the state of everything here",
            "error 13:10 192.0.2.1 is not an address of this machine",
        ]
    );
}

/// The data folder can be written, and its disk is large enough.
#[test]
fn the_journal_has_room() {
    let site = Site::new();
    let now = Timestamp::UNIX_EPOCH + 1.hour();
    let found = |folder: &str, quota: &str| {
        let text = format!(
            "gateway = {{ id = \"g\", venue = \"v\", timezone = \"UTC\", data_dir = \"{folder}\" }}\nsource = []\nuplink = []\n\
             journal = {{ results = {{ quota = \"{quota}\", reserve = \"1MiB\" }}, telemetry = {{ quota = \"2MiB\" }} }}"
        );
        let path = site.write("site.toml", &text).0.path().join("site.toml");
        let config = Config::load(path, []).expect("a sound configuration");
        check(&config, now).iter().map(|finding| site.brief(finding)).collect::<Vec<_>>()
    };
    assert_eq!(found("deep/below", "2MiB"), [""; 0], "a folder that can be created is no mistake");
    assert_eq!(found("site.toml", "2MiB"), ["error 1:65 SITE/site.toml is not a folder"]);
    assert_eq!(
        found("site.toml/below", "2MiB"),
        ["error 1:65 cannot look at SITE/site.toml/below: Not a directory (os error 20)"]
    );
    let huge = found(".", "1000000TiB");
    assert!(huge[0].starts_with("error 4:33 the journal may grow to 1000000TiB, but the disk holds only "), "{huge:?}");
}

/// A command that cannot be run, and a webhook that cannot be verified, would be found out when they are needed.
#[test]
fn whoever_is_told_of_alarms_can_be() {
    let site = Site::new();
    let mode = |mode| {
        let command = site.write("venue-alarm", "#!/bin/sh\n").0.path().join("venue-alarm");
        fs::set_permissions(command, fs::Permissions::from_mode(mode)).expect("ours");
    };
    let found =
        |alarm: &str| site.findings(&format!("source = []\nuplink = []\n[alarm]\n{alarm}"), "2026-06-01T00:00:00Z");
    let command = "command = \"venue-alarm\"";
    assert_eq!(
        found(command),
        ["error 6:11 cannot look at the command SITE/venue-alarm: No such file or directory (os error 2)"]
    );
    mode(0o644);
    assert_eq!(found(command), ["error 6:11 cannot run SITE/venue-alarm: Permission denied (os error 13)"]);
    mode(0o755);
    assert_eq!(found(command), [""; 0]);
    assert_eq!(found("command = \".\""), ["error 6:11 SITE/. is not a program"]);

    let webhook = "webhook = \"https://alerts.example.org/x\"\nwebhook_ca = \"ca.pem\"";
    assert_eq!(found(webhook), ["error 7:14 cannot read SITE/ca.pem: No such file or directory (os error 2)"]);
    site.certificate("ca.pem", "ca.key", &["ca"], None);
    assert_eq!(found(webhook), [""; 0]);
}
