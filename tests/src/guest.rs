//! A peer that has joined a call over REST, as a browser does.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{Client, Response};
use crate::peer::{Direction, Line, Peer, Spec};

/// A peer and its leg.
pub struct Guest {
    /// The far end.
    pub peer: Peer,
    /// Its call's id.
    pub call: String,
    /// Its leg's id.
    pub leg: String,
    /// What it described itself with.
    pub own: String,
    /// What the node described itself with.
    pub nodes: String,
    client: Client,
}

impl Guest {
    /// Joins with an offer of audio and video.
    #[track_caller]
    pub fn join(http: SocketAddr, call: &str, role: &str, spec: &Spec) -> Self {
        Self::join_with(http, call, role, spec, &Line::CALL)
    }

    /// Joins with an offer of these m-lines.
    #[track_caller]
    pub fn join_with(
        http: SocketAddr,
        call: &str,
        role: &str,
        spec: &Spec,
        lines: &[Line],
    ) -> Self {
        let (peer, mut client) = (Peer::new(spec), Client::new(http));
        let own = peer.offer(lines);
        let added = add_leg(&mut client, call, json!({ "role": role, "offer": own })).ok();
        let (leg, nodes) = (text(&added["leg"]["id"]), text(&added["answer"]));
        peer.take_answer(&nodes);
        Self { peer, call: call.into(), leg, own, nodes, client }
    }

    /// Joins by letting the node offer.
    #[track_caller]
    pub fn answer(http: SocketAddr, call: &str, role: &str, spec: &Spec) -> Self {
        let (peer, mut client) = (Peer::new(spec), Client::new(http));
        let added = add_leg(&mut client, call, json!({ "role": role })).ok();
        let (leg, nodes) = (text(&added["leg"]["id"]), text(&added["offer"]));
        let own = peer.answer(&nodes);
        let mut guest = Self { peer, call: call.into(), leg, own, nodes, client };
        let description = json!({ "sdp": guest.own });
        guest.post("answer", &description).ok();
        guest
    }

    /// Offers anew with this direction and takes the node's answer.
    #[track_caller]
    pub fn turn(&mut self, direction: Direction) {
        let offer = self.peer.offer_direction(direction);
        let answer = self.post("offer", &json!({ "sdp": offer })).ok();
        self.peer.take_answer(answer["sdp"].as_str().expect("an answer"));
    }

    /// Restarts ICE and takes the node's answer.
    #[track_caller]
    pub fn restart(&mut self) {
        self.own = self.peer.offer_restart();
        let offer = json!({ "sdp": self.own });
        let answer = self.post("offer", &offer).ok();
        self.nodes = text(&answer["sdp"]);
        self.peer.take_answer(&self.nodes);
    }

    /// POST to something of its leg.
    pub fn post(&mut self, what: &str, body: &Value) -> Response {
        let path = format!("{}/{what}", self.path());
        self.client.post(&path, body)
    }

    /// Its leg as the node sees it.
    #[track_caller]
    pub fn view(&mut self) -> Value {
        let path = self.path();
        self.client.get(&path).ok()
    }

    /// Its leg's statistics.
    #[track_caller]
    pub fn stats(&mut self) -> Value {
        let stats = self.client.get(&format!("/v1/calls/{}/stats", self.call)).ok();
        let legs = stats["legs"].as_array().expect("legs");
        legs.iter().find(|leg| leg["leg"] == *self.leg).cloned().expect("its leg")
    }

    /// Deletes its leg.
    #[track_caller]
    pub fn leave(&mut self) {
        let path = self.path();
        self.client.delete(&path).ok();
    }

    /// Where the node takes its media.
    pub fn node_address(&self) -> SocketAddr {
        let candidate = self.nodes.lines().find_map(|line| line.strip_prefix("a=candidate:"));
        let mut parts = candidate.expect("a candidate").split(' ').skip(4);
        let (ip, port) = (parts.next().expect("an address"), parts.next().expect("a port"));
        SocketAddr::new(ip.parse().expect("an address"), port.parse().expect("a port"))
    }

    fn path(&self) -> String {
        format!("/v1/calls/{}/legs/{}", self.call, self.leg)
    }
}

/// POST of a leg.
pub fn add_leg(client: &mut Client, call: &str, body: Value) -> Response {
    client.post(&format!("/v1/calls/{call}/legs"), &body)
}

/// The first SSRC of each m-line of a description.
pub fn ssrcs(sdp: &str) -> Vec<u32> {
    sections(sdp)
        .filter_map(|section| {
            let line = section.lines().find_map(|line| line.strip_prefix("a=ssrc:"))?;
            line.split(' ').next()?.parse().ok()
        })
        .collect()
}

/// The MID of each m-line of a description.
pub fn mids(sdp: &str) -> Vec<&str> {
    sections(sdp)
        .filter_map(|section| section.lines().find_map(|line| line.strip_prefix("a=mid:")))
        .collect()
}

/// The payload types of each m-line of a description.
pub fn formats(sdp: &str) -> Vec<Vec<&str>> {
    let lines = sdp.lines().filter(|line| line.starts_with("m="));
    lines.map(|line| line.split(' ').skip(3).collect()).collect()
}

fn sections(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.split("\nm=").skip(1)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
