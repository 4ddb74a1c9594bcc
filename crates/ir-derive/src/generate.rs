//! Writes the methods of the enum of operations.

use crate::declaration::{Declaration, EffectsDeclaration, ResultRefs, ResultType, Role, Rule, Steals, Takes};
use proc_macro2::{Ident, TokenStream};
use quote::quote;

/// The `impl` block with all methods.
pub fn methods(name: &Ident, declarations: &[Declaration]) -> TokenStream {
    let arms = |arm: fn(&Declaration) -> TokenStream| -> TokenStream { declarations.iter().map(arm).collect() };
    let names = arms(name_arm);
    let operands = arms(|declaration| operands_arm(declaration, false));
    let operands_mut = arms(|declaration| operands_arm(declaration, true));
    let states = arms(|declaration| state_arm(declaration, false));
    let states_mut = arms(|declaration| state_arm(declaration, true));
    let targets = arms(targets_arm);
    let result_types = arms(result_type_arm);
    let refs = arms(refs_arm);
    let stolen = arms(stolen_arm);
    let effects = arms(effects_arm);
    let terminators = arms(terminator_arm);
    let takes = arms(takes_arm);
    let phases = arms(phase_arm);
    let entries = arms(entry_arm);
    let writes = arms(write_arm);
    let reads = arms(read_arm);
    let infos = arms(info);
    quote! {
        #[automatically_derived]
        impl #name {
            /// The variant's name: the op in text, in dumps and counters.
            pub fn name(&self) -> &'static str {
                match self { #names }
            }

            /// Calls `f` with each operand, block arguments included, in the order of declaration.
            pub fn for_each_operand(&self, mut f: impl FnMut(crate::Value)) {
                match self { #operands }
            }

            /// The same, to be replaced.
            pub fn for_each_operand_mut(&mut self, mut f: impl FnMut(&mut crate::Value)) {
                match self { #operands_mut }
            }

            /// The state in which the op leaves compiled code, if it can.
            pub fn state(&self) -> Option<crate::FrameStateId> {
                match self { #states }
            }

            /// Replaces the state; does nothing for an op without one.
            pub fn set_state(&mut self, new_state: crate::FrameStateId) {
                match self { #states_mut }
            }

            /// Calls `f` with each jump target.
            pub fn for_each_target(&self, mut f: impl FnMut(&crate::BlockCall)) {
                match self { #targets }
            }

            /// The same, to be changed.
            pub fn for_each_target_mut(&mut self, mut f: impl FnMut(&mut crate::BlockCall)) {
                match self { #targets }
            }

            /// Type of the result, `None` if there is none.
            pub fn result_type(&self, function: &crate::Function) -> Option<crate::Type> {
                match self { #result_types }
            }

            /// Reference contract of the result; says nothing if the result is no object.
            pub fn refs(&self) -> crate::ops::Refs {
                match self { #refs }
            }

            /// Calls `f` with each operand whose reference the op consumes. Block arguments are not among them.
            pub fn for_each_stolen(&self, mut f: impl FnMut(crate::Value)) {
                match self { #stolen }
            }

            /// What the op does besides computing its result.
            pub fn effects(&self, function: &crate::Function) -> crate::ops::Effects {
                match self { #effects }
            }

            /// Whether the op ends a block.
            pub fn is_terminator(&self) -> bool {
                match self { #terminators }
            }

            /// Calls `f` with the name of the field, the value and what it must be, for each operand but block
            /// arguments.
            pub fn for_each_taken(&self, mut f: impl FnMut(&'static str, crate::Value, crate::ops::Takes)) {
                match self { #takes }
            }

            /// The only phase in which the op may occur, if it is not any.
            pub fn only_phase(&self) -> Option<crate::function::Phase> {
                match self { #phases }
            }

            /// Whether the op may only occur in the entry block.
            pub fn is_entry_only(&self) -> bool {
                match self { #entries }
            }

            /// Hands each field to `writer`, in the order of declaration.
            pub fn write_fields(&self, writer: &mut impl crate::fields::FieldWriter) {
                match self { #writes }
            }

            /// Makes the op of that name from fields taken from `reader` in the order of declaration; `None` if there is
            /// no such op.
            pub fn read_fields<R: crate::fields::FieldReader>(name: &str, reader: &mut R) -> Option<Result<Self, R::Error>> {
                // A block of its own for `?`, which ends the reading and not the search for the name.
                let mut read = || -> Result<Option<Self>, R::Error> {
                    Ok(Some(match name {
                        #reads
                        _ => return Ok(None),
                    }))
                };
                read().transpose()
            }

            /// All ops as they were declared, for documentation and generated tests.
            pub const TABLE: &'static [crate::fields::OpInfo] = &[#infos];
        }
    }
}

fn name_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let text = name.to_string();
    quote! { Self::#name { .. } => #text, }
}

fn operands_arm(declaration: &Declaration, mutable: bool) -> TokenStream {
    let name = &declaration.name;
    let mut fields = Vec::new();
    let mut calls = TokenStream::new();
    for field in &declaration.fields {
        let field_name = &field.name;
        calls.extend(match (field.role, mutable) {
            (Role::Operand, true) => quote! { f(#field_name); },
            (Role::Operand, false) => quote! { f(*#field_name); },
            (Role::Operands, true) => quote! { #field_name.iter_mut().for_each(&mut f); },
            (Role::Operands, false) => quote! { #field_name.iter().copied().for_each(&mut f); },
            (Role::Target, true) => quote! { #field_name.arguments.iter_mut().for_each(&mut f); },
            (Role::Target, false) => {
                quote! { #field_name.arguments.iter().copied().for_each(&mut f); }
            }
            (Role::State | Role::Immediate, _) => continue,
        });
        fields.push(field_name);
    }
    quote! { Self::#name { #(#fields,)* .. } => { #calls } }
}

fn state_arm(declaration: &Declaration, mutable: bool) -> TokenStream {
    let name = &declaration.name;
    match (declaration.state(), mutable) {
        (None, true) => quote! { Self::#name { .. } => {} },
        (None, false) => quote! { Self::#name { .. } => None, },
        (Some(state), true) => quote! { Self::#name { #state, .. } => *#state = new_state, },
        (Some(state), false) => quote! { Self::#name { #state, .. } => Some(*#state), },
    }
}

fn targets_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let targets: Vec<_> = declaration.with_role(Role::Target).collect();
    quote! { Self::#name { #(#targets,)* .. } => { #(f(#targets);)* } }
}

fn result_type_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    match &declaration.result {
        ResultType::None => quote! { Self::#name { .. } => None, },
        ResultType::Plain(ty) => quote! { Self::#name { .. } => Some(crate::Type::#ty), },
        ResultType::Exact(kind) => {
            quote! { Self::#name { .. } => Some(crate::Type::Exact(crate::Kind::#kind)), }
        }
        ResultType::Of(field) => {
            quote! { Self::#name { #field, .. } => Some(function.ty(*#field)), }
        }
        ResultType::Custom => quote! { Self::#name { .. } => self.custom_result_type(function), },
    }
}

fn refs_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    match &declaration.refs {
        ResultRefs::None => quote! { Self::#name { .. } => crate::ops::Refs::None, },
        ResultRefs::Owned => quote! { Self::#name { .. } => crate::ops::Refs::Owned, },
        ResultRefs::Virtual => quote! { Self::#name { .. } => crate::ops::Refs::Virtual, },
        ResultRefs::Borrowed => quote! { Self::#name { .. } => crate::ops::Refs::Borrowed, },
        ResultRefs::Alias(field) => {
            quote! { Self::#name { #field, .. } => crate::ops::Refs::Alias(*#field), }
        }
    }
}

fn stolen_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    match &declaration.steals {
        Steals::Fields(fields) => {
            let calls = fields.iter().map(|field| {
                let is_vector = declaration.with_role(Role::Operands).any(|operands| operands == field);
                if is_vector {
                    quote! { #field.iter().copied().for_each(&mut f); }
                } else {
                    quote! { f(*#field); }
                }
            });
            quote! { Self::#name { #(#fields,)* .. } => { #(#calls)* } }
        }
        Steals::ByHelper => quote! {
            Self::#name { helper, arguments, .. } => {
                for (index, argument) in arguments.iter().enumerate() {
                    if helper.steals(index) {
                        f(*argument);
                    }
                }
            }
        },
    }
}

fn effects_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let terminator = declaration.is_terminator;
    match &declaration.effects {
        EffectsDeclaration::Any => quote! { Self::#name { .. } => crate::ops::Effects::ANY, },
        EffectsDeclaration::Custom => {
            quote! { Self::#name { .. } => self.custom_effects(function), }
        }
        EffectsDeclaration::Declared { reads, writes, exits, raises, runs_python } => {
            let reads = memory_set(reads);
            let writes = memory_set(writes);
            quote! {
                Self::#name { .. } => crate::ops::Effects {
                    reads: #reads,
                    writes: #writes,
                    exits: #exits,
                    raises: #raises,
                    runs_python: #runs_python,
                    terminator: #terminator,
                },
            }
        }
    }
}

fn memory_set(set: &Option<Vec<Ident>>) -> TokenStream {
    match set {
        None => quote! { crate::ops::Effects::ANY.reads },
        Some(parts) => quote! { 0 #(| crate::ops::Memory::#parts as u8)* },
    }
}

fn terminator_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let terminator = declaration.is_terminator;
    quote! { Self::#name { .. } => #terminator, }
}

fn takes_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let fields = declaration.fields.iter().filter(|field| matches!(field.role, Role::Operand | Role::Operands));
    let names: Vec<_> = fields.clone().map(|field| &field.name).collect();
    let calls = fields.map(|field| {
        let operand = &field.name;
        let text = operand.to_string();
        match (&declaration.takes, field.role) {
            (Takes::ByHelper, _) => quote! {
                for (index, value) in #operand.iter().enumerate() {
                    f(#text, *value, helper.takes(index));
                }
            },
            (Takes::Rules(rules), role) => {
                let rule = takes_rule(rules, operand);
                if role == Role::Operands {
                    quote! { #operand.iter().for_each(|value| f(#text, *value, #rule)); }
                } else {
                    quote! { f(#text, *#operand, #rule); }
                }
            }
        }
    });
    let helper = match declaration.takes {
        Takes::ByHelper => quote! { helper, },
        Takes::Rules(_) => quote! {},
    };
    quote! { Self::#name { #(#names,)* #helper .. } => { #(#calls)* } }
}

fn takes_rule(rules: &[Rule], operand: &Ident) -> TokenStream {
    match rules.iter().find(|rule| rule.field.as_ref().is_none_or(|field| field == operand)) {
        None => quote! { crate::ops::Takes::Object },
        Some(Rule { variant, kind: None, .. }) => quote! { crate::ops::Takes::#variant },
        Some(Rule { variant, kind: Some(kind), .. }) => quote! { crate::ops::Takes::#variant(crate::Kind::#kind) },
    }
}

fn phase_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    match &declaration.phase {
        None => quote! { Self::#name { .. } => None, },
        Some(phase) => quote! { Self::#name { .. } => Some(crate::function::Phase::#phase), },
    }
}

fn entry_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let is_entry = declaration.is_entry;
    quote! { Self::#name { .. } => #is_entry, }
}

fn write_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let names = declaration.fields.iter().map(|field| &field.name);
    let calls = declaration.fields.iter().map(|field| {
        let name = &field.name;
        let text = name.to_string();
        match (field.role, &field.text) {
            (Role::Operand, _) => quote! { writer.operand(#text, *#name); },
            (Role::Operands, _) => quote! { writer.operands(#text, #name); },
            (Role::State, _) => quote! { writer.state(#text, *#name); },
            (Role::Target, _) => quote! { writer.target(#text, #name); },
            (Role::Immediate, None) => quote! { writer.immediate(#text, #name); },
            (Role::Immediate, Some(wrapper)) => quote! { writer.immediate(#text, &crate::fields::#wrapper(*#name)); },
        }
    });
    quote! { Self::#name { #(#names),* } => { #(#calls)* } }
}

fn read_arm(declaration: &Declaration) -> TokenStream {
    let name = &declaration.name;
    let text = name.to_string();
    let fields = declaration.fields.iter().map(|field| {
        let name = &field.name;
        let text = name.to_string();
        match (field.role, &field.text) {
            (Role::Operand, _) => quote! { #name: reader.operand(#text)? },
            (Role::Operands, _) => quote! { #name: reader.operands(#text)? },
            (Role::State, _) => quote! { #name: reader.state(#text)? },
            (Role::Target, _) => quote! { #name: reader.target(#text)? },
            (Role::Immediate, None) => quote! { #name: reader.immediate(#text)? },
            (Role::Immediate, Some(wrapper)) => {
                quote! { #name: reader.immediate::<crate::fields::#wrapper>(#text)?.0 }
            }
        }
    });
    quote! { #text => Self::#name { #(#fields),* }, }
}

fn info(declaration: &Declaration) -> TokenStream {
    let Declaration { doc, attribute, .. } = declaration;
    let name = declaration.name.to_string();
    let fields = declaration.fields.iter().map(|field| {
        let name = field.name.to_string();
        let ty = &field.ty;
        quote! { (#name, #ty) }
    });
    quote! {
        crate::fields::OpInfo { name: #name, doc: #doc, attribute: #attribute, fields: &[#(#fields),*] },
    }
}

/// `Immediate` for an enum without fields: each value is written as its name.
pub fn immediate(name: &Ident, variants: &[&Ident]) -> TokenStream {
    let texts: Vec<_> = variants.iter().map(|variant| variant.to_string()).collect();
    quote! {
        #[automatically_derived]
        impl crate::fields::Immediate for #name {
            fn to_text(&self) -> String {
                match self { #(Self::#variants => #texts),* }.to_string()
            }

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    #(#texts => Some(Self::#variants),)*
                    _ => None,
                }
            }

            fn samples() -> Vec<Self> {
                vec![#(Self::#variants),*]
            }
        }
    }
}
