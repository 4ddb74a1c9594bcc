//! Thunks that preserve every register.
//!
//! A call in a cold block of a hot loop would make the register allocator keep nothing in caller-saved registers (all
//! the floating-point ones) across the loop, cold or not: measured 2x on float loops. Rare calls therefore go through a
//! thunk that saves all registers, with Cranelift's `PreserveAll` convention: arguments as in the C convention, no
//! result; what there is to return goes through memory.

use crate::enter;
use crate::frames;
use crate::helpers;
use crate::unit::UnitRecord;
use coluber_cpython::layout;
use coluber_cpython::raw::{Frame, ThreadState};
use pyo3_ffi::PyObject;

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

unsafe extern "C" fn box_int_into(value: i64, out: *mut *mut PyObject) {
    // SAFETY: compiled code passes the address of a word of its own.
    unsafe { out.write(helpers::box_int(value)) };
}

unsafe extern "C" fn box_float_into(bits: u64, out: *mut *mut PyObject) {
    // SAFETY: as above.
    unsafe { out.write(helpers::box_float(f64::from_bits(bits))) };
}

/// `out[0]` is the value, `out[1]` whether it fits.
unsafe extern "C" fn unbox_int_into(object: *mut PyObject, out: *mut i64) {
    // SAFETY: as above; an exact int.
    unsafe {
        let fits = helpers::unbox_int(object, out);
        out.add(1).write(fits);
    }
}

unsafe extern "C" fn show_own_frame(tstate: ThreadState, frame: Frame, unit: *const UnitRecord) {
    // SAFETY: promised by compiled code.
    unsafe { enter::show_frame(tstate, frame, &*unit) };
}

unsafe extern "C" fn finish_inlined_frame(tstate: ThreadState, frame: Frame) {
    // SAFETY: promised by compiled code.
    unsafe { frames::finish_inlined_frame(tstate, frame) };
}

preserving!(
    /// `helpers::dealloc(object)`.
    dealloc_any => helpers::dealloc
);

/// `IMMORTALITY_BIT_MASK` of `lv_tag` (`pycore_long.h` of 3.14 and 3.15).
const IMMORTAL_TAG: u8 = 4;

/// `dealloc(object, interpreter)`: a float or an int of one digit goes onto the interpreter's free list at once, as
/// `_PyFloat_ExactDealloc` (`Objects/floatobject.c`) and `_PyLong_ExactDealloc` (`Objects/longobject.c`) do; everything else
/// is [`dealloc_any`]'s. Values of unknown type that die in hot loops are numbers more often than not, and saving sixteen
/// vector registers costs more than freeing one.
///
/// # Safety
/// Called by compiled code only, with an object without references and the interpreter state.
#[unsafe(naked)]
pub unsafe extern "C" fn dealloc() {
    core::arch::naked_asm!(
        "endbr64",
        "push rax",
        "mov rax, qword ptr [rip + PyFloat_Type@GOTPCREL]",
        "cmp [rdi + {ob_type}], rax",
        "jne 3f",
        "mov rax, [rsi + {size}]",
        "cmp rax, {limit}",
        "jge 2f",
        "inc rax",
        "mov [rsi + {size}], rax",
        "mov rax, [rsi + {head}]",
        "mov [rdi], rax",
        "mov [rsi + {head}], rdi",
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
        "mov rax, [rsi + {int_size}]",
        "cmp rax, {int_limit}",
        "jge 2f",
        "inc rax",
        "mov [rsi + {int_size}], rax",
        "mov rax, [rsi + {int_head}]",
        "mov [rdi], rax",
        "mov [rsi + {int_head}], rdi",
        "pop rax",
        "ret",
        "2:",
        "pop rax",
        "jmp {any}",
        ob_type = const layout::object::OB_TYPE,
        size = const layout::interpreter_state::FREELIST_FLOATS + layout::freelist::SIZE,
        head = const layout::interpreter_state::FREELIST_FLOATS + layout::freelist::HEAD,
        limit = const layout::freelist::MAX_FLOATS,
        tag = const layout::long::LV_TAG,
        digits = const layout::long::COMPACT_LIMIT,
        immortal = const IMMORTAL_TAG,
        int_size = const layout::interpreter_state::FREELIST_INTS + layout::freelist::SIZE,
        int_head = const layout::interpreter_state::FREELIST_INTS + layout::freelist::HEAD,
        int_limit = const layout::freelist::MAX_INTS,
        any = sym dealloc_any,
    )
}

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
    /// `show_frame(tstate, frame, record)`.
    show_frame => show_own_frame
);
preserving!(
    /// `box_int(value, out)`.
    box_int => box_int_into
);
preserving!(
    /// `box_float(bits, out)`.
    box_float => box_float_into
);
preserving!(
    /// `unbox_int(object, out)`: the value, and behind it whether it fits.
    unbox_int => unbox_int_into
);
preserving!(
    /// `finish_inlined_frame(tstate, frame)`.
    finish_frame => finish_inlined_frame
);
