//! Ops made of random fields.

use coluber_ir::fields::{FieldReader, Immediate};
use coluber_ir::{Block, BlockCall, FrameStateId, Value};
use std::convert::Infallible;

/// Numbers that look random (a linear congruential generator).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }

    #[allow(dead_code, reason = "not every test flips")]
    pub fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| item(self)).collect()
    }
}

/// Makes ops from random fields.
pub struct Sampler<'a> {
    pub random: &'a mut Random,
    pub values: &'a [Value],
    pub states: &'a [FrameStateId],
    pub blocks: &'a [Block],
}

impl FieldReader for Sampler<'_> {
    type Error = Infallible;

    fn operand(&mut self, _: &'static str) -> Result<Value, Infallible> {
        Ok(self.random.pick(self.values))
    }

    fn operands(&mut self, _: &'static str) -> Result<Vec<Value>, Infallible> {
        Ok(self.random.list(|random| random.pick(self.values)))
    }

    fn state(&mut self, _: &'static str) -> Result<FrameStateId, Infallible> {
        Ok(self.random.pick(self.states))
    }

    fn target(&mut self, _: &'static str) -> Result<BlockCall, Infallible> {
        let arguments = self.random.list(|random| random.pick(self.values));
        Ok(BlockCall { block: self.random.pick(self.blocks), arguments })
    }

    fn immediate<T: Immediate>(&mut self, _: &'static str) -> Result<T, Infallible> {
        let mut samples = T::samples();
        Ok(samples.swap_remove(self.random.below(samples.len())))
    }
}
