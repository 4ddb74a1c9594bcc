//! Calls of helpers and of Python objects, and what has to be in memory around them.
//!
//! Around an *observable* call (one that may run Python) the frames say what the interpreter's would: `instr_ptr`, the
//! locals, the frames of inlined calls. See "The contract" in ARCHITECTURE.md.

use crate::ProfileSite;
use crate::lower::Lowerer;
use crate::slots::{own_state, show, visible};
use coluber_ir::helpers::{HelperFlag, HelperType};
use coluber_ir::{FrameStateId, Helper, Kind, Resume, SlotValue, Value};
use cranelift_codegen::ir::{self as clif, InstBuilder, condcodes::IntCC, types};

/// Bits of `lv_tag` that are the sign of an int, and what they are for zero (`pycore_long.h` of 3.14 and 3.15).
const SIGN_MASK: i64 = 3;
const SIGN_ZERO: i64 = 1;

impl Lowerer<'_> {
    /// Frame states from the innermost activation to the unit's own.
    pub fn chain(&self, state: FrameStateId) -> Vec<FrameStateId> {
        let mut chain = vec![self.function.leaving_state(state)];
        while let Some(caller) = self.function.states[*chain.last().expect("not empty")].caller {
            chain.push(caller);
        }
        chain
    }

    /// Brings the frames in memory up to the state. Returns the innermost frame.
    pub fn show_state(&mut self, state: FrameStateId) -> clif::Value {
        self.ensure_shown();
        let id = self.raise_exit_id(state);
        let mark = self.iconst(u64::from(id) + 1);
        self.store_word(mark, 0);
        let chain = self.chain(state);
        let own = *chain.last().expect("a chain is not empty");
        let frame = self.frame;
        self.store_instruction(frame, own);
        self.store_own_locals(own);
        self.store_unboxed(&chain, state);
        let mut previous = frame;
        let mut word = self.inlined_word;
        for &inlined in chain.iter().rev().skip(1) {
            previous = self.show_inlined(inlined, previous, word);
            word += self.addresses.codes[self.function.states[inlined].code].1;
        }
        if chain.len() > 1 {
            let offset = self.layout().tstate_current_frame;
            let tstate = self.tstate;
            self.store(previous, tstate, offset);
        }
        previous
    }

    /// Takes the frames of inlined calls out of sight again. Not in front of an exit that raises: the runtime takes
    /// over the frame objects that linked frames have.
    pub fn hide_state(&mut self, state: FrameStateId) {
        let chain = self.chain(state);
        if chain.len() == 1 {
            return;
        }
        let offset = self.layout().tstate_current_frame;
        let (tstate, frame) = (self.tstate, self.frame);
        self.store(frame, tstate, offset);
        let mut word = self.inlined_word;
        for &inlined in chain.iter().rev().skip(1) {
            let (base, start) = self.buffer;
            let object = self.load(types::I64, base, start + 8 * word as i32 + self.layout().frame_object);
            let (kept, next) = (self.builder.create_block(), self.builder.create_block());
            self.builder.set_cold_block(kept);
            self.builder.ins().brif(object, kept, &[], next, &[]);
            self.builder.switch_to_block(kept);
            let light = self.word_address(word);
            self.call_preserving(self.target.finish_inlined_frame, &[tstate, light]);
            self.builder.ins().jump(next, &[]);
            self.builder.switch_to_block(next);
            word += self.addresses.codes[self.function.states[inlined].code].1;
        }
    }

    fn store_instruction(&mut self, frame: clif::Value, state: FrameStateId) {
        let offset = match self.function.states[state].resume {
            Resume::At { offset, .. } | Resume::PushResult { offset, .. } | Resume::DropResult { offset, .. } => offset,
            Resume::Undone => unreachable!("a trial has no frame"),
        };
        self.store_offset(frame, state, offset);
    }

    /// The same in front of a death, whose state is the one behind the instruction that it happens in.
    fn store_dying_instruction(&mut self, frame: clif::Value, own: FrameStateId, state: FrameStateId) {
        match self.source {
            (code, offset) if own == state && code as usize == self.function.states[own].code => {
                self.store_offset(frame, own, offset);
            }
            _ => self.store_instruction(frame, own),
        }
    }

    fn store_offset(&mut self, frame: clif::Value, state: FrameStateId, offset: u32) {
        let data = &self.function.states[state];
        let address = self.addresses.codes[data.code].0 + 2 * u64::from(offset);
        let address = self.iconst(address);
        self.store(address, frame, self.layout().frame_instr_ptr);
    }

    /// Stores the locals of the unit's own frame that changed since they were last stored in this block.
    fn store_own_locals(&mut self, state: FrameStateId) {
        let locals = self.function.states[state].locals.clone();
        for (index, slot) in locals.into_iter().enumerate() {
            let content = self.visible(slot);
            if !show(&mut self.slot_memory, index, content) {
                continue;
            }
            let word = self.stack_reference(content);
            let offset = self.slot_offset(index as u32);
            let frame = self.frame;
            self.store(word, frame, offset);
        }
    }

    fn visible(&self, slot: SlotValue) -> Option<Value> {
        visible(self.function, slot)
    }

    /// The death of an object that may run Python. The frame is at the instruction of the state, the runtime shows it; unboxed
    /// locals are not described. What finalizers see of other locals is as old as the last call.
    pub fn dealloc_seen(&mut self, object: clif::Value, state: FrameStateId) {
        self.clear_stale_slots(state);
        let frame = self.frame;
        self.store_dying_instruction(frame, own_state(self.function, state), state);
        if self.addresses.unit.is_function {
            let record = self.iconst(self.addresses.unit.record);
            self.call_preserving(self.target.dealloc_in_call, &[object, frame, record]);
        } else {
            let buffer = self.word_address(0);
            self.call_preserving(self.target.dealloc_in_loop, &[object, buffer]);
        }
    }

    /// Slots that name objects given up since they were stored are cleared, those that may name anything are brought up to
    /// date.
    fn clear_stale_slots(&mut self, state: FrameStateId) {
        let own = own_state(self.function, state);
        let frame = self.frame;
        let mut alive = rustc_hash::FxHashSet::default();
        self.function.for_each_state_value(state, |value| {
            alive.insert(self.function.root(value));
        });
        let locals = self.function.states[own].locals.clone();
        for (index, slot) in locals.into_iter().enumerate() {
            let word = match self.slot_memory.get(&index) {
                Some(None) => continue,
                Some(Some(value)) if alive.contains(value) => continue,
                Some(Some(_)) => self.stack_reference(None),
                None => {
                    let content = self.visible(slot);
                    self.stack_reference(content)
                }
            };
            let offset = self.slot_offset(index as u32);
            self.store(word, frame, offset);
        }
    }

    /// The bits of a borrowed stack reference to an object, or of the NULL reference.
    fn stack_reference(&mut self, content: Option<Value>) -> clif::Value {
        match content {
            // NULL with the borrowed bit is the NULL reference.
            Some(value) => {
                let object = self.value(value);
                let bit = self.layout().borrowed_bit;
                self.builder.ins().bor_imm_s(object, bit)
            }
            None => self.iconst(self.layout().null_stackref as u64),
        }
    }

    /// Puts what locals are made of that are no objects (numbers in registers, the fields of objects that do not exist)
    /// where observers find it. `chain` are the activations of `state`.
    fn store_unboxed(&mut self, chain: &[FrameStateId], state: FrameStateId) {
        let function = self.function;
        let mut shown = Vec::new();
        for slot in chain.iter().flat_map(|state| &function.states[*state].locals) {
            if let SlotValue::Value(value) = slot
                && (!function.ty(*value).is_object() || function.is_virtual(function.root(*value)))
            {
                function.for_each_real_value(*value, &mut |value| shown.push(function.root(value)));
            }
        }
        let words = self.state_words[&state].iter();
        let words: Vec<_> = words.filter(|(_, value)| shown.contains(value)).copied().collect();
        self.store_words(&words);
    }

    /// Fills the frame of an inlined call at a word of the buffer; returns its address.
    fn show_inlined(&mut self, state: FrameStateId, previous: clif::Value, word: u32) -> clif::Value {
        let layout = self.layout();
        let data = self.function.states[state].clone();
        let frame = self.word_address(word);
        let function = data.function.expect("an inlined activation has a function");
        let coluber_ir::ObjectValue::Function(facts) = self.function.objects.get(function).value.clone() else {
            unreachable!("an inlined activation runs a function")
        };
        let constants = [
            (layout.frame_executable, self.addresses.object(facts.code_object) | layout.borrowed_bit as u64),
            (layout.frame_function, self.addresses.object(function) | layout.borrowed_bit as u64),
            (layout.frame_globals, self.addresses.object(facts.globals)),
            (layout.frame_builtins, self.addresses.object(facts.builtins)),
            (layout.frame_locals_dict, 0),
            (layout.frame_object, 0),
            // return_offset, owner, visited and their padding are one word.
            (layout.frame_return_offset, self.target.inlined_frame_word),
        ];
        for (offset, value) in constants {
            let value = self.iconst(value);
            self.store(value, frame, offset);
        }
        self.store(previous, frame, layout.frame_previous);
        self.store_instruction(frame, state);
        let end = i64::from(self.slot_offset(data.locals.len() as u32));
        let top = self.builder.ins().iadd_imm_s(frame, end);
        self.store(top, frame, layout.frame_stackpointer);
        for (index, slot) in data.locals.iter().enumerate() {
            let content = self.visible(*slot);
            let reference = self.stack_reference(content);
            let offset = self.slot_offset(index as u32);
            self.store(reference, frame, offset);
        }
        frame
    }

    /// The address of a new site of the profile, if there is room for one.
    pub fn profile_site(&mut self, code: u32, offset: u32, is_call: bool) -> Option<clif::Value> {
        let site = self.profile_sites.len() as u32;
        if site >= self.addresses.profile_sites {
            return None;
        }
        self.profile_sites.push(ProfileSite { code, offset, is_call });
        Some(self.iconst(self.addresses.profile + 16 * u64::from(site)))
    }

    /// Stores arguments where a C function reads them: the address of the first, and how many there are.
    pub fn arguments_in_memory(&mut self, arguments: &[Value]) -> [clif::Value; 2] {
        let slot = self.arguments;
        for (index, argument) in arguments.iter().enumerate() {
            let value = self.value(*argument);
            self.builder.ins().stack_store(types::I64, value, slot, 8 * index as i32);
        }
        [self.builder.ins().stack_addr(types::I64, slot, 0), self.iconst(arguments.len() as u64)]
    }

    /// Calls a helper.
    pub fn invoke(&mut self, helper: Helper, arguments: &[Value], state: FrameStateId) -> Option<clif::Value> {
        if let Some(result) = self.invoke_in_line(helper, arguments) {
            return Some(result);
        }
        let observable = helper.flag() == HelperFlag::python;
        let needs_frame = observable || helper.takes_frame();
        let frame = if needs_frame { self.show_state(state) } else { self.frame };
        let mut operands = Vec::new();
        let kinds = helper.arguments();
        if helper.takes_frame() {
            operands.push(frame);
        }
        let plain: Vec<HelperType> =
            kinds.iter().copied().filter(|kind| !matches!(kind, HelperType::frame | HelperType::out)).collect();
        if matches!(plain.first(), Some(HelperType::V | HelperType::SV)) {
            operands.extend(self.arguments_in_memory(arguments));
        } else {
            operands.extend(arguments.iter().map(|argument| self.value(*argument)));
        }
        if helper.has_outputs() {
            operands.push(self.word_address(self.output_word));
        }
        let returns: &[clif::Type] = match helper.result() {
            HelperType::X => &[],
            HelperType::F => &[types::F64],
            _ => &[types::I64],
        };
        let result = self.call_address(self.target.helper(helper), &operands, returns).first().copied();
        let result = self.check_result(helper, result, state);
        if needs_frame {
            self.hide_state(state);
        }
        result
    }

    /// The result of a helper that is no more than a look at a field of an object whose type is known.
    fn invoke_in_line(&mut self, helper: Helper, arguments: &[Value]) -> Option<clif::Value> {
        if !matches!(helper, Helper::BuiltinLength | Helper::BuiltinIsTrue) {
            return None;
        }
        let kind = self.function.ty(arguments[0]).kind()?;
        let layout = self.layout();
        if (helper, kind) == (Helper::BuiltinIsTrue, Kind::Int) {
            let object = self.value(arguments[0]);
            let tag = self.load(types::I64, object, layout.long_tag);
            let sign = self.builder.ins().band_imm_s(tag, SIGN_MASK);
            return Some(self.builder.ins().icmp_imm_s(IntCC::NotEqual, sign, SIGN_ZERO));
        }
        let offset = match kind {
            Kind::Str => layout.str_length,
            Kind::Dict => layout.dict_used,
            Kind::Set | Kind::FrozenSet => layout.set_used,
            Kind::Bytes | Kind::ByteArray | Kind::Tuple | Kind::List => layout.tuple_size,
            _ => return None,
        };
        let object = self.value(arguments[0]);
        let length = self.load(types::I64, object, offset);
        Some(match helper {
            Helper::BuiltinLength => length,
            _ => self.builder.ins().icmp_imm_s(IntCC::NotEqual, length, 0),
        })
    }

    /// Leaves if the helper raised; its result as a value of the IR.
    fn check_result(
        &mut self,
        helper: Helper,
        result: Option<clif::Value>,
        state: FrameStateId,
    ) -> Option<clif::Value> {
        match helper.result() {
            HelperType::O => {
                let value = result.expect("an object is returned");
                if helper.flag() != HelperFlag::quiet {
                    let failed = self.is_zero(value);
                    self.raise_if(failed, state);
                }
                Some(value)
            }
            HelperType::B => {
                let value = result.expect("a truth value is returned");
                if helper.flag() != HelperFlag::quiet {
                    let failed = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, value, 0);
                    self.raise_if(failed, state);
                }
                Some(self.builder.ins().ireduce(types::I8, value))
            }
            HelperType::U => {
                let value = result.expect("a status is returned");
                let failed = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, value, 0);
                self.raise_if(failed, state);
                None
            }
            HelperType::X => {
                let exit = self.raise_block(state);
                self.builder.ins().jump(exit, &[]);
                let dead = self.builder.create_block();
                self.builder.switch_to_block(dead);
                None
            }
            _ => result,
        }
    }
}
