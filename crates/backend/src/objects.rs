//! Tuples, instances and iterators: made with their contents.

use crate::lower::Lowerer;
use coluber_ir::ops::Walker;
use coluber_ir::{ObjectId, Op, Value};
use cranelift_codegen::ir::{self as clif, InstBuilder, types};

impl Lowerer<'_> {
    /// `MakeTuple`, `MakeInstance` and `MakeIterator`.
    pub fn make_object(&mut self, op: &Op) -> Result<clif::Value, String> {
        match op {
            Op::MakeTuple { items } => Ok(self.make_tuple(items)),
            Op::MakeInstance { class, offsets, values } => self.make_instance(*class, &offsets.0, values),
            Op::MakeIterator { walker, parts } => Ok(self.make_iterator(*walker, parts)),
            other => Err(format!("{} makes no object", other.name())),
        }
    }

    fn make_tuple(&mut self, items: &[Value]) -> clif::Value {
        let slot = self.arguments;
        for (index, item) in items.iter().enumerate() {
            let item = self.value(*item);
            self.builder.ins().stack_store(types::I64, item, slot, 8 * index as i32);
        }
        let first = self.builder.ins().stack_addr(types::I64, slot, 0);
        let count = self.iconst(items.len() as u64);
        self.call_address(self.target.make_tuple, &[first, count], &[types::I64])[0]
    }

    fn make_iterator(&mut self, walker: Walker, parts: &[Value]) -> clif::Value {
        let slot = self.arguments;
        for (index, part) in parts.iter().enumerate() {
            let part = self.value(*part);
            self.builder.ins().stack_store(types::I64, part, slot, 8 * index as i32);
        }
        let first = self.builder.ins().stack_addr(types::I64, slot, 0);
        let walker = self.iconst(walker as u64);
        self.call_address(self.target.make_iterator, &[walker, first], &[types::I64])[0]
    }

    fn make_instance(&mut self, class: ObjectId, offsets: &[u32], values: &[Value]) -> Result<clif::Value, String> {
        let header = self.class_offset_of_values(class)?;
        let class = self.iconst(self.addresses.object(class));
        let object = self.call_address(self.target.make_instance, &[class], &[types::I64])[0];
        for (offset, value) in offsets.iter().zip(values) {
            let value = self.value(*value);
            self.store(value, object, *offset as i32);
        }
        let first = header + coluber_ir::INLINE_VALUES_HEADER as i32;
        let inline: Vec<i32> = offsets.iter().map(|offset| *offset as i32).filter(|offset| *offset >= first).collect();
        if inline.is_empty() {
            return Ok(object);
        }
        // The numbers of the values in the order in which they were set stand behind the values, a byte each.
        let capacity = self.load(types::I8, object, header + self.layout().values_capacity);
        let capacity = self.builder.ins().uextend(types::I64, capacity);
        let size = self.builder.ins().ishl_imm_u(capacity, 3);
        let order = self.builder.ins().iadd(object, size);
        for (place, offset) in inline.iter().enumerate() {
            let number = self.builder.ins().iconst(types::I8, i64::from((offset - first) / 8));
            self.store(number, order, first + place as i32);
        }
        let count = self.builder.ins().iconst(types::I8, inline.len() as i64);
        self.store(count, object, header + self.layout().values_size);
        Ok(object)
    }
}
