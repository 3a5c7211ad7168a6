//! Numbers for ids, in the order in which the ids are first met.

use std::hash::Hasher;
use std::ops::Index;

use super::reader::NONE;

/// An id as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    pub text: &'a [u8],
    /// Ids of different contexts are different: kind and sequence in GTF, 0 in GFF3, [`NONE`] for an id that nothing names.
    pub context: u32,
    /// Hash of the text.
    hash: u32,
}

impl<'a> Name<'a> {
    /// The same id in another context.
    pub fn within(self, context: u32) -> Name<'a> {
        Name { context, ..self }
    }
}

/// A table of ids: open addressing with linear probing, at most half full. A slot holds the hash, so that ids are compared
/// only where they are mostly the same, and growing reads no id.
#[derive(Default)]
pub struct Names<'a> {
    names: Vec<Name<'a>>,
    /// Hash and number; the number [`NONE`] is a free slot.
    slots: Vec<(u32, u32)>,
}

impl<'a> Names<'a> {
    /// A table with room for about so many ids.
    pub fn with_room(ids: usize) -> Names<'a> {
        Names { names: Vec::with_capacity(ids), slots: vec![(0, NONE); (2 * ids).next_power_of_two().max(64)] }
    }

    pub fn number(&mut self, text: &'a [u8], context: u32) -> u32 {
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(text);
        let hash = hasher.finish();
        self.insert(Name { text, context, hash: (hash ^ (hash >> 32)) as u32 })
    }

    /// As [`Names::number`], for an id of another table.
    pub fn insert(&mut self, name: Name<'a>) -> u32 {
        if self.slots.len() <= 2 * self.names.len() {
            self.grow();
        }
        let hash = name.hash ^ name.context.wrapping_mul(0x9e37_79b1);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (found, number) = self.slots[at];
            if number == NONE {
                self.slots[at] = (hash, self.names.len() as u32);
                self.names.push(name);
                return self.names.len() as u32 - 1;
            }
            if found == hash {
                let other = &self.names[number as usize];
                if other.context == name.context && other.text == name.text {
                    return number;
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// An id that no row can name.
    pub fn anonymous(&mut self) -> u32 {
        self.names.push(Name { text: &[], context: NONE, hash: 0 });
        self.names.len() as u32 - 1
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Name<'a>> {
        self.names.iter()
    }

    #[cold]
    fn grow(&mut self) {
        let size = (4 * self.names.len()).next_power_of_two().max(64);
        let mut slots = vec![(0, NONE); size];
        for &(hash, number) in self.slots.iter().filter(|slot| slot.1 != NONE) {
            let mut at = hash as usize & (size - 1);
            while slots[at].1 != NONE {
                at = (at + 1) & (size - 1);
            }
            slots[at] = (hash, number);
        }
        self.slots = slots;
    }
}

impl<'a> Index<u32> for Names<'a> {
    type Output = &'a [u8];

    fn index(&self, number: u32) -> &Self::Output {
        &self.names[number as usize].text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_table_is_a_map(ids in proptest::collection::vec(("[ab]{0,6}", 0u32..3), 0..400)) {
            let mut names = Names::default();
            let mut expected: Vec<(&str, u32)> = Vec::new();
            for (id, context) in &ids {
                let key = (id.as_str(), *context);
                let at = expected.iter().position(|&other| other == key).unwrap_or(expected.len());
                if at == expected.len() {
                    expected.push(key);
                }
                prop_assert_eq!(names.number(id.as_bytes(), *context), at as u32);
            }
            let mut again = Names::default();
            again.number(b"first", 0);
            for (i, name) in names.iter().enumerate() {
                prop_assert_eq!(again.insert(*name), i as u32 + 1);
            }
            prop_assert_eq!(again.len(), expected.len() + 1);
        }
    }
}
