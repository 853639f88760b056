//! When a condition becomes an alarm, and when the alarm is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Alarm, Condition};

/// A condition that is to be raised, and is away for less than this, goes on: what is there for 20 s and away for 1 s, over
/// and over, is raised.
pub const FORGET_AFTER: Duration = Duration::from_secs(10);
/// What is raised again within this time after it was cleared has to stay away for twice as long as before.
pub const AGAIN_WITHIN: Duration = Duration::from_secs(30 * 60);
/// The longest that a condition has to stay away, unless its own time is longer: the worst that flaps is told twice in so
/// long.
pub const CLEAR_AFTER_MAX: Duration = Duration::from_secs(16 * 60);

/// What is raised, by what was seen when.
#[derive(Debug)]
pub struct Hold {
    clear_after: Duration,
    watched: BTreeMap<Alarm, Watch>,
    raised: BTreeMap<Alarm, String>,
}

#[derive(Debug)]
struct Watch {
    state: State,
    /// When it began, RFC 3339; empty if no date was known.
    since: String,
    last_seen: Duration,
    clear_after: Duration,
}

#[derive(Debug)]
enum State {
    /// Seen, not raised yet.
    Coming {
        began: Duration,
    },
    Raised,
    /// Cleared not long ago.
    Over {
        at: Duration,
    },
}

impl Hold {
    /// Nothing is raised; what is raised has to stay away for `clear_after`.
    pub const fn new(clear_after: Duration) -> Self {
        Self { clear_after, watched: BTreeMap::new(), raised: BTreeMap::new() }
    }

    /// Goes on with what was raised before a restart, and since when (RFC 3339): it is cleared like any other if it stays
    /// away from `now` on.
    pub fn resume(now: Duration, clear_after: Duration, raised: BTreeMap<Alarm, String>) -> Self {
        let mut hold = Self::new(clear_after);
        for (alarm, since) in &raised {
            let watch = Watch { state: State::Raised, ..Watch::new(alarm.condition, clear_after, now, since) };
            hold.watched.insert(alarm.clone(), watch);
        }
        Self { raised, ..hold }
    }

    /// Takes what is the case at `now`; `date` is the same in RFC 3339, empty if it is not known. To be called about once a
    /// second.
    pub fn observe(&mut self, now: Duration, date: &str, present: &BTreeSet<Alarm>) {
        for alarm in present {
            let new = || Watch::new(alarm.condition, self.clear_after, now, date);
            self.watched.entry(alarm.clone()).or_insert_with(new).seen(now, date);
        }
        self.watched.retain(|alarm, watch| watch.look(alarm.condition, now));
        let raised = self.watched.iter().filter(|(_, watch)| matches!(watch.state, State::Raised));
        self.raised = raised.map(|(alarm, watch)| (alarm.clone(), watch.since.clone())).collect();
    }

    /// What is raised, and since when (RFC 3339, empty if no date was known).
    pub const fn raised(&self) -> &BTreeMap<Alarm, String> {
        &self.raised
    }
}

impl Watch {
    fn new(condition: Condition, clear_after: Duration, now: Duration, date: &str) -> Self {
        let clear_after = clear_after.max(condition.lingers());
        Self { state: State::Coming { began: now }, since: date.to_owned(), last_seen: now, clear_after }
    }

    fn seen(&mut self, now: Duration, date: &str) {
        self.last_seen = now;
        if let State::Over { .. } = self.state {
            self.state = State::Coming { began: now };
            date.clone_into(&mut self.since);
        }
    }

    /// Moves on by time; false if there is nothing left to remember.
    fn look(&mut self, condition: Condition, now: Duration) -> bool {
        let away = now.saturating_sub(self.last_seen);
        match self.state {
            State::Coming { began } if away.is_zero() && now.saturating_sub(began) >= condition.raise_after() => {
                self.state = State::Raised;
            }
            State::Coming { .. } => return away < FORGET_AFTER,
            State::Raised if away >= self.clear_after => {
                self.state = State::Over { at: now };
                self.clear_after = (self.clear_after * 2).min(CLEAR_AFTER_MAX).max(self.clear_after);
            }
            State::Raised => {}
            State::Over { at } => return now.saturating_sub(at) < AGAIN_WITHIN,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR_AFTER: Duration = Duration::from_secs(60);

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn dark() -> Alarm {
        Alarm::of(Condition::SourceNotHeard, "finish-timer-a")
    }

    /// Runs a hold second by second, and tells at which it changed: `+` raised, `-` cleared.
    fn changes(hold: &mut Hold, seconds: std::ops::Range<u64>, present: impl Fn(u64) -> Vec<Alarm>) -> Vec<String> {
        let mut told = Vec::new();
        for second in seconds {
            let before: BTreeSet<_> = hold.raised().keys().cloned().collect();
            hold.observe(at(second), &second.to_string(), &present(second).into_iter().collect());
            let after: BTreeSet<_> = hold.raised().keys().cloned().collect();
            told.extend(after.difference(&before).map(|alarm| format!("{second} +{alarm}")));
            told.extend(before.difference(&after).map(|alarm| format!("{second} -{alarm}")));
        }
        told
    }

    fn check(dark_at: impl Fn(u64) -> bool, until: u64, expected: &[&str]) {
        let present = |second| if dark_at(second) { vec![dark()] } else { vec![] };
        assert_eq!(changes(&mut Hold::new(CLEAR_AFTER), 0..until, present), expected);
    }

    /// What lasts is raised once, however long it lasts, and cleared once it has stayed away.
    #[test]
    fn what_lasts_is_raised_once_and_cleared_once() {
        let (raised, cleared) = ("40 +source_not_heard/finish-timer-a", "1059 -source_not_heard/finish-timer-a");
        check(|second| (10..1000).contains(&second), 4000, &[raised, cleared]);
        check(|second| second >= 10, 4000, &[raised]);
        check(|_| false, 4000, &[]);
        // Too short.
        check(|second| (10..39).contains(&second), 4000, &[]);
    }

    /// A cable that is pulled for a moment now and then is no alarm; one that is loose is one.
    #[test]
    fn what_flaps_is_raised_once() {
        check(|second| second % 20 < 5, 4000, &[]);
        check(|second| second % 21 != 0, 4000, &["31 +source_not_heard/finish-timer-a"]);
        check(|second| second % 80 < 40, 4000, &["30 +source_not_heard/finish-timer-a"]);
    }

    /// Bad luck in its timing, a link that goes away just after it was cleared: each time it has to stay away for longer,
    /// until that time is at its most. A quiet half hour makes good.
    #[test]
    fn what_comes_again_and_again_is_told_less_and_less() {
        let mut hold = Hold::new(CLEAR_AFTER);
        let mut told = Vec::new();
        for second in 0..24 * 3600 {
            let raised = hold.raised().contains_key(&dark());
            // There until it is raised, then away until it is cleared.
            let present = if raised { BTreeSet::new() } else { BTreeSet::from([dark()]) };
            hold.observe(at(second), "", &present);
            if hold.raised().contains_key(&dark()) != raised {
                told.push(second);
            }
        }
        assert_eq!(told[..6], [30, 90, 121, 241, 272, 512]);
        let last = told[told.len() - 3..].to_vec();
        assert_eq!(last[2] - last[0], CLEAR_AFTER_MAX.as_secs() + 31);
        assert!(told.len() < 200, "{} in a day", told.len());

        let twice = |second: u64| second < 31 || (2000..2031).contains(&second);
        let dark = "source_not_heard/finish-timer-a";
        let told = ["30 +", "90 -", "2030 +", "2090 -"].map(|change| format!("{change}{dark}"));
        check(twice, 4000, &told.each_ref().map(String::as_str));
    }

    /// Alarms do not know of each other: each is raised and cleared in its own time.
    #[test]
    fn two_conditions_are_told_apart() {
        let other = Alarm::of(Condition::SourceNotHeard, "finish-timer-b");
        let waiting = Alarm::of(Condition::ResultsWaiting, "centre");
        let present = |second| {
            let mut present = Vec::new();
            present.extend((second < 100).then(dark));
            present.extend((second < 50).then(|| other.clone()));
            present.extend((20..60).contains(&second).then(|| waiting.clone()));
            present
        };
        assert_eq!(
            changes(&mut Hold::new(CLEAR_AFTER), 0..4000, present),
            [
                "20 +results_waiting/centre",
                "30 +source_not_heard/finish-timer-a",
                "30 +source_not_heard/finish-timer-b",
                "109 -source_not_heard/finish-timer-b",
                "119 -results_waiting/centre",
                "159 -source_not_heard/finish-timer-a",
            ]
        );
    }

    /// It is told since when it is the case, not since when it is raised.
    #[test]
    fn an_alarm_knows_when_it_began() {
        let mut hold = Hold::new(CLEAR_AFTER);
        assert_eq!(changes(&mut hold, 100..131, |_| vec![dark()]).len(), 1);
        assert_eq!(hold.raised()[&dark()], "100");
    }

    /// A gateway that starts again while something is raised raises it no second time, though it first has to notice it
    /// again; if meanwhile it is over, it is cleared.
    #[test]
    fn a_restart_raises_nothing_anew() {
        let resume = || Hold::resume(at(0), CLEAR_AFTER, BTreeMap::from([(dark(), "yesterday".to_owned())]));
        let mut hold = resume();
        assert_eq!(changes(&mut hold, 0..500, |second| if second > 20 { vec![dark()] } else { vec![] }), [""; 0]);
        assert_eq!(hold.raised()[&dark()], "yesterday");
        assert_eq!(changes(&mut resume(), 0..500, |_| vec![]), ["60 -source_not_heard/finish-timer-a"]);
    }

    /// One lost event is an alarm at once, and for an hour.
    #[test]
    fn what_happens_in_a_moment_is_raised_at_once() {
        let lost = Alarm::of(Condition::EventsLost, "finish-timer-a");
        let present = |second| if second == 5 { vec![lost.clone()] } else { vec![] };
        assert_eq!(
            changes(&mut Hold::new(CLEAR_AFTER), 0..4000, present),
            ["5 +events_lost/finish-timer-a", "3605 -events_lost/finish-timer-a"]
        );
    }
}
