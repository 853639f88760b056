//! RMC: recommended minimum of a satellite receiver: time, date, position, speed.

use super::{
    Decimal, EmittedLine, Field, Latitude, Letter, Longitude, Sentence, Talker, TimeOfDay, clock, emit::Writer, units,
};
use crate::{CivilDate, Content, DecodeError, Measurement, Reading, Text, Unit, Value, ValueKind};

/// `$GPRMC,hhmmss.ss,A|V,ddmm.mmmm,N|S,dddmm.mmmm,E|W,knots,course,ddmmyy,
/// variation,E|W[,mode[,navigational status]]`
///
/// Further fields, which later versions of the standard may add, are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rmc {
    /// Who says it.
    pub talker: Talker,
    /// UTC time of day; none if it is not known.
    pub time: Option<TimeOfDay>,
    /// UTC date, 1980 to 2079; none if it is not known.
    pub date: Option<CivilDate>,
    /// Status `A` (valid) rather than `V` (warning).
    pub active: bool,
    /// Where the receiver is.
    pub latitude: Option<Latitude>,
    /// Where the receiver is.
    pub longitude: Option<Longitude>,
    /// Speed over ground.
    pub speed_knots: Option<Decimal>,
    /// Course over ground, against true north.
    pub course_deg: Option<Decimal>,
    /// Magnetic variation, positive east. None also if its direction is left out.
    pub variation_deg: Option<Decimal>,
    /// Mode, from version 2.3: `A` autonomous, `D` differential, `E` estimated, `F`
    /// and `R` real-time kinematic, `M` manual, `N` not valid, `P` precise, `S`
    /// simulator.
    pub mode: Option<Letter>,
    /// Navigational status, from version 4.1: `S` safe, `C` caution, `U` unsafe,
    /// `V` not provided.
    pub navigational_status: Option<Letter>,
}

impl Rmc {
    /// Reads the fields of a sentence.
    ///
    /// # Errors
    /// `BadTime` for a time or date that no clock shows; `BadField` where a field
    /// holds what it cannot hold.
    pub fn parse(sentence: &Sentence<'_>) -> Result<Self, DecodeError> {
        let talker = sentence.expect(b"RMC")?;
        let mut fields = sentence.fields();
        let [time, status, latitude, north, longitude, east] = core::array::from_fn(|_| fields.take());
        let [speed, course, date, variation, variation_east, mode, navigational_status] =
            core::array::from_fn(|_| fields.take());
        Ok(Self {
            talker,
            time: time.time()?,
            date: date.read(clock::date_ddmmyy).map_err(|_| date.bad_time())?,
            active: match status.bytes {
                b"A" => true,
                b"V" => false,
                _ => return Err(status.bad()),
            },
            latitude: Latitude::read(latitude, north)?,
            longitude: Longitude::read(longitude, east)?,
            speed_knots: speed.decimal()?,
            course_deg: course.decimal()?,
            variation_deg: signed_variation(variation, variation_east)?,
            mode: mode.letter()?,
            navigational_status: navigational_status.letter()?,
        })
    }

    /// Writes the sentence, with mode and navigational status only where given.
    pub fn emit(&self) -> EmittedLine {
        let mut writer = Writer::new(self.talker, *b"RMC");
        writer.time(self.time);
        writer.letter(if self.active { b'A' } else { b'V' });
        Latitude::write(self.latitude, &mut writer);
        Longitude::write(self.longitude, &mut writer);
        writer.decimal(self.speed_knots);
        writer.decimal(self.course_deg);
        match self.date {
            Some(CivilDate { year, month, day }) => {
                writer.formatted(format_args!("{day:02}{month:02}{:02}", year % 100));
            }
            None => writer.empty(),
        }
        write_variation(self.variation_deg, &mut writer);
        let last = [self.mode, self.navigational_status];
        let count = last.iter().rposition(Option::is_some).map_or(0, |index| index + 1);
        for letter in &last[..count] {
            match letter {
                Some(letter) => writer.letter(letter.byte()),
                None => writer.empty(),
            }
        }
        writer.finish().expect("thirteen short fields")
    }

    /// Whether the receiver vouches for what it says: status `A` and not mode `N`.
    pub fn is_valid(&self) -> bool {
        self.active && self.mode.is_none_or(|mode| mode.byte() != b'N')
    }

    /// Time and place. A time that the receiver does not vouch for is kept as text
    /// alone and makes no identity: receivers begin anew at each start.
    pub(super) fn reading<'a>(&self, sentence: &Sentence<'a>) -> Reading<'a> {
        let vouched = self.is_valid();
        let (time, date) = (self.time.filter(|_| vouched), self.date.filter(|_| vouched));
        Reading {
            sub_device: Text::EMPTY,
            identity: clock::identity(sentence, date, time),
            time: clock::device_time(sentence.field(0), date, time),
            content: Content::Measurement(self.measurement(sentence)),
            evidence: sentence.bytes(),
        }
    }

    /// The values that the sentence holds, in its order behind the verdict.
    fn measurement<'a>(&self, sentence: &Sentence<'a>) -> Measurement<'a> {
        let mut measurement = Measurement::default();
        let vouched = self.is_valid();
        let mut add = |name: &'static [u8], value: Option<ValueKind<'a>>, unit: Unit| {
            let invalid = !vouched && name != b"valid" && !matches!(value, Some(ValueKind::Text(_)));
            let value = value.map(|value| Value { name: Text::ascii(name), value, unit, invalid });
            measurement.values.extend(value);
        };
        let date = Some(sentence.field(8)).filter(|date| !date.is_empty());
        add(b"valid", Some(ValueKind::Flag(vouched)), "");
        add(b"status", Some(ValueKind::Text(Text::ascii(sentence.field(1)))), "");
        add(b"latitude", self.latitude.map(|it| ValueKind::Number(it.to_degrees())), "deg");
        add(b"longitude", self.longitude.map(|it| ValueKind::Number(it.to_degrees())), "deg");
        add(b"speed", self.speed_knots.map(|it| ValueKind::Number(it.to_f64() * units::KNOT_M_PER_S)), "m/s");
        add(b"course", self.course_deg.map(|it| ValueKind::Number(it.to_f64())), "deg");
        add(b"date", date.map(|date| ValueKind::Text(Text::ascii(date))), "");
        add(b"magnetic_variation", self.variation_deg.map(|it| ValueKind::Number(it.to_f64())), "deg");
        add(b"mode", self.mode.map(|mode| ValueKind::Text(mode.text())), "");
        add(b"navigational_status", self.navigational_status.map(|it| ValueKind::Text(it.text())), "");
        measurement
    }
}

/// A variation with its direction; some receivers leave the direction out, and
/// then say nothing.
fn signed_variation(variation: Field<'_>, direction: Field<'_>) -> Result<Option<Decimal>, DecodeError> {
    let Some(variation) = variation.decimal()? else { return Ok(None) };
    let sign = match direction.bytes {
        b"" => return Ok(None),
        b"E" => 1,
        b"W" => -1,
        _ => return Err(direction.bad()),
    };
    Ok(Decimal::new(sign * variation.digits(), variation.decimals()))
}

fn write_variation(variation: Option<Decimal>, writer: &mut Writer) {
    let Some(variation) = variation else { return (0..2).for_each(|_| writer.empty()) };
    writer.decimal(Decimal::new(variation.digits().abs(), variation.decimals()));
    writer.letter(if variation.digits() < 0 { b'W' } else { b'E' });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nmea::{
        clock::tests::{dates, times},
        decimal::tests::decimals,
    };
    use crate::{Day, ErrorKind, Identity, TimeValue};
    use proptest::prelude::*;
    use std::{string::ToString as _, vec::Vec};

    const REAL: &[u8] = b"$GPRMC,223251.00,A,3757.92653,N,12231.94543,W,0.068,338.51,210416,0.00,E,A,V*5B";

    fn parse(sentence: &[u8]) -> Result<Rmc, DecodeError> {
        Rmc::parse(&Sentence::parse(sentence)?)
    }

    #[track_caller]
    fn reading(bytes: &[u8]) -> Reading<'_> {
        let sentence = Sentence::parse(bytes).expect("a sound sentence");
        Rmc::parse(&sentence).expect("sound fields").reading(&sentence)
    }

    fn values<'a>(reading: &'a Reading<'a>) -> &'a [Value<'a>] {
        let Content::Measurement(measurement) = &reading.content else { panic!("no measurement") };
        &measurement.values
    }

    fn number(reading: &Reading<'_>, name: &str) -> f64 {
        match values(reading).iter().find(|value| value.name.to_string() == name).map(|value| value.value) {
            Some(ValueKind::Number(number)) => number,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// A sentence of a real receiver; `date -u -d '2016-04-21 22:32:51' +%s` says
    /// 1461277971, and 57.92653 of 60 minutes are 0.96544217 degrees.
    #[test]
    fn a_fix_is_read_with_time_place_and_identity() {
        let reading = reading(REAL);
        assert_eq!(reading.time.value, TimeValue::Utc(1_461_277_971_000_000_000));
        assert_eq!((reading.time.text.bytes(), reading.time.resolution_ns), (&b"223251.00"[..], 10_000_000));
        let key = "GPRMC|22:32:51.00|2016-04-21".try_into().expect("a short key");
        assert_eq!(reading.identity, Identity::Content { epoch: 0, key, day: Day::None, stands_for: None });
        assert!((number(&reading, "latitude") - 37.965_442_17).abs() < 1e-8);
        assert!((number(&reading, "longitude") + 122.532_423_83).abs() < 1e-8);
        assert!((number(&reading, "speed") - 0.034_982_22).abs() < 1e-8);
        assert_eq!(number(&reading, "course"), 338.51);
        assert!(values(&reading).iter().all(|value| !value.invalid));
        assert_eq!(values(&reading).len(), 10);
        assert_eq!(reading.evidence, REAL);
        assert_eq!(parse(REAL).expect("sound fields").emit().strip_suffix(b"\r\n"), Some(REAL));
    }

    /// Status V and mode N both say that the time may be wrong: it stays as text,
    /// and a receiver that starts twice in 1980 is not taken for a repetition.
    #[test]
    fn a_receiver_without_a_fix_gives_no_time_and_no_identity() {
        for sentence in [
            &b"$GPRMC,000012.00,V,3757.92653,N,12231.94543,W,,,060180,,,N*59"[..],
            b"$GPRMC,000012.00,A,3757.92653,N,12231.94543,W,,,060180,,,N*4E",
            b"$GPRMC,000012.00,V,3757.92653,N,12231.94543,W,,,060180,,*3B",
        ] {
            let reading = reading(sentence);
            assert_eq!((reading.time.value, reading.time.text.bytes()), (TimeValue::None, &b"000012.00"[..]));
            assert_eq!(reading.identity, Identity::None);
            assert_eq!(values(&reading)[0].value, ValueKind::Flag(false));
            let invalid: Vec<_> =
                values(&reading).iter().filter(|value| value.invalid).map(|value| value.name.to_string()).collect();
            assert_eq!(invalid, ["latitude", "longitude"]);
        }
        let cold = reading(b"$GPRMC,,V,,,,,,,,,,N*53");
        assert_eq!((cold.time.text.is_empty(), cold.identity), (true, Identity::None));
    }

    /// Fields that hold what they cannot hold, with their offset.
    #[test]
    fn nonsense_is_rejected_where_it_stands() {
        for (sentence, kind, offset) in [
            (&b"$GPRMC,251519,A,4153.85,N,08738.63,W,0.0,,030216,,,D"[..], ErrorKind::BadTime, 7),
            (b"$GPRMC,131519,X,4153.85,N,08738.63,W,0.0,,030216,,,D", ErrorKind::BadField, 14),
            (b"$GPRMC,131519,A,4163.85,N,08738.63,W,0.0,,030216,,,D", ErrorKind::BadField, 16),
            (b"$GPRMC,131519,A,9153.85,N,08738.63,W,0.0,,030216,,,D", ErrorKind::BadField, 16),
            (b"$GPRMC,131519,A,4153.85,,08738.63,W,0.0,,030216,,,D", ErrorKind::BadField, 24),
            (b"$GPRMC,131519,A,4153.85,N,08738.63,W,0.o,,030216,,,D", ErrorKind::BadField, 37),
            (b"$GPRMC,131519,A,4153.85,N,08738.63,W,0.0,,310216,,,D", ErrorKind::BadTime, 42),
        ] {
            let mut sentence = sentence.to_vec();
            let sum = sentence[1..].iter().fold(0, |sum, byte| sum ^ byte);
            sentence.extend(std::format!("*{sum:02X}").bytes());
            assert_eq!(parse(&sentence), Err(DecodeError::new(kind, offset)), "{}", sentence.escape_ascii());
        }
    }

    prop_compose! {
        fn sentences()(
            time in prop::option::of(times()),
            date in prop::option::of(dates(1980..=2079)),
            active: bool,
            latitude in prop::option::of(decimals(-5400..=5400)),
            longitude in prop::option::of(decimals(-10_800..=10_800)),
            speed_knots in prop::option::of(decimals(0..=999)),
            course_deg in prop::option::of(decimals(0..=360)),
            variation_deg in prop::option::of(decimals(-180..=180)),
            mode in prop::option::of((b'A'..=b'Z').prop_map(|it| Letter::new(it).expect("a letter"))),
            navigational_status in prop::option::of((b'A'..=b'Z').prop_map(|it| Letter::new(it).expect("a letter"))),
        ) -> Rmc {
            let latitude = latitude.and_then(Latitude::from_minutes);
            let longitude = longitude.and_then(Longitude::from_minutes);
            Rmc {
                talker: Talker::GNSS, time, date, active, latitude, longitude, speed_knots, course_deg, variation_deg,
                mode, navigational_status,
            }
        }
    }

    proptest! {
        /// Every statement that can be written is read back as it was.
        #[test]
        fn what_is_emitted_is_parsed(rmc in sentences()) {
            let line = rmc.emit();
            prop_assert_eq!(parse(line.trim_ascii_end()), Ok(rmc));
        }
    }
}
