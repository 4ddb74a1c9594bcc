//! Exit tables: frame states in the form the runtime decodes when compiled code is left.
//!
//! The back end makes one [`Exit`] for each (frame state, reason) that an instruction can leave by. Before it leaves,
//! compiled code puts every value that is not a constant into the unit's exit buffer (an array of 64-bit words); the
//! exit says which word is what. The runtime makes interpreter frames from it, outermost first.
//!
//! References: an [`ExitValue::Object`] with `owned` carries one reference for all its occurrences in the exit: the
//! first place that is filled takes it, the others add one. A borrowed one adds a reference in each place.

use crate::Resume;
use crate::fields::Immediate;
use crate::ops::Walker;
use coluber_bytecode::ObjectId;
use rustc_hash::FxHashMap as HashMap;
use std::sync::Arc;

/// Why an exit is taken, which decides what the runtime does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitKind {
    /// A guard failed: the interpreter resumes at the state.
    Guard,
    /// An exception is set: it is raised at the state's instruction.
    Raise,
}

/// Where a slot's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum ExitValue {
    /// Unbound or NULL.
    Null,
    /// An object of the unit's pool.
    Constant(ObjectId),
    /// An object pointer (or NULL) in a word of the buffer.
    Object {
        /// Word of the buffer.
        word: u32,
        /// Whether compiled code held a reference.
        owned: bool,
    },
    /// An integer in a word of the buffer, to be boxed.
    Int(u32),
    /// A constant integer, to be boxed.
    IntConstant(i64),
    /// A float in a word of the buffer, to be boxed.
    Float(u32),
    /// A constant float (bits), to be boxed.
    FloatConstant(u64),
    /// A truth value (0 or 1) in a word of the buffer.
    Bool(u32),
    /// A constant truth value.
    BoolConstant(bool),
    /// An integer in a word of the buffer, to be stored as a tagged integer.
    TaggedInt(u32),
    /// A constant tagged integer.
    TaggedIntConstant(i64),
    /// A range iterator (in word `object`) whose fields are to be set first.
    RangeIterator {
        /// Word with the iterator object.
        object: u32,
        /// Whether compiled code held a reference.
        owned: bool,
        /// Word with the next value.
        start: u32,
        /// Word with the number of values left.
        length: u32,
    },
    /// A list or tuple iterator whose index is to be set first.
    SequenceIterator {
        /// Word with the iterator object.
        object: u32,
        /// Whether compiled code held a reference.
        owned: bool,
        /// Word with the next index.
        index: u32,
    },
    /// An object that the exit makes.
    Virtual(Arc<ExitVirtual>),
}

/// An object that compiled code did not make. All mentions of one object in an exit have the same number.
#[derive(Clone, Debug, PartialEq)]
pub struct ExitVirtual {
    /// Its number in the unit.
    pub id: u32,
    /// What it is.
    pub shape: VirtualShape,
    /// Its items, or the values of its fields in the order in which they were set.
    pub fields: Vec<ExitValue>,
}

/// What an object is that an exit makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VirtualShape {
    /// A tuple.
    Tuple,
    /// An instance with inline values.
    Instance {
        /// Its class.
        class: ObjectId,
        /// Where its fields are: offsets in bytes.
        offsets: Vec<u32>,
    },
    /// An iterator.
    Iterator(Walker),
}

/// One frame to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct ExitFrame {
    /// Index of the code in the snapshot.
    pub code: usize,
    /// The function object of an inlined activation; `None` for the unit's own frame.
    pub function: Option<ObjectId>,
    /// Where the interpreter goes on.
    pub resume: Resume,
    /// Local slots.
    pub locals: Vec<ExitValue>,
    /// Operand stack, bottom first.
    pub stack: Vec<ExitValue>,
}

/// One exit.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// What the runtime has to do.
    pub kind: ExitKind,
    /// Name of the op (or of the `ExitReason`) that leaves: counted and shown.
    pub reason: &'static str,
    /// Whether leaving here says nothing against the code (safe points).
    pub benign: bool,
    /// An exception that goes to a handler of the unit itself: the unit's own frame and what it names stays, only the
    /// frames of inlined calls end.
    pub caught: bool,
    /// Word of the buffer with the guilty object, for the profile.
    pub guilty: Option<u32>,
    /// The frames, innermost first; the last one is the unit's own. Exits of one state share the list, and states with
    /// the same caller share the caller's frames: there is an exit for nearly every instruction.
    pub frames: Arc<[Arc<ExitFrame>]>,
}

/// All exits of a unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExitTable {
    /// Exits by id.
    pub exits: Vec<Exit>,
    /// Size of the exit buffer in words.
    pub buffer_words: u32,
}

/// An exit table as bytes: units have an exit for nearly every instruction, and most are never taken. [`PackedExits::exit`]
/// makes an exit real. Frames that exits share are written once.
#[derive(Clone, Debug, Default)]
pub struct PackedExits {
    /// Frames, as often as exits differ in them.
    frames: Box<[u8]>,
    /// Exits: flags, reason, word of the guilty object, places of the frames.
    exits: Box<[u8]>,
    /// Where each exit begins.
    places: Box<[u32]>,
    reasons: Box<[&'static str]>,
    /// Size of the exit buffer in words.
    pub buffer_words: u32,
    /// Each row of inlined codes that some exit makes frames of, innermost first.
    pub inlined: Vec<Vec<usize>>,
}

/// Reads numbers: seven bits to a byte, the low ones first.
struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn write_signed(bytes: &mut Vec<u8>, number: i64) {
    write(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

impl Reader<'_> {
    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[self.place];
            self.place += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
            shift += 7;
        }
    }

    fn word(&mut self) -> u32 {
        self.number() as u32
    }

    fn signed(&mut self) -> i64 {
        let number = self.number();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    fn optional(&mut self) -> Option<u32> {
        self.word().checked_sub(1)
    }

    fn flag(&mut self) -> bool {
        self.number() != 0
    }
}

fn write_value(bytes: &mut Vec<u8>, value: &ExitValue) {
    if let ExitValue::Virtual(object) = value {
        return write_virtual(bytes, object);
    }
    let mut put = |tag: u64, numbers: &[u64]| {
        write(bytes, tag);
        numbers.iter().for_each(|number| write(bytes, *number));
    };
    match *value {
        ExitValue::Virtual(_) => unreachable!("written above"),
        ExitValue::Null => put(0, &[]),
        ExitValue::Constant(id) => put(1, &[id.0.into()]),
        ExitValue::Object { word, owned } => put(2 + u64::from(owned), &[word.into()]),
        ExitValue::Int(word) => put(4, &[word.into()]),
        ExitValue::Float(word) => put(5, &[word.into()]),
        ExitValue::FloatConstant(bits) => put(6, &[bits]),
        ExitValue::Bool(word) => put(7, &[word.into()]),
        ExitValue::BoolConstant(value) => put(8 + u64::from(value), &[]),
        ExitValue::TaggedInt(word) => put(10, &[word.into()]),
        ExitValue::RangeIterator { object, owned, start, length } => {
            put(11, &[object.into(), owned.into(), start.into(), length.into()]);
        }
        ExitValue::SequenceIterator { object, owned, index } => put(12, &[object.into(), owned.into(), index.into()]),
        ExitValue::IntConstant(value) => {
            put(13, &[]);
            write_signed(bytes, value);
        }
        ExitValue::TaggedIntConstant(value) => {
            put(14, &[]);
            write_signed(bytes, value);
        }
    }
}

fn write_virtual(bytes: &mut Vec<u8>, object: &ExitVirtual) {
    let tag = match &object.shape {
        VirtualShape::Tuple => 15,
        VirtualShape::Instance { .. } => 16,
        VirtualShape::Iterator(_) => 17,
    };
    write(bytes, tag);
    if let VirtualShape::Iterator(walker) = object.shape {
        write(bytes, walker as u64);
    }
    write(bytes, object.id.into());
    write(bytes, object.fields.len() as u64);
    if let VirtualShape::Instance { class, offsets } = &object.shape {
        write(bytes, class.0.into());
        offsets.iter().for_each(|offset| write(bytes, (*offset).into()));
    }
    object.fields.iter().for_each(|field| write_value(bytes, field));
}

fn read_virtual(from: &mut Reader, tag: u64) -> ExitValue {
    let walker = if tag == 17 { Walker::samples().get(from.number() as usize).copied() } else { None };
    let (id, count) = (from.word(), from.number());
    let shape = match walker {
        Some(walker) => VirtualShape::Iterator(walker),
        None if tag == 16 => {
            let class = ObjectId(from.word());
            VirtualShape::Instance { class, offsets: (0..count).map(|_| from.word()).collect() }
        }
        None => VirtualShape::Tuple,
    };
    let fields = (0..count).map(|_| read_value(from)).collect();
    ExitValue::Virtual(Arc::new(ExitVirtual { id, shape, fields }))
}

fn read_value(from: &mut Reader) -> ExitValue {
    match from.number() {
        0 => ExitValue::Null,
        1 => ExitValue::Constant(ObjectId(from.word())),
        2 => ExitValue::Object { word: from.word(), owned: false },
        3 => ExitValue::Object { word: from.word(), owned: true },
        4 => ExitValue::Int(from.word()),
        5 => ExitValue::Float(from.word()),
        6 => ExitValue::FloatConstant(from.number()),
        7 => ExitValue::Bool(from.word()),
        8 => ExitValue::BoolConstant(false),
        9 => ExitValue::BoolConstant(true),
        10 => ExitValue::TaggedInt(from.word()),
        11 => ExitValue::RangeIterator {
            object: from.word(),
            owned: from.flag(),
            start: from.word(),
            length: from.word(),
        },
        12 => ExitValue::SequenceIterator { object: from.word(), owned: from.flag(), index: from.word() },
        13 => ExitValue::IntConstant(from.signed()),
        14 => ExitValue::TaggedIntConstant(from.signed()),
        tag @ 15..=17 => read_virtual(from, tag),
        tag => unreachable!("no value has the tag {tag}"),
    }
}

fn write_frame(bytes: &mut Vec<u8>, frame: &ExitFrame) {
    write(bytes, frame.code as u64);
    write(bytes, frame.function.map_or(0, |id| u64::from(id.0) + 1));
    let (tag, first, second) = match frame.resume {
        Resume::At { start, offset } => (0, start, offset),
        Resume::PushResult { offset, next } => (1, offset, next),
        Resume::DropResult { offset, next } => (2, offset, next),
        Resume::Undone => (3, 0, 0),
    };
    for number in [tag, first, second] {
        write(bytes, number.into());
    }
    for values in [&frame.locals, &frame.stack] {
        write(bytes, values.len() as u64);
        values.iter().for_each(|value| write_value(bytes, value));
    }
}

fn read_frame(from: &mut Reader) -> ExitFrame {
    let code = from.number() as usize;
    let function = from.optional().map(ObjectId);
    let resume = match (from.number(), from.word(), from.word()) {
        (0, start, offset) => Resume::At { start, offset },
        (1, offset, next) => Resume::PushResult { offset, next },
        (3, _, _) => Resume::Undone,
        (_, offset, next) => Resume::DropResult { offset, next },
    };
    let mut values = || (0..from.number()).map(|_| read_value(from)).collect::<Vec<_>>();
    let locals = values();
    let stack = values();
    ExitFrame { code, function, resume, locals, stack }
}

impl PackedExits {
    /// Packs a table.
    pub fn new(table: &ExitTable) -> PackedExits {
        let (mut frames, mut exits, mut places) = (Vec::new(), Vec::new(), Vec::with_capacity(table.exits.len()));
        let mut inlined: Vec<Vec<usize>> = Vec::new();
        let mut reasons: Vec<&'static str> = Vec::new();
        let mut written: HashMap<*const ExitFrame, u64> = HashMap::default();
        for exit in &table.exits {
            let inner = exit.frames.iter().take(exit.frames.len().saturating_sub(1));
            let codes: Vec<_> = inner.filter(|frame| frame.resume != Resume::Undone).map(|frame| frame.code).collect();
            if !inlined.contains(&codes) {
                inlined.push(codes);
            }
            places.push(exits.len() as u32);
            let reason = reasons.iter().position(|reason| *reason == exit.reason).unwrap_or_else(|| {
                reasons.push(exit.reason);
                reasons.len() - 1
            });
            exits
                .push(u8::from(exit.kind == ExitKind::Raise) | u8::from(exit.benign) << 1 | u8::from(exit.caught) << 2);
            write(&mut exits, reason as u64);
            write(&mut exits, exit.guilty.map_or(0, |word| u64::from(word) + 1));
            write(&mut exits, exit.frames.len() as u64);
            for frame in exit.frames.iter() {
                let place = *written.entry(Arc::as_ptr(frame)).or_insert_with(|| {
                    let place = frames.len() as u64;
                    write_frame(&mut frames, frame);
                    place
                });
                write(&mut exits, place);
            }
        }
        PackedExits {
            frames: frames.into(),
            exits: exits.into(),
            places: places.into(),
            reasons: reasons.into(),
            buffer_words: table.buffer_words,
            inlined,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// An exit by its id.
    pub fn exit(&self, id: usize) -> Exit {
        let mut from = Reader { bytes: &self.exits, place: self.places[id] as usize };
        let flags = from.number();
        let reason = self.reasons[from.number() as usize];
        let guilty = from.optional();
        let frames = (0..from.number()).map(|_| {
            let place = from.number() as usize;
            Arc::new(read_frame(&mut Reader { bytes: &self.frames, place }))
        });
        Exit {
            kind: if flags & 1 != 0 { ExitKind::Raise } else { ExitKind::Guard },
            reason,
            benign: flags & 2 != 0,
            caught: flags & 4 != 0,
            guilty,
            frames: frames.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks_every_kind_of_value() {
        let values = vec![
            ExitValue::Null,
            ExitValue::Constant(ObjectId(300)),
            ExitValue::Object { word: 5, owned: true },
            ExitValue::Object { word: 200, owned: false },
            ExitValue::Int(3),
            ExitValue::IntConstant(i64::MIN),
            ExitValue::IntConstant(-1),
            ExitValue::Float(4),
            ExitValue::FloatConstant(u64::MAX),
            ExitValue::Bool(6),
            ExitValue::BoolConstant(true),
            ExitValue::BoolConstant(false),
            ExitValue::TaggedInt(7),
            ExitValue::TaggedIntConstant(1 << 40),
            ExitValue::RangeIterator { object: 8, owned: true, start: 9, length: 10 },
            ExitValue::SequenceIterator { object: 11, owned: false, index: 12 },
            ExitValue::Virtual(Arc::new(ExitVirtual {
                id: 300,
                shape: VirtualShape::Instance { class: ObjectId(4), offsets: vec![48, 24] },
                fields: vec![
                    ExitValue::Float(13),
                    ExitValue::Virtual(Arc::new(ExitVirtual {
                        id: 7,
                        shape: VirtualShape::Tuple,
                        fields: vec![ExitValue::Null],
                    })),
                ],
            })),
        ];
        let outer = Arc::new(ExitFrame {
            code: 0,
            function: None,
            resume: Resume::PushResult { offset: 3, next: 1000 },
            locals: values.clone(),
            stack: vec![],
        });
        let inner = Arc::new(ExitFrame {
            code: 2,
            function: Some(ObjectId(0)),
            resume: Resume::At { start: 7, offset: 8 },
            locals: vec![],
            stack: values,
        });
        let exit = |kind, reason, guilty: Option<u32>, frames: &[&Arc<ExitFrame>]| Exit {
            kind,
            reason,
            benign: kind == ExitKind::Raise,
            caught: guilty.is_some(),
            guilty,
            frames: frames.iter().map(|frame| Arc::clone(frame)).collect(),
        };
        let table = [
            exit(ExitKind::Guard, "GuardInt", Some(0), &[&inner, &outer]),
            exit(ExitKind::Raise, "Raise", None, &[&inner, &outer]),
            exit(ExitKind::Guard, "GuardInt", None, &[&outer]),
        ];
        let pack = |exits: &[Exit]| PackedExits::new(&ExitTable { exits: exits.to_vec(), buffer_words: 9 });
        let packed = pack(&table);
        assert_eq!((packed.len(), packed.buffer_words), (3, 9));
        assert_eq!(packed.inlined, [vec![2], vec![]]);
        for (id, exit) in table.iter().enumerate() {
            assert_eq!(packed.exit(id), *exit);
        }
        let alone = pack(&table[..1]);
        assert_eq!(packed.frames, alone.frames, "shared frames are written once");
    }
}
