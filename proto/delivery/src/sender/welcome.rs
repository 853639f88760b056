//! What a welcome means: where to go on, and whether the receiver's history is ours.

use venue_schema::{Digest, Sequence, v1};

use super::{
    reason::Reason,
    source::{Read, ReadFault, ReadLimits, RecordSource},
};
use crate::{
    Mark, PROTOCOL_VERSION,
    frame::{BrokenElements, Elements, MAX_BATCH_BYTES, MAX_BATCH_RECORDS},
};

/// A welcome whose fields have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) receiver_id: String,
    pub(super) mark: Mark,
}

impl Greeting {
    /// Checks the fields of a welcome.
    pub(super) fn parse(welcome: v1::Welcome) -> Result<Self, Reason> {
        let broken = |what: &str| Err(Reason::Broken(format!("its welcome {what}")));
        if welcome.receiver_id.is_empty() {
            return broken("names no receiver_id");
        }
        if welcome.protocol_version == 0 || welcome.protocol_version > PROTOCOL_VERSION {
            return broken(&format!("speaks protocol version {}", welcome.protocol_version));
        }
        let Some(digest) = Digest::from_slice(&welcome.digest) else {
            return broken(&format!("has a digest of {} bytes instead of 32", welcome.digest.len()));
        };
        let mark = Mark { sequence: Sequence(welcome.last_sequence), digest };
        Ok(Self { receiver_id: welcome.receiver_id, mark })
    }
}

/// What is to be done after a welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Both ends agree: go on behind the mark.
    Continue,
    /// The marks differ: find out whether the histories are one.
    Compare(Comparison),
    /// The receiver holds what this journal never had.
    NewEpoch,
    /// Give up.
    Refuse(Reason),
}

/// Judges a welcome by what is known here.
pub(super) fn judge(
    greeting: &Greeting,
    pinned: Option<&str>,
    cursor: Mark,
    durable: Sequence,
    initial: Mark,
) -> Verdict {
    let theirs = greeting.mark;
    if let Some(pinned) = pinned.filter(|pinned| *pinned != greeting.receiver_id) {
        let answered = greeting.receiver_id.clone();
        return Verdict::Refuse(Reason::ForeignReceiver { pinned: pinned.to_owned(), answered });
    }
    let known = [initial, cursor].into_iter().find(|known| known.sequence == theirs.sequence);
    if let Some(ours) = known.filter(|ours| ours.digest != theirs.digest) {
        return Verdict::Refuse(differs(ours, theirs));
    }
    if theirs.sequence.max(cursor.sequence) > durable {
        return Verdict::NewEpoch;
    }
    if theirs.sequence == cursor.sequence {
        Verdict::Continue
    } else {
        Verdict::Compare(Comparison::new(cursor, theirs))
    }
}

pub(super) fn differs(ours: Mark, theirs: Mark) -> Reason {
    Reason::DigestDiffers { at: theirs.sequence, ours: ours.digest, theirs: theirs.digest }
}

/// Whether a journal that ends at one mark continues to another, found out by
/// hashing what lies between before anything is sent.
///
/// If the receiver is ahead (its acknowledgements were lost) the way leads from
/// our cursor to its mark; if it is behind (it forgot) from its mark to our cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    at: Mark,
    target: Mark,
    receiver_is_ahead: bool,
    /// A skipped range lies on the way. It may have been sent as the records that
    /// it now stands for, so that a difference proves nothing.
    skipped: bool,
}

/// What one step of a comparison found.
#[derive(Debug)]
pub(super) enum Step {
    /// Not there yet.
    More,
    /// The histories are one.
    Same,
    /// They are not.
    Differs(Reason),
    /// Part of what was sent has been deleted since, so that it cannot be hashed
    /// again. The receiver's mark wins.
    Inconclusive,
    /// The journal cannot be read now.
    Fault(ReadFault),
}

impl Comparison {
    fn new(cursor: Mark, theirs: Mark) -> Self {
        let receiver_is_ahead = theirs.sequence > cursor.sequence;
        let (at, target) = if receiver_is_ahead { (cursor, theirs) } else { (theirs, cursor) };
        Self { at, target, receiver_is_ahead, skipped: false }
    }

    /// Reads and hashes one batch more.
    pub(super) fn step(&mut self, source: &mut impl RecordSource) -> Step {
        let from = self.at.sequence.next();
        let missing = usize::try_from(self.target.sequence.0 - self.at.sequence.0).unwrap_or(usize::MAX);
        let limits = ReadLimits { records: missing.min(MAX_BATCH_RECORDS), bytes: MAX_BATCH_BYTES };
        match source.read(from, limits) {
            Ok(Read::Records { elements, .. }) => match Elements::new(&elements).try_fold(self.at, hash) {
                Ok(end) => self.arrive(end),
                Err(broken) => Step::Fault(ReadFault { at: from, message: broken.to_string() }),
            },
            Ok(Read::Skipped { first, last, gap_event }) if first == from && last <= self.target.sequence => {
                self.skipped = true;
                self.arrive(self.at.then_skipped(last, &gap_event))
            }
            Ok(Read::Skipped { .. } | Read::NotRetained { .. }) => Step::Inconclusive,
            Ok(Read::End) => {
                let message = "it ends before its own last durable record".to_owned();
                Step::Fault(ReadFault { at: from, message })
            }
            Err(fault) => Step::Fault(fault),
        }
    }

    fn arrive(&mut self, end: Mark) -> Step {
        assert!(end.sequence <= self.target.sequence, "the journal returned more records than it was asked for");
        self.at = end;
        match end.sequence < self.target.sequence {
            true => Step::More,
            false if end.digest == self.target.digest => Step::Same,
            false if self.skipped => Step::Inconclusive,
            false if self.receiver_is_ahead => Step::Differs(differs(end, self.target)),
            false => Step::Differs(differs(self.target, end)),
        }
    }
}

/// Adds one element as it was read to a mark.
pub(super) fn hash(mark: Mark, event: Result<&[u8], BrokenElements>) -> Result<Mark, BrokenElements> {
    event.map(|event| mark.then(event))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use venue_schema::{JournalEpoch, v1::Lane};

    use super::*;

    fn mark(count: u8) -> Mark {
        let start = Mark::initial(JournalEpoch::from_bytes([7; 16]), Lane::Results);
        (0..count).fold(start, |mark, byte| mark.then(&[byte]))
    }

    /// Every relation between the receiver's mark, the cursor (at 5) and what is durable
    /// (up to 8) has its verdict.
    #[test]
    fn each_welcome_has_its_verdict() {
        let check = |receiver_id: &str, theirs: Mark, expected: Verdict| {
            let greeting = Greeting { receiver_id: receiver_id.to_owned(), mark: theirs };
            assert_eq!(judge(&greeting, Some("centre"), mark(5), Sequence(8), mark(0)), expected);
        };
        check("centre", mark(5), Verdict::Continue);
        check("centre", mark(3), Verdict::Compare(Comparison::new(mark(5), mark(3))));
        check("centre", mark(8), Verdict::Compare(Comparison::new(mark(5), mark(8))));
        check("centre", mark(0), Verdict::Compare(Comparison::new(mark(5), mark(0))));
        check("centre", mark(9), Verdict::NewEpoch);
        for known in [mark(0), mark(5)] {
            let forged = Mark { digest: mark(1).digest, ..known };
            check("centre", forged, Verdict::Refuse(differs(known, forged)));
        }
        let (pinned, answered) = ("centre".to_owned(), "other".to_owned());
        check("other", mark(5), Verdict::Refuse(Reason::ForeignReceiver { pinned, answered }));
    }

    /// A welcome that says too little, or speaks a later version than was offered, is
    /// no welcome.
    #[test]
    fn a_welcome_is_checked() {
        let digest = Bytes::copy_from_slice(mark(3).digest.as_bytes());
        let sound = v1::Welcome {
            receiver_id: "centre".into(),
            last_sequence: 3,
            digest,
            protocol_version: PROTOCOL_VERSION,
            capabilities: vec!["of a later version".into()],
        };
        let parsed = Greeting::parse(sound.clone()).expect("it is sound");
        assert_eq!(parsed, Greeting { receiver_id: "centre".into(), mark: mark(3) });
        for broken in [
            v1::Welcome { receiver_id: String::new(), ..sound.clone() },
            v1::Welcome { protocol_version: 0, ..sound.clone() },
            v1::Welcome { protocol_version: PROTOCOL_VERSION + 1, ..sound.clone() },
            v1::Welcome { digest: Bytes::new(), ..sound },
        ] {
            assert!(matches!(Greeting::parse(broken), Err(Reason::Broken(_))));
        }
    }
}
