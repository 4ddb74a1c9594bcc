//! Taking units out of use: first no new activation, then no door, at last no memory.
//!
//! The last step waits until nobody is inside, by the unit's counter: stacks are never scanned (a suspended greenlet's
//! is nowhere to be found).

use crate::arena::Arena;
use crate::doors;
use crate::gil::UnderGil;
use crate::invariants;
use crate::unit::{self, UnitRecord};
use coluber_cpython::Attached;

/// Units that were left often since somebody last looked.
static NOISY: UnderGil<Vec<*const UnitRecord>> = UnderGil::new(Vec::new());
/// Units with a broken invariant that nobody has looked after yet.
static BROKEN: UnderGil<Vec<*const UnitRecord>> = UnderGil::new(Vec::new());
/// Units without doors, waiting for those inside.
static RETIRED: UnderGil<Vec<*mut UnitRecord>> = UnderGil::new(Vec::new());

/// Notes a unit whose invariant broke. Safe in a watcher.
pub(crate) fn note(py: Attached, unit: *const UnitRecord) {
    let mut broken = BROKEN.borrow(py);
    if !broken.contains(&unit) {
        broken.push(unit);
    }
}

/// Notes a unit that was left often.
#[cold]
pub(crate) fn note_noisy(unit: *const UnitRecord) {
    // SAFETY: compiled code is left on an attached thread.
    NOISY.borrow(unsafe { Attached::assume() }).push(unit);
}

/// Units that were left as often as [`UnitRecord::look_after`] said, since the last call.
pub fn take_noisy(py: Attached) -> Vec<*const UnitRecord> {
    std::mem::take(&mut *NOISY.borrow(py))
}

/// Units whose invariants broke since the last call: to be retired, and perhaps compiled anew.
pub fn take_broken(py: Attached) -> Vec<*const UnitRecord> {
    std::mem::take(&mut *BROKEN.borrow(py))
}

/// Takes a unit out of use: its doors are closed, [`collect`] frees it when nobody is inside.
///
/// # Safety
/// The caller gives the pointer up.
pub unsafe fn retire(py: Attached, unit: *mut UnitRecord) {
    // SAFETY: promised by the caller.
    let record = unsafe { &*unit };
    record.invalidate();
    doors::close_door(py, record);
    invariants::forget(py, unit);
    NOISY.borrow(py).retain(|noisy| *noisy != unit.cast_const());
    BROKEN.borrow(py).retain(|broken| *broken != unit.cast_const());
    RETIRED.borrow(py).push(unit);
}

/// Frees retired units that nobody is inside; returns how many, and how many are waiting. Runs Python code (objects may
/// die), so not to be called with a borrow or a lock that such code could ask for: `with_arena` lends the arena only as long as
/// code is freed.
pub fn collect(py: Attached, with_arena: impl FnOnce(&mut dyn FnMut(&mut Arena))) -> (usize, usize) {
    let mut waiting = Vec::new();
    let mut free = Vec::new();
    for unit in std::mem::take(&mut *RETIRED.borrow(py)) {
        // SAFETY: retired units belong to this list.
        if unsafe { &*unit }.is_entered() { waiting.push(unit) } else { free.push(unit) }
    }
    let counts = (free.len(), waiting.len());
    RETIRED.borrow(py).extend(waiting);
    if free.is_empty() {
        return counts;
    }
    let mut references = Vec::new();
    with_arena(&mut |arena| {
        for unit in free.drain(..) {
            // SAFETY: no door leads to it, nobody is inside.
            references.extend(unsafe { UnitRecord::free(unit, py, arena) });
        }
    });
    RETIRED.borrow(py).extend(free);
    // SAFETY: references of freed records.
    unsafe { unit::release(py, references) };
    counts
}
