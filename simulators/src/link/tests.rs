//! A link between a client and an echo, with real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// An echo that closes when its client has closed.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

async fn start(conditions: Conditions) -> LinkHandle {
    Link::start(LinkConfig { conditions, ..LinkConfig::to(echo().await) }).unwrap()
}

async fn client(link: &LinkHandle) -> TcpStream {
    TcpStream::connect(link.address()).await.unwrap()
}

/// Sends bytes and reads as many; returns how long it took.
async fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> Duration {
    let clock = Clock::start();
    let mut read = vec![0; bytes.len()];
    let (mut from, mut to) = stream.split();
    let (wrote, _) = tokio::join!(to.write_all(bytes), from.read_exact(&mut read));
    wrote.unwrap();
    assert_eq!(read, bytes);
    clock.now()
}

/// Whatever is sent comes through unchanged and in order, and the end of each
/// direction with it.
#[tokio::test]
async fn bytes_and_ends_pass_unchanged() {
    let link = start(Conditions { jitter: Duration::from_millis(2), ..Conditions::default() }).await;
    let mut stream = client(&link).await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|it| (it % 251) as u8).collect();
    round_trip(&mut stream, &bytes).await;
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    let report = link.until(|it| it.open == 0).await;
    assert_eq!((report.bytes_up, report.bytes_down, report.held_bytes), (1_000_000, 1_000_000, 0));
    assert_eq!(report.reset, 0);
}

/// Each way takes the latency; a knob changes it for a connection that stands.
#[tokio::test]
async fn latency_is_added_each_way() {
    let link = start(Conditions { latency: Duration::from_millis(30), ..Conditions::default() }).await;
    let mut stream = client(&link).await;
    assert!(round_trip(&mut stream, b"ping").await >= Duration::from_millis(60));
    link.set_latency(Duration::from_millis(45));
    assert!(round_trip(&mut stream, b"ping").await >= Duration::from_millis(90));
}

/// 25,000 bytes at 1 Mbit/s take 200 ms; the last packet's own time is not waited for.
#[tokio::test]
async fn a_rate_is_kept() {
    let link = start(Conditions { rate: "1Mbit".parse().unwrap(), ..Conditions::default() }).await;
    let mut stream = client(&link).await;
    let took = round_trip(&mut stream, &[7; 25_000]).await;
    assert!(took >= Duration::from_millis(185), "{took:?}");
    link.set_rate(Rate::UNLIMITED);
    round_trip(&mut stream, &[7; 1_000_000]).await;
}

/// A cut resets what stands and refuses what comes, and the same port is there again
/// afterwards.
#[tokio::test]
async fn a_cut_resets_and_refuses() {
    let link = start(Conditions::default()).await;
    let mut stream = client(&link).await;
    round_trip(&mut stream, b"before").await;
    link.cut();
    link.until(|it| it.open == 0 && !it.listening).await;
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let error = TcpStream::connect(link.address()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    link.restore();
    link.until(|it| it.listening).await;
    round_trip(&mut client(&link).await, b"after").await;
    assert_eq!(link.report().reset, 1);
}

/// In a black hole what is sent is not even read, the sender's connection stays, and
/// everything passes when it ends. Even the end of a connection does not pass.
#[tokio::test]
async fn a_black_hole_swallows_until_it_ends() {
    let link = start(Conditions::default()).await;
    let (mut stream, mut leaver) = (client(&link).await, client(&link).await);
    round_trip(&mut stream, b"before").await;
    round_trip(&mut leaver, b"before").await;
    link.black_hole(true);
    stream.write_all(b"within").await.unwrap();
    drop(leaver);
    // A client that comes now is accepted: the link has taken its turn since, with all
    // that was there before.
    let mut late = client(&link).await;
    late.write_all(b"late").await.unwrap();
    link.until(|it| it.accepted == 3).await;
    let report = link.report();
    assert_eq!((report.open, report.bytes_up, report.reset), (3, 12, 0));
    assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    link.restore();
    let mut read = [0; 6];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"within");
    late.read_exact(&mut read[..4]).await.unwrap();
    link.until(|it| it.open == 2).await;
}

/// A sender that is faster than the link is held back: the link's memory is bounded.
#[tokio::test]
async fn what_is_held_is_bounded() {
    let link = start(Conditions { latency: Duration::from_secs(3600), ..Conditions::default() }).await;
    let stream = client(&link).await;
    let full = pipe::PIPE_BYTES as u64;
    let sender = async {
        loop {
            stream.writable().await.unwrap();
            let _ = stream.try_write(&[0; 65_536]);
        }
    };
    tokio::select! {
        () = sender => unreachable!("it never ends"),
        report = link.until(|it| it.held_bytes >= full) => assert_eq!(report.held_bytes, full),
    }
    link.reset_connections();
    assert_eq!(link.until(|it| it.open == 0).await.held_bytes, 0);
    link.set_latency(Duration::ZERO);
    round_trip(&mut client(&link).await, b"a new connection is welcome").await;
}

/// Where the target is not there, the client is reset instead of left waiting.
#[tokio::test]
async fn an_absent_target_resets_the_client() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let link = Link::start(LinkConfig::to(nobody)).unwrap();
    let mut stream = client(&link).await;
    assert!(stream.read(&mut [0]).await.is_err());
    assert_eq!(link.until(|it| it.open == 0).await.reset, 1);
}
