//! What was told, kept over a restart.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    alarm::{Alarm, Teller},
    config::AlarmConfig,
};

/// Alarms that a teller was told are raised, and since when, by their names.
type Told = BTreeMap<String, String>;

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Command,
    Webhook,
}

impl Who {
    /// As it stands in the configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Webhook => "webhook",
        }
    }

    /// Whether a configuration names it.
    pub(super) const fn is_told(self, config: &AlarmConfig) -> bool {
        match self {
            Self::Command => config.command.is_some(),
            Self::Webhook => config.webhook.is_some(),
        }
    }
}

/// What command and webhook know to be raised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    command: Told,
    webhook: Told,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("alarms.json")
}

impl Memory {
    /// Reads the file of a data directory; without one nothing was told.
    pub(super) fn read(data_dir: &Path) -> Self {
        let path = path(data_dir);
        let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        read.unwrap_or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "which alarms were told cannot be read; they are told again");
            }
            Self::default()
        })
    }

    /// Puts itself in the place of the file, whole or not at all.
    fn write(&self, data_dir: &Path) -> io::Result<()> {
        let (path, new) = (path(data_dir), data_dir.join("alarms.json.new"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(new, path)
    }

    /// What anybody was told is raised.
    pub(super) fn raised(&self) -> BTreeMap<Alarm, String> {
        alarms(self.command.iter().chain(&self.webhook))
    }

    /// What somebody was told is raised.
    pub(super) fn of(&self, who: Who) -> BTreeMap<Alarm, String> {
        alarms(match who {
            Who::Command => &self.command,
            Who::Webhook => &self.webhook,
        })
    }

    /// Takes what somebody knows now.
    pub(super) fn note(&mut self, who: Who, teller: &Teller) {
        let told = teller.knows().iter().map(|(alarm, since)| (alarm.to_string(), since.clone())).collect();
        match who {
            Who::Command => self.command = told,
            Who::Webhook => self.webhook = told,
        }
    }
}

/// Those that this version knows.
fn alarms<'a>(told: impl IntoIterator<Item = (&'a String, &'a String)>) -> BTreeMap<Alarm, String> {
    told.into_iter().filter_map(|(name, since)| Some((name.parse().ok()?, since.clone()))).collect()
}

/// Writes down each change until nothing changes any more. A disk that hangs holds up nothing else; of what changes
/// meanwhile the newest is written.
pub(super) async fn write_down(data_dir: PathBuf, mut memory: watch::Receiver<Memory>) {
    let mut failed = false;
    while memory.changed().await.is_ok() {
        let (newest, data_dir) = (memory.borrow_and_update().clone(), data_dir.clone());
        let written = spawn_blocking(move || newest.write(&data_dir)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => failed = false,
            Err(error) if !std::mem::replace(&mut failed, true) => {
                tracing::warn!(%error, "which alarms were told cannot be written down; after a restart they are told again");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::{Change, Condition, Limits, State};

    /// What was told is read back, each teller's by itself; what a later version told is left out, and a damaged file is
    /// as good as none.
    #[test]
    fn what_was_told_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Memory::read(folder.path()), Memory::default());
        let mut teller = Teller::new(Limits::COMMAND);
        let alarm = Alarm::of(Condition::ResultsWaiting, "centre");
        teller.told(&Change { alarm: alarm.clone(), state: State::Raised, since: "ten".to_owned() });
        let mut memory = Memory::default();
        memory.note(Who::Command, &teller);
        memory.command.insert("of_a_later_version/x".to_owned(), String::new());
        memory.write(folder.path()).unwrap();

        let read = Memory::read(folder.path());
        let told = BTreeMap::from([(alarm, "ten".to_owned())]);
        assert_eq!(read, memory);
        assert_eq!(
            (read.raised(), read.of(Who::Command), read.of(Who::Webhook)),
            (told.clone(), told, BTreeMap::new())
        );

        fs::write(path(folder.path()), "{\"command\": [").unwrap();
        assert_eq!(Memory::read(folder.path()), Memory::default());
    }
}
