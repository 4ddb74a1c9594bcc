//! Functions from text: the inverse of [`crate::printer`], which documents the form.
//!
//! Values, blocks, states and objects keep the numbers they have in the text. Numbers in between that do not occur
//! become values without a definition, blocks outside the layout, unused states. So printing what was parsed gives the
//! same text again (up to comments, spacing and the types of results that follow from their ops).
//!
//! The parser wants each number to be defined (once) but nothing more: whether definitions dominate uses, whether
//! types fit and references balance is for [`crate::verify`].

mod lexer;
mod objects;

use crate::fields::{FieldReader, Immediate};
use crate::function::Phase;
use crate::{
    Block, BlockCall, BlockData, FrameState, FrameStateId, Function, Inst, InstData, ObjectId, Op, Resume, SlotValue,
    Type, Value, ValueData, ValueDef,
};
use cranelift_entity::packed_option::ReservedValue;
use cranelift_entity::{EntityRef, PrimaryMap};
use lexer::{Located, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a text is no function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

type Result<T> = std::result::Result<T, ParseError>;

/// Lines of a text on which the parts of a function stand, counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The line of `fn`.
    pub start: u32,
    /// The line of the closing brace.
    pub end: u32,
    /// Each block's first line.
    pub blocks: BTreeMap<Block, u32>,
    /// Each instruction's line.
    pub insts: BTreeMap<Inst, u32>,
    /// The first line on which a state is defined.
    pub states: BTreeMap<FrameStateId, u32>,
}

/// A function and where its parts stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The function.
    pub function: Function,
    /// Its lines.
    pub lines: Lines,
}

/// Parses a text that consists of one function.
pub fn parse_function(text: &str) -> Result<Function> {
    let mut functions = parse_functions(text)?;
    match functions.len() {
        1 => Ok(functions.remove(0).function),
        count => Err(ParseError { line: 1, message: format!("expected one function, found {count}") }),
    }
}

/// Parses all functions of a text.
pub fn parse_functions(text: &str) -> Result<Vec<Parsed>> {
    let tokens = lexer::tokens(text)?;
    let mut rest = tokens.as_slice();
    let mut functions = Vec::new();
    while !rest.is_empty() {
        let mut parser = Parser::new(rest);
        parser.function()?;
        rest = parser.rest;
        functions.push(Parsed { function: parser.function, lines: parser.lines });
    }
    Ok(functions)
}

/// Numbers beyond this are mistakes: everything up to them is allocated.
const GREATEST_NUMBER: u32 = 1 << 24;

/// The parser of one function.
struct Parser<'a> {
    rest: &'a [Located<'a>],
    line: u32,
    function: Function,
    lines: Lines,
    /// Line of the definition and of the first use of each value.
    definitions: BTreeMap<Value, u32>,
    uses: BTreeMap<Value, u32>,
    state_uses: BTreeMap<FrameStateId, u32>,
    block_uses: BTreeMap<Block, u32>,
    /// Results whose type is the one that their op says.
    derived_types: Vec<(Inst, Value)>,
}

impl<'a> Parser<'a> {
    fn new(rest: &'a [Located<'a>]) -> Parser<'a> {
        Parser {
            rest,
            line: rest.first().map_or(1, |(_, line)| *line),
            function: Function::default(),
            lines: Lines::default(),
            definitions: BTreeMap::new(),
            uses: BTreeMap::new(),
            state_uses: BTreeMap::new(),
            block_uses: BTreeMap::new(),
            derived_types: Vec::new(),
        }
    }

    // ---- tokens

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(ParseError { line: self.line, message: message.into() })
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let ((token, line), rest) = self.rest.split_first()?;
        self.line = *line;
        self.rest = rest;
        Some(token.clone())
    }

    fn peek(&self) -> Option<&Token<'a>> {
        self.rest.first().map(|(token, _)| token)
    }

    fn accept(&mut self, punctuation: char) -> bool {
        let found = self.peek() == Some(&Token::Punctuation(punctuation));
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, punctuation: char) -> Result<()> {
        match self.next() {
            Some(Token::Punctuation(found)) if found == punctuation => Ok(()),
            found => self.error(format!("expected `{punctuation}`, found {}", describe(found))),
        }
    }

    fn end_of_line(&mut self) -> Result<()> {
        match self.next() {
            Some(Token::EndOfLine) => Ok(()),
            found => self.error(format!("expected the end of the line, found {}", describe(found))),
        }
    }

    fn word(&mut self, what: &str) -> Result<&'a str> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            found => self.error(format!("expected {what}, found {}", describe(found))),
        }
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(&Token::Word(word));
        if found {
            self.next();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        match self.next() {
            Some(Token::Word(found)) if found == word => Ok(()),
            found => self.error(format!("expected `{word}`, found {}", describe(found))),
        }
    }

    fn text(&mut self, what: &str) -> Result<String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text),
            found => self.error(format!("expected {what} in quotes, found {}", describe(found))),
        }
    }

    fn immediate_word<T: Immediate>(&mut self, what: &str) -> Result<T> {
        let word = self.word(what)?;
        match T::from_text(word) {
            Some(immediate) => Ok(immediate),
            None => self.error(format!("expected {what}, found `{word}`")),
        }
    }

    /// `name value`.
    fn labelled<T: Immediate>(&mut self, name: &str) -> Result<T> {
        self.expect_word(name)?;
        self.immediate_word(name)
    }

    fn index(&mut self, what: &str) -> Result<usize> {
        Ok(self.immediate_word::<u32>(what)? as usize)
    }

    /// Items between brackets, with commas between them.
    fn list<T>(&mut self, open: char, close: char, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect(open)?;
        let mut items = Vec::new();
        if !self.accept(close) {
            loop {
                items.push(item(self)?);
                if self.accept(close) {
                    break;
                }
                self.expect(',')?;
            }
        }
        Ok(items)
    }

    // ---- numbered things

    /// A word that is a prefix and a number.
    fn number(&mut self, prefix: &str, what: &str) -> Result<u32> {
        let word = self.word(what)?;
        match word.strip_prefix(prefix).map(str::parse::<u32>) {
            Some(Ok(number)) if number <= GREATEST_NUMBER => Ok(number),
            _ => self.error(format!("expected {what}, found `{word}`")),
        }
    }

    fn value_number(&mut self) -> Result<Value> {
        let value = Value::from_u32(self.number("v", "a value")?);
        let undefined =
            ValueData { def: ValueDef::Parameter(Block::reserved_value(), 0), ty: Type::Object, owned: false };
        fill(&mut self.function.values, value, undefined);
        Ok(value)
    }

    fn used_value(&mut self) -> Result<Value> {
        let value = self.value_number()?;
        self.uses.entry(value).or_insert(self.line);
        Ok(value)
    }

    fn defined_value(&mut self) -> Result<Value> {
        let value = self.value_number()?;
        match self.definitions.insert(value, self.line) {
            None => Ok(value),
            Some(line) => self.error(format!("{value} is defined on line {line} already")),
        }
    }

    fn state_number(&mut self) -> Result<FrameStateId> {
        let state = FrameStateId::from_u32(self.number("fs", "a state")?);
        let unused = FrameState {
            code: 0,
            function: None,
            resume: Resume::At { start: 0, offset: 0 },
            locals: vec![],
            stack: vec![],
            caller: None,
        };
        fill(&mut self.function.states, state, unused);
        Ok(state)
    }

    fn used_state(&mut self) -> Result<FrameStateId> {
        let state = self.state_number()?;
        self.state_uses.entry(state).or_insert(self.line);
        Ok(state)
    }

    fn block_number(&mut self) -> Result<Block> {
        let block = Block::from_u32(self.number("b", "a block")?);
        fill(&mut self.function.blocks, block, BlockData::default());
        Ok(block)
    }

    /// `code0@12`.
    fn code_offset(&mut self) -> Result<(u32, u32)> {
        let code = self.number("code", "a code")?;
        self.expect('@')?;
        Ok((code, self.immediate_word("an offset")?))
    }

    fn ty(&mut self) -> Result<Type> {
        let plain = match self.word("a type")? {
            "Nullable" => Type::Nullable,
            "Object" => Type::Object,
            "I64" => Type::I64,
            "F64" => Type::F64,
            "Bool" => Type::Bool,
            name @ ("Exact" | "NullableExact" | "Constant") => {
                self.expect('(')?;
                let ty = match name {
                    "Exact" => Type::Exact(self.immediate_word("a kind")?),
                    "NullableExact" => Type::NullableExact(self.immediate_word("a kind")?),
                    _ => {
                        let object = self.known_object()?;
                        Type::Constant(object, self.function.objects.get(object).value.kind())
                    }
                };
                self.expect(')')?;
                ty
            }
            other => return self.error(format!("unknown type {other}")),
        };
        Ok(plain)
    }

    fn known_object(&mut self) -> Result<ObjectId> {
        let object = self.immediate_word("an object")?;
        self.check_object(object)?;
        Ok(object)
    }

    fn check_object(&self, object: ObjectId) -> Result<()> {
        match (object.0 as usize) < self.function.objects.len() {
            true => Ok(()),
            false => self.error(format!("{object:?} is not in the object table")),
        }
    }

    // ---- parts of a function

    fn function(&mut self) -> Result<()> {
        self.expect_word("fn")?;
        self.lines.start = self.line;
        self.function.name = match self.next() {
            Some(Token::Word(name)) => name.to_string(),
            Some(Token::Text(name)) => name,
            found => return self.error(format!("expected a name, found {}", describe(found))),
        };
        // Types of parameters can name objects, which follow: they are compared at the end.
        let header_tokens = self.rest;
        self.skip_parentheses()?;
        if self.accept_word("counted") {
            self.function.phase = Phase::Counted;
        }
        self.expect('{')?;
        self.end_of_line()?;
        while self.accept_word("object") {
            self.object()?;
        }
        while !self.accept('}') {
            self.block()?;
        }
        self.lines.end = self.line;
        if self.peek().is_some() {
            self.end_of_line()?;
        }
        self.check_definitions()?;
        self.derive_types();
        self.check_header(header_tokens)
    }

    fn skip_parentheses(&mut self) -> Result<()> {
        let mut depth = 0;
        loop {
            match self.next() {
                Some(Token::Punctuation('(')) => depth += 1,
                Some(Token::Punctuation(')')) => depth -= 1,
                None | Some(Token::EndOfLine) => return self.error("expected types in parentheses"),
                Some(_) => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn check_header(&mut self, header_tokens: &'a [Located<'a>]) -> Result<()> {
        let rest = std::mem::replace(&mut self.rest, header_tokens);
        let types = self.list('(', ')', Self::ty)?;
        self.rest = rest;
        let Some(&entry) = self.function.layout.first() else {
            return self.error("a function has at least one block");
        };
        let parameters = &self.function.blocks[entry].parameters;
        if parameters.iter().map(|&value| self.function.ty(value)).eq(types) {
            return Ok(());
        }
        self.line = self.lines.start;
        self.error(format!("the types are not those of the parameters of {entry}"))
    }

    fn block(&mut self) -> Result<()> {
        let block = self.block_number()?;
        if self.function.layout.contains(&block) {
            return self.error(format!("{block} is defined already"));
        }
        self.function.layout.push(block);
        self.lines.blocks.insert(block, self.line);
        if self.peek() == Some(&Token::Punctuation('(')) {
            let parameters = self.list('(', ')', |parser| {
                let owned = parser.accept_word("own");
                let value = parser.defined_value()?;
                parser.expect(':')?;
                Ok((value, owned, parser.ty()?))
            })?;
            for (index, (value, owned, ty)) in parameters.into_iter().enumerate() {
                self.function.values[value] = ValueData { def: ValueDef::Parameter(block, index), ty, owned };
                self.function.blocks[block].parameters.push(value);
            }
        }
        self.function.blocks[block].cold = self.accept_word("cold");
        if self.accept_word("loop") {
            self.function.blocks[block].loop_state = Some(self.used_state()?);
        }
        self.expect(':')?;
        self.end_of_line()?;
        let mut source = (0, 0);
        while !self.at_end_of_block() {
            if self.accept_word("at") {
                source = self.code_offset()?;
            } else if self.at_numbered("fs") {
                self.state()?;
            } else {
                self.inst(block, source)?;
            }
            self.end_of_line()?;
        }
        Ok(())
    }

    fn at_numbered(&self, prefix: &str) -> bool {
        match self.peek() {
            Some(Token::Word(word)) => word.strip_prefix(prefix).is_some_and(|number| number.parse::<u32>().is_ok()),
            _ => false,
        }
    }

    fn at_end_of_block(&self) -> bool {
        self.at_numbered("b") || matches!(self.peek(), None | Some(Token::Punctuation('}')))
    }

    fn inst(&mut self, block: Block, source: (u32, u32)) -> Result<()> {
        let owned = self.accept_word("own");
        let inst = self.function.insts.next_key();
        let mut result = None;
        if owned || self.at_numbered("v") {
            let value = self.defined_value()?;
            let explicit = if self.accept(':') { Some(self.ty()?) } else { None };
            self.expect('=')?;
            let ty = explicit.unwrap_or(Type::Object);
            self.function.values[value] = ValueData { def: ValueDef::Result(inst), ty, owned };
            if explicit.is_none() {
                self.derived_types.push((inst, value));
            }
            result = Some(value);
        }
        let name = self.word("an op")?;
        self.lines.insts.insert(inst, self.line);
        let mut reader = TextReader { parser: self, is_first: true };
        let op = match Op::read_fields(name, &mut reader) {
            Some(op) => op?,
            None => return self.error(format!("unknown op {name}")),
        };
        self.function.insts.push(InstData { op, result, source });
        self.function.blocks[block].insts.push(inst);
        Ok(())
    }

    fn state(&mut self) -> Result<()> {
        let id = self.state_number()?;
        let line = self.line;
        self.expect('=')?;
        self.expect_word("state")?;
        let (code, offset) = self.code_offset()?;
        let resume = if self.accept('/') {
            Resume::At { start: offset, offset: self.immediate_word("an offset")? }
        } else if self.accept_word("push") {
            Resume::PushResult { offset, next: self.immediate_word("an offset")? }
        } else if self.accept_word("drop") {
            Resume::DropResult { offset, next: self.immediate_word("an offset")? }
        } else if self.accept_word("undone") {
            Resume::Undone
        } else {
            Resume::At { start: offset, offset }
        };
        self.expect_word("locals")?;
        let locals = self.list('[', ']', Self::slot)?;
        self.expect_word("stack")?;
        let stack = self.list('[', ']', Self::slot)?;
        let caller = if self.accept_word("caller") { Some(self.used_state()?) } else { None };
        let function = if self.accept_word("function") { Some(self.known_object()?) } else { None };
        let state = FrameState { code: code as usize, function, resume, locals, stack, caller };
        match self.lines.states.get(&id) {
            None => {
                self.lines.states.insert(id, line);
                self.function.states[id] = state;
                Ok(())
            }
            Some(_) if self.function.states[id] == state => Ok(()),
            Some(first) => self.error(format!("{id} is another state on line {first}")),
        }
    }

    fn slot(&mut self) -> Result<SlotValue> {
        Ok(if self.accept_word("null") {
            SlotValue::Null
        } else if self.accept_word("tagged") {
            SlotValue::TaggedInt(self.used_value()?)
        } else if self.accept_word("range") {
            match self.list('(', ')', Self::used_value)?[..] {
                [object, start, length] => SlotValue::RangeIterator { object, start, length },
                _ => return self.error("expected range(object, start, length)"),
            }
        } else if self.accept_word("sequence") {
            match self.list('(', ')', Self::used_value)?[..] {
                [object, index] => SlotValue::SequenceIterator { object, index },
                _ => return self.error("expected sequence(object, index)"),
            }
        } else {
            SlotValue::Value(self.used_value()?)
        })
    }

    // ---- the whole function

    /// Everything that is used is defined.
    fn check_definitions(&self) -> Result<()> {
        let fail =
            |line: u32, what: &dyn fmt::Display| Err(ParseError { line, message: format!("{what} is not defined") });
        if let Some((value, &line)) = self.uses.iter().find(|(value, _)| !self.definitions.contains_key(value)) {
            return fail(line, value);
        }
        if let Some((state, &line)) = self.state_uses.iter().find(|(state, _)| !self.lines.states.contains_key(state)) {
            return fail(line, state);
        }
        if let Some((block, &line)) = self.block_uses.iter().find(|(block, _)| !self.lines.blocks.contains_key(block)) {
            return fail(line, block);
        }
        Ok(())
    }

    /// Gives results the types their ops say, operands first.
    fn derive_types(&mut self) {
        let mut pending = std::mem::take(&mut self.derived_types);
        let mut unknown: BTreeSet<Value> = pending.iter().map(|&(_, value)| value).collect();
        while !pending.is_empty() {
            let before = pending.len();
            pending.retain(|&(inst, value)| {
                let mut waits = false;
                self.function.insts[inst].op.for_each_operand(|operand| waits |= unknown.contains(&operand));
                if !waits {
                    self.derive_type(inst, value);
                    unknown.remove(&value);
                }
                waits
            });
            if pending.len() == before {
                // Definitions in a cycle, in code that is never reached or that the verifier rejects.
                pending.drain(..).for_each(|(inst, value)| self.derive_type(inst, value));
            }
        }
    }

    fn derive_type(&mut self, inst: Inst, value: Value) {
        // An op without a result that was given one is for the verifier to complain about.
        let ty = self.function.result_type(&self.function.insts[inst].op).unwrap_or(Type::Object);
        self.function.values[value].ty = ty;
    }
}

/// Makes sure that a number exists.
fn fill<K: EntityRef, V: Clone>(map: &mut PrimaryMap<K, V>, key: K, value: V) {
    while map.len() <= key.index() {
        map.push(value.clone());
    }
}

fn describe(token: Option<Token<'_>>) -> String {
    match token {
        Some(Token::Word(word)) => format!("`{word}`"),
        Some(Token::Text(text)) => format!("{text:?}"),
        Some(Token::Punctuation(punctuation)) => format!("`{punctuation}`"),
        Some(Token::EndOfLine) => "the end of the line".to_string(),
        None => "the end of the text".to_string(),
    }
}

/// Reads the fields behind the name of an op.
struct TextReader<'p, 'a> {
    parser: &'p mut Parser<'a>,
    is_first: bool,
}

impl TextReader<'_, '_> {
    fn comma(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_first) { Ok(()) } else { self.parser.expect(',') }
    }
}

impl FieldReader for TextReader<'_, '_> {
    type Error = ParseError;

    fn operand(&mut self, _: &'static str) -> Result<Value> {
        self.comma()?;
        self.parser.used_value()
    }

    fn operands(&mut self, _: &'static str) -> Result<Vec<Value>> {
        self.comma()?;
        self.parser.list('[', ']', Parser::used_value)
    }

    fn state(&mut self, _: &'static str) -> Result<FrameStateId> {
        self.comma()?;
        self.parser.used_state()
    }

    fn target(&mut self, _: &'static str) -> Result<BlockCall> {
        self.comma()?;
        let block = self.parser.block_number()?;
        self.parser.block_uses.entry(block).or_insert(self.parser.line);
        let arguments = if self.parser.peek() == Some(&Token::Punctuation('(')) {
            self.parser.list('(', ')', Parser::used_value)?
        } else {
            Vec::new()
        };
        Ok(BlockCall { block, arguments })
    }

    fn immediate<T: Immediate>(&mut self, name: &'static str) -> Result<T> {
        self.comma()?;
        let immediate: T = self.parser.immediate_word(name)?;
        if let Some(object) = immediate.object() {
            self.parser.check_object(object)?;
        }
        Ok(immediate)
    }
}
