//! How this process was started: which standard streams it was given, and which signals it was told to ignore.
//!
//! Rust's runtime puts `/dev/null` in the place of a standard stream that is closed, before `main`: what is written there is
//! lost without a word, and what is read there is nothing. `/dev/null` itself is a fair thing to be given, by whatever
//! mode it was opened, so nothing can be told afterwards. It is asked before, by a function that the loader calls ahead of
//! the runtime.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Kind, Result};

/// Signals that ask a process to end.
pub(super) const ENDING: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// Bit n: descriptor n was closed.
static CLOSED: AtomicU32 = AtomicU32::new(0);
/// Bit n: signal n was ignored, as `nohup` and a shell's `&` have it.
static IGNORED: AtomicU32 = AtomicU32::new(0);

#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static AHEAD_OF_THE_RUNTIME: extern "C" fn() = look;

extern "C" fn look() {
    for descriptor in 0..3 {
        // SAFETY: it asks for a descriptor's flags, and touches no memory.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
        }
    }
    for signal in ENDING {
        let mut found = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: without a new action it only writes the present one to where the pointer leads, all of it.
        let ignored = unsafe {
            libc::sigaction(signal, null(), found.as_mut_ptr()) == 0
                && found.assume_init().sa_sigaction == libc::SIG_IGN
        };
        if ignored {
            IGNORED.fetch_or(1 << signal, Ordering::Relaxed);
        }
    }
}

/// Standard input, unless it was closed when the program began (74).
pub(super) fn stdin() -> Result<std::io::Stdin> {
    open(0, "standard input").map(|()| std::io::stdin())
}

/// Standard output, unless it was closed when the program began (74).
pub(super) fn stdout() -> Result<std::io::Stdout> {
    open(1, "standard output").map(|()| std::io::stdout())
}

fn open(descriptor: u32, name: &str) -> Result<()> {
    if CLOSED.load(Ordering::Relaxed) & (1 << descriptor) == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::Io, format!("{name}: it is closed")).hint("/dev/null is there for what nobody wants"))
}

/// Who this process works for.
pub(super) fn user() -> u32 {
    // SAFETY: it asks for a number, and cannot fail.
    unsafe { libc::geteuid() }
}

/// Signals that end the program: those that it was not told to ignore.
pub(super) fn ending() -> impl Iterator<Item = i32> {
    ENDING.into_iter().filter(|signal| IGNORED.load(Ordering::Relaxed) & (1 << signal) == 0)
}
