//! Why a connection broke, kept where the gRPC library drops it.
//!
//! With TLS 1.3 a receiver refuses a client's certificate only after the handshake.
//! Its alert then ends some read or write deep within HTTP/2, of which no more than
//! "transport error" comes up. So the socket's own first error is written down here.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The end of a stream that nobody announced.
pub(super) const CLOSED: &str = "the receiver, or something on the way to it, closed the connection";

/// What a connection said last; none while it has not failed.
#[derive(Debug, Clone, Default)]
pub(super) struct LastWords(Arc<OnceLock<String>>);

impl LastWords {
    /// The first error of the connection, explained.
    pub(super) fn get(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

/// A stream whose first error is written down.
pub(super) struct Overheard<T> {
    stream: T,
    words: LastWords,
    explain: fn(&io::Error) -> Option<String>,
    /// The error of a write, while what came before it is read.
    broken: Option<io::Error>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Overheard<T> {
    /// Wraps a stream; `explain` says what an error means, if it is worth telling.
    pub(super) fn new(stream: T, words: LastWords, explain: fn(&io::Error) -> Option<String>) -> Self {
        Self { stream, words, explain, broken: None }
    }

    fn note(&self, error: &io::Error) {
        if let Some(text) = (self.explain)(error) {
            self.keep(&text);
        }
    }

    fn keep(&self, text: &str) {
        // Later errors only follow from the first.
        let _ = self.words.0.set(text.to_owned());
    }

    /// Passes a write's result on. If it failed, perhaps because of an alert that waits to
    /// be read, that is read first: on a broken socket it ends at once.
    fn written<R>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        match result {
            Poll::Ready(Err(error)) => {
                self.broken = Some(error);
                self.read_the_rest(context).map(Err)
            }
            other => other,
        }
    }

    /// Reads up to the end of what came, and then returns the error of the write.
    fn read_the_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let mut scratch = [0; 1024];
        loop {
            let mut rest = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut rest)) {
                Ok(()) if !rest.filled().is_empty() => {}
                Ok(()) => break,
                Err(error) => {
                    self.note(&error);
                    break;
                }
            }
        }
        let error = self.broken.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        self.note(&error);
        Poll::Ready(error)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Overheard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        match &result {
            Poll::Ready(Err(error)) => self.note(error),
            Poll::Ready(Ok(())) if room > 0 && buffer.filled().len() == before => self.keep(CLOSED),
            _ => {}
        }
        result
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Overheard<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return self.read_the_rest(context).map(Err);
        }
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return self.read_the_rest(context).map(Err);
        }
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
