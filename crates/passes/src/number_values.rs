//! Gives equal pure computations one value (dominator-scoped global value numbering), folds constants on the way.
//!
//! ```text
//! v3 = UnboxFloat v1             v3 = UnboxFloat v1
//! v4 = UnboxFloat v1        =>   v5 = FloatMultiply v3, v3
//! v5 = FloatMultiply v3, v4
//! ```
//!
//! Correct: a pure op gives the same result for the same operands, and a value that dominates can be used. Ops that
//! exit count as pure where a dominating equal one has not exited: it would exit again. Ops with an object result are
//! left alone (each box is an object of its own) except constants and refinements; loads are for `remove_guards`. "Does
//! not fire": `keeps_box_of_equal_value`, `keeps_computation_in_a_sibling_block`, `keeps_computation_that_overflows`,
//! `keeps_guard_of_another_kind`.

use crate::analysis::pointer;
use crate::manager::{Changed, Pass};
use coluber_ir::cfg::Cfg;
use coluber_ir::ops::Refs;
use coluber_ir::{Comparison, FrameStateId, Function, Op, Value};
use rustc_hash::FxHashMap as HashMap;

/// See the module.
pub struct NumberValues;

impl Pass for NumberValues {
    fn name(&self) -> &'static str {
        "number_values"
    }

    fn is_required(&self) -> bool {
        false
    }

    fn run(&self, function: &mut Function) -> Changed {
        let cfg = Cfg::new(function);
        let order: Vec<_> = cfg.rpo().to_vec();
        // For each key the definitions seen so far with their blocks; the dominating one is taken.
        let mut table: HashMap<Op, Vec<(coluber_ir::Block, Value)>> = HashMap::default();
        let mut changed = false;
        for block in order {
            let insts = std::mem::take(&mut function.blocks[block].insts);
            let mut kept = Vec::with_capacity(insts.len());
            for inst in insts {
                let values = &function.values;
                function.insts[inst].op.for_each_operand_mut(|value| {
                    while let coluber_ir::ValueDef::Alias(other) = values[*value].def {
                        *value = other;
                    }
                });
                if let Some(op) = fold(function, &function.insts[inst].op) {
                    function.insts[inst].op = op;
                    changed = true;
                }
                let op = &function.insts[inst].op;
                let Some(result) = function.insts[inst].result else {
                    kept.push(inst);
                    continue;
                };
                if let Some(value) = identity(function, op) {
                    function.replace(result, value);
                    changed = true;
                    continue;
                }
                if !is_numberable(function, op) {
                    kept.push(inst);
                    continue;
                }
                let known = table.entry(key(function, op)).or_default();
                let earlier = known
                    .iter()
                    .find(|(other, value)| cfg.dominates(*other, block) && function.resolve(*value) != result)
                    .copied();
                match earlier {
                    Some((_, value)) => {
                        function.replace(result, value);
                        changed = true;
                    }
                    None => {
                        known.push((block, result));
                        kept.push(inst);
                    }
                }
            }
            function.blocks[block].insts = kept;
        }
        function.resolve_aliases();
        changed
    }
}

/// An op without its state: two that differ in nothing else compute the same.
fn key(function: &Function, op: &Op) -> Op {
    let mut op = op.clone();
    op.set_state(FrameStateId::from_u32(0));
    if matches!(op, Op::UnboxInt { .. } | Op::UnboxFloat { .. } | Op::UnboxBool { .. }) {
        // What an object contains does not depend on which value refers to it.
        op.for_each_operand_mut(|value| *value = pointer(function, *value));
    }
    op
}

fn is_numberable(function: &Function, op: &Op) -> bool {
    let effects = op.effects(function);
    let pure =
        effects.reads == 0 && effects.writes == 0 && !effects.raises && !effects.runs_python && !effects.terminator;
    let identity_free = match op.refs() {
        Refs::None => true,
        Refs::Alias(_) => true,
        Refs::Borrowed => matches!(
            op,
            Op::Constant { .. } | Op::NoneConstant {} | Op::NullConstant {} | Op::BoxBool { .. } | Op::LoadFunction {}
        ),
        Refs::Owned | Refs::Virtual => false,
    };
    pure && identity_free && !matches!(op, Op::GuardStackTag { .. } | Op::LoadStackInt { .. })
}

/// The operand an op is equal to, if it is.
fn identity(function: &Function, op: &Op) -> Option<Value> {
    match op {
        Op::GuardKind { value, kind, .. } | Op::AssumeKind { value, kind }
            if function.ty(*value).kind() == Some(*kind) =>
        {
            Some(*value)
        }
        Op::GuardIdentity { value, object, .. } if matches!(function.ty(*value), coluber_ir::Type::Constant(known, _) if known == *object) => {
            Some(*value)
        }
        Op::GuardBound { value, .. } | Op::AssumeBound { value } if !function.ty(*value).is_nullable() => Some(*value),
        Op::UnboxInt { value, .. } | Op::UnboxFloat { value } | Op::UnboxBool { value } => {
            match function.def_op(function.root(*value)) {
                Some(Op::BoxInt { value } | Op::BoxFloat { value } | Op::BoxBool { value }) => {
                    let raw = function.resolve(*value);
                    let wanted = op.result_type(function)?;
                    (function.ty(raw) == wanted).then_some(raw)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn int(function: &Function, value: Value) -> Option<i64> {
    match function.def_op(value)? {
        Op::IntConstant { value } => Some(*value),
        _ => None,
    }
}

fn float(function: &Function, value: Value) -> Option<f64> {
    match function.def_op(value)? {
        Op::FloatConstant { bits } => Some(f64::from_bits(*bits)),
        _ => None,
    }
}

fn boolean(function: &Function, value: Value) -> Option<bool> {
    match function.def_op(value)? {
        Op::BoolConstant { value } => Some(*value),
        _ => None,
    }
}

/// The constant an op computes, if its operands are constants and it cannot exit.
fn fold(function: &Function, op: &Op) -> Option<Op> {
    Some(match op {
        Op::IntToFloat { value } => Op::FloatConstant { bits: (int(function, *value)? as f64).to_bits() },
        Op::IntAdvance { left, right } => {
            Op::IntConstant { value: int(function, *left)?.checked_add(int(function, *right)?)? }
        }
        Op::IntAdd { left, right, .. } => {
            Op::IntConstant { value: int(function, *left)?.checked_add(int(function, *right)?)? }
        }
        Op::IntSubtract { left, right, .. } => {
            Op::IntConstant { value: int(function, *left)?.checked_sub(int(function, *right)?)? }
        }
        Op::IntMultiply { left, right, .. } => {
            Op::IntConstant { value: int(function, *left)?.checked_mul(int(function, *right)?)? }
        }
        Op::IntCompare { comparison, left, right } => {
            let (left, right) = (int(function, *left)?, int(function, *right)?);
            Op::BoolConstant {
                value: match comparison {
                    Comparison::Less => left < right,
                    Comparison::LessEqual => left <= right,
                    Comparison::Equal => left == right,
                    Comparison::NotEqual => left != right,
                    Comparison::Greater => left > right,
                    Comparison::GreaterEqual => left >= right,
                },
            }
        }
        Op::FloatAdd { left, right } => {
            Op::FloatConstant { bits: (float(function, *left)? + float(function, *right)?).to_bits() }
        }
        Op::FloatSubtract { left, right } => {
            Op::FloatConstant { bits: (float(function, *left)? - float(function, *right)?).to_bits() }
        }
        Op::FloatMultiply { left, right } => {
            Op::FloatConstant { bits: (float(function, *left)? * float(function, *right)?).to_bits() }
        }
        Op::BoolNot { value } => Op::BoolConstant { value: !boolean(function, *value)? },
        _ => return None,
    })
}
