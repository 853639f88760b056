//! Random schedules of faults; whatever happens, every event is at the centre once in
//! effect, in order, with one digest at both ends.

use core::time::Duration;

use proptest::prelude::*;
use venue_delivery::sender::LinkState;
use venue_schema::v1;

use crate::pair::{MILLISECOND, MINUTE, Pair, SECOND, journal::Journal};

/// Something that happens to an uplink.
#[derive(Debug, Clone)]
enum Incident {
    Append(u64),
    Wait(Duration),
    Cut,
    HalfCut(Duration),
    /// The gateway's process dies and starts again.
    Restart,
    Latency(Duration),
    Refuse(usize, bool),
    Silence(usize, bool),
    StoreAvailable(bool),
    /// The store forgets its marks, not its events, while no stream stands that its gateway has given up.
    ForgetMarks,
    /// Delivered records below this share of the cursor are deleted.
    Retire(u8),
    /// Part of what is not delivered is deleted for good, as telemetry is.
    Shed(u8),
    ReadFaults(u32),
    ResultsBacklog(bool),
}

fn incident(forgetful: bool) -> impl Strategy<Value = Incident> {
    let wait = (0..5000_u64).prop_map(|ms| Incident::Wait(ms as u32 * MILLISECOND));
    let rare = match forgetful {
        true => prop_oneof![
            Just(Incident::ForgetMarks),
            any::<u8>().prop_map(Incident::Retire),
            any::<u8>().prop_map(Incident::Shed),
        ]
        .boxed(),
        false => Just(Incident::Cut).boxed(),
    };
    prop_oneof![
        4 => (1..2000_u64).prop_map(Incident::Append),
        4 => wait,
        2 => (0..90_u64).prop_map(|ms| Incident::Wait(ms as u32 * MILLISECOND)),
        1 => (0..120_u32).prop_map(|s| Incident::Wait(s * SECOND)),
        2 => Just(Incident::Cut),
        2 => (0..1000_u32).prop_map(|ms| Incident::HalfCut(ms * MILLISECOND)),
        1 => Just(Incident::Restart),
        1 => (1..400_u32).prop_map(|ms| Incident::Latency(ms * MILLISECOND)),
        1 => (0..2_usize, any::<bool>()).prop_map(|(endpoint, on)| Incident::Refuse(endpoint, on)),
        1 => (0..2_usize, any::<bool>()).prop_map(|(endpoint, on)| Incident::Silence(endpoint, on)),
        1 => any::<bool>().prop_map(Incident::StoreAvailable),
        1 => (1..4_u32).prop_map(Incident::ReadFaults),
        1 => any::<bool>().prop_map(Incident::ResultsBacklog),
        2 => rare,
    ]
}

impl Pair {
    fn suffer(&mut self, incident: &Incident) {
        match *incident {
            Incident::Append(count) => self.append_impulses(0, count),
            Incident::Wait(time) => self.run(time),
            Incident::Cut => self.cut_all(0),
            Incident::HalfCut(late) => self.half_cut_all(0, late),
            Incident::Restart => self.restart(0),
            Incident::Latency(latency) => self.latency = latency,
            Incident::Refuse(endpoint, on) => self.refusing[endpoint] = on,
            Incident::Silence(endpoint, on) => self.silent[endpoint] = on,
            Incident::StoreAvailable(available) => self.store.set_available(available),
            Incident::ForgetMarks => {
                // Nobody can tell any longer what a stream that was given up may add: what it still held would be stored beside
                // what the journal has put in its place since, both ends would refuse each other, and `new-epoch` mends it.
                // Whoever restores a store stops its receivers first.
                self.end_half_cut();
                self.store.forget_marks();
                self.amnesia = true;
            }
            Incident::Retire(share) => {
                let cursor = self.gateways[0].journal.cursor.sequence.0;
                self.gateways[0].journal.retire(cursor * u64::from(share) / 256 + 1);
            }
            Incident::Shed(share) => self.shed(share),
            Incident::ReadFaults(count) => self.gateways[0].journal.faults = count,
            Incident::ResultsBacklog(waiting) => self.gateways[0].sender.handle_results_backlog(waiting),
        }
    }

    /// What was handed to the network once keeps its sequence but may be shed as well.
    fn shed(&mut self, share: u8) {
        let journal = &mut self.gateways[0].journal;
        let (cursor, last) = (journal.cursor.sequence.0, journal.last_durable().0);
        let first = (cursor + 1).max(journal.last_skipped() + 1);
        let end = first + last.saturating_sub(first) * u64::from(share) / 256;
        if first < end {
            journal.skip(first, end, v1::GapCause::Shed);
        }
    }

    fn mend(&mut self) {
        self.refusing.fill(false);
        self.silent.fill(false);
        self.store.set_available(true);
        self.gateways[0].journal.faults = 0;
        self.gateways[0].sender.handle_results_backlog(false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// A store that keeps its promises: each element once, in order, byte for byte, and
    /// the cursor never beyond the store.
    #[test]
    fn every_event_arrives_once_and_in_order(incidents in prop::collection::vec(incident(false), 1..40)) {
        let mut pair = Pair::new(Journal::new("stade-1-a", 1, v1::Lane::Telemetry), 2);
        incidents.iter().for_each(|incident| pair.suffer(incident));
        pair.mend();
        pair.append_impulses(0, 1);
        pair.drain(10 * MINUTE);
        pair.check_rows(0);
        prop_assert_eq!(pair.store.totals().seen_again, 0, "marks and events are one transaction");
        prop_assert_eq!(pair.gateways[0].rewinds, 0);
        prop_assert!(pair.gateways[0].ended_epoch.is_none());
    }

    /// A store that forgets marks, and a journal that deletes: both ends agree in the end,
    /// every record that the journal still has is in the store exactly once, and what it has
    /// not is there as a record or as a gap.
    #[test]
    fn both_ends_agree_after_amnesia_and_deletion(incidents in prop::collection::vec(incident(true), 1..40)) {
        let mut pair = Pair::new(Journal::new("stade-1-a", 1, v1::Lane::Telemetry), 2);
        incidents.iter().for_each(|incident| pair.suffer(incident));
        pair.mend();
        pair.append_impulses(0, 1);
        // A mark that was forgotten shows at the next hello.
        pair.cut_all(0);
        pair.drain(10 * MINUTE);
        pair.check_nothing_is_missing(0);
        prop_assert_eq!(pair.state(0), LinkState::Delivering);
    }
}
