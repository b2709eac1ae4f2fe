//! What of LDK is on disk, and in which order it gets there.
//!
//! On reading, LDK closes a channel whose monitor is newer than the manager: it takes the manager for an old copy. So no
//! monitor is written before a manager that knows of its last update. A monitor's update is serialised when it is made and
//! waits in a queue (`InProgress`: LDK keeps back every message that depends on it); the main loop takes what waits, then
//! writes the manager, which carries all updates in flight, then the monitors, and only then tells LDK that they are done.
//! After a crash in between, LDK replays the updates in flight from the manager.

use std::fs;
use std::path::{Path, PathBuf};

use lightning::util::ser::Writeable;

use crate::crash::CrashPoints;
use crate::disk;
use crate::error::{IoContext, Result};
use crate::fsio;

use super::monitors::{MonitorQueue, Waiting};
use super::types::{Manager, Monitors};

/// The files of a node's channels.
pub struct Store {
    manager: PathBuf,
    monitors: PathBuf,
    crash: CrashPoints,
}

impl Store {
    /// The store in a node's folder.
    pub fn open(folder: &Path, crash: CrashPoints) -> Result<Store> {
        let monitors = folder.join("monitors");
        fsio::private_dir(&monitors)?;
        Ok(Store { manager: folder.join("manager"), monitors, crash })
    }

    /// The manager's bytes; nothing on the first start.
    pub fn manager(&self) -> Result<Option<Vec<u8>>> {
        disk::read_if_there(&self.manager)
    }

    /// The monitors' bytes.
    pub fn monitors(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.monitors).path(&self.monitors)? {
            let path = entry.path(&self.monitors)?.path();
            // What a crash left beside begins with a dot.
            if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                all.push((path.clone(), fs::read(&path).path(&path)?));
            }
        }
        Ok(all)
    }

    /// Writes what changed, if anything did; whether there was something.
    pub fn persist(&self, manager: &Manager, monitors: &Monitors, queue: &MonitorQueue) -> Result<bool> {
        let waiting = queue.take();
        let changed = manager.get_and_clear_needs_persistence();
        if !changed && waiting.is_empty() {
            return Ok(false);
        }
        self.crash.reach("before-manager");
        disk::replace(&self.manager, &manager.encode())?;
        self.crash.reach("after-manager");
        self.write_monitors(&waiting)?;
        for done in &waiting {
            if let Some(update) = done.update {
                // A channel that was closed meanwhile is no longer asked for.
                let _ = monitors.channel_monitor_updated(done.channel, update);
            }
        }
        Ok(true)
    }

    fn write_monitors(&self, waiting: &[Waiting]) -> Result<()> {
        for (i, entry) in waiting.iter().enumerate() {
            // The last of several versions is enough.
            if waiting[i + 1..].iter().any(|later| later.name == entry.name) {
                continue;
            }
            self.crash.reach("before-monitor");
            disk::replace_unsynced(&self.monitors.join(&entry.name), &entry.bytes)?;
            self.crash.reach("after-monitor");
        }
        if waiting.is_empty() { Ok(()) } else { disk::sync_dir(&self.monitors) }
    }
}
