//! The skipped ranges of a lane, kept within a bound without saying anything untrue.

use std::collections::BTreeMap;

use venue_schema::{
    JournalEpoch, Sequence,
    v1::{self, GapCause, Lane},
};

use crate::gap::{GapAuthor, LossExtent, RangeLoss, Skip};

/// Skipped ranges kept for each lane. Beyond it, neighbours are told as one, under the worse of their causes; where
/// no two are neighbours, the oldest is forgotten: its records cannot be read, and whoever asks for them has it declared again.
pub const MAX_SKIPS_PER_LANE: usize = 64;

/// The skipped ranges of a lane, by their first sequence.
pub(crate) type Skips = BTreeMap<Sequence, Skip>;

/// The skipped range that holds a sequence.
pub(crate) fn at(skips: &Skips, sequence: Sequence) -> Option<&Skip> {
    let (_, skip) = skips.range(..=sequence).next_back()?;
    (sequence <= skip.last).then_some(skip)
}

/// Brings ranges back within their bound, after one was added. Those `gone` first that nobody asks for again.
pub(crate) fn bound(
    skips: &mut Skips,
    added: Sequence,
    gone: impl Fn(&Skip) -> bool,
    join: impl Fn(&Skip, &Skip) -> Skip,
) {
    if skips.len() > MAX_SKIPS_PER_LANE {
        skips.retain(|_, skip| !gone(skip));
    }
    while skips.len() > MAX_SKIPS_PER_LANE {
        match neighbours(skips) {
            Some((first, second)) => {
                let joined = join(&skips[&first], &skips[&second]);
                skips.remove(&second);
                skips.insert(first, joined);
            }
            None => {
                let oldest = skips.keys().copied().find(|&first| first != added);
                oldest.and_then(|first| skips.remove(&first));
            }
        }
    }
}

/// The first sequences of two ranges that touch: of the same cause if there are such.
fn neighbours(skips: &Skips) -> Option<(Sequence, Sequence)> {
    let pairs = || skips.values().zip(skips.values().skip(1)).filter(|(one, next)| one.last.next() == next.first);
    let alike = pairs().find(|(one, next)| one.cause() == next.cause());
    alike.or_else(|| pairs().next()).map(|(one, next)| (one.first, next.first))
}

/// Rank of a cause, the worst highest: what the receiver had once, what was deleted by rule, what was never
/// taken in, and what was promised and is lost.
fn rank(cause: GapCause) -> u8 {
    match cause {
        GapCause::Unspecified => 0,
        GapCause::ReceiverReset => 1,
        GapCause::Shed => 2,
        GapCause::DeviceDark | GapCause::DeviceOverflow => 3,
        GapCause::NeverDurable => 4,
        GapCause::ReserveFull => 5,
        GapCause::Quarantined => 6,
    }
}

impl GapAuthor {
    /// One range in the place of two neighbours: no better than either, and counted only if both are.
    pub(crate) fn join(&self, epoch: JournalEpoch, lane: Lane, one: &Skip, next: &Skip) -> Skip {
        let gaps = [one, next].map(|skip| skip.gap().unwrap_or_default());
        let worse = gaps.iter().map(v1::Gap::cause).max_by_key(|&cause| rank(cause)).unwrap_or_default();
        let times = |first: fn(&v1::Gap) -> Option<i64>, last: fn(&v1::Gap) -> Option<i64>| {
            Some((
                gaps.iter().map(first).min()??,
                gaps.iter().map(last).collect::<Option<Vec<_>>>()?.into_iter().max()?,
            ))
        };
        let loss = RangeLoss {
            cause: worse,
            reason: reasons(&gaps),
            is_full: gaps.iter().all(|gap| gap.count.is_some()),
            extent: LossExtent {
                receive_utc_ns: times(|gap| gap.first_receive_utc_ns, |gap| gap.last_receive_utc_ns),
                ..LossExtent::default()
            },
        };
        self.skip(epoch, lane, (one.first, next.last), &loss)
    }
}

/// All that the texts of two ranges give as reasons, each once.
fn reasons(gaps: &[v1::Gap; 2]) -> String {
    let mut all: Vec<&str> = Vec::new();
    for reason in gaps.iter().filter_map(|gap| gap.text.split_once(": ")).flat_map(|(_, reasons)| reasons.split("; ")) {
        if !all.contains(&reason) {
            all.push(reason);
        }
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use venue_schema::GatewayId;

    use super::*;

    const EPOCH: JournalEpoch = JournalEpoch::from_bytes([1; 16]);

    fn author() -> GapAuthor {
        GapAuthor { venue_id: "stade-1".into(), gateway_id: GatewayId::new("stade-1-a").unwrap() }
    }

    fn skip(first: u64, last: u64, cause: GapCause) -> Skip {
        author().skip(EPOCH, Lane::Telemetry, (Sequence(first), Sequence(last)), &RangeLoss::of(cause))
    }

    fn bounded(skips: impl IntoIterator<Item = Skip>) -> Skips {
        let mut kept = Skips::new();
        for skip in skips {
            let added = skip.first;
            kept.insert(added, skip);
            bound(&mut kept, added, |_| false, |one, next| author().join(EPOCH, Lane::Telemetry, one, next));
            assert!(
                kept.len() <= MAX_SKIPS_PER_LANE && kept.contains_key(&added)
                    || kept.values().any(|it| it.last >= added)
            );
        }
        kept
    }

    /// Ranges that touch are joined, alike ones first. A joined range of two causes has the worse one and names both.
    #[test]
    fn a_joined_range_claims_nothing_better_than_it_is() {
        let alternating =
            (1..=100).map(|n| skip(n, n, if n % 2 == 0 { GapCause::Quarantined } else { GapCause::Shed }));
        let kept = bounded(alternating);
        let whole: u64 = kept.values().map(|skip| skip.gap().unwrap().count.unwrap()).sum();
        assert_eq!((kept.len(), whole), (MAX_SKIPS_PER_LANE, 100));
        for skip in kept.values().filter(|skip| skip.first < skip.last) {
            let gap = skip.gap().unwrap();
            assert_eq!(gap.cause(), GapCause::Quarantined, "{gap:?}");
            assert!(gap.text.contains("deleted") && gap.text.contains("damaged"), "{}", gap.text);
        }
        let alike =
            bounded((1..=100).map(|n| skip(n, n, if n <= 60 { GapCause::Shed } else { GapCause::Quarantined })));
        assert!(alike.values().all(|it| it.cause() == skip(it.first.0, it.last.0, it.cause()).cause()));
        assert!(
            alike.values().all(|it| (it.cause() == GapCause::Shed) == (it.last.0 <= 60)),
            "only alike ones are joined"
        );
    }

    /// What is not fully counted in one part is not counted in the whole.
    #[test]
    fn a_count_is_of_all_or_absent() {
        let unknown = RangeLoss { is_full: false, ..RangeLoss::of(GapCause::Quarantined) };
        let unknown = author().skip(EPOCH, Lane::Results, (Sequence(3), Sequence(9)), &unknown);
        let joined = author().join(EPOCH, Lane::Results, &skip(1, 2, GapCause::Quarantined), &unknown);
        assert_eq!((joined.first, joined.last, joined.gap().unwrap().count), (Sequence(1), Sequence(9), None));
    }

    /// Ranges with sound records between them are never joined over these; the oldest is forgotten.
    #[test]
    fn sound_records_between_are_never_skipped() {
        let kept = bounded((1..=100).map(|n| skip(2 * n, 2 * n, GapCause::Quarantined)));
        let expected: Vec<u64> = (37..=100).map(|n| 2 * n).collect();
        assert_eq!(kept.keys().map(|first| first.0).collect::<Vec<_>>(), expected);
        assert!(kept.values().all(|skip| skip.first == skip.last));
    }
}
