//! TURN's part of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::plan::{Direction, Login, Mode, Plan, Transport};
use crate::payload::LEN_MIN;

/// Clients of one run, most: what the engine's I/O takes as sockets.
pub const CLIENTS_MAX: usize = 16_000;
/// Addresses of a flood, unless it is said otherwise.
pub const SOURCES: u32 = 4000;
/// Bytes of a relayed payload, most.
pub const SIZE_MAX: usize = 1400;

/// Relays packets through a TURN server, makes allocations, or floods it.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct TurnArgs {
    /// Where a TURN server takes what --turn-transport brings: clients of it instead of calls.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["ng", "spawn"])]
    pub turn: Option<SocketAddr>,
    /// Starts this coturn for each round in its turn, fresh.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["turn", "ng", "spawn", "server_pid", "ng_rtpengine", "ng_causeway"])]
    pub turn_coturn: Option<PathBuf>,
    /// Starts this causeway for each round in its turn, fresh.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["turn", "ng", "spawn", "server_pid", "ng_rtpengine", "ng_causeway"])]
    pub turn_causeway: Option<PathBuf>,
    /// Who the clients are, by long-term credentials.
    #[arg(long, value_name = "USER:PASSWORD", default_value = "u:p", hide_default_value = true)]
    pub turn_user: Login,
    /// Clients, with an allocation each.
    #[arg(long, value_name = "CLIENTS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX as i64))]
    pub turn_clients: u32,
    /// Packets per second of all clients.
    #[arg(long, value_name = "RATE", default_value_t = 20_000.0, value_parser = rate)]
    pub turn_rate: f64,
    /// Microseconds within which packets that are due leave together; below 200 the generator does not sleep between.
    #[arg(long, value_name = "TIME", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=20_000))]
    pub turn_tick: u64,
    /// Bytes of a packet's payload.
    #[arg(long, value_name = "BYTES", default_value_t = 172, value_parser = clap::value_parser!(u32).range(LEN_MIN as i64..=SIZE_MAX as i64))]
    pub turn_size: u32,
    /// What clients and server speak over.
    #[arg(long, value_name = "TRANSPORT", default_value = "udp")]
    pub turn_transport: Transport,
    /// What data is carried in.
    #[arg(long, value_name = "MODE", default_value = "channel")]
    pub turn_mode: Mode,
    /// Which way data goes.
    #[arg(long, value_name = "DIRECTION", default_value = "to-peer")]
    pub turn_direction: Direction,
    /// Makes so many allocations as fast as the server does instead of sending packets.
    #[arg(long, value_name = "ALLOCATIONS", value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX as i64))]
    pub turn_allocations: Option<u32>,
    /// Allocations that are asked for at the same time.
    #[arg(long, value_name = "REQUESTS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turn_window: u32,
    /// Sends so many Allocates per second without credentials instead, from many addresses of loopback.
    #[arg(long, value_name = "RATE", requires = "turn", conflicts_with = "turn_allocations", value_parser = rate)]
    pub turn_flood: Option<f64>,
    /// Addresses of loopback that clients over UDP come from, in turn, in the place of --bind; of the flood 4000 by default.
    #[arg(long, value_name = "ADDRESSES", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub turn_sources: Option<u32>,
}

impl TurnArgs {
    /// What the clients are to do; what is not of TURN alone stands in `all`.
    pub fn plan(&self, all: &crate::args::Args) -> Plan {
        Plan {
            transport: self.turn_transport,
            mode: self.turn_mode,
            direction: self.turn_direction,
            clients: self.turn_allocations.unwrap_or(self.turn_clients) as usize,
            rate: self.turn_rate,
            tick: Duration::from_micros(self.turn_tick),
            size: self.turn_size as usize,
            duration: all.duration,
            bind: all.bind,
            sources: self.turn_sources.map_or(0, |count| count as usize),
            core: all.pin.first().copied(),
            allow_loss: all.allow_loss,
            login: Arc::new(self.turn_user.clone()),
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "a rate is 1 to 1000000 per second".into())
}
