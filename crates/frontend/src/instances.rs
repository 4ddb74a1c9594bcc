//! `isinstance`: an object of exactly that class needs no call. Whatever else the class says about its instances
//! (`__instancecheck__`, subclasses, `__class__`) is asked only about other objects, as `PyObject_IsInstance` does.

use crate::Bailout;
use crate::translator::Translator;
use coluber_bytecode::{Kind, ObjectId};
use coluber_ir::{Op, Type, Value};

impl Translator<'_> {
    /// Compiles `isinstance(object, class)`; false if the class is not known. Stack: callable, NULL, object, class.
    pub(crate) fn is_instance(&mut self) -> Result<bool, Bailout> {
        let (object, class) = (self.peek(2)?, self.peek(1)?);
        let Type::Constant(class, _) = self.ty(class) else { return Ok(false) };
        let Some(kind) = self.class_facts(class).map(|facts| facts.kind) else { return Ok(false) };
        self.rely_on_invariants();
        if let Some(answer) = self.known_instance(object, class, kind) {
            let result = self.emit_value(Op::BoolConstant { value: answer });
            self.finish_call(2, result)?;
            return Ok(true);
        }
        let value = self.object(object);
        let condition = match kind {
            Some(kind) => self.emit_value(Op::IsKind { value, kind }),
            None => self.emit_value(Op::IsClass { value, class }),
        };
        let (exact, other) = self.branch_on(condition);
        let state = self.state.clone();
        let (before, after) = self.resumes();
        let mut edges = Vec::new();
        self.block = Some(exact);
        self.begin(before, after);
        if kind.is_none() {
            self.know_class(value, class);
        }
        let result = self.emit_value(Op::BoolConstant { value: true });
        self.finish_call(2, result)?;
        edges.push(self.end_path());

        self.block = Some(other);
        self.state = state;
        self.begin(before, after);
        let operands = [self.peek(4)?, self.peek(2)?, self.peek(1)?].map(|operand| self.object(operand));
        let self_or_null = self.emit_value(Op::NullConstant {});
        let state = self.before();
        let result =
            self.emit_value(Op::Call { callable: operands[0], self_or_null, arguments: operands[1..].to_vec(), state });
        self.function.values[result].ty = Type::Exact(Kind::Bool);
        let result = self.emit_value(Op::UnboxBool { value: result });
        self.finish_call(2, result)?;
        edges.push(self.end_path());
        self.merge(edges, after)?;
        Ok(true)
    }

    /// The answer, if what is known of the object says it.
    fn known_instance(&self, object: Value, class: ObjectId, kind: Option<Kind>) -> Option<bool> {
        match (self.kind(object), kind) {
            (Some(known), Some(kind)) if known == kind => Some(true),
            // A bool is an int too.
            (Some(Kind::Bool), Some(Kind::Int)) => Some(true),
            _ => (self.known_class(object) == Some(class)).then_some(true),
        }
    }
}
