//! DTLS handshakes of many transports, on an arbiter of their own: a step takes 0.1 to 0.3 ms, which
//! must delay neither an answer of the API nor a packet.

use std::collections::HashMap;
use std::time::Instant;

use actix::prelude::*;
use causeway_engine::command::TransportId;

use crate::actors::call::{DtlsOutput, FromDtls};
use crate::call::DtlsInput;
use crate::dtls::{Handshake, Identity, Output, Versions};

/// Messages that can wait; a datagram beyond it is lost and repeated by its sender.
const MAILBOX: usize = 4096;
/// What a call wants of a transport's handshake.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Shake {
    /// The transport.
    pub transport: TransportId,
    /// Whom to answer.
    pub call: Recipient<DtlsOutput>,
    /// What.
    pub input: DtlsInput,
}

/// Tells a transport's handshake what its call wants; a datagram may be lost, as on its way.
pub(crate) fn shake<C>(
    dtls: &Addr<DtlsActor>,
    transport: TransportId,
    input: DtlsInput,
    ctx: &Context<C>,
) where
    C: Actor<Context = Context<C>> + Handler<DtlsOutput>,
{
    let droppable = matches!(input, DtlsInput::Datagram(_));
    let message = Shake { transport, call: ctx.address().recipient(), input };
    if droppable {
        let _ = dtls.try_send(message);
    } else {
        dtls.do_send(message);
    }
}

struct Entry {
    handshake: Handshake,
    call: Recipient<DtlsOutput>,
    timer: Option<(Instant, SpawnHandle)>,
}

/// The actor.
pub struct DtlsActor {
    identity: Identity,
    versions: Versions,
    entries: HashMap<TransportId, Entry>,
}

impl DtlsActor {
    /// All handshakes show this certificate and end in one of these versions.
    pub fn new(identity: Identity, versions: Versions) -> Self {
        Self { identity, versions, entries: HashMap::new() }
    }

    fn handle_input(&mut self, id: TransportId, call: Recipient<DtlsOutput>, input: DtlsInput) {
        let now = Instant::now();
        if let DtlsInput::Start { role, expected } = input {
            let handshake = Handshake::new(&self.identity, self.versions, role, expected, now);
            let entry = Entry { handshake, call, timer: None };
            self.entries.insert(id, entry);
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match input {
            DtlsInput::Start { .. } => {}
            DtlsInput::Datagram(bytes) => entry.handshake.handle_packet(now, &bytes),
            DtlsInput::Expect(fingerprints) => entry.handshake.set_expected(fingerprints, now),
            DtlsInput::Close => entry.handshake.close(now),
        }
    }

    /// Hands on what a handshake wants and sets its timer.
    fn drain(&mut self, id: TransportId, ctx: &mut Context<Self>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let (over, next) = loop {
            match entry.handshake.poll_output() {
                Output::Datagram(bytes) => entry.tell(id, FromDtls::Datagram(bytes)),
                Output::Connected { keys, version } => {
                    entry.tell(id, FromDtls::Connected { keys, version });
                }
                Output::Failed(error) => {
                    let shown = entry.handshake.shown();
                    entry.tell(id, FromDtls::Failed { error, shown });
                    break (true, None);
                }
                Output::Closed => {
                    entry.tell(id, FromDtls::Closed);
                    break (true, None);
                }
                Output::Timeout(next) => break (false, next),
            }
        };
        if over {
            if let Some(entry) = self.entries.remove(&id)
                && let Some((_, timer)) = entry.timer
            {
                ctx.cancel_future(timer);
            }
            return;
        }
        if let Some(next) = next
            && entry.timer.is_none_or(|(at, _)| at > next)
        {
            if let Some((_, old)) = entry.timer.take() {
                ctx.cancel_future(old);
            }
            let wait = next.saturating_duration_since(Instant::now());
            let timer = ctx.run_later(wait, move |actor, ctx| actor.tick(id, ctx));
            entry.timer = Some((next, timer));
        }
    }

    fn tick(&mut self, id: TransportId, ctx: &mut Context<Self>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.timer = None;
            entry.handshake.handle_timeout(Instant::now());
            self.drain(id, ctx);
        }
    }
}

impl Entry {
    fn tell(&self, id: TransportId, output: FromDtls) {
        self.call.do_send(DtlsOutput { transport: id, output });
    }
}

impl Actor for DtlsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Shake> for DtlsActor {
    type Result = ();

    fn handle(&mut self, Shake { transport: id, call, input }: Shake, ctx: &mut Self::Context) {
        let closes = matches!(input, DtlsInput::Close);
        self.handle_input(id, call.clone(), input);
        self.drain(id, ctx);
        if closes {
            if let Some((_, timer)) = self.entries.remove(&id).and_then(|e| e.timer) {
                ctx.cancel_future(timer);
            }
            call.do_send(DtlsOutput { transport: id, output: FromDtls::Gone });
        }
    }
}
