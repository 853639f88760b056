//! Certificates as they go wrong at a venue: the gateway says in words what is wrong,
//! keeps every result meanwhile, and goes on by itself when the file is replaced.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../hill/mod.rs"]
mod hill;

use std::net::SocketAddr;

use serde_json::Value;
use venue_sim::{
    cloud::{Cloud, CloudConfig, CloudError, CloudHandle, StoreConfig},
    gateway::{self, text},
};

use hill::certificates::{Authority, Ends, centre_files};
use hill::{GATEWAY_ID, Hill, STATE, eventually, uplink};

/// A hill whose centre speaks TLS, and the authority that both ends trust.
struct Secured {
    hill: Hill,
    authority: Authority,
    centre: CloudHandle,
}

/// Results that come while the link is refused.
const KEPT: u16 = 5;

impl Secured {
    /// Everything in order, and nothing started but the centre.
    async fn set() -> Self {
        let (hill, authority) = (Hill::new(), Authority::new("venue authority"));
        let folder = hill.directory.path();
        authority.publish(&folder.join("clients-ca.pem"));
        authority.publish(&folder.join("ca.pem"));
        authority.sign(folder, "centre", "localhost", Ends::Late);
        authority.sign(folder, "gateway", GATEWAY_ID, Ends::Late);
        let centre = start_centre(&hill, (std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let tls = "tls = { ca = \"ca.pem\", cert = \"gateway.pem\", key = \"gateway.key\" }\n";
        hill.configure(&(uplink(&[format!("https://localhost:{}", centre.address().port())]) + tls));
        Self { hill, authority, centre }
    }

    fn sign(&self, stem: &str, name: &str, ends: Ends) {
        self.authority.sign(self.hill.directory.path(), stem, name, ends);
    }

    /// The centre starts again at the same address with the files as they are now.
    async fn restart_centre(mut self) -> Self {
        let address = self.centre.address();
        self.centre.shutdown().await;
        // The port is free once the last task of the former centre is gone.
        let again = async || start_centre(&self.hill, address).await.ok();
        self.centre = eventually("the centre's port", again).await;
        self
    }

    /// Starts the gateway, and asserts that it says what is wrong and keeps what comes.
    async fn assert_kept(&mut self, words: &[&str]) {
        self.hill.start().await;
        self.hill.impulses(KEPT);
        self.hill.until_it_says(words).await;
        let status = self.hill.until_kept(KEPT.into()).await;
        assert_ne!(status["uplinks"][0]["lanes"][0]["delivering"], true);
        let headline = text(&status, "/headline");
        assert!(headline.starts_with("5 RESULTS WAIT HERE SINCE"), "{headline}");
        let log = self.hill.log();
        assert!(words.iter().all(|word| log.contains(word)), "{log}");
        assert_eq!(self.centre.snapshot().sequence(GATEWAY_ID, "results"), 0);
    }

    /// Asserts that everything arrives by itself, and that the gateway was not restarted.
    async fn assert_recovered(&mut self) {
        self.hill.impulses(1);
        let status = self.hill.until(gateway::results_delivered).await;
        assert_eq!(text(&status, STATE), "delivering");
        self.hill.assert_exactly_once(&self.centre).await;
        assert_eq!(self.hill.log().matches("asked to stop").count(), 0);
        self.hill.gateway.stop().await.unwrap();
    }
}

async fn start_centre(hill: &Hill, listen: SocketAddr) -> Result<CloudHandle, CloudError> {
    let store = StoreConfig::Sqlite(hill.path("centre.sqlite"));
    let tls = Some(centre_files(hill.directory.path()));
    Cloud::start(CloudConfig { listen, tls, ..CloudConfig::local(store) }).await
}

/// With everything in order results go over mutual TLS, and nothing is complained about.
#[tokio::test]
async fn certificates_in_order() {
    let mut secured = Secured::set().await;
    secured.hill.start().await;
    secured.hill.impulses(KEPT);
    let status = secured.hill.until(gateway::results_delivered).await;
    assert_eq!(status.pointer(hill::LAST_ERROR), Some(&Value::Null));
    secured.assert_recovered().await;
}

/// The centre's certificate ran out over night; the centre renews it.
#[tokio::test]
async fn the_centres_certificate_has_expired() {
    let secured = Secured::set().await;
    secured.sign("centre", "localhost", Ends::Early);
    let mut secured = secured.restart_centre().await;
    secured.assert_kept(&["the receiver's certificate has expired", "renew the one or set the other"]).await;
    secured.sign("centre", "localhost", Ends::Late);
    secured.restart_centre().await.assert_recovered().await;
}

/// The endpoint leads to a machine with another name than its certificate.
#[tokio::test]
async fn the_centres_certificate_is_for_another_host() {
    let secured = Secured::set().await;
    secured.sign("centre", "ingest.example.org", Ends::Late);
    let mut secured = secured.restart_centre().await;
    secured.assert_kept(&["for another host", "localhost", "correct the endpoint or the certificate"]).await;
    secured.sign("centre", "localhost", Ends::Late);
    secured.restart_centre().await.assert_recovered().await;
}

/// The gateway was given the wrong authority's file; the right one is put in its place.
#[tokio::test]
async fn the_centres_authority_is_unknown() {
    let mut secured = Secured::set().await;
    Authority::new("somebody else").publish(&secured.hill.path("ca.pem"));
    secured.assert_kept(&["an authority that is not in the `ca` file"]).await;
    secured.authority.publish(&secured.hill.path("ca.pem"));
    secured.assert_recovered().await;
}

/// The certificate of the venue's other gateway was installed: the centre refuses it, and
/// would be asked again only within the minute. Replaced files are tried at once.
#[tokio::test]
async fn the_gateways_certificate_names_another() {
    let mut secured = Secured::set().await;
    secured.sign("gateway", "stade-1-b", Ends::Late);
    secured.assert_kept(&["PERMISSION_DENIED", "the gateway's id must be a DNS name in its certificate"]).await;
    let status = secured.hill.until(|status| text(status, STATE).starts_with("refused")).await;
    assert_eq!(text(&status, STATE), "refused; everything is kept here");
    secured.sign("gateway", GATEWAY_ID, Ends::Late);
    secured.assert_recovered().await;
}

/// The gateway's own certificate ran out; a new one is put in its place.
#[tokio::test]
async fn the_gateways_certificate_has_expired() {
    let mut secured = Secured::set().await;
    secured.sign("gateway", GATEWAY_ID, Ends::Early);
    secured.assert_kept(&["this gateway's certificate has expired", "replace the `cert` file"]).await;
    secured.sign("gateway", GATEWAY_ID, Ends::Late);
    secured.assert_recovered().await;
}

/// A certificate is half installed: it does not go with the key. The key follows.
#[tokio::test]
async fn certificate_and_key_do_not_belong_together() {
    let mut secured = Secured::set().await;
    let key = secured.hill.path("gateway.key");
    let right = std::fs::read(&key).unwrap();
    secured.sign("other", GATEWAY_ID, Ends::Late);
    std::fs::copy(secured.hill.path("other.key"), &key).unwrap();
    secured.assert_kept(&["gateway.pem", "gateway.key", "do not go together"]).await;
    std::fs::write(&key, right).unwrap();
    secured.assert_recovered().await;
}
