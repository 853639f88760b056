//! `[[source]]`: a device and what the gateway is to know of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use venue_devices::{DeviceType, Role};
use venue_schema::v1::Lane;

use super::once::Once;
use super::section::{Given, Section};
use super::setting::Name;
use super::transport::{TransportConfig, collide};

/// The most labels that a source gives to its events.
pub const LABELS_MAX: usize = 32;

/// A device and what the gateway is to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// Its name, once in the configuration.
    pub name: String,
    /// Its protocol.
    pub device: &'static DeviceType,
    /// The device's name in every event; two gateways that hear one device give
    /// it the same.
    pub device_id: String,
    /// Whether the gateway may send to the device.
    pub role: Role,
    /// The lane of everything from it; by content if none.
    pub lane: Option<Lane>,
    /// Given to every event.
    pub labels: BTreeMap<String, String>,
    /// How it is reached.
    pub transport: TransportConfig,
    /// How long it may be silent before the alarm; never if none.
    pub silence_alarm: Option<Duration>,
}

/// What must differ from source to source.
#[derive(Debug, Default)]
struct Seen {
    names: Once<String>,
    device_ids: Once<String>,
    ports: Once<PathBuf>,
    listeners: Once<SocketAddr>,
    peers: Once<String>,
}

impl SourceConfig {
    /// Reads every `[[source]]`; none if one of them is wrong.
    pub(super) fn read_all(root: &Section<'_>) -> Option<Vec<Self>> {
        let sections = root.sections("source");
        if !root.has("source") && !root.has("mqtt") {
            root.warning(root.place(), "there is no source: no device is read", "add a `[[source]]` for each device");
        }
        let mut seen = Seen::default();
        let read: Vec<_> = sections.iter().map(|section| Self::read(section, &mut seen)).collect();
        read.into_iter().collect()
    }

    fn read(section: &Section<'_>, seen: &mut Seen) -> Option<Self> {
        let name = section.required::<Name>("name").map(|name| Given { value: name.value.0, place: name.place });
        let device = section.required::<&'static DeviceType>("device").map(|device| device.value);
        let device_id = section.optional("device_id").or_else(|| name.clone());
        let role = section.optional("role").map_or(Role::Active, |role| role.value);
        let lane = section.optional("lane").map(|lane| lane.value);
        let labels = read_labels(section);
        let transport = TransportConfig::read(section, device);
        let silence_alarm = read_alarm(section);
        seen.names(section, name.as_ref());
        seen.device_ids(section, name.as_ref(), device_id.as_ref());
        seen.transport(section, transport.as_ref());
        Some(Self {
            name: name?.value,
            device: device?,
            device_id: device_id?.value,
            role,
            lane,
            labels,
            transport: transport?.value,
            silence_alarm,
        })
    }
}

pub(super) fn read_labels(section: &Section<'_>) -> BTreeMap<String, String> {
    let labels = section.texts("labels");
    if labels.len() > LABELS_MAX {
        let message = format!("{} labels are too many for every event", labels.len());
        section.error(&section.place_of("labels"), message, format!("give {LABELS_MAX} at most"));
    }
    labels
}

pub(super) fn read_alarm(section: &Section<'_>) -> Option<Duration> {
    let Given { value, place } = section.optional::<Duration>("silence_alarm")?;
    if value.is_zero() {
        section.error(
            &place,
            "`silence_alarm` is zero: it would never end",
            "remove it for no alarm, or write \"30s\"",
        );
    }
    Some(value)
}

impl Seen {
    fn names(&mut self, section: &Section<'_>, name: Option<&Given<String>>) {
        let Some(name) = name else { return };
        if let Some(first) = self.names.insert(name, PartialEq::eq) {
            let message = format!("the source name `{}` stands twice", name.value);
            section.error(&name.place, message, format!("rename one; the first is at {}", first.place));
        }
    }

    /// A device id that is copied with its block would merge two devices into one:
    /// events of the second could be dropped as repeats of the first.
    fn device_ids(&mut self, section: &Section<'_>, name: Option<&Given<String>>, id: Option<&Given<String>>) {
        let (Some(name), Some(id)) = (name, id) else { return };
        if self.device_ids.insert(id, PartialEq::eq).is_some() && name.place != id.place {
            let message = format!("the device id `{}` stands twice: both count as one device", id.value);
            section.warning(&id.place, message, "give each device its own, unless these are two ways to one device");
        }
    }

    fn transport(&mut self, section: &Section<'_>, transport: Option<&Given<TransportConfig>>) {
        let Some(Given { value, place }) = transport else { return };
        match value {
            TransportConfig::Serial { port, .. } => {
                let port = Given { value: port.clone(), place: place.clone() };
                if let Some(first) = self.ports.insert(&port, PartialEq::eq) {
                    let message = format!("two sources read the port {}", port.value.display());
                    section.error(place, message, format!("a port has one reader; the first is at {}", first.place));
                }
            }
            TransportConfig::TcpListen { address, .. } => {
                let address = Given { value: *address, place: place.clone() };
                if let Some(first) = self.listeners.insert(&address, collide) {
                    let message = format!("two sources listen at port {}", address.value.port());
                    section.error(place, message, format!("give each its own; the first is at {}", first.place));
                }
            }
            TransportConfig::TcpConnect { address } => {
                let address = Given { value: address.clone(), place: place.clone() };
                if let Some(first) = self.peers.insert(&address, PartialEq::eq) {
                    let message = format!("two sources connect to {}", address.value);
                    let help = format!("each event may come twice; the first is at {}", first.place);
                    section.warning(place, message, help);
                }
            }
        }
    }
}
