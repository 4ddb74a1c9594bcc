//! Methods of builtin objects that are kept: `append = items.append`, called as `append(x)`.
//!
//! What an attribute of an object of an exact builtin type is nobody can change. So such a callable is known to be the
//! method, bound to the object, and a call of it is one of the method with the object in front of the arguments.

use crate::Bailout;
use crate::state::Slot;
use crate::translator::Translator;
use coluber_bytecode::{BOUND_METHOD_SELF, Binding, Kind, ObjectId, ObjectValue};
use coluber_ir::{Op, Type, Value};

/// A method of a builtin type, bound to an object of it.
#[derive(Clone, Copy)]
pub(crate) struct BoundBuiltin {
    kind: Kind,
    method: ObjectId,
}

/// Whether the attributes of such an object are those of its type.
fn has_no_dict(kind: Kind) -> bool {
    use Kind::*;
    matches!(kind, Int | Float | Str | Bytes | ByteArray | Tuple | List | Dict | Set | FrozenSet)
}

impl Translator<'_> {
    /// Notes what the attribute `name` of `object` is, whose value was loaded.
    pub(crate) fn note_bound(&mut self, object: Value, name: ObjectId, loaded: Value) {
        let Some(kind) = self.kind(object).filter(|kind| has_no_dict(*kind)) else { return };
        let ObjectValue::Str(Some(text)) = &self.snapshot.objects.get(name).value else { return };
        let attribute = self.snapshot.objects.iter().find_map(|(_, facts)| match &facts.value {
            ObjectValue::Class(class) if class.kind == Some(kind) => class.attribute(text),
            _ => None,
        });
        let Some(attribute) = attribute.filter(|attribute| attribute.binding == Binding::Method) else { return };
        let method = attribute.value;
        if matches!(self.snapshot.objects.get(method).value, ObjectValue::Builtin(_)) {
            self.function.values[loaded].ty = Type::Exact(Kind::BuiltinFunction);
            self.bound.insert(loaded, BoundBuiltin { kind, method });
        }
    }

    /// Takes a callable that is such a method apart: what it calls, if it is one. Stack: callable, self or NULL, arguments;
    /// they become the method and its object.
    pub(crate) fn unbind_builtin(&mut self, count: u32) -> Result<Option<ObjectId>, Bailout> {
        let callable = self.peek(count + 2)?;
        let Some(&BoundBuiltin { kind, method }) = self.bound.get(&self.function.root(callable)) else {
            return Ok(None);
        };
        if self.peek_slot(count + 1)? != Slot::Null {
            return Ok(None);
        }
        let known = self.constant(method);
        let object = self.emit_value(Op::LoadPart { object: callable, offset: BOUND_METHOD_SELF });
        let object = self.emit_value(Op::AssumeKind { value: object, kind });
        let stack = &mut self.state.top_mut().stack;
        let depth = stack.len() - count as usize;
        (stack[depth - 2], stack[depth - 1]) = (Slot::Value(known), Slot::Value(object));
        // The interpreter could do the call from here too.
        self.begin_again(|this| this.release(callable));
        Ok(Some(method))
    }
}
