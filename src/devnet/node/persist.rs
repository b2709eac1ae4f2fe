//! What of LDK is on disk, and in which order it gets there.
//!
//! On reading, LDK closes a channel whose monitor is newer than the manager: it takes the manager for an old copy. So no
//! monitor is written before a manager that knows of its last update. A monitor's update is serialised when it is made and
//! waits in a queue (`InProgress`: LDK keeps back every message that depends on it); the main loop takes what waits, then
//! writes the manager, which carries all updates in flight, then the monitors, and only then tells LDK that they are done.
//! After a crash in between, LDK replays the updates in flight from the manager.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lightning::chain::ChannelMonitorUpdateStatus;
use lightning::chain::chainmonitor::Persist;
use lightning::chain::channelmonitor::{ChannelMonitor, ChannelMonitorUpdate};
use lightning::ln::types::ChannelId;
use lightning::sign::InMemorySigner;
use lightning::util::persist::MonitorName;
use lightning::util::ser::Writeable;

use crate::crash::CrashPoints;
use crate::disk;
use crate::error::{IoContext, Result};
use crate::fsio;

use super::types::{Manager, Monitors};
use super::wake::Bell;

/// Monitors that wait to be written.
pub struct MonitorQueue {
    waiting: Mutex<Vec<Waiting>>,
    bell: Arc<Bell>,
}

struct Waiting {
    name: String,
    channel: ChannelId,
    /// The update that LDK waits for; none for a block.
    update: Option<u64>,
    bytes: Vec<u8>,
}

impl MonitorQueue {
    /// An empty queue that rings when something comes.
    pub fn new(bell: Arc<Bell>) -> MonitorQueue {
        MonitorQueue { waiting: Mutex::new(Vec::new()), bell }
    }

    fn push(&self, name: &MonitorName, monitor: &ChannelMonitor<InMemorySigner>, update: Option<u64>) {
        let entry = Waiting { name: name.to_string(), channel: monitor.channel_id(), update, bytes: monitor.encode() };
        self.waiting.lock().expect("no panic under the lock").push(entry);
        self.bell.ring();
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.waiting.lock().expect("no panic under the lock"))
    }
}

impl Persist<InMemorySigner> for MonitorQueue {
    fn persist_new_channel(
        &self,
        name: MonitorName,
        monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        self.push(&name, monitor, Some(monitor.get_latest_update_id()));
        ChannelMonitorUpdateStatus::InProgress
    }

    fn update_persisted_channel(
        &self,
        name: MonitorName,
        update: Option<&ChannelMonitorUpdate>,
        monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        self.push(&name, monitor, update.map(|u| u.update_id));
        ChannelMonitorUpdateStatus::InProgress
    }

    fn archive_persisted_channel(&self, _: MonitorName) {}
}

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
