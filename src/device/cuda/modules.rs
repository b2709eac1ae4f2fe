//! The kernels in a GPU's driver, which compiles them from PTX.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};

use cudarc::driver::{CudaContext, DriverError, result, sys};

use super::kernels::PTX;

/// A kernel in the driver.
#[derive(Clone, Copy)]
pub(super) struct Function(pub sys::CUfunction);

// SAFETY: a handle, which the driver lets every thread use.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// All kernels, by their names.
pub(super) type Functions = HashMap<&'static str, Function>;

/// All kernels, their files compiled at the same time. What fails is told of the first file, whichever failed first.
pub(super) fn load_all(context: &Arc<CudaContext>) -> Result<Functions, (&'static str, DriverError)> {
    let (next, threads) = (AtomicUsize::new(0), available_parallelism().map_or(1, usize::from).min(PTX.len()));
    let work = || {
        let next = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|file| *file < PTX.len());
        let loaded = |file: usize| (file, context.bind_to_thread().and_then(|()| load(PTX[file].1)));
        std::iter::from_fn(next).map(loaded).collect::<Vec<_>>()
    };
    let mut loaded: Vec<_> = scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = started.into_iter().map(|thread| thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        ended.flatten().collect()
    });
    loaded.sort_by_key(|(file, _)| *file);
    let mut all = Functions::new();
    for (file, functions) in loaded {
        all.extend(functions.map_err(|error| (PTX[file].0, error))?);
    }
    Ok(all)
}

/// The kernels of a file. The context is the thread's current one.
fn load(text: &'static str) -> Result<Vec<(&'static str, Function)>, DriverError> {
    let image = CString::new(text).expect("no zero in a text");
    // SAFETY: PTX as a string that ends with a zero, as the driver takes it.
    let module = unsafe { result::module::load_data(image.as_ptr().cast()) }?;
    let function = |name: &'static str| {
        let c_name = CString::new(name).expect("no zero in a name");
        // SAFETY: the module was just loaded, and is never unloaded.
        Ok((name, Function(unsafe { result::module::get_function(module, c_name) }?)))
    };
    entries(text).map(function).collect()
}

/// The names of a PTX text's kernels.
fn entries(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split(".entry ").skip(1).filter_map(|rest| rest.split(['(', ' ', '\n']).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_name_in_ptx() {
        let text = ".visible .entry add(\n .param\n)\n{ }\n.visible .entry scale (x)";
        assert_eq!(entries(text).collect::<Vec<_>>(), ["add", "scale"]);
    }
}
