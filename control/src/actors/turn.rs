//! The TURN server's mailbox and timer around [`Server`], and its way to the threads that relay.
//!
//! Each thread gets the gate at start. A request that a gate lets through comes up by the thread's link;
//! what the server wants is told to the thread of the allocation's client, in order, so that its answer
//! overtakes nothing that it is about.

mod connections;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use arrayvec::ArrayVec;
use causeway_engine::command::{AllocationId, Command, Event, Punt, Returned, SocketId, WorkerId};
use causeway_engine::config::ALLOCATIONS_PER_THREAD;
use causeway_engine::doors::{Door, Doors};
use causeway_engine::gate::Gate;
use causeway_engine::relay::{self, Allocation, AllocationSpec, Framing};
use causeway_engine::sys::socket;

use self::connections::{Connections, listener};
use crate::actors::call::{Applied, FromEngine};
use crate::actors::relays::RelayDesk;
use crate::actors::timer::Timer;
use crate::actors::worker_link::{FromThread, OwnTurn, Tell, UNASKED, WorkerLink, lock};
use crate::api::TurnStats;
use crate::turn::{Client, ClientTransport, Key, Output, Rate, Relay, RelayTransport, Server};

/// Messages that can wait; a request beyond it is lost, and its client repeats it.
const MAILBOX: usize = 4096;

/// A thread that relays.
struct Thread {
    link: Addr<WorkerLink>,
    free: Vec<u16>,
    generations: Vec<u32>,
}

/// An allocation as a thread has it.
struct Held {
    id: AllocationId,
    relays: Vec<Relay>,
    transport: RelayTransport,
    dont_fragment: bool,
    rate: Rate,
    client: Client,
    /// On its way from one thread to another: sockets that are still to come, and what to tell then.
    moving: Option<(usize, Vec<Command>)>,
}

/// What a thread is doing for the server.
enum Pending {
    /// Installing an allocation.
    Install(Key),
    /// Removing one.
    Remove(AllocationId),
    /// Giving a socket back.
    Socket(u64, Key),
}

/// The actor.
pub struct TurnActor {
    server: Server,
    desk: RelayDesk,
    doors: Arc<Doors>,
    gate: Gate,
    threads: HashMap<WorkerId, Thread>,
    held: HashMap<Key, Held>,
    pending: HashMap<u64, Pending>,
    last_tag: u64,
    connections: Connections,
    /// What each thread is to be told at the end of the message that is being handled.
    told: BTreeMap<WorkerId, Vec<(u64, Command)>>,
    stats: Arc<Mutex<TurnStats>>,
    timer: Timer,
}

impl Thread {
    fn new(link: Addr<WorkerLink>) -> Self {
        let most = u16::try_from(ALLOCATIONS_PER_THREAD).unwrap_or(u16::MAX);
        Self { link, free: (0..most).rev().collect(), generations: vec![0; most.into()] }
    }

    fn take(&mut self, thread: WorkerId) -> Option<AllocationId> {
        let slot = self.free.pop()?;
        let generation = &mut self.generations[usize::from(slot)];
        *generation += 1;
        Some(AllocationId { thread, slot, generation: *generation })
    }
}

impl TurnActor {
    /// Serves by `server` on these threads, whose gate is `gate`, and counts in `stats`.
    pub(super) fn new(
        server: Server,
        desk: RelayDesk,
        doors: Arc<Doors>,
        gate: Gate,
        links: Vec<(WorkerId, Addr<WorkerLink>)>,
        stats: Arc<Mutex<TurnStats>>,
    ) -> Self {
        let threads = links.into_iter().map(|(id, link)| (id, Thread::new(link))).collect();
        Self {
            server,
            desk,
            doors,
            gate,
            threads,
            held: HashMap::new(),
            pending: HashMap::new(),
            last_tag: 0,
            connections: Connections::default(),
            told: BTreeMap::new(),
            stats,
            timer: Timer::default(),
        }
    }

    fn request(&mut self, thread: WorkerId, punt: &Punt, ctx: &mut Context<Self>) {
        let client = client(thread, punt.socket, punt.remote);
        let now = self.read_clock();
        self.server.handle(now, unix(), client, &punt.bytes, &mut self.desk);
        self.drain(ctx);
    }

    fn event(&mut self, thread: WorkerId, event: &Event, ctx: &mut Context<Self>) {
        let now = self.read_clock();
        match *event {
            Event::StreamClosed { socket, remote } => {
                self.server.closed(now, &client(thread, socket, remote), &mut self.desk);
            }
            Event::PeerConnected { connection, ok } => {
                let outcome = if ok { Ok(()) } else { Err(()) };
                if let Some(known) = self.connections.known(connection) {
                    self.server.connected(now, known, outcome);
                }
            }
            Event::PeerAccepted { allocation, connection, peer } => {
                self.accepted(now, allocation, connection, peer);
            }
            Event::PeerClosed { connection } => {
                if let Some(known) = self.connections.known(connection) {
                    self.connections.forget(known);
                    self.server.disconnected(known);
                }
            }
            _ => {}
        }
        self.drain(ctx);
    }

    /// A peer has come to a TCP relay; one that the server does not want goes again.
    fn accepted(&mut self, now: Instant, allocation: AllocationId, number: u32, peer: SocketAddr) {
        let key = self.held.iter().find(|(_, held)| held.id == allocation).map(|(key, _)| *key);
        match key.and_then(|key| self.server.accepted(now, key, peer)) {
            Some(connection) => self.connections.add(connection, number),
            None => {
                let command = Command::DropConnection { connection: number };
                self.tell(allocation.thread, command);
            }
        }
    }

    /// The instant that everything happens at until the next message.
    fn read_clock(&mut self) -> Instant {
        self.desk.now = Instant::now();
        self.desk.now
    }

    fn due(&mut self, ctx: &mut Context<Self>) {
        self.timer.clear();
        let now = self.read_clock();
        self.server.handle_timeout(now, &mut self.desk);
        self.drain(ctx);
    }

    fn drain(&mut self, ctx: &mut Context<Self>) {
        loop {
            match self.server.poll_output() {
                Output::Timeout(next) => {
                    self.timer.set(next, ctx, Self::due);
                    break;
                }
                output => self.follow(output),
            }
        }
        self.send_told(ctx);
        *lock(&self.stats) = stats(&self.server);
    }

    fn follow(&mut self, output: Output) {
        match output {
            Output::Reply { client, bytes } => {
                let Client { thread, socket, remote, .. } = client;
                self.tell(thread, Command::Transmit { socket, remote, bytes });
            }
            Output::Install { key, client, transport, relays, dont_fragment, rate } => {
                let Some(id) = self.slot(client.thread) else { return self.lose(key) };
                let moving = None;
                let held = Held { id, relays, transport, dont_fragment, rate, client, moving };
                self.held.insert(key, held);
                self.install(key);
            }
            Output::Remove { key } => self.remove(key),
            Output::Withdraw { key, relay } => self.withdraw(key, relay),
            Output::Permit { key, peer } => {
                self.change(key, |allocation| Command::Permit { allocation, peer });
            }
            Output::Forbid { key, peer } => {
                self.change(key, |allocation| Command::Forbid { allocation, peer });
            }
            Output::Bind { key, channel, peer } => {
                let bind = |allocation| Command::BindChannel { allocation, channel, peer };
                self.change(key, bind);
            }
            Output::Unbind { key, channel } => {
                self.change(key, |allocation| Command::UnbindChannel { allocation, channel });
            }
            Output::SetRate { key, rate } => {
                if let Some(held) = self.held.get_mut(&key) {
                    held.rate = rate;
                }
                let rate = engine_rate(rate);
                self.change(key, |allocation| Command::SetRate { allocation, rate });
            }
            Output::Move { key, client } => self.begin_move(key, client),
            Output::Connect { key, connection, peer } => {
                let connection = self.connections.name(connection);
                let connect = |allocation| Command::Connect { allocation, connection, peer };
                self.change(key, connect);
            }
            Output::Join { connection, client } => {
                if let Some(connection) = self.connections.at_edge(connection) {
                    let Client { thread, socket, remote, .. } = client;
                    self.tell(thread, Command::Join { connection, socket, remote });
                }
            }
            Output::Drop { connection } => {
                if let Some(connection) = self.connections.forget(connection) {
                    self.tell(WorkerId::EDGE, Command::DropConnection { connection });
                }
            }
            Output::Timeout(_) => {}
        }
    }

    /// Gives an allocation's sockets, then the allocation, to its thread.
    fn install(&mut self, key: Key) {
        let Some(held) = self.held.get(&key) else { return };
        let Held { id, client, transport, dont_fragment, rate, .. } = *held;
        let relays = held.relays.clone();
        let mut spec = AllocationSpec {
            client: (client.socket, client.remote),
            framing: framing(client.transport),
            relays: ArrayVec::new(),
            dont_fragment,
            rate: engine_rate(rate),
        };
        let over_udp = transport == RelayTransport::Udp;
        for relay in relays.iter().copied() {
            let taken = if over_udp { self.desk.take(relay, id.thread) } else { None };
            let socket = taken.map(|(socket, udp)| {
                // What the kernel does not set it does not set; then the packets may be fragmented.
                let _ = socket::set_fragmentation(&udp, !dont_fragment);
                self.tell(id.thread, Command::AddSocket { socket, udp });
                socket
            });
            let _ = spec.relays.try_push(relay::Relay { relayed: relay.relayed, socket });
            let door = Door::Relay { thread: id.thread, slot: id.slot };
            self.doors.open(relay.relayed, door);
        }
        let state = Box::new(Allocation::new(&spec));
        let command = Command::AddAllocation { allocation: id, state };
        self.tell_tagged(id.thread, command, Pending::Install(key));
        for relay in relays.into_iter().filter(|_| !over_udp) {
            self.listen(id, relay);
        }
    }

    /// Lets peers connect to a TCP relay. Its UDP socket stays here and keeps the number.
    fn listen(&mut self, allocation: AllocationId, relay: Relay) {
        let Some(bound) = self.desk.of(relay).map(|leased| leased.bound) else { return };
        match listener(bound) {
            Ok(listener) => {
                let command = Command::AddListener { allocation, listener };
                self.tell(allocation.thread, command);
            }
            Err(error) => tracing::warn!(%bound, %error, "a TCP relay hears nobody"),
        }
    }

    fn remove(&mut self, key: Key) {
        let Some(held) = self.held.remove(&key) else { return };
        if held.moving.is_some() {
            // Its sockets are on their way here, and nobody needs them any more.
            self.give_slot(held.id);
            return;
        }
        self.uninstall(&held, key);
    }

    /// Takes an allocation and its sockets from its thread.
    fn uninstall(&mut self, held: &Held, key: Key) {
        let id = held.id;
        let command = Command::RemoveAllocation { allocation: id };
        self.tell_tagged(id.thread, command, Pending::Remove(id));
        for relay in &held.relays {
            self.take_socket(id, key, *relay);
        }
    }

    fn take_socket(&mut self, id: AllocationId, key: Key, relay: Relay) {
        self.doors.close(relay.relayed, Door::Relay { thread: id.thread, slot: id.slot });
        // A TCP relay's stays here.
        let lent = self.desk.of(relay).filter(|leased| leased.is_lent());
        let home = lent.and_then(|leased| leased.home);
        if let Some((thread, socket)) = home {
            let pending = Pending::Socket(relay.id, key);
            self.tell_tagged(thread, Command::RemoveSocket { socket }, pending);
        }
    }

    fn withdraw(&mut self, key: Key, relay: Relay) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.relays.retain(|kept| *kept != relay);
        let (id, relayed) = (held.id, relay.relayed);
        self.change(key, |allocation| Command::Withdraw { allocation, relayed });
        self.take_socket(id, key, relay);
    }

    /// Takes an allocation to where its client is now. Its sockets come back first.
    fn begin_move(&mut self, key: Key, client: Client) {
        let Some(mut held) = self.held.remove(&key) else { return };
        let mut waits = 0;
        if held.moving.is_none() {
            for relay in held.relays.clone() {
                waits += usize::from(self.desk.of(relay).is_some_and(|leased| leased.is_lent()));
            }
            self.uninstall(&held, key);
        } else if let Some((left, _)) = held.moving.take() {
            self.give_slot(held.id);
            waits = left;
        }
        let Some(id) = self.slot(client.thread) else { return self.lose(key) };
        (held.id, held.client) = (id, client);
        held.moving = Some((waits, Vec::new()));
        self.held.insert(key, held);
        self.settle_move(key, 0);
    }

    /// So many sockets of a moving allocation have come back; with the last it goes on.
    fn settle_move(&mut self, key: Key, came: usize) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let Some((left, _)) = &mut held.moving else { return };
        *left = left.saturating_sub(came);
        if *left > 0 {
            return;
        }
        let commands = held.moving.take().map(|(_, commands)| commands);
        let thread = held.id.thread;
        self.install(key);
        for command in commands.unwrap_or_default() {
            self.tell(thread, command);
        }
    }

    /// Tells an allocation's thread; later if it is on its way there.
    fn change(&mut self, key: Key, command: impl FnOnce(AllocationId) -> Command) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let (command, thread) = (command(held.id), held.id.thread);
        match &mut held.moving {
            Some((_, waiting)) => waiting.push(command),
            None => self.tell(thread, command),
        }
    }

    fn slot(&mut self, thread: WorkerId) -> Option<AllocationId> {
        self.threads.get_mut(&thread)?.take(thread)
    }

    fn give_slot(&mut self, id: AllocationId) {
        if let Some(thread) = self.threads.get_mut(&id.thread) {
            thread.free.push(id.slot);
        }
    }

    fn lose(&mut self, key: Key) {
        self.held.remove(&key);
        self.server.lost(key, &mut self.desk);
    }

    fn tell(&mut self, thread: WorkerId, command: Command) {
        self.told.entry(thread).or_default().push((UNASKED, command));
    }

    fn tell_tagged(&mut self, thread: WorkerId, command: Command, pending: Pending) {
        self.last_tag += 1;
        self.pending.insert(self.last_tag, pending);
        self.told.entry(thread).or_default().push((self.last_tag, command));
    }

    /// Everything goes by `do_send`, so that nothing overtakes; its number is bounded by the requests that a
    /// gate lets through and by the allocations.
    fn send_told(&mut self, ctx: &Context<Self>) {
        for (id, thread) in &self.threads {
            if let Some(commands) = self.told.remove(id) {
                let call = ctx.address().recipient();
                thread.link.do_send(Tell { call, commands });
            }
        }
    }

    fn applied(&mut self, pending: Pending, refused: bool, returned: Returned) {
        self.read_clock();
        match pending {
            Pending::Install(key) if refused => {
                let Some(held) = self.held.remove(&key) else { return };
                // A stream may have gone meanwhile.
                tracing::debug!(?held.id, "a relay was refused by its thread");
                self.give_slot(held.id);
                for relay in &held.relays {
                    self.take_socket(held.id, key, *relay);
                }
                self.server.lost(key, &mut self.desk);
            }
            Pending::Install(_) => {}
            Pending::Remove(id) => self.give_slot(id),
            Pending::Socket(relay, key) => {
                let udp = if let Returned::Socket(udp) = returned { Some(udp) } else { None };
                self.desk.give_back(relay, udp);
                self.settle_move(key, 1);
            }
        }
    }
}

fn client(thread: WorkerId, socket: SocketId, remote: SocketAddr) -> Client {
    let transport = match socket {
        SocketId::TLS => ClientTransport::Tls,
        SocketId::TCP => ClientTransport::Tcp,
        _ => ClientTransport::Udp,
    };
    Client { thread, socket, remote, transport }
}

fn framing(transport: ClientTransport) -> Framing {
    match transport {
        ClientTransport::Udp => Framing::Datagram,
        ClientTransport::Tcp | ClientTransport::Tls => Framing::Stream,
    }
}

pub(super) fn engine_rate(Rate { bytes, packets }: Rate) -> relay::Rate {
    let most = |number| u32::try_from(number).unwrap_or(u32::MAX);
    relay::Rate { bytes: most(bytes), packets: most(packets) }
}

fn stats(server: &Server) -> TurnStats {
    let counts = server.counts();
    TurnStats {
        allocations: server.allocations() as u64,
        made: counts.allocations,
        unauthenticated: counts.unauthenticated,
        refused: counts.refused,
        dropped: counts.dropped,
        unwelcome: counts.unwelcome,
    }
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Actor for TurnActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let threads: Vec<_> = self.threads.keys().copied().collect();
        for id in threads {
            self.threads[&id].link.do_send(OwnTurn(ctx.address().recipient()));
            self.tell(id, Command::SetGate(Box::new(self.gate.clone())));
        }
        self.send_told(ctx);
    }
}

impl Handler<FromThread> for TurnActor {
    type Result = ();

    fn handle(&mut self, message: FromThread, ctx: &mut Self::Context) {
        match message {
            FromThread::Punt(thread, punt) => self.request(thread, &punt, ctx),
            FromThread::Event(thread, event) => self.event(thread, &event, ctx),
        }
    }
}

impl Handler<FromEngine> for TurnActor {
    type Result = ();

    fn handle(&mut self, message: FromEngine, ctx: &mut Self::Context) {
        let FromEngine::Applied(answers) = message else { return };
        for Applied { tag, outcome, returned } in answers {
            if let Some(pending) = self.pending.remove(&tag) {
                self.applied(pending, outcome.is_err(), returned);
            }
        }
        self.drain(ctx);
    }
}
