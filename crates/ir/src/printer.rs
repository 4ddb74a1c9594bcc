//! Functions as text.
//!
//! [`Function`] implements `Display`; [`crate::parser`] reads the same text back. Everything that matters is in it:
//! values, blocks, states and objects keep their numbers, so two dumps of one function can be compared line by line.
//! What nothing refers to (blocks outside the layout, unused states) is left out.
//!
//! ```text
//! fn clamp(Object) {
//!     object c0 = Int 255 "255" immortal
//! b0(v0: Object):
//!     fs0 = state code0@2 locals[v0] stack[]
//!     v1 = GuardKind v0, Int, fs0
//!     at code0@3
//!     v2 = UnboxInt v1, fs0
//!     v3 = IntConstant 255
//!     v4 = IntCompare Less, v2, v3
//!     Branch v4, b1, b2
//! b1:
//!     Return v1
//! b2 cold:
//!     v5 = Constant c0
//!     Return v5
//! }
//! ```
//!
//! * The types in parentheses are those of the entry block's parameters; `counted` behind them is the phase.
//! * `object` lines are the object table (see [`coluber_bytecode::ObjectTable`]), with the label in quotes.
//! * A state stands in front of its first use in each block. `code0@12/13` resumes at code unit 12, whose opcode is at 13
//!   (`@12` if it is the same); `push 20` or `drop 20` behind it says that the frame waits for an inlined callee whose
//!   result is pushed or dropped before the interpreter goes on at 20. Slots: `null`, a value, `tagged v1`,
//!   `range(object, start, length)`, `sequence(object, index)`.
//! * `at` gives the source of the instructions that follow in the block; a block starts at `code0@0`.
//! * A result's type is printed where it is not the one its op says (`v2: Exact(Int) = ...`); `own` in front of a value's
//!   definition is [`crate::ValueData::owned`].
//! * Behind a block's parameters: `cold`, and `loop fs1` for its [`crate::BlockData::loop_state`].

use crate::fields::{FieldWriter, FloatBits, Immediate};
use crate::function::Phase;
use crate::{Block, BlockCall, FrameState, FrameStateId, Function, Inst, ObjectId, Resume, SlotValue, Type, Value};
use coluber_bytecode::{
    Binding, BuiltinFacts, ClassAttribute, ClassFacts, CodeFacts, FunctionFacts, NativeConvention, ObjectFacts,
    ObjectValue,
};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter, Write};

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_header(self, f)?;
        for (id, facts) in self.objects.iter() {
            writeln!(f, "    object {} = {}", id.to_text(), ObjectText(facts))?;
        }
        for &block in &self.layout {
            write_block(self, block, f)?;
        }
        f.write_str("}\n")
    }
}

impl Function {
    /// The text without the object table: what pass tests compare.
    pub fn body_text(&self) -> String {
        let mut text = String::new();
        for &block in &self.layout {
            write_block(self, block, &mut text).expect("writing to a string does not fail");
        }
        text
    }

    /// The line of an instruction, for messages.
    pub fn inst_text(&self, inst: Inst) -> String {
        let mut text = String::new();
        write_inst(self, inst, &mut text).expect("writing to a string does not fail");
        text
    }

    /// The line of a state, for messages.
    pub fn state_text(&self, state: FrameStateId) -> String {
        format!("{state} = {}", self.states[state])
    }

    /// The line that starts a block, for messages.
    pub fn block_text(&self, block: Block) -> String {
        let mut text = String::new();
        write_block_header(self, block, &mut text).expect("writing to a string does not fail");
        text
    }
}

/// The first line.
fn write_header(function: &Function, f: &mut impl Write) -> fmt::Result {
    write!(f, "fn {}(", Word(&function.name))?;
    if let Some(&entry) = function.layout.first() {
        let types = function.blocks[entry].parameters.iter().map(|&value| function.ty(value));
        write_list(f, types)?;
    }
    let phase = match function.phase {
        Phase::Built => "",
        Phase::Counted => " counted",
    };
    writeln!(f, "){phase} {{")
}

fn write_block_header(function: &Function, block: Block, f: &mut impl Write) -> fmt::Result {
    let data = &function.blocks[block];
    write!(f, "{block}")?;
    if !data.parameters.is_empty() {
        f.write_char('(')?;
        for (index, &value) in data.parameters.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let own = if function.values[value].owned { "own " } else { "" };
            write!(f, "{comma}{own}{value}: {}", function.ty(value))?;
        }
        f.write_char(')')?;
    }
    if data.cold {
        f.write_str(" cold")?;
    }
    if let Some(state) = data.loop_state {
        write!(f, " loop {state}")?;
    }
    f.write_char(':')
}

fn write_block(function: &Function, block: Block, f: &mut impl Write) -> fmt::Result {
    let data = &function.blocks[block];
    write_block_header(function, block, f)?;
    f.write_char('\n')?;
    let mut written = BTreeSet::new();
    if let Some(state) = data.loop_state {
        write_states(function, state, &mut written, f)?;
    }
    let mut source = (0, 0);
    for &inst in &data.insts {
        if let Some(state) = function.insts[inst].op.state() {
            write_states(function, state, &mut written, f)?;
        }
        if function.insts[inst].source != source {
            source = function.insts[inst].source;
            writeln!(f, "    at code{}@{}", source.0, source.1)?;
        }
        f.write_str("    ")?;
        write_inst(function, inst, f)?;
        f.write_char('\n')?;
    }
    Ok(())
}

/// A state behind its callers.
fn write_states(
    function: &Function,
    state: FrameStateId,
    written: &mut BTreeSet<FrameStateId>,
    f: &mut impl Write,
) -> fmt::Result {
    if !written.insert(state) {
        return Ok(());
    }
    let data = &function.states[state];
    if let Some(caller) = data.caller {
        write_states(function, caller, written, f)?;
    }
    writeln!(f, "    {state} = {data}")
}

fn write_inst(function: &Function, inst: Inst, f: &mut impl Write) -> fmt::Result {
    let data = &function.insts[inst];
    if let Some(result) = data.result {
        let value = &function.values[result];
        let own = if value.owned { "own " } else { "" };
        write!(f, "{own}{result}")?;
        if function.result_type(&data.op) != Some(value.ty) {
            write!(f, ": {}", value.ty)?;
        }
        f.write_str(" = ")?;
    }
    f.write_str(data.op.name())?;
    let mut writer = TextWriter { text: f, result: Ok(()), is_first: true };
    data.op.write_fields(&mut writer);
    writer.result
}

/// Writes the fields of an op behind its name.
struct TextWriter<'a, W> {
    text: &'a mut W,
    result: fmt::Result,
    is_first: bool,
}

impl<W: Write> TextWriter<'_, W> {
    fn field(&mut self, field: impl Display) {
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        self.result = self.result.and_then(|()| write!(self.text, "{comma} {field}"));
    }
}

impl<W: Write> FieldWriter for TextWriter<'_, W> {
    fn operand(&mut self, _: &'static str, value: Value) {
        self.field(value);
    }

    fn operands(&mut self, _: &'static str, values: &[Value]) {
        self.field(List(values));
    }

    fn state(&mut self, _: &'static str, state: FrameStateId) {
        self.field(state);
    }

    fn target(&mut self, _: &'static str, target: &BlockCall) {
        self.field(target);
    }

    fn immediate<T: Immediate>(&mut self, _: &'static str, immediate: &T) {
        self.field(immediate.to_text());
    }
}

impl Display for BlockCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.block)?;
        if !self.arguments.is_empty() {
            f.write_char('(')?;
            write_list(f, &self.arguments)?;
            f.write_char(')')?;
        }
        Ok(())
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Type::Constant(object, _) => write!(f, "Constant({})", object.to_text()),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Display for FrameState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "state code{}@", self.code)?;
        match self.resume {
            Resume::At { start, offset } if start == offset => write!(f, "{start}")?,
            Resume::At { start, offset } => write!(f, "{start}/{offset}")?,
            Resume::PushResult { offset, next } => write!(f, "{offset} push {next}")?,
            Resume::DropResult { offset, next } => write!(f, "{offset} drop {next}")?,
            Resume::Undone => f.write_str("0 undone")?,
        }
        f.write_str(" locals")?;
        Display::fmt(&List(&self.locals), f)?;
        f.write_str(" stack")?;
        Display::fmt(&List(&self.stack), f)?;
        if let Some(caller) = self.caller {
            write!(f, " caller {caller}")?;
        }
        if let Some(function) = self.function {
            write!(f, " function {}", function.to_text())?;
        }
        Ok(())
    }
}

impl Display for SlotValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SlotValue::Null => f.write_str("null"),
            SlotValue::Value(value) => write!(f, "{value}"),
            SlotValue::TaggedInt(value) => write!(f, "tagged {value}"),
            SlotValue::RangeIterator { object, start, length } => write!(f, "range({object}, {start}, {length})"),
            SlotValue::SequenceIterator { object, index } => write!(f, "sequence({object}, {index})"),
        }
    }
}

/// Items between brackets.
struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        write_list(f, self.0)?;
        f.write_char(']')
    }
}

fn write_list(f: &mut impl Write, items: impl IntoIterator<Item = impl Display>) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// Whether a character can be part of a word.
pub(crate) fn is_word_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '+' | '-')
}

/// A name: a word if it can be one, else in quotes.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.chars().all(is_word_character) {
            f.write_str(self.0)
        } else {
            Display::fmt(&Quoted(self.0), f)
        }
    }
}

/// A string in quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                control if control.is_control() => write!(f, "\\u{{{:x}}}", control as u32)?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

/// What is known of an object.
struct ObjectText<'a>(&'a ObjectFacts);

impl Display for ObjectText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.value {
            ObjectValue::None => f.write_str("None")?,
            ObjectValue::Bool(value) => write!(f, "Bool {value}")?,
            ObjectValue::Int(value) => write!(f, "Int {value}")?,
            ObjectValue::BigInt => f.write_str("BigInt")?,
            ObjectValue::Float(value) => write!(f, "Float {}", FloatBits(value.to_bits()).to_text())?,
            ObjectValue::Str(Some(text)) => write!(f, "Str {}", Quoted(text))?,
            ObjectValue::Str(None) => f.write_str("LongStr")?,
            ObjectValue::Tuple(items) => write!(f, "Tuple {}", ObjectList(items))?,
            ObjectValue::Slice(bounds) => write!(f, "Slice {} {} {}", bounds.start, bounds.stop, bounds.step)?,
            ObjectValue::Function(facts) => write_function_facts(facts, f)?,
            ObjectValue::Class(facts) => write_class_facts(facts, f)?,
            ObjectValue::Builtin(facts) => write_builtin_facts(facts, f)?,
            ObjectValue::Module(name) => write!(f, "Module {}", Quoted(name))?,
            ObjectValue::Cell(None) => f.write_str("Cell")?,
            ObjectValue::Cell(Some(class)) => write!(f, "Cell holds {}", class.to_text())?,
            ObjectValue::Code(facts) => write_code_facts(facts, f)?,
            ObjectValue::Other(kind) => write!(f, "Other {}", kind.to_text())?,
            ObjectValue::Instance => f.write_str("Instance")?,
        }
        write!(f, " {}", Quoted(&self.0.label))?;
        if self.0.immortal {
            f.write_str(" immortal")?;
        }
        Ok(())
    }
}

/// Objects between brackets.
struct ObjectList<'a>(&'a [ObjectId]);

impl Display for ObjectList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        write_list(f, self.0.iter().map(ObjectId::to_text))?;
        f.write_char(']')
    }
}

fn write_function_facts(facts: &FunctionFacts, f: &mut Formatter<'_>) -> fmt::Result {
    // Without `..`: a new fact must find its place here and in the parser.
    let FunctionFacts {
        name,
        version,
        code,
        code_object,
        globals,
        builtins,
        defaults,
        has_kwdefaults,
        closure,
        is_watched,
    } = facts;
    write!(f, "Function {} version {version}", Quoted(name))?;
    if let Some(code) = code {
        write!(f, " code {code}")?;
    }
    let [code_object, globals, builtins] = [code_object, globals, builtins].map(ObjectId::to_text);
    write!(f, " code_object {code_object} globals {globals} builtins {builtins}")?;
    write!(f, " defaults {} closure {}", ObjectList(defaults), ObjectList(closure))?;
    if *has_kwdefaults {
        f.write_str(" kwdefaults")?;
    }
    if *is_watched {
        f.write_str(" watched")?;
    }
    Ok(())
}

fn write_builtin_facts(facts: &BuiltinFacts, f: &mut Formatter<'_>) -> fmt::Result {
    let BuiltinFacts { name, convention, owner } = facts;
    write!(f, "Builtin {}", Quoted(name))?;
    if let Some((_, name)) = NativeConvention::ALL.iter().find(|(known, _)| Some(*known) == *convention) {
        write!(f, " {name}")?;
    }
    if let Some(owner) = owner {
        write!(f, " of {}", owner.to_text())?;
    }
    Ok(())
}

fn write_code_facts(facts: &CodeFacts, f: &mut Formatter<'_>) -> fmt::Result {
    let CodeFacts { parameters, positional_only_count, keyword_only_count, frame_words, is_plain } = facts;
    f.write_str("Code [")?;
    write_list(f, parameters.iter().map(|name| Quoted(name)))?;
    write!(f, "] positional_only {positional_only_count} keyword_only {keyword_only_count} words {frame_words}")?;
    if *is_plain {
        f.write_str(" plain")?;
    }
    Ok(())
}

/// `"name": c1` and how it binds, if it does.
struct AttributeText<'a>(&'a ClassAttribute);

impl Display for AttributeText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ClassAttribute { name, value, binding } = self.0;
        write!(f, "{}: {}", Quoted(name), value.to_text())?;
        match binding {
            Binding::Plain => Ok(()),
            Binding::Method => f.write_str(" method"),
            Binding::ClassMethod(function) => write!(f, " class_method {}", function.to_text()),
            Binding::StaticMethod(function) => write!(f, " static_method {}", function.to_text()),
            Binding::Property(getter) => write!(f, " property {}", getter.to_text()),
            Binding::OwnClass => f.write_str(" own_class"),
            Binding::Other => f.write_str(" other"),
        }
    }
}

/// Where instances of a class mostly have their dict, if the class says of itself whether they have inline values.
pub(crate) fn usual_dict_offset(inline_values: bool) -> i32 {
    if inline_values { -1 } else { 0 }
}

fn write_class_facts(facts: &ClassFacts, f: &mut Formatter<'_>) -> fmt::Result {
    let ClassFacts {
        name,
        version,
        bases,
        kind,
        is_heap,
        is_immutable,
        dict_offset,
        inline_values,
        inline_values_offset,
        keys_version,
        keys,
        init,
        has_finalizer,
        always_true,
        attributes,
        plain_reads,
        plain_writes,
        plain_class,
        plain_metaclass,
    } = facts;
    write!(f, "Class {} version {version}", Quoted(name))?;
    if !bases.is_empty() {
        f.write_str(" bases [")?;
        write_list(f, bases)?;
        f.write_char(']')?;
    }
    if let Some(kind) = kind {
        write!(f, " kind {}", kind.to_text())?;
    }
    write!(f, " inline_values_offset {inline_values_offset} keys_version {keys_version} keys [")?;
    write_list(f, keys.iter().map(|key| Quoted(key)))?;
    f.write_char(']')?;
    if let Some(init) = init {
        write!(f, " init {}", init.to_text())?;
    }
    if *dict_offset != usual_dict_offset(*inline_values) {
        write!(f, " dict_offset {dict_offset}")?;
    }
    f.write_str(" attributes [")?;
    write_list(f, attributes.iter().map(AttributeText))?;
    f.write_char(']')?;
    let flags = [
        (is_heap, "heap"),
        // Heap types mostly are not, others are.
        (&(*is_heap && *is_immutable), "immutable"),
        (&(!*is_heap && !*is_immutable), "mutable"),
        (inline_values, "inline_values"),
        (has_finalizer, "finalizer"),
        (always_true, "always_true"),
        (plain_reads, "plain_reads"),
        (plain_writes, "plain_writes"),
        (plain_class, "plain_class"),
        (plain_metaclass, "plain_metaclass"),
    ];
    for (flag, name) in flags {
        if *flag {
            write!(f, " {name}")?;
        }
    }
    Ok(())
}
