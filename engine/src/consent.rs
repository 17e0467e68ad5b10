//! Consent of one transport: who may send to whom, and for how long.
//!
//! Control's agent sets pairs up and installs them; from then on the worker answers their checks,
//! follows the far side's nomination, and decides when consent is lost.
//!
//! - A **full** agent sends a check of its own on the nominated pair every 5 s ± 20 % and lives on
//!   the answers (RFC 7675 §5.1). Incoming checks and media prove nothing to it.
//! - A **lite** agent never sends a check; it lives on authenticated incoming ones.
//!
//! An ICE restart begins another [`Consent`] beside the current one (see `restart.rs`); each
//! answers the checks that name its own ufrag.
//!
//! Once lost, consent stays lost: the same credentials must not be used again on these 5-tuples
//! (RFC 7675 §5.1), so nothing is sent, answered or installed any more.

use std::net::SocketAddr;

use crate::command::{Credentials, IceSpec, Refusal};
use crate::config::PAIRS_PER_TRANSPORT;
use crate::error::DropReason;
use crate::few::Few;
use crate::packet::Nanos;
use crate::plain::plain;
use crate::stun::{
    self, BINDING, Check, Class, ErrorCode, IntegrityKey, Message, Role, TransactionId,
};

/// Consent ends when no answer has come for this long (RFC 7675 §5.1).
pub const CONSENT_NS: u64 = 30_000_000_000;
/// A lite agent gives up when no authenticated check has come for this long. Browsers check about
/// every 2 s; the time is the one that the far side grants us.
pub const LITE_LIVENESS_NS: u64 = CONSENT_NS;
/// Time between two checks, on average.
pub const CHECK_INTERVAL_NS: u64 = 5_000_000_000;
/// How far the time between two checks strays to either side: 20 % (RFC 7675 §5.1).
pub const CHECK_JITTER_NS: u64 = CHECK_INTERVAL_NS / 5;
/// Checks whose answers are still welcome: as many as fit into [`CONSENT_NS`].
pub const CHECKS_OUTSTANDING: usize = 8;

/// PRIORITY in the node's checks: that of a peer-reflexive candidate (RFC 8445 §7.1.1), for the
/// component to be taken off. On an installed pair nobody learns a candidate from it.
const PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 256;

const _: () = assert!(
    CHECKS_OUTSTANDING as u64 * (CHECK_INTERVAL_NS - CHECK_JITTER_NS) >= CONSENT_NS
        && PAIRS_PER_TRANSPORT > 1
);

/// What a worker keeps per transport with ICE.
#[derive(Debug)]
pub struct Consent {
    local_ufrag: Box<str>,
    local_key: IntegrityKey,
    remote: Option<Remote>,
    full: bool,
    controlling: bool,
    component: u8,
    generation: u32,
    tie_breaker: u64,
    pairs: Few<Pair, PAIRS_PER_TRANSPORT>,
    nominated: Option<usize>,
    highest_nomination: Option<u32>,
    checks: Checks,
    lost: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handled {
    /// Bytes in `out` that go back to where the message came from.
    pub reply: Option<usize>,
    /// Where media goes from now on, if that has changed.
    pub nominated: Option<SocketAddr>,
    /// Whether the message showed that both sides have the same role (RFC 8445 §7.3.1.1).
    pub role_conflict: bool,
    /// Why the reply is a refusal that operators should see counted.
    pub fault: Option<DropReason>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// Nothing.
    None,
    /// A check waits in `out`.
    Send {
        /// Where it goes.
        remote: SocketAddr,
        /// Its bytes.
        len: usize,
    },
    /// Consent is lost. Said once.
    Lost,
}

impl Consent {
    /// Without pairs. Made by control: this is where memory is allocated and randomness drawn.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    pub fn new(spec: &IceSpec, tie_breaker: u64) -> Self {
        let mut seed = zeroize::Zeroizing::new([0; 20]);
        aws_lc_rs::rand::fill(&mut *seed).expect("the system has randomness");
        Self {
            local_ufrag: spec.local.ufrag.as_str().into(),
            local_key: IntegrityKey::new(&spec.local.password),
            remote: spec.remote.clone().map(|mut credentials| Remote::take(&mut credentials)),
            full: spec.send_checks,
            controlling: spec.controlling,
            component: spec.component,
            generation: spec.generation,
            tie_breaker,
            pairs: Few::new(),
            nominated: None,
            highest_nomination: None,
            checks: Checks::new(&*seed),
            lost: false,
        }
    }

    /// Takes the far side's credentials and leaves the older ufrag in their place, so that its
    /// memory goes home with the answer; and what the node is towards it.
    pub fn set_remote(
        &mut self,
        credentials: &mut Credentials,
        send_checks: bool,
        controlling: bool,
    ) {
        self.full = send_checks;
        self.controlling = controlling;
        let replaced = self.remote.replace(Remote::take(credentials));
        credentials.ufrag = replaced.map(|remote| remote.ufrag).unwrap_or_default();
    }

    /// Allows a pair that has passed an authenticated check; one that is known was just heard again.
    ///
    /// Where the table is full, the pair that was heard least recently and is not nominated makes
    /// room and is returned, so that the worker can forget its 5-tuple.
    ///
    /// # Errors
    /// [`Refusal::Gone`] after consent was lost.
    pub fn install(
        &mut self,
        remote: SocketAddr,
        nominated: bool,
        now: Nanos,
    ) -> Result<Option<SocketAddr>, Refusal> {
        if self.lost {
            return Err(Refusal::Gone);
        }
        let (index, evicted) = self.place(remote, now);
        self.heard_check(index, now);
        if nominated {
            self.nominate(index, now);
        }
        Ok(evicted)
    }

    /// Takes a message that came from an installed pair; a reply is written to `out`.
    ///
    /// # Errors
    /// Why the message is dropped without an answer. [`DropReason::StunUnknownUfrag`] means that it
    /// is not for this transport: a restarted session checks from the same 5-tuple under its new
    /// ufrag, and the worker should look that up.
    pub fn handle(
        &mut self,
        message: &Message<'_>,
        remote: SocketAddr,
        now: Nanos,
        out: &mut [u8],
    ) -> Result<Handled, DropReason> {
        let index = self.index_of(remote).ok_or(DropReason::UnknownRemote)?;
        if !message.fingerprint_holds() {
            return Err(DropReason::StunIntegrity);
        }
        match message.class {
            _ if message.method != BINDING => Err(DropReason::StunUnsolicited),
            // A keepalive (RFC 8445 §11): neither signed nor answered.
            Class::Indication => Ok(Handled::default()),
            Class::Request => self.answer(message, index, now, out),
            Class::Success => self.renew(message, index, now),
            Class::Error => self.refused(message, index, now),
        }
    }

    /// Notes that something authenticated, media included, came from `remote`. Keeps the pair from
    /// being evicted; consent comes from checks alone.
    pub fn heard(&mut self, remote: SocketAddr, now: Nanos) {
        if let Some(index) = self.index_of(remote) {
            self.pairs[index].heard = now;
        }
    }

    /// Says what is due; a check is written to `out`, which should hold [`stun::MESSAGE_MAX`] bytes.
    pub fn tick(&mut self, now: Nanos, out: &mut [u8]) -> Tick {
        match self.expiry() {
            Some(expiry) if now >= expiry => {
                self.lost = true;
                Tick::Lost
            }
            Some(_) => self.check(now, out).unwrap_or(Tick::None),
            None => Tick::None,
        }
    }

    /// When the next [`tick`](Self::tick) can have something to say; `None` as long as nothing is
    /// installed and after consent is lost.
    pub fn due(&self) -> Option<Nanos> {
        let expiry = self.expiry()?;
        let sends = self.full && self.nominated.is_some() && self.remote.is_some();
        Some(if sends { expiry.min(self.checks.next) } else { expiry })
    }

    /// Where media goes: the nominated pair, as long as there is consent.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.nominated.filter(|_| !self.lost).map(|index| self.pairs[index].remote)
    }

    /// The ufrag that incoming checks name first.
    pub fn local_ufrag(&self) -> &str {
        &self.local_ufrag
    }

    /// Which of the leg's ICE generations it is.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it is over for good.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether `remote` is the far address of an installed pair.
    pub fn has(&self, remote: SocketAddr) -> bool {
        self.index_of(remote).is_some()
    }

    /// Whether a check with this username is for it: its first half is the node's ufrag
    /// (RFC 8445 §7.3).
    pub fn is_named_by(&self, username: &[u8]) -> bool {
        username
            .strip_prefix(self.local_ufrag.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b':'))
    }

    /// The far addresses of the installed pairs.
    pub fn pairs(&self) -> impl Iterator<Item = SocketAddr> {
        self.pairs.iter().map(|pair| pair.remote)
    }

    fn answer(
        &mut self,
        message: &Message<'_>,
        index: usize,
        now: Nanos,
        out: &mut [u8],
    ) -> Result<Handled, DropReason> {
        let remote = self.pairs[index].remote;
        let refuse = |code, key, out: &mut [u8]| {
            stun::write_binding_error(out, message.transaction, code, &message.unknown, key)
        };
        let username = match message.username {
            // A browser may use the node as its STUN server from the very socket of its media.
            None if !message.has_integrity() => {
                let reply = stun::write_binding_success(out, message.transaction, remote, None);
                return Ok(Handled { reply, ..Handled::default() });
            }
            Some(username) if message.has_integrity() => username,
            _ => {
                let reply = refuse(ErrorCode::BadRequest, None, out);
                let fault = Some(DropReason::StunMalformed);
                return Ok(Handled { reply, fault, ..Handled::default() });
            }
        };
        if self.lost || !self.is_named_by(username) {
            return Err(DropReason::StunUnknownUfrag);
        }
        if !message.verify_integrity(&self.local_key) {
            let reply = refuse(ErrorCode::Unauthenticated, None, out);
            let fault = Some(DropReason::StunIntegrity);
            return Ok(Handled { reply, fault, ..Handled::default() });
        }
        self.heard_check(index, now);
        if !message.unknown.is_empty() {
            let reply = refuse(ErrorCode::UnknownAttribute, Some(&self.local_key), out);
            return Ok(Handled { reply, ..Handled::default() });
        }
        let role_conflict = self.claims_our_role(message.role);
        if role_conflict && !self.yields_to(message.role) {
            let reply = refuse(ErrorCode::RoleConflict, Some(&self.local_key), out);
            return Ok(Handled { reply, role_conflict, ..Handled::default() });
        }
        self.controlling ^= role_conflict;
        let reply =
            stun::write_binding_success(out, message.transaction, remote, Some(&self.local_key));
        let nominated = self.follow_nomination(message, index, now);
        Ok(Handled { reply, nominated, role_conflict, fault: None })
    }

    /// A success response renews consent if it answers a check on the nominated pair.
    fn renew(
        &mut self,
        message: &Message<'_>,
        index: usize,
        now: Nanos,
    ) -> Result<Handled, DropReason> {
        self.verify_response(message, index)?;
        if !message.unknown.is_empty() {
            return Err(DropReason::StunMalformed);
        }
        self.checks.settle(message.transaction);
        self.pairs[index].heard = now;
        self.pairs[index].alive = now;
        Ok(Handled::default())
    }

    /// Of the refusals only the role conflict can be mended; consent ages under the others.
    fn refused(
        &mut self,
        message: &Message<'_>,
        index: usize,
        now: Nanos,
    ) -> Result<Handled, DropReason> {
        self.verify_response(message, index)?;
        self.checks.settle(message.transaction);
        self.pairs[index].heard = now;
        let role_conflict = message.error == Some(ErrorCode::RoleConflict.number());
        if role_conflict {
            // RFC 8445 §7.2.5.1: the role switches, the tie-breaker changes, the check is repeated.
            self.controlling = !self.controlling;
            self.tie_breaker = self.checks.random_u64();
            self.checks.next = now;
        }
        Ok(Handled { role_conflict, ..Handled::default() })
    }

    fn verify_response(&self, message: &Message<'_>, index: usize) -> Result<(), DropReason> {
        let remote = self.remote.as_ref().ok_or(DropReason::StunUnsolicited)?;
        let asked = self.full && !self.lost && self.nominated == Some(index);
        if !asked || !self.checks.wait_for(message.transaction) {
            return Err(DropReason::StunUnsolicited);
        }
        if !message.verify_integrity(&remote.key) {
            return Err(DropReason::StunIntegrity);
        }
        Ok(())
    }

    fn heard_check(&mut self, index: usize, now: Nanos) {
        self.pairs[index].heard = now;
        if !(self.full && self.nominated == Some(index)) {
            self.pairs[index].alive = now;
        }
    }

    fn claims_our_role(&self, claimed: Option<Role>) -> bool {
        match claimed {
            Some(Role::Controlling(_)) => self.controlling,
            Some(Role::Controlled(_)) => !self.controlling,
            None => false,
        }
    }

    /// Whether the node gives its role up in a conflict: the larger tie-breaker controls
    /// (RFC 8445 §7.3.1.1). A lite node cannot change its role, so the far side has to.
    fn yields_to(&self, claimed: Option<Role>) -> bool {
        self.full
            && match claimed {
                Some(Role::Controlling(theirs)) => self.tie_breaker < theirs,
                Some(Role::Controlled(theirs)) => self.tie_breaker >= theirs,
                None => false,
            }
    }

    /// The newest nomination counts, and among numbered ones the highest: a check that was
    /// overtaken on the way does not move media back.
    fn follow_nomination(
        &mut self,
        message: &Message<'_>,
        index: usize,
        now: Nanos,
    ) -> Option<SocketAddr> {
        if self.controlling {
            return None;
        }
        match message.nomination {
            Some(value) if self.highest_nomination.is_some_and(|highest| value <= highest) => {
                return None;
            }
            Some(value) => self.highest_nomination = Some(value),
            None if message.use_candidate => {}
            None => return None,
        }
        self.nominate(index, now).then(|| self.pairs[index].remote)
    }

    /// Returns whether that changes anything. Consent starts with the nomination, and a full agent
    /// asks for its own at once.
    fn nominate(&mut self, index: usize, now: Nanos) -> bool {
        if self.nominated == Some(index) {
            return false;
        }
        self.nominated = Some(index);
        self.pairs[index].alive = now;
        self.checks.restart(now);
        true
    }

    fn place(&mut self, remote: SocketAddr, now: Nanos) -> (usize, Option<SocketAddr>) {
        if let Some(index) = self.index_of(remote) {
            return (index, None);
        }
        match self.pairs.try_push(Pair { remote, heard: now, alive: now }) {
            Ok(()) => (self.pairs.len() - 1, None),
            Err(full) => {
                let index = self.least_recently_heard();
                let evicted = std::mem::replace(&mut self.pairs[index], full);
                (index, Some(evicted.remote))
            }
        }
    }

    fn least_recently_heard(&self) -> usize {
        (0..self.pairs.len())
            .filter(|&index| self.nominated != Some(index))
            .min_by_key(|&index| self.pairs[index].heard)
            .unwrap_or(0)
    }

    fn index_of(&self, remote: SocketAddr) -> Option<usize> {
        self.pairs.iter().position(|pair| pair.remote == remote)
    }

    /// When consent ends if nothing comes any more.
    fn expiry(&self) -> Option<Nanos> {
        if self.lost {
            return None;
        }
        match self.nominated {
            Some(index) if self.full => Some(self.pairs[index].alive.plus(CONSENT_NS)),
            _ => self.pairs.iter().map(|pair| pair.alive.plus(LITE_LIVENESS_NS)).max(),
        }
    }

    fn check(&mut self, now: Nanos, out: &mut [u8]) -> Option<Tick> {
        let index = self.nominated.filter(|_| self.full && now >= self.checks.next)?;
        let remote = self.remote.as_ref()?;
        let tie_breaker = self.tie_breaker;
        let check = Check {
            transaction: self.checks.begin(now),
            remote_ufrag: &remote.ufrag,
            local_ufrag: &self.local_ufrag,
            priority: PRIORITY - u32::from(self.component),
            role: if self.controlling {
                Role::Controlling(tie_breaker)
            } else {
                Role::Controlled(tie_breaker)
            },
            use_candidate: false,
            key: &remote.key,
        };
        let len = stun::write_binding_request(out, &check)?;
        Some(Tick::Send { remote: self.pairs[index].remote, len })
    }
}

/// What the node's checks name and are signed with.
#[derive(Debug)]
struct Remote {
    ufrag: String,
    key: IntegrityKey,
}

impl Remote {
    fn take(credentials: &mut Credentials) -> Self {
        Self {
            key: IntegrityKey::new(&credentials.password),
            ufrag: std::mem::take(&mut credentials.ufrag),
        }
    }
}

#[derive(Debug)]
struct Pair {
    remote: SocketAddr,
    /// When something authenticated came last.
    heard: Nanos,
    /// When the far side last proved that it wants to be sent to.
    alive: Nanos,
}

/// The node's own checks: when the next one is due and which answers are awaited.
///
/// Transaction ids and jitter come from a keyed hash over a counter: nobody can foresee them
/// (RFC 8489 §5), and a worker draws them without a system call.
#[derive(Debug)]
struct Checks {
    seed: IntegrityKey,
    drawn: u64,
    next: Nanos,
    outstanding: [Option<TransactionId>; CHECKS_OUTSTANDING],
    newest: usize,
}

impl Checks {
    fn new(seed: &[u8]) -> Self {
        Self {
            seed: IntegrityKey::from_secret(seed),
            drawn: 0,
            next: Nanos(0),
            outstanding: [None; CHECKS_OUTSTANDING],
            newest: 0,
        }
    }

    /// For another pair: the first check is due now, answers to earlier ones are void.
    fn restart(&mut self, now: Nanos) {
        self.outstanding = [None; CHECKS_OUTSTANDING];
        self.next = now;
    }

    fn begin(&mut self, now: Nanos) -> TransactionId {
        let random = self.draw();
        let mut transaction = TransactionId::default();
        transaction.0.copy_from_slice(&random[..12]);
        self.newest = (self.newest + 1) % CHECKS_OUTSTANDING;
        self.outstanding[self.newest] = Some(transaction);
        let stray = u64_of(&random[12..]) % (2 * CHECK_JITTER_NS + 1);
        self.next = now.plus(CHECK_INTERVAL_NS - CHECK_JITTER_NS + stray);
        transaction
    }

    fn wait_for(&self, transaction: TransactionId) -> bool {
        self.outstanding.contains(&Some(transaction))
    }

    fn settle(&mut self, transaction: TransactionId) {
        for slot in &mut self.outstanding {
            slot.take_if(|awaited| *awaited == transaction);
        }
    }

    fn random_u64(&mut self) -> u64 {
        u64_of(&self.draw()[..8])
    }

    fn draw(&mut self) -> [u8; 20] {
        self.drawn += 1;
        self.seed.tag(&[&self.drawn.to_be_bytes()])
    }
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

plain! {
    struct Consent {
        local_ufrag, local_key, remote, full, controlling, component, generation, tie_breaker, pairs,
        nominated,
        highest_nomination, checks, lost,
    } if |it| it.nominated.is_none_or(|index| index < it.pairs.len());
    struct Remote { ufrag, key }
    struct Pair { remote, heard, alive }
    struct Checks { seed, drawn, next, outstanding, newest } if |it| it.newest < CHECKS_OUTSTANDING;
}

#[cfg(test)]
mod tests;
