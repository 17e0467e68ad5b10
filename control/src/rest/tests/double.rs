//! Calls in memory: enough behaviour to see what the doors make of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use causeway_engine::command::WorkerId;
use futures_util::FutureExt;
use tokio::sync::broadcast;

use crate::api::*;
use crate::call::{Eyes, Remark};
use crate::calls::{Answer, Calls, Restarted};
use crate::ice::Credentials;
use crate::sdp::{self, Candidate, DtlsRole, Fingerprint, IceCredentials, Local, Sdp};

/// Where it takes media.
const NODE: &str = "203.0.113.5:40500";
/// Where it takes media of ICE sessions that came later.
pub(in crate::rest) const MOVED: &str = "203.0.113.6:40500";

/// Events that a reader can be behind.
pub(in crate::rest) const BACKLOG: usize = 16;

pub(in crate::rest) struct Double {
    calls: Mutex<BTreeMap<String, CallView>>,
    events: broadcast::Sender<Arc<LifeEvent>>,
    count: AtomicU64,
    /// Never answers.
    pub(in crate::rest) stuck: AtomicBool,
    /// What the doors have seen.
    pub(in crate::rest) remarks: Mutex<Vec<(String, Remark)>>,
    /// The code points that added legs have asked for.
    pub(in crate::rest) dscp: Mutex<Vec<Option<u8>>>,
    /// Whether added legs may do without ICE.
    pub(in crate::rest) without_ice: Mutex<Vec<bool>>,
    /// Takes no more calls.
    pub(in crate::rest) full: AtomicBool,
    /// The candidates that came.
    pub(in crate::rest) trickled: Mutex<Vec<Trickle>>,
    /// The ICE restarts: the far side's ufrag and candidates.
    pub(in crate::rest) restarted: Mutex<Vec<(String, Vec<String>)>>,
}

impl Double {
    pub(in crate::rest) fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::default(),
            events: broadcast::Sender::new(BACKLOG),
            count: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            full: AtomicBool::new(false),
            trickled: Mutex::default(),
            restarted: Mutex::default(),
            remarks: Mutex::default(),
            dscp: Mutex::default(),
            without_ice: Mutex::default(),
        })
    }

    pub(in crate::rest) fn tell(&self, what: What) {
        let sequence = self.next();
        let _ = self.events.send(Arc::new(LifeEvent { sequence, at_ms: 1, what }));
    }

    pub(in crate::rest) fn end(&self, call: &str) {
        self.tell(What::CallEnded { call: call.into(), reason: EndReason::Left });
    }

    pub(in crate::rest) fn followers(&self) -> usize {
        self.events.receiver_count()
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn reply<T: Send + 'static>(&self, result: Result<T, Problem>) -> Answer<T> {
        if self.stuck.load(Ordering::Relaxed) {
            return std::future::pending().boxed();
        }
        std::future::ready(result).boxed()
    }

    fn call<T>(&self, id: &str, then: impl FnOnce(&mut CallView) -> T) -> Result<T, Problem> {
        let mut calls = self.calls.lock().unwrap();
        let gone = || Problem::not_found(format!("no call {id}"));
        calls.get_mut(id).map(then).ok_or_else(gone)
    }

    fn leg<T>(
        &self,
        call: &str,
        id: &str,
        then: impl FnOnce(&mut LegView) -> T,
    ) -> Result<T, Problem> {
        self.call(call, |call| {
            let gone = || Problem::not_found(format!("no leg {id}"));
            call.legs.iter_mut().find(|leg| leg.id == id).map(then).ok_or_else(gone)
        })?
    }
}

/// A word for what is no whole description, and the node's answer to what is one.
fn answered(offer: &str, number: u64) -> Result<String, Problem> {
    if !offer.contains("m=") {
        return Ok("answer".into());
    }
    let local = Local {
        session_id: number,
        address: NODE.parse().unwrap(),
        rtcp: None,
        ports: Vec::new(),
        candidates: vec![Candidate::host("1", 1, 1, NODE.parse().unwrap())],
        end_of_candidates: true,
        credentials: IceCredentials::new(format!("node{number}"), "x".repeat(24)),
        ice_lite: true,
        renomination: false,
        fingerprint: Fingerprint::sha256([1; 32]),
        role: DtlsRole::Passive,
        cname: "c".into(),
        stream: "s".into(),
        ssrc_base: 1,
    };
    Ok(sdp::answer(&Sdp::parse(offer)?, &local, &[], None)?.0)
}

impl Calls for Double {
    fn create(&self, asked: CreateCall) -> Answer<CallView> {
        if self.full.load(Ordering::Relaxed) {
            return self.reply(Err(Problem::unavailable("full")));
        }
        let call = CallView {
            id: format!("call{}", self.next()),
            name: asked.name,
            labels: asked.labels,
            state: CallState::Waiting,
            created: 1,
            legs: Vec::new(),
            speaker: None,
        };
        self.calls.lock().unwrap().insert(call.id.clone(), call.clone());
        self.tell(What::CallCreated { call: call.clone() });
        self.reply(Ok(call))
    }

    fn list(&self) -> Answer<Vec<CallView>> {
        self.reply(Ok(self.calls.lock().unwrap().values().cloned().collect()))
    }

    fn show(&self, call: String) -> Answer<CallView> {
        self.reply(self.call(&call, |call| call.clone()))
    }

    fn delete(&self, call: String) -> Answer<()> {
        let gone = self.call(&call, |_| ());
        self.calls.lock().unwrap().remove(&call);
        self.end(&call);
        self.reply(gone)
    }

    fn add_leg(&self, call: String, asked: AddLeg) -> Answer<LegAdded> {
        self.dscp.lock().unwrap().push(asked.dscp);
        self.without_ice.lock().unwrap().push(asked.without_ice);
        if asked.offer.as_deref() == Some("bad") {
            let problem = Problem::unprocessable("no-common-codec", "nothing in common");
            return self.reply(Err(problem.at("line 1")));
        }
        let number = self.next();
        let leg = LegView {
            id: format!("leg{number}"),
            role: asked.role.unwrap_or_default(),
            state: if asked.offer.is_some() { LegState::Connecting } else { LegState::Offered },
            held: false,
            ended: None,
            security: None,
            remote: Some(format!("192.0.2.1:{number}")),
            receives: Vec::new(),
            wants: None,
        };
        let answer = match asked.offer.as_deref().map(|offer| answered(offer, number)) {
            Some(Err(problem)) => return self.reply(Err(problem)),
            Some(Ok(answer)) => Some(answer),
            None => None,
        };
        let added = LegAdded {
            leg: leg.clone(),
            answer,
            offer: asked.offer.is_none().then(|| "offer".into()),
        };
        let joined = self.call(&call, |call| call.legs.push(leg.clone()));
        if joined.is_ok() {
            self.tell(What::LegJoined { call, leg });
        }
        self.reply(joined.map(|()| added))
    }

    fn answer(&self, call: String, leg: String, _: Description) -> Answer<LegView> {
        let leg = self.leg(&call, &leg, |leg| {
            if leg.state != LegState::Offered {
                return Err(Problem::conflict("the leg waits for no answer"));
            }
            leg.state = LegState::Connecting;
            Ok(leg.clone())
        });
        self.reply(leg.and_then(|leg| leg))
    }

    fn offer(&self, call: String, leg: String, offer: Description) -> Answer<Description> {
        let sdp = format!("answer to {}", offer.sdp);
        self.reply(self.leg(&call, &leg, |_| Description { sdp }))
    }

    fn propose(&self, call: String, leg: String, direction: MediaDirection) -> Answer<Description> {
        let sdp = format!("offer {direction:?}");
        self.reply(self.leg(&call, &leg, |_| Description { sdp }))
    }

    fn restart(
        &self,
        call: String,
        leg: String,
        far: Credentials,
        candidates: Vec<String>,
    ) -> Answer<Restarted> {
        if self.full.load(Ordering::Relaxed) {
            return self.reply(Err(Problem::unavailable("full")));
        }
        self.restarted.lock().unwrap().push((far.ufrag, candidates));
        let credentials = Credentials::random(WorkerId(0));
        let candidates = vec![Candidate::host("1", 1, 1, MOVED.parse().unwrap()).to_string()];
        self.reply(self.leg(&call, &leg, |_| Restarted { credentials, candidates }))
    }

    fn interfaces(&self) -> Answer<Vec<InterfaceView>> {
        self.reply(Ok(vec![interface("192.0.2.1")]))
    }

    fn announce(&self, name: String, announce: String) -> Answer<InterfaceView> {
        self.reply(match name.as_str() {
            "pub" => Ok(interface(&announce)),
            _ => Err(Problem::not_found("no such interface")),
        })
    }

    fn trickle(&self, call: String, leg: String, more: Trickle) -> Answer<()> {
        self.trickled.lock().unwrap().push(more);
        self.reply(self.leg(&call, &leg, |_| ()))
    }

    fn receive(&self, call: String, leg: String, mid: String, asked: Receive) -> Answer<LegView> {
        let leg = self.leg(&call, &leg, |leg| {
            leg.receives = vec![Received {
                mid,
                kind: Media::Video,
                from: "other".into(),
                role: "guest".into(),
                layers: Vec::new(),
                layer: None,
                asked: asked.layer.unwrap_or_default(),
                paused: asked.paused,
            }];
            leg.clone()
        });
        self.reply(leg)
    }

    fn show_leg(&self, call: String, leg: String) -> Answer<LegView> {
        self.reply(self.leg(&call, &leg, |leg| leg.clone()))
    }

    fn remove_leg(&self, call: String, leg: String) -> Answer<()> {
        let gone = self.leg(&call, &leg, |leg| leg.clone());
        let _ = self.call(&call, |call| call.legs.retain(|other| other.id != leg));
        if let Ok(leg) = &gone {
            self.tell(What::LegEnded { call, leg: leg.clone() });
        }
        self.reply(gone.map(|_| ()))
    }

    fn stats(&self, call: String) -> Answer<CallStats> {
        let stats = |call: &mut CallView| CallStats {
            call: call.id.clone(),
            legs: Vec::new(),
            latency_us: Latency::default(),
        };
        self.reply(self.call(&call, stats))
    }

    fn why(&self, call: String, eyes: Eyes) -> Answer<Why> {
        let why = |call: &mut CallView| Why {
            call: call.id.clone(),
            name: call.name.clone(),
            state: call.state,
            ended: None,
            began_ms: 1_764_000_000_123,
            summary: vec![Finding {
                leg: Some("leg1".into()),
                role: Some("agent".into()),
                verdict: Verdict::NoChecks,
                what: format!("seen by {eyes:?}"),
                advice: Some("open the port".into()),
            }],
            timeline: vec![Moment {
                at_ms: 1_764_000_001_123,
                since_ms: 1000,
                times: 2,
                last_ms: 3000,
                leg: Some("leg1".into()),
                role: Some("agent".into()),
                topic: Topic::Ice,
                gravity: Gravity::Bad,
                text: "A check failed.".into(),
            }],
            left_out: 0,
        };
        self.reply(self.call(&call, why))
    }

    fn report(&self, call: String, leg: String, _: ClientReport) -> Answer<()> {
        self.reply(self.leg(&call, &leg, |_| ()))
    }

    fn remark(&self, call: String, remark: Remark) {
        self.remarks.lock().unwrap().push((call, remark));
    }

    fn proxied(&self, limit: usize) -> Answer<Vec<String>> {
        self.reply(Ok(["a@proxy", "b@proxy"].map(String::from).into_iter().take(limit).collect()))
    }

    fn show_proxied(&self, call: String) -> Answer<ProxiedCall> {
        self.reply(proxied(call))
    }

    fn why_proxied(&self, call: String) -> Answer<ProxiedWhy> {
        self.reply(proxied(call).map(|view| ProxiedWhy {
            call: view.call,
            answered: true,
            age: 9,
            since_signal: 8,
            findings: vec![ProxiedFinding {
                tag: "b".into(),
                index: 1,
                kind: "audio".into(),
                verdict: Verdict::NoMedia,
                what: "Nothing has come.".into(),
                advice: Some("Open the port.".into()),
                facts: vec!["RTP: 3 packets went to it".into()],
                strangers: 5,
            }],
        }))
    }

    fn end_proxied(&self, call: String) -> Answer<()> {
        self.reply(proxied(call).map(drop))
    }

    fn node(&self) -> Answer<NodeStats> {
        self.reply(Ok(NodeStats {
            name: "n".into(),
            version: "0".into(),
            uptime: 1,
            calls: self.calls.lock().unwrap().len() as u64,
            edge: Some(EdgeStats::default()),
            turn: Some(TurnStats::default()),
            ..NodeStats::default()
        }))
    }

    fn subscribe(&self, _: Option<String>) -> broadcast::Receiver<Arc<LifeEvent>> {
        self.events.subscribe()
    }

    fn ready(&self) -> Answer<()> {
        let full = self.full.load(Ordering::Relaxed);
        self.reply(if full { Err(Problem::unavailable("full")) } else { Ok(()) })
    }
}

/// There is one whose id has a slash.
fn proxied(call: String) -> Result<ProxiedCall, Problem> {
    match call.as_str() {
        "a/1@proxy" => Ok(ProxiedCall { call, created: 1, last_signal: 2, parties: Vec::new() }),
        _ => Err(Problem::not_found("no such call")),
    }
}

fn interface(announce: &str) -> InterfaceView {
    InterfaceView {
        name: "pub".into(),
        bind: "192.0.2.1:40500".into(),
        announce: announce.into(),
        private_candidate: false,
    }
}
