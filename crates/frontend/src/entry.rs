//! Entry of functions and loops: what stands in the frame, and what the snapshot saw there.

use crate::liveness::live_locals;
use crate::state::{Activation, Slot};
use crate::translator::{ENTRY, GIVE_UP_AFTER, Translator};
use crate::{Bailout, BailoutReason};
use coluber_bytecode::{Code, Entry, Kind, LiveType, Offset};
use coluber_ir::ops::ExitReason;
use coluber_ir::{Op, Value};

impl Translator<'_> {
    /// Takes over what the frame holds.
    pub(crate) fn enter(&mut self, code: &Code, start: Offset) -> Result<(), Bailout> {
        let slots = code.slot_count as usize;
        let mut activation =
            Activation { code: 0, function: None, locals: vec![Slot::Null; slots], stack: Vec::new(), waiting: None };
        self.source = (0, start);
        match self.snapshot.entry {
            Entry::Function => {
                let arguments = code.argument_count
                    + code.keyword_only_count
                    + u32::from(code.flags.has_varargs)
                    + u32::from(code.flags.has_varkeywords);
                for slot in 0..arguments {
                    let value = self.emit_value(Op::LoadArgument { slot });
                    activation.locals[slot as usize] = Slot::Value(value);
                }
                self.state.frames.push(activation);
                self.state.unchecked = false;
            }
            Entry::Generator => unreachable!("generators are entered at their resume points"),
            Entry::Loop { depth, .. } => {
                let mut tagged = vec![false; depth as usize];
                if code.indexed_loops {
                    for index in 1..depth as usize {
                        if self.snapshot.live.get(slots + index) != Some(&LiveType::TaggedInt) {
                            self.emit(Op::GuardStackTag { index: index as u32, tagged: false });
                            continue;
                        }
                        let below = self.snapshot.live.get(slots + index - 1);
                        let is_known = matches!(below, Some(LiveType::Kind(Kind::List | Kind::Tuple | Kind::Str)));
                        if !is_known && index + 1 == depth as usize {
                            // Over bytes without an iterator object: not compiled.
                            return Err(Bailout::new(BailoutReason::Entry, start));
                        }
                        tagged[index] = true;
                        self.emit(Op::GuardStackTag { index: index as u32, tagged: true });
                    }
                }
                let is_tagged = |index| self.snapshot.live.get(slots + index) == Some(&LiveType::TaggedInt);
                if (0..depth as usize).any(|index| is_tagged(index) && !tagged[index]) {
                    return Err(Bailout::new(BailoutReason::TaggedInt, start));
                }
                for slot in 0..slots {
                    let value = self.emit_value(Op::LoadLocal { slot: slot as u32 });
                    activation.locals[slot] = Slot::Value(value);
                }
                for index in 0..depth {
                    activation.stack.push(if tagged[index as usize] {
                        Slot::TaggedInt(self.emit_value(Op::LoadStackInt { index }))
                    } else {
                        Slot::Value(self.emit_value(Op::LoadStack { index }))
                    });
                }
                self.state.frames.push(activation);
                self.state.unchecked = true;
                self.begin(self.resume_at(code, start), self.resume_at(code, start));
                self.guard_namespace();
                // What is set before it is read may be anything. So may all others once they were something else.
                let is_stable = !self.snapshot.has_exited(0, start, ENTRY, GIVE_UP_AFTER);
                let first = code.index_of(start).ok_or_else(|| self.malformed("no instruction at the entry"))?;
                let live = live_locals(code, first);
                for slot in 0..slots + depth as usize {
                    if live.get(slot).is_none_or(|is_live| *is_live && is_stable) {
                        self.refine_live(slot)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Establishes by guards what the snapshot saw in a slot of the running loop.
    fn refine_live(&mut self, slot: usize) -> Result<(), Bailout> {
        let live = self.snapshot.live.get(slot).copied().unwrap_or(LiveType::Unknown);
        let locals = self.state.top().locals.len();
        let current = if slot < locals { self.state.top().locals[slot] } else { self.state.top().stack[slot - locals] };
        let Slot::Value(value) = current else { return Ok(()) };
        let is_null = self.emit_value(Op::IsNull { value });
        if live == LiveType::Unbound {
            self.leave_entry_unless(is_null);
            self.set_slot(slot, Slot::Null);
            return Ok(());
        }
        let is_bound = self.emit_value(Op::BoolNot { value: is_null });
        self.leave_entry_unless(is_bound);
        let bound = self.emit_value(Op::AssumeBound { value });
        self.replace(value, bound);
        if let LiveType::Kind(kind) | LiveType::Walk(kind, _) = live
            && self.settings.speculate
        {
            let is_kind = self.emit_value(Op::IsKind { value: bound, kind });
            self.leave_entry_unless(is_kind);
            let refined = self.emit_value(Op::AssumeKind { value: bound, kind });
            self.replace(bound, refined);
            if let LiveType::Walk(_, inner) = live {
                self.inner_kinds.insert(self.function.root(refined), inner);
            }
            if slot < locals && matches!(kind, Kind::Int | Kind::Float) {
                // Unboxes the slot too, if nobody can tell (see `forget_object`).
                self.unbox(refined, kind);
            }
        }
        Ok(())
    }

    /// Leaves a running loop's unit at its entry; that speaks against no instruction.
    fn leave_entry_unless(&mut self, condition: Value) {
        let (inside, outside) = self.branch_on(condition);
        self.function.blocks[outside].cold = true;
        self.block = Some(outside);
        let state = self.before();
        self.emit(Op::Exit { reason: ExitReason::Entry, state });
        self.block = Some(inside);
    }
}
