//! How the call machine writes its journal: one line where something happens, the rest here.

use std::mem;
use std::time::Instant;

use causeway_engine::command::{Command, LegId, Refusal, Returned, TransportId};
use causeway_engine::stats::LegReading;

use super::journal::Journal;
use super::leg::CallLeg;
use super::note::{Asked, Eyes, Face, Heard, Note, Remark, Signal};
use super::transport::CallTransport;
use super::{Call, DtlsInput, Face as Listens, Pending, RequestId, media};
use crate::api::{AddLeg, ClientReport, Problem};
use crate::dtls::{DtlsError, Fingerprint, Role};
use crate::ice::Over;
use crate::sdp::{self, DtlsRole};

/// Bytes of a fingerprint that are shown.
const FINGERPRINT_SHOWN: usize = 8;

impl Call {
    /// The instant of what is noted from now on. To be called before each input.
    pub fn observe(&mut self, now: Instant) {
        self.journal.observe(now);
    }

    /// Says why the call works or does not, once the worker has told its counters.
    pub fn why(&mut self, request: RequestId, eyes: Eyes) {
        self.read(request, Some(eyes));
    }

    /// Takes what a leg's browser says of its side.
    ///
    /// # Errors
    /// 404 for a leg that never was, 429 for a browser that says too much.
    pub fn report(&mut self, leg: &str, report: ClientReport) -> Result<(), Problem> {
        self.journal.report(leg, report)
    }

    /// Takes what a door has seen.
    pub fn remark(&mut self, remark: Remark) {
        self.journal.remark(remark);
    }

    /// The journal, when the call is over; an empty one stays.
    pub fn take_journal(&mut self) -> Box<Journal> {
        let empty = self.journal.emptied();
        Box::new(mem::replace(&mut self.journal, empty))
    }

    /// Notes that somebody could not join, and hands the reason on.
    pub fn note_turned_away(&mut self, asked: &AddLeg, problem: Problem) -> Problem {
        let heard = Heard::read(asked.role.as_deref(), None, &[]);
        self.note_refused(None, heard, Asked::Join, problem)
    }

    pub(super) fn note(&mut self, place: usize, note: Note) {
        self.journal.leg(&self.legs[place].id, note);
    }

    /// Notes something of a transport of a leg that is not over.
    pub(super) fn note_at(&mut self, transport: TransportId, note: Note) {
        let Some(place) = self.place_of(transport.leg) else { return };
        if self.is_rtcp(transport) {
            self.journal.rtcp(&self.legs[place].id, note);
        } else {
            self.note(place, note);
        }
    }

    fn is_rtcp(&self, transport: TransportId) -> bool {
        let leg = self.place_of(transport.leg).map(|place| &self.legs[place]);
        let held = leg.and_then(|leg| leg.transports.get(usize::from(transport.index)));
        held.is_some_and(|held| held.is_rtcp)
    }

    /// Notes what a description or a trickle says beyond what is negotiated.
    pub(super) fn note_heard(&mut self, place: usize, heard: Heard) {
        let mut ids = self.legs[place].transport_ids();
        let rtcp = ids.find(|id| self.is_rtcp(*id));
        for note in heard.notes() {
            match (note, rtcp) {
                (Note::Candidate(candidate), Some(rtcp)) if candidate.rtcp => {
                    self.note_at(rtcp, Note::Candidate(candidate));
                }
                (Note::Candidate(candidate), _) => {
                    self.note(place, Note::Candidate(candidate.without_rtcp()));
                }
                (note, _) => self.note(place, note),
            }
        }
    }

    /// Notes a refusal, of a leg or of somebody who is none yet, and hands the reason on.
    pub(super) fn note_refused(
        &mut self,
        place: Option<usize>,
        heard: Heard,
        what: Asked,
        problem: Problem,
    ) -> Problem {
        for note in heard.refused(what, &problem) {
            match place {
                Some(place) => self.note(place, note),
                None => self.journal.call(note),
            }
        }
        problem
    }

    pub(super) fn note_joined(&mut self, place: usize, heard: Heard) {
        let leg = &self.legs[place];
        let ids = leg.transport_ids();
        let offers = leg.negotiated.is_some();
        let has_ice = leg.transports.iter().all(|held| held.ice.is_some());
        self.journal.join(&leg.id, &leg.role);
        self.note(place, Note::Joined { offers });
        let facts = self.facts.clone();
        for id in ids.filter(|_| has_ice) {
            for face in facts.faces_of(id) {
                let Listens { announced, bound, over, .. } = *face;
                self.note_at(id, Note::ListensAt(Box::new(Face { announced, bound, over })));
                if over == Over::Tcp && facts.self_signed {
                    self.note_at(id, Note::Untrusted);
                }
            }
        }
        self.note_signalled(place);
        if offers {
            self.note_described(place, heard);
        }
    }

    /// Notes what a leg without ICE has said of its m-lines, if it has said anything yet.
    fn note_signalled(&mut self, place: usize) {
        let leg = &self.legs[place];
        let fixed = leg.transports.iter().filter(|held| {
            leg.negotiated.is_some() && held.ice.is_none() && !held.is_rtcp && held.in_use
        });
        let note = |held: &CallTransport| {
            let (at, remote) = (leg.local.ports.get(held.far)?.rtp, held.remote());
            let security = held.security().unwrap_or_default().to_owned();
            Some(Note::Signalled(Box::new(Signal { at, remote, security })))
        };
        let notes: Vec<_> = fixed.filter_map(note).collect();
        notes.into_iter().for_each(|note| self.note(place, note));
    }

    pub(super) fn note_answered(&mut self, place: usize, heard: Heard) {
        self.note_signalled(place);
        self.note_described(place, heard);
    }

    pub(super) fn note_described(&mut self, place: usize, heard: Heard) {
        let agreed = self.legs[place].negotiated.as_ref();
        if let Some((ice, dtls)) = agreed.and_then(|agreed| agreed.ice().zip(agreed.dtls())) {
            let (lite, node_is_client) = (ice.lite, dtls.role == DtlsRole::Active);
            self.note(place, Note::Described { lite, node_is_client });
        }
        self.note_heard(place, heard);
    }

    pub(super) fn note_renegotiated(&mut self, place: usize, heard: Heard) {
        let version = self.legs[place].negotiated.as_ref().map_or(0, |agreed| agreed.version);
        self.note(place, Note::Renegotiated(version));
        self.note_signalled(place);
        self.note_heard(place, heard);
    }

    /// Holding is news when it changes; a leg that never held has not resumed.
    pub(super) fn note_held(&mut self, place: usize, held: bool) {
        if held || self.journal.has_held(&self.legs[place].id) {
            self.note(place, Note::Held(held));
        }
    }

    pub(super) fn note_sights(&mut self, place: usize) {
        let seen = |leg: &mut CallLeg| {
            leg.transports.iter_mut().find_map(|held| Some((held.id, held.ice.as_mut()?.sight()?)))
        };
        while let Some((id, sight)) = seen(&mut self.legs[place]) {
            let faces = self.facts.faces.iter();
            let bound = faces.into_iter().find(|face| face.announced == sight.announced);
            let (bound, over) =
                bound.map_or((sight.announced, Over::Udp), |face| (face.bound, face.over));
            let face = Box::new(Face { announced: sight.announced, bound, over });
            let check = Note::Check { face, remote: sight.remote, outcome: sight.outcome };
            self.note_at(id, check);
        }
    }

    pub(super) fn note_shaking(&mut self, transport: TransportId, input: &DtlsInput) {
        if let DtlsInput::Start { role, .. } = input {
            self.note_at(transport, Note::DtlsBegan { as_client: *role == Role::Active });
        }
    }

    pub(super) fn note_dtls_failed(
        &mut self,
        transport: TransportId,
        error: &DtlsError,
        shown: Option<&Fingerprint>,
    ) {
        let Some(place) = self.place_of(transport.leg) else { return };
        let agreed = self.legs[place].negotiated.as_ref();
        let described = agreed.and_then(|agreed| agreed.dtls()?.fingerprints.first());
        if let (DtlsError::FingerprintMismatch, Some(described), Some(shown)) =
            (error, described, shown)
        {
            let described = described_print(described);
            let shown = abridged(&shown.hash().to_string(), &shown.hex());
            self.note_at(transport, Note::WrongCertificate { described, shown });
        }
        self.note_at(transport, Note::DtlsFailed(error.clone()));
    }

    pub(super) fn note_lack(&mut self, place: usize, outcome: Result<(), Refusal>) {
        if let Err(refusal) = outcome {
            self.note(place, Note::WorkerRefused(refusal));
        }
    }

    /// Reads a leg's counters while the worker still has it.
    pub(super) fn read_last(&mut self, leg: &str, slot: LegId) {
        let into = Box::new(LegReading::new());
        let last = Pending::Last { leg: leg.to_owned() };
        self.tell_tagged(last, Command::ReadLeg { leg: slot, into });
    }

    pub(super) fn note_counters(&mut self, leg: &str, returned: Returned) {
        let held = self.legs.iter().find(|held| held.id == leg);
        if let (Some(held), Returned::LegReading(reading)) = (held, returned) {
            let stats = media::leg_stats(held, &reading);
            self.journal.count(leg, stats);
        }
    }
}

fn described_print(fingerprint: &sdp::Fingerprint) -> String {
    let hash = fingerprint.hash.name();
    let hex: Vec<_> = fingerprint.digest.iter().map(|byte| format!("{byte:02X}")).collect();
    abridged(hash, &hex.join(":"))
}

/// The hash's name and the first bytes, enough to tell two apart.
fn abridged(hash: &str, hex: &str) -> String {
    let shown: Vec<_> = hex.split(':').take(FINGERPRINT_SHOWN).collect();
    format!("{hash} {}:…", shown.join(":"))
}
