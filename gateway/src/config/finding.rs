//! What is found wrong: where, what, and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::ser::Serializer;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The gateway cannot run like this.
    Error,
    /// It runs, but hardly as meant.
    Warning,
}

impl Severity {
    /// The word that stands before the message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Where something was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file, in a line.
    Line(Box<LinePlace>),
    /// Somewhere in a file, or the file itself.
    File(PathBuf),
    /// In an environment variable of this name.
    Variable(String),
}

/// A place in a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePlace {
    /// The file, as its name was given.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters it takes, at least 1.
    pub width: usize,
    /// The line's text, control characters shown as blanks.
    pub text: String,
}

impl Place {
    /// The file, unless it is a variable.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Line(place) => Some(&place.file),
            Self::File(file) => Some(file),
            Self::Variable(_) => None,
        }
    }

    /// Line and column, both from 1, if it is in a line.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        match self {
            Self::Line(place) => Some((place.line, place.column)),
            Self::File(_) | Self::Variable(_) => None,
        }
    }
}

/// `site.toml:7:13`, `site.toml` or `environment variable VENUE_GATEWAY_ID`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(place) => write!(f, "{}:{}:{}", place.file.display(), place.line, place.column),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: String,
}

impl Finding {
    /// Something that must be mended.
    pub fn error(place: Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, message: message.into(), help: help.into() }
    }

    /// Something that should be looked at.
    pub fn warning(place: Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message, help) }
    }

    /// Whether it must be mended.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Several lines, the last without an end: what, where, the line with a caret
/// under the place, how to mend it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity.name(), self.message)?;
        let margin = match &self.place {
            Place::Line(place) => place.line.to_string().len(),
            Place::File(_) | Place::Variable(_) => 1,
        };
        writeln!(f, "{:margin$}--> {}", "", self.place)?;
        if let Place::Line(place) = &self.place {
            let (line, before, caret) = (place.line, " ".repeat(place.column - 1), "^".repeat(place.width));
            writeln!(f, "{:margin$} |", "")?;
            writeln!(f, "{line} | {}", place.text)?;
            writeln!(f, "{:margin$} | {before}{caret}", "")?;
        }
        write!(f, "{:margin$} = help: {}", "", self.help)
    }
}

/// `{severity, file, line, column, variable, message, help}`; what does not apply
/// is null. Lines and columns count from 1.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            severity: Severity,
            file: Option<String>,
            line: Option<usize>,
            column: Option<usize>,
            variable: Option<&'a str>,
            message: &'a str,
            help: &'a str,
        }
        let (line, column) = self.place.line_and_column().unzip();
        let variable = match &self.place {
            Place::Variable(name) => Some(name.as_str()),
            Place::Line(_) | Place::File(_) => None,
        };
        let file = self.place.file().map(|file| file.display().to_string());
        Flat { severity: self.severity, file, line, column, variable, message: &self.message, help: &self.help }
            .serialize(serializer)
    }
}

/// Everything that is wrong with a configuration, at least one error, in the order
/// of the file; warnings stand among them. As JSON it is a list of findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigErrors {
    findings: Vec<Finding>,
    #[serde(skip)]
    unreadable: bool,
}

impl ConfigErrors {
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        sort(&mut findings);
        assert!(findings.iter().any(Finding::is_error), "a configuration is refused for an error only");
        Self { findings, unreadable: false }
    }

    /// The file gave no text that could be looked at.
    pub(super) fn unreadable(finding: Finding) -> Self {
        Self { findings: vec![finding], unreadable: true }
    }

    /// Whether there was nothing to look at: the file is missing, may not be read, or
    /// is no text. Else it was read, and holds mistakes.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable
    }

    /// All of them.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl std::error::Error for ConfigErrors {}

/// Every finding, blank lines between, and last a line with their number.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            write!(f, "{finding}\n\n")?;
        }
        f.write_str(&summary(&self.findings))
    }
}

/// Puts findings into the order of the file; variables come after it.
pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| match &finding.place {
        Place::Line(place) => (0, place.line, place.column),
        Place::File(_) => (1, 0, 0),
        Place::Variable(_) => (2, 0, 0),
    });
}

/// `2 errors, 1 warning`; `no errors` if there is nothing.
pub fn summary(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "no errors".to_owned(),
        (_, 0) => counted(errors, "error"),
        (0, _) => counted(warnings, "warning"),
        _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somewhere() -> Place {
        Place::Line(Box::new(LinePlace {
            file: "site.toml".into(),
            line: 12,
            column: 5,
            width: 3,
            text: "bad foo = 1".to_owned(),
        }))
    }

    /// The caret stands under what is meant, whatever the width of line numbers.
    #[test]
    fn a_finding_shows_the_line_with_a_caret() {
        let expected = "\
error: unknown key `foo`
  --> site.toml:12:5
   |
12 | bad foo = 1
   |     ^^^
   = help: remove it";
        assert_eq!(Finding::error(somewhere(), "unknown key `foo`", "remove it").to_string(), expected);
    }

    /// A script gets the same facts as a person.
    #[test]
    fn the_json_form_is_flat() {
        let list = ConfigErrors::new(vec![
            Finding::error(Place::Variable("VENUE_X".into()), "what", "how"),
            Finding::warning(somewhere(), "doubtful", "look"),
        ]);
        assert_eq!(
            serde_json::to_value(&list).expect("findings are plain"),
            serde_json::json!([
                {"severity": "warning", "file": "site.toml", "line": 12, "column": 5, "variable": null,
                 "message": "doubtful", "help": "look"},
                {"severity": "error", "file": null, "line": null, "column": null, "variable": "VENUE_X",
                 "message": "what", "help": "how"},
            ])
        );
        assert_eq!(summary(list.findings()), "1 error, 1 warning");
    }
}
