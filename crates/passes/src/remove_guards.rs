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
//! at ops that write that memory. What `IsClass` found is a fact behind its branch; what a class was becomes a fact again
//! at `GuardInlineValues` (see the verifier's facts). That an object is of a builtin type is a fact for good, whichever value
//! refers to it.
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
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

/// See the module.
pub struct RemoveGuards;

/// Something a guard establishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Fact {
    InlineValues(Value),
    NoDict(Value),
    Keys(ObjectId, u32),
    Version(ObjectId, u32),
    FunctionCode(Value, ObjectId),
    Invariants,
    Kind(Value, Kind),
    /// What this `IsClass` found still holds.
    Tested(Value),
}

/// The classes an object can be of.
#[derive(Clone, PartialEq, Debug)]
struct Classes {
    classes: Vec<ObjectId>,
    /// Whether no Python code can have changed the class since.
    present: bool,
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
    classes: HashMap<Value, Classes>,
    loads: HashMap<Place, Value>,
}

impl Available {
    fn set_class(&mut self, object: Value, class: ObjectId) {
        self.classes.insert(object, Classes { classes: vec![class], present: true });
    }

    /// Whether a guard's fact holds.
    fn holds(&self, function: &Function, op: &Op) -> bool {
        if let Op::GuardClass { value, class, .. } = op {
            let known = self.classes.get(&pointer(function, *value));
            return known.is_some_and(|known| known.present && known.classes == [*class]);
        }
        fact_of(function, op).is_some_and(|fact| self.facts.contains(&fact))
    }

    fn meet(&mut self, other: &Available) {
        self.classes.retain(|object, known| {
            let Some(other) = other.classes.get(object) else { return false };
            known.present &= other.present;
            known.classes.extend(&other.classes);
            known.classes.sort_unstable();
            known.classes.dedup();
            true
        });
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
        let mut outputs: HashMap<Block, Available> = HashMap::default();
        loop {
            let mut settled = true;
            for &block in &order {
                let mut state = input(function, &cfg, &outputs, block);
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
            let mut state = input(function, &cfg, &outputs, block);
            let insts = std::mem::take(&mut function.blocks[block].insts);
            let mut kept = Vec::with_capacity(insts.len());
            for inst in insts {
                let op = &function.insts[inst].op;
                if state.holds(function, op) {
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
                if let Op::GuardKind { value, kind, .. } = *op
                    && state.facts.contains(&Fact::Kind(pointer(function, value), kind))
                {
                    // The object was looked at through another value.
                    function.insts[inst].op = Op::AssumeKind { value, kind };
                    changed = true;
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

fn input(function: &Function, cfg: &Cfg, outputs: &HashMap<Block, Available>, block: Block) -> Available {
    if block == function.entry() {
        return Available::default();
    }
    let mut result: Option<Available> = None;
    for predecessor in cfg.predecessors(block) {
        // A predecessor not seen yet promises everything.
        let Some(output) = outputs.get(predecessor) else { continue };
        let mut output = output.clone();
        test_class(function, *predecessor, block, &mut output);
        match &mut result {
            None => result = Some(output),
            Some(result) => result.meet(&output),
        }
    }
    // The same value on all paths is one that dominates the block.
    result.unwrap_or_default()
}

/// What an edge says about the class that the branch in front of it tested.
fn test_class(function: &Function, from: Block, to: Block, state: &mut Available) {
    let Op::Branch { condition, then, otherwise } = &function.insts[function.terminator(from)].op else { return };
    let Some(Op::IsClass { value, class }) = function.def_op(*condition) else { return };
    if then.block == otherwise.block || !state.facts.contains(&Fact::Tested(function.resolve(*condition))) {
        return;
    }
    let object = pointer(function, *value);
    if then.block == to {
        state.set_class(object, *class);
    } else if let Some(known) = state.classes.get_mut(&object) {
        known.classes.retain(|other| other != class);
    }
}

/// The index that a guard found to be in range. As long as what was read from a list is known its length is the same, so
/// equal indices stand for the same item.
fn unchecked(function: &Function, index: Value) -> Value {
    match function.def_op(function.resolve(index)) {
        Some(Op::GuardIndex { index, .. }) => function.resolve(*index),
        _ => function.resolve(index),
    }
}

/// The type of the value that a store takes out of its place, where the place was read before: a number that dies there
/// needs no finalizer to be feared.
fn replaced_value(function: &Function, inst: Inst, state: &Available) -> Option<(Value, Type)> {
    let data = &function.insts[inst];
    let place = match &data.op {
        Op::ListSwap { list, index, .. } => Place::Item(pointer(function, *list), unchecked(function, *index)),
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
        Op::ListGet { list, index } => Place::Item(pointer(function, *list), unchecked(function, *index)),
        Op::ListLength { list } => Place::Length(pointer(function, *list)),
        Op::IteratorSequence { iterator } => Place::Sequence(pointer(function, *iterator)),
        _ => return None,
    })
}

fn step(function: &Function, inst: Inst, state: &mut Available) {
    let data = &function.insts[inst];
    let effects = data.op.effects(function);
    let writes = |memory: Memory| effects.writes & memory as u8 != 0;
    if effects.runs_python || writes(Memory::Shape) {
        // An object of a builtin type stays one.
        state.facts.retain(|fact| matches!(fact, Fact::Kind(..)));
        state.classes.values_mut().for_each(|known| known.present = false);
    }
    if effects.runs_python {
        state.loads.clear();
        return;
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
        // Items that are replaced or change places do not change the length.
        let keeps_length = matches!(data.op, Op::ListSwap { .. } | Op::ReverseItems { .. });
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
        state.set_class(instance, class);
        state.facts.extend([Fact::InlineValues(instance), Fact::NoDict(instance)]);
    }
    match &data.op {
        Op::GuardClass { value, class, .. } => state.set_class(pointer(function, *value), *class),
        Op::GuardInlineValues { value, .. } => {
            if let Some(known) = state.classes.get_mut(&pointer(function, *value)) {
                known.present = true;
            }
        }
        Op::IsClass { .. } => state.facts.extend(data.result.map(Fact::Tested)),
        _ => {}
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
