//! What the derive macro makes of the table of operations.

mod sampler;

use coluber_bytecode::{ObjectFacts, ObjectTable, ObjectValue};
use coluber_ir::fields::{FieldWriter, Immediate};
use coluber_ir::ops::{Effects, Memory, Overflow, Refs, Takes};
use coluber_ir::{
    Block, BlockCall, FrameState, FrameStateId, Function, Helper, Kind, ObjectId, Op, Resume, Type, Value,
};
use sampler::{Random, Sampler};

/// A function with a value of each type, a state and a block.
fn function() -> (Function, Vec<Value>, FrameStateId) {
    let mut objects = ObjectTable::default();
    objects.push(ObjectFacts { label: "5".into(), value: ObjectValue::Int(5), immortal: false });
    let mut function = Function::new("f", objects);
    let block = function.add_block();
    let types = [Type::Object, Type::Nullable, Type::Exact(Kind::Float), Type::I64, Type::F64, Type::Bool];
    let values = types.map(|ty| function.add_parameter(block, ty)).to_vec();
    let state = function.states.push(FrameState {
        code: 0,
        function: None,
        resume: Resume::At { start: 0, offset: 0 },
        locals: vec![],
        stack: vec![],
        caller: None,
    });
    (function, values, state)
}

/// The operands of an op, from its fields.
#[derive(Default)]
struct Fields {
    operands: Vec<Value>,
    state: Option<FrameStateId>,
    targets: Vec<BlockCall>,
}

impl FieldWriter for Fields {
    fn operand(&mut self, _: &'static str, value: Value) {
        self.operands.push(value);
    }

    fn operands(&mut self, _: &'static str, values: &[Value]) {
        self.operands.extend(values);
    }

    fn state(&mut self, _: &'static str, state: FrameStateId) {
        self.state = Some(state);
    }

    fn target(&mut self, _: &'static str, target: &BlockCall) {
        self.operands.extend(&target.arguments);
        self.targets.push(target.clone());
    }

    fn immediate<T: Immediate>(&mut self, _: &'static str, _: &T) {}
}

/// Calls `test` with several ops of each kind.
fn for_each_op(mut test: impl FnMut(&Function, Op)) {
    let (function, values, state) = function();
    let mut random = Random(7);
    for info in Op::TABLE {
        for _ in 0..20 {
            let blocks = [function.entry()];
            let mut sampler = Sampler { random: &mut random, values: &values, states: &[state], blocks: &blocks };
            let Ok(op) = Op::read_fields(info.name, &mut sampler).expect("the table names ops");
            test(&function, op);
        }
    }
}

#[test]
fn visitors_see_the_fields() {
    for_each_op(|_, mut op| {
        let mut fields = Fields::default();
        op.write_fields(&mut fields);
        let mut operands = Vec::new();
        op.for_each_operand(|value| operands.push(value));
        assert_eq!(operands, fields.operands, "{op:?}");
        assert_eq!(op.state(), fields.state);
        let mut targets = Vec::new();
        op.for_each_target(|target| targets.push(target.clone()));
        assert_eq!(targets, fields.targets);

        let other = Value::from_u32(1000);
        op.for_each_operand_mut(|value| *value = other);
        op.for_each_operand(|value| assert_eq!(value, other));
        op.for_each_target_mut(|target| target.block = Block::from_u32(9));
        op.for_each_target(|target| assert_eq!(target.block, Block::from_u32(9)));
        let state = FrameStateId::from_u32(5);
        op.set_state(state);
        assert_eq!(op.state(), fields.state.map(|_| state));
    });
}

#[test]
fn declarations_agree_with_each_other() {
    for_each_op(|function, op| {
        let effects = op.effects(function);
        assert_eq!(effects.terminator, op.is_terminator(), "{op:?}");
        assert!(!(effects.exits || effects.raises) || op.state().is_some(), "{op:?} leaves without a state");
        assert!(!effects.runs_python || effects.writes == Effects::ANY.writes, "{op:?} runs Python code");
        let mut operands = Vec::new();
        op.for_each_operand(|value| operands.push(value));
        op.for_each_stolen(|value| assert!(operands.contains(&value), "{op:?} steals what it does not have"));
        if let Refs::Alias(value) = op.refs() {
            assert!(operands.contains(&value));
        }
        let is_object = op.result_type(function).is_some_and(Type::is_object);
        assert!(!is_object || op.refs() != Refs::None, "{op:?} gives an object without a contract");
        assert!(!op.is_terminator() || op.result_type(function).is_none());
    });
}

#[test]
fn some_ops_are_as_declared() {
    let (function, values, state) = function();
    let [object, nullable, float, int, ..] = values[..] else { panic!("six values") };

    let add = Op::IntAdd { left: int, right: int, overflow: Overflow::Checked, state };
    assert_eq!((add.name(), add.result_type(&function)), ("IntAdd", Some(Type::I64)));
    assert_eq!(add.effects(&function), Effects { exits: true, ..Effects::PURE });
    assert_eq!(Op::IntAnd { left: int, right: int }.effects(&function), Effects::PURE);
    let mut taken = Vec::new();
    add.for_each_taken(|name, value, takes| taken.push((name, value, takes)));
    assert_eq!(taken, [("left", int, Takes::I64), ("right", int, Takes::I64)]);

    let swap = Op::ListSwap { list: object, index: int, value: nullable };
    let mut stolen = Vec::new();
    swap.for_each_stolen(|value| stolen.push(value));
    assert_eq!(stolen, [nullable]);
    assert_eq!(swap.refs(), Refs::Owned);
    let lists = Memory::Lists as u8;
    assert_eq!(swap.effects(&function), Effects { reads: lists, writes: lists, ..Effects::PURE });

    let call = Op::Call { callable: object, self_or_null: nullable, arguments: vec![float], state };
    let effects = call.effects(&function);
    assert!(effects.runs_python && effects.raises && !effects.exits);
    assert_eq!((effects.reads, effects.writes), (Effects::ANY.reads, Effects::ANY.writes));

    let append = Op::Invoke { helper: Helper::ListAppend, arguments: vec![object, float], state };
    stolen.clear();
    append.for_each_stolen(|value| stolen.push(value));
    assert_eq!(stolen, [float]);
    assert_eq!(append.result_type(&function), None);

    assert_eq!(Op::Dup { value: float }.result_type(&function), Some(Type::Exact(Kind::Float)));
    let constant = Op::Constant { object: ObjectId(0) };
    assert_eq!(constant.result_type(&function), Some(Type::Constant(ObjectId(0), Some(Kind::Int))));
    assert!(!Op::Kill { value: float, state }.effects(&function).runs_python, "floats die silently");
    assert!(Op::Kill { value: object, state }.effects(&function).runs_python);
}
