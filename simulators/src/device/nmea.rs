//! A weather station with a satellite receiver that speaks NMEA 0183.

use std::collections::VecDeque;
use std::time::Duration;

use venue_devices::CivilDate;
use venue_devices::nmea::{Decimal, Letter, Mwv, Reference, Rmc, SpeedUnit, Talker, TimeOfDay, Zda, Zone};

use super::ledger::Ledger;
use super::model::{Action, Model, Moment, Refused};
use crate::random::Random;

const SECOND_NS: i64 = 1_000_000_000;

/// What the station says, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NmeaConfig {
    /// Samples of wind (MWV) a second, 0 to 4.
    pub wind_hz: u32,
    /// Whether it says time and date (RMC and ZDA) once a second.
    pub clock: bool,
    /// Repeats the wind.
    pub seed: u64,
}

impl Default for NmeaConfig {
    fn default() -> Self {
        Self { wind_hz: 1, clock: true, seed: 0 }
    }
}

impl NmeaConfig {
    /// The most samples a second.
    pub const MOST_HZ: u32 = 4;
}

/// The station. Samples lie on even fractions of a UTC second.
pub(super) struct Nmea {
    config: NmeaConfig,
    random: Random,
    /// Hundredths of m/s, and degrees.
    wind: (i64, i64),
    next: Duration,
    /// Number of the next sample within its second.
    sample: u32,
    /// At most a second's worth.
    waiting: VecDeque<Vec<u8>>,
}

impl Nmea {
    /// The most sentences that wait; the oldest is lost for a newer one.
    const MOST_WAITING: usize = 16;

    pub(super) fn new(config: NmeaConfig, at: Moment) -> Result<Self, Refused> {
        if config.wind_hz > NmeaConfig::MOST_HZ {
            let most = NmeaConfig::MOST_HZ;
            return Err(Refused::OutOfRange(format!("a gauge gives at most {most} samples a second")));
        }
        let mut random = Random::new(config.seed);
        let wind = (
            i64::try_from(random.below(400)).unwrap_or_default(),
            i64::try_from(random.below(360)).unwrap_or_default(),
        );
        let mut station = Self { config, random, wind, next: at.now, sample: 0, waiting: VecDeque::new() };
        station.schedule(at);
        Ok(station)
    }

    /// Ticks in a second: the wind's, and one for the clock.
    fn ticks(&self) -> u32 {
        self.config.wind_hz.max(1)
    }

    /// Sets the next tick by the wall clock, which may step.
    fn schedule(&mut self, at: Moment) {
        let tick_ns = SECOND_NS / i64::from(self.ticks());
        let phase_ns = at.utc_ns.rem_euclid(SECOND_NS);
        let following = phase_ns / tick_ns + 1;
        self.sample = u32::try_from(following % i64::from(self.ticks())).unwrap_or_default();
        let wait_ns = (following * tick_ns - phase_ns).unsigned_abs();
        self.next = at.now + Duration::from_nanos(wait_ns);
    }

    fn say(&mut self, sentence: &[u8]) {
        if self.waiting.len() >= Self::MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(sentence.to_vec());
    }

    fn say_time(&mut self, utc_ns: i64) {
        let Some((date, time)) = whole_second(utc_ns) else { return };
        let rmc = Rmc {
            talker: Talker::GNSS,
            time: Some(time),
            date: Some(date),
            active: true,
            latitude: None,
            longitude: None,
            speed_knots: Decimal::new(0, 1),
            course_deg: None,
            variation_deg: None,
            mode: Letter::new(b'S'),
            navigational_status: None,
        };
        let zda = Zda { talker: Talker::GNSS, time: Some(time), date: Some(date), zone: Zone::new(0) };
        self.say(&rmc.emit());
        self.say(&zda.emit());
    }

    fn say_wind(&mut self) {
        let step = |random: &mut Random, most: u64| random.below(2 * most + 1) as i64 - most as i64;
        let (speed, angle) = self.wind;
        self.wind =
            ((speed + step(&mut self.random, 30)).clamp(0, 3000), (angle + step(&mut self.random, 5)).rem_euclid(360));
        let mwv = Mwv {
            talker: Talker::WEATHER,
            angle_deg: Decimal::new(self.wind.1 * 10, 1),
            reference: Some(Reference::Relative),
            speed: Decimal::new(self.wind.0, 2),
            unit: Some(SpeedUnit::MetresPerSecond),
            valid: true,
        };
        self.say(&mwv.emit());
    }
}

impl Model for Nmea {
    fn handle_bytes(&mut self, _at: Moment, _bytes: &[u8]) {}

    fn handle_timeout(&mut self, at: Moment, _ledger: &mut Ledger) {
        if at.now < self.next {
            return;
        }
        if self.sample == 0 && self.config.clock {
            self.say_time(at.utc_ns);
        }
        if self.config.wind_hz > 0 {
            self.say_wind();
        }
        self.schedule(at);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        Some(self.next)
    }

    fn poll_line(&mut self, _at: Moment) -> Option<Vec<u8>> {
        self.waiting.pop_front()
    }

    fn act(&mut self, _at: Moment, _action: &Action, _ledger: &mut Ledger) -> Result<(), Refused> {
        Err(Refused::NotThisDevice("inputs, memory or start numbers"))
    }

    fn restart(&mut self) {
        self.waiting.clear();
    }

    fn is_done(&self) -> bool {
        true
    }
}

/// The date and the whole second that have begun.
fn whole_second(utc_ns: i64) -> Option<(CivilDate, TimeOfDay)> {
    let shown = jiff::Timestamp::from_nanosecond(utc_ns.into()).ok()?;
    let shown = jiff::tz::TimeZone::UTC.to_datetime(shown);
    let date = CivilDate::new(shown.year().unsigned_abs(), shown.month().unsigned_abs(), shown.day().unsigned_abs())?;
    let second = utc_ns.div_euclid(SECOND_NS).rem_euclid(86_400).unsigned_abs();
    Some((date, TimeOfDay::new(second * SECOND_NS.unsigned_abs(), 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four samples of wind a second and the clock once, at the second, over half a
    /// minute in which the wall clock steps.
    #[test]
    fn sentences_lie_on_the_second() {
        let at = |ms: u64| {
            let step_ns = if ms > 15_000 { 300_000_000 } else { 0 };
            Moment {
                now: Duration::from_millis(ms),
                utc_ns: 1_795_000_000_250_000_000 + ms as i64 * 1_000_000 + step_ns,
            }
        };
        let mut station = Nmea::new(NmeaConfig { wind_hz: 4, ..NmeaConfig::default() }, at(0)).expect("sound");
        let (mut ledger, mut said) = (Ledger::default(), Vec::new());
        for ms in 0..30_000 {
            if station.poll_timeout().is_some_and(|due| due <= Duration::from_millis(ms)) {
                station.handle_timeout(at(ms), &mut ledger);
            }
            said.extend(std::iter::from_fn(|| station.poll_line(at(ms))).map(|line| (ms, line)));
        }
        let of =
            |kind: &str| said.iter().filter(|(_, line)| line[3..].starts_with(kind.as_bytes())).collect::<Vec<_>>();
        assert_eq!((of("RMC").len(), of("ZDA").len()), (30, 30));
        assert!((119..=121).contains(&of("MWV").len()), "{}", of("MWV").len());
        let first = String::from_utf8(of("RMC")[0].1.clone()).expect("text");
        // 1 795 000 001 s are 2026-11-18 11:06:41 by date(1).
        assert!(first.starts_with("$GNRMC,110641.00,A,,,,,0.0,,181126,,,S*"), "{first}");
        assert_eq!(of("RMC")[0].0, 750);
    }
}
