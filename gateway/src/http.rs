//! A small HTTP server for pages that are read: GET and HEAD, a few clients at a time, one request a connection.
//!
//! It knows nothing of what it serves. It never waits for a client: whoever is not served within a time, for want of its
//! request or because it does not read the answer, is dropped.

use std::{convert::Infallible, io, net, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

/// Clients served at a time; further ones wait in the listener's queue.
const CLIENTS: usize = 16;
/// A client is gone, one way or the other, after this time. As long as Prometheus waits by default.
const CLIENT_TIME: Duration = Duration::from_secs(10);
/// Longest request head, bytes.
const REQUEST_BYTES: usize = 8 * 1024;

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// What a page answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// 200 if all is well.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: &'static str,
    /// What is read.
    pub body: String,
}

impl Page {
    /// A page of plain text.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, body: body.into() }
    }
}

/// What a server serves.
pub trait Pages: Send + Sync + 'static {
    /// The page at a path, made anew; none if there is none.
    fn page(&self, path: &str) -> impl Future<Output = Option<Page>> + Send;
}

/// Serves clients of a listener until dropped.
///
/// # Errors
/// If the listener cannot be used at all.
pub async fn serve(listener: net::TcpListener, pages: Arc<impl Pages>) -> io::Result<()> {
    serve_each(listener, pages, CLIENT_TIME).await
}

/// Serves each client for so long at most.
async fn serve_each(listener: net::TcpListener, pages: Arc<impl Pages>, time: Duration) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a client of the HTTP port could not be served");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&*pages, request));
            let mut server = http1::Builder::new();
            // The time of the whole connection is bounded, and so is that of its head.
            server.keep_alive(false).header_read_timeout(None).max_buf_size(REQUEST_BYTES);
            match timeout(time, server.serve_connection(TokioIo::new(stream), service)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a client of the HTTP port went away"),
                Err(_) => tracing::debug!("a client of the HTTP port was too slow, and was dropped"),
            }
            drop(place);
        });
    }
}

async fn answer(pages: &impl Pages, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let page = match reads {
        true => pages.page(request.uri().path()).await,
        false => Some(Page::text(StatusCode::METHOD_NOT_ALLOWED, "pages are only read here: GET or HEAD\n")),
    };
    let page = page.unwrap_or_else(|| Page::text(StatusCode::NOT_FOUND, "there is no such page\n"));
    let mut response = Response::new(page.body);
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !reads {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    /// A server that takes longer than this to close fails the test.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// Longer than any test waits.
    const NEVER: Duration = Duration::from_secs(1_000);

    /// One page, and one that is never made; counts how many clients wait for that, and how many did at most.
    #[derive(Default)]
    struct Site {
        waiting: AtomicUsize,
        most: AtomicUsize,
    }

    impl Pages for Site {
        async fn page(&self, path: &str) -> Option<Page> {
            match path {
                "/page" => Some(Page::text(StatusCode::OK, "hello\n")),
                "/never" => {
                    let _gone = Gone(&self.waiting);
                    self.most.fetch_max(self.waiting.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    std::future::pending().await
                }
                _ => None,
            }
        }
    }

    /// Takes a client off the count when it is dropped.
    struct Gone<'a>(&'a AtomicUsize);

    impl Drop for Gone<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn start(time: Duration) -> (SocketAddr, Arc<Site>) {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, site) = (listener.local_addr().unwrap(), Arc::new(Site::default()));
        tokio::spawn(serve_each(listener, Arc::clone(&site), time));
        (address, site)
    }

    /// Sends a text and reads until the server closes.
    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        until_closed(stream).await
    }

    async fn until_closed(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        // A server that drops a client may reset the connection.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
        String::from_utf8(answer).unwrap()
    }

    /// A page is read, its head alone too; nothing else is there, and nothing can be written.
    #[tokio::test]
    async fn pages_are_read_and_nothing_else() {
        let (address, _) = start(NEVER);
        for (request, status, body) in [
            ("GET /page", "200 OK", "hello\n"),
            ("GET /page?x=1", "200 OK", "hello\n"),
            ("HEAD /page", "200 OK", ""),
            ("GET /", "404 Not Found", "there is no such page\n"),
            ("POST /page", "405 Method Not Allowed", "pages are only read here: GET or HEAD\n"),
            ("DELETE /other", "405 Method Not Allowed", "pages are only read here: GET or HEAD\n"),
        ] {
            let answer = ask(address, &format!("{request} HTTP/1.1\r\nHost: here\r\n\r\n")).await;
            let (head, rest) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {head}");
            assert_eq!(rest, body, "{request}");
            assert_eq!(head.contains("allow: GET, HEAD"), status.starts_with("405"), "{request}: {head}");
            assert!(head.contains("content-type: text/plain"), "{request}: {head}");
        }
        let answer = ask(address, "GET /page HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n").await;
        assert!(answer.contains("connection: close"), "one request a connection: {answer}");
    }

    /// What is no request, and one without an end, is refused and takes no memory.
    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let (address, _) = start(NEVER);
        for garbage in ["\0\0\0\0\r\n\r\n".to_owned(), format!("GET /{} HTTP/1.1\r\n", "x".repeat(64 * 1024))] {
            let answer = ask(address, &garbage).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        assert!(ask(address, "GET /page HTTP/1.0\r\n\r\n").await.ends_with("hello\n"));
    }

    /// Clients whose page is never made, and clients that say nothing, take every place; after their time the next ones
    /// are served.
    #[tokio::test]
    async fn slow_clients_are_dropped() {
        let (address, site) = start(Duration::from_millis(100));
        let mut slow = Vec::new();
        for number in 0..3 * CLIENTS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if number < 2 * CLIENTS {
                stream.write_all(b"GET /never HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
            }
            slow.push(stream);
        }
        let answer = ask(address, "GET /page HTTP/1.1\r\nHost: here\r\n\r\n").await;
        assert!(answer.ends_with("hello\n"), "{answer}");
        for stream in slow {
            assert_eq!(until_closed(stream).await, "", "it was dropped");
        }
        let most = site.most.load(Ordering::Relaxed);
        assert!((1..=CLIENTS).contains(&most), "{most} at a time");
    }
}
