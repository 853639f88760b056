//! ZDA: time, date and local zone.

use super::{EmittedLine, Field, Sentence, Talker, TimeOfDay, Zone, clock, emit::Writer};
use crate::{CivilDate, Content, DecodeError, Measurement, Reading, Text, Value, ValueKind};

/// `$GPZDA,hhmmss.ss,dd,mm,yyyy,zone hours,zone minutes`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zda {
    /// Who says it.
    pub talker: Talker,
    /// UTC time of day; none if it is not known.
    pub time: Option<TimeOfDay>,
    /// UTC date, up to 2261; none if it is not known.
    pub date: Option<CivilDate>,
    /// Zone of the place, as far as the receiver was told.
    pub zone: Option<Zone>,
}

impl Zda {
    /// Reads the fields of a sentence.
    ///
    /// # Errors
    /// `BadTime` for a time or date that no clock shows, `BadField` for a zone
    /// that no place has.
    pub fn parse(sentence: &Sentence<'_>) -> Result<Self, DecodeError> {
        let talker = sentence.expect(b"ZDA")?;
        let mut fields = sentence.fields();
        let [time, day, month, year, zone_hours, zone_minutes] = core::array::from_fn(|_| fields.take());
        let zone_empty = zone_hours.is_empty() && zone_minutes.is_empty();
        let zone = || Zone::parse(zone_hours.bytes, zone_minutes.bytes).ok_or(zone_hours.bad());
        Ok(Self {
            talker,
            time: time.time()?,
            date: date(day, month, year)?,
            zone: if zone_empty { None } else { Some(zone()?) },
        })
    }

    /// Writes the sentence.
    pub fn emit(&self) -> EmittedLine {
        let mut writer = Writer::new(self.talker, *b"ZDA");
        writer.time(self.time);
        match self.date {
            Some(CivilDate { year, month, day }) => writer.formatted(format_args!("{day:02},{month:02},{year:04}")),
            None => (0..3).for_each(|_| writer.empty()),
        }
        match self.zone.map(Zone::minutes) {
            Some(minutes) => {
                let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
                writer.formatted(format_args!("{sign}{:02},{:02}", minutes / 60, minutes % 60));
            }
            None => (0..2).for_each(|_| writer.empty()),
        }
        writer.finish().expect("six short fields")
    }

    /// What the clock says: `valid` tells whether time and date are both known,
    /// `zone` the minutes to add to local time to get UTC.
    pub(super) fn reading<'a>(&self, sentence: &Sentence<'a>) -> Reading<'a> {
        let value = |name: &'static [u8], value, unit| Value { name: Text::ascii(name), value, unit, invalid: false };
        let known = self.time.is_some() && self.date.is_some();
        let mut measurement = Measurement::default();
        measurement.values.extend([value(b"valid", ValueKind::Flag(known), "")]);
        let minutes = self.zone.map(|zone| ValueKind::Integer(zone.minutes().into()));
        measurement.values.extend(minutes.map(|minutes| value(b"zone", minutes, "min")));
        Reading {
            sub_device: Text::EMPTY,
            identity: clock::identity(sentence, self.date, self.time),
            time: clock::device_time(time_and_date_text(sentence), self.date, self.time),
            content: Content::Measurement(measurement),
            evidence: sentence.bytes(),
        }
    }
}

/// The date of three fields; none if all are empty.
fn date(day: Field<'_>, month: Field<'_>, year: Field<'_>) -> Result<Option<CivilDate>, DecodeError> {
    if day.is_empty() && month.is_empty() && year.is_empty() {
        return Ok(None);
    }
    let read = |field: Field<'_>| Field::digits(field.bytes).ok_or(field.bad_time());
    let (day_number, month_number, year_number) = (read(day)?, read(month)?, read(year)?);
    let [Ok(day_number), Ok(month_number)] = [day_number, month_number].map(u8::try_from) else {
        return Err(day.bad_time());
    };
    CivilDate::new(year_number, month_number, day_number)
        .filter(|date| (1678..=2261).contains(&date.year))
        .map(Some)
        .ok_or(day.bad_time())
}

/// The first four fields as they stand: `005947.00,08,07,2010`; none if no time
/// is among them.
fn time_and_date_text<'a>(sentence: &Sentence<'a>) -> &'a [u8] {
    let mut fields = sentence.fields();
    let [time, _, _, year] = core::array::from_fn(|_| fields.take());
    if time.is_empty() { b"" } else { &sentence.bytes()[time.offset..year.offset + year.bytes.len()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nmea::clock::tests::{dates, times};
    use crate::{Day, ErrorKind, Identity, TimeValue};
    use proptest::prelude::*;

    fn parse(sentence: &[u8]) -> Result<Zda, DecodeError> {
        Zda::parse(&Sentence::parse(sentence)?)
    }

    /// A sentence of a real receiver; `date -u -d '2010-07-08 00:59:47' +%s` says
    /// 1278550787.
    #[test]
    fn time_and_date_make_utc_and_identity() {
        let sentence = Sentence::parse(b"$GPZDA,005947.00,08,07,2010,+00,00*4E").expect("a sound sentence");
        let zda = Zda::parse(&sentence).expect("sound fields");
        let reading = zda.reading(&sentence);
        assert_eq!(reading.time.value, TimeValue::Utc(1_278_550_787_000_000_000));
        assert_eq!(reading.time.text.bytes(), b"005947.00,08,07,2010");
        assert_eq!(reading.time.resolution_ns, 10_000_000);
        let key = "GPZDA|00:59:47.00|2010-07-08".try_into().expect("a short key");
        assert_eq!(reading.identity, Identity::Content { epoch: 0, key, day: Day::None, stands_for: None });
        assert_eq!(zda.emit(), b"$GPZDA,005947.00,08,07,2010,+00,00*4E\r\n");
    }

    /// A receiver that knows no time says so with empty fields.
    #[test]
    fn a_receiver_without_time_says_nothing_twice() {
        let sentence = Sentence::parse(b"$GPZDA,,,,,,*48").expect("a sound sentence");
        let reading = Zda::parse(&sentence).expect("sound fields").reading(&sentence);
        assert_eq!((reading.time, reading.identity), (Default::default(), Identity::None));
        let Content::Measurement(measurement) = reading.content else { panic!("no measurement") };
        assert_eq!(measurement.values.len(), 1);
        assert_eq!(measurement.values[0].value, ValueKind::Flag(false));
    }

    /// Times that no clock shows, with the offset of the field that says so.
    #[test]
    fn what_no_clock_shows_is_rejected() {
        for (sentence, kind, offset) in [
            (&b"$GPZDA,256000,08,07,2010,00,00*45"[..], ErrorKind::BadTime, 7),
            (b"$GPZDA,005947,31,06,2010,00,00*40", ErrorKind::BadTime, 14),
            (b"$GPZDA,005947,08,,2010,00,00*4C", ErrorKind::BadTime, 17),
            (b"$GPZDA,005947,08,07,9999,00,00*48", ErrorKind::BadTime, 14),
            (b"$GPZDA,005947,08,07,2010,15,00*4F", ErrorKind::BadField, 25),
        ] {
            assert_eq!(parse(sentence), Err(DecodeError::new(kind, offset)), "{}", sentence.escape_ascii());
        }
    }

    proptest! {
        /// Every clock that can be written is read back as it was.
        #[test]
        fn what_is_emitted_is_parsed(
            time in prop::option::of(times()),
            date in prop::option::of(dates(1678..=2261)),
            zone in prop::option::of(-840_i16..=840),
        ) {
            let zda = Zda { talker: Talker::GNSS, time, date, zone: zone.and_then(Zone::new) };
            let line = zda.emit();
            prop_assert_eq!(parse(line.trim_ascii_end()), Ok(zda));
        }
    }
}
