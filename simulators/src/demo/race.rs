//! The race and its incidents, by the clock.

use std::time::Duration;

use super::scene::Scene;
use crate::device::SimulatedDevice;

/// Between two starts, and from the start to each further impulse.
const START_INTERVAL: Duration = Duration::from_millis(1_600);
const COURSE: [(u8, Duration); 4] = [
    (0, Duration::ZERO),
    (2, Duration::from_millis(1_500)),
    (3, Duration::from_millis(3_100)),
    (1, Duration::from_millis(4_700)),
];

/// What happens at a time of the race.
#[derive(Debug, Clone, Copy)]
enum Beat {
    /// A channel is triggered by a competitor.
    Impulse(u8, u16),
    /// The run time is printed.
    RunTime(u16),
    /// The last finish is given to another start number.
    Renumber(u16),
    Status,
    Remember,
    Forget,
    Kill,
    Start,
    Cut,
    Restore,
    Pull,
    Plug,
}

/// Plays the race to its end.
pub(super) async fn run(scene: &mut Scene, runners: u16) -> anyhow::Result<()> {
    scene.teller.tell(&format!("a downhill of {runners} competitors; systems A and B time it"));
    let began = scene.teller.elapsed();
    for (at, beat) in programme(runners.max(1)) {
        let wait = (began + at).saturating_sub(scene.teller.elapsed());
        tokio::time::sleep(wait).await;
        play(scene, beat).await?;
    }
    Ok(())
}

/// The whole race in the order of time. Incidents lie at fixed parts of it.
fn programme(runners: u16) -> Vec<(Duration, Beat)> {
    let mut beats = Vec::new();
    for index in 0..runners {
        let start = START_INTERVAL * u32::from(index);
        let number = index + 1;
        beats.extend(COURSE.map(|(channel, after)| (start + after, Beat::Impulse(channel, number))));
        beats.push((start + COURSE[3].1 + Duration::from_millis(120), Beat::RunTime(number)));
    }
    let length = START_INTERVAL * u32::from(runners - 1) + COURSE[3].1;
    let part = |percent: u32| length * percent / 100;
    beats.extend([
        (part(12), Beat::Remember),
        (part(18), Beat::Forget),
        (part(20), Beat::Status),
        (part(25), Beat::Kill),
        (part(29), Beat::Start),
        (part(45), Beat::Cut),
        (part(52), Beat::Status),
        (part(55), Beat::Kill),
        (part(58), Beat::Start),
        (part(65), Beat::Restore),
        (part(72), Beat::Status),
        (part(78), Beat::Pull),
        (part(80), Beat::Renumber(99)),
        (part(86), Beat::Plug),
        (part(95), Beat::Status),
    ]);
    beats.sort_by_key(|(at, _)| *at);
    beats
}

async fn play(scene: &mut Scene, beat: Beat) -> anyhow::Result<()> {
    let systems = |act: &dyn Fn(&SimulatedDevice) -> anyhow::Result<()>| {
        act(&scene.timer_a)?;
        act(&scene.timer_b)
    };
    match beat {
        Beat::Impulse(channel, number) => systems(&|timer| Ok(timer.impulse(channel, number, None)?))?,
        Beat::RunTime(number) => systems(&|timer| Ok(timer.run_time(number)?))?,
        Beat::Renumber(number) => {
            // The first finish, heard long ago, while A's cable is away.
            scene.teller.tell(&format!("the operator gives the first competitor's finish to number {number}"));
            systems(&|timer| {
                let ledger = timer.ledger();
                let finish = ledger.records().iter().find(|record| record.code == "C1" && !record.correction);
                finish.map_or(Ok(()), |record| Ok(timer.renumber(record.index, number)?))
            })?;
        }
        Beat::Status => scene.tell_status().await,
        Beat::Remember => scene.remember_journal()?,
        Beat::Forget => scene.maybe_forget().await?,
        Beat::Kill => scene.kill_gateway().await?,
        Beat::Start => scene.start_gateway()?,
        Beat::Cut => scene.cut_uplink(),
        Beat::Restore => scene.restore_uplink(),
        Beat::Pull => scene.pull_cable()?,
        Beat::Plug => scene.plug_cable()?,
    }
    Ok(())
}
