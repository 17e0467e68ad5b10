//! Two processes for tests of the hand-over; what they have to say goes to standard output.
//!
//! - `baton run PATH BIND ANNOUNCE` runs a node whose page is at port 443 of BIND, and says `API http://…`.
//!   At a line of standard input it waits at the Unix socket PATH for a successor.
//! - `baton take PATH [BACKEND [WORKERS]]` is that successor: it takes over, says `serving …`, and serves
//!   until its standard input ends.

use std::error::Error;
use std::io::{self, BufRead, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use causeway_control::actors::load::Admission;
use causeway_control::actors::node::{BoundInterface, Node, NodeConfig};
use causeway_control::config::Config;
use causeway_control::dtls::Versions;
use causeway_control::ng_server::NgDoors;
use causeway_control::proxied::Timeouts;
use causeway_control::rest;
use causeway_engine::Engine;
use causeway_engine::config::{BackendChoice, EngineConfig};
use causeway_engine::export::TakenOver;

/// How often the workers' events are looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// For a leg to connect.
const JOIN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["run", path, bind, announce] => run(path, bind, announce),
        ["take", path, ref more @ ..] => take(path, more),
        _ => Err("baton run PATH BIND ANNOUNCE, or baton take PATH [BACKEND [WORKERS]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &str, bind: &str, announce: &str) -> Result<(), Box<dyn Error>> {
    let bind: IpAddr = bind.parse()?;
    let mut config = Config::default();
    config.public.listen = SocketAddr::new(bind, 443);
    let node = NodeConfig {
        name: "first".into(),
        engine: EngineConfig::default(),
        interfaces: vec![BoundInterface {
            name: "pub".into(),
            bind: SocketAddr::new(bind, 40_500),
            announce: announce.parse()?,
            mux_ports: 2,
            private_candidate: false,
            dont_fragment: false,
            ports: None,
        }],
        dscp: 0,
        legacy_suites: false,
        dtls: Versions::Both,
        calls: 16,
        admission: Admission::default(),
        legs_per_call: config.limits.legs_per_call,
        join: JOIN,
        timeouts: Timeouts::default(),
        cdr: config.cdr.clone(),
        webhook: config.webhook.clone(),
        recording: config.recording.clone(),
        turn: config.turn.clone(),
        self_signed: true,
        edge: None,
    };
    let listener = Arc::new(UnixListener::bind(path)?);
    actix_rt::System::new().block_on(async {
        let mut node = Node::start(&node)?;
        let ng = NgDoors::open(&config, node.calls(), node.arbiter())?;
        let servers =
            rest::serve(&config, rest::Front::prepare(&config)?, node.calls(), ng.desk())?;
        println!("API http://{}/", servers.http);
        loop {
            let listener = listener.clone();
            let asked = tokio::task::spawn_blocking(move || {
                io::stdin().lock().lines().next().transpose()?;
                listener.accept()
            });
            let (stream, _) = asked.await??;
            match node.hand_over(stream).await {
                Ok(stood) => {
                    println!("handed over in {} ms", stood.as_millis());
                    servers.stop().await;
                    return Ok(());
                }
                Err((error, still)) => {
                    println!("still serving: {error}");
                    node = *still;
                }
            }
        }
    })
}

fn take(path: &str, more: &[&str]) -> Result<(), Box<dyn Error>> {
    let backend = match more.first() {
        Some(&"uring") => BackendChoice::Uring,
        Some(&"mmsg") => BackendChoice::Mmsg,
        _ => BackendChoice::Auto,
    };
    let workers = vec![None; more.get(1).map_or(Ok(1), |workers| workers.parse())?];
    let config = EngineConfig { backend, workers, ..EngineConfig::default() };
    let stream = UnixStream::connect(path)?;
    let TakenOver { engine, mut links, legs, sockets } = Engine::take_over(&config, &stream)?;
    println!("serving {} legs on {} sockets", legs.len(), sockets.len());
    let input = thread::spawn(|| io::stdin().read_to_end(&mut Vec::new()));
    while !input.is_finished() {
        for link in &mut links {
            while link.event().is_some() {}
            while link.punt().is_some() {}
        }
        thread::sleep(GLANCE);
    }
    engine.stop(links);
    Ok(())
}
