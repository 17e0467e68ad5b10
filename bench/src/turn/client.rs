//! One client of a TURN server, without a socket: it writes requests and reads what answers them.
//!
//! It asks for one thing after the other: an allocation, then the way to its peer, a channel or a permission; later
//! it renews or releases them. A 401 or 438 gives it realm and nonce, and it asks the same again (RFC 8489 §9.2).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_engine::stun::{
    Class, IntegrityKey, Message, TransactionId, Writer, attribute, attributes, unxor,
};
use md5::{Digest, Md5};

use super::frame::{CHANNEL, XOR_PEER_ADDRESS};
use super::plan::{Login, Mode};

/// Methods (RFC 8656 §17).
const ALLOCATE: u16 = 0x003;
const REFRESH: u16 = 0x004;
const CREATE_PERMISSION: u16 = 0x008;
const CHANNEL_BIND: u16 = 0x009;
/// Attributes (RFC 8656 §18).
const CHANNEL_NUMBER: u16 = 0x000c;
const LIFETIME: u16 = 0x000d;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const REQUESTED_TRANSPORT: u16 = 0x0019;
/// REQUESTED-TRANSPORT: UDP, and three bytes for later (RFC 8656 §18.7).
const UDP: [u8; 4] = [17, 0, 0, 0];
/// Bytes of a request, most: user, realm and nonce are short.
const REQUEST_MAX: usize = 1500;
/// Times that one request may be told to come again with another nonce.
const CHALLENGES: u32 = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Allocate,
    /// The way to the peer.
    Open,
    /// The allocation for as long as at first.
    Refresh,
    /// The end of the allocation.
    Release,
}

/// What a message has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// There is more to ask: [`Client::ask`].
    Next,
    /// All that was wanted is there.
    Idle,
    /// The server has refused something; nothing more is asked.
    Failed(String),
    /// It answers nothing that was asked.
    Noise,
}

/// See the module.
#[derive(Debug)]
pub struct Client {
    login: Arc<Login>,
    mode: Mode,
    peer: SocketAddr,
    /// Makes transaction ids that no other client has.
    number: u32,
    asked: u64,
    pending: Option<TransactionId>,
    /// The latest request, to be sent again as it is.
    latest: Vec<u8>,
    challenges: u32,
    session: Option<Session>,
    todo: VecDeque<Ask>,
    relayed: Option<SocketAddr>,
}

/// What the server wants to hear again.
#[derive(Debug)]
struct Session {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: IntegrityKey,
}

impl Client {
    /// One that wants an allocation and the way to `peer`. `number` is its own in the run.
    pub fn new(login: Arc<Login>, mode: Mode, peer: SocketAddr, number: u32) -> Self {
        Self {
            login,
            mode,
            peer,
            number,
            asked: 0,
            pending: None,
            latest: Vec::new(),
            challenges: 0,
            session: None,
            todo: [Ask::Allocate].into(),
            relayed: None,
        }
    }

    /// Its relayed address, once it has one.
    pub fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// Where it sends to.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether nothing is left to ask for.
    pub fn is_idle(&self) -> bool {
        self.todo.is_empty()
    }

    /// Wants the way to its peer.
    pub fn open(&mut self) {
        self.want(&[Ask::Open]);
    }

    /// Wants everything for as long again.
    pub fn renew(&mut self) {
        self.want(&[Ask::Refresh, Ask::Open]);
    }

    /// Wants the end of its allocation.
    pub fn release(&mut self) {
        self.want(&[Ask::Release]);
    }

    fn want(&mut self, more: &[Ask]) {
        if self.relayed.is_some() {
            self.todo.extend(more);
        }
    }

    /// The next request, a new one each time; `None` if there is nothing to ask for.
    pub fn ask(&mut self) -> Option<&[u8]> {
        let ask = *self.todo.front()?;
        let mut out = [0; REQUEST_MAX];
        let len = self.write(ask, &mut out)?;
        self.latest.clear();
        self.latest.extend_from_slice(&out[..len]);
        Some(&self.latest)
    }

    /// The request that was not answered yet; `None` if there is none.
    pub fn repeat(&self) -> Option<&[u8]> {
        self.pending.map(|_| &self.latest[..])
    }

    fn write(&mut self, ask: Ask, out: &mut [u8]) -> Option<usize> {
        self.asked += 1;
        let mut transaction = TransactionId::default();
        transaction.0[..4].copy_from_slice(&self.number.to_be_bytes());
        transaction.0[4..].copy_from_slice(&self.asked.to_be_bytes());
        self.pending = Some(transaction);
        let mut writer = Writer::begin(out, Class::Request, self.method(ask), transaction)?;
        match ask {
            Ask::Allocate => writer.attribute(REQUESTED_TRANSPORT, &[&UDP])?,
            Ask::Open => {
                if self.mode == Mode::Channel {
                    writer.attribute(CHANNEL_NUMBER, &[&CHANNEL.to_be_bytes(), &[0; 2]])?;
                }
                writer.xor_address(XOR_PEER_ADDRESS, self.peer)?;
            }
            Ask::Refresh => {}
            Ask::Release => writer.attribute(LIFETIME, &[&[0; 4]])?,
        }
        let Some(session) = &self.session else { return Some(writer.len()) };
        writer.attribute(attribute::USERNAME, &[self.login.user.as_bytes()])?;
        writer.attribute(attribute::REALM, &[&session.realm])?;
        writer.attribute(attribute::NONCE, &[&session.nonce])?;
        writer.finish(Some(&session.key))
    }

    /// Reads a message of the server.
    pub fn hear(&mut self, bytes: &[u8]) -> Heard {
        let Ok(message) = Message::parse(bytes) else { return Heard::Noise };
        let Some(ask) = self.todo.front().copied() else { return Heard::Noise };
        if self.pending != Some(message.transaction) || message.method != self.method(ask) {
            return Heard::Noise;
        }
        match message.class {
            Class::Success => self.succeed(ask, &message, bytes),
            Class::Error => self.refused(ask, &message, bytes),
            Class::Request | Class::Indication => Heard::Noise,
        }
    }

    fn succeed(&mut self, ask: Ask, message: &Message<'_>, bytes: &[u8]) -> Heard {
        let key = self.session.as_ref().map(|session| &session.key);
        if !key.is_some_and(|key| message.verify_integrity(key)) {
            return self.fail(format!("the answer to {ask:?} has no right integrity"));
        }
        match ask {
            Ask::Allocate => {
                let relayed = value(bytes, XOR_RELAYED_ADDRESS);
                self.relayed = relayed.and_then(|value| unxor(value, message.transaction));
                if self.relayed.is_none() {
                    return self.fail("an allocation without a relayed address".into());
                }
            }
            Ask::Release => self.relayed = None,
            Ask::Open | Ask::Refresh => {}
        }
        (self.pending, self.challenges) = (None, 0);
        self.todo.pop_front();
        if self.todo.is_empty() { Heard::Idle } else { Heard::Next }
    }

    fn refused(&mut self, ask: Ask, message: &Message<'_>, bytes: &[u8]) -> Heard {
        let code = message.error.unwrap_or(0);
        self.pending = None;
        let stale = self.session.is_some();
        let challenged = matches!((code, stale), (401, false) | (438, _));
        let (realm, nonce) = (value(bytes, attribute::REALM), message.nonce);
        let (true, Some(realm), Some(nonce)) = (challenged, realm, nonce) else {
            return self.fail(format!("{ask:?} refused: {code}"));
        };
        self.challenges += 1;
        if self.challenges > CHALLENGES {
            return self
                .fail(format!("{ask:?} is told again and again to come with another nonce"));
        }
        let key = key_of(&self.login, realm);
        self.session = Some(Session { realm: realm.to_vec(), nonce: nonce.to_vec(), key });
        Heard::Next
    }

    /// Gives up, for this reason.
    pub fn fail(&mut self, why: String) -> Heard {
        self.todo.clear();
        self.pending = None;
        Heard::Failed(why)
    }

    fn method(&self, ask: Ask) -> u16 {
        match (ask, self.mode) {
            (Ask::Allocate, _) => ALLOCATE,
            (Ask::Open, Mode::Channel) => CHANNEL_BIND,
            (Ask::Open, Mode::Send) => CREATE_PERMISSION,
            (Ask::Refresh | Ask::Release, _) => REFRESH,
        }
    }
}

/// An Allocate as it comes from somebody who has no nonce yet; `None` if there is no room.
pub fn write_allocate(transaction: TransactionId, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::begin(out, Class::Request, ALLOCATE, transaction)?;
    writer.attribute(REQUESTED_TRANSPORT, &[&UDP])?;
    Some(writer.len())
}

/// The key of long-term credentials (RFC 8489 §9.2.2).
fn key_of(login: &Login, realm: &[u8]) -> IntegrityKey {
    let mut md5 = Md5::new();
    for part in [login.user.as_bytes(), b":", realm, b":", login.password.as_bytes()] {
        md5.update(part);
    }
    IntegrityKey::from_secret(&md5.finalize())
}

fn value(message: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(message).flatten().find(|attribute| attribute.kind == kind).map(|found| found.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REALM: &[u8] = b"t.test";

    fn login() -> Arc<Login> {
        Arc::new("u:p".parse().unwrap())
    }

    fn client(mode: Mode) -> Client {
        Client::new(login(), mode, "127.0.0.1:9".parse().unwrap(), 3)
    }

    fn asked(client: &mut Client) -> Vec<u8> {
        let asked = client.ask().unwrap().to_vec();
        assert_eq!(client.repeat(), Some(&asked[..]));
        asked
    }

    fn answer(request: &[u8], fill: impl FnOnce(&mut Writer<'_>), error: Option<u16>) -> Vec<u8> {
        let request = Message::parse(request).unwrap();
        let class = if error.is_some() { Class::Error } else { Class::Success };
        let mut out = [0; 500];
        let mut writer =
            Writer::begin(&mut out, class, request.method, request.transaction).unwrap();
        if let Some(code) = error {
            writer.error(code, "").unwrap();
        }
        fill(&mut writer);
        let key = key_of(&login(), REALM);
        let len = writer.finish(error.is_none().then_some(&key)).unwrap();
        out[..len].to_vec()
    }

    fn challenge(request: &[u8], code: u16, nonce: &[u8]) -> Vec<u8> {
        let fill = |writer: &mut Writer<'_>| {
            writer.attribute(attribute::REALM, &[REALM]).unwrap();
            writer.attribute(attribute::NONCE, &[nonce]).unwrap();
        };
        answer(request, fill, Some(code))
    }

    fn allocated(client: &mut Client) {
        let first = asked(client);
        assert!(!Message::parse(&first).unwrap().has_integrity());
        assert_eq!(client.hear(&challenge(&first, 401, b"n1")), Heard::Next);
        let second = asked(client);
        assert!(Message::parse(&second).unwrap().verify_integrity(&key_of(&login(), REALM)));
        let relayed = "192.0.2.7:5000".parse().unwrap();
        let fill =
            |writer: &mut Writer<'_>| writer.xor_address(XOR_RELAYED_ADDRESS, relayed).unwrap();
        assert_eq!(client.hear(&answer(&second, fill, None)), Heard::Idle);
        assert_eq!(client.relayed(), Some(relayed));
    }

    #[test]
    fn a_client_asks_with_credentials_once_it_knows_the_realm() {
        allocated(&mut client(Mode::Channel));
    }

    #[test]
    fn the_way_to_the_peer_is_a_channel_or_a_permission() {
        for (mode, method) in [(Mode::Channel, CHANNEL_BIND), (Mode::Send, CREATE_PERMISSION)] {
            let mut client = client(mode);
            allocated(&mut client);
            client.open();
            let request = asked(&mut client);
            assert_eq!(Message::parse(&request).unwrap().method, method);
            assert_eq!(client.hear(&answer(&request, |_| (), None)), Heard::Idle);
        }
    }

    #[test]
    fn a_stale_nonce_is_replaced_and_the_same_is_asked_again() {
        let mut client = client(Mode::Channel);
        allocated(&mut client);
        client.renew();
        let request = asked(&mut client);
        assert_eq!(client.hear(&challenge(&request, 438, b"n2")), Heard::Next);
        let again = asked(&mut client);
        let message = Message::parse(&again).unwrap();
        assert_eq!((message.method, message.nonce), (REFRESH, Some(&b"n2"[..])));
        assert_eq!(client.hear(&answer(&again, |_| (), None)), Heard::Next);
    }

    #[test]
    fn a_second_401_and_any_other_refusal_ends_it() {
        let mut client = client(Mode::Channel);
        let first = asked(&mut client);
        client.hear(&challenge(&first, 401, b"n1"));
        let second = asked(&mut client);
        let heard = client.hear(&challenge(&second, 401, b"n2"));
        assert!(matches!(heard, Heard::Failed(why) if why.contains("401")));
        assert!(client.is_idle() && client.ask().is_none() && client.repeat().is_none());
    }

    #[test]
    fn what_was_not_asked_or_was_altered_is_not_believed() {
        let mut client = client(Mode::Channel);
        let first = asked(&mut client);
        client.hear(&challenge(&first, 401, b"n1"));
        let old = answer(&first, |_| (), None);
        assert_eq!(client.hear(&old), Heard::Noise, "it answers an earlier request");
        let second = asked(&mut client);
        let mut forged = answer(&second, |_| (), None);
        let tag = forged.len() - 10;
        forged[tag] ^= 1;
        assert!(matches!(client.hear(&forged), Heard::Failed(_)));
    }

    #[test]
    fn a_released_allocation_is_gone() {
        let mut client = client(Mode::Send);
        allocated(&mut client);
        client.release();
        let request = asked(&mut client);
        assert_eq!(value(&request, LIFETIME), Some(&[0; 4][..]));
        assert_eq!(client.hear(&answer(&request, |_| (), None)), Heard::Idle);
        assert_eq!(client.relayed(), None);
    }
}
