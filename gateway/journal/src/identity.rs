//! What makes an event the same event when it comes a second time, and what a source is known to have said.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use hashbrown::HashTable;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use crate::{format::Fields, interval::IntervalSet};

/// Content keys remembered for each source; the oldest are forgotten first.
pub const MAX_KEYS_PER_SOURCE: usize = 65_536;
/// Epochs of one device whose numbers are remembered; the oldest is forgotten first.
pub const MAX_EPOCHS_PER_DEVICE: usize = 16;
/// Devices' epochs remembered for each source; the oldest is forgotten first.
pub const MAX_DEVICE_EPOCHS_PER_SOURCE: usize = 4_096;
/// Intervals of numbers remembered for one epoch of a device; the lowest are forgotten first.
pub const MAX_INTERVALS_PER_EPOCH: usize = 1_024;

/// What makes an event the same event, as the pipeline knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityRef<'a> {
    /// Only its place in the journal; it is never recognised again.
    None,
    /// A number that never restarts within the device's epoch.
    Sequence {
        /// The event's `device_id`.
        device_id: &'a str,
        /// The event's `device_epoch`.
        epoch: u64,
        /// The event's `device_sequence`.
        number: u64,
    },
    /// A key made from the content.
    Key {
        /// The event's `device_id`.
        device_id: &'a str,
        /// The event's `device_epoch`.
        epoch: u64,
        /// The key of the event's `content_key`.
        key: &'a str,
        /// Which of the equal ones it is, from 1.
        occurrence: u32,
    },
}

/// An identity as it is stored: texts are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Sequence { device: u64, epoch: u64, number: u64 },
    Key { hash: u128, occurrence: u32 },
}

impl Identity {
    pub(crate) fn of(identity: IdentityRef<'_>) -> Option<Self> {
        match identity {
            IdentityRef::None => None,
            IdentityRef::Sequence { device_id, epoch, number } => {
                Some(Self::Sequence { device: xxh3_64(device_id.as_bytes()), epoch, number })
            }
            IdentityRef::Key { device_id, epoch, key, occurrence } => {
                Some(Self::Key { hash: key_hash(device_id, epoch, key), occurrence })
            }
        }
    }

    /// The byte that says which kind follows.
    pub(crate) fn kind(self) -> u8 {
        match self {
            Self::Sequence { .. } => 1,
            Self::Key { .. } => 2,
        }
    }

    /// 24 bytes.
    pub(crate) fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        match self {
            Self::Sequence { device, epoch, number } => {
                bytes[..8].copy_from_slice(&device.to_le_bytes());
                bytes[8..16].copy_from_slice(&epoch.to_le_bytes());
                bytes[16..].copy_from_slice(&number.to_le_bytes());
            }
            Self::Key { hash, occurrence } => {
                bytes[..16].copy_from_slice(&hash.to_le_bytes());
                bytes[16..].copy_from_slice(&u64::from(occurrence).to_le_bytes());
            }
        }
        bytes
    }

    /// Reads 24 bytes of a kind; none if there is no such kind.
    pub(crate) fn decode(kind: u8, bytes: [u8; 24]) -> Option<Self> {
        let mut fields = Fields(&bytes);
        match kind {
            1 => Some(Self::Sequence { device: fields.u64()?, epoch: fields.u64()?, number: fields.u64()? }),
            2 => Some(Self::Key { hash: fields.u128()?, occurrence: u32::try_from(fields.u64()?).ok()? }),
            _ => None,
        }
    }
}

/// A key with its device and epoch is seldom longer.
const USUAL_KEY_BYTES: usize = 192;

/// Hash of a content key. The parts are kept apart by the length of the first.
pub(crate) fn key_hash(device_id: &str, epoch: u64, key: &str) -> u128 {
    let parts =
        [&(device_id.len() as u64).to_le_bytes()[..], device_id.as_bytes(), &epoch.to_le_bytes(), key.as_bytes()];
    let mut bytes = [0; USUAL_KEY_BYTES];
    let mut end = 0;
    for part in parts {
        let Some(place) = bytes.get_mut(end..end + part.len()) else {
            let mut hash = Xxh3::new();
            parts.iter().for_each(|part| hash.update(part));
            return hash.digest128();
        };
        place.copy_from_slice(part);
        end += part.len();
    }
    // The same, and faster where it is short.
    xxh3_128(&bytes[..end])
}

/// Takes keys that are hashes already as they are.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only for keys that hold more than a hash.
        self.0 = self.0.rotate_left(23) ^ xxh3_64(bytes);
    }

    fn write_u128(&mut self, value: u128) {
        self.0 ^= value as u64;
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
}

/// A map that is looked up and never iterated.
pub(crate) type LookupMap<K, V> = HashMap<K, V, BuildHasherDefault<AsItIs>>;

/// The occurrences of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Occurrences {
    /// The highest that was ever given: the next live one takes the number behind it.
    pub(crate) given: u32,
    /// All from 1 up to this one are stored. What lies behind, or was lost, is taken again when it is repeated.
    pub(crate) stored: u32,
}

/// The content keys that a source used last, with the occurrences of each. Keys stand in a row and are found by their numbers in it: a
/// table of 4 bytes each stays in the processor's caches, and the oldest goes without being looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentKeys {
    /// Hashes of keys with their occurrences, oldest first.
    keys: VecDeque<(u128, Occurrences)>,
    /// Number of the oldest; the others follow. It wraps around.
    oldest: u32,
    /// Numbers, by hash.
    numbers: HashTable<u32>,
}

impl RecentKeys {
    fn place(&self, hash: u128) -> Option<usize> {
        let place = |number: u32| number.wrapping_sub(self.oldest) as usize;
        self.numbers.find(hash as u64, |&number| self.keys[place(number)].0 == hash).map(|&number| place(number))
    }

    /// The occurrences of a key.
    pub(crate) fn occurrences(&self, hash: u128) -> Occurrences {
        self.place(hash).map(|place| self.keys[place].1).unwrap_or_default()
    }

    /// Remembers that an occurrence of a key is stored.
    pub(crate) fn insert(&mut self, hash: u128, occurrence: u32) {
        match self.place(hash) {
            None => self.push(hash, Occurrences { given: occurrence, stored: u32::from(occurrence == 1) }),
            Some(place) => {
                let Occurrences { given, stored } = &mut self.keys[place].1;
                *given = occurrence.max(*given);
                if occurrence == stored.saturating_add(1) {
                    *stored = occurrence;
                }
            }
        }
    }

    /// Remembers all that is known of a key.
    pub(crate) fn put(&mut self, hash: u128, occurrences: Occurrences) {
        match self.place(hash) {
            None => self.push(hash, occurrences),
            Some(place) => self.keys[place].1 = occurrences,
        }
    }

    /// Appends a key that is new; the oldest makes room.
    fn push(&mut self, hash: u128, occurrences: Occurrences) {
        if self.keys.len() == MAX_KEYS_PER_SOURCE
            && let Some((gone, _)) = self.keys.pop_front()
        {
            let number = self.oldest;
            self.oldest = number.wrapping_add(1);
            if let Ok(found) = self.numbers.find_entry(gone as u64, |&other| other == number) {
                found.remove();
            }
        }
        let number = self.oldest.wrapping_add(self.keys.len() as u32);
        self.keys.push_back((hash, occurrences));
        let hash_of = |&number: &u32| self.keys[number.wrapping_sub(self.oldest) as usize].0 as u64;
        self.numbers.insert_unique(hash as u64, number, hash_of);
    }

    /// Takes no occurrence for stored any longer. Numbers that were given stay given.
    pub(crate) fn forget_stored(&mut self) {
        self.keys.iter_mut().for_each(|(_, occurrences)| occurrences.stored = 0);
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The newest `count` keys with their occurrences, oldest first.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = (u128, Occurrences)> {
        self.keys.range(self.keys.len().saturating_sub(count)..).copied()
    }
}

/// The numbers that a source's devices used, by device and epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceNumbers {
    sets: BTreeMap<(u64, u64), IntervalSet>,
    order: VecDeque<(u64, u64)>,
}

impl DeviceNumbers {
    pub(crate) fn contains(&self, device: u64, epoch: u64, number: u64) -> bool {
        self.sets.get(&(device, epoch)).is_some_and(|set| set.contains(number))
    }

    pub(crate) fn insert(&mut self, device: u64, epoch: u64, number: u64) {
        let set = self.set(device, epoch);
        set.insert(number);
        set.trim(MAX_INTERVALS_PER_EPOCH);
    }

    /// Puts a whole set in.
    pub(crate) fn insert_set(&mut self, device: u64, epoch: u64, numbers: IntervalSet) {
        *self.set(device, epoch) = numbers;
    }

    fn set(&mut self, device: u64, epoch: u64) -> &mut IntervalSet {
        if !self.sets.contains_key(&(device, epoch)) {
            self.make_room(device);
            self.order.push_back((device, epoch));
        }
        self.sets.entry((device, epoch)).or_default()
    }

    fn make_room(&mut self, device: u64) {
        let epochs = self.sets.range((device, 0)..=(device, u64::MAX)).count();
        let oldest = if epochs >= MAX_EPOCHS_PER_DEVICE {
            self.order.iter().position(|&(of, _)| of == device)
        } else {
            (self.order.len() >= MAX_DEVICE_EPOCHS_PER_SOURCE).then_some(0)
        };
        if let Some(key) = oldest.and_then(|index| self.order.remove(index)) {
            self.sets.remove(&key);
        }
    }

    /// All sets with their device and epoch, in the order in which they came up.
    pub(crate) fn sets(&self) -> impl ExactSizeIterator<Item = (u64, u64, &IntervalSet)> {
        self.order.iter().map(|key| (key.0, key.1, &self.sets[key]))
    }
}

/// The name that stands for every source of which no readable record tells. Its ordinals are those that such a source may
/// have in records that were lost; one that is new begins behind them.
pub(crate) const UNKNOWN_SOURCES: &str = "";

/// What is durable of one source: only of this it is said that it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceKnowledge {
    pub(crate) name: String,
    /// Ordinals that are in the journal, or declared missing.
    pub(crate) ordinals: IntervalSet,
    pub(crate) keys: RecentKeys,
    pub(crate) numbers: DeviceNumbers,
    /// When it was last heard.
    pub(crate) last_received: Option<Received>,
    /// The ordinal of that record in this process; 0 if it was learned from a checkpoint.
    received_ordinal: u64,
}

/// A receive time: UTC ns if a date was known, and ns since the boot.
pub(crate) type Received = (Option<i64>, u64);

impl SourceKnowledge {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A source that has nothing yet, and begins behind an ordinal.
    pub(crate) fn beginning_behind(ordinal: u64, name: &str) -> Self {
        let mut source = Self::named(name);
        if ordinal > 0 {
            source.ordinals.insert_range(1, ordinal);
        }
        source
    }

    /// The same for another epoch, in which nothing has an ordinal yet.
    pub(crate) fn for_new_epoch(&self) -> Self {
        Self { ordinals: IntervalSet::default(), received_ordinal: 0, ..self.clone() }
    }

    /// Takes in a record that is durable. `received`: when the source was heard, if it was; the lanes
    /// need not become durable in the order of ordinals.
    pub(crate) fn learn(&mut self, ordinal: u64, identity: Option<Identity>, received: Option<Received>) {
        if received.is_some() && ordinal >= self.received_ordinal {
            (self.last_received, self.received_ordinal) = (received, ordinal);
        }
        if ordinal > 0 {
            self.ordinals.insert(ordinal);
        }
        match identity {
            None => {}
            Some(Identity::Sequence { device, epoch, number }) => self.numbers.insert(device, epoch, number),
            Some(Identity::Key { hash, occurrence }) => self.keys.insert(hash, occurrence),
        }
    }

    pub(crate) fn knows(&self, identity: Identity) -> bool {
        match identity {
            Identity::Sequence { device, epoch, number } => self.numbers.contains(device, epoch, number),
            Identity::Key { hash, occurrence } => occurrence <= self.keys.occurrences(hash).stored,
        }
    }

    /// Forgets what is stored, for some of it is lost and it cannot be told what. A repeat is then taken
    /// again, and the receiver, who decides finally, merges what it has by identity.
    pub(crate) fn forget_identities(&mut self) {
        self.numbers = DeviceNumbers::default();
        self.keys.forget_stored();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound of keys: the oldest is forgotten, the rest is not.
    #[test]
    fn the_oldest_key_is_forgotten_first() {
        let mut keys = RecentKeys::default();
        for key in 0..=MAX_KEYS_PER_SOURCE as u128 {
            keys.insert(key, 1);
        }
        let once = Occurrences { given: 1, stored: 1 };
        assert_eq!(
            (keys.len(), keys.occurrences(0), keys.occurrences(1)),
            (MAX_KEYS_PER_SOURCE, Occurrences::default(), once)
        );
        assert_eq!(keys.newest(2).last(), Some((MAX_KEYS_PER_SOURCE as u128, once)));
        // Numbers wrap around.
        let mut keys = RecentKeys { oldest: u32::MAX - 100, ..RecentKeys::default() };
        let count = MAX_KEYS_PER_SOURCE as u128 + 1_000;
        // Every second falls on the place of the one before it in the table.
        let hash = |key: u128| (key / 2).wrapping_mul(0x9E37_79B9_7F4A_7C15) as u64 as u128 | (key % 2) << 64;
        (0..count).for_each(|key| keys.insert(hash(key), 1));
        let known = (0..count).filter(|&key| keys.occurrences(hash(key)) == once);
        assert!(known.eq(1_000..count));
    }

    /// An occurrence whose predecessor is lost does not stand for it: the repeat of either is taken again, while the next live
    /// one still gets a number of its own.
    #[test]
    fn a_lost_occurrence_is_not_known() {
        let mut source = SourceKnowledge::default();
        let key = |occurrence| Identity::Key { hash: 5, occurrence };
        source.keys.insert(5, 1);
        source.keys.insert(5, 3);
        assert_eq!([1, 2, 3].map(|occurrence| source.knows(key(occurrence))), [true, false, false]);
        assert_eq!(source.keys.occurrences(5).given, 3);
        source.keys.insert(5, 2);
        source.keys.insert(5, 3);
        assert!(source.knows(key(3)));
        source.forget_identities();
        assert_eq!((source.knows(key(1)), source.keys.occurrences(5).given), (false, 3));
    }

    /// A device that starts again and again cannot push out another device's numbers.
    #[test]
    fn epochs_are_bounded_for_each_device() {
        let mut numbers = DeviceNumbers::default();
        numbers.insert(1, 0, 10);
        for epoch in 0..100 {
            numbers.insert(2, epoch, 1);
        }
        assert!(numbers.contains(1, 0, 10));
        assert!(!numbers.contains(2, 83, 1));
        assert!(numbers.contains(2, 84, 1));
        assert_eq!(numbers.sets().len(), 1 + MAX_EPOCHS_PER_DEVICE);
    }

    /// Parts of a key must not run into one another.
    #[test]
    fn device_and_key_are_kept_apart() {
        assert_ne!(key_hash("ab", 0, "c"), key_hash("a", 0, "bc"));
        assert_ne!(key_hash("a", 1, "c"), key_hash("a", 2, "c"));
    }

    /// However long a key is, its hash is that of all its parts in a row: it stands on disk.
    #[test]
    fn a_short_key_and_a_long_one_are_hashed_alike() {
        for bytes in 0..2 * USUAL_KEY_BYTES {
            let key = "k".repeat(bytes);
            let row = [&5_u64.to_le_bytes()[..], b"timer", &7_u64.to_le_bytes(), key.as_bytes()].concat();
            assert_eq!(key_hash("timer", 7, &key), xxh3_128(&row), "{bytes}");
        }
    }
}
