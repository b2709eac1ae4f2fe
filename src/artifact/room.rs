//! How much a file may hold: a small multiple of what can be legitimate, which is known before it is read.

/// More workers in a round are refused.
pub const MAX_WORKERS: usize = 10_000;

/// A list, or the header of a file of tensors, may have so many times what it can need.
pub const MULTIPLE: u64 = 4;

/// What a record takes, in bytes, for the bound on a whole list: a few of them may be longer.
const RECORD: u64 = 4 << 10;

/// What every list may have, however few records it can need: rubbish that others send stops nobody.
const LEAST: Room = Room { lines: 1 << 14, bytes: 16 << 20, line: LINE };

/// The longest line of a list, in bytes: a closing of the largest roster takes two thirds of it.
const LINE: u64 = 1 << 20;

/// How many lines and bytes a list may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Lines, empty ones too.
    pub lines: u64,
    /// Bytes, without any compression.
    pub bytes: u64,
    /// Bytes of a line.
    pub line: u64,
}

impl Room {
    /// For a list that can need so many records.
    pub fn of(records: usize) -> Room {
        let lines = (records as u64).saturating_mul(MULTIPLE);
        Room { lines, bytes: lines.saturating_mul(RECORD), line: LINE }.or(LEAST)
    }

    /// For a list that can need so many lines, and bytes in them.
    pub fn holding(lines: u64, bytes: u64) -> Room {
        let bytes = bytes.saturating_mul(MULTIPLE);
        Room { lines: lines.saturating_mul(MULTIPLE), bytes, line: bytes }.or(LEAST)
    }

    /// For a list of which nothing more is known: two records a worker of the largest roster.
    pub fn any() -> Room {
        Room { bytes: 64 << 20, ..Room::of(2 * MAX_WORKERS) }
    }

    /// For what one party sends, in a file of its own.
    pub fn of_one() -> Room {
        Room { lines: 1 << 8, bytes: LINE, line: LINE }
    }

    fn or(self, least: Room) -> Room {
        Room { lines: self.lines.max(least.lines), bytes: self.bytes.max(least.bytes), line: self.line.max(least.line) }
    }
}
