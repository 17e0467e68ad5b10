//! A list that is short as a rule and bounded always.
//!
//! What a leg has most often is one of each: one transport, one payload type, one sink. Lists of fixed size would make
//! every leg as large as the largest one, and most of what a packet needs of it would lie in cache lines of its own.
//! So these take memory as they grow: when control makes them, when a command lengthens them, or when an authenticated
//! packet shows an SSRC for the first time; never for a packet as such, and never beyond their limit.

use std::ops::{Deref, DerefMut};

use crate::plain::{Plain, Reader, Shape, Unreadable, Writer, write_len};

/// At most `MAX` of `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Few<T, MAX> {
    /// None, without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there is room for no more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX
    }

    /// Adds one at the end.
    ///
    /// # Errors
    /// The item itself if there are `MAX`.
    pub fn try_push(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        if self.0.len() == self.0.capacity() {
            // Twice as many each time, from one on.
            self.0.reserve_exact(self.0.len().clamp(1, MAX - self.0.len()));
        }
        self.0.push(item);
        Ok(())
    }

    /// Takes one out; those behind it move up.
    ///
    /// # Panics
    /// If there is none at `place`.
    pub fn remove(&mut self, place: usize) -> T {
        self.0.remove(place)
    }

    /// Keeps those that pass.
    pub fn retain(&mut self, passes: impl FnMut(&T) -> bool) {
        self.0.retain(passes);
    }
}

impl<T, const MAX: usize> Default for Few<T, MAX> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const MAX: usize> Deref for Few<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> DerefMut for Few<T, MAX> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// The first `MAX`.
impl<T, const MAX: usize> FromIterator<T> for Few<T, MAX> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list: Vec<T> = items.into_iter().take(MAX).collect();
        list.shrink_to_fit();
        Self(list)
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a Few<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a mut Few<T, MAX> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

impl<T: Plain, const MAX: usize> Plain for Few<T, MAX> {
    fn write(&self, to: &mut Writer) {
        write_len(self.len(), to);
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let len = from.len(MAX)?;
        (0..len).map(|_| T::read(from)).collect()
    }

    fn shape(of: &mut Shape) {
        of.name("list");
        of.name(&MAX.to_string());
        T::shape(of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_doubling_up_to_its_limit_and_no_further() {
        let mut few = Few::<u8, 5>::new();
        let mut rooms = Vec::new();
        for item in 0..5 {
            assert_eq!(few.try_push(item), Ok(()));
            rooms.push(few.0.capacity());
        }
        assert_eq!(few.try_push(5), Err(5));
        // Memory comes in multiples, but never for more than the limit.
        assert!(rooms.iter().all(|room| *room <= 8) && rooms[0] < rooms[4], "{rooms:?}");
        assert_eq!(*few, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_it_is_made_of_is_cut_at_the_limit() {
        assert_eq!(*(0..9).collect::<Few<u8, 3>>(), [0, 1, 2]);
    }
}
