//! How a device is reached: `serial`, or `tcp` by connecting or listening.

use std::net::SocketAddr;
use std::path::PathBuf;

use venue_devices::{DeviceType, LineSettings, Transport};

use super::network::IpNetwork;
use super::section::{Given, Section};
use super::setting::{Complaint, Setting};

/// How a device is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportConfig {
    /// Over a serial port.
    Serial {
        /// The port, best by a name that stays: `/dev/serial/by-id/…`.
        port: PathBuf,
        /// What both ends speak.
        line: LineSettings,
    },
    /// The gateway connects to the device.
    TcpConnect {
        /// `host:port`; an IPv6 address stands in brackets.
        address: String,
    },
    /// The device connects to the gateway.
    TcpListen {
        /// Where the gateway listens.
        address: SocketAddr,
        /// Who may connect; not empty.
        allow: Vec<IpNetwork>,
    },
}

impl TransportConfig {
    /// The column of the table of devices that it is in.
    pub const fn kind(&self) -> Transport {
        match self {
            Self::Serial { .. } => Transport::Serial,
            Self::TcpConnect { .. } => Transport::TcpConnect,
            Self::TcpListen { .. } => Transport::TcpListen,
        }
    }

    /// Reads the one transport of a source, and notes a device that does not have it.
    pub(super) fn read(source: &Section<'_>, device: Option<&DeviceType>) -> Option<Given<Self>> {
        let (serial, tcp) = (source.optional_section("serial"), source.optional_section("tcp"));
        if let (Some(_), Some(tcp)) = (&serial, &tcp) {
            let help = "keep the one that the device hangs on; for both, write a source each";
            source.error(tcp.place(), "`serial` and `tcp` both stand in one source", help);
        }
        if !source.has("serial") && !source.has("tcp") {
            source.missing("serial` or `tcp", how_to_reach(device));
        }
        let serial = serial.and_then(|section| read_serial(&section, device));
        let tcp = tcp.and_then(|section| read_tcp(&section, device));
        serial.or(tcp)
    }
}

/// What to add to a source without transport.
fn how_to_reach(device: Option<&DeviceType>) -> &'static str {
    match device {
        Some(device) if !device.transports.contains(&Transport::Serial) => "add `tcp = { connect = \"HOST:PORT\" }`",
        _ => "add `serial = { port = \"/dev/serial/by-id/…\" }` or `tcp = { connect = \"HOST:PORT\" }`",
    }
}

fn read_serial(section: &Section<'_>, device: Option<&DeviceType>) -> Option<Given<TransportConfig>> {
    let port = section.required_as::<PathBuf>("port", "\"/dev/serial/by-id/…\"");
    let line = read_line(section, device.and_then(|device| device.line));
    suits(section, section.place(), device, Transport::Serial);
    let Given { value: port, place } = port?;
    Some(Given { value: TransportConfig::Serial { port, line: line? }, place })
}

/// Line settings: those of the device where the section gives none.
fn read_line(section: &Section<'_>, device: Option<LineSettings>) -> Option<LineSettings> {
    let baud = number(section, "baud", 50, 4_000_000);
    let data_bits = number(section, "data_bits", 7, 8).and_then(|bits| u8::try_from(bits).ok());
    let parity = section.optional("parity");
    let stop_bits = number(section, "stop_bits", 1, 2).and_then(|bits| u8::try_from(bits).ok());
    let base = device.or_else(|| Some(LineSettings::eight_n_one(baud?)))?;
    Some(LineSettings {
        baud: baud.unwrap_or(base.baud),
        data_bits: data_bits.unwrap_or(base.data_bits),
        parity: parity.map_or(base.parity, |parity| parity.value),
        stop_bits: stop_bits.unwrap_or(base.stop_bits),
    })
}

fn number(section: &Section<'_>, key: &'static str, least: u32, most: u32) -> Option<u32> {
    let Given { value, place } = section.optional(key)?;
    if !(least..=most).contains(&value) {
        section.error(&place, format!("`{key}` cannot be {value}"), format!("write {least} to {most}"));
    }
    Some(value)
}

fn read_tcp(section: &Section<'_>, device: Option<&DeviceType>) -> Option<Given<TransportConfig>> {
    let connect = section.optional::<HostPort>("connect");
    let listen = section.optional::<ListenAddress>("listen");
    let allow = section.list("allow");
    match (section.has("connect"), section.has("listen")) {
        (true, true) => {
            let help = "keep `connect` if the gateway calls the device, `listen` if the device calls the gateway";
            section.error(&section.place_of("listen"), "`connect` and `listen` exclude each other", help);
        }
        (false, false) => section.missing("connect` or `listen", "add `connect = \"HOST:PORT\"`"),
        (true, false) => suits(section, &section.place_of("connect"), device, Transport::TcpConnect),
        (false, true) => suits(section, &section.place_of("listen"), device, Transport::TcpListen),
    }
    check_allow(section, &allow);
    let connect =
        connect.map(|Given { value, place }| Given { value: TransportConfig::TcpConnect { address: value.0 }, place });
    let allow = allow.into_iter().map(|network| network.value).collect();
    let listen = listen
        .map(|Given { value, place }| Given { value: TransportConfig::TcpListen { address: value.0, allow }, place });
    connect.or(listen)
}

fn check_allow(section: &Section<'_>, allow: &[Given<IpNetwork>]) {
    let listens = section.has("listen");
    if listens && !section.has("allow") {
        let help = "name the device's address or network: `allow = [\"10.20.0.21\"]`";
        section.error(&section.place_of("listen"), "`listen` without `allow`: anyone could send results", help);
    }
    if listens && section.has("allow") && allow.is_empty() {
        section.error(&section.place_of("allow"), "`allow` lets nobody in", "name the device's address or network");
    }
    if !listens && section.has("allow") {
        section.error(&section.place_of("allow"), "`allow` belongs to `listen`", "remove it");
    }
    for everyone in allow.iter().filter(|network| network.value.is_everyone()) {
        let message = format!("`{}` lets everyone send results", everyone.value);
        section.warning(&everyone.place, message, "name the device's address or network");
    }
}

/// Notes when a device is not reached like that.
fn suits(section: &Section<'_>, place: &super::Place, device: Option<&DeviceType>, transport: Transport) {
    let Some(device) = device.filter(|device| !device.transports.contains(&transport)) else { return };
    let message = format!("`{}` is not reached by {}", device.name, transport.name());
    let ways = device.transports.iter().map(|way| way.name()).collect::<Vec<_>>().join(", ");
    section.error(place, message, format!("use one of: {ways}"));
}

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPort(String);

impl Setting for HostPort {
    const KIND: &'static str = "an address with a port";
    const EXAMPLE: &'static str = "\"10.20.0.21:5403\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        let wrong = |message: &str, help: &str| Err(Complaint::new(format!("`{text}` {message}"), help));
        if text.contains("://") {
            return wrong("is not HOST:PORT", "leave out what stands before the host");
        }
        let example = "write HOST:PORT, for example \"10.20.0.21:5403\" or \"[fd00::21]:5403\"";
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("has no port", example);
        };
        if port.parse::<u16>().is_ok_and(|port| port > 0) && is_host(host) {
            return Ok(Self(text.to_owned()));
        }
        wrong("is not HOST:PORT", example)
    }
}

/// Checks that a text is HOST:PORT as `connect` takes it, and gives it back.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn host_port(text: &str) -> Result<String, String> {
    HostPort::from_text(text).map(|it| it.0).map_err(|it| format!("{}: {}", it.message, it.help))
}

/// An IPv4 address, an IPv6 address in brackets, or a name that DNS could know.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label_is_sound = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let digits = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if digits {
        host.parse::<std::net::Ipv4Addr>().is_ok()
    } else {
        host.len() <= 253 && host.split('.').all(label_is_sound)
    }
}

/// A place to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ListenAddress(SocketAddr);

impl Setting for ListenAddress {
    const KIND: &'static str = "an address to listen at";
    const EXAMPLE: &'static str = "\"10.20.0.1:5000\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        let help =
            "write IP:PORT of this machine, for example \"10.20.0.1:5000\", or \"0.0.0.0:5000\" for all its addresses";
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => Ok(Self(address)),
            Ok(_) => Err(Complaint::new(format!("`{text}` has port 0: no device could find it"), help)),
            Err(_) => Err(Complaint::new(format!("`{text}` is not an address to listen at"), help)),
        }
    }
}

/// Whether two listeners would get in each other's way.
pub(super) fn collide(one: &SocketAddr, other: &SocketAddr) -> bool {
    let all = |address: &SocketAddr| address.ip().is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || all(one) || all(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be resolved and connected to, and what cannot.
    #[test]
    fn a_place_to_connect_to_has_a_host_and_a_port() {
        for good in ["10.20.0.21:5403", "decoder.venue:5403", "[fd00::21]:5403", "loop_1:1"] {
            assert_eq!(HostPort::from_text(good), Ok(HostPort(good.to_owned())));
        }
        for bad in [
            "10.20.0.21",
            "10.20.0.256:1",
            "a b:1",
            ":1",
            "a:0",
            "a:65536",
            "fd00::21:5403",
            "tcp://a:1",
            "[a]:1",
            "a..b:1",
        ] {
            assert!(HostPort::from_text(bad).is_err(), "{bad}");
        }
    }

    /// Two listeners on a port need addresses of their own.
    #[test]
    fn listeners_collide_on_one_port() {
        let at = |text: &str| text.parse::<SocketAddr>().expect(text);
        assert!(collide(&at("10.0.0.1:5000"), &at("10.0.0.1:5000")));
        assert!(collide(&at("0.0.0.0:5000"), &at("10.0.0.1:5000")));
        assert!(!collide(&at("10.0.0.1:5000"), &at("10.0.0.2:5000")));
        assert!(!collide(&at("10.0.0.1:5000"), &at("10.0.0.1:5001")));
    }
}
