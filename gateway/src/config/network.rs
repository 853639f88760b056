//! Who may connect: single addresses and networks, `10.20.0.21` and `10.20.0.0/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::setting::{Complaint, Setting};

/// An address, or all addresses that share its first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// It does not start with an IP address.
    #[error("`{0}` is neither an IP address nor a network")]
    Address(String),
    /// The number of bits is not one, or too large.
    #[error("`{text}` is not a network: an address has {bits} bits")]
    Prefix {
        /// The whole text.
        text: String,
        /// The bits of its address.
        bits: u8,
    },
    /// There are bits after the prefix.
    #[error("`{text}` is not a network: its address has bits beyond the first {}", .network.prefix)]
    HostBits {
        /// The whole text.
        text: String,
        /// The network that the address is in.
        network: IpNetwork,
    },
}

impl IpNetwork {
    /// Whether an address is in it. An IPv4 address is the same one when a socket
    /// shows it as IPv6 (`::ffff:10.20.0.21`).
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.address)
    }

    /// Whether every address of its family is in it.
    pub const fn is_everyone(&self) -> bool {
        self.prefix == 0
    }
}

/// The address with all but the first bits cleared; none if it has fewer bits.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(prefix)?).unwrap_or(0);
            Some(Ipv4Addr::from_bits(v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(prefix)?).unwrap_or(0);
            Some(Ipv6Addr::from_bits(v6.to_bits() & mask).into())
        }
    }
}

impl FromStr for IpNetwork {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork::Address(text.to_owned()))?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let wrong = || InvalidNetwork::Prefix { text: text.to_owned(), bits };
        let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| wrong()))?;
        let network = Self { address: masked(address, prefix).ok_or_else(wrong)?, prefix };
        match network.address == address {
            true => Ok(network),
            false => Err(InvalidNetwork::HostBits { text: text.to_owned(), network }),
        }
    }
}

/// Without the number of bits for a single address; reads back as the same.
impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => self.address.fmt(f),
            (address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

impl Setting for IpNetwork {
    const KIND: &'static str = "an IP address or network";
    const EXAMPLE: &'static str = "\"10.20.0.0/24\"";

    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map_err(|error: InvalidNetwork| {
            let help = match &error {
                InvalidNetwork::HostBits { network, .. } => {
                    let address = text.split('/').next().unwrap_or(text);
                    format!("write \"{network}\" for the network, or \"{address}\" for the one address")
                }
                _ => "write an address such as \"10.20.0.21\" or a network such as \"10.20.0.0/24\"".to_owned(),
            };
            Complaint::new(error.to_string(), help)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// At the borders of a network, and across the two families.
    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, address, inside) in [
            ("10.20.0.0/24", "10.20.0.0", true),
            ("10.20.0.0/24", "10.20.0.255", true),
            ("10.20.0.0/24", "10.20.1.0", false),
            ("10.20.0.0/24", "::ffff:10.20.0.7", true),
            ("10.20.0.21", "10.20.0.21", true),
            ("10.20.0.21", "10.20.0.22", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("::/0", "fd00::1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
        ] {
            let network: IpNetwork = network.parse().expect(network);
            assert_eq!(network.contains(address.parse().expect(address)), inside, "{network} and {address}");
        }
    }

    /// A wrong network is told with the right one beside it.
    #[test]
    fn wrong_networks_are_told_apart() {
        let refused = |text| IpNetwork::from_text(text).expect_err(text);
        assert_eq!(
            refused("10.20.0.5/24").help,
            "write \"10.20.0.0/24\" for the network, or \"10.20.0.5\" for the one address"
        );
        assert_eq!(
            refused("10.20.0.5/24").message,
            "`10.20.0.5/24` is not a network: its address has bits beyond the first 24"
        );
        assert_eq!(refused("10.20.0.0/33").message, "`10.20.0.0/33` is not a network: an address has 32 bits");
        assert_eq!(refused("timer.venue").message, "`timer.venue` is neither an IP address nor a network");
    }

    proptest! {
        /// The network of any address and prefix holds it and reads back.
        #[test]
        fn a_network_is_read_back_from_its_text(address: IpAddr, prefix in 0..=128u8) {
            if let Some(first) = masked(address, prefix) {
                let network = IpNetwork { address: first, prefix };
                prop_assert_eq!(network.to_string().parse(), Ok(network));
                prop_assert!(network.contains(address) || address.to_canonical() != address);
            }
        }
    }
}
