//! Rings: bounded lock-free queues between exactly two threads. Nothing is allocated after
//! [`ring`], nothing blocks, a full ring gives the item back.

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::command::{Command, Ticket};
use crate::config::{
    ALLOCATIONS_PER_THREAD, COMMAND_RING, LEGS_PER_WORKER_CEILING, SOCKETS_PER_WORKER,
};

/// A ring for `capacity` items.
///
/// # Panics
/// If `capacity` is 0.
pub fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = HeapRb::new(capacity).split();
    (Sender(sender), Receiver(receiver))
}

/// The end of a ring that puts in.
pub struct Sender<T>(HeapProd<T>);

impl<T> Sender<T> {
    /// Puts one item in; the other thread sees it at once.
    ///
    /// # Errors
    /// The item, if the ring is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        self.0.try_push(item)
    }

    /// Puts items in as long as there is room and says how many; the other thread sees them
    /// together. Items beyond that stay in the iterator.
    pub fn push_batch(&mut self, items: &mut impl Iterator<Item = T>) -> usize {
        self.0.push_iter(items)
    }

    /// Items that can be put in now; more only if the other thread takes some out.
    pub fn room(&self) -> usize {
        self.0.vacant_len()
    }

    /// Items that wait, at most.
    pub fn len(&self) -> usize {
        self.0.occupied_len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The end of a ring that takes out.
pub struct Receiver<T>(HeapCons<T>);

impl<T> Receiver<T> {
    /// Takes the oldest item out.
    pub fn pop(&mut self) -> Option<T> {
        self.0.try_pop()
    }

    /// Takes out at most `max` items that wait now, oldest first, and says how many.
    pub fn pop_batch(&mut self, max: usize, mut take: impl FnMut(T)) -> usize {
        let mut count = 0;
        for item in self.0.pop_iter().take(max) {
            take(item);
            count += 1;
        }
        count
    }

    /// Items that wait, at least.
    pub fn len(&self) -> usize {
        self.0.occupied_len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

const _: () = assert!(capacity_for(LEGS_PER_WORKER_CEILING) <= u16::MAX as usize);

/// A worker's command ring, sized so that removals always have room for `legs` legs.
pub fn command_ring(legs: usize) -> (CommandSender, Receiver<(Ticket, Command)>) {
    let (ring, receiver) = ring(capacity_for(legs));
    (CommandSender { ring, legs, next: Ticket(0) }, receiver)
}

/// Control's end of a worker's command ring. Numbers what it accepts, and keeps room for removals.
///
/// The ring has three shares, and each kind of command leaves those below its own untouched:
///
/// 1. [`COMMAND_RING`] for commands that build up. Full is a 503.
/// 2. One per leg for `RemoveSink`, `PauseStream` and `Withdraw`, so that a flood of the first kind cannot keep
///    media flowing where it must not. They are refused only if more than one per leg already waits.
/// 3. One per leg, one per socket, one per allocation and one more for `RemoveLeg`, `RemoveSocket`,
///    `RemoveAllocation` and `Stop`. These are
///    never refused: a slot is filled again only after its removal was answered, so at most one
///    removal per slot can wait, and `Stop` is said once.
#[derive(Debug)]
pub struct CommandSender {
    ring: Sender<(Ticket, Command)>,
    legs: usize,
    next: Ticket,
}

impl CommandSender {
    /// Accepts a command and names it.
    ///
    /// # Errors
    /// The command, if its share of the ring is full.
    pub fn try_send(&mut self, command: Command) -> Result<Ticket, Command> {
        let kept = self.kept_from(&command);
        let has_room = self.ring.room() > kept;
        debug_assert!(has_room || kept > 0, "a slot is removed once: {command:?}");
        if !has_room {
            return Err(command);
        }
        let ticket = self.next;
        self.ring.push((ticket, command)).map_err(|(_, command)| command)?;
        self.next = Ticket(ticket.0 + 1);
        Ok(ticket)
    }

    /// Legs that removals have room for.
    pub fn legs(&self) -> usize {
        self.legs
    }

    /// Commands that build up and can be accepted now.
    pub fn room(&self) -> usize {
        self.ring.room().saturating_sub(removals(self.legs) + self.legs)
    }

    /// Slots that `command` must leave free.
    fn kept_from(&self, command: &Command) -> usize {
        match command {
            Command::RemoveLeg { .. }
            | Command::RemoveSocket { .. }
            | Command::RemoveAllocation { .. }
            | Command::Stop => 0,
            Command::RemoveSink { .. } | Command::PauseStream { .. } | Command::Withdraw { .. } => {
                removals(self.legs)
            }
            _ => removals(self.legs) + self.legs,
        }
    }
}

const fn removals(legs: usize) -> usize {
    legs + SOCKETS_PER_WORKER + ALLOCATIONS_PER_THREAD + 1
}

const fn capacity_for(legs: usize) -> usize {
    COMMAND_RING + legs + removals(legs)
}

#[cfg(test)]
mod tests;
