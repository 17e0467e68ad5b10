//! ICE generations of a leg's transports: of each the current one, and the next one while a restart
//! is under way (RFC 8445 §9, RFC 8839 §4.4.1).
//!
//! A restart is make before break: the worker keeps both, and the current one carries media until
//! the next one nominates a pair. It restarts all transports of the leg, under the same credentials;
//! each changes over by itself. DTLS and SRTP know nothing of it.

use std::iter;
use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use causeway_engine::command::{
    Command, Credentials as EngineCredentials, IceSpec, Refusal, SocketId, TransportId,
};
use causeway_engine::consent::Consent;
use causeway_engine::stun;

use super::leg::CallLeg;
use super::media::random;
use super::note::Note;
use super::transport::{TRANSPORTS_MAX, component};
use super::{Call, Face, NodeFacts, Pending, Reply, RequestId, refused};
use crate::api::{EndReason, Problem};
use crate::ice::{
    Agent, AgentConfig, BadAddress, Credentials, IceError, Output, Over, Remote, Sight,
    host_priority,
};
use crate::sdp::{Candidate, IceCredentials, Negotiated, TcpType, Via};

/// The node's side of a new ICE generation.
#[derive(Debug, Clone)]
pub struct Restarted {
    /// What the far side's checks name and are signed with from now on.
    pub credentials: Credentials,
    /// The node's candidates, all of them, each as `candidate:…`.
    pub candidates: Vec<String>,
}

/// The next generation of each transport, for the worker.
pub(crate) type Consents = ArrayVec<Box<Consent>, TRANSPORTS_MAX>;

/// What a restart has replaced.
pub(crate) struct Replaced {
    /// The generation that replaces it.
    by: u32,
    /// The node's credentials before it.
    own: IceCredentials,
    /// The far side's credentials before it.
    far: IceCredentials,
}

/// One ICE generation of a transport.
pub(crate) struct Generation {
    /// Counts the leg's restarts.
    pub(crate) number: u32,
    pub(crate) agent: Agent,
    pub(crate) timeout: Option<Instant>,
    component: u8,
}

impl Generation {
    /// A generation that answers checks under `credentials` at the node's addresses.
    pub(crate) fn new(
        number: u32,
        facts: &NodeFacts,
        transport: TransportId,
        credentials: Credentials,
    ) -> Result<Self, Problem> {
        let (faces, component) = (facts.faces_of(transport), component(transport));
        let local = faces.map(Face::local_address).collect();
        let config = AgentConfig { local, lite: true, controlling: false, component, credentials };
        Self::of(number, config).map_err(|error| Problem::internal(error.to_string()))
    }

    /// A generation with an agent of this kind.
    pub(crate) fn of(number: u32, config: AgentConfig) -> Result<Self, BadAddress> {
        let component = config.component;
        Ok(Self { number, agent: Agent::new(config)?, timeout: None, component })
    }

    /// What the worker needs to know of it.
    pub(crate) fn spec(&self, remote: Option<EngineCredentials>) -> IceSpec {
        let own = self.agent.local_credentials();
        IceSpec {
            local: EngineCredentials { ufrag: own.ufrag, password: own.password },
            remote,
            send_checks: !self.agent.is_lite(),
            controlling: self.agent.is_controlling(),
            component: self.component,
            generation: self.number,
        }
    }

    /// Takes what the far side's description says of its candidates.
    pub(crate) fn add_described(&mut self, negotiated: &Negotiated) {
        let Some(ice) = negotiated.ice() else { return };
        self.add_candidates(ice.candidates.iter().map(ToString::to_string));
        if ice.end_of_candidates {
            self.agent.end_of_candidates();
        }
    }

    /// Takes candidates of the far side. What it cannot use is not an error: a browser's mDNS names
    /// and TCP candidates are of no use to a node that waits to be called, and those of another
    /// component are another agent's.
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
    ) -> Result<Consents, Problem> {
        let Some(negotiated) = &mut self.negotiated else {
            return Err(Problem::conflict("the leg owes the answer to the node's offer"));
        };
        self.restarts += 1;
        let (by, own) = (self.restarts, Credentials::random(self.slot.worker));
        let ids = self.transports.iter().map(|held| held.id);
        let next = ids.map(|id| Generation::new(by, facts, id, own.clone()));
        let next = next.collect::<Result<ArrayVec<_, TRANSPORTS_MAX>, _>>()?;
        let replace = |old: &mut IceCredentials, new: &Credentials| {
            std::mem::replace(old, IceCredentials::new(&new.ufrag, new.password.as_str()))
        };
        let Some(ice) = negotiated.ice_mut() else { return Err(no_ice()) };
        let far = replace(&mut ice.credentials, &remote.credentials);
        let own = replace(&mut self.local.credentials, &own);
        self.replaced = Some(Replaced { by, own, far });
        let ids = self.transports.iter().map(|held| held.id);
        self.local.candidates = ids.flat_map(|id| candidates(facts, id)).collect();
        let each = self.transports.iter_mut().filter_map(|held| held.ice.as_mut());
        Ok(each.zip(next).map(|(ice, next)| ice.begin(now, next, &remote)).collect())
    }

    /// Undoes a restart that the worker refused; tells which transports had begun it.
    fn take_back(&mut self, number: u32) -> ArrayVec<TransportId, TRANSPORTS_MAX> {
        let replaced = self.replaced.take_if(|replaced| replaced.by == number);
        if let (Some(Replaced { own, far, .. }), Some(negotiated)) =
            (replaced, &mut self.negotiated)
        {
            self.local.credentials = own;
            if let Some(ice) = negotiated.ice_mut() {
                ice.credentials = far;
            }
        }
        let begun = self.transports.iter_mut().filter_map(|held| {
            held.ice.as_mut()?.next.take_if(|next| next.number == number)?;
            Some(held.id)
        });
        begun.collect()
    }
}

/// The ICE of a transport.
pub(crate) struct Ice {
    /// The generation that carries media.
    pub(crate) current: Generation,
    /// The one that a restart has begun, until it nominates: apart, since most calls never have one.
    pub(crate) next: Option<Box<Generation>>,
}

impl Ice {
    /// Begins another generation.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        mut next: Generation,
        remote: &Remote,
    ) -> Box<Consent> {
        let Credentials { ufrag, password } = remote.credentials.clone();
        next.agent.set_remote(now, remote.clone());
        let far = EngineCredentials { ufrag, password };
        let consent = Consent::new(&next.spec(Some(far)), random());
        self.next = Some(Box::new(next));
        Box::new(consent)
    }

    /// The newest generation, whose candidates the far side sends now.
    pub(crate) fn newest(&mut self) -> &mut Generation {
        self.next.as_deref_mut().unwrap_or(&mut self.current)
    }

    /// What the agents want done, with the generation's number, until they wait.
    pub(crate) fn output(&mut self) -> Option<(u32, Output)> {
        for generation in iter::once(&mut self.current).chain(self.next.as_deref_mut()) {
            match generation.agent.poll_output() {
                Output::Timeout(next) => generation.timeout = next,
                output => return Some((generation.number, output)),
            }
        }
        None
    }

    /// What an agent saw of the far side's checks.
    pub(crate) fn sight(&mut self) -> Option<Sight> {
        let mut all = iter::once(&mut self.current).chain(self.next.as_deref_mut());
        all.find_map(|generation| generation.agent.poll_sight())
    }

    /// Hands a STUN message to the agent whose ufrag it names; an answer names none, and each
    /// knows its own checks.
    pub(crate) fn take_stun(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local: SocketId,
        bytes: &[u8],
    ) {
        let message = stun::Message::parse(bytes).ok();
        let name = message.as_ref().and_then(|message| message.username);
        let named = |generation: &&mut Generation| {
            name.is_none_or(|name| generation.agent.is_named_by(name))
        };
        for generation in
            iter::once(&mut self.current).chain(self.next.as_deref_mut()).filter(named)
        {
            generation.agent.handle_packet(now, from, local, bytes);
        }
    }

    /// Lets the agents do what their timers are for.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for generation in iter::once(&mut self.current).chain(self.next.as_deref_mut()) {
            generation.agent.handle_timeout(now);
        }
    }

    /// When an agent's timer runs out first.
    pub(crate) fn due(&self) -> Option<Instant> {
        iter::once(&self.current)
            .chain(self.next.as_deref())
            .filter_map(|generation| generation.timeout)
            .min()
    }

    /// A generation has nominated: the ones before it are over. Tells whether it is the current one
    /// now, and leaves further checks to the worker.
    pub(crate) fn settle(&mut self, now: Instant, number: u32) -> bool {
        if let Some(next) = self.next.take_if(|next| next.number == number) {
            self.current = *next;
        }
        if self.current.number != number {
            return false;
        }
        self.current.agent.hand_over(now);
        true
    }

    /// A generation has failed: tells whether the leg goes on with another.
    fn outlives(&mut self, number: u32) -> bool {
        let failed = self.next.take_if(|next| next.number == number);
        failed.map_or(self.next.is_some(), |_| !self.current.agent.has_failed())
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
        let described = held.negotiated.as_ref().and_then(Negotiated::ice);
        let lite = described.is_some_and(|transport| transport.lite);
        if described.is_some_and(|t| t.credentials.ufrag == far.ufrag) {
            let detail = "the credentials are those in use; a restart brings new ones";
            return Err(Problem::unprocessable("ice-restart", detail));
        }
        let remote = Remote { credentials: far, lite };
        let next = held.restart(now, &self.facts, remote)?;
        held.add_candidates(candidates);
        let own = &held.local.credentials;
        let restarted = Restarted {
            credentials: Credentials { ufrag: own.ufrag.clone(), password: own.password.clone() },
            candidates: held.local.candidates.iter().map(ToString::to_string).collect(),
        };
        self.begin_restart(place, request, Reply::Restarted(Box::new(restarted)), next);
        self.drain_agents(now, place);
        Ok(())
    }

    /// Tells the worker of a new generation of each transport; the reply waits for the last.
    pub(super) fn begin_restart(
        &mut self,
        place: usize,
        request: RequestId,
        reply: Reply,
        next: Consents,
    ) {
        self.note(place, Note::IceRestarted);
        let generation = self.legs[place].restarts;
        let ids: ArrayVec<_, TRANSPORTS_MAX> = self.legs[place].transport_ids().collect();
        let last = self.next_tag + ids.len() as u64 - 1;
        let mut reply = Some(reply);
        for (transport, next) in ids.into_iter().zip(next) {
            let reply = if self.next_tag == last { reply.take() } else { None };
            let pending = match reply {
                Some(reply) => Pending::Restart { transport, generation, request, reply },
                None => Pending::RestartPart { transport, generation, last },
            };
            self.tell_tagged(pending, Command::RestartIce { transport, next });
        }
    }

    /// The worker has, or has not, begun a new generation of the last transport.
    pub(super) fn restarted(
        &mut self,
        transport: TransportId,
        generation: u32,
        request: RequestId,
        result: Result<Reply, Refusal>,
    ) {
        if result.is_err() {
            self.take_restart_back(transport, generation);
        }
        self.outputs.push_back(super::Output::Reply(request, result.map_err(refused)));
    }

    /// The worker has not begun a new generation of a transport before the last: the request that
    /// waits for the last is refused.
    pub(super) fn restart_refused(
        &mut self,
        transport: TransportId,
        generation: u32,
        last: u64,
        refusal: Refusal,
    ) {
        if let Some(Pending::Restart { request, .. }) = self.pending.remove(&last) {
            self.take_restart_back(transport, generation);
            let reply = super::Output::Reply(request, Err(refused(refusal)));
            self.outputs.push_back(reply);
        }
    }

    /// Undoes a restart that the worker refused for a transport, and cancels it for the others.
    fn take_restart_back(&mut self, refused: TransportId, generation: u32) {
        let Some(place) = self.place_of(refused.leg) else { return };
        let begun = self.legs[place].take_back(generation);
        for transport in begun.into_iter().filter(|begun| *begun != refused) {
            self.tell(Command::CancelRestart { transport, generation });
        }
    }

    /// A generation found no pair: if it was to be the next one, the current one goes on.
    pub(super) fn generation_failed(
        &mut self,
        now: Instant,
        transport: TransportId,
        generation: u32,
        error: IceError,
    ) {
        let Some(place) = self.place_of(transport.leg) else { return };
        let ice = self.transport(transport).and_then(|held| held.ice.as_mut());
        let Some(ice) = ice else { return };
        let was_next = ice.current.number != generation;
        if !ice.outlives(generation) {
            tracing::info!(call = self.id, leg = self.legs[place].id, %error, "ICE failed");
            self.note_at(transport, Note::IceFailed(error));
            self.end_leg(now, place, EndReason::JoinTimeout);
        } else if was_next {
            self.note_at(transport, Note::IceRestartFailed(error));
            self.tell(Command::CancelRestart { transport, generation });
        }
    }
}

fn no_ice() -> Problem {
    Problem::conflict("the leg has no ICE")
}

/// The node's candidates for a transport, best first: what is announced, and behind it the bound
/// addresses that are offered too.
pub(super) fn candidates(facts: &NodeFacts, transport: TransportId) -> Vec<Candidate> {
    let faces = || facts.faces_of(transport);
    let private = faces().filter(|face| face.private && face.bound != face.announced);
    let all = faces().map(|face| (face.announced, face.over));
    let all = all.chain(private.map(|face| (face.bound, face.over)));
    let component = component(transport);
    let candidate = |(place, (address, over)): (u32, (_, Over))| {
        let foundation = (place + 1).to_string();
        let priority = host_priority(over, component, place);
        let via = match over {
            Over::Udp => Via::Udp,
            Over::Tcp => Via::Tcp(TcpType::Passive),
        };
        Candidate { via, ..Candidate::host(foundation, component, priority, address) }
    };
    (0u32..).zip(all).map(candidate).collect()
}
