//! What the memory of the unit's own local slots holds at the start of each block.
//!
//! Compiled code stores a local into its slot only where somebody may look ([`crate::calls`]), and only if the slot does
//! not hold it already. A slot that still names an object whose reference has been given up must be cleared or
//! refreshed before anybody looks; this forward analysis says which slots those are. Facts that differ on two paths are
//! forgotten.

use coluber_ir::cfg::Cfg;
use coluber_ir::{Block, FrameStateId, Function, Op, SlotValue, Value};
use rustc_hash::FxHashMap as HashMap;

/// Contents of slots: an object (by root), or `None` for unbound. A slot that is not in the map may hold anything.
/// Under [`untouched`] stands what a slot held at the entry as long as it is there, with its reference.
pub(crate) type Slots = HashMap<usize, Option<Value>>;

/// Key for what a slot held at the entry.
pub(crate) fn untouched(slot: usize) -> usize {
    const BEHIND_ALL_SLOTS: usize = 1 << 24;
    BEHIND_ALL_SLOTS + slot
}

/// Notes that a slot is made to show an object. `false`: it does already.
pub(crate) fn show(slots: &mut Slots, slot: usize, content: Option<Value>) -> bool {
    let changes = slots.insert(slot, content) != Some(content);
    if changes {
        slots.remove(&untouched(slot));
    }
    changes
}

/// The object a slot shows, `None` if it is unbound or in a register only.
pub(crate) fn visible(function: &Function, slot: SlotValue) -> Option<Value> {
    match slot {
        SlotValue::Value(value)
            if function.ty(value).is_object()
                && !matches!(function.def_op(value), Some(Op::NullConstant {}))
                && !function.is_virtual(function.root(value)) =>
        {
            Some(function.root(value))
        }
        _ => None,
    }
}

/// The state of the unit's own activation that a state leads to.
pub(crate) fn own_state(function: &Function, mut state: FrameStateId) -> FrameStateId {
    while let Some(caller) = function.states[state].caller {
        state = caller;
    }
    state
}

/// Whether the op shows frames to others in its regular course.
pub(crate) fn shows_frames(op: &Op) -> bool {
    match op {
        Op::Call { .. } | Op::CallKw { .. } | Op::CallMoving { .. } | Op::CallFunction { .. } => true,
        Op::CallNative { is_quiet, .. } => !is_quiet,
        Op::Invoke { helper, .. } => helper.flag() == coluber_ir::helpers::HelperFlag::python || helper.takes_frame(),
        _ => false,
    }
}

/// Contents of the slots at the start of each block.
pub(crate) fn analyze(function: &Function) -> HashMap<Block, Slots> {
    let cfg = Cfg::new(function);
    let mut outputs: HashMap<Block, Slots> = HashMap::default();
    let mut inputs: HashMap<Block, Slots> = HashMap::default();
    loop {
        let mut settled = true;
        for &block in cfg.rpo() {
            let mut slots: Option<Slots> = (block == function.entry()).then(Slots::default);
            for predecessor in cfg.predecessors(block) {
                let Some(output) = outputs.get(predecessor) else { continue };
                match &mut slots {
                    None => slots = Some(output.clone()),
                    Some(slots) => slots.retain(|slot, content| output.get(slot) == Some(content)),
                }
            }
            let mut slots = slots.unwrap_or_default();
            inputs.insert(block, slots.clone());
            for &inst in &function.blocks[block].insts {
                let data = &function.insts[inst];
                step(function, &data.op, data.result, &mut slots);
            }
            if outputs.get(&block) != Some(&slots) {
                outputs.insert(block, slots);
                settled = false;
            }
        }
        if settled {
            return inputs;
        }
    }
}

fn step(function: &Function, op: &Op, result: Option<Value>, slots: &mut Slots) {
    if crate::generators::is_behind_entry(op) {
        slots.insert(crate::generators::BUFFER, None);
    }
    match (op, result) {
        (Op::LoadArgument { slot } | Op::LoadLocal { slot }, Some(value)) => {
            slots.insert(*slot as usize, Some(value));
            slots.insert(untouched(*slot as usize), Some(value));
        }
        _ if shows_frames(op) => {
            let state = own_state(function, op.state().expect("an op that shows frames has a state"));
            for (slot, content) in function.states[state].locals.iter().enumerate() {
                show(slots, slot, visible(function, *content));
            }
        }
        _ => {}
    }
}
