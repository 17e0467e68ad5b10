//! The REST API on two listeners. `[http]` is for operators and servers: everything, guarded by API
//! tokens, or open on loopback. `[public]` is for browsers: the page, and what a join token lets
//! its bearer do; always HTTPS, since browsers open no camera without it.
//!
//! Where there is an edge, what comes to it as HTTP is served as on the public listener (`moved`).
//!
//! The same handlers serve all; what a request must bring stands in the handler's first argument
//! (`access::May`), so that no handler can forget to ask.

mod access;
mod body;
mod calls;
mod cors;
mod desk;
mod events;
mod exchange;
mod front;
mod health;
mod ice_servers;
mod if_match;
mod interfaces;
mod legs;
mod local;
mod metrics;
mod moved;
mod ng;
mod ng_socket;
mod node;
mod openapi;
mod owners;
mod pace;
mod pages;
mod problem;
mod proxied;
mod rtpengine_metrics;
mod sessions;
mod sse;
mod text;
pub mod tls;
mod tokens;
mod turn;
mod whep;
mod whip;
mod why;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, Error, HttpServer};
use utoipa_actix_web::AppExt;

use crate::api::Problem;
use crate::auth::{ApiTokens, JoinTokens};
use crate::calls::Calls;
use crate::config::Config;
use crate::ng_server::NgDesk;
use crate::rest::cors::Origins;
use crate::rest::desk::Desk;
pub use crate::rest::front::Front;
use crate::rest::ice_servers::IceServers;
use crate::rest::moved::MovedServer;
use crate::rest::openapi::Document;
use crate::rest::owners::Owners;
use crate::rest::pace::Pace;
use crate::rest::sessions::Sessions;
use crate::rest::sse::Subscribers;
use crate::rest::tls::Certificates;
use crate::rest::turn::Minting;

/// Time that a client has to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What both listeners have in common; a macro, since the server's type cannot be written.
macro_rules! server {
    ($config:expr, $state:expr, $door:expr, $workers:expr) => {{
        let state = $state.clone();
        HttpServer::new(move || app(state.clone(), $door))
            .workers($workers)
            .max_connections($config.limits.connections.div_ceil($workers))
            .client_request_timeout(HEAD_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout($config.timeouts.drain.as_secs())
            .disable_signals()
    }};
}

/// Starts both listeners, and the threads for what comes by the edge if there is one. Their threads are
/// their own: DTLS and calls run elsewhere.
///
/// # Errors
/// If an address cannot be bound.
///
/// # Panics
/// Outside of an actix system.
pub fn serve(
    config: &Config,
    front: Front,
    calls: Arc<dyn Calls>,
    ng: NgDesk,
) -> io::Result<Servers> {
    let state = Data::new(State::new(config, calls, ng));
    let Front { certificates, moved, .. } = front;
    let tls = tls::server_config(&certificates)?;
    let http = server!(config, state, Door::Admin, config.http.workers)
        .bind(config.http.listen)
        .map_err(named("http.listen", config.http.listen))?;
    let public = server!(config, state, Door::Public, config.public.workers)
        .bind_rustls_0_23(config.public.listen, tls)
        .map_err(named("public.listen", config.public.listen))?;

    let bound = |addresses: Vec<SocketAddr>| {
        addresses.first().copied().ok_or(io::ErrorKind::AddrNotAvailable)
    };
    let (http_address, public_address) = (bound(http.addrs())?, bound(public.addrs())?);
    if state.tokens.is_empty() {
        tracing::warn!(%http_address, "no API token is configured: open to everybody on this host, loopback only");
    }
    let (http, public) = (http.run(), public.run());
    let handles = [http.handle(), public.handle()];
    actix_rt::spawn(http);
    actix_rt::spawn(public);
    if let Some(desk) = &state.desk {
        actix_rt::spawn(
            Arc::clone(desk).watch(Arc::clone(&state.calls), state.subscribers.stopping()),
        );
    }
    actix_rt::spawn(owners::watch(state.clone(), state.subscribers.stopping()));
    actix_rt::spawn(Arc::clone(&certificates).watch(state.subscribers.stopping()));
    let moved = moved.map(|moved| moved.serve(&state));
    Ok(Servers { http: http_address, public: public_address, certificates, moved, handles, state })
}

/// Both listeners, while they run.
pub struct Servers {
    /// Where the admin listener is bound.
    pub http: SocketAddr,
    /// Where the public listener is bound.
    pub public: SocketAddr,
    certificates: Arc<Certificates>,
    moved: Option<MovedServer>,
    handles: [ServerHandle; 2],
    state: Data<State>,
}

impl Servers {
    /// Looks at once whether there is another certificate.
    pub async fn refresh_certificate(&self) {
        let certificates = Arc::clone(&self.certificates);
        // It neither panics nor is it cancelled.
        let _ = tokio::task::spawn_blocking(move || certificates.look()).await;
    }

    /// Ends event streams, lets open requests end within `timeouts.drain`, and closes.
    pub async fn stop(self) {
        self.state.subscribers.stop();
        let [http, public] = self.handles;
        let moved = async {
            if let Some(moved) = self.moved {
                moved.stop().await;
            }
        };
        futures_util::future::join3(http.stop(true), public.stop(true), moved).await;
    }
}

/// Which listener a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Admin,
    Public,
}

/// What all handlers share.
struct State {
    calls: Arc<dyn Calls>,
    ng: NgDesk,
    tokens: ApiTokens,
    joins: JoinTokens,
    owners: Owners,
    pace: Pace,
    sessions: Sessions,
    origins: Origins,
    ice_servers: IceServers,
    minting: Option<Minting>,
    subscribers: Subscribers,
    desk: Option<Arc<Desk>>,
    patience: Duration,
}

impl State {
    fn new(config: &Config, calls: Arc<dyn Calls>, ng: NgDesk) -> Self {
        let limits = &config.limits;
        let secret = config.auth.join_secret.as_ref();
        Self {
            calls,
            ng,
            tokens: ApiTokens::new(config.auth.token.clone()),
            joins: JoinTokens::new(secret.map(|secret| secret.reveal())),
            owners: Owners::new(limits.calls.saturating_mul(limits.legs_per_call)),
            pace: Pace::new(limits.join_rate, limits.join_burst),
            sessions: Sessions::new(limits.calls.saturating_mul(limits.legs_per_call)),
            origins: Origins::new(&config.whip.origins),
            ice_servers: IceServers::new(&config.whip.ice_server),
            minting: Minting::new(config),
            subscribers: Subscribers::new(limits.sse_subscribers),
            desk: config.desk().then(|| Arc::new(Desk::new(limits.calls))),
            patience: config.timeouts.request,
        }
    }

    /// Waits for calls to answer, as long as a client can be kept waiting.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        tokio::time::timeout(self.patience, answer)
            .await
            .unwrap_or_else(|_| Err(Problem::unavailable("the node is too busy to answer in time")))
    }
}

/// One listener's routes. The document is made of the same list, so that neither can lack one.
fn app(
    state: Data<State>,
    door: Door,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let desk = state.desk.is_some();
    let routes = App::new().into_utoipa_app().openapi(openapi::frame());
    let (app, document) = routes
        .configure(|services| match door {
            Door::Admin => admin(services),
            Door::Public => public(services, desk),
        })
        .split_for_parts();
    app.app_data(state)
        .app_data(door)
        .app_data(Data::new(Document::new(document)))
        .configure(|services| {
            if door == Door::Public {
                pages::register(services);
            }
        })
        .default_service(match door {
            Door::Admin => actix_web::web::to(ng_socket::open),
            Door::Public => actix_web::web::to(openapi::elsewhere),
        })
        .wrap(from_fn(cors::share))
        .wrap(from_fn(local::doorman))
}

fn admin(services: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    services
        .service(calls::create)
        .service(calls::list)
        .service(calls::delete)
        .service(tokens::create)
        .service(events::all)
        .service(node::show)
        .service(interfaces::list)
        .service(interfaces::set)
        .service(health::alive)
        .service(health::ready)
        .service(metrics::show)
        .service(proxied::list)
        .service(proxied::show)
        .service(proxied::explain)
        .service(proxied::delete)
        .service(ng::ask)
        .service(ng::ask_plain)
        .service(ng::ping);
    shared(services);
}

fn public(services: &mut utoipa_actix_web::service_config::ServiceConfig<'_>, desk: bool) {
    services.service(whip::publish).service(whep::view);
    shared(services);
    if desk {
        services.service(desk::ring).service(desk::events);
    }
}

/// What a join token opens on the public listener, and an API token on the admin listener.
fn shared(services: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    services
        .service(calls::show)
        .service(calls::stats)
        .service(why::show)
        .service(why::report)
        .service(events::of_call)
        .service(legs::add)
        .service(legs::show)
        .service(legs::remove)
        .service(legs::answer)
        .service(legs::offer)
        .service(legs::trickle)
        .service(whip::publish_in)
        .service(whip::patch)
        .service(whip::delete)
        .service(whep::view_in)
        .service(whep::patch)
        .service(whep::delete)
        .service(legs::receive)
        .service(turn::create)
        .service(openapi::show);
}

fn named(key: &'static str, address: SocketAddr) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{key} {address}: {error}"))
}

#[cfg(test)]
mod tests;
