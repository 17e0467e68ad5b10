//! A node in the test's own process, on loopback ports that the kernel chooses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use causeway_control::actors::load::Admission;
use causeway_control::actors::node::{BoundInterface, Node, NodeCalls, NodeConfig};
use causeway_control::api::{LEGS_PER_CALL, LifeEvent, What};
use causeway_control::calls::{Calls, NgCalls};
use causeway_control::config::{Cdr, Config, Edge, Ports, Recording, Turn, Webhook};
use causeway_control::dtls::Versions;
use causeway_control::ng_server::NgDoors;
use causeway_control::proxied::Timeouts;
use causeway_control::rest;
use causeway_engine::config::EngineConfig;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::oneshot;

use crate::http::Client;
use crate::peer::PATIENCE;

/// What the tests change of a node.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Workers.
    pub workers: usize,
    /// Calls, most.
    pub calls: usize,
    /// What limits calls behind SIP proxies.
    pub admission: Admission,
    /// Shared ports of each worker.
    pub mux_ports: u16,
    /// Legs of one worker, most.
    pub legs_per_worker: usize,
    /// For a leg to connect and for a call to get its first.
    pub join: Duration,
    /// The address that media is bound to.
    pub bind: IpAddr,
    /// What the node says that it is reached at; the bound address if absent.
    pub announce: Option<IpAddr>,
    /// Whether the bound address is offered too.
    pub private_candidate: bool,
    /// What join tokens are signed with; random if absent.
    pub join_secret: Option<&'static str>,
    /// How long calls live.
    pub timeouts: Timeouts,
    /// The file that is told of calls that are over.
    pub cdr: Cdr,
    /// The receiver that is.
    pub webhook: Webhook,
    /// Where calls are recorded.
    pub recording: Recording,
    /// The edge; it listens where the kernel pleases if `listen` has port 0.
    pub edge: Edge,
    /// Joins that one address may make at once.
    pub join_burst: u32,
    /// The certificate's files and its key's.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 1,
            mux_ports: 1,
            calls: 64,
            admission: Admission::default(),
            legs_per_worker: 256,
            join: Duration::from_secs(60),
            bind: Ipv4Addr::LOCALHOST.into(),
            announce: None,
            private_candidate: false,
            join_secret: None,
            timeouts: Timeouts::default(),
            cdr: Cdr::default(),
            webhook: Webhook::default(),
            recording: Recording::default(),
            edge: Edge::default(),
            join_burst: Config::default().limits.join_burst,
            certificate: None,
        }
    }
}

/// A running node; stopped when dropped.
pub struct LocalNode {
    /// The admin listener.
    pub http: SocketAddr,
    /// The public listener.
    pub public: SocketAddr,
    /// The edge, if there is one.
    pub edge: Option<SocketAddr>,
    /// Where SIP proxies ask.
    pub proxies: SocketAddr,
    calls: Arc<NodeCalls>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LocalNode {
    /// Starts a node.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(setup: &Setup) -> Self {
        let (setup, (report, started)) = (setup.clone(), mpsc::channel());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let config = rest_config(&setup);
                let mut front = rest::Front::prepare(&config).expect("a front");
                let (edge, at) = front.take_edge().unzip();
                let edge_address = at.and_then(|addresses: Vec<_>| addresses.first().copied());
                let node = NodeConfig { edge: edge_address, ..node_config(&setup) };
                let node = Node::start_with(&node, edge).expect("the node starts");
                let ng = NgDoors::open(&config, node.calls(), node.arbiter()).expect("doors of ng");
                let servers = rest::serve(&config, front, node.calls(), ng.desk()).expect("doors");
                let proxies = ng.udp.expect("a door for datagrams");
                let doors = (servers.http, servers.public, edge_address, proxies, node.calls());
                report.send(doors).expect("the test waits");
                // The test's end is as good a reason to stop as its word.
                let _ = stopped.await;
                servers.stop().await;
                ng.close();
                node.stop().await;
            });
        });
        let (http, public, edge, proxies, calls) = started.recv().expect("the node starts");
        Self { http, public, edge, proxies, calls, stop: Some(stop), thread: Some(thread) }
    }

    /// A client of its admin listener.
    pub fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// What answers its API.
    pub fn calls(&self) -> &dyn Calls {
        &*self.calls
    }

    /// What answers the ng protocol.
    pub fn ng(&self) -> &dyn NgCalls {
        &*self.calls
    }

    /// Hears what happens from now on.
    pub fn listen(&self) -> Ears {
        Ears { events: self.calls.subscribe(None) }
    }

    /// Makes a call and says its id.
    pub fn call(&self) -> String {
        let call = self.client().post("/v1/calls", &json!({})).ok();
        call["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until the node's statistics say so, which are a second old at most; panics with `what`
    /// if they never do.
    #[track_caller]
    pub fn wait(&self, what: &str, mut until: impl FnMut(&Value) -> bool) -> Value {
        let (mut client, deadline) = (self.client(), Instant::now() + PATIENCE);
        loop {
            let stats = client.get("/v1/node").ok();
            if until(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "the node never came to it: {what}; {stats}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the node has no call and no leg.
    #[track_caller]
    pub fn wait_empty(&self) {
        self.wait("no call and no leg", |stats| stats["calls"] == 0 && stats["legs"] == 0);
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the node's thread panicked");
        }
    }
}

/// Hears what happens in a node.
pub struct Ears {
    events: broadcast::Receiver<Arc<LifeEvent>>,
}

impl Ears {
    /// Waits for something that happened since it began to listen, in order: what comes before it
    /// is forgotten.
    #[track_caller]
    pub fn hear(&mut self, what: &str, until: impl FnMut(&What) -> bool) -> What {
        self.hear_within(PATIENCE, what, until)
    }

    /// Whether something has happened, as far as is known now.
    ///
    /// # Panics
    /// If it fell behind.
    pub fn heard(&mut self, mut until: impl FnMut(&What) -> bool) -> bool {
        loop {
            match self.events.try_recv() {
                Ok(event) if until(&event.what) => return true,
                Ok(_) => {}
                Err(TryRecvError::Empty) => return false,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// [`Self::hear`] with a patience of its own.
    #[track_caller]
    pub fn hear_within(
        &mut self,
        patience: Duration,
        what: &str,
        mut until: impl FnMut(&What) -> bool,
    ) -> What {
        let (deadline, mut heard) = (Instant::now() + patience, Vec::new());
        loop {
            match self.events.try_recv() {
                Ok(event) if until(&event.what) => return event.what.clone(),
                Ok(event) => heard.push(event.what.name()),
                Err(TryRecvError::Empty) => {
                    assert!(Instant::now() < deadline, "never heard: {what}; but {heard:?}");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }
}

/// Dedicated ports of a node; another node's that are in the way are passed over.
const PORTS: Ports = Ports { low: 20_000, high: 29_999 };

fn node_config(setup: &Setup) -> NodeConfig {
    NodeConfig {
        name: "test".into(),
        engine: EngineConfig {
            workers: vec![None; setup.workers],
            legs_per_worker: setup.legs_per_worker,
            frames_per_worker: 2048,
            ..EngineConfig::default()
        },
        interfaces: vec![BoundInterface {
            name: "loopback".into(),
            bind: (setup.bind, 0).into(),
            announce: setup.announce.unwrap_or(setup.bind),
            mux_ports: setup.mux_ports,
            private_candidate: setup.private_candidate,
            dont_fragment: false,
            ports: Some(PORTS),
        }],
        dscp: 0,
        legacy_suites: false,
        dtls: Versions::Both,
        calls: setup.calls,
        admission: setup.admission,
        join: setup.join,
        timeouts: setup.timeouts,
        legs_per_call: LEGS_PER_CALL,
        cdr: setup.cdr.clone(),
        webhook: setup.webhook.clone(),
        recording: setup.recording.clone(),
        turn: Turn::default(),
        self_signed: true,
        edge: None,
    }
}

fn rest_config(setup: &Setup) -> Config {
    let mut config = Config::default();
    config.http.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.public.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.public.workers = 1;
    config.ng.udp = Some((Ipv4Addr::LOCALHOST, 0).into());
    config.limits.calls = setup.calls;
    config.limits.join_burst = setup.join_burst;
    config.edge = setup.edge.clone();
    (config.public.tls_cert, config.public.tls_key) = setup.certificate.clone().unzip();
    config.auth.join_secret = setup
        .join_secret
        .map(|secret| serde_json::from_value(json!(secret)).expect("a secret is a text"));
    config.timeouts.drain = Duration::from_secs(1);
    config
}
