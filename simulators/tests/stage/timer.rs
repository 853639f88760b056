//! A chronometer with a memory, which prints as fast as its line takes it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use venue_schema::v1::event;
use venue_sim::{
    cloud::StoredEvent,
    device::{Attachment, DeviceConfig, SimulatedDevice},
};

use super::{eventually, tally};

/// A chronometer that runs; the gateway asks for its memory.
pub(crate) struct Timer {
    device: SimulatedDevice,
    attachment: Attachment,
    /// Name and device id.
    pub(crate) name: &'static str,
}

impl Timer {
    /// On a TCP port of this machine.
    pub(crate) fn start(name: &'static str) -> Self {
        Self::start_on(name, Ipv4Addr::LOCALHOST.into())
    }

    /// On a TCP port of an address.
    pub(crate) fn start_on(name: &'static str, address: IpAddr) -> Self {
        Self::start_at(name, Attachment::Listen((address, 0).into()))
    }

    /// At any plug.
    pub(crate) fn start_at(name: &'static str, attachment: Attachment) -> Self {
        let config = DeviceConfig { attachment: attachment.clone(), pacing: false, ..DeviceConfig::alge_timy() };
        Self { device: SimulatedDevice::start(config).unwrap(), attachment, name }
    }

    /// Port or address, for the gateway.
    pub(crate) fn place(&self) -> String {
        self.device.report().place.unwrap()
    }

    /// A `[[source]]` that hears it, named after it.
    pub(crate) fn source(&self) -> String {
        self.source_named(self.name)
    }

    /// The same under another name.
    pub(crate) fn source_named(&self, name: &str) -> String {
        let place = self.place();
        let line = match self.attachment {
            Attachment::Pty { .. } => format!("serial = {{ port = \"{place}\" }}"),
            _ => format!("tcp = {{ connect = \"{place}\" }}"),
        };
        format!("[[source]]\nname = \"{name}\"\ndevice = \"alge-timy\"\ndevice_id = \"{}\"\n{line}\n", self.name)
    }

    /// Triggers it so many times; each is one result, with a start number of its own.
    pub(crate) fn impulses(&self, count: u16) {
        let stored = u16::try_from(self.device.ledger().records().len()).unwrap();
        (stored..stored + count).for_each(|number| self.device.impulse(1 + (number % 8) as u8, number, None).unwrap());
    }

    /// How often it stored each key.
    pub(crate) fn records(&self) -> BTreeMap<String, usize> {
        tally(self.device.ledger().records().iter().map(|record| record.key.clone()))
    }

    /// How often a cloud holds each of its keys, without the date.
    pub(crate) fn records_in(&self, events: &[StoredEvent]) -> BTreeMap<String, usize> {
        let key = |stored: &StoredEvent| {
            let event = stored.event().unwrap();
            match event.identity {
                Some(event::Identity::ContentKey(key)) if event.device_id == self.name => {
                    Some(key.key.rsplit_once('|').map_or(&*key.key, |(device, _)| device).to_owned())
                }
                _ => None,
            }
        };
        tally(events.iter().filter_map(key))
    }

    /// Bytes that the gateway has sent it.
    pub(crate) fn asked(&self) -> u64 {
        self.device.report().bytes_received
    }

    /// Waits until the gateway has sent it more than so many bytes.
    pub(crate) async fn until_asked_again(&self, bytes: u64) {
        eventually("the request for the memory", async || (self.asked() > bytes).then_some(())).await;
    }
}
