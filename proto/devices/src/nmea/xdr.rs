//! XDR: values of any transducers, four fields each.

use heapless::Vec;

use super::{Decimal, EmitError, EmittedLine, Field, LONGEST, Letter, Sentence, Talker, emit::Writer, units};
use crate::{Content, DecodeError, DeviceTime, Identity, Measurement, Reading, Text, Value, ValueKind};

/// More transducers than fit into the longest sentence, commas alone.
pub const MOST_TRANSDUCERS: usize = LONGEST / 4;

/// Values of a [`Measurement`]; further ones go into a further reading.
const VALUES_PER_READING: usize = 16;

/// `$WIXDR,type,value,unit,id[,type,value,unit,id…]`
#[derive(Debug, Clone, PartialEq)]
pub struct Xdr<'a> {
    /// Who says it.
    pub talker: Talker,
    /// In the order of the sentence; at least one.
    pub transducers: Vec<Transducer<'a>, MOST_TRANSDUCERS>,
}

/// One transducer's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transducer<'a> {
    /// Letter of what it measures.
    pub kind: Letter,
    /// The value.
    pub value: TransducerValue<'a>,
    /// Letter of the unit; empty for a plain number.
    pub unit: &'a [u8],
    /// Which transducer, as the device names it.
    pub id: &'a [u8],
}

/// What a transducer's value field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransducerValue<'a> {
    /// Nothing: it failed, or is not there.
    None,
    /// A number.
    Number(Decimal),
    /// Something else than a number; generic transducers say such things.
    Text(&'a [u8]),
}

impl<'a> Xdr<'a> {
    /// Reads the fields of a sentence.
    ///
    /// # Errors
    /// `BadField` if a transducer has fewer than four fields, or a type that is not
    /// one letter.
    pub fn parse(sentence: &Sentence<'a>) -> Result<Self, DecodeError> {
        let mut xdr = Self { talker: sentence.expect(b"XDR")?, transducers: Vec::new() };
        let mut fields = sentence.fields();
        if fields.is_empty() || !fields.count().is_multiple_of(4) {
            return Err(DecodeError::new(crate::ErrorKind::BadField, sentence.bytes().len() - 3));
        }
        while !fields.is_empty() {
            let [kind, value, unit, id] = core::array::from_fn(|_| fields.take());
            let transducer = Transducer::parse(kind, value, unit, id)?;
            xdr.transducers.push(transducer).map_err(|_| kind.bad())?;
        }
        Ok(xdr)
    }

    /// Writes the sentence.
    ///
    /// # Errors
    /// [`EmitError`] if it is too long, or a text cannot stand in a field.
    pub fn emit(&self) -> Result<EmittedLine, EmitError> {
        let mut writer = Writer::new(self.talker, *b"XDR");
        for transducer in &self.transducers {
            writer.letter(transducer.kind.byte());
            match transducer.value {
                TransducerValue::None => writer.empty(),
                TransducerValue::Number(number) => writer.decimal(Some(number)),
                TransducerValue::Text(text) => writer.text(text),
            }
            writer.text(transducer.unit);
            writer.text(transducer.id);
        }
        writer.finish()
    }

    /// Hands out the values, 16 a reading. They hold no time, so nothing makes them
    /// the same again. `evidence` is the whole sentence.
    pub(super) fn readings(&self, evidence: &[u8], sink: &mut dyn FnMut(Reading<'_>)) {
        for transducers in self.transducers.chunks(VALUES_PER_READING) {
            let names = Names::of(transducers);
            let mut measurement = Measurement::default();
            measurement.values.extend(transducers.iter().enumerate().map(|(index, it)| it.value(names.name(index))));
            sink(Reading {
                sub_device: Text::EMPTY,
                identity: Identity::None,
                time: DeviceTime::default(),
                content: Content::Measurement(measurement),
                evidence,
            });
        }
    }
}

impl<'a> Transducer<'a> {
    fn parse(kind: Field<'a>, value: Field<'a>, unit: Field<'a>, id: Field<'a>) -> Result<Self, DecodeError> {
        let value = match Decimal::parse(value.bytes) {
            Some(number) => TransducerValue::Number(number),
            None if value.is_empty() => TransducerValue::None,
            None => TransducerValue::Text(value.bytes),
        };
        Ok(Self { kind: kind.letter()?.ok_or(kind.bad())?, value, unit: unit.bytes, id: id.bytes })
    }

    /// The value under a name. Text where a number belongs is kept as not valid.
    fn value<'n>(&self, name: &'n [u8]) -> Value<'n>
    where
        'a: 'n,
    {
        let (value, invalid) = match self.value {
            TransducerValue::None => (ValueKind::Text(Text::EMPTY), true),
            TransducerValue::Number(number) => (ValueKind::Number(number.to_f64()), false),
            TransducerValue::Text(text) => (ValueKind::Text(Text::ascii(text)), self.kind.byte() != b'G'),
        };
        let unit = units::quantity(self.kind.byte(), self.unit).map_or("", |quantity| quantity.unit);
        Value { name: Text::ascii(name), value, unit, invalid }
    }
}

/// The names of a reading's values: quantity and id, `temperature/AIR`. Where the
/// letters of type and unit are not known they stand in the quantity's place.
struct Names {
    text: Vec<u8, { LONGEST + VALUES_PER_READING * Names::LONGEST_QUANTITY }>,
    ends: Vec<usize, VALUES_PER_READING>,
}

impl Names {
    /// `displacement` and the stroke.
    const LONGEST_QUANTITY: usize = 13;

    fn of(transducers: &[Transducer<'_>]) -> Self {
        let mut names = Self { text: Vec::new(), ends: Vec::new() };
        for Transducer { kind, unit, id, .. } in transducers {
            match units::quantity(kind.byte(), unit) {
                Some(quantity) => names.add(quantity.name),
                None => {
                    names.add(kind.text().bytes());
                    names.add(unit);
                }
            }
            if !id.is_empty() {
                names.add(b"/");
                names.add(id);
            }
            names.ends.push(names.text.len()).expect("a name a value");
        }
        names
    }

    fn add(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text).expect("units and ids come out of one sentence");
    }

    fn name(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nmea::decimal::tests::decimals;
    use proptest::prelude::*;
    use std::{
        format,
        string::{String, ToString as _},
        vec,
    };

    type Shown = (String, ValueKind<'static>, &'static str, bool);

    /// The values of each reading of a sentence whose texts live for ever.
    fn readings(body: &'static str) -> std::vec::Vec<std::vec::Vec<Shown>> {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        let sentence = String::leak(format!("${body}*{sum:02X}")).as_bytes();
        let xdr = Xdr::parse(&Sentence::parse(sentence).expect("a sound sentence")).expect("sound fields");
        let mut found = vec![];
        xdr.readings(sentence, &mut |reading| {
            assert_eq!((reading.evidence, reading.identity), (sentence, Identity::None));
            let Content::Measurement(measurement) = reading.content else { panic!("no measurement") };
            let shown = measurement.values.iter().map(|value| {
                let kind = match value.value {
                    ValueKind::Text(text) => ValueKind::Text(Text::ascii(String::leak(text.to_string()).as_bytes())),
                    ValueKind::Number(number) => ValueKind::Number(number),
                    other => panic!("no transducer says {other:?}"),
                };
                (value.name.to_string(), kind, value.unit, value.invalid)
            });
            found.push(shown.collect());
        });
        found
    }

    /// A weather station's air, a heater that is off, a sensor that failed, and a
    /// unit that only its maker knows.
    #[test]
    fn values_carry_quantity_id_and_unit() {
        let found = readings("WIXDR,C,-20.4,C,AIR,P,1.0132,B,,H,,P,0,G,HEL,,4,U,12.0,#,0,V,0.10,M,2,C,x,C,1");
        let number = |name: &str, value, unit| (name.to_string(), ValueKind::Number(value), unit, false);
        let text = |name: &str, value: &'static [u8], unit, invalid| {
            (name.to_string(), ValueKind::Text(Text::ascii(value)), unit, invalid)
        };
        assert_eq!(
            found,
            [[
                number("temperature/AIR", -20.4, "Cel"),
                number("pressure", 1.0132, "bar"),
                text("humidity/0", b"", "%", true),
                text("generic/4", b"HEL", "", false),
                number("U#/0", 12.0, ""),
                number("VM/2", 0.1, ""),
                text("temperature/1", b"x", "Cel", true),
            ]]
        );
    }

    /// Seventeen values make two readings, and none is lost between them.
    #[test]
    fn more_than_sixteen_values_make_several_readings() {
        let body = String::leak(format!("WIXDR{}", (0..17).map(|id| format!(",A,{id},D,{id}")).collect::<String>()));
        let found = readings(body);
        assert_eq!(found.iter().map(std::vec::Vec::len).collect::<std::vec::Vec<_>>(), [16, 1]);
        for (id, (name, value, ..)) in found.into_iter().flatten().enumerate() {
            assert_eq!((name, value), (format!("angle/{id}"), ValueKind::Number(id as f64)));
        }
    }

    /// Three fields are no transducer, and two letters no type.
    #[test]
    fn half_a_transducer_is_none() {
        for (sentence, offset) in [
            (&b"$WIXDR,C,20.4,C*64"[..], 15),
            (b"$WIXDR*50", 6),
            (b"$WIXDR,CC,20.4,C,1*3A", 7),
            (b"$WIXDR,,20.4,C,1*3A", 7),
        ] {
            let error = Xdr::parse(&Sentence::parse(sentence).expect("a sound sentence")).expect_err("no transducer");
            assert_eq!(error, DecodeError::new(crate::ErrorKind::BadField, offset), "{}", sentence.escape_ascii());
        }
    }

    /// A text that would end its field is refused, and so is a sentence too long.
    #[test]
    fn what_cannot_be_read_back_is_not_written() {
        let value = TransducerValue::Number(Decimal::ZERO);
        let xdr = |transducer, count| Xdr {
            talker: Talker::WEATHER,
            transducers: core::iter::repeat_n(transducer, count).collect(),
        };
        let plain = Transducer { kind: Letter::new(b'C').expect("a letter"), value, unit: b"C", id: b"AIR" };
        assert_eq!(xdr(plain, 24).emit().expect("250 bytes").len(), 251);
        assert_eq!(xdr(plain, 25).emit(), Err(EmitError::TooLong));
        for id in [&b"A,B"[..], b"A*B", b"A$B", b"\r\n", b"\xff"] {
            assert_eq!(xdr(Transducer { id, ..plain }, 1).emit(), Err(EmitError::BadText));
        }
    }

    prop_compose! {
        fn transducers()(
            kind in (b'A'..=b'Z').prop_map(|it| Letter::new(it).expect("a letter")),
            number in prop::option::of(decimals(-2000..=2000)),
            unit in prop::sample::select([&b""[..], b"C", b"P", b"M", b"#"].to_vec()),
            id in prop::sample::select([&b""[..], b"0", b"AIR TEMP", b"x-1"].to_vec()),
            text in prop::sample::select(&[TransducerValue::None, TransducerValue::Text(b"HEL")][..]),
        ) -> Transducer<'static> {
            Transducer { kind, value: number.map_or(text, TransducerValue::Number), unit, id }
        }
    }

    proptest! {
        /// Every sentence that can be written is read back as it was, and none of
        /// its values is lost on the way into readings.
        #[test]
        fn what_is_emitted_is_parsed(transducers in prop::collection::vec(transducers(), 1..20)) {
            let count = transducers.len();
            let xdr = Xdr { talker: Talker::WEATHER, transducers: transducers.into_iter().collect() };
            let Ok(line) = xdr.emit() else { return Ok(()) };
            let sentence = Sentence::parse(line.trim_ascii_end()).expect("a sound sentence");
            let parsed = Xdr::parse(&sentence).expect("sound fields");
            prop_assert_eq!(&parsed, &xdr);
            let mut values = 0;
            parsed.readings(sentence.bytes(), &mut |reading| if let Content::Measurement(it) = reading.content {
                values += it.values.len();
            });
            prop_assert_eq!(values, count);
        }
    }
}
