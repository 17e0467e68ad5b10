//! The bridge from doors to calls: what `rest/` asks and the actors answer.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::broadcast;

use crate::api::{
    AddLeg, CallStats, CallView, ClientReport, CreateCall, Description, InterfaceView, LegAdded,
    LegView, LifeEvent, MediaDirection, NodeStats, Problem, ProxiedCall, ProxiedWhy, Receive,
    Trickle, Why,
};
pub use crate::call::Restarted;
use crate::call::{Eyes, Remark};
use crate::ice::Credentials;
use crate::ng;

/// What comes of a request, later.
pub type Answer<T> = BoxFuture<'static, Result<T, Problem>>;

/// Everything that can be asked about calls. Unknown ids are [`Problem::not_found`], limits
/// [`Problem::unavailable`]; lengths of names, roles and candidates are checked by the caller.
pub trait Calls: Send + Sync + 'static {
    /// Makes a call.
    fn create(&self, asked: CreateCall) -> Answer<CallView>;
    /// Every call that is not over.
    fn list(&self) -> Answer<Vec<CallView>>;
    /// One call.
    fn show(&self, call: String) -> Answer<CallView>;
    /// Ends a call and its legs.
    fn delete(&self, call: String) -> Answer<()>;
    /// Adds a leg: answers its offer, or offers.
    fn add_leg(&self, call: String, asked: AddLeg) -> Answer<LegAdded>;
    /// The far side's answer to the node's offer.
    fn answer(&self, call: String, leg: String, answer: Description) -> Answer<LegView>;
    /// The far side offers again (renegotiation, ICE restart); the node's answer.
    fn offer(&self, call: String, leg: String, offer: Description) -> Answer<Description>;
    /// The node offers again to a leg without ICE, with media flowing so from its view; its offer.
    fn propose(&self, call: String, leg: String, direction: MediaDirection) -> Answer<Description>;
    /// Restarts ICE of a leg whose far side has other credentials from now on, without a
    /// description (RFC 9725 §4.3.3); candidates are lines as in [`Trickle`]. Media goes on as it was
    /// until a pair of the new generation is nominated.
    fn restart(
        &self,
        call: String,
        leg: String,
        far: Credentials,
        candidates: Vec<String>,
    ) -> Answer<Restarted>;
    /// More candidates of the far side.
    fn trickle(&self, call: String, leg: String, more: Trickle) -> Answer<()>;
    /// What a leg wants to receive on the m-line with this MID; the leg.
    fn receive(&self, call: String, leg: String, mid: String, asked: Receive) -> Answer<LegView>;
    /// One leg.
    fn show_leg(&self, call: String, leg: String) -> Answer<LegView>;
    /// Ends a leg.
    fn remove_leg(&self, call: String, leg: String) -> Answer<()>;
    /// What a call's media does.
    fn stats(&self, call: String) -> Answer<CallStats>;
    /// Why a call, live or just over, works or does not.
    fn why(&self, call: String, eyes: Eyes) -> Answer<Why>;
    /// What a leg's browser says of its side.
    fn report(&self, call: String, leg: String, report: ClientReport) -> Answer<()>;
    /// Something that a door has seen of a call; may be lost.
    fn remark(&self, call: String, remark: Remark);
    /// The ids of calls behind SIP proxies, so many at most.
    fn proxied(&self, limit: usize) -> Answer<Vec<String>>;
    /// One of them.
    fn show_proxied(&self, call: String) -> Answer<ProxiedCall>;
    /// Why one of them works or does not.
    fn why_proxied(&self, call: String) -> Answer<ProxiedWhy>;
    /// Ends one of them at once.
    fn end_proxied(&self, call: String) -> Answer<()>;
    /// What the node does.
    fn node(&self) -> Answer<NodeStats>;
    /// Where media comes in.
    fn interfaces(&self) -> Answer<Vec<InterfaceView>>;
    /// Announces another address for an interface: an IP address, `bind`, `auto` or a cloud's name.
    /// New legs and ICE restarts get it, running ones go on as they are.
    fn announce(&self, interface: String, announce: String) -> Answer<InterfaceView>;
    /// What happens from now on, in one call or in all. A reader that falls behind loses events
    /// and is told so by the channel.
    fn subscribe(&self, call: Option<String>) -> broadcast::Receiver<Arc<LifeEvent>>;
    /// Whether new calls can be taken; the problem says why not.
    fn ready(&self) -> Answer<()>;
}

/// A request of the ng protocol as a door took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NgAsked {
    /// The request.
    pub message: ng::Message,
    /// Whether the reply must fit a datagram.
    pub brief: bool,
    /// Whether it has waited so long that no call is to be begun for it.
    pub late: bool,
}

/// What requests of the ng protocol are asked of.
pub trait NgCalls: Send + Sync + 'static {
    /// Does what a request asks for. Every request is answered; one that takes too long goes on when
    /// nobody waits for it any more.
    fn ng(&self, asked: NgAsked) -> BoxFuture<'static, ng::Reply>;
    /// What the node does.
    fn stats(&self) -> NodeStats;
}
