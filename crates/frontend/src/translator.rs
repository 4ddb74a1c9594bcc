//! The translator's frame: blocks and edges, joins and loop headers, frame states, references.

use crate::consumers::{Consumer, Summands};
use crate::graph::Graph;
use crate::state::{Slot, State};
use crate::trials::TrialPlace;
use crate::{Bailout, BailoutReason, Settings};
use coluber_bytecode::{Code, Entry, Feedback, Instruction, Kind, ObjectId, Offset, Op as Bytecode, Snapshot};
use coluber_ir::ops::{ExitReason, IteratorField};
use coluber_ir::{Block, BlockCall, FrameState, FrameStateId, Function, Helper, Op, Resume, Type, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use std::rc::Rc;

/// So many exits at an instruction, and the next version does not speculate there as the last one did.
pub(crate) const GIVE_UP_AFTER: u64 = 20;

/// Name of the exits where an instruction was left out because it had never been executed.
pub(crate) const NEVER_EXECUTED: &str = "NeverExecuted";

/// Name of the exits of a running loop's unit at its entry.
pub(crate) const ENTRY: &str = "Entry";

/// Place of a loop-header slot, stable over attempts: inline path, node, activation, slot.
type Place = (Vec<u32>, usize, usize, usize);

/// Types of loop-header slots that turned out weaker than those of the entry.
#[derive(Default)]
pub(crate) struct Assumptions {
    types: HashMap<Place, Type>,
    /// Operators (inline path, code, offset) whose method turned out not to be fit for inlining.
    refused_operators: HashSet<(Vec<u32>, usize, Offset)>,
    /// Trials of what turned out not to be fit for one.
    pub refused_trials: HashSet<TrialPlace>,
    /// What sums in trials are of, where it is not ints.
    pub summands: HashMap<TrialPlace, Summands>,
    /// Where a generator can be resumed, as far as known.
    pub resume_points: Vec<crate::generators::ResumePoint>,
}

impl Assumptions {
    /// Forgets what was assumed about loop headers.
    pub fn forget_types(&mut self) {
        self.types.clear();
    }
}

/// An edge whose target has not been started: an open block and the state at its end.
pub(crate) struct Edge {
    pub block: Block,
    pub state: State,
}

/// A started loop header.
struct Header {
    block: Block,
    state: State,
    /// (activation, slot) of each object or register parameter, in order.
    parameters: Vec<Parameter>,
    /// (activation, slot) of what was unbound when the loop was entered.
    unbound: HashSet<(usize, usize)>,
}

/// What a loop-header parameter stands for.
#[derive(Clone, Copy, Debug)]
struct Parameter {
    frame: usize,
    slot: usize,
    part: Part,
    ty: Type,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    /// The slot's value.
    Value,
    /// Its tagged integer.
    Tagged,
    /// `start` of a range iterator.
    Start,
    /// `length` of a range iterator.
    Length,
    /// `index` of a sequence iterator.
    Index,
}

/// Translation of one graph: the unit's own or an inlined callee's.
pub(crate) struct Run {
    pub graph: Rc<Graph>,
    pub code: usize,
    pub node: usize,
    pending: Vec<Vec<Edge>>,
    headers: Vec<Option<Header>>,
    /// Edges to the continuation behind an inlined call, the result pushed.
    pub returns: Vec<Edge>,
}

impl Run {
    /// Adds an edge to a node that has not been started.
    pub fn add_edge(&mut self, node: usize, edge: Edge) {
        debug_assert!(self.headers[node].is_none(), "a handler is no loop header");
        self.pending[node].push(edge);
    }
}

/// Translates one unit.
pub(crate) struct Translator<'a> {
    pub snapshot: &'a Snapshot,
    pub settings: &'a Settings,
    pub assumptions: &'a mut Assumptions,
    pub retry: bool,
    pub function: Function,
    states: HashMap<FrameState, FrameStateId>,
    /// Where instructions are appended; `None` behind a terminator.
    pub block: Option<Block>,
    pub state: State,
    /// The state at the start of the present instruction.
    pub before: State,
    before_resume: Resume,
    /// The present instruction is the second part of a superinstruction: no guard can go back to its start.
    pub is_inside_instruction: bool,
    pub before_id: Option<FrameStateId>,
    pub after_resume: Resume,
    pub source: (u32, u32),
    pub runs: Vec<Run>,
    pub path: Vec<u32>,
    /// Where a generator puts its items itself instead of yielding them.
    pub sink: Option<Value>,
    pub continuations: Vec<crate::calls::Continuation>,
    /// Trials that have begun, also those that have ended.
    pub trials: Vec<TrialPlace>,
    /// Objects that helpers have made in trials and put out.
    pub made: HashSet<Value>,
    /// Generator expressions in whose bodies the present place is.
    pub consumers: Vec<Consumer>,
    /// Methods of builtin objects that were loaded, see [`crate::bound`].
    pub bound: HashMap<Value, crate::bound::BoundBuiltin>,
    /// Kinds of the iterators that iterators walk, by their roots.
    pub inner_kinds: HashMap<Value, crate::walks::Inner>,
    pub translated: usize,
    /// How many polymorphic accesses the present path lies behind.
    pub forks: usize,
    numeric: std::cell::RefCell<HashMap<usize, Rc<Vec<bool>>>>,
    /// Values replaced by others during the present instruction.
    pub replaced: HashMap<Value, Value>,
    /// Constants that something outside of the unit may hold: their identity must be kept.
    exposed: HashSet<Value>,
}

impl<'a> Translator<'a> {
    pub fn new(snapshot: &'a Snapshot, settings: &'a Settings, assumptions: &'a mut Assumptions) -> Self {
        let nowhere = Resume::At { start: 0, offset: 0 };
        Translator {
            snapshot,
            settings,
            assumptions,
            retry: false,
            function: Function::new(snapshot.name.clone(), snapshot.objects.clone()),
            states: HashMap::default(),
            block: None,
            state: State::default(),
            before: State::default(),
            before_resume: nowhere,
            is_inside_instruction: false,
            before_id: None,
            after_resume: nowhere,
            source: (0, 0),
            runs: Vec::new(),
            path: Vec::new(),
            sink: None,
            continuations: Vec::new(),
            trials: Vec::new(),
            made: HashSet::default(),
            consumers: Vec::new(),
            bound: HashMap::default(),
            inner_kinds: HashMap::default(),
            translated: 0,
            forks: 0,
            numeric: std::cell::RefCell::default(),
            replaced: HashMap::default(),
            exposed: HashSet::default(),
        }
    }

    /// Translates; `None` if an assumption had to be weakened.
    pub fn run(mut self) -> Result<Option<Function>, Bailout> {
        match self.translate() {
            // Without trials there may be no reason to.
            Err(_) if !self.trials.is_empty() => {
                self.assumptions.refused_trials.extend(self.trials);
                Ok(None)
            }
            result => result.and_then(|()| self.finish()),
        }
    }

    fn translate(&mut self) -> Result<(), Bailout> {
        let snapshot = self.snapshot;
        let code = &snapshot.codes[0];
        let start = match snapshot.entry {
            Entry::Generator => {
                return self.translate_generator(code);
            }
            _ if code.flags.is_generator => return Err(Bailout::new(BailoutReason::Generator, 0)),
            Entry::Function => 0,
            Entry::Loop { header, .. } => header,
        };
        let entry = code.index_of(start).ok_or_else(|| Bailout::new(BailoutReason::Entry, start))?;
        let graph = self.build_graph(0, entry).ok_or_else(|| Bailout::new(BailoutReason::ControlFlow, start))?;
        let block = self.function.add_block();
        self.block = Some(block);
        self.enter(code, start)?;
        let edge = Edge { block: self.block.take().expect("the entry block is open"), state: self.state.clone() };
        self.translate_graph(Rc::new(graph), 0, edge).map(drop)
    }

    fn finish(mut self) -> Result<Option<Function>, Bailout> {
        if self.retry {
            return Ok(None);
        }
        self.check_depths()?;
        self.function.layout.retain({
            let blocks = &self.function.blocks;
            |block| !blocks[*block].insts.is_empty()
        });
        Ok(Some(self.function))
    }

    /// No state may have more operands than its frame has room for: behind the operand stack other things lie.
    fn check_depths(&self) -> Result<(), Bailout> {
        let blocks = self.function.layout.iter().map(|block| &self.function.blocks[*block]);
        for inst in blocks.flat_map(|block| &block.insts) {
            let data = &self.function.insts[*inst];
            let mut next = data.op.state();
            while let Some(id) = next {
                let state = &self.function.states[id];
                if state.resume != Resume::Undone
                    && state.stack.len() > self.snapshot.codes[state.code].stack_size as usize
                {
                    return Err(Bailout::new(BailoutReason::Malformed("a state deeper than its frame"), data.source.1));
                }
                next = state.caller;
            }
        }
        Ok(())
    }

    pub fn set_slot(&mut self, slot: usize, value: Slot) {
        for state in [&mut self.state, &mut self.before] {
            let top = state.top_mut();
            let locals = top.locals.len();
            if slot < locals {
                top.locals[slot] = value;
            } else {
                top.stack[slot - locals] = value;
            }
        }
        self.before_id = None;
    }

    // ---- graphs

    /// Translates a graph from an edge that enters it.
    pub fn translate_graph(&mut self, graph: Rc<Graph>, code: usize, entry: Edge) -> Result<Vec<Edge>, Bailout> {
        let mut pending: Vec<Vec<Edge>> = graph.nodes.iter().map(|_| Vec::new()).collect();
        pending[0].push(entry);
        self.translate_pending(graph, code, pending)
    }

    /// Translates a graph of several entries from an edge for each.
    pub fn translate_edges(&mut self, graph: Rc<Graph>, code: usize, entries: Vec<Edge>) -> Result<(), Bailout> {
        let mut pending: Vec<Vec<Edge>> = graph.nodes.iter().map(|_| Vec::new()).collect();
        for (node, entry) in graph.nodes[0].successors.iter().zip(entries) {
            pending[*node].push(entry);
        }
        self.translate_pending(graph, code, pending).map(drop)
    }

    fn translate_pending(
        &mut self,
        graph: Rc<Graph>,
        code: usize,
        pending: Vec<Vec<Edge>>,
    ) -> Result<Vec<Edge>, Bailout> {
        let count = graph.nodes.len();
        let headers = (0..count).map(|_| None).collect();
        self.runs.push(Run { graph: graph.clone(), code, node: 0, pending, headers, returns: Vec::new() });
        for node in 0..count {
            self.run_mut().node = node;
            if !self.start_node(node)? {
                continue;
            }
            let block = &graph.blocks[graph.nodes[node].block];
            let (first, end) = (block.first, block.end);
            self.translated += end - first;
            if self.translated > self.settings.max_instructions {
                return Err(Bailout::new(BailoutReason::TooLarge, self.source.1));
            }
            self.translate_range(code, first, end)?;
            if self.block.is_some() {
                // Fell through to the next block.
                self.edge(0)?;
            }
        }
        let run = self.runs.pop().expect("pushed above");
        Ok(run.returns)
    }

    pub fn run_mut(&mut self) -> &mut Run {
        self.runs.last_mut().expect("a graph is being translated")
    }

    /// Code of the executing activation.
    pub fn code(&self) -> &'a Code {
        &self.snapshot.codes[self.state.top().code]
    }

    fn start_node(&mut self, node: usize) -> Result<bool, Bailout> {
        let edges = std::mem::take(&mut self.run_mut().pending[node]);
        if edges.is_empty() {
            return Ok(false);
        }
        let graph = self.run_mut().graph.clone();
        let first = graph.blocks[graph.nodes[node].block].first;
        let code = &self.snapshot.codes[self.run_mut().code];
        let start = code.instructions[first].start;
        let resume = self.resume_at(code, start);
        self.merge(edges, resume)?;
        // A loop over a builtin iterator keeps its position in registers from here on.
        if let Bytecode::ForIter { .. } = code.instructions[first].op {
            self.begin(resume, resume);
            self.source = (self.state.top().code as u32, start);
            self.open_iterator(&code.instructions[first])?;
            self.profile_iterator(&code.instructions[first])?;
            self.take_over_iterator(&code.instructions[first])?;
        }
        if let Some(assigned) = &graph.nodes[node].assigned {
            self.begin_header(node, assigned, resume, code, first)?;
        }
        Ok(true)
    }

    /// Whether successor number `index` of the present node is a loop header that was started.
    pub fn leads_back(&self, index: usize) -> bool {
        let run = self.runs.last().expect("a graph is being translated");
        run.graph.nodes[run.node].successors.get(index).is_some_and(|target| run.headers[*target].is_some())
    }

    /// Adds an edge from the present block to successor number `index` of the present node; ends the block.
    pub fn edge(&mut self, index: usize) -> Result<(), Bailout> {
        let run = self.runs.last_mut().expect("a graph is being translated");
        let Some(&target) = run.graph.nodes[run.node].successors.get(index) else {
            return Err(Bailout::new(BailoutReason::Malformed("jump out of the code"), self.source.1));
        };
        if run.headers[target].is_some() {
            return self.back_edge(target);
        }
        let block = self.block.take().expect("an edge leaves an open block");
        let state = self.state.clone();
        self.run_mut().pending[target].push(Edge { block, state });
        Ok(())
    }

    /// Joins edges into one open block with one state.
    pub fn merge(&mut self, mut edges: Vec<Edge>, resume: Resume) -> Result<(), Bailout> {
        if edges.len() == 1 {
            let edge = edges.pop().expect("one edge");
            self.block = Some(edge.block);
            self.state = edge.state;
            return Ok(());
        }
        self.close_different_iterators(&mut edges, resume)?;
        if edges.len() == 1 {
            return self.merge(edges, resume);
        }
        let mut merged = edges[0].state.clone();
        merged.unobserved = edges.iter().any(|edge| edge.state.unobserved);
        merged.unchecked = edges.iter().any(|edge| edge.state.unchecked);
        edges[1..].iter().for_each(|edge| merged.join_classes(&edge.state));
        let mut parameters = Vec::new();
        // One object that every path knows to be bound, by a name of its own for it.
        let mut bound = Vec::new();
        for frame in 0..merged.frames.len() {
            let locals = merged.frames[frame].locals.len();
            for slot in 0..locals + merged.frames[frame].stack.len() {
                let candidates: Vec<Slot> = edges
                    .iter()
                    .map(|edge| {
                        slot_of(&edge.state, frame, slot)
                            .ok_or_else(|| Bailout::new(BailoutReason::Malformed("stack depth"), self.source.1))
                    })
                    .collect::<Result<_, _>>()?;
                if candidates.iter().all(|candidate| *candidate == candidates[0]) {
                    continue;
                }
                let target = self.merge_slots(&candidates, frame, slot, &mut parameters)?;
                set_slot_of(&mut merged, frame, slot, target);
                let is_bound = |slot: &Slot| matches!(slot, Slot::Value(value) if !self.ty(*value).is_nullable());
                if let Slot::Value(root) = target
                    && self.ty(root).is_nullable()
                    && candidates.iter().all(is_bound)
                {
                    bound.push(root);
                }
            }
        }
        let join = self.function.add_block();
        for edge in edges {
            self.block = Some(edge.block);
            self.state = edge.state;
            self.begin(resume, resume);
            let arguments = self.edge_arguments(&parameters, &merged)?;
            self.emit(Op::Jump { target: BlockCall { block: join, arguments } });
        }
        for parameter in &parameters {
            let value = self.function.add_parameter(join, parameter.ty);
            set_part(&mut merged, parameter, value);
        }
        self.block = Some(join);
        self.state = merged;
        for root in bound {
            let value = self.emit_value(Op::AssumeBound { value: root });
            self.state.replace(root, value);
        }
        Ok(())
    }

    /// Where edges bring different iterators into one slot (a return out of the peeled and of the other iterations of
    /// nested loops), their positions go back into the objects, which can be joined. Edges with forms that cannot be
    /// joined leave compiled code.
    fn close_different_iterators(&mut self, edges: &mut Vec<Edge>, resume: Resume) -> Result<(), Bailout> {
        let frames = edges[0].state.frames.len();
        for frame in 0..frames {
            for slot in 0..edges[0].state.frames[frame].slots().count() {
                let contents: Vec<Slot> = edges.iter().filter_map(|edge| slot_of(&edge.state, frame, slot)).collect();
                if contents.len() != edges.len() {
                    return Err(self.malformed("stack depth"));
                }
                let function = &self.function;
                let joins = |left: Slot, right: Slot| match (left, right) {
                    (Slot::Range { object, .. }, Slot::Range { object: other, .. })
                    | (Slot::Sequence { object, .. }, Slot::Sequence { object: other, .. }) => {
                        function.root(object) == function.root(other)
                    }
                    (Slot::TaggedInt(_), Slot::TaggedInt(_)) => true,
                    (Slot::Null | Slot::Value(_), Slot::Null | Slot::Value(_)) => true,
                    _ => false,
                };
                if contents.iter().all(|content| joins(contents[0], *content)) {
                    continue;
                }
                for edge in edges.iter_mut() {
                    self.block = Some(edge.block);
                    self.state = std::mem::take(&mut edge.state);
                    self.close_iterator(frame, slot);
                    edge.block = self.block.take().expect("closing an iterator leaves the block open");
                    edge.state = std::mem::take(&mut self.state);
                }
                let form = |edge: &Edge| matches!(slot_of(&edge.state, frame, slot), Some(Slot::TaggedInt(_)));
                let first = form(&edges[0]);
                let (kept, others): (Vec<Edge>, Vec<Edge>) = edges.drain(..).partition(|edge| form(edge) == first);
                edges.extend(kept);
                for edge in others {
                    self.block = Some(edge.block);
                    self.state = edge.state;
                    self.begin(resume, resume);
                    let state = self.before();
                    self.emit(Op::Exit { reason: ExitReason::NotCompiled, state });
                }
            }
        }
        Ok(())
    }

    /// Puts the position of an iterator in registers back into the object.
    pub fn close_iterator(&mut self, frame: usize, slot: usize) {
        let object = match slot_of(&self.state, frame, slot) {
            Some(Slot::Range { object, start, length, .. }) => {
                self.emit(Op::StoreIterator { iterator: object, field: IteratorField::RangeStart, value: start });
                self.emit(Op::StoreIterator { iterator: object, field: IteratorField::RangeLength, value: length });
                object
            }
            Some(Slot::Sequence { object, index }) => {
                self.emit(Op::StoreIterator { iterator: object, field: IteratorField::SequenceIndex, value: index });
                object
            }
            _ => return,
        };
        set_slot_of(&mut self.state, frame, slot, Slot::Value(object));
    }

    /// Decides what a slot with different contents on several edges becomes.
    fn merge_slots(
        &mut self,
        candidates: &[Slot],
        frame: usize,
        slot: usize,
        parameters: &mut Vec<Parameter>,
    ) -> Result<Slot, Bailout> {
        let first = candidates[0];
        match first {
            Slot::Null | Slot::Value(_) => {
                let mut ty: Option<Type> = None;
                let mut roots = HashSet::default();
                // A constant number joins a register as a register.
                let has_register = candidates
                    .iter()
                    .any(|slot| matches!(slot, Slot::Value(value) if !self.function.ty(*value).is_object()));
                for candidate in candidates {
                    let next = match candidate {
                        Slot::Value(value) => {
                            roots.insert(Some(self.function.root(*value)));
                            if has_register { self.header_type(*value) } else { self.function.ty(*value) }
                        }
                        Slot::Null => {
                            roots.insert(None);
                            continue;
                        }
                        _ => return Err(self.malformed("iterator joined with a value")),
                    };
                    ty = Some(ty.map_or(next, |ty| ty.join(next)));
                }
                // NULL joins with anything without losing what it is.
                if roots.contains(&None) {
                    ty = Some(ty.map_or(Type::Nullable, |ty| ty.boxed().or_null()));
                }
                if roots.len() == 1
                    && let Some(Some(root)) = roots.into_iter().next()
                {
                    return Ok(Slot::Value(root));
                }
                let mut ty = ty.expect("a join has edges");
                if let Type::Constant(_, kind) = ty {
                    ty = kind.map_or(Type::Object, Type::Exact);
                }
                parameters.push(Parameter { frame, slot, part: Part::Value, ty });
                Ok(Slot::Null)
            }
            Slot::TaggedInt(_) => {
                if !candidates.iter().all(|candidate| matches!(candidate, Slot::TaggedInt(_))) {
                    return Err(self.malformed("tagged integer joined with a value"));
                }
                parameters.push(Parameter { frame, slot, part: Part::Tagged, ty: Type::I64 });
                Ok(first)
            }
            Slot::Function { .. } | Slot::Generator { .. } => Err(self.malformed("different trials joined")),
            Slot::Range { object, start, length, .. } => {
                let mut parts = (false, false);
                for candidate in candidates {
                    match candidate {
                        Slot::Range { object: other, start: s, length: l, .. }
                            if self.function.root(*other) == self.function.root(object) =>
                        {
                            parts.0 |= *s != start;
                            parts.1 |= *l != length;
                        }
                        _ => return Err(self.malformed("different iterators joined")),
                    }
                }
                if parts.0 {
                    parameters.push(Parameter { frame, slot, part: Part::Start, ty: Type::I64 });
                }
                if parts.1 {
                    parameters.push(Parameter { frame, slot, part: Part::Length, ty: Type::I64 });
                }
                Ok(first)
            }
            Slot::Sequence { object, .. } => {
                for candidate in candidates {
                    let same = |other| self.function.root(other) == self.function.root(object);
                    if !matches!(candidate, Slot::Sequence { object: other, .. } if same(*other)) {
                        return Err(self.malformed("different iterators joined"));
                    }
                }
                parameters.push(Parameter { frame, slot, part: Part::Index, ty: Type::I64 });
                Ok(first)
            }
        }
    }

    pub fn malformed(&self, what: &'static str) -> Bailout {
        Bailout::new(BailoutReason::Malformed(what), self.source.1)
    }

    /// Values of the parameters on the present edge. Each object parameter gets a reference of its own: the one the
    /// slot had, or a new one if another slot of the target needs it too.
    fn edge_arguments(&mut self, parameters: &[Parameter], target: &State) -> Result<Vec<Value>, Bailout> {
        // References that stay where they are: slots that are no parameters.
        let mut taken: HashSet<Value> = HashSet::default();
        let parameter_slots: HashSet<(usize, usize)> = parameters
            .iter()
            .filter(|parameter| parameter.part == Part::Value)
            .map(|parameter| (parameter.frame, parameter.slot))
            .collect();
        for (frame, activation) in target.frames.iter().enumerate() {
            for (slot, content) in activation.slots().enumerate() {
                if !parameter_slots.contains(&(frame, slot)) {
                    content.for_each(|value| {
                        taken.insert(self.function.root(value));
                    });
                }
            }
        }
        let mut arguments = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let content =
                slot_of(&self.state, parameter.frame, parameter.slot).ok_or_else(|| self.malformed("stack depth"))?;
            let argument = match (parameter.part, content) {
                (Part::Value, Slot::Null) => self.emit_value(Op::NullConstant {}),
                (Part::Value, Slot::Value(value)) => {
                    if parameter.ty.is_object() {
                        let mut object = self.object(value);
                        if !taken.insert(self.function.root(object)) || !self.needs_kill(object) {
                            object = self.emit_value(Op::Dup { value: object });
                        }
                        object
                    } else if self.function.ty(value) == parameter.ty {
                        value
                    } else {
                        self.register_of(value, parameter.ty)
                            .ok_or_else(|| self.malformed("representation at a join"))?
                    }
                }
                (Part::Tagged, Slot::TaggedInt(value)) => value,
                (Part::Start, Slot::Range { start, .. }) => start,
                (Part::Length, Slot::Range { length, .. }) => length,
                (Part::Index, Slot::Sequence { index, .. }) => index,
                _ => return Err(self.malformed("slot form at a join")),
            };
            arguments.push(argument);
        }
        Ok(arguments)
    }

    /// A constant object as a register constant.
    pub fn unboxed_constant(&mut self, value: Value, ty: Type) -> Option<Value> {
        let Type::Constant(object, _) = self.function.ty(value) else { return None };
        match (&self.snapshot.objects.get(object).value, ty) {
            (coluber_bytecode::ObjectValue::Int(int), Type::I64) => {
                let value = *int;
                Some(self.emit_value(Op::IntConstant { value }))
            }
            (coluber_bytecode::ObjectValue::Float(float), Type::F64) => {
                let bits = float.to_bits();
                Some(self.emit_value(Op::FloatConstant { bits }))
            }
            (coluber_bytecode::ObjectValue::Bool(value), Type::Bool) => {
                let value = *value;
                Some(self.emit_value(Op::BoolConstant { value }))
            }
            _ => None,
        }
    }

    /// The register that a number has although the slot names an object: a constant, or a box that another slot wanted.
    fn register_of(&mut self, value: Value, ty: Type) -> Option<Value> {
        match self.function.def_op(self.function.root(value)) {
            Some(Op::BoxInt { value } | Op::BoxFloat { value } | Op::BoxBool { value })
                if self.function.ty(*value) == ty =>
            {
                Some(*value)
            }
            _ => self.unboxed_constant(value, ty),
        }
    }

    /// Whether an operator must not be inlined here.
    pub fn is_refused_operator(&self, code: usize, offset: Offset) -> bool {
        self.assumptions.refused_operators.contains(&(self.path.clone(), code, offset))
    }

    /// The operator that the executing callee was inlined for must not be: the unit is translated again.
    pub fn refuse_operator(&mut self) {
        let caller = &self.state.frames[self.state.frames.len() - 2];
        let (code, waiting) = (caller.code, caller.waiting);
        let (Some(Resume::PushResult { offset, .. }) | Some(Resume::DropResult { offset, .. })) = waiting else {
            unreachable!("a caller waits")
        };
        let path = self.path[..self.path.len() - 2].to_vec();
        self.assumptions.refused_operators.insert((path, code, offset));
        self.retry = true;
    }

    fn place(&self, node: usize, frame: usize, slot: usize) -> Place {
        (self.path.clone(), node, frame, slot)
    }

    /// Starts a loop header in front of the present (open) block.
    fn begin_header(
        &mut self,
        node: usize,
        assigned: &[bool],
        resume: Resume,
        code: &Code,
        first: usize,
    ) -> Result<(), Bailout> {
        let mut parameters = Vec::new();
        let mut target = self.state.clone();
        let top = target.frames.len() - 1;
        let loops_over_iterator = matches!(code.instructions[first].op, Bytecode::ForIter { .. });
        // How deep the loop's own iterator is; those of loops around it stay where they are.
        let own_iterator = if loops_over_iterator { code.iterator_slots as usize } else { 0 };
        for frame in 0..target.frames.len() {
            let locals = target.frames[frame].locals.len();
            let depth = target.frames[frame].stack.len();
            for slot in 0..locals + depth {
                let content = slot_of(&target, frame, slot).expect("slot exists");
                let assumed = self.assumptions.types.get(&self.place(node, frame, slot)).copied();
                match content {
                    Slot::Null | Slot::Value(_) => {
                        let is_assigned = frame == top && slot < locals && assigned[slot];
                        if !is_assigned && assumed.is_none() {
                            continue;
                        }
                        let mut ty = match content {
                            Slot::Value(value) => self.header_type(value),
                            _ => Type::Nullable,
                        };
                        if let Some(assumed) = assumed {
                            ty = match content {
                                Slot::Null => assumed.boxed().or_null(),
                                _ => ty.join(assumed),
                            };
                        }
                        parameters.push(Parameter { frame, slot, part: Part::Value, ty });
                    }
                    Slot::TaggedInt(_) if frame == top && slot + 1 == locals + depth && loops_over_iterator => {
                        parameters.push(Parameter { frame, slot, part: Part::Tagged, ty: Type::I64 });
                    }
                    Slot::Range { .. } if frame == top && slot + own_iterator == locals + depth => {
                        parameters.push(Parameter { frame, slot, part: Part::Start, ty: Type::I64 });
                        parameters.push(Parameter { frame, slot, part: Part::Length, ty: Type::I64 });
                    }
                    Slot::Sequence { .. } if frame == top && slot + own_iterator == locals + depth => {
                        parameters.push(Parameter { frame, slot, part: Part::Index, ty: Type::I64 });
                    }
                    _ => {}
                }
            }
        }
        self.begin(resume, resume);
        // Parameter slots hold nothing of their own while the edge's references are counted.
        for parameter in parameters.iter().filter(|parameter| parameter.part == Part::Value) {
            set_slot_of(&mut target, parameter.frame, parameter.slot, Slot::Null);
        }
        let unbound = parameters
            .iter()
            .map(|parameter| (parameter.frame, parameter.slot))
            .filter(|&(frame, slot)| slot_of(&self.state, frame, slot) == Some(Slot::Null))
            .collect();
        let arguments = self.edge_arguments(&parameters, &target)?;
        let block = self.function.add_block();
        self.emit(Op::Jump { target: BlockCall { block, arguments } });
        for parameter in &parameters {
            let value = self.function.add_parameter(block, parameter.ty);
            set_part(&mut target, parameter, value);
        }
        target.unchecked = true;
        target.unobserved = false;
        target.doubt_classes();
        self.block = Some(block);
        self.state = target.clone();
        let loop_state = self.frame_state(&target, resume);
        self.function.blocks[block].loop_state = Some(loop_state);
        self.run_mut().headers[node] = Some(Header { block, state: target, parameters, unbound });
        Ok(())
    }

    /// Type a value has as a loop-header parameter: unboxed if it is a number nobody has seen as an object.
    fn header_type(&self, value: Value) -> Type {
        let may_unbox = self.settings.speculate && !self.exposed.contains(&self.function.root(value));
        match self.function.ty(value) {
            Type::Constant(object, kind) if may_unbox => match self.snapshot.objects.get(object).value {
                coluber_bytecode::ObjectValue::Int(_) => Type::I64,
                coluber_bytecode::ObjectValue::Float(_) => Type::F64,
                coluber_bytecode::ObjectValue::Bool(_) => Type::Bool,
                _ => kind.map_or(Type::Object, Type::Exact),
            },
            Type::Constant(_, kind) => kind.map_or(Type::Object, Type::Exact),
            ty => ty,
        }
    }

    /// Ends the present block with a jump back to a started header.
    fn back_edge(&mut self, node: usize) -> Result<(), Bailout> {
        let run = self.run_mut();
        let header = run.headers[node].take().expect("the header was started");
        let result = self.close_loop(node, &header);
        self.run_mut().headers[node] = Some(header);
        result
    }

    fn close_loop(&mut self, node: usize, header: &Header) -> Result<(), Bailout> {
        let mut weakened = false;
        for frame in 0..header.state.frames.len() {
            let slots = header.state.frames[frame].slots().count();
            for slot in 0..slots {
                let expected = slot_of(&header.state, frame, slot).expect("slot exists");
                let found = slot_of(&self.state, frame, slot).ok_or_else(|| self.malformed("stack depth"))?;
                let parameter =
                    header.parameters.iter().find(|parameter| parameter.frame == frame && parameter.slot == slot);
                let wanted = match (parameter, expected, found) {
                    (Some(parameter), _, _) if parameter.part == Part::Value => match found {
                        Slot::Null => {
                            if parameter.ty.is_nullable() {
                                continue;
                            }
                            parameter.ty.boxed().or_null()
                        }
                        Slot::Value(value) => {
                            let ty = self.header_type(value);
                            let joined = match parameter.ty {
                                // Entered unbound: what comes back decides what else it can be.
                                Type::Nullable
                                    if header.unbound.contains(&(frame, slot))
                                        && !self.assumptions.types.contains_key(&self.place(node, frame, slot)) =>
                                {
                                    ty.or_null()
                                }
                                other => other.join(ty),
                            };
                            if joined == parameter.ty {
                                continue;
                            }
                            joined
                        }
                        _ => return Err(self.malformed("iterator in a local")),
                    },
                    (Some(_), _, _) => continue,
                    (None, expected, found) if expected == found => continue,
                    (None, Slot::Value(old), Slot::Value(new)) => {
                        if self.function.root(old) == self.function.root(new) {
                            continue;
                        }
                        self.function.ty(old).join(self.header_type(new))
                    }
                    (None, Slot::Value(old), Slot::Null) => self.function.ty(old).boxed().or_null(),
                    (None, Slot::Null, Slot::Value(new)) => self.function.ty(new).boxed().or_null(),
                    _ => return Err(self.malformed("slot form at a back-edge")),
                };
                let wanted = match wanted {
                    Type::Constant(_, kind) => kind.map_or(Type::Object, Type::Exact),
                    other => other,
                };
                let place = self.place(node, frame, slot);
                let weaker = match self.assumptions.types.get(&place) {
                    Some(known) if *known == wanted => {
                        // Assumed already, and still not enough: give up precision.
                        if wanted.is_nullable() { Type::Nullable } else { Type::Object }
                    }
                    Some(known) => known.join(wanted),
                    None => wanted,
                };
                self.assumptions.types.insert(place, weaker);
                weakened = true;
            }
        }
        if weakened {
            self.retry = true;
            self.emit(Op::Unreachable {});
            return Ok(());
        }
        let mut target = header.state.clone();
        for parameter in header.parameters.iter().filter(|parameter| parameter.part == Part::Value) {
            set_slot_of(&mut target, parameter.frame, parameter.slot, Slot::Null);
        }
        let arguments = self.edge_arguments(&header.parameters, &target)?;
        self.emit(Op::Jump { target: BlockCall { block: header.block, arguments } });
        Ok(())
    }

    // ---- frame states

    /// Where the interpreter resumes to execute the instruction at `start`.
    pub fn resume_at(&self, code: &Code, start: Offset) -> Resume {
        let offset = code.index_of(start).map_or(start, |index| code.instructions[index].offset);
        Resume::At { start, offset }
    }

    /// Begins an instruction: `before` is what guards return to, `after` what its effects leave.
    pub fn begin(&mut self, before: Resume, after: Resume) {
        self.before = self.state.clone();
        self.is_inside_instruction = false;
        self.before_resume = before;
        self.before_id = None;
        self.after_resume = after;
        self.replaced.clear();
    }

    /// Where the present instruction starts over and where it goes on.
    pub fn resumes(&self) -> (Resume, Resume) {
        (self.before_resume, self.after_resume)
    }

    /// Code units of the present instruction's opcode and of what is behind it.
    pub fn offsets(&self) -> (Offset, Offset) {
        let (Resume::At { offset, .. }, Resume::At { start, .. }) = (self.before_resume, self.after_resume) else {
            unreachable!("instructions begin with plain resume points")
        };
        (offset, start)
    }

    /// Takes the present state as that of the present instruction's start; for changes nobody can see.
    pub fn begin_same(&mut self) {
        self.before = self.state.clone();
        self.before_id = None;
    }

    /// Lets the present instruction start from the present state; what `work` emits comes before it.
    pub fn begin_again(&mut self, work: impl FnOnce(&mut Self)) {
        let after = self.after_resume;
        self.begin(self.before_resume, self.before_resume);
        work(self);
        self.begin(self.before_resume, after);
    }

    /// The frame state at the start of the present instruction.
    pub fn before(&mut self) -> FrameStateId {
        debug_assert!(
            !self.is_inside_instruction || self.before.trial.is_some(),
            "a guard in the middle of an instruction"
        );
        if let Some(id) = self.before_id {
            return id;
        }
        let before = std::mem::take(&mut self.before);
        let id = self.frame_state(&before, self.before_resume);
        self.before = before;
        self.before_id = Some(id);
        id
    }

    /// The state at the start of the present instruction without the operand-stack references to stolen values.
    pub fn before_without(&mut self, stolen: &[Value]) -> FrameStateId {
        if stolen.is_empty() {
            return self.before();
        }
        let roots: Vec<Value> = stolen.iter().map(|value| self.function.root(*value)).collect();
        let mut before = self.before.clone();
        for slot in before.slots_mut() {
            if let Slot::Value(value) = slot
                && roots.contains(&self.function.root(*value))
            {
                *slot = Slot::Null;
            }
        }
        self.frame_state(&before, self.before_resume)
    }

    /// From here on nothing is repeated: what dies on the way out sees the frame at its return instruction.
    pub fn after_return(&mut self) {
        self.after_resume = self.before_resume;
    }

    /// The frame state behind the present instruction, from the present slots.
    pub fn after(&mut self) -> FrameStateId {
        let state = std::mem::take(&mut self.state);
        let id = self.frame_state(&state, self.after_resume);
        self.state = state;
        id
    }

    fn frame_state(&mut self, state: &State, resume: Resume) -> FrameStateId {
        if let Some(trial) = &state.trial {
            return self.trial_state(state, trial);
        }
        let mut caller = None;
        let last = state.frames.len() - 1;
        for (depth, activation) in state.frames.iter().enumerate() {
            let frame = FrameState {
                code: activation.code,
                function: activation.function,
                resume: if depth == last {
                    resume
                } else {
                    activation.waiting.expect("an activation below another waits")
                },
                locals: activation.locals.iter().map(|slot| slot.to_state()).collect(),
                stack: activation.stack.iter().map(|slot| slot.to_state()).collect(),
                caller,
            };
            caller = Some(self.intern_state(frame));
        }
        caller.expect("there is an activation")
    }

    /// The id of a frame state, one for all that are equal.
    pub fn intern_state(&mut self, frame: FrameState) -> FrameStateId {
        if let Some(id) = self.states.get(&frame) {
            return *id;
        }
        let id = self.function.states.push(frame.clone());
        self.states.insert(frame, id);
        id
    }

    // ---- emission and references

    pub fn emit(&mut self, op: Op) -> Option<Value> {
        let block = self.block.expect("instructions are emitted into an open block");
        let effects = op.effects(&self.function);
        if self.state.trial.is_some() && !self.is_repeatable(&op, effects) {
            self.refuse_trial();
        }
        let in_trial = self.state.trial.is_some();
        let state = op.state().filter(|_| !in_trial && effects.raises && crate::handlers::may_be_caught(&op, effects));
        let mut stolen = Vec::new();
        if state.is_some() {
            op.for_each_stolen(|value| stolen.push(value));
        }
        if exposes_operands(&op) {
            let (function, exposed) = (&self.function, &mut self.exposed);
            op.for_each_operand(|operand| {
                if let Type::Constant(..) = function.ty(operand) {
                    exposed.insert(function.root(operand));
                }
            });
        }
        // What runs when an object dies is not expected to turn to the frames.
        let is_call = !matches!(op, Op::Kill { .. });
        let result = self.function.append(block, op, self.source);
        if effects.runs_python {
            self.state.unobserved |= is_call;
            self.state.unchecked = true;
            self.state.doubt_classes();
        }
        if effects.terminator {
            self.block = None;
        }
        if let Some(state) = state {
            self.branch_raised(effects, state, &stolen);
        }
        result
    }

    pub fn emit_value(&mut self, op: Op) -> Value {
        self.emit(op).expect("the op has a result")
    }

    /// Replaces a value in all slots (a refinement, or its box).
    pub fn replace(&mut self, old: Value, new: Value) {
        self.replaced.insert(old, new);
        self.state.replace(old, new);
        self.before.replace(old, new);
        self.before_id = None;
    }

    /// What stands for a value that an instruction took hold of before it was refined, boxed or unboxed: two operands
    /// can be one object.
    pub fn current(&self, mut value: Value) -> Value {
        while let Some(new) = self.replaced.get(&value) {
            value = *new;
        }
        value
    }

    /// Whether a slot still holds the value.
    pub fn is_alive(&self, value: Value) -> bool {
        let root = self.function.root(value);
        let mut alive = false;
        for slot in self.state.slots() {
            slot.for_each(|other| alive |= self.function.root(other) == root);
        }
        alive
    }

    /// Whether compiled code may hold a reference for the value.
    pub fn needs_kill(&self, value: Value) -> bool {
        let root = self.function.root(value);
        self.function.ty(root).is_object()
            && !matches!(
                self.function.def_op(root),
                Some(
                    Op::Constant { .. }
                        | Op::NullConstant {}
                        | Op::NoneConstant {}
                        | Op::BoxBool { .. }
                        | Op::LoadFunction {}
                        | Op::LoadSent { .. }
                )
            )
    }

    /// Drops a value that was taken out of its slot, if that was the last one.
    pub fn release(&mut self, value: Value) {
        if self.block.is_some() && self.needs_kill(value) && !self.is_alive(value) {
            if self.state.trial.as_ref().is_some_and(|trial| trial.names(self.function.root(value))) {
                return self.refuse_trial();
            }
            let state = self.after();
            self.emit(Op::Kill { value, state });
        }
    }

    /// Drops what a slot held.
    pub fn release_slot(&mut self, slot: Slot) {
        slot.held().for_each(|value| self.release(value));
    }

    /// The value as an object; boxed once, the box stands in its slots from then on.
    pub fn object(&mut self, value: Value) -> Value {
        let value = self.current(value);
        let op = match self.function.ty(value) {
            Type::I64 => Op::BoxInt { value },
            Type::F64 => Op::BoxFloat { value },
            Type::Bool => Op::BoxBool { value },
            _ => return value,
        };
        let boxed = self.emit_value(op);
        self.replace(value, boxed);
        boxed
    }

    /// The value as an object with a reference to give away; it is in no slot any more, or duplicated.
    pub fn steal(&mut self, value: Value) -> Value {
        let object = self.object(value);
        if self.needs_kill(object) && !self.is_alive(object) {
            object
        } else {
            self.emit_value(Op::Dup { value: object })
        }
    }

    pub fn constant(&mut self, object: ObjectId) -> Value {
        self.emit_value(Op::Constant { object })
    }

    pub fn int(&mut self, value: i64) -> Value {
        self.emit_value(Op::IntConstant { value })
    }

    /// Exits unless invariants still hold; needed before the unit relies on one.
    pub fn rely_on_invariants(&mut self) {
        if self.state.unchecked {
            let state = self.before();
            self.emit(Op::CheckInvariants { state });
            self.state.unchecked = false;
            self.before.unchecked = false;
        }
    }

    /// Exits if somebody turned to the frames during the instruction before.
    pub fn check_observed(&mut self) {
        if self.state.unobserved {
            self.state.unobserved = false;
            self.before.unobserved = false;
            let state = self.before();
            self.emit(Op::CheckObserved { state });
        }
    }

    /// Calls a helper. Object operands are boxed; stolen ones must have been taken out of their slots.
    pub fn invoke(&mut self, helper: Helper, arguments: &[Value]) -> Option<Value> {
        if self.state.trial.is_some()
            && let Some(result) = self.invoke_plain(helper, arguments)
        {
            return Some(result);
        }
        let mut operands = Vec::with_capacity(arguments.len());
        let mut stolen = Vec::new();
        for (index, &argument) in arguments.iter().enumerate() {
            operands.push(if self.helper_takes_object(helper, index) { self.object(argument) } else { argument });
        }
        for (index, operand) in operands.iter_mut().enumerate() {
            if helper.steals(index) {
                let taken = self.steal(*operand);
                if taken == *operand {
                    stolen.push(taken);
                }
                *operand = taken;
            }
        }
        let state = self.before_without(&stolen);
        self.emit(Op::Invoke { helper, arguments: operands, state })
    }

    fn helper_takes_object(&self, helper: Helper, index: usize) -> bool {
        use coluber_ir::helpers::HelperType as T;
        let mut kinds = helper.arguments().iter().filter(|kind| !matches!(kind, T::frame | T::out));
        match kinds.clone().next() {
            Some(T::V | T::SV) => true,
            _ => matches!(kinds.nth(index), Some(T::O | T::S | T::N)),
        }
    }

    // ---- the operand stack

    pub fn push(&mut self, value: Value) {
        self.state.top_mut().stack.push(Slot::Value(value));
    }

    pub fn push_slot(&mut self, slot: Slot) {
        self.state.top_mut().stack.push(slot);
    }

    pub fn pop_slot(&mut self) -> Result<Slot, Bailout> {
        let malformed = self.malformed("operand stack is empty");
        self.state.top_mut().stack.pop().ok_or(malformed)
    }

    pub fn pop(&mut self) -> Result<Value, Bailout> {
        match self.pop_slot()? {
            Slot::Value(value) => Ok(value),
            _ => Err(self.malformed("a value was expected on the operand stack")),
        }
    }

    /// Slot `depth` from the top (1 is the top).
    pub fn peek_slot(&self, depth: u32) -> Result<Slot, Bailout> {
        let stack = &self.state.top().stack;
        stack.len().checked_sub(depth as usize).map(|index| stack[index]).ok_or_else(|| self.malformed("depth"))
    }

    pub fn peek(&self, depth: u32) -> Result<Value, Bailout> {
        match self.peek_slot(depth)? {
            Slot::Value(value) => Ok(value),
            _ => Err(self.malformed("a value was expected on the operand stack")),
        }
    }

    // ---- types

    pub fn ty(&self, value: Value) -> Type {
        self.function.ty(value)
    }

    /// The exact builtin type of a value, boxed or not.
    pub fn kind(&self, value: Value) -> Option<Kind> {
        let ty = self.ty(value);
        if ty.is_nullable() { None } else { ty.boxed_kind() }
    }

    /// Makes sure that a value has this exact builtin type.
    pub fn guard_kind(&mut self, value: Value, kind: Kind) -> Value {
        let value = self.current(value);
        if self.kind(value) == Some(kind) {
            return value;
        }
        let value = self.object(value);
        let state = self.before();
        let refined = self.emit_value(Op::GuardKind { value, kind, state });
        self.replace(value, refined);
        refined
    }

    /// The register form of a value of this kind (Int, Float or Bool); guards if the kind is not known.
    pub fn unbox(&mut self, value: Value, kind: Kind) -> Value {
        let value = self.current(value);
        match self.ty(value) {
            Type::I64 | Type::F64 | Type::Bool => return value,
            _ => {}
        }
        let wanted = match kind {
            Kind::Int => Type::I64,
            Kind::Float => Type::F64,
            _ => Type::Bool,
        };
        if let Some(constant) = self.unboxed_constant(value, wanted) {
            return constant;
        }
        let value = self.guard_kind(value, kind);
        match self.function.def_op(self.function.root(value)) {
            Some(Op::BoxInt { value } | Op::BoxFloat { value }) => return *value,
            Some(Op::BoxBool { value }) => return *value,
            _ => {}
        }
        let raw = match kind {
            Kind::Int => {
                let state = self.before();
                self.emit_value(Op::UnboxInt { value, state })
            }
            Kind::Float => self.emit_value(Op::UnboxFloat { value }),
            _ => return self.emit_value(Op::UnboxBool { value }),
        };
        self.forget_object(value, raw);
        raw
    }

    /// Lets a register stand for an object from now on, if no instruction of the codes whose locals hold it can tell
    /// whether it is the same object (see [`crate::locals`]).
    fn forget_object(&mut self, object: Value, raw: Value) {
        let root = self.function.root(object);
        // Should the trial be undone, it is needed.
        if self.state.trial.as_ref().is_some_and(|trial| trial.names(root)) {
            return;
        }
        for (depth, frame) in self.state.frames.iter().enumerate() {
            // It would have to be boxed again at the next yield.
            let is_suspended = depth == 0 && self.snapshot.entry == Entry::Generator && self.sink.is_none();
            let numeric = self.numeric_locals(frame.code);
            for (local, slot) in frame.locals.iter().enumerate() {
                let mut holds = false;
                slot.for_each(|value| holds |= self.function.root(value) == root);
                if holds && (is_suspended || !numeric[local]) {
                    return;
                }
            }
        }
        let operands = self.before.top().stack.len();
        for frame in 0..self.state.frames.len() {
            let below_top = frame + 1 < self.state.frames.len();
            let stack = &self.state.frames[frame].stack;
            for (depth, slot) in stack.iter().enumerate() {
                let mut holds = false;
                slot.for_each(|value| holds |= self.function.root(value) == root);
                // Operands of the present instruction are consumed by it; other stack slots may be anything.
                if holds && (below_top || depth + 2 < operands) {
                    return;
                }
            }
        }
        self.replace(object, raw);
        self.before_id = None;
        self.release(object);
    }

    /// Whether the executing code only calculates with a local.
    pub fn is_numeric_local(&self, local: u32) -> bool {
        self.numeric_locals(self.state.top().code)[local as usize]
    }

    fn numeric_locals(&self, code: usize) -> Rc<Vec<bool>> {
        self.numeric
            .borrow_mut()
            .entry(code)
            .or_insert_with(|| Rc::new(crate::locals::numeric_locals(&self.snapshot.codes[code])))
            .clone()
    }

    /// Whether speculation at the present instruction failed too often in an earlier version of the unit.
    pub fn gave_up(&self, instruction: &Instruction) -> bool {
        self.failures(instruction).next().is_some()
    }

    /// Whether it failed for no other reason than these.
    pub fn gave_up_only(&self, instruction: &Instruction, reasons: &[&str]) -> bool {
        self.failures(instruction).all(|failure| reasons.contains(&failure))
    }

    /// Why speculation failed too often.
    fn failures<'s>(&'s self, instruction: &Instruction) -> impl Iterator<Item = &'s str> {
        let (code, start) = (self.state.top().code, instruction.start);
        let facts = self.snapshot.exits.iter();
        let here = facts.filter(move |exit| exit.code == code && exit.offset == start && exit.count >= GIVE_UP_AFTER);
        here.filter(|exit| !exit.is_callee()).map(|exit| exit.reason.as_str()).filter(|reason| {
            !matches!(*reason, crate::operators::OPERANDS | crate::handlers::RAISE | NEVER_EXECUTED | ENTRY)
        })
    }

    /// Whether an instruction is left out because the interpreter has never come to it, nor has an earlier version.
    pub fn is_pruned(&self, code: usize, instruction: &Instruction) -> bool {
        self.settings.prune
            && instruction.feedback == Feedback::Unexecuted
            && !self.is_inside_instruction
            && !self.snapshot.has_exited(code, instruction.start, NEVER_EXECUTED, 1)
    }
}

/// Whether somebody may hold the operands of the op as objects afterwards.
fn exposes_operands(op: &Op) -> bool {
    match op {
        Op::Invoke { helper, .. } => !matches!(
            helper,
            Helper::BinaryOp
                | Helper::Compare
                | Helper::CompareBool
                | Helper::IsTrue
                | Helper::Negative
                | Helper::Invert
                | Helper::Subscript
                | Helper::LoadGlobal
        ),
        Op::Call { .. }
        | Op::CallKw { .. }
        | Op::CallMoving { .. }
        | Op::CallFunction { .. }
        | Op::StoreField { .. }
        | Op::StoreSlot { .. }
        | Op::StoreCell { .. }
        | Op::ListSwap { .. }
        | Op::Dup { .. } => true,
        _ => false,
    }
}

fn slot_of(state: &State, frame: usize, slot: usize) -> Option<Slot> {
    let activation = state.frames.get(frame)?;
    let locals = activation.locals.len();
    if slot < locals { Some(activation.locals[slot]) } else { activation.stack.get(slot - locals).copied() }
}

fn set_slot_of(state: &mut State, frame: usize, slot: usize, content: Slot) {
    let activation = &mut state.frames[frame];
    let locals = activation.locals.len();
    if slot < locals {
        activation.locals[slot] = content;
    } else {
        activation.stack[slot - locals] = content;
    }
}

fn set_part(state: &mut State, parameter: &Parameter, value: Value) {
    let old = slot_of(state, parameter.frame, parameter.slot).expect("slot exists");
    let new = match (parameter.part, old) {
        (Part::Value, _) => Slot::Value(value),
        (Part::Tagged, _) => Slot::TaggedInt(value),
        (Part::Start, Slot::Range { object, length, step, .. }) => Slot::Range { object, start: value, length, step },
        (Part::Length, Slot::Range { object, start, step, .. }) => Slot::Range { object, start, length: value, step },
        (Part::Index, Slot::Sequence { object, .. }) => Slot::Sequence { object, index: value },
        (part, old) => unreachable!("{part:?} of {old:?}"),
    };
    set_slot_of(state, parameter.frame, parameter.slot, new);
}
