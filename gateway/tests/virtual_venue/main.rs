//! A venue on virtual time: a chronometer, the gateway's real middle, a network, a
//! centre and a disk that fails, in one thread, from deadline to deadline.
//!
//! The gateway here is what `run` joins: the device's conversation, `SourcePipeline`,
//! `Journal` (on a simulated disk), `LaneRecords` and the delivery's `Sender`. That a
//! test can step them proves that no state of theirs hides in a task. The same seed
//! gives the same run.

mod centre;
mod gateway;
mod timer;
mod world;

use world::{Fault, Plan, World};

/// Faults of each kind, one at a time, over many seeds: every impulse reaches the
/// centre exactly once, whatever is cut.
#[test]
fn every_impulse_arrives_exactly_once_whatever_fails() {
    for fault in [
        Fault::ProcessKilled,
        Fault::PowerCut,
        Fault::LineUnplugged,
        Fault::UplinkCut,
        Fault::SyncFails,
        Fault::WriteFails,
    ] {
        for seed in 0..12 {
            World::new(seed).run(&Plan { impulses: 60, faults: &[fault], fault_count: 6 });
        }
    }
}

/// All of them together.
#[test]
fn every_impulse_arrives_exactly_once_when_everything_fails() {
    for seed in 0..60 {
        World::new(1_000 + seed).run(&Plan { impulses: 120, faults: &Fault::ALL, fault_count: 25 });
    }
}

/// The line is gone when the gateway is killed or loses its power: one gap, opened
/// before, is healed afterwards under its name.
#[test]
fn a_gap_that_is_open_at_a_crash_is_healed_under_its_name() {
    for fault in [Fault::ProcessKilled, Fault::PowerCut] {
        for seed in 0..12 {
            World::new(seed).run_dark_restart(fault);
        }
    }
}

/// A run is a function of its seed: the trace of two runs is the same to the byte.
#[test]
fn the_same_seed_gives_the_same_run() {
    let plan = Plan { impulses: 80, faults: &Fault::ALL, fault_count: 15 };
    let trace = |seed| {
        let mut world = World::new(seed);
        world.run(&plan);
        world.into_trace()
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8), "a seed that changes nothing draws nothing");
}

/// Ten hours without an uplink, then everything drains in order.
#[test]
fn ten_hours_without_uplink_drain_in_order() {
    World::new(3).run_outage(std::time::Duration::from_secs(10 * 3600), 2_000);
}
