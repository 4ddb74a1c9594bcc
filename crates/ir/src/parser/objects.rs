//! The object table of a function.

use super::{Parser, Result};
use crate::{Kind, ObjectId};
use coluber_bytecode::{
    Binding, BuiltinFacts, ClassAttribute, ClassFacts, CodeFacts, FunctionFacts, NativeConvention, ObjectFacts,
    ObjectValue, SliceBounds,
};

impl Parser<'_> {
    /// `object c0 = Int 5 "label" immortal`, behind the word `object`.
    pub(super) fn object(&mut self) -> Result<()> {
        let id: ObjectId = self.immediate_word("an object")?;
        if id.0 as usize != self.function.objects.len() {
            return self.error(format!("expected object c{}: they come in order", self.function.objects.len()));
        }
        self.expect('=')?;
        let value = self.object_value()?;
        let label = self.text("a label")?;
        let immortal = self.accept_word("immortal");
        self.end_of_line()?;
        self.function.objects.push(ObjectFacts { label, value, immortal });
        Ok(())
    }

    fn object_value(&mut self) -> Result<ObjectValue> {
        Ok(match self.word("the value of an object")? {
            "None" => ObjectValue::None,
            "Bool" => ObjectValue::Bool(self.immediate_word("a truth value")?),
            "Int" => ObjectValue::Int(self.immediate_word("an integer")?),
            "BigInt" => ObjectValue::BigInt,
            "Float" => {
                let bits: crate::fields::FloatBits = self.immediate_word("a float")?;
                ObjectValue::Float(f64::from_bits(bits.0))
            }
            "Str" => ObjectValue::Str(Some(self.text("the text of a str")?)),
            "LongStr" => ObjectValue::Str(None),
            "Tuple" => ObjectValue::Tuple(self.object_list()?),
            "Slice" => ObjectValue::Slice(SliceBounds {
                start: self.immediate_word("an integer")?,
                stop: self.immediate_word("an integer")?,
                step: self.immediate_word("an integer")?,
            }),
            "Function" => ObjectValue::Function(Box::new(self.function_facts()?)),
            "Class" => ObjectValue::Class(Box::new(self.class_facts()?)),
            "Builtin" => ObjectValue::Builtin(Box::new(self.builtin_facts()?)),
            "Module" => ObjectValue::Module(self.text("a name")?),
            "Cell" if self.accept_word("holds") => ObjectValue::Cell(Some(self.immediate_word("an object")?)),
            "Cell" => ObjectValue::Cell(None),
            "Code" => ObjectValue::Code(Box::new(self.code_facts()?)),
            "Other" => ObjectValue::Other(self.immediate_word("a kind")?),
            "Instance" => ObjectValue::Instance,
            other => return self.error(format!("unknown value of an object: {other}")),
        })
    }

    fn object_list(&mut self) -> Result<Vec<ObjectId>> {
        self.list('[', ']', |parser| parser.immediate_word("an object"))
    }

    fn builtin_facts(&mut self) -> Result<BuiltinFacts> {
        let name = self.text("a name")?;
        let convention = NativeConvention::ALL.into_iter().find(|(_, word)| self.accept_word(word));
        let owner = if self.accept_word("of") { Some(self.immediate_word("an object")?) } else { None };
        Ok(BuiltinFacts { name, convention: convention.map(|(convention, _)| convention), owner })
    }

    fn function_facts(&mut self) -> Result<FunctionFacts> {
        let name = self.text("a name")?;
        let version = self.labelled("version")?;
        let code = if self.accept_word("code") { Some(self.index("a code index")?) } else { None };
        let code_object = self.labelled("code_object")?;
        let globals = self.labelled("globals")?;
        let builtins = self.labelled("builtins")?;
        self.expect_word("defaults")?;
        let defaults = self.object_list()?;
        self.expect_word("closure")?;
        let closure = self.object_list()?;
        let has_kwdefaults = self.accept_word("kwdefaults");
        let is_watched = self.accept_word("watched");
        Ok(FunctionFacts {
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
        })
    }

    fn code_facts(&mut self) -> Result<CodeFacts> {
        let parameters = self.list('[', ']', |parser| parser.text("a name"))?;
        Ok(CodeFacts {
            parameters,
            // In the order in which they are written.
            positional_only_count: self.labelled("positional_only")?,
            keyword_only_count: self.labelled("keyword_only")?,
            frame_words: self.labelled("words")?,
            is_plain: self.accept_word("plain"),
        })
    }

    fn class_facts(&mut self) -> Result<ClassFacts> {
        let name = self.text("a name")?;
        let version = self.labelled("version")?;
        let bases = match self.accept_word("bases") {
            true => self.list('[', ']', |parser| parser.immediate_word("a version"))?,
            false => Vec::new(),
        };
        let kind: Option<Kind> = if self.accept_word("kind") { Some(self.immediate_word("a kind")?) } else { None };
        let inline_values_offset = self.labelled("inline_values_offset")?;
        let keys_version = self.labelled("keys_version")?;
        self.expect_word("keys")?;
        let keys = self.list('[', ']', |parser| parser.text("a name"))?;
        let init = if self.accept_word("init") { Some(self.immediate_word("an object")?) } else { None };
        let dict_offset = match self.accept_word("dict_offset") {
            true => Some(self.immediate_word("an offset")?),
            false => None,
        };
        self.expect_word("attributes")?;
        let attributes = self.list('[', ']', |parser| {
            let name = parser.text("a name")?;
            parser.expect(':')?;
            let value = parser.immediate_word("an object")?;
            Ok(ClassAttribute { name, value, binding: parser.binding()? })
        })?;
        let is_heap = self.accept_word("heap");
        let is_immutable = if is_heap { self.accept_word("immutable") } else { !self.accept_word("mutable") };
        let inline_values = self.accept_word("inline_values");
        Ok(ClassFacts {
            name,
            version,
            bases,
            kind,
            inline_values_offset,
            keys_version,
            keys,
            init,
            dict_offset: dict_offset.unwrap_or(crate::printer::usual_dict_offset(inline_values)),
            attributes,
            // In the order in which they are written.
            is_heap,
            is_immutable,
            inline_values,
            has_finalizer: self.accept_word("finalizer"),
            always_true: self.accept_word("always_true"),
            plain_reads: self.accept_word("plain_reads"),
            plain_writes: self.accept_word("plain_writes"),
            plain_class: self.accept_word("plain_class"),
            plain_metaclass: self.accept_word("plain_metaclass"),
        })
    }

    fn binding(&mut self) -> Result<Binding> {
        Ok(if self.accept_word("method") {
            Binding::Method
        } else if self.accept_word("class_method") {
            Binding::ClassMethod(self.immediate_word("an object")?)
        } else if self.accept_word("static_method") {
            Binding::StaticMethod(self.immediate_word("an object")?)
        } else if self.accept_word("property") {
            Binding::Property(self.immediate_word("an object")?)
        } else if self.accept_word("own_class") {
            Binding::OwnClass
        } else if self.accept_word("other") {
            Binding::Other
        } else {
            Binding::Plain
        })
    }
}
