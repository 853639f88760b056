//! Who on this machine has a port or a connection already.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use rustix::fs::{major, minor, stat};

/// A process that holds the lock of a serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    id: u32,
    /// The program's name; empty if it has ended.
    name: String,
}

/// `venue-gateway (process 812)`
impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.name.is_empty() { "another program" } else { &self.name };
        write!(f, "{name} (process {})", self.id)
    }
}

/// Who holds the lock of a serial port, which gateways and other well-behaved programs
/// take; looked up without opening it.
pub(super) fn of_port(port: &Path) -> Option<Holder> {
    let found = stat(port).ok()?;
    let id = lock_holder(
        &fs::read_to_string("/proc/locks").ok()?,
        (major(found.st_dev), minor(found.st_dev)),
        found.st_ino,
    )?;
    let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    Some(Holder { id, name: name.trim_end().to_owned() })
}

/// The process that locked a file as a whole, out of proc_locks(5):
/// `1: FLOCK  ADVISORY  WRITE 812 00:05:1317 0 EOF`.
fn lock_holder(locks: &str, device: (u32, u32), inode: u64) -> Option<u32> {
    let file = format!("{:02x}:{:02x}:{inode}", device.0, device.1);
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Who waits for a lock has `->` before the kind.
        let [_, "FLOCK", _, _, id, of, ..] = words[..] else { return None };
        (of == file).then(|| id.parse().ok())?
    })
}

/// Whether this machine has a connection to that address. A serial device server often
/// serves one client and drops it for the next.
pub(super) fn is_connected_to(address: SocketAddr) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let peers = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    peers.into_iter().any(|table| established_peers(&table).any(|peer| canonical(peer) == canonical(address)))
}

/// The far ends of connections that stand, out of a table of the kernel's (proc_net_tcp):
/// `sl local_address rem_address st …`, addresses in words of the machine's byte order.
fn established_peers(table: &str) -> impl Iterator<Item = SocketAddr> + '_ {
    table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(2);
        let (address, port) = words.next()?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        if words.next()? != "01" {
            return None;
        }
        let word =
            |index: usize| Some(u32::from_str_radix(address.get(index * 8..index * 8 + 8)?, 16).ok()?.to_ne_bytes());
        let ip: IpAddr = if address.len() == 8 {
            Ipv4Addr::from(word(0)?).into()
        } else {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into()
        };
        Some(SocketAddr::new(ip, port))
    })
}

/// An IPv4 address that a socket of IPv6 shows is that IPv4 address.
fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lock of a whole file, of another file, and who waits for one.
    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 700 00:05:1317 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 812 00:05:1317 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 900 00:05:1318 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 813 fd:01:1317 0 EOF\n";
        assert_eq!(lock_holder(locks, (0, 5), 1317), Some(812));
        assert_eq!(lock_holder(locks, (0xfd, 1), 1317), Some(813));
        assert_eq!(lock_holder(locks, (0, 5), 1318), None);
    }

    /// Connections that stand are seen from this machine's own table, by either family.
    #[test]
    fn a_connection_is_seen() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(listen) else { continue };
            let address = listener.local_addr().expect("bound");
            assert!(!is_connected_to(address), "nobody is connected yet");
            let client = std::net::TcpStream::connect(address).expect("it listens");
            assert!(is_connected_to(address), "{address}");
            drop(client);
        }
        let mapped = "[::ffff:10.20.0.21]:5403".parse().expect("an address");
        assert_eq!(canonical(mapped), canonical("10.20.0.21:5403".parse().expect("an address")));
    }
}
