//! Walks a table of the configuration through its layers and notes every mistake.
//!
//! A key is known because it is asked for: what nobody asked for when a
//! [`Section`] ends is an unknown key. So the list of keys stands in one place,
//! the code that reads them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::finding::{Finding, Place};
use super::reader::{PREFIX, Reader};
use super::setting::{Complaint, Setting, did_you_mean, nearest};

/// A value and where it was given.
#[derive(Debug, Clone)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A table, as the sum of its layers.
#[derive(Debug)]
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    /// Empty at the top, else `journal.results` or `source[0].serial`.
    path: String,
    place: Place,
    /// Strongest first.
    layers: Vec<(&'a Document<'a>, &'a DeTable<'a>)>,
    from_environment: bool,
    known: RefCell<Vec<&'static str>>,
}

/// A value before it is read.
enum Raw<'a> {
    Toml(&'a Document<'a>, &'a Spanned<DeValue<'a>>),
    Variable(String, &'a str),
}

impl<'a> Section<'a> {
    /// The whole configuration, its strongest layer first.
    pub(super) fn root(reader: &'a Reader<'a>, layers: [&'a Document<'a>; 2]) -> Self {
        Self {
            reader,
            path: String::new(),
            place: Place::File(layers[0].text.file.clone()),
            layers: layers.map(|document| (document, &document.root)).to_vec(),
            from_environment: true,
            known: RefCell::default(),
        }
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The place of one of its keys, if it was given, else of the table.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.reader.place(&self.join(key)).unwrap_or_else(|| self.place.clone())
    }

    /// Notes a mistake.
    pub(super) fn error(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.reader.note(Finding::error(place.clone(), message, help));
    }

    /// Notes a doubt.
    pub(super) fn warning(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.reader.note(Finding::warning(place.clone(), message, help));
    }

    /// Takes note that a key holds a value, and so is known.
    fn ask(&self, key: &'static str) {
        self.known.borrow_mut().push(key);
        let path = self.join(key);
        let plain = path.split('.').map(|part| part.split('[').next().unwrap_or(part));
        self.reader.ask(plain.collect::<Vec<_>>().join("."));
    }

    /// Reads a key if it is given anywhere; none also if it is wrong, which is noted.
    pub(super) fn optional<T: Setting>(&self, key: &'static str) -> Option<Given<T>> {
        self.ask(key);
        match self.raw(key)? {
            Raw::Variable(name, text) => {
                let place = Place::Variable(name);
                self.accept(key, place, T::from_text(text))
            }
            Raw::Toml(document, value) => self.read(key, &self.join(key), document, value),
        }
    }

    /// Reads a key that must be given, and notes its absence.
    pub(super) fn required<T: Setting>(&self, key: &'static str) -> Option<Given<T>> {
        self.required_as(key, T::EXAMPLE)
    }

    /// Reads a key that must be given; `example` is how it is written in TOML.
    pub(super) fn required_as<T: Setting>(&self, key: &'static str, example: &str) -> Option<Given<T>> {
        if self.raw(key).is_none() {
            self.missing(key, &format!("add `{key} = {example}`"));
        }
        self.optional(key)
    }

    /// Notes that a key is missing, unless broken lines may hide it.
    pub(super) fn missing(&self, key: &str, help: &str) {
        if self.reader.is_whole() {
            self.error(&self.place, format!("`{}` is missing", self.join(key)), help);
        }
    }

    /// Whether the file gives a key; of a list or a table, which no variable can give.
    pub(super) fn has(&self, key: &str) -> bool {
        self.toml(key).is_some()
    }

    /// Whether a key is given as a list that holds nothing.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.toml(key).and_then(|(_, value)| value.get_ref().as_array()).is_some_and(|items| items.is_empty())
    }

    /// Reads a list of values; empty if it is absent.
    pub(super) fn list<T: Setting>(&self, key: &'static str) -> Vec<Given<T>> {
        self.ask(key);
        let Some((document, value)) = self.toml(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            let place = document.text.place(value.span());
            self.error(&place, self.mismatch(key, "a list", value), format!("write `{key} = [{}]`", T::EXAMPLE));
            return Vec::new();
        };
        self.remember(self.join(key), document.text.place(value.span()));
        let path = |index| format!("{}[{index}]", self.join(key));
        items.iter().enumerate().filter_map(|(index, item)| self.read(key, &path(index), document, item)).collect()
    }

    /// Reads a table of free keys and texts; empty if it is absent.
    pub(super) fn texts(&self, key: &'static str) -> BTreeMap<String, String> {
        self.ask(key);
        let Some(section) = self.optional_section(key) else { return BTreeMap::new() };
        let Some((document, table)) = section.layers.first() else { return BTreeMap::new() };
        let read = table.iter().filter_map(|(name, value)| {
            let name = name.get_ref().as_ref();
            let text = section.read::<String>(name, &section.join(name), document, value)?;
            Some((name.to_owned(), text.value))
        });
        let texts = read.collect();
        section.forget();
        texts
    }

    /// A table within, its layers merged; empty if it is given nowhere.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        self.known.borrow_mut().push(key);
        let mut layers = Vec::new();
        let mut place = None;
        for &(document, table) in &self.layers {
            let Some(value) = table.get(key) else { continue };
            let here = document.text.place(value.span());
            match value.get_ref().as_table() {
                Some(inner) => {
                    // What the site must mend is never in the compiled-in file.
                    place = place.or_else(|| self.reader.is_site(document).then_some(here));
                    layers.push((document, inner));
                }
                None => self.error(&here, self.mismatch(key, "a table", value), self.how_to_write_a_table(key)),
            }
        }
        let place = place.unwrap_or_else(|| self.place.clone());
        let path = self.join(key);
        let from_environment = self.from_environment;
        Section { reader: self.reader, path, place, layers, from_environment, known: RefCell::default() }
    }

    /// A table within, if it is given anywhere.
    pub(super) fn optional_section(&self, key: &'static str) -> Option<Section<'a>> {
        let section = self.section(key);
        (!section.layers.is_empty()).then_some(section)
    }

    /// Lets a table of another text stand in for the keys that this one does not give.
    pub(super) fn add_defaults(&mut self, document: &'a Document<'a>, table: &'a DeTable<'a>) {
        self.layers.push((document, table));
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        self.known.borrow_mut().push(key);
        let Some((document, value)) = self.toml(key) else { return Vec::new() };
        let items = value.get_ref().as_array();
        let Some(items) = items.filter(|items| items.iter().all(|item| item.get_ref().is_table())) else {
            let place = document.text.place(value.span());
            self.error(&place, self.mismatch(key, "a list of tables", value), format!("write `[[{key}]]`"));
            return Vec::new();
        };
        let tables = items.iter().filter_map(|item| Some((item.span(), item.get_ref().as_table()?)));
        let section = |(index, (span, table))| Section {
            reader: self.reader,
            path: format!("{}[{index}]", self.join(key)),
            place: document.text.place(span),
            layers: vec![(document, table)],
            from_environment: false,
            known: RefCell::default(),
        };
        tables.enumerate().map(section).collect()
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn variable(&self, key: &str) -> String {
        format!("{PREFIX}{}", self.join(key).replace('.', "_").to_uppercase())
    }

    fn toml(&self, key: &str) -> Option<(&'a Document<'a>, &'a Spanned<DeValue<'a>>)> {
        self.layers.iter().find_map(|&(document, table)| Some((document, table.get(key)?)))
    }

    fn raw(&self, key: &str) -> Option<Raw<'a>> {
        if self.from_environment {
            let name = self.variable(key);
            if let Some(text) = self.reader.variable(&name) {
                return Some(Raw::Variable(name, text));
            }
        }
        self.toml(key).map(|(document, value)| Raw::Toml(document, value))
    }

    fn read<T: Setting>(
        &self,
        key: &str,
        path: &str,
        document: &Document<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Given<T>> {
        let place = document.text.place(value.span());
        self.remember(path.to_owned(), place.clone());
        match T::from_value(value.get_ref()) {
            Some(read) => self.accept(key, place, read),
            None => {
                self.error(&place, self.mismatch(key, T::KIND, value), format!("write {}", T::EXAMPLE));
                None
            }
        }
    }

    fn accept<T>(&self, key: &str, place: Place, read: Result<T, Complaint>) -> Option<Given<T>> {
        if let Place::Variable(_) = place {
            self.remember(self.join(key), place.clone());
        }
        match read {
            Ok(value) => Some(Given { value, place }),
            Err(complaint) => {
                self.error(&place, format!("`{key}`: {}", complaint.message), complaint.help);
                None
            }
        }
    }

    fn remember(&self, path: String, place: Place) {
        self.reader.remember(path, place);
    }

    fn mismatch(&self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) -> String {
        let kind = value.get_ref().type_str();
        let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
        format!("`{key}` must be {expected}, not {article} {kind}")
    }

    fn how_to_write_a_table(&self, key: &str) -> String {
        if self.path.is_empty() { format!("write `[{key}]`") } else { format!("write `{key} = {{ … }}`") }
    }

    /// Ends the section without a look at its keys, which are free.
    fn forget(self) {
        let mut this = self;
        this.layers.clear();
    }

    fn unknown(&self, key: &str) -> Finding {
        let mut known = self.known.borrow().clone();
        // A table is asked for as a key and as a table.
        known.dedup();
        let near = did_you_mean(nearest(key, known.iter().copied()));
        let place = if self.path.is_empty() { "the top level".to_owned() } else { format!("`{}`", self.path) };
        let help = match known.len() {
            0 => "remove it".to_owned(),
            _ => format!("{near}{place} has {}", known.join(", ")),
        };
        Finding::error(self.place.clone(), format!("unknown key `{key}`"), help)
    }
}

/// Notes every key that was not asked for. In `drop`, so that no reader can forget it.
impl Drop for Section<'_> {
    fn drop(&mut self) {
        for &(document, table) in &self.layers {
            for (key, _) in table.iter().filter(|(key, _)| !self.known.borrow().contains(&key.get_ref().as_ref())) {
                if key.span().start < document.sound_until {
                    let place = document.text.place(key.span());
                    self.reader.note(Finding { place, ..self.unknown(key.get_ref()) });
                }
            }
        }
    }
}
