//! As much of a SIP client (RFC 3261) as a call to a phone on this machine needs: the signalling of whoever
//! joins a phone over REST. Loopback loses nothing, so nothing is sent twice.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::phone::receive;

/// Longest wait for a final response.
const PATIENCE: Duration = Duration::from_secs(30);

/// A call to a phone; hung up when dropped.
pub struct Dialog {
    socket: UdpSocket,
    phone: SocketAddr,
    id: String,
    to_tag: String,
    number: u32,
}

impl Dialog {
    /// Calls a phone with an offer; its answer.
    ///
    /// # Panics
    /// If it does not take the call.
    #[track_caller]
    pub fn call(phone: SocketAddr, offer: &str) -> (Self, String) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let id = format!("{}@{}", socket.local_addr().expect("it is bound").port(), phone.port());
        let mut dialog = Self { socket, phone, id, to_tag: String::new(), number: 0 };
        let answer = dialog.offer(offer);
        (dialog, answer)
    }

    /// Offers within the call (re-INVITE, RFC 3261 §14); the phone's answer.
    ///
    /// # Panics
    /// If the phone refuses.
    #[track_caller]
    pub fn offer(&mut self, offer: &str) -> String {
        self.number += 1;
        self.send("INVITE", offer);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let reply = receive(&self.socket, left).expect("a final response");
            let reply = String::from_utf8(reply).expect("text");
            let own = format!("{} INVITE", self.number);
            match reply.split(' ').nth(1) {
                Some("200") if reply.contains(&own) => {
                    self.to_tag = tag(&reply);
                    self.send("ACK", "");
                    let (_, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
                    return body.to_owned();
                }
                Some(status) if status.starts_with('1') => {}
                _ => panic!("the phone does not take the call: {reply}"),
            }
        }
    }

    fn send(&self, method: &str, body: &str) {
        let (own, phone) = (self.socket.local_addr().expect("it is bound"), self.phone);
        let (id, number) = (&self.id, self.number);
        // An ACK to a 200 is a transaction of its own (RFC 3261 §13.2.2.4).
        let branch = format!("z9hG4bK{}{method}{number}", own.port());
        let mut text = format!(
            "{method} sip:callee@{phone} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch={branch}\r\n\
             From: <sip:node@{own}>;tag=1\r\nTo: <sip:callee@{phone}>{}\r\nCall-ID: {id}\r\n\
             CSeq: {number} {method}\r\nContact: <sip:node@{own}>\r\nMax-Forwards: 70\r\n",
            self.to_tag
        );
        if !body.is_empty() {
            text += "Content-Type: application/sdp\r\n";
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("room");
        self.socket.send_to(text.as_bytes(), phone).expect("it is sent");
    }
}

/// Where a phone can call.
pub struct Doorbell(UdpSocket);

impl Doorbell {
    /// One on a port that is free.
    ///
    /// # Panics
    /// If none is.
    #[expect(clippy::new_without_default, reason = "it takes a port")]
    pub fn new() -> Self {
        Self(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"))
    }

    /// Its address.
    ///
    /// # Panics
    /// Never, as it is bound.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    /// Waits for a call and takes it, with what `answer` makes of its offer.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn take(&self, answer: impl FnOnce(&str) -> String) {
        let mut buffer = vec![0; 65_536];
        self.0.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        let (request, from) = loop {
            let (len, from) = self.0.recv_from(&mut buffer).expect("a call comes");
            let request = String::from_utf8(buffer[..len].to_vec()).expect("text");
            if request.starts_with("INVITE ") {
                break (request, from);
            }
        };
        let (head, offer) = request.split_once("\r\n\r\n").expect("a head and a body");
        let body = answer(offer);
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let mut text = String::from("SIP/2.0 200 OK\r\n");
        for line in head.lines().filter(|line| copied.iter().any(|name| line.starts_with(name))) {
            let tag = if line.starts_with("To:") { ";tag=2" } else { "" };
            write!(text, "{line}{tag}\r\n").expect("room");
        }
        let contact = self.address();
        write!(
            text,
            "Contact: <sip:node@{contact}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("room");
        self.0.send_to(text.as_bytes(), from).expect("it is sent");
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        self.number += 1;
        self.send("BYE", "");
    }
}

/// The tag of the To line, as a later request repeats it.
fn tag(reply: &str) -> String {
    let to = reply.lines().find_map(|line| line.strip_prefix("To:")).expect("a To line");
    let tag = to.split(';').find(|part| part.trim().starts_with("tag="));
    format!(";{}", tag.expect("a tag").trim())
}
