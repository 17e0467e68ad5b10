//! A call of two phones over ng.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use causeway_engine::sys::socket;

use super::client::{NgClient, NgError};
use super::sdp::{self, Line, describe, key_of};
use crate::bundle::{Bundle, Incoming};
use crate::door::{DoorError, NgDoor};
use crate::flow::Flow;
use crate::phones::Phones;
use crate::plan::{Plan, Stream};
use crate::run::RunError;
use crate::transport::Transport;

/// Makes the call `id`: its bundles in the order of [`crate::call::Call::bundles`], one for each m-line of either
/// leg, and their sockets. `names` are the ids of the first stream that either leg sends; `number` tells the call's
/// keys from those of others.
///
/// # Errors
/// If the server refuses or what it describes is of no use, and the kernel's.
pub fn dial(
    door: &mut NgDoor<'_>,
    plan: &Plan,
    id: &str,
    number: u32,
    streams: &[Stream],
    names: [u32; 2],
) -> Result<(Vec<Bundle>, Vec<UdpSocket>), RunError> {
    let (phones, count) = (door.phones, streams.len());
    let [for_caller, for_called] = phones.suites();
    let open = |suite, side: u32| {
        let open = |line: u32| {
            let key = Option::map(suite, |suite| key_of(4 * number + 2 * line + side, suite));
            let udp = socket::bind(SocketAddr::new(plan.bind, 0), false)?;
            let line = Line { at: udp.local_addr()?, keys: key.into_iter().collect() };
            io::Result::Ok((udp, line))
        };
        (0..count as u32).map(open).collect::<io::Result<(Vec<_>, Vec<_>)>>()
    };
    let ((sockets, caller), (others, called)) = (open(for_caller, 0)?, open(for_called, 1)?);

    let agreed = agree(&mut door.client, phones, id, &caller, called);
    let Agreed { offered, called, answered } = agreed.map_err(DoorError::from)?;

    let mut bundles = Vec::with_capacity(2 * count);
    for (place, stream) in streams.iter().enumerate() {
        let [one, other] = names.map(|first| first + place as u32);
        let number = phones.payload_type(stream.media);
        let faces = [(&caller, &answered, [one, other]), (&called, &offered, [other, one])];
        for (own, theirs, names) in faces {
            bundles.push(bundle(&own[place], &theirs[place], *stream, number, names)?);
        }
    }
    let sockets = sockets.into_iter().zip(others).flat_map(|(one, other)| [one, other]);
    Ok((bundles, sockets.collect()))
}

/// What the two sides of a call were told, and what the called one said.
pub struct Agreed {
    /// What was offered to the called side.
    pub offered: Vec<Line>,
    /// Its answer.
    pub called: Vec<Line>,
    /// What was answered to the caller.
    pub answered: Vec<Line>,
}

/// Offers the call `id` with the lines of `caller`, and answers with as many of `called`.
///
/// # Errors
/// If the server refuses, or describes another number of lines.
pub fn agree(
    client: &mut NgClient,
    phones: Phones,
    id: &str,
    caller: &[Line],
    called: Vec<Line>,
) -> Result<Agreed, NgError> {
    let read = |said: String| {
        let lines = sdp::read(&said).filter(|lines| lines.len() == caller.len());
        lines.ok_or(NgError::Description(said))
    };
    let [_, for_called] = phones.suites();
    let profile = if for_called.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let offered = read(client.offer(id, &describe(caller, phones.codec), profile)?)?;
    let called: Vec<_> =
        called.into_iter().zip(&offered).map(|(own, offer)| own.answering(offer)).collect();
    let answered = read(client.answer(id, &describe(&called, phones.codec))?)?;
    Ok(Agreed { offered, called, answered })
}

/// One that sends a stream from `own` to `theirs`. `names` are the ids of what it sends and of what it receives.
fn bundle(
    own: &Line,
    theirs: &Line,
    stream: Stream,
    payload_type: u8,
    names: [u32; 2],
) -> Result<Bundle, DoorError> {
    let no_key = || NgError::Description(format!("{} has no key", theirs.at));
    let transport = own.transport(theirs).ok_or_else(no_key)?;
    let flow = Flow::new(stream, names[0], payload_type, None, Instant::now());
    let incoming = Incoming::new(names[1], stream.media);
    Ok(Bundle::new(Transport::Plain(Box::new(transport)), vec![flow], vec![incoming]))
}
