//! The walk over blocks and instructions.

use super::objects::{Form, Object, Place, State};
use super::{Plan, Stop, allocation};
use crate::analysis::consumed_roots;
use coluber_ir::fields::Offsets;
use coluber_ir::ops::Walker;
use coluber_ir::{
    Block, Cfg, FrameState, FrameStateId, Function, Helper, Inst, Kind, ObjectId, ObjectValue, Op, Resume, Type, Value,
};
use cranelift_entity::EntityRef;
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

/// One walk.
pub(super) struct Walk<'a> {
    pub function: &'a mut Function,
    pub cfg: &'a Cfg,
    pub plan: &'a mut Plan,
    /// The first value of each object, in the function before the walk.
    roots: Vec<Value>,
    /// Values that were given away in the function before the walk.
    consumed: HashSet<Value>,
    /// Results that are now other values.
    pub renamed: HashMap<Value, Value>,
    /// States at the ends of blocks.
    pub ends: HashMap<Block, State>,
    /// How the parameters of loop headers came about, see [`super::join`].
    pub headers: HashMap<Block, super::join::Header>,
    states: HashMap<FrameState, FrameStateId>,
    /// Constants that were put into registers.
    opened: HashSet<ObjectId>,
    /// Instructions of the block that is walked.
    pub out: Vec<Inst>,
    pub state: State,
    /// States whose exceptions are caught, by the blocks in which they are.
    caught: HashMap<Block, FrameStateId>,
    source: (u32, u32),
    /// Locals of the unit's own code.
    local_count: usize,
}

impl<'a> Walk<'a> {
    pub fn new(function: &'a mut Function, cfg: &'a Cfg, plan: &'a mut Plan) -> Walk<'a> {
        let roots = function.values.keys().map(|value| function.root(value)).collect();
        let own = function.states.values().find(|state| state.caller.is_none());
        let local_count = own.map_or(0, |state| state.locals.len());
        let consumed = consumed_roots(function);
        Walk {
            roots,
            consumed,
            local_count,
            function,
            cfg,
            plan,
            renamed: HashMap::default(),
            ends: HashMap::default(),
            headers: HashMap::default(),
            states: HashMap::default(),
            opened: HashSet::default(),
            out: Vec::new(),
            state: State::default(),
            caught: HashMap::default(),
            source: (0, 0),
        }
    }

    pub fn run(mut self) -> Result<(), Stop> {
        for &block in self.cfg.rpo() {
            self.out = Vec::new();
            self.begin_block(block)?;
            let raising = self.function.raising_inst(block);
            let insts = std::mem::take(&mut self.function.blocks[block].insts);
            for inst in insts {
                self.source = self.function.insts[inst].source;
                if raising == Some(inst) {
                    self.make_for_frames(inst)?;
                }
                match (&mut self.function.insts[inst].op, self.caught.get(&block)) {
                    // Nothing has changed since the state was mapped.
                    (Op::CatchException { given, state }, Some(caught)) if given.is_empty() => {
                        *state = *caught;
                        self.out.push(inst);
                    }
                    _ => self.walk(inst)?,
                }
            }
            self.function.blocks[block].insts = std::mem::take(&mut self.out);
            let end = std::mem::take(&mut self.state);
            self.ends.insert(block, end);
            if let Some(state) = raising.and_then(|raising| self.function.insts[raising].op.state()) {
                self.caught.insert(self.function.successors(block)[1], state);
            }
            for target in self.function.successors(block) {
                if self.headers.contains_key(&target) {
                    self.close_loop(block, target)?;
                }
            }
        }
        Ok(())
    }

    // ---- values

    /// The first value of an object in the function before the walk. Values made by the walk are their own.
    fn first(&self, value: Value) -> Value {
        self.roots.get(value.index()).copied().unwrap_or(value)
    }

    /// The same, renamed values followed.
    pub fn root(&self, value: Value) -> Value {
        let mut root = self.first(value);
        while let Some(next) = self.renamed.get(&root) {
            root = self.first(*next);
        }
        root
    }

    pub fn object_of(&self, value: Value) -> Option<Value> {
        self.state.object(self.root(value))
    }

    pub fn emit(&mut self, op: Op) -> Option<Value> {
        let inst = self.function.make(op, self.source);
        self.out.push(inst);
        self.function.insts[inst].result
    }

    pub fn emit_value(&mut self, op: Op) -> Value {
        self.emit(op).expect("the op has a result")
    }

    /// A state that names nothing: for the end of values whose end nobody sees.
    fn blank_state(&mut self) -> FrameStateId {
        let locals = vec![coluber_ir::SlotValue::Null; self.local_count];
        let resume = Resume::At { start: 0, offset: 0 };
        self.intern(FrameState { code: 0, function: None, resume, locals, stack: Vec::new(), caller: None })
    }

    fn intern(&mut self, state: FrameState) -> FrameStateId {
        if let Some(id) = self.states.get(&state) {
            return *id;
        }
        let id = self.function.states.push(state.clone());
        self.states.insert(state, id);
        id
    }

    // ---- states

    /// The state with what stands for its values here.
    fn map_state(&mut self, id: FrameStateId) -> Result<FrameStateId, Stop> {
        let mut data = self.function.states[id].clone();
        let caller = data.caller.map(|caller| self.map_state(caller)).transpose()?;
        let mut changed = caller != data.caller;
        data.caller = caller;
        let mut values = Vec::new();
        for slot in data.slots() {
            slot.for_each(|value| values.push(value));
        }
        let mut mapped = Vec::with_capacity(values.len());
        for value in values {
            let new = self.named(value)?;
            changed |= new != value;
            mapped.push(new);
        }
        if !changed {
            return Ok(id);
        }
        let mut mapped = mapped.into_iter();
        for slot in data.slots_mut() {
            slot.for_each_mut(|value| *value = mapped.next().expect("as many as there were"));
        }
        Ok(self.intern(data))
    }

    /// What a state names for a value.
    fn named(&mut self, value: Value) -> Result<Value, Stop> {
        let root = self.root(value);
        match self.state.place(root) {
            Place::Virtual(object) => self.name(object, 0),
            Place::Real(real) if real != root => Ok(real),
            Place::Real(_) if root == self.first(value) => Ok(value),
            Place::Real(_) => Ok(root),
        }
    }

    /// The value that states name for an object.
    fn name(&mut self, object: Value, depth: usize) -> Result<Value, Stop> {
        // An object cannot contain itself.
        if depth > 40 {
            return Err(Stop::GiveUp);
        }
        let Some(data) = self.state.objects.get(&object) else { return Err(Stop::GiveUp) };
        if let Some(named) = data.named {
            return Ok(named);
        }
        let (form, fields) = (data.form, data.fields.clone());
        if let Form::Number(_) = form {
            return Ok(fields[0].1);
        }
        let mut values = Vec::with_capacity(fields.len());
        let mut offsets = Vec::with_capacity(fields.len());
        for (key, field) in fields {
            offsets.push(key);
            values.push(match self.state.place(self.root(field)) {
                Place::Virtual(inner) => self.name(inner, depth + 1)?,
                Place::Real(value) => value,
            });
        }
        let number = object.as_u32();
        let named = self.emit_value(match form {
            Form::Instance(class) => Op::VirtualInstance { object: number, class, offsets: Offsets(offsets), values },
            Form::Iterator(walker) => Op::VirtualIterator { object: number, walker, parts: values },
            _ => Op::VirtualTuple { object: number, items: values },
        });
        self.state.objects.get_mut(&object).expect("it is there").named = Some(named);
        Ok(named)
    }

    // ---- making objects

    /// Makes an object real, here.
    pub fn make(&mut self, object: Value) -> Result<(), Stop> {
        let Some(data) = self.state.objects.get(&object).cloned() else { return Err(Stop::GiveUp) };
        for (_, field) in &data.fields {
            if let Some(inner) = self.object_of(*field) {
                self.make(inner)?;
            }
        }
        let mut offsets = Vec::new();
        let mut values = Vec::new();
        for (key, field) in &data.fields {
            offsets.push(*key);
            self.expose(*field)?;
            let root = self.root(*field);
            let real = self.state.reals.remove(&root).unwrap_or(root);
            // A refinement said so, of which only the value it refined is left.
            let is_nullable = self.function.ty(real).is_nullable();
            values.push(if is_nullable { self.emit_value(Op::AssumeBound { value: real }) } else { real });
        }
        let made = self.emit_value(match data.form {
            Form::Instance(class) => Op::MakeInstance { class, offsets: Offsets(offsets), values },
            Form::Tuple => Op::MakeTuple { items: values },
            Form::Iterator(walker) => Op::MakeIterator { walker, parts: values },
            Form::Number(Type::I64) => Op::BoxInt { value: values[0] },
            Form::Number(_) => Op::BoxFloat { value: values[0] },
        });
        self.state.objects.remove(&object);
        for (number, holder) in data.holders.iter().enumerate() {
            self.state.holders.remove(holder);
            let real = if number == 0 { made } else { self.emit_value(Op::Dup { value: made }) };
            self.state.reals.insert(*holder, real);
        }
        self.state.forget_names();
        Ok(())
    }

    /// The frames of inlined calls that an exception comes out of outlive it: what they hold is made before it is raised.
    fn make_for_frames(&mut self, inst: Inst) -> Result<(), Stop> {
        let state = self.function.insts[inst].op.state().ok_or(Stop::GiveUp)?;
        if self.function.states[state].caller.is_none() || self.function.is_trial(state) {
            return Ok(());
        }
        let mut values = Vec::new();
        self.function.for_each_state_value(state, |value| values.push(value));
        values.into_iter().try_for_each(|value| self.make_value(value))
    }

    /// Makes what a value refers to real.
    pub fn make_value(&mut self, value: Value) -> Result<(), Stop> {
        match self.object_of(value) {
            Some(object) => self.make(object),
            None => Ok(()),
        }
    }

    /// Ends one reference. `state` is what a finalizer may see.
    fn kill(&mut self, value: Value, state: FrameStateId) -> Result<(), Stop> {
        let root = self.root(value);
        match self.state.place(root) {
            Place::Virtual(object) => {
                if self.state.drop_holder(object, root) {
                    let data = self.state.objects.remove(&object).expect("it is there");
                    let mut fields: Vec<(u32, Value)> = match data.form {
                        Form::Number(_) => Vec::new(),
                        _ => data.fields,
                    };
                    // `tupledealloc` drops the last item first, `clear_slots` and `clear_inline_values` the first value.
                    fields.sort_unstable_by_key(|(key, _)| *key);
                    if data.form == Form::Tuple {
                        fields.reverse();
                    }
                    fields.retain(|(_, field)| self.function.ty(*field).is_object());
                    for (_, field) in fields {
                        self.kill(field, state)?;
                    }
                }
                Ok(())
            }
            Place::Real(real) => {
                self.state.reals.remove(&root);
                if !matches!(self.function.def_op(real), Some(Op::NullConstant {})) {
                    let state = self.map_state(state)?;
                    self.emit(Op::Kill { value: real, state });
                }
                Ok(())
            }
        }
    }

    /// Gives a result the value of a field, which stays where it is.
    fn load(&mut self, inst: Inst, result: Value, field: Value) {
        let root = self.root(field);
        match self.state.place(root) {
            Place::Virtual(object) if self.consumed.contains(&result) => self.state.hold(object, result),
            Place::Real(real) if self.consumed.contains(&result) => {
                self.function.insts[inst].op = Op::Dup { value: real };
                self.function.values[result].ty = self.function.ty(real);
                self.out.push(inst);
            }
            _ => {
                self.renamed.insert(result, root);
            }
        }
    }

    // ---- instructions

    fn walk(&mut self, inst: Inst) -> Result<(), Stop> {
        let op = self.function.insts[inst].op.clone();
        let result = self.function.insts[inst].result;
        if let Some(form) = allocation(self.function, &op)
            && let Some(result) = result
        {
            self.allocate(&op, form, result);
            return Ok(());
        }
        match &op {
            Op::Kill { value, state } => {
                let root = self.root(*value);
                let is_known = self.state.holders.contains_key(&root)
                    || self.state.reals.contains_key(&root)
                    || root != self.first(*value);
                if is_known {
                    return self.kill(*value, *state);
                }
            }
            Op::Dup { value } => {
                if let (Some(object), Some(result)) = (self.object_of(*value), result) {
                    self.state.hold(object, result);
                    return Ok(());
                }
            }
            _ => {
                if self.walk_virtual(inst, &op, result)? {
                    return Ok(());
                }
            }
        }
        self.walk_real(inst, op, result)
    }

    /// Takes an object's place.
    fn allocate(&mut self, op: &Op, form: Form, result: Value) {
        let mut fields = Vec::new();
        match op {
            Op::Invoke { arguments, .. } if form == Form::Tuple => {
                fields.extend((0..).zip(arguments.iter().map(|argument| self.root(*argument))));
            }
            Op::MakeTuple { items: parts } | Op::MakeIterator { parts, .. } => {
                fields.extend((0..).zip(parts.iter().map(|part| self.root(*part))))
            }
            Op::BoxInt { value } | Op::BoxFloat { value } => fields.push((0, self.root(*value))),
            _ => {}
        }
        self.state.objects.insert(result, Object { form, fields, holders: Vec::new(), named: None });
        self.state.hold(result, result);
    }

    /// An op on an object that does not exist; false if the object has to be there.
    fn walk_virtual(&mut self, inst: Inst, op: &Op, result: Option<Value>) -> Result<bool, Stop> {
        // The first operand is the object, if any.
        let mut first = None;
        op.for_each_operand(|value| first = first.or(Some(value)));
        let Some(object) = first.and_then(|first| self.object_of(first)) else {
            if let Op::IsIdentical { right, .. } = op
                && let Some(object) = self.object_of(*right)
                && !matches!(self.state.objects[&object].form, Form::Number(_))
            {
                return Ok(self.constant(inst, Op::BoolConstant { value: false }));
            }
            return Ok(false);
        };
        // What can be said of any object.
        match op {
            Op::GuardBound { .. } | Op::AssumeBound { .. } => return Ok(true),
            Op::IsNone { .. } | Op::IsNull { .. } => return Ok(self.constant(inst, Op::BoolConstant { value: false })),
            Op::IsIdentical { right, .. } => {
                let other = self.object_of(*right);
                let is_number = |object: &Value| matches!(self.state.objects[object].form, Form::Number(_));
                // Small ints are the same object whoever makes them.
                if other != Some(object) && is_number(&object) {
                    return Ok(false);
                }
                let value = other == Some(object);
                return Ok(self.constant(inst, Op::BoolConstant { value }));
            }
            _ => {}
        }
        let form = self.state.objects[&object].form;
        let kind = match form {
            Form::Tuple => Some(Kind::Tuple),
            Form::Number(Type::I64) => Some(Kind::Int),
            Form::Number(_) => Some(Kind::Float),
            Form::Iterator(walker) => Some(walker.kind()),
            Form::Instance(_) => None,
        };
        match op {
            Op::GuardKind { kind: wanted, .. } | Op::AssumeKind { kind: wanted, .. } => {
                return Ok(kind == Some(*wanted));
            }
            Op::IsKind { kind: wanted, .. } => {
                let value = kind == Some(*wanted);
                return Ok(self.constant(inst, Op::BoolConstant { value }));
            }
            _ => {}
        }
        match form {
            Form::Tuple => self.walk_tuple(inst, op, result, object),
            Form::Instance(class) => self.walk_instance(inst, op, result, object, class),
            Form::Iterator(walker) => Ok(self.walk_iterator(inst, op, result, object, walker)),
            Form::Number(_) => self.walk_number(op, result, object),
        }
    }

    fn walk_tuple(&mut self, inst: Inst, op: &Op, result: Option<Value>, object: Value) -> Result<bool, Stop> {
        let length = self.state.objects[&object].fields.len();
        Ok(match op {
            Op::TupleLength { .. } => self.constant(inst, Op::IntConstant { value: length as i64 }),
            Op::TupleGet { index, .. } => {
                let field = self.int(*index).and_then(|index| self.state.objects[&object].field(index as u32));
                let (Some(field), Some(result)) = (field, result) else { return Ok(false) };
                self.load(inst, result, field);
                true
            }
            Op::Invoke { helper: Helper::BuiltinIsTrue, .. } => {
                self.constant(inst, Op::BoolConstant { value: length > 0 })
            }
            _ => false,
        })
    }

    fn walk_instance(
        &mut self,
        inst: Inst,
        op: &Op,
        result: Option<Value>,
        object: Value,
        class: ObjectId,
    ) -> Result<bool, Stop> {
        Ok(match op {
            Op::LoadField { offset, .. } => {
                let (Some(field), Some(result)) = (self.state.objects[&object].field(*offset), result) else {
                    return Ok(false);
                };
                self.load(inst, result, field);
                true
            }
            Op::StoreField { offset, value, .. } | Op::StoreSlot { offset, value, .. } => {
                let result = result.expect("a store gives what was there");
                self.store(object, *offset, *value, result)?
            }
            Op::GuardClass { class: wanted, .. } => class == *wanted,
            Op::GuardInlineValues { .. } | Op::GuardNoDict { .. } => true,
            Op::IsClass { class: wanted, .. } => {
                let value = class == *wanted;
                self.constant(inst, Op::BoolConstant { value })
            }
            _ => false,
        })
    }

    fn walk_iterator(&mut self, inst: Inst, op: &Op, result: Option<Value>, object: Value, walker: Walker) -> bool {
        let field = |walk: &Self, part: u32| walk.state.objects[&object].field(part);
        match (op, result) {
            (Op::LoadIterator { field: wanted, .. }, Some(result)) => {
                let Some(register) = walker.part(*wanted).and_then(|part| field(self, part)) else { return false };
                self.renamed.insert(result, register);
                true
            }
            (Op::StoreIterator { field: wanted, value, .. }, _) => {
                let Some(part) = walker.part(*wanted) else { return false };
                let value = self.root(*value);
                let data = self.state.objects.get_mut(&object).expect("it is there");
                let Some((_, register)) = data.fields.iter_mut().find(|(known, _)| *known == part) else {
                    return false;
                };
                *register = value;
                self.state.forget_names();
                true
            }
            (Op::IteratorSequence { .. } | Op::LoadPart { .. }, Some(result)) => {
                let Some(part) = field(self, 0).filter(|_| walker != Walker::Range) else { return false };
                self.load(inst, result, part);
                true
            }
            (Op::TakeSequence { .. }, Some(result)) => {
                let none = self.emit_value(Op::NoneConstant {});
                let data = self.state.objects.get_mut(&object).expect("it is there");
                let Some((_, sequence)) = data.fields.first_mut().filter(|_| walker.kind() != Kind::RangeIterator)
                else {
                    return false;
                };
                let taken = std::mem::replace(sequence, none);
                self.renamed.insert(result, taken);
                self.state.forget_names();
                true
            }
            (Op::GuardUnique { .. }, _) => self.state.objects[&object].holders.len() == 1,
            _ => false,
        }
    }

    fn walk_number(&mut self, op: &Op, result: Option<Value>, object: Value) -> Result<bool, Stop> {
        let register = self.state.objects[&object].fields[0].1;
        let (Op::UnboxInt { .. } | Op::UnboxFloat { .. } | Op::UnboxNumber { .. }, Some(result)) = (op, result) else {
            return Ok(false);
        };
        if self.function.ty(result) != self.function.ty(register) {
            return Ok(false);
        }
        self.renamed.insert(result, register);
        Ok(true)
    }

    /// Puts a constant in place of an instruction.
    fn constant(&mut self, inst: Inst, op: Op) -> bool {
        self.function.insts[inst].op = op;
        self.out.push(inst);
        true
    }

    fn int(&self, value: Value) -> Option<i64> {
        match self.function.def_op(self.root(value))? {
            Op::IntConstant { value } => Some(*value),
            Op::GuardIndex { index, length, .. } => {
                let (index, length) = (self.int(*index)?, self.int(*length)?);
                let from_front = if index < 0 { index + length } else { index };
                (0..length).contains(&from_front).then_some(from_front)
            }
            _ => None,
        }
    }

    fn store(&mut self, object: Value, offset: u32, value: Value, result: Value) -> Result<bool, Stop> {
        let root = self.root(value);
        if let Some(inner) = self.state.object(root)
            && self.state.contains(inner, object)
        {
            return Ok(false);
        }
        let data = self.state.objects.get_mut(&object).expect("it is there");
        let old = match data.fields.iter_mut().find(|(known, _)| *known == offset) {
            Some((_, field)) => Some(std::mem::replace(field, root)),
            None => {
                data.fields.push((offset, root));
                None
            }
        };
        let old = old.unwrap_or_else(|| self.emit_value(Op::NullConstant {}));
        self.renamed.insert(result, old);
        self.state.forget_names();
        Ok(true)
    }

    /// An op that takes real objects.
    fn walk_real(&mut self, inst: Inst, mut op: Op, result: Option<Value>) -> Result<(), Stop> {
        // An unconditional jump is joined with others, see `join`.
        let is_jump = matches!(op, Op::Jump { .. });
        let mut operands = Vec::new();
        op.for_each_operand(|value| operands.push(value));
        if !is_jump {
            for &operand in &operands {
                self.make_value(operand)?;
            }
        }
        if let Some(state) = op.state() {
            let state = self.map_state(state)?;
            op.set_state(state);
        }
        let mut given = Vec::new();
        op.for_each_stolen(|value| given.push(value));
        op.for_each_target(|target| {
            let objects = target.arguments.iter().filter(|value| self.function.ty(**value).is_object());
            given.extend(objects.copied());
        });
        let mut changed = Vec::new();
        for &operand in &operands {
            let root = self.root(operand);
            changed.push(match self.state.place(root) {
                Place::Real(real) if real != root => real,
                Place::Real(_) if root != self.first(operand) => root,
                _ => operand,
            });
        }
        // What a guard said of an operand is not lost with its name.
        for (&operand, new) in operands.iter().zip(&mut changed) {
            if let Some(kind) = self.function.ty(operand).kind()
                && self.function.ty(*new).is_object()
                && self.function.ty(*new).kind() != Some(kind)
                && !is_jump
                && !matches!(op, Op::Kill { .. } | Op::Dup { .. })
            {
                *new = self.emit_value(Op::AssumeKind { value: *new, kind });
            }
        }
        let mut values = changed.into_iter();
        op.for_each_operand_mut(|value| *value = values.next().expect("as many as there were"));
        if !is_jump && !looks_only(self.function, &op) {
            for &operand in &operands {
                self.expose(operand)?;
            }
        }
        for value in given {
            let root = self.root(value);
            self.state.reals.remove(&root);
        }
        if let (Some(result), Op::Dup { value }) = (result, &op) {
            self.function.values[result].ty = self.function.ty(*value);
        }
        self.function.insts[inst].op = op;
        self.out.push(inst);
        Ok(())
    }

    // ---- numbers

    /// The representation of a number that can be passed in a register: one that does not exist and that nothing else
    /// refers to, or a constant.
    pub fn register_type(&self, value: Value) -> Option<Type> {
        if let Some(object) = self.object_of(value) {
            let object = &self.state.objects[&object];
            return match object.form {
                Form::Number(ty) if object.holders.len() == 1 => Some(ty),
                _ => None,
            };
        }
        let constant = self.constant_number(value)?;
        if self.plan.exposed.contains(&constant) {
            return None;
        }
        match self.function.objects.get(constant).value {
            ObjectValue::Float(_) => Some(Type::F64),
            ObjectValue::Int(_) => Some(Type::I64),
            _ => None,
        }
    }

    /// The constant number that a value is, or is a copy of.
    fn constant_number(&self, value: Value) -> Option<ObjectId> {
        let mut root = self.root(value);
        while let Some(Op::Dup { value } | Op::SameObject { value }) = self.function.def_op(root) {
            root = self.root(*value);
        }
        let Type::Constant(object, _) = self.function.ty(root) else { return None };
        let is_number = matches!(self.function.objects.get(object).value, ObjectValue::Float(_) | ObjectValue::Int(_));
        is_number.then_some(object)
    }

    /// Notes that somebody may hold a constant number from now on, so that it must stay the object it is.
    pub fn expose(&mut self, value: Value) -> Result<(), Stop> {
        match self.constant_number(value) {
            Some(constant) if self.plan.exposed.insert(constant) && self.opened.contains(&constant) => Err(Stop::Again),
            _ => Ok(()),
        }
    }

    /// Puts a number that [`Walk::register_type`] accepts into a register; its reference ends.
    pub fn open(&mut self, value: Value) -> Result<Value, Stop> {
        let root = self.root(value);
        if let Some(object) = self.object_of(value) {
            let register = self.state.objects[&object].fields[0].1;
            self.state.drop_holder(object, root);
            self.state.objects.remove(&object);
            return Ok(register);
        }
        let constant = self.constant_number(value).ok_or(Stop::GiveUp)?;
        self.opened.insert(constant);
        let constant = match self.function.objects.get(constant).value {
            ObjectValue::Float(float) => Op::FloatConstant { bits: float.to_bits() },
            ObjectValue::Int(value) => Op::IntConstant { value },
            _ => return Err(Stop::GiveUp),
        };
        let state = self.blank_state();
        self.emit(Op::Kill { value: root, state });
        Ok(self.emit_value(constant))
    }

    /// A new number in a register; the result is its holder.
    pub fn close(&mut self, register: Value) -> Value {
        let ty = self.function.ty(register);
        let op = match ty {
            Type::I64 => Op::BoxInt { value: register },
            _ => Op::BoxFloat { value: register },
        };
        // Not placed: only its name is needed.
        let inst = self.function.make(op, self.source);
        let holder = self.function.insts[inst].result.expect("a box is a result");
        let object = Object { form: Form::Number(ty), fields: vec![(0, register)], holders: Vec::new(), named: None };
        self.state.objects.insert(holder, object);
        self.state.hold(holder, holder);
        holder
    }
}

/// Whether nobody has the operands of an op as objects afterwards.
fn looks_only(function: &Function, op: &Op) -> bool {
    match op {
        Op::Kill { .. } | Op::Dup { .. } | Op::SameObject { .. } => true,
        Op::IsIdentical { .. } => false,
        Op::Invoke {
            helper:
                Helper::BinaryOp
                | Helper::Compare
                | Helper::CompareBool
                | Helper::IsTrue
                | Helper::Negative
                | Helper::Invert,
            ..
        } => true,
        _ => {
            let effects = op.effects(function);
            let mut steals = false;
            op.for_each_stolen(|_| steals = true);
            !steals && !effects.runs_python && effects.writes == 0
        }
    }
}
