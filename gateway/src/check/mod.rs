//! Looks at everything that a configuration names: ports, folders, disk and
//! certificates. Reads only; opens no port that a running gateway may hold.
//!
//! A finding has its line in the site's file, so that it reads like the mistakes
//! that [`Config::load`] tells.

mod alarm;
mod certificates;
mod disk;
mod lines;
mod mqtt;

use jiff::Timestamp;

use crate::config::{Config, Finding, sort};

pub use mqtt::{SampleResult, samples};

/// Tells what would keep a configuration from working on this machine at `now`,
/// together with the warnings of the configuration itself, in the order of the
/// file. Nothing is wrong if none of them [is an error](Finding::is_error).
pub fn check(config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut findings = config.warnings.clone();
    disk::check(config, &mut findings);
    lines::check(config, &mut findings);
    mqtt::check(config, &mut findings);
    for (index, uplink) in config.uplinks.iter().enumerate() {
        if let Some(tls) = &uplink.tls {
            certificates::Check { config, path: format!("uplink[{index}].tls"), now, findings: &mut findings }.run(tls);
        }
    }
    alarm::check(config, now, &mut findings);
    sort(&mut findings);
    findings
}
