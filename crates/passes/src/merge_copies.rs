//! Lets one reference stand for several to the same object, as long as compiled code holds them all.
//!
//! ```text
//! v2 = Dup v1
//! Kill v1, fs3        ; fs3 names v2        =>    ; fs3 names v1
//! v4 = UnboxFloat v2                              v4 = UnboxFloat v1
//! Kill v2, fs5                                    Kill v1, fs5
//! ```
//!
//! All copies of a value become the value. A forward analysis counts the references there were: a `Kill` that was not the
//! last one goes, a place that takes one of several gets a copy made just in front of it.
//!
//! Correct: an object lives as long as there is one reference, so the others make no difference until somebody else gets
//! them; the last one ends where it did. Left alone: objects that must be known to have one reference (`GuardUnique`), what an
//! exception takes along (`CatchException`), and values whose references cannot be counted because they end on some paths
//! only (NULL). "Does not fire":
//! `keeps_copy_of_iterator_that_must_be_unique`, `copies_where_one_of_two_is_given_away`.

use crate::analysis::{given_away, is_held_anyway};
use crate::manager::{Changed, Pass};
use coluber_ir::ops::Refs;
use coluber_ir::{Block, Cfg, Function, Inst, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub struct MergeCopies;

/// References held to each object that has copies.
type Counts = BTreeMap<Value, u32>;

impl Pass for MergeCopies {
    fn name(&self) -> &'static str {
        "merge_copies"
    }

    fn is_required(&self) -> bool {
        false
    }

    fn run(&self, function: &mut Function) -> Changed {
        let mut originals = candidates(function);
        if originals.is_empty() {
            return false;
        }
        let cfg = Cfg::new(function);
        let starts = loop {
            match count(function, &cfg, &originals) {
                Ok(starts) => break starts,
                Err(unclear) => {
                    originals.remove(&unclear);
                }
            }
        };
        for &block in cfg.rpo() {
            rewrite(function, block, &originals, starts[&block].clone());
        }
        function.resolve_aliases();
        !originals.is_empty()
    }
}

/// The object a value is a copy of, through all copies.
fn original(function: &Function, value: Value) -> Value {
    let mut root = function.root(value);
    while let Some(Op::Dup { value }) = function.def_op(root) {
        root = function.root(*value);
    }
    root
}

/// Objects of which there are copies that can go.
fn candidates(function: &Function) -> BTreeSet<Value> {
    let mut found = BTreeSet::new();
    let mut excluded = HashSet::default();
    let mut consumed = given_away(function);
    for &block in &function.layout {
        for &inst in &function.blocks[block].insts {
            match &function.insts[inst].op {
                Op::Dup { value } => {
                    found.insert(original(function, *value));
                }
                Op::GuardUnique { value, .. } => {
                    excluded.insert(original(function, *value));
                }
                // No copy can be made in front of it: it stands where the exception arrives.
                Op::CatchException { given, .. } => {
                    excluded.extend(given.iter().map(|value| original(function, *value)));
                }
                Op::Kill { value, .. } => {
                    consumed.insert(function.root(*value));
                }
                _ => {}
            }
        }
    }
    found.retain(|root| {
        let is_counted = match function.def_op(*root).map(Op::refs) {
            None | Some(Refs::Owned) => true,
            Some(Refs::Borrowed) => consumed.contains(root) || is_held_anyway(function, *root),
            Some(_) => false,
        };
        is_counted && !excluded.contains(root)
    });
    found
}

/// What an op takes away, one entry for each reference.
fn taken(function: &Function, op: &Op, originals: &BTreeSet<Value>) -> Vec<Value> {
    let mut taken = Vec::new();
    let mut take = |value: Value| {
        let root = original(function, value);
        if function.ty(value).is_object() && originals.contains(&root) {
            taken.push(root);
        }
    };
    op.for_each_stolen(&mut take);
    if let Op::Kill { value, .. } = op {
        take(*value);
    }
    taken
}

/// What an instruction changes in the counts. The error is an object whose references cannot be followed.
fn step(function: &Function, inst: Inst, originals: &BTreeSet<Value>, counts: &mut Counts) -> Result<(), Value> {
    let data = &function.insts[inst];
    for root in taken(function, &data.op, originals) {
        if !is_held_anyway(function, root) {
            let count = counts.get_mut(&root).filter(|count| **count > 0).ok_or(root)?;
            *count -= 1;
        }
    }
    match (&data.op, data.result) {
        (Op::Dup { value }, _) => {
            let root = original(function, *value);
            if originals.contains(&root) && !is_held_anyway(function, root) {
                *counts.get_mut(&root).filter(|count| **count > 0).ok_or(root)? += 1;
            }
        }
        (_, Some(result)) if originals.contains(&result) && !is_held_anyway(function, result) => {
            counts.insert(result, 1);
        }
        _ => {}
    }
    Ok(())
}

/// Counts at the starts of all blocks.
fn count(function: &Function, cfg: &Cfg, originals: &BTreeSet<Value>) -> Result<HashMap<Block, Counts>, Value> {
    let mut starts: HashMap<Block, Counts> = HashMap::default();
    starts.insert(function.entry(), Counts::new());
    for &block in cfg.rpo() {
        let mut counts = starts.get(&block).cloned().unwrap_or_default();
        for &parameter in &function.blocks[block].parameters {
            if originals.contains(&parameter) {
                counts.insert(parameter, 1);
            }
        }
        starts.insert(block, counts.clone());
        for &inst in &function.blocks[block].insts {
            step(function, inst, originals, &mut counts)?;
        }
        let terminator = function.terminator(block);
        let mut edges = Vec::new();
        function.insts[terminator].op.for_each_target(|call| edges.push(call.clone()));
        for call in edges {
            let mut counts = counts.clone();
            for argument in call.arguments.iter().filter(|argument| function.ty(**argument).is_object()) {
                let root = original(function, *argument);
                if originals.contains(&root) && !is_held_anyway(function, root) {
                    let count = counts.get_mut(&root).filter(|count| **count > 0).ok_or(root)?;
                    *count -= 1;
                }
            }
            counts.retain(|_, count| *count > 0);
            let own: HashSet<Value> = function.blocks[call.block].parameters.iter().copied().collect();
            match starts.get(&call.block) {
                None => {
                    starts.insert(call.block, counts);
                }
                Some(known) => {
                    let mut known = known.clone();
                    known.retain(|root, _| !own.contains(root));
                    counts.retain(|root, _| !own.contains(root));
                    if let Some(root) = differing(&known, &counts) {
                        return Err(root);
                    }
                }
            }
        }
    }
    Ok(starts)
}

fn differing(left: &Counts, right: &Counts) -> Option<Value> {
    let differs = |root: &&Value| left.get(root) != right.get(root);
    left.keys().find(differs).or_else(|| right.keys().find(differs)).copied()
}

fn rewrite(function: &mut Function, block: Block, originals: &BTreeSet<Value>, mut counts: Counts) {
    let insts = std::mem::take(&mut function.blocks[block].insts);
    let mut kept = Vec::with_capacity(insts.len());
    for inst in insts {
        let op = function.insts[inst].op.clone();
        let mut before = counts.clone();
        step(function, inst, originals, &mut counts).expect("counted before");
        match &op {
            Op::Dup { value } if originals.contains(&original(function, *value)) => {
                let copy = function.insts[inst].result.expect("a copy is a result");
                function.replace(copy, *value);
                continue;
            }
            Op::Kill { value, .. } => {
                let root = original(function, *value);
                if originals.contains(&root) && (is_held_anyway(function, root) || counts[&root] > 0) {
                    continue;
                }
            }
            _ => separate(function, inst, originals, &mut before, &mut kept),
        }
        kept.push(inst);
    }
    function.blocks[block].insts = kept;
}

/// Makes a copy for each place that takes a reference while others remain.
fn separate(
    function: &mut Function,
    inst: Inst,
    originals: &BTreeSet<Value>,
    counts: &mut Counts,
    kept: &mut Vec<Inst>,
) {
    let mut op = function.insts[inst].op.clone();
    let mut given = Vec::new();
    op.for_each_stolen(|value| given.push(value));
    op.for_each_target(|call| given.extend(call.arguments.iter().copied()));
    given.retain(|value| function.ty(*value).is_object() && originals.contains(&original(function, *value)));
    given.retain(|value| !is_held_anyway(function, original(function, *value)));
    if given.is_empty() {
        return;
    }
    let source = function.insts[inst].source;
    // An op that takes a value and also looks at it names what it takes last.
    let mut operands = Vec::new();
    op.for_each_operand(|operand| operands.push(operand));
    for operand in operands.iter_mut().rev() {
        let Some(position) = given.iter().position(|value| value == operand) else { continue };
        given.remove(position);
        let root = original(function, *operand);
        let count = counts.get_mut(&root).expect("counted before");
        *count -= 1;
        if *count > 0 {
            let copy = function.make(Op::Dup { value: *operand }, source);
            kept.push(copy);
            *operand = function.insts[copy].result.expect("a copy is a result");
        }
    }
    let mut operands = operands.into_iter();
    op.for_each_operand_mut(|operand| *operand = operands.next().expect("as many as there were"));
    function.insts[inst].op = op;
}
