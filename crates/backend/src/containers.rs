//! Items of lists.

use crate::lower::Lowerer;
use coluber_ir::Value;
use cranelift_codegen::ir::{self as clif, InstBuilder, condcodes::IntCC, types};

impl Lowerer<'_> {
    /// The address of an item of a list.
    pub fn list_item(&mut self, list: Value, index: Value) -> clif::Value {
        let list = self.value(list);
        let items = self.load(types::I64, list, self.layout().list_items);
        let index = self.value(index);
        let scaled = self.builder.ins().ishl_imm_u(index, 3);
        self.builder.ins().iadd(items, scaled)
    }

    /// Items change places from both ends to the middle.
    pub fn reverse_items(&mut self, list: Value, first: Value, last: Value) {
        let (low, high) = (self.list_item(list, first), self.list_item(list, last));
        let (test, swap, next) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        let low_now = self.builder.append_block_param(test, types::I64);
        let high_now = self.builder.append_block_param(test, types::I64);
        self.builder.ins().jump(test, &[low.into(), high.into()]);
        self.builder.switch_to_block(test);
        let is_left = self.builder.ins().icmp(IntCC::UnsignedLessThan, low_now, high_now);
        self.builder.ins().brif(is_left, swap, &[], next, &[]);
        self.builder.switch_to_block(swap);
        let (one, other) = (self.load(types::I64, low_now, 0), self.load(types::I64, high_now, 0));
        self.store(other, low_now, 0);
        self.store(one, high_now, 0);
        let low = self.builder.ins().iadd_imm_s(low_now, 8);
        let high = self.builder.ins().iadd_imm_s(high_now, -8);
        self.builder.ins().jump(test, &[low.into(), high.into()]);
        self.builder.switch_to_block(next);
    }
}
