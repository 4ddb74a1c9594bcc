//! One arm per op.

use crate::ProfileSite;
use crate::compile::Options;
use crate::entry::{REQUEST_WORD, Shown};
use crate::exits::{Described, PendingExit, StateWords};
use crate::integers::{int_condition, naturals};
use crate::overwrites::Overwrites;
use crate::slots::Slots;
use crate::target::{Addresses, Layout, Target};
use coluber_ir::exit_table::{ExitKind, ExitTable};
use coluber_ir::ops::IteratorField;
use coluber_ir::{Block, BlockCall, Comparison, FrameStateId, Function, Kind, ObjectId, Op, Overflow, Type, Value};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{
    self as clif, AbiParam, BlockArg, InstBuilder, MemFlagsData, Signature, SourceLoc, StackSlotData, StackSlotKind,
    types,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_entity::{EntitySet, SecondaryMap};
use cranelift_frontend::FunctionBuilder;
use rustc_hash::FxHashMap as HashMap;

/// State of lowering one function.
pub(crate) struct Lowerer<'a> {
    pub function: &'a Function,
    pub target: &'a Target,
    pub addresses: &'a Addresses,
    pub options: &'a Options,
    pub builder: FunctionBuilder<'a>,
    pub tstate: clif::Value,
    pub frame: clif::Value,
    /// The buffer's address: of a function's unit it lies behind the frame, so that it takes no register of its own.
    pub buffer: (clif::Value, i32),
    /// Where the unit keeps the `eval_breaker` that it was entered with: it is looked at all over the unit and not worth a
    /// register.
    pub eval_breaker: clif::StackSlot,
    /// Where an exit puts its number before it goes to the blocks that it shares with others. A place on the machine stack
    /// is cheaper to allocate registers for than a parameter of those blocks or a word of the buffer.
    pub exit_id: clif::StackSlot,
    /// Whether the own frame has been shown at the present point.
    pub shown: Shown,
    values: SecondaryMap<Value, Option<clif::Value>>,
    blocks: HashMap<Block, clif::Block>,
    /// Integer registers that are never negative.
    pub naturals: EntitySet<Value>,
    pub exits: ExitTable,
    pub exit_blocks: HashMap<(FrameStateId, ExitKind, &'static str), (clif::Block, u32)>,
    pub pending_exits: Vec<PendingExit>,
    pub state_words: HashMap<FrameStateId, StateWords>,
    /// Frames of the states described so far.
    pub described: HashMap<FrameStateId, Described>,
    pub first_exit_word: u32,
    pub output_word: u32,
    pub inlined_word: u32,
    pub arguments: clif::StackSlot,
    preserving: HashMap<usize, clif::SigRef>,
    signatures: HashMap<(Vec<clif::Type>, Vec<clif::Type>), clif::SigRef>,
    /// What the memory of the local slots of the unit's own frame holds, see `slots`.
    pub slot_memory: Slots,
    /// Code and code unit of the bytecode instruction that is being lowered.
    pub source: (u32, u32),
    pub forced: u64,
    /// Where an exception of the instruction that is being lowered goes, if it stays in the unit.
    pub handler: Option<clif::Block>,
    /// Ids of the exits that describe states whose exceptions stay in the unit.
    pub caught_exits: HashMap<FrameStateId, u32>,
    /// Whether the frame is that of a generator.
    pub is_generator: bool,
    pub profile_sites: Vec<ProfileSite>,
}

/// What lowering produced besides the Cranelift function.
pub(crate) struct Lowered {
    pub profile_sites: Vec<ProfileSite>,
    pub exits: ExitTable,
    pub output_word: u32,
}

impl<'a> Lowerer<'a> {
    pub fn new(
        function: &'a Function,
        target: &'a Target,
        addresses: &'a Addresses,
        options: &'a Options,
        mut builder: FunctionBuilder<'a>,
    ) -> Self {
        let arguments = builder.create_sized_stack_slot(StackSlotData::new(
            StackSlotKind::ExplicitSlot,
            8 * (most_arguments(function) + 2),
            3,
        ));
        let mut word = || builder.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 8, 3));
        let (eval_breaker, exit_id) = (word(), word());
        let zero = clif::Value::from_u32(0);
        let output_word = REQUEST_WORD + 1;
        let inlined_word = output_word + output_words(function);
        let first_exit_word = inlined_word + inlined_words(function, addresses);
        Lowerer {
            function,
            target,
            addresses,
            options,
            builder,
            tstate: zero,
            frame: zero,
            buffer: (zero, 0),
            eval_breaker,
            exit_id,
            shown: Shown::Yes,
            values: SecondaryMap::new(),
            blocks: HashMap::default(),
            naturals: naturals(function),
            exits: ExitTable { exits: Vec::new(), buffer_words: first_exit_word },
            exit_blocks: HashMap::default(),
            pending_exits: Vec::new(),
            state_words: HashMap::default(),
            described: HashMap::default(),
            first_exit_word,
            output_word,
            inlined_word,
            arguments,
            preserving: HashMap::default(),
            signatures: HashMap::default(),
            slot_memory: HashMap::default(),
            source: (0, 0),
            forced: 0,
            handler: None,
            caught_exits: HashMap::default(),
            is_generator: function.insts.values().any(|data| matches!(data.op, Op::IsSuspendedAt { .. })),
            profile_sites: Vec::new(),
        }
    }

    pub fn layout(&self) -> &'a Layout {
        &self.target.layout
    }

    pub fn run(mut self, configuration: TargetFrontendConfig) -> Result<Lowered, String> {
        let entry = self.builder.create_block();
        self.builder.append_block_params_for_function_params(entry);
        self.builder.switch_to_block(entry);
        let parameters = self.builder.block_params(entry).to_vec();
        (self.tstate, self.frame) = (parameters[0], parameters[1]);
        self.buffer = (parameters[2], 0);
        if self.addresses.unit.is_function {
            self.shown = Shown::No;
            self.enter_function();
        } else {
            let breaker = self.load(types::I64, self.tstate, self.layout().tstate_eval_breaker);
            let version_bits = !self.layout().pending_bits;
            let version = self.builder.ins().band_imm_s(breaker, version_bits);
            self.store_own(version, self.eval_breaker);
        }
        for &block in &self.function.layout {
            let lowered = self.builder.create_block();
            self.blocks.insert(block, lowered);
            if self.function.blocks[block].cold {
                self.builder.set_cold_block(lowered);
            }
            for &parameter in &self.function.blocks[block].parameters {
                let ty = representation(self.function.ty(parameter));
                let value = self.builder.append_block_param(lowered, ty);
                self.values[parameter] = Some(value);
            }
        }
        let first = self.blocks[&self.function.entry()];
        self.builder.ins().jump(first, &[]);
        let order = coluber_ir::cfg::Cfg::new(self.function).rpo().to_vec();
        let mut slots = crate::slots::analyze(self.function);
        let shown = crate::entry::analyze(self.function, self.shown);
        // A debug interpreter counts allocations.
        let overwrites =
            if self.target.debug_refcounts { Overwrites::default() } else { crate::overwrites::analyze(self.function) };
        for block in order {
            self.builder.switch_to_block(self.blocks[&block]);
            self.slot_memory = slots.remove(&block).unwrap_or_default();
            self.shown = shown.get(&block).copied().unwrap_or(Shown::Maybe);
            let raising = self.function.raising_inst(block);
            for &inst in &self.function.blocks[block].insts {
                let data = &self.function.insts[inst];
                let handler = raising.filter(|raising| *raising == inst).map(|_| self.function.successors(block)[1]);
                self.handler = handler.map(|block| self.blocks[&block]);
                self.source = data.source;
                self.builder.set_srcloc(SourceLoc::new((data.source.0.min(0xfff) << 20) | (data.source.1 & 0xf_ffff)));
                if overwrites.absorbed.contains(&inst) {
                    continue;
                }
                if let Some(raw) = overwrites.stores.get(&inst) {
                    self.overwrite(&data.op, *raw);
                    continue;
                }
                let result = self.lower(&data.op)?;
                self.shown = self.shown.behind(self.function, &data.op);
                if let Some(value) = data.result {
                    if let Op::LoadArgument { slot } | Op::LoadLocal { slot } = data.op {
                        self.slot_memory.insert(slot as usize, Some(value));
                        self.slot_memory.insert(crate::slots::untouched(slot as usize), Some(value));
                    }
                    self.values[value] = result;
                }
            }
        }
        self.builder.set_srcloc(SourceLoc::default());
        self.finish_exits();
        self.builder.seal_all_blocks();
        self.builder.finalize(configuration);
        Ok(Lowered { profile_sites: self.profile_sites, exits: self.exits, output_word: self.output_word })
    }

    // ---- small tools

    pub fn value(&self, value: Value) -> clif::Value {
        match self.values[value] {
            Some(lowered) => lowered,
            None => unreachable!("{value} is used before it is defined in {}", self.function.name),
        }
    }

    pub fn load(&mut self, ty: clif::Type, base: clif::Value, offset: i32) -> clif::Value {
        self.builder.ins().load(ty, MemFlagsData::trusted(), base, offset)
    }

    pub fn store(&mut self, value: clif::Value, base: clif::Value, offset: i32) {
        self.builder.ins().store(MemFlagsData::trusted(), value, base, offset);
    }

    pub fn load_word(&mut self, ty: clif::Type, word: u32) -> clif::Value {
        let (base, offset) = self.buffer;
        self.load(ty, base, offset + 8 * word as i32)
    }

    pub fn store_word(&mut self, value: clif::Value, word: u32) {
        let (base, offset) = self.buffer;
        self.store(value, base, offset + 8 * word as i32);
    }

    /// Stores into a word of the unit's machine stack.
    pub fn store_own(&mut self, value: clif::Value, slot: clif::StackSlot) {
        self.builder.ins().stack_store(types::I64, value, slot, 0);
    }

    pub fn load_own(&mut self, slot: clif::StackSlot) -> clif::Value {
        self.builder.ins().stack_load(types::I64, types::I64, slot, 0)
    }

    /// Address of a word of the buffer.
    pub fn word_address(&mut self, word: u32) -> clif::Value {
        match self.buffer {
            (base, 0) if word == 0 => base,
            (base, offset) => self.builder.ins().iadd_imm_s(base, i64::from(offset) + 8 * i64::from(word)),
        }
    }

    pub fn iconst(&mut self, value: u64) -> clif::Value {
        self.builder.ins().iconst(types::I64, value as i64)
    }

    pub fn signature(&mut self, parameters: &[clif::Type], returns: &[clif::Type]) -> clif::SigRef {
        let key = (parameters.to_vec(), returns.to_vec());
        if let Some(signature) = self.signatures.get(&key) {
            return *signature;
        }
        let mut signature = Signature::new(CallConv::SystemV);
        signature.params.extend(parameters.iter().map(|ty| AbiParam::new(*ty)));
        signature.returns.extend(returns.iter().map(|ty| AbiParam::new(*ty)));
        let reference = self.builder.import_signature(signature);
        self.signatures.insert(key, reference);
        reference
    }

    /// Calls a C function by its address.
    pub fn call_address(
        &mut self,
        address: u64,
        arguments: &[clif::Value],
        returns: &[clif::Type],
    ) -> Vec<clif::Value> {
        let kinds: Vec<clif::Type> = arguments.iter().map(|value| self.builder.func.dfg.value_type(*value)).collect();
        let signature = self.signature(&kinds, returns);
        let callee = self.iconst(address);
        let call = self.builder.ins().call_indirect(signature, callee, arguments);
        self.builder.inst_results(call).to_vec()
    }

    /// Calls a runtime function that preserves all registers and returns nothing: for rare calls, so that the hot path
    /// keeps its values in registers.
    pub fn call_preserving(&mut self, address: u64, arguments: &[clif::Value]) {
        let count = arguments.len();
        let signature = match self.preserving.get(&count) {
            Some(signature) => *signature,
            None => {
                let mut signature = Signature::new(CallConv::PreserveAll);
                signature.params.extend((0..count).map(|_| AbiParam::new(types::I64)));
                let reference = self.builder.import_signature(signature);
                self.preserving.insert(count, reference);
                reference
            }
        };
        let callee = self.iconst(address);
        self.builder.ins().call_indirect(signature, callee, arguments);
    }

    /// Word `index` of what such a function has just returned.
    pub fn preserving_result(&mut self, index: i32) -> clif::Value {
        let results = self.iconst(self.target.results);
        self.load(types::I64, results, 8 * index)
    }

    /// Byte offset of word `index` of the frame's locals and operand stack.
    pub fn slot_offset(&self, index: u32) -> i32 {
        self.layout().frame_localsplus + 8 * index as i32
    }

    /// Number of local slots of the unit's own code.
    pub fn slot_count(&self) -> u32 {
        self.function.states.values().find(|state| state.caller.is_none()).map_or(0, |state| state.locals.len() as u32)
    }

    fn target_of(&self, call: &BlockCall) -> (clif::Block, Vec<BlockArg>) {
        let arguments = call.arguments.iter().map(|value| BlockArg::Value(self.value(*value))).collect();
        (self.blocks[&call.block], arguments)
    }

    pub fn class_offset_of_values(&self, class: ObjectId) -> Result<i32, String> {
        match &self.function.objects.get(class).value {
            coluber_ir::ObjectValue::Class(facts) => Ok(facts.inline_values_offset as i32),
            _ => Err(format!("{class:?} is no class")),
        }
    }

    // ---- the ops

    fn lower(&mut self, op: &Op) -> Result<Option<clif::Value>, String> {
        let layout = self.layout();
        if crate::generators::is_behind_entry(op) {
            self.show_buffer();
            self.slot_memory.insert(crate::generators::BUFFER, None);
        }
        Ok(Some(match op {
            Op::Constant { object } => self.iconst(self.addresses.object(*object)),
            Op::NullConstant {} => self.iconst(0),
            Op::NoneConstant {} => self.iconst(self.target.none_object),
            Op::IntConstant { value } => self.iconst(*value as u64),
            Op::FloatConstant { bits } => self.builder.ins().f64const(f64::from_bits(*bits)),
            Op::BoolConstant { value } => self.builder.ins().iconst(types::I8, i64::from(*value)),

            Op::LoadLocal { slot } | Op::LoadArgument { slot } => self.load_slot(*slot),
            Op::LoadStack { index } | Op::LoadSent { index } => {
                let slot = self.slot_count() + index;
                self.load_slot(slot)
            }
            Op::LoadStackInt { index } => {
                let offset = self.slot_offset(self.slot_count() + index);
                let word = self.load(types::I64, self.frame, offset);
                self.builder.ins().sshr_imm_u(word, 2)
            }
            Op::GuardStackTag { index, tagged } => {
                let offset = self.slot_offset(self.slot_count() + index);
                let word = self.load(types::I64, self.frame, offset);
                let tag = self.builder.ins().band_imm_s(word, 3);
                let wanted = if *tagged { IntCC::Equal } else { IntCC::NotEqual };
                let is_wanted = self.builder.ins().icmp_imm_s(wanted, tag, 3);
                let (next, back) = (self.builder.create_block(), self.builder.create_block());
                self.builder.set_cold_block(back);
                self.builder.ins().brif(is_wanted, next, &[], back, &[]);
                self.builder.switch_to_block(back);
                let deopt = self.iconst(1);
                self.builder.ins().return_(&[deopt]);
                self.builder.switch_to_block(next);
                return Ok(None);
            }
            Op::IsSuspendedAt { offset } => self.is_suspended_at(*offset),
            Op::LoadFunction {} => {
                let word = self.load(types::I64, self.frame, layout.frame_function);
                self.builder.ins().band_imm_s(word, !layout.borrowed_bit)
            }

            Op::UnboxInt { value, state } => self.unbox_int(*value, *state),
            Op::UnboxFloat { value } => {
                let object = self.value(*value);
                self.load(types::F64, object, layout.float_value)
            }
            Op::UnboxNumber { value, state } => self.unbox_number(*value, *state),
            Op::UnboxBool { value } => {
                let object = self.value(*value);
                let constant = self.iconst(self.target.true_object);
                self.builder.ins().icmp(IntCC::Equal, object, constant)
            }
            Op::BoxInt { value } => self.box_int(*value),
            Op::BoxFloat { value } => self.box_float(*value),
            // Exits know what they are.
            Op::VirtualTuple { .. } | Op::VirtualInstance { .. } | Op::VirtualIterator { .. } => return Ok(None),
            Op::MakeTuple { .. } | Op::MakeInstance { .. } | Op::MakeIterator { .. } => self.make_object(op)?,
            Op::BoxBool { value } => {
                let raw = self.value(*value);
                let (yes, no) = (self.iconst(self.target.true_object), self.iconst(self.target.false_object));
                self.builder.ins().select(raw, yes, no)
            }

            Op::GuardKind { value, kind, state } => {
                let object = self.value(*value);
                let is = self.is_kind(object, *kind);
                self.exit_unless_object(is, *value, *state, "GuardKind");
                object
            }
            Op::GuardClass { value, class, state } => {
                let object = self.value(*value);
                let ty = self.load(types::I64, object, layout.ob_type);
                let expected = self.iconst(self.addresses.object(*class));
                let is = self.builder.ins().icmp(IntCC::Equal, ty, expected);
                self.exit_unless_object(is, *value, *state, "GuardClass");
                return Ok(None);
            }
            Op::GuardVersion { class, version, state } => {
                let class = self.iconst(self.addresses.object(*class));
                let found = self.load(types::I32, class, layout.type_version_tag);
                let is = self.builder.ins().icmp_imm_s(IntCC::Equal, found, i64::from(*version as i32));
                self.exit_unless(is, *state, "GuardVersion");
                return Ok(None);
            }
            Op::GuardKeys { class, version, state } => {
                let class = self.iconst(self.addresses.object(*class));
                let keys = self.load(types::I64, class, layout.type_cached_keys);
                let found = self.load(types::I32, keys, layout.keys_version);
                let is = self.builder.ins().icmp_imm_s(IntCC::Equal, found, i64::from(*version as i32));
                self.exit_unless(is, *state, "GuardKeys");
                return Ok(None);
            }
            Op::GuardInlineValues { value, class, state } => {
                let object = self.value(*value);
                let offset = self.class_offset_of_values(*class)? + layout.values_valid;
                let valid = self.load(types::I8, object, offset);
                self.exit_unless(valid, *state, "GuardInlineValues");
                return Ok(None);
            }
            Op::GuardNoOwnDict { value, offset, state } => {
                let object = self.value(*value);
                let dict = self.load(types::I64, object, *offset as i32);
                self.exit_if(dict, *state, "GuardNoOwnDict");
                return Ok(None);
            }
            Op::GuardNoneOrClass { value, class, state } => {
                let object = self.value(*value);
                let ty = self.load(types::I64, object, layout.ob_type);
                let expected = self.iconst(self.addresses.object(*class));
                let is_class = self.builder.ins().icmp(IntCC::Equal, ty, expected);
                let none = self.iconst(self.target.none_object);
                let is_none = self.builder.ins().icmp(IntCC::Equal, object, none);
                let is = self.builder.ins().bor(is_class, is_none);
                self.exit_unless_object(is, *value, *state, "GuardNoneOrClass");
                return Ok(None);
            }
            Op::GuardNoDict { value, state } => {
                let object = self.value(*value);
                let dict = self.load(types::I64, object, layout.managed_dict);
                self.exit_if(dict, *state, "GuardNoDict");
                return Ok(None);
            }
            Op::GuardIdentity { value, object, state } => {
                let found = self.value(*value);
                let expected = self.iconst(self.addresses.object(*object));
                let is = self.builder.ins().icmp(IntCC::Equal, found, expected);
                self.exit_unless(is, *state, "GuardIdentity");
                found
            }
            Op::GuardFunctionCode { function, code, state } => {
                let function = self.value(*function);
                let found = self.load(types::I64, function, layout.function_code);
                let expected = self.iconst(self.addresses.object(*code));
                let is = self.builder.ins().icmp(IntCC::Equal, found, expected);
                self.exit_unless(is, *state, "GuardFunctionCode");
                return Ok(None);
            }
            Op::GuardBound { value, state } => {
                let object = self.value(*value);
                self.exit_unless(object, *state, "GuardBound");
                object
            }
            Op::GuardTrue { condition, state } => {
                let condition = self.value(*condition);
                self.exit_unless(condition, *state, "GuardTrue");
                return Ok(None);
            }
            Op::GuardFalse { condition, state } => {
                let condition = self.value(*condition);
                self.exit_if(condition, *state, "GuardFalse");
                return Ok(None);
            }
            Op::CheckSafePoint { state } => {
                let now = self.load(types::I64, self.tstate, layout.tstate_eval_breaker);
                let then = self.load_own(self.eval_breaker);
                let same = self.builder.ins().icmp(IntCC::Equal, now, then);
                self.exit_unless(same, *state, "CheckSafePoint");
                return Ok(None);
            }
            Op::CheckObserved { state } => {
                self.check_observed(*state);
                return Ok(None);
            }
            Op::CheckInvariants { state } => {
                let flag = self.iconst(self.addresses.invalid_flag);
                let invalid = self.load(types::I32, flag, 0);
                self.exit_if(invalid, *state, "CheckInvariants");
                return Ok(None);
            }
            Op::EndFrame {} => {
                self.end_frame();
                return Ok(None);
            }
            Op::CheckFrame { state } => {
                self.check_frame(*state);
                return Ok(None);
            }

            Op::IntAdd { left, right, overflow, state } => {
                let (left, right) = (self.value(*left), self.value(*right));
                if *overflow == Overflow::Impossible {
                    self.builder.ins().iadd(left, right)
                } else {
                    let (result, overflowed) = self.builder.ins().sadd_overflow(left, right);
                    self.exit_if(overflowed, *state, "IntAdd");
                    result
                }
            }
            Op::IntSubtract { left, right, overflow, state } => {
                let (left, right) = (self.value(*left), self.value(*right));
                if *overflow == Overflow::Impossible {
                    self.builder.ins().isub(left, right)
                } else {
                    let (result, overflowed) = self.builder.ins().ssub_overflow(left, right);
                    self.exit_if(overflowed, *state, "IntSubtract");
                    result
                }
            }
            Op::IntMultiply { left, right, overflow, state } => {
                let (left, right) = (self.value(*left), self.value(*right));
                if *overflow == Overflow::Impossible {
                    self.builder.ins().imul(left, right)
                } else {
                    let (result, overflowed) = self.builder.ins().smul_overflow(left, right);
                    self.exit_if(overflowed, *state, "IntMultiply");
                    result
                }
            }
            Op::IntFloorDivide { left, right, state } => self.floor_divide(*left, *right, *state),
            Op::IntRemainder { left, right, state } => self.remainder(*left, *right, *state),
            Op::IntTrueDivide { left, right, state } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.exit_unless(right, *state, "IntTrueDivide");
                for operand in [left, right] {
                    let shifted = self.builder.ins().iadd_imm_s(operand, 1 << 53);
                    let exact = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, shifted, 1 << 54);
                    self.exit_unless(exact, *state, "IntTrueDivide");
                }
                let left = self.builder.ins().fcvt_from_sint(types::F64, left);
                let right = self.builder.ins().fcvt_from_sint(types::F64, right);
                self.builder.ins().fdiv(left, right)
            }
            Op::IntAnd { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().band(left, right)
            }
            Op::IntOr { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().bor(left, right)
            }
            Op::IntXor { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().bxor(left, right)
            }
            Op::IntShiftLeft { left, right, state } => self.shift_left(*left, *right, *state),
            Op::IntShiftRight { left, right, state } => self.shift_right(*left, *right, *state),
            Op::IntNegate { value, state } => {
                let value = self.value(*value);
                let overflows = self.builder.ins().icmp_imm_s(IntCC::Equal, value, i64::MIN);
                self.exit_if(overflows, *state, "IntNegate");
                self.builder.ins().ineg(value)
            }
            Op::IntInvert { value } => {
                let value = self.value(*value);
                self.builder.ins().bnot(value)
            }
            Op::IntCompare { comparison, left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().icmp(int_condition(*comparison), left, right)
            }
            Op::IntToFloat { value } => {
                let value = self.value(*value);
                self.builder.ins().fcvt_from_sint(types::F64, value)
            }
            Op::BoolToInt { value } => {
                let value = self.value(*value);
                self.builder.ins().uextend(types::I64, value)
            }
            Op::IntAdvance { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().iadd(left, right)
            }

            Op::FloatAdd { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().fadd(left, right)
            }
            Op::FloatSubtract { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().fsub(left, right)
            }
            Op::FloatMultiply { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().fmul(left, right)
            }
            Op::FloatDivide { left, right, state } => {
                let (left, right) = (self.value(*left), self.value(*right));
                let zero = self.builder.ins().f64const(0.0);
                let is_zero = self.builder.ins().fcmp(FloatCC::Equal, right, zero);
                self.exit_if(is_zero, *state, "FloatDivide");
                self.builder.ins().fdiv(left, right)
            }
            Op::FloatNegate { value } => {
                let value = self.value(*value);
                self.builder.ins().fneg(value)
            }
            Op::FloatAbsolute { value } => {
                let value = self.value(*value);
                self.builder.ins().fabs(value)
            }
            Op::FloatSqrt { value, state } => {
                let value = self.value(*value);
                let zero = self.builder.ins().f64const(0.0);
                let negative = self.builder.ins().fcmp(FloatCC::LessThan, value, zero);
                self.exit_if(negative, *state, "FloatSqrt");
                self.builder.ins().sqrt(value)
            }
            Op::FloatPower { left, right, state } => {
                let (left, right) = (self.value(*left), self.value(*right));
                let result = self.call_address(self.target.float_power, &[left, right], &[types::F64])[0];
                let bits = self.builder.ins().bitcast(types::I64, MemFlagsData::new(), result);
                let mark = self.iconst(self.target.power_exit_bits);
                let failed = self.builder.ins().icmp(IntCC::Equal, bits, mark);
                self.exit_if(failed, *state, "FloatPower");
                result
            }
            Op::FloatCompare { comparison, left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().fcmp(float_condition(*comparison), left, right)
            }
            Op::FloatToInt { value, state } => {
                let value = self.value(*value);
                let magnitude = self.builder.ins().fabs(value);
                let limit = self.builder.ins().f64const(4.611_686_018_427_388e18);
                let fits = self.builder.ins().fcmp(FloatCC::LessThan, magnitude, limit);
                self.exit_unless(fits, *state, "FloatToInt");
                self.builder.ins().fcvt_to_sint(types::I64, value)
            }

            Op::BoolNot { value } => {
                let value = self.value(*value);
                self.builder.ins().bxor_imm_s(value, 1)
            }
            Op::IsIdentical { left, right } => {
                let (left, right) = (self.value(*left), self.value(*right));
                self.builder.ins().icmp(IntCC::Equal, left, right)
            }
            Op::IsClass { value, class } => {
                let object = self.value(*value);
                let ty = self.load(types::I64, object, layout.ob_type);
                let expected = self.iconst(self.addresses.object(*class));
                self.builder.ins().icmp(IntCC::Equal, ty, expected)
            }
            Op::IsKind { value, kind } => {
                let object = self.value(*value);
                self.is_kind(object, *kind)
            }
            Op::IsNone { value } => {
                let object = self.value(*value);
                let none = self.iconst(self.target.none_object);
                self.builder.ins().icmp(IntCC::Equal, object, none)
            }
            Op::IsNull { value } => {
                let object = self.value(*value);
                self.is_zero(object)
            }
            Op::IsExhausted { value } => {
                let object = self.value(*value);
                let mark = self.iconst(self.target.exhausted_mark);
                self.builder.ins().icmp(IntCC::Equal, object, mark)
            }
            Op::AssumeKind { value, .. } | Op::AssumeBound { value } | Op::SameObject { value } => self.value(*value),

            Op::ListLength { list } => {
                let list = self.value(*list);
                self.load(types::I64, list, layout.list_size)
            }
            Op::ListGet { list, index } => {
                let address = self.list_item(*list, *index);
                self.load(types::I64, address, 0)
            }
            Op::ListSwap { list, index, value } => {
                let address = self.list_item(*list, *index);
                let old = self.load(types::I64, address, 0);
                let value = self.value(*value);
                self.store(value, address, 0);
                old
            }
            Op::ReverseItems { list, first, last } => {
                self.reverse_items(*list, *first, *last);
                return Ok(None);
            }
            Op::GuardArrayFormat { array, format, state } => {
                let object = self.value(*array);
                let description = self.load(types::I64, object, layout.array_description);
                let code = self.builder.ins().uload8(types::I32, MemFlagsData::trusted(), description, 0);
                let wanted = format.type_code().expect("an array has a type code") as i64;
                let same = self.builder.ins().icmp_imm_u(IntCC::Equal, code, wanted);
                self.exit_unless_object(same, *array, *state, format.exit_reason());
                return Ok(None);
            }
            Op::PackedLength { sequence } => {
                let sequence = self.value(*sequence);
                self.load(types::I64, sequence, layout.list_size)
            }
            Op::PackedInt { sequence, index, format } | Op::PackedFloat { sequence, index, format } => {
                self.packed_item(*sequence, *index, *format)
            }
            Op::SetPackedInt { sequence, index, value, format, state } => {
                self.guard_fits(*value, *format, *state);
                self.set_packed_item(*sequence, *index, *value, *format);
                return Ok(None);
            }
            Op::SetPackedFloat { sequence, index, value, format } => {
                self.set_packed_item(*sequence, *index, *value, *format);
                return Ok(None);
            }
            Op::GuardDictKey { dict, shape, offset, name, state } => {
                let keys = self.dict_keys(*dict);
                let found = self.load(types::I32, keys, layout.keys_shape);
                // Behind the three bytes is a gap.
                let found = self.builder.ins().band_imm_s(found, 0x00ff_ffff);
                let same = self.builder.ins().icmp_imm_u(IntCC::Equal, found, i64::from(*shape));
                self.exit_unless(same, *state, "GuardDictKey");
                let key = self.load(types::I64, keys, *offset as i32 - 8);
                let name = self.iconst(self.addresses.object(*name));
                let same = self.builder.ins().icmp(IntCC::Equal, key, name);
                self.exit_unless(same, *state, "GuardDictKey");
                return Ok(None);
            }
            Op::LoadDictEntry { dict, offset, state } => {
                let keys = self.dict_keys(*dict);
                let value = self.load(types::I64, keys, *offset as i32);
                self.exit_unless(value, *state, "LoadDictEntry");
                value
            }
            Op::GuardDictEntry { dict, offset, state } => {
                let keys = self.dict_keys(*dict);
                let value = self.load(types::I64, keys, *offset as i32);
                self.exit_unless(value, *state, "GuardDictEntry");
                let object = self.iconst(self.addresses.object(*dict));
                let watchers = self.load(types::I64, object, layout.dict_watchers);
                let cell = self.iconst(self.target.foreign_dict_watchers);
                let foreign = self.load(types::I64, cell, 0);
                let others = self.builder.ins().band(watchers, foreign);
                let none = self.is_zero(others);
                self.exit_unless(none, *state, "GuardDictEntry");
                return Ok(None);
            }
            Op::StoreDictEntry { dict, offset, value } => {
                let keys = self.dict_keys(*dict);
                let old = self.load(types::I64, keys, *offset as i32);
                let value = self.value(*value);
                self.store(value, keys, *offset as i32);
                old
            }
            Op::GuardModuleNamespace { state } => {
                let frame = self.frame;
                let locals = self.load(types::I64, frame, layout.frame_locals_dict);
                let globals = self.load(types::I64, frame, layout.frame_globals);
                let same = self.builder.ins().icmp(IntCC::Equal, locals, globals);
                self.exit_unless(same, *state, "GuardModuleNamespace");
                return Ok(None);
            }
            Op::TupleLength { tuple } => {
                let tuple = self.value(*tuple);
                self.load(types::I64, tuple, layout.tuple_size)
            }
            Op::TupleGet { tuple, index } => {
                let tuple = self.value(*tuple);
                if let Some(index) = self.int_constant(*index) {
                    self.load(types::I64, tuple, layout.tuple_items + 8 * index as i32)
                } else {
                    let index = self.value(*index);
                    let scaled = self.builder.ins().ishl_imm_u(index, 3);
                    let address = self.builder.ins().iadd(tuple, scaled);
                    self.load(types::I64, address, layout.tuple_items)
                }
            }
            Op::IsInRange { index, length } => {
                // From -length to length - 1.
                let (index, length) = (self.value(*index), self.value(*length));
                let shifted = self.builder.ins().iadd(index, length);
                let room = self.builder.ins().iadd(length, length);
                self.builder.ins().icmp(IntCC::UnsignedLessThan, shifted, room)
            }
            Op::GuardIndex { index, length, state } => self.guard_index(*index, *length, *state),

            Op::LoadField { object, offset, state } => {
                let object = self.value(*object);
                let value = self.load(types::I64, object, *offset as i32);
                self.exit_unless(value, *state, "LoadField");
                value
            }
            Op::LoadPart { object, offset } => {
                let object = self.value(*object);
                self.load(types::I64, object, *offset as i32)
            }
            Op::StoreField { object, offset, index, value } => {
                let (object, value) = (self.value(*object), self.value(*value));
                let old = self.load(types::I64, object, *offset as i32);
                self.store(value, object, *offset as i32);
                let (first, next) = (self.builder.create_block(), self.builder.create_block());
                self.builder.set_cold_block(first);
                self.builder.ins().brif(old, next, &[], first, &[]);
                self.builder.switch_to_block(first);
                // The value number `index` lies behind the header and the values in front of it.
                let header = u64::from(*offset) - 8 * u64::from(*index) - u64::from(coluber_ir::INLINE_VALUES_HEADER);
                let values = self.builder.ins().iadd_imm_s(object, header as i64);
                let index = self.iconst(u64::from(*index));
                self.call_preserving(self.target.record_first_store, &[values, index]);
                self.builder.ins().jump(next, &[]);
                self.builder.switch_to_block(next);
                old
            }
            Op::StoreSlot { object, offset, value } => {
                let (object, value) = (self.value(*object), self.value(*value));
                let old = self.load(types::I64, object, *offset as i32);
                self.store(value, object, *offset as i32);
                old
            }
            Op::LoadCell { cell, state } => {
                let cell = self.value(*cell);
                let value = self.load(types::I64, cell, layout.cell_ref);
                self.exit_unless(value, *state, "LoadCell");
                value
            }
            Op::StoreCell { cell, value } => {
                let (cell, value) = (self.value(*cell), self.value(*value));
                let old = self.load(types::I64, cell, layout.cell_ref);
                self.store(value, cell, layout.cell_ref);
                old
            }
            Op::LoadIterator { iterator, field } => {
                let iterator = self.value(*iterator);
                self.load(types::I64, iterator, iterator_field(layout, *field))
            }
            Op::StoreIterator { iterator, field, value } => {
                let (iterator, value) = (self.value(*iterator), self.value(*value));
                self.store(value, iterator, iterator_field(layout, *field));
                return Ok(None);
            }
            Op::IteratorSequence { iterator } => {
                let iterator = self.value(*iterator);
                self.load(types::I64, iterator, layout.sequence_iterator_sequence)
            }
            Op::TakeSequence { iterator } => {
                let iterator = self.value(*iterator);
                let sequence = self.load(types::I64, iterator, layout.sequence_iterator_sequence);
                let null = self.iconst(0);
                self.store(null, iterator, layout.sequence_iterator_sequence);
                sequence
            }
            Op::GuardSharedPair { value, other, state } => {
                let (object, other) = (self.value(*value), self.value(*other));
                let same = self.builder.ins().icmp(IntCC::Equal, object, other);
                self.exit_unless(same, *state, "GuardSharedPair");
                let count = self.load(types::I32, object, layout.ob_refcnt);
                let two = self.builder.ins().icmp_imm_s(IntCC::Equal, count, 2);
                self.exit_unless(two, *state, "GuardSharedPair");
                return Ok(None);
            }
            Op::GuardUnique { value, state } => {
                let object = self.value(*value);
                let count = self.load(types::I32, object, layout.ob_refcnt);
                let one = self.builder.ins().icmp_imm_s(IntCC::Equal, count, 1);
                self.exit_unless(one, *state, "GuardUnique");
                return Ok(None);
            }

            Op::ProfileCallee { callable, code, offset } => {
                if let Some(site) = self.profile_site(*code, *offset, true) {
                    let callable = self.value(*callable);
                    self.call_address(self.target.note_callee, &[site, callable], &[]);
                }
                return Ok(None);
            }
            Op::ProfileOperands { left, right, code, offset } => {
                if let Some(record) = self.profile_site(*code, *offset, false) {
                    for (place, value) in [(0, *left), (4, *right)] {
                        let object = self.value(value);
                        let class = self.load(types::I64, object, layout.ob_type);
                        let version = self.load(types::I32, class, layout.type_version_tag);
                        // Where there is None now and then, the others are what matters.
                        let none = self.iconst(self.target.none_object);
                        let is_none = self.builder.ins().icmp(IntCC::Equal, object, none);
                        let before = self.load(types::I32, record, place);
                        let version = self.builder.ins().select(is_none, before, version);
                        self.store(version, record, place);
                    }
                    let count = self.load(types::I64, record, 8);
                    let count = self.builder.ins().iadd_imm_s(count, 1);
                    self.store(count, record, 8);
                }
                return Ok(None);
            }
            Op::Invoke { helper, arguments, state } => return Ok(self.invoke(*helper, arguments, *state)),
            Op::TakeOutput { index } => self.load_word(types::I64, self.output_word + index),
            Op::Call { callable, self_or_null, arguments, state } => {
                self.python_call(*callable, *self_or_null, arguments, None, *state)
            }
            Op::CallKw { callable, self_or_null, arguments, names, state } => {
                self.python_call(*callable, *self_or_null, arguments, Some(*names), *state)
            }
            Op::CallMoving { callable, self_or_null, arguments, moved, places, names, state } => {
                let arguments = crate::python_calls::interleave(arguments, moved, *places);
                self.moving_call(*callable, *self_or_null, &arguments, *places, *names, *state)
            }
            Op::CallNative { function, arguments, is_quiet, state } => {
                self.native_call(*function, arguments, *is_quiet, *state)
            }
            Op::CallFunction { callable, function, arguments, state } => {
                self.function_call(*callable, *function, arguments, *state)
            }

            Op::CatchException { state, .. } => self.catch_exception(*state),
            Op::SwapException { value } => self.swap_exception(*value),

            Op::Kill { .. } => return Err("Kill in phase Counted".to_owned()),
            Op::Dup { .. } => return Err("Dup in phase Counted".to_owned()),
            Op::Incref { value } => {
                self.incref(*value);
                return Ok(None);
            }
            Op::Decref { value, state } => {
                self.decref(*value, *state);
                return Ok(None);
            }

            Op::Jump { target } => {
                let (block, arguments) = self.target_of(target);
                self.builder.ins().jump(block, &arguments);
                return Ok(None);
            }
            Op::Branch { condition, then, otherwise } => {
                let condition = self.value(*condition);
                let (then, then_arguments) = self.target_of(then);
                let (otherwise, otherwise_arguments) = self.target_of(otherwise);
                self.builder.ins().brif(condition, then, &then_arguments, otherwise, &otherwise_arguments);
                return Ok(None);
            }
            // The instruction in front has gone to the handler if it raised.
            Op::BranchRaised { next, .. } => {
                let (block, arguments) = self.target_of(next);
                self.builder.ins().jump(block, &arguments);
                return Ok(None);
            }
            Op::Return { value } => {
                let value = self.value(*value);
                self.leave_with(value);
                return Ok(None);
            }
            Op::Decline {} => {
                let deopt = self.iconst(1);
                self.builder.ins().return_(&[deopt]);
                return Ok(None);
            }
            Op::Suspend { how, offset, value, slots } => {
                self.suspend(*how, *offset, *value, slots);
                return Ok(None);
            }
            Op::Exit { reason, state } => {
                let name = match reason {
                    coluber_ir::ops::ExitReason::NeverExecuted => "NeverExecuted",
                    coluber_ir::ops::ExitReason::Handler => "Handler",
                    coluber_ir::ops::ExitReason::Entry => "Entry",
                    coluber_ir::ops::ExitReason::NotCompiled => "NotCompiled",
                    coluber_ir::ops::ExitReason::Returns => "Returns",
                };
                let exit = self.exit_block(*state, ExitKind::Guard, name);
                self.builder.ins().jump(exit, &[]);
                return Ok(None);
            }
            Op::Unreachable {} => {
                self.builder.ins().trap(clif::TrapCode::unwrap_user(1));
                return Ok(None);
            }
        }))
    }

    fn load_slot(&mut self, slot: u32) -> clif::Value {
        let offset = self.slot_offset(slot);
        let word = self.load(types::I64, self.frame, offset);
        self.builder.ins().band_imm_s(word, !1)
    }

    pub fn is_kind(&mut self, object: clif::Value, kind: Kind) -> clif::Value {
        let ty = self.load(types::I64, object, self.layout().ob_type);
        let expected = match kind {
            // Known only when the program has imported the module.
            Kind::Array => {
                let cell = self.iconst(self.target.array_type_cell);
                self.load(types::I64, cell, 0)
            }
            _ => self.iconst(self.target.type_address(kind)),
        };
        self.builder.ins().icmp(IntCC::Equal, ty, expected)
    }

    /// The keys of a dict of the object table.
    fn dict_keys(&mut self, dict: ObjectId) -> clif::Value {
        let object = self.iconst(self.addresses.object(dict));
        self.load(types::I64, object, self.layout().dict_keys)
    }
}

/// Cranelift type of a value.
pub(crate) fn representation(ty: Type) -> clif::Type {
    match ty {
        Type::F64 => types::F64,
        Type::Bool => types::I8,
        _ => types::I64,
    }
}

fn float_condition(comparison: Comparison) -> FloatCC {
    match comparison {
        Comparison::Less => FloatCC::LessThan,
        Comparison::LessEqual => FloatCC::LessThanOrEqual,
        Comparison::Equal => FloatCC::Equal,
        Comparison::NotEqual => FloatCC::NotEqual,
        Comparison::Greater => FloatCC::GreaterThan,
        Comparison::GreaterEqual => FloatCC::GreaterThanOrEqual,
    }
}

/// Most values any op passes through memory.
fn most_arguments(function: &Function) -> u32 {
    let count = |op: &Op| match op {
        Op::Invoke { arguments, .. } | Op::CallNative { arguments, .. } => arguments.len(),
        Op::Call { arguments, .. } | Op::CallKw { arguments, .. } => arguments.len(),
        Op::CallMoving { arguments, moved, .. } => arguments.len() + moved.len(),
        Op::MakeTuple { items } => items.len(),
        _ => 0,
    };
    function.insts.values().map(|data| count(&data.op)).max().unwrap_or(0) as u32
}

/// Words for the outputs of helpers.
fn output_words(function: &Function) -> u32 {
    function
        .insts
        .values()
        .filter_map(|data| match data.op {
            Op::TakeOutput { index } => Some(index + 1),
            _ => None,
        })
        .max()
        .unwrap_or(1)
        .max(2)
}

/// Words for the frames of inlined calls.
fn inlined_words(function: &Function, addresses: &Addresses) -> u32 {
    function
        .states
        .values()
        .filter(|state| state.resume != coluber_ir::Resume::Undone)
        .map(|state| {
            let mut words = 0;
            let mut present = state;
            while let Some(caller) = present.caller {
                words += addresses.codes[present.code].1;
                present = &function.states[caller];
            }
            words
        })
        .max()
        .unwrap_or(0)
}

/// Where a field of an iterator object is.
fn iterator_field(layout: &Layout, field: IteratorField) -> i32 {
    match field {
        IteratorField::RangeStart => layout.range_iterator_start,
        IteratorField::RangeStep => layout.range_iterator_step,
        IteratorField::RangeLength => layout.range_iterator_length,
        IteratorField::SequenceIndex => layout.sequence_iterator_index,
        IteratorField::EnumerateIndex => layout.enumerate_index,
    }
}
