//! One connection to an endpoint: name, TCP, TLS, HTTP/2.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Uri};

use super::{
    last_words::{CLOSED, LastWords, Overheard},
    tls::{self, TlsFailure},
};
use crate::{
    causes::causes,
    config::{Endpoint, TlsFiles},
};

/// HTTP/2 keep-alive: with the answer's deadline, a half-open link is noticed
/// within eight seconds.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(4);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// HTTP/2 windows: the conversation has its own; these only must not be smaller.
const HTTP2_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Unacknowledged data on a dead link ends the connection at the latest after this.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// The name has no address.
    #[error("the name {host} cannot be resolved ({error}): check DNS and the endpoint's spelling")]
    Name {
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// TCP.
    #[error("no connection to {endpoint} ({error}): check that the receiver runs and that no firewall stands between")]
    Tcp {
        /// The endpoint.
        endpoint: String,
        /// What the system said.
        error: io::Error,
    },
    /// The files of our own TLS.
    #[error(transparent)]
    Files(#[from] TlsFailure),
    /// An https endpoint without TLS files.
    #[error("{0} needs TLS: set `tls = {{ ca = … }}` of the uplink")]
    NoTls(String),
    /// The TLS handshake.
    #[error("TLS with {endpoint} failed: {reason}")]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// What is wrong, and how to mend it.
        reason: String,
    },
    /// HTTP/2 on a connection that stands.
    #[error(
        "no HTTP/2 with {endpoint} ({reason}): check that it leads to a receiver, and not to a proxy or a web server"
    )]
    Http2 {
        /// The endpoint.
        endpoint: String,
        /// What the library said, from the outside to the cause.
        reason: String,
    },
}

/// Makes a connection. It ends with its first failure, of which `words` tell more than
/// the library does; it never reconnects by itself.
///
/// # Errors
/// [`ConnectFailure`], in words for the people who look after the gateway.
pub(super) async fn connect(
    endpoint: &Endpoint,
    files: Option<&TlsFiles>,
    words: &LastWords,
) -> Result<Channel, ConnectFailure> {
    let tcp = tcp(endpoint).await?;
    if !endpoint.is_tls() {
        return http2(endpoint, Overheard::new(tcp, words.clone(), told), words).await;
    }
    let files = files.ok_or_else(|| ConnectFailure::NoTls(endpoint.to_string()))?;
    let config = tls::client_config(files)?;
    let failed = |reason: String| ConnectFailure::Tls { endpoint: endpoint.to_string(), reason };
    let name = ServerName::try_from(endpoint.host().to_owned()).map_err(|error| failed(error.to_string()))?;
    let tls = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| failed(explain(&error)))?;
    http2(endpoint, Overheard::new(tls, words.clone(), told), words).await
}

async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, ConnectFailure> {
    let failed = |error| ConnectFailure::Tcp { endpoint: endpoint.to_string(), error };
    let addresses = tokio::net::lookup_host((endpoint.host(), endpoint.port()))
        .await
        .map_err(|error| ConnectFailure::Name { host: endpoint.host().to_owned(), error })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(failed)?;
                set_user_timeout(&stream).map_err(failed)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn set_user_timeout(stream: &TcpStream) -> io::Result<()> {
    let milliseconds = u32::try_from(TCP_USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds)?;
    Ok(())
}

async fn http2<T>(endpoint: &Endpoint, io: T, words: &LastWords) -> Result<Channel, ConnectFailure>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let mut only = Some(TokioIo::new(io));
    let connector = tower::service_fn(move |_: Uri| {
        let io = only.take().ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
        async move { io }
    });
    let failed = |error: &tonic::transport::Error| ConnectFailure::Http2 {
        endpoint: endpoint.to_string(),
        reason: words.get().unwrap_or_else(|| causes(error)),
    };
    channel_endpoint(endpoint)
        .map_err(|error| failed(&error))?
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .connect_with_connector(connector)
        .await
        .map_err(|error| failed(&error))
}

/// What the library is told of an endpoint. TLS is ours: to a library with TLS of its
/// own the address must look plain, or it refuses a connection that it did not
/// encrypt. Requests carry the true URL.
fn channel_endpoint(endpoint: &Endpoint) -> Result<tonic::transport::Endpoint, tonic::transport::Error> {
    let authority = endpoint.uri().authority().map_or("", |authority| authority.as_str());
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{authority}"))?;
    Ok(plain.origin(endpoint.uri().clone()))
}

/// Says what a failed handshake means and how to mend it.
fn explain(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(tls) = tls else { return format!("{error}: the other end closed the connection during the handshake") };
    match tls {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
                "the receiver's certificate has expired, or this gateway's clock is wrong ({reason}): renew the one or set the other"
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the receiver's certificate is not valid yet ({reason}): check this gateway's clock")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "the receiver's certificate is for another host ({reason}): correct the endpoint or the certificate"
                )
            }
            CertificateError::UnknownIssuer => {
                "the receiver's certificate comes from an authority that is not in the `ca` file".to_owned()
            }
            other => format!("the receiver's certificate is not accepted: {other}"),
        },
        rustls::Error::AlertReceived(alert) => explain_alert(*alert),
        other => other.to_string(),
    }
}

fn explain_alert(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateExpired => "this gateway's certificate has expired: replace the `cert` file",
        AlertDescription::UnknownCA => "the receiver does not know the authority of this gateway's certificate",
        AlertDescription::CertificateRequired => "the receiver asks for a client certificate: set `cert` and `key`",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "the receiver does not accept this gateway's certificate"
        }
        _ => "the receiver ended the handshake",
    };
    format!("{why} (alert {alert:?})")
}

/// What the error of a connection that stood is to be told as: an alert in words, the
/// kernel's errors as they are.
fn told(error: &io::Error) -> Option<String> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Some(explain_alert(*alert)),
        Some(other) => Some(other.to_string()),
        // What TLS says of an end that was not announced.
        None if error.kind() == io::ErrorKind::UnexpectedEof => Some(CLOSED.to_owned()),
        None => error.raw_os_error().map(|_| error.to_string()),
    }
}
