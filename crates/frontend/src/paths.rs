//! Paths that part in the middle of an instruction.

use crate::state::State;
use crate::translator::{Edge, Translator};
use coluber_ir::{Block, BlockCall, FrameStateId, Op, Value};
use rustc_hash::FxHashMap as HashMap;

/// Where several paths begin in the middle of an instruction.
pub(crate) struct Path {
    state: State,
    before: State,
    before_id: Option<FrameStateId>,
    replaced: HashMap<Value, Value>,
}

impl Translator<'_> {
    /// Ends the block: where the condition holds, and where it does not, new ones begin. Neither is open yet.
    pub(crate) fn branch_on(&mut self, condition: Value) -> (Block, Block) {
        let (then, otherwise) = (self.function.add_block(), self.function.add_block());
        let target = |block| BlockCall { block, arguments: Vec::new() };
        self.emit(Op::Branch { condition, then: target(then), otherwise: target(otherwise) });
        (then, otherwise)
    }

    /// Ends a path that is to meet others.
    pub(crate) fn end_path(&mut self) -> Edge {
        Edge { block: self.block.take().expect("a path ends in an open block"), state: self.state.clone() }
    }

    /// What paths out of the present place begin with.
    pub(crate) fn path(&self) -> Path {
        Path {
            state: self.state.clone(),
            before: self.before.clone(),
            before_id: self.before_id,
            replaced: self.replaced.clone(),
        }
    }

    /// Starts one of several paths out of one place.
    pub(crate) fn take(&mut self, path: &Path, block: Block) {
        self.block = Some(block);
        self.state = path.state.clone();
        self.before = path.before.clone();
        self.before_id = path.before_id;
        self.replaced = path.replaced.clone();
    }
}
