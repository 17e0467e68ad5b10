//! Handshakes with `dimpl` as the far side, over a link on a virtual clock that loses, repeats and
//! reorders by a seed.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PSS_SHA256;
use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey,
};
use dimpl::{Config, ConfigBuilder, CryptoError, DtlsCertificate, SrtpProfile, certificate};

use super::*;

/// What the link does to a datagram, in percent.
#[derive(Clone, Copy, Default)]
struct Weather {
    lost: u64,
    doubled: u64,
    late: u64,
}

const CALM: Weather = Weather { lost: 0, doubled: 0, late: 0 };
const STORM: Weather = Weather { lost: 15, doubled: 15, late: 30 };

#[derive(Clone, Copy, Debug)]
enum FarVersion {
    Only12,
    Only13,
    Auto,
}

/// The far side with what it said.
struct Far {
    dtls: Dtls,
    certificate: DtlsCertificate,
    keys: Option<(Vec<u8>, SrtpProfile)>,
    node_certificate: Option<Vec<u8>>,
    closed: bool,
    /// Whether `dimpl` has reported an error, after which it has no timer.
    dead: bool,
}

struct Link {
    now: Instant,
    node: Handshake,
    far: Far,
    weather: Weather,
    random: u64,
    /// On the way: when it arrives, whether at the node, what.
    flying: Vec<(Instant, bool, Vec<u8>)>,
    connected: Option<(SrtpKeys, Version)>,
    failed: Option<DtlsError>,
    closed: usize,
}

impl Link {
    fn new(role: Role, version: FarVersion, mtu: usize) -> Self {
        let mut link = Self::undescribed(role, version, mtu);
        let expected = vec![Fingerprint::of(Hash::Sha384, &link.far.certificate.certificate)];
        link.node.set_expected(expected, link.now);
        link
    }

    fn undescribed(role: Role, version: FarVersion, mtu: usize) -> Self {
        Self::allowing(Versions::Both, role, version, mtu)
    }

    fn allowing(versions: Versions, role: Role, version: FarVersion, mtu: usize) -> Self {
        let certificate = certificate::generate_self_signed_certificate().unwrap();
        let config = Config::builder().mtu(mtu);
        Self::towards(config, certificate, versions, role, version)
    }

    fn towards(
        config: ConfigBuilder,
        certificate: DtlsCertificate,
        versions: Versions,
        role: Role,
        version: FarVersion,
    ) -> Self {
        let now = Instant::now();
        let identity = Identity::generate().unwrap();
        let config = config.use_server_cookie(false);
        let config = config.flight_start_rto(Duration::from_millis(100)).flight_retries(12);
        let config = Arc::new(config.build().unwrap());
        let mut dtls = match version {
            FarVersion::Only12 => Dtls::new_12(config, certificate.clone(), now),
            FarVersion::Only13 => Dtls::new_13(config, certificate.clone(), now),
            FarVersion::Auto => Dtls::new_auto(config, certificate.clone(), now),
        };
        dtls.set_active(role == Role::Passive);
        dtls.handle_timeout(now).unwrap();
        let far = Far {
            dtls,
            certificate,
            keys: None,
            node_certificate: None,
            closed: false,
            dead: false,
        };
        Self {
            now,
            node: Handshake::new(&identity, versions, role, Vec::new(), now),
            far,
            weather: CALM,
            random: 1,
            flying: Vec::new(),
            connected: None,
            failed: None,
            closed: 0,
        }
    }

    /// Runs until so much time has passed.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let node_timer = self.drain_node();
            let far_timer = self.drain_far();
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let next = [node_timer, far_timer, arrival].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if node_timer.is_some_and(|at| at <= self.now) {
                self.node.handle_timeout(self.now);
            }
            if far_timer.is_some_and(|at| at <= self.now) {
                self.far.dead |= self.far.dtls.handle_timeout(self.now).is_err();
            }
            self.arrive();
        }
        self.now = end;
    }

    fn arrive(&mut self) {
        let now = self.now;
        let (due, rest) = self.flying.drain(..).partition(|(at, ..)| *at <= now);
        self.flying = rest;
        let due: Vec<(Instant, bool, Vec<u8>)> = due;
        for (_, to_node, bytes) in due {
            if to_node {
                self.node.handle_packet(now, &bytes);
                self.drain_node();
            } else {
                self.far.dead |= self.far.dtls.handle_timeout(now).is_err();
                self.far.dead |= self.far.dtls.handle_packet(&bytes).is_err();
                self.drain_far();
            }
        }
    }

    fn drain_node(&mut self) -> Option<Instant> {
        loop {
            match self.node.poll_output() {
                Output::Datagram(bytes) => self.send(false, bytes.into()),
                Output::Connected { keys, version } => {
                    assert!(self.connected.replace((keys, version)).is_none(), "once");
                }
                Output::Failed(error) => {
                    assert!(self.failed.replace(error).is_none(), "once");
                }
                Output::Closed => self.closed += 1,
                Output::Timeout(at) => return at,
            }
        }
    }

    fn drain_far(&mut self) -> Option<Instant> {
        let mut buffer = [0; 2048];
        loop {
            match self.far.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(bytes) => {
                    let bytes = bytes.to_vec();
                    self.send(true, bytes);
                }
                dimpl::Output::KeyingMaterial(keys, profile) => {
                    self.far.keys = Some((keys.to_vec(), profile));
                }
                dimpl::Output::PeerCert(der) => self.far.node_certificate = Some(der.to_vec()),
                dimpl::Output::CloseNotify => self.far.closed = true,
                dimpl::Output::Timeout(at) => {
                    return (!self.far.dead && at < self.now + NEVER).then_some(at);
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, to_node: bool, bytes: Vec<u8>) {
        if self.chance(self.weather.lost) {
            return;
        }
        if self.chance(self.weather.doubled) {
            let at = self.arrival();
            self.flying.push((at, to_node, bytes.clone()));
        }
        let at = self.arrival();
        self.flying.push((at, to_node, bytes));
    }

    fn arrival(&mut self) -> Instant {
        let late = self.chance(self.weather.late);
        self.now + Duration::from_millis(if late { 40 } else { 5 })
    }

    fn chance(&mut self, percent: u64) -> bool {
        // Marsaglia's xorshift64: enough for weather.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < percent
    }

    /// Both have the same keys, crosswise, and the far side saw the certificate of the description.
    fn assert_keys_fit(&self) -> Version {
        assert_eq!(self.failed, None);
        let (keys, version) = self.connected.as_ref().expect("the node is connected");
        let (material, profile) = self.far.keys.as_ref().expect("the far side is connected");
        let far_role = if self.far.dtls.is_active() { Role::Active } else { Role::Passive };
        let suite = Suite::from_profile(*profile).unwrap();
        let far = SrtpKeys::split(suite, far_role, material).unwrap();
        assert_eq!(keys.suite, far.suite);
        assert!(keys.inbound == far.outbound && keys.outbound == far.inbound);
        assert!(keys.inbound != keys.outbound);
        *version
    }
}

const VERSIONS: [FarVersion; 3] = [FarVersion::Only12, FarVersion::Only13, FarVersion::Auto];
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn both_roles_agree_on_keys_in_every_version() {
    for role in [Role::Passive, Role::Active] {
        for version in VERSIONS {
            let mut link = Link::new(role, version, 1200);
            link.run(Duration::from_secs(2));
            let agreed = link.assert_keys_fit();
            let expected = match version {
                FarVersion::Only12 => Version::Dtls12,
                FarVersion::Only13 | FarVersion::Auto => Version::Dtls13,
            };
            assert_eq!(agreed, expected, "{role:?} {version:?}");
            link.run(MINUTE);
            assert!(link.node.is_settled(), "{role:?} {version:?}");
            assert_eq!(link.node.poll_output_timeout(), None);
        }
    }
}

/// A far side with an RSA key, which signs as DTLS 1.3 wants it (RFC 8446 §4.4.3).
fn with_rsa(role: Role, salt: &[u8]) -> Link {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let pair = DtlsCertificate {
        certificate: certificate.der().to_vec(),
        private_key: [salt, &key.serialize_der()].concat(),
    };
    let provider =
        CryptoProvider { key_provider: &RsaKeys, ..dimpl::crypto::aws_lc_rs::default_provider() };
    let config = Config::builder().mtu(1200).with_crypto_provider(provider);
    let mut link = Link::towards(config, pair, Versions::Both, role, FarVersion::Only13);
    let expected = vec![Fingerprint::of(Hash::Sha256, &link.far.certificate.certificate)];
    link.node.set_expected(expected, link.now);
    link
}

/// Loads RSA keys, which `dimpl` itself does not. A byte before the key spoils what it signs.
#[derive(Debug)]
struct RsaKeys;

#[derive(Debug)]
struct RsaKey {
    pair: KeyPair,
    spoils: bool,
}

impl KeyProvider for RsaKeys {
    fn load_private_key(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let spoils = der[0] == 0;
        let pair = KeyPair::from_pkcs8(&der[usize::from(spoils)..]).unwrap();
        Ok(Box::new(RsaKey { pair, spoils }))
    }
}

impl SigningKey for RsaKey {
    fn sign(&mut self, data: &[u8], _: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), data, &mut signature).unwrap();
        signature[100] ^= u8::from(self.spoils);
        out.clear();
        out.extend_from_slice(&signature);
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

/// DTLS 1.2 with RSA certificates is tested against OpenSSL, in `tests/tests/dtls.rs`.
#[test]
fn an_rsa_certificate_does_in_dtls_1_3_in_either_role() {
    for role in [Role::Passive, Role::Active] {
        // A certificate's length is drawn anew each time, so only a link that loses nothing is sure to end.
        for seed in [1, 7, 8] {
            let mut link = with_rsa(role, &[]);
            (link.weather, link.random) = (CALM, seed);
            link.run(HANDSHAKE_TIMEOUT);
            assert_eq!(link.assert_keys_fit(), Version::Dtls13, "{role:?} {seed}");
        }
    }
}

#[test]
fn an_rsa_signature_that_is_wrong_gets_no_keys() {
    for role in [Role::Passive, Role::Active] {
        let mut link = with_rsa(role, &[0]);
        link.run(Duration::from_secs(2));
        assert!(matches!(link.failed, Some(DtlsError::Protocol(_))), "{role:?} {:?}", link.failed);
        assert!(link.connected.is_none());
    }
}

/// A link whose node allows these versions alone, and knows the far side's fingerprint.
fn restricted(versions: Versions, role: Role, far: FarVersion) -> Link {
    let mut link = Link::allowing(versions, role, far, 1200);
    let expected = vec![Fingerprint::of(Hash::Sha256, &link.far.certificate.certificate)];
    link.node.set_expected(expected, link.now);
    link
}

#[test]
fn a_version_that_is_allowed_alone_is_the_one_that_is_agreed_on() {
    for role in [Role::Passive, Role::Active] {
        for (versions, far, agreed) in [
            (Versions::Only12, FarVersion::Only12, Version::Dtls12),
            (Versions::Only12, FarVersion::Auto, Version::Dtls12),
            (Versions::Only13, FarVersion::Only13, Version::Dtls13),
            (Versions::Only13, FarVersion::Auto, Version::Dtls13),
        ] {
            let mut link = restricted(versions, role, far);
            link.run(Duration::from_secs(2));
            assert_eq!(link.assert_keys_fit(), agreed, "{role:?} {versions:?} {far:?}");
        }
    }
}

#[test]
fn a_client_without_the_allowed_version_is_told_from_others() {
    for (versions, far, words) in [
        (Versions::Only12, FarVersion::Only13, "does not speak DTLS 1.2"),
        (Versions::Only13, FarVersion::Only12, "does not speak DTLS 1.3"),
    ] {
        let mut link = restricted(versions, Role::Passive, far);
        link.run(Duration::from_secs(2));
        assert_eq!(link.failed, Some(DtlsError::Version(versions)));
        let said = link.failed.unwrap().to_string();
        assert!(said.contains(words) && said.contains("dtls.versions"), "{said}");
    }
}

#[test]
fn a_hello_cut_anywhere_is_looked_at_without_harm() {
    let mut link = restricted(Versions::Only13, Role::Active, FarVersion::Only13);
    let Output::Datagram(hello) = link.node.poll_output() else { panic!("no ClientHello") };
    assert!(Versions::Only12.refuse(&hello));
    assert!(!Versions::Both.refuse(&hello));
    for len in 0..hello.len() {
        let whole_list = Versions::Only12.refuse(&hello[..len]);
        assert!(!whole_list || len > 13 + 12 + 34 + 4, "{len}");
    }
    let mut older = restricted(Versions::Only12, Role::Active, FarVersion::Only12);
    let Output::Datagram(hello) = older.node.poll_output() else { panic!("no ClientHello") };
    assert!(!Versions::Only12.refuse(&hello));
    assert!(Versions::Only13.refuse(&hello));
}

#[test]
fn a_server_without_the_allowed_version_ends_the_handshake() {
    for (versions, far) in
        [(Versions::Only12, FarVersion::Only13), (Versions::Only13, FarVersion::Only12)]
    {
        let mut link = restricted(versions, Role::Active, far);
        link.run(Duration::from_secs(1));
        // Fatal, protocol_version (RFC 8446 §6.2), in the clear, as servers say it.
        let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 70];
        link.node.handle_packet(link.now, &alert);
        link.run(MINUTE);
        assert_eq!(link.failed, Some(DtlsError::Version(versions)));
    }
}

impl Handshake {
    fn poll_output_timeout(&mut self) -> Option<Instant> {
        match self.poll_output() {
            Output::Timeout(at) => at,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_handshake_survives_bad_weather() {
    for seed in 1..=40u64 {
        for role in [Role::Passive, Role::Active] {
            let version = VERSIONS[seed as usize % 3];
            let mut link = Link::new(role, version, 1200);
            (link.weather, link.random) = (STORM, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            link.run(HANDSHAKE_TIMEOUT);
            assert_eq!(link.failed, None, "seed {seed} {role:?} {version:?}");
            link.weather = CALM;
            link.run(HANDSHAKE_TIMEOUT);
            link.assert_keys_fit();
        }
    }
}

/// Cuts a ClientHello into two fragments in datagrams of their own, as browsers send it.
fn split_hello(datagram: &[u8]) -> [Vec<u8>; 2] {
    let (record, rest) = datagram.split_at(13);
    let (handshake, body) = rest.split_at(12);
    assert_eq!((record[0], handshake[0]), (22, 1), "a ClientHello");
    let half = body.len() / 2;
    [(0, &body[..half], 0), (half, &body[half..], 40)].map(|(offset, part, sequence)| {
        let number = |value: usize| (value as u32).to_be_bytes();
        let mut bytes = record[..10].to_vec();
        bytes.push(sequence);
        bytes.extend(&number(12 + part.len())[2..]);
        bytes.extend(&handshake[..6]);
        bytes.extend(&number(offset)[1..]);
        bytes.extend(&number(part.len())[1..]);
        bytes.extend(part);
        bytes
    })
}

#[test]
fn a_client_hello_in_two_datagrams_is_put_together_in_either_order() {
    for version in VERSIONS {
        for order in [[0, 1, 0], [1, 0, 1]] {
            let mut link = Link::new(Role::Passive, version, 1200);
            link.drain_far();
            let (.., hello) = link.flying.pop().unwrap();
            let halves = split_hello(&hello);
            for half in order {
                link.node.handle_packet(link.now, &halves[half]);
            }
            link.drain_node();
            assert!(!link.flying.is_empty(), "{version:?} {order:?}: the node answers at once");
            link.run(Duration::from_secs(20));
            link.assert_keys_fit();
        }
    }
}

#[test]
fn a_wrong_fingerprint_gets_no_keys() {
    for role in [Role::Passive, Role::Active] {
        for version in VERSIONS {
            let mut link = Link::undescribed(role, version, 1200);
            link.node.set_expected(vec![Fingerprint::of(Hash::Sha256, b"another")], link.now);
            link.run(Duration::from_secs(2));
            assert_eq!(link.failed, Some(DtlsError::FingerprintMismatch), "{role:?} {version:?}");
            assert!(link.connected.is_none());
            assert_eq!(link.node.poll_output_timeout(), None);
        }
    }
}

#[test]
fn one_of_several_fingerprints_suffices() {
    let mut link = Link::undescribed(Role::Passive, FarVersion::Auto, 1200);
    let right = Fingerprint::of(Hash::Sha512, &link.far.certificate.certificate);
    let expected = vec![Fingerprint::of(Hash::Sha256, b"another"), right];
    link.node.set_expected(expected, link.now);
    link.run(Duration::from_secs(2));
    link.assert_keys_fit();
}

#[test]
fn keys_wait_for_the_description() {
    for role in [Role::Passive, Role::Active] {
        let mut link = Link::undescribed(role, FarVersion::Auto, 1200);
        link.run(2 * MINUTE);
        assert!(link.far.keys.is_some(), "the far side is through");
        assert!(link.connected.is_none() && link.failed.is_none());
        let fingerprint = Fingerprint::of(Hash::Sha256, &link.far.certificate.certificate);
        link.node.set_expected(vec![fingerprint], link.now);
        link.drain_node();
        link.assert_keys_fit();
    }
}

#[test]
fn a_late_description_with_another_certificate_gets_no_keys() {
    let mut link = Link::undescribed(Role::Passive, FarVersion::Auto, 1200);
    link.run(Duration::from_secs(2));
    link.node.set_expected(vec![Fingerprint::of(Hash::Sha256, b"another")], link.now);
    link.drain_node();
    assert_eq!(link.failed, Some(DtlsError::FingerprintMismatch));
    assert!(link.connected.is_none());
}

#[test]
fn a_far_side_that_says_nothing_is_given_up() {
    for role in [Role::Passive, Role::Active] {
        let mut link = Link::new(role, FarVersion::Auto, 1200);
        link.weather.lost = 100;
        link.run(HANDSHAKE_TIMEOUT - Duration::from_millis(1));
        assert_eq!(link.failed, None, "{role:?}");
        link.run(Duration::from_millis(2));
        assert_eq!(link.failed, Some(DtlsError::Timeout), "{role:?}");
    }
}

#[test]
fn garbage_in_between_kills_no_handshake() {
    let garbage: [&[u8]; 8] = [
        &[],
        &[0],
        &[22],
        &[0x80; 100],
        &[63; 60],
        &[20; 1400],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 1],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 4, 2, 0, 0, 0],
    ];
    for role in [Role::Passive, Role::Active] {
        for version in VERSIONS {
            let mut link = Link::new(role, version, 1200);
            for _ in 0..40 {
                for bytes in garbage {
                    link.node.handle_packet(link.now, bytes);
                }
                link.run(Duration::from_millis(3));
            }
            link.assert_keys_fit();
            assert_eq!(link.closed, 0);
        }
    }
}

#[test]
fn the_last_flight_is_repeated_for_a_far_side_that_missed_it() {
    for version in [FarVersion::Only12, FarVersion::Only13] {
        let mut link = Link::new(Role::Passive, version, 1200);
        while link.connected.is_none() {
            link.run(Duration::from_millis(1));
            if link.connected.is_some() {
                link.flying.clear();
            }
        }
        link.run(MINUTE);
        link.assert_keys_fit();
    }
}

#[test]
fn close_notify_ends_it_on_either_side() {
    for role in [Role::Passive, Role::Active] {
        for version in VERSIONS {
            let mut link = Link::new(role, version, 1200);
            link.run(MINUTE);
            link.far.dtls.close().unwrap();
            link.run(Duration::from_secs(1));
            assert_eq!(link.closed, 1, "{role:?} {version:?}");

            let mut link = Link::new(role, version, 1200);
            link.run(MINUTE);
            link.node.close(link.now);
            link.run(Duration::from_secs(1));
            assert!(link.far.closed, "{role:?} {version:?}");
            assert_eq!((link.closed, link.failed), (0, None));
            assert_eq!(link.node.poll_output_timeout(), None);
        }
    }
}

#[test]
fn closing_in_the_middle_is_quiet() {
    let mut link = Link::new(Role::Active, FarVersion::Auto, 1200);
    link.node.close(link.now);
    link.node.close(link.now);
    link.run(MINUTE);
    assert!(link.connected.is_none() && link.failed.is_none());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_datagram_is_survived_at_any_time(bytes: Vec<u8>, after in 0u64..40, active: bool) {
        let role = if active { Role::Active } else { Role::Passive };
        let mut link = Link::new(role, FarVersion::Auto, 1200);
        link.run(Duration::from_millis(after));
        for first in [20, 21, 22, 23, 26, 47] {
            let mut datagram = vec![first, 0xfe, 0xfd];
            datagram.extend(&bytes);
            link.node.handle_packet(link.now, &datagram);
        }
        link.run(MINUTE);
    }
}
