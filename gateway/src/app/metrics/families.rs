//! Metrics of one name, as they are written: what it is, then a line a sample.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
};

/// Writes families one after the other.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

/// Labels of a sample, by name and value.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// What goes up and down.
    pub(super) fn gauge<'l, V: EncodeGaugeValue + fmt::Debug + Send + Sync, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            MetricType::Gauge,
            samples.into_iter().map(|(labels, it)| (labels, ConstGauge::new(it))),
        )
    }

    /// What only rises, from 0 at the start; `_total` is written behind the name.
    pub(super) fn counter<'l, V: EncodeCounterValue + fmt::Debug + Send + Sync, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|(labels, it)| (labels, ConstCounter::new(it)));
        self.family(name, help, MetricType::Counter, samples)
    }

    /// A distribution.
    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        histogram.encode(self.0.encode_descriptor(name, help, None, MetricType::Histogram)?)
    }

    fn family<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl Iterator<Item = (Labels<'l, N>, impl EncodeMetric)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in samples {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
