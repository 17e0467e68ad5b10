//! DTLS-SRTP handshake of one transport (RFC 5763, RFC 5764; DTLS 1.2 of RFC 6347 and 1.3 of RFC 9147).
//!
//! A machine without socket and clock around `dimpl`. What it adds:
//! - **Keys only for the right certificate.** The far side's certificate is compared with the fingerprints of
//!   its description before keys leave the machine; a handshake that began before the description was here
//!   runs on, and waits with its keys for [`Handshake::set_expected`].
//! - **Keys in directions**, cut by role.
//! - **No death by noise.** What is no run of DTLS records is dropped before `dimpl` looks at it. Every error that `dimpl`
//!   does report is final for a handshake; once there are keys it is not final for the call, whose consent
//!   decides.
//!
//! Keep the machine after [`Output::Connected`]: the far side may need the last flight again, and its
//! close_notify ends the leg. Once it is settled it has given back what only the handshake needed.
//!
//! Far sides may show an ECDSA certificate, or one with an RSA key of 2048 bits or more; the node's is ECDSA
//! (RFC 8827 §6.5). In DTLS 1.2 the two are independent: as a server the node asks for either kind, as
//! a client it offers cipher suites for either. `dimpl` as released knows no RSA, and no hook of it
//! reaches the lists that say so, hence the copy in `control/vendor/dimpl`.
//!
//! A far side without extended master secret (OpenSSL before 1.1.0) is served (RFC 7627 §5.2, §5.3). What the
//! extension prevents is one party in the middle having the same master secret with two others
//! (RFC 7627 §1), whose exported keys then are the same too. That takes a key exchange whose outcome
//! one side can force. Here it is always ECDHE on X25519, P-256 or P-384 with a fresh key of the node's, and
//! aws-lc refuses points off the curve and all-zero secrets, so it cannot; nor is there resumption or
//! renegotiation, by which the attack goes on. It cannot be stripped from those who have it: Finished covers the hellos.

mod fingerprint;
mod identity;
mod keys;
mod plausible;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use dimpl::{Dtls, Error, ProtocolVersion, SecurityError, UnexpectedMessageError};

pub use fingerprint::{Fingerprint, FingerprintError, Hash};
pub use identity::{Identity, IdentityError};
pub use keys::{DirectionKeys, SrtpKeys, Suite};
use plausible::is_plausible;
pub use versions::Versions;

/// Who sends the ClientHello (`a=setup` of RFC 4145 §4 as used by RFC 5763 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The node is the client.
    Active,
    /// The node is the server, and waits.
    Passive,
}

/// The version that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// DTLS 1.2.
    Dtls12,
    /// DTLS 1.3.
    Dtls13,
}

/// What the machine wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram to the transport's pair.
    Datagram(Box<[u8]>),
    /// The far side has proved to be the one that its description names. Comes once.
    Connected {
        /// Both directions' master keys.
        keys: SrtpKeys,
        /// The version that was agreed on.
        version: Version,
    },
    /// There will be no keys.
    Failed(DtlsError),
    /// The far side has closed (close_notify or a fatal alert after the handshake).
    Closed,
    /// Nothing more until a datagram or call comes in, or this instant for [`Handshake::handle_timeout`].
    Timeout(Option<Instant>),
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DtlsError {
    /// The certificate is not the one that the description names.
    #[error("the far side's certificate does not match the fingerprint of its description")]
    FingerprintMismatch,
    /// The far side offered no SRTP profile that the node knows.
    #[error("no SRTP protection profile in common")]
    NoSrtpProfile,
    /// No end of the handshake within [`HANDSHAKE_TIMEOUT`].
    #[error("the DTLS handshake was not finished in time")]
    Timeout,
    /// The far side said no.
    #[error("the far side broke the DTLS handshake off with alert {0}")]
    Alert(u8),
    /// The far side speaks none of the versions that are allowed.
    #[error(
        "the far side does not speak {0}, and the node is set to allow nothing else (dtls.versions)"
    )]
    Version(Versions),
    /// The two don't agree, or the far side broke the protocol.
    #[error("the DTLS handshake failed: {0}")]
    Protocol(String),
}

/// One DTLS association. See the [module](self).
pub struct Handshake {
    /// `None` once it is of no further use.
    dtls: Option<Box<Dtls>>,
    role: Role,
    versions: Versions,
    expected: Vec<Fingerprint>,
    certificate: Option<Vec<u8>>,
    keys: Option<SrtpKeys>,
    /// Whether `dimpl` is through, keys or not.
    established: bool,
    phase: Phase,
    /// When the set-up is given up; runs from when the description is here.
    deadline: Option<Instant>,
    retry: Option<Instant>,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Shaking,
    Connected,
    Over,
}

impl Handshake {
    /// Starts a handshake; the client's first datagram is ready at once, so make it when there is a pair to
    /// send it to. `expected` is empty while the far side's description is not here.
    pub fn new(
        identity: &Identity,
        versions: Versions,
        role: Role,
        expected: Vec<Fingerprint>,
        now: Instant,
    ) -> Self {
        let mut dtls = versions.start(identity, now);
        dtls.set_active(role == Role::Active);
        let mut handshake = Self {
            dtls: Some(Box::new(dtls)),
            role,
            versions,
            expected: Vec::new(),
            certificate: None,
            keys: None,
            established: false,
            phase: Phase::Shaking,
            deadline: None,
            retry: None,
            outputs: VecDeque::new(),
        };
        handshake.drive(now, |dtls| dtls.handle_timeout(now));
        handshake.set_expected(expected, now);
        handshake
    }

    /// Takes the fingerprints of the far side's description, one of which its certificate must match
    /// (RFC 8122 §5). The first ones that are given count.
    pub fn set_expected(&mut self, expected: Vec<Fingerprint>, now: Instant) {
        if !self.expected.is_empty() || expected.is_empty() {
            return;
        }
        self.expected = expected;
        if self.phase == Phase::Shaking {
            self.deadline = Some(now + HANDSHAKE_TIMEOUT);
        }
        self.conclude();
    }

    /// Takes a datagram of the transport's pair.
    pub fn handle_packet(&mut self, now: Instant, bytes: &[u8]) {
        if bytes.is_empty() || !is_plausible(bytes) {
            return;
        }
        if self.phase == Phase::Shaking && self.role == Role::Passive && self.versions.refuse(bytes)
        {
            return self.fail(DtlsError::Version(self.versions));
        }
        self.drive(now, |dtls| {
            dtls.handle_timeout(now)?;
            dtls.handle_packet(bytes)
        });
    }

    /// To be called when the instant of [`Output::Timeout`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Shaking && self.deadline.is_some_and(|deadline| deadline <= now) {
            return self.fail(DtlsError::Timeout);
        }
        self.drive(now, |dtls| dtls.handle_timeout(now));
    }

    /// Ends the association; a close_notify goes out if there was one.
    pub fn close(&mut self, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        self.drive(now, Dtls::close);
        self.dtls = None;
    }

    /// The fingerprint of the far side's certificate, made as the description's is, while it
    /// matters: until there are keys.
    pub fn shown(&self) -> Option<Fingerprint> {
        let hash = self.expected.first()?.hash();
        Some(Fingerprint::of(hash, self.certificate.as_ref()?))
    }

    /// Whether there are keys and the far side is not known to need anything again: no retransmission
    /// is pending.
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Connected && self.retry.is_none()
    }

    /// What is to be done next. Drain it until [`Output::Timeout`] after each call that takes `&mut self`.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        self.outputs = VecDeque::new();
        Output::Timeout(self.next_timeout())
    }

    /// Lets `dimpl` do something and gathers what comes of it.
    fn drive(&mut self, now: Instant, step: impl FnOnce(&mut Dtls) -> Result<(), Error>) {
        let Some(mut dtls) = self.dtls.take() else { return };
        let outcome = step(&mut dtls);
        let closed = self.gather(&mut dtls, now);
        self.dtls = Some(dtls);
        if self.phase != Phase::Over {
            self.conclude();
        }
        if closed {
            self.close_by_peer();
        }
        if let Err(error) = outcome {
            self.handle_error(error);
        }
        self.shed();
    }

    /// Gives the memory back that only the handshake needed: most of it, for as long as the call lasts.
    fn shed(&mut self) {
        let settled = self.is_settled();
        if let Some(dtls) = self.dtls.as_mut().filter(|_| settled) {
            dtls.shed();
        }
    }

    /// Moves `dimpl`'s outputs over; says whether the far side has closed.
    fn gather(&mut self, dtls: &mut Dtls, now: Instant) -> bool {
        let mut closed = false;
        let mut buffer = vec![0; BUFFER];
        loop {
            match dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(bytes) => {
                    self.outputs.push_back(Output::Datagram(bytes.into()));
                }
                dimpl::Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                dimpl::Output::PeerCert(der) => self.certificate = Some(der.to_vec()),
                dimpl::Output::KeyingMaterial(material, profile) => {
                    self.keys = Suite::from_profile(profile)
                        .and_then(|suite| SrtpKeys::split(suite, self.role, &material));
                }
                dimpl::Output::Connected => self.established = true,
                dimpl::Output::CloseNotify => closed = true,
                dimpl::Output::Timeout(at) => {
                    self.retry = (at < now + NEVER).then_some(at);
                    return closed;
                }
                _ => {}
            }
        }
    }

    /// Compares certificate and description as soon as both are here, and gives the keys out after that.
    fn conclude(&mut self) {
        if self.phase != Phase::Shaking || self.expected.is_empty() {
            return;
        }
        let Some(certificate) = &self.certificate else { return };
        if !self.expected.iter().any(|fingerprint| fingerprint.matches(certificate)) {
            return self.fail(DtlsError::FingerprintMismatch);
        }
        if !self.established {
            return;
        }
        let (Some(keys), Some(version)) = (self.keys.take(), self.version()) else {
            return self.fail(DtlsError::NoSrtpProfile);
        };
        self.phase = Phase::Connected;
        self.deadline = None;
        self.certificate = None;
        self.outputs.push_back(Output::Connected { keys, version });
    }

    fn version(&self) -> Option<Version> {
        match self.dtls.as_ref()?.protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some(Version::Dtls12),
            ProtocolVersion::DTLS1_3 => Some(Version::Dtls13),
            _ => None,
        }
    }

    fn handle_error(&mut self, error: Error) {
        // Reported before anything has changed: the client goes on waiting for a ServerHello.
        let noise =
            Error::UnexpectedMessage(UnexpectedMessageError::UnrecognizedAutoServerResponse);
        if error == noise {
            return;
        }
        let alert = matches!(error, Error::SecurityError(SecurityError::FatalAlert { .. }));
        match self.phase {
            Phase::Shaking if Versions::refused(&error) => {
                self.fail(DtlsError::Version(self.versions));
            }
            Phase::Shaking => self.fail(error.into()),
            Phase::Connected if alert => self.close_by_peer(),
            Phase::Connected => self.retire(),
            Phase::Over => {}
        }
    }

    fn close_by_peer(&mut self) {
        match self.phase {
            Phase::Shaking => self.fail(DtlsError::Alert(CLOSE_NOTIFY)),
            Phase::Connected => {
                self.outputs.push_back(Output::Closed);
                self.phase = Phase::Over;
                self.retire();
            }
            Phase::Over => {}
        }
    }

    /// A far side with a wrong certificate hears no more, not even what is queued.
    fn fail(&mut self, error: DtlsError) {
        self.phase = Phase::Over;
        self.keys = None;
        self.retire();
        if error == DtlsError::FingerprintMismatch {
            self.outputs.clear();
        }
        self.outputs.push_back(Output::Failed(error));
    }

    fn retire(&mut self) {
        self.dtls = None;
        self.retry = None;
    }

    fn next_timeout(&self) -> Option<Instant> {
        match (self.retry, self.deadline) {
            _ if self.dtls.is_none() => None,
            (Some(retry), Some(deadline)) => Some(retry.min(deadline)),
            (retry, deadline) => retry.or(deadline),
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl From<Error> for DtlsError {
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout(_) => Self::Timeout,
            Error::SecurityError(SecurityError::FatalAlert { description }) => {
                Self::Alert(description)
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// How long a handshake may take once both descriptions are here.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// When a flight is sent again for the first time; a second, as RFC 6347 §4.2.4.1 has it, is long to wait for a call.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// An instant further away than this is `dimpl`'s way of saying never.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// Holds any output of `dimpl`; it is asked for more if not.
const BUFFER: usize = 2048;
/// The alert's number (RFC 8446 §6).
const CLOSE_NOTIFY: u8 = 0;
