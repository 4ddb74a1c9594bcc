//! Does without tuples, instances and iterators that nobody else sees, and makes the others where somebody comes to see them.
//!
//! ```text
//! v3 = Invoke BuildTuple, [v1, v2], fs4         v5 = Dup v1
//! v5 = TupleGet v3, v4                    =>    Kill v2, fs6
//! Kill v3, fs6                                  Kill v1, fs6
//!
//! v3 = Invoke NewInstance, [v2], fs4            v9 = VirtualInstance 3, c2, 48, [v1]
//! v4 = StoreField v3, 48, 0, v1           =>    GuardTrue v5, fs6              ; fs6 names v9
//! GuardTrue v5, fs6       ; fs6 names v3        v3 = MakeInstance c2, 48, [v1]
//! Return v3                                     Return v3
//! ```
//!
//! The function is walked forward. An allocation is a list of values, one per item or attribute, whose references it holds;
//! loads give copies of them, stores replace them, its end kills them. Frame states name a `Virtual...` value in its
//! place, which an exit makes real. Where an operation needs the object itself, a `Make...` is put in front of it, and
//! from there on it is an ordinary object. So an object that escapes on a rare path is made on that path only.
//!
//! Joins: an object that all edges bring is the same object behind the join; values of its fields that differ become
//! parameters. Different objects of one shape that nothing else refers to become one. Everything else is made
//! real at the ends of the edges. Loop headers assume the best of what comes back; if that turns out wrong, the assumption
//! is noted ([`Plan`]) and the walk starts over.
//!
//! Correct: nobody else can refer to the object, so nothing but the walked instructions changes or looks at it; its
//! fields hold the references they would hold, so what they refer to lives as long, and dies in the order of the
//! interpreter (`tupledealloc`, `clear_inline_values`). Classes with finalizers are left alone. Identity: one value stands
//! for one object in all states, and numbers in fields keep their boxes while anything else may refer to them.
//!
//! Iterators hold their positions in registers: these are fields like others, which loops pass from iteration to iteration.
//!
//! Left alone: lists, sets, dicts, cells, slices; objects that contain themselves. "Does
//! not fire": `keeps_tuple_that_escapes`, `keeps_instance_with_finalizer`, `keeps_object_that_is_in_two_places_of_a_loop`,
//! `keeps_shape_that_differs_at_a_join`.

mod join;
pub(crate) mod objects;
mod walk;

use crate::manager::{Changed, Pass};
use coluber_ir::{Block, BlockCall, Cfg, Function, Helper, Op, Type, Value};
use coluber_ir::{ObjectId, ObjectValue};
use objects::Form;
use rustc_hash::FxHashSet as HashSet;

/// See the module.
pub struct RemoveAllocations;

/// How often the walk starts over before the pass gives up.
const MAX_ATTEMPTS: usize = 40;

/// What earlier walks found out about loop headers. Blocks, parameters and objects are those of the function before the
/// pass, so they mean the same in each walk.
#[derive(Default)]
pub(crate) struct Plan {
    /// Objects to be made in front of a loop.
    made: HashSet<(Block, Value)>,
    /// Header parameters that must be real objects.
    real: HashSet<(Block, usize)>,
    /// Fields of objects that differ from iteration to iteration.
    varying: HashSet<(Block, Value, u32)>,
    /// Constant numbers that somebody else may hold: they stay the objects they are.
    exposed: HashSet<ObjectId>,
    /// Varying fields that are no numbers in registers.
    boxed: HashSet<(Block, Value, u32)>,
}

/// Why a walk ended.
pub(crate) enum Stop {
    /// The plan has changed.
    Again,
    /// Something the pass has no form for.
    GiveUp,
}

impl Pass for RemoveAllocations {
    fn name(&self) -> &'static str {
        "remove_allocations"
    }

    fn is_required(&self) -> bool {
        false
    }

    fn run(&self, function: &mut Function) -> Changed {
        let is_candidate = |op: &Op| allocation(function, op).is_some();
        let mut insts = function.layout.iter().flat_map(|&block| &function.blocks[block].insts);
        if !insts.any(|&inst| is_candidate(&function.insts[inst].op)) {
            return false;
        }
        split_critical_edges(function);
        let cfg = Cfg::new(function);
        if !cfg.is_reducible() {
            return false;
        }
        let mut plan = Plan { varying: stepped(function, &cfg), ..Plan::default() };
        for _ in 0..MAX_ATTEMPTS {
            let mut attempt = function.clone();
            match walk::Walk::new(&mut attempt, &cfg, &mut plan).run() {
                Ok(()) => {
                    attempt.resolve_aliases();
                    *function = attempt;
                    return true;
                }
                Err(Stop::Again) => {}
                Err(Stop::GiveUp) => return false,
            }
        }
        false
    }
}

/// What an op allocates, if the pass knows how to do without it.
pub(crate) fn allocation(function: &Function, op: &Op) -> Option<Form> {
    match op {
        Op::Invoke { helper: Helper::BuildTuple | Helper::MakePair, arguments, .. } if !arguments.is_empty() => {
            Some(Form::Tuple)
        }
        Op::MakeTuple { items } if !items.is_empty() => Some(Form::Tuple),
        Op::Invoke { helper: Helper::NewInstance, arguments, .. } => {
            let Type::Constant(class, _) = function.ty(arguments[0]) else { return None };
            match &function.objects.get(class).value {
                ObjectValue::Class(facts) if !facts.has_finalizer && facts.kind.is_none() => {
                    Some(Form::Instance(class))
                }
                _ => None,
            }
        }
        Op::MakeIterator { walker, .. } => Some(Form::Iterator(*walker)),
        Op::BoxInt { .. } => Some(Form::Number(Type::I64)),
        Op::BoxFloat { .. } => Some(Form::Number(Type::F64)),
        _ => None,
    }
}

/// Positions of iterators that loops step on: they differ from iteration to iteration.
fn stepped(function: &Function, cfg: &Cfg) -> HashSet<(Block, Value, u32)> {
    let mut found = HashSet::default();
    for &block in cfg.rpo() {
        for &inst in &function.blocks[block].insts {
            let Op::StoreIterator { iterator, field, .. } = &function.insts[inst].op else { continue };
            let Some(made) = made_by(function, *iterator) else { continue };
            let Some(Op::MakeIterator { walker, .. }) = function.def_op(made) else { continue };
            let mut around = cfg.loop_of(block);
            while let (Some(each), Some(part)) = (around, walker.part(*field)) {
                found.insert((cfg.loops()[each].header, made, part));
                around = cfg.loops()[each].parent;
            }
        }
    }
    found
}

/// The allocation that a value comes from, as far as that can be seen.
fn made_by(function: &Function, value: Value) -> Option<Value> {
    let root = function.root(value);
    match function.def_op(root)? {
        Op::MakeIterator { .. } | Op::MakeTuple { .. } => Some(root),
        Op::LoadPart { object, .. } => match function.def_op(made_by(function, *object)?)? {
            Op::MakeIterator { parts, .. } => made_by(function, parts[0]),
            _ => None,
        },
        Op::TupleGet { tuple, index } => {
            let Some(Op::IntConstant { value }) = function.def_op(*index) else { return None };
            match function.def_op(made_by(function, *tuple)?)? {
                Op::MakeTuple { items } => made_by(function, *items.get(*value as usize)?),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Gives edges from a terminator with several targets to a block with several predecessors a block of their own, so that something can be put on them.
fn split_critical_edges(function: &mut Function) {
    let mut incoming = rustc_hash::FxHashMap::<Block, usize>::default();
    for &block in &function.layout {
        let inst = function.terminator(block);
        function.insts[inst].op.for_each_target(|call| *incoming.entry(call.block).or_default() += 1);
    }
    for block in function.layout.clone() {
        let inst = function.terminator(block);
        let source = function.insts[inst].source;
        let mut op = function.insts[inst].op.clone();
        if matches!(op, Op::Jump { .. }) {
            continue;
        }
        let mut targets = Vec::new();
        op.for_each_target(|target| targets.push(target.clone()));
        for target in &mut targets {
            if incoming[&target.block] > 1 {
                let edge = function.add_block();
                function.blocks[edge].cold = function.blocks[target.block].cold;
                function.append(edge, Op::Jump { target: target.clone() }, source);
                *target = BlockCall { block: edge, arguments: Vec::new() };
            }
        }
        let mut targets = targets.into_iter();
        op.for_each_target_mut(|target| *target = targets.next().expect("as many as there were"));
        function.insts[inst].op = op;
    }
}
