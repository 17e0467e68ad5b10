//! The encoding: what was written is read, and nothing else is.

use std::collections::VecDeque;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use arrayvec::ArrayVec;
use proptest::prelude::*;

use super::*;
use crate::command::StreamId;
use crate::plain::{self, plain};
use crate::sys::pass;

const NOW: Nanos = Nanos::from_millis(500_000);

fn written<T: Plain>(value: &T) -> Vec<u8> {
    let mut writer = Writer::new(NOW);
    value.write(&mut writer);
    writer.finish().to_vec()
}

fn read<T: Plain>(bytes: &[u8], now: Nanos) -> Result<T, Unreadable> {
    let mut reader = Reader::new(bytes, now);
    let value = T::read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    small: (u8, u16),
    large: (u32, u64),
    signed: i64,
    flag: bool,
    text: String,
    list: ArrayVec<Option<u16>, 5>,
    address: SocketAddr,
    stream: StreamId,
}

plain! { struct Sample { small, large, signed, flag, text, list, address, stream } }

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port).into()),
        any::<([u8; 16], u16, u32)>().prop_map(|(ip, port, scope)| SocketAddrV6::new(
            ip.into(),
            port,
            0,
            scope
        )
        .into()),
    ]
}

prop_compose! {
    fn sample()(
        (a, b, c, d, e) in any::<(u8, u16, u32, u64, i64)>(),
        (flag, text) in any::<(bool, String)>(),
        list in prop::collection::vec(any::<Option<u16>>(), 0..=5),
        address in address(),
        (worker, slot, generation, index) in any::<(u16, u16, u32, u8)>(),
    ) -> Sample {
        let leg = LegId { worker: WorkerId(worker), slot, generation };
        Sample {
            small: (a, b),
            large: (c, d),
            signed: e,
            flag,
            text,
            list: list.into_iter().collect(),
            address,
            stream: StreamId { leg, index },
        }
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_a_part_of_it_is_not(sample in sample()) {
        let bytes = written(&sample);
        for len in 0..bytes.len() {
            prop_assert!(read::<Sample>(&bytes[..len], NOW).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(read::<Sample>(&longer, NOW), Err(Unreadable::Long));
        prop_assert_eq!(read::<Sample>(&bytes, NOW), Ok(sample));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read::<Sample>(&bytes, NOW);
        let _ = read::<Leg>(&bytes, NOW);
    }

    #[test]
    fn times_keep_their_distance_from_now(age in 0u64..400_000_000_000, other in 500_000_000_000u64..) {
        let then = Nanos(NOW.0 - age);
        let there = read::<Nanos>(&written(&then), Nanos(other));
        prop_assert_eq!(there, Ok(Nanos(other - age)));
    }
}

#[test]
fn the_time_that_never_was_stays_so() {
    assert_eq!(read::<Nanos>(&written(&Nanos(0)), Nanos(9)), Ok(Nanos(0)));
    let long_ago = written(&Nanos(1));
    assert_eq!(read::<Nanos>(&long_ago, Nanos(9)), Ok(Nanos(1)), "not never, though");
}

#[test]
fn lists_and_texts_beyond_their_bounds_are_refused() {
    let six = [&6u16.to_le_bytes()[..], &[0; 6]].concat();
    let bound = Unreadable::Bound { len: 6, max: 5 };
    assert_eq!(read::<ArrayVec<Option<u16>, 5>>(&six, NOW), Err(bound));
    let long = written(&"x".repeat(plain::TEXT_MAX + 1));
    assert!(matches!(read::<String>(&long, NOW), Err(Unreadable::Bound { .. })));
}

mod here {
    use crate::plain::plain;
    pub(super) struct Thing {
        pub(super) one: u8,
        pub(super) two: u16,
    }
    plain! { struct Thing { one, two } }
}

mod there {
    use crate::plain::plain;
    pub(super) struct Thing {
        pub(super) one: u8,
        pub(super) two: u32,
    }
    plain! { struct Thing { one, two } }
}

#[test]
fn a_field_of_another_type_makes_another_layout() {
    let here = Shape::of::<here::Thing>();
    assert_ne!(here, Shape::of::<there::Thing>());
    assert_eq!(here, Shape::of::<here::Thing>());
    let things = (here::Thing { one: 0, two: 0 }, there::Thing { one: 0, two: 0 });
    assert_eq!(written(&things).len(), 3 + 5);
}

#[test]
fn messages_and_sockets_arrive_in_order_and_none_is_left_over() {
    use super::channel::{Channel, Message};
    let (here, there) = UnixStream::pair().unwrap();
    let sockets: Vec<_> = (0..200)
        .map(|number| (SocketId(number), UdpSocket::bind("127.0.0.1:0").unwrap()))
        .collect();
    let patience = std::time::Duration::from_secs(20);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut channel = Channel::new(&here, patience);
            let leg = LegId { worker: WorkerId(3), slot: 4, generation: 5 };
            for state in 0..2000u32 {
                channel.say(&Message::Leg { leg }, &[7; 100][..state as usize % 100]).unwrap();
            }
            channel.say_sockets(&sockets).unwrap();
            channel.say(&Message::Installed {}, &[]).unwrap();
        });
        let mut channel = Channel::new(&there, patience);
        for state in 0..2000 {
            let len = channel.hear(|message, bytes| {
                assert!(matches!(message, Message::Leg { leg } if leg.slot == 4));
                Ok(bytes.len())
            });
            assert_eq!(len.unwrap(), state % 100);
        }
        let mut expected = sockets.iter();
        while expected.len() > 0 {
            let ids = channel.hear(|message, _| match message {
                Message::Sockets { sockets } => Ok(sockets),
                _ => panic!("sockets were sent"),
            });
            for id in ids.unwrap() {
                let (sent, udp) = expected.next().unwrap();
                let local = channel.socket().unwrap().local_addr().unwrap();
                assert_eq!((id, local), (*sent, udp.local_addr().unwrap()));
            }
        }
        assert!(!channel.has_unnamed());
        let last = channel.hear(|message, _| Ok(matches!(message, Message::Installed {})));
        assert!(last.unwrap());
    });
}

#[test]
fn what_is_no_udp_socket_is_not_taken_for_one() {
    use super::channel::{Broken, Channel};
    let (here, there) = UnixStream::pair().unwrap();
    pass::send(&here, b"1234", &[here.as_fd()]).unwrap();
    let mut came = VecDeque::new();
    let mut channel = Channel::new(&there, std::time::Duration::from_secs(20));
    assert!(matches!(channel.socket(), Err(Broken::Unexpected(_))), "nothing came yet");
    // A length beyond all bounds comes with a descriptor that is a stream.
    assert!(channel.hear(|_, _| Ok(())).is_err());
    assert!(matches!(channel.socket(), Err(Broken::Unexpected(_))));
    assert!(!channel.has_unnamed());
    drop(here);
    assert_eq!(pass::receive(&there, &mut [0; 4], &mut came).unwrap(), 0);
}
