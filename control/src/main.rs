//! The `causeway` binary: reads the configuration, starts the node, waits for the signal to stop.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use causeway_control::actors::load::Admission;
use causeway_control::actors::node::{BoundInterface, Node, NodeConfig, resolve};
use causeway_control::calls::Calls;
use causeway_control::cli::{self, Command, Refusal};
use causeway_control::cloud::CloudError;
use causeway_control::config::{Announce, Config, Host, Interface, Loaded, LogFormat};
use causeway_control::ng_server::NgDoors;
use causeway_control::proxied::Timeouts as ProxiedTimeouts;
use causeway_control::{address, rest};
use causeway_engine::config::EngineConfig;
use causeway_engine::sys::cpu;
use tracing_subscriber::EnvFilter;

/// Setting a call up and taking it down is a few hundred allocations of all sizes, with the C library's allocator a
/// third of what it costs in user space. With this one the whole costs a sixth less, and takes no more memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::command(std::env::args_os(), std::env::vars_os(), &Host::read()) {
        Ok(Command::Print(text)) => print(&text),
        Ok(Command::Run(loaded)) => match run(*loaded) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Err(Refusal::Usage(error)) => error.exit(),
        Err(faults) => fail(&faults),
    }
}

fn print(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "causeway: {error}");
    ExitCode::FAILURE
}

fn run(loaded: Loaded) -> Result<(), Box<dyn std::error::Error>> {
    let Loaded { mut config, warnings } = loaded;
    start_log(&config);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let asked = config.interface.iter().filter(|interface| asks_cloud(interface));
    let asked = asked.map(|held| (held.name.clone(), held.announce.to_string())).collect();
    for interface in &mut config.interface {
        interface.announce = Announce::Address(announced(interface)?);
    }
    config.turn.fill_in_secret();
    // Set-up may be as busy as it likes: on the workers' cores it would delay media. Workers pin themselves.
    let others = cpu::keep_off(&config.node.workers)?;
    if others.is_empty() {
        tracing::warn!("every core has a worker: set-up and the edge share them with media");
    }
    actix_rt::System::new().block_on(serve(config, asked))
}

/// Runs the node; `asked` are the interfaces, with the clouds, that are asked about on a hang-up signal.
async fn serve(
    config: Config,
    asked: Vec<(String, String)>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut front = rest::Front::prepare(&config)?;
    let (edge, edge_addresses) = front.take_edge().unzip();
    let first = edge_addresses.iter().flatten().next().copied();
    let node = NodeConfig { edge: config.edge.listen.and(first), ..node_config(&config) };
    let node = Node::start_with(&node, edge)?;
    let probed = node.engine().probed();
    tracing::info!(backend = probed.kind.label(), workers = config.node.workers.len(), "media");
    if let Some(reason) = &probed.uring_refused {
        tracing::warn!(reason, "io_uring is not used");
    }
    for address in edge_addresses.unwrap_or_default() {
        tracing::info!(%address, "edge");
    }
    let (ng, servers) = match open_doors(&config, front, &node) {
        Ok(doors) => doors,
        Err(error) => {
            node.stop().await;
            return Err(error.into());
        }
    };
    say_where(&config, servers.http, servers.public);
    wait_for_signal(&*node.calls(), &servers, &asked).await?;
    tracing::info!("stopping");
    servers.stop().await;
    ng.close();
    node.stop().await;
    Ok(())
}

fn open_doors(
    config: &Config,
    front: rest::Front,
    node: &Node,
) -> io::Result<(NgDoors, rest::Servers)> {
    let ng = NgDoors::open(config, node.calls(), node.arbiter())?;
    for (door, address) in [("udp", ng.udp), ("tcp", ng.tcp)] {
        if let Some(address) = address {
            tracing::info!(door, %address, "ng");
        }
    }
    let servers = rest::serve(config, front, node.calls(), ng.desk())?;
    Ok((ng, servers))
}

/// Tells a person at a terminal what to open.
fn say_where(config: &Config, http: SocketAddr, public: SocketAddr) {
    let address = match (public.ip().is_loopback(), config.interface.first()) {
        (false, Some(Interface { announce: Announce::Address(announced), .. })) => *announced,
        _ => public.ip(),
    };
    let page = format!("https://{}", SocketAddr::new(address, public.port()));
    let _ = writeln!(
        io::stdout(),
        "causeway is running\n  customer  {page}/\n  agent     {page}/agent\n  API       http://{http}/v1/openapi.json"
    );
}

/// Waits for the end; on SIGHUP asks the clouds again and looks for another certificate.
async fn wait_for_signal(
    calls: &dyn Calls,
    servers: &rest::Servers,
    asked: &[(String, String)],
) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => return interrupted,
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => {
                servers.refresh_certificate().await;
                ask_again(calls, asked).await;
            }
        }
    }
}

async fn ask_again(calls: &dyn Calls, asked: &[(String, String)]) {
    for (interface, announce) in asked {
        if let Err(problem) = calls.announce(interface.clone(), announce.clone()).await {
            tracing::warn!(interface, %problem, "the announced address stays as it was");
        }
    }
}

fn asks_cloud(interface: &Interface) -> bool {
    matches!(interface.announce, Announce::Auto | Announce::Provider(_))
}

fn node_config(config: &Config) -> NodeConfig {
    let bound = |interface: &Interface| BoundInterface {
        name: interface.name.clone(),
        bind: SocketAddr::new(interface.bind, interface.mux_port),
        mux_ports: interface.mux_ports,
        announce: match interface.announce {
            Announce::Address(announced) => announced,
            _ => interface.bind,
        },
        private_candidate: interface.private_candidate,
        dont_fragment: interface.dont_fragment,
        ports: interface.ports,
    };
    NodeConfig {
        name: config.node.name.clone(),
        engine: EngineConfig {
            workers: config.node.workers.iter().copied().map(Some).collect(),
            backend: config.node.backend.into(),
            legs_per_worker: config.limits.legs_per_worker,
            frames_per_worker: config.limits.frames_per_worker,
            waiting: config.node.waiting(),
        },
        interfaces: config.interface.iter().map(bound).collect(),
        dscp: config.media.dscp,
        legacy_suites: config.ng.legacy_suites,
        dtls: config.dtls.versions(),
        calls: config.limits.calls,
        admission: Admission {
            calls: config.ng.max_sessions.unwrap_or(usize::MAX),
            load: config.ng.max_load,
            cpu: config.ng.max_cpu,
            bandwidth: config.ng.max_bandwidth,
        },
        join: config.timeouts.join,
        timeouts: ProxiedTimeouts {
            media: config.timeouts.media,
            silent: config.timeouts.silent,
            offer: config.timeouts.offer,
            r#final: config.timeouts.r#final,
            delete_delay: config.timeouts.delete_delay,
        },
        legs_per_call: config.limits.legs_per_call,
        cdr: config.cdr.clone(),
        webhook: config.webhook.clone(),
        recording: config.recording.clone(),
        turn: config.turn.clone(),
        self_signed: config.public.tls_cert.is_none(),
        edge: None,
    }
}

/// The public side of an interface, asked of the cloud where the configuration says so.
fn announced(interface: &Interface) -> Result<IpAddr, CloudError> {
    let address = resolve(interface.announce, interface.bind)?;
    let asked = Some(address).filter(|_| interface.announce != Announce::Bind);
    if let Some(advice) = address::advise_announce(interface.bind, asked) {
        tracing::warn!(interface = interface.name, "{advice}");
    }
    Ok(address)
}

fn start_log(config: &Config) {
    let configured = || EnvFilter::try_new(&config.log.level);
    // The ICE library prints passwords at TRACE.
    let quiet = ["is=info", "dimpl=info"].iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet
        .fold(configured().unwrap_or_else(|_| EnvFilter::new("info")), EnvFilter::add_directive);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
