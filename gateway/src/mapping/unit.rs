//! Units by their UCUM codes (ucum.org), those that sensors at a venue use.

use venue_devices::Unit;

/// The codes that a configuration may use. UCUM makes codes without end, so this is a
/// list to choose from: a slip of the pen (`C` is coulomb, `F` farad) is found, and
/// every consumer knows what it can meet.
pub const UNITS: &[Unit] = &[
    // Plain numbers and counts; what stands in braces is for people.
    "1",
    "%",
    "[ppm]",
    "[ppb]",
    "[ppth]",
    "[pH]",
    "{count}",
    "{person}",
    "{vehicle}",
    "{rev}",
    "{beat}", //
    // Temperature.
    "Cel",
    "[degF]",
    "K", //
    // Time and rates.
    "ns",
    "us",
    "ms",
    "s",
    "min",
    "h",
    "d",
    "Hz",
    "kHz",
    "MHz",
    "GHz",
    "/s",
    "/min",
    "/h",
    "{rev}/min",
    "{beat}/min",
    "{person}/h",
    "{vehicle}/h", //
    // Length, area, volume, flow.
    "um",
    "mm",
    "cm",
    "m",
    "km",
    "[in_i]",
    "[ft_i]",
    "[mi_i]",
    "[nmi_i]",
    "m2",
    "mL",
    "L",
    "m3",
    "L/s",
    "L/min",
    "L/h",
    "m3/h",
    "m3/s", //
    // Speed and acceleration.
    "m/s",
    "km/h",
    "[kn_i]",
    "[mi_i]/h",
    "cm/s",
    "mm/s",
    "m/s2",
    "[g]", //
    // Angle.
    "deg",
    "rad",
    "deg/s",
    "rad/s", //
    // Mass, force, pressure.
    "mg",
    "g",
    "kg",
    "t",
    "N",
    "kN",
    "N.m",
    "Pa",
    "hPa",
    "kPa",
    "MPa",
    "mbar",
    "bar",
    "m[Hg]",
    "mm[Hg]",
    "[in_i'Hg]",
    "[psi]", //
    // Electricity.
    "uV",
    "mV",
    "V",
    "kV",
    "uA",
    "mA",
    "A",
    "A.h",
    "mA.h",
    "mW",
    "W",
    "kW",
    "MW",
    "V.A",
    "kV.A",
    "V.A{reactive}",
    "W.h",
    "kW.h",
    "MW.h",
    "J",
    "kJ",
    "MJ",
    "Ohm",
    "kOhm",
    "uS/cm",
    "mS/cm",
    "uT",
    "mT", //
    // Light, sound, radio. UCUM has no dBm, and lets braces say what the bel refers to.
    "lx",
    "klx",
    "cd",
    "lm",
    "W/m2",
    "J/m2",
    "umol/m2/s",
    "dB",
    "dB{A}",
    "B[SPL]",
    "dB{mW}", //
    // Rain, air, snow.
    "mm/h",
    "mm/min",
    "g/m3",
    "mg/m3",
    "ug/m3",
    "kg/m3",
    "{UVI}",
    "Bq/m3", //
    // Data.
    "bit",
    "By",
    "kBy",
    "MBy",
    "bit/s",
];

/// What people write, and the code that they mean.
const MEANT: &[(&str, Unit)] = &[
    ("°C", "Cel"),
    ("C", "Cel"),
    ("celsius", "Cel"),
    ("degC", "Cel"),
    ("°F", "[degF]"),
    ("F", "[degF]"),
    ("degF", "[degF]"),
    ("fahrenheit", "[degF]"),
    ("°", "deg"),
    ("degrees", "deg"),
    ("%RH", "%"),
    ("percent", "%"),
    ("ppm", "[ppm]"),
    ("ppb", "[ppb]"),
    ("pH", "[pH]"),
    ("sec", "s"),
    ("hours", "h"),
    ("days", "d"),
    ("µs", "us"),
    ("µm", "um"),
    ("in", "[in_i]"),
    ("ft", "[ft_i]"),
    ("mi", "[mi_i]"),
    ("l", "L"),
    ("m²", "m2"),
    ("m³", "m3"),
    ("m³/h", "m3/h"),
    ("mps", "m/s"),
    ("kph", "km/h"),
    ("kmh", "km/h"),
    ("mph", "[mi_i]/h"),
    ("kn", "[kn_i]"),
    ("kt", "[kn_i]"),
    ("knots", "[kn_i]"),
    ("m/s²", "m/s2"),
    ("rpm", "{rev}/min"),
    ("bpm", "{beat}/min"),
    ("people", "{person}"),
    ("persons", "{person}"),
    ("mmHg", "mm[Hg]"),
    ("inHg", "[in_i'Hg]"),
    ("psi", "[psi]"),
    ("volt", "V"),
    ("watt", "W"),
    ("Ah", "A.h"),
    ("mAh", "mA.h"),
    ("VA", "V.A"),
    ("var", "V.A{reactive}"),
    ("Wh", "W.h"),
    ("kWh", "kW.h"),
    ("MWh", "MW.h"),
    ("Ω", "Ohm"),
    ("ohm", "Ohm"),
    ("lux", "lx"),
    ("W/m²", "W/m2"),
    ("dBm", "dB{mW}"),
    ("dBA", "dB{A}"),
    ("dB(A)", "dB{A}"),
    ("µg/m³", "ug/m3"),
    ("byte", "By"),
    ("bytes", "By"),
];

/// The unit of a code.
pub fn find(code: &str) -> Option<Unit> {
    UNITS.iter().copied().find(|unit| *unit == code)
}

/// The code that somebody means who writes another.
pub fn meant(text: &str) -> Option<Unit> {
    let same = |(word, _): &&(&str, Unit)| *word == text || (word.len() > 2 && word.eq_ignore_ascii_case(text));
    let by_case = || UNITS.iter().copied().find(|unit| unit.eq_ignore_ascii_case(text));
    MEANT.iter().find(same).map(|(_, unit)| *unit).or_else(by_case)
}

/// The codes, and every other word of which [`meant`] knows the code.
pub fn words() -> impl Iterator<Item = &'static str> {
    UNITS.iter().copied().chain(MEANT.iter().map(|(word, _)| *word))
}

/// A speed in metres per second; none if the unit is not one of [`WIND_UNITS`].
pub(super) fn metres_per_second(speed: f64, unit: Unit) -> Option<f64> {
    match unit {
        "m/s" => Some(speed),
        "km/h" => Some(speed / 3.6),
        "[kn_i]" => Some(speed * 1852.0 / 3600.0),
        "[mi_i]/h" => Some(speed * 0.44704),
        _ => None,
    }
}

/// The units that wind may come in.
pub const WIND_UNITS: [Unit; 4] = ["m/s", "km/h", "[kn_i]", "[mi_i]/h"];

#[cfg(test)]
mod tests {
    use super::*;

    /// No code stands twice, and whatever somebody is said to mean is in the table.
    #[test]
    fn the_tables_agree() {
        for (index, unit) in UNITS.iter().enumerate() {
            assert!(!UNITS[..index].contains(unit), "{unit} stands twice");
            assert!(unit.is_ascii(), "{unit}: UCUM codes are ASCII");
        }
        for (word, unit) in MEANT {
            assert_eq!(find(unit), Some(*unit), "{word}");
            assert_eq!(find(word), None, "{word} is a code itself");
        }
        assert!(WIND_UNITS.iter().all(|unit| find(unit).is_some() && metres_per_second(1.0, unit).is_some()));
    }

    #[test]
    fn what_people_write_is_understood() {
        for (text, unit) in
            [("C", "Cel"), ("Celsius", "Cel"), ("KM/H", "km/h"), ("kwh", "kW.h"), ("hpa", "hPa"), ("dBm", "dB{mW}")]
        {
            assert_eq!(meant(text), Some(unit), "{text}");
        }
        assert_eq!(meant("furlong"), None);
    }
}
