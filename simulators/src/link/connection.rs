//! One connection through a link: two pipes that live and die together.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Passage;
use super::conditions::Knobs;
use super::listener::Shared;
use super::pipe::{Direction, Pipe};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Both sides closed it.
    Closed,
    /// It was reset.
    Reset,
}

/// Runs a connection from its acceptance to its end.
pub(super) async fn run(client: TcpStream, number: u64, shared: &Shared) -> Outcome {
    let mut knobs = shared.knobs.clone();
    let resets = knobs.borrow_and_update().resets;
    let connected = tokio::select! {
        () = broken(&mut knobs, resets) => Err(io::ErrorKind::ConnectionReset.into()),
        connected = connect(shared) => connected,
    };
    let target = match connected {
        Ok(target) => target,
        Err(error) => return reset(number, &error, &[&client]),
    };
    let passed = tokio::select! {
        () = broken(&mut knobs, resets) => Err(io::ErrorKind::ConnectionReset.into()),
        passed = pass(&client, &target, number, shared) => passed,
    };
    match passed {
        Ok(()) => Outcome::Closed,
        Err(error) => reset(number, &error, &[&client, &target]),
    }
}

/// Waits until a knob breaks the connection.
async fn broken(knobs: &mut watch::Receiver<Knobs>, resets: u64) {
    let breaks = |it: &Knobs| it.conditions.passage == Passage::Cut || it.resets != resets;
    // An error means that the link ends, and the connection with it.
    let _ = knobs.wait_for(breaks).await;
}

async fn connect(shared: &Shared) -> io::Result<TcpStream> {
    // In a black hole the target does not hear of the client.
    let _ = shared.knobs.clone().wait_for(|it| it.conditions.passage != Passage::BlackHole).await;
    TcpStream::connect(&shared.connect).await
}

async fn pass(client: &TcpStream, target: &TcpStream, number: u64, shared: &Shared) -> io::Result<()> {
    for stream in [client, target] {
        stream.set_nodelay(true)?;
    }
    let up = Pipe::new(shared, Direction::Up, number);
    let down = Pipe::new(shared, Direction::Down, number);
    tokio::try_join!(up.run(client, target), down.run(target, client))?;
    Ok(())
}

/// Makes the kernel send RST instead of FIN when the streams are closed.
fn reset(number: u64, cause: &io::Error, streams: &[&TcpStream]) -> Outcome {
    tracing::debug!(number, %cause, "a connection is reset");
    for stream in streams {
        if let Err(error) = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)) {
            tracing::debug!(number, %error, "a connection cannot be reset; it is closed");
        }
    }
    Outcome::Reset
}
