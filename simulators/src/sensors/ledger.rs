//! What sensors said, and what the broker promised of it.

/// The most samples that a ledger keeps; later ones are counted.
pub const MOST_SAMPLES: usize = 1_000_000;

/// One message of a sensor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sample {
    /// The sensor's name, in the topic and in every payload: `wind-1`.
    pub sensor: String,
    /// Where it was published.
    pub topic: String,
    /// `BOOT|SEQ`: the key that a mapping with `key = ["/boot", "/seq"]` gives it.
    pub key: String,
    /// The message.
    pub payload: String,
    /// When it was measured, UTC ns.
    pub measured_utc_ns: i64,
    /// When the broker's acknowledgement came, UTC ns: from then on it is promised. None before, at QoS 0, if the
    /// broker refused it, and if it said that nobody is subscribed.
    pub acknowledged_utc_ns: Option<i64>,
}

/// What a fleet said, in the order of measurement.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Ledger {
    /// Every message, until there are [`MOST_SAMPLES`].
    pub samples: Vec<Sample>,
    /// Messages beyond those.
    pub forgotten_samples: u64,
}

impl Ledger {
    /// Notes a sample, and returns its place.
    pub(super) fn measured(&mut self, sample: &Sample) -> Option<usize> {
        if self.samples.len() == MOST_SAMPLES {
            self.forgotten_samples += 1;
            return None;
        }
        self.samples.push(sample.clone());
        Some(self.samples.len() - 1)
    }

    /// The sample at a place is promised.
    pub(super) fn acknowledged(&mut self, place: Option<usize>, utc_ns: i64) {
        if let Some(sample) = place.and_then(|place| self.samples.get_mut(place)) {
            sample.acknowledged_utc_ns = Some(utc_ns);
        }
    }
}
