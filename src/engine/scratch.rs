//! Room to work in that each thread keeps, so that a training step allocates nothing after its first run.

use super::machine::Pair;
use std::cell::RefCell;
use std::thread::LocalKey;

/// Bytes of a cache line, at whose boundary the room begins.
const LINE: usize = 64;

/// Elements that begin at a cache line.
#[derive(Default)]
pub(super) struct Room<T>(Vec<T>);

impl<T: Copy + Default> Room<T> {
    /// So many elements, whatever they hold.
    pub fn of(&mut self, length: usize) -> &mut [T] {
        let line = LINE / size_of::<T>();
        if self.0.len() < length + line {
            self.0.resize(length + line, T::default());
        }
        let start = self.start();
        &mut self.0[start..][..length]
    }

    /// The first so many elements, as they are.
    pub fn first(&self, length: usize) -> &[T] {
        &self.0[self.start()..][..length]
    }

    fn start(&self) -> usize {
        self.0.as_ptr().align_offset(LINE).min(LINE / size_of::<T>())
    }
}

type Rooms<T> = RefCell<Vec<Room<T>>>;

thread_local! {
    static FLOATS: Rooms<f32> = const { RefCell::new(Vec::new()) };
    static PAIRS: Rooms<Pair> = const { RefCell::new(Vec::new()) };
    static DIGITS: Rooms<i8> = const { RefCell::new(Vec::new()) };
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

impl Element for i8 {
    const ROOMS: &'static LocalKey<Rooms<i8>> = &DIGITS;
}

/// Runs `work` with `length` elements of room, whatever they hold. May be nested, and entered again by a task that this
/// thread takes over while it waits.
pub(super) fn with<E: Element, T>(length: usize, work: impl FnOnce(&mut [E]) -> T) -> T {
    let mut room = E::ROOMS.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(room.of(length));
    E::ROOMS.with_borrow_mut(|rooms| rooms.push(room));
    result
}
