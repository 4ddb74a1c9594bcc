//! Paths that part in the middle of an instruction.

use crate::translator::{Edge, Translator};
use coluber_ir::{Block, BlockCall, Op, Value};

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
}
