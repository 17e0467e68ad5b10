//! DTLS-SRTP with peers whose certificate holds an RSA key, as those of baresip, FreeSWITCH and many a
//! session border controller: OpenSSL's own `s_client` and `s_server` shake hands with a
//! [`Handshake`] over loopback, and what they export must be the node's keys (RFC 5764 §4.2).

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use causeway_control::dtls::{
    DtlsError, Fingerprint, Handshake, Hash, Identity, Output, Role, SrtpKeys, Suite, Version,
    Versions,
};
use causeway_tests::peer::PATIENCE;
use causeway_tests::requires;
use proptest::prelude::*;

const ROLES: [Role; 2] = [Role::Passive, Role::Active];
const CM_80: &str = "SRTP_AES128_CM_SHA1_80";
const CM_32: &str = "SRTP_AES128_CM_SHA1_32";
const GCM_128: &str = "SRTP_AEAD_AES_128_GCM";

#[test]
fn a_peer_with_an_rsa_certificate_gets_the_same_keys_in_either_role() {
    requires!(OpenSsl);
    let far = Far::new("rsa:2048");
    for role in ROLES {
        for versions in [Versions::Both, Versions::Only12] {
            let shaken = far.shake(role, versions);
            assert_eq!(shaken.agreed(), (Suite::AesCm128HmacSha1_80, Version::Dtls12));
            assert!(shaken.said("Extended master secret: yes") || role == Role::Active);
        }
    }
    let far = Far { profile: GCM_128, ..far };
    for role in ROLES {
        assert_eq!(far.shake(role, Versions::Both).agreed().0, Suite::AeadAes128Gcm, "{role:?}");
    }
}

#[test]
fn an_rsa_key_signs_by_any_scheme_that_is_offered() {
    requires!(OpenSsl);
    for scheme in
        ["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512", "rsa_pss_rsae_sha256"]
    {
        let signs = format!("ECDSA+SHA256:{scheme}");
        let far = Far { more: vec!["-sigalgs".into(), signs], ..Far::new("rsa:2048") };
        for role in ROLES {
            far.shake(role, Versions::Both).agreed();
        }
    }
}

#[test]
fn a_certificate_that_fills_several_datagrams_is_put_together() {
    requires!(OpenSsl);
    let names: Vec<_> = (0..200).map(|n| format!("DNS:border-{n}.carrier.example")).collect();
    let names = format!("subjectAltName={}", names.join(","));
    let mtu = ["-mtu", "1200"].map(str::to_owned).to_vec();
    let far = Far { more: mtu, ..Far::with("rsa:4096", &["-addext", &names]) };
    assert!(far.certificate.len() > 4096, "larger than the buffer for outputs");
    for role in ROLES {
        far.shake(role, Versions::Both).agreed();
    }
}

#[test]
fn an_ecdsa_certificate_still_does() {
    requires!(OpenSsl);
    let far = Far::with("ec", &["-pkeyopt", "ec_paramgen_curve:P-256"]);
    for role in ROLES {
        assert_eq!(far.shake(role, Versions::Both).agreed().1, Version::Dtls12, "{role:?}");
    }
}

#[test]
fn a_peer_without_extended_master_secret_gets_the_same_keys() {
    requires!(OpenSsl);
    let far = Far { extended: false, ..Far::new("rsa:2048") };
    for role in ROLES {
        let shaken = far.shake(role, Versions::Both);
        shaken.agreed();
        assert!(shaken.said("Extended master secret: no") || role == Role::Active);
    }
}

#[test]
fn a_client_that_has_nothing_but_the_short_tag_gets_it() {
    requires!(OpenSsl);
    let far = Far { profile: CM_32, ..Far::new("rsa:2048") };
    let shaken = far.shake(Role::Passive, Versions::Both);
    assert_eq!(shaken.agreed().0, Suite::AesCm128HmacSha1_32);
    let both = format!("{CM_32}:{CM_80}");
    let far = Far { profile: &both, ..far };
    assert_eq!(far.shake(Role::Passive, Versions::Both).agreed().0, Suite::AesCm128HmacSha1_80);
}

#[test]
fn a_server_is_not_offered_the_short_tag() {
    requires!(OpenSsl);
    let far = Far { profile: CM_32, ..Far::new("rsa:2048") };
    let shaken = far.shake(Role::Active, Versions::Both);
    assert_eq!(shaken.outcome.unwrap_err(), DtlsError::NoSrtpProfile);
}

#[test]
fn another_rsa_certificate_than_the_descriptions_gets_no_keys() {
    requires!(OpenSsl);
    let (far, named) = (Far::new("rsa:2048"), Far::new("rsa:2048"));
    let fingerprint = Fingerprint::of(Hash::Sha256, &named.certificate);
    for role in ROLES {
        let shaken = far.shake_as(role, Versions::Both, fingerprint.clone());
        assert_eq!(shaken.outcome.unwrap_err(), DtlsError::FingerprintMismatch, "{role:?}");
    }
}

/// The certificate alone is public: who shows it without its key is not the one that it names.
#[test]
fn a_certificate_whose_key_did_not_sign_this_handshake_gets_no_keys() {
    requires!(OpenSsl);
    let far = Far::new("rsa:2048");
    for role in ROLES {
        let recorded = far.shake(role, Versions::Only12);
        recorded.agreed();
        let replayed = far.replay(role, &recorded.came);
        assert!(matches!(replayed, Some(DtlsError::Protocol(_))), "{role:?}: {replayed:?}");
    }
}

/// NIST SP 800-131A refuses keys below 2048 bits, and aws-lc with it.
#[test]
fn an_rsa_key_of_1024_bits_is_too_short() {
    requires!(OpenSsl);
    let lax = ["-cipher", "DEFAULT:@SECLEVEL=0"].map(str::to_owned).to_vec();
    let far = Far { more: lax, ..Far::new("rsa:1024") };
    for role in ROLES {
        let shaken = far.shake(role, Versions::Both);
        assert!(matches!(shaken.outcome, Err(DtlsError::Protocol(_))), "{role:?}");
    }
}

#[test]
fn datagrams_of_an_rsa_peer_that_were_tampered_with_are_survived() {
    requires!(OpenSsl);
    let far = Far::new("rsa:2048");
    for role in ROLES {
        let came = far.shake(role, Versions::Only12).came;
        let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
        let changes = prop::collection::vec(change, 1..4);
        proptest!(ProptestConfig::with_cases(300), |(changes in changes, cut in any::<bool>())| {
            let mut datagrams = came.clone();
            for (which, place, value) in changes {
                let datagram = which.get_mut(&mut datagrams);
                let place = place.index(datagram.len().max(1));
                match datagram.get_mut(place) {
                    Some(_) if cut => datagram.truncate(place),
                    Some(byte) => *byte ^= value,
                    None => {}
                }
            }
            far.replay(role, &datagrams);
        });
    }
}

/// OpenSSL as the far side.
struct Far<'a> {
    folder: Folder,
    certificate: Vec<u8>,
    profile: &'a str,
    extended: bool,
    more: Vec<String>,
}

/// How a handshake went.
struct Shaken {
    role: Role,
    outcome: Result<(SrtpKeys, Version), DtlsError>,
    /// The datagrams that came to the node.
    came: Vec<Vec<u8>>,
    /// What OpenSSL wrote until it had exported its keys.
    words: Vec<String>,
}

impl Far<'static> {
    /// A far side with a fresh key, of the kind that `openssl req -newkey` takes.
    fn new(key: &str) -> Self {
        Self::with(key, &[])
    }

    fn with(key: &str, more: &[&str]) -> Self {
        let folder = Folder::new();
        let (file, pem, der) = (folder.at("key.pem"), folder.at("cert.pem"), folder.at("cert.der"));
        let mut request = openssl(&["req", "-x509", "-nodes", "-subj", "/CN=peer", "-newkey", key]);
        run(request.args(more).arg("-keyout").arg(&file).arg("-out").arg(&pem));
        run(openssl(&["x509", "-outform", "DER"]).arg("-in").arg(&pem).arg("-out").arg(&der));
        fs::write(folder.at("plain.cnf"), WITHOUT_EXTENDED_MASTER_SECRET).unwrap();
        let certificate = fs::read(der).unwrap();
        Self { folder, certificate, profile: CM_80, extended: true, more: Vec::new() }
    }
}

impl Far<'_> {
    fn shake(&self, role: Role, versions: Versions) -> Shaken {
        self.shake_as(role, versions, Fingerprint::of(Hash::Sha256, &self.certificate))
    }

    fn shake_as(&self, role: Role, versions: Versions, expected: Fingerprint) -> Shaken {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (process, remote) = match role {
            Role::Passive => {
                let node = socket.local_addr().unwrap().to_string();
                (self.start(&["s_client", "-connect", &node]), None)
            }
            Role::Active => {
                let far = free_port();
                let accept = far.to_string();
                let process = self.start(&["s_server", "-Verify", "1", "-accept", &accept]);
                process.wait_for("ACCEPT");
                (process, Some(far))
            }
        };
        let identity = Identity::generate().unwrap();
        let node = Handshake::new(&identity, versions, role, vec![expected], Instant::now());
        Way { socket, remote, node, role, process }.run()
    }

    fn start(&self, what: &[&str]) -> Process {
        let (profile, gcm) = (self.profile, self.profile == GCM_128);
        let mut command = openssl(what);
        command.args(["-dtls1_2", "-use_srtp", profile, "-keymatexport", "EXTRACTOR-dtls_srtp"]);
        command.args(["-keymatexportlen", if gcm { "56" } else { "60" }]).args(&self.more);
        command.arg("-cert").arg(self.folder.at("cert.pem"));
        command.arg("-key").arg(self.folder.at("key.pem"));
        if !self.extended {
            command.env("OPENSSL_CONF", self.folder.at("plain.cnf"));
        }
        Process::start(&mut command)
    }

    /// Lets a handshake of its own take datagrams that belong to another.
    fn replay(&self, role: Role, datagrams: &[Vec<u8>]) -> Option<DtlsError> {
        let now = Instant::now();
        let identity = Identity::generate().unwrap();
        let expected = vec![Fingerprint::of(Hash::Sha256, &self.certificate)];
        let mut node = Handshake::new(&identity, Versions::Only12, role, expected, now);
        for datagram in datagrams {
            node.handle_packet(now, datagram);
        }
        loop {
            match node.poll_output() {
                Output::Connected { .. } => panic!("keys from another's signature"),
                Output::Failed(error) => return Some(error),
                Output::Timeout(_) => return None,
                Output::Datagram(_) | Output::Closed => {}
            }
        }
    }
}

impl Shaken {
    /// What was agreed on, given that both sides have the same keys, crosswise.
    fn agreed(&self) -> (Suite, Version) {
        let (keys, version) = self.outcome.as_ref().unwrap();
        let exported = self.words.iter().find_map(|line| line.trim().strip_prefix(EXPORTED));
        let exported = exported.unwrap_or_else(|| panic!("nothing exported: {:?}", self.words));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let (client, server) = match self.role {
            Role::Active => (&keys.outbound, &keys.inbound),
            Role::Passive => (&keys.inbound, &keys.outbound),
        };
        let ours = [&client.key, &server.key, &client.salt, &server.salt].map(|part| hex(part));
        assert_eq!(ours.concat(), exported.trim(), "{:?}", self.role);
        (keys.suite, *version)
    }

    fn said(&self, words: &str) -> bool {
        self.words.iter().any(|line| line.contains(words))
    }
}

/// One handshake under way.
struct Way {
    socket: UdpSocket,
    remote: Option<SocketAddr>,
    node: Handshake,
    role: Role,
    process: Process,
}

impl Way {
    fn run(mut self) -> Shaken {
        let (mut came, mut outcome) = (Vec::new(), None);
        let end = Instant::now() + PATIENCE;
        while outcome.is_none() {
            assert!(Instant::now() < end, "no end of the handshake: {:?}", self.process.heard());
            outcome = self.send();
            self.receive(&mut came);
        }
        let outcome = outcome.unwrap();
        let mut words = self.process.heard();
        // With keys, until the far side has told its own; it may ask for the last flight again.
        while outcome.is_ok() && !words.iter().any(|line| line.contains(EXPORTED)) {
            assert!(Instant::now() < end, "nothing exported: {words:?}");
            self.receive(&mut came);
            self.send();
            words.extend(self.process.heard());
        }
        Shaken { role: self.role, outcome, came, words }
    }

    fn send(&mut self) -> Option<Result<(SrtpKeys, Version), DtlsError>> {
        let mut outcome = None;
        loop {
            match self.node.poll_output() {
                Output::Datagram(bytes) => {
                    let _ = self.socket.send_to(&bytes, self.remote.unwrap());
                }
                Output::Connected { keys, version } => outcome = Some(Ok((keys, version))),
                Output::Failed(error) => outcome = Some(Err(error)),
                Output::Closed => {}
                Output::Timeout(_) => return outcome,
            }
        }
    }

    fn receive(&mut self, came: &mut Vec<Vec<u8>>) {
        let mut buffer = [0; 4096];
        match self.socket.recv_from(&mut buffer) {
            Ok((len, from)) => {
                self.remote = Some(from);
                came.push(buffer[..len].to_vec());
                self.node.handle_packet(Instant::now(), &buffer[..len]);
            }
            Err(error) => {
                let quiet = [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind());
                assert!(quiet, "{error}");
                self.node.handle_timeout(Instant::now());
            }
        }
    }
}

/// OpenSSL at work, with what it writes; it ends with the value.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        Self { child, lines }
    }

    fn wait_for(&self, word: &str) {
        while !self.lines.recv_timeout(PATIENCE).unwrap().contains(word) {}
    }

    fn heard(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("causeway-dtls-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn openssl(args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(args);
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// What stands before the exported bytes.
const EXPORTED: &str = "Keying material: ";
/// Makes OpenSSL 3 what OpenSSL before 1.1.0 is.
const WITHOUT_EXTENDED_MASTER_SECRET: &str = "\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
Options = -ExtendedMasterSecret
";
