//! A small race: what happens at a chronometer and when, from a seed.

use std::time::Duration;

use super::model::Action;
use crate::random::Random;

/// A race of runners that start one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaceConfig {
    /// How many run, with start numbers from 1.
    pub runners: u16,
    /// Repeats run times and incidents.
    pub seed: u64,
    /// From start to start.
    pub interval: Duration,
}

impl RaceConfig {
    /// The most runners that the memory has room for, incidents included.
    pub const MOST_RUNNERS: u16 = 1000;

    /// What happens, in the order of time since the race began.
    ///
    /// A runner is called by his number, starts (`C0`), finishes (`C1`) after two to
    /// six intervals, and gets a run time. With one in ten a second impulse comes at
    /// the finish and is cleared; another one in ten starts under the number of the
    /// one before, which is put right afterwards.
    pub(super) fn actions(self) -> Vec<(Duration, Incident)> {
        let mut random = Random::new(self.seed);
        let mut actions = Vec::new();
        for runner in 1..=self.runners.min(Self::MOST_RUNNERS) {
            self.run(runner, &mut random, &mut actions);
        }
        actions.sort_by_key(|(at, _)| *at);
        actions
    }

    fn run(self, runner: u16, random: &mut Random, actions: &mut Vec<(Duration, Incident)>) {
        let soon = self.interval / 20;
        let start = self.interval * u32::from(runner);
        let share = u32::try_from(random.below(4_000)).unwrap_or_default();
        let finish = start + self.interval * 2 + self.interval * share / 1000;
        let (double, mistaken) = (random.below(10) == 0, runner > 1 && random.below(10) == 0);
        let impulse = |channel, start_number| Action::Impulse { channel, start_number, time_of_day: None };

        actions.push((start - soon, Incident::Plain(Action::Choose { start_number: runner })));
        let said = if mistaken { runner - 1 } else { runner };
        actions.push((start, Incident::Plain(impulse(0, said))));
        if mistaken {
            actions.push((start + soon, Incident::Renumber { channel: 0, from: said, to: runner }));
        }
        actions.push((finish, Incident::Plain(impulse(1, runner))));
        actions.push((finish, Incident::Plain(Action::RunTime { start_number: runner })));
        if double {
            actions.push((finish + soon / 2, Incident::Plain(impulse(1, runner))));
            actions.push((finish + soon, Incident::ClearLast { channel: 1, start_number: runner }));
        }
    }
}

/// Something of a race; those about a stored record name it by what it is.
#[derive(Debug, Clone)]
pub(super) enum Incident {
    Plain(Action),
    ClearLast { channel: u8, start_number: u16 },
    Renumber { channel: u8, from: u16, to: u16 },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every runner starts and finishes, in the order of time, and a seed repeats it.
    #[test]
    fn everybody_starts_and_finishes() {
        let race = RaceConfig { runners: 200, seed: 5, interval: Duration::from_millis(100) };
        let actions = race.actions();
        assert!(actions.is_sorted_by_key(|(at, _)| *at));
        let impulses = |wanted: u8| {
            let of = |it: &&(Duration, Incident)| matches!(&it.1, Incident::Plain(Action::Impulse { channel, .. }) if *channel == wanted);
            actions.iter().filter(of).count()
        };
        let cleared = actions.iter().filter(|it| matches!(it.1, Incident::ClearLast { .. })).count();
        let renumbered = actions.iter().filter(|it| matches!(it.1, Incident::Renumber { .. })).count();
        assert_eq!((impulses(0), impulses(1)), (200, 200 + cleared));
        assert!((5..50).contains(&cleared) && (5..50).contains(&renumbered), "{cleared} {renumbered}");
        assert_eq!(format!("{actions:?}"), format!("{:?}", race.actions()));
    }
}
