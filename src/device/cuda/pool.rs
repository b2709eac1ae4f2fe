//! The pool that a GPU's memory comes from.

#![allow(unsafe_code)]

use std::ffi::c_void;

use cudarc::driver::{CudaContext, DriverError, result, sys};

/// A GPU's own pool, which keeps what is given up for the next that is allocated.
pub(super) struct Pool(sys::CUmemoryPool);

// SAFETY: a handle, which the driver lets every thread use.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// The pool of a context's GPU.
    pub fn of(context: &CudaContext) -> Result<Pool, DriverError> {
        // SAFETY: the context's own GPU.
        let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) }?;
        let mut threshold = u64::MAX;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // Without it, each time that the host waits, the pool gives back what is unused at that moment.
        // SAFETY: the attribute is a number of 64 bits, which the driver reads.
        unsafe { sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast::<c_void>()) }.result()?;
        Ok(Pool(pool))
    }

    /// Gives back what is unused.
    pub fn trim(&self) -> Result<(), DriverError> {
        // SAFETY: the GPU's own pool, which lives as long as the GPU.
        unsafe { result::mem_pool::trim_to(self.0, 0) }
    }
}
