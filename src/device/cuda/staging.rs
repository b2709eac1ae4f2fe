//! Copies between host and device by way of two pieces of pinned memory: while the device copies one, the host fills or empties
//! the other. A copy to the device is not waited for.

#![allow(unsafe_code)]

use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError, result, sys};

/// Bytes of a piece, the first of these for which there is memory that may be pinned.
const SIZES: [usize; 4] = [32 << 20, 4 << 20, 512 << 10, 64 << 10];
/// Where what is staged begins.
const ALIGN: usize = 256;

type Done<T = ()> = Result<T, DriverError>;

/// Pinned memory, and an event that the device reaches when it is done with what was last put there.
struct Piece {
    at: *mut u8,
    event: sys::CUevent,
    /// Bytes that the device may still have to read.
    used: usize,
}

/// Two pieces of pinned memory of one size.
pub(super) struct Staging {
    pieces: [Piece; 2],
    size: usize,
    /// The piece that is filled.
    now: usize,
    context: Arc<CudaContext>,
}

// SAFETY: the memory is its own; the driver lets every thread use its handles.
unsafe impl Send for Staging {}

impl Staging {
    /// Where memory may be pinned. The context is the thread's current one.
    pub fn new(context: &Arc<CudaContext>) -> Option<Staging> {
        SIZES.into_iter().find_map(|size| {
            let [a, b] = [Piece::new(size), Piece::new(size)];
            match (a, b) {
                (Some(a), Some(b)) => Some(Staging { pieces: [a, b], size, now: 0, context: context.clone() }),
                (one, other) => {
                    one.into_iter().chain(other).for_each(|piece| piece.free());
                    None
                }
            }
        })
    }

    /// Copies to the device. The values may be changed once it returns.
    ///
    /// # Safety
    /// `bytes` can be read at `from`, and written at `to` by what is enqueued on the stream.
    pub unsafe fn copy_in(&mut self, from: *const u8, bytes: usize, to: u64, stream: sys::CUstream) -> Done {
        let mut copied = 0;
        while copied < bytes {
            let size = self.size;
            let piece = self.piece_with_room()?;
            let length = (size - piece.used).min(bytes - copied);
            // SAFETY: within the piece, of which the device has read what was there, and within what the caller promises.
            unsafe {
                let at = piece.at.add(piece.used);
                std::ptr::copy_nonoverlapping(from.add(copied), at, length);
                let staged = std::slice::from_raw_parts(at, length);
                result::memcpy_htod_async(to + copied as u64, staged, stream)?;
                result::event::record(piece.event, stream)?;
            }
            piece.used = (piece.used + length).next_multiple_of(ALIGN);
            copied += length;
        }
        Ok(())
    }

    /// The piece that is filled, or where it is full the other, once the device has read all of it.
    fn piece_with_room(&mut self) -> Done<&mut Piece> {
        if self.pieces[self.now].used >= self.size {
            self.now = 1 - self.now;
            self.pieces[self.now].wait()?;
            self.pieces[self.now].used = 0;
        }
        Ok(&mut self.pieces[self.now])
    }

    /// Copies to the host, and waits until it is done.
    ///
    /// # Safety
    /// `bytes` can be written at `to`, and read at `from` by what is enqueued on the stream.
    pub unsafe fn copy_out(&mut self, from: u64, to: *mut u8, bytes: usize, stream: sys::CUstream) -> Done {
        let take = |piece: &Piece, at: usize, length: usize| {
            piece.wait()?;
            // SAFETY: the device has written the piece, and writes there again after this alone.
            unsafe { std::ptr::copy_nonoverlapping(piece.at, to.add(at), length) };
            Ok(())
        };
        let mut under_way = None;
        for (i, at) in (0..bytes).step_by(self.size).enumerate() {
            let (piece, length) = (&self.pieces[i % 2], self.size.min(bytes - at));
            // SAFETY: what the host staged there is read before, for the stream is in order; what came from the device was taken.
            unsafe {
                let staged = std::slice::from_raw_parts_mut(piece.at, length);
                result::memcpy_dtoh_async(staged, from + at as u64, stream)?;
                result::event::record(piece.event, stream)?;
            }
            if let Some((piece, at, length)) = under_way.replace((piece, at, length)) {
                take(piece, at, length)?;
            }
        }
        let Some((piece, at, length)) = under_way else { return Ok(()) };
        take(piece, at, length)?;
        // Everything before it is done too.
        self.pieces.iter_mut().for_each(|piece| piece.used = 0);
        Ok(())
    }
}

impl Piece {
    fn new(size: usize) -> Option<Piece> {
        // SAFETY: the memory is zeroed before anybody reads it.
        let at = unsafe { result::malloc_host(size, 0) }.ok()?.cast::<u8>();
        // SAFETY: it was just allocated, of this size.
        unsafe { at.write_bytes(0, size) };
        match result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING) {
            Ok(event) => Some(Piece { at, event, used: 0 }),
            Err(_) => {
                // SAFETY: it was just allocated, and nobody uses it.
                let _ = unsafe { result::free_host(at.cast()) };
                None
            }
        }
    }

    /// Waits until the device is done with it.
    fn wait(&self) -> Done {
        // SAFETY: the event lives as long as the piece.
        unsafe { result::event::synchronize(self.event) }
    }

    fn free(&self) {
        // SAFETY: nobody uses the piece afterwards; the driver waits for the device. Where it is lost there is nothing to give back.
        let _ = unsafe { result::event::destroy(self.event).and_then(|()| result::free_host(self.at.cast())) };
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            self.pieces.iter().for_each(Piece::free);
        }
    }
}
