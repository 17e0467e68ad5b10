use std::collections::VecDeque;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::command::{LegId, SinkId, SocketId, StreamId, WorkerId};

#[derive(Debug, Clone)]
enum Step {
    Push,
    PushBatch(usize),
    Pop,
    PopBatch(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Push),
        1 => (0..20_usize).prop_map(Step::PushBatch),
        2 => Just(Step::Pop),
        1 => (0..20_usize).prop_map(Step::PopBatch),
    ]
}

proptest! {
    #[test]
    fn a_ring_is_a_bounded_queue(
        capacity in 1..17_usize,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let (mut sender, mut receiver) = ring(capacity);
        let mut oracle = VecDeque::new();
        let mut numbers = 0_u32..;
        for step in steps {
            match step {
                Step::Push => {
                    let number = numbers.next().unwrap();
                    let expected = if oracle.len() < capacity { Ok(()) } else { Err(number) };
                    prop_assert_eq!(sender.push(number), expected);
                    expected.is_ok().then(|| oracle.push_back(number));
                }
                Step::PushBatch(count) => {
                    let batch: Vec<u32> = numbers.by_ref().take(count).collect();
                    let fit = count.min(capacity - oracle.len());
                    let mut items = batch.iter().copied();
                    prop_assert_eq!(sender.push_batch(&mut items), fit);
                    prop_assert!(items.eq(batch[fit..].iter().copied()));
                    oracle.extend(&batch[..fit]);
                }
                Step::Pop => prop_assert_eq!(receiver.pop(), oracle.pop_front()),
                Step::PopBatch(max) => {
                    let expected: Vec<u32> = oracle.drain(..max.min(oracle.len())).collect();
                    let mut taken = Vec::new();
                    prop_assert_eq!(receiver.pop_batch(max, |n| taken.push(n)), expected.len());
                    prop_assert_eq!(taken, expected);
                }
            }
            prop_assert_eq!((sender.len(), receiver.len()), (oracle.len(), oracle.len()));
            prop_assert_eq!(sender.room(), capacity - oracle.len());
            prop_assert_eq!(sender.is_empty(), oracle.is_empty());
            prop_assert_eq!(receiver.is_empty(), oracle.is_empty());
        }
    }
}

#[test]
fn between_two_threads_nothing_is_lost_doubled_or_reordered() {
    const ITEMS: u64 = 200_000;
    // Boxes, so that an item taken twice or not at all is also a memory error or a leak.
    let (mut sender, mut receiver) = ring(64);
    let producer = thread::spawn(move || {
        let mut next = 0;
        while next < ITEMS {
            let pushed = if next % 3 == 0 {
                usize::from(sender.push(Box::new(next)).is_ok())
            } else {
                sender.push_batch(&mut (next..ITEMS).take(7).map(Box::new))
            };
            next += pushed as u64;
            if pushed == 0 {
                thread::yield_now();
            }
        }
    });
    let mut expected = 0;
    while expected < ITEMS {
        let before = expected;
        if let Some(item) = receiver.pop() {
            assert_eq!(*item, expected);
            expected += 1;
        }
        receiver.pop_batch(10, |item| {
            assert_eq!(*item, expected);
            expected += 1;
        });
        if expected == before {
            thread::yield_now();
        }
    }
    producer.join().unwrap();
    assert!(receiver.pop().is_none());
}

#[test]
fn what_still_waits_is_dropped_with_the_ring() {
    let witness = std::sync::Arc::new(());
    let (mut sender, receiver) = ring(4);
    sender.push(witness.clone()).unwrap();
    sender.push(witness.clone()).unwrap();
    drop(receiver);
    drop(sender);
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
}

fn leg(slot: u16) -> LegId {
    LegId { worker: WorkerId(0), slot, generation: 0 }
}

fn transmit() -> Command {
    let remote = "192.0.2.1:1".parse().unwrap();
    Command::Transmit { socket: SocketId(0), remote, bytes: Box::new([]) }
}

fn pause(slot: u16) -> Command {
    Command::PauseStream { stream: StreamId { leg: leg(slot), index: 0 }, paused: true }
}

fn remove_sink(slot: u16) -> Command {
    Command::RemoveSink {
        stream: StreamId { leg: leg(slot), index: 0 },
        sink: SinkId { leg: leg(slot), index: 0 },
    }
}

#[test]
fn a_full_ring_refuses_new_work_and_still_takes_every_removal() {
    const LEGS: usize = 16;
    let (mut sender, mut receiver) = command_ring(LEGS);
    assert_eq!(sender.room(), COMMAND_RING);
    for _ in 0..COMMAND_RING {
        sender.try_send(transmit()).unwrap();
    }
    assert_eq!(sender.room(), 0);
    let refused = sender.try_send(transmit()).unwrap_err();
    assert!(matches!(refused, Command::Transmit { .. }), "the command comes back: {refused:?}");

    for slot in 0..LEGS as u16 {
        let command = if slot % 2 == 0 { pause(slot) } else { remove_sink(slot) };
        sender.try_send(command).unwrap();
    }
    assert!(sender.try_send(pause(0)).is_err() && sender.try_send(remove_sink(0)).is_err());

    for slot in 0..LEGS as u16 {
        sender.try_send(Command::RemoveLeg { leg: leg(slot) }).unwrap();
    }
    for socket in 0..SOCKETS_PER_WORKER as u16 {
        sender.try_send(Command::RemoveSocket { socket: SocketId(socket) }).unwrap();
    }
    sender.try_send(Command::Stop).unwrap();

    let mut tickets = Vec::new();
    receiver.pop_batch(usize::MAX, |(ticket, _)| tickets.push(ticket.0));
    let accepted = (COMMAND_RING + 2 * LEGS + SOCKETS_PER_WORKER + 1) as u64;
    assert!(tickets.into_iter().eq(0..accepted), "tickets count what was accepted, in order");
    assert_eq!(sender.room(), COMMAND_RING);
}

proptest! {
    /// Slots are filled again only after their removal was taken out, as control has to.
    #[test]
    fn a_removal_is_never_refused(
        steps in proptest::collection::vec((0..4_u8, 0..8_u16, 0..6000_usize), 0..60),
    ) {
        const LEGS: usize = 8;
        let (mut sender, mut receiver) = command_ring(LEGS);
        let mut being_removed = [false; LEGS];
        for (kind, slot, count) in steps {
            match kind {
                0 => (0..count).for_each(|_| _ = sender.try_send(transmit())),
                1 => _ = sender.try_send(pause(slot)),
                2 if !being_removed[usize::from(slot)] => {
                    let command = Command::RemoveLeg { leg: leg(slot) };
                    prop_assert!(sender.try_send(command).is_ok());
                    being_removed[usize::from(slot)] = true;
                }
                2 => {}
                _ => {
                    receiver.pop_batch(count, |(_, command)| {
                        if let Command::RemoveLeg { leg } = command {
                            being_removed[usize::from(leg.slot)] = false;
                        }
                    });
                }
            }
        }
    }
}
