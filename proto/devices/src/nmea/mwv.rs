//! MWV: wind speed and angle.

use super::{Decimal, EmittedLine, Sentence, Talker, emit::Writer, units};
use crate::{Content, DecodeError, DeviceTime, Identity, Reading, Text, Wind};

/// What the angle of a wind counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// `R`: the mounting of the instrument.
    Relative,
    /// `T`: north.
    True,
}

/// Unit of a wind's speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SpeedUnit {
    KilometresPerHour,
    MetresPerSecond,
    Knots,
    MilesPerHour,
}

impl SpeedUnit {
    const ALL: [Self; 4] = [Self::KilometresPerHour, Self::MetresPerSecond, Self::Knots, Self::MilesPerHour];

    /// Its letter in a sentence.
    const fn letter(self) -> u8 {
        match self {
            Self::KilometresPerHour => b'K',
            Self::MetresPerSecond => b'M',
            Self::Knots => b'N',
            Self::MilesPerHour => b'S',
        }
    }

    /// A speed of this unit in m/s.
    pub fn to_m_per_s(self, speed: Decimal) -> f64 {
        let speed = speed.to_f64();
        match self {
            Self::KilometresPerHour => speed * units::KM_PER_H_M_PER_S,
            Self::MetresPerSecond => speed,
            Self::Knots => speed * units::KNOT_M_PER_S,
            Self::MilesPerHour => speed * units::MPH_M_PER_S,
        }
    }
}

/// `$WIMWV,angle,R|T,speed,K|M|N|S,A|V`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mwv {
    /// Who says it.
    pub talker: Talker,
    /// Where the wind comes from, 0 to 360 degrees; none in a calm or if it failed.
    pub angle_deg: Option<Decimal>,
    /// What the angle counts from.
    pub reference: Option<Reference>,
    /// Not negative; none if it failed.
    pub speed: Option<Decimal>,
    /// Unit of the speed; given wherever the speed is.
    pub unit: Option<SpeedUnit>,
    /// The instrument says that the sample is valid.
    pub valid: bool,
}

impl Mwv {
    /// Reads the fields of a sentence.
    ///
    /// # Errors
    /// `BadField` where a field holds what it cannot hold, or a speed has no unit.
    pub fn parse(sentence: &Sentence<'_>) -> Result<Self, DecodeError> {
        let talker = sentence.expect(b"MWV")?;
        let mut fields = sentence.fields();
        let [angle, reference, speed, unit, status] = core::array::from_fn(|_| fields.take());
        let mwv = Self {
            talker,
            angle_deg: angle.read(|text| Decimal::parse(text).filter(|angle| angle.is_within(360)))?,
            reference: reference.read(|text| match text {
                b"R" => Some(Reference::Relative),
                b"T" => Some(Reference::True),
                _ => None,
            })?,
            speed: speed.read(|text| Decimal::parse(text).filter(|speed| speed.digits() >= 0))?,
            unit: unit.read(|text| SpeedUnit::ALL.into_iter().find(|unit| text == [unit.letter()]))?,
            valid: match status.bytes {
                b"A" => true,
                b"V" => false,
                _ => return Err(status.bad()),
            },
        };
        if mwv.speed.is_some() && mwv.unit.is_none() { Err(unit.bad()) } else { Ok(mwv) }
    }

    /// Writes the sentence.
    pub fn emit(&self) -> EmittedLine {
        let mut writer = Writer::new(self.talker, *b"MWV");
        writer.decimal(self.angle_deg);
        match self.reference {
            Some(Reference::Relative) => writer.letter(b'R'),
            Some(Reference::True) => writer.letter(b'T'),
            None => writer.empty(),
        }
        writer.decimal(self.speed);
        match self.unit {
            Some(unit) => writer.letter(unit.letter()),
            None => writer.empty(),
        }
        writer.letter(if self.valid { b'A' } else { b'V' });
        writer.finish().expect("five short fields")
    }

    /// One sample of wind. It holds no time, so nothing makes it the same again.
    pub(super) fn reading<'a>(&self, sentence: &Sentence<'a>) -> Reading<'a> {
        let speed = self.speed.zip(self.unit);
        Reading {
            sub_device: Text::EMPTY,
            identity: Identity::None,
            time: DeviceTime::default(),
            content: Content::Wind(Wind {
                speed_m_per_s: speed.map(|(speed, unit)| unit.to_m_per_s(speed)),
                direction_deg: self.angle_deg.map(Decimal::to_f64),
                relative: self.reference == Some(Reference::Relative),
                valid: self.valid,
                speed_text: Text::ascii(sentence.field(2)),
                unit_text: Text::ascii(sentence.field(3)),
                status: Text::ascii(sentence.field(4)),
            }),
            evidence: sentence.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nmea::decimal::tests::decimals;
    use proptest::prelude::*;

    fn parse(sentence: &[u8]) -> Result<Mwv, DecodeError> {
        Mwv::parse(&Sentence::parse(sentence)?)
    }

    /// A sentence of a real anemometer: 13 knots are 6.69 m/s.
    #[test]
    fn a_sample_in_knots_is_read_in_m_per_s() {
        let sentence = Sentence::parse(b"$WIMWV,57.5,R,13.0,N,A*26").expect("a sound sentence");
        let mwv = Mwv::parse(&sentence).expect("sound fields");
        let Content::Wind(wind) = mwv.reading(&sentence).content else { panic!("no wind") };
        assert_eq!((wind.direction_deg, wind.relative, wind.valid), (Some(57.5), true, true));
        assert!((wind.speed_m_per_s.expect("a speed") - 6.687_777_78).abs() < 1e-8);
        assert_eq!(
            (wind.speed_text.bytes(), wind.unit_text.bytes(), wind.status.bytes()),
            (&b"13.0"[..], &b"N"[..], &b"A"[..])
        );
        assert_eq!(mwv.emit(), b"$WIMWV,57.5,R,13.0,N,A*26\r\n");
    }

    /// The four units, against values of the units' definitions.
    #[test]
    fn every_unit_is_converted() {
        let one = Decimal::new(10, 0).expect("short");
        let speeds = SpeedUnit::ALL.map(|unit| (unit.to_m_per_s(one) * 1e6).round());
        assert_eq!(speeds, [2_777_778.0, 10_000_000.0, 5_144_444.0, 4_470_400.0]);
    }

    /// A failed instrument says so with empty fields; wrong fields are no wind.
    #[test]
    fn failure_is_told_from_nonsense() {
        let failed = parse(b"$WIMWV,,R,,M,V*37").expect("sound fields");
        assert_eq!((failed.speed, failed.angle_deg, failed.valid), (None, None, false));
        for (sentence, offset) in [
            (&b"$WIMWV,361,R,1.0,M,A*3B"[..], 7),
            (b"$WIMWV,1,X,1.0,M,A*34", 9),
            (b"$WIMWV,1,R,-1.0,M,A*13", 11),
            (b"$WIMWV,1,R,1.0,,A*73", 15),
            (b"$WIMWV,1,R,1.0,M,*7F", 17),
        ] {
            let error = parse(sentence).expect_err("a field that cannot be");
            assert_eq!(error, DecodeError::new(crate::ErrorKind::BadField, offset), "{}", sentence.escape_ascii());
        }
    }

    proptest! {
        /// Every sample that can be written is read back as it was.
        #[test]
        fn what_is_emitted_is_parsed(
            angle_deg in prop::option::of(decimals(0..=360)),
            reference in prop::option::of(prop::sample::select(&[Reference::Relative, Reference::True][..])),
            speed in prop::option::of((decimals(0..=200), prop::sample::select(&SpeedUnit::ALL[..]))),
            valid: bool,
        ) {
            let (speed, unit) = speed.unzip();
            let mwv = Mwv { talker: Talker::WEATHER, angle_deg, reference, speed, unit, valid };
            let line = mwv.emit();
            prop_assert_eq!(parse(line.trim_ascii_end()), Ok(mwv));
        }
    }
}
