//! The CUDA driver, as it is found on the machine: memory, copies and launches on one stream of one GPU. With the files of what it
//! has (`modules`, `pool`, `staging`) the only one of the device with `unsafe` code, for what the language cannot check: calls into
//! the driver.
//!
//! Nothing here is waited for but copies to the host. What fails is kept: from then on nothing is done, and [`Driver::check`] says
//! what failed first.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use super::modules::{self, Functions};
use super::pool::Pool;
use super::staging::Staging;
use crate::engine::memory::Allocation;
use crate::error::{Error, Kind, Result};

/// The oldest driver that reads our kernels: CUDA 12.0.
const OLDEST: i32 = 12_000;
/// The oldest GPU that runs them: compute capability 8.0.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);
/// Shared memory that a kernel may have without asking.
const PLAIN_SHARED: u32 = 48 << 10;

/// One GPU.
pub struct Driver {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    pool: Pool,
    functions: Functions,
    /// Made with the first copy; `None` then where no memory may be pinned.
    staging: Mutex<Option<Option<Staging>>>,
    failed: Mutex<Option<Failure>>,
    ordinal: usize,
    multiprocessors: usize,
}

/// What failed first.
#[derive(Clone, Debug)]
struct Failure {
    what: String,
    out_of_memory: bool,
}

/// How a kernel is launched.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Blocks.
    pub blocks: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

impl Grid {
    /// Blocks of threads that together are at least `count`.
    pub fn over(count: usize, threads: u32) -> Grid {
        let blocks = u32::try_from(count.div_ceil(threads as usize)).expect("a grid's blocks");
        Grid { blocks: [blocks, 1, 1], threads, shared: 0 }
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// A pointer to device memory.
    Address(u64),
    /// `int` or `unsigned`.
    Int(i32),
    /// `long long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// A struct of words of 32 bits.
    Struct(&'a [u32]),
}

impl Arg<'_> {
    /// A size, as `int`.
    pub fn size(size: usize) -> Arg<'static> {
        Arg::Int(i32::try_from(size).expect("a size of a kernel"))
    }

    /// A number of elements, as `long long`.
    pub fn count(count: usize) -> Arg<'static> {
        Arg::Long(count as i64)
    }

    fn pointer(&self) -> *mut c_void {
        let at: *const c_void = match self {
            Arg::Address(x) => std::ptr::from_ref(x).cast(),
            Arg::Int(x) => std::ptr::from_ref(x).cast(),
            Arg::Long(x) => std::ptr::from_ref(x).cast(),
            Arg::Float(x) => std::ptr::from_ref(x).cast(),
            Arg::Struct(words) => words.as_ptr().cast(),
        };
        at.cast_mut()
    }
}

fn said(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{text} ({name})"),
        _ => format!("error {} of the driver", error.0 as u32),
    }
}

impl Driver {
    /// The GPU with this number, with our kernels. A machine without one, or with one that cannot serve, is told (69).
    pub fn open(ordinal: usize) -> Result<Arc<Driver>> {
        let name = format!("cuda:{ordinal}");
        let unavailable = |what: String| Error::new(Kind::Unavailable, format!("{name}: {what}"));
        // SAFETY: loading the driver's library runs its initialisers, as every program that uses a GPU does.
        if !unsafe { sys::is_culib_present() } {
            return Err(unavailable("no NVIDIA driver on this machine (libcuda.so is not found)".into())
                .hint("--device cpu computes the same bits"));
        }
        let failed = |error| unavailable(said(error));
        result::init().map_err(failed)?;
        let version = version().map_err(failed)?;
        if version < OLDEST {
            let say = |version: i32| format!("{}.{}", version / 1000, version % 1000 / 10);
            return Err(unavailable(format!(
                "expected a driver for CUDA {} or later, found one for {}",
                say(OLDEST),
                say(version)
            ))
            .hint("update the NVIDIA driver; --device cpu computes the same bits"));
        }
        let count = result::device::get_count().map_err(failed)?;
        if ordinal >= count as usize {
            return Err(unavailable(format!("expected a GPU with this number, found {count} on this machine")));
        }
        let context = CudaContext::new(ordinal).map_err(failed)?;
        let capability = context.compute_capability().map_err(failed)?;
        if capability < LEAST_CAPABILITY {
            return Err(unavailable(format!(
                "expected compute capability {}.{} or later, found {}.{}",
                LEAST_CAPABILITY.0, LEAST_CAPABILITY.1, capability.0, capability.1
            )));
        }
        let multiprocessors = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let multiprocessors = context.attribute(multiprocessors).map_err(failed)?.max(1) as usize;
        if !context.has_async_alloc() {
            return Err(unavailable("expected a GPU with memory pools, found none".into())
                .hint("--device cpu computes the same bits"));
        }
        let (stream, pool) = (context.new_stream().map_err(failed)?, Pool::of(&context).map_err(failed)?);
        let functions = modules::load_all(&context).map_err(|(file, error)| {
            unavailable(format!("kernels of {file}: {}", said(error))).hint("--device cpu computes the same bits")
        })?;
        let (staging, failed) = (Mutex::new(None), Mutex::new(None));
        Ok(Arc::new(Driver { context, stream, pool, functions, staging, failed, ordinal, multiprocessors }))
    }

    /// What it is called: `cuda:0 (NVIDIA H100)`.
    pub fn name(&self) -> String {
        let model = self.context.name().unwrap_or_else(|_| "a GPU without a name".into());
        format!("cuda:{} ({model})", self.ordinal)
    }

    /// How many multiprocessors share out a grid's blocks.
    pub fn multiprocessors(&self) -> usize {
        self.multiprocessors
    }

    /// Bytes of its memory that are free, and all of them. Memory that was given up before counts as free once its work is done.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let stream = self.stream.cu_stream();
        // What the pool keeps is free too.
        // SAFETY: the stream is this driver's.
        let waited = || unsafe { result::stream::synchronize(stream) }.and_then(|()| self.pool.trim());
        self.attempt(|| "work before".into(), waited);
        self.check()?;
        let found = self.context.mem_get_info();
        let (free, total) = found.map_err(|error| self.error(format!("free memory: {}", said(error))))?;
        Ok((free as u64, total as u64))
    }

    fn error(&self, what: String) -> Error {
        Error::new(Kind::Unavailable, format!("cuda:{}: {what}", self.ordinal))
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, unless something has failed before; keeps what fails.
    fn attempt<T>(
        &self,
        what: impl FnOnce() -> String,
        act: impl FnOnce() -> std::result::Result<T, DriverError>,
    ) -> Option<T> {
        let mut failed = self.failure();
        if failed.is_some() {
            return None;
        }
        match self.context.bind_to_thread().and_then(|()| act()) {
            Ok(done) => Some(done),
            Err(error) => {
                let out_of_memory = error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY;
                *failed = Some(Failure { what: format!("{}: {}", what(), said(error)), out_of_memory });
                None
            }
        }
    }

    /// What failed first, if anything did.
    pub fn check(&self) -> Result<()> {
        let Some(Failure { what, out_of_memory }) = self.failure().clone() else { return Ok(()) };
        let error = self.error(what);
        Err(match out_of_memory {
            true => error.hint(
                "--device cpu uses the machine's memory; where there is --activation-memory, a smaller one needs less",
            ),
            false => error.hint("the same command goes on at its last checkpoint, or begins again"),
        })
    }

    /// Memory that holds whatever it holds; null once something has failed.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Box<dyn Allocation> {
        let stream = self.stream.cu_stream();
        let address = match bytes {
            0 => None,
            _ => self.attempt(
                || format!("{bytes} bytes of memory"),
                // SAFETY: the stream is this driver's.
                || unsafe {
                    match result::malloc_async(stream, bytes) {
                        // The pool may have it in pieces that are too small: it gives back what is unused.
                        Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                            result::stream::synchronize(stream)?;
                            self.pool.trim()?;
                            result::malloc_async(stream, bytes)
                        }
                        done => done,
                    }
                },
            ),
        };
        Box::new(Memory { driver: self.clone(), address: address.unwrap_or(0) })
    }

    /// Sets memory to zeros.
    pub fn zero(&self, address: u64, bytes: usize) {
        if bytes > 0 {
            let stream = self.stream.cu_stream();
            // SAFETY: a part of an allocation that lives; work on the stream is in order.
            self.attempt(|| "clearing memory".into(), || unsafe { result::memset_d8_async(address, 0, bytes, stream) });
        }
    }

    /// The pinned memory that copies go through, where there is some. The context is the thread's current one.
    fn staged<T>(&self, copy: impl FnOnce(Option<&mut Staging>) -> T) -> T {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        copy(staging.get_or_insert_with(|| Staging::new(&self.context)).as_mut())
    }

    /// Copies from the host, whose values may be changed afterwards.
    pub fn copy_in<T: Copy>(&self, from: &[T], address: u64) {
        if from.is_empty() {
            return;
        }
        let stream = self.stream.cu_stream();
        // SAFETY: a part of an allocation that lives. From memory that is not pinned the driver may still read when its call returns
        // (CUDA driver API, "API synchronization behavior"), so that such a copy is waited for.
        let copy = |staging: Option<&mut Staging>| unsafe {
            match staging {
                Some(staging) => staging.copy_in(from.as_ptr().cast(), size_of_val(from), address, stream),
                None => {
                    result::memcpy_htod_async(address, from, stream)?;
                    result::stream::synchronize(stream)
                }
            }
        };
        self.attempt(|| "a copy to the device".into(), || self.staged(copy));
    }

    /// Copies within the device.
    pub fn copy(&self, from: u64, to: u64, bytes: usize) {
        if bytes > 0 {
            let stream = self.stream.cu_stream();
            // SAFETY: parts of allocations that live, apart from each other.
            self.attempt(|| "a copy".into(), || unsafe { result::memcpy_dtod_async(to, from, bytes, stream) });
        }
    }

    /// Copies to the host, and waits until it is done.
    pub fn copy_out<T: Copy>(&self, address: u64, to: &mut [T]) -> Result<()> {
        let stream = self.stream.cu_stream();
        // SAFETY: a part of an allocation that lives; the copy is waited for.
        let copy = |staging: Option<&mut Staging>| unsafe {
            match staging {
                Some(staging) if !to.is_empty() => {
                    return staging.copy_out(address, to.as_mut_ptr().cast(), size_of_val(to), stream);
                }
                _ if !to.is_empty() => result::memcpy_dtoh_async(to, address, stream)?,
                _ => {}
            }
            result::stream::synchronize(stream)
        };
        self.attempt(|| "work before a copy to the host".into(), || self.staged(copy));
        self.check()
    }

    /// Launches a kernel.
    pub fn launch(&self, kernel: &'static str, grid: Grid, args: &[Arg<'_>]) {
        if grid.blocks.contains(&0) {
            return;
        }
        let mut pointers: Vec<*mut c_void> = args.iter().map(Arg::pointer).collect();
        let stream = self.stream.cu_stream();
        let [x, y, z] = grid.blocks;
        self.attempt(
            || format!("kernel {kernel}"),
            || {
                let function = self.functions.get(kernel).unwrap_or_else(|| panic!("there is no kernel {kernel}"));
                if grid.shared > PLAIN_SHARED {
                    let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                    // SAFETY: the function is of a module that is never unloaded.
                    unsafe { result::function::set_function_attribute(function.0, attribute, grid.shared as i32)? };
                }
                // SAFETY: the arguments are those of the kernel's declaration, which the operators' checks hold it to; their
                // pointers live until the call returns, which has copied what they point to.
                unsafe {
                    let threads = (grid.threads, 1, 1);
                    result::launch_kernel(function.0, (x, y, z), threads, grid.shared, stream, &mut pointers)
                }
            },
        );
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{}", self.ordinal)
    }
}

/// The CUDA version that the driver is for, as 1000 × major + 10 × minor.
fn version() -> std::result::Result<i32, DriverError> {
    let mut version = 0;
    // SAFETY: it writes the one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok(version)
}

/// Memory of a GPU.
struct Memory {
    driver: Arc<Driver>,
    address: u64,
}

impl Allocation for Memory {
    fn address(&self) -> u64 {
        self.address
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory of {:?}", self.driver)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.address != 0 {
            let stream = self.driver.stream.cu_stream();
            // SAFETY: it was allocated on this stream, and nothing that is enqueued later uses it.
            self.driver.attempt(|| "freeing memory".into(), || unsafe { result::free_async(self.address, stream) });
        }
    }
}
