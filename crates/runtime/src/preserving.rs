//! Thunks that preserve every register.
//!
//! A call in a cold block of a hot loop would make the register allocator keep nothing in caller-saved registers (all
//! the floating-point ones) across the loop, cold or not: measured 2x on float loops. Rare calls therefore go through a
//! thunk that saves all registers, with Cranelift's `PreserveAll` convention: arguments as in the C convention, no
//! result; what there is to return goes through memory.

use crate::enter;
use crate::frames;
use crate::helpers;
use crate::unit::{NOT_DESCRIBED, UnitRecord};
use coluber_cpython::layout;
use coluber_cpython::raw::{Attached, Frame, ThreadState};
use pyo3_ffi::PyObject;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

/// A function that calls `$target` and preserves all registers.
macro_rules! preserving {
    ($(#[$doc:meta])* $name:ident => $target:path) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// Called by compiled code only, with the arguments of the function behind it.
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "endbr64",
                "push rbp",
                "mov rbp, rsp",
                "push rax", "push rcx", "push rdx", "push rsi", "push rdi",
                "push r8", "push r9", "push r10", "push r11", "push r11",
                "and rsp, -16",
                "sub rsp, 256",
                "movups [rsp], xmm0", "movups [rsp + 16], xmm1", "movups [rsp + 32], xmm2", "movups [rsp + 48], xmm3",
                "movups [rsp + 64], xmm4", "movups [rsp + 80], xmm5", "movups [rsp + 96], xmm6", "movups [rsp + 112], xmm7",
                "movups [rsp + 128], xmm8", "movups [rsp + 144], xmm9", "movups [rsp + 160], xmm10", "movups [rsp + 176], xmm11",
                "movups [rsp + 192], xmm12", "movups [rsp + 208], xmm13", "movups [rsp + 224], xmm14", "movups [rsp + 240], xmm15",
                "call {target}",
                "movups xmm0, [rsp]", "movups xmm1, [rsp + 16]", "movups xmm2, [rsp + 32]", "movups xmm3, [rsp + 48]",
                "movups xmm4, [rsp + 64]", "movups xmm5, [rsp + 80]", "movups xmm6, [rsp + 96]", "movups xmm7, [rsp + 112]",
                "movups xmm8, [rsp + 128]", "movups xmm9, [rsp + 144]", "movups xmm10, [rsp + 160]", "movups xmm11, [rsp + 176]",
                "movups xmm12, [rsp + 192]", "movups xmm13, [rsp + 208]", "movups xmm14, [rsp + 224]", "movups xmm15, [rsp + 240]",
                "lea rsp, [rbp - 72]",
                "pop r11", "pop r10", "pop r9", "pop r8", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rax",
                "pop rbp",
                "ret",
                target = sym $target,
            )
        }
    };
}

/// What these functions return. The thread keeps the GIL until compiled code has read it.
#[repr(C)]
struct Results([AtomicI64; 2]);

static RESULTS: Results = Results([AtomicI64::new(0), AtomicI64::new(0)]);

/// The interpreter state that Coluber serves.
static INTERPRETER: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// Says which interpreter it is; returns where results are found.
pub(crate) fn prepare(interpreter: *mut u8) -> u64 {
    INTERPRETER.store(interpreter, Ordering::Relaxed);
    (&raw const RESULTS) as u64
}

unsafe extern "C" fn box_int_into(value: i64) {
    // SAFETY: called with the GIL.
    RESULTS.0[0].store(unsafe { helpers::box_int(value) } as i64, Ordering::Relaxed);
}

unsafe extern "C" fn box_float_into(bits: u64) {
    // SAFETY: called with the GIL.
    RESULTS.0[0].store(unsafe { helpers::box_float(f64::from_bits(bits)) } as i64, Ordering::Relaxed);
}

unsafe extern "C" fn unbox_int_into(object: *mut PyObject) {
    let mut value = 0;
    // SAFETY: an exact int.
    let fits = unsafe { helpers::unbox_int(object, &raw mut value) };
    RESULTS.0[0].store(value, Ordering::Relaxed);
    RESULTS.0[1].store(fits, Ordering::Relaxed);
}

/// The object may run Python code when it dies: what the frame says must be right.
unsafe extern "C" fn dealloc_seen_in_call(object: *mut PyObject, frame: Frame, unit: *const UnitRecord) {
    // SAFETY: promised by compiled code, which has the GIL.
    unsafe {
        let unit = &*unit;
        let instruction = frame.instr_ptr();
        enter::show_frame(Attached::assume().thread_state(), frame, unit);
        frame.set_instr_ptr(instruction);
        dealloc_seen_in_loop(object, enter::buffer_of(frame, unit));
    }
}

/// The same where the frame is shown.
unsafe extern "C" fn dealloc_seen_in_loop(object: *mut PyObject, buffer: *mut u64) {
    // SAFETY: promised by compiled code.
    unsafe {
        // Unboxed locals are not described.
        buffer.write(NOT_DESCRIBED);
        if coluber_cpython::IS_DEBUG_BUILD { helpers::decref(object) } else { helpers::dealloc(object) }
    }
}

unsafe extern "C" fn finish_inlined_frame(tstate: ThreadState, frame: Frame) {
    // SAFETY: promised by compiled code.
    unsafe { frames::finish_inlined_frame(tstate, frame) };
}

unsafe extern "C" fn drop_object_of_frame(frame: Frame) {
    // SAFETY: promised by compiled code.
    unsafe { frames::drop_object(frame) };
}

unsafe extern "C" fn end_own_frame(tstate: ThreadState, frame: Frame) {
    // SAFETY: promised by compiled code: the frame is the current one.
    unsafe {
        frames::unlink(tstate, frame, frame.previous());
        tstate.set_datastack_top(frame.0);
    }
}

preserving!(
    /// `helpers::dealloc(object)`.
    dealloc_any => helpers::dealloc
);

preserving!(
    /// `dealloc_seen_in_call(object, frame, unit)`.
    dealloc_any_in_call => dealloc_seen_in_call
);
preserving!(
    /// `dealloc_seen_in_loop(object, buffer)`.
    dealloc_any_in_loop => dealloc_seen_in_loop
);

/// `IMMORTALITY_BIT_MASK` of `lv_tag` (`pycore_long.h` of 3.14 and 3.15).
const IMMORTAL_TAG: u8 = 4;

/// A function `$name(object, ...)` for objects that have no reference any more: a float or an int of one digit goes onto
/// the interpreter's free list at once, as `_PyFloat_ExactDealloc` (`Objects/floatobject.c`) and `_PyLong_ExactDealloc`
/// (`Objects/longobject.c`) do; everything else is `$any`'s. Values of unknown type that die in hot loops are numbers more
/// often than not, and saving sixteen vector registers costs more than freeing one.
macro_rules! deallocating {
    ($name:ident => $any:ident) => {
        /// See `deallocating`.
        ///
        /// # Safety
        /// Called by compiled code only, with an object without references and the other arguments of the function behind.
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "endbr64",
                "push rax",
                "push rcx",
                "mov rax, qword ptr [rip + PyFloat_Type@GOTPCREL]",
                "cmp [rdi + {ob_type}], rax",
                "jne 3f",
                "mov rcx, [rip + {interpreter}]",
                "mov rax, [rcx + {size}]",
                "cmp rax, {limit}",
                "jge 2f",
                "inc rax",
                "mov [rcx + {size}], rax",
                "mov rax, [rcx + {head}]",
                "mov [rdi], rax",
                "mov [rcx + {head}], rdi",
                "pop rcx",
                "pop rax",
                "ret",
                "3:",
                "mov rax, qword ptr [rip + PyLong_Type@GOTPCREL]",
                "cmp [rdi + {ob_type}], rax",
                "jne 2f",
                // One digit, and none of the small ints, which are immortal.
                "mov rax, [rdi + {tag}]",
                "cmp rax, {digits}",
                "jae 2f",
                "test al, {immortal}",
                "jnz 2f",
                "mov rcx, [rip + {interpreter}]",
                "mov rax, [rcx + {int_size}]",
                "cmp rax, {int_limit}",
                "jge 2f",
                "inc rax",
                "mov [rcx + {int_size}], rax",
                "mov rax, [rcx + {int_head}]",
                "mov [rdi], rax",
                "mov [rcx + {int_head}], rdi",
                "pop rcx",
                "pop rax",
                "ret",
                "2:",
                "pop rcx",
                "pop rax",
                "jmp {any}",
                ob_type = const layout::object::OB_TYPE,
                interpreter = sym INTERPRETER,
                size = const layout::interpreter_state::FREELIST_FLOATS + layout::freelist::SIZE,
                head = const layout::interpreter_state::FREELIST_FLOATS + layout::freelist::HEAD,
                limit = const layout::freelist::MAX_FLOATS,
                tag = const layout::long::LV_TAG,
                digits = const layout::long::COMPACT_LIMIT,
                immortal = const IMMORTAL_TAG,
                int_size = const layout::interpreter_state::FREELIST_INTS + layout::freelist::SIZE,
                int_head = const layout::interpreter_state::FREELIST_INTS + layout::freelist::HEAD,
                int_limit = const layout::freelist::MAX_INTS,
                any = sym $any,
            )
        }
    };
}

deallocating!(dealloc => dealloc_any);
deallocating!(dealloc_in_call => dealloc_any_in_call);
deallocating!(dealloc_in_loop => dealloc_any_in_loop);

/// `record_first_store(values, index)`: notes that an inline value was stored for the first time
/// (`_PyDictValues_AddToInsertionOrder` of `pycore_dict.h`). The order array lies behind the values.
///
/// # Safety
/// Called by compiled code only, with the address of valid inline values of which that one was unset.
#[unsafe(naked)]
pub unsafe extern "C" fn record_first_store() {
    core::arch::naked_asm!(
        "endbr64",
        "push rax",
        "push rcx",
        "movzx eax, byte ptr [rdi + {capacity}]",
        "movzx ecx, byte ptr [rdi + {size}]",
        "lea rax, [rdi + rax * 8 + {values}]",
        "mov [rax + rcx], sil",
        "inc ecx",
        "mov byte ptr [rdi + {size}], cl",
        "pop rcx",
        "pop rax",
        "ret",
        capacity = const layout::dict_values::CAPACITY,
        size = const layout::dict_values::SIZE,
        values = const layout::dict_values::VALUES,
    )
}

preserving!(
    /// `box_int(value)`.
    box_int => box_int_into
);
preserving!(
    /// `box_float(bits)`.
    box_float => box_float_into
);
preserving!(
    /// `unbox_int_into(object)`.
    unbox_any_int => unbox_int_into
);

/// `unbox_int(object)`: the value of an exact int, and whether it fits. Two digits always do and need only three registers
/// saved, as three of which the last has no more than three bits (hashes of 64 bits).
///
/// # Safety
/// Called by compiled code only, with an exact int.
#[unsafe(naked)]
pub unsafe extern "C" fn unbox_int() {
    core::arch::naked_asm!(
        "endbr64",
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "xor esi, esi",
        "mov rax, [rdi + {tag}]",
        // Two digits and the sign: 0 or 2 is left.
        "xor rax, 16",
        "cmp rax, 4",
        "jb 3f",
        // The same for three digits.
        "xor rax, 8",
        "cmp rax, 4",
        "jae 2f",
        "mov esi, [rdi + {digit} + 8]",
        "cmp esi, 8",
        "jae 2f",
        "shl rsi, 60",
        "3:",
        "mov rcx, [rdi + {digit}]",
        "mov edx, ecx",
        "shr rcx, 32",
        "shl rcx, 30",
        "or rcx, rdx",
        "or rcx, rsi",
        "test eax, eax",
        "jz 1f",
        "neg rcx",
        "1:",
        "mov [rip + {results}], rcx",
        "mov qword ptr [rip + {results} + 8], 1",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "ret",
        "2:",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "jmp {any}",
        tag = const layout::long::LV_TAG,
        digit = const layout::long::OB_DIGIT,
        results = sym RESULTS,
        any = sym unbox_any_int,
    )
}
preserving!(
    /// `finish_inlined_frame(tstate, frame)`.
    finish_frame => finish_inlined_frame
);
preserving!(
    /// `drop_frame_object(frame)`.
    drop_frame_object => drop_object_of_frame
);
preserving!(
    /// `end_frame(tstate, frame)`.
    end_frame => end_own_frame
);
