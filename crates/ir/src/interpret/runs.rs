//! `; run:` lines of test files: calls of a function in the [`Model`] and how they end.
//!
//! ```text
//! ; run: f(1, 2.5, "text", [1, 2], (3,), None, True) == 3
//! ; run: f(cell(1), c0{24: 5}) raises TypeError
//! ; run: f(0) exits
//! ; run: f(0) exits code0@4 locals[0] stack[]
//! ; run: f(10) interrupted 3 exits code0@2 locals[3] stack[]
//! ```
//!
//! Arguments are what the parameters of the entry block say: registers or objects; if it has none, they are the locals
//! of the frame. `c0{24: 5}` is an instance of class `c0` with a field at offset 24, `null` is an unbound local.
//! `interrupted 3` lets the fourth safe point find that the interpreter is wanted. Results are compared as Python
//! prints them. Behind `exits` or `raises` the frames may follow, innermost first, with `caller` between them.
//!
//! After each run all references must have been given back.

use super::model::{Model, ModelValue, Object, float_repr};
use super::{Datum, Frame, FrameSlot, Host, Outcome, interpret};
use crate::fields::Immediate;
use crate::{Function, ObjectId, Resume, Type};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many instructions a run may take.
const FUEL: u64 = 1_000_000;

/// A value in a run line.
#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Null,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Vec<Literal>),
    Tuple(Vec<Literal>),
    Cell(Option<Box<Literal>>),
    Instance(ObjectId, Vec<(u32, Literal)>),
}

/// Runs what a line says; the error says what happened instead.
pub fn check_run(function: &Function, line: &str) -> Result<(), String> {
    let run = || -> Result<(), String> {
        let mut text = Text { rest: line };
        let name = text.word();
        if name != function.name {
            return Err(format!("the function is {}", function.name));
        }
        let arguments = text.list('(', ')', Text::literal)?;
        let mut model = Model::new(function);
        if text.accept("interrupted") {
            model.safe_points = Some(text.word().parse().map_err(|_| "interrupted by what?".to_string())?);
        }
        let expected = text.expected(&mut model)?;
        let found = run_in(&mut model, function, &arguments)?;
        // `exits` alone leaves open where.
        let is_same = found == expected || (expected == "exits" && found.starts_with("exits "));
        let is_raise = expected.starts_with("raises ") && !expected.contains('@');
        if is_same || (is_raise && found.starts_with(&format!("{expected} "))) {
            Ok(())
        } else {
            Err(format!("expected: {expected}\nfound:    {found}"))
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let message = payload.downcast_ref::<String>().map(String::as_str);
        Err(message.or(payload.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_string())
    });
    outcome.map_err(|error| format!("run: {line}\n{error}"))
}

/// Calls a function, releases everything, and says how it ended.
fn run_in(model: &mut Model, function: &Function, arguments: &[Literal]) -> Result<String, String> {
    let parameters = &function.blocks[function.entry()].parameters;
    let mut data = Vec::new();
    if parameters.is_empty() {
        for argument in arguments {
            let datum = argument.datum(model);
            let object = model.boxed(datum);
            model.locals.push(object);
        }
    } else if parameters.len() == arguments.len() {
        for (argument, &parameter) in arguments.iter().zip(parameters) {
            data.push(argument.as_type(function.ty(parameter), model)?);
        }
    } else {
        return Err(format!("there are {} parameters", parameters.len()));
    }
    let outcome = interpret(function, model, &data, FUEL).map_err(|error| error.to_string())?;
    let text = match &outcome {
        Outcome::Returned(object) => {
            let text = format!("== {}", model.repr(*object));
            model.decref(*object);
            text
        }
        Outcome::Exited { frames, .. } => format!("exits {}", frames_text(model, frames)),
        Outcome::Raised { frames, .. } => {
            let exception = model.exception.clone().unwrap_or_default();
            format!("raises {exception} {}", frames_text(model, frames))
        }
        Outcome::NotEntered => "is not entered".to_string(),
        Outcome::Suspended { how, offset, value, slots } => {
            let texts: Vec<_> = slots.iter().map(|slot| slot_text(model, slot)).collect();
            let text = format!("suspends {how:?} {} @{offset} slots[{}]", model.repr(*value), texts.join(", "));
            model.decref(*value);
            for slot in slots {
                if let FrameSlot::Value(Datum::Object(object)) = slot {
                    model.decref(*object);
                }
            }
            text
        }
    };
    if let Outcome::Exited { frames, .. } | Outcome::Raised { frames, .. } = &outcome {
        model.drop_frames(frames);
    }
    for object in std::mem::take(&mut model.locals).into_iter().flatten() {
        model.decref(object);
    }
    model.check_balance();
    Ok(text)
}

fn frames_text(model: &Model, frames: &[Frame<Object>]) -> String {
    let slots =
        |slots: &[FrameSlot<Object>]| slots.iter().map(|slot| slot_text(model, slot)).collect::<Vec<_>>().join(", ");
    let frame = |frame: &Frame<Object>| {
        let resume = match frame.resume {
            Resume::At { start, offset } if start == offset => start.to_string(),
            Resume::At { start, offset } => format!("{start}/{offset}"),
            Resume::PushResult { offset, next } => format!("{offset} push {next}"),
            Resume::DropResult { offset, next } => format!("{offset} drop {next}"),
            Resume::Undone => unreachable!("trials leave no frames"),
        };
        format!("code{}@{resume} locals[{}] stack[{}]", frame.code, slots(&frame.locals), slots(&frame.stack))
    };
    frames.iter().map(frame).collect::<Vec<_>>().join(" caller ")
}

fn slot_text(model: &Model, slot: &FrameSlot<Object>) -> String {
    match slot {
        FrameSlot::Value(Datum::Null) => "null".to_string(),
        FrameSlot::Value(Datum::Object(object)) => model.repr(*object),
        FrameSlot::Value(Datum::Int(value)) => value.to_string(),
        FrameSlot::Value(Datum::Float(value)) => float_repr(*value),
        FrameSlot::Value(Datum::Bool(true)) => "True".to_string(),
        FrameSlot::Value(Datum::Bool(false)) => "False".to_string(),
        FrameSlot::TaggedInt(value) => format!("tagged {value}"),
        FrameSlot::RangeIterator { start, length, .. } => format!("range({start}, {length})"),
        FrameSlot::SequenceIterator { index, .. } => format!("sequence({index})"),
    }
}

impl Literal {
    fn as_type(&self, ty: Type, model: &mut Model) -> Result<Datum<Object>, String> {
        match (self, ty) {
            (Literal::Int(value), Type::I64) => Ok(Datum::Int(*value)),
            (Literal::Float(value), Type::F64) => Ok(Datum::Float(*value)),
            (Literal::Bool(value), Type::Bool) => Ok(Datum::Bool(*value)),
            (literal, ty) if ty.is_object() => Ok(literal.datum(model)),
            (literal, ty) => Err(format!("{literal:?} is no {ty}")),
        }
    }

    /// The object, with a reference.
    fn datum(&self, model: &mut Model) -> Datum<Object> {
        let mut items = |literals: &[Literal]| literals.iter().map(|literal| literal.object(model)).collect::<Vec<_>>();
        let value = match self {
            Literal::Null => return Datum::Null,
            Literal::None => return Datum::Object(model.none()),
            Literal::Bool(value) => return Datum::Object(model.bool_object(*value)),
            Literal::Int(value) => ModelValue::Int(*value),
            Literal::Float(value) => ModelValue::Float(*value),
            Literal::Str(text) => ModelValue::Str(text.clone()),
            Literal::List(literals) => ModelValue::List(items(literals)),
            Literal::Tuple(literals) => ModelValue::Tuple(items(literals)),
            Literal::Cell(contents) => ModelValue::Cell(contents.as_ref().map(|literal| literal.object(model))),
            Literal::Instance(class, fields) => {
                let fields = fields.iter().map(|(offset, literal)| (*offset, literal.object(model)));
                let fields: BTreeMap<_, _> = fields.collect();
                ModelValue::Instance { class: *class, fields, has_dict: false }
            }
        };
        Datum::Object(model.new_object(value))
    }

    fn object(&self, model: &mut Model) -> Object {
        match self.datum(model) {
            Datum::Object(object) => object,
            other => panic!("{other:?} is no object"),
        }
    }
}

/// What is left of a line.
struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    fn accept(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.accept(text) { Ok(()) } else { Err(format!("expected `{text}` at `{}`", self.rest)) }
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let is_word = |character: char| character.is_alphanumeric() || "_.+-".contains(character);
        let end = self.rest.find(|character| !is_word(character)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut buffer = [0; 4];
        self.expect(open.encode_utf8(&mut buffer))?;
        let close = close.to_string();
        let mut items = Vec::new();
        while !self.accept(&close) {
            items.push(item(self)?);
            // A comma may stand behind the last one, as in a tuple of one.
            if !self.accept(",") {
                self.expect(&close)?;
                break;
            }
        }
        Ok(items)
    }

    fn literal(&mut self) -> Result<Literal, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('[') {
            return Ok(Literal::List(self.list('[', ']', Self::literal)?));
        }
        if self.rest.starts_with('(') {
            return Ok(Literal::Tuple(self.list('(', ')', Self::literal)?));
        }
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (text, rest) = rest.split_once('"').ok_or("a string does not end")?;
            self.rest = rest;
            return Ok(Literal::Str(text.to_string()));
        }
        let word = self.word();
        Ok(match word {
            "null" => Literal::Null,
            "None" => Literal::None,
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            "cell" => Literal::Cell(self.list('(', ')', Self::literal)?.pop().map(Box::new)),
            _ => {
                if let Ok(value) = word.parse() {
                    Literal::Int(value)
                } else if let Ok(value) = word.parse() {
                    Literal::Float(value)
                } else if let Some(class) = ObjectId::from_text(word) {
                    Literal::Instance(class, self.list('{', '}', Self::field)?)
                } else {
                    return Err(format!("`{word}` is no value"));
                }
            }
        })
    }

    fn field(&mut self) -> Result<(u32, Literal), String> {
        let word = self.word();
        let offset = word.parse().map_err(|_| format!("`{word}` is no offset"))?;
        self.expect(":")?;
        Ok((offset, self.literal()?))
    }

    /// The expected end, as `run_in` says it.
    fn expected(&mut self, model: &mut Model) -> Result<String, String> {
        if self.accept("==") {
            let datum = self.literal()?.datum(model);
            let object = model.boxed(datum).ok_or("NULL is no result")?;
            let text = format!("== {}", model.repr(object));
            model.decref(object);
            return match self.rest.trim() {
                "" => Ok(text),
                rest => Err(format!("what is `{rest}`?")),
            };
        }
        let rest = self.rest.trim();
        match rest.starts_with("exits")
            || rest.starts_with("raises ")
            || rest.starts_with("suspends ")
            || rest == "is not entered"
        {
            true => Ok(rest.to_string()),
            false => Err(format!("what is `{rest}`?")),
        }
    }
}
