//! Certificates as they go wrong at a venue: the gateway says in words what is wrong,
//! keeps every result meanwhile, and goes on by itself when the file is replaced.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use std::path::Path;

use serde_json::Value;
use venue_sim::{
    authority::{Authority, Ends},
    cloud::{Cloud, CloudConfig},
    gateway::{self, text},
};

use stage::{
    GATEWAY, LAST_ERROR, SMALL, STATE, Stage,
    certificates::{centre_files, secured_uplink},
    cloud_in, eventually,
    timer::Timer,
};

/// A stage whose cloud speaks TLS, and the authority that both ends trust.
struct Secured {
    stage: Stage,
    timer: Timer,
    authority: Authority,
}

/// Results that come while the link is refused.
const KEPT: u16 = 5;

impl Secured {
    /// Everything in order, and nothing started but the cloud.
    async fn set() -> Self {
        let (authority, timer) = (Authority::new("venue authority").unwrap(), Timer::start("timer-a"));
        let stage = Stage::set_with(|folder| {
            authority.equip(folder, GATEWAY).unwrap();
            with_tls(folder)
        });
        let stage = stage.await;
        stage.configure_uplink(SMALL, &timer.source(), &secured_uplink(stage.cloud.address().port()));
        Self { stage, timer, authority }
    }

    fn sign(&self, stem: &str, name: &str, ends: Ends) {
        self.authority.sign(&self.stage.path(""), stem, name, ends).unwrap();
    }

    /// The cloud starts again at the same address with the files as they are now.
    async fn restart_cloud(mut self) -> Self {
        let config = CloudConfig { listen: self.stage.cloud.address(), ..with_tls(&self.stage.path("")) };
        self.stage.cloud.shutdown().await;
        // The port is free once the last task of the former cloud is gone.
        let again = async || Cloud::start(config.clone()).await.ok();
        self.stage.cloud = eventually("the cloud's port", again).await;
        self
    }

    /// Starts the gateway, and asserts that it says what is wrong and keeps what comes.
    async fn assert_kept(&mut self, words: &[&str]) {
        self.stage.start(&self.timer).await;
        self.timer.impulses(KEPT);
        self.stage.until_it_says(words).await;
        let status = self.stage.until_kept(KEPT.into()).await;
        assert_ne!(status["uplinks"][0]["lanes"][0]["delivering"], true);
        let headline = text(&status, "/headline");
        assert!(headline.starts_with("5 RESULTS WAIT HERE SINCE"), "{headline}");
        let log = self.stage.log();
        assert!(words.iter().all(|word| log.contains(word)), "{log}");
        assert_eq!(self.stage.cloud.snapshot().sequence(GATEWAY, "results"), 0);
    }

    /// Asserts that everything arrives by itself, and that the gateway was not restarted.
    async fn assert_recovered(&mut self) {
        self.timer.impulses(1);
        let status = self.stage.until(gateway::results_delivered).await;
        assert_eq!(text(&status, STATE), "delivering");
        self.stage.assert_exactly_once(&self.timer).await;
        assert_eq!(self.stage.log().matches("asked to stop").count(), 0);
        self.stage.gateway.stop().await.unwrap();
    }
}

/// A cloud with the files of a folder.
fn with_tls(folder: &Path) -> CloudConfig {
    CloudConfig { tls: Some(centre_files(folder)), ..cloud_in(folder) }
}

/// With everything in order results go over mutual TLS, and nothing is complained about.
#[tokio::test]
async fn certificates_in_order() {
    let mut secured = Secured::set().await;
    secured.stage.start(&secured.timer).await;
    secured.timer.impulses(KEPT);
    let status = secured.stage.until(gateway::results_delivered).await;
    assert_eq!(status.pointer(LAST_ERROR), Some(&Value::Null));
    secured.assert_recovered().await;
}

/// The centre's certificate ran out over night; the centre renews it.
#[tokio::test]
async fn the_centres_certificate_has_expired() {
    let secured = Secured::set().await;
    secured.sign("centre", "localhost", Ends::Early);
    let mut secured = secured.restart_cloud().await;
    secured.assert_kept(&["the receiver's certificate has expired", "renew the one or set the other"]).await;
    secured.sign("centre", "localhost", Ends::Late);
    secured.restart_cloud().await.assert_recovered().await;
}

/// The endpoint leads to a machine with another name than its certificate.
#[tokio::test]
async fn the_centres_certificate_is_for_another_host() {
    let secured = Secured::set().await;
    secured.sign("centre", "ingest.example.org", Ends::Late);
    let mut secured = secured.restart_cloud().await;
    secured.assert_kept(&["for another host", "localhost", "correct the endpoint or the certificate"]).await;
    secured.sign("centre", "localhost", Ends::Late);
    secured.restart_cloud().await.assert_recovered().await;
}

/// The gateway was given the wrong authority's file; the right one is put in its place.
#[tokio::test]
async fn the_centres_authority_is_unknown() {
    let mut secured = Secured::set().await;
    Authority::new("somebody else").unwrap().publish(&secured.stage.path("ca.pem")).unwrap();
    secured.assert_kept(&["an authority that is not in the `ca` file"]).await;
    secured.authority.publish(&secured.stage.path("ca.pem")).unwrap();
    secured.assert_recovered().await;
}

/// The certificate of the venue's other gateway was installed: the centre refuses it, and
/// would be asked again only within the minute. Replaced files are tried at once.
#[tokio::test]
async fn the_gateways_certificate_names_another() {
    let mut secured = Secured::set().await;
    secured.sign("gateway", "stade-1-b", Ends::Late);
    secured.assert_kept(&["PERMISSION_DENIED", "the gateway's id must be a DNS name in its certificate"]).await;
    let status = secured.stage.until(|status| text(status, STATE).starts_with("refused")).await;
    assert_eq!(text(&status, STATE), "refused; everything is kept here");
    secured.sign("gateway", GATEWAY, Ends::Late);
    secured.assert_recovered().await;
}

/// The gateway's own certificate ran out; a new one is put in its place.
#[tokio::test]
async fn the_gateways_certificate_has_expired() {
    let mut secured = Secured::set().await;
    secured.sign("gateway", GATEWAY, Ends::Early);
    secured.assert_kept(&["this gateway's certificate has expired", "replace the `cert` file"]).await;
    secured.sign("gateway", GATEWAY, Ends::Late);
    secured.assert_recovered().await;
}

/// A certificate is half installed: it does not go with the key. The key follows.
#[tokio::test]
async fn certificate_and_key_do_not_belong_together() {
    let mut secured = Secured::set().await;
    let key = secured.stage.path("gateway.key");
    let right = std::fs::read(&key).unwrap();
    secured.sign("other", GATEWAY, Ends::Late);
    std::fs::copy(secured.stage.path("other.key"), &key).unwrap();
    secured.assert_kept(&["gateway.pem", "gateway.key", "do not go together"]).await;
    std::fs::write(&key, right).unwrap();
    secured.assert_recovered().await;
}
