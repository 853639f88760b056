//! How fast a simulated cloud takes events in: batches of 64 impulses over one HTTP/2 connection, pipelined, each
//! store in turn. Prints medians. `cargo bench -p venue-sim`

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use venue_schema::v1::deliver_request::Message;
use venue_schema::v1::event_ingest_service_client::EventIngestServiceClient;
use venue_schema::{Digest, JournalEpoch, Message as _, v1};
use venue_sim::clock::Clock;
use venue_sim::cloud::{Cloud, CloudConfig, StoreConfig};

const EVENTS: u64 = 200_000;
const BATCH: u64 = 64;
const ROUNDS: u64 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for name in ["memory", "sqlite"] {
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            let file = directory.path().join(format!("{round}.db"));
            let store = if name == "memory" { StoreConfig::Memory } else { StoreConfig::Sqlite(file) };
            rates.push(runtime.block_on(measure(store))?);
        }
        rates.sort_by(f64::total_cmp);
        println!("{name}: {:.0} events/s (median of {ROUNDS} rounds of {EVENTS} events)", rates[rates.len() / 2]);
    }
    Ok(())
}

async fn measure(store: StoreConfig) -> Result<f64, Box<dyn std::error::Error>> {
    let cloud = Cloud::start(CloudConfig::local(store)).await?;
    let (requests, outgoing) = mpsc::channel(16);
    let mut client = EventIngestServiceClient::connect(format!("http://{}", cloud.address())).await?;
    let clock = Clock::start();
    tokio::spawn(async move {
        for request in std::iter::once(hello()).chain((0..EVENTS / BATCH).map(batch)) {
            if requests.send(v1::DeliverRequest { message: Some(request) }).await.is_err() {
                return;
            }
        }
        requests.closed().await;
    });
    let mut responses = client.deliver(ReceiverStream::new(outgoing)).await?.into_inner();
    while let Some(response) = responses.message().await? {
        if matches!(response.message, Some(v1::deliver_response::Message::Ack(ack)) if ack.sequence >= EVENTS) {
            break;
        }
    }
    let rate = EVENTS as f64 / clock.now().as_secs_f64();
    drop(responses);
    cloud.shutdown().await;
    Ok(rate)
}

fn hello() -> Message {
    let epoch = JournalEpoch::from_bytes([7; 16]);
    Message::Hello(v1::Hello {
        protocol_version: 1,
        gateway_id: "stade-1-a".into(),
        journal_epoch: Bytes::copy_from_slice(epoch.as_bytes()),
        lane: v1::Lane::Telemetry.into(),
        last_acknowledged_digest: Bytes::copy_from_slice(Digest::initial(epoch, v1::Lane::Telemetry).as_bytes()),
        ..Default::default()
    })
}

fn batch(index: u64) -> Message {
    let first_sequence = index * BATCH + 1;
    let event = |number: u64| v1::Event {
        venue_id: "stade-1".into(),
        device_id: "timer-a".into(),
        identity: Some(v1::event::Identity::DeviceSequence(number)),
        evidence: Bytes::from_static(b" 0007 C1  11:22:33.4455 00\r"),
        content: Some(v1::event::Content::Impulse(v1::Impulse { channel: "C1".into(), ..Default::default() })),
        ..Default::default()
    };
    let events = (first_sequence..first_sequence + BATCH).map(|number| event(number).encode_to_vec().into()).collect();
    Message::Batch(v1::Batch { first_sequence, events })
}
