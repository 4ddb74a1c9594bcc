//! A forward data-flow analysis over sets, solved by iteration.

use crate::{Block, Cfg, Function, Inst};
use std::collections::BTreeMap;

/// A forward analysis. States grow towards the worst case, which [`Flow::join`] approaches.
pub trait Flow {
    /// What is known at a point.
    type State: Clone + PartialEq;
    /// What is known at the entry.
    fn entry(&self) -> Self::State;
    /// Passes an instruction.
    fn pass(&self, inst: Inst, state: &mut Self::State);
    /// Passes the edge to target number `index` of a terminator.
    fn jump(&self, terminator: Inst, index: usize, state: &mut Self::State);
    /// What is known where two edges meet.
    fn join(&self, state: &mut Self::State, other: &Self::State);
}

/// What is known at the start of each reachable block.
pub fn solve<F: Flow>(function: &Function, cfg: &Cfg, flow: &F) -> BTreeMap<Block, F::State> {
    let mut starts: BTreeMap<Block, F::State> = BTreeMap::new();
    starts.insert(function.entry(), flow.entry());
    let mut changed = true;
    while changed {
        changed = false;
        for &block in cfg.rpo() {
            let mut state = starts.get(&block).expect("a predecessor comes before it").clone();
            for &inst in &function.blocks[block].insts {
                flow.pass(inst, &mut state);
            }
            let terminator = function.terminator(block);
            let mut index = 0;
            function.insts[terminator].op.for_each_target(|call| {
                let mut out = state.clone();
                flow.jump(terminator, index, &mut out);
                index += 1;
                match starts.get_mut(&call.block) {
                    None => {
                        starts.insert(call.block, out);
                        changed = true;
                    }
                    Some(start) => {
                        let before = start.clone();
                        flow.join(start, &out);
                        changed |= *start != before;
                    }
                }
            });
        }
    }
    starts
}
