//! What a row of the table measures, and how it is shown.

use serde_json::{Value, json};

use super::spread::median;

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }
}

/// One number of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) value: f64,
    pub(super) goal: Option<Goal>,
}

impl Figure {
    pub(super) const fn new(name: &'static str, unit: &'static str, value: f64) -> Self {
        Self { name, unit, value, goal: None }
    }

    pub(super) const fn with(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// The medians of several runs that measured the same; the goal is that of the run in the middle of its goals.
    pub(super) fn medians(runs: &[Vec<Self>]) -> Vec<Self> {
        let Some(first) = runs.first() else { return Vec::new() };
        let of =
            |index: usize, value: &dyn Fn(&Self) -> f64| median(runs.iter().map(|run| value(&run[index])).collect());
        let figure = |(index, figure): (usize, &Self)| Self {
            value: of(index, &|it| it.value),
            goal: figure.goal.map(|goal| match goal {
                Goal::AtLeast(_) => Goal::AtLeast(of(index, &Self::bound)),
                Goal::AtMost(_) => Goal::AtMost(of(index, &Self::bound)),
            }),
            ..*figure
        };
        first.iter().enumerate().map(figure).collect()
    }

    fn bound(&self) -> f64 {
        match self.goal {
            Some(Goal::AtLeast(value) | Goal::AtMost(value)) => value,
            None => 0.0,
        }
    }

    pub(super) fn is_missed(&self) -> bool {
        self.goal.is_some_and(|goal| !goal.is_reached(self.value))
    }

    pub(super) fn json(&self) -> Value {
        let goal = self.goal.map(|goal| match goal {
            Goal::AtLeast(value) => json!({ "at_least": value }),
            Goal::AtMost(value) => json!({ "at_most": value }),
        });
        let reached = self.goal.map(|_| !self.is_missed());
        json!({ "name": self.name, "value": self.value, "unit": self.unit, "goal": goal, "reached": reached })
    }

    /// A line of the table.
    pub(super) fn line(&self) -> String {
        let goal = match self.goal {
            None => String::new(),
            Some(goal) => {
                let (word, bound) = match goal {
                    Goal::AtLeast(bound) => ("at least", bound),
                    Goal::AtMost(bound) => ("at most", bound),
                };
                let verdict = if self.is_missed() { "MISSED" } else { "reached" };
                format!("{word} {} {}: {verdict}", shown(bound), self.unit)
            }
        };
        format!("  {:38} {:>12} {:10} {goal}", self.name, shown(self.value), self.unit)
    }
}

/// A number as people read it.
fn shown(value: f64) -> String {
    match value.abs() {
        1_000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One bad run of three changes nothing; a goal that was measured is the one in the middle, too.
    #[test]
    fn the_median_counts() {
        let run = |value, goal| vec![Figure::new("p99", "ms", value).with(Goal::AtMost(goal))];
        let medians = Figure::medians(&[run(2.0, 5.0), run(90.0, 4.0), run(3.0, 6.0)]);
        assert_eq!(medians, run(3.0, 5.0));
        assert!(!medians[0].is_missed() && run(5.1, 5.0)[0].is_missed());
    }
}
