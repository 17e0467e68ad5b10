//! What TURN's requests ask and how they are answered (RFC 8656 §18, RFC 6062 §6.2, RFC 8016 §4):
//! attributes, methods and error codes. It judges nothing: what is missing or wrong is noted.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use causeway_engine::config::PERMISSIONS_PER_ALLOCATION;
use causeway_engine::stun::{
    self, Attribute, Class, IntegrityKey, Message, TransactionId, Writer, attribute, attributes,
};

use super::{ConnectionId, Family};

/// Bytes of the longest answer: a challenge with the longest realm and nonce (RFC 8489 §14.9, §14.10).
const ANSWER_MAX: usize = 2048;
/// Attributes named in UNKNOWN-ATTRIBUTES, most.
const UNKNOWN_MAX: usize = 8;
const FITS: &str = "attributes of fixed length fit into the longest answer";

/// TURN's attributes (RFC 8656 §18, RFC 6062 §6.2, RFC 8016 §4).
pub(super) mod kind {
    pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(crate) const LIFETIME: u16 = 0x000d;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const DATA: u16 = 0x0013;
    pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const EVEN_PORT: u16 = 0x0018;
    pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(crate) const DONT_FRAGMENT: u16 = 0x001a;
    pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;
    pub(crate) const CONNECTION_ID: u16 = 0x002a;
    pub(crate) const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    /// The same by its number in a draft of RFC 8656, which coturn's clients ask by.
    pub(crate) const DRAFT_ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8032;
    pub(crate) const ADDRESS_ERROR_CODE: u16 = 0x8001;
    pub(crate) const MOBILITY_TICKET: u16 = 0x8030;
}

/// What is asked (RFC 8656 §17, RFC 6062 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Allocate = 0x003,
    Refresh = 0x004,
    CreatePermission = 0x008,
    ChannelBind = 0x009,
    Connect = 0x00a,
    ConnectionBind = 0x00b,
    ConnectionAttempt = 0x00c,
}

impl Method {
    fn of(number: u16) -> Option<Self> {
        [
            Self::Allocate,
            Self::Refresh,
            Self::CreatePermission,
            Self::ChannelBind,
            Self::Connect,
            Self::ConnectionBind,
        ]
        .into_iter()
        .find(|method| *method as u16 == number)
    }
}

/// Why a request is refused (RFC 8489 §14.8, RFC 8656 §19, RFC 6062 §6.3, RFC 8016 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Code {
    BadRequest = 400,
    Unauthenticated = 401,
    Forbidden = 403,
    MobilityForbidden = 405,
    UnknownAttribute = 420,
    AllocationMismatch = 437,
    AddressFamilyNotSupported = 440,
    WrongCredentials = 441,
    UnsupportedTransport = 442,
    PeerAddressFamilyMismatch = 443,
    ConnectionAlreadyExists = 446,
    ConnectionFailure = 447,
    AllocationQuotaReached = 486,
    InsufficientCapacity = 508,
}

impl Code {
    const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthenticated => "Unauthenticated",
            Self::Forbidden => "Forbidden",
            Self::MobilityForbidden => "Mobility Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::AddressFamilyNotSupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::UnsupportedTransport => "Unsupported Transport Protocol",
            Self::PeerAddressFamilyMismatch => "Peer Address Family Mismatch",
            Self::ConnectionAlreadyExists => "Connection Already Exists",
            Self::ConnectionFailure => "Connection Timeout or Failure",
            Self::AllocationQuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }
}

/// A request, read as far as MESSAGE-INTEGRITY: what follows could have been added on the way. Of an
/// attribute that comes twice, the first counts (RFC 8489 §14), XOR-PEER-ADDRESS aside.
#[derive(Debug)]
pub(super) struct Request<'m> {
    pub(super) message: Message<'m>,
    pub(super) method: Method,
    pub(super) realm: Option<&'m [u8]>,
    pub(super) lifetime: Option<u32>,
    pub(super) channel: Option<u16>,
    pub(super) peers: ArrayVec<SocketAddr, PERMISSIONS_PER_ALLOCATION>,
    /// Whether there were more peers than fit.
    pub(super) too_many_peers: bool,
    /// IANA's number of the relay's protocol.
    pub(super) transport: Option<u8>,
    /// IANA's number of the relay's address family.
    pub(super) family: Option<u8>,
    pub(super) additional_family: Option<u8>,
    /// EVEN-PORT, and whether the next port is to be reserved.
    pub(super) even_port: Option<bool>,
    pub(super) dont_fragment: bool,
    pub(super) token: Option<[u8; 8]>,
    pub(super) connection: Option<ConnectionId>,
    pub(super) ticket: Option<&'m [u8]>,
    /// Attributes that must be understood and are not.
    pub(super) unknown: ArrayVec<u16, UNKNOWN_MAX>,
    /// Whether the value of a known attribute is not what it has to be.
    pub(super) malformed: bool,
}

impl<'m> Request<'m> {
    /// Reads a message; `None` if it is no request of a known method, or damaged.
    pub(super) fn parse(bytes: &'m [u8]) -> Option<Self> {
        let message = Message::parse(bytes).ok()?;
        let method = Method::of(message.method)?;
        if message.class != Class::Request || !message.fingerprint_holds() {
            return None;
        }
        let mut request = Self {
            message,
            method,
            realm: None,
            lifetime: None,
            channel: None,
            peers: ArrayVec::new(),
            too_many_peers: false,
            transport: None,
            family: None,
            additional_family: None,
            even_port: None,
            dont_fragment: false,
            token: None,
            connection: None,
            ticket: None,
            unknown: ArrayVec::new(),
            malformed: false,
        };
        for Attribute { kind, value, .. } in attributes(bytes).map_while(|attribute| attribute) {
            if kind == attribute::MESSAGE_INTEGRITY {
                break;
            }
            request.malformed |= request.read(kind, value).is_none();
        }
        Some(request)
    }

    /// What ties the answer to it.
    pub(super) fn id(&self) -> (Method, TransactionId) {
        (self.method, self.message.transaction)
    }

    /// USERNAME; empty if there is none.
    pub(super) fn username(&self) -> &'m [u8] {
        self.message.username.unwrap_or_default()
    }

    fn read(&mut self, kind: u16, value: &'m [u8]) -> Option<()> {
        match kind {
            attribute::REALM => _ = self.realm.get_or_insert(value),
            kind::LIFETIME => {
                let seconds = u32::from_be_bytes(value.try_into().ok()?);
                self.lifetime.get_or_insert(seconds);
            }
            kind::CHANNEL_NUMBER => {
                let [high, low, _, _] = *<&[u8; 4]>::try_from(value).ok()?;
                self.channel.get_or_insert(u16::from_be_bytes([high, low]));
            }
            kind::XOR_PEER_ADDRESS => {
                let peer = stun::unxor(value, self.message.transaction)?;
                self.too_many_peers |= self.peers.try_push(peer).is_err();
            }
            kind::REQUESTED_TRANSPORT => _ = self.transport.get_or_insert(first_of_four(value)?),
            kind::REQUESTED_ADDRESS_FAMILY => _ = self.family.get_or_insert(first_of_four(value)?),
            kind::ADDITIONAL_ADDRESS_FAMILY | kind::DRAFT_ADDITIONAL_ADDRESS_FAMILY => {
                self.additional_family.get_or_insert(first_of_four(value)?);
            }
            kind::EVEN_PORT => {
                let [flags] = *<&[u8; 1]>::try_from(value).ok()?;
                self.even_port.get_or_insert(flags & 0x80 != 0);
            }
            kind::DONT_FRAGMENT => {
                self.dont_fragment = true;
                return value.is_empty().then_some(());
            }
            kind::RESERVATION_TOKEN => _ = self.token.get_or_insert(value.try_into().ok()?),
            kind::CONNECTION_ID => {
                let id = u32::from_be_bytes(value.try_into().ok()?);
                self.connection.get_or_insert(ConnectionId(id));
            }
            kind::MOBILITY_TICKET => _ = self.ticket.get_or_insert(value),
            unknown if unknown < attribute::COMPREHENSION_OPTIONAL && !is_known(unknown) => {
                // The answer names as many as it has room for.
                let _ = self.unknown.try_push(unknown);
            }
            _ => {}
        }
        Some(())
    }
}

/// What means nothing here, or was read by [`Message::parse`], but is no reason to refuse.
fn is_known(kind: u16) -> bool {
    use attribute as a;
    [
        a::MAPPED_ADDRESS,
        a::USERNAME,
        a::ERROR_CODE,
        a::UNKNOWN_ATTRIBUTES,
        a::NONCE,
        a::MESSAGE_INTEGRITY_SHA256,
        a::XOR_MAPPED_ADDRESS,
        kind::DATA,
        kind::XOR_RELAYED_ADDRESS,
    ]
    .contains(&kind)
}

/// A byte and three that are reserved.
fn first_of_four(value: &[u8]) -> Option<u8> {
    let [first, _, _, _] = *<&[u8; 4]>::try_from(value).ok()?;
    Some(first)
}

/// A success response; `write` appends its attributes, which are few and short.
///
/// # Panics
/// If they are not.
pub(super) fn success(
    (method, transaction): (Method, TransactionId),
    key: &IntegrityKey,
    write: impl FnOnce(&mut Writer<'_>) -> Option<()>,
) -> Box<[u8]> {
    compose(Class::Success, method, transaction, Some(key), write).expect(FITS)
}

/// An error response to a request that was authenticated; 420 names what is `unknown`.
pub(super) fn error(
    (method, transaction): (Method, TransactionId),
    code: Code,
    unknown: &[u16],
    key: &IntegrityKey,
) -> Box<[u8]> {
    compose(Class::Error, method, transaction, Some(key), |writer| {
        writer.error(code as u16, code.reason())?;
        if unknown.is_empty() {
            return Some(());
        }
        let mut value = [0; 2 * UNKNOWN_MAX];
        let places = value.chunks_exact_mut(2).zip(unknown);
        places.for_each(|(place, kind)| place.copy_from_slice(&kind.to_be_bytes()));
        let len = 2 * unknown.len().min(UNKNOWN_MAX);
        writer.attribute(attribute::UNKNOWN_ATTRIBUTES, &[&value[..len]])
    })
    .expect(FITS)
}

/// An error response to a request that was not authenticated; 401 says with which realm and nonce to
/// try again (RFC 8489 §9.2.4). `None` if the nonce is too long to be one of the node's.
pub(super) fn unauthenticated(
    (method, transaction): (Method, TransactionId),
    code: Code,
    challenge: Option<(&[u8], &[u8])>,
) -> Option<Box<[u8]>> {
    compose(Class::Error, method, transaction, None, |writer| {
        writer.error(code as u16, code.reason())?;
        let Some((realm, nonce)) = challenge else { return Some(()) };
        writer.attribute(attribute::REALM, &[realm])?;
        writer.attribute(attribute::NONCE, &[nonce])
    })
}

/// Tells the client that `peer` has connected (RFC 6062 §5.3).
pub(super) fn connection_attempt(
    transaction: TransactionId,
    connection: ConnectionId,
    peer: SocketAddr,
) -> Box<[u8]> {
    compose(Class::Indication, Method::ConnectionAttempt, transaction, None, |writer| {
        connection_id(writer, connection)?;
        writer.xor_address(kind::XOR_PEER_ADDRESS, peer)
    })
    .expect(FITS)
}

/// Appends CONNECTION-ID.
pub(super) fn connection_id(writer: &mut Writer<'_>, id: ConnectionId) -> Option<()> {
    writer.attribute(kind::CONNECTION_ID, &[&id.0.to_be_bytes()])
}

/// Appends LIFETIME.
pub(super) fn lifetime(writer: &mut Writer<'_>, seconds: u32) -> Option<()> {
    writer.attribute(kind::LIFETIME, &[&seconds.to_be_bytes()])
}

/// Appends ADDRESS-ERROR-CODE (RFC 8656 §18.12).
pub(super) fn address_error(writer: &mut Writer<'_>, family: Family, code: Code) -> Option<()> {
    let number = code as u16;
    let head = [family as u8, 0, (number / 100) as u8, (number % 100) as u8];
    writer.attribute(kind::ADDRESS_ERROR_CODE, &[&head, code.reason().as_bytes()])
}

fn compose(
    class: Class,
    method: Method,
    transaction: TransactionId,
    key: Option<&IntegrityKey>,
    write: impl FnOnce(&mut Writer<'_>) -> Option<()>,
) -> Option<Box<[u8]>> {
    let mut out = [0; ANSWER_MAX];
    let mut writer = Writer::begin(&mut out, class, method as u16, transaction)?;
    write(&mut writer)?;
    let len = writer.finish(key)?;
    Some(out[..len].into())
}
