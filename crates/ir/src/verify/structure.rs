//! Blocks, definitions, phases, dominance.

use super::Report;
use super::raises::{self, Raises};
use crate::fields::{FieldWriter, Immediate};
use crate::function::Phase;
use crate::helpers::HelperType;
use crate::ops::Effects;
use crate::{Block, BlockCall, Cfg, FrameStateId, Function, Helper, Inst, ObjectId, Op, Type, Value, ValueDef};
use cranelift_entity::packed_option::ReservedValue;
use std::collections::BTreeSet;

/// Checks what all later checks build on.
pub fn check(report: &mut Report) {
    let function = report.function;
    let mut placed = BTreeSet::new();
    for &block in &function.layout {
        if !placed.insert(block) {
            report.block(block, format!("{block} is in the layout twice"));
        }
    }
    if function.layout.is_empty() {
        report.function("a function has at least one block");
    }
    let mut insts = BTreeSet::new();
    let raises = Raises::new(function);
    for state in used_states(function) {
        check_callers(state, report);
    }
    for &block in &function.layout {
        check_parameters(block, report);
        check_block(block, &placed, &raises, report);
        for &inst in &function.blocks[block].insts {
            if !insts.insert(inst) {
                report.inst(inst, "the instruction is placed twice");
            }
        }
    }
    if report.errors.is_empty() {
        raises::check(&raises, report);
    }
}

/// States that ops and loop headers refer to, without their callers.
pub fn used_states(function: &Function) -> BTreeSet<FrameStateId> {
    let mut used = BTreeSet::new();
    for &block in &function.layout {
        used.extend(function.blocks[block].loop_state);
        used.extend(function.blocks[block].insts.iter().filter_map(|&inst| function.insts[inst].op.state()));
    }
    used
}

fn check_callers(id: FrameStateId, report: &mut Report) {
    let function = report.function;
    let mut seen = BTreeSet::new();
    let mut next = Some(id);
    while let Some(id) = next {
        if !function.states.is_valid(id) {
            report.function(format!("{id} does not exist"));
            return;
        }
        if !seen.insert(id) {
            report.state(id, "the state is its own caller");
            return;
        }
        next = function.states[id].caller;
    }
}

fn check_parameters(block: Block, report: &mut Report) {
    let function = report.function;
    for (index, &value) in function.blocks[block].parameters.iter().enumerate() {
        if function.values[value].def != ValueDef::Parameter(block, index) {
            report.block(block, format!("{value} is not defined as parameter {index} of {block}"));
        }
    }
}

fn check_block(block: Block, placed: &BTreeSet<Block>, raises: &Raises, report: &mut Report) {
    let function = report.function;
    let insts = &function.blocks[block].insts;
    if insts.last().is_none_or(|&inst| !function.insts[inst].op.is_terminator()) {
        report.block(block, format!("{block} does not end with a terminator"));
    }
    for (index, &inst) in insts.iter().enumerate() {
        let op = &function.insts[inst].op;
        if op.is_terminator() && index + 1 < insts.len() {
            report.inst(inst, "a terminator in the middle of a block");
        }
        if op.only_phase().is_some_and(|phase| phase != function.phase) {
            report.inst(inst, format!("{} does not occur in phase {:?}", op.name(), function.phase));
        }
        if op.is_entry_only() && !is_entry(function, block) {
            report.inst(inst, format!("{} occurs only in the entry block", op.name()));
        }
        op.for_each_target(|call| {
            if !placed.contains(&call.block) {
                report.inst(inst, format!("{} is not in the layout", call.block));
            }
            if call.block == function.entry() {
                report.inst(inst, "a jump to the entry block");
            }
        });
        if needs_frame(function, op) && insts[..index].iter().any(|&inst| is_end_of_frame(function, inst)) {
            report.inst(inst, format!("{} behind EndFrame", op.name()));
        }
        check_result(inst, report);
        check_objects(inst, report);
        check_neighbours(inst, block, &insts[..index], raises, report);
    }
}

/// Whether nothing but tests where the frame stands lies in front of a block.
fn is_entry(function: &Function, block: Block) -> bool {
    if block == function.entry() {
        return true;
    }
    let mut sources = Vec::new();
    for &source in &function.layout {
        let terminator = function.blocks[source].insts.last();
        let ops = terminator.map(|&inst| &function.insts[inst].op);
        ops.into_iter()
            .for_each(|op| op.for_each_target(|call| sources.extend((call.block == block).then_some(source))));
    }
    let [source] = sources[..] else { return false };
    let tests_only = function.blocks[source].insts.iter().all(|&inst| {
        matches!(function.insts[inst].op, Op::IsSuspendedAt { .. } | Op::LoadLocal { .. } | Op::Branch { .. })
    });
    source != block && tests_only && is_entry(function, source)
}

fn is_end_of_frame(function: &Function, inst: Inst) -> bool {
    matches!(function.insts[inst].op, Op::EndFrame {})
}

/// Whether an op may turn to the unit's own frame. What dies does so out of its sight.
fn needs_frame(function: &Function, op: &Op) -> bool {
    let effects = op.effects(function);
    match op {
        Op::Kill { .. } | Op::Decref { .. } | Op::Return { .. } | Op::Unreachable {} => false,
        _ => effects.exits || effects.raises || effects.runs_python || effects.terminator,
    }
}

/// A result for each op that has one, of the representation the op says.
fn check_result(inst: Inst, report: &mut Report) {
    let function = report.function;
    let data = &function.insts[inst];
    let Some(result) = data.result else {
        return;
    };
    let value = &function.values[result];
    if value.def != ValueDef::Result(inst) {
        report.inst(inst, format!("{result} is defined by something else"));
        return;
    }
    // The type of an undefined operand says nothing.
    if !operands_are_defined(function, &data.op) {
        return;
    }
    match function.result_type(&data.op) {
        None => report.inst(inst, format!("{} has no result", data.op.name())),
        Some(ty) if !same_representation(ty, value.ty) => {
            report.inst(inst, format!("the result is {ty}, not {}", value.ty));
        }
        Some(_) => {}
    }
    let is_counted_object = function.phase == Phase::Counted && value.ty.is_object();
    if is_counted_object && data.op.refs() == crate::ops::Refs::Owned && !value.owned {
        report.inst(inst, format!("{result} is an owned reference but not marked so"));
    }
}

fn operands_are_defined(function: &Function, op: &Op) -> bool {
    let mut defined = true;
    op.for_each_operand(|value| defined &= is_defined(function, value).is_ok());
    defined
}

/// Whether values of both types are kept in the same kind of register.
pub fn same_representation(left: Type, right: Type) -> bool {
    left == right || (left.is_object() && right.is_object())
}

/// Object ids that an op names are in the table.
fn check_objects(inst: Inst, report: &mut Report) {
    struct Objects(Vec<ObjectId>);
    impl FieldWriter for Objects {
        fn operand(&mut self, _: &'static str, _: Value) {}
        fn operands(&mut self, _: &'static str, _: &[Value]) {}
        fn state(&mut self, _: &'static str, _: FrameStateId) {}
        fn target(&mut self, _: &'static str, _: &BlockCall) {}
        fn immediate<T: Immediate>(&mut self, _: &'static str, immediate: &T) {
            self.0.extend(immediate.object());
        }
    }
    let mut objects = Objects(Vec::new());
    report.function.insts[inst].op.write_fields(&mut objects);
    for object in objects.0 {
        if object.0 as usize >= report.function.objects.len() {
            report.inst(inst, format!("{object:?} is not in the object table"));
        }
    }
}

/// Ops that belong behind certain others.
fn check_neighbours(inst: Inst, block: Block, before: &[Inst], raises: &Raises, report: &mut Report) {
    let function = report.function;
    let op = |inst: &Inst| &function.insts[*inst].op;
    if let Op::TakeOutput { .. } = op(&inst) {
        // The outputs stand in memory until another helper is called.
        let is_between = |op: &Op| matches!(op, Op::TakeOutput { .. }) || op.effects(function) == Effects::PURE;
        let source = before.iter().rev().chain(raises.next.get(&block)).map(op).find(|op| !is_between(op));
        let has_outputs = matches!(source, Some(Op::Invoke { helper, .. }) if helper.has_outputs());
        if !has_outputs {
            report.inst(inst, "TakeOutput stands behind the helper that has the output");
        }
    }
    let is_unreachable = matches!(op(&inst), Op::Unreachable {});
    let follows = match before.last() {
        Some(last) => always_raises(op(last)) && !matches!(op(&inst), Op::BranchRaised { .. }),
        None => is_unreachable && raises.is_unreachable(function, block),
    };
    if is_unreachable != follows {
        report.inst(inst, "Unreachable stands behind a helper that always raises, and nothing else does");
    }
    if let Op::Invoke { helper, arguments, .. } = op(&inst) {
        check_arity(inst, *helper, arguments.len(), report);
    }
}

fn check_arity(inst: Inst, helper: Helper, found: usize, report: &mut Report) {
    if let Some(count) = helper.argument_count()
        && count != found
    {
        report.inst(inst, format!("{} takes {count} arguments, not {found}", helper.name()));
    }
}

/// Whether control never gets behind an op that is no terminator.
pub fn always_raises(op: &Op) -> bool {
    matches!(op, Op::Invoke { helper, .. } if helper.result() == HelperType::X)
}

/// Whether a value has a definition at all; else why not.
fn is_defined(function: &Function, value: Value) -> Result<(), String> {
    if !function.values.is_valid(value) {
        return Err(format!("{value} does not exist"));
    }
    match function.values[value].def {
        ValueDef::Parameter(block, _) if block == Block::reserved_value() => Err(format!("{value} has no definition")),
        ValueDef::Alias(other) => Err(format!("{value} was replaced by {other}")),
        _ => Ok(()),
    }
}

/// Checks that definitions dominate uses.
pub fn check_dominance(cfg: &Cfg, report: &mut Report) {
    let function = report.function;
    let mut positions = std::collections::BTreeMap::new();
    for &block in &function.layout {
        for (index, &inst) in function.blocks[block].insts.iter().enumerate() {
            positions.insert(inst, (block, index));
        }
    }
    // Whether a value can be used in front of instruction number `index` of a block.
    let is_available = |value: Value, block: Block, index: usize| -> Result<(), String> {
        is_defined(function, value)?;
        let dominates = match function.values[value].def {
            ValueDef::Parameter(home, _) => cfg.dominates(home, block),
            ValueDef::Result(inst) => match positions.get(&inst) {
                None => return Err(format!("the definition of {value} is in no block")),
                Some(&(home, position)) if home == block => position < index,
                // What raised has no result.
                Some(&(home, _)) => match function.raising_inst(home) == Some(inst) {
                    true => cfg.dominates(function.successors(home)[0], block),
                    false => cfg.dominates(home, block),
                },
            },
            ValueDef::Alias(_) => unreachable!("not defined"),
        };
        if dominates { Ok(()) } else { Err(format!("{value} is not defined on every path to here")) }
    };
    for &block in cfg.rpo() {
        let data = &function.blocks[block];
        if let Some(state) = data.loop_state {
            function.for_each_state_value(state, |value| {
                if let Err(message) = is_available(value, block, 0) {
                    report.block(block, format!("{state}: {message}"));
                }
            });
        }
        for (index, &inst) in data.insts.iter().enumerate() {
            let op = &function.insts[inst].op;
            op.for_each_operand(|value| {
                if let Err(message) = is_available(value, block, index) {
                    report.inst(inst, message);
                }
            });
            if let Some(state) = op.state() {
                function.for_each_state_value(state, |value| {
                    if let Err(message) = is_available(value, block, index) {
                        report.inst(inst, format!("{state}: {message}"));
                    }
                });
            }
        }
    }
}
