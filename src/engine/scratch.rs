//! Room to work in that each thread keeps, so that a training step allocates nothing after its first run.

use super::machine::Pair;
use std::cell::RefCell;
use std::thread::LocalKey;

/// Bytes of a cache line, at whose boundary the room begins.
const LINE: usize = 64;

type Rooms<T> = RefCell<Vec<Vec<T>>>;

thread_local! {
    static FLOATS: Rooms<f32> = const { RefCell::new(Vec::new()) };
    static PAIRS: Rooms<Pair> = const { RefCell::new(Vec::new()) };
}

/// What room there is for.
pub(super) trait Element: Copy + Default + 'static {
    /// The room that this thread keeps.
    const ROOMS: &'static LocalKey<Rooms<Self>>;
}

impl Element for f32 {
    const ROOMS: &'static LocalKey<Rooms<f32>> = &FLOATS;
}

impl Element for Pair {
    const ROOMS: &'static LocalKey<Rooms<Pair>> = &PAIRS;
}

/// Runs `work` with `length` elements of room, whatever they hold. May be nested, and entered again by a task that this
/// thread takes over while it waits.
pub(super) fn with<E: Element, T>(length: usize, work: impl FnOnce(&mut [E]) -> T) -> T {
    let line = LINE / size_of::<E>();
    let mut room = E::ROOMS.with_borrow_mut(Vec::pop).unwrap_or_default();
    if room.len() < length + line {
        room.resize(length + line, E::default());
    }
    let start = room.as_ptr().align_offset(LINE).min(line);
    let result = work(&mut room[start..][..length]);
    E::ROOMS.with_borrow_mut(|rooms| rooms.push(room));
    result
}
