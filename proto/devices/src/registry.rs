//! The table of devices: a row a protocol. A new protocol is a folder, a row here
//! and a page in docs/devices.

use crate::{Conversation, Item, Monotonic, Role, alge_timy::Timy, nmea::Nmea};

/// What stands behind our reading of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Verified on bytes recorded from a real device.
    GenuineCapture,
    /// Verified on lines that its maker printed.
    PrintedLines,
    /// Written from documentation alone.
    Documentation,
}

impl Evidence {
    /// The words that the table of devices shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GenuineCapture => "genuine capture",
            Self::PrintedLines => "printed lines",
            Self::Documentation => "documentation",
        }
    }
}

/// How a device is reached, by the key of its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `serial = { port = … }`
    Serial,
    /// `tcp = { connect = … }`
    TcpConnect,
    /// `tcp = { listen = … }`
    TcpListen,
    /// A topic of `[[mqtt.topic]]`.
    Mqtt,
}

impl Transport {
    /// The words that the table of devices shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::TcpConnect => "tcp connect",
            Self::TcpListen => "tcp listen",
            Self::Mqtt => "mqtt",
        }
    }
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Parity {
    #[default]
    None,
    Even,
    Odd,
}

/// Settings of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSettings {
    /// Bits per second.
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: u8,
    /// Parity.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
}

impl LineSettings {
    /// Eight data bits, no parity, one stop bit.
    pub const fn eight_n_one(baud: u32) -> Self {
        Self { baud, data_bits: 8, parity: Parity::None, stop_bits: 1 }
    }
}

/// A row of the table of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceType {
    /// The name, everywhere: configuration, commands, documentation.
    pub name: &'static str,
    /// Maker and models, for people.
    pub title: &'static str,
    /// How it is reached.
    pub transports: &'static [Transport],
    /// Line settings if the configuration gives none; none without a serial line.
    pub line: Option<LineSettings>,
    /// Other settings that it is found with, the most frequent first.
    pub other_lines: &'static [LineSettings],
    /// What its maker has a host ask to learn what it is, and that changes nothing at it;
    /// empty if there is no such request.
    pub identify: &'static [u8],
    /// What stands behind our reading of it.
    pub evidence: Evidence,
    /// How missed records are fetched again; empty if they cannot be.
    pub back_fill: &'static str,
    /// How the device is told that a record is safe; empty if it cannot be. With
    /// it, the device keeps what is not acknowledged: such a source can be refused.
    pub acknowledgement: &'static str,
    /// Whether it is a timing device: a frame of it that is recognised and damaged
    /// may be a result, and its silence matters to results.
    pub timing: bool,
    /// Raised when the decoder's output changes.
    pub decoder_version: u32,
}

impl DeviceType {
    /// The row of a name.
    pub fn find(name: &str) -> Option<&'static Self> {
        DEVICES.iter().find(|row| row.name == name)
    }

    /// Whether the device keeps what is not acknowledged, so that it may be left
    /// without acknowledgement when the disk is full.
    pub const fn refusable(&self) -> bool {
        !self.acknowledgement.is_empty()
    }
}

/// There is no device of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such device")]
pub struct UnknownDevice;

macro_rules! devices {
    ($($variant:ident($conversation:ty) = $row:expr;)+) => {
        /// Every protocol that the gateway speaks.
        pub const DEVICES: &[DeviceType] = &[$($row),+];

        /// The conversation of any device of the table.
        #[expect(missing_docs, reason = "a variant a row")]
        #[expect(clippy::large_enum_variant, reason = "one a line, and there is no allocator")]
        #[derive(Debug)]
        pub enum Device {
            $($variant($conversation)),+
        }

        impl Device {
            /// The conversation of the device of that name, at its beginning.
            ///
            /// # Errors
            /// [`UnknownDevice`] if the table has no such row.
            pub fn new(name: &str, role: Role) -> Result<Self, UnknownDevice> {
                $(if name == $row.name {
                    return Ok(Self::$variant(<$conversation>::new(role)));
                })+
                Err(UnknownDevice)
            }
        }

        impl DeviceType {
            /// Whether a frame of this device holds check digits, which were then verified
            /// before it was handed out as [`Item::Frame`].
            pub fn is_checked(&self, frame: &[u8]) -> bool {
                $(if self.name == $row.name {
                    return <$conversation>::is_checked(frame);
                })+
                false
            }
        }

        impl Conversation for Device {
            fn handle_connected(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
                match self { $(Self::$variant(it) => it.handle_connected(now, sink)),+ }
            }
            fn handle_bytes(&mut self, now: Monotonic, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
                match self { $(Self::$variant(it) => it.handle_bytes(now, bytes, sink)),+ }
            }
            fn handle_disconnected(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
                match self { $(Self::$variant(it) => it.handle_disconnected(now, sink)),+ }
            }
            fn handle_timeout(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
                match self { $(Self::$variant(it) => it.handle_timeout(now, sink)),+ }
            }
            fn handle_durable(&mut self, now: Monotonic, items: u64) {
                match self { $(Self::$variant(it) => it.handle_durable(now, items)),+ }
            }
            fn poll_transmit(&mut self, now: Monotonic, buffer: &mut [u8]) -> usize {
                match self { $(Self::$variant(it) => it.poll_transmit(now, buffer)),+ }
            }
            fn poll_timeout(&self) -> Option<Monotonic> {
                match self { $(Self::$variant(it) => it.poll_timeout()),+ }
            }
        }
    };
}

devices! {
    AlgeTimy(Timy) = crate::alge_timy::DEVICE;
    Nmea(Nmea) = crate::nmea::DEVICE;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are what configuration files hold: short, lower case, once each.
    #[test]
    fn every_row_has_a_name_of_its_own_and_a_conversation() {
        for (index, row) in DEVICES.iter().enumerate() {
            assert!(
                row.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                row.name
            );
            assert!(DEVICES[..index].iter().all(|other| other.name != row.name), "{} stands twice", row.name);
            assert!(Device::new(row.name, Role::Active).is_ok());
            assert_eq!(DeviceType::find(row.name), Some(row));
            assert_eq!(row.line.is_some(), row.transports.contains(&Transport::Serial), "{}", row.name);
        }
        assert!(Device::new("sundial", Role::Active).is_err());
    }
}
