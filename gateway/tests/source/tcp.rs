//! TCP sources on loopback sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::bench::{Bench, Lines, Seen};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use venue_gateway::config::TransportConfig;
use venue_gateway::source::SourceSnapshot;

const ANY_PORT: &str = "127.0.0.1:0";

fn to(address: &str) -> TransportConfig {
    TransportConfig::TcpConnect { address: address.to_owned() }
}

fn from(allow: &str) -> TransportConfig {
    let allow = allow.split(", ").map(|network| network.parse().unwrap()).collect();
    TransportConfig::TcpListen { address: ANY_PORT.parse().unwrap(), allow }
}

/// A source that listens, and where.
fn listening(allow: &str, lines: Lines) -> (Bench, SocketAddr) {
    let bench = Bench::start_with(from(allow), None, lines);
    let address = bench.wait_state("listener", |state| state.listening.is_some()).listening.unwrap();
    (bench, address)
}

/// A device of that address.
fn device_at(own: [u8; 4], gateway: SocketAddr) -> TcpStream {
    let device = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&device, &SocketAddr::new(IpAddr::from(own), 0)).unwrap();
    connect(&device, &gateway).unwrap();
    device.into()
}

fn hear(device: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, device).read_line(&mut line).unwrap();
    line
}

/// A device that listens is reached by name, greeted, heard in any split, and told
/// what is durable.
#[test]
fn a_device_that_listens_is_reached_by_name() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let bench = Bench::start(to(&format!("localhost:{}", listener.local_addr().unwrap().port())));
    let (mut device, _) = listener.accept().unwrap();
    assert_eq!(hear(&device), "hello\n");
    for piece in b"0001 10:04:55.6513\n0002 10:04:56.0000\n".chunks(5) {
        device.write_all(piece).unwrap();
    }
    bench.record.wait_line("0002 10:04:56.0000");
    bench.make_durable(2);
    assert_eq!(hear(&device), "safe 2\n");
    assert_eq!(bench.record.lines(), ["0001 10:04:55.6513", "0002 10:04:56.0000"]);
}

/// A device goes away in the middle of a line, refuses connections for a while, and
/// comes back: the cut line is reported, the refusal is told once, and the source
/// connects again by itself.
#[test]
fn a_device_that_comes_back_is_connected_again() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let address = listener.local_addr().unwrap();
    let bench = Bench::start(to(&address.to_string()));
    let (mut device, _) = listener.accept().unwrap();
    device.write_all(b"whole\nin the mid").unwrap();
    bench.record.wait_line("whole");
    drop(listener);
    drop(device);
    bench.record.wait("refusal", |seen| seen.iter().any(|it| matches!(it, Seen::Failed(_))));
    for _ in 0..3 {
        bench.pass(Duration::from_secs(5));
    }
    let listener = TcpListener::bind(address).unwrap();
    bench.pass(Duration::from_secs(5));
    let (mut device, _) = listener.accept().unwrap();
    device.write_all(b"whole again\n").unwrap();
    let seen = bench.record.wait_line("whole again");

    assert_eq!(seen[2], Seen::Truncated("in the mid".to_owned()));
    assert!(matches!(&seen[3], Seen::Disconnected(_)), "{seen:#?}");
    assert!(matches!(&seen[4], Seen::Failed(error) if error.contains(&address.to_string())), "{seen:#?}");
    assert_eq!(seen[5..], [Seen::Connected(address.to_string()), Seen::Line("whole again".to_owned())]);
}

/// Only addresses of the allow-list may connect; others are closed, counted and
/// reported, and do not disturb the device.
#[test]
fn only_the_allow_list_may_connect() {
    let (bench, gateway) = listening("127.0.0.2, 10.20.0.0/16", Lines::default());
    let mut stranger = device_at([127, 0, 0, 1], gateway);
    assert_eq!(stranger.read(&mut [0]).unwrap(), 0, "a stranger is closed without a word");
    bench.record.wait("first report", |seen| seen == [Seen::Refused(1)]);
    let mut device = device_at([127, 0, 0, 2], gateway);
    assert_eq!(hear(&device), "hello\n");
    let mut stranger = device_at([127, 0, 0, 3], gateway);
    assert_eq!(stranger.read(&mut [0]).unwrap(), 0);
    device.write_all(b"undisturbed\n").unwrap();
    bench.record.wait_line("undisturbed");
    // The second report waits, so that a scanner does not fill the log.
    bench.pass(Duration::from_secs(10));
    let seen = bench.record.wait("second report", |seen| seen.last() == Some(&Seen::Refused(1)));
    assert!(matches!(&seen[..], [Seen::Refused(1), Seen::Connected(_), Seen::Line(_), Seen::Refused(1)]), "{seen:#?}");
    assert_eq!(bench.source.state().snapshot().refused, 2);
}

/// A device that restarted connects anew while its old connection still stands. The
/// new one wins, and what the old one still held, more than one read takes, comes
/// first and whole.
#[test]
fn the_newest_peer_wins_and_the_old_ones_words_are_kept() {
    let (bench, gateway) = listening("127.0.0.0/8", Lines::default());
    let mut old = device_at([127, 0, 0, 1], gateway);
    assert_eq!(hear(&old), "hello\n");
    let lines: Vec<String> = (0..4000).map(|number| format!("{number:04} C0 10:04:55.6513")).collect();
    let mut new = {
        let _busy = bench.record.block();
        for line in &lines {
            writeln!(old, "{line}").unwrap();
        }
        let mut new = device_at([127, 0, 0, 1], gateway);
        writeln!(new, "after the restart").unwrap();
        new
    };
    let seen = bench.record.wait_line("after the restart");
    assert_eq!(bench.record.lines()[..4000], lines);
    let end = &seen[4001..];
    assert!(
        matches!(end, [Seen::Disconnected(why), Seen::Connected(_), Seen::Line(_)] if why.contains("replaced")),
        "{end:#?}"
    );
    assert_eq!(hear(&new), "hello\n");
    assert_eq!(old.read(&mut [0; 16]).unwrap_or(0), 0, "the old connection is closed");
    writeln!(new, "and on").unwrap();
    bench.record.wait_line("and on");
}

/// A device that reads nothing while its conversation never ceases to send is heard
/// all the same, and stopping such a source is prompt.
#[test]
fn a_device_that_does_not_read_is_heard() {
    let (bench, gateway) = listening("127.0.0.1", Lines::flooding());
    let mut device = device_at([127, 0, 0, 1], gateway);
    for number in 0..100 {
        writeln!(device, "{number}").unwrap();
        bench.record.wait_line(&number.to_string());
    }
    let took = bench.stop();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// What reached the machine before the stop is handed over before the source ends.
#[test]
fn stopping_reads_what_is_there() {
    let (bench, gateway) = listening("127.0.0.1", Lines::default());
    let mut device = device_at([127, 0, 0, 1], gateway);
    assert_eq!(hear(&device), "hello\n");
    let record = std::sync::Arc::clone(&bench.record);
    {
        let _busy = record.block();
        writeln!(device, "first").unwrap();
        for number in 0..2000 {
            writeln!(device, "line {number}").unwrap();
        }
        writeln!(device, "last").unwrap();
        bench.source.waker().stop();
    }
    bench.stop();
    let seen = record.seen();
    assert_eq!(record.lines().len(), 2002);
    assert_eq!(seen[seen.len() - 2], Seen::Line("last".to_owned()));
    assert_eq!(seen[seen.len() - 1], Seen::Left, "the device did not go");
}

/// A source whose thread panics says so in its state, and no longer that it is
/// connected; whoever stops it is told, too.
#[test]
fn a_panic_shows() {
    let (bench, gateway) = listening("127.0.0.1", Lines::fragile());
    let mut device = device_at([127, 0, 0, 1], gateway);
    writeln!(device, "unforeseen").unwrap();
    let state = bench.wait_state("fault", |state| state.faulted);
    assert_eq!((state.connected, state.listening, state.stopped), (None, None, false));
    assert!(state.last_error.unwrap().contains("panicked"));
    assert!(bench.source.stop().is_err());
}

/// A source stops at once while it listens, while it waits to try again, and while
/// a connection is on its way to a host that does not answer.
#[test]
fn stopping_is_prompt() {
    let closed = TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    // A listener whose queue is full answers no more: the next connection hangs.
    let deaf = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&deaf, &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap();
    rustix::net::listen(&deaf, 0).unwrap();
    let deaf = TcpListener::from(deaf);
    let address = deaf.local_addr().unwrap();
    let _queued = TcpStream::connect(address).unwrap();
    for transport in [from("127.0.0.1"), to(&closed.to_string()), to(&address.to_string())] {
        let stop = || Bench::start(transport.clone()).stop();
        let best = (0..3).map(|_| stop()).min().unwrap();
        assert!(best < Duration::from_millis(200), "{best:?} for {transport:?}");
    }
}

/// A host that does not answer is given up after five seconds, and the message says
/// so.
#[test]
fn a_host_that_does_not_answer_is_given_up() {
    let deaf = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&deaf, &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap();
    rustix::net::listen(&deaf, 0).unwrap();
    let deaf = TcpListener::from(deaf);
    let address = deaf.local_addr().unwrap();
    let _queued = TcpStream::connect(address).unwrap();
    let bench = Bench::start(to(&address.to_string()));
    // Time passes in the source's eyes alone, and counts once its attempt has begun.
    let has_failed = |state: &SourceSnapshot| {
        bench.pass(Duration::from_millis(500));
        state.last_error.is_some()
    };
    let state = bench.wait_state("failure", has_failed);
    let error = state.last_error.unwrap();
    assert!(error.contains("no answer within 5s"), "{error}");
}
