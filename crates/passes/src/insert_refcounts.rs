//! Makes references explicit: `Kill` becomes `Decref`, `Dup` becomes `Incref`, borrowed values that are consumed get an
//! `Incref` behind their definition. Sets [`coluber_ir::ValueData::owned`], which exits need.
//!
//! ```text
//! v3 = ListGet v1, v2                v3 = ListGet v1, v2
//! v4 = Call v0, ...             =>   Incref v3
//! Kill v3                            v4 = Call v0, ...
//!                                    Decref v3
//! ```
//!
//! Two kinds of values are treated differently:
//!
//! * What the unit or the frame holds anyway (`Constant`, `LoadFunction`) can be given away any number of times, and not at
//!   all on some paths. So each place that consumes it makes a reference just in front; a `Kill` of it is nothing.
//! * A copy that is consumed at once, with nothing in between that could exit or release, is an `Incref` of the value. One
//!   that lives on becomes a `SameObject` with a reference of its own, because an exit releases one reference per value.
//!
//! Required. Afterwards the function is in phase `Counted`. "Does not fire": `keeps_borrowed_what_nothing_consumes`,
//! `keeps_copy_apart_that_lives_on`.

use crate::analysis::{Uses, consumed_roots, is_held_anyway, may_release};
use crate::manager::{Changed, Pass};
use coluber_ir::function::Phase;
use coluber_ir::ops::Refs;
use coluber_ir::{BlockCall, Function, Inst, Op, Value, ValueDef};
use rustc_hash::FxHashMap as HashMap;

/// See the module.
pub struct InsertRefcounts;

impl Pass for InsertRefcounts {
    fn name(&self) -> &'static str {
        "insert_refcounts"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn run(&self, function: &mut Function) -> Changed {
        split_edges_that_consume(function);
        keep_permanents(function);
        let uses = Uses::new(function);
        let mut consumed = consumed_roots(function);
        consumed.retain(|root| !is_held_anyway(function, *root));
        let values: Vec<Value> = function.values.keys().collect();
        for value in values {
            if !function.ty(value).is_object() {
                continue;
            }
            function.values[value].owned = match function.values[value].def {
                ValueDef::Parameter(..) => true,
                ValueDef::Alias(_) => false,
                ValueDef::Result(inst) => match function.insts[inst].op.refs() {
                    Refs::Owned => true,
                    Refs::Borrowed => consumed.contains(&value),
                    Refs::Alias(_) | Refs::Virtual | Refs::None => false,
                },
            };
        }
        // A refinement is owned as its root is.
        let values: Vec<Value> = function.values.keys().collect();
        for value in values {
            let root = function.root(value);
            if root != value && function.ty(value).is_object() {
                function.values[value].owned = function.values[root].owned;
            }
        }
        // Before copies become the values they are copies of.
        let mut permanents: HashMap<Inst, Vec<Value>> = HashMap::default();
        for &block in &function.layout {
            for &inst in &function.blocks[block].insts {
                let found = consumed_permanents(function, &function.insts[inst].op);
                if !found.is_empty() {
                    permanents.insert(inst, found);
                }
            }
        }
        for index in 0..function.layout.len() {
            let block = function.layout[index];
            let insts = std::mem::take(&mut function.blocks[block].insts);
            let mut result = Vec::with_capacity(insts.len() + 8);
            for (position, &inst) in insts.iter().enumerate() {
                let source = function.insts[inst].source;
                match function.insts[inst].op.clone() {
                    Op::Kill { value, state } => {
                        if function.values[value].owned {
                            result.push(function.make(Op::Decref { value, state }, source));
                        }
                    }
                    Op::Dup { value } => {
                        let copy = function.insts[inst].result.expect("a copy is a result");
                        if is_consumed_at_once(function, &uses, copy, &insts[position + 1..]) {
                            function.replace(copy, value);
                            result.push(function.make(Op::Incref { value }, source));
                        } else {
                            function.insts[inst].op = Op::SameObject { value };
                            result.push(inst);
                            result.push(function.make(Op::Incref { value: copy }, source));
                        }
                    }
                    op => {
                        for value in permanents.remove(&inst).unwrap_or_default() {
                            result.push(function.make(Op::Incref { value }, source));
                        }
                        result.push(inst);
                        if op.refs() == Refs::Borrowed
                            && let Some(value) = function.insts[inst].result
                            && consumed.contains(&value)
                        {
                            result.push(function.make(Op::Incref { value }, source));
                        }
                    }
                }
            }
            function.blocks[block].insts = result;
        }
        function.resolve_aliases();
        function.phase = Phase::Counted;
        true
    }
}

/// What the unit or the frame holds anyway need not be given to an exception's way: it begins with taking the exception.
fn keep_permanents(function: &mut Function) {
    for block in function.layout.clone() {
        let Some(&first) = function.blocks[block].insts.first() else { continue };
        let Op::CatchException { given, state } = function.insts[first].op.clone() else { continue };
        let given = given.into_iter().filter(|value| !is_held_anyway(function, *value)).collect();
        function.insts[first].op = Op::CatchException { given, state };
    }
}

/// What the op consumes of that, once for each time.
fn consumed_permanents(function: &Function, op: &Op) -> Vec<Value> {
    let mut found = Vec::new();
    let mut consume = |value: Value| {
        let is_null = matches!(function.def_op(function.root(value)), Some(Op::NullConstant {}));
        if function.ty(value).is_object() && !is_null && is_held_anyway(function, value) {
            found.push(value);
        }
    };
    op.for_each_stolen(&mut consume);
    op.for_each_target(|target| target.arguments.iter().copied().for_each(&mut consume));
    found
}

/// Gives edges out of a `Branch` that need references to be made a block of their own.
fn split_edges_that_consume(function: &mut Function) {
    for block in function.layout.clone() {
        let inst = function.terminator(block);
        let source = function.insts[inst].source;
        let Op::Branch { condition, mut then, mut otherwise } = function.insts[inst].op.clone() else { continue };
        for target in [&mut then, &mut otherwise] {
            let jump = Op::Jump { target: target.clone() };
            if !consumed_permanents(function, &jump).is_empty() {
                let edge = function.add_block();
                function.append(edge, jump, source);
                *target = BlockCall { block: edge, arguments: Vec::new() };
            }
        }
        function.insts[inst].op = Op::Branch { condition, then, otherwise };
    }
}

/// Whether the only use of a copy consumes it, and nothing in between (`rest` is what follows the copy in its block) can
/// exit or release an object.
fn is_consumed_at_once(function: &Function, uses: &Uses, copy: Value, rest: &[Inst]) -> bool {
    let [(_, user)] = uses.of(copy) else { return false };
    let mut is_consumed = false;
    function.insts[*user].op.for_each_stolen(|value| is_consumed |= value == copy);
    function.insts[*user].op.for_each_target(|target| is_consumed |= target.arguments.contains(&copy));
    let mut between = rest.iter().take_while(|inst| *inst != user);
    let is_quiet = |inst: &Inst| {
        let op = &function.insts[*inst].op;
        let effects = op.effects(function);
        !effects.exits && !effects.raises && !may_release(function, op)
    };
    is_consumed && rest.contains(user) && !uses.in_states(copy) && between.all(is_quiet)
}
