//! Reads the variants of the enum of operations.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, Ident, Result, Token, Type, Variant, parenthesized,
};

/// What a field of a variant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `Value`: one operand.
    Operand,
    /// `Vec<Value>`: any number of operands.
    Operands,
    /// `FrameStateId`: where the interpreter goes on.
    State,
    /// `BlockCall`: a jump target with arguments.
    Target,
    /// Anything else.
    Immediate,
}

/// A field of a variant.
pub struct FieldDeclaration {
    /// Its name.
    pub name: Ident,
    /// Its role.
    pub role: Role,
}

/// How the result type is found.
pub enum ResultType {
    /// No result.
    None,
    /// A `Type` without payload.
    Plain(Ident),
    /// `Type::Exact` of a kind.
    Exact(Ident),
    /// The type of an operand.
    Of(Ident),
    /// By `custom_result_type`.
    Custom,
}

/// Reference contract of the result.
pub enum ResultRefs {
    None,
    Owned,
    Borrowed,
    Alias(Ident),
}

/// Which operands the op consumes.
pub enum Steals {
    /// These fields.
    Fields(Vec<Ident>),
    /// As the helper in the field `helper` says of the elements of `arguments`.
    ByHelper,
}

/// Effects of the op.
pub enum EffectsDeclaration {
    /// Nothing declared: everything.
    Any,
    /// By `custom_effects`.
    Custom,
    /// As declared; `None` for a memory set means all of memory.
    Declared {
        reads: Option<Vec<Ident>>,
        writes: Option<Vec<Ident>>,
        exits: bool,
        raises: bool,
        runs_python: bool,
    },
}

/// One operation.
pub struct Declaration {
    pub name: Ident,
    pub fields: Vec<FieldDeclaration>,
    pub result: ResultType,
    pub refs: ResultRefs,
    pub steals: Steals,
    pub effects: EffectsDeclaration,
    pub is_terminator: bool,
}

impl Declaration {
    /// Fields with a role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Ident> {
        self.fields
            .iter()
            .filter(move |field| field.role == role)
            .map(|field| &field.name)
    }

    /// The field that holds the state.
    pub fn state(&self) -> Option<&Ident> {
        self.with_role(Role::State).next()
    }
}

/// One entry of `#[op(...)]`: `name`, `name = value`, `name = value(argument)` or `name(argument, ...)`.
struct Entry {
    name: Ident,
    value: Option<Ident>,
    arguments: Vec<Ident>,
}

impl Parse for Entry {
    fn parse(input: ParseStream) -> Result<Self> {
        let name = input.parse()?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Some(input.parse()?)
        } else {
            None
        };
        let mut arguments = Vec::new();
        if input.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in input);
            arguments.extend(Punctuated::<Ident, Token![,]>::parse_terminated(&content)?);
        }
        Ok(Entry {
            name,
            value,
            arguments,
        })
    }
}

impl Entry {
    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        Err(Error::new(self.name.span(), message))
    }

    /// The only argument of `value(argument)`.
    fn argument(&self) -> Result<Ident> {
        match self.arguments.as_slice() {
            [argument] => Ok(argument.clone()),
            _ => self.error("expected one argument"),
        }
    }
}

/// All operations of the enum.
pub fn read(input: &DeriveInput) -> Result<Vec<Declaration>> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            Span::call_site(),
            "`OpTable` is for the enum of operations",
        ));
    };
    data.variants.iter().map(read_variant).collect()
}

fn read_variant(variant: &Variant) -> Result<Declaration> {
    let Fields::Named(fields) = &variant.fields else {
        return Err(Error::new(
            variant.span(),
            "an operation has named fields: `Name { ... }`",
        ));
    };
    let fields = fields
        .named
        .iter()
        .map(read_field)
        .collect::<Result<Vec<_>>>()?;

    let mut entries = Vec::new();
    for attribute in variant
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("op"))
    {
        entries
            .extend(attribute.parse_args_with(Punctuated::<Entry, Token![,]>::parse_terminated)?);
    }

    let mut declaration = Declaration {
        name: variant.ident.clone(),
        fields,
        result: ResultType::None,
        refs: ResultRefs::None,
        steals: Steals::Fields(Vec::new()),
        effects: EffectsDeclaration::Any,
        is_terminator: false,
    };
    let mut has_refs = false;
    let mut is_pure = false;
    let mut is_custom = false;
    let (mut reads, mut writes) = (None, None);
    let (mut exits, mut raises, mut runs_python) = (false, false, false);
    for entry in &entries {
        match (entry.name.to_string().as_str(), &entry.value) {
            ("result", Some(value)) => declaration.result = read_result(entry, value)?,
            ("refs", Some(value)) => {
                has_refs = true;
                declaration.refs = match value.to_string().as_str() {
                    "none" => ResultRefs::None,
                    "owned" => ResultRefs::Owned,
                    "borrowed" => ResultRefs::Borrowed,
                    "alias" => ResultRefs::Alias(entry.argument()?),
                    _ => {
                        return entry
                            .error("`refs` is `none`, `owned`, `borrowed` or `alias(field)`");
                    }
                };
            }
            ("steals", None) => declaration.steals = Steals::Fields(entry.arguments.clone()),
            ("custom_steals", None) => declaration.steals = Steals::ByHelper,
            ("pure", None) => is_pure = true,
            ("custom_effects", None) => is_custom = true,
            ("reads", None) => reads = Some(entry.arguments.clone()),
            ("writes", None) => writes = Some(entry.arguments.clone()),
            ("exits", None) => exits = true,
            ("raises", None) => raises = true,
            ("runs_python", None) => runs_python = true,
            ("terminator", None) => declaration.is_terminator = true,
            _ => return entry.error("unknown entry; the grammar is at the top of `ops.rs`"),
        }
    }

    let error = |message: &str| Err(Error::new(variant.ident.span(), message));
    let does_something = reads.is_some() || writes.is_some() || exits || raises || runs_python;
    declaration.effects = match (is_pure, is_custom) {
        (true, true) => return error("`pure` or `custom_effects`, not both"),
        (true, false) if does_something => return error("a `pure` op declares no other effect"),
        (false, true) if does_something => {
            return error("an op with `custom_effects` declares no other effect");
        }
        (false, true) => EffectsDeclaration::Custom,
        (false, false) if !does_something && !declaration.is_terminator => EffectsDeclaration::Any,
        _ => {
            let touches_all = (raises || runs_python) && reads.is_none() && writes.is_none();
            let set = |set: Option<Vec<Ident>>| {
                if touches_all {
                    None
                } else {
                    Some(set.unwrap_or_default())
                }
            };
            EffectsDeclaration::Declared {
                reads: set(reads),
                writes: set(writes),
                exits,
                raises,
                runs_python,
            }
        }
    };
    if (exits || raises) && declaration.state().is_none() {
        return error("an op that exits or raises needs a field of type `FrameStateId`");
    }
    if declaration.with_role(Role::State).count() > 1 {
        return error("an op has at most one state");
    }
    if declaration.with_role(Role::Target).next().is_some() && !declaration.is_terminator {
        return error("only a terminator has targets");
    }
    check_refs(&declaration, has_refs)?;
    check_fields(&declaration)?;
    Ok(declaration)
}

fn read_field(field: &Field) -> Result<FieldDeclaration> {
    let name = field.ident.clone().expect("the field is named");
    let text = match &field.ty {
        Type::Path(path) => {
            let last = path.path.segments.last().expect("a path has a segment");
            let mut text = last.ident.to_string();
            if let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
                && let Some(syn::GenericArgument::Type(Type::Path(argument))) =
                    arguments.args.first()
                && let Some(segment) = argument.path.segments.last()
            {
                text = format!("{text}<{}>", segment.ident);
            }
            text
        }
        _ => {
            return Err(Error::new(
                field.ty.span(),
                "a field is of a type with a name",
            ));
        }
    };
    let role = match text.as_str() {
        "Value" => Role::Operand,
        "Vec<Value>" => Role::Operands,
        "FrameStateId" => Role::State,
        "BlockCall" => Role::Target,
        _ => Role::Immediate,
    };
    Ok(FieldDeclaration { name, role })
}

fn read_result(entry: &Entry, value: &Ident) -> Result<ResultType> {
    Ok(match value.to_string().as_str() {
        "Object" | "Nullable" | "I64" | "F64" | "Bool" => ResultType::Plain(value.clone()),
        "Exact" => ResultType::Exact(entry.argument()?),
        "of" => ResultType::Of(entry.argument()?),
        "custom" => ResultType::Custom,
        _ => {
            return entry.error(
                "`result` is a type without payload, `Exact(Kind)`, `of(field)` or `custom`",
            );
        }
    })
}

/// A wrong reference contract is a leak or a crash, so it has no default.
fn check_refs(declaration: &Declaration, has_refs: bool) -> Result<()> {
    let may_be_object = match &declaration.result {
        ResultType::None => false,
        ResultType::Plain(ty) => ty == "Object" || ty == "Nullable",
        ResultType::Exact(_) | ResultType::Of(_) | ResultType::Custom => true,
    };
    let message = match (may_be_object, has_refs) {
        (true, false) => "an object result needs `refs = owned | borrowed | none | alias(field)`",
        (false, true) => "`refs` is for results that are objects",
        _ => return Ok(()),
    };
    Err(Error::new(declaration.name.span(), message))
}

/// Fields that the attribute names must be operands.
fn check_fields(declaration: &Declaration) -> Result<()> {
    let mut named = Vec::new();
    if let ResultType::Of(field) = &declaration.result {
        named.push(field);
    }
    if let ResultRefs::Alias(field) = &declaration.refs {
        named.push(field);
    }
    for field in named {
        if !declaration
            .with_role(Role::Operand)
            .any(|operand| operand == field)
        {
            return Err(Error::new(field.span(), "no operand has this name"));
        }
    }
    if let Steals::Fields(fields) = &declaration.steals {
        for field in fields {
            if !declaration.fields.iter().any(|operand| {
                operand.name == *field && matches!(operand.role, Role::Operand | Role::Operands)
            }) {
                return Err(Error::new(field.span(), "no operand has this name"));
            }
        }
    }
    Ok(())
}
