//! What a compilation allocates: counted, bounded, and never a reason to end the process.
//!
//! The allocator (of whoever links this crate) reports here; it must not fail, so a compilation that has had too much goes
//! on until its next step, where [`check`] makes a bailout of it. Everything is kept per thread: compilations run on
//! threads of their own or, without one, between two instructions of the program.

use crate::{Bailout, BailoutReason};
use std::cell::Cell;

/// What one compilation may have at a time. Units of the largest size take about 10 MB (2026-11-20).
pub const LIMIT_BYTES: usize = 256 << 20;

struct Meter {
    is_on: Cell<bool>,
    is_exhausted: Cell<bool>,
    used: Cell<isize>,
    /// Allocations until one counts as failed.
    until_failure: Cell<u64>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            is_on: Cell::new(false),
            is_exhausted: Cell::new(false),
            used: Cell::new(0),
            until_failure: Cell::new(u64::MAX),
        }
    };
}

/// A compilation on this thread.
pub struct Compilation(());

impl Compilation {
    /// Begins to count. The allocation number `fails_at` (the first is 1) counts as failed, for tests.
    pub fn begin(fails_at: Option<u64>) -> Compilation {
        METER.with(|meter| {
            meter.is_on.set(true);
            meter.is_exhausted.set(false);
            meter.used.set(0);
            meter.until_failure.set(fails_at.unwrap_or(u64::MAX));
        });
        Compilation(())
    }
}

impl Drop for Compilation {
    fn drop(&mut self) {
        METER.with(|meter| meter.is_on.set(false));
    }
}

/// The allocator gave so many bytes. Allocates nothing itself.
#[inline]
pub fn allocated(bytes: usize) {
    METER.with(|meter| {
        if meter.is_on.get() {
            meter.used.set(meter.used.get() + bytes as isize);
            meter.until_failure.set(meter.until_failure.get() - 1);
            if meter.used.get() > LIMIT_BYTES as isize || meter.until_failure.get() == 0 {
                meter.until_failure.set(u64::MAX);
                meter.is_exhausted.set(true);
            }
        }
    });
}

/// The allocator took so many bytes back.
#[inline]
pub fn freed(bytes: usize) {
    METER.with(|meter| {
        if meter.is_on.get() {
            meter.used.set(meter.used.get() - bytes as isize);
        }
    });
}

/// The system has no more memory: the compilation on this thread, if there is one, is over.
pub fn exhaust() {
    METER.with(|meter| meter.is_exhausted.set(true));
}

/// To be asked between the steps of a compilation.
pub fn check() -> Result<(), Bailout> {
    let is_over = METER.with(|meter| meter.is_on.get() && meter.is_exhausted.get());
    if is_over { Err(Bailout::new(BailoutReason::Memory)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compilation_may_have_so_much_at_a_time() {
        let compilation = Compilation::begin(None);
        for _ in 0..3 {
            allocated(LIMIT_BYTES);
            freed(LIMIT_BYTES);
        }
        assert!(check().is_ok());
        allocated(LIMIT_BYTES);
        allocated(1);
        freed(1);
        assert_eq!(check().unwrap_err().reason, BailoutReason::Memory);
        drop(compilation);
        assert!(check().is_ok());
    }

    #[test]
    fn an_allocation_can_be_made_to_fail() {
        let _compilation = Compilation::begin(Some(2));
        allocated(1);
        assert!(check().is_ok());
        allocated(1);
        assert!(check().is_err());
    }

    #[test]
    fn what_others_allocate_is_not_counted() {
        allocated(2 * LIMIT_BYTES);
        assert!(check().is_ok());
        let _compilation = Compilation::begin(None);
        assert!(check().is_ok());
    }
}
