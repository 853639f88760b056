//! MQTT topic filters, and what their wildcards stand for.

/// The longest filter or topic of MQTT, bytes.
const TOPIC_BYTES_MAX: usize = 65_535;

/// A topic filter as it is subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFilter {
    text: String,
    /// Where the levels begin: behind `$share/GROUP/`.
    levels_at: usize,
}

/// Why a text is not a topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InvalidFilter {
    #[error("a topic filter has 1 to {TOPIC_BYTES_MAX} bytes, none of them zero")]
    Length,
    #[error("`+` and `#` stand alone between slashes")]
    WildcardInLevel,
    #[error("`#` stands at the end")]
    HashBeforeEnd,
    #[error("a shared subscription is written `$share/GROUP/FILTER`")]
    Share,
}

impl TopicFilter {
    /// Reads a filter such as `venue/+/wind`.
    ///
    /// # Errors
    /// No broker would take it.
    pub fn parse(text: &str) -> Result<Self, InvalidFilter> {
        let levels_at = match text.strip_prefix("$share/") {
            None => 0,
            Some(rest) => {
                let (group, _) = rest.split_once('/').ok_or(InvalidFilter::Share)?;
                if group.is_empty() || group.contains(['+', '#']) {
                    return Err(InvalidFilter::Share);
                }
                "$share/".len() + group.len() + 1
            }
        };
        let filter = Self { text: text.to_owned(), levels_at };
        if filter.plain().is_empty() || text.len() > TOPIC_BYTES_MAX || text.contains('\0') {
            return Err(InvalidFilter::Length);
        }
        if filter.levels().any(|level| level.len() > 1 && level.contains(['+', '#'])) {
            return Err(InvalidFilter::WildcardInLevel);
        }
        if filter.plain().contains("#/") {
            return Err(InvalidFilter::HashBeforeEnd);
        }
        Ok(filter)
    }

    /// As it is subscribed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without `$share/GROUP/`.
    pub fn plain(&self) -> &str {
        &self.text[self.levels_at..]
    }

    /// How many wildcards it has.
    pub fn wildcards(&self) -> usize {
        self.levels().filter(|level| matches!(*level, "+" | "#")).count()
    }

    /// Whether a topic is one of its.
    pub fn has(&self, topic: &str) -> bool {
        self.captures(topic).is_some()
    }

    /// What its wildcards stand for in a topic: a level for each `+`, the rest for `#`;
    /// none if the topic is not one of its.
    pub(super) fn captures<'t>(&self, topic: &'t str) -> Option<Vec<&'t str>> {
        if topic.starts_with('$') && self.plain().starts_with(['+', '#']) {
            return None;
        }
        let mut captures = Vec::new();
        let mut rest = Some(topic);
        for level in self.levels() {
            if level == "#" {
                captures.push(rest.unwrap_or(""));
                return Some(captures);
            }
            let (here, after) = rest?.split_once('/').map_or((rest?, None), |(here, after)| (here, Some(after)));
            match level {
                "+" => captures.push(here),
                _ if level == here => {}
                _ => return None,
            }
            rest = after;
        }
        rest.is_none().then_some(captures)
    }

    fn levels(&self) -> impl Iterator<Item = &str> {
        self.plain().split('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, topic: &str, expected: Option<&[&str]>) {
        let filter = TopicFilter::parse(filter).expect(filter);
        assert_eq!(filter.captures(topic).as_deref(), expected, "{} against {topic}", filter.as_str());
    }

    /// MQTT 5, section 4.7, with what each wildcard stands for.
    #[test]
    fn wildcards_stand_for_levels() {
        check("venue/+/wind", "venue/3/wind", Some(&["3"]));
        check("venue/+/wind", "venue/3/4/wind", None);
        check("venue/+/wind", "venue/3/wind/x", None);
        check("venue/+/wind", "venue//wind", Some(&[""]));
        check("venue/#", "venue/3/wind", Some(&["3/wind"]));
        check("venue/#", "venue", Some(&[""]));
        check("venue/#", "venues", None);
        check("+/+", "/finish", Some(&["", "finish"]));
        check("+", "/finish", None);
        check("#", "a/b", Some(&["a/b"]));
        check("$share/gateways/venue/+/wind", "venue/3/wind", Some(&["3"]));
        check("a/b", "a/b", Some(&[]));
        check("a/b", "a", None);
    }

    /// What brokers tell of themselves is none of a wildcard's business.
    #[test]
    fn topics_of_the_broker_match_by_name_alone() {
        check("#", "$SYS/uptime", None);
        check("+/uptime", "$SYS/uptime", None);
        check("$SYS/#", "$SYS/uptime", Some(&["uptime"]));
    }

    #[test]
    fn filters_that_no_broker_takes_are_refused() {
        for (text, expected) in [
            ("", InvalidFilter::Length),
            ("a\0", InvalidFilter::Length),
            ("a/b+", InvalidFilter::WildcardInLevel),
            ("a#", InvalidFilter::WildcardInLevel),
            ("a/#/b", InvalidFilter::HashBeforeEnd),
            ("$share/g", InvalidFilter::Share),
            ("$share//a", InvalidFilter::Share),
            ("$share/+/a", InvalidFilter::Share),
            ("$share/g/", InvalidFilter::Length),
        ] {
            assert_eq!(TopicFilter::parse(text), Err(expected), "{text:?}");
        }
    }
}
