//! What a gateway's HTTP port answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::stage::{Stage, eventually};

/// Where the gateway that was started last serves its pages, by its log.
pub(crate) async fn address(stage: &Stage) -> SocketAddr {
    eventually("the address in the log", async || {
        let log = stage.log();
        let (_, behind) = log.rsplit_once("serving /metrics, /healthz and /readyz address=")?;
        behind.split_once('\n')?.0.parse().ok()
    })
    .await
}

/// Status and body of a page.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Everything that `/metrics` said.
pub(crate) struct Scrape {
    pub(crate) text: String,
    /// By name and labels, as they stand.
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let (status, text) = get(address, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            (sample.to_owned(), value.parse().unwrap())
        });
        Self { samples: samples.collect(), text }
    }

    /// The value of a sample, by its name and labels.
    #[track_caller]
    pub(crate) fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in\n{}", self.text))
    }

    /// Names of all series, those of a histogram one by one.
    pub(crate) fn series(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|sample| sample.split('{').next().unwrap()).collect()
    }

    /// Each metric with its type and the labels of its samples, `le` apart.
    pub(crate) fn metrics(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        types.map(|(name, kind)| (name.to_owned(), (kind.to_owned(), self.labels(name)))).collect()
    }

    fn labels(&self, metric: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for sample in self.samples.keys() {
            let Some((suffix, labels)) = sample.strip_prefix(metric).and_then(|rest| rest.split_once('{')) else {
                continue;
            };
            if matches!(suffix, "" | "_bucket" | "_sum" | "_count") {
                found.extend(labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned())));
            }
        }
        found.remove("le");
        found
    }
}
