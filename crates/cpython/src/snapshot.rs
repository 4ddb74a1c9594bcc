//! Everything a strategy may ask about a unit, gathered in one attached section.
//!
//! [`take_snapshot`] decodes the unit's code and those of the callees that may be inlined, resolves globals and builtins,
//! finds the classes behind the versions in the feedback, and looks up their attributes that the code names. It runs no
//! Python code and lets no other thread run, so the caller may arm the watchers for [`Taken::dependencies`] afterwards,
//! as long as it does not detach in between.
//!
//! Deliberately not here: which names change too often to be assumed (the caller says), what to inline (the compiler).

pub(crate) mod attributes;

use crate::decode::{DecodeError, FunctionFinder, decode};
use crate::hooks::TOOL_ID;
use crate::layout;
use crate::pool::{ObjectPool, kind_of_type, plain_init};
use crate::raw::{Attached, CodeRef, Frame, FunctionRef, StackRef, TypeRef, is_exactly, type_of};
use crate::versions::{class_by_version, function_by_version};
use crate::{current::opcodes as op, ffi, text};
use coluber_bytecode::{
    AttributeFeedback, BinaryKind, CallFeedback, Code, Comparison, Entry, ExitFact, Feedback, GlobalEntry, GlobalFact,
    LiveType, ObjectId, ObjectValue, Op, Snapshot, SpecialMethod, SuperAttribute,
};
use pyo3_ffi::PyObject;
use std::collections::{HashMap, HashSet, VecDeque};

/// How much is gathered for inlining.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Instructions of one callee.
    pub callee_instructions: usize,
    /// Calls deep.
    pub depth: u32,
    /// Instructions of all callees.
    pub total_instructions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { callee_instructions: 60, depth: 4, total_instructions: 1500 }
    }
}

/// What a snapshot is taken of.
pub struct Request<'a> {
    /// The unit's code.
    pub code: CodeRef,
    /// Its function, when known.
    pub function: Option<FunctionRef>,
    /// Globals of the unit.
    pub globals: *mut PyObject,
    /// Builtins of the unit.
    pub builtins: *mut PyObject,
    /// Where it will be entered.
    pub entry: Entry,
    /// A frame that stands at the entry: its values give the live types.
    pub frame: Option<Frame>,
    /// Without a frame: the arguments of a call that is about to happen, in order of the parameters.
    pub arguments: &'a [*mut PyObject],
    /// The exit profile of earlier versions.
    pub exits: Vec<ExitFact>,
    /// Budget.
    pub limits: Limits,
    /// Functions whose version a door has taken.
    pub functions: FunctionFinder<'a>,
    /// Whether a name of a dict changes too often to be assumed constant.
    pub is_volatile: &'a dyn Fn(*mut PyObject, *mut PyObject) -> bool,
}

/// A fact of the snapshot that somebody can change. The objects are in the pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// What a dict (globals or builtins) has under a name, or that it has nothing.
    Name {
        /// The dict.
        dict: ObjectId,
        /// The name.
        name: ObjectId,
    },
    /// A class as it was when it had this version.
    Class {
        /// The class.
        class: ObjectId,
        /// `tp_version_tag`.
        version: u32,
    },
    /// The unit sets this name itself, unnoticed by watchers: nobody may assume its value.
    Store {
        /// The dict.
        dict: ObjectId,
        /// The name.
        name: ObjectId,
    },
    /// Code and defaults of a function.
    Function {
        /// The function.
        function: ObjectId,
    },
}

/// Result of [`take_snapshot`].
pub struct Taken {
    /// For the compiler.
    pub snapshot: Snapshot,
    /// The objects behind the ids.
    pub pool: ObjectPool,
    /// What must not change.
    pub dependencies: Vec<Dependency>,
}

/// Takes a snapshot.
///
/// # Safety
/// The pointers of the request must be valid.
pub unsafe fn take_snapshot(py: Attached, request: Request) -> Result<Taken, DecodeError> {
    let mut taker = Taker {
        py,
        pool: ObjectPool::new(),
        limits: request.limits,
        functions: request.functions,
        is_volatile: request.is_volatile,
        codes: Vec::new(),
        indices: HashMap::new(),
        scopes: Vec::new(),
        callees: VecDeque::new(),
        seen_functions: HashSet::new(),
        inlinable: HashSet::new(),
        dependencies: Vec::new(),
        classes: Vec::new(),
        functions_met: Vec::new(),
        super_attributes: Vec::new(),
        global_facts: Vec::new(),
        global_entries: Vec::new(),
        spent: 0,
    };
    // SAFETY: promised by the caller.
    unsafe {
        let module = request.function.and_then(|function| text::to_string(function.module()));
        taker.add_code(request.code)?;
        let globals = taker.pool.intern(py, request.globals);
        // A unit ends with the functions that it knows. One that a call has made is needed for the class of `super()` only:
        // the next one is made from the same code and uses the unit too.
        let code = &taker.codes[0];
        let stays = !code.name.contains("<locals>") || code.slot_names.iter().any(|name| name == "__class__");
        let needed = request.function.filter(|_| stays);
        let function = needed.map(|function| taker.pool.intern(py, function.object()));
        taker.enter_scope(0, request.globals, request.builtins, 0);
        let live = taker.live_types(&request);
        taker.gather_callees();
        taker.gather_module_attributes();
        taker.gather_callees();
        taker.gather_expressions();
        taker.gather_callees();
        let (callees, others): (Vec<&ExitFact>, Vec<&ExitFact>) =
            request.exits.iter().partition(|fact| fact.is_callee());
        for version in callees.iter().flat_map(|fact| &fact.classes) {
            taker.add_function_version(*version);
        }
        let classes: HashSet<u32> = others.iter().flat_map(|fact| fact.classes.iter().copied()).collect();
        for version in classes {
            taker.add_class_version(version);
        }
        taker.gather_attributes();
        // Attributes may name more callees; they get what is left of the budget.
        taker.gather_callees();
        taker.gather_attributes();
        taker.gather_super_attributes();
        taker.gather_callees();
        taker.drop_stored_names();
        taker.gather_global_entries();
        let is_module = request.frame.is_some_and(|frame| frame.locals() == frame.globals());
        taker.link_functions();
        let code = &taker.codes[0];
        let name = format!(
            "{}{} ({}:{})",
            module.map(|module| module + ".").unwrap_or_default(),
            code.name,
            code.filename,
            code.first_line
        );
        // Exit facts name codes by address; those of codes that are not in this snapshot are of no use.
        let exits = request
            .exits
            .into_iter()
            .filter_map(|fact| Some(ExitFact { code: *taker.indices.get(&fact.code)?, ..fact }))
            .collect();
        let snapshot = Snapshot {
            name,
            entry: request.entry,
            codes: taker.codes,
            function,
            globals,
            live,
            global_facts: taker.global_facts,
            global_entries: taker.global_entries,
            is_module,
            classes: taker.classes,
            functions: taker.functions_met,
            super_attributes: taker.super_attributes,
            exits,
            objects: taker.pool.take_table(),
        };
        Ok(Taken { snapshot, pool: taker.pool, dependencies: taker.dependencies })
    }
}

/// Code of `codes` that runs with these globals and builtins.
#[derive(Clone, Copy)]
struct Scope {
    code: usize,
    globals: *mut PyObject,
    builtins: *mut PyObject,
}

struct Taker<'a, 'py> {
    py: Attached<'py>,
    pool: ObjectPool,
    limits: Limits,
    functions: FunctionFinder<'a>,
    is_volatile: &'a dyn Fn(*mut PyObject, *mut PyObject) -> bool,
    codes: Vec<Code>,
    /// Index into `codes` by address of the code object.
    indices: HashMap<usize, usize>,
    scopes: Vec<Scope>,
    /// Functions that may be inlined, with their depth.
    callees: VecDeque<(FunctionRef, u32)>,
    seen_functions: HashSet<usize>,
    /// Functions whose code was decoded and whose names were resolved.
    inlinable: HashSet<ObjectId>,
    dependencies: Vec<Dependency>,
    classes: Vec<(u32, ObjectId)>,
    functions_met: Vec<(u32, ObjectId)>,
    super_attributes: Vec<SuperAttribute>,
    global_facts: Vec<GlobalFact>,
    global_entries: Vec<GlobalEntry>,
    spent: usize,
}

impl Taker<'_, '_> {
    /// Decodes a code object, once.
    unsafe fn add_code(&mut self, code: CodeRef) -> Result<usize, DecodeError> {
        if let Some(index) = self.indices.get(&(code.0 as usize)) {
            return Ok(*index);
        }
        // SAFETY: the caller passes a valid code object.
        let decoded = unsafe { decode(self.py, code, &mut self.pool, self.functions)? };
        self.codes.push(decoded);
        self.indices.insert(code.0 as usize, self.codes.len() - 1);
        Ok(self.codes.len() - 1)
    }

    /// Decodes a code object that may be translated in line, as far as the budget goes.
    unsafe fn add_code_in_line(&mut self, code: CodeRef) -> Option<usize> {
        // SAFETY: the caller passes a valid code object.
        unsafe {
            // A tool that listens to it alone would hear nothing.
            if code.active_tools(1 << TOOL_ID) != 0 {
                return None;
            }
            if let Some(index) = self.indices.get(&(code.0 as usize)) {
                return Some(*index);
            }
            let count = instruction_count(code);
            if count > self.limits.callee_instructions || self.spent + count > self.limits.total_instructions {
                return None;
            }
            let index = self.add_code(code).ok()?;
            self.spent += count;
            Some(index)
        }
    }

    fn depend(&mut self, dependency: Dependency) {
        if !self.dependencies.contains(&dependency) {
            self.dependencies.push(dependency);
        }
    }

    /// Resolves the names of a code under its globals and queues the functions it may call.
    unsafe fn enter_scope(&mut self, code: usize, globals: *mut PyObject, builtins: *mut PyObject, depth: u32) {
        if self.scopes.iter().any(|scope| scope.code == code && scope.globals == globals && scope.builtins == builtins)
        {
            return;
        }
        self.scopes.push(Scope { code, globals, builtins });
        let mut names = Vec::new();
        let mut objects = Vec::new();
        let mut versions = Vec::new();
        for instruction in &self.codes[code].instructions {
            if let Op::LoadGlobal { name, .. } | Op::LoadName { name } | Op::LoadFromDictOrGlobals { name } =
                instruction.op
            {
                names.push(name);
            }
            match &instruction.feedback {
                Feedback::Attribute(attribute) => match attribute {
                    AttributeFeedback::InstanceValue { version, .. }
                    | AttributeFeedback::Slot { version, .. }
                    | AttributeFeedback::WithHint { version, .. } => versions.push(*version),
                    AttributeFeedback::Class { version, value }
                    | AttributeFeedback::Method { version, value, .. }
                    | AttributeFeedback::NonDescriptor { version, value, .. } => {
                        versions.push(*version);
                        objects.push(*value);
                    }
                    AttributeFeedback::Property { version, getter } => {
                        versions.push(*version);
                        objects.push(*getter);
                    }
                    AttributeFeedback::GetattributeOverridden { version, function } => {
                        versions.push(*version);
                        objects.push(*function);
                    }
                    AttributeFeedback::Module { .. } => {}
                },
                Feedback::Call(CallFeedback::Python { function, .. } | CallFeedback::BoundMethod { function, .. }) => {
                    objects.extend(*function);
                }
                Feedback::Call(CallFeedback::ClassWithInit { version }) => versions.push(*version),
                _ => {}
            }
        }
        for name in names {
            // SAFETY: the dicts are valid, the name is an interned str of the code object.
            if let Some(value) = unsafe { self.resolve_global(globals, builtins, name) } {
                objects.push(value);
            }
        }
        for version in versions {
            objects.extend(self.add_class_version(version));
        }
        for object in objects {
            // SAFETY: objects of the pool are valid.
            unsafe { self.queue_callable(object, depth + 1) };
        }
    }

    /// The class with that version, with a dependency on it.
    fn add_class_version(&mut self, version: u32) -> Option<ObjectId> {
        if let Some((_, class)) = self.classes.iter().find(|(known, _)| *known == version) {
            return Some(*class);
        }
        let class = class_by_version(self.py, version)?;
        let id = self.pool.intern(self.py, class.object());
        self.add_class(id);
        Some(id)
    }

    /// Records the function that has this version, if a unit can rely on it. Those that calls make come and go.
    unsafe fn add_function_version(&mut self, version: u32) {
        if self.functions_met.iter().any(|(known, _)| *known == version) {
            return;
        }
        let found = function_by_version(self.py, version).map(|function| function.object());
        let Some(function) = found.or_else(|| (self.functions)(version)) else { return };
        // SAFETY: a function that is alive.
        let name = unsafe { text::to_string(FunctionRef(function.cast()).qualname()) };
        if name.is_none_or(|name| name.contains("<locals>")) {
            return;
        }
        let id = self.pool.intern(self.py, function);
        self.functions_met.push((version, id));
        // SAFETY: objects of the pool are valid.
        unsafe { self.queue_callable(id, 1) };
    }

    /// Records a class of the pool by its version and depends on it.
    fn add_class(&mut self, id: ObjectId) {
        let ObjectValue::Class(facts) = &self.pool.table().get(id).value else {
            return;
        };
        let (version, is_heap) = (facts.version, facts.is_heap);
        if version == 0 || self.classes.iter().any(|(_, class)| *class == id) {
            return;
        }
        self.classes.push((version, id));
        if is_heap {
            self.depend(Dependency::Class { class: id, version });
        }
    }

    /// The value of a global or builtin that can be assumed constant.
    unsafe fn resolve_global(
        &mut self,
        globals: *mut PyObject,
        builtins: *mut PyObject,
        name: ObjectId,
    ) -> Option<ObjectId> {
        let key = self.pool.pointer(name);
        // SAFETY: the dicts are valid; `find_constant` refuses what could run Python code.
        unsafe {
            if (self.is_volatile)(globals, key) {
                return None;
            }
            let (value, in_builtins) = match find_constant(globals, key)? {
                Some(value) => (value, false),
                None => ((!(self.is_volatile)(builtins, key)).then(|| find_constant(builtins, key))???, true),
            };
            #[cfg(Py_3_15)]
            if is_exactly(value, &raw mut ffi::PyLazyImport_Type) {
                return None;
            }
            let globals_id = self.pool.intern(self.py, globals);
            let value = self.pool.intern(self.py, value);
            let fact = GlobalFact { globals: globals_id, name, value };
            if !self.global_facts.contains(&fact) {
                self.global_facts.push(fact);
                self.depend(Dependency::Name { dict: globals_id, name });
                if in_builtins {
                    let dict = self.pool.intern(self.py, builtins);
                    self.depend(Dependency::Name { dict, name });
                }
            }
            Some(value)
        }
    }

    /// Attributes of the modules that the codes refer to by a constant global: as constant as globals are.
    unsafe fn gather_module_attributes(&mut self) {
        let modules: Vec<ObjectId> = self
            .global_facts
            .iter()
            .map(|fact| fact.value)
            .filter(|value| matches!(self.pool.table().get(*value).value, ObjectValue::Module(_)))
            .collect();
        let mut names: Vec<ObjectId> = Vec::new();
        for instruction in self.codes.iter().flat_map(|code| &code.instructions) {
            // Names with two underscores may be descriptors of the module type.
            if let Op::LoadAttr { name, .. } = instruction.op
                && let ObjectValue::Str(Some(text)) = &self.pool.table().get(name).value
                && !text.starts_with("__")
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        for module in modules {
            let pointer = self.pool.pointer(module);
            for &name in &names {
                // SAFETY: an exact module, a str; the lookup runs no Python code.
                unsafe {
                    if !is_exactly(pointer, &raw mut pyo3_ffi::PyModule_Type) {
                        continue;
                    }
                    let dict = pyo3_ffi::PyModule_GetDict(pointer);
                    let key = self.pool.pointer(name);
                    if (self.is_volatile)(dict, key) {
                        continue;
                    }
                    let Some(Some(value)) = find_constant(dict, key) else { continue };
                    #[cfg(Py_3_15)]
                    if is_exactly(value, &raw mut ffi::PyLazyImport_Type) {
                        continue;
                    }
                    let value = self.pool.intern(self.py, value);
                    let fact = GlobalFact { globals: module, name, value };
                    if !self.global_facts.contains(&fact) {
                        self.global_facts.push(fact);
                        let dict = self.pool.intern(self.py, dict);
                        self.depend(Dependency::Name { dict, name });
                        self.queue_callable(value, 1);
                    }
                }
            }
        }
    }

    /// Queues what a call of the object would run: a function, or the `__init__` of a class.
    unsafe fn queue_callable(&mut self, object: ObjectId, depth: u32) {
        let pointer = self.pool.pointer(object);
        // SAFETY: objects of the pool are valid; fields are read after their type was tested.
        unsafe {
            if is_exactly(pointer, &raw mut pyo3_ffi::PyFunction_Type) {
                if self.seen_functions.insert(pointer as usize) {
                    self.callees.push_back((FunctionRef(pointer.cast()), depth));
                }
            } else if matches!(self.pool.table().get(object).value, ObjectValue::Class(_)) {
                self.add_class(object);
                if let Some(init) = plain_init(TypeRef(pointer.cast())) {
                    let init = self.pool.intern(self.py, init);
                    self.queue_callable(init, depth);
                }
            }
        }
    }

    /// Decodes queued functions, the nearest first, as far as the budget goes.
    unsafe fn gather_callees(&mut self) {
        while let Some((function, depth)) = self.callees.pop_front() {
            // SAFETY: queued functions are in the pool.
            unsafe {
                let code = function.code();
                let refused =
                    layout::code::FLAG_GENERATOR | layout::code::FLAG_COROUTINE | layout::code::FLAG_ASYNC_GENERATOR;
                // Whether it may be inlined or not: its callers may rely on its code and defaults.
                let id = self.pool.intern(self.py, function.object());
                self.depend(Dependency::Function { function: id });
                if depth > self.limits.depth || code.flags() & refused != 0 {
                    continue;
                }
                let Some(index) = self.add_code_in_line(code) else { continue };
                self.inlinable.insert(id);
                self.enter_scope(index, function.globals(), function.builtins(), depth);
            }
        }
    }

    /// Decodes the bodies of generator expressions, which may be translated in line.
    unsafe fn gather_expressions(&mut self) {
        let mut number = 0;
        while let Some(&Scope { code, globals, builtins }) = self.scopes.get(number) {
            number += 1;
            let pairs = self.codes[code].instructions.windows(2);
            let made: Vec<ObjectId> = pairs
                .filter_map(|pair| match (&pair[0].op, &pair[1].op) {
                    (Op::LoadConst { value }, Op::MakeFunction) => Some(*value),
                    _ => None,
                })
                .collect();
            for object in made {
                if !matches!(self.pool.table().get(object).value, ObjectValue::Code(_)) {
                    continue;
                }
                // SAFETY: a code object of the pool; scopes hold valid dicts.
                unsafe {
                    let code = CodeRef(self.pool.pointer(object).cast());
                    let is_expression =
                        text::to_string(code.qualname()).is_some_and(|name| name.ends_with("<genexpr>"));
                    if is_expression && let Some(index) = self.add_code_in_line(code) {
                        self.enter_scope(index, globals, builtins, 1);
                    }
                }
            }
        }
    }

    /// Types of the slots and of the operand stack at the entry.
    unsafe fn live_types(&mut self, request: &Request) -> Vec<LiveType> {
        // SAFETY: the frame stands at the entry, so its slots and `depth` operands are valid references.
        unsafe {
            let slots = self.codes[0].slot_count as usize;
            if let Some(frame) = request.frame {
                let depth = match request.entry {
                    Entry::Function | Entry::Generator => 0,
                    Entry::Loop { depth, .. } => depth as usize,
                };
                return (0..slots + depth).map(|index| self.live_type(frame.slot(index).read())).collect();
            }
            let mut types = vec![LiveType::Unbound; slots];
            let parameters = (self.codes[0].argument_count + self.codes[0].keyword_only_count) as usize;
            for (index, live) in types.iter_mut().enumerate().take(parameters) {
                *live = match request.arguments.get(index) {
                    Some(argument) if !argument.is_null() => self.live_type(StackRef::borrowed(*argument)),
                    _ => LiveType::Unknown,
                };
            }
            types
        }
    }

    unsafe fn live_type(&mut self, value: StackRef) -> LiveType {
        if value.is_tagged_int() {
            return LiveType::TaggedInt;
        }
        if value.is_null() || value.object().is_null() {
            return LiveType::Unbound;
        }
        let class = type_of(value.object());
        let id = self.pool.intern(self.py, class.object());
        self.add_class(id);
        match kind_of_type(class) {
            Some(kind) => match crate::iterators::inner_kinds(value.object(), kind) {
                Some(inner) => LiveType::Walk(kind, inner),
                None => LiveType::Kind(kind),
            },
            None => LiveType::Class(id),
        }
    }

    /// A name that the unit itself rebinds is not constant.
    fn drop_stored_names(&mut self) {
        let mut stored = HashSet::new();
        for scope in &self.scopes {
            let Some(globals) = self.pool.find(scope.globals) else {
                continue;
            };
            for instruction in &self.codes[scope.code].instructions {
                if let Op::StoreGlobal { name }
                | Op::DeleteGlobal { name }
                | Op::StoreName { name }
                | Op::DeleteName { name } = instruction.op
                {
                    stored.insert((globals, name));
                }
            }
        }
        self.global_facts.retain(|fact| !stored.contains(&(fact.globals, fact.name)));
        self.dependencies.retain(|dependency| match dependency {
            Dependency::Name { dict, name } => !stored.contains(&(*dict, *name)),
            _ => true,
        });
    }

    /// Finds the places of the names that are not constant, and notes which of them the unit sets.
    unsafe fn gather_global_entries(&mut self) {
        let mut found = Vec::new();
        for scope in &self.scopes {
            let Some(globals) = self.pool.find(scope.globals) else { continue };
            for instruction in &self.codes[scope.code].instructions {
                let (name, stores) = match instruction.op {
                    Op::LoadGlobal { name, .. } | Op::LoadName { name } => (name, false),
                    Op::StoreGlobal { name } | Op::StoreName { name } => (name, true),
                    _ => continue,
                };
                if self.global_facts.iter().any(|fact| fact.globals == globals && fact.name == name) {
                    continue;
                }
                // SAFETY: a valid dict and name; the lookup among str keys runs no Python code.
                if let Some((shape, offset)) = unsafe { find_entry(scope.globals, self.pool.pointer(name)) } {
                    found.push((GlobalEntry { globals, name, shape, offset }, stores));
                }
            }
        }
        for (entry, stores) in found {
            if stores {
                self.depend(Dependency::Store { dict: entry.globals, name: entry.name });
            }
            if !self.global_entries.contains(&entry) {
                self.global_entries.push(entry);
            }
        }
    }

    /// Tells every function whose code was decoded where it is.
    fn link_functions(&mut self) {
        let indices: HashMap<ObjectId, usize> =
            self.codes.iter().enumerate().map(|(index, code)| (code.object, index)).collect();
        let functions: Vec<ObjectId> = self
            .pool
            .table()
            .iter()
            .filter(|(_, facts)| matches!(facts.value, ObjectValue::Function(_)))
            .map(|(id, _)| id)
            .collect();
        for id in functions {
            let is_watched = self.dependencies.contains(&Dependency::Function { function: id });
            if let ObjectValue::Function(facts) = &mut self.pool.table_mut().get_mut(id).value {
                facts.is_watched = is_watched;
                // Only a function whose names were resolved may be inlined.
                if self.inlinable.contains(&id) {
                    facts.code = indices.get(&facts.code_object).copied();
                }
            }
        }
    }
}

/// The keys of an exact dict, if all of them are str.
unsafe fn str_keys(dict: *mut PyObject) -> Option<*mut u8> {
    // SAFETY: the caller passes a valid object or NULL.
    unsafe {
        if dict.is_null() || !is_exactly(dict, &raw mut pyo3_ffi::PyDict_Type) {
            return None;
        }
        let keys = dict.cast::<u8>().add(layout::dict::MA_KEYS).cast::<*mut u8>().read();
        (keys.add(layout::dict_keys::DK_KIND).read() != layout::dict_keys::KIND_GENERAL).then_some(keys)
    }
}

/// What an exact dict whose keys are all str has under a str: `None` when it is another dict, `Some(None)` when the name
/// is missing. Borrowed.
unsafe fn find_constant(dict: *mut PyObject, name: *mut PyObject) -> Option<Option<*mut PyObject>> {
    // SAFETY: the caller passes valid objects; a lookup of a str among str keys runs no Python code.
    unsafe {
        str_keys(dict)?;
        let hash = pyo3_ffi::PyObject_Hash(name);
        let value = ffi::_PyDict_GetItem_KnownHash(dict, name, hash);
        Some((!value.is_null()).then_some(value))
    }
}

/// Shape of the keys of an exact dict whose keys are all str, and the offset in them of the value of a name that is set.
unsafe fn find_entry(dict: *mut PyObject, name: *mut PyObject) -> Option<(u32, u32)> {
    use layout::dict_keys::*;
    // SAFETY: the caller passes valid objects; the entries lie behind the index table.
    unsafe {
        let keys = str_keys(dict)?;
        let has_own_values = !dict.cast::<u8>().add(layout::dict::MA_VALUES).cast::<*mut u8>().read().is_null();
        const { assert!(DK_LOG2_INDEX_BYTES == DK_LOG2_SIZE + 1 && DK_KIND == DK_LOG2_SIZE + 2) };
        let shape = [DK_LOG2_SIZE, DK_LOG2_INDEX_BYTES, DK_KIND].map(|offset| u32::from(keys.add(offset).read()));
        let shape = shape[0] | shape[1] << 8 | shape[2] << 16;
        if has_own_values {
            return None;
        }
        let first = DK_INDICES + (1usize << keys.add(DK_LOG2_INDEX_BYTES).read());
        let count = keys.add(DK_NENTRIES).cast::<isize>().read() as usize;
        for index in 0..count {
            let entry = first + index * UNICODE_ENTRY_SIZE;
            let word = |offset: usize| keys.add(entry + offset).cast::<*mut PyObject>().read();
            // Names in code are interned, and so are those that code has set.
            if word(UNICODE_ENTRY_KEY) == name && !word(UNICODE_ENTRY_VALUE).is_null() {
                return Some((shape, (entry + UNICODE_ENTRY_VALUE) as u32));
            }
        }
        None
    }
}

/// Number of instructions of a code object, caches and prefixes not counted.
///
/// # Safety
/// `code` must be valid.
pub unsafe fn instruction_count(code: CodeRef) -> usize {
    // SAFETY: the units belong to the code object.
    unsafe {
        let (units, count) = (code.units(), code.unit_count());
        let (mut index, mut instructions) = (0, 0);
        while index < count {
            let opcode = units.add(index).read() & 0xff;
            let base = op::DEOPT[opcode as usize];
            // Instrumented code hides its base opcodes: what counts too much there is only refused too early.
            index += 1 + usize::from(op::CACHES[base as usize]);
            instructions += usize::from(u16::from(base) != op::EXTENDED_ARG);
        }
        instructions
    }
}

/// Methods of a class that an operation may call on its operands.
fn special_names(operation: &Op) -> &'static [&'static str] {
    match operation {
        Op::BinaryOp { kind, .. } => match kind {
            BinaryKind::Add => &["__add__", "__radd__", "__iadd__"],
            BinaryKind::And => &["__and__", "__rand__", "__iand__"],
            BinaryKind::FloorDivide => &["__floordiv__", "__rfloordiv__", "__ifloordiv__"],
            BinaryKind::LeftShift => &["__lshift__", "__rlshift__", "__ilshift__"],
            BinaryKind::MatrixMultiply => &["__matmul__", "__rmatmul__", "__imatmul__"],
            BinaryKind::Multiply => &["__mul__", "__rmul__", "__imul__"],
            BinaryKind::Remainder => &["__mod__", "__rmod__", "__imod__"],
            BinaryKind::Or => &["__or__", "__ror__", "__ior__"],
            BinaryKind::Power => &["__pow__", "__rpow__", "__ipow__"],
            BinaryKind::RightShift => &["__rshift__", "__rrshift__", "__irshift__"],
            BinaryKind::Subtract => &["__sub__", "__rsub__", "__isub__"],
            BinaryKind::TrueDivide => &["__truediv__", "__rtruediv__", "__itruediv__"],
            BinaryKind::Xor => &["__xor__", "__rxor__", "__ixor__"],
        },
        Op::Compare { comparison, .. } => match comparison {
            Comparison::Less | Comparison::Greater => &["__lt__", "__gt__"],
            Comparison::LessEqual | Comparison::GreaterEqual => &["__le__", "__ge__"],
            Comparison::Equal => &["__eq__"],
            Comparison::NotEqual => &["__ne__", "__eq__"],
        },
        Op::BinarySubscript => &["__getitem__"],
        Op::StoreSubscript => &["__setitem__"],
        Op::DeleteSubscript => &["__delitem__"],
        Op::Contains { .. } => &["__contains__"],
        Op::ToBool => &["__bool__", "__len__"],
        Op::UnaryNegative => &["__neg__"],
        Op::UnaryInvert => &["__invert__"],
        Op::GetIter => &["__iter__"],
        Op::ForIter { .. } => &["__next__"],
        Op::Call { .. } | Op::CallKw { .. } | Op::CallFunctionEx => &["__call__", "__len__"],
        Op::LoadSpecial { method: SpecialMethod::Enter } => &["__enter__"],
        Op::LoadSpecial { method: SpecialMethod::Exit } => &["__exit__"],
        _ => &[],
    }
}
