//! Removes guards whose fact is already established on every path, and loads whose value is already in a register.
//!
//! ```text
//! GuardClass v0, c1, fs3             GuardClass v0, c1, fs3
//! v2 = LoadField v0, 48, fs3         v2 = LoadField v0, 48, fs3
//! GuardClass v0, c1, fs4        =>   v3 = SameObject v2
//! v3 = LoadField v0, 48, fs4
//! ```
//!
//! A forward analysis over the whole function: a fact is available at a block if it is at the end of all its predecessors
//! (optimistic for loops). Facts about classes and invariants end at every op that may run Python; facts about memory end
//! at ops that write that memory.
//!
//! Correct: between two equal guards without such an op in between nothing can make the second fail. Left alone: facts
//! about a value and its block parameter. Two more rewrites use the same facts: what a store takes out of a place that was
//! read gets the type that is known of it, and `CheckFrame` goes where no Python code runs. "Does not fire":
//! `keeps_guard_behind_a_call`, `keeps_load_behind_a_store`, `keeps_guard_that_holds_on_one_path_only`,
//! `keeps_type_of_another_item`, `keeps_frame_check_where_python_code_runs`.

use crate::analysis::pointer;
use crate::manager::{Changed, Pass};
use coluber_ir::cfg::Cfg;
use coluber_ir::ops::Memory;
use coluber_ir::{Block, Function, Helper, Inst, Kind, ObjectId, Op, Type, Value};
use std::collections::{HashMap, HashSet};

/// See the module.
pub struct RemoveGuards;

/// Something a guard establishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Fact {
    Class(Value, ObjectId),
    InlineValues(Value),
    NoDict(Value),
    Keys(ObjectId, u32),
    Version(ObjectId, u32),
    FunctionCode(Value, ObjectId),
    Invariants,
    Kind(Value, Kind),
}

/// Something read from memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    Field(Value, u32),
    Length(Value),
    Item(Value, Value),
    Sequence(Value),
}

#[derive(Clone, Default, PartialEq)]
struct Available {
    facts: HashSet<Fact>,
    loads: HashMap<Place, Value>,
}

impl Available {
    fn meet(&mut self, other: &Available) {
        self.facts.retain(|fact| other.facts.contains(fact));
        self.loads.retain(|place, value| other.loads.get(place) == Some(value));
    }
}

impl Pass for RemoveGuards {
    fn name(&self) -> &'static str {
        "remove_guards"
    }

    fn is_required(&self) -> bool {
        false
    }

    fn run(&self, function: &mut Function) -> Changed {
        let cfg = Cfg::new(function);
        let order: Vec<Block> = cfg.rpo().to_vec();
        let mut outputs: HashMap<Block, Available> = HashMap::new();
        loop {
            let mut settled = true;
            for &block in &order {
                let mut state = input(&cfg, &outputs, block, function.entry());
                for &inst in &function.blocks[block].insts {
                    step(function, inst, &mut state);
                }
                if outputs.get(&block) != Some(&state) {
                    outputs.insert(block, state);
                    settled = false;
                }
            }
            if settled {
                break;
            }
        }
        let mut changed = remove_frame_checks(function);
        for &block in &order {
            let mut state = input(&cfg, &outputs, block, function.entry());
            let insts = std::mem::take(&mut function.blocks[block].insts);
            let mut kept = Vec::with_capacity(insts.len());
            for inst in insts {
                let op = &function.insts[inst].op;
                if fact_of(function, op).is_some_and(|fact| state.facts.contains(&fact)) {
                    changed = true;
                    continue;
                }
                if let Some(place) = place_of(function, op)
                    && let Some(&known) = state.loads.get(&place)
                    && function.insts[inst].result != Some(known)
                {
                    changed = true;
                    let result = function.insts[inst].result.expect("a load has a result");
                    if function.ty(result).is_object() {
                        function.insts[inst].op = Op::SameObject { value: known };
                        function.values[result].ty = function.ty(known);
                        kept.push(inst);
                    } else {
                        function.replace(result, known);
                    }
                    continue;
                }
                if let Some((value, ty)) = replaced_value(function, inst, &state)
                    && function.values[value].ty != ty
                {
                    function.values[value].ty = ty;
                    changed = true;
                }
                step(function, inst, &mut state);
                kept.push(inst);
            }
            function.blocks[block].insts = kept;
        }
        function.resolve_aliases();
        changed
    }
}

fn input(cfg: &Cfg, outputs: &HashMap<Block, Available>, block: Block, entry: Block) -> Available {
    if block == entry {
        return Available::default();
    }
    let mut result: Option<Available> = None;
    for predecessor in cfg.predecessors(block) {
        // A predecessor not seen yet promises everything.
        let Some(output) = outputs.get(predecessor) else { continue };
        match &mut result {
            None => result = Some(output.clone()),
            Some(result) => result.meet(output),
        }
    }
    // The same value on all paths is one that dominates the block.
    result.unwrap_or_default()
}

/// The type of the value that a store takes out of its place, where the place was read before: a number that dies there
/// needs no finalizer to be feared.
fn replaced_value(function: &Function, inst: Inst, state: &Available) -> Option<(Value, Type)> {
    let data = &function.insts[inst];
    let place = match &data.op {
        Op::ListSwap { list, index, .. } => Place::Item(pointer(function, *list), *index),
        Op::StoreField { object, offset, .. } | Op::StoreSlot { object, offset, .. } => {
            Place::Field(pointer(function, *object), *offset)
        }
        _ => return None,
    };
    let known = pointer(function, *state.loads.get(&place)?);
    let kind = function.ty(known).kind().or_else(|| {
        state.facts.iter().find_map(|fact| match fact {
            Fact::Kind(value, kind) if *value == known => Some(*kind),
            _ => None,
        })
    })?;
    Some((data.result?, Type::Exact(kind)))
}

fn fact_of(function: &Function, op: &Op) -> Option<Fact> {
    Some(match op {
        Op::GuardClass { value, class, .. } => Fact::Class(pointer(function, *value), *class),
        Op::GuardInlineValues { value, .. } => Fact::InlineValues(pointer(function, *value)),
        Op::GuardNoDict { value, .. } => Fact::NoDict(pointer(function, *value)),
        Op::GuardKeys { class, version, .. } => Fact::Keys(*class, *version),
        Op::GuardVersion { class, version, .. } => Fact::Version(*class, *version),
        Op::GuardFunctionCode { function: callee, code, .. } => Fact::FunctionCode(pointer(function, *callee), *code),
        Op::CheckInvariants { .. } => Fact::Invariants,
        _ => return None,
    })
}

fn place_of(function: &Function, op: &Op) -> Option<Place> {
    Some(match op {
        Op::LoadField { object, offset, .. } => Place::Field(pointer(function, *object), *offset),
        Op::ListGet { list, index } => Place::Item(pointer(function, *list), *index),
        Op::ListLength { list } => Place::Length(pointer(function, *list)),
        Op::IteratorSequence { iterator } => Place::Sequence(pointer(function, *iterator)),
        _ => return None,
    })
}

fn step(function: &Function, inst: Inst, state: &mut Available) {
    let data = &function.insts[inst];
    let effects = data.op.effects(function);
    if effects.runs_python {
        state.facts.clear();
        state.loads.clear();
        return;
    }
    let writes = |memory: Memory| effects.writes & memory as u8 != 0;
    if writes(Memory::Shape) {
        state.facts.clear();
    }
    if writes(Memory::Fields) {
        match &data.op {
            // A store changes one attribute; another object may be the same one, another offset is another attribute.
            Op::StoreField { offset, .. } | Op::StoreSlot { offset, .. } => {
                state.loads.retain(|place, _| !matches!(place, Place::Field(_, other) if other == offset));
            }
            _ => state.loads.retain(|place, _| !matches!(place, Place::Field(..))),
        }
    }
    if writes(Memory::Lists) {
        // An item that is replaced does not change the length.
        let keeps_length = matches!(data.op, Op::ListSwap { .. });
        state.loads.retain(|place, _| match place {
            Place::Length(_) => keeps_length,
            Place::Item(..) => false,
            _ => true,
        });
    }
    if writes(Memory::Iterators) {
        state.loads.retain(|place, _| !matches!(place, Place::Sequence(_)));
    }
    if let Op::Invoke { helper: Helper::NewInstance, arguments, .. } = &data.op
        && let (Some(instance), Type::Constant(class, _)) = (data.result, function.ty(arguments[0]))
    {
        // Nobody has touched the new instance yet.
        state.facts.extend([Fact::Class(instance, class), Fact::InlineValues(instance), Fact::NoDict(instance)]);
    }
    if let Op::GuardKind { value, kind, .. } = &data.op {
        state.facts.insert(Fact::Kind(pointer(function, *value), *kind));
    }
    if let Some(fact) = fact_of(function, &data.op) {
        state.facts.insert(fact);
    }
    if let Some(place) = place_of(function, &data.op) {
        state.loads.entry(place).or_insert(data.result.expect("a load has a result"));
    }
}

/// Without anything that can run Python nobody can get hold of the frame of a unit entered at its start.
fn remove_frame_checks(function: &mut Function) -> bool {
    let mut observable = false;
    let mut has_check = false;
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            observable |= op.effects(function).runs_python || matches!(op, Op::LoadLocal { .. });
            has_check |= matches!(op, Op::CheckFrame { .. });
        }
    }
    if observable || !has_check {
        return false;
    }
    for index in 0..function.layout.len() {
        let block = function.layout[index];
        let insts = &function.insts;
        function.blocks[block].insts.retain(|inst| !matches!(insts[*inst].op, Op::CheckFrame { .. }));
    }
    true
}
