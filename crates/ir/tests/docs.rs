//! `docs/ir.md` is what the tables say.

use coluber_ir::helpers::HelperFlag;
use coluber_ir::{Helper, Op};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const INTRODUCTION: &str = "\
<!-- Generated from crates/ir by `BLESS=1 cargo test -p coluber-ir --test docs`. Do not edit. -->

# The IR

Reference. Coluber's intermediate representation is SSA over Python values. It is made from a snapshot by
`crates/frontend`, changed by `crates/passes`, turned into machine code by `crates/backend`, and run op by op by
`crates/ir/src/interpret.rs`. The text form, which dumps show and tests are written in, is described in
`crates/ir/src/printer.rs`; what a function must keep to, in `crates/ir/src/verify.rs`; how tests are written, in
`crates/ir/src/filetest.rs`.

## Operations

Each is declared once, in `crates/ir/src/ops.rs`, where the words of the last column are explained.
";

const HELPERS: &str = "
## Helpers

What `Invoke` calls in the runtime, declared in `crates/ir/src/helpers.rs`. Arguments: `O` an object, `S` an object whose
reference is taken, `N` an object or NULL, `I` an integer, `F` a float, `V` any number of objects, `SV` the same with
their references. `frame` is the unit's frame, `out` a place for further results, which `TakeOutput` reads. Results: `O` a
new reference, `B` a truth value, `U` nothing, `I` and `F` numbers, `X` none because it always raises.

| helper | | may |
|---|---|---|
";

/// The section of each op: the comments `// ---- name` in the table.
fn sections() -> BTreeMap<&'static str, &'static str> {
    let mut sections = BTreeMap::new();
    let mut section = "";
    for line in include_str!("../src/ops.rs").lines() {
        if let Some(name) = line.strip_prefix("    // ---- ") {
            section = name;
        } else if let Some((name, _)) = line.strip_prefix("    ").and_then(|line| line.split_once(" {")) {
            sections.entry(name).or_insert(section);
        }
    }
    sections
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn page() -> String {
    let mut page = INTRODUCTION.to_string();
    let sections = sections();
    let mut current = "";
    for info in Op::TABLE {
        let section = sections.get(info.name).expect("the table has the op");
        if *section != current {
            current = section;
            let mut title = section.to_string();
            title[..1].make_ascii_uppercase();
            write!(page, "\n### {title}\n\n| op | | declaration |\n|---|---|---|\n").expect("it is a string");
        }
        let fields: Vec<_> = info.fields.iter().map(|(name, _)| *name).collect();
        let form = format!("{} {}", info.name, fields.join(", "));
        writeln!(page, "| `{}` | {} | `{}` |", form.trim(), cell(info.doc), info.attribute).expect("it is a string");
    }
    page.push_str(HELPERS);
    for &helper in Helper::ALL {
        let arguments: Vec<_> = helper.arguments().iter().map(|kind| format!("{kind:?}")).collect();
        let form = format!("{}({}) -> {:?}", helper.name(), arguments.join(", "), helper.result());
        let may = match helper.flag() {
            HelperFlag::python => "run Python code, raise",
            HelperFlag::raises => "raise",
            HelperFlag::quiet => "neither",
        };
        writeln!(page, "| `{form}` | {} | {may} |", cell(helper.doc().trim())).expect("it is a string");
    }
    page
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ir.md");
    let page = page();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/ir.md is out of date: BLESS=1 cargo test -p coluber-ir --test docs");
}
