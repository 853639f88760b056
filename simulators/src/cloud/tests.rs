//! A cloud with real sockets and the generated client of the published contract.

use bytes::Bytes;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Status, Streaming};
use venue_delivery::Mark;
use venue_schema::v1::event_ingest_service_client::EventIngestServiceClient;
use venue_schema::v1::{deliver_request::Message, deliver_response};
use venue_schema::{JournalEpoch, Message as _, v1};

use super::*;

const EPOCH: JournalEpoch = JournalEpoch::from_bytes(*b"journal-epoch-01");

/// A gateway's end of one lane, as simple as the contract allows.
struct Gateway {
    requests: mpsc::Sender<v1::DeliverRequest>,
    responses: Streaming<v1::DeliverResponse>,
    mark: Mark,
}

impl Gateway {
    /// Says hello with a mark, and takes the welcome's.
    async fn connect(channel: Channel, mark: Mark) -> Result<Self, Status> {
        let (requests, outgoing) = mpsc::channel(16);
        let hello = v1::Hello {
            protocol_version: 1,
            gateway_id: "stade-1-a".into(),
            journal_epoch: Bytes::copy_from_slice(EPOCH.as_bytes()),
            lane: v1::Lane::Results.into(),
            last_acknowledged_sequence: mark.sequence.0,
            last_acknowledged_digest: Bytes::copy_from_slice(mark.digest.as_bytes()),
            ..Default::default()
        };
        requests.send(v1::DeliverRequest { message: Some(Message::Hello(hello)) }).await.unwrap();
        let mut client = EventIngestServiceClient::new(channel);
        let mut responses = client.deliver(ReceiverStream::new(outgoing)).await?.into_inner();
        let welcome = match responses.message().await?.and_then(|response| response.message) {
            Some(deliver_response::Message::Welcome(welcome)) => welcome,
            other => panic!("no welcome but {other:?}"),
        };
        let mark = Mark {
            sequence: venue_schema::Sequence(welcome.last_sequence),
            digest: venue_schema::Digest::from_slice(&welcome.digest).unwrap(),
        };
        Ok(Self { requests, responses, mark })
    }

    async fn to(cloud: &CloudHandle) -> Result<Self, Status> {
        Self::connect(channel(cloud).await, initial()).await
    }

    /// Sends events as one batch behind the mark.
    async fn send(&mut self, events: &[v1::Event]) {
        let first_sequence = self.mark.sequence.next().0;
        let events: Vec<Bytes> = events.iter().map(|event| event.encode_to_vec().into()).collect();
        self.mark = events.iter().fold(self.mark, |mark, event| mark.then(event));
        let batch = v1::Batch { first_sequence, events };
        // A stream that has ended tells so when its responses are read.
        let _ = self.requests.send(v1::DeliverRequest { message: Some(Message::Batch(batch)) }).await;
    }

    /// Waits for the acknowledgement of all that was sent, with the same digest.
    async fn acknowledged(&mut self) -> Result<(), Status> {
        loop {
            let response = self.responses.message().await?.expect("an acknowledgement before the end");
            let Some(deliver_response::Message::Ack(ack)) = response.message else { panic!("no ack: {response:?}") };
            if ack.sequence == self.mark.sequence.0 {
                assert_eq!(&ack.digest[..], self.mark.digest.as_bytes());
                return Ok(());
            }
        }
    }
}

fn initial() -> Mark {
    Mark::initial(EPOCH, v1::Lane::Results)
}

async fn channel(cloud: &CloudHandle) -> Channel {
    Endpoint::from_shared(format!("http://{}", cloud.address())).unwrap().connect().await.unwrap()
}

fn impulse(number: u64) -> v1::Event {
    v1::Event {
        venue_id: "stade-1".into(),
        device_id: "timer-a".into(),
        identity: Some(v1::event::Identity::DeviceSequence(number)),
        content: Some(v1::event::Content::Impulse(v1::Impulse { channel: "C1".into(), ..Default::default() })),
        ..Default::default()
    }
}

fn impulses(numbers: std::ops::RangeInclusive<u64>) -> Vec<v1::Event> {
    numbers.map(impulse).collect()
}

fn numbers(events: &[StoredEvent]) -> Vec<u64> {
    let number = |event: &StoredEvent| match event.event().unwrap().identity {
        Some(v1::event::Identity::DeviceSequence(number)) => number,
        other => panic!("{other:?}"),
    };
    events.iter().map(number).collect()
}

async fn sqlite(directory: &tempfile::TempDir) -> CloudHandle {
    Cloud::start(CloudConfig::local(StoreConfig::Sqlite(directory.path().join("cloud.db")))).await.unwrap()
}

/// What was acknowledged is held by a copy of the files that is taken at that moment, as
/// a machine would find them that lost power: nothing was closed or flushed for it.
#[tokio::test]
async fn what_is_acknowledged_survives() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = sqlite(&directory).await;
    let mut gateway = Gateway::to(&cloud).await.unwrap();
    gateway.send(&impulses(1..=500)).await;
    gateway.send(&impulses(501..=700)).await;
    gateway.acknowledged().await.unwrap();

    let after_crash = tempfile::tempdir().unwrap();
    for file in ["cloud.db", "cloud.db-wal"] {
        std::fs::copy(directory.path().join(file), after_crash.path().join(file)).unwrap();
    }
    let restarted = sqlite(&after_crash).await;
    let held = Gateway::connect(channel(&restarted).await, gateway.mark).await.unwrap();
    assert_eq!(held.mark, gateway.mark);
    assert_eq!(numbers(&restarted.events(0, 1000).await.unwrap()), (1..=700).collect::<Vec<_>>());

    let config = CloudConfig::local(StoreConfig::Sqlite(directory.path().join("cloud.db")));
    let other = Cloud::start(CloudConfig { receiver_id: "another".into(), ..config }).await;
    assert!(other.unwrap_err().to_string().contains("venue-sim-cloud"));
    cloud.shutdown().await;
}

/// An event whose identity is held is counted, not stored; the mark goes on.
#[tokio::test]
async fn a_repeat_is_counted_and_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    for store in [StoreConfig::Memory, StoreConfig::Sqlite(directory.path().join("cloud.db"))] {
        let cloud = Cloud::start(CloudConfig::local(store)).await.unwrap();
        let mut gateway = Gateway::to(&cloud).await.unwrap();
        gateway.send(&[impulse(1), impulse(2), impulse(1), impulse(3)]).await;
        gateway.acknowledged().await.unwrap();
        let snapshot = cloud.until(|it| it.sequence("stade-1-a", "results") == 4).await.unwrap();
        assert_eq!((snapshot.stored, snapshot.seen_again), (3, 1));
    }
}

/// The newest hello of a lane fences the older stream, and goes on at its mark.
#[tokio::test]
async fn the_newest_hello_takes_over() {
    let cloud = Cloud::start(CloudConfig::local(StoreConfig::Memory)).await.unwrap();
    let mut older = Gateway::to(&cloud).await.unwrap();
    older.send(&impulses(1..=3)).await;
    older.acknowledged().await.unwrap();
    let newer = Gateway::connect(channel(&cloud).await, older.mark).await.unwrap();
    assert_eq!(newer.mark, older.mark);
    assert_eq!(older.acknowledged().await.unwrap_err().code(), tonic::Code::Aborted);
    assert_eq!(cloud.snapshot().streams, 1);
}

/// A stalled cloud takes what comes and says nothing until it works again; slow
/// acknowledgements come late, and refusals have the status that was asked for.
#[tokio::test]
async fn faults_come_and_go() {
    let cloud = Cloud::start(CloudConfig::local(StoreConfig::Memory)).await.unwrap();
    let mut gateway = Gateway::to(&cloud).await.unwrap();
    cloud.stall(true).await.unwrap();
    gateway.send(&impulses(1..=3)).await;
    assert_eq!(cloud.until(|it| it.pending).await.unwrap().stored, 0);
    cloud.slow_acks(Duration::from_millis(40)).await.unwrap();
    let clock = crate::clock::Clock::start();
    cloud.stall(false).await.unwrap();
    gateway.acknowledged().await.unwrap();
    assert!(clock.now() >= Duration::from_millis(40));

    cloud.refuse(Some(Code::ResourceExhausted)).await.unwrap();
    assert_eq!(gateway.acknowledged().await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    assert_eq!(Gateway::to(&cloud).await.err().unwrap().code(), tonic::Code::ResourceExhausted);
    cloud.refuse(None).await.unwrap();
    cloud.maintenance(Duration::from_millis(30)).await.unwrap();
    assert_eq!(Gateway::to(&cloud).await.err().unwrap().code(), tonic::Code::Unavailable);
    let back = loop {
        match Gateway::connect(channel(&cloud).await, gateway.mark).await {
            Ok(back) => break back,
            Err(refused) => assert_eq!(refused.code(), tonic::Code::Unavailable),
        }
    };
    assert_eq!(back.mark, gateway.mark);
}

/// A connection is reset at the batch that was asked for: what came before it is held,
/// the batch itself is not.
#[tokio::test]
async fn a_connection_breaks_at_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = sqlite(&directory).await;
    cloud.reset_after(2).await.unwrap();
    let mut gateway = Gateway::to(&cloud).await.unwrap();
    gateway.send(&impulses(1..=3)).await;
    gateway.acknowledged().await.unwrap();
    let held = gateway.mark;
    gateway.send(&impulses(4..=6)).await;
    gateway.acknowledged().await.unwrap_err();
    let mut again = Gateway::connect(channel(&cloud).await, held).await.unwrap();
    assert_eq!(again.mark, held);
    again.send(&impulses(4..=6)).await;
    again.acknowledged().await.unwrap();
    assert_eq!(numbers(&cloud.events(3, 10).await.unwrap()), [4, 5, 6]);
}

/// A cloud that forgot says a lower mark at the next welcome; the stream that stood
/// breaks at its next batch. What comes again is stored again.
#[tokio::test]
async fn amnesia_is_admitted_at_the_next_welcome() {
    let directory = tempfile::tempdir().unwrap();
    for store in [StoreConfig::Memory, StoreConfig::Sqlite(directory.path().join("cloud.db"))] {
        let cloud = Cloud::start(CloudConfig::local(store.clone())).await.unwrap();
        let mut gateway = Gateway::to(&cloud).await.unwrap();
        let mut marks = vec![];
        for first in [1, 11, 21] {
            gateway.send(&impulses(first..=first + 9)).await;
            gateway.acknowledged().await.unwrap();
            marks.push(gateway.mark);
        }
        cloud.forget(Amnesia::Last(5)).await.unwrap();
        gateway.send(&impulses(31..=31)).await;
        assert_eq!(gateway.acknowledged().await.unwrap_err().code(), tonic::Code::Aborted);
        let mut gateway = Gateway::to(&cloud).await.unwrap();
        assert_eq!(gateway.mark, marks[1]);
        gateway.send(&impulses(21..=30)).await;
        gateway.acknowledged().await.unwrap();
        assert_eq!(gateway.mark, marks[2]);
        if store != StoreConfig::Memory {
            assert_eq!(numbers(&cloud.events(0, 100).await.unwrap()), (1..=30).collect::<Vec<_>>());
        }
        cloud.forget(Amnesia::Whole).await.unwrap();
        assert_eq!(Gateway::to(&cloud).await.unwrap().mark, initial());
        assert_eq!(cloud.events(0, 100).await.unwrap(), []);
    }
}

/// A cloud that lies: mark, digest and acknowledgement are those of all events, and one
/// is missing in the rows.
#[tokio::test]
async fn a_silent_drop_shows_in_the_rows_alone() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = sqlite(&directory).await;
    cloud.drop_silently(1).await.unwrap();
    let mut gateway = Gateway::to(&cloud).await.unwrap();
    gateway.send(&impulses(1..=4)).await;
    gateway.acknowledged().await.unwrap();
    gateway.send(&impulses(5..=5)).await;
    gateway.acknowledged().await.unwrap();
    assert_eq!(cloud.until(|it| it.sequence("stade-1-a", "results") == 5).await.unwrap().stored, 5);
    assert_eq!(numbers(&cloud.events(0, 100).await.unwrap()), [2, 3, 4, 5]);
}

/// A batch that leaves a hole, and a skipped range in its place.
#[tokio::test]
async fn a_hole_is_refused_and_a_skipped_range_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = sqlite(&directory).await;
    let mut gateway = Gateway::to(&cloud).await.unwrap();
    gateway.mark.sequence = venue_schema::Sequence(7);
    gateway.send(&impulses(1..=1)).await;
    assert_eq!(gateway.acknowledged().await.unwrap_err().code(), tonic::Code::InvalidArgument);

    let mut gateway = Gateway::to(&cloud).await.unwrap();
    let gap = v1::Event { content: Some(v1::event::Content::Gap(v1::Gap::default())), ..Default::default() };
    let gap_event = Bytes::from(gap.encode_to_vec());
    gateway.mark = gateway.mark.then_skipped(venue_schema::Sequence(9), &gap_event);
    let skipped = v1::Skipped { first_sequence: 1, last_sequence: 9, gap_event };
    gateway.requests.send(v1::DeliverRequest { message: Some(Message::Skipped(skipped)) }).await.unwrap();
    gateway.acknowledged().await.unwrap();
    let events = cloud.events(0, 10).await.unwrap();
    assert_eq!((events[0].first_sequence, events[0].sequence, events[0].gap), (1, 9, true));
}

/// An authority, and certificates that it signed.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(parameters, key) }
    }

    /// Certificate and key as PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Over TLS a gateway is whom its certificate names: another name is refused as
/// PERMISSION_DENIED, none as UNAUTHENTICATED.
#[tokio::test]
async fn a_gateway_is_whom_its_certificate_names() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let (certificate, key) = authority.sign("localhost");
    let ca = authority.certificate.pem();
    let tls = TlsConfig {
        certificate: write("cloud.pem", &certificate),
        key: write("cloud.key", &key),
        client_ca: write("ca.pem", &ca),
    };
    let config = CloudConfig { tls: Some(tls), ..CloudConfig::local(StoreConfig::Memory) };
    let cloud = Cloud::start(config).await.unwrap();
    let connect = |name: Option<&str>| {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&ca)).domain_name("localhost");
        let tls = match name.map(|name| authority.sign(name)) {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        };
        let endpoint = Endpoint::from_shared(format!("https://{}", cloud.address())).unwrap().tls_config(tls).unwrap();
        async move { Gateway::connect(endpoint.connect().await.unwrap(), initial()).await }
    };
    let mut gateway = connect(Some("stade-1-a")).await.unwrap();
    gateway.send(&impulses(1..=3)).await;
    gateway.acknowledged().await.unwrap();
    assert_eq!(connect(Some("stade-2-a")).await.err().unwrap().code(), tonic::Code::PermissionDenied);
    assert_eq!(connect(None).await.err().unwrap().code(), tonic::Code::Unauthenticated);
    assert_eq!(cloud.snapshot().streams, 1);
}
