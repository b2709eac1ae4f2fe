//! Named places at which a test makes a process die, as `kill -9` would at that very moment.
//!
//! A node: `before-manager`, `after-manager`, `before-monitor`, `after-monitor` (LDK's state is written), `after-hold-row`,
//! `after-invoice-row`, `after-pay-row` (a row of ours is written), `after-paid-row` (a hold invoice is `paid`, its claim is
//! not made), `after-claim`, `after-pay` (LDK has been asked, nothing is written yet). The chain: `before-blocks`,
//! `after-blocks`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The crash points of one process: a file `crash` in its folder names one, and how often to pass it first.
#[derive(Clone, Debug)]
pub struct CrashPoints {
    file: PathBuf,
}

impl CrashPoints {
    /// Those of the process that lives in `folder`.
    pub fn of(folder: &Path) -> CrashPoints {
        CrashPoints { file: folder.join("crash") }
    }

    /// Dies here if the file says `NAME`, or `NAME N` and this is the N-th time after its writing. The file goes first, so
    /// that a process dies of it once.
    pub fn reach(&self, name: &str) {
        let Ok(text) = fs::read_to_string(&self.file) else { return };
        let mut words = text.split_whitespace();
        if words.next() != Some(name) {
            return;
        }
        let left: u32 = words.next().and_then(|n| n.parse().ok()).unwrap_or(1);
        if left > 1 {
            // One that was taken away meanwhile stays away.
            let open = OpenOptions::new().write(true).truncate(true).open(&self.file);
            let _ = open.and_then(|mut file| file.write_all(format!("{name} {}", left - 1).as_bytes()));
        } else {
            let _ = fs::remove_file(&self.file);
            std::process::abort();
        }
    }
}
