//! What the back end is told of the process it compiles for, and what it returns.

use coluber_ir::{Helper, Kind, ObjectId, exit_table::PackedExits};

/// Addresses and offsets of the running interpreter, gathered by the runtime. All offsets in bytes.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Address of each helper, by number.
    pub helpers: Vec<u64>,
    /// Address of `leave(tstate, frame, buffer, exit_id) -> u64`.
    pub leave: u64,
    /// The same for a function's unit: `leave_call(tstate, frame, buffer, exit_id, record) -> object or NULL` ends the call.
    pub leave_call: u64,
    /// Address of `enter_slowly(tstate, frame, record) -> u64`: something speaks against entering. 1: not really; else the
    /// call is done, and that is its result.
    pub enter_slowly: u64,
    /// Address of `drop_frame_object(frame)`: the frame's own is the only reference to its frame object, which it gives up;
    /// preserves registers.
    pub drop_frame_object: u64,
    /// Address of `end_frame(tstate, frame)`: unlinks a frame that a profiler has seen last, and gives its room back; preserves
    /// registers.
    pub end_frame: u64,
    /// Address of `finish_call(tstate, frame, buffer, value) -> object or NULL`: a call returns of which somebody has the frame.
    pub finish_call: u64,
    /// Address of `catch(tstate, frame, buffer, exit_id) -> exception`: takes the exception that was raised in that exit's
    /// state; the words that its inlined frames need are filled.
    pub catch: u64,
    /// Address of `dealloc(object)`: called when the reference count of an object reached zero whose death nobody sees. This
    /// and the other functions said to preserve registers have Cranelift's `PreserveAll` convention. They take few
    /// arguments: each is a register that the code around cannot use.
    pub dealloc: u64,
    /// The same for other objects: `dealloc_in_call(object, frame, record)` shows the frame of a function's unit first. In a
    /// debug build it drops a reference.
    pub dealloc_in_call: u64,
    /// `dealloc_in_loop(object, buffer)`: the same for a loop's unit.
    pub dealloc_in_loop: u64,
    /// Where functions that preserve registers leave what they return. Nobody else comes by before it is read: the thread
    /// keeps the GIL.
    pub results: u64,
    /// Address of `box_int(i64) -> object`, for when the inline path does not apply; preserves registers.
    pub box_int: u64,
    /// Address of `box_float(bits) -> object`; preserves registers.
    pub box_float: u64,
    /// Address of `make_tuple(items, count) -> object`, which takes the references and does not fail.
    pub make_tuple: u64,
    /// Address of `make_instance(class) -> object`: a new instance without attributes; does not fail.
    pub make_instance: u64,
    /// Address of `make_iterator(walker, parts) -> object`, which takes the references and does not fail.
    pub make_iterator: u64,
    /// Address of `unbox_int(object) -> (value, fits)`: the value of an int of more than one digit, and 1 if it fits 64 bits,
    /// else 0; preserves registers.
    pub unbox_int: u64,
    /// Address of `float_power(f64, f64) -> f64`, and the bits of the NaN it returns where Python would not return a
    /// float.
    pub float_power: u64,
    /// See `float_power`.
    pub power_exit_bits: u64,
    /// Address of `record_first_store(inline values, index)`; preserves registers.
    pub record_first_store: u64,
    /// Address of `finish_inlined_frame(tstate, frame)`: somebody made a frame object of an inlined call's
    /// frame; preserves registers.
    pub finish_inlined_frame: u64,
    /// What the word with return offset, owner and mark holds in the frame of an inlined call.
    pub inlined_frame_word: u64,
    /// The same in the unit's own frame.
    pub own_frame_word: u64,
    /// Address of a function that does what `PyObject_Vectorcall` does.
    pub vectorcall: u64,
    /// Address of `note_callee(site, callable)`: notes for the next version what is called.
    pub note_callee: u64,
    /// Address of `call_moving(callable, arguments, count and flag, names, places)`: the same, and arguments whose bit is set
    /// in `places` are given away.
    pub call_moving: u64,
    /// Address of each builtin type by [`Kind`] number.
    pub types: Vec<u64>,
    /// Where the mask of the dict watchers that are not ours stands.
    pub foreign_dict_watchers: u64,
    /// Where the address of `array.array` stands once it is known.
    pub array_type_cell: u64,
    /// Addresses of the `True`, `False` and `None` objects.
    pub true_object: u64,
    /// See `true_object`.
    pub false_object: u64,
    /// See `true_object`.
    pub none_object: u64,
    /// The mark `IterNext` returns at the end.
    pub exhausted_mark: u64,
    /// Address of the small int objects' table, size of one, lowest and highest value.
    pub small_ints: (u64, u32, i64, i64),
    /// Whether reference counts must go through exported functions (debug builds); else inline.
    pub debug_refcounts: bool,
    /// Addresses of `incref(object)` and `decref(object)` for debug builds.
    pub incref: u64,
    /// See `incref`.
    pub decref: u64,
    /// A reference count, as a signed 32-bit number at `ob_refcnt`, below this bound is mortal (`incref` test), see
    /// the `cpython` crate's layout.
    pub layout: Layout,
}

/// Byte offsets of fields compiled code reads and writes.
#[allow(missing_docs)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub ob_refcnt: i32,
    pub ob_type: i32,
    /// 16 bits, the lowest of which says that the object is immortal.
    pub ob_flags: i32,
    pub float_value: i32,
    pub long_tag: i32,
    pub long_digit: i32,
    pub list_size: i32,
    pub list_items: i32,
    pub tuple_size: i32,
    pub tuple_items: i32,
    pub str_length: i32,
    pub dict_used: i32,
    pub set_used: i32,
    pub bytes_data: i32,
    pub bytearray_start: i32,
    pub array_items: i32,
    pub array_description: i32,
    pub cell_ref: i32,
    pub dict_keys: i32,
    pub dict_watchers: i32,
    pub type_version_tag: i32,
    pub type_cached_keys: i32,
    pub keys_version: i32,
    /// Logarithms of the sizes and the kind: three bytes.
    pub keys_shape: i32,
    /// `valid` byte within inline values.
    pub values_valid: i32,
    /// Their `capacity` and `size` bytes.
    pub values_capacity: i32,
    /// See `values_capacity`.
    pub values_size: i32,
    /// Managed dict pointer, from the object (negative).
    pub managed_dict: i32,
    pub function_code: i32,
    pub range_iterator_start: i32,
    pub range_iterator_step: i32,
    pub range_iterator_length: i32,
    pub sequence_iterator_index: i32,
    pub enumerate_index: i32,
    pub sequence_iterator_sequence: i32,
    pub frame_executable: i32,
    pub frame_previous: i32,
    pub frame_function: i32,
    pub frame_globals: i32,
    pub frame_builtins: i32,
    pub frame_locals_dict: i32,
    pub frame_object: i32,
    pub frame_instr_ptr: i32,
    pub frame_stackpointer: i32,
    pub frame_return_offset: i32,
    pub frame_owner: i32,
    pub frame_visited: i32,
    pub frame_localsplus: i32,
    pub tstate_current_frame: i32,
    pub tstate_eval_breaker: i32,
    pub tstate_interp: i32,
    pub tstate_datastack_top: i32,
    pub tstate_datastack_limit: i32,
    pub tstate_c_stack_soft_limit: i32,
    pub tstate_py_recursion_remaining: i32,
    /// 0 where there is none.
    pub tstate_last_profiled_frame: i32,
    pub interpreter_eval_frame: i32,
    pub tstate_exc_info: i32,
    /// The exception that is being handled, from what `exc_info` points to.
    pub exc_item_value: i32,
    pub code_bytes: i32,
    /// `gi_frame_state`, from the generator's frame (negative), and what it is set to by `yield` and `yield from`.
    pub generator_state_from_frame: i32,
    pub generator_suspended: i64,
    pub generator_suspended_yield_from: i64,
    /// Freelists, from the interpreter state: (head pointer, size).
    pub float_freelist: (i32, i32),
    pub int_freelist: (i32, i32),
    /// Longest freelist.
    pub freelist_limit: i32,
    /// Bits of the NULL stack reference.
    pub null_stackref: i64,
    /// Bit that marks a borrowed stack reference.
    pub borrowed_bit: i64,
    /// Bits of `eval_breaker` that are pending work; the others are the version.
    pub pending_bits: i64,
}

/// The unit that is compiled.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnitAddresses {
    /// Whether it is entered at its function's start, by a call.
    pub is_function: bool,
    /// Its record.
    pub record: u64,
    /// Where fields of the record are.
    pub offsets: RecordOffsets,
    /// Its own code object.
    pub code: u64,
    /// Globals of its code.
    pub globals: u64,
    /// Builtins of its code.
    pub builtins: u64,
    /// Slots of its frame in front of the operand stack.
    pub slot_count: u32,
}

/// Byte offsets of fields of a unit's record.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct RecordOffsets {
    pub checked_version: i32,
    pub entries: i32,
    pub returns: i32,
    /// What the activation takes of the data stack.
    pub total_bytes: i32,
    /// What must be free of it.
    pub reserved_bytes: i32,
}

/// Resolves the unit's constants to addresses. The runtime fills it from the object pool.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// The unit itself.
    pub unit: UnitAddresses,
    /// Address of each object of the unit's table, by [`ObjectId`] number.
    pub objects: Vec<u64>,
    /// Address of the word that is not zero as soon as an invariant of the unit is broken.
    pub invalid_flag: u64,
    /// Address of the unit's operand profile: for each site two version tags (32 bits) and a count (64 bits).
    pub profile: u64,
    /// How many sites it has room for.
    pub profile_sites: u32,
    /// For each code of the snapshot: address of its first instruction, `co_framesize` in words.
    pub codes: Vec<(u64, u32)>,
    /// For functions of the table, by [`ObjectId`] number: the address of the word that holds the address of what a call of
    /// their code enters, `fn(tstate, frame, that address) -> object or NULL`. 0 for other objects.
    pub links: Vec<u64>,
    /// For C functions of the table that are called themselves, by [`ObjectId`] number.
    pub natives: Vec<NativeAddresses>,
}

/// A C function.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeAddresses {
    /// Its address.
    pub function: u64,
    /// Self, where it is none of the arguments.
    pub receiver: u64,
}

impl Addresses {
    /// The link of a function.
    pub fn link(&self, id: ObjectId) -> u64 {
        self.links[id.0 as usize]
    }

    /// Address of an object.
    pub fn object(&self, id: ObjectId) -> u64 {
        self.objects[id.0 as usize]
    }
}

impl Target {
    /// Address of a helper.
    pub fn helper(&self, helper: Helper) -> u64 {
        self.helpers[helper as usize]
    }

    /// Address of a builtin type.
    pub fn type_address(&self, kind: Kind) -> u64 {
        self.types[kind as usize]
    }
}

/// An instruction where something is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileSite {
    /// Index of its code.
    pub code: u32,
    /// Its bytecode offset.
    pub offset: u32,
    /// Whether its callee is noted, not the classes of its operands.
    pub is_call: bool,
}

/// Machine code of a unit.
#[derive(Clone, Debug)]
pub struct CompiledCode {
    /// Position-independent bytes; the entry is at offset 0.
    pub bytes: Vec<u8>,
    /// Alignment the code needs, in bytes.
    pub alignment: u32,
    /// What the runtime needs to leave the code.
    pub exits: PackedExits,
    /// Words behind the exit words that the unit needs on the data stack (outputs, inlined frames).
    pub extra_words: u32,
    /// Words of the largest frame that it begins behind all that, when it calls a function.
    pub callee_words: u32,
    /// Word of the buffer where helpers put outputs (see `TakeOutput`).
    pub output_word: u32,
    /// Cranelift's text of the code, when asked for.
    pub clif: Option<String>,
    /// Sites of the profile.
    pub profile_sites: Vec<ProfileSite>,
    /// Disassembly-friendly list of (code offset, code index, bytecode offset).
    pub sources: Vec<(u32, u32, u32)>,
}
