//! Ways of exceptions inside a function: `BranchRaised` behind an op that raises, `CatchException` where it leads to.
//!
//! ```text
//! b1():
//!     v5 = Call v1, v2, [v3], fs4
//!     BranchRaised b2(), b3()
//! b2():                              ; v5 exists here
//!     ...
//! b3():
//!     v6 = CatchException [], fs4    ; the exception; v5 does not exist here
//! ```
//!
//! Both targets are blocks of their own: nothing else leads there, and nothing is passed. So what holds at the op holds
//! where its exception is caught, and the op's result is what dominates `next`.

use super::Report;
use super::structure::always_raises;
use crate::{Block, BlockCall, Function, Inst, Op};
use std::collections::BTreeMap;

/// The ops whose exceptions stay in the function.
pub struct Raises {
    /// Where such an op goes on when it did not raise, and the op.
    pub next: BTreeMap<Block, Inst>,
    /// Where its exception is caught, and the op.
    pub handlers: BTreeMap<Block, Inst>,
}

impl Raises {
    /// Looks at all terminators.
    pub fn new(function: &Function) -> Raises {
        let (mut next, mut handlers) = (BTreeMap::new(), BTreeMap::new());
        for &block in &function.layout {
            let Some(raising) = function.raising_inst(block) else { continue };
            if let Op::BranchRaised { next: target, handler } = &function.insts[function.terminator(block)].op {
                next.insert(target.block, raising);
                handlers.insert(handler.block, raising);
            }
        }
        Raises { next, handlers }
    }

    /// Whether a block follows an op that always raises, so that control never gets there.
    pub fn is_unreachable(&self, function: &Function, block: Block) -> bool {
        self.next.get(&block).is_some_and(|inst| always_raises(&function.insts[*inst].op))
    }
}

/// Checks both sides of each way.
pub(super) fn check(raises: &Raises, report: &mut Report) {
    let function = report.function;
    let mut edges: BTreeMap<Block, u32> = BTreeMap::new();
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            function.insts[inst].op.for_each_target(|call| *edges.entry(call.block).or_default() += 1);
        }
    }
    for &block in &function.layout {
        let insts = &function.blocks[block].insts;
        for (index, &inst) in insts.iter().enumerate() {
            match &function.insts[inst].op {
                Op::BranchRaised { next, handler } => {
                    let raising = index.checked_sub(1).map(|before| insts[before]);
                    check_branch(inst, raising, [next, handler], &edges, report);
                }
                Op::CatchException { .. } if index > 0 || !raises.handlers.contains_key(&block) => {
                    report.inst(inst, "CatchException begins a block that BranchRaised leads to");
                }
                _ => {}
            }
        }
    }
}

fn check_branch(
    inst: Inst,
    raising: Option<Inst>,
    targets: [&BlockCall; 2],
    edges: &BTreeMap<Block, u32>,
    report: &mut Report,
) {
    let function = report.function;
    let op = raising.map(|inst| &function.insts[inst].op);
    let Some(state) = op.filter(|op| op.effects(function).raises).and_then(Op::state) else {
        report.inst(inst, "BranchRaised stands behind an op that may raise");
        return;
    };
    for target in targets {
        let is_passed = !target.arguments.is_empty() || !function.blocks[target.block].parameters.is_empty();
        if is_passed || edges.get(&target.block) != Some(&1) {
            report.inst(inst, format!("{} has another way in or parameters", target.block));
        }
    }
    let first = function.blocks[targets[1].block].insts.first().map(|inst| &function.insts[*inst].op);
    if !matches!(first, Some(Op::CatchException { state: caught, .. }) if *caught == state) {
        report.inst(inst, format!("{} does not begin with CatchException in {state}", targets[1].block));
    }
}
