//! The WHIP and WHEP sessions that there are: whose each is, and which ICE session it is in.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::access::Who;
use super::pace::Bucket;
use crate::api::Problem;
use crate::calls::{Calls, Restarted};
use crate::sdp::{Fragment, IceCredentials, Trickled, Way};

/// PATCH requests that a session may send at once.
const PATCH_BURST: f64 = 32.0;
/// PATCH requests that a session may keep up in a second (RFC 9725 §5).
const PATCH_RATE: f64 = 4.0;

/// Time for which a session is known whose leg has ended by itself. Clients close their connection
/// and then DELETE the session; that is a success, whichever comes first.
const LINGER: Duration = Duration::from_secs(60);

/// Sessions by leg; at most `max`.
pub(super) struct Sessions {
    table: Mutex<Table>,
    max: usize,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<String, Arc<Session>>,
    /// Those whose leg has ended, and when, the first one first.
    ended: VecDeque<(Instant, String)>,
}

/// A leg that came by WHIP or WHEP.
pub(super) struct Session {
    /// Which way its media goes.
    pub(super) way: Way,
    /// Its call.
    pub(super) call: String,
    /// Its leg.
    pub(super) leg: String,
    /// The MIDs of its description.
    pub(super) mids: Vec<String>,
    /// The ICE session that it is in. Held over a whole PATCH request, so that they do not overtake
    /// each other inside the node.
    pub(super) ice: tokio::sync::Mutex<Ice>,
    owner: Option<String>,
    pace: Mutex<Bucket>,
}

/// An ICE session.
pub(super) struct Ice {
    /// What the node has said of its own transport.
    pub(super) local: Fragment,
    /// The far side's credentials.
    pub(super) remote: IceCredentials,
}

impl Ice {
    /// Becomes the ICE session after a restart: all else that the node has said of its transport
    /// stands (RFC 9725 §4.3.3).
    pub(super) fn renew(&mut self, remote: IceCredentials, own: &Restarted) -> Result<(), Problem> {
        let candidates = Trickled::from_lines(&own.candidates)?.candidates;
        for section in &mut self.local.media {
            let password = own.credentials.password.as_str();
            section.credentials = Some(IceCredentials::new(&own.credentials.ufrag, password));
            section.candidates.clone_from(&candidates);
            section.end_of_candidates = true;
        }
        self.remote = remote;
        Ok(())
    }

    /// Its entity-tag: strong, and another one for each ICE session, as the node's ufrag is (RFC
    /// 9725 §4.3.1).
    pub(super) fn tag(&self) -> String {
        let own = self.local.media.first().and_then(|section| section.credentials.as_ref());
        format!("\"{}\"", own.map_or("", |credentials| &credentials.ufrag))
    }
}

impl Session {
    /// A session of whoever asked for it.
    pub(super) fn new(
        way: Way,
        who: &Who,
        (call, leg): (String, String),
        mids: Vec<String>,
        ice: Ice,
    ) -> Self {
        let owner = who.pass().map(|pass| pass.jti.clone());
        let pace = Mutex::new(Bucket::full(PATCH_BURST, Instant::now()));
        Self { way, call, leg, mids, ice: ice.into(), owner, pace }
    }

    /// Asks whether it may send one more PATCH request now.
    ///
    /// # Errors
    /// 429 if it has sent too many.
    pub(super) fn may_patch(&self) -> Result<(), Problem> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.take(PATCH_RATE, PATCH_BURST, Instant::now()) {
            return Ok(());
        }
        Err(Problem::too_many("too many PATCH requests of this session; wait a moment"))
    }

    /// The bearer of an API token may drive every session, that of a join token those that were
    /// made with it.
    fn is_of(&self, who: &Who) -> bool {
        who.pass().is_none_or(|pass| self.owner.as_ref() == Some(&pass.jti))
    }
}

impl Sessions {
    pub(super) fn new(max: usize) -> Self {
        Self { table: Mutex::default(), max }
    }

    /// Asks whether one more fits. A full table first forgets the sessions whose end nobody heard.
    ///
    /// # Errors
    /// 503 if it is still full.
    pub(super) async fn room(&self, calls: &dyn Calls) -> Result<(), Problem> {
        if self.len() >= self.max {
            let there = calls.list().await?;
            let legs: HashSet<_> = there
                .iter()
                .flat_map(|call| &call.legs)
                .filter(|leg| leg.ended.is_none())
                .map(|leg| leg.id.as_str())
                .collect();
            self.locked().sessions.retain(|leg, _| legs.contains(leg.as_str()));
        }
        if self.len() >= self.max {
            return Err(Problem::unavailable("the node holds as many sessions as it may"));
        }
        Ok(())
    }

    /// Takes a session in.
    pub(super) fn insert(&self, session: Session) {
        self.locked().sessions.insert(session.leg.clone(), Arc::new(session));
    }

    /// The session of a leg, if it is of this kind and of whoever asks.
    ///
    /// # Errors
    /// 404 if not: others learn nothing of it.
    pub(super) fn find(
        &self,
        way: Way,
        who: &Who,
        call: &str,
        leg: &str,
    ) -> Result<Arc<Session>, Problem> {
        let found = self.locked().sessions.get(leg).cloned();
        found
            .filter(|session| session.way == way && session.call == call && session.is_of(who))
            .ok_or_else(|| Problem::not_found("there is no such session, or it is over"))
    }

    /// Forgets a session.
    pub(super) fn forget(&self, leg: &str) {
        self.locked().sessions.remove(leg);
    }

    /// Notes that a leg has ended, and forgets the sessions that have long been over.
    pub(super) fn note_end(&self, leg: &str, now: Instant) {
        let mut table = self.locked();
        if table.sessions.contains_key(leg) {
            table.ended.push_back((now, leg.to_owned()));
        }
        while table.ended.front().is_some_and(|(at, _)| *at + LINGER <= now) {
            if let Some((_, leg)) = table.ended.pop_front() {
                table.sessions.remove(&leg);
            }
        }
    }

    fn len(&self) -> usize {
        self.locked().sessions.len()
    }

    /// A panic elsewhere leaves the table whole: each change is one step.
    fn locked(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
