//! A site's file with mistakes, one that changes while results wait, and one that is
//! used twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use venue_sim::gateway::{self, GatewayProcess, number};

use stage::{LAST_DURABLE, PATIENCE, SMALL, Stage, is_delivering, timer::Timer};

/// Lines of a site's file, and what is wrong with some of them.
const SITE: [(&str, Option<&str>); 25] = [
    ("[gateway]", None),
    ("id = \"Stade 1\"", Some("`id`: `Stade 1` is not a gateway id")),
    ("venue = \"stade-1\"", None),
    ("timezone = \"Europe/Pari\"", Some("`timezone`: there is no time zone `Europe/Pari`")),
    ("data_dirr = \"/var/lib/venue\"", Some("unknown key `data_dirr`")),
    ("[journal]", None),
    ("results = { quota = \"8 gigs\" }", Some("`quota`: `8 gigs` is not a size: there is no unit `gigs`")),
    ("telemetry = { quota = \"4GiB\" }", None),
    ("[[source]]", None),
    ("name = \"timer-a\"", None),
    ("device = \"alge-tymi\"", Some("`device`: there is no device `alge-tymi`")),
    ("tcp = { connect = \"10.20.0.21:5403\" }", None),
    ("[[source]]", None),
    ("name = \"timer-a\"", Some("the source name `timer-a` stands twice")),
    ("device = \"alge-timy\"", None),
    ("role = \"passive\"", Some("`role`: `passive` is not a role")),
    ("tcp = { listen = \"10.20.0.1:5000\" }", Some("`listen` without `allow`: anyone could send results")),
    ("[[uplink]]", None),
    ("name = \"centre\"", None),
    ("endpoints = [\"ingest.example.org\"]", Some("`endpoints`: `ingest.example.org` does not start with https://")),
    ("[[uplink]]", None),
    ("name = \"archive\"", None),
    ("endpoints = [\"https://archive.example.org\"]", None),
    ("tls = { ca = \"ca.pem\", cert = \"gateway.pem\", key = \"gateway.key\" }", None),
    ("required = \"yes\"", Some("`required` must be a yes or no, not a string")),
];

/// Ten mistakes are ten messages, each with its line and how to mend it, whether they are
/// looked for with `check` or found by `run`; nobody has to mend one to see the next.
#[tokio::test]
async fn ten_mistakes_are_told_at_once() {
    let mut stage = Stage::set().await;
    let lines: Vec<&str> = SITE.iter().map(|(line, _)| *line).collect();
    stage.gateway.configure(&lines.join("\n")).unwrap();
    let config = stage.gateway.config();
    let (code, checked, _) = stage.gateway.command(&["check", "--config", config.to_str().unwrap()]).await.unwrap();
    assert_eq!(code, Some(1));
    stage.gateway.start().unwrap();
    assert_eq!(stage.gateway.ended(PATIENCE).await.unwrap(), Some(4));

    for told in [checked, stage.log()] {
        let findings: Vec<&str> = told.split("error: ").skip(1).collect();
        assert_eq!(findings.len(), 10, "{told}");
        let wrong = SITE.iter().enumerate().filter_map(|(index, (_, wrong))| Some((index + 1, (*wrong)?)));
        for (finding, (line, wrong)) in findings.iter().zip(wrong) {
            assert!(finding.starts_with(wrong), "{wrong}: {finding}");
            assert!(finding.contains(&format!("gateway.toml:{line}:")), "line {line}: {finding}");
            assert!(finding.contains(SITE[line - 1].0) && finding.contains("= help: "), "{finding}");
        }
        assert!(told.trim_end().ends_with("10 errors"), "{told}");
    }
    assert!(!stage.path("data").exists(), "nothing was begun");
}

/// The centre is away, results wait, and the site's file is changed: a source gets another
/// name, one is added, the quotas are cut to the least. The backlog is what it was.
#[tokio::test]
async fn what_waits_outlives_a_changed_configuration() {
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.start(&timer).await;
    stage.until(is_delivering).await;
    stage.link.cut();
    timer.impulses(20);
    let before = number(&stage.until_kept(20).await, LAST_DURABLE);
    stage.gateway.kill().await.unwrap();

    let added = Timer::start("timer-b");
    added.impulses(6);
    let smallest = SMALL.replace("\"16MiB\"", "\"2MiB\"").replace("\"1MiB\"", "\"256KiB\"");
    stage.configure(&smallest, &(timer.source_named("finish") + &added.source()));
    stage.start(&timer).await;
    let status = stage.until_kept(26).await;
    assert!(number(&status, LAST_DURABLE) >= before + 6, "{status:#}");
    assert_eq!(number(&status, "/journal/lanes/0/quota_bytes"), 2 * 1024 * 1024);
    timer.impulses(4);

    stage.link.restore();
    let events = stage.assert_exactly_once(&timer).await;
    assert_eq!(added.records_in(&events), added.records(), "the added source's memory");
    assert_eq!(stage.cloud.snapshot().lanes.len(), 2, "one journal, two lanes");
}

/// Somebody starts the gateway a second time: it says that another one runs, ends with an
/// exit code of its own, and does not disturb the first.
#[tokio::test]
async fn a_data_directory_has_one_gateway() {
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.start(&timer).await;
    timer.impulses(3);

    let elsewhere = tempfile::tempdir().unwrap();
    let mut second = GatewayProcess::new(env!("CARGO_BIN_EXE_venue-sim"), elsewhere.path());
    std::fs::copy(stage.gateway.config(), second.config()).unwrap();
    second.start().unwrap();
    assert_eq!(second.ended(PATIENCE).await.unwrap(), Some(5));
    let told = second.log_tail();
    assert!(told.contains("stop it, or give this gateway a data directory of its own"), "{told}");
    assert!(told.contains(stage.path("data").to_str().unwrap()), "{told}");

    timer.impulses(3);
    stage.until(gateway::results_delivered).await;
    stage.assert_exactly_once(&timer).await;
    stage.gateway.stop().await.unwrap();
}
