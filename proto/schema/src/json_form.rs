//! What proto3 JSON asks for and the generated code lacks; `build.rs` puts it in.
//!
//! A gateway years old reads what a newer one wrote: an enum's number that it does not
//! know is written as that number, where pbjson refuses the whole event. A double that
//! is no number is written as `"NaN"`, `"Infinity"` or `"-Infinity"`, where JSON has
//! no number for it and pbjson writes null.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IntoDeserializer as _, Unexpected, Visitor},
};

/// A field of the enum `E`: its name in JSON, or its number if `E` has none for it.
pub(crate) struct EnumNumber<E> {
    number: i32,
    of: PhantomData<E>,
}

impl<E> EnumNumber<E> {
    pub(crate) fn new(number: i32) -> Self {
        Self { number, of: PhantomData }
    }

    pub(crate) fn number(self) -> i32 {
        self.number
    }
}

impl<E: TryFrom<i32> + Serialize> Serialize for EnumNumber<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match E::try_from(self.number) {
            Ok(known) => known.serialize(serializer),
            Err(_) => serializer.serialize_i32(self.number),
        }
    }
}

impl<'de, E: Into<i32> + Deserialize<'de>> Deserialize<'de> for EnumNumber<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrNumber(PhantomData))
    }
}

struct NameOrNumber<E>(PhantomData<E>);

impl<'de, E: Into<i32> + Deserialize<'de>> Visitor<'de> for NameOrNumber<E> {
    type Value = EnumNumber<E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name or the number of an enum's value")
    }

    fn visit_i64<X: Error>(self, number: i64) -> Result<Self::Value, X> {
        let narrow = i32::try_from(number).map_err(|_| X::invalid_value(Unexpected::Signed(number), &self))?;
        Ok(EnumNumber::new(narrow))
    }

    fn visit_u64<X: Error>(self, number: u64) -> Result<Self::Value, X> {
        let narrow = i32::try_from(number).map_err(|_| X::invalid_value(Unexpected::Unsigned(number), &self))?;
        Ok(EnumNumber::new(narrow))
    }

    fn visit_str<X: Error>(self, name: &str) -> Result<Self::Value, X> {
        E::deserialize(name.into_deserializer()).map(|known| EnumNumber::new(known.into()))
    }
}

/// A double of any value.
pub(crate) struct Double(pub(crate) f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => serializer.serialize_f64(number),
            number if number.is_nan() => serializer.serialize_str("NaN"),
            number if number > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

/// Writes bytes as the JSON form of a message does: base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    use pbjson::private::base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}
