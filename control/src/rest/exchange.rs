//! What WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) have in common: an offer is answered, ICE goes
//! on in fragments, and the session ends.
//!
//! A session is a leg whose media goes one way. Whoever views waits for whoever publishes, for as
//! long as it likes (`timeouts.join` is for connecting alone): the answer says at once that the node
//! sends, and media comes when there is some. Publishers and viewers come and go without ending the
//! call for others; an empty call is over after `timeouts.join`.

use actix_web::HttpResponse;
use actix_web::http::header::{ETAG, HeaderMap, LINK, LOCATION};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Who;
use super::body::{Kind, Offer, SdpFragment};
use super::if_match::{Asked, IfMatch};
use super::legs::sound_role;
use super::sessions::{Ice, Session};
use super::{State, ice_servers};
use crate::api::{AddLeg, LegAdded, Problem, Trickle};
use crate::ice::Credentials;
use crate::sdp::{Fragment, IceCredentials, Sdp, SdpError, Way, one_way};

/// The header that says what a PATCH may hold (RFC 5789 §3.1).
pub(super) const ACCEPT_PATCH: &str = "accept-patch";

/// The name of a way's endpoint.
pub(super) fn name(way: Way) -> &'static str {
    match way {
        Way::In => "whip",
        Way::Out => "whep",
    }
}

/// What the query of an endpoint may say.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InRole {
    /// The role, for the bearer of an API token; `publisher` or `viewer` by default.
    pub(super) role: Option<String>,
}

/// Answers an offer with a new leg of the call that the join token is for.
///
/// # Errors
/// As [`open`]; 404 without a join token.
pub(super) async fn open_own(
    way: Way,
    who: &Who,
    state: &State,
    offer: &str,
) -> Result<HttpResponse, Problem> {
    let pass = who.pass().ok_or_else(|| Problem::not_found("name the call in the path"))?;
    open(way, who, state, pass.call.clone(), None, offer).await
}

/// Answers an offer with a new leg of `call` (RFC 9725 §4.2). `role` is for those whose token does not
/// say it.
///
/// # Errors
/// 422 if not all of the offer can be taken; as a leg is refused.
pub(super) async fn open(
    way: Way,
    who: &Who,
    state: &State,
    call: String,
    role: Option<String>,
    offer: &str,
) -> Result<HttpResponse, Problem> {
    let offer = one_way(offer, way)?;
    let described = Sdp::parse(&offer)?;
    let role = match who.pass() {
        Some(pass) => pass.role.clone(),
        None => role.unwrap_or_else(|| usual_role(way).into()),
    };
    sound_role(&role)?;
    let remote = far_credentials(&Fragment::of(&described)?)?;
    state.ask(state.sessions.room(&*state.calls)).await?;
    let asked = AddLeg { role: Some(role), offer: Some(offer), stays: true, ..AddLeg::default() };
    let added = state.ask(state.calls.add_leg(call.clone(), asked)).await?;
    let mids = described.media().filter_map(|section| section.mid().ok().flatten());
    let mids = mids.map(Into::into).collect();
    let leg = added.leg.id.clone();
    match settle(way, who, state, &call, added, mids, remote) {
        Ok(response) => Ok(response),
        Err(problem) => {
            // Nobody could drive it.
            state.ask(state.calls.remove_leg(call, leg)).await?;
            Err(problem)
        }
    }
}

/// Takes a fragment: further candidates, or an ICE restart (RFC 9725 §4.3).
///
/// # Errors
/// As [`IfMatch::judge`]; 404 for what is no session of this bearer, 429 for a flood, 400 for what
/// cannot be read, 422 for what names none of the session's m-lines. The session goes on.
pub(super) async fn patch(
    way: Way,
    who: &Who,
    state: &State,
    (call, leg): (String, String),
    headers: &HeaderMap,
    body: &str,
) -> Result<HttpResponse, Problem> {
    let session = state.sessions.find(way, who, &call, &leg)?;
    session.may_patch()?;
    let fragment = Fragment::parse(body).map_err(malformed)?;
    if fragment.is_foreign(&session.mids) {
        let words = "the fragment names none of the session's m-lines";
        return Err(Problem::unprocessable("foreign-mid", words).at("a=mid"));
    }
    let candidates = fragment.candidates(&session.mids).iter().map(ToString::to_string).collect();
    let end_of_candidates = fragment.end_of_candidates(&session.mids);
    let more = Trickle { candidates, end_of_candidates };
    let named = fragment.credentials(&session.mids);
    state
        .ask(async {
            let mut ice = session.ice.lock().await;
            match IfMatch::of(headers).judge(&ice.tag(), &ice.remote, named)? {
                Asked::Trickle => {
                    state.calls.trickle(call, leg, more).await?;
                    // No ETag: it is the same ICE session (RFC 9725 §4.3.2).
                    Ok(HttpResponse::NoContent().finish())
                }
                Asked::Restart(credentials) => {
                    restart(state, &session, &mut ice, credentials, more).await
                }
            }
        })
        .await
}

/// Ends a session, or finds that its leg has ended already. Entity-tags do not matter here (RFC 9725
/// §4.3.1).
///
/// # Errors
/// 404 for what is no session of this bearer.
pub(super) async fn close(
    way: Way,
    who: &Who,
    state: &State,
    (call, leg): (String, String),
) -> Result<HttpResponse, Problem> {
    let session = state.sessions.find(way, who, &call, &leg)?;
    match state.ask(state.calls.remove_leg(call, leg)).await {
        Err(problem) if problem.status != 404 => return Err(problem),
        Ok(()) | Err(_) => {}
    }
    state.owners.forget(&session.leg);
    state.sessions.forget(&session.leg);
    Ok(HttpResponse::Ok().finish())
}

fn usual_role(way: Way) -> &'static str {
    match way {
        Way::In => "publisher",
        Way::Out => "viewer",
    }
}

/// Notes whose the new leg is, and answers.
fn settle(
    way: Way,
    who: &Who,
    state: &State,
    call: &str,
    added: LegAdded,
    mids: Vec<String>,
    remote: IceCredentials,
) -> Result<HttpResponse, Problem> {
    let lost = || Problem::internal("the node's answer is lost");
    let (answer, leg) = (added.answer.ok_or_else(lost)?, added.leg.id);
    let local = Fragment::of(&Sdp::parse(&answer)?)?;
    if let Some(pass) = who.pass() {
        state.owners.note(&leg, pass)?;
    }
    let mut response = HttpResponse::Created();
    for link in state.ice_servers.links() {
        response.append_header((LINK, link));
    }
    let own = state.minting.as_ref().map(|minting| minting.mint(&leg, None)).transpose()?;
    for link in own.iter().flat_map(ice_servers::of_this_node) {
        response.append_header((LINK, link));
    }
    let ice = Ice { local, remote };
    response
        .content_type(Offer::TYPE)
        .insert_header((LOCATION, format!("/{}/{call}/{leg}", name(way))))
        .insert_header((ETAG, ice.tag()))
        .insert_header((ACCEPT_PATCH, SdpFragment::TYPE));
    state.sessions.insert(Session::new(way, who, (call.into(), leg), mids, ice));
    Ok(response.body(answer))
}

/// Begins a new ICE session with the far side's credentials `named` and answers with the node's. If
/// that cannot be done the old one stays (RFC 9725 §4.3.3).
async fn restart(
    state: &State,
    session: &Session,
    ice: &mut Ice,
    named: IceCredentials,
    more: Trickle,
) -> Result<HttpResponse, Problem> {
    let (call, leg) = (&session.call, &session.leg);
    let far = Credentials { ufrag: named.ufrag.clone(), password: named.password.clone() };
    let Trickle { candidates, end_of_candidates } = more;
    let own = state.calls.restart(call.clone(), leg.clone(), far, candidates).await?;
    ice.renew(named, &own)?;
    if end_of_candidates {
        let last = Trickle { end_of_candidates, ..Trickle::default() };
        state.calls.trickle(call.clone(), leg.clone(), last).await?;
    }
    let mut response = HttpResponse::Ok();
    response.content_type(SdpFragment::TYPE).insert_header((ETAG, ice.tag()));
    Ok(response.body(ice.local.to_string()))
}

fn far_credentials(fragment: &Fragment) -> Result<IceCredentials, Problem> {
    let found = fragment.media.first().and_then(|section| section.credentials.clone());
    found.ok_or_else(|| Problem::internal("the offer's credentials are lost"))
}

/// A fragment that cannot be read is a malformed request (RFC 9725 §4.3.1), where a description
/// that cannot be is understood and refused.
fn malformed(error: SdpError) -> Problem {
    let problem = Problem::from(error.clone());
    if problem.status == 413 {
        return problem;
    }
    Problem::malformed(error.to_string()).at(error.at())
}
