//! What compiled code notes for the next version of its unit: classes of operands, callees.

use crate::doors;
use coluber_bytecode::{CALLED_FUNCTION, CALLED_METHOD, CALLED_OTHERS};
use coluber_cpython::raw::{Attached, FunctionRef, is_exactly};
use coluber_cpython::{ffi, layout};
use pyo3_ffi::PyObject;
use std::cell::Cell;

/// Sites a unit's profile has room for.
pub const PROFILE_SITES: usize = 64;

/// What compiled code met at one instruction. It writes that itself where it notes classes.
#[repr(C)]
#[derive(Default)]
pub struct SiteProfile {
    /// Version tags of the operands' classes, left and right, the last time. Or the version of the only function that was
    /// called, and how.
    versions: [Cell<u32>; 2],
    /// How often.
    count: Cell<u64>,
}

/// How a function was called: by itself.
const FUNCTION: u32 = 1;
/// As a bound method.
const METHOD: u32 = 2;
/// Something else was called, or several functions.
const OTHERS: u32 = 3;

impl SiteProfile {
    /// How often something was noted.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Classes of the operands.
    pub fn classes(&self) -> Vec<u32> {
        self.versions.iter().map(Cell::get).collect()
    }

    /// The name of the fact that a call's site is, and the version of the function that was called.
    pub fn callee(&self) -> (&'static str, Vec<u32>) {
        match self.versions[1].get() {
            FUNCTION => (CALLED_FUNCTION, vec![self.versions[0].get()]),
            METHOD => (CALLED_METHOD, vec![self.versions[0].get()]),
            _ => (CALLED_OTHERS, Vec::new()),
        }
    }
}

/// Notes what is about to be called.
///
/// # Safety
/// Called by compiled code, attached, with a site of its own unit and a valid object.
pub unsafe extern "C" fn note_callee(site: *const SiteProfile, callable: *mut PyObject) {
    // SAFETY: promised by the caller; a bound method's function is read of the exact type that was tested.
    unsafe {
        let site = &*site;
        let (function, how) = if is_exactly(callable, &raw mut ffi::PyMethod_Type) {
            (callable.cast::<u8>().add(layout::method::IM_FUNC).cast::<*mut PyObject>().read(), METHOD)
        } else {
            (callable, FUNCTION)
        };
        site.count.set(site.count.get() + 1);
        let version = match is_exactly(function, &raw mut pyo3_ffi::PyFunction_Type) {
            true => doors::version_of(Attached::assume(), FunctionRef(function.cast())),
            false => 0,
        };
        let known = (site.versions[0].get(), site.versions[1].get());
        let now = match known {
            _ if version == 0 => (0, OTHERS),
            (0, 0) => (version, how),
            _ if known == (version, how) => known,
            _ => (0, OTHERS),
        };
        site.versions[0].set(now.0);
        site.versions[1].set(now.1);
    }
}

/// The sites of a unit, none in use.
pub fn new_sites() -> Box<[SiteProfile; PROFILE_SITES]> {
    Box::new(std::array::from_fn(|_| SiteProfile::default()))
}
