//! The world that steps from deadline to deadline, draws faults, and judges.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use venue_journal::simulated::{Fault as DiskFault, MemoryStorage};
use venue_schema::v1::{self, Lane, event::Content};

use super::{
    centre::Centre,
    gateway::{Gateway, START_UTC_NS},
    timer::Timer,
};

/// Virtual time is given up after this: something does not drain.
const PATIENCE: Duration = Duration::from_secs(48 * 3600);
/// After the last fault everything must be at the centre within this.
const DRAINS_WITHIN: Duration = Duration::from_secs(120);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed; the page cache stays.
    ProcessKilled,
    /// The machine loses power; any subset of unsynced pages stays.
    PowerCut,
    /// The cable is pulled for some seconds.
    LineUnplugged,
    /// The network is down for some seconds.
    UplinkCut,
    /// The next fdatasync fails and drops its pages.
    SyncFails,
    /// A write fails half-way.
    WriteFails,
}

impl Fault {
    /// Every kind.
    pub(crate) const ALL: [Self; 6] =
        [Self::ProcessKilled, Self::PowerCut, Self::LineUnplugged, Self::UplinkCut, Self::SyncFails, Self::WriteFails];
}

/// What a run holds.
pub(crate) struct Plan<'a> {
    /// How many impulses the chronometer records.
    pub(crate) impulses: u32,
    /// Kinds of fault to draw from.
    pub(crate) faults: &'a [Fault],
    /// How many are drawn.
    pub(crate) fault_count: u32,
}

/// What is to happen at a time.
#[derive(Debug, Clone, Copy)]
enum Event {
    Impulse(u32),
    Fault(Fault),
    Restart,
    Plug,
    Uplink,
}

/// A venue.
pub(crate) struct World {
    random: Random,
    now: Duration,
    agenda: BTreeMap<(Duration, u32), Event>,
    disk: MemoryStorage,
    timer: Timer,
    centre: Centre,
    gateway: Option<Gateway>,
    boot: u8,
    trace: String,
    scheduled: u32,
    /// When line and gateway last came to stand both.
    listens_since: Duration,
}

impl World {
    /// A venue before its race.
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random(seed),
            now: Duration::ZERO,
            agenda: BTreeMap::new(),
            disk: MemoryStorage::new(),
            timer: Timer::new(),
            centre: Centre::new(),
            gateway: None,
            boot: 0,
            trace: String::new(),
            scheduled: 0,
            listens_since: Duration::ZERO,
        };
        world.schedule(Duration::ZERO, Event::Restart);
        world
    }

    /// Plays a plan and judges what arrived.
    ///
    /// # Panics
    /// If anything is lost, doubled, out of order, or does not drain.
    pub(crate) fn run(&mut self, plan: &Plan<'_>) {
        let mut at = Duration::from_secs(1);
        for number in 0..plan.impulses {
            at += Duration::from_micros(self.random.below(1_500_000) + 100);
            self.schedule(at, Event::Impulse(number));
        }
        for _ in 0..plan.fault_count {
            let when = Duration::from_micros(self.random.below(u64::try_from(at.as_micros()).expect("short")));
            let kinds = u64::try_from(plan.faults.len()).expect("few");
            let fault = plan.faults[usize::try_from(self.random.below(kinds)).expect("few")];
            self.schedule(when, Event::Fault(fault));
        }
        self.play();
        self.judge();
    }

    /// A long outage of the uplink with `impulses` in it, and then its end.
    pub(crate) fn run_outage(&mut self, outage: Duration, impulses: u32) {
        self.schedule(Duration::from_secs(1), Event::Fault(Fault::UplinkCut));
        for number in 0..impulses {
            self.schedule(Duration::from_secs(2) + outage * number / impulses, Event::Impulse(number));
        }
        // The end that the fault itself schedules comes first; keep the link down.
        while self.now < outage {
            self.step();
            self.agenda.retain(|_, event| !matches!(event, Event::Uplink));
        }
        let now = self.now;
        self.schedule(now, Event::Uplink);
        self.play();
        self.judge();
    }

    /// The cable is pulled, and while it is, the gateway ends by a fault; both come back
    /// in whichever order. Then one more impulse.
    ///
    /// # Panics
    /// If that is not told as one gap, which covers the whole time.
    pub(crate) fn run_dark_restart(&mut self, fault: Fault) {
        let (heard, pulled) = (Duration::from_secs(2), Duration::from_secs(5));
        self.schedule(heard, Event::Impulse(0));
        self.schedule(pulled, Event::Fault(Fault::LineUnplugged));
        self.schedule(pulled + Duration::from_millis(100), Event::Fault(fault));
        self.schedule(pulled * 10, Event::Impulse(1));
        self.play();
        self.judge();
        let gaps = self.gaps_at_centre();
        let [opened, healed] = &gaps[..] else { panic!("one gap is opened and healed, unlike {gaps:#?}") };
        assert_eq!((opened.state(), healed.state()), (v1::GapState::Open, v1::GapState::Healed));
        assert_eq!(opened.gap_id, healed.gap_id);
        assert_eq!(opened.first_receive_utc_ns, healed.first_receive_utc_ns);
        let since_start = |utc_ns: Option<i64>| {
            let ns = utc_ns.expect("a date is known") - START_UTC_NS;
            Duration::from_nanos(u64::try_from(ns).expect("after the start"))
        };
        let (first, last) = (since_start(healed.first_receive_utc_ns), since_start(healed.last_receive_utc_ns));
        assert!(heard <= first && first <= pulled, "{first:?}");
        assert!(self.listens_since > pulled && last >= self.listens_since, "{last:?}");
    }

    /// All that happened, a line each.
    pub(crate) fn into_trace(self) -> String {
        self.trace
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.scheduled += 1;
        self.agenda.insert((at, self.scheduled), event);
    }

    /// Steps until the agenda is empty and everything is at the centre.
    fn play(&mut self) {
        let mut quiet_since = None;
        loop {
            self.step();
            assert!(self.now < PATIENCE, "virtual time runs away:\n{}", self.tail());
            if !self.agenda.is_empty() {
                quiet_since = None;
                continue;
            }
            let since = *quiet_since.get_or_insert(self.now);
            if self.everything_arrived() {
                return;
            }
            let waited = self.now - since;
            assert!(waited < DRAINS_WITHIN, "it does not drain:\n{}", self.tail());
        }
    }

    fn step(&mut self) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            self.happen(event);
        }
        self.timer.print(self.now);
        self.work();
        self.centre.work(self.now);
        let next = [
            self.agenda.keys().next().map(|(at, _)| *at),
            self.timer.next(self.now),
            self.centre.next(),
            self.gateway.as_ref().map(|gateway| gateway.next(self.now)),
        ];
        let next = next.into_iter().flatten().min().unwrap_or(self.now + Duration::from_secs(1));
        // Time moves, even where somebody is due at once.
        self.now = next.max(self.now + Duration::from_micros(1));
    }

    fn work(&mut self) {
        while let Some(bytes) = self.timer.arrived(self.now) {
            if let Some(gateway) = &mut self.gateway {
                gateway.read(self.now, &bytes);
            }
        }
        while let Some(message) = self.centre.arrived(self.now) {
            if let Some(gateway) = &mut self.gateway {
                gateway.receive(self.now, message);
            }
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.work(self.now, &mut self.centre);
            let bytes = gateway.write(self.now);
            self.timer.hear(&bytes);
        }
    }

    fn happen(&mut self, event: Event) {
        let state = self.gateway.as_ref().map_or_else(|| "down".to_owned(), Gateway::describe);
        let _ = writeln!(self.trace, "{:?} {event:?}: {state}", self.now);
        match event {
            Event::Impulse(number) => self.impulse(number),
            Event::Fault(fault) => self.fail(fault),
            Event::Restart => self.restart(),
            Event::Plug => {
                self.timer.set_plugged(true);
                if let Some(gateway) = &mut self.gateway {
                    gateway.plug(self.now);
                    self.listens_since = self.now;
                }
            }
            Event::Uplink => self.centre.set_up(self.now, true),
        }
    }

    fn impulse(&mut self, number: u32) {
        // Virtual time begins at 08:00:00, by the device's clock as by the gateway's.
        let time_of_day = 8 * 3_600_000_000_000 + u64::try_from(self.now.as_nanos()).expect("a day");
        let channel = u8::try_from(number % 4).expect("small");
        self.timer.trigger(channel, u16::try_from(number / 4 % 9_999).expect("small") + 1, time_of_day);
    }

    fn fail(&mut self, fault: Fault) {
        let some_seconds = Duration::from_millis(200 + self.random.below(8_000));
        match fault {
            Fault::ProcessKilled => self.stop(some_seconds, MemoryStorage::kill),
            Fault::PowerCut => {
                let seed = self.random.next();
                self.boot = self.boot.wrapping_add(1);
                self.stop(some_seconds, |disk| {
                    disk.cut_power();
                    disk.restart(seed);
                });
            }
            Fault::LineUnplugged => {
                if self.timer.is_plugged() {
                    self.timer.set_plugged(false);
                    if let Some(gateway) = &mut self.gateway {
                        gateway.unplug(self.now);
                    }
                    self.schedule(self.now + some_seconds, Event::Plug);
                }
            }
            Fault::UplinkCut => {
                self.centre.set_up(self.now, false);
                self.schedule(self.now + some_seconds, Event::Uplink);
            }
            Fault::SyncFails => self.disk.fail_at(self.disk.operations() + 2, DiskFault::Dropped),
            Fault::WriteFails => self.disk.fail_at(self.disk.operations() + 1, DiskFault::Partial),
        }
    }

    fn stop(&mut self, until: Duration, end: impl FnOnce(&MemoryStorage)) {
        if self.gateway.take().is_some() {
            end(&self.disk);
            self.centre.hang_up();
            self.schedule(self.now + until, Event::Restart);
        }
    }

    fn restart(&mut self) {
        let draw = self.random.next();
        self.gateway = Gateway::start(&self.disk, self.now, self.boot, draw);
        match &mut self.gateway {
            Some(gateway) if self.timer.is_plugged() => {
                gateway.plug(self.now);
                self.listens_since = self.now;
            }
            Some(_) => {}
            // A planned disk fault met the opening: the supervisor tries again.
            None => {
                self.disk.kill();
                self.schedule(self.now + Duration::from_secs(1), Event::Restart);
            }
        }
    }

    fn everything_arrived(&self) -> bool {
        let drained = self.gateway.as_ref().is_some_and(Gateway::is_drained);
        drained && self.impulses_at_centre().len() >= self.timer.memory().len()
    }

    /// The device's own words for each impulse at the centre, in order of arrival.
    fn impulses_at_centre(&self) -> Vec<(String, v1::Impulse)> {
        let impulse = |event: v1::Event| match event.content {
            Some(Content::Impulse(impulse)) => Some((event.time?.device_time, impulse)),
            _ => None,
        };
        self.centre.events(Lane::Results).into_iter().filter_map(impulse).collect()
    }

    /// The centre against the device's memory.
    fn judge(&self) {
        let mut arrived: BTreeMap<(String, String), u32> = BTreeMap::new();
        for (time, impulse) in self.impulses_at_centre() {
            *arrived.entry((impulse.channel, time)).or_default() += 1;
        }
        let doubled: Vec<_> = arrived.iter().filter(|(_, count)| **count > 1).collect();
        assert!(doubled.is_empty(), "doubled: {}\n{}", self.copies(&doubled[0].0.1), self.tail());
        assert_eq!(arrived.len(), self.timer.memory().len(), "lost or invented:\n{}", self.tail());
        let sequences: Vec<u64> = self
            .centre
            .events(Lane::Results)
            .iter()
            .filter_map(|event| Some(event.origin.as_ref()?.sequence))
            .collect();
        assert!(sequences.is_sorted(), "a lane arrives in its order");
        self.judge_gaps();
    }

    /// Each dark time is opened once and ended once at most, under one name; of the
    /// last one the end may still come.
    fn judge_gaps(&self) {
        let mut states: BTreeMap<String, Vec<v1::GapState>> = BTreeMap::new();
        for gap in self.gaps_at_centre() {
            states.entry(gap.gap_id.clone()).or_default().push(gap.state());
        }
        let (open, ended) = ([v1::GapState::Open], [v1::GapState::Open, v1::GapState::Healed]);
        let open_count = states.values().filter(|states| states[..] == open).count();
        let sound = states.values().all(|states| states[..] == open || states[..] == ended);
        assert!(sound && open_count <= 1, "{states:#?}\n{}", self.tail());
    }

    /// The gaps of the device, in order of arrival.
    fn gaps_at_centre(&self) -> Vec<v1::Gap> {
        let gap = |event: v1::Event| match event.content {
            Some(Content::Gap(gap)) if gap.cause() == v1::GapCause::DeviceDark => Some(gap),
            _ => None,
        };
        self.centre.events(Lane::Results).into_iter().filter_map(gap).collect()
    }

    /// Identity and place of each copy of an impulse, for people.
    fn copies(&self, time: &str) -> String {
        let copies = self.centre.events(Lane::Results).into_iter();
        let copies = copies.filter(|event| event.time.as_ref().is_some_and(|it| it.device_time == time));
        copies.map(|it| format!("\n{:?} {:?} {:?}", it.identity, it.origin, it.content)).collect()
    }

    fn tail(&self) -> String {
        let lines: Vec<&str> = self.trace.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
