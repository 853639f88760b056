//! What sensors of a venue measure, as a walk that a seed repeats.

use serde_json::{Value, json};

use crate::random::Random;

/// What a sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wind: speed in m/s and direction in degrees.
    Wind,
    /// Air: temperature in °C and relative humidity in %.
    Climate,
    /// People who went in and out of a gate since the sensor started.
    People,
    /// A battery: its charge in % and its voltage.
    Battery,
}

impl Kind {
    /// Every kind, in the order in which a fleet has them.
    pub const ALL: [Self; 4] = [Self::Wind, Self::Climate, Self::People, Self::Battery];

    /// As it stands in names: `wind-1`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wind => "wind",
            Self::Climate => "climate",
            Self::People => "people",
            Self::Battery => "battery",
        }
    }

    /// The last level of its topic. Wind has one of its own, for it may be official.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Wind => "wind",
            Self::Climate | Self::People | Self::Battery => "state",
        }
    }
}

/// What a sensor would show now.
#[derive(Debug, Clone)]
pub(super) struct Measurand {
    kind: Kind,
    random: Random,
    /// Two values, in tenths of their units where they have any.
    values: [i32; 2],
}

impl Measurand {
    pub(super) fn new(kind: Kind, seed: u64) -> Self {
        let values = match kind {
            Kind::Wind => [20, 2_100],
            Kind::Climate => [-35, 710],
            Kind::People => [0, 0],
            Kind::Battery => [990, 42],
        };
        Self { kind, random: Random::new(seed), values }
    }

    /// The next values, an object.
    pub(super) fn measure(&mut self) -> Value {
        let tenths = |value: i32| f64::from(value) / 10.0;
        match self.kind {
            Kind::Wind => {
                self.values = [self.walk(0, 5, 0, 250), (self.values[1] + self.step(80)).rem_euclid(3_600)];
                json!({ "speed": tenths(self.values[0]), "direction": tenths(self.values[1]) })
            }
            Kind::Climate => {
                self.values = [self.walk(0, 2, -300, 400), self.walk(1, 5, 50, 1_000)];
                json!({ "temperature": tenths(self.values[0]), "humidity": tenths(self.values[1]) })
            }
            Kind::People => {
                let came = self.values[0] + self.up_to(4);
                self.values = [came, (self.values[1] + self.up_to(2)).min(came)];
                json!({ "in": self.values[0], "out": self.values[1] })
            }
            Kind::Battery => {
                let charge = (self.values[0] - self.up_to(1)).max(0);
                self.values = [charge, 33 + charge / 100];
                json!({ "charge": tenths(self.values[0]), "voltage": tenths(self.values[1]) })
            }
        }
    }

    /// A value a step further, within its bounds.
    fn walk(&mut self, index: usize, step: i32, lowest: i32, highest: i32) -> i32 {
        (self.values[index] + self.step(step)).clamp(lowest, highest)
    }

    /// From `-largest` to `largest`.
    fn step(&mut self, largest: i32) -> i32 {
        self.up_to(2 * largest) - largest
    }

    fn up_to(&mut self, most: i32) -> i32 {
        let bound = u64::from(most.unsigned_abs()) + 1;
        i32::try_from(self.random.below(bound)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed repeats a sensor; another gives another; whatever comes is what such a sensor can show.
    #[test]
    fn a_seed_repeats_what_is_plausible() {
        for kind in Kind::ALL {
            let values = |seed| {
                let mut measurand = Measurand::new(kind, seed);
                (0..2_000).map(|_| measurand.measure()).collect::<Vec<_>>()
            };
            assert_eq!(values(7), values(7));
            assert_ne!(values(7), values(8), "{kind:?}");
            for value in values(7) {
                let number = |name: &str| value[name].as_f64().expect("a number");
                match kind {
                    Kind::Wind => assert!(number("speed") <= 25.0 && (0.0..360.0).contains(&number("direction"))),
                    Kind::Climate => assert!((-30.0..=40.0).contains(&number("temperature"))),
                    Kind::People => assert!(number("out") <= number("in")),
                    Kind::Battery => assert!((0.0..=100.0).contains(&number("charge"))),
                }
            }
        }
    }
}
