//! What somebody is told, and when it is tried again.

use std::{collections::BTreeMap, time::Duration};

use super::Alarm;

/// Delay before a notice that could not be told is tried again; it doubles with each failure.
pub const RETRY_MIN: Duration = Duration::from_secs(5);
/// The longest delay.
pub const RETRY_MAX: Duration = Duration::from_secs(60);

/// How often a notice is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    attempts: Option<u32>,
}

impl Limits {
    /// Three times: a command that says it failed may have sent its message all the same.
    pub const COMMAND: Self = Self { attempts: Some(3) };
    /// Until it is delivered, or no longer the case.
    pub const WEBHOOK: Self = Self { attempts: None };
}

/// What became of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is the case.
    Raised,
    /// It is over.
    Cleared,
}

impl State {
    /// As it stands in a notice.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
        }
    }
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which alarm.
    pub alarm: Alarm,
    /// What became of it.
    pub state: State,
    /// When it began, RFC 3339; empty if no date was known.
    pub since: String,
}

/// One who is told of alarms: a command or a webhook.
#[derive(Debug)]
pub struct Teller {
    limits: Limits,
    /// What it was told is raised, and since when.
    told: BTreeMap<Alarm, String>,
    /// How often each change was tried in vain.
    tried: BTreeMap<Alarm, (State, u32)>,
    /// Failures in a row, of whatever change.
    failures: u32,
    retry_at: Duration,
}

impl Teller {
    /// One who was told nothing.
    pub const fn new(limits: Limits) -> Self {
        Self::resume(limits, BTreeMap::new())
    }

    /// One who was told before a restart that these are raised, and since when.
    pub const fn resume(limits: Limits, told: BTreeMap<Alarm, String>) -> Self {
        Self { limits, told, tried: BTreeMap::new(), failures: 0, retry_at: Duration::ZERO }
    }

    /// What it knows to be raised, and since when.
    pub const fn knows(&self) -> &BTreeMap<Alarm, String> {
        &self.told
    }

    /// What to tell now, given what is raised; none if it knows everything, or until [`retry_at`](Self::retry_at). What was
    /// tried least comes first: a notice that cannot be told does not stand before the others.
    pub fn poll(&self, now: Duration, raised: &BTreeMap<Alarm, String>) -> Option<Change> {
        if now < self.retry_at {
            return None;
        }
        let change = |state| move |(alarm, since): (&Alarm, &String)| (alarm.clone(), state, since.clone());
        let begun = raised.iter().filter(|(alarm, _)| !self.told.contains_key(alarm)).map(change(State::Raised));
        let over = self.told.iter().filter(|(alarm, _)| !raised.contains_key(alarm)).map(change(State::Cleared));
        let changes = begun.chain(over).map(|(alarm, state, since)| Change { alarm, state, since });
        changes.min_by_key(|change| (self.attempts(change), change.alarm.clone()))
    }

    /// When what failed is tried again.
    pub const fn retry_at(&self) -> Duration {
        self.retry_at
    }

    /// It was told; true if the attempt before had failed.
    pub fn told(&mut self, change: &Change) -> bool {
        self.know(change);
        self.retry_at = Duration::ZERO;
        std::mem::take(&mut self.failures) > 0
    }

    /// It could not be told at `now`; true if it is given up.
    pub fn failed(&mut self, now: Duration, change: &Change) -> bool {
        let attempts = self.attempts(change) + 1;
        self.tried.insert(change.alarm.clone(), (change.state, attempts));
        self.retry_at = now + (RETRY_MIN * 2_u32.saturating_pow(self.failures.min(16))).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        let given_up = self.limits.attempts.is_some_and(|most| attempts >= most);
        if given_up {
            self.know(change);
        }
        given_up
    }

    fn attempts(&self, change: &Change) -> u32 {
        self.tried.get(&change.alarm).filter(|(state, _)| *state == change.state).map_or(0, |(_, attempts)| *attempts)
    }

    fn know(&mut self, change: &Change) {
        self.tried.remove(&change.alarm);
        match change.state {
            State::Raised => self.told.insert(change.alarm.clone(), change.since.clone()),
            State::Cleared => self.told.remove(&change.alarm),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Condition;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn raised(names: &[&str]) -> BTreeMap<Alarm, String> {
        names.iter().map(|name| (name.parse().expect("an alarm"), "ten".to_owned())).collect()
    }

    const DARK: &str = "source_not_heard/finish-timer-a";
    const WAITING: &str = "results_waiting/centre";

    /// Runs a teller second by second until nothing changes any more, and tells what was attempted when.
    fn attempts(
        teller: &mut Teller,
        seconds: std::ops::Range<u64>,
        raised: impl Fn(u64) -> BTreeMap<Alarm, String>,
        works: impl Fn(u64, &Change) -> bool,
    ) -> Vec<String> {
        let mut attempts = Vec::new();
        for second in seconds {
            while let Some(change) = teller.poll(at(second), &raised(second)) {
                attempts.push(format!("{second} {} {}", change.state.name(), change.alarm));
                match works(second, &change) {
                    true => drop(teller.told(&change)),
                    false => drop(teller.failed(at(second), &change)),
                }
            }
        }
        attempts
    }

    /// Each alarm is told once when it begins and once when it is over, the more urgent first.
    #[test]
    fn each_change_is_told_once() {
        let mut teller = Teller::new(Limits::COMMAND);
        let all = |second| match second {
            0..10 => raised(&[]),
            10..20 => raised(&[DARK, WAITING]),
            20..30 => raised(&[DARK]),
            _ => raised(&[]),
        };
        assert_eq!(
            attempts(&mut teller, 0..100, all, |_, _| true),
            [
                "10 raised results_waiting/centre",
                "10 raised source_not_heard/finish-timer-a",
                "20 cleared results_waiting/centre",
                "30 cleared source_not_heard/finish-timer-a",
            ]
        );
    }

    /// A webhook that cannot be reached is tried again, less and less often, until it can.
    #[test]
    fn what_could_not_be_told_is_tried_again() {
        let mut teller = Teller::new(Limits::WEBHOOK);
        let told = attempts(&mut teller, 0..400, |_| raised(&[DARK]), |second, _| second >= 300);
        let seconds: Vec<_> = told.iter().map(|attempt| attempt.split(' ').next().unwrap()).collect();
        assert_eq!(seconds, ["0", "5", "15", "35", "75", "135", "195", "255", "315"]);
        assert_eq!(*teller.knows(), raised(&[DARK]));
    }

    /// A command that fails is tried three times; its failure stands before nothing else.
    #[test]
    fn a_failing_command_is_given_up_and_stands_before_nothing() {
        let mut teller = Teller::new(Limits::COMMAND);
        let works = |_, change: &Change| change.alarm.condition() == Condition::SourceNotHeard;
        assert_eq!(
            attempts(&mut teller, 0..400, |_| raised(&[DARK, WAITING]), works),
            [
                "0 raised results_waiting/centre",
                "5 raised source_not_heard/finish-timer-a",
                "5 raised results_waiting/centre",
                "10 raised results_waiting/centre",
            ]
        );
        assert_eq!(
            attempts(&mut Teller::new(Limits::COMMAND), 0..400, |_| raised(&[DARK, WAITING]), |_, _| false).len(),
            6
        );
    }

    /// While it cannot be told the newer state takes the place of the older: what came and went is not told, and what went
    /// and came again is known already.
    #[test]
    fn the_newer_state_supersedes_the_older() {
        let came_and_went = |second| if second < 12 { raised(&[DARK]) } else { raised(&[]) };
        let mut teller = Teller::new(Limits::WEBHOOK);
        assert_eq!(
            attempts(&mut teller, 0..400, came_and_went, |second, _| second > 14),
            ["0 raised source_not_heard/finish-timer-a", "5 raised source_not_heard/finish-timer-a"]
        );
        let went_and_came = |second| if (10..12).contains(&second) { raised(&[]) } else { raised(&[DARK]) };
        let mut teller = Teller::new(Limits::WEBHOOK);
        assert_eq!(
            attempts(&mut teller, 0..400, went_and_came, |second, _| !(10..14).contains(&second)),
            ["0 raised source_not_heard/finish-timer-a", "10 cleared source_not_heard/finish-timer-a"]
        );
    }

    /// After a restart nothing is told a second time, and what ended meanwhile is told.
    #[test]
    fn a_restart_tells_nothing_anew() {
        let resume = || Teller::resume(Limits::WEBHOOK, raised(&[DARK]));
        assert_eq!(attempts(&mut resume(), 0..100, |_| raised(&[DARK]), |_, _| true), [""; 0]);
        assert_eq!(
            attempts(&mut resume(), 0..100, |_| raised(&[]), |_, _| true),
            ["0 cleared source_not_heard/finish-timer-a"]
        );
    }
}
