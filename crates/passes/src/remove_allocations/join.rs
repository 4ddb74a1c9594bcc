//! Beginnings of blocks: what the edges bring becomes one state.
//!
//! Blocks with several predecessors are entered by `Jump`s that lead nowhere else (critical edges were split), so whatever
//! has to be done on an edge is done at the end of the predecessor. The edges into a loop header that come back are not
//! known when it begins; [`Walk::close_loop`] sees whether they bring what was assumed.

use super::Stop;
use super::objects::{Form, Object, Place, State};
use super::walk::Walk;
use coluber_ir::{Block, BlockCall, Inst, Op, Type, Value, ValueDef};
use std::collections::BTreeSet;

/// What an edge passes for a parameter of a block.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The argument of that number before the walk.
    Argument(usize),
    /// The field of an object.
    Field(Value, u32),
    /// The field of the object that the argument of that number refers to.
    MergedField(usize, u32),
    /// The number that the argument of that number is.
    Number(usize),
    /// What stands for a holder whose object was made.
    Holder(Value),
}

/// A parameter of a block behind the walk.
#[derive(Clone, Copy, Debug)]
struct Passed {
    source: Source,
    /// A number that edges pass in a register, out of the box they have.
    is_register: bool,
    value: Value,
}

/// What a parameter before the walk has become.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    /// It is still there.
    Plain,
    /// It is one more holder of the object that all edges bring.
    Same(Value),
    /// It is a new object, named by the parameter, of the fields that edges bring.
    Merged,
    /// It is a new number, named by the parameter, that edges bring in a register.
    Number(Type),
}

/// A loop header that has begun.
pub(super) struct Header {
    /// The parameters before the walk.
    parameters: Vec<Value>,
    roles: Vec<Role>,
    passed: Vec<Passed>,
    /// Numbers that came in registers as fields.
    closed: Vec<Value>,
    /// What was assumed to be there when the loop starts over.
    state: State,
}

/// An edge into a block.
struct Edge {
    from: Block,
    /// The arguments before the walk, real ones replaced by what stands for them.
    arguments: Vec<Value>,
}

impl Walk<'_> {
    /// Takes over what the predecessors bring.
    pub fn begin_block(&mut self, block: Block) -> Result<(), Stop> {
        if block == self.function.entry() {
            self.state = State::default();
            return Ok(());
        }
        let predecessors: Vec<Block> = self.cfg.predecessors(block).to_vec();
        let known: Vec<Block> = predecessors.iter().copied().filter(|from| self.ends.contains_key(from)).collect();
        let is_header = known.len() < predecessors.len();
        if known.is_empty() {
            return Err(Stop::GiveUp);
        }
        let edges = known.iter().map(|&from| self.edge(from, block)).collect::<Result<Vec<_>, _>>()?;
        let roles = self.roles(block, &edges, is_header)?;
        self.agree(block, &edges, &roles, is_header)?;
        self.enter(block, &edges, roles, is_header)
    }

    fn edge(&self, from: Block, to: Block) -> Result<Edge, Stop> {
        let mut arguments = None;
        let terminator = self.function.terminator(from);
        self.function.insts[terminator].op.for_each_target(|call| {
            if call.block == to {
                arguments = Some(call.arguments.clone());
            }
        });
        Ok(Edge { from, arguments: arguments.ok_or(Stop::GiveUp)? })
    }

    /// The object that an edge's argument refers to.
    fn brought(&self, edge: &Edge, argument: usize) -> Option<Value> {
        self.ends[&edge.from].object(self.root(edge.arguments[argument]))
    }

    // ---- what to do

    /// Decides what becomes of the parameters, and makes what cannot stay virtual.
    fn roles(&mut self, block: Block, edges: &[Edge], is_header: bool) -> Result<Vec<Role>, Stop> {
        let count = self.function.blocks[block].parameters.len();
        loop {
            // What is made for one parameter may be brought for another.
            let mut made = Vec::new();
            let mut roles = Vec::with_capacity(count);
            for index in 0..count {
                let role = self.role(block, index, edges, is_header);
                match role {
                    Role::Plain => {
                        for edge in edges {
                            self.expose(edge.arguments[index])?;
                        }
                        let objects = edges.iter().filter_map(|edge| Some((edge.from, self.brought(edge, index)?)));
                        made.extend(objects);
                    }
                    Role::Merged => self.unfit_fields(block, index, edges, is_header, &mut made)?,
                    Role::Same(_) | Role::Number(_) => {}
                }
                roles.push(role);
            }
            if made.is_empty() {
                return Ok(roles);
            }
            for (from, object) in made {
                if self.ends[&from].objects.contains_key(&object) {
                    self.make_at_end(from, object)?;
                }
            }
        }
    }

    fn role(&mut self, block: Block, index: usize, edges: &[Edge], is_header: bool) -> Role {
        if self.plan.real.contains(&(block, index)) || !self.is_object_parameter(block, index) {
            return Role::Plain;
        }
        let objects: Vec<Option<Value>> = edges.iter().map(|edge| self.brought(edge, index)).collect();
        let same = objects[0].filter(|first| objects.iter().all(|object| *object == Some(*first)));
        if let (false, Some(object)) = (is_header, same) {
            return Role::Same(object);
        }
        let kind = self.function.ty(self.function.blocks[block].parameters[index]).boxed_kind();
        if let Some(register) = self.number_brought(edges, index, is_header)
            && (kind == register.boxed_kind() || !is_header)
        {
            return Role::Number(register);
        }
        if self.can_merge(edges, &objects) {
            return Role::Merged;
        }
        same.map_or(Role::Plain, Role::Same)
    }

    fn is_object_parameter(&self, block: Block, index: usize) -> bool {
        let ty = self.function.ty(self.function.blocks[block].parameters[index]);
        ty.is_object() && !ty.is_nullable()
    }

    /// The register in which all edges can bring a number.
    fn number_brought(&mut self, edges: &[Edge], index: usize, is_header: bool) -> Option<Type> {
        // Constants alone need no register.
        if !is_header && edges.iter().all(|edge| self.brought(edge, index).is_none()) {
            return None;
        }
        let values: Vec<_> = edges.iter().map(|edge| (edge.from, edge.arguments[index])).collect();
        self.common_register(&values)
    }

    fn common_register(&mut self, values: &[(Block, Value)]) -> Option<Type> {
        let mut register = None;
        for &(from, value) in values {
            let found = self.register_type_in(from, value)?;
            if register.is_some_and(|known| known != found) {
                return None;
            }
            register = Some(found);
        }
        register
    }

    /// The register in which all edges can bring the field of an object.
    fn field_register(
        &mut self,
        block: Block,
        object: Value,
        key: u32,
        values: &[(Block, Value)],
        is_header: bool,
    ) -> Option<Type> {
        if is_header && self.plan.boxed.contains(&(block, object, key)) {
            return None;
        }
        self.common_register(values)
    }

    /// Whether different objects can become one: they look alike, and the argument is all that refers to them.
    fn can_merge(&self, edges: &[Edge], objects: &[Option<Value>]) -> bool {
        let mut found: Option<&Object> = None;
        for (edge, object) in edges.iter().zip(objects) {
            let Some(object) = object else { return false };
            let object = &self.ends[&edge.from].objects[object];
            let is_alone = object.holders.len() == 1;
            let is_alike = found.is_none_or(|found| found.has_shape_of(object));
            if !is_alone || !is_alike || matches!(object.form, Form::Number(_)) {
                return false;
            }
            found = Some(object);
        }
        true
    }

    /// Fields of objects that become one which can be passed neither as they are nor in registers.
    fn unfit_fields(
        &mut self,
        block: Block,
        index: usize,
        edges: &[Edge],
        is_header: bool,
        unfit: &mut Vec<(Block, Value)>,
    ) -> Result<(), Stop> {
        let id = self.function.blocks[block].parameters[index];
        for (key, values) in self.merged_fields(edges, index)? {
            if self.field_register(block, id, key, &values, is_header).is_none() {
                let inner = |(from, value): &(Block, Value)| Some((*from, self.ends[from].object(self.root(*value))?));
                unfit.extend(values.iter().filter_map(inner));
            }
        }
        Ok(())
    }

    fn make_values(&mut self, values: &[(Block, Value)]) -> Result<(), Stop> {
        for &(from, value) in values {
            if let Some(inner) = self.ends[&from].object(self.root(value)) {
                self.make_at_end(from, inner)?;
            }
        }
        Ok(())
    }

    /// The fields of the objects that become one, with their values on each edge.
    #[allow(clippy::type_complexity)]
    fn merged_fields(&self, edges: &[Edge], index: usize) -> Result<Vec<(u32, Vec<(Block, Value)>)>, Stop> {
        let mut fields: Vec<(u32, Vec<(Block, Value)>)> = Vec::new();
        for (number, edge) in edges.iter().enumerate() {
            let object = self.brought(edge, index).ok_or(Stop::GiveUp)?;
            for (place, &(key, value)) in self.ends[&edge.from].objects[&object].fields.iter().enumerate() {
                if number == 0 {
                    fields.push((key, Vec::new()));
                }
                fields.get_mut(place).ok_or(Stop::GiveUp)?.1.push((edge.from, value));
            }
        }
        Ok(fields)
    }

    /// The values of a field of an object that all edges bring, if they differ.
    fn differing_field(
        &self,
        block: Block,
        edges: &[Edge],
        object: Value,
        number: usize,
        is_header: bool,
    ) -> Option<(u32, Vec<(Block, Value)>)> {
        let value = |edge: &Edge| self.ends[&edge.from].objects[&object].fields[number];
        let (key, first) = value(&edges[0]);
        let differs = edges.iter().any(|edge| self.root(value(edge).1) != self.root(first))
            || is_header && self.plan.varying.contains(&(block, object, key));
        differs.then(|| (key, edges.iter().map(|edge| (edge.from, value(edge).1)).collect()))
    }

    /// Makes the objects that cannot be the same virtual object behind the join, until all edges agree.
    fn agree(&mut self, block: Block, edges: &[Edge], roles: &[Role], is_header: bool) -> Result<(), Stop> {
        loop {
            let mut objects: BTreeSet<Value> = BTreeSet::new();
            for edge in edges {
                objects.extend(self.ends[&edge.from].objects.keys());
            }
            // Objects that parameters take over, with the edge.
            let mut absorbed: BTreeSet<(Block, Value)> = BTreeSet::new();
            for (index, role) in roles.iter().enumerate() {
                if !matches!(role, Role::Merged | Role::Number(_)) {
                    continue;
                }
                for edge in edges {
                    let Some(object) = self.brought(edge, index) else { continue };
                    let end = &self.ends[&edge.from];
                    absorbed.insert((edge.from, object));
                    let fields = end.objects[&object].fields.iter();
                    let inner = fields.filter_map(|(_, value)| end.object(self.root(*value)));
                    absorbed.extend(inner.map(|inner| (edge.from, inner)));
                }
            }
            let is_on_all_edges = |walk: &Self, object: Value| {
                let first = walk.ends[&edges[0].from].objects.get(&object);
                edges.iter().all(|edge| {
                    let data = walk.ends[&edge.from].objects.get(&object);
                    data.zip(first).is_some_and(|(data, first)| {
                        data.has_shape_of(first) && data.holders.len() == first.holders.len()
                    })
                }) && !(is_header && walk.plan.made.contains(&(block, object)))
            };
            let mut todo: Vec<(Block, Value)> = Vec::new();
            for &object in &objects {
                if absorbed.contains(&(edges[0].from, object)) || !is_on_all_edges(self, object) {
                    continue;
                }
                for number in 0..self.ends[&edges[0].from].objects[&object].fields.len() {
                    let Some((key, values)) = self.differing_field(block, edges, object, number, is_header) else {
                        continue;
                    };
                    let is_register = self.field_register(block, object, key, &values, is_header).is_some();
                    for (from, value) in values {
                        let Some(inner) = self.ends[&from].object(self.root(value)) else { continue };
                        if is_register {
                            absorbed.insert((from, inner));
                        } else {
                            todo.push((from, inner));
                        }
                    }
                }
            }
            for &object in &objects {
                if is_on_all_edges(self, object) {
                    continue;
                }
                for edge in edges {
                    if self.ends[&edge.from].objects.contains_key(&object) && !absorbed.contains(&(edge.from, object)) {
                        todo.push((edge.from, object));
                    }
                }
            }
            if todo.is_empty() {
                return Ok(());
            }
            for (from, object) in todo {
                if self.ends[&from].objects.contains_key(&object) {
                    self.make_at_end(from, object)?;
                }
            }
        }
    }

    /// Makes an object real in front of the jump that ends a block.
    fn make_at_end(&mut self, from: Block, object: Value) -> Result<(), Stop> {
        self.at_end(from, |walk| walk.make(object))?;
        // The jump may pass it on.
        let terminator = self.function.terminator(from);
        let mut op = self.function.insts[terminator].op.clone();
        if !matches!(op, Op::Jump { .. }) {
            return Err(Stop::GiveUp);
        }
        let mut given = Vec::new();
        op.for_each_operand_mut(|value| {
            let root = self.root(*value);
            if let Some(real) = self.ends[&from].reals.get(&root) {
                *value = *real;
                given.push(root);
            }
        });
        let end = self.ends.get_mut(&from).expect("the block has ended");
        given.iter().for_each(|root| {
            end.reals.remove(root);
        });
        self.function.insts[terminator].op = op;
        Ok(())
    }

    /// Does something in front of the terminator of a block that was walked.
    fn at_end<T>(&mut self, from: Block, work: impl FnOnce(&mut Self) -> T) -> T {
        let mut insts = std::mem::take(&mut self.function.blocks[from].insts);
        let terminator: Inst = insts.pop().expect("a block ends with a terminator");
        let out = std::mem::replace(&mut self.out, insts);
        let state = std::mem::take(self.ends.get_mut(&from).expect("the block has ended"));
        let state = std::mem::replace(&mut self.state, state);
        let result = work(self);
        let end = std::mem::replace(&mut self.state, state);
        self.ends.insert(from, end);
        let mut insts = std::mem::replace(&mut self.out, out);
        insts.push(terminator);
        self.function.blocks[from].insts = insts;
        result
    }

    // ---- the state behind

    fn enter(&mut self, block: Block, edges: &[Edge], roles: Vec<Role>, is_header: bool) -> Result<(), Stop> {
        // Making objects may have replaced arguments.
        let edges = edges.iter().map(|edge| self.edge(edge.from, block)).collect::<Result<Vec<_>, _>>()?;
        let first = self.ends[&edges[0].from].clone();
        let old = self.function.blocks[block].parameters.clone();
        let mut state = State::default();
        let mut passed: Vec<Passed> = Vec::new();
        // Numbers that come in registers: the place of the parameter, the object they are a field of.
        let mut registers: Vec<(usize, Value)> = Vec::new();
        // Objects of the first edge that parameters take over.
        let mut absorbed: BTreeSet<Value> = BTreeSet::new();
        for (index, role) in roles.iter().enumerate() {
            match role {
                Role::Plain => {
                    passed.push(Passed { source: Source::Argument(index), is_register: false, value: old[index] });
                }
                Role::Merged | Role::Number(_) => absorbed.extend(self.brought(&edges[0], index)),
                Role::Same(_) => {}
            }
        }
        // Objects that stay what they are.
        for (id, data) in &first.objects {
            if absorbed.contains(id) || edges.iter().any(|edge| !self.ends[&edge.from].objects.contains_key(id)) {
                continue;
            }
            let mut data = data.clone();
            if edges.iter().any(|edge| self.ends[&edge.from].objects[id].named != data.named) {
                data.named = None;
            }
            for number in 0..data.fields.len() {
                let Some((key, values)) = self.differing_field(block, &edges, *id, number, is_header) else { continue };
                let new = self.pass_field(block, *id, key, &values, is_header, Source::Field(*id, key));
                if new.is_register {
                    registers.push((passed.len(), *id));
                    absorbed.extend(first.object(self.root(values[0].1)));
                }
                data.fields[number].1 = new.value;
                passed.push(new);
            }
            state.objects.insert(*id, data);
        }
        // Arguments are given to parameters.
        let mut held: Vec<(Value, Value)> = Vec::new();
        for (index, role) in roles.iter().enumerate() {
            match role {
                Role::Plain => {}
                Role::Same(object) => held.push((*object, old[index])),
                Role::Number(ty) => {
                    let value = self.function.add_parameter(block, *ty);
                    let form = Form::Number(*ty);
                    let object = Object { form, fields: vec![(0, value)], holders: Vec::new(), named: None };
                    state.objects.insert(old[index], object);
                    held.push((old[index], old[index]));
                    passed.push(Passed { source: Source::Number(index), is_register: true, value });
                }
                Role::Merged => {
                    let id = old[index];
                    let object = self.brought(&edges[0], index).ok_or(Stop::GiveUp)?;
                    let mut data = first.objects[&object].clone();
                    for (number, (key, values)) in self.merged_fields(&edges, index)?.into_iter().enumerate() {
                        let new = self.pass_field(block, id, key, &values, is_header, Source::MergedField(index, key));
                        if new.is_register {
                            registers.push((passed.len(), id));
                            absorbed.extend(first.object(self.root(values[0].1)));
                        }
                        data.fields[number].1 = new.value;
                        passed.push(new);
                    }
                    data.holders.clear();
                    state.objects.insert(id, data);
                    held.push((id, id));
                }
            }
        }
        absorbed.retain(|object| !held.iter().any(|(held, _)| held == object));
        state.objects.retain(|object, _| !absorbed.contains(object));
        for (holder, object) in &first.holders {
            if state.objects.get(object).is_some_and(|data| data.holders.contains(holder)) {
                state.holders.insert(*holder, *object);
            }
        }
        for (index, role) in roles.iter().enumerate() {
            if let Role::Same(object) = role {
                let given = self.root(edges[0].arguments[index]);
                state.drop_holder(*object, given);
            }
        }
        for (object, holder) in held {
            state.hold(object, holder);
        }
        if passed.iter().any(|passed| !matches!(passed.source, Source::Argument(_))) {
            state.forget_names();
        }
        // Values that stand for objects that were made.
        for (holder, real) in &first.reals {
            let others: Option<Vec<Value>> =
                edges.iter().map(|edge| self.ends[&edge.from].reals.get(holder).copied()).collect();
            let Some(others) = others else { continue };
            if others.iter().all(|other| other == real) {
                state.reals.insert(*holder, *real);
                continue;
            }
            let mut ty = self.function.ty(*real);
            for other in &others {
                ty = ty.join(self.function.ty(*other));
            }
            let value = self.function.add_parameter(block, plain(ty));
            passed.push(Passed { source: Source::Holder(*holder), is_register: false, value });
            state.reals.insert(*holder, value);
        }
        self.number_parameters(block, &passed);
        for edge in &edges {
            self.pass(edge.from, block, &roles, &passed)?;
        }
        // Fields that came in registers are new numbers.
        self.state = state;
        let mut closed = Vec::new();
        for (number, object) in registers {
            let register = passed[number].value;
            let boxed = self.close(register);
            closed.push(boxed);
            for (_, value) in &mut self.state.objects.get_mut(&object).expect("it is there").fields {
                if *value == register {
                    *value = boxed;
                }
            }
        }
        self.map_loop_state(block);
        if is_header {
            let state = self.state.clone();
            self.headers.insert(block, Header { parameters: old, roles, passed, closed, state });
        }
        Ok(())
    }

    /// The state in which a loop starts over can name only what is there when it does.
    fn map_loop_state(&mut self, block: Block) {
        let Some(id) = self.function.blocks[block].loop_state else { return };
        let mut is_same = true;
        self.function.for_each_state_value(id, |value| {
            let root = self.root(value);
            is_same &= self.state.place(root) == Place::Real(root) && !self.renamed.contains_key(&root);
        });
        if !is_same {
            self.function.blocks[block].loop_state = None;
        }
    }

    /// A new parameter for a field whose value differs from edge to edge.
    fn pass_field(
        &mut self,
        block: Block,
        object: Value,
        key: u32,
        values: &[(Block, Value)],
        is_header: bool,
        source: Source,
    ) -> Passed {
        let register = self.field_register(block, object, key, values, is_header);
        let types = values.iter().map(|(from, value)| self.real_type(*from, *value));
        let ty = types.reduce(Type::join).expect("a join has edges");
        let is_register = register.is_some();
        let raw = self.function.ty(values[0].1);
        if !raw.is_object() {
            // A position of an iterator.
            let value = self.function.add_parameter(block, raw);
            return Passed { source, is_register: false, value };
        }
        // What comes back to a loop may be of any type.
        let ty = register.unwrap_or(if is_header { Type::Object } else { plain(ty) });
        let value = self.function.add_parameter(block, ty);
        Passed { source, is_register, value }
    }

    fn register_type_in(&mut self, from: Block, value: Value) -> Option<Type> {
        let end = std::mem::take(self.ends.get_mut(&from).expect("the block has ended"));
        let state = std::mem::replace(&mut self.state, end);
        let found = self.register_type(value);
        let end = std::mem::replace(&mut self.state, state);
        self.ends.insert(from, end);
        found
    }

    fn real_type(&self, from: Block, value: Value) -> Type {
        let root = self.root(value);
        match self.ends[&from].place(root) {
            Place::Real(real) => self.function.ty(real),
            Place::Virtual(_) => Type::Object,
        }
    }

    /// Gives a block its parameters.
    fn number_parameters(&mut self, block: Block, passed: &[Passed]) {
        let parameters: Vec<Value> = passed.iter().map(|passed| passed.value).collect();
        for (index, &value) in parameters.iter().enumerate() {
            self.function.values[value].def = ValueDef::Parameter(block, index);
        }
        self.function.blocks[block].parameters = parameters;
    }

    /// Rewrites the jump at the end of a block.
    fn pass(&mut self, from: Block, to: Block, roles: &[Role], passed: &[Passed]) -> Result<(), Stop> {
        let edge = self.edge(from, to)?;
        let mut arguments = Vec::with_capacity(passed.len());
        for passed in passed {
            let value = match passed.source {
                Source::Argument(index) => {
                    arguments.push(edge.arguments[index]);
                    continue;
                }
                Source::Field(object, key) => self.ends[&from].objects[&object].field(key).ok_or(Stop::GiveUp)?,
                Source::MergedField(index, key) => {
                    let object = self.brought(&edge, index).ok_or(Stop::GiveUp)?;
                    self.ends[&from].objects[&object].field(key).ok_or(Stop::GiveUp)?
                }
                Source::Number(index) => edge.arguments[index],
                Source::Holder(holder) => holder,
            };
            let root = self.root(value);
            arguments.push(if passed.is_register {
                self.at_end(from, |walk| walk.open(root))?
            } else {
                match self.ends[&from].place(root) {
                    Place::Real(real) => real,
                    Place::Virtual(_) => return Err(Stop::GiveUp),
                }
            });
        }
        debug_assert!(roles.len() == edge.arguments.len());
        let terminator = self.function.terminator(from);
        let mut op = self.function.insts[terminator].op.clone();
        op.for_each_target_mut(|call| {
            if call.block == to {
                *call = BlockCall { block: to, arguments: arguments.clone() };
            }
        });
        self.function.insts[terminator].op = op;
        Ok(())
    }

    // ---- loops

    /// Sees whether a jump back to a loop header brings what the header assumed.
    pub fn close_loop(&mut self, from: Block, to: Block) -> Result<(), Stop> {
        let header = self.headers.remove(&to).expect("the header has begun");
        let result = self.check_back_edge(from, to, &header);
        let result = result.and_then(|()| self.pass(from, to, &header.roles, &header.passed));
        self.headers.insert(to, header);
        result
    }

    fn check_back_edge(&mut self, from: Block, to: Block, header: &Header) -> Result<(), Stop> {
        self.make_for_header(from, to, header)?;
        let edge = self.edge(from, to)?;
        let mut is_as_assumed = true;
        for (index, role) in header.roles.iter().enumerate() {
            let object = self.brought(&edge, index);
            let fits = match role {
                Role::Plain => object.is_none(),
                Role::Same(expected) => object == Some(*expected),
                Role::Number(ty) => self.register_type_in(from, edge.arguments[index]) == Some(*ty),
                Role::Merged => object.is_some_and(|object| {
                    let data = &self.ends[&from].objects[&object];
                    let assumed = &header.state.objects[&header.parameters[index]];
                    data.has_shape_of(assumed) && data.holders.len() == 1
                }),
            };
            if !fits {
                is_as_assumed = false;
                self.plan.real.insert((to, index));
            }
        }
        if !is_as_assumed {
            return Err(Stop::Again);
        }
        // Numbers that are passed in registers.
        for passed in header.passed.iter().filter(|passed| passed.is_register) {
            let Some((object, key, value)) = self.passed_field(from, &edge, header, passed)? else { continue };
            let wanted = self.function.ty(passed.value);
            if self.register_type_in(from, value) != Some(wanted) {
                self.plan.boxed.insert((to, object, key));
                is_as_assumed = false;
            }
        }
        // Objects that are the same in each iteration.
        for (id, assumed) in &header.state.objects {
            if header.is_made_by_edges(*id) {
                continue;
            }
            let end = &self.ends[&from];
            let Some(data) = end.objects.get(id).filter(|data| data.has_shape_of(assumed)) else {
                self.plan.made.insert((to, *id));
                is_as_assumed = false;
                continue;
            };
            for ((key, before), (_, after)) in assumed.fields.iter().zip(&data.fields) {
                let is_passed = header.passed.iter().any(
                    |passed| matches!(passed.source, Source::Field(object, field) if object == *id && field == *key),
                );
                let (before, after) = (self.root(*before), self.root(*after));
                if is_passed || before == after {
                    continue;
                }
                if end.place(before) == end.place(after) {
                    // The same object by another name.
                    self.plan.made.insert((to, *id));
                } else {
                    self.plan.varying.insert((to, *id, *key));
                }
                is_as_assumed = false;
            }
        }
        // Objects that were made before the loop are still what they were; others have no name behind the header.
        for (holder, real) in &header.state.reals {
            let is_passed =
                header.passed.iter().any(|passed| matches!(passed.source, Source::Holder(other) if other == *holder));
            match self.ends[&from].reals.get(holder) {
                Some(found) if is_passed || found == real => {}
                None if !is_passed => {}
                _ => return Err(Stop::GiveUp),
            }
        }
        if is_as_assumed { Ok(()) } else { Err(Stop::Again) }
    }

    /// Makes what the header wants to be real.
    fn make_for_header(&mut self, from: Block, to: Block, header: &Header) -> Result<(), Stop> {
        let edge = self.edge(from, to)?;
        for (index, role) in header.roles.iter().enumerate() {
            if let Role::Plain = role {
                self.expose(edge.arguments[index])?;
                if let Some(object) = self.brought(&edge, index) {
                    self.make_at_end(from, object)?;
                }
            }
        }
        for passed in header.passed.iter().filter(|passed| !passed.is_register) {
            if let Some((_, _, value)) = self.passed_field(from, &edge, header, passed).unwrap_or(None) {
                self.make_values(&[(from, value)])?;
            }
        }
        Ok(())
    }

    /// The field that an edge passes for a parameter: of which object behind the join, and its value.
    fn passed_field(
        &self,
        from: Block,
        edge: &Edge,
        header: &Header,
        passed: &Passed,
    ) -> Result<Option<(Value, u32, Value)>, Stop> {
        let (object, brought, key) = match passed.source {
            Source::Field(object, key) => (object, object, key),
            Source::MergedField(index, key) => {
                (header.parameters[index], self.brought(edge, index).ok_or(Stop::GiveUp)?, key)
            }
            Source::Argument(_) | Source::Holder(_) | Source::Number(_) => return Ok(None),
        };
        let Some(data) = self.ends[&from].objects.get(&brought) else { return Ok(None) };
        Ok(data.field(key).map(|value| (object, key, value)))
    }
}

impl Header {
    /// Whether an object is a new one in each iteration.
    fn is_made_by_edges(&self, object: Value) -> bool {
        let is_parameter = |index: usize| {
            matches!(self.roles[index], Role::Merged | Role::Number(_)) && self.parameters[index] == object
        };
        self.closed.contains(&object) || (0..self.roles.len()).any(is_parameter)
    }
}

/// The type without the identity of a constant.
fn plain(ty: Type) -> Type {
    match ty {
        Type::Constant(_, kind) => kind.map_or(Type::Object, Type::Exact),
        other => other,
    }
}
