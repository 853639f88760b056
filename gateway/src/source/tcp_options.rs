//! Options of a device's TCP connection.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Result;
use rustix::net::sockopt;

/// A probe after 3 s of silence, then every 2 s.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(3);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEP_ALIVE_PROBES: u32 = 3;
/// Unanswered for this time, in data or in probes, the connection ends. With this
/// option the kernel looks at probe times only (3, 5, 7, 9 s): 8 s therefore end a
/// dead connection after 9 s, where 10 s would end it after 11.
const USER_TIMEOUT_MS: u32 = 8_000;

/// Notices a half-open connection within 10 s, and sends at once.
///
/// # Errors
/// If the descriptor is no TCP socket.
pub(super) fn set(socket: impl AsFd) -> Result<()> {
    let socket = socket.as_fd();
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEP_ALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(socket, USER_TIMEOUT_MS)?;
    sockopt::set_tcp_nodelay(socket, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel took them, and by its own rule a dead peer is noticed within 10 s.
    #[test]
    fn a_dead_peer_is_noticed_within_ten_seconds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set(&socket).unwrap();
        assert!(sockopt::socket_keepalive(&socket).unwrap() && sockopt::tcp_nodelay(&socket).unwrap());
        let timeout = Duration::from_millis(sockopt::tcp_user_timeout(&socket).unwrap().into());
        let (mut probe, interval) = (sockopt::tcp_keepidle(&socket).unwrap(), sockopt::tcp_keepintvl(&socket).unwrap());
        // tcp_keepalive_timer: at each probe time, end if the timeout has passed.
        while probe < timeout {
            probe += interval;
        }
        assert!(probe <= Duration::from_secs(10), "{probe:?}");
    }
}
