//! What reading one configuration shares: its layers, and what is found on the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::document::Document;
use super::finding::{Finding, Place};
use super::section::Section;

/// What reading one configuration shares.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// The site's file.
    site: &'a Document<'a>,
    /// The compiled-in file.
    defaults: &'a Document<'a>,
    /// Variables whose names begin with [`PREFIX`].
    environment: BTreeMap<String, String>,
    notes: RefCell<Notes>,
}

/// What was found on the way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) findings: Vec<Finding>,
    /// Where each value was given, by its path (`source[0].serial.port`).
    pub(super) places: BTreeMap<String, Place>,
    /// Every value that was asked for, list numbers left out (`source.serial.port`).
    pub(super) asked: BTreeSet<String>,
    /// Every variable that could be set.
    variables: BTreeSet<String>,
}

/// What the names of all variables begin with.
pub(super) const PREFIX: &str = "VENUE_";

impl<'a> Reader<'a> {
    pub(super) fn new(
        site: &'a Document<'a>,
        defaults: &'a Document<'a>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let environment = environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        Self { site, defaults, environment, notes: RefCell::default() }
    }

    /// The top of the configuration.
    pub(super) fn root(&self) -> Section<'_> {
        Section::root(self, [self.site, self.defaults])
    }

    /// Whether the site's file is TOML to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.site.syntax.is_empty()
    }

    /// Whether a layer is the site's file.
    pub(super) fn is_site(&self, layer: &Document<'_>) -> bool {
        std::ptr::eq(self.site.text, layer.text)
    }

    /// Notes something that is wrong or doubtful.
    pub(super) fn note(&self, finding: Finding) {
        self.notes.borrow_mut().findings.push(finding);
    }

    /// Takes note that a value was asked for, and so is known.
    pub(super) fn ask(&self, path: String) {
        self.notes.borrow_mut().asked.insert(path);
    }

    /// Takes note of where a value was given.
    pub(super) fn remember(&self, path: String, place: Place) {
        self.notes.borrow_mut().places.insert(path, place);
    }

    /// Where a value was given, as far as it was read.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        self.notes.borrow().places.get(path).cloned()
    }

    /// The text of a variable, which is known from now on.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.notes.borrow_mut().variables.insert(name.to_owned());
        self.environment.get(name).map(String::as_str)
    }

    /// Ends reading; variables that nothing asked for are findings, too.
    pub(super) fn finish(self) -> Notes {
        let mut notes = self.notes.into_inner();
        for name in self.environment.keys().filter(|name| !notes.variables.contains(*name)) {
            notes.findings.push(unknown_variable(name, &notes.variables));
        }
        if !self.site.syntax.is_empty() {
            // A broken line hides what it held: doubts, and echoes of it, would mislead.
            let line = |finding: &Finding| finding.place.line_and_column().map(|(line, _)| line);
            let broken: BTreeSet<_> = self.site.syntax.iter().filter_map(line).collect();
            let is_echo = |finding: &Finding| line(finding).is_some_and(|line| broken.contains(&line));
            notes.findings.retain(|finding| finding.is_error() && !is_echo(finding));
            notes.findings.extend(self.site.syntax.iter().cloned());
        }
        notes
    }
}

/// A name within so many letters of a setting's is taken for a typing error.
const TYPING_ERRORS: usize = 2;

/// A variable that nearly is a setting's would be meant, and go unseen: an error. Any
/// other belongs to somebody else (`VENUE_HOME` of another tool, `VENUE_GATEWAY_PORT`
/// that Kubernetes sets for a service of that name), and must not stop the gateway.
fn unknown_variable(name: &str, known: &BTreeSet<String>) -> Finding {
    let place = Place::Variable(name.to_owned());
    let message = format!("no setting has the variable `{name}`");
    let distance = |setting: &String| strsim::damerau_levenshtein(name, setting);
    // Whoever left the section out is nearer than the letters say.
    let same_key = |setting: &String| name.len() > PREFIX.len() && setting.ends_with(&name[PREFIX.len() - 1..]);
    match known.iter().min_by_key(|setting| (!same_key(setting), distance(setting))) {
        Some(near) if distance(near) <= TYPING_ERRORS => {
            Finding::error(place, message, format!("did you mean `{near}`? correct it, or unset it"))
        }
        near => {
            let near = near.map(|near| format!(", the nearest is `{near}`")).unwrap_or_default();
            let help = format!("it is ignored; names that begin with {PREFIX} are settings{near}");
            Finding::warning(place, message, help)
        }
    }
}
