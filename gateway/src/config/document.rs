//! A TOML text with its places: byte spans become lines and columns, and what the
//! parser refuses becomes findings.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::finding::{Finding, LinePlace, Place};

/// A text and the name of its file.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) file: PathBuf,
    pub(super) text: String,
}

impl Text {
    pub(super) fn new(file: impl AsRef<Path>, text: impl Into<String>) -> Self {
        Self { file: file.as_ref().to_owned(), text: text.into() }
    }

    /// The place of a byte range; of its first line, if it spans several.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let start = boundary(&self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        let end = span.end.clamp(start, line_start + line.len().max(start - line_start));
        let end = boundary(&self.text, end);
        Place::Line(Box::new(LinePlace {
            file: self.file.clone(),
            line: self.text[..line_start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            width: self.text[start..end].chars().count().max(1),
            text: line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        }))
    }
}

/// The nearest place at or before a byte offset where a character starts.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A parsed text.
#[derive(Debug)]
pub(super) struct Document<'t> {
    pub(super) text: &'t Text,
    pub(super) root: DeTable<'t>,
    /// What the parser refused, in the order of the text.
    pub(super) syntax: Vec<Finding>,
    /// Byte offset from which on keys may have ended up in another table than the
    /// one that they were written in.
    pub(super) sound_until: usize,
}

impl<'t> Document<'t> {
    /// Parses as much as can be understood.
    pub(super) fn parse(text: &'t Text) -> Self {
        let (root, mut errors) = DeTable::parse_recoverable(&text.text);
        let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        errors.sort_by_key(start);
        let open = errors.iter().any(|error| error.message().starts_with("unclosed"));
        let torn = errors.iter().position(|error| open && is_torn(error.message()));
        if let Some(torn) = torn {
            // An open bracket swallows what follows: every further error is its echo.
            errors.truncate(torn + 1);
        }
        let keyless = errors.iter().position(|error| error.message().starts_with(NO_VALUE));
        let sound_until = torn.into_iter().chain(keyless).map(|at| start(&errors[at])).min().unwrap_or(usize::MAX);
        let syntax = errors.iter().enumerate().map(|(index, error)| refused(text, error, Some(index) == torn));
        Self { text, syntax: one_a_line(syntax.collect()), root: root.into_inner(), sound_until }
    }
}

/// After this the parser skips a table's header if one follows.
const NO_VALUE: &str = "key with no value";

/// Whether a message is the first sign of a bracket that was left open.
fn is_torn(message: &str) -> bool {
    ["unclosed", "missing comma", "missing key for inline table", "unexpected `=` in array"]
        .iter()
        .any(|sign| message.starts_with(sign))
}

fn refused(text: &Text, error: &toml::de::Error, torn: bool) -> Finding {
    let mut span = error.span().unwrap_or(0..0);
    if torn {
        // The parser notices at the next word, often lines later; what lacks its end is before.
        let before = text.text.get(..span.start).unwrap_or("").trim_end().len();
        span = before..before;
    }
    let place = text.place(span);
    let help = match error.message() {
        _ if torn => "close the `{` or `[` that was opened before this place, or add the comma",
        "duplicate key" => "a key stands once in its table: remove one, or write `[[source]]` for one more source",
        message if message.contains("must be quoted") => "put the text between quotes: \"…\"",
        message if message.starts_with("invalid basic string") => "close the text with a quote, in the same line",
        message if message.starts_with(NO_VALUE) => "write `key = value`",
        _ => "see https://toml.io for how TOML is written",
    };
    Finding::error(place, format!("not TOML: {}", error.message()), help)
}

/// One cause often makes the parser complain several times in a line.
fn one_a_line(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.dedup_by_key(|finding| finding.place.line_and_column().map(|(line, _)| line));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, usize, &str)]) {
        let text = Text::new("site.toml", text);
        let document = Document::parse(&text);
        let found: Vec<_> = document
            .syntax
            .iter()
            .map(|finding| {
                let (line, column) = finding.place.line_and_column().expect("syntax errors have a line");
                (line, column, finding.message.as_str())
            })
            .collect();
        assert_eq!(found, expected);
    }

    /// Mistakes that stay within their line are all told at once.
    #[test]
    fn every_broken_line_is_told() {
        check(
            "[gateway]\nid = stade\nvenue = \"x\n[log]\n[gateway]\n[log]\nfilter\n",
            &[
                (2, 6, "not TOML: string values must be quoted, expected literal string"),
                (3, 11, "not TOML: invalid basic string, expected `\"`"),
                (5, 2, "not TOML: duplicate key"),
                (6, 2, "not TOML: duplicate key"),
                (7, 7, "not TOML: key with no value, expected `=`"),
            ],
        );
    }

    /// An open bracket is told once, where it first shows, and not for every line
    /// after it.
    #[test]
    fn an_open_bracket_is_told_once() {
        check(
            "[journal]\nresults = { quota = \"8GiB\"\ntelemetry = { quota = 1 }\n[log]\nfilter = \"info\"\n",
            &[(2, 27, "not TOML: missing comma between key-value pairs, expected `,`")],
        );
    }

    /// Places count characters, not bytes, and hold at the very end of a text.
    #[test]
    fn places_count_characters() {
        let text = Text::new("f", "a = 1\r\né\tb = \"ü\"");
        let place = |span| match text.place(span) {
            Place::Line(at) => (at.line, at.column, at.width, at.text),
            other => panic!("{other:?}"),
        };
        assert_eq!(place(10..11), (2, 3, 1, "é b = \"ü\"".to_owned()));
        assert_eq!(place(14..18), (2, 7, 3, "é b = \"ü\"".to_owned()));
        assert_eq!(place(0..18), (1, 1, 5, "a = 1".to_owned()));
        assert_eq!(place(18..18).0, 2);
        assert_eq!(place(99..100).0, 2);
    }
}
