//! Tells a webhook: the notice as JSON, posted.

use std::{io, time::Duration};

use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{InvalidDnsNameError, ServerName};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::Notice;
use crate::{
    config::WebhookConfig,
    uplink::{TlsFailure, tls_config},
};

/// An answer that takes longer is not waited for.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Why a webhook was told nothing.
#[derive(Debug, Error)]
pub enum WebhookFailure {
    /// There is no connection.
    #[error("failed to connect: {0}")]
    Connect(io::Error),
    /// The file of `webhook_ca` gives no TLS.
    #[error(transparent)]
    Files(#[from] TlsFailure),
    /// Its host cannot be verified.
    #[error("its host is no name that a certificate can have: {0}")]
    Name(#[from] InvalidDnsNameError),
    /// The connection is not secured.
    #[error("failed to secure the connection: {0}; its certificate is verified with `alarm.webhook_ca`")]
    Tls(io::Error),
    /// It does not speak HTTP.
    #[error("failed to post: {0}")]
    Http(#[from] hyper::Error),
    /// It answers that it did not take the notice.
    #[error("it answered {0}")]
    Refused(StatusCode),
    /// It does not answer.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TooLong(Duration),
}

/// Posts a notice, and waits for at most `limit` until a status of success comes back. A redirection is none.
///
/// # Errors
/// If it does not come.
pub async fn post(webhook: &WebhookConfig, notice: &Notice, limit: Duration) -> Result<(), WebhookFailure> {
    timeout(limit, connect_and_post(webhook, notice)).await.unwrap_or(Err(WebhookFailure::TooLong(limit)))
}

async fn connect_and_post(webhook: &WebhookConfig, notice: &Notice) -> Result<(), WebhookFailure> {
    let url = &webhook.url;
    let stream = TcpStream::connect((url.host(), url.port())).await.map_err(WebhookFailure::Connect)?;
    match &webhook.ca {
        Some(ca) if url.is_tls() => {
            let name = ServerName::try_from(url.host().to_owned())?;
            let connector = TlsConnector::from(tls_config(ca, None, &[b"http/1.1"])?);
            send(connector.connect(name, stream).await.map_err(WebhookFailure::Tls)?, webhook, notice).await
        }
        _ => send(stream, webhook, notice).await,
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    webhook: &WebhookConfig,
    notice: &Notice,
) -> Result<(), WebhookFailure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(webhook.url.path_and_query())
        .header(HOST, webhook.url.authority())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("venue-gateway/", env!("CARGO_PKG_VERSION")))
        .body(notice.to_json())
        .expect("the URL was checked");
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer?,
        // It ends without an answer; the request says why.
        Err(error) = connection => return Err(error.into()),
    };
    if answer.status().is_success() { Ok(()) } else { Err(WebhookFailure::Refused(answer.status())) }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use rcgen::{CertificateParams, KeyPair};
    use rustls::ServerConfig;
    use rustls_pki_types::PrivateKeyDer;
    use tempfile::TempDir;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{
        alarm::{Alarm, Change, Condition, State},
        config::Config,
    };

    fn notice() -> Notice {
        let change = Change { alarm: Alarm::new(Condition::DateUnknown), state: State::Raised, since: String::new() };
        Notice::new(&change, "stade-1-a", "stade-1", "NO RESULT WAS HEARD YET")
    }

    fn webhook(url: &str, ca: Option<&str>) -> WebhookConfig {
        let ca = ca.map(|ca| format!("webhook_ca = \"{ca}\"\n")).unwrap_or_default();
        let text = format!("gateway = {{ id = \"gw-1\", venue = \"v\" }}\n[alarm]\nwebhook = \"{url}\"\n{ca}");
        Config::parse("site.toml", &text, []).unwrap().alarm.webhook.unwrap()
    }

    /// Reads one request, whole, and answers it.
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&request));
            request.extend(&buffer[..count]);
        }
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(request).unwrap()
    }

    /// The notice is posted as JSON to the whole URL, and only a status of success means that it was taken.
    #[tokio::test]
    async fn a_notice_is_posted() {
        for (status, told) in [
            ("200 OK", Ok(())),
            ("204 No Content", Ok(())),
            ("302 Found", Err("it answered 302 Found")),
            ("503 Service Unavailable", Err("it answered 503 Service Unavailable")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let webhook = webhook(&format!("http://{address}/hook?token=7"), None);
            let notice = notice();
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let server = async { answer(listener.accept().await.unwrap().0, &text).await };
            let (posted, request) = tokio::join!(post(&webhook, &notice, TIME_LIMIT), server);
            assert_eq!(posted.map_err(|error| error.to_string()), told.map_err(str::to_owned));
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /hook?token=7 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
            assert!(head.contains("content-type: application/json\r\n"), "{head}");
            assert_eq!(body, notice.to_json());
        }
    }

    /// One that is not there, says nothing or hangs up is a failure, and none holds up the rest.
    #[tokio::test]
    async fn what_does_not_answer_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook = webhook(&format!("http://{}", listener.local_addr().unwrap()), None);
        let failure = async |limit| post(&webhook, &notice(), limit).await.unwrap_err().to_string();
        assert_eq!(failure(Duration::from_millis(200)).await, "no answer within 0.2 s");
        let hang_up = async {
            // The first is the one that was given up.
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
        };
        let (failed, ()) = tokio::join!(failure(TIME_LIMIT), hang_up);
        assert!(failed.starts_with("failed to post: "), "{failed}");
        drop(listener);
        let failed = failure(TIME_LIMIT).await;
        assert!(failed.starts_with("failed to connect: Connection refused"), "{failed}");
    }

    /// A certificate of localhost by itself, and the server's side of it.
    fn identity(folder: &TempDir) -> (String, TlsAcceptor) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(&file, certificate.pem()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        (file.to_string_lossy().into_owned(), Arc::new(config).into())
    }

    /// Over TLS it is posted to whom the given certificate vouches for, and to nobody else.
    #[tokio::test]
    async fn a_webhook_is_verified() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [(file, acceptor), (foreign, _)] = folders.each_ref().map(identity);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());

        let (ours, notice) = (webhook(&url, Some(&file)), notice());
        let server = async {
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            answer(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await
        };
        let (posted, request) = tokio::join!(post(&ours, &notice, TIME_LIMIT), server);
        posted.unwrap();
        assert!(request.ends_with(&notice.to_json()), "{request}");

        let foreign = webhook(&url, Some(&foreign));
        let server = async { acceptor.accept(listener.accept().await.unwrap().0).await.err() };
        let (posted, refused) = tokio::join!(post(&foreign, &notice, TIME_LIMIT), server);
        assert!(matches!(posted, Err(WebhookFailure::Tls(_))), "{posted:?}");
        assert!(refused.is_some());
    }
}
