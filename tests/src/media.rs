//! One side's media where the signalling is another's: G.711 on a socket of the test, plain or with SDES
//! keys.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use srtp::Session;

use crate::phone::{receive, sessions};

/// Longest wait for a packet.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket that media is sent from and comes to.
pub struct Media {
    socket: UdpSocket,
    keys: Option<(Session, Session)>,
}

/// A packet that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its source.
    pub ssrc: u32,
    /// Its number.
    pub number: u16,
    /// The first byte of its payload.
    pub sound: u8,
}

/// What [`Media`] sends: silence.
pub const SILENCE: u8 = 0xff;

/// How many packets came to be reflected.
#[derive(Default)]
pub struct Heard(Arc<AtomicU32>);

impl Media {
    /// One on a port that is free.
    ///
    /// # Panics
    /// If none is.
    #[expect(clippy::new_without_default, reason = "it takes a port")]
    pub fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        Self { socket, keys: None }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }

    /// The source that it sends as.
    pub fn ssrc(&self) -> u32 {
        self.port().into()
    }

    /// Protects with AES_CM_128_HMAC_SHA1_80 from now on: its own and the server's key and salt.
    pub fn take_keys(&mut self, own: &[u8], servers: &[u8]) {
        self.keys = Some(sessions(own, servers));
    }

    /// Its description with this protocol and these further lines.
    pub fn describe(&self, protocol: &str, more: &str) -> String {
        let port = self.port();
        format!(
            "v=0\r\no=- {port} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} {protocol} 0\r\n{more}"
        )
    }

    /// Sends 20 ms of silence.
    pub fn send(&mut self, number: u16, to: SocketAddr) {
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend((160 * u32::from(number)).to_be_bytes());
        packet.extend(self.ssrc().to_be_bytes());
        packet.extend([SILENCE; 160]);
        if let Some((outbound, _)) = &mut self.keys {
            outbound.protect(&mut packet).expect("it is protected");
        }
        self.socket.send_to(&packet, to).expect("it is sent");
    }

    /// Waits for a packet.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn receive(&mut self) -> Received {
        self.try_receive(PATIENCE).expect("a packet comes")
    }

    /// The packet that comes within this time.
    ///
    /// # Panics
    /// If it is not what it should be.
    #[track_caller]
    pub fn try_receive(&mut self, patience: Duration) -> Option<Received> {
        let mut packet = receive(&self.socket, patience)?;
        if let Some((_, inbound)) = &mut self.keys {
            inbound.unprotect(&mut packet).expect("it is authentic");
        }
        assert_eq!((packet.len(), packet[1] & 0x7f), (172, 0));
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes(packet[8..12].try_into().expect("4 bytes"));
        Some(Received { ssrc, number, sound: packet[12] })
    }

    /// Sends back whatever G.711 comes, from a source of its own, until the end of the test.
    pub fn reflect(self) -> Heard {
        let heard = Heard::default();
        let count = Arc::clone(&heard.0);
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                if length > 12 && buffer[1] & 0x7f == 0 {
                    count.fetch_add(1, Ordering::Relaxed);
                    buffer[8..12].copy_from_slice(b"echo");
                    let _ = self.socket.send_to(&buffer[..length], from);
                }
            }
        });
        heard
    }
}

impl Heard {
    /// Packets so far.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where a description wants its first media.
///
/// # Panics
/// If it does not say.
#[track_caller]
pub fn media_of(sdp: &str) -> SocketAddr {
    let line = |start: &str| {
        let line = sdp.lines().find_map(|line| line.trim().strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start} in {sdp}")).to_owned()
    };
    let media = line("m=audio ");
    let port = media.split(' ').next().and_then(|port| port.parse().ok()).expect("a port");
    // The family says no more than the address.
    let connection = line("c=IN IP");
    let address = connection.split(' ').nth(1).and_then(|address| address.parse().ok());
    SocketAddr::new(address.expect("an address"), port)
}
