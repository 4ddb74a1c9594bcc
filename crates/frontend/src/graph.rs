//! The control-flow graph of a code object, with loops and peeled first iterations.
//!
//! Basic blocks are ranges of neutral instructions reachable from the entry, by exceptions too where handlers are
//! compiled; a block ends where another handler begins to apply. On top of them lies the *expanded* graph that is translated: a [`Node`] is a block together
//! with the set of loops of which it belongs to the first, *peeled* iteration. Peeling gives each loop an iteration in
//! front of it in which guards are executed once and types become known, so that the loop itself starts with typed,
//! unboxed values. Entering a running loop in the middle of outer loops (OSR) is the same thing: the rest of the outer
//! loops' present iteration is their peeled one.

use coluber_bytecode::{Code, HandlerRange, Offset, Op};
use rustc_hash::FxHashMap as HashMap;

/// A basic block of bytecode: instructions `first..end` (indices).
#[derive(Clone, Debug, PartialEq)]
pub struct BytecodeBlock {
    /// First instruction.
    pub first: usize,
    /// Behind the last instruction.
    pub end: usize,
    /// Successor blocks: fall-through (or loop body) first, then the jump target.
    pub successors: Vec<usize>,
    /// The handler of its exceptions, if that is compiled.
    pub handler: Option<usize>,
}

/// A natural loop of bytecode blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct BytecodeLoop {
    /// Its header block.
    pub header: usize,
    /// Its blocks (a set), nested loops included.
    pub blocks: Vec<bool>,
    /// Number of instructions in it.
    pub size: usize,
    /// Whether it contains no other loop.
    pub innermost: bool,
}

/// A block in a peeling context.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The bytecode block.
    pub block: usize,
    /// Loops (bits) whose peeled iteration the node belongs to.
    pub peeled: u64,
    /// Successor nodes, parallel to the block's successors.
    pub successors: Vec<usize>,
    /// The node of the block's handler.
    pub handler: Option<usize>,
    /// For the header of a loop proper: local slots assigned in the loop. `None`: no header.
    pub assigned: Option<Vec<bool>>,
}

/// The expanded graph, nodes in reverse post order (node 0 is the entry).
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Blocks.
    pub blocks: Vec<BytecodeBlock>,
    /// Nodes in reverse post order.
    pub nodes: Vec<Node>,
}

/// Largest innermost loop that is peeled, in instructions.
const PEEL_INNERMOST: usize = 400;
/// Largest loop with loops inside that is peeled.
const PEEL_NEST: usize = 60;

impl Graph {
    /// Builds the graph of `code` from the instruction at index `entry`, with these handlers. `None` if control flow is
    /// irreducible.
    pub fn build(code: &Code, entry: usize, peel: bool, handlers: &[HandlerRange]) -> Option<Graph> {
        let (blocks, entries) = find_blocks(code, &[entry], handlers, branch_targets);
        let loops = find_loops(&blocks, &back_edges(code));
        expand(blocks, &loops, code, entries[0], peel)
    }

    /// Builds the graph of a generator that goes on behind each yield, from the instruction at index `entry`. It has no
    /// handlers.
    pub fn build_draining(code: &Code, entry: usize, peel: bool) -> Option<Graph> {
        let (blocks, entries) = find_blocks(code, &[entry], &[], |code, index| match code.instructions[index].op {
            Op::YieldValue { .. } => None,
            _ => branch_targets(code, index),
        });
        let loops = find_loops(&blocks, &backward_jumps(code, &blocks));
        expand(blocks, &loops, code, entries[0], peel)
    }

    /// Builds the graph of a generator, which can be entered at several instructions (indices): the successors of node 0,
    /// which is none of the code. It has no handlers.
    pub fn build_resumable(code: &Code, entries: &[usize], peel: bool) -> Option<Graph> {
        let (mut blocks, entries) = find_blocks(code, entries, &[], branch_targets);
        let mut loops = find_loops(&blocks, &backward_jumps(code, &blocks));
        let root = blocks.len();
        blocks.push(BytecodeBlock { first: 0, end: 0, successors: entries, handler: None });
        loops.iter_mut().for_each(|each| each.blocks.push(false));
        expand(blocks, &loops, code, root, peel)
    }
}

/// Offsets an instruction may continue at, in the order of [`BytecodeBlock::successors`]; `None` if it does not end a
/// block.
fn branch_targets(code: &Code, index: usize) -> Option<Vec<Offset>> {
    let instruction = &code.instructions[index];
    Some(match instruction.op {
        Op::Jump { target } | Op::JumpBackward { target, .. } => vec![target],
        Op::PopJumpIfFalse { target }
        | Op::PopJumpIfTrue { target }
        | Op::PopJumpIfNone { target }
        | Op::PopJumpIfNotNone { target } => vec![instruction.next, target],
        Op::ForIter { exhausted } => vec![instruction.next, exhausted],
        Op::Send { target } => vec![instruction.next, target],
        // A yield goes on when the generator is resumed, which is another entry.
        Op::ReturnValue
        | Op::YieldValue { .. }
        | Op::Raise { .. }
        | Op::Reraise { .. }
        | Op::InterpreterExit
        | Op::Unsupported { .. } => {
            vec![]
        }
        _ => return None,
    })
}

impl BytecodeBlock {
    /// Where control goes from it, exceptions included.
    fn ways(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.successors.iter().copied().chain(self.handler)
    }
}

/// The blocks, and those of the entries.
fn find_blocks(
    code: &Code,
    entries: &[usize],
    handlers: &[HandlerRange],
    branch_targets: impl Fn(&Code, usize) -> Option<Vec<Offset>>,
) -> (Vec<BytecodeBlock>, Vec<usize>) {
    let count = code.instructions.len();
    // First instruction of the handler of each instruction.
    let handler_of = |index: usize| {
        let range = code.handler_at(code.instructions[index].offset).filter(|range| handlers.contains(range))?;
        code.index_of(range.handler)
    };
    let mut reachable = vec![false; count];
    let mut leader = vec![false; count];
    entries.iter().for_each(|entry| leader[*entry] = true);
    let mut work = entries.to_vec();
    while let Some(index) = work.pop() {
        if std::mem::replace(&mut reachable[index], true) {
            continue;
        }
        let handler = handler_of(index);
        if let Some(handler) = handler {
            leader[handler] = true;
            work.push(handler);
        }
        // Behind the end of a handler things may go on that were not in it (see `quiet`).
        let is_behind_handler = index > 0 && matches!(code.instructions[index - 1].op, Op::PopExcept);
        if index > 0 && (handler != handler_of(index - 1) || is_behind_handler) {
            leader[index] = true;
        }
        match branch_targets(code, index) {
            Some(targets) => {
                for target in targets {
                    if let Some(target) = code.index_of(target) {
                        leader[target] = true;
                        work.push(target);
                    }
                }
            }
            None if index + 1 < count => work.push(index + 1),
            None => {}
        }
    }
    // The superinstruction parts that share a start are never leaders but for the first: `index_of` finds the first.
    let mut blocks = Vec::new();
    let mut block_of = HashMap::default();
    let mut index = 0;
    while index < count {
        if !reachable[index] {
            index += 1;
            continue;
        }
        let first = index;
        loop {
            let ends = branch_targets(code, index).is_some();
            index += 1;
            if ends || index == count || !reachable[index] || leader[index] {
                break;
            }
        }
        block_of.insert(first, blocks.len());
        blocks.push(BytecodeBlock { first, end: index, successors: Vec::new(), handler: None });
    }
    for block in &mut blocks {
        let last = block.end - 1;
        block.successors = match branch_targets(code, last) {
            Some(targets) => targets
                .iter()
                .filter_map(|target| code.index_of(*target))
                .filter_map(|target| block_of.get(&target).copied())
                .collect(),
            None => block_of.get(&block.end).copied().into_iter().collect(),
        };
        block.handler = handler_of(block.first).and_then(|handler| block_of.get(&handler).copied());
    }
    let entries = entries.iter().map(|entry| block_of[entry]).collect();
    (blocks, entries)
}

/// The blocks from an instruction on (an index), with all handlers, and the first of them.
pub(crate) fn all_blocks(code: &Code, entry: usize) -> (Vec<BytecodeBlock>, usize) {
    let (blocks, entries) = find_blocks(code, &[entry], &code.handlers, branch_targets);
    (blocks, entries[0])
}

/// Whether control gets from one block of a set to another without leaving it, be it by an exception: a loop may go on only
/// where one was handled.
fn reaches(blocks: &[BytecodeBlock], within: &[bool], from: usize, to: usize) -> bool {
    let mut seen = vec![false; blocks.len()];
    let mut work = vec![from];
    while let Some(block) = work.pop() {
        if block == to {
            return true;
        }
        if within[block] && !std::mem::replace(&mut seen[block], true) {
            work.extend(blocks[block].ways());
        }
    }
    false
}

/// All backward jumps of blocks, by the indices of the jump and its target.
fn backward_jumps(code: &Code, blocks: &[BytecodeBlock]) -> Vec<(usize, usize)> {
    let is_backward = |block: &&BytecodeBlock| matches!(code.instructions[block.end - 1].op, Op::JumpBackward { .. });
    let jumps = blocks.iter().filter(is_backward);
    jumps.filter_map(|block| Some((block.end - 1, blocks[*block.successors.first()?].first))).collect()
}

/// Jumps that close a loop, by the indices of the jump and its target: backward jumps to what every path to them passes.
/// (A handler, which lies behind all other code, also jumps backward to where things go on.) This does not depend on
/// where the code is entered and which handlers are compiled.
fn back_edges(code: &Code) -> Vec<(usize, usize)> {
    let is_backward = |index: usize| matches!(code.instructions[index].op, Op::JumpBackward { .. });
    if !(0..code.instructions.len()).any(is_backward) {
        return Vec::new();
    }
    // The interpreter goes on behind what is not compiled.
    let (blocks, entries) = find_blocks(code, &[0], &code.handlers, |code, index| match code.instructions[index].op {
        Op::YieldValue { .. } | Op::Unsupported { .. } => None,
        _ => branch_targets(code, index),
    });
    let entry = entries[0];
    if code.handlers.is_empty() {
        return backward_jumps(code, &blocks);
    }
    let mut dominators: Vec<Option<Vec<bool>>> = vec![None; blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for (index, block) in blocks.iter().enumerate() {
            let own = match &dominators[index] {
                Some(own) => own.clone(),
                None if index == entry => {
                    let mut own = vec![false; blocks.len()];
                    own[entry] = true;
                    dominators[entry] = Some(own.clone());
                    own
                }
                None => continue,
            };
            for way in block.ways() {
                let mut next = match &dominators[way] {
                    None => own.clone(),
                    Some(known) => known.iter().zip(&own).map(|(known, own)| *known && *own).collect(),
                };
                next[way] = true;
                if dominators[way].as_ref() != Some(&next) {
                    dominators[way] = Some(next);
                    changed = true;
                }
            }
        }
    }
    let jumps = blocks.iter().enumerate().filter(|(_, block)| is_backward(block.end - 1));
    let closing = jumps.filter_map(|(index, block)| {
        let header = *block.successors.first()?;
        let dominates = dominators[index].as_ref().is_some_and(|dominators| dominators[header]);
        dominates.then_some((block.end - 1, blocks[header].first))
    });
    closing.collect()
}

/// The loops of blocks that these jumps close.
fn find_loops(blocks: &[BytecodeBlock], back_edges: &[(usize, usize)]) -> Vec<BytecodeLoop> {
    let mut predecessors = vec![Vec::new(); blocks.len()];
    for (index, block) in blocks.iter().enumerate() {
        for successor in block.ways() {
            predecessors[successor].push(index);
        }
    }
    let mut bodies: Vec<(usize, Vec<bool>)> = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let Some(&header) = block.successors.first() else { continue };
        if !back_edges.contains(&(block.end - 1, blocks[header].first)) {
            continue;
        }
        let position = match bodies.iter().position(|(other, _)| *other == header) {
            Some(position) => position,
            None => {
                let mut body = vec![false; blocks.len()];
                body[header] = true;
                bodies.push((header, body));
                bodies.len() - 1
            }
        };
        let body = &mut bodies[position].1;
        let mut work = vec![index];
        while let Some(member) = work.pop() {
            if !std::mem::replace(&mut body[member], true) {
                work.extend(&predecessors[member]);
            }
        }
    }
    // A loop that a generator always leaves by a yield is none.
    let is_loop = |(header, body): &(usize, Vec<bool>)| {
        (0..blocks.len()).any(|latch| {
            body[latch] && blocks[latch].successors.contains(header) && reaches(blocks, body, *header, latch)
        })
    };
    bodies.retain(is_loop);
    let contains = |outer: &(usize, Vec<bool>), inner: &(usize, Vec<bool>)| outer.0 != inner.0 && outer.1[inner.0];
    bodies
        .iter()
        .map(|body| BytecodeLoop {
            header: body.0,
            blocks: body.1.clone(),
            size: blocks
                .iter()
                .zip(&body.1)
                .filter(|(_, member)| **member)
                .map(|(block, _)| block.end - block.first)
                .sum(),
            innermost: !bodies.iter().any(|other| contains(body, other)),
        })
        .collect()
}

fn assigned_local(op: &Op) -> Option<u32> {
    match op {
        Op::StoreFast { local }
        | Op::DeleteFast { local }
        | Op::LoadFastAndClear { local }
        | Op::MakeCell { local } => Some(*local),
        _ => None,
    }
}

fn expand(blocks: Vec<BytecodeBlock>, loops: &[BytecodeLoop], code: &Code, entry: usize, peel: bool) -> Option<Graph> {
    if loops.len() > 64 {
        return None;
    }
    let wants_peel = |of: &BytecodeLoop| peel && (of.size <= PEEL_NEST || (of.innermost && of.size <= PEEL_INNERMOST));
    let step = |from: Option<(usize, u64)>, to: usize| -> u64 {
        let mut mask = from.map_or(0, |(_, mask)| mask);
        for (bit, candidate) in loops.iter().enumerate() {
            let inside = from.is_some_and(|(block, _)| candidate.blocks[block]);
            if !candidate.blocks[to] {
                mask &= !(1 << bit);
            } else if candidate.header == to {
                if inside || !wants_peel(candidate) {
                    mask &= !(1 << bit);
                } else {
                    mask |= 1 << bit;
                }
            } else if !inside {
                // Entered in the middle: the rest of this iteration is the peeled one.
                mask |= 1 << bit;
            }
        }
        mask
    };
    // Depth-first search with an explicit stack; post order reversed gives the order of translation.
    let mut ids: HashMap<(usize, u64), usize> = HashMap::default();
    let mut nodes: Vec<Node> = Vec::new();
    let mut post_order = Vec::new();
    let start = (entry, step(None, entry));
    ids.insert(start, 0);
    nodes.push(Node { block: start.0, peeled: start.1, successors: Vec::new(), handler: None, assigned: None });
    let mut stack = vec![(0usize, 0usize)];
    let mut on_path = vec![true];
    let mut headers = Vec::new();
    while let Some((id, next)) = stack.pop() {
        let block = nodes[id].block;
        // Visit the handler and the jump target first so that the fall-through comes first in reverse post order.
        let successors: Vec<usize> = blocks[block].ways().collect();
        if next == successors.len() {
            if blocks[block].handler.is_some() {
                nodes[id].handler = nodes[id].successors.pop();
            }
            post_order.push(id);
            on_path[id] = false;
            continue;
        }
        stack.push((id, next + 1));
        let to = successors[successors.len() - 1 - next];
        let key = (to, step(Some((block, nodes[id].peeled)), to));
        let target = match ids.get(&key) {
            Some(&target) => {
                if on_path[target] {
                    headers.push((id, target));
                }
                target
            }
            None => {
                let target = nodes.len();
                if target > 4000 {
                    return None;
                }
                ids.insert(key, target);
                nodes.push(Node { block: key.0, peeled: key.1, successors: Vec::new(), handler: None, assigned: None });
                on_path.push(true);
                stack.push((target, 0));
                target
            }
        };
        nodes[id].successors.insert(0, target);
    }
    // Loops of the expanded graph: natural loops of the edges that closed a cycle.
    let mut predecessors = vec![Vec::new(); nodes.len()];
    for (id, node) in nodes.iter().enumerate() {
        for &successor in node.successors.iter().chain(&node.handler) {
            predecessors[successor].push(id);
        }
    }
    let slots = code.slot_count as usize;
    for &(from, header) in &headers {
        let mut seen = vec![false; nodes.len()];
        seen[header] = true;
        let mut work = vec![from];
        let mut assigned = nodes[header].assigned.take().unwrap_or_else(|| vec![false; slots]);
        while let Some(member) = work.pop() {
            if !std::mem::replace(&mut seen[member], true) {
                if member == 0 && header != 0 {
                    // The entry is inside the loop but is not its header: two ways in.
                    return None;
                }
                work.extend(&predecessors[member]);
            }
        }
        for (member, _) in seen.iter().enumerate().filter(|(_, inside)| **inside) {
            let block = &blocks[nodes[member].block];
            for instruction in &code.instructions[block.first..block.end] {
                if let Some(local) = assigned_local(&instruction.op) {
                    assigned[local as usize] = true;
                }
            }
        }
        nodes[header].assigned = Some(assigned);
    }
    // Renumber in reverse post order.
    let mut number = vec![0; nodes.len()];
    for (position, &id) in post_order.iter().rev().enumerate() {
        number[id] = position;
    }
    let mut ordered: Vec<Option<Node>> = vec![None; nodes.len()];
    for (id, mut node) in nodes.into_iter().enumerate() {
        for successor in node.successors.iter_mut().chain(&mut node.handler) {
            *successor = number[*successor];
        }
        ordered[number[id]] = Some(node);
    }
    Some(Graph { blocks, nodes: ordered.into_iter().map(|node| node.expect("every node was visited")).collect() })
}
