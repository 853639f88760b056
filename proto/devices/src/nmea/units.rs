//! The names and UCUM units of transducers by their letters, and speeds in m/s.

use crate::Unit;

/// What a transducer's letters mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantity {
    pub(super) name: &'static [u8],
    pub(super) unit: Unit,
}

/// The quantity of a transducer's type and unit; none if neither the standard's
/// table nor a weather station's manual has the pair.
///
/// Source: NMEA 0183, XDR, table of transducers; those marked V are Vaisala's
/// (WXT520 user's guide, NMEA 0183 messages). Units of rain are left out: the
/// letters mean litres and cubic metres in one, and millimetres in the other.
pub(super) fn quantity(kind: u8, unit: &[u8]) -> Option<Quantity> {
    let (name, unit): (&[u8], Unit) = match (kind, unit) {
        (b'A', b"D") => (b"angle", "deg"),
        (b'C', b"C") => (b"temperature", "Cel"),
        (b'C', b"F") => (b"temperature", "[degF]"), // V
        (b'C', b"K") => (b"temperature", "K"),
        (b'D', b"M") => (b"displacement", "m"),
        (b'F', b"H") => (b"frequency", "Hz"),
        (b'G', b"") => (b"generic", ""),
        (b'H', b"P") => (b"humidity", "%"),
        (b'I', b"A") => (b"current", "A"),
        (b'L', b"S") => (b"salinity", "[ppth]"),
        (b'N', b"N") => (b"force", "N"),
        (b'P', b"B") => (b"pressure", "bar"),
        (b'P', b"H") => (b"pressure", "hPa"), // V
        (b'P', b"P") => (b"pressure", "Pa"),
        (b'R', b"L") => (b"flow", "L/s"),
        (b'S', b"") => (b"switch", ""),
        (b'S', b"K") => (b"speed", "km/h"),   // V
        (b'S', b"M") => (b"speed", "m/s"),    // V
        (b'S', b"N") => (b"speed", "[kn_i]"), // V
        (b'T', b"R") => (b"rotation", "{rev}/min"),
        (b'U', b"V") => (b"voltage", "V"),
        _ => return None,
    };
    Some(Quantity { name, unit })
}

/// One knot, a nautical mile (1852 m) an hour, in m/s.
pub(super) const KNOT_M_PER_S: f64 = 1852.0 / 3600.0;
/// One kilometre an hour in m/s.
pub(super) const KM_PER_H_M_PER_S: f64 = 1.0 / 3.6;
/// One statute mile (1609.344 m) an hour in m/s.
pub(super) const MPH_M_PER_S: f64 = 0.447_04;
