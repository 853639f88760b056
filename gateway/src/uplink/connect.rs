//! One connection to an endpoint: name, TCP, TLS, HTTP/2.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Uri};

use super::tls::{self, TlsFailure};
use crate::config::{Endpoint, TlsFiles};

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
    #[error("{endpoint} does not speak HTTP/2 ({error})")]
    Http2 {
        /// The endpoint.
        endpoint: String,
        /// What the library said.
        error: tonic::transport::Error,
    },
}

/// Makes a connection. It ends with its first failure; it never reconnects by itself.
///
/// # Errors
/// [`ConnectFailure`], in words for the people who look after the gateway.
pub(super) async fn connect(endpoint: &Endpoint, files: Option<&TlsFiles>) -> Result<Channel, ConnectFailure> {
    let tcp = tcp(endpoint).await?;
    if !endpoint.is_tls() {
        return http2(endpoint, TokioIo::new(tcp)).await;
    }
    let files = files.ok_or_else(|| ConnectFailure::NoTls(endpoint.to_string()))?;
    let config = tls::client_config(files)?;
    let failed = |reason: String| ConnectFailure::Tls { endpoint: endpoint.to_string(), reason };
    let name = ServerName::try_from(endpoint.host().to_owned()).map_err(|error| failed(error.to_string()))?;
    let tls = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| failed(explain(&error)))?;
    http2(endpoint, TokioIo::new(tls)).await
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

async fn http2<T>(endpoint: &Endpoint, io: TokioIo<T>) -> Result<Channel, ConnectFailure>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let mut only = Some(io);
    let connector = tower::service_fn(move |_: Uri| {
        let io = only.take().ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
        async move { io }
    });
    tonic::transport::Endpoint::from(endpoint.uri().clone())
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .connect_with_connector(connector)
        .await
        .map_err(|error| ConnectFailure::Http2 { endpoint: endpoint.to_string(), error })
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

/// Finds the TLS alert in an error that came after the handshake: with TLS 1.3 a
/// receiver refuses a client's certificate only then.
pub(super) fn late_alert(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(rustls::Error::AlertReceived(alert)) =
                io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return Some(explain_alert(*alert));
        }
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref::<rustls::Error>() {
            return Some(explain_alert(*alert));
        }
        cause = error.source();
    }
    None
}
