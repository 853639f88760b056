//! A webhook: an HTTP server that keeps what is posted to it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it was told.
#[derive(Default)]
struct Told {
    taken: Vec<Value>,
    refused: Vec<Value>,
    still_to_refuse: usize,
}

/// A webhook that runs until the end of the test.
pub(crate) struct Webhook {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

impl Webhook {
    /// On a port of this machine.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, told) = (listener.local_addr().unwrap(), Arc::<Mutex<Told>>::default());
        let server = Self { address, told: Arc::clone(&told) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, &told).await;
            }
        });
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it refuse the next so many notices.
    pub(crate) fn refuse(&self, count: usize) {
        self.told.lock().unwrap().still_to_refuse = count;
    }

    /// Notices that it took.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.told.lock().unwrap().taken.clone()
    }

    /// Notices that it refused.
    pub(crate) fn refused(&self) -> Vec<Value> {
        self.told.lock().unwrap().refused.clone()
    }
}

async fn answer(stream: TcpStream, told: &Mutex<Told>) {
    let mut stream = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    while !request.ends_with("\r\n\r\n") {
        let begin = request.len();
        if stream.read_line(&mut request).await.unwrap() == 0 {
            return;
        }
        if let Some(value) = request[begin..].strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    // A gateway that was killed in the middle told nothing.
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let notice = serde_json::from_slice(&body).unwrap();
    let status = {
        let mut told = told.lock().unwrap();
        if told.still_to_refuse > 0 {
            told.still_to_refuse -= 1;
            told.refused.push(notice);
            "503 Service Unavailable"
        } else {
            told.taken.push(notice);
            "204 No Content"
        }
    };
    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
}
