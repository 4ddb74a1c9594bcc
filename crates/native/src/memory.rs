//! The allocator of this library: the system's, with two additions.
//!
//! - What compilations allocate is counted, see `coluber_engine::memory`.
//! - When the system has no more memory, a reserve steps in, since Rust's collections end the process when an allocation
//!   fails. Nothing new is compiled while the reserve is in use; the program is interpreted and gets its own `MemoryError`s.
//!
//! The reserve is part of the library's zeroed data, so it takes address space, and memory only where it is used.

use coluber_engine::memory;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

struct Allocator;

const RESERVE_BYTES: usize = 16 << 20;
const RESERVE_ALIGNMENT: usize = 4096;

#[repr(align(4096))]
struct Reserve(UnsafeCell<[u8; RESERVE_BYTES]>);

// SAFETY: the pieces that are handed out do not overlap.
unsafe impl Sync for Reserve {}

static RESERVE: Reserve = Reserve(UnsafeCell::new([0; RESERVE_BYTES]));

#[derive(Default)]
struct Use {
    /// End of what was handed out.
    end: usize,
    /// Pieces that were not given back; when there is none, all is free again.
    pieces: usize,
}

static USE: Mutex<Use> = Mutex::new(Use { end: 0, pieces: 0 });

/// Taking the lock allocates nothing.
fn in_use() -> MutexGuard<'static, Use> {
    USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the system refused memory and what was given instead is still in use.
pub fn is_short() -> bool {
    in_use().pieces > 0
}

fn is_reserve(address: *mut u8) -> bool {
    (address as usize).wrapping_sub(RESERVE.0.get() as usize) < RESERVE_BYTES
}

#[cold]
fn from_reserve(layout: Layout) -> *mut u8 {
    memory::exhaust();
    let mut in_use = in_use();
    let first = in_use.end.next_multiple_of(layout.align());
    let end = first.saturating_add(layout.size());
    if layout.align() > RESERVE_ALIGNMENT || end > RESERVE_BYTES {
        return ptr::null_mut();
    }
    in_use.end = end;
    in_use.pieces += 1;
    RESERVE.0.get().cast::<u8>().wrapping_add(first)
}

#[cold]
fn give_back() {
    let mut in_use = in_use();
    in_use.pieces -= 1;
    if in_use.pieces == 0 {
        in_use.end = 0;
    }
}

// SAFETY: the system's allocator, or pieces of the reserve of the asked size and alignment that belong to nobody else.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        memory::allocated(layout.size());
        // SAFETY: promised by the caller.
        let address = unsafe { System.alloc(layout) };
        if address.is_null() { from_reserve(layout) } else { address }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        memory::allocated(layout.size());
        // SAFETY: promised by the caller.
        let address = unsafe { System.alloc_zeroed(layout) };
        if !address.is_null() {
            return address;
        }
        let address = from_reserve(layout);
        if !address.is_null() {
            // SAFETY: a piece of that size.
            unsafe { address.write_bytes(0, layout.size()) };
        }
        address
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_reserve(address) {
            // SAFETY: promised by the caller; the address is the system's.
            let moved = unsafe { System.realloc(address, layout, size) };
            if !moved.is_null() {
                memory::freed(layout.size());
                memory::allocated(size);
                return moved;
            }
        }
        // SAFETY: the caller promises that the size is valid with the alignment; both places are large enough for what is
        // copied, and the old one is given up.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(address, moved, layout.size().min(size));
                self.dealloc(address, layout);
            }
            moved
        }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        memory::freed(layout.size());
        if is_reserve(address) {
            give_back();
        } else {
            // SAFETY: promised by the caller.
            unsafe { System.dealloc(address, layout) };
        }
    }
}
