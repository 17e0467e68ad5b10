//! ICE restarts: two generations of one transport, make before break (RFC 8445 §9, RFC 8839 §4.4.1).
//!
//! The current generation carries media, and answers and sends its checks, until the next one
//! nominates a pair; then the next is the current one and the old one is over. Keys, streams and
//! sinks know nothing of it. What is still on its way on the old pairs gets [`LINGER`].

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::command::{Refusal, Returned, SocketId, TransportId};
use crate::config::{LOCAL_UFRAG_MAX, PAIRS_PER_TRANSPORT};
use crate::consent::Consent;
use crate::packet::Nanos;
use crate::transport::{PATHS_PER_TRANSPORT, Path, Transport};
use crate::worker::Worker;

/// How long media is taken on pairs of a generation that is over: the far side learns of the
/// nomination a round trip later, and packets overtake each other on different ways.
const LINGER: Nanos = Nanos::from_millis(5_000);

impl Worker {
    /// Begins a generation beside the current one; gives back one that came to nothing or is over.
    pub(crate) fn restart_ice(
        &mut self,
        id: TransportId,
        next: Box<Consent>,
    ) -> (Result<(), Refusal>, Returned) {
        let refusal = match self.transport(id) {
            None => Some(Refusal::Gone),
            Some(transport) if transport.consent.is_none() => Some(Refusal::Misuse),
            Some(_) => self.tables.add_name(id, next.local_ufrag()).err(),
        };
        if let Some(refusal) = refusal {
            return (Err(refusal), Returned::Consent(next));
        }
        let Some(transport) = self.transport(id) else {
            return (Err(Refusal::Gone), Returned::Consent(next));
        };
        let retired = transport.retired.take();
        let replaced = transport.next.replace(next);
        if let Some(replaced) = &replaced {
            self.forget_generation(id, replaced);
        }
        (Ok(()), replaced.or(retired).map_or(Returned::Nothing, Returned::Consent))
    }

    /// Gives a generation up that has nominated nothing.
    pub(crate) fn cancel_restart(
        &mut self,
        id: TransportId,
        generation: u32,
    ) -> (Result<(), Refusal>, Returned) {
        let Some(transport) = self.transport(id) else {
            return (Err(Refusal::Gone), Returned::Nothing);
        };
        let Some(next) = transport.next.take_if(|next| next.generation() == generation) else {
            return (Err(Refusal::Gone), Returned::Nothing);
        };
        let lost = transport.consent.as_deref().is_some_and(Consent::is_lost);
        transport.news.consent_lost |= lost;
        if lost {
            self.mark_news(id.leg);
        }
        self.forget_generation(id, &next);
        (Ok(()), Returned::Consent(next))
    }

    /// Makes the next generation the current one.
    pub(crate) fn promote(&mut self, id: TransportId) {
        let stale_from = self.now.plus(LINGER.0);
        let Some(transport) = self.transport(id) else { return };
        let (Some(mut next), Some(current)) = (transport.next.take(), &mut transport.consent)
        else {
            return;
        };
        std::mem::swap(current, &mut next);
        transport.stale_from = Some(stale_from);
        let name: ArrayVec<u8, LOCAL_UFRAG_MAX> = next.local_ufrag().bytes().collect();
        transport.retired = Some(next);
        self.tables.forget_name(id.leg, &name);
    }

    /// Takes nothing any more on pairs that are of no generation.
    pub(crate) fn forget_stale(&mut self, id: TransportId) {
        let Some(transport) = self.transport(id) else { return };
        for (socket, remote) in transport.take_stale_paths() {
            self.tables.unbind(socket, remote, id);
        }
    }

    fn forget_generation(&mut self, id: TransportId, over: &Consent) {
        self.tables.forget_name(id.leg, over.local_ufrag().as_bytes());
        self.forget_stale(id);
    }
}

impl Transport {
    /// The generation that a message of this username is for; without one, the current.
    pub(crate) fn named(&mut self, username: Option<&[u8]>) -> Option<&mut Consent> {
        let of_next = |next: &Consent| username.is_some_and(|name| next.is_named_by(name));
        match &mut self.next {
            Some(next) if of_next(next) => Some(next),
            _ => self.consent.as_deref_mut(),
        }
    }

    /// The generation of this number, if it is not over.
    pub(crate) fn numbered(&mut self, generation: u32) -> Option<&mut Consent> {
        let next = self.next.as_deref_mut().filter(|next| next.generation() == generation);
        next.or_else(|| self.consent.as_deref_mut().filter(|now| now.generation() == generation))
    }

    /// Whether either generation goes by this ufrag.
    pub(crate) fn has_name(&self, ufrag: &[u8]) -> bool {
        self.names().any(|name| name.as_bytes() == ufrag)
    }

    /// The node's ufrags.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.generations().map(Consent::local_ufrag)
    }

    /// The current generation and the next.
    fn generations(&self) -> impl Iterator<Item = &Consent> {
        self.consent.as_deref().into_iter().chain(self.next.as_deref())
    }

    /// Notes a pair of a generation, and which other pair it took the place of; gives the paths
    /// that no longer lead here.
    pub(crate) fn add_path(
        &mut self,
        path: Path,
        evicted: Option<SocketAddr>,
    ) -> ArrayVec<Path, PAIRS_PER_TRANSPORT> {
        let evicted = evicted.filter(|remote| !self.is_installed(*remote));
        let is_out = |held: &Path| Some(held.1) == evicted || held.1 == path.1;
        let mut out: ArrayVec<Path, PAIRS_PER_TRANSPORT> =
            self.paths.iter().copied().filter(is_out).collect();
        self.paths.retain(|held| !is_out(held));
        if self.paths.is_full() {
            // Both generations have room for their pairs, so one of these is of neither.
            let stale = self.paths.iter().position(|held| !self.is_installed(held.1));
            out.extend(stale.map(|place| self.paths.remove(place)));
        }
        let _ = self.paths.try_push(path);
        out
    }

    fn take_stale_paths(&mut self) -> ArrayVec<(SocketId, SocketAddr), PATHS_PER_TRANSPORT> {
        self.stale_from = None;
        let mut paths = std::mem::take(&mut self.paths);
        let stale = paths.iter().copied().filter(|held| !self.is_installed(held.1)).collect();
        paths.retain(|held| self.is_installed(held.1));
        self.paths = paths;
        stale
    }

    fn is_installed(&self, remote: SocketAddr) -> bool {
        self.generations().any(|consent| consent.has(remote))
    }
}
