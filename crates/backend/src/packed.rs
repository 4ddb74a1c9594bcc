//! Sequences of plain numbers: `bytes`, `bytearray`, `array.array`.

use crate::lower::Lowerer;
use coluber_ir::ops::Packed;
use coluber_ir::{FrameStateId, Value};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self as clif, InstBuilder, MemFlagsData, types};

impl Lowerer<'_> {
    /// Address of the number at an index, and the offset to add.
    fn packed_address(&mut self, sequence: Value, index: Value, format: Packed) -> (clif::Value, i32) {
        let layout = self.layout();
        let (inline, pointer) = (layout.bytes_data, (layout.bytearray_start, layout.array_items));
        let sequence = self.value(sequence);
        let (start, offset) = match format {
            Packed::Bytes => (sequence, inline),
            Packed::ByteArray => (self.load(types::I64, sequence, pointer.0), 0),
            _ => (self.load(types::I64, sequence, pointer.1), 0),
        };
        let index = self.value(index);
        let scaled = match format.size().trailing_zeros() {
            0 => index,
            shift => self.builder.ins().ishl_imm_u(index, i64::from(shift)),
        };
        (self.builder.ins().iadd(start, scaled), offset)
    }

    /// The number at an index, in a register.
    pub fn packed_item(&mut self, sequence: Value, index: Value, format: Packed) -> clif::Value {
        let (address, offset) = self.packed_address(sequence, index, format);
        let flags = MemFlagsData::trusted();
        let ins = self.builder.ins();
        match format {
            Packed::Bytes | Packed::ByteArray | Packed::UInt8 => ins.uload8(types::I64, flags, address, offset),
            Packed::Int8 => ins.sload8(types::I64, flags, address, offset),
            Packed::UInt16 => ins.uload16(types::I64, flags, address, offset),
            Packed::Int16 => ins.sload16(types::I64, flags, address, offset),
            Packed::UInt32 => ins.uload32(flags, address, offset),
            Packed::Int32 => ins.sload32(flags, address, offset),
            Packed::Int64 => self.load(types::I64, address, offset),
            Packed::Float64 => self.load(types::F64, address, offset),
        }
    }

    /// Exits unless an int fits the format.
    pub fn guard_fits(&mut self, value: Value, format: Packed, state: FrameStateId) {
        let Some((lowest, highest)) = format.bounds().filter(|bounds| *bounds != (i64::MIN, i64::MAX)) else { return };
        let value = self.value(value);
        // One comparison: what is below the lowest wraps around to a large number.
        let distance = self.builder.ins().iadd_imm_s(value, -lowest);
        let fits =
            self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, distance, highest.abs_diff(lowest) as i64);
        self.exit_unless(fits, state, "SetPackedInt");
    }

    /// Stores a number that fits.
    pub fn set_packed_item(&mut self, sequence: Value, index: Value, value: Value, format: Packed) {
        let (address, offset) = self.packed_address(sequence, index, format);
        let value = self.value(value);
        let flags = MemFlagsData::trusted();
        match format.size() {
            1 => self.builder.ins().istore8(flags, value, address, offset),
            2 => self.builder.ins().istore16(flags, value, address, offset),
            4 => self.builder.ins().istore32(flags, value, address, offset),
            _ => self.builder.ins().store(flags, value, address, offset),
        };
    }
}
