//! Floats that are overwritten in place.
//!
//! ```text
//! v3 = BoxFloat v2
//! v4: Exact(Float) = ListSwap v0, v1, v3
//! Decref v4, fs5
//! ```
//!
//! If the float in the list has no other reference, it would die here, and nobody could tell it from a new one at its
//! address, which is what the free list would give. So the new value is stored into it: nothing is allocated or freed.
//! The same with `StoreField` and `StoreSlot`. That nobody else uses the old float is what the verifier's rules about borrowed references
//! say of every place where an object may die.

use crate::lower::Lowerer;
use coluber_ir::{Function, Inst, Kind, Op, Type, Value};
use cranelift_codegen::ir::{InstBuilder, condcodes::IntCC, types};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

/// Where floats are overwritten.
#[derive(Default)]
pub(crate) struct Overwrites {
    /// Stores with the number they store.
    pub stores: HashMap<Inst, Value>,
    /// The boxes that are made only if need be, and the deaths that are part of the store.
    pub absorbed: HashSet<Inst>,
}

/// Finds them.
pub(crate) fn analyze(function: &Function) -> Overwrites {
    let mut found = Overwrites::default();
    let mut values: HashMap<Value, (Inst, Value, Inst)> = HashMap::default();
    for &block in &function.layout {
        // Between them may stand what nothing is emitted for.
        let is_there = |inst: &Inst| function.insts[*inst].result.is_none_or(|result| !function.is_virtual(result));
        let insts: Vec<Inst> = function.blocks[block].insts.iter().copied().filter(is_there).collect();
        for pair in insts.windows(2) {
            let (store, death) = (&function.insts[pair[0]], &function.insts[pair[1]]);
            let (Op::ListSwap { value: stored, .. }
            | Op::StoreField { value: stored, .. }
            | Op::StoreSlot { value: stored, .. }) = store.op
            else {
                continue;
            };
            let (Op::Decref { value: dead, .. }, Some(old)) = (&death.op, store.result) else { continue };
            let Some(Op::BoxFloat { value: raw }) = function.def_op(stored) else { continue };
            if *dead == old && function.ty(old) == Type::Exact(Kind::Float) {
                values.insert(stored, (pair[0], *raw, pair[1]));
            }
        }
    }
    if values.is_empty() {
        return found;
    }
    let mut uses: HashMap<Value, u32> = HashMap::default();
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            op.for_each_operand(|value| *uses.entry(value).or_default() += 1);
            op.for_each_target(|target| {
                target.arguments.iter().for_each(|value| *uses.entry(*value).or_default() += 1);
            });
            if let Some(state) = op.state() {
                function.for_each_state_value(state, |value| *uses.entry(value).or_default() += 1);
            }
        }
    }
    for (stored, (store, raw, death)) in values {
        let old = function.insts[store].result;
        if uses.get(&stored) == Some(&1)
            && old.and_then(|old| uses.get(&old)) == Some(&1)
            && let Some(made) = function.def_inst(stored)
        {
            found.stores.insert(store, raw);
            found.absorbed.extend([made, death]);
        }
    }
    found
}

impl Lowerer<'_> {
    /// Stores a number into the float that the place holds, or a new one into the place.
    pub fn overwrite(&mut self, store: &Op, raw: Value) {
        let (place, offset) = match store {
            Op::ListSwap { list, index, .. } => (self.list_item(*list, *index), 0),
            Op::StoreField { object, offset, .. } | Op::StoreSlot { object, offset, .. } => {
                (self.value(*object), *offset as i32)
            }
            _ => unreachable!("no other op stores"),
        };
        let layout = self.layout();
        let old = self.load(types::I64, place, offset);
        let count = self.load(types::I32, old, layout.ob_refcnt);
        let is_unique = self.builder.ins().icmp_imm_s(IntCC::Equal, count, 1);
        let (unique, shared, next) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(shared);
        self.builder.ins().brif(is_unique, unique, &[], shared, &[]);
        self.builder.switch_to_block(shared);
        let boxed = self.box_float(raw);
        self.store(boxed, place, offset);
        // It does not die; an immortal one's count stays what it is (see `decref`).
        let sign = self.builder.ins().sshr_imm_u(count, 31);
        let less = self.builder.ins().iadd_imm_s(count, -1);
        let less = self.builder.ins().isub(less, sign);
        self.store(less, old, layout.ob_refcnt);
        self.builder.ins().jump(next, &[]);
        self.builder.switch_to_block(unique);
        let number = self.value(raw);
        self.store(number, old, layout.float_value);
        self.builder.ins().jump(next, &[]);
        self.builder.switch_to_block(next);
    }
}
