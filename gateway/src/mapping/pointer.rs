//! JSON pointers (RFC 6901).

use std::fmt;

use super::error::{ErrorKind, MappingError};
use super::json::Node;

/// A place in a message: from the element that is mapped, or from the message's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    from_root: bool,
    tokens: Vec<String>,
}

/// Why a text is not a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// It begins with something else than a slash.
    #[error("a pointer begins with `/`, or with `$/` from the message's root")]
    NoSlash,
    /// A tilde stands for itself.
    #[error("in a pointer `~` is written `~0`, and `/` within a name `~1`")]
    Tilde,
}

/// The values that pointers start from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'n, 'a> {
    /// The message.
    pub(super) root: &'n Node<'a>,
    /// What is mapped: an element, or the message.
    pub(super) element: &'n Node<'a>,
    /// The name of the element in its object, or its number; empty without `each`.
    pub(super) member: &'n str,
    /// The pointer from the root to the element.
    pub(super) path: &'n str,
}

impl Pointer {
    /// Reads `/a/b`, `$/a/b` or the empty text.
    ///
    /// # Errors
    /// It is no JSON pointer.
    pub fn parse(text: &str) -> Result<Self, InvalidPointer> {
        let (from_root, path) = text.strip_prefix('$').map_or((false, text), |path| (true, path));
        if path.is_empty() {
            return Ok(Self { from_root, tokens: Vec::new() });
        }
        let tokens = path.strip_prefix('/').ok_or(InvalidPointer::NoSlash)?;
        let tokens = tokens.split('/').map(unescape).collect::<Option<_>>().ok_or(InvalidPointer::Tilde)?;
        Ok(Self { from_root, tokens })
    }

    /// Whether it is the same for every element of a message.
    pub fn is_from_root(&self) -> bool {
        self.from_root
    }

    /// The last name in it.
    pub fn last(&self) -> Option<&str> {
        self.tokens.last().map(String::as_str)
    }

    /// What it leads to; none also for null, which is how many devices say nothing.
    pub(super) fn find<'n, 'a>(&self, scope: &Scope<'n, 'a>) -> Option<&'n Node<'a>> {
        let start = if self.from_root { scope.root } else { scope.element };
        let found = self.tokens.iter().try_fold(start, |node, token| node.child(token))?;
        (found.text() != "null").then_some(found)
    }

    /// What it must lead to.
    pub(super) fn require<'n, 'a>(&self, scope: &Scope<'n, 'a>) -> Result<&'n Node<'a>, MappingError> {
        self.find(scope).ok_or_else(|| {
            let place = self.place(scope);
            MappingError::new(ErrorKind::MissingField, &place, format!("{} is missing", shown(&place)))
        })
    }

    /// The pointer from the message's root.
    pub(super) fn place(&self, scope: &Scope<'_, '_>) -> String {
        let start = if self.from_root { "" } else { scope.path };
        self.tokens.iter().fold(start.to_owned(), |path, token| child_path(&path, token))
    }

    /// An error at it.
    pub(super) fn error(&self, scope: &Scope<'_, '_>, kind: ErrorKind, what: impl fmt::Display) -> MappingError {
        let place = self.place(scope);
        MappingError::new(kind, &place, format!("{} {what}", shown(&place)))
    }
}

/// A pointer in a sentence.
pub(super) fn shown(place: &str) -> String {
    if place.is_empty() { "the message".to_owned() } else { super::error::quoted(place) }
}

/// The pointer of a member.
pub(super) fn child_path(path: &str, token: &str) -> String {
    format!("{path}/{}", token.replace('~', "~0").replace('/', "~1"))
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        plain.push(escaped);
        plain.push_str(rest);
    }
    Some(plain)
}

/// As it is written in the configuration.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.tokens.iter().fold(String::new(), |path, token| child_path(&path, token));
        write!(f, "{}{path}", if self.from_root { "$" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6901, section 5.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        let text = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4,
                       "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}"#;
        let root = Node::parse(text).expect("JSON");
        let scope = Scope { root: &root, element: &root, member: "", path: "" };
        let cases = [
            ("", text),
            ("/foo", r#"["bar", "baz"]"#),
            ("/foo/0", "\"bar\""),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
            ("$/foo/1", "\"baz\""),
        ];
        for (written, expected) in cases {
            let pointer = Pointer::parse(written).expect(written);
            assert_eq!(pointer.find(&scope).map(Node::text), Some(expected), "{written}");
            assert_eq!(pointer.to_string(), written);
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        assert_eq!(Pointer::parse("foo"), Err(InvalidPointer::NoSlash));
        assert_eq!(Pointer::parse("$foo"), Err(InvalidPointer::NoSlash));
        assert_eq!(Pointer::parse("/a~"), Err(InvalidPointer::Tilde));
        assert_eq!(Pointer::parse("/a~2b"), Err(InvalidPointer::Tilde));
    }
}
