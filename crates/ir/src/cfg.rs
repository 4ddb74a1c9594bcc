//! The control-flow graph of a function: predecessors, reverse post order, dominators, loops.
//!
//! A [`Cfg`] is a snapshot: it is made from a [`Function`] and stays true until a terminator or the layout changes. Only
//! blocks that can be reached from the entry are in it; all others have no predecessors, no dominator and no loop.
//!
//! *Loop* means natural loop: a header and the blocks from which one of its back edges (edges from a block that the
//! header dominates) is reached without passing the header. Back edges to one header make one loop. A cycle that can
//! be entered at two places is no loop and makes the graph irreducible ([`Cfg::is_reducible`]); CPython's compiler
//! makes no such code.
//!
//! Dominators are found as in Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001).

use crate::{Block, Function};
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};

/// Id of a loop in a [`Cfg`]. A loop has a greater id than the loops around it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoopId(u32);
entity_impl!(LoopId, "loop");

/// A natural loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// The only block at which the loop is entered.
    pub header: Block,
    /// All its blocks, those of inner loops included, in reverse post order: the header first.
    pub blocks: Vec<Block>,
    /// The smallest loop around it.
    pub parent: Option<LoopId>,
    /// Number of loops around it.
    pub depth: u32,
    /// Blocks of the loop that jump to the header.
    pub back_edges: Vec<Block>,
    /// Blocks outside the loop that jump to the header.
    pub entries: Vec<Block>,
    /// The only entry, if it does nothing but enter the loop: code hoisted out of the loop goes to its end.
    pub preheader: Option<Block>,
}

/// What is known of a reachable block.
#[derive(Clone, Default)]
struct Node {
    /// Position in reverse post order plus one; 0 if the block cannot be reached.
    number: u32,
    predecessors: Vec<Block>,
    immediate_dominator: PackedOption<Block>,
    /// First and last number in a preorder walk of the dominator tree below the block.
    tree_span: (u32, u32),
    innermost_loop: PackedOption<LoopId>,
}

/// The control-flow graph of a function.
#[derive(Clone)]
pub struct Cfg {
    order: Vec<Block>,
    nodes: SecondaryMap<Block, Node>,
    loops: PrimaryMap<LoopId, Loop>,
    is_reducible: bool,
}

impl Cfg {
    /// Looks at all terminators of a function, which must have an entry block.
    pub fn new(function: &Function) -> Cfg {
        let mut cfg = Cfg {
            order: post_order(function),
            nodes: SecondaryMap::new(),
            loops: PrimaryMap::new(),
            is_reducible: true,
        };
        cfg.order.reverse();
        for (index, &block) in cfg.order.iter().enumerate() {
            cfg.nodes[block].number = index as u32 + 1;
        }
        for &block in &cfg.order {
            for successor in function.successors(block) {
                let predecessors = &mut cfg.nodes[successor].predecessors;
                if predecessors.last() != Some(&block) {
                    predecessors.push(block);
                }
            }
        }
        cfg.find_dominators();
        cfg.number_dominator_tree();
        cfg.find_loops(function);
        cfg
    }

    /// All reachable blocks in reverse post order: each after its predecessors, back edges aside; the entry first.
    pub fn rpo(&self) -> &[Block] {
        &self.order
    }

    /// Position of a block in [`Cfg::rpo`].
    pub fn rpo_index(&self, block: Block) -> Option<usize> {
        (self.nodes[block].number as usize).checked_sub(1)
    }

    /// Whether control can get to a block.
    pub fn is_reachable(&self, block: Block) -> bool {
        self.nodes[block].number != 0
    }

    /// The reachable blocks that jump to a block, each once (even if both ways of a branch go there), in reverse post
    /// order.
    pub fn predecessors(&self, block: Block) -> &[Block] {
        &self.nodes[block].predecessors
    }

    /// The last block, other than itself, that every path from the entry to a block passes.
    pub fn immediate_dominator(&self, block: Block) -> Option<Block> {
        self.nodes[block].immediate_dominator.expand()
    }

    /// Whether every path from the entry to `b` passes `a` (which may be `b`). False if one of them is unreachable.
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let (first, last) = self.nodes[a].tree_span;
        let (number, _) = self.nodes[b].tree_span;
        number != 0 && (first..=last).contains(&number)
    }

    /// All loops, outer before inner.
    pub fn loops(&self) -> &PrimaryMap<LoopId, Loop> {
        &self.loops
    }

    /// The innermost loop that contains a block.
    pub fn loop_of(&self, block: Block) -> Option<LoopId> {
        self.nodes[block].innermost_loop.expand()
    }

    /// Whether a loop contains a block, directly or in an inner loop.
    pub fn loop_contains(&self, outer: LoopId, block: Block) -> bool {
        let mut next = self.loop_of(block);
        while let Some(id) = next {
            if id == outer {
                return true;
            }
            next = self.loops[id].parent;
        }
        false
    }

    /// Number of loops around a block.
    pub fn loop_depth(&self, block: Block) -> u32 {
        self.loop_of(block).map_or(0, |id| self.loops[id].depth + 1)
    }

    /// Whether every cycle is a loop.
    pub fn is_reducible(&self) -> bool {
        self.is_reducible
    }

    fn find_dominators(&mut self) {
        // The entry is its own dominator while the fixed point is sought, which ends the walk in `common_dominator`.
        let entry = self.order[0];
        self.nodes[entry].immediate_dominator = entry.into();
        let mut changed = true;
        while changed {
            changed = false;
            for index in 1..self.order.len() {
                let block = self.order[index];
                let mut dominator = None;
                for &predecessor in &self.nodes[block].predecessors {
                    if self.nodes[predecessor].immediate_dominator.is_none() {
                        continue;
                    }
                    dominator = Some(match dominator {
                        None => predecessor,
                        Some(other) => self.common_dominator(other, predecessor),
                    });
                }
                let dominator = PackedOption::from(dominator);
                if self.nodes[block].immediate_dominator != dominator {
                    self.nodes[block].immediate_dominator = dominator;
                    changed = true;
                }
            }
        }
        self.nodes[entry].immediate_dominator = None.into();
    }

    fn common_dominator(&self, mut a: Block, mut b: Block) -> Block {
        let up = |block: Block| self.nodes[block].immediate_dominator.expect("a processed block has a dominator");
        while a != b {
            if self.nodes[a].number > self.nodes[b].number {
                a = up(a);
            } else {
                b = up(b);
            }
        }
        a
    }

    /// Numbers the blocks so that the ones a block dominates are those in its span.
    fn number_dominator_tree(&mut self) {
        let mut sizes: SecondaryMap<Block, u32> = SecondaryMap::new();
        for &block in self.order.iter().rev() {
            sizes[block] += 1;
            if let Some(dominator) = self.immediate_dominator(block) {
                let size = sizes[block];
                sizes[dominator] += size;
            }
        }
        // A block comes after its dominator in reverse post order, so the parent's next free number is known.
        let mut next_child: SecondaryMap<Block, u32> = SecondaryMap::new();
        for &block in &self.order {
            let first = match self.nodes[block].immediate_dominator.expand() {
                None => 1,
                Some(dominator) => {
                    let first = next_child[dominator];
                    next_child[dominator] += sizes[block];
                    first
                }
            };
            self.nodes[block].tree_span = (first, first + sizes[block] - 1);
            next_child[block] = first + 1;
        }
    }

    fn find_loops(&mut self, function: &Function) {
        for index in 0..self.order.len() {
            let header = self.order[index];
            let (back_edges, entries): (Vec<_>, Vec<_>) =
                self.predecessors(header).iter().partition(|&&block| self.dominates(header, block));
            // What jumps back in the order without being dominated enters a cycle from the side.
            if entries.iter().any(|&block| self.nodes[block].number >= self.nodes[header].number) {
                self.is_reducible = false;
            }
            if back_edges.is_empty() {
                continue;
            }
            // Outer headers come first, so what contains the header so far is the loop around this one.
            let parent = self.loop_of(header);
            let depth = parent.map_or(0, |id| self.loops[id].depth + 1);
            let blocks = self.natural_loop(header, &back_edges);
            let preheader = match entries.as_slice() {
                [entry] if function.successors(*entry).len() == 1 => Some(*entry),
                _ => None,
            };
            let id = self.loops.next_key();
            for &block in &blocks {
                self.nodes[block].innermost_loop = id.into();
            }
            self.loops.push(Loop { header, blocks, parent, depth, back_edges, entries, preheader });
        }
    }

    /// The blocks of a loop in reverse post order.
    fn natural_loop(&self, header: Block, back_edges: &[Block]) -> Vec<Block> {
        let mut is_inside: SecondaryMap<Block, bool> = SecondaryMap::new();
        is_inside[header] = true;
        let mut pending = back_edges.to_vec();
        while let Some(block) = pending.pop() {
            if !is_inside[block] {
                is_inside[block] = true;
                pending.extend_from_slice(self.predecessors(block));
            }
        }
        self.order.iter().copied().filter(|&block| is_inside[block]).collect()
    }
}

/// The blocks that can be reached from the entry, each after its successors, back edges aside.
fn post_order(function: &Function) -> Vec<Block> {
    let mut order = Vec::new();
    let mut is_seen: SecondaryMap<Block, bool> = SecondaryMap::new();
    let entry = function.entry();
    is_seen[entry] = true;
    let mut path = vec![(entry, function.successors(entry))];
    while let Some((block, successors)) = path.last_mut() {
        // Successors are taken from the back, so that in reverse the first one follows its branch.
        match successors.pop() {
            Some(next) if !is_seen[next] => {
                is_seen[next] = true;
                path.push((next, function.successors(next)));
            }
            Some(_) => {}
            None => {
                order.push(*block);
                path.pop();
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockCall, Op};

    /// A function whose block `i` jumps to the blocks `edges[i]` (none: returns nothing reachable).
    fn graph(edges: &[&[u32]]) -> (Function, Cfg) {
        let mut function = Function::new("graph", Default::default());
        for _ in edges {
            function.add_block();
        }
        for (index, targets) in edges.iter().enumerate() {
            let block = Block::from_u32(index as u32);
            let call = |target: u32| BlockCall { block: Block::from_u32(target), arguments: vec![] };
            let op = match **targets {
                [] => Op::Unreachable {},
                [target] => Op::Jump { target: call(target) },
                [then, otherwise] => {
                    let condition = function.append_value(block, Op::BoolConstant { value: true }, (0, 0));
                    Op::Branch { condition, then: call(then), otherwise: call(otherwise) }
                }
                _ => panic!("at most two successors"),
            };
            function.append(block, op, (0, 0));
        }
        let cfg = Cfg::new(&function);
        (function, cfg)
    }

    fn numbers(blocks: &[Block]) -> Vec<u32> {
        blocks.iter().map(|block| block.as_u32()).collect()
    }

    fn b(number: u32) -> Block {
        Block::from_u32(number)
    }

    #[test]
    fn orders_a_diamond() {
        let (_, cfg) = graph(&[&[1, 2], &[3], &[3], &[]]);
        assert_eq!(numbers(cfg.rpo()), [0, 1, 2, 3]);
        assert_eq!(numbers(cfg.predecessors(b(3))), [1, 2]);
        assert_eq!(cfg.immediate_dominator(b(3)), Some(b(0)));
        assert_eq!(cfg.immediate_dominator(b(0)), None);
        assert!(cfg.dominates(b(0), b(3)) && cfg.dominates(b(3), b(3)) && !cfg.dominates(b(1), b(3)));
        assert!(cfg.loops().is_empty());
    }

    #[test]
    fn leaves_unreachable_blocks_out() {
        let (_, cfg) = graph(&[&[2], &[2], &[]]);
        assert_eq!(numbers(cfg.rpo()), [0, 2]);
        assert_eq!(numbers(cfg.predecessors(b(2))), [0]);
        assert!(!cfg.is_reachable(b(1)) && !cfg.dominates(b(0), b(1)) && !cfg.dominates(b(1), b(2)));
        assert!(!cfg.dominates(b(1), b(1)));
    }

    #[test]
    fn lists_a_predecessor_once_when_both_ways_of_a_branch_go_there() {
        let (_, cfg) = graph(&[&[1, 1], &[]]);
        assert_eq!(numbers(cfg.predecessors(b(1))), [0]);
    }

    #[test]
    fn nests_loops() {
        // 0 -> 1 { 2 { 3 } 4 } 5: the inner loop is 2-3, the outer one 1-4.
        let (_, cfg) = graph(&[&[1], &[2, 5], &[3, 4], &[2], &[1], &[]]);
        let ids: Vec<_> = cfg.loops().keys().collect();
        let [outer, inner] = ids[..] else { panic!("two loops") };
        let loops = cfg.loops();
        assert_eq!(loops[outer].header, b(1));
        assert_eq!(numbers(&loops[outer].blocks), [1, 2, 3, 4]);
        assert_eq!((loops[outer].parent, loops[outer].depth), (None, 0));
        assert_eq!(numbers(&loops[outer].back_edges), [4]);
        assert_eq!(numbers(&loops[outer].entries), [0]);
        assert_eq!(loops[outer].preheader, Some(b(0)));
        assert_eq!(loops[inner].header, b(2));
        assert_eq!(numbers(&loops[inner].blocks), [2, 3]);
        assert_eq!((loops[inner].parent, loops[inner].depth), (Some(outer), 1));
        assert_eq!(loops[inner].preheader, None, "block 1 can also leave");
        assert_eq!(cfg.loop_of(b(4)), Some(outer));
        assert_eq!(cfg.loop_of(b(3)), Some(inner));
        assert_eq!((cfg.loop_depth(b(3)), cfg.loop_depth(b(5))), (2, 0));
        assert!(cfg.loop_contains(outer, b(3)) && !cfg.loop_contains(inner, b(4)));
        assert!(cfg.is_reducible());
    }

    #[test]
    fn joins_back_edges_to_one_header() {
        let (_, cfg) = graph(&[&[1], &[2, 3], &[1, 4], &[1], &[]]);
        assert_eq!(cfg.loops().len(), 1);
        let (_, the_loop) = cfg.loops().iter().next().expect("one loop");
        assert_eq!(numbers(&the_loop.blocks).len(), 3);
        assert_eq!(the_loop.back_edges.len(), 2);
    }

    #[test]
    fn sees_a_loop_of_one_block() {
        let (_, cfg) = graph(&[&[1], &[1, 2], &[]]);
        let (_, the_loop) = cfg.loops().iter().next().expect("one loop");
        assert_eq!(numbers(&the_loop.blocks), [1]);
        assert_eq!(numbers(&the_loop.back_edges), [1]);
        assert_eq!(the_loop.preheader, Some(b(0)));
    }

    #[test]
    fn says_that_a_cycle_with_two_entrances_is_irreducible() {
        let (_, cfg) = graph(&[&[1, 2], &[2, 3], &[1], &[]]);
        assert!(!cfg.is_reducible());
        assert!(cfg.loops().is_empty());
        assert_eq!(cfg.immediate_dominator(b(1)), Some(b(0)));
        assert_eq!(cfg.immediate_dominator(b(2)), Some(b(0)));
    }

    /// Dominance by its definition: `b` cannot be reached from the entry when `a` is taken away.
    fn dominates_by_definition(function: &Function, a: Block, b: Block) -> bool {
        let mut seen = vec![];
        let mut pending = vec![function.entry()];
        while let Some(block) = pending.pop() {
            if block != a && !seen.contains(&block) {
                seen.push(block);
                pending.extend(function.successors(block));
            }
        }
        !seen.contains(&b)
    }

    #[test]
    fn agrees_with_the_definition_of_dominance_on_random_graphs() {
        let mut seed = 1u64;
        let mut random = move |limit: u32| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((seed >> 33) % u64::from(limit)) as u32
        };
        for _ in 0..300 {
            let count = 2 + random(12);
            // No edge leads to the entry.
            let edges: Vec<Vec<u32>> =
                (0..count).map(|_| (0..random(3)).map(|_| 1 + random(count - 1)).collect()).collect();
            let slices: Vec<&[u32]> = edges.iter().map(Vec::as_slice).collect();
            let (function, cfg) = graph(&slices);
            for &x in cfg.rpo() {
                for &y in cfg.rpo() {
                    assert_eq!(cfg.dominates(x, y), dominates_by_definition(&function, x, y), "{edges:?} {x} {y}");
                }
            }
            for the_loop in cfg.loops().values() {
                assert_eq!(the_loop.blocks[0], the_loop.header);
                assert!(the_loop.blocks.iter().all(|&block| cfg.dominates(the_loop.header, block)));
            }
        }
    }
}
