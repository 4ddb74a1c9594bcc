//! Coluber's intermediate representation: SSA over Python values, printable, parsable, free of pointers.
//!
//! A [`Function`] is made by `coluber-frontend` from a snapshot, changed by `coluber-passes`, and turned into machine
//! code by `coluber-backend`. The parts, in reading order:
//!
//! * [`types`]: what is known of a value;
//! * [`ops`]: **the** table of operations; a derive macro turns each variant's attributes into operand visitors,
//!   effects, result types and the reference contract;
//! * [`helpers`]: the operations that call into the runtime, with their signatures, declared once;
//! * [`function`]: blocks, instructions, values;
//! * [`frame_state`]: what the interpreter would see at a point;
//! * [`exit_table`]: the run-time form of the frame states that exits use;
//! * [`cfg`]: predecessors, dominators, loops;
//! * [`printer`], [`parser`] and [`fields`]: the text form;
//! * [`verify`]: what a function must keep to;
//! * [`interpret`]: what it means, op by op;
//! * [`filetest`]: tests in text form.
//!
//! # References
//! A value of an object type is *owned* (the compiled code holds one reference for it) or *borrowed* (it is valid
//! because something else holds it). The front end knows, at each point, which values the interpreter's locals and
//! operand stack refer to; where the last such place goes away it emits `Kill`, where one value comes to fill two
//! independent places (two block parameters, or a place and a stealing operand) it emits `Dup`. Operands are
//! borrowed unless the op says `steals`. So at every frame state the owned values that are alive are exactly the
//! distinct owned values the state names: an exit needs no other list.
//!
//! A result declared `promised` is an object that does not exist yet: only states and other such values name it, and a
//! state that does names what it is to be made of.
//!
//! A result declared `borrowed` is turned into an owned one by an `Incref` behind its definition if a `Kill` of it is
//! still there when references are inserted; the pass `elide_kills` removes both where nothing between the two can
//! release the object.
#![forbid(unsafe_code)]

pub mod cfg;
pub mod exit_table;
pub mod fields;
pub mod filetest;
pub mod frame_state;
pub mod function;
pub mod helpers;
pub mod interpret;
pub mod ops;
pub mod parser;
pub mod printer;
pub mod types;
pub mod verify;

pub use cfg::{Cfg, Loop, LoopId};
pub use coluber_bytecode::{Comparison, INLINE_VALUES_HEADER, Kind, NativeConvention, ObjectId, ObjectValue};
pub use frame_state::{FrameState, FrameStateId, Resume, SlotValue};
pub use function::{Block, BlockCall, BlockData, Function, Inst, InstData, Value, ValueData, ValueDef};
pub use helpers::Helper;
pub use ops::{Op, Overflow};
pub use types::Type;
