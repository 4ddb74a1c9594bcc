//! Which addresses anybody ever asked to hear of.
//!
//! The function watcher is called for every function that is made or dies; a program that makes a closure per item should pay
//! two or three nanoseconds for it, not a look into several maps.

use coluber_cpython::Attached;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const WORDS: usize = 1 << 11;

static BITS: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// Word and bit of an address.
fn place(address: usize) -> (usize, u64) {
    let mixed = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 47;
    (mixed as usize >> 6, 1 << (mixed & 63))
}

/// So many look-ups in vain are worth a [`renew`].
const MAX_VAIN: usize = 2000;
static VAIN: AtomicUsize = AtomicUsize::new(0);

/// From now on [`may_be_known`] is true for the address.
pub fn add(address: usize) {
    let (word, bit) = place(address);
    BITS[word].fetch_or(bit, Ordering::Relaxed);
}

/// `false`: nobody ever added the address.
#[inline]
pub fn may_be_known(address: usize) -> bool {
    let (word, bit) = place(address);
    BITS[word].load(Ordering::Relaxed) & bit != 0
}

/// Notes that an address that may have been known was not. `true`: this has been so often that the filter should be renewed.
/// The memory of a function that once was known may have become that of a closure that is made again and again.
pub fn note_vain() -> bool {
    VAIN.fetch_add(1, Ordering::Relaxed) >= MAX_VAIN
}

/// Forgets all addresses but these.
pub fn renew(_py: Attached, known: impl Iterator<Item = usize>) {
    VAIN.store(0, Ordering::Relaxed);
    BITS.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    known.for_each(add);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_was_added_and_little_else() {
        let addresses = (0x7f00_0000_0000_usize..).step_by(0xa0);
        addresses.clone().take(1000).for_each(add);
        assert!(addresses.clone().take(1000).all(may_be_known));
        assert!(addresses.skip(1000).take(1000).filter(|address| may_be_known(*address)).count() < 50);
    }
}
