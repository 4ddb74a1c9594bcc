//! Attributes of the classes of a snapshot: what the codes name, special methods, and what `super()` finds.

use super::{Taker, special_names};
use crate::raw::{TypeRef, is_exactly, type_of};
use crate::{ffi, layout};
use coluber_bytecode::{Binding, ClassAttribute, Code, Kind, ObjectId, ObjectValue, Op, SuperAttribute};
use pyo3_ffi::PyObject;
use std::collections::HashSet;
use std::ffi::CString;

impl Taker<'_, '_> {
    /// Looks up on every class of the snapshot what the codes name, operators included.
    pub(super) unsafe fn gather_attributes(&mut self) {
        self.add_displayed_classes();
        let mut names: Vec<(String, *mut PyObject)> = Vec::new();
        let mut special: HashSet<&'static str> = HashSet::new();
        for code in &self.codes {
            for instruction in &code.instructions {
                match &instruction.op {
                    Op::LoadAttr { name, .. } | Op::LoadSuperAttr { name, .. } | Op::StoreAttr { name } => {
                        if let ObjectValue::Str(Some(text)) = &self.pool.table().get(*name).value
                            && !names.iter().any(|(known, _)| known == text)
                        {
                            names.push((text.clone(), self.pool.pointer(*name)));
                        }
                    }
                    other => special.extend(special_names(other)),
                }
            }
        }
        let classes = self.classes.clone();
        for (_, id) in classes {
            let class = TypeRef(self.pool.pointer(id).cast());
            let ObjectValue::Class(facts) = &self.pool.table().get(id).value else {
                continue;
            };
            let (is_heap, known) = (facts.is_heap, facts.attributes.clone());
            let mut found = Vec::new();
            for (text, name) in &names {
                // SAFETY: class and name are valid; the lookup runs no Python code.
                let value = unsafe { ffi::_PyType_Lookup(class.0.cast(), *name) };
                if !value.is_null() && !known.iter().any(|known| known.name == *text) {
                    found.push((text.clone(), value));
                }
            }
            for name in special.iter().filter(|_| is_heap) {
                let text = CString::new(*name).expect("special names hold no NUL");
                // SAFETY: as above.
                let value = unsafe { crate::pool::lookup(class, &text) };
                if let Some(value) = value.filter(|_| !known.iter().any(|known| known.name == *name)) {
                    found.push(((*name).to_owned(), value));
                }
            }
            let mut attributes = known;
            for (name, value) in found {
                // SAFETY: what a lookup found is valid.
                attributes.push(unsafe { self.class_attribute(name, value) });
            }
            if let ObjectValue::Class(facts) = &mut self.pool.table_mut().get_mut(id).value {
                facts.attributes = attributes;
            }
        }
    }

    /// The types of lists, sets and dicts that codes make, where their methods may be kept (`append = items.append`).
    fn add_displayed_classes(&mut self) {
        let keeps_methods = |code: &&Code| {
            code.instructions.iter().any(|instruction| matches!(instruction.op, Op::LoadAttr { method: false, .. }))
        };
        let mut kinds = Vec::new();
        for instruction in self.codes.iter().filter(keeps_methods).flat_map(|code| &code.instructions) {
            let kind = match instruction.op {
                Op::BuildList { .. } => Kind::List,
                Op::BuildSet { .. } => Kind::Set,
                Op::BuildMap { .. } => Kind::Dict,
                _ => continue,
            };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        for kind in kinds {
            let class = self.pool.intern(self.py, crate::pool::type_of_kind(kind).object());
            self.add_class(class);
        }
    }

    /// An attribute found on a class, with how it binds; what it calls is queued.
    unsafe fn class_attribute(&mut self, name: String, value: *mut PyObject) -> ClassAttribute {
        // SAFETY: the caller passes a valid object; fields are read behind a test of the exact type.
        unsafe {
            let (target, wrap): (_, fn(ObjectId) -> Binding) = match () {
                () if is_exactly(value, &raw mut pyo3_ffi::PyClassMethod_Type) => {
                    (wrapped(value), Binding::ClassMethod)
                }
                () if is_exactly(value, &raw mut pyo3_ffi::PyStaticMethod_Type) => {
                    (wrapped(value), Binding::StaticMethod)
                }
                () if is_exactly(value, &raw mut ffi::PyProperty_Type) => (getter(value), Binding::Property),
                () => (std::ptr::null_mut(), |_| Binding::Other),
            };
            let id = self.pool.intern(self.py, value);
            let is_own_class = name == "__class__" && crate::pool::lookup(object_type(), c"__class__") == Some(value);
            let binding = if is_own_class {
                Binding::OwnClass
            } else if !target.is_null() {
                let target = self.pool.intern(self.py, target);
                self.queue_callable(target, 1);
                wrap(target)
            } else if type_of(value).flags() & layout::type_flags::METHOD_DESCRIPTOR != 0 {
                Binding::Method
            } else if type_of(value).descriptor_get().is_null() && type_of(value).descriptor_set().is_null() {
                // Another class for the object, or `__get__` for its class, would change that.
                let class = self.pool.intern(self.py, type_of(value).object());
                self.add_class(class);
                Binding::Plain
            } else {
                Binding::Other
            };
            self.queue_callable(id, 1);
            ClassAttribute { name, value: id, binding }
        }
    }

    /// What `super` finds behind the classes that cells hold, or behind all if one is named, for each class of the snapshot.
    pub(super) unsafe fn gather_super_attributes(&mut self) {
        let mut starts = Vec::new();
        for (_, facts) in self.pool.table().iter() {
            if let ObjectValue::Cell(Some(class)) = facts.value
                && !starts.contains(&class)
            {
                starts.push(class);
            }
        }
        let mut names: Vec<ObjectId> = Vec::new();
        let mut is_named = false;
        for instruction in self.codes.iter().flat_map(|code| &code.instructions) {
            if let Op::LoadSuperAttr { name, two_arguments, .. } = instruction.op {
                is_named |= two_arguments;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if names.is_empty() {
            return;
        }
        if is_named {
            for &(_, class) in &self.classes {
                if !starts.contains(&class) {
                    starts.push(class);
                }
            }
        }
        for (_, id) in self.classes.clone() {
            let class = TypeRef(self.pool.pointer(id).cast());
            for &start in &starts {
                for &name in &names {
                    let ObjectValue::Str(Some(text)) = self.pool.table().get(name).value.clone() else { continue };
                    let (start_type, key) = (self.pool.pointer(start), self.pool.pointer(name));
                    // SAFETY: classes and the name are valid; what is found is in the dict of a class.
                    unsafe {
                        let Some(value) = lookup_behind(class, start_type, key) else { continue };
                        let attribute = self.class_attribute(text, value);
                        self.super_attributes.push(SuperAttribute { class: id, start, attribute });
                    }
                }
            }
        }
    }
}

/// `object`.
fn object_type() -> TypeRef {
    TypeRef((&raw mut pyo3_ffi::PyBaseObject_Type).cast())
}

/// The function of a `classmethod` or `staticmethod`, borrowed; NULL if it has none.
unsafe fn wrapped(descriptor: *mut PyObject) -> *mut PyObject {
    // SAFETY: `__func__` is a plain member of the two exact types the caller tested for: reading it runs no Python code. The
    // descriptor keeps its function alive.
    unsafe {
        let function = crate::text::attribute(descriptor, c"__func__");
        if function.is_null() {
            pyo3_ffi::PyErr_Clear();
        } else {
            pyo3_ffi::Py_DECREF(function);
        }
        function
    }
}

/// The getter of a property, borrowed; NULL if it has none.
pub(crate) unsafe fn getter(property: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller tested the exact type.
    unsafe { property.cast::<u8>().add(layout::property::PROP_GET).cast::<*mut PyObject>().read() }
}

/// What the classes behind `start` in the method resolution order of `class` have under a name. Borrowed.
unsafe fn lookup_behind(class: TypeRef, start: *mut PyObject, name: *mut PyObject) -> Option<*mut PyObject> {
    // SAFETY: `tp_mro` of a ready class is a tuple of classes; their dicts are exact dicts whose keys are str.
    unsafe {
        let order = class.mro();
        if order.is_null() {
            return None;
        }
        let count = pyo3_ffi::PyTuple_GET_SIZE(order);
        let classes = (0..count).map(|index| pyo3_ffi::PyTuple_GET_ITEM(order, index));
        let hash = pyo3_ffi::PyObject_Hash(name);
        for base in classes.skip_while(|base| *base != start).skip(1) {
            let dict = pyo3_ffi::PyType_GetDict(base.cast());
            if dict.is_null() {
                return None;
            }
            let value = ffi::_PyDict_GetItem_KnownHash(dict, name, hash);
            pyo3_ffi::Py_DECREF(dict);
            if !value.is_null() {
                return Some(value);
            }
        }
        None
    }
}
