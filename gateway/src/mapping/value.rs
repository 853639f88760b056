//! From a field of a message to a named value with its unit.

use std::collections::BTreeMap;

use venue_devices::Unit;

use super::error::{ErrorKind, MappingError, quoted};
use super::json::{Kind, Node};
use super::pointer::{Pointer, Scope, child_path, shown};
use super::reading::{MappedKind, MappedValue};
use super::template::{Template, scalar};

/// The longest text that is taken as a value or as a name, bytes; a longer one fails the
/// message, for the event would not fit into the journal beside its evidence.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The most values of a message, or of an element of `each`; more fail the message.
pub const VALUES_MAX: usize = 256;
/// How deep `members` looks into objects and lists; what lies deeper fails the message.
pub const MEMBERS_DEPTH_MAX: usize = 8;

/// Where a value stands and how it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueRule {
    /// Where it stands.
    pub pointer: Pointer,
    /// What it is called.
    pub name: Name,
    /// Its unit; empty for none.
    pub unit: Unit,
    /// How a number becomes one of that unit.
    pub scale: Scale,
    /// Whether it is a number though it may be written as a text.
    pub number: bool,
    /// Words for what the message says; empty for the value itself.
    pub words: BTreeMap<String, String>,
    /// Whether it may be absent.
    pub optional: bool,
}

/// What a value is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// This.
    Given(Template),
    /// The pointer leads to an object: each of its members by its own name, those of
    /// objects and lists within by their path, `a/b/0`.
    Members,
}

/// `factor * number + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// What it is multiplied with; not 0.
    pub factor: f64,
    /// What is added then.
    pub offset: f64,
}

impl Scale {
    /// As it is.
    pub const NONE: Self = Self { factor: 1.0, offset: 0.0 };

    /// A number of the message, scaled.
    pub(super) fn apply(self, number: f64) -> f64 {
        // Tenths are divided by ten: 3 × 0.1 is 0.30000000000000004, 3 ÷ 10 is 0.3.
        let divisor = (1.0 / self.factor).round();
        let scaled =
            if divisor != 0.0 && 1.0 / divisor == self.factor { number / divisor } else { number * self.factor };
        scaled + self.offset
    }
}

impl ValueRule {
    /// Adds what the rule finds. `units` are those of values by name.
    pub(super) fn read(
        &self,
        captures: &[&str],
        scope: &Scope<'_, '_>,
        units: &BTreeMap<String, Unit>,
        into: &mut Vec<MappedValue>,
    ) -> Result<(), MappingError> {
        let Some(node) = self.find(scope)? else { return Ok(()) };
        match &self.name {
            Name::Members => {
                if node.kind() != Kind::Object {
                    let what = format!("must be an object, and is {}", node.kind().name());
                    return Err(self.pointer.error(scope, ErrorKind::WrongType, what));
                }
                members(node, "", &self.pointer.place(scope), 0, units, into)
            }
            Name::Given(name) => {
                let name = short(name.render(captures, scope)?, &self.pointer.place(scope))?;
                let unit = if self.unit.is_empty() { unit_of(units, &name) } else { self.unit };
                let value = self.value(scope, node, unit)?;
                push(MappedValue { name, value, unit }, &self.pointer.place(scope), into)
            }
        }
    }

    /// The number that the rule finds, scaled, and as it was written.
    pub(super) fn read_number(&self, scope: &Scope<'_, '_>) -> Result<Option<(f64, String)>, MappingError> {
        let Some(node) = self.find(scope)? else { return Ok(None) };
        let place = self.pointer.place(scope);
        let text = numeral(node, &place)?;
        Ok(Some((scaled(&text, self.scale, &place)?, text)))
    }

    /// The field, if it is there and may be absent.
    pub(super) fn find<'n, 'a>(&self, scope: &Scope<'n, 'a>) -> Result<Option<&'n Node<'a>>, MappingError> {
        match self.pointer.find(scope) {
            None if self.optional => Ok(None),
            None => self.pointer.require(scope).map(Some),
            found => Ok(found),
        }
    }

    fn value(&self, scope: &Scope<'_, '_>, node: &Node<'_>, unit: Unit) -> Result<MappedKind, MappingError> {
        if !self.words.is_empty() {
            return self.word(scope, node).map(|word| MappedKind::Text(word.to_owned()));
        }
        let place = self.pointer.place(scope);
        if self.scale != Scale::NONE {
            return scaled(&numeral(node, &place)?, self.scale, &place).map(MappedKind::Number);
        }
        if self.number { number(&numeral(node, &place)?, &place) } else { plain(node, unit, &place) }
    }

    /// The word for what the message says.
    pub(super) fn word(&self, scope: &Scope<'_, '_>, node: &Node<'_>) -> Result<&str, MappingError> {
        let said = scalar(&self.pointer, scope, node)?;
        self.words.get(said.as_ref()).map(String::as_str).ok_or_else(|| {
            let known = self.words.keys().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
            let what = format!("is {}, and `enum` has {known}", quoted(&said));
            self.pointer.error(scope, ErrorKind::UnknownWord, what)
        })
    }
}

/// Adds every member of an object by its name or path.
fn members(
    node: &Node<'_>,
    prefix: &str,
    place: &str,
    depth: usize,
    units: &BTreeMap<String, Unit>,
    into: &mut Vec<MappedValue>,
) -> Result<(), MappingError> {
    if depth == MEMBERS_DEPTH_MAX {
        let message = format!("{} lies deeper than {MEMBERS_DEPTH_MAX} levels", shown(place));
        return Err(MappingError::new(ErrorKind::TooLarge, place, message));
    }
    let is_list = node.kind() == Kind::Array;
    for (index, (name, member)) in node.members().iter().enumerate() {
        let name = if is_list { index.to_string() } else { name.to_string() };
        let place = child_path(place, &name);
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let name = short(name, &place)?;
        match member.kind() {
            Kind::Null => {}
            Kind::Object | Kind::Array => members(member, &name, &place, depth + 1, units, into)?,
            _ => {
                let unit = unit_of(units, &name);
                push(MappedValue { value: plain(member, unit, &place)?, name, unit }, &place, into)?;
            }
        }
    }
    Ok(())
}

fn push(value: MappedValue, place: &str, into: &mut Vec<MappedValue>) -> Result<(), MappingError> {
    if into.len() == VALUES_MAX {
        let message = format!("{} is one value too many: {VALUES_MAX} are read", shown(place));
        return Err(MappingError::new(ErrorKind::TooManyValues, place, message));
    }
    into.push(value);
    Ok(())
}

fn unit_of(units: &BTreeMap<String, Unit>, name: &str) -> Unit {
    units.get(name).copied().unwrap_or("")
}

/// A value as its JSON type says; with a unit it is a number, also in a text.
fn plain(node: &Node<'_>, unit: Unit, place: &str) -> Result<MappedKind, MappingError> {
    match node.kind() {
        Kind::Flag(flag) if unit.is_empty() => Ok(MappedKind::Flag(flag)),
        Kind::Text(text) if unit.is_empty() => short(text.into_owned(), place).map(MappedKind::Text),
        Kind::Number(text) => number(text, place),
        _ if !unit.is_empty() => number(&numeral(node, place)?, place),
        other => {
            let message = format!("{} must be a single value, and is {}", shown(place), other.name());
            Err(MappingError::new(ErrorKind::WrongType, place, message))
        }
    }
}

/// The digits of a number, or of a text that holds one.
fn numeral(node: &Node<'_>, place: &str) -> Result<String, MappingError> {
    match node.kind() {
        Kind::Number(text) => Ok(text.to_owned()),
        Kind::Text(text) => Ok(text.trim().to_owned()),
        other => {
            let message = format!("{} must be a number, and is {}", shown(place), other.name());
            Err(MappingError::new(ErrorKind::WrongType, place, message))
        }
    }
}

/// A number: whole if it is written whole and has at most 63 bits.
fn number(text: &str, place: &str) -> Result<MappedKind, MappingError> {
    match text.parse::<i64>() {
        Ok(integer) => Ok(MappedKind::Integer(integer)),
        Err(_) => scaled(text, Scale::NONE, place).map(MappedKind::Number),
    }
}

fn scaled(text: &str, scale: Scale, place: &str) -> Result<f64, MappingError> {
    // Rust reads `inf`, `nan` and `infinity`, too; a sensor means an error by them.
    let parsed =
        text.parse::<f64>().ok().filter(|number| number.is_finite() || text.bytes().any(|b| b.is_ascii_digit()));
    let number = parsed.map(|number| scale.apply(number)).ok_or_else(|| {
        MappingError::new(ErrorKind::BadNumber, place, format!("{} is not a number: {}", shown(place), quoted(text)))
    })?;
    if !number.is_finite() {
        let message = format!("{} is beyond what a double holds: {}", shown(place), quoted(text));
        return Err(MappingError::new(ErrorKind::BadNumber, place, message));
    }
    Ok(number)
}

/// A text that fits into an event.
pub(super) fn short(text: String, place: &str) -> Result<String, MappingError> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(text);
    }
    let message = format!("{} is a text of {} bytes: {TEXT_BYTES_MAX} are read", shown(place), text.len());
    Err(MappingError::new(ErrorKind::TooLarge, place, message))
}
