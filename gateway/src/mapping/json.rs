//! A JSON text that is taken apart only where somebody looks.
//!
//! A number keeps its digits: `0.10` stays what the device wrote, and a serial number
//! of 25 digits is not rounded. Nothing here recurses, so depth is no danger.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value within a JSON text.
#[derive(Debug)]
pub(super) struct Node<'a> {
    text: &'a str,
    members: OnceCell<Vec<(Cow<'a, str>, Node<'a>)>>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'a> {
    Null,
    Flag(bool),
    /// As written: a JSON number of any length.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// A text that is not Unicode: half a surrogate pair.
    BrokenText,
    Array,
    Object,
}

impl Kind<'_> {
    /// The type, with its article.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::BrokenText => "a text that is not Unicode",
            Self::Array => "a list",
            Self::Object => "an object",
        }
    }
}

impl<'a> Node<'a> {
    /// The value that a text holds, and nothing else.
    ///
    /// # Errors
    /// The text is not JSON.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
        if !trimmed.starts_with('{') {
            return serde_json::from_str::<&RawValue>(text).map(Self::new);
        }
        // Nearly every message is an object, of which members are asked for: one pass checks
        // and takes apart.
        let members = serde_json::from_str::<Members<'a>>(text)?;
        Ok(Self { text: trimmed, members: OnceCell::from(members.0) })
    }

    fn new(raw: &'a RawValue) -> Self {
        Self { text: raw.get(), members: OnceCell::new() }
    }

    /// The value as it was written.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn kind(&self) -> Kind<'a> {
        match self.text.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't') => Kind::Flag(true),
            Some(b'f') => Kind::Flag(false),
            Some(b'n') | None => Kind::Null,
            Some(b'"') => {
                serde_json::from_str::<Name<'a>>(self.text).map_or(Kind::BrokenText, |name| Kind::Text(name.0))
            }
            Some(_) => Kind::Number(self.text),
        }
    }

    /// The members of an object with their names, the elements of an array without,
    /// in the order of the text; none for anything else.
    pub(super) fn members(&self) -> &[(Cow<'a, str>, Node<'a>)] {
        self.members.get_or_init(|| match self.kind() {
            Kind::Object => serde_json::from_str::<Members<'a>>(self.text).map(|it| it.0).unwrap_or_default(),
            Kind::Array => {
                let elements = serde_json::from_str::<Vec<&RawValue>>(self.text).unwrap_or_default();
                elements.into_iter().map(|raw| (Cow::Borrowed(""), Node::new(raw))).collect()
            }
            _ => Vec::new(),
        })
    }

    /// The value of a token of a JSON pointer. Where a name stands twice in an object,
    /// the last one counts.
    pub(super) fn child(&self, token: &str) -> Option<&Node<'a>> {
        match self.text.as_bytes().first() {
            Some(b'{') => self.members().iter().rfind(|(name, _)| name == token).map(|(_, node)| node),
            Some(b'[') if token == "0" || !token.starts_with(['0', '+']) => {
                self.members().get(token.parse::<usize>().ok()?).map(|(_, node)| node)
            }
            _ => None,
        }
    }
}

/// A text that borrows from its JSON where it holds no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name.0, Node::new(raw)));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'n>(node: &'n Node<'_>, tokens: &[&str]) -> Option<&'n str> {
        tokens.iter().try_fold(node, |node, token| node.child(token)).map(|node| node.text())
    }

    /// Values keep their text; names are found though they are written with escapes.
    #[test]
    fn values_are_found_as_they_were_written() {
        let node = Node::parse(r#" {"a": [1.50, {"b\u0041": null}], "a/b": "x", "t": "\u00e9"} "#).expect("JSON");
        assert_eq!(at(&node, &["a", "0"]), Some("1.50"));
        assert_eq!(at(&node, &["a", "1", "bA"]), Some("null"));
        assert_eq!(at(&node, &["a/b"]), Some("\"x\""));
        for absent in [&["b"][..], &["a", "2"], &["a", "00"], &["a", "+1"], &["a", "-"], &["a/b", "0"]] {
            assert_eq!(at(&node, absent), None, "{absent:?}");
        }
        assert_eq!(node.child("t").map(Node::kind), Some(Kind::Text("é".into())));
    }

    /// A name that stands twice: the last one counts, as in most readers of JSON.
    #[test]
    fn the_last_of_two_members_counts() {
        let node = Node::parse(r#"{"a": 1, "a": 2}"#).expect("JSON");
        assert_eq!(at(&node, &["a"]), Some("2"));
    }

    /// A text that is not Unicode is told as such. An object with such a name is refused,
    /// or is found to hold nothing where it lies within.
    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        let node = Node::parse(r#"{"a": "\ud800"}"#).expect("sound, as far as nobody looks");
        assert_eq!(node.child("a").map(Node::kind), Some(Kind::BrokenText));
        assert!(Node::parse(r#"{"\ud800": 1, "a": 2}"#).is_err());
        let node = Node::parse(r#"[{"\ud800": 1, "a": 2}]"#).expect("sound, as far as nobody looks");
        assert_eq!(at(&node, &["0", "a"]), None);
    }

    /// A hundred thousand brackets do not reach the end of the stack.
    #[test]
    fn depth_is_no_danger() {
        let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
        let node = Node::parse(&deep).expect("JSON");
        assert_eq!(at(&node, &["0", "0"]).map(str::len), Some(199_996));
        assert!(Node::parse(&deep[..199_999]).is_err());
    }

    /// What is not JSON is refused: a comma that is missing, something behind the end,
    /// nothing at all.
    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["{\"a\": 1 \"b\": 2}", "{} {}", "", "NaN", "01", "'a'", "{", "\u{a0}{}", "{\"a\": 1,}"] {
            assert!(Node::parse(text).is_err(), "{text}");
        }
    }
}
