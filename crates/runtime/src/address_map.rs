//! Maps keyed by addresses that are looked up whenever a function is made or dies.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with addresses as keys.
pub type AddressMap<V> = HashMap<usize, V, BuildHasherDefault<AddressHasher>>;

/// Spreads the bits of an address.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        // The map takes buckets from the low bits and tags from the high ones.
        let mixed = (self.0 ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in() {
        let mut map = AddressMap::default();
        for address in (0x7f00_0000_0000_usize..).step_by(0x60).take(1000) {
            map.insert(address, address / 2);
        }
        assert_eq!(map.len(), 1000);
        assert_eq!(map.get(&0x7f00_0000_0060), Some(&0x3f80_0000_0030));
        assert_eq!(map.get(&0x7f00_0000_0061), None);
    }
}
