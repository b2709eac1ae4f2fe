//! How this process ends when a signal asks it to: at once, with nothing left beside its outputs, or when the work in hand is
//! put away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::{started, temp};
use crate::error::{Error, Result};

/// A terminal and `timeout` send to a process and to its group, and so twice: what comes so soon after the first signal is
/// the same wish.
const SAME: Duration = Duration::from_millis(300);

/// What the next signal does.
enum Next {
    /// It ends the process.
    Ends,
    /// It is kept for [`Deferred`]; with one that has come, the one after it ends the process.
    Waits(Option<(i32, Instant)>),
}

static NEXT: Mutex<Next> = Mutex::new(Next::Ends);

fn next() -> MutexGuard<'static, Next> {
    NEXT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a signal that asks the process to end removes its temporaries first; then it ends by that signal. Writing
/// beyond the limit of a file's size is an error of the writer, and no signal.
pub fn leave_nothing_behind() -> Result<()> {
    let begun = flag::register(libc::SIGXFSZ, Arc::default()).and_then(|_| Signals::new(started::ending()));
    let mut signals = begun.map_err(|e| Error::io("signals", &e))?;
    let wait = move || signals.forever().filter(|signal| !keep(*signal)).for_each(end_by);
    thread::Builder::new().name("signals".into()).spawn(wait).map_err(|e| Error::io("signals", &e)).map(drop)
}

/// Returns unless the process is about to end by a signal: what fails meanwhile fails because its files are gone.
pub fn wait_if_ending() {
    drop(temp::hold());
}

/// Whether the signal waits.
fn keep(signal: i32) -> bool {
    match &mut *next() {
        Next::Ends => false,
        Next::Waits(Some((_, since))) => since.elapsed() < SAME,
        Next::Waits(waiting) => {
            *waiting = Some((signal, Instant::now()));
            true
        }
    }
}

fn end_by(signal: i32) {
    let living = temp::hold();
    living.iter().for_each(|path| temp::remove(path));
    let _ = emulate_default_handler(signal);
}

/// While it lives, the first signal that asks the process to end is kept: the work is told of it, puts away what it has, and
/// ends the process by that signal. A second signal does not wait.
#[derive(Debug)]
#[must_use]
pub struct Deferred(());

impl Deferred {
    /// From now on.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Deferred {
        *next() = Next::Waits(None);
        Deferred(())
    }

    /// Whether a signal has come.
    pub fn asked(&self) -> bool {
        matches!(&*next(), Next::Waits(Some(_)))
    }

    /// Ends the process if a signal has come. From here on one ends it at once.
    pub fn settle(&self) {
        let before = std::mem::replace(&mut *next(), Next::Ends);
        if let Next::Waits(Some((signal, _))) = before {
            end_by(signal);
        }
    }
}

/// Where something has failed, that is what is said, whatever signal came meanwhile.
impl Drop for Deferred {
    fn drop(&mut self) {
        *next() = Next::Ends;
    }
}
