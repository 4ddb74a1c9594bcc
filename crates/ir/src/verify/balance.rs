//! Every reference that compiled code holds is given away exactly once on every path.
//!
//! References belong to objects, so they are counted for the *root* of a value: refinements (`refs = alias`) share it.
//! A root is *held* from its definition on, if
//!
//! * it is an owned result, or a block parameter of an object type;
//! * in phase `Built`: it is a borrowed result that is given away somewhere (`insert_refcounts` then makes a reference);
//!   results of ops that depend on nothing, such as `Constant`, are not held and can be given away freely;
//! * in phase `Counted`: as `Incref` and `Decref` say; a block parameter is held if it is marked as owned, and so must be
//!   what an exit is to release.
//!
//! A reference is *given away* by `Kill` or `Decref`, by an operand that the op steals, and as the argument of a block
//! parameter that is held. A value that is not held any more must not be used, except that one edge's arguments are
//! given away after all of them were used.
//!
//! *Exits* (and raising ops, `Exit`) release what is held in the names of their state: it must name all of it, and
//! nothing that was given away. An op that exits does so before it steals; one that raises has stolen, so the state
//! of a raising op must not name the operands it steals. Where its exception is caught in the function, the same is held,
//! but no result.
//!
//! An object that does not exist yet ([`Refs::Virtual`]) has no references; a state that names it names its operands,
//! whose references the object is made of.
//!
//! Objects of immortal types and constants known to be immortal need nothing, whatever is done with them. A value that
//! was tested to be NULL (`IsNull`, `IsExhausted`) may but need not be given away in the block the test leads to.

use super::Report;
use super::structure::always_raises;
use crate::function::Phase;
use crate::ops::Refs;
use crate::{Block, BlockCall, Cfg, FrameStateId, Function, Inst, Kind, Op, Type, Value, ValueDef};
use std::collections::{BTreeMap, BTreeSet};

/// Which values have references to be accounted for.
pub struct References<'a> {
    function: &'a Function,
    /// Roots that are given away somewhere.
    given_away: BTreeSet<Value>,
}

impl<'a> References<'a> {
    /// Looks for values that are given away.
    pub fn new(function: &'a Function, cfg: &Cfg) -> References<'a> {
        let mut given_away = BTreeSet::new();
        for &block in cfg.rpo() {
            for &inst in &function.blocks[block].insts {
                let op = &function.insts[inst].op;
                let mut give = |value: Value| {
                    given_away.insert(function.root(value));
                };
                op.for_each_stolen(&mut give);
                if let Op::Kill { value, .. } = op {
                    give(*value);
                }
                op.for_each_target(|call| call.arguments.iter().for_each(|value| give(*value)));
            }
        }
        let borrowed = |root: Value| !given_away.contains(&root);
        let outliving = outliving_borrows(function, cfg.rpo().iter().copied(), borrowed);
        given_away.extend(outliving);
        References { function, given_away }
    }

    /// Whether references to a root are counted at all.
    fn is_counted(&self, root: Value) -> bool {
        let ty = self.function.ty(root);
        if !ty.is_object() || is_immortal(self.function, ty) {
            return false;
        }
        match (self.function.def_op(root), self.function.phase) {
            (Some(Op::NullConstant {}), _) => false,
            (Some(op), _) if op.refs() == Refs::Virtual => false,
            (Some(op), Phase::Built) => match op.refs() {
                Refs::Owned => true,
                Refs::Borrowed => self.given_away.contains(&root) && !is_permanent(self.function, op),
                Refs::None | Refs::Alias(_) | Refs::Virtual => false,
            },
            (Some(_), Phase::Counted) | (None, _) => true,
        }
    }

    /// Whether a root must be held to be used.
    pub fn needs_holding(&self, root: Value) -> bool {
        self.is_counted(root)
            && match self.function.phase {
                Phase::Built => true,
                Phase::Counted => self.function.values[root].owned,
            }
    }

    /// How many references come with a definition.
    fn at_definition(&self, root: Value) -> u32 {
        let is_held = match (self.function.values[root].def, self.function.phase) {
            (ValueDef::Result(inst), Phase::Counted) => self.function.insts[inst].op.refs() == Refs::Owned,
            (_, Phase::Counted) => self.function.values[root].owned,
            (_, Phase::Built) => true,
        };
        u32::from(is_held)
    }

    /// Whether a jump passes a reference to a block parameter.
    pub fn takes_reference(&self, parameter: Value) -> bool {
        self.is_counted(parameter) && self.at_definition(parameter) > 0
    }

    /// Whether a borrowed result gets a reference behind its definition (in phase `Counted` it has its `Incref`).
    pub fn makes_reference(&self, result: Value) -> bool {
        self.function.phase == Phase::Built && self.needs_holding(result)
    }

    /// Whether a value that is given away has no reference to give, so that one must be made.
    pub fn must_make_reference_to_give(&self, value: Value) -> bool {
        self.function.phase == Phase::Built && !self.needs_holding(self.function.root(value))
    }

    /// Whether a result is borrowed without a reference of its own.
    pub fn is_borrowed(&self, result: Value) -> bool {
        let is_borrowed = self.function.def_op(result).is_some_and(|op| op.refs() == Refs::Borrowed);
        is_borrowed && !self.needs_holding(result) && !is_immortal(self.function, self.function.ty(result))
    }
}

/// Results declared borrowed that frame states name where nothing says that they are still held: in another block than they
/// are defined in, or where compiled code is left for good. Values that are given up in their own block are none of these.
/// The paths on which these are alive end in an exit, an exception or never, so there is no `Kill` of them, and only these
/// states tell that they need a reference of their own.
pub fn outliving_borrows(
    function: &Function,
    blocks: impl Iterator<Item = Block> + Clone,
    is_candidate: impl Fn(Value) -> bool,
) -> BTreeSet<Value> {
    let mut defined_in = BTreeMap::new();
    for block in blocks.clone() {
        for &inst in &function.blocks[block].insts {
            let data = &function.insts[inst];
            if data.op.refs() == Refs::Borrowed
                && let Some(result) = data.result
                && function.ty(result).is_object()
                && is_candidate(result)
                && !is_permanent(function, &data.op)
            {
                defined_in.insert(result, block);
            }
        }
    }
    let mut found = BTreeSet::new();
    if defined_in.is_empty() {
        return found;
    }
    for block in blocks {
        for &inst in &function.blocks[block].insts {
            let op = &function.insts[inst].op;
            let Some(state) = op.state() else { continue };
            let leaves = matches!(op, Op::Exit { .. }) || always_raises(op);
            function.for_each_state_value(state, |value| {
                let root = function.root(value);
                if defined_in.get(&root).is_some_and(|own| leaves || *own != block) {
                    found.insert(root);
                }
            });
        }
    }
    found
}

/// Whether the result of an op lives as long as the unit or its frame, whatever is done with it.
pub fn is_permanent(function: &Function, op: &Op) -> bool {
    let mut depends = op.effects(function).reads != 0;
    op.for_each_operand(|operand| depends |= function.ty(operand).is_object());
    !depends
}

/// Whether objects of the type are never released.
fn is_immortal(function: &Function, ty: Type) -> bool {
    let is_immortal_constant = matches!(ty, Type::Constant(object, _) if function.objects.get(object).immortal);
    is_immortal_constant || matches!(ty.boxed_kind(), Some(Kind::None | Kind::Bool | Kind::Ellipsis))
}

/// References held to a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// So many, one at least.
    Count(u32),
    /// It does not matter: the object turned out to be immortal, or to be NULL.
    Any,
}

/// References held at a point.
type Holding = BTreeMap<Value, Held>;

/// Where roots stop being held.
#[derive(Debug, Default)]
pub struct Releases {
    /// At instructions.
    pub insts: BTreeMap<Inst, Vec<Value>>,
    /// On the edges of terminators, by the number of the target.
    pub edges: BTreeMap<(Inst, usize), Vec<Value>>,
}

struct Balance<'r, 'a> {
    references: References<'a>,
    function: &'a Function,
    report: &'r mut Report<'a>,
    releases: Releases,
    /// Roots released by what is passed at present.
    released: Vec<Value>,
}

/// Checks all paths.
pub(super) fn check(cfg: &Cfg, report: &mut Report) -> Releases {
    let function = report.function;
    let references = References::new(function, cfg);
    let mut balance = Balance { references, function, report, releases: Releases::default(), released: Vec::new() };
    // What is held does not depend on the path (that is what is checked), so one edge into a block tells it.
    let mut starts: BTreeMap<Block, (Block, Holding)> = BTreeMap::new();
    let mut edges = Vec::new();
    for &block in cfg.rpo() {
        let holding = match starts.get(&block) {
            Some((_, holding)) => holding.clone(),
            None => balance.entry(),
        };
        for (target, holding) in balance.block(block, holding) {
            starts.entry(target).or_insert_with(|| (block, holding.clone()));
            edges.push((block, target, holding));
        }
    }
    for (block, target, holding) in edges {
        let (other, expected) = &starts[&target];
        balance.compare(target, (*other, expected), (block, &holding));
    }
    balance.releases
}

impl Balance<'_, '_> {
    fn entry(&self) -> Holding {
        let mut holding = Holding::new();
        for &parameter in &self.function.blocks[self.function.entry()].parameters {
            self.define(parameter, &mut holding);
        }
        holding
    }

    fn define(&self, root: Value, holding: &mut Holding) {
        let count = self.references.at_definition(root);
        if self.references.is_counted(root) && count > 0 {
            holding.insert(root, Held::Count(count));
        }
    }

    /// What is held at the end of a block, for each edge out of it.
    fn block(&mut self, block: Block, mut holding: Holding) -> Vec<(Block, Holding)> {
        let function = self.function;
        let raising = function.raising_inst(block);
        for &inst in &function.blocks[block].insts {
            self.pass(inst, &mut holding);
            if !self.released.is_empty() {
                self.releases.insts.insert(inst, std::mem::take(&mut self.released));
            }
            if always_raises(&function.insts[inst].op) && raising != Some(inst) {
                return Vec::new();
            }
        }
        let terminator = function.terminator(block);
        let mut edges = Vec::new();
        function.insts[terminator].op.for_each_target(|call| {
            let mut holding = holding.clone();
            if let (Some(raising), 1) = (raising, edges.len())
                && let Some(result) = function.insts[raising].result
            {
                // The exception is there instead.
                holding.remove(&function.root(result));
            }
            if let Op::Branch { condition, .. } = &function.insts[terminator].op {
                self.learn(*condition, edges.is_empty(), &mut holding);
            }
            self.jump(terminator, call, &mut holding);
            self.releases.edges.insert((terminator, edges.len()), std::mem::take(&mut self.released));
            edges.push((call.block, holding));
        });
        edges
    }

    fn pass(&mut self, inst: Inst, holding: &mut Holding) {
        let function = self.function;
        let data = &function.insts[inst];
        let op = &data.op;
        let effects = op.effects(function);
        // What is given away is looked at where that happens; `Incref` may be what makes a value held; the operand of
        // `SameObject` only names an object.
        let mut exempt = Vec::new();
        op.for_each_stolen(|value| exempt.push(value));
        if let Op::Kill { value, .. } | Op::Incref { value } | Op::Decref { value, .. } | Op::SameObject { value } = op
        {
            exempt.push(*value);
        }
        op.for_each_taken(|_, value, _| {
            if !exempt.contains(&value) {
                self.use_value(inst, value, holding);
            }
        });
        let mut state = op.state();
        if let Some(state) = state.filter(|_| effects.exits) {
            self.exit(inst, state, holding);
        }
        if let Op::CatchException { .. } = op {
            // What is given goes to the frames that the state names it in.
            state.take().into_iter().for_each(|state| self.look(inst, state, holding));
        }
        op.for_each_stolen(|value| self.give(inst, value, holding));
        match op {
            Op::Incref { value } => self.take(*value, holding),
            Op::Kill { value, .. } | Op::Decref { value, .. } => self.give(inst, *value, holding),
            Op::GuardTrue { condition, .. } => self.learn(*condition, true, holding),
            Op::GuardFalse { condition, .. } => self.learn(*condition, false, holding),
            _ => {}
        }
        if let Some(state) = state {
            if effects.raises {
                self.exit(inst, state, holding);
            } else if !effects.exits {
                self.look(inst, state, holding);
            }
        }
        if let Some(result) = data.result {
            if function.root(result) == result {
                self.define(result, holding);
            } else if is_immortal(function, function.ty(result)) {
                self.forget(result, holding);
            }
        }
        if let Op::Return { .. } | Op::Suspend { .. } = op {
            for (root, held) in &*holding {
                if *held != Held::Any {
                    self.report.inst(inst, format!("{root} is still held"));
                }
            }
        }
    }

    fn use_value(&mut self, inst: Inst, value: Value, holding: &Holding) {
        let root = self.function.root(value);
        if self.references.needs_holding(root) && !holding.contains_key(&root) {
            self.report.inst(inst, format!("{value} was given away"));
        }
    }

    fn take(&mut self, value: Value, holding: &mut Holding) {
        let root = self.function.root(value);
        if self.references.is_counted(root) {
            match holding.get_mut(&root) {
                Some(Held::Any) => {}
                Some(Held::Count(count)) => *count += 1,
                None => {
                    holding.insert(root, Held::Count(1));
                }
            }
        }
    }

    fn give(&mut self, inst: Inst, value: Value, holding: &mut Holding) {
        let root = self.function.root(value);
        if !self.references.is_counted(root) {
            return;
        }
        match holding.get_mut(&root) {
            Some(Held::Any) => {}
            Some(Held::Count(count)) if *count > 1 => *count -= 1,
            Some(Held::Count(_)) => {
                holding.remove(&root);
                self.released.push(root);
            }
            None => self.report.inst(inst, format!("{value} is given away but not held")),
        }
    }

    /// The object needs no counting from here on.
    fn forget(&self, value: Value, holding: &mut Holding) {
        let root = self.function.root(value);
        if self.references.is_counted(root) {
            holding.insert(root, Held::Any);
        }
    }

    /// The condition turned out to be true or false, and with it perhaps a value to be NULL.
    fn learn(&self, condition: Value, is_true: bool, holding: &mut Holding) {
        match self.function.def_op(condition) {
            Some(Op::BoolNot { value }) => self.learn(*value, !is_true, holding),
            Some(Op::IsNull { value } | Op::IsExhausted { value }) if is_true => self.forget(*value, holding),
            _ => {}
        }
    }

    /// Leaves compiled code: what is held is released by its name in the state.
    fn exit(&mut self, inst: Inst, state: FrameStateId, holding: &Holding) {
        self.look(inst, state, holding);
        let mut named = BTreeSet::new();
        self.function.for_each_state_value(state, |value| {
            named.insert(self.function.root(value));
        });
        for (root, held) in holding {
            match held {
                Held::Any => {}
                Held::Count(_) if !named.contains(root) => {
                    self.report.inst(inst, format!("{state} does not name {root}, which is held"));
                }
                Held::Count(count) if *count > 1 => {
                    self.report.inst(inst, format!("{root} is held {count} times, an exit releases one"));
                }
                Held::Count(_) if !self.references.needs_holding(*root) => {
                    self.report.inst(inst, format!("{root} is held but not marked as owned"));
                }
                Held::Count(_) => {}
            }
        }
    }

    /// A state names only what is there.
    fn look(&mut self, inst: Inst, state: FrameStateId, holding: &Holding) {
        self.function.for_each_state_value(state, |value| {
            let root = self.function.root(value);
            if self.references.needs_holding(root) && !holding.contains_key(&root) {
                self.report.inst(inst, format!("{state} names {value}, which was given away"));
            }
        });
    }

    fn jump(&mut self, inst: Inst, call: &BlockCall, holding: &mut Holding) {
        let parameters = &self.function.blocks[call.block].parameters;
        let held: Vec<_> =
            parameters.iter().copied().filter(|parameter| self.references.takes_reference(*parameter)).collect();
        let (given, used): (Vec<_>, Vec<_>) =
            parameters.iter().zip(&call.arguments).partition(|(parameter, _)| held.contains(parameter));
        for (_, argument) in used {
            self.use_value(inst, *argument, holding);
        }
        for (_, argument) in given {
            self.give(inst, *argument, holding);
        }
        for parameter in held {
            if let Some(Held::Count(_)) = holding.get(&parameter) {
                self.report.inst(inst, format!("{parameter} is still held when {} starts over", call.block));
            }
            self.define(parameter, holding);
        }
    }

    /// Two edges into a block bring the same.
    fn compare(&mut self, target: Block, left: (Block, &Holding), right: (Block, &Holding)) {
        let mut differs = |root: Value, (with, without): (Block, Block)| {
            self.report.block(target, format!("{root} is held coming from {with} but not so from {without}"));
        };
        for (root, held) in left.1 {
            match (held, right.1.get(root)) {
                (Held::Any, _) | (_, Some(Held::Any)) => {}
                (_, None) => differs(*root, (left.0, right.0)),
                (held, Some(other)) if held != other => differs(*root, (left.0, right.0)),
                (_, Some(_)) => {}
            }
        }
        for (root, held) in right.1 {
            if *held != Held::Any && !left.1.contains_key(root) {
                differs(*root, (right.0, left.0));
            }
        }
    }
}
