//! Writes the methods of the enum of operations.

use crate::declaration::{Declaration, EffectsDeclaration, ResultRefs, ResultType, Role, Steals};
use proc_macro2::{Ident, TokenStream};
use quote::quote;

/// The `impl` block with all methods.
pub fn methods(name: &Ident, declarations: &[Declaration]) -> TokenStream {
    let arms = |arm: fn(&Declaration) -> TokenStream| -> TokenStream {
        declarations.iter().map(arm).collect()
    };
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
                let is_vector = declaration
                    .with_role(Role::Operands)
                    .any(|operands| operands == field);
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
        EffectsDeclaration::Declared {
            reads,
            writes,
            exits,
            raises,
            runs_python,
        } => {
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
