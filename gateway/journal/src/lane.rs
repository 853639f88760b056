//! One value for each of the two lanes.

use std::ops::{Index, IndexMut};

use venue_schema::v1::Lane;

/// One value for each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerLane<T> {
    /// The value of the results lane.
    pub results: T,
    /// The value of the telemetry lane.
    pub telemetry: T,
}

impl<T> PerLane<T> {
    /// Makes both values, results first.
    pub fn from_fn(mut make: impl FnMut(Lane) -> T) -> Self {
        Self { results: make(Lane::Results), telemetry: make(Lane::Telemetry) }
    }
}

/// # Panics
/// For [`Lane::Unspecified`]: what is in the journal is in a lane.
impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Results => &self.results,
            Lane::Telemetry => &self.telemetry,
            Lane::Unspecified => panic!("a record is in the results lane or in the telemetry lane"),
        }
    }
}

/// # Panics
/// For [`Lane::Unspecified`]: what is in the journal is in a lane.
impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Results => &mut self.results,
            Lane::Telemetry => &mut self.telemetry,
            Lane::Unspecified => panic!("a record is in the results lane or in the telemetry lane"),
        }
    }
}
