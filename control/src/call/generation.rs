//! ICE generations of a leg: the current one, and the next one while a restart is under way
//! (RFC 8445 §9, RFC 8839 §4.4.1).
//!
//! A restart is make before break: the worker keeps both, and the current one carries media until
//! the next one nominates a pair. DTLS and SRTP know nothing of it.

use std::iter;
use std::net::SocketAddr;
use std::time::Instant;

use causeway_engine::command::{
    Command, Credentials as EngineCredentials, IceSpec, LegId, Refusal,
};
use causeway_engine::consent::Consent;
use causeway_engine::stun;

use super::leg::CallLeg;
use super::media::random;
use super::note::Note;
use super::{Call, NodeFacts, Pending, Reply, RequestId, refused};
use crate::api::{EndReason, Problem};
use crate::ice::{
    Agent, AgentConfig, Credentials, IceError, LocalAddress, Output, RTP, Remote, Sight,
    host_priority,
};
use crate::sdp::{Candidate, IceCredentials, Negotiated};

/// The node's side of a new ICE generation.
#[derive(Debug, Clone)]
pub struct Restarted {
    /// What the far side's checks name and are signed with from now on.
    pub credentials: Credentials,
    /// The node's candidates, all of them, each as `candidate:…`.
    pub candidates: Vec<String>,
}

/// One ICE generation of a leg.
pub(crate) struct Generation {
    /// Counts the leg's restarts.
    pub(crate) number: u32,
    pub(crate) agent: Agent,
    pub(crate) timeout: Option<Instant>,
    /// The credentials of both sides before it, the node's first.
    before: Option<(IceCredentials, IceCredentials)>,
}

impl Generation {
    /// A generation that answers checks under `credentials` at the node's addresses.
    pub(crate) fn new(
        number: u32,
        facts: &NodeFacts,
        leg: LegId,
        credentials: Credentials,
    ) -> Result<Self, Problem> {
        let faces = facts.faces_of(leg);
        let addresses = faces.map(|f| LocalAddress { announced: f.announced, bound: f.bound });
        let config = AgentConfig {
            local: addresses.collect(),
            lite: true,
            controlling: false,
            component: RTP,
            credentials,
        };
        let agent = Agent::new(config).map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Self { number, agent, timeout: None, before: None })
    }

    /// What the worker needs to know of it.
    pub(crate) fn spec(&self, remote: Option<EngineCredentials>) -> IceSpec {
        let own = self.agent.local_credentials();
        IceSpec {
            local: EngineCredentials { ufrag: own.ufrag, password: own.password },
            remote,
            send_checks: !self.agent.is_lite(),
            controlling: self.agent.is_controlling(),
            component: RTP,
            generation: self.number,
        }
    }

    /// Takes what the far side's description says of its candidates.
    pub(crate) fn add_described(&mut self, negotiated: &Negotiated) {
        let transport = &negotiated.transport;
        self.add_candidates(transport.candidates.iter().map(ToString::to_string));
        if transport.end_of_candidates {
            self.agent.end_of_candidates();
        }
    }

    /// Takes candidates of the far side. What it cannot use is not an error: a browser's mDNS names
    /// and TCP candidates are of no use to a node that waits to be called.
    pub(crate) fn add_candidates<L: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = L>) {
        for line in lines {
            let _unused = self.agent.add_remote_candidate(line.as_ref());
        }
    }
}

impl CallLeg {
    /// Begins another generation towards a far side that has these credentials now; a pending one
    /// that nominated nothing is replaced.
    pub(crate) fn restart(
        &mut self,
        now: Instant,
        facts: &NodeFacts,
        remote: Remote,
    ) -> Result<Box<Consent>, Problem> {
        let Some(negotiated) = &mut self.negotiated else {
            return Err(Problem::conflict("the leg owes the answer to the node's offer"));
        };
        self.restarts += 1;
        let own = Credentials::random();
        let mut next = Generation::new(self.restarts, facts, self.slot, own.clone())?;
        let far = remote.credentials.clone();
        next.agent.set_remote(now, remote);
        let before = &mut negotiated.transport.credentials;
        let before =
            std::mem::replace(before, IceCredentials::new(&far.ufrag, far.password.as_str()));
        let own = IceCredentials::new(&own.ufrag, own.password.as_str());
        next.before = Some((std::mem::replace(&mut self.local.credentials, own), before));
        self.local.candidates = candidates(facts, self.slot);
        let remote = EngineCredentials { ufrag: far.ufrag, password: far.password };
        let consent = Consent::new(&next.spec(Some(remote)), random());
        self.next = Some(next);
        Ok(Box::new(consent))
    }

    /// Undoes a restart that the worker refused.
    fn take_back(&mut self, number: u32) {
        let Some(next) = self.next.take_if(|next| next.number == number) else { return };
        if let (Some((own, far)), Some(negotiated)) = (next.before, &mut self.negotiated) {
            self.local.credentials = own;
            negotiated.transport.credentials = far;
        }
    }

    /// The newest generation, whose candidates the far side sends now.
    pub(crate) fn newest(&mut self) -> &mut Generation {
        self.next.as_mut().unwrap_or(&mut self.ice)
    }

    /// What the agents want done, with the generation's number, until they wait.
    pub(crate) fn ice_output(&mut self) -> Option<(u32, Output)> {
        for generation in iter::once(&mut self.ice).chain(&mut self.next) {
            match generation.agent.poll_output() {
                Output::Timeout(next) => generation.timeout = next,
                output => return Some((generation.number, output)),
            }
        }
        None
    }

    /// What an agent saw of the far side's checks.
    pub(crate) fn ice_sight(&mut self) -> Option<Sight> {
        let mut all = iter::once(&mut self.ice).chain(&mut self.next);
        all.find_map(|generation| generation.agent.poll_sight())
    }

    /// Hands a STUN message to the agent whose ufrag it names; an answer names none, and each
    /// knows its own checks.
    pub(crate) fn take_stun(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bound: SocketAddr,
        bytes: &[u8],
    ) {
        let message = stun::Message::parse(bytes).ok();
        let name = message.as_ref().and_then(|message| message.username);
        let named = |generation: &&mut Generation| {
            name.is_none_or(|name| generation.agent.is_named_by(name))
        };
        for generation in iter::once(&mut self.ice).chain(&mut self.next).filter(named) {
            generation.agent.handle_packet(now, from, bound, bytes);
        }
    }

    /// Lets the agents do what their timers are for.
    pub(crate) fn ice_timeout(&mut self, now: Instant) {
        for generation in iter::once(&mut self.ice).chain(&mut self.next) {
            generation.agent.handle_timeout(now);
        }
    }

    /// When an agent's timer runs out first.
    pub(crate) fn ice_due(&self) -> Option<Instant> {
        iter::once(&self.ice).chain(&self.next).filter_map(|generation| generation.timeout).min()
    }

    /// A generation has nominated: the ones before it are over. Tells whether it is the current one
    /// now, and leaves further checks to the worker.
    pub(crate) fn settle(&mut self, now: Instant, number: u32) -> bool {
        if let Some(next) = self.next.take_if(|next| next.number == number) {
            self.ice = next;
        }
        if self.ice.number != number {
            return false;
        }
        self.ice.agent.hand_over(now);
        true
    }

    /// A generation has failed: tells whether the leg goes on with another.
    fn outlives(&mut self, number: u32) -> bool {
        let failed = self.next.take_if(|next| next.number == number);
        failed.map_or(self.next.is_some(), |_| !self.ice.agent.has_failed())
    }
}

impl Call {
    /// Restarts ICE of a leg whose far side has these credentials now, without a description; the
    /// reply tells the node's.
    pub fn restart(
        &mut self,
        now: Instant,
        request: RequestId,
        leg: &str,
        far: Credentials,
        candidates: &[String],
    ) -> Result<(), Problem> {
        let place = self.place(leg)?;
        let held = &mut self.legs[place];
        let described = held.negotiated.as_ref().map(|negotiated| &negotiated.transport);
        let lite = described.is_some_and(|transport| transport.lite);
        if described.is_some_and(|t| t.credentials.ufrag == far.ufrag) {
            let detail = "the credentials are those in use; a restart brings new ones";
            return Err(Problem::unprocessable("ice-restart", detail));
        }
        let remote = Remote { credentials: far, lite };
        let next = held.restart(now, &self.facts, remote)?;
        held.newest().add_candidates(candidates);
        let restarted = Restarted {
            credentials: held.newest().agent.local_credentials(),
            candidates: held.local.candidates.iter().map(ToString::to_string).collect(),
        };
        self.begin_restart(place, request, Reply::Restarted(Box::new(restarted)), next);
        self.drain_agent(now, place);
        Ok(())
    }

    /// Tells the worker of a new generation; the reply waits for it.
    pub(super) fn begin_restart(
        &mut self,
        place: usize,
        request: RequestId,
        reply: Reply,
        next: Box<Consent>,
    ) {
        let (transport, generation) = (self.legs[place].transport(), next.generation());
        self.note(place, Note::IceRestarted);
        let leg = self.legs[place].id.clone();
        let pending = Pending::Restart { leg, generation, request, reply };
        self.tell_tagged(pending, Command::RestartIce { transport, next });
    }

    /// The worker has, or has not, begun a new generation.
    pub(super) fn restarted(
        &mut self,
        leg: &str,
        generation: u32,
        request: RequestId,
        result: Result<Reply, Refusal>,
    ) {
        if let (Err(_), Ok(place)) = (&result, self.place(leg)) {
            self.legs[place].take_back(generation);
        }
        self.outputs.push_back(super::Output::Reply(request, result.map_err(refused)));
    }

    /// A generation found no pair: if it was to be the next one, the current one goes on.
    pub(super) fn generation_failed(
        &mut self,
        now: Instant,
        place: usize,
        generation: u32,
        error: IceError,
    ) {
        let transport = self.legs[place].transport();
        let was_next = self.legs[place].ice.number != generation;
        if !self.legs[place].outlives(generation) {
            tracing::info!(call = self.id, leg = self.legs[place].id, %error, "ICE failed");
            self.note(place, Note::IceFailed(error));
            self.end_leg(now, place, EndReason::JoinTimeout);
        } else if was_next {
            self.note(place, Note::IceRestartFailed(error));
            self.tell(Command::CancelRestart { transport, generation });
        }
    }
}

/// The node's candidates, best first: what is announced, and behind it the bound addresses that are
/// offered too.
pub(super) fn candidates(facts: &NodeFacts, leg: LegId) -> Vec<Candidate> {
    let announced = facts.faces_of(leg).map(|face| face.announced);
    let private = facts.faces_of(leg).filter(|face| face.private && face.bound != face.announced);
    let all = announced.chain(private.map(|face| face.bound));
    (0u32..)
        .zip(all)
        .map(|(place, address)| {
            Candidate::host((place + 1).to_string(), RTP, host_priority(RTP, place), address)
        })
        .collect()
}
