//! The running node: engine, actors and the arbiters that they live on; and [`NodeCalls`], which
//! answers what the API asks.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use causeway_engine::command::{SocketId, WorkerId};
use causeway_engine::config::EngineConfig;
use causeway_engine::doors::{Door, Doors};
use causeway_engine::edge::EdgeConfig;
use causeway_engine::error::{DropReason, StartError};
use causeway_engine::export::HandOverError;
use causeway_engine::gate::Gate;
use causeway_engine::stats::WorkerCounters;
use causeway_engine::{Engine, Link};
use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, oneshot};

use crate::actors::call::{Ask, CallActor, Request, Show, ShowLeg};
use crate::actors::dtls::DtlsActor;
use crate::actors::events::Events;
use crate::actors::faces::{self, SharedPort};
use crate::actors::load::Admission;
use crate::actors::proxied::{Finish, NgAsk, ProxiedActor, clock};
use crate::actors::registry::{
    ANSWER_TIMEOUT, All, Announced, CallCounts, Create, EndAll, Find, Registry, Seen, WhyPast,
    WorkerSeat,
};
use crate::actors::relays::RelayDesk;
use crate::actors::rings;
use crate::actors::switchboard::{Called, HangUp, Ids, Scribes, Switchboard};
use crate::actors::turn::TurnActor;
use crate::actors::worker_link::{GiveBack, Lend, WorkerDesk, WorkerLink, lock};
use crate::address;
use crate::api::{
    AddLeg, CallStats, CallView, ClientReport, CreateCall, Description, EdgeStats, EndReason,
    InterfaceView, Latency, LegAdded, LegView, LifeEvent, MediaDirection, NodeState, NodeStats,
    Problem, ProxiedCall, ProxiedStats, ProxiedWhy, Receive, Trickle, TurnSize, TurnStats, What,
    Why, WorkerStats,
};
use crate::call::{Eyes, Face, Lifetimes, NodeFacts, Remark, Reply, random_id};
use crate::calls::{Answer, Calls, NgAsked, NgCalls, Restarted};
use crate::cloud::{self, CloudError};
use crate::config::{Announce, Cdr, Ports, Recording, Turn, Webhook};
use crate::dtls::{self, Identity, Versions};
use crate::ice::Credentials;
use crate::ng;
use crate::ports::{PortDesk, PortInterface};
use crate::proxied::{self, EndedBy, Facts, Timeouts};
use crate::recording::{Recorder, RecordingError};
use crate::records::{RecordError, Records};
use crate::sdp;
use crate::turn;

/// How long calls may take to end when the node stops.
const GOODBYES: Duration = Duration::from_secs(2);
/// Characters of what the node knows its own descriptions by.
const INSTANCE_LEN: usize = 12;

/// An interface with its addresses resolved.
#[derive(Debug, Clone)]
pub struct BoundInterface {
    /// Its name, for messages.
    pub name: String,
    /// Worker `n` is bound to this address with the ports from port + n × `mux_ports` on; with any
    /// ports if it is 0.
    pub bind: SocketAddr,
    /// Ports of each worker.
    pub mux_ports: u16,
    /// What the world sends to, with the same ports.
    pub announce: IpAddr,
    /// Whether the bound address is offered too, behind the announced one.
    pub private_candidate: bool,
    /// Whether packets that are too long for their path are dropped instead of fragmented.
    pub dont_fragment: bool,
    /// Dedicated ports for legs without ICE.
    pub ports: Option<Ports>,
}

impl BoundInterface {
    fn view(&self) -> InterfaceView {
        InterfaceView {
            name: self.name.clone(),
            bind: self.bind.to_string(),
            announce: self.announce.to_string(),
            private_candidate: self.private_candidate,
        }
    }
}

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Its name.
    pub name: String,
    /// The engine.
    pub engine: EngineConfig,
    /// Where browsers are answered.
    pub interfaces: Vec<BoundInterface>,
    /// The code point of what legs are sent that ask for none, 0 to 63.
    pub dscp: u8,
    /// The DTLS versions that a handshake may end in.
    pub dtls: Versions,
    /// Calls that are not over, most.
    pub calls: usize,
    /// What limits calls behind SIP proxies besides.
    pub admission: Admission,
    /// For a leg to connect, and for a call to get its first.
    pub join: Duration,
    /// Whether calls behind SIP proxies may use SDES suites that nobody should use any more.
    pub legacy_suites: bool,
    /// How long calls live.
    pub timeouts: Timeouts,
    /// Legs of a call, most.
    pub legs_per_call: usize,
    /// The file that is told of calls that are over.
    pub cdr: Cdr,
    /// The receiver that is.
    pub webhook: Webhook,
    /// Where calls are recorded.
    pub recording: Recording,
    /// The TURN server.
    pub turn: Turn,
    /// Whether the certificate of the edge is one that browsers do not trust.
    pub self_signed: bool,
    /// Where the edge listens; UDP comes in on the same port.
    pub edge: Option<SocketAddr>,
}

impl NodeConfig {
    /// The UDP ports that all workers have, and what legs are offered of the edge's streams.
    fn shared_ports(&self) -> (Vec<SharedPort>, Vec<Face>) {
        let at = |listen, media| SharedPort::at(listen, media, &self.interfaces);
        let turn = self.turn.listen.filter(|_| self.turn.is_on());
        let shared: Vec<_> = self
            .edge
            .into_iter()
            .flat_map(|edge| at(edge, true))
            .chain(turn.into_iter().flat_map(|turn| at(turn, false)))
            .collect();
        let streams = self
            .edge
            .map(|edge| faces::of_streams(edge, &self.interfaces, shared.len()))
            .unwrap_or_default();
        (shared, streams)
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The engine did not.
    #[error(transparent)]
    Engine(#[from] StartError),
    /// A media port could not be bound.
    #[error("interface {name}: cannot bind UDP {address}: {source}. {advice}")]
    Bind {
        /// The interface.
        name: String,
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
        /// What was probably meant.
        advice: String,
    },
    /// The certificate could not be made.
    #[error("cannot make the DTLS certificate: {0}")]
    Identity(#[from] dtls::IdentityError),
    /// A worker has no room for a socket at start.
    #[error("worker {0} takes no commands")]
    Worker(u16),
    /// Nobody can be told of calls that are over.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// Calls cannot be recorded.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// An arbiter could not be started.
    #[error("no interface is configured")]
    NoInterface,
}

/// A running node.
pub struct Node {
    engine: Engine,
    calls: Arc<NodeCalls>,
    /// Of the calls and their doors, and of the handshakes.
    arbiters: [ArbiterHandle; 2],
    links: Vec<Addr<WorkerLink>>,
    edge: Option<Addr<WorkerLink>>,
}

impl Node {
    /// Starts a node without an edge. To be called inside an actix system.
    ///
    /// # Errors
    /// [`NodeError`] names what to change.
    pub fn start(config: &NodeConfig) -> Result<Self, NodeError> {
        Self::start_with(config, None)
    }

    /// Starts the workers, binds the media ports and starts the actors, and the edge if there is to be
    /// one. To be called inside an actix system.
    ///
    /// # Errors
    /// [`NodeError`] names what to change.
    pub fn start_with(config: &NodeConfig, edge: Option<EdgeConfig>) -> Result<Self, NodeError> {
        let identity = Identity::generate()?;
        let records = Records::open(&config.name, &config.cdr, &config.webhook)?;
        let fingerprint = sdp_fingerprint(identity.fingerprint());
        let named = dtls::Hash::ALL.map(|hash| identity.fingerprint_by(hash));
        let fingerprints = named.iter().map(sdp_fingerprint).collect();
        let (mut engine, mut links) = Engine::start(&config.engine)?;
        let (shared, streams) = config.shared_ports();
        let mut faces = Vec::new();
        for link in &mut links {
            match faces::bind(link, &config.interfaces, &shared, &engine.doors()) {
                Ok(bound) => faces.push([bound, streams.clone()].concat()),
                Err(error) => {
                    engine.stop(links);
                    return Err(error);
                }
            }
        }
        if (!shared.is_empty() || config.turn.is_on())
            && let Err(error) = rings::among(&engine, &mut links)
        {
            engine.stop(links);
            return Err(error);
        }
        let taps = links.iter_mut().filter_map(Link::take_taps).collect();
        let recorder = match Recorder::open(&config.recording, taps) {
            Ok(recorder) => recorder,
            Err(error) => {
                engine.stop(links);
                return Err(error.into());
            }
        };
        let edge = match edge.map(|edge| start_edge(&mut engine, edge, &mut links)).transpose() {
            Ok(edge) => edge,
            Err(error) => {
                engine.stop(links);
                return Err(error);
            }
        };
        let calls_arbiter = Arbiter::new();
        let dtls_arbiter = Arbiter::new();
        let dtls = vec![DtlsActor::start_in_arbiter(&dtls_arbiter.handle(), {
            let (identity, versions) = (identity.clone(), config.dtls);
            move |_| DtlsActor::new(identity, versions)
        })];
        let mut seats = Vec::new();
        for (link, faces) in links.into_iter().zip(faces) {
            let desk = WorkerDesk::new(link.worker(), config.engine.legs_per_worker);
            let facts = NodeFacts {
                faces,
                fingerprint: fingerprint.clone(),
                join: config.join,
                legs_per_call: config.legs_per_call,
                dscp: config.dscp,
                self_signed: config.self_signed,
                lifetimes: Lifetimes {
                    media: config.timeouts.media,
                    silent: config.timeouts.silent,
                    r#final: config.timeouts.r#final,
                },
            };
            let actor_desk = desk.clone();
            let link = WorkerLink::start_in_arbiter(&calls_arbiter.handle(), move |_| {
                WorkerLink::new(link, actor_desk)
            });
            seats.push(WorkerSeat { link, desk, facts: Arc::new(facts) });
        }
        let edge = edge.map(|link| {
            let desk = WorkerDesk::new(link.worker(), 0);
            let own = desk.clone();
            let link = WorkerLink::start_in_arbiter(&calls_arbiter.handle(), move |_| {
                WorkerLink::new(link, own)
            });
            (link, desk)
        });
        let (edge, edge_desk) = edge.unzip();
        let (events, counts) = (Events::new(), Arc::new(CallCounts::default()));
        let ports = Arc::new(Mutex::new(port_desk(config, shared.len(), engine.doors())));
        let registry = {
            let ports = ports.clone();
            let (seats, events, counts) = (seats.clone(), events.clone(), counts.clone());
            let (handshakes, records) = (dtls.clone(), records.clone());
            let calls_max = config.calls;
            Registry::start_in_arbiter(&calls_arbiter.handle(), move |_| {
                Registry::new(seats, handshakes, ports, calls_max, events, counts, records)
            })
        };
        let proxied = Arc::new(Mutex::new(ProxiedStats::default()));
        let switchboard = {
            let (seats, dtls, ports) = (seats.clone(), dtls.clone(), ports.clone());
            let counts = proxied.clone();
            let most = config.calls.min(config.admission.calls);
            let limits = Admission { calls: most, ..config.admission };
            let scribes = Scribes { records: records.clone(), recorder: recorder.clone() };
            let facts = Arc::new(Facts {
                fingerprints,
                instance: random_id().chars().take(INSTANCE_LEN).collect(),
                dscp: config.dscp,
                legacy_suites: config.legacy_suites,
                timeouts: config.timeouts,
            });
            Switchboard::start_in_arbiter(&calls_arbiter.handle(), move |_| {
                Switchboard::new(seats, dtls, ports, facts, limits, counts, scribes)
            })
        };
        let threads = seats.iter().map(|seat| (seat.desk.worker, seat.link.clone()));
        let threads = threads.chain(edge.clone().map(|link| (WorkerId::EDGE, link))).collect();
        let turn = start_turn(config, &engine, &ports, threads, &calls_arbiter.handle());
        let links = seats.iter().map(|seat| seat.link.clone()).collect();
        let backend = engine.probed().kind.label();
        let calls = NodeCalls {
            name: config.name.clone(),
            backend,
            started: Instant::now(),
            registry,
            switchboard,
            proxied,
            turn,
            interfaces: Arc::new(Mutex::new(config.interfaces.clone())),
            ports,
            doors: engine.doors(),
            desks: seats.iter().map(|seat| seat.desk.clone()).collect(),
            edge: edge_desk,
            events,
            counts,
            records,
            recorder,
        };
        calls.events.say(What::NodeChanged { state: NodeState::Ready });
        let arbiters = [calls_arbiter.handle(), dtls_arbiter.handle()];
        Ok(Self { engine, calls: Arc::new(calls), arbiters, links, edge })
    }

    /// What answers the API.
    pub fn calls(&self) -> Arc<NodeCalls> {
        self.calls.clone()
    }

    /// The arbiter of the calls.
    pub fn arbiter(&self) -> &ArbiterHandle {
        &self.arbiters[0]
    }

    /// What the start-up probe of the backends found.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Gives the engine, with the media of all calls, to the process at the other end of `stream`
    /// ([`causeway_engine::Engine::hand_over`]) and ends without a word to anyone: the calls go on there.
    /// What the API asks meanwhile waits. Streams of the edge end with this process. `stream` must be blocking. Says how long media stood.
    ///
    /// # Errors
    /// Why not, and the node, which serves on.
    pub async fn hand_over(
        self,
        stream: UnixStream,
    ) -> Result<Duration, (HandOverError, Box<Self>)> {
        let Self { engine, calls, arbiters, links: actors, edge } = self;
        let mut links = Vec::new();
        for actor in &actors {
            links.extend(actor.send(Lend).await.ok().flatten());
        }
        let handing = tokio::task::spawn_blocking(move || engine.hand_over(links, &stream));
        // The thread neither panics nor is it cancelled: the runtime lives as long as this call.
        match handing.await.expect("the hand-over ends") {
            Ok(stood) => {
                let _ = tokio::time::timeout(GOODBYES, calls.records.finish()).await;
                calls.recorder.end_all(clock().unix);
                let _ = tokio::time::timeout(GOODBYES, calls.recorder.finish()).await;
                for arbiter in &arbiters {
                    arbiter.stop();
                }
                Ok(stood)
            }
            Err(left) => {
                for (actor, link) in actors.iter().zip(left.links) {
                    let _ = actor.send(GiveBack(link)).await;
                }
                let node = Self { engine: left.engine, calls, arbiters, links: actors, edge };
                Err((left.error, Box::new(node)))
            }
        }
    }

    /// Ends every call, then the workers.
    pub async fn stop(self) {
        self.calls.events.say(What::NodeChanged { state: NodeState::Stopping });
        let (emptied, empty) = oneshot::channel();
        self.calls.registry.do_send(EndAll { emptied });
        // Goodbyes take a moment; a call that does not end by then ends with its worker.
        let (hung_up, silent) = oneshot::channel();
        self.calls.switchboard.do_send(HangUp { emptied: hung_up });
        let _ = tokio::time::timeout(GOODBYES, futures_util::future::join(empty, silent)).await;
        let _ = tokio::time::timeout(GOODBYES, self.calls.records.finish()).await;
        let _ = tokio::time::timeout(GOODBYES, self.calls.recorder.finish()).await;
        for link in self.links.iter().chain(&self.edge) {
            let _ = link.send(crate::actors::worker_link::StopWorker).await;
        }
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        self.engine.stop(Vec::new());
    }
}

/// Starts the TURN server, if there is to be one, and says where it counts.
fn start_turn(
    config: &NodeConfig,
    engine: &Engine,
    ports: &Arc<Mutex<PortDesk>>,
    threads: Vec<(WorkerId, Addr<WorkerLink>)>,
    arbiter: &ArbiterHandle,
) -> Option<Arc<Mutex<TurnStats>>> {
    let turn = &config.turn;
    if !turn.is_on() {
        return None;
    }
    let doors = engine.doors();
    doors.limit_relays(super::turn::engine_rate(turn.node_limit()));
    let own: Vec<IpAddr> = doors.addresses().collect();
    shut_out(turn, &doors);
    let made_up = turn.media_only.then(|| own.clone());
    let desk = RelayDesk::new(Arc::clone(ports), Arc::clone(&doors), made_up, Instant::now());
    let server = turn::Server::new(turn.settings(own, md5), draw);
    let mut key = [0; 20];
    draw(&mut key);
    let gate = Gate::new(turn.realm(), &key);
    let stats = Arc::default();
    let own = Arc::clone(&stats);
    TurnActor::start_in_arbiter(arbiter, move |_| {
        TurnActor::new(server, desk, doors, gate, threads, own)
    });
    Some(stats)
}

/// Makes every address of this host the node's own, behind which relays reach media alone: whatever else listens
/// here is none of their clients' business, unless the configuration says so.
fn shut_out(turn: &Turn, doors: &Doors) {
    let local = address::local_addresses().unwrap_or_default();
    for ip in local.into_iter().filter(|ip| !ip.is_loopback()) {
        if !turn.allow_peers.iter().any(|block| block.holds(ip)) && !doors.own(ip) {
            tracing::warn!(%ip, "too many addresses: relays may reach more than media behind this one");
        }
    }
}

/// MD5 (RFC 1321), which keys of long-term credentials are made by (RFC 8489 §9.2.2).
fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(bytes).into()
}

fn draw(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system has randomness");
}

/// Starts the edge and joins it with each worker by a ring either way.
fn start_edge(
    engine: &mut Engine,
    config: EdgeConfig,
    links: &mut [Link],
) -> Result<Link, NodeError> {
    let mut edge = engine.start_edge(config)?;
    for link in links {
        rings::between(engine, &mut edge, link)?;
    }
    Ok(edge)
}

fn sdp_fingerprint(fingerprint: &dtls::Fingerprint) -> sdp::Fingerprint {
    let hash = match fingerprint.hash() {
        dtls::Hash::Sha1 => sdp::HashFunction::Sha1,
        dtls::Hash::Sha224 => sdp::HashFunction::Sha224,
        dtls::Hash::Sha256 => sdp::HashFunction::Sha256,
        dtls::Hash::Sha384 => sdp::HashFunction::Sha384,
        dtls::Hash::Sha512 => sdp::HashFunction::Sha512,
    };
    sdp::Fingerprint { hash, digest: fingerprint.bytes().to_vec() }
}

/// The dedicated ports of all interfaces; a worker's slots below are its shared ports'.
fn port_desk(config: &NodeConfig, shared: usize, doors: Arc<Doors>) -> PortDesk {
    let interface = |(place, interface): (usize, &BoundInterface)| {
        Some(PortInterface {
            place,
            name: interface.name.clone(),
            bind: interface.bind.ip(),
            announce: interface.announce,
            ports: interface.ports?,
            dont_fragment: interface.dont_fragment,
        })
    };
    let ranges = config.interfaces.iter().enumerate().filter_map(interface).collect();
    let workers = u16::try_from(config.engine.workers.len()).unwrap_or(u16::MAX);
    let shared = u16::try_from(shared).unwrap_or(u16::MAX);
    let taken = faces::own_slots(&config.interfaces).saturating_add(shared);
    PortDesk::new(ranges, workers, taken, doors)
}

/// Lets relays find shared ports at another address too; calls that know the one before go on.
fn readdress(doors: &Doors, workers: usize, slots: Range<u16>, address: IpAddr) {
    for worker in (0u16..).take(workers).map(WorkerId) {
        for socket in slots.clone().map(SocketId) {
            if let Some(known) = doors.address_of(worker, socket) {
                let at = SocketAddr::new(address, known.port());
                doors.open(at, Door::Media { worker, socket });
            }
        }
    }
}

/// Answers what the API asks, from any thread.
pub struct NodeCalls {
    name: String,
    backend: &'static str,
    started: Instant,
    registry: Addr<Registry>,
    switchboard: Addr<Switchboard>,
    proxied: Arc<Mutex<ProxiedStats>>,
    turn: Option<Arc<Mutex<TurnStats>>>,
    interfaces: Arc<Mutex<Vec<BoundInterface>>>,
    ports: Arc<Mutex<PortDesk>>,
    doors: Arc<Doors>,
    desks: Vec<Arc<WorkerDesk>>,
    edge: Option<Arc<WorkerDesk>>,
    events: Events,
    counts: Arc<CallCounts>,
    records: Records,
    recorder: Recorder,
}

fn lost<E>(_: E) -> Problem {
    Problem::unavailable("the node is overloaded or stopping")
}

fn over() -> Problem {
    Problem::not_found("the call is over")
}

async fn find(registry: Addr<Registry>, call: String) -> Result<Addr<CallActor>, Problem> {
    registry.send(Find(call)).timeout(ANSWER_TIMEOUT).await.map_err(lost)?
}

async fn called(
    switchboard: Addr<Switchboard>,
    call: String,
) -> Result<Addr<ProxiedActor>, Problem> {
    let found = switchboard.send(Called(call)).timeout(ANSWER_TIMEOUT).await.map_err(lost)?;
    found.ok_or_else(|| Problem::not_found("there is no such call, or it is over"))
}

/// All that is known of a call behind a SIP proxy.
async fn known(switchboard: Addr<Switchboard>, call: String) -> Result<ng::CallStats, Problem> {
    let actor = called(switchboard, call.clone()).await?;
    let message = ng::Message {
        request: ng::Request::Query(ng::Query { call_id: call, tag: None }),
        supports_load_limit: false,
        unknown: Vec::new(),
    };
    let (reply, answer) = oneshot::channel();
    actor.try_send(NgAsk { message, brief: false, late: false, reply }).map_err(lost)?;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(lost)?;
    let reply = answer.map_err(|_| over())?;
    reply.call().cloned().ok_or_else(over)
}

impl NodeCalls {
    fn figures(&self) -> NodeStats {
        let (cdr, webhook) = self.records.counts();
        let workers: Vec<_> =
            self.desks.iter().map(|desk| worker_stats(desk, self.backend)).collect();
        NodeStats {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime: self.started.elapsed().as_secs(),
            calls: self.counts.live.load(Ordering::Relaxed),
            calls_created: self.counts.created.load(Ordering::Relaxed),
            legs: workers.iter().map(|worker| worker.legs).sum(),
            workers,
            edge: self.edge.as_deref().map(edge_stats),
            turn: self.turn.as_deref().map(|stats| *lock(stats)),
            proxied: lock(&self.proxied).clone(),
            ports: lock(&self.ports).stats(Instant::now()),
            cdr,
            webhook,
            recordings: self.recorder.stats(),
        }
    }

    fn ask<T>(
        &self,
        call: String,
        ask: Ask,
        take: impl FnOnce(Reply) -> Option<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Problem>>
    where
        T: Send + 'static,
    {
        let registry = self.registry.clone();
        Box::pin(async move {
            let call = find(registry, call).await?;
            let (reply, answer) = oneshot::channel();
            call.try_send(Request { ask, reply }).map_err(|error| match error {
                SendError::Full(_) => lost(error),
                SendError::Closed(_) => over(),
            })?;
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(lost)?;
            // A call that ends drops the reply of what it did not come to.
            let reply = answer.map_err(|_| over())??;
            take(reply).ok_or_else(|| Problem::internal("the call answered something else"))
        })
    }
}

fn done(reply: Reply) -> Option<()> {
    matches!(reply, Reply::Done).then_some(())
}

impl Calls for NodeCalls {
    fn create(&self, asked: CreateCall) -> Answer<CallView> {
        let registry = self.registry.clone();
        Box::pin(async move {
            registry.send(Create(asked)).timeout(ANSWER_TIMEOUT).await.map_err(lost)?
        })
    }

    fn list(&self) -> Answer<Vec<CallView>> {
        let registry = self.registry.clone();
        Box::pin(async move {
            let calls = registry.send(All).timeout(ANSWER_TIMEOUT).await.map_err(lost)??;
            let mut views = Vec::with_capacity(calls.len());
            for call in calls {
                // A call may end while the list is made.
                if let Ok(Ok(view)) = call.send(Show).timeout(ANSWER_TIMEOUT).await {
                    views.push(view);
                }
            }
            views.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
            Ok(views)
        })
    }

    fn show(&self, call: String) -> Answer<CallView> {
        let registry = self.registry.clone();
        Box::pin(async move {
            let call = find(registry, call).await?;
            call.send(Show).timeout(ANSWER_TIMEOUT).await.map_err(lost)?
        })
    }

    fn delete(&self, call: String) -> Answer<()> {
        self.ask(call, Ask::End(EndReason::CallEnded), done)
    }

    fn add_leg(&self, call: String, asked: AddLeg) -> Answer<LegAdded> {
        self.ask(call, Ask::AddLeg(asked), |reply| match reply {
            Reply::Added(added) => Some(*added),
            _ => None,
        })
    }

    fn answer(&self, call: String, leg: String, answer: Description) -> Answer<LegView> {
        self.ask(call, Ask::Answer(leg, answer), |reply| match reply {
            Reply::Leg(leg) => Some(*leg),
            _ => None,
        })
    }

    fn offer(&self, call: String, leg: String, offer: Description) -> Answer<Description> {
        self.ask(call, Ask::Offer(leg, offer), |reply| match reply {
            Reply::Description(description) => Some(description),
            _ => None,
        })
    }

    fn propose(&self, call: String, leg: String, direction: MediaDirection) -> Answer<Description> {
        self.ask(call, Ask::Propose(leg, direction), |reply| match reply {
            Reply::Description(description) => Some(description),
            _ => None,
        })
    }

    fn restart(
        &self,
        call: String,
        leg: String,
        far: Credentials,
        candidates: Vec<String>,
    ) -> Answer<Restarted> {
        self.ask(call, Ask::Restart(leg, far, candidates), |reply| match reply {
            Reply::Restarted(restarted) => Some(*restarted),
            _ => None,
        })
    }

    fn trickle(&self, call: String, leg: String, more: Trickle) -> Answer<()> {
        self.ask(call, Ask::Trickle(leg, more), done)
    }

    fn receive(&self, call: String, leg: String, mid: String, asked: Receive) -> Answer<LegView> {
        self.ask(call, Ask::Receive(leg, mid, asked), |reply| match reply {
            Reply::Leg(leg) => Some(*leg),
            _ => None,
        })
    }

    fn show_leg(&self, call: String, leg: String) -> Answer<LegView> {
        let registry = self.registry.clone();
        Box::pin(async move {
            let call = find(registry, call).await?;
            call.send(ShowLeg(leg)).timeout(ANSWER_TIMEOUT).await.map_err(lost)?
        })
    }

    fn remove_leg(&self, call: String, leg: String) -> Answer<()> {
        self.ask(call, Ask::RemoveLeg(leg), done)
    }

    fn stats(&self, call: String) -> Answer<CallStats> {
        self.ask(call, Ask::Stats, |reply| match reply {
            Reply::Stats(stats) => Some(*stats),
            _ => None,
        })
    }

    fn why(&self, call: String, eyes: Eyes) -> Answer<Why> {
        let live = self.ask(call.clone(), Ask::Why(eyes.clone()), |reply| match reply {
            Reply::Why(why) => Some(*why),
            _ => None,
        });
        let registry = self.registry.clone();
        Box::pin(async move {
            match live.await {
                Err(problem) if problem.status == 404 => {
                    let past = registry.send(WhyPast(call, eyes)).timeout(ANSWER_TIMEOUT);
                    past.await.map_err(lost)?
                }
                told => told,
            }
        })
    }

    fn report(&self, call: String, leg: String, report: ClientReport) -> Answer<()> {
        self.ask(call, Ask::Report(leg, report), done)
    }

    fn remark(&self, call: String, remark: Remark) {
        // A node that is busy has more to do than to take notes.
        let _ = self.registry.try_send(Seen { call, remark });
    }

    fn proxied(&self, limit: usize) -> Answer<Vec<String>> {
        let switchboard = self.switchboard.clone();
        Box::pin(
            async move { switchboard.send(Ids(limit)).timeout(ANSWER_TIMEOUT).await.map_err(lost) },
        )
    }

    fn show_proxied(&self, call: String) -> Answer<ProxiedCall> {
        let known = known(self.switchboard.clone(), call.clone());
        Box::pin(async move { Ok(ProxiedCall::of(call, &known.await?)) })
    }

    fn why_proxied(&self, call: String) -> Answer<ProxiedWhy> {
        let known = known(self.switchboard.clone(), call.clone());
        Box::pin(async move { Ok(proxied::why(&call, &known.await?)) })
    }

    fn end_proxied(&self, call: String) -> Answer<()> {
        let switchboard = self.switchboard.clone();
        Box::pin(async move {
            let actor = called(switchboard, call).await?;
            actor.send(Finish(EndedBy::Operator)).timeout(ANSWER_TIMEOUT).await.map_err(lost)
        })
    }

    fn node(&self) -> Answer<NodeStats> {
        Box::pin(std::future::ready(Ok(self.figures())))
    }

    fn interfaces(&self) -> Answer<Vec<InterfaceView>> {
        let views = lock(&self.interfaces).iter().map(BoundInterface::view).collect();
        Box::pin(std::future::ready(Ok(views)))
    }

    fn announce(&self, interface: String, announce: String) -> Answer<InterfaceView> {
        let (registry, interfaces) = (self.registry.clone(), Arc::clone(&self.interfaces));
        let (ports, doors, workers) = (self.ports.clone(), self.doors.clone(), self.desks.len());
        Box::pin(async move {
            let found = lock(&interfaces).iter().position(|held| held.name == interface);
            let place = found.ok_or_else(|| Problem::not_found("there is no such interface"))?;
            let bind = lock(&interfaces)[place].bind.ip();
            let slots = faces::slots_of(&lock(&interfaces), place);
            let address = announced(bind, &announce).await?;
            lock(&interfaces)[place].announce = address;
            lock(&ports).announce(place, address);
            readdress(&doors, workers, slots, address);
            registry.send(Announced { place, address }).await.map_err(lost)?;
            tracing::info!(interface, %address, "announced");
            let view = lock(&interfaces)[place].view();
            Ok(view)
        })
    }

    fn subscribe(&self, _call: Option<String>) -> broadcast::Receiver<Arc<LifeEvent>> {
        self.events.subscribe()
    }

    fn ready(&self) -> Answer<()> {
        let room = self.desks.iter().any(|desk| lock(&desk.slots).free() > 0);
        let ready = if room {
            Ok(())
        } else {
            Err(Problem::unavailable("every media worker is at its limit of legs"))
        };
        Box::pin(std::future::ready(ready))
    }
}

impl NgCalls for NodeCalls {
    fn stats(&self) -> NodeStats {
        self.figures()
    }

    fn ng(&self, asked: NgAsked) -> BoxFuture<'static, ng::Reply> {
        let NgAsked { message, brief, late } = asked;
        if message.request == ng::Request::Ping {
            return Box::pin(std::future::ready(ng::Reply::pong()));
        }
        let busy = ng::NgError::Limited(ng::LoadLimit::Load);
        let busy = ng::Reply::refusal(busy, message.supports_load_limit);
        let (reply, answer) = oneshot::channel();
        if self.switchboard.try_send(NgAsk { message, brief, late, reply }).is_err() {
            return Box::pin(std::future::ready(busy));
        }
        // A call that ends drops the reply of what it did not come to.
        Box::pin(async move { answer.await.unwrap_or(busy) })
    }
}

/// The address that an interface's `announce` stands for now; a cloud is asked where it names one.
async fn announced(bind: IpAddr, announce: &str) -> Result<IpAddr, Problem> {
    let refused = |words: String| Problem::unprocessable("announce", words).at("announce");
    let asked: Announce =
        announce.parse().map_err(|words: String| Problem::malformed(words).at("announce"))?;
    let resolved = tokio::task::spawn_blocking(move || resolve(asked, bind)).await;
    let address = resolved.map_err(lost)?.map_err(|error| refused(error.to_string()))?;
    let usable =
        address.is_ipv4() == bind.is_ipv4() && !address.is_unspecified() && !address.is_multicast();
    if usable {
        Ok(address)
    } else {
        let words = format!("{address} cannot be announced for {bind}");
        Err(refused(address::advise_announce(bind, Some(address)).unwrap_or(words)))
    }
}

/// What the world is told of an interface that is bound to `bind`; asks the cloud where it is to be
/// asked, and blocks for that.
///
/// # Errors
/// The cloud's.
pub fn resolve(announce: Announce, bind: IpAddr) -> Result<IpAddr, CloudError> {
    Ok(match announce {
        Announce::Address(address) => address,
        Announce::Bind => bind,
        Announce::Auto => cloud::fetch::announced("auto")?.public,
        Announce::Provider(provider) => cloud::fetch::announced(provider.name())?.public,
    })
}

fn edge_stats(desk: &WorkerDesk) -> EdgeStats {
    let latest = lock(&desk.latest);
    let counters = &latest.counters;
    EdgeStats {
        streams: counters.streams,
        allocations: counters.allocations,
        sockets: counters.sockets,
        packets_in: counters.packets_in,
        packets_out: counters.packets_out,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
        drops: drops(counters),
        turns: counters.turns,
        commands: counters.commands,
        punts: counters.punts,
    }
}

fn drops(counters: &WorkerCounters) -> BTreeMap<String, u64> {
    let count = |reason: &DropReason| (reason.label().to_owned(), counters.drops.of(*reason));
    DropReason::ALL.iter().map(count).collect()
}

fn worker_stats(desk: &WorkerDesk, backend: &str) -> WorkerStats {
    let latest = lock(&desk.latest);
    let counters = &latest.counters;
    let us = |quantile| latest.latency.value_at_quantile(quantile) / 1_000;
    WorkerStats {
        worker: desk.worker.0,
        backend: backend.into(),
        legs: counters.legs,
        sockets: counters.sockets,
        frames_free: counters.frames_free,
        packets_in: counters.packets_in,
        packets_out: counters.packets_out,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
        drops: drops(counters),
        packets_joined: counters.packets_joined,
        system_calls: counters.system_calls,
        turns: counters.turns,
        turn_sizes: counters
            .turn_sizes
            .buckets()
            .map(|(packets, turns)| TurnSize { packets, turns })
            .collect(),
        commands: counters.commands,
        punts: counters.punts,
        latency_us: Latency {
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            packets: latest.latency.len(),
        },
    }
}
