//! Room to work in that each thread keeps, so that a training step allocates nothing after its first run.

use std::cell::RefCell;

/// Floats in a cache line, at whose boundary the room begins.
const LINE: usize = 16;

thread_local! {
    static ROOM: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `length` floats of room, whatever they hold. May be nested, and entered again by a task that this
/// thread takes over while it waits.
pub(super) fn with<T>(length: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut room = ROOM.with_borrow_mut(Vec::pop).unwrap_or_default();
    if room.len() < length + LINE {
        room.resize(length + LINE, 0.0);
    }
    let start = room.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = work(&mut room[start..][..length]);
    ROOM.with_borrow_mut(|rooms| rooms.push(room));
    result
}
