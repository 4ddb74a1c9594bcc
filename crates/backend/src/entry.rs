//! Entering and leaving a function's unit, and its frame, which is only begun by the caller.
//!
//! A caller hands over a frame at the top of the data stack with arguments and function in it ([`crate::python_calls`]);
//! nothing else of it is filled in, and it is not linked. Compiled code does both (*shows* the frame) in front of the
//! first call that may look at it. So calls that need no frame pay for none.
//!
//! Buffer word 0 tells whether the frame was shown: 0 before that.

use crate::lower::Lowerer;
use crate::slots::shows_frames;
use coluber_ir::cfg::Cfg;
use coluber_ir::{Block, FrameStateId, Function, Op};
use cranelift_codegen::ir::{self as clif, BlockArg, InstBuilder, MemFlagsData, condcodes::IntCC, types};
use rustc_hash::FxHashMap as HashMap;

/// Buffer words, see the contract in ARCHITECTURE.md.
const RECORD_WORD: u32 = 1;
/// Not zero when the runtime wants something of the activation: the low half that it leaves after the present call, the
/// high half that its end is looked after.
pub(crate) const REQUEST_WORD: u32 = 2;
/// So much of the C stack may be in use without a closer look: see `enter_slowly` in the runtime.
const STACK_RESERVE: i64 = 2 << 20;

/// Whether the frame has been shown at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    No,
    Maybe,
    Yes,
    /// It is out of sight again (`EndFrame`).
    Ended,
}

impl Shown {
    fn join(self, other: Shown) -> Shown {
        if self == other { self } else { Shown::Maybe }
    }

    /// Behind an op.
    pub fn behind(self, function: &Function, op: &Op) -> Shown {
        match op {
            Op::EndFrame {} => Shown::Ended,
            _ if shows_frames(op) => Shown::Yes,
            // If the object dies, somebody may look.
            Op::Decref { value, .. } if self == Shown::No && !function.ty(*value).dies_silently() => Shown::Maybe,
            _ => self,
        }
    }
}

/// Whether the frame has been shown at the start of each block.
pub(crate) fn analyze(function: &Function, at_entry: Shown) -> HashMap<Block, Shown> {
    let order = Cfg::new(function).rpo().to_vec();
    let mut starts: HashMap<Block, Shown> = HashMap::from_iter([(function.entry(), at_entry)]);
    loop {
        let mut settled = true;
        for &block in &order {
            let Some(&start) = starts.get(&block) else { continue };
            let insts = &function.blocks[block].insts;
            let end = insts.iter().fold(start, |shown, inst| shown.behind(function, &function.insts[*inst].op));
            let Some(last) = insts.last() else { continue };
            function.insts[*last].op.for_each_target(|target| {
                let joined = starts.get(&target.block).map_or(end, |known| known.join(end));
                settled &= starts.insert(target.block, joined) == Some(joined);
            });
        }
        if settled {
            return starts;
        }
    }
}

impl Lowerer<'_> {
    /// What a function's unit does first: it makes sure that it may run at all, counts itself, and takes a level of
    /// recursion.
    pub fn enter_function(&mut self) {
        let layout = self.layout();
        let (tstate, frame, unit) = (self.tstate, self.frame, &self.addresses.unit);
        let offsets = unit.offsets;
        let (record, frame_words) = (unit.record, self.addresses.codes[0].1);
        let (slow, begin) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(slow);
        let version = self.builder.append_block_param(begin, types::I64);
        let record = self.iconst(record);
        let interpreter = self.load(types::I64, tstate, layout.tstate_interp);

        // Nobody watches, nothing is pending, and the unit is valid. (Units of code that a tool listens to are not.)
        let breaker = self.load(types::I64, tstate, layout.tstate_eval_breaker);
        let checked = self.load(types::I64, record, offsets.checked_version);
        let is_fine = self.builder.ins().icmp(IntCC::Equal, breaker, checked);
        self.go_on_if(is_fine, slow);
        let evaluator = self.load(types::I64, interpreter, layout.interpreter_eval_frame);
        let is_fine = self.is_zero(evaluator);
        self.go_on_if(is_fine, slow);
        // There is room on the data stack, on the C stack, and below the recursion limit.
        let reserved = self.load(types::I64, record, offsets.reserved_bytes);
        let end = self.builder.ins().iadd(frame, reserved);
        let limit = self.load(types::I64, tstate, layout.tstate_datastack_limit);
        let is_fine = self.builder.ins().icmp(IntCC::UnsignedLessThan, end, limit);
        self.go_on_if(is_fine, slow);
        let here = self.builder.ins().get_stack_pointer(types::I64);
        let below = self.builder.ins().iadd_imm_s(here, -STACK_RESERVE);
        let soft = self.load(types::I64, tstate, layout.tstate_c_stack_soft_limit);
        let is_fine = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, below, soft);
        self.go_on_if(is_fine, slow);
        let remaining = self.load(types::I32, tstate, layout.tstate_py_recursion_remaining);
        let is_fine = self.builder.ins().icmp_imm_s(IntCC::SignedGreaterThan, remaining, 1);
        self.builder.ins().brif(is_fine, begin, &[BlockArg::Value(checked)], slow, &[]);

        self.builder.switch_to_block(slow);
        let result = self.call_address(self.target.enter_slowly, &[tstate, frame, record], &[types::I64])[0];
        let goes_on = self.builder.ins().icmp_imm_s(IntCC::Equal, result, 1);
        let (again, finished) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(again);
        self.builder.set_cold_block(finished);
        self.builder.ins().brif(goes_on, again, &[], finished, &[]);
        self.builder.switch_to_block(finished);
        self.builder.ins().return_(&[result]);
        self.builder.switch_to_block(again);
        let checked = self.load(types::I64, record, offsets.checked_version);
        self.builder.ins().jump(begin, &[BlockArg::Value(checked)]);

        self.builder.switch_to_block(begin);
        self.add_to_word(types::I64, record, offsets.entries, 1);
        self.add_to_word(types::I32, tstate, layout.tstate_py_recursion_remaining, -1);
        self.buffer = (frame, 8 * frame_words as i32);
        self.store_own(version, self.eval_breaker);
        let zero = self.iconst(0);
        self.store_word(zero, 0);
    }

    fn go_on_if(&mut self, condition: clif::Value, otherwise: clif::Block) {
        let next = self.builder.create_block();
        self.builder.ins().brif(condition, next, &[], otherwise, &[]);
        self.builder.switch_to_block(next);
    }

    fn add_to_word(&mut self, ty: clif::Type, base: clif::Value, offset: i32, summand: i64) {
        let word = self.load(ty, base, offset);
        let word = self.builder.ins().iadd_imm_s(word, summand);
        self.store(word, base, offset);
    }

    /// Whether the frame has been shown, in a register. `shown` is `Maybe`.
    fn was_shown(&mut self) -> clif::Value {
        self.load_word(types::I64, 0)
    }

    /// Shows the frame, if it has not been. Slots and `instr_ptr` are the caller's business, and so is buffer word 0.
    pub fn ensure_shown(&mut self) {
        match self.shown {
            Shown::Yes => return,
            Shown::Ended => unreachable!("the verifier lets nothing look behind EndFrame"),
            Shown::No => self.fill_frame(),
            Shown::Maybe => {
                let was_shown = self.was_shown();
                let (fill, next) = (self.builder.create_block(), self.builder.create_block());
                self.builder.ins().brif(was_shown, next, &[], fill, &[]);
                self.builder.switch_to_block(fill);
                self.fill_frame();
                self.builder.ins().jump(next, &[]);
                self.builder.switch_to_block(next);
            }
        }
        self.shown = Shown::Yes;
    }

    fn fill_frame(&mut self) {
        let (layout, unit) = (self.layout(), &self.addresses.unit);
        let (tstate, frame) = (self.tstate, self.frame);
        let constants = [
            (layout.frame_executable, unit.code | layout.borrowed_bit as u64),
            (layout.frame_globals, unit.globals),
            (layout.frame_builtins, unit.builtins),
            (layout.frame_locals_dict, 0),
            (layout.frame_object, 0),
            // return_offset, owner, visited and their padding are one word.
            (layout.frame_return_offset, self.target.own_frame_word),
        ];
        let (total_bytes, record, slots) = (unit.offsets.total_bytes, unit.record, unit.slot_count);
        for (offset, value) in constants {
            let value = self.iconst(value);
            self.store(value, frame, offset);
        }
        let first_operand = i64::from(self.slot_offset(slots));
        let top = self.builder.ins().iadd_imm_s(frame, first_operand);
        self.store(top, frame, layout.frame_stackpointer);
        let previous = self.load(types::I64, tstate, layout.tstate_current_frame);
        self.store(previous, frame, layout.frame_previous);
        self.store(frame, tstate, layout.tstate_current_frame);
        let record = self.iconst(record);
        self.store_word(record, RECORD_WORD);
        let zero = self.iconst(0);
        self.store_word(zero, REQUEST_WORD);
        let total = self.load(types::I64, record, total_bytes);
        let end = self.builder.ins().iadd(frame, total);
        self.store(end, tstate, layout.tstate_datastack_top);
    }

    /// Exits if somebody holds a frame object of the frame, or if something has to be done when the activation ends.
    /// Behind it a function's unit has no frame object.
    pub fn check_frame(&mut self, state: FrameStateId) {
        if matches!(self.shown, Shown::No | Shown::Ended) {
            return;
        }
        let (frame, offset) = (self.frame, self.layout().frame_object);
        let object = self.load(types::I64, frame, offset);
        if !self.addresses.unit.is_function {
            // The frame is the interpreter's and goes on: it is left to it.
            return self.exit_if(object, state, "CheckFrame");
        }
        let requests = self.load_word(types::I64, REQUEST_WORD);
        let mut is_special = self.builder.ins().bor(object, requests);
        if self.shown == Shown::Maybe {
            // The words mean nothing while the frame is not shown.
            let was_shown = self.was_shown();
            let none = self.iconst(0);
            is_special = self.builder.ins().select(was_shown, is_special, none);
        }
        let (special, next) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(special);
        self.builder.ins().brif(is_special, special, &[], next, &[]);
        self.builder.switch_to_block(special);
        self.exit_if(requests, state, "CheckFrame");
        let count = self.load(types::I32, object, self.layout().ob_refcnt);
        let is_shared = self.builder.ins().icmp_imm_s(IntCC::SignedGreaterThan, count, 1);
        self.exit_if(is_shared, state, "CheckFrame");
        // One that only the frame has (a traceback was made and dropped) ends with it.
        self.call_preserving(self.target.drop_frame_object, &[frame]);
        let object = self.load(types::I64, frame, offset);
        self.exit_if(object, state, "CheckFrame");
        self.builder.ins().jump(next, &[]);
        self.builder.switch_to_block(next);
    }

    /// Takes the frame, of which there is no object, out of sight.
    pub fn end_frame(&mut self) {
        match self.shown {
            Shown::No | Shown::Ended => {}
            Shown::Yes => self.unlink_frame(),
            Shown::Maybe => {
                let was_shown = self.was_shown();
                let (shown, next) = (self.builder.create_block(), self.builder.create_block());
                self.builder.set_cold_block(shown);
                self.builder.ins().brif(was_shown, shown, &[], next, &[]);
                self.builder.switch_to_block(shown);
                self.unlink_frame();
                self.builder.ins().jump(next, &[]);
                self.builder.switch_to_block(next);
            }
        }
        self.shown = Shown::Ended;
    }

    fn unlink_frame(&mut self) {
        let layout = self.layout();
        let (tstate, frame) = (self.tstate, self.frame);
        let done = self.builder.create_block();
        if layout.tstate_last_profiled_frame != 0 {
            let last = self.load(types::I64, tstate, layout.tstate_last_profiled_frame);
            let is_profiled = self.builder.ins().icmp(IntCC::Equal, last, frame);
            let (profiled, plain) = (self.builder.create_block(), self.builder.create_block());
            self.builder.set_cold_block(profiled);
            self.builder.ins().brif(is_profiled, profiled, &[], plain, &[]);
            self.builder.switch_to_block(profiled);
            self.call_preserving(self.target.end_frame, &[tstate, frame]);
            self.builder.ins().jump(done, &[]);
            self.builder.switch_to_block(plain);
        }
        let previous = self.load(types::I64, frame, layout.frame_previous);
        self.store(previous, tstate, layout.tstate_current_frame);
        self.store(frame, tstate, layout.tstate_datastack_top);
        self.builder.ins().jump(done, &[]);
        self.builder.switch_to_block(done);
    }

    /// Exits if somebody turned to the frames during a call.
    pub fn check_observed(&mut self, state: FrameStateId) {
        let now = self.load(types::I64, self.tstate, self.layout().tstate_eval_breaker);
        let then = self.load_own(self.eval_breaker);
        let changed = self.builder.ins().bxor(now, then);
        let leaves = if self.shown == Shown::No {
            changed
        } else {
            let (base, start) = self.buffer;
            let asked = self.builder.ins().uload32(MemFlagsData::trusted(), base, start + 8 * REQUEST_WORD as i32);
            self.builder.ins().bor(changed, asked)
        };
        if self.shown != Shown::Maybe {
            return self.exit_if(leaves, state, "CheckObserved");
        }
        // The request means nothing while the frame is not shown.
        let was_shown = self.was_shown();
        let leaves = self.builder.ins().select(was_shown, leaves, changed);
        self.exit_if(leaves, state, "CheckObserved");
    }

    /// Returns from the unit.
    pub fn leave_with(&mut self, value: clif::Value) {
        if !self.addresses.unit.is_function {
            self.builder.ins().return_(&[value]);
            return;
        }
        match self.shown {
            Shown::No | Shown::Ended => self.return_unshown(value),
            Shown::Yes => self.return_shown(value),
            Shown::Maybe => {
                let was_shown = self.was_shown();
                let (shown, unshown) = (self.builder.create_block(), self.builder.create_block());
                self.builder.set_cold_block(shown);
                self.builder.ins().brif(was_shown, shown, &[], unshown, &[]);
                self.builder.switch_to_block(shown);
                self.return_shown(value);
                self.builder.switch_to_block(unshown);
                self.return_unshown(value);
            }
        }
    }

    fn return_unshown(&mut self, value: clif::Value) {
        let (tstate, offsets) = (self.tstate, self.addresses.unit.offsets);
        let offset = self.layout().tstate_py_recursion_remaining;
        self.add_to_word(types::I32, tstate, offset, 1);
        let record = self.iconst(self.addresses.unit.record);
        self.add_to_word(types::I64, record, offsets.returns, 1);
        self.builder.ins().return_(&[value]);
    }

    fn return_shown(&mut self, value: clif::Value) {
        let layout = self.layout();
        let (tstate, frame) = (self.tstate, self.frame);
        let object = self.load(types::I64, frame, layout.frame_object);
        let requests = self.load_word(types::I64, REQUEST_WORD);
        let special = self.builder.ins().bor(object, requests);
        let (plain, rare) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(rare);
        self.builder.ins().brif(special, rare, &[], plain, &[]);
        self.builder.switch_to_block(plain);
        if layout.tstate_last_profiled_frame != 0 {
            let last = self.load(types::I64, tstate, layout.tstate_last_profiled_frame);
            let is_other = self.builder.ins().icmp(IntCC::NotEqual, last, frame);
            self.go_on_if(is_other, rare);
        }
        let previous = self.load(types::I64, frame, layout.frame_previous);
        self.store(previous, tstate, layout.tstate_current_frame);
        self.store(frame, tstate, layout.tstate_datastack_top);
        self.return_unshown(value);
        self.builder.switch_to_block(rare);
        let buffer = self.word_address(0);
        let result = self.call_address(self.target.finish_call, &[tstate, frame, buffer, value], &[types::I64]);
        self.builder.ins().return_(&result);
    }
}
