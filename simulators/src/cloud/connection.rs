//! The cloud's side of a TCP connection, which can be reset on request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections that are accepted and not yet served.
const MOST_WAITING: usize = 16;

/// A connection that breaks when it is told to.
pub(super) struct Breakable {
    stream: TcpStream,
    broken: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Breakable {
    fn new(stream: TcpStream, mut resets: watch::Receiver<u64>) -> Self {
        resets.mark_unchanged();
        let broken = Box::pin(async move {
            if resets.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        Self { stream, broken }
    }

    /// Fails once the connection is to be reset.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.broken.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        self.broken = Box::pin(std::future::ready(()));
        // So that closing sends RST.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Breakable {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

/// Accepts connections until nobody wants them any more.
pub(super) fn incoming(
    listener: TcpListener,
    resets: watch::Receiver<u64>,
) -> tokio_stream::wrappers::ReceiverStream<io::Result<Breakable>> {
    let (accepted, connections) = mpsc::channel(MOST_WAITING);
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                () = accepted.closed() => return,
                stream = listener.accept() => stream,
            };
            let connection = stream.and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(Breakable::new(stream, resets.clone()))
            });
            if accepted.send(connection).await.is_err() {
                return;
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(connections)
}
