//! Subscripts of sequences of plain numbers: `bytes`, `bytearray`, `array.array`. No object is made for a number.

use crate::Bailout;
use crate::translator::{GIVE_UP_AFTER, Translator};
use coluber_bytecode::{ARRAY_FORMAT, ExitFact, Instruction, Kind};
use coluber_ir::ops::Packed;
use coluber_ir::{Op, Value};

impl Translator<'_> {
    /// The kind and format of the container that an instruction subscripts, if it holds plain numbers.
    fn packed_container(&self, container: Value, instruction: &Instruction) -> Option<(Kind, Packed)> {
        if !self.settings.speculate {
            return None;
        }
        let code = self.state.top().code;
        let has_exited = |reason| self.snapshot.has_exited(code, instruction.start, reason, GIVE_UP_AFTER);
        if ["GuardKind", "GuardIndex", "UnboxInt", "SetPackedInt"].into_iter().any(has_exited) {
            return None;
        }
        let kind = self.met_kind(container, instruction)?;
        let format = match kind {
            Kind::Bytes => Packed::Bytes,
            Kind::ByteArray => Packed::ByteArray,
            Kind::Array => self.array_format(instruction)?,
            _ => return None,
        };
        Some((kind, format))
    }

    /// The format of the arrays that an instruction subscripts: the usual one until guards have met others.
    fn array_format(&self, instruction: &Instruction) -> Option<Packed> {
        let code = self.state.top().code;
        let here = |fact: &&ExitFact| {
            (fact.code, fact.offset) == (code, instruction.start) && fact.reason.starts_with("GuardArrayFormat")
        };
        let met: Vec<u32> =
            self.snapshot.exits.iter().filter(here).flat_map(|fact| fact.classes.iter().copied()).collect();
        Packed::ARRAYS.into_iter().find(|format| {
            let mark = format.type_code().map(|code| ARRAY_FORMAT | code as u32);
            let is_met = met.is_empty() || met.iter().any(|met| Some(*met) == mark);
            is_met && !self.snapshot.has_exited(code, instruction.start, format.exit_reason(), GIVE_UP_AFTER)
        })
    }

    /// Guards container, format and index. Returns the container and the index.
    fn packed_position(&mut self, container: Value, key: Value, (kind, format): (Kind, Packed)) -> (Value, Value) {
        let sequence = self.guard_kind(container, kind);
        let state = self.before();
        if kind == Kind::Array {
            self.emit(Op::GuardArrayFormat { array: sequence, format, state });
        }
        let index = self.unbox(key, Kind::Int);
        let length = self.emit_value(Op::PackedLength { sequence });
        let state = self.before();
        let index = self.emit_value(Op::GuardIndex { index, length, state });
        (sequence, index)
    }

    /// Compiles `container[key]` of plain numbers; false if it is something else.
    pub(crate) fn packed_subscript(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        let (container, key) = (self.peek(2)?, self.peek(1)?);
        let Some(packed) = self.packed_container(container, instruction) else { return Ok(false) };
        if !self.may_be_int(key) {
            return Ok(false);
        }
        let (sequence, index) = self.packed_position(container, key, packed);
        let result = match packed.1 {
            Packed::Float64 => self.emit_value(Op::PackedFloat { sequence, index, format: packed.1 }),
            format => self.emit_value(Op::PackedInt { sequence, index, format }),
        };
        let (key, container) = (self.pop()?, self.pop()?);
        self.push(result);
        self.release(container);
        self.release(key);
        Ok(true)
    }

    /// Compiles `container[key] = value` for plain numbers; false if it is something else. Stack: value, container, key.
    pub(crate) fn store_packed_subscript(&mut self, instruction: &Instruction) -> Result<bool, Bailout> {
        let (value, container, key) = (self.peek(3)?, self.peek(2)?, self.peek(1)?);
        let Some(packed) = self.packed_container(container, instruction) else { return Ok(false) };
        let number = match (packed.1, self.kind(value)) {
            (Packed::Bytes, _) => return Ok(false),
            (Packed::Float64, Some(Kind::Int)) => Kind::Int,
            (Packed::Float64, Some(Kind::Float) | None) => Kind::Float,
            (_, Some(Kind::Int) | None) if packed.1 != Packed::Float64 => Kind::Int,
            _ => return Ok(false),
        };
        if !self.may_be_int(key) {
            return Ok(false);
        }
        let (sequence, index) = self.packed_position(container, key, packed);
        let raw = self.unbox(value, number);
        match (packed.1, number) {
            (Packed::Float64, kind) => {
                let value = if kind == Kind::Int { self.emit_value(Op::IntToFloat { value: raw }) } else { raw };
                self.emit(Op::SetPackedFloat { sequence, index, value, format: packed.1 });
            }
            (format, _) => {
                let state = self.before();
                self.emit(Op::SetPackedInt { sequence, index, value: raw, format, state });
            }
        }
        let (key, container, value) = (self.pop()?, self.pop()?, self.pop()?);
        self.release(value);
        self.release(container);
        self.release(key);
        Ok(true)
    }

    fn may_be_int(&self, value: Value) -> bool {
        matches!(self.kind(value), None | Some(Kind::Int))
    }
}
