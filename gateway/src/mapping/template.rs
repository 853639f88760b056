//! Texts with places for what a message says: `wind-{1}`, `{/deviceInfo/devEui}`.

use std::borrow::Cow;

use super::error::{ErrorKind, MappingError};
use super::json::{Kind, Node};
use super::pointer::{InvalidPointer, Pointer, Scope};

/// A text with places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The n-th wildcard of the topic filter, from 1.
    Wildcard(usize),
    /// The name or number of the element that `each` gave.
    Member,
    Pointer(Pointer),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Braces do not come in pairs.
    #[error("each `{{` has its `}}`")]
    Braces,
    /// Something else than a number, a pointer or `member` between braces.
    #[error("between braces stands the number of a wildcard, a JSON pointer, or `member`, not `{0}`")]
    Place(String),
    /// A pointer that is none.
    #[error(transparent)]
    Pointer(#[from] InvalidPointer),
}

impl Template {
    /// Reads a text with places between braces.
    ///
    /// # Errors
    /// A brace has no partner, or holds what is no place.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, place) = rest.split_at(at);
            let (place, after) =
                place.strip_prefix('{').and_then(|it| it.split_once('}')).ok_or(InvalidTemplate::Braces)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::parse(place)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The value at a pointer and nothing else.
    pub fn pointer(pointer: Pointer) -> Self {
        Self { parts: vec![Part::Pointer(pointer)] }
    }

    /// A text as it is.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Literal(text.into())] }
    }

    /// The highest wildcard that it asks for; 0 for none.
    pub fn highest_wildcard(&self) -> usize {
        let numbers = self.parts.iter().map(|part| if let Part::Wildcard(number) = part { *number } else { 0 });
        numbers.max().unwrap_or(0)
    }

    /// Whether the name or number of an element stands in it.
    pub fn names_member(&self) -> bool {
        self.parts.contains(&Part::Member)
    }

    /// Whether something of the message stands in it.
    pub fn reads_message(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Pointer(_)))
    }

    /// Whether it differs from element to element.
    pub fn reads_element(&self) -> bool {
        let own = |part: &Part| match part {
            Part::Pointer(pointer) => !pointer.is_from_root(),
            Part::Member => true,
            Part::Literal(_) | Part::Wildcard(_) => false,
        };
        self.parts.iter().any(own)
    }

    /// The text with its places filled.
    ///
    /// # Errors
    /// A field is missing, or is neither a text, a number nor true or false.
    pub(super) fn render(&self, captures: &[&str], scope: &Scope<'_, '_>) -> Result<String, MappingError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Pointer(pointer) => text.push_str(&scalar(pointer, scope, pointer.require(scope)?)?),
                Part::Literal(literal) => text.push_str(literal),
                // The configuration asks for no wildcard that the filter does not have.
                Part::Wildcard(number) => text.push_str(captures.get(number - 1).unwrap_or(&"")),
                Part::Member => text.push_str(scope.member),
            }
        }
        Ok(text)
    }

    /// The same; none if a field of it is absent, null or an empty text.
    pub(super) fn render_if_there(
        &self,
        captures: &[&str],
        scope: &Scope<'_, '_>,
    ) -> Result<Option<String>, MappingError> {
        let is_there = |part: &Part| match part {
            Part::Pointer(pointer) => pointer.find(scope).is_some_and(|node| node.text() != "\"\""),
            _ => true,
        };
        if self.parts.iter().all(is_there) { self.render(captures, scope).map(Some) } else { Ok(None) }
    }
}

impl Part {
    fn parse(place: &str) -> Result<Self, InvalidTemplate> {
        if place == "member" {
            return Ok(Self::Member);
        }
        if place.starts_with(['/', '$']) {
            return Ok(Self::Pointer(Pointer::parse(place)?));
        }
        match place.parse::<usize>() {
            Ok(number) if number > 0 => Ok(Self::Wildcard(number)),
            _ => Err(InvalidTemplate::Place(place.to_owned())),
        }
    }
}

/// A value as text: a number as it was written.
pub(super) fn scalar<'a>(
    pointer: &Pointer,
    scope: &Scope<'_, '_>,
    node: &Node<'a>,
) -> Result<Cow<'a, str>, MappingError> {
    match node.kind() {
        Kind::Text(text) => Ok(text),
        Kind::Number(text) => Ok(Cow::Borrowed(text)),
        Kind::Flag(flag) => Ok(Cow::Borrowed(if flag { "true" } else { "false" })),
        other => {
            let what = format!("must be a text or a number, and is {}", other.name());
            Err(pointer.error(scope, ErrorKind::WrongType, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: Result<&str, (ErrorKind, &str)>) {
        let root = Node::parse(r#"{"id": 25, "eui": "0a", "e": [{"n": "x"}], "big": 123456789012345678901234567890}"#)
            .expect("JSON");
        let element = root.child("e").and_then(|list| list.child("0")).expect("there");
        let scope = Scope { root: &root, element, member: "0", path: "/e/0" };
        let rendered = Template::parse(template).expect(template).render(&["3", "wind"], &scope);
        let rendered = rendered.as_deref().map_err(|error| (error.kind, error.pointer.as_str()));
        assert_eq!(rendered, expected, "{template}");
    }

    #[test]
    fn places_are_filled() {
        check("plain", Ok("plain"));
        check("wind-{1}", Ok("wind-3"));
        check("{2}/{1}", Ok("wind/3"));
        check("{/n}-{member}", Ok("x-0"));
        check("{$/eui}:{$/id}", Ok("0a:25"));
        check("{$/big}", Ok("123456789012345678901234567890"));
        check("{/m}", Err((ErrorKind::MissingField, "/e/0/m")));
        check("{$/e}", Err((ErrorKind::WrongType, "/e")));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, expected) in [
            ("{1", InvalidTemplate::Braces),
            ("1}", InvalidTemplate::Braces),
            ("{0}", InvalidTemplate::Place("0".to_owned())),
            ("{devEui}", InvalidTemplate::Place("devEui".to_owned())),
            ("{/a~}", InvalidTemplate::Pointer(InvalidPointer::Tilde)),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }
}
