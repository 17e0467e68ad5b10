//! What a request must bring, as the type of a handler's first argument: a request without it does
//! not get as far as its body being read.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Data, Query};
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;

use super::{Door, State, local};
use crate::api::Problem;
use crate::auth::{Pass, Scope};
use crate::call::Remark;

/// Proof that the request may do what needs `N`.
pub(super) struct May<N> {
    /// Who asks.
    pub(super) who: Who,
    need: PhantomData<N>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Who {
    /// The bearer of an API token, or anybody where the listener is open.
    Api,
    /// The bearer of a join token.
    Join(Pass),
}

impl Who {
    /// The join token's id; `None` sees everything.
    pub(super) fn pass(&self) -> Option<&Pass> {
        match self {
            Self::Api => None,
            Self::Join(pass) => Some(pass),
        }
    }
}

/// What a handler needs.
pub(super) trait Need: 'static {
    /// The scope of an API token.
    const SCOPE: Scope;
    /// What a join token must be for.
    const JOIN: Reach = Reach::Nothing;
    /// Whether the token may stand in the query: browsers' `EventSource` sends no headers.
    const QUERY: bool = false;
    /// Whether API tokens count on the public listener, and an open one is open to this host.
    const DESK: bool = false;
}

/// How far a join token reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not here.
    Nothing,
    /// The call that it is for, which the path does not name.
    Own,
    /// The call of the path.
    Call,
    /// The leg of the path, if it was added with this token.
    Leg,
}

macro_rules! needs {
    ($($(#[doc = $doc:literal])+ $name:ident { $($body:tt)* })+) => {$(
        $(#[doc = $doc])+
        pub(super) struct $name;
        impl Need for $name { $($body)* }
    )+};
}

needs! {
    /// Sees the whole node.
    SeeNode { const SCOPE: Scope = Scope::Read; }
    /// Follows the whole node.
    WatchNode { const SCOPE: Scope = Scope::Read; const QUERY: bool = true; }
    /// Sees one call.
    SeeCall { const SCOPE: Scope = Scope::Read; const JOIN: Reach = Reach::Call; }
    /// Follows one call.
    WatchCall {
        const SCOPE: Scope = Scope::Read;
        const JOIN: Reach = Reach::Call;
        const QUERY: bool = true;
    }
    /// Sees one leg.
    SeeLeg { const SCOPE: Scope = Scope::Read; const JOIN: Reach = Reach::Leg; }
    /// Makes and ends calls.
    Control { const SCOPE: Scope = Scope::Call; }
    /// Changes how the node is set up.
    Configure { const SCOPE: Scope = Scope::Admin; }
    /// Adds a leg to a call.
    Join { const SCOPE: Scope = Scope::Call; const JOIN: Reach = Reach::Call; }
    /// Adds a leg to the call that its join token is for.
    JoinOwn { const SCOPE: Scope = Scope::Call; const JOIN: Reach = Reach::Own; }
    /// Gets TURN credentials.
    Relay { const SCOPE: Scope = Scope::Call; const JOIN: Reach = Reach::Own; }
    /// Drives a WHIP or WHEP session, which knows its own bearer.
    Steer { const SCOPE: Scope = Scope::Call; const JOIN: Reach = Reach::Call; }
    /// Drives one leg.
    Drive { const SCOPE: Scope = Scope::Call; const JOIN: Reach = Reach::Leg; }
    /// Takes calls at the desk.
    Attend {
        const SCOPE: Scope = Scope::Call;
        const QUERY: bool = true;
        const DESK: bool = true;
    }
}

impl<N: Need> FromRequest for May<N> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admit::<N>(request).map(|who| Self { who, need: PhantomData }))
    }
}

pub(super) fn admit<N: Need>(request: &HttpRequest) -> Result<Who, Problem> {
    let (door, state) = surroundings(request)?;
    if door == Door::Public && !N::DESK {
        return joining::<N>(request, state);
    }
    if state.tokens.is_empty() {
        return local::check(request).map(|()| Who::Api);
    }
    let token = bearer(request, N::QUERY)
        .ok_or_else(|| Problem::unauthorized("send `Authorization: Bearer` with an API token"))?;
    state.tokens.check(&token, N::SCOPE).map(|()| Who::Api)
}

/// Asks for a join token that reaches the call and leg of the path.
fn joining<N: Need>(request: &HttpRequest, state: &State) -> Result<Who, Problem> {
    let token = bearer(request, N::QUERY)
        .ok_or_else(|| Problem::unauthorized("send `Authorization: Bearer` with a join token"))?;
    let pass = state.joins.check(&token).inspect_err(|_| note_expired(state, &token))?;
    let part = |name| request.match_info().get(name).unwrap_or_default();
    if N::JOIN == Reach::Own {
        return Ok(Who::Join(pass));
    }
    if N::JOIN == Reach::Nothing || pass.call != part("call") {
        state.calls.remark(pass.call, Remark::TokenElsewhere { role: pass.role });
        return Err(Problem::forbidden("the join token is for another call"));
    }
    if N::JOIN == Reach::Leg && !state.owners.owns(&pass.jti, part("leg")) {
        return Err(Problem::forbidden("the leg was not added with this join token"));
    }
    Ok(Who::Join(pass))
}

/// An expired token still says truly whose it was, and its call is where its bearer is missed.
fn note_expired(state: &State, token: &str) {
    if let Some(pass) = state.joins.expired(token) {
        let remark = Remark::TokenExpired { role: pass.role, expired: pass.exp };
        state.calls.remark(pass.call, remark);
    }
}

pub(super) fn surroundings(request: &HttpRequest) -> Result<(Door, &State), Problem> {
    let lost = || Problem::internal("the listener lost its state");
    let door = *request.app_data::<Door>().ok_or_else(lost)?;
    let state = request.app_data::<Data<State>>().ok_or_else(lost)?;
    Ok((door, state.get_ref()))
}

fn bearer(request: &HttpRequest, query: bool) -> Option<String> {
    if let Some(header) = request.headers().get(AUTHORIZATION) {
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    #[derive(Deserialize)]
    struct InQuery {
        token: String,
    }
    let found = Query::<InQuery>::from_query(request.query_string()).ok().filter(|_| query)?;
    Some(found.into_inner().token)
}
