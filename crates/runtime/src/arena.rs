//! Memory for machine code: one reservation of address space, filled with segments on demand.
//!
//! A segment takes one room of the reservation, or as many as a piece of code that is larger needs.
//!
//! Each segment is a memory file that is mapped twice: writable at one address, executable at another. So no page is ever
//! both, and code can be added to a segment that is being executed. All executable views lie in one reservation, so
//! that code reaches other code by 32-bit displacements.
//!
//! **Fork**: a shared mapping stays one memory in parent and child. Each segment remembers the fork epoch it was made in;
//! after a fork the epoch is another one in both processes, and segments of older epochs are *sealed*: never written,
//! their free places never used again. A sealed segment in which nothing is left is unmapped and its room used anew.
//!
//! Every refusal (no memory file, no executable mapping, the cap reached) is an `Err` with one line for people.
//! What is not here: deciding when nobody executes a place any more (see [`crate::retire`]).

use std::ptr::{self, NonNull};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of a segment, or of one room of a larger one.
pub const SEGMENT_BYTES: usize = 1 << 20;
/// Largest piece of code.
pub const MAX_CODE_BYTES: usize = 16 << 20;
/// Allocation unit; code is aligned to it.
pub const UNIT_BYTES: usize = 64;
/// Address space reserved for executable views.
const RESERVATION_BYTES: usize = 256 << 20;

/// Counts forks, in both processes.
static FORK_EPOCH: AtomicU64 = AtomicU64::new(0);
static FORK_HANDLERS: Once = Once::new();

extern "C" fn after_fork() {
    FORK_EPOCH.fetch_add(1, Ordering::Relaxed);
}

fn watch_forks() {
    FORK_HANDLERS.call_once(|| {
        // SAFETY: the handler only adds to an atomic, which is allowed after a fork.
        unsafe { libc::pthread_atfork(None, Some(after_fork), Some(after_fork)) };
    });
}

/// A place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is executed.
    pub address: NonNull<u8>,
    /// Its size in bytes, rounded up to [`UNIT_BYTES`].
    pub size: usize,
}

struct Segment {
    writable: NonNull<u8>,
    executable: NonNull<u8>,
    epoch: u64,
    bytes: usize,
    /// Free ranges in units: (first, count), in order, never adjacent.
    free: Vec<(usize, usize)>,
    used_units: usize,
}

/// Bytes of a new segment for code of so many units.
fn segment_bytes(units: usize) -> usize {
    (units * UNIT_BYTES).next_multiple_of(SEGMENT_BYTES)
}

/// The code memory of a process.
pub struct Arena {
    reservation: NonNull<u8>,
    /// One entry per room in the reservation, a segment in the first of its rooms.
    segments: Vec<Option<Segment>>,
    cap_bytes: usize,
    perf_map: Option<PerfMapWriter>,
}

// SAFETY: the raw addresses belong to the arena alone; whoever has it exclusively may use them from any thread.
unsafe impl Send for Arena {}

fn last_error(what: &str) -> String {
    format!("{what}: {}", std::io::Error::last_os_error())
}

impl Arena {
    /// Reserves address space; memory comes with the first allocation. `cap_bytes` limits the memory of all segments;
    /// `perf_map` is told of each allocation, see [`write_perf_map_entry`].
    pub fn new(cap_bytes: usize, perf_map: Option<PerfMapWriter>) -> Result<Arena, String> {
        watch_forks();
        // SAFETY: a fresh private mapping without access has no effect on existing memory.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                RESERVATION_BYTES,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(last_error("cannot reserve address space for machine code"));
        }
        let reservation = NonNull::new(address.cast()).ok_or("mmap returned the null address")?;
        Ok(Arena { reservation, segments: Vec::new(), cap_bytes: cap_bytes.min(RESERVATION_BYTES), perf_map })
    }

    /// Copies `bytes` to a new executable place. `name` is for the perf map.
    pub fn allocate(&mut self, bytes: &[u8], name: &str) -> Result<Place, String> {
        self.allocate_with(bytes.len(), name, |_| bytes)
    }

    /// The same for code that depends on its own address.
    pub fn allocate_with<B: AsRef<[u8]>>(
        &mut self,
        size: usize,
        name: &str,
        make: impl FnOnce(u64) -> B,
    ) -> Result<Place, String> {
        let units = size.div_ceil(UNIT_BYTES).max(1);
        if size > MAX_CODE_BYTES {
            return Err(format!("code of {size} bytes is larger than {MAX_CODE_BYTES} bytes"));
        }
        let epoch = FORK_EPOCH.load(Ordering::Relaxed);
        self.drop_empty_sealed_segments(epoch);
        let found = self
            .segments
            .iter_mut()
            .flatten()
            .filter(|segment| segment.epoch == epoch)
            .find_map(|segment| segment.take(units).map(|first| (segment.writable, segment.executable, first)));
        let (writable, executable, first) = match found {
            Some(found) => found,
            None => {
                let segment = self.add_segment(epoch, segment_bytes(units))?;
                let first = segment.take(units).expect("a new segment has room for anything that fits a segment");
                (segment.writable, segment.executable, first)
            }
        };
        let offset = first * UNIT_BYTES;
        // SAFETY: the unit range lies inside the segment.
        let address = unsafe { executable.add(offset) };
        let code = make(address.as_ptr() as u64);
        let code = code.as_ref();
        assert!(code.len() <= units * UNIT_BYTES, "code is longer than announced");
        // SAFETY: the range was free, so nothing executes it or refers to it, and it is as long as the code.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), writable.add(offset).as_ptr(), code.len()) };
        forget_pages(writable, offset, code.len());
        flush_instruction_cache(address, code.len());
        if let Some(write) = self.perf_map {
            write(address, code.len(), name);
        }
        Ok(Place { address, size: units * UNIT_BYTES })
    }

    /// Whether code of so many bytes can be allocated.
    pub fn has_room(&self, size: usize) -> bool {
        let units = size.div_ceil(UNIT_BYTES).max(1);
        let epoch = FORK_EPOCH.load(Ordering::Relaxed);
        let mut segments = self.segments.iter().flatten().filter(|segment| segment.epoch == epoch);
        segments.any(|segment| segment.free.iter().any(|range| range.1 >= units))
            || self.mapped_bytes() + segment_bytes(units) <= self.cap_bytes
    }

    /// Gives a place back.
    ///
    /// # Safety
    /// It must come from this arena, nobody may execute it or enter it later, and it is freed only once.
    pub unsafe fn free(&mut self, place: Place) {
        let distance = place.address.as_ptr() as usize - self.reservation.as_ptr() as usize;
        let epoch = FORK_EPOCH.load(Ordering::Relaxed);
        // The segment that begins in this room or before.
        let room = (0..=distance / SEGMENT_BYTES).rev().find(|room| self.segments[*room].is_some()).unwrap_or(0);
        if let Some(segment) = self.segments[room].as_mut() {
            let units = place.size / UNIT_BYTES;
            segment.used_units -= units;
            if segment.epoch == epoch {
                segment.give_back((distance - room * SEGMENT_BYTES) / UNIT_BYTES, units);
            }
            // Others would fit into a large segment badly.
            if segment.used_units == 0 && segment.bytes > SEGMENT_BYTES {
                self.unmap(room);
            }
        }
    }

    /// Memory of all segments, and how much of it holds code, in bytes.
    pub fn size(&self) -> (usize, usize) {
        let mapped = self.mapped_bytes();
        let used = self.segments.iter().flatten().map(|segment| segment.used_units * UNIT_BYTES).sum();
        (mapped, used)
    }

    fn mapped_bytes(&self) -> usize {
        self.segments.iter().flatten().map(|segment| segment.bytes).sum()
    }

    fn drop_empty_sealed_segments(&mut self, epoch: u64) {
        for index in 0..self.segments.len() {
            let segment = self.segments[index].as_ref();
            if segment.is_some_and(|segment| segment.epoch != epoch && segment.used_units == 0) {
                self.unmap(index);
            }
        }
    }

    /// Gives the memory of the segment in a room back, of which nothing is in use.
    fn unmap(&mut self, index: usize) {
        let Some(segment) = self.segments[index].take() else { return };
        // SAFETY: the rooms lie in the reservation; nothing in them is in use in this process, and unmapping does not
        // touch the memory of another process.
        unsafe {
            libc::munmap(segment.writable.as_ptr().cast(), segment.bytes);
            libc::mmap(
                self.reservation.add(index * SEGMENT_BYTES).as_ptr().cast(),
                segment.bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
                -1,
                0,
            );
        }
    }

    /// The first of so many rooms beside each other that no segment has.
    fn free_rooms(&self, count: usize) -> usize {
        let mut first = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            if let Some(segment) = segment {
                first = first.max(index + segment.bytes / SEGMENT_BYTES);
            } else if index + 1 >= first + count {
                return first;
            }
        }
        first
    }

    fn add_segment(&mut self, epoch: u64, bytes: usize) -> Result<&mut Segment, String> {
        if self.mapped_bytes() + bytes > self.cap_bytes {
            return Err(format!("the cap of {} bytes for machine code is reached", self.cap_bytes));
        }
        let rooms = bytes / SEGMENT_BYTES;
        let index = self.free_rooms(rooms);
        if (index + rooms) * SEGMENT_BYTES > RESERVATION_BYTES {
            return Err("the reserved address space for machine code is used up".into());
        }
        let count = self.segments.len().max(index + rooms);
        self.segments.resize_with(count, || None);
        // SAFETY: the rooms lie inside the reservation.
        let room = unsafe { self.reservation.add(index * SEGMENT_BYTES) };
        let segment = Segment::map(room, epoch, bytes)?;
        Ok(self.segments[index].insert(segment))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for segment in self.segments.iter().flatten() {
            // SAFETY: whoever drops the arena promises that no code of it runs any more.
            unsafe { libc::munmap(segment.writable.as_ptr().cast(), segment.bytes) };
        }
        // SAFETY: as above; the executable views lie in the reservation.
        unsafe { libc::munmap(self.reservation.as_ptr().cast(), RESERVATION_BYTES) };
    }
}

impl Segment {
    fn map(room: NonNull<u8>, epoch: u64, bytes: usize) -> Result<Segment, String> {
        // SAFETY: the name is a C string; the call has no other requirement.
        let mut file = unsafe { libc::memfd_create(c"coluber".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_EXEC) };
        if file < 0 {
            // Kernels before 6.3 do not know MFD_EXEC.
            // SAFETY: as above.
            file = unsafe { libc::memfd_create(c"coluber".as_ptr(), libc::MFD_CLOEXEC) };
        }
        if file < 0 {
            return Err(last_error("cannot make a memory file for machine code"));
        }
        let result = Segment::map_file(room, epoch, bytes, file);
        // SAFETY: the descriptor is ours; mappings stay when it is closed.
        unsafe { libc::close(file) };
        result
    }

    fn map_file(room: NonNull<u8>, epoch: u64, bytes: usize, file: i32) -> Result<Segment, String> {
        // SAFETY: the descriptor is valid.
        if unsafe { libc::ftruncate(file, bytes as libc::off_t) } != 0 {
            return Err(last_error("cannot size the memory file for machine code"));
        }
        // SAFETY: a new mapping at an address of the kernel's choice.
        let writable = unsafe {
            libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file, 0)
        };
        if writable == libc::MAP_FAILED {
            return Err(last_error("cannot map machine code for writing"));
        }
        // SAFETY: replaces a part of our own reservation that no segment uses.
        let executable = unsafe {
            libc::mmap(
                room.as_ptr().cast(),
                bytes,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_SHARED | libc::MAP_FIXED,
                file,
                0,
            )
        };
        if executable == libc::MAP_FAILED {
            let message = last_error("executable memory is refused");
            // SAFETY: our own mapping, not used yet.
            unsafe { libc::munmap(writable, bytes) };
            return Err(message);
        }
        let writable = NonNull::new(writable.cast()).ok_or("mmap returned the null address")?;
        let free = vec![(0, bytes / UNIT_BYTES)];
        Ok(Segment { writable, executable: room, epoch, bytes, free, used_units: 0 })
    }

    /// Takes `units` from the smallest free range that has them.
    fn take(&mut self, units: usize) -> Option<usize> {
        let fitting = self.free.iter().enumerate().filter(|(_, range)| range.1 >= units);
        let (index, _) = fitting.min_by_key(|(_, range)| range.1)?;
        let (first, count) = self.free[index];
        if count == units {
            self.free.remove(index);
        } else {
            self.free[index] = (first + units, count - units);
        }
        self.used_units += units;
        Some(first)
    }

    fn give_back(&mut self, first: usize, units: usize) {
        let index = self.free.partition_point(|range| range.0 < first);
        self.free.insert(index, (first, units));
        if index + 1 < self.free.len() && self.free[index].0 + self.free[index].1 == self.free[index + 1].0 {
            self.free[index].1 += self.free.remove(index + 1).1;
        }
        if index > 0 && self.free[index - 1].0 + self.free[index - 1].1 == self.free[index].0 {
            self.free[index - 1].1 += self.free.remove(index).1;
        }
    }
}

/// Takes the pages of the writable view out of this process's page table: the file keeps what was written, and code does
/// not count twice in the resident memory.
fn forget_pages(writable: NonNull<u8>, offset: usize, size: usize) {
    const PAGE_BYTES: usize = 4096;
    let first = offset / PAGE_BYTES * PAGE_BYTES;
    // SAFETY: whole pages of our own shared file mapping, whose content stays in the file. A refusal costs memory only.
    unsafe { libc::madvise(writable.add(first).as_ptr().cast(), offset + size - first, libc::MADV_DONTNEED) };
}

#[cfg(target_arch = "x86_64")]
fn flush_instruction_cache(_address: NonNull<u8>, _size: usize) {}

#[cfg(target_arch = "aarch64")]
fn flush_instruction_cache(address: NonNull<u8>, size: usize) {
    unsafe extern "C" {
        fn __clear_cache(start: *mut u8, end: *mut u8);
    }
    // SAFETY: the range is mapped and readable.
    unsafe { __clear_cache(address.as_ptr(), address.as_ptr().wrapping_add(size)) };
}

/// Tells a profiler the name of a piece of code.
pub type PerfMapWriter = fn(address: NonNull<u8>, size: usize, name: &str);

/// Writes an entry of `/tmp/perf-<pid>.map`, which the interpreter keeps.
pub fn write_perf_map_entry(address: NonNull<u8>, size: usize, name: &str) {
    let Ok(name) = std::ffi::CString::new(format!("coluber::{name}")) else { return };
    // SAFETY: the arguments are only printed; the function needs no attached thread.
    unsafe {
        coluber_cpython::ffi::PyUnstable_WritePerfMapEntry(
            address.as_ptr().cast_const().cast(),
            u32::try_from(size).unwrap_or(u32::MAX),
            name.as_ptr(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `mov eax, imm32; ret`.
    fn returns(value: u32) -> Vec<u8> {
        let mut code = vec![0xb8];
        code.extend(value.to_le_bytes());
        code.push(0xc3);
        code
    }

    #[cfg(target_arch = "x86_64")]
    fn call(place: Place) -> u32 {
        // SAFETY: the place holds a function of that type.
        let function: extern "C" fn() -> u32 = unsafe { std::mem::transmute(place.address.as_ptr()) };
        function()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn executes_what_was_written() {
        let mut arena = Arena::new(8 << 20, None).unwrap();
        let first = arena.allocate(&returns(7), "seven").unwrap();
        let second = arena.allocate(&returns(8), "eight").unwrap();
        assert_eq!((call(first), call(second)), (7, 8));
        assert_eq!(first.address.as_ptr() as usize % UNIT_BYTES, 0);
    }

    #[test]
    fn uses_freed_places_again_and_joins_neighbours() {
        let mut arena = Arena::new(8 << 20, None).unwrap();
        let places: Vec<_> = (0..3).map(|_| arena.allocate(&[0xc3; 100], "").unwrap()).collect();
        for place in [places[0], places[2], places[1]] {
            // SAFETY: nothing executes the places.
            unsafe { arena.free(place) };
        }
        assert_eq!(arena.segments[0].as_ref().unwrap().free, vec![(0, SEGMENT_BYTES / UNIT_BYTES)]);
        let again = arena.allocate(&[0xc3; 384], "").unwrap();
        assert_eq!(again.address, places[0].address);
    }

    #[test]
    fn refuses_above_the_cap() {
        let mut arena = Arena::new(SEGMENT_BYTES, None).unwrap();
        arena.allocate(&[0; SEGMENT_BYTES], "").unwrap();
        let message = arena.allocate(&[0; 1], "").unwrap_err();
        assert!(message.contains("cap of 1048576 bytes"), "{message}");
        assert!(!arena.has_room(1));
        assert!(arena.allocate(&vec![0; MAX_CODE_BYTES + 1], "").unwrap_err().contains("is larger than"));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn large_code_has_a_segment_of_its_own() {
        let mut arena = Arena::new(8 << 20, None).unwrap();
        let small = arena.allocate(&returns(1), "").unwrap();
        let mut code = vec![0x90; 3 * SEGMENT_BYTES - 100];
        code.extend(returns(2));
        let large = arena.allocate(&code, "").unwrap();
        let behind = arena.allocate(&vec![0xc3; SEGMENT_BYTES], "").unwrap();
        assert_eq!((call(small), call(large)), (1, 2));
        assert_eq!(arena.size().0, 5 << 20);
        // SAFETY: nothing executes it.
        unsafe { arena.free(large) };
        assert_eq!(arena.size().0, 2 << 20);
        let again = arena.allocate(&vec![0xc3; 2 * SEGMENT_BYTES], "").unwrap();
        assert_eq!(again.address, large.address);
        assert!(behind.address > again.address);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn seals_inherited_segments_after_a_fork() {
        let mut arena = Arena::new(8 << 20, None).unwrap();
        let kept = arena.allocate(&returns(11), "").unwrap();
        let freed = arena.allocate(&returns(12), "").unwrap();
        // SAFETY: nothing executes it.
        unsafe { arena.free(freed) };
        // SAFETY: the child only uses the arena and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let new = arena.allocate(&returns(99), "");
            let fine = new.is_ok_and(|place| place.address != freed.address && call(place) == 99) && call(kept) == 11;
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(if fine { 0 } else { 1 }) };
        }
        let mut status = 1;
        // SAFETY: waits for our own child.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
        let new = arena.allocate(&returns(13), "").unwrap();
        assert_ne!(new.address, freed.address);
        assert_eq!((call(kept), call(new)), (11, 13));
    }

    #[test]
    fn uses_the_room_of_an_empty_sealed_segment_again() {
        let mut arena = Arena::new(SEGMENT_BYTES, None).unwrap();
        let place = arena.allocate(&[0; 64], "").unwrap();
        arena.segments[0].as_mut().unwrap().epoch = u64::MAX;
        assert!(arena.allocate(&[0; 64], "").is_err());
        // SAFETY: nothing executes it.
        unsafe { arena.free(place) };
        assert_eq!(arena.allocate(&[0; 64], "").unwrap().address, place.address);
    }
}
