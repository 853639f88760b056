//! The command and the webhook of alarms: what would keep somebody from being told.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{Access, access};

use super::certificates;
use crate::config::{Config, Finding};

pub(super) fn check(config: &Config, now: Timestamp, findings: &mut Vec<Finding>) {
    let alarm = &config.alarm;
    if let Some((message, help)) = alarm.command.as_deref().and_then(unusable) {
        findings.push(Finding::error(config.place("alarm.command"), message, help));
    }
    if let Some(ca) = alarm.webhook.as_ref().filter(|webhook| webhook.url.is_tls()).and_then(|it| it.ca.as_deref()) {
        let mut check = certificates::Check { config, path: "alarm".to_owned(), now, findings };
        check.authorities("webhook_ca", ca);
    }
}

/// Why a command cannot be run, and how to mend it.
fn unusable(command: &Path) -> Option<(String, String)> {
    let shown = command.display();
    match fs::metadata(command) {
        Err(error) => {
            let help = "put it there; it is one program without arguments, and a relative path starts at the \
                        configuration's folder";
            Some((format!("cannot look at the command {shown}: {error}"), help.to_owned()))
        }
        Ok(found) if !found.is_file() => Some((format!("{shown} is not a program"), "name a file".to_owned())),
        Ok(_) => access(command, Access::EXEC_OK)
            .err()
            .map(|error| (format!("cannot run {shown}: {error}"), format!("`chmod 755 {shown}`"))),
    }
}
