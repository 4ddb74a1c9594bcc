//! State that belongs to the process and is only touched by the thread that holds the GIL.

use coluber_cpython::Attached;
use std::cell::{RefCell, RefMut};

/// A value protected by the GIL. Borrows must not be held across anything that may run Python code.
pub struct UnderGil<T>(RefCell<T>);

// SAFETY: the only access asks for a token that proves that the GIL is held.
unsafe impl<T> Sync for UnderGil<T> {}

impl<T> UnderGil<T> {
    /// A protected value.
    pub const fn new(value: T) -> UnderGil<T> {
        UnderGil(RefCell::new(value))
    }

    /// Borrows it for writing.
    pub fn borrow<'py>(&'py self, _py: Attached<'py>) -> RefMut<'py, T> {
        self.0.borrow_mut()
    }
}
