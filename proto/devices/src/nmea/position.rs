//! Latitude and longitude as sentences write them: degrees and minutes in one
//! number, the hemisphere in the next field.

use super::{Decimal, Field, emit::Writer};
use crate::DecodeError;

/// A latitude, positive north.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latitude(Decimal);

/// A longitude, positive east.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Longitude(Decimal);

impl Latitude {
    /// A latitude of so many arc minutes; none beyond a pole.
    pub const fn from_minutes(minutes: Decimal) -> Option<Self> {
        if absolute(minutes).is_within(90 * 60) { Some(Self(minutes)) } else { None }
    }

    /// In degrees.
    pub fn to_degrees(self) -> f64 {
        self.0.divided_by(60.0)
    }

    pub(super) fn read(number: Field<'_>, hemisphere: Field<'_>) -> Result<Option<Self>, DecodeError> {
        let Some(minutes) = read(number, hemisphere, [b'N', b'S'])? else { return Ok(None) };
        Self::from_minutes(minutes).map(Some).ok_or(number.bad())
    }

    pub(super) fn write(latitude: Option<Self>, writer: &mut Writer) {
        write(latitude.map(|latitude| latitude.0), 2, [b'N', b'S'], writer);
    }
}

impl Longitude {
    /// A longitude of so many arc minutes; none beyond 180 degrees.
    pub const fn from_minutes(minutes: Decimal) -> Option<Self> {
        if absolute(minutes).is_within(180 * 60) { Some(Self(minutes)) } else { None }
    }

    /// In degrees.
    pub fn to_degrees(self) -> f64 {
        self.0.divided_by(60.0)
    }

    pub(super) fn read(number: Field<'_>, hemisphere: Field<'_>) -> Result<Option<Self>, DecodeError> {
        let Some(minutes) = read(number, hemisphere, [b'E', b'W'])? else { return Ok(None) };
        Self::from_minutes(minutes).map(Some).ok_or(number.bad())
    }

    pub(super) fn write(longitude: Option<Self>, writer: &mut Writer) {
        write(longitude.map(|longitude| longitude.0), 3, [b'E', b'W'], writer);
    }
}

const fn absolute(value: Decimal) -> Decimal {
    Decimal::new(value.digits().abs(), value.decimals()).expect("as many digits as before")
}

/// Reads `dddmm.mmmm` and a hemisphere as arc minutes, negative in the second of
/// the two hemispheres.
fn read(
    number: Field<'_>,
    hemisphere: Field<'_>,
    [positive, negative]: [u8; 2],
) -> Result<Option<Decimal>, DecodeError> {
    let Some(value) = number.decimal()? else { return Ok(None) };
    let minute = 10_i64.pow(value.decimals().into());
    let (degrees, minutes) = (value.digits() / (100 * minute), value.digits() % (100 * minute));
    if !(0..60 * minute).contains(&minutes) {
        return Err(number.bad());
    }
    let digits = degrees * 60 * minute + minutes;
    let sign = match hemisphere.bytes {
        [letter] if *letter == positive => 1,
        [letter] if *letter == negative => -1,
        _ => return Err(hemisphere.bad()),
    };
    Decimal::new(sign * digits, value.decimals()).map(Some).ok_or(number.bad())
}

/// Writes both fields, the degrees with so many digits.
fn write(value: Option<Decimal>, width: usize, [positive, negative]: [u8; 2], writer: &mut Writer) {
    let Some(value) = value else { return (0..2).for_each(|_| writer.empty()) };
    let degree = 60 * 10_i64.pow(value.decimals().into());
    let digits = value.digits().abs();
    let minutes = Decimal::new(digits % degree, value.decimals()).expect("fewer digits than before");
    writer.formatted(format_args!("{:0width$}", digits / degree));
    writer.digits(minutes, 2);
    writer.letter(if value.digits() < 0 { negative } else { positive });
}
