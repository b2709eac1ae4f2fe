//! The main loop's bell.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Rung by whatever gives the main loop something to do.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        *self.rung.lock().expect("no panic under the lock") = true;
        self.heard.notify_one();
    }

    /// Waits until it was rung since the last wait, or the time is over.
    pub fn wait(&self, most: Duration) {
        let rung = self.rung.lock().expect("no panic under the lock");
        let (mut rung, _) = self.heard.wait_timeout_while(rung, most, |rung| !*rung).expect("no panic under the lock");
        *rung = false;
    }
}
