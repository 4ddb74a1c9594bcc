//! The few machine instructions made by hand: a stub per unit, by which a function's vectorcall reaches the door with the
//! unit's record as fifth argument.

use crate::enter::function_door;
use crate::unit::UnitRecord;

/// Size of a stub.
pub const STUB_BYTES: usize = 32;

/// `endbr64; movabs r8, unit; movabs rax, door; jmp rax`.
#[cfg(target_arch = "x86_64")]
pub fn stub(unit: u64, door: u64) -> Vec<u8> {
    let mut code = vec![0xf3, 0x0f, 0x1e, 0xfa, 0x49, 0xb8];
    code.extend(unit.to_le_bytes());
    code.extend([0x48, 0xb8]);
    code.extend(door.to_le_bytes());
    code.extend([0xff, 0xe0]);
    code
}

/// The unit of a stub; none if the code is no stub. Reads no further than what it has read leads to.
///
/// # Safety
/// The address of a function.
#[cfg(target_arch = "x86_64")]
pub unsafe fn unit_of(code: *const u8) -> Option<*const UnitRecord> {
    // SAFETY: the code is at least as long as the instruction that was recognised.
    unsafe {
        if code.is_null() || code.cast::<u32>().read_unaligned() != 0xfa1e_0ff3 {
            return None;
        }
        if code.add(4).cast::<u16>().read_unaligned() != 0xb849 || code.add(14).cast::<u16>().read_unaligned() != 0xb848
        {
            return None;
        }
        let door = code.add(16).cast::<u64>().read_unaligned();
        (door == function_door as *const () as u64).then(|| code.add(6).cast::<*const UnitRecord>().read_unaligned())
    }
}

/// `bti c; ldr x4, unit; ldr x16, door; br x16`, then the two addresses.
#[cfg(target_arch = "aarch64")]
pub fn stub(unit: u64, door: u64) -> Vec<u8> {
    let words: [u32; 4] = [0xd503_245f, 0x5800_0064, 0x5800_0090, 0xd61f_0200];
    let mut code: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    code.extend(unit.to_le_bytes());
    code.extend(door.to_le_bytes());
    code
}

/// The unit of a stub; none if the code is no stub.
///
/// # Safety
/// The address of a function.
#[cfg(target_arch = "aarch64")]
pub unsafe fn unit_of(code: *const u8) -> Option<*const UnitRecord> {
    // SAFETY: instructions are words; a stub begins with four of its own, its two addresses behind them.
    unsafe {
        let words = code.cast::<u32>();
        if code.is_null() || words.read() != 0xd503_245f || words.add(1).read() != 0x5800_0064 {
            return None;
        }
        let door = words.add(6).cast::<u64>().read_unaligned();
        (door == function_door as *const () as u64).then(|| words.add(4).cast::<*const UnitRecord>().read_unaligned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    extern "C" fn door(a: u64, b: u64, c: u64, d: u64, unit: u64) -> u64 {
        a + 10 * b + 100 * c + 1000 * d + 10_000 * unit
    }

    #[test]
    fn passes_the_unit_behind_the_arguments() {
        let code = stub(5, door as *const () as u64);
        assert!(code.len() <= STUB_BYTES);
        let mut arena = Arena::new(1 << 20, None).unwrap();
        let place = arena.allocate(&code, "stub").unwrap();
        // SAFETY: the place holds a stub that jumps to a function of that type.
        let call: extern "C" fn(u64, u64, u64, u64) -> u64 = unsafe { std::mem::transmute(place.address.as_ptr()) };
        assert_eq!(call(1, 2, 3, 4), 54321);
    }

    #[test]
    fn recognises_its_own_stubs_only() {
        let (own, other) = (stub(64, function_door as *const () as u64), stub(64, door as *const () as u64));
        // SAFETY: a stub, and code that is long enough.
        unsafe {
            assert_eq!(unit_of(own.as_ptr()), Some(64 as *const UnitRecord));
            assert_eq!(unit_of(other.as_ptr()), None);
            assert_eq!(unit_of(door as *const u8), None);
            assert_eq!(unit_of(std::ptr::null()), None);
        }
    }
}
