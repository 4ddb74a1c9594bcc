//! Reads the variants of the enum of operations.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, Field, Fields, Ident, Lit, Meta, MetaNameValue, Result, Token, Type,
    Variant, parenthesized,
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
    /// Its type, for the documentation.
    pub ty: String,
    /// `#[op(text = Wrapper)]`: an immediate that is printed and parsed as this newtype of it.
    pub text: Option<Ident>,
}

/// What an operand must be: a variant of `ops::Takes`, with its kind if it is `Exact`.
pub struct Rule {
    /// The operand; `None` for all operands.
    pub field: Option<Ident>,
    /// The variant.
    pub variant: Ident,
    /// Its payload.
    pub kind: Option<Ident>,
}

/// What the operands must be.
pub enum Takes {
    /// By these rules; an operand without a rule is an object.
    Rules(Vec<Rule>),
    /// The elements of `arguments` are what the helper in the field `helper` takes.
    ByHelper,
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
    Virtual,
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
    Declared { reads: Option<Vec<Ident>>, writes: Option<Vec<Ident>>, exits: bool, raises: bool, runs_python: bool },
}

/// One operation.
pub struct Declaration {
    pub name: Ident,
    pub doc: String,
    /// The text of its `#[op(...)]`, for the documentation.
    pub attribute: String,
    pub fields: Vec<FieldDeclaration>,
    pub result: ResultType,
    pub refs: ResultRefs,
    pub steals: Steals,
    pub takes: Takes,
    pub effects: EffectsDeclaration,
    pub is_terminator: bool,
    /// The only phase it may occur in.
    pub phase: Option<Ident>,
    /// Whether it may only occur in the entry block.
    pub is_entry: bool,
}

impl Declaration {
    /// Fields with a role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Ident> {
        self.fields.iter().filter(move |field| field.role == role).map(|field| &field.name)
    }

    /// Whether a field is an operand or a list of operands.
    pub fn is_operand(&self, name: &Ident) -> bool {
        self.fields.iter().any(|field| field.name == *name && matches!(field.role, Role::Operand | Role::Operands))
    }

    /// The field that holds the state.
    pub fn state(&self) -> Option<&Ident> {
        self.with_role(Role::State).next()
    }
}

/// One argument of an entry: `name`, `name(payload)` or `field: name(payload)`.
struct Argument {
    field: Option<Ident>,
    name: Ident,
    payload: Option<Ident>,
}

impl Parse for Argument {
    fn parse(input: ParseStream) -> Result<Self> {
        let mut name: Ident = input.parse()?;
        let mut field = None;
        if input.peek(Token![:]) {
            input.parse::<Token![:]>()?;
            field = Some(std::mem::replace(&mut name, input.parse()?));
        }
        let payload = if input.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in input);
            Some(content.parse()?)
        } else {
            None
        };
        Ok(Argument { field, name, payload })
    }
}

/// One entry of `#[op(...)]`: `name`, `name = value`, `name = value(argument)` or `name(argument, ...)`.
struct Entry {
    name: Ident,
    value: Option<Ident>,
    arguments: Vec<Argument>,
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
            arguments.extend(Punctuated::<Argument, Token![,]>::parse_terminated(&content)?);
        }
        Ok(Entry { name, value, arguments })
    }
}

impl Entry {
    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        Err(Error::new(self.name.span(), message))
    }

    /// The only argument of `value(argument)`.
    fn argument(&self) -> Result<Ident> {
        match self.names()?.as_slice() {
            [argument] => Ok(argument.clone()),
            _ => self.error("expected one argument"),
        }
    }

    /// The arguments of `name(argument, ...)`, which are plain names.
    fn names(&self) -> Result<Vec<Ident>> {
        let plain = |argument: &Argument| match argument {
            Argument { field: None, name, payload: None } => Ok(name.clone()),
            _ => self.error("expected a list of names"),
        };
        self.arguments.iter().map(plain).collect()
    }

    /// The arguments of `takes(...)`.
    fn rules(&self) -> Vec<Rule> {
        let rule = |argument: &Argument| Rule {
            field: argument.field.clone(),
            variant: argument.name.clone(),
            kind: argument.payload.clone(),
        };
        self.arguments.iter().map(rule).collect()
    }
}

/// All operations of the enum.
pub fn read(input: &DeriveInput) -> Result<Vec<Declaration>> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(Span::call_site(), "`OpTable` is for the enum of operations"));
    };
    data.variants.iter().map(read_variant).collect()
}

/// The variants of an enum without fields.
pub fn read_names(input: &DeriveInput) -> Result<Vec<&Ident>> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(Span::call_site(), "`Immediate` is for enums"));
    };
    if let Some(variant) = data.variants.iter().find(|variant| !variant.fields.is_empty()) {
        return Err(Error::new(variant.span(), "a variant with fields needs an `Immediate` written by hand"));
    }
    Ok(data.variants.iter().map(|variant| &variant.ident).collect())
}

fn read_variant(variant: &Variant) -> Result<Declaration> {
    let Fields::Named(fields) = &variant.fields else {
        return Err(Error::new(variant.span(), "an operation has named fields: `Name { ... }`"));
    };
    let fields = fields.named.iter().map(read_field).collect::<Result<Vec<_>>>()?;

    let entries = read_entries(&variant.attrs)?;
    let mut declaration = Declaration {
        name: variant.ident.clone(),
        doc: read_doc(&variant.attrs),
        attribute: attribute_text(&variant.attrs)?,
        fields,
        result: ResultType::None,
        refs: ResultRefs::None,
        steals: Steals::Fields(Vec::new()),
        takes: Takes::Rules(Vec::new()),
        effects: EffectsDeclaration::Any,
        is_terminator: false,
        phase: None,
        is_entry: false,
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
                    "promised" => ResultRefs::Virtual,
                    "alias" => ResultRefs::Alias(entry.argument()?),
                    _ => {
                        return entry.error("`refs` is `none`, `owned`, `borrowed`, `promised` or `alias(field)`");
                    }
                };
            }
            ("steals", None) => declaration.steals = Steals::Fields(entry.names()?),
            ("custom_steals", None) => declaration.steals = Steals::ByHelper,
            ("takes", None) => declaration.takes = Takes::Rules(entry.rules()),
            ("custom_takes", None) => declaration.takes = Takes::ByHelper,
            ("phase", Some(phase)) => declaration.phase = Some(phase.clone()),
            ("entry", None) => declaration.is_entry = true,
            ("pure", None) => is_pure = true,
            ("custom_effects", None) => is_custom = true,
            ("reads", None) => reads = Some(entry.names()?),
            ("writes", None) => writes = Some(entry.names()?),
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
                if touches_all { None } else { Some(set.unwrap_or_default()) }
            };
            EffectsDeclaration::Declared { reads: set(reads), writes: set(writes), exits, raises, runs_python }
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

/// The entries of all `#[op(...)]` attributes.
fn read_entries(attributes: &[Attribute]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("op")) {
        entries.extend(attribute.parse_args_with(Punctuated::<Entry, Token![,]>::parse_terminated)?);
    }
    Ok(entries)
}

/// The tokens of the `#[op(...)]` attributes, spaced as people write them.
fn attribute_text(attributes: &[Attribute]) -> Result<String> {
    let mut parts = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("op")) {
        parts.push(attribute.meta.require_list()?.tokens.to_string());
    }
    let mut text = parts.join(", ");
    for (from, to) in [(" ,", ","), (" (", "("), ("( ", "("), (" )", ")"), (" :", ":")] {
        text = text.replace(from, to);
    }
    Ok(text)
}

/// The documentation comment as one paragraph.
fn read_doc(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(MetaNameValue { path, value: Expr::Lit(literal), .. }) if path.is_ident("doc") => {
            match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_string()),
                _ => None,
            }
        }
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ")
}

fn read_field(field: &Field) -> Result<FieldDeclaration> {
    let name = field.ident.clone().expect("the field is named");
    let mut text = None;
    for entry in read_entries(&field.attrs)? {
        match (entry.name.to_string().as_str(), &entry.value) {
            ("text", Some(wrapper)) => text = Some(wrapper.clone()),
            _ => return entry.error("a field has only `text = Newtype`"),
        }
    }
    let ty = match &field.ty {
        Type::Path(path) => {
            let last = path.path.segments.last().expect("a path has a segment");
            let mut ty = last.ident.to_string();
            if let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
                && let Some(syn::GenericArgument::Type(Type::Path(argument))) = arguments.args.first()
                && let Some(segment) = argument.path.segments.last()
            {
                ty = format!("{ty}<{}>", segment.ident);
            }
            ty
        }
        _ => {
            return Err(Error::new(field.ty.span(), "a field is of a type with a name"));
        }
    };
    let role = match ty.as_str() {
        "Value" => Role::Operand,
        "Vec<Value>" => Role::Operands,
        "FrameStateId" => Role::State,
        "BlockCall" => Role::Target,
        _ => Role::Immediate,
    };
    if text.is_some() && role != Role::Immediate {
        return Err(Error::new(name.span(), "only an immediate has a text form of its own"));
    }
    Ok(FieldDeclaration { name, role, ty, text })
}

fn read_result(entry: &Entry, value: &Ident) -> Result<ResultType> {
    Ok(match value.to_string().as_str() {
        "Object" | "Nullable" | "I64" | "F64" | "Bool" => ResultType::Plain(value.clone()),
        "Exact" => ResultType::Exact(entry.argument()?),
        "of" => ResultType::Of(entry.argument()?),
        "custom" => ResultType::Custom,
        _ => {
            return entry.error("`result` is a type without payload, `Exact(Kind)`, `of(field)` or `custom`");
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
    if let Takes::Rules(rules) = &declaration.takes {
        for field in rules.iter().filter_map(|rule| rule.field.as_ref()) {
            if !declaration.is_operand(field) {
                return Err(Error::new(field.span(), "no operand has this name"));
            }
        }
    }
    for field in named {
        if !declaration.with_role(Role::Operand).any(|operand| operand == field) {
            return Err(Error::new(field.span(), "no operand has this name"));
        }
    }
    if let Steals::Fields(fields) = &declaration.steals {
        for field in fields {
            if !declaration.is_operand(field) {
                return Err(Error::new(field.span(), "no operand has this name"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for an enum with one variant, or nothing.
    fn error(variant: &str) -> Option<String> {
        let input = syn::parse_str(&format!("enum Op {{ {variant} }}")).expect("it is Rust");
        read(&input).err().map(|error| error.to_string())
    }

    fn assert_error(variant: &str, message: &str) {
        let error = error(variant).unwrap_or_default();
        assert!(error.contains(message), "{variant}: {error}");
    }

    #[test]
    fn accepts_what_the_table_says() {
        for variant in [
            "#[op(result = I64, pure)] Add { left: Value, right: Value }",
            "#[op(result = Exact(Int), refs = owned, pure, takes(I64))] Box { value: Value }",
            "#[op(result = of(value), refs = alias(value), exits)] Guard { value: Value, state: FrameStateId }",
            "#[op(steals(arguments), takes(first: Exact(List), arguments: Nullable), raises)]
             Give { first: Value, arguments: Vec<Value>, state: FrameStateId }",
            "#[op(terminator)] Jump { target: BlockCall }",
            "#[op(result = F64, pure)] Constant { #[op(text = FloatBits)] bits: u64 }",
            "Anything {}",
        ] {
            assert_eq!(error(variant), None, "{variant}");
        }
    }

    #[test]
    fn rejects_objects_without_a_reference_contract() {
        assert_error("#[op(result = Object, pure)] Load {}", "needs `refs =");
        assert_error("#[op(result = of(value), pure)] Copy { value: Value }", "needs `refs =");
        assert_error("#[op(result = I64, refs = owned, pure)] Load {}", "is for results that are objects");
    }

    #[test]
    fn rejects_what_leaves_without_a_state() {
        assert_error("#[op(exits)] Guard { value: Value }", "needs a field of type `FrameStateId`");
        assert_error("#[op(raises, runs_python)] Call {}", "needs a field of type `FrameStateId`");
    }

    #[test]
    fn rejects_contradictions() {
        assert_error("#[op(pure, writes(Lists))] Store {}", "declares no other effect");
        assert_error("#[op(custom_effects, runs_python)] Call {}", "declares no other effect");
        assert_error("#[op(pure)] Jump { target: BlockCall }", "only a terminator has targets");
    }

    #[test]
    fn rejects_names_that_are_not_there() {
        assert_error("#[op(steals(item), pure)] Give { value: Value }", "no operand has this name");
        assert_error("#[op(takes(item: I64), pure)] Take { value: Value }", "no operand has this name");
        assert_error("#[op(result = of(kind), refs = owned, pure)] Make { kind: Kind }", "no operand has this name");
        assert_error("#[op(purely)] Add {}", "unknown entry");
        assert_error("#[op(pure)] Add(Value)", "has named fields");
        assert_error("#[op(pure)] Add { #[op(text = Name)] value: Value }", "only an immediate");
    }
}
