//! Calls of Python objects: by the vectorcall protocol, with arguments that move, and of known functions.

use crate::lower::Lowerer;
use coluber_ir::{FrameStateId, Function, NativeConvention, ObjectId, ObjectValue, Op, Type, Value};
use cranelift_codegen::ir::{self as clif, InstBuilder, types};

/// Flag of `PyObject_Vectorcall`: the word in front of the arguments may be used by the callee.
const ARGUMENTS_OFFSET: u64 = 1 << 63;

/// The arguments in order: those whose bit is set are the next of `moved`.
pub(crate) fn interleave(arguments: &[Value], moved: &[Value], places: u32) -> Vec<Value> {
    let (mut borrowed, mut given) = (arguments.iter(), moved.iter());
    let is_moved = |index: usize| index < 32 && places >> index & 1 != 0;
    (0..arguments.len() + moved.len())
        .map_while(|index| if is_moved(index) { given.next() } else { borrowed.next() }.copied())
        .collect()
}

/// Words of the largest frame of a known function that is called.
pub(crate) fn callee_words(function: &Function) -> u32 {
    let words = |op: &Op| match op {
        Op::CallFunction { function: callee, .. } => match &function.objects.get(*callee).value {
            ObjectValue::Function(facts) => match &function.objects.get(facts.code_object).value {
                ObjectValue::Code(code) => code.frame_words,
                _ => 0,
            },
            _ => 0,
        },
        _ => 0,
    };
    function.insts.values().map(|data| words(&data.op)).max().unwrap_or(0)
}

impl Lowerer<'_> {
    /// Calls a function of known code: its frame begins at the top of the data stack, where every unit reserves room for
    /// the largest it needs. The arguments go into its slots; what the link names does the rest.
    pub fn function_call(
        &mut self,
        callable: Value,
        function: ObjectId,
        arguments: &[Value],
        state: FrameStateId,
    ) -> clif::Value {
        self.show_state(state);
        let (tstate, layout) = (self.tstate, self.layout());
        let frame = self.load(types::I64, tstate, layout.tstate_datastack_top);
        for (index, argument) in arguments.iter().enumerate() {
            let value = self.value(*argument);
            let offset = self.slot_offset(index as u32);
            self.store(value, frame, offset);
        }
        let callable = self.value(callable);
        let reference = self.builder.ins().bor_imm_s(callable, layout.borrowed_bit);
        self.store(reference, frame, layout.frame_function);
        let link = self.iconst(self.addresses.link(function));
        let target = self.load(types::I64, link, 0);
        let signature = self.signature(&[types::I64; 3], &[types::I64]);
        let call = self.builder.ins().call_indirect(signature, target, &[tstate, frame, link]);
        let result = self.builder.inst_results(call)[0];
        let failed = self.is_zero(result);
        self.raise_if(failed, state);
        self.hide_state(state);
        result
    }

    /// Calls a C function itself.
    pub fn native_call(
        &mut self,
        function: ObjectId,
        arguments: &[Value],
        is_quiet: bool,
        state: FrameStateId,
    ) -> clif::Value {
        let ObjectValue::Builtin(facts) = &self.function.objects.get(function).value else {
            unreachable!("the verifier lets only C functions be called")
        };
        let native = self.addresses.natives[function.0 as usize];
        if !is_quiet {
            self.show_state(state);
        }
        let (receiver, arguments) = match facts.owner {
            Some(_) => (self.value(arguments[0]), &arguments[1..]),
            None => (self.iconst(native.receiver), arguments),
        };
        let mut operands = vec![receiver];
        match facts.convention.expect("the verifier asks for a convention") {
            NativeConvention::NoArguments => operands.push(self.iconst(0)),
            NativeConvention::One => operands.push(self.value(arguments[0])),
            convention => {
                operands.extend(self.arguments_in_memory(arguments));
                if convention == NativeConvention::VectorAndNames {
                    operands.push(self.iconst(0));
                }
            }
        }
        let result = self.call_address(native.function, &operands, &[types::I64])[0];
        let failed = self.is_zero(result);
        self.raise_if(failed, state);
        if !is_quiet {
            self.hide_state(state);
        }
        result
    }

    /// Calls a Python object by the vectorcall protocol.
    pub fn python_call(
        &mut self,
        callable: Value,
        self_or_null: Value,
        arguments: &[Value],
        names: Option<Value>,
        state: FrameStateId,
    ) -> clif::Value {
        self.show_state(state);
        let (vector, count, _) = self.argument_vector(self_or_null, arguments, names, 0);
        let callable = self.value(callable);
        let names = match names {
            Some(names) => self.value(names),
            None => self.iconst(0),
        };
        let result = self.call_address(self.target.vectorcall, &[callable, vector, count, names], &[types::I64])[0];
        let failed = self.is_zero(result);
        self.raise_if(failed, state);
        self.hide_state(state);
        result
    }

    /// The same by the runtime, which gives references away.
    pub fn moving_call(
        &mut self,
        callable: Value,
        self_or_null: Value,
        arguments: &[Value],
        places: u32,
        names: Value,
        state: FrameStateId,
    ) -> clif::Value {
        self.show_state(state);
        let (vector, count, places) = self.argument_vector(self_or_null, arguments, Some(names), places);
        let (callable, names) = (self.value(callable), self.value(names));
        let operands = [callable, vector, count, names, places];
        let result = self.call_address(self.target.call_moving, &operands, &[types::I64])[0];
        let failed = self.is_zero(result);
        self.raise_if(failed, state);
        self.hide_state(state);
        result
    }

    /// Puts arguments into memory: their address, the count with its flag, and `places` moved on behind self.
    fn argument_vector(
        &mut self,
        self_or_null: Value,
        arguments: &[Value],
        names: Option<Value>,
        places: u32,
    ) -> (clif::Value, clif::Value, clif::Value) {
        let slot = self.arguments;
        for (index, argument) in arguments.iter().enumerate() {
            let value = self.value(*argument);
            self.builder.ins().stack_store(types::I64, value, slot, 8 * (index as i32 + 2));
        }
        let keywords = match names.map(|names| self.function.ty(names)) {
            Some(Type::Constant(object, _)) => match &self.function.objects.get(object).value {
                coluber_ir::ObjectValue::Tuple(items) => items.len() as u64,
                _ => unreachable!("keyword names are a tuple"),
            },
            _ => 0,
        };
        let positional = arguments.len() as u64 - keywords;
        let without_self = self.builder.ins().stack_addr(types::I64, slot, 16);
        let with_self = self.builder.ins().stack_addr(types::I64, slot, 8);
        let (less, more) = (positional | ARGUMENTS_OFFSET, (positional + 1) | ARGUMENTS_OFFSET);
        let (without, with) = (u64::from(places), u64::from(places) << 1);
        if matches!(self.function.def_op(self_or_null), Some(Op::NullConstant {})) {
            return (without_self, self.iconst(less), self.iconst(without));
        }
        let receiver = self.value(self_or_null);
        self.builder.ins().stack_store(types::I64, receiver, slot, 8);
        let (more, with) = (self.iconst(more), self.iconst(with));
        if !self.function.ty(self_or_null).is_nullable() {
            return (with_self, more, with);
        }
        let (less, without) = (self.iconst(less), self.iconst(without));
        (
            self.builder.ins().select(receiver, with_self, without_self),
            self.builder.ins().select(receiver, more, less),
            self.builder.ins().select(receiver, with, without),
        )
    }
}
