//! Monitors that wait to be written, until the manager that knows of them is.

use std::sync::{Arc, Mutex};

use lightning::chain::ChannelMonitorUpdateStatus;
use lightning::chain::chainmonitor::Persist;
use lightning::chain::channelmonitor::{ChannelMonitor, ChannelMonitorUpdate};
use lightning::ln::types::ChannelId;
use lightning::sign::InMemorySigner;
use lightning::util::persist::MonitorName;
use lightning::util::ser::Writeable;

use super::wake::Bell;

/// Monitors that wait to be written.
pub struct MonitorQueue {
    waiting: Mutex<Vec<Waiting>>,
    bell: Arc<Bell>,
}

/// A monitor that waits.
pub(super) struct Waiting {
    /// Its file.
    pub name: String,
    /// Its channel.
    pub channel: ChannelId,
    /// The update that LDK waits for; none for a block.
    pub update: Option<u64>,
    /// What is written.
    pub bytes: Vec<u8>,
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

    pub(super) fn take(&self) -> Vec<Waiting> {
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
