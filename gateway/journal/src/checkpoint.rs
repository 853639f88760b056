//! The checkpoint at the start of a segment: what opening needs to know of everything before it.

use bytes::Bytes;
use venue_schema::{Sequence, v1::Lane};

use crate::{
    PerLane,
    format::{Checksum, Fields},
    gap::Skip,
    identity::{DeviceNumbers, MAX_INTERVALS_PER_EPOCH, Occurrences, SourceKnowledge},
    interval::IntervalSet,
    loss::OpenGap,
    skips::Skips,
};

const MAGIC: [u8; 4] = *b"VCPT";
/// Size of one remembered key, bytes.
const KEY_BYTES: usize = 24;
/// Size of one interval, bytes.
const INTERVAL_BYTES: usize = 16;
/// Size of a set of numbers without its intervals, bytes.
const SET_BYTES: usize = 20;

/// What was durable when a segment was begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkpoint {
    /// The last durable sequence of each lane.
    pub(crate) durable: PerLane<Sequence>,
    pub(crate) sources: Vec<SourceKnowledge>,
    pub(crate) skips: PerLane<Skips>,
    /// Losses that no durable record had ended.
    pub(crate) losses: Vec<OpenGap>,
}

/// Writes a checkpoint of at most `budget` bytes, or what skips, losses, names and ordinals take if that is more. Numbers get half of what
/// these leave, and keys the rest. Of numbers that do not fit the lowest are left out, of keys the oldest; says how many keys.
pub(crate) fn encode(
    durable: PerLane<Sequence>,
    sources: &[SourceKnowledge],
    skips: &PerLane<Skips>,
    losses: &[OpenGap],
    budget: usize,
    checksum: Checksum,
) -> (Vec<u8>, usize) {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&durable.results.0.to_le_bytes());
    bytes.extend_from_slice(&durable.telemetry.0.to_le_bytes());
    for lane in Lane::ALL {
        put_skips(&mut bytes, &skips[lane]);
    }
    put_count(&mut bytes, losses.len());
    losses.iter().for_each(|loss| loss.put(&mut bytes));
    put_count(&mut bytes, sources.len());
    let fixed = bytes.len() + sources.iter().map(fixed_bytes).sum::<usize>() + 4;
    let mut room = budget.saturating_sub(fixed) / 2;
    for (index, source) in sources.iter().enumerate() {
        put_name_and_ordinals(&mut bytes, source);
        let before = bytes.len();
        put_numbers(&mut bytes, &source.numbers, room / (sources.len() - index));
        room -= bytes.len() - before - 4;
    }
    let mut room = budget.saturating_sub(bytes.len() + 4 * sources.len() + 4) / KEY_BYTES;
    let mut trimmed = 0;
    for (index, source) in sources.iter().enumerate() {
        let kept = source.keys.len().min(room / (sources.len() - index));
        put_count(&mut bytes, kept);
        for (hash, occurrences) in source.keys.newest(kept) {
            bytes.extend_from_slice(&hash.to_le_bytes());
            bytes.extend_from_slice(&occurrences.given.to_le_bytes());
            bytes.extend_from_slice(&occurrences.stored.to_le_bytes());
        }
        room -= kept;
        trimmed += source.keys.len() - kept;
    }
    let crc = checksum.over(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    (bytes, trimmed)
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).expect("every collection here has a bound below 2^32").to_le_bytes());
}

fn put_skips(bytes: &mut Vec<u8>, skips: &Skips) {
    put_count(bytes, skips.len());
    for skip in skips.values() {
        bytes.extend_from_slice(&skip.first.0.to_le_bytes());
        bytes.extend_from_slice(&skip.last.0.to_le_bytes());
        put_count(bytes, skip.gap_event.len());
        bytes.extend_from_slice(&skip.gap_event);
    }
}

/// What a source takes in any case, bytes.
fn fixed_bytes(source: &SourceKnowledge) -> usize {
    let counts = 4 * 4;
    counts + source.name.len() + INTERVAL_BYTES * source.ordinals.intervals().len() + 17
}

fn put_name_and_ordinals(bytes: &mut Vec<u8>, source: &SourceKnowledge) {
    put_count(bytes, source.name.len());
    bytes.extend_from_slice(source.name.as_bytes());
    put_intervals(bytes, source.ordinals.intervals());
    let (utc_ns, monotonic_ns) = source.last_received.unwrap_or_default();
    bytes.push(u8::from(source.last_received.is_some()) | u8::from(utc_ns.is_some()) << 1);
    bytes.extend_from_slice(&utc_ns.unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(&monotonic_ns.to_le_bytes());
}

/// Writes sets of numbers in at most `room` bytes beside their count. The oldest sets are left out where not even an interval of each fits; of
/// the others, those with the most intervals lose their lowest.
fn put_numbers(bytes: &mut Vec<u8>, numbers: &DeviceNumbers, room: usize) {
    let left_out = numbers.sets().len().saturating_sub(room / (SET_BYTES + INTERVAL_BYTES));
    let sets = || numbers.sets().skip(left_out);
    let size = |most: usize| -> usize {
        sets().map(|(_, _, set)| SET_BYTES + INTERVAL_BYTES * set.intervals().len().min(most)).sum()
    };
    let mut most = MAX_INTERVALS_PER_EPOCH;
    while most > 1 && size(most) > room {
        most /= 2;
    }
    put_count(bytes, sets().len());
    for (device, epoch, set) in sets() {
        bytes.extend_from_slice(&device.to_le_bytes());
        bytes.extend_from_slice(&epoch.to_le_bytes());
        let intervals = set.intervals();
        put_intervals(bytes, &intervals[intervals.len().saturating_sub(most)..]);
    }
}

fn put_intervals(bytes: &mut Vec<u8>, intervals: &[(u64, u64)]) {
    put_count(bytes, intervals.len());
    for (first, last) in intervals {
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&last.to_le_bytes());
    }
}

/// Reads a checkpoint; none if it is damaged.
pub(crate) fn decode(bytes: &[u8], checksum: Checksum) -> Option<Checkpoint> {
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    if checksum.over(content) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut fields = Fields(content);
    if fields.array()? != MAGIC {
        return None;
    }
    let durable = PerLane { results: Sequence(fields.u64()?), telemetry: Sequence(fields.u64()?) };
    let skips = PerLane { results: take_skips(&mut fields)?, telemetry: take_skips(&mut fields)? };
    let loss_count = fields.u32()?;
    let losses = (0..loss_count).map(|_| OpenGap::take(&mut fields)).collect::<Option<_>>()?;
    let source_count = fields.u32()?;
    let mut sources = (0..source_count).map(|_| take_names_and_numbers(&mut fields)).collect::<Option<Vec<_>>>()?;
    for source in &mut sources {
        for _ in 0..fields.u32()? {
            let hash = fields.u128()?;
            source.keys.put(hash, Occurrences { given: fields.u32()?, stored: fields.u32()? });
        }
    }
    Some(Checkpoint { durable, sources, skips, losses })
}

fn take_skips(fields: &mut Fields<'_>) -> Option<Skips> {
    let mut skips = Skips::new();
    for _ in 0..fields.u32()? {
        let (first, last) = (Sequence(fields.u64()?), Sequence(fields.u64()?));
        let length = usize::try_from(fields.u32()?).ok()?;
        skips.insert(first, Skip { first, last, gap_event: Bytes::copy_from_slice(fields.bytes(length)?) });
    }
    Some(skips)
}

fn take_names_and_numbers(fields: &mut Fields<'_>) -> Option<SourceKnowledge> {
    let length = usize::try_from(fields.u32()?).ok()?;
    let mut source = SourceKnowledge::named(std::str::from_utf8(fields.bytes(length)?).ok()?);
    source.ordinals = take_intervals(fields)?;
    let [known] = fields.array()?;
    let (utc_ns, monotonic_ns) = (i64::from_le_bytes(fields.array()?), fields.u64()?);
    source.last_received = (known & 1 != 0).then_some(((known & 2 != 0).then_some(utc_ns), monotonic_ns));
    for _ in 0..fields.u32()? {
        let (device, epoch) = (fields.u64()?, fields.u64()?);
        source.numbers.insert_set(device, epoch, take_intervals(fields)?);
    }
    Some(source)
}

fn take_intervals(fields: &mut Fields<'_>) -> Option<IntervalSet> {
    let count = fields.u32()?;
    let intervals = (0..count).map(|_| Some((fields.u64()?, fields.u64()?))).collect::<Option<_>>()?;
    IntervalSet::from_intervals(intervals)
}

#[cfg(test)]
mod tests {
    use venue_schema::v1::GapCause;

    use super::*;
    use crate::identity::Identity;

    fn source(keys: u128) -> SourceKnowledge {
        let mut source = SourceKnowledge::named("finish");
        for key in 1..=keys {
            source.learn(key as u64, Some(Identity::Key { hash: key, occurrence: 1 }), Some((Some(-7), key as u64)));
        }
        source.learn(500, Some(Identity::Sequence { device: 3, epoch: 4, number: 5 }), Some((None, 9)));
        source
    }

    fn loss() -> OpenGap {
        OpenGap {
            lane: Lane::Results,
            source: "finish".into(),
            gap_id: "a-lost-1".into(),
            cause: GapCause::DeviceDark,
            count: 3,
            first_receive_utc_ns: Some(-1),
            first_receive_monotonic_ns: None,
        }
    }

    /// What is written is read back, down to the last skipped range.
    #[test]
    fn a_checkpoint_is_read_back() {
        let durable = PerLane { results: Sequence(9), telemetry: Sequence(4) };
        let skip = Skip { first: Sequence(2), last: Sequence(3), gap_event: Bytes::from_static(b"gap") };
        let skips = PerLane { results: Skips::new(), telemetry: [(Sequence(2), skip)].into() };
        let (bytes, trimmed) =
            encode(durable, &[source(3), SourceKnowledge::named("b")], &skips, &[loss()], 4096, Checksum::plain());
        let read = decode(&bytes, Checksum::plain()).unwrap();
        assert_eq!((trimmed, read.durable, &read.skips, read.losses), (0, durable, &skips, vec![loss()]));
        assert_eq!(read.sources[0].ordinals.intervals(), [(1, 3), (500, 500)]);
        assert_eq!(read.sources[0].keys.occurrences(3), Occurrences { given: 1, stored: 1 });
        assert!(read.sources[0].numbers.contains(3, 4, 5));
        assert_eq!(read.sources[0].last_received, Some((None, 9)));
        assert_eq!((read.sources[1].name.as_str(), read.sources[1].last_received), ("b", None));
        assert!(decode(&bytes[..bytes.len() - 1], Checksum::plain()).is_none());
    }

    /// A segment must hold records, not only a memory of old ones.
    #[test]
    fn the_oldest_keys_are_left_out_where_space_is_short() {
        let (bytes, trimmed) =
            encode(PerLane::default(), &[source(1000)], &PerLane::default(), &[], 4096, Checksum::plain());
        assert!(bytes.len() <= 4096 && trimmed > 700, "{} bytes, {trimmed} trimmed", bytes.len());
        let read = decode(&bytes, Checksum::plain()).unwrap();
        assert_eq!((read.sources[0].keys.occurrences(1).given, read.sources[0].keys.occurrences(1000).given), (0, 1));
    }

    /// Devices whose numbers have holes, and others that begin again and again: what was said last is known, the whole stays
    /// within its bound, and keys have their part.
    #[test]
    fn the_lowest_numbers_are_left_out_where_space_is_short() {
        let alternate = |device: u64, epochs: u64, count: u64| {
            let mut source = source(100);
            for epoch in 0..epochs {
                (0..count).for_each(|n| source.numbers.insert(device, epoch, 2 * n));
            }
            source
        };
        let sources = [alternate(1, 1, 1_000), alternate(2, 16, 1_000), alternate(3, 1, 5)];
        for budget in [4_096, 10_000, 100_000, 2_000_000] {
            let (bytes, _) = encode(PerLane::default(), &sources, &PerLane::default(), &[], budget, Checksum::plain());
            assert!(bytes.len() <= budget, "{} bytes of {budget}", bytes.len());
            let read = decode(&bytes, Checksum::plain()).unwrap().sources;
            assert!(
                read.iter().all(|source| source.numbers.contains(3, 4, 5) || source.numbers.contains(2, 15, 1_998))
            );
            assert!(read[0].numbers.contains(1, 0, 1_998) && read[2].numbers.contains(3, 0, 8), "{budget}");
            assert_eq!(read[1].numbers.contains(2, 0, 0), budget == 2_000_000);
            assert!(read.iter().all(|source| source.keys.occurrences(100).given == 1), "{budget}");
        }
    }
}
