//! Printing and parsing are inverse to each other.

mod sampler;

use coluber_bytecode::{
    Binding, BuiltinFacts, ClassAttribute, ClassFacts, CodeFacts, FunctionFacts, NativeConvention, ObjectFacts,
    ObjectTable, ObjectValue,
};
use coluber_ir::function::Phase;
use coluber_ir::parser::{parse_function, parse_functions};
use coluber_ir::{FrameState, FrameStateId, Function, Kind, ObjectId, Op, Resume, SlotValue, Type, Value};
use sampler::{Random, Sampler};

fn objects() -> ObjectTable {
    let c = ObjectId;
    let function = FunctionFacts {
        name: "module.<locals>.f".into(),
        version: 7,
        code: Some(1),
        code_object: c(1),
        globals: c(2),
        builtins: c(3),
        defaults: vec![c(4), c(5)],
        has_kwdefaults: true,
        closure: vec![c(6)],
        is_watched: true,
    };
    let code = CodeFacts {
        parameters: vec!["self".into(), "x".into()],
        positional_only_count: 1,
        keyword_only_count: 1,
        frame_words: 20,
        is_plain: true,
    };
    let class = ClassFacts {
        name: "Class".into(),
        version: 9,
        bases: vec![7, 1],
        kind: Some(Kind::List),
        is_heap: true,
        is_immutable: false,
        dict_offset: -1,
        inline_values: true,
        inline_values_offset: 32,
        keys_version: 3,
        keys: vec!["x".into(), "\"y\"".into()],
        init: Some(c(1)),
        has_finalizer: true,
        always_true: true,
        plain_reads: true,
        plain_writes: true,
        plain_class: true,
        plain_metaclass: true,
        attributes: [
            Binding::Plain,
            Binding::Method,
            Binding::ClassMethod(c(1)),
            Binding::StaticMethod(c(1)),
            Binding::Property(c(1)),
            Binding::Other,
        ]
        .into_iter()
        .map(|binding| ClassAttribute { name: "name".into(), value: c(2), binding })
        .collect(),
    };
    let poor_class = ClassFacts {
        bases: vec![],
        kind: None,
        is_heap: false,
        is_immutable: true,
        dict_offset: 0,
        inline_values: false,
        keys: vec![],
        init: None,
        has_finalizer: false,
        always_true: false,
        plain_reads: false,
        plain_writes: false,
        plain_class: false,
        plain_metaclass: false,
        attributes: vec![],
        ..class.clone()
    };
    let poor_function = FunctionFacts {
        code: None,
        defaults: vec![],
        has_kwdefaults: false,
        closure: vec![],
        is_watched: false,
        ..function.clone()
    };
    let values = [
        ObjectValue::None,
        ObjectValue::Bool(true),
        ObjectValue::Int(-5),
        ObjectValue::BigInt,
        ObjectValue::Float(-0.0),
        ObjectValue::Str(Some("a \"b\"\\\n\u{7} ; ä".into())),
        ObjectValue::Str(None),
        ObjectValue::Tuple(vec![c(1), c(2)]),
        ObjectValue::Tuple(vec![]),
        ObjectValue::Slice(coluber_bytecode::SliceBounds { start: i64::MAX, stop: i64::MIN, step: -1 }),
        ObjectValue::Function(Box::new(function)),
        ObjectValue::Function(Box::new(poor_function)),
        ObjectValue::Class(Box::new(class)),
        ObjectValue::Class(Box::new(poor_class)),
        ObjectValue::Builtin(Box::new(BuiltinFacts {
            name: "builtins.len".into(),
            convention: Some(NativeConvention::One),
            owner: None,
        })),
        ObjectValue::Builtin(Box::new(BuiltinFacts { name: "list.sort".into(), convention: None, owner: Some(c(1)) })),
        ObjectValue::Module("math".into()),
        ObjectValue::Code(Box::new(code)),
        ObjectValue::Code(Box::default()),
        ObjectValue::Other(Kind::Dict),
        ObjectValue::Cell(None),
        ObjectValue::Cell(Some(c(1))),
        ObjectValue::Instance,
    ];
    let mut table = ObjectTable::default();
    for (index, value) in values.into_iter().enumerate() {
        table.push(ObjectFacts { label: format!("label {index}"), value, immortal: index % 2 == 0 });
    }
    table
}

fn slot(random: &mut Random, values: &[Value]) -> SlotValue {
    match random.below(5) {
        0 => SlotValue::Null,
        1 => SlotValue::Value(random.pick(values)),
        2 => SlotValue::TaggedInt(random.pick(values)),
        3 => SlotValue::RangeIterator {
            object: random.pick(values),
            start: random.pick(values),
            length: random.pick(values),
        },
        _ => SlotValue::SequenceIterator { object: random.pick(values), index: random.pick(values) },
    }
}

/// A function that says everything the text can say, and means nothing.
fn random_function(random: &mut Random) -> Function {
    let mut function = Function::new("a name (with a file.py:1)", objects());
    function.phase = random.pick(&[Phase::Built, Phase::Counted]);
    let blocks: Vec<_> = (0..4).map(|_| function.add_block()).collect();
    function.layout.remove(2);
    let blocks_in_layout = function.layout.clone();
    assert_eq!(blocks.len(), 4);
    let kind = random.pick(&Kind::ALL);
    let types = [
        Type::Object,
        Type::Nullable,
        Type::Exact(kind),
        Type::NullableExact(kind),
        Type::Constant(ObjectId(2), Some(Kind::Int)),
        Type::I64,
        Type::F64,
        Type::Bool,
    ];
    let mut values = vec![];
    for &block in &blocks_in_layout {
        for ty in types {
            values.push(function.add_parameter(block, ty));
        }
    }
    let mut states: Vec<FrameStateId> = vec![];
    for number in 0..6 {
        let resume = match random.below(5) {
            0 => Resume::At { start: number, offset: number },
            1 => Resume::At { start: number, offset: number + 1 },
            2 => Resume::PushResult { offset: number, next: number + 4 },
            3 => Resume::Undone,
            _ => Resume::DropResult { offset: number, next: number + 4 },
        };
        let caller = if number > 0 && random.flip() { Some(random.pick(&states)) } else { None };
        let function_object = if random.flip() { Some(ObjectId(9)) } else { None };
        states.push(function.states.push(FrameState {
            code: random.below(3),
            function: function_object,
            resume,
            locals: random.list(|random| slot(random, &values)),
            stack: random.list(|random| slot(random, &values)),
            caller,
        }));
    }
    for &block in &blocks_in_layout {
        function.blocks[block].cold = random.flip();
        function.blocks[block].loop_state = if random.flip() { Some(random.pick(&states)) } else { None };
        for _ in 0..20 {
            let info = &Op::TABLE[random.below(Op::TABLE.len())];
            let mut sampler = Sampler { random, values: &values, states: &states, blocks: &blocks_in_layout };
            let Ok(op) = Op::read_fields(info.name, &mut sampler).expect("the table names ops");
            assert_eq!(op.name(), info.name);
            let source = (random.below(2) as u32, random.below(3) as u32);
            if let Some(result) = function.append(block, op, source) {
                values.push(result);
            }
        }
    }
    for &value in &values {
        function.values[value].owned = random.below(4) == 0;
        if random.below(4) == 0 && matches!(function.values[value].def, coluber_ir::ValueDef::Result(_)) {
            function.values[value].ty = random.pick(&types);
        }
    }
    function
}

#[test]
fn random_functions_round_trip() {
    let mut random = Random(1);
    for _ in 0..200 {
        let function = random_function(&mut random);
        let text = function.to_string();
        let parsed = parse_function(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(parsed.to_string(), text);
        // Unused values, blocks and states are lost, so only what is in the layout can be compared further.
        assert_eq!(parsed.objects, function.objects);
        for &block in &function.layout {
            let [left, right] = [&parsed, &function].map(|function| {
                let insts = function.blocks[block].insts.iter().map(|&inst| function.insts[inst].clone());
                insts.collect::<Vec<_>>()
            });
            assert_eq!(left, right);
        }
    }
}

/// The example in the printer's documentation, with what text may contain besides.
const EXAMPLE: &str = "\
fn clamp(Object) {
    object c0 = Int 255 \"255\" immortal
b0(v0: Object):
    fs0 = state code0@2 locals[v0] stack[]
    v1 = GuardKind v0, Int, fs0
    at code0@3
    v2 = UnboxInt v1, fs0
    v3 = IntConstant 255
    v4 = IntCompare Less, v2, v3
    Branch v4, b1, b2
b1:
    Return v1
b2 cold:
    v5 = Constant c0
    Return v5
}
";

#[test]
fn example_round_trips() {
    assert_eq!(parse_function(EXAMPLE).expect("the example is right").to_string(), EXAMPLE);
}

#[test]
fn comments_and_spacing_do_not_matter() {
    let loose = EXAMPLE.replace("\n", "  ; comment \"quoted\n\n").replace("    ", "\t");
    assert_eq!(parse_function(&loose).expect("the example is right").to_string(), EXAMPLE);
}

#[test]
fn tells_lines() {
    let parsed = parse_functions(&format!("\n{EXAMPLE}\n{EXAMPLE}")).expect("the example is right");
    assert_eq!(parsed.len(), 2);
    assert_eq!((parsed[0].lines.start, parsed[0].lines.end), (2, 17));
    assert_eq!(parsed[1].lines.start, 19);
    let function = &parsed[1].function;
    let first = function.blocks[function.entry()].insts[0];
    assert_eq!(parsed[1].lines.insts[&first], 23);
}

#[test]
fn keeps_numbers_that_are_not_dense() {
    let text = "fn f(I64) {\nb7(v40: I64):\n    Jump b3(v40)\nb3(v2: I64):\n    v9 = BoxInt v2\n    Return v9\n}\n";
    assert_eq!(parse_function(text).expect("it parses").to_string(), text);
}

/// The error of a text with one line replaced.
fn error(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from));
    parse_function(&EXAMPLE.replacen(from, to, 1)).expect_err("the text is wrong").to_string()
}

#[test]
fn errors_name_the_line() {
    assert_eq!(error("Return v1", "Return v17"), "line 12: v17 is not defined");
    assert_eq!(error("Return v1", "Retourn v1"), "line 12: unknown op Retourn");
    assert_eq!(error("Return v1", "Return v1 v1"), "line 12: expected the end of the line, found `v1`");
    assert_eq!(error("Return v1", "Return c1"), "line 12: expected a value, found `c1`");
    assert_eq!(error("Constant c0", "Constant c1"), "line 14: c1 is not in the object table");
    assert_eq!(error("b1, b2", "b1, b4"), "line 10: b4 is not defined");
    assert_eq!(error("UnboxInt v1, fs0", "UnboxInt v1, fs1"), "line 7: fs1 is not defined");
    assert_eq!(error("v5 =", "v2 ="), "line 14: v2 is defined on line 7 already");
    assert_eq!(error("(Object)", "(I64)"), "line 1: the types are not those of the parameters of b0");
    assert_eq!(error("\"255\"", "\"255"), "line 2: a string does not end");
    assert_eq!(error("b2 cold:", "b1 cold:"), "line 13: b1 is defined already");
}
