//! What arrives on the wire: the SRTP and SRTCP indices that a host is sent from one address.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::namespace;

/// Frames of IPv4 (IEEE 802 number), in network order as the kernel wants it.
const IPV4: i32 = 0x0800_u16.to_be() as i32;
const UDP: u8 = 17;
const GLANCE: Duration = Duration::from_millis(50);

/// Numbers in the order of their arrival, by SSRC.
pub type Numbers = BTreeMap<u32, Vec<u64>>;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// SRTP: roll-overs and sequence number.
    pub rtp: Numbers,
    /// SRTCP indices.
    pub rtcp: Numbers,
}

/// A tap on a host's interfaces.
pub struct Sniffer {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Sniffer {
    /// Listens in `namespace` to what comes by UDP from `source`; SRTCP has `rtcp_tag` bytes behind its
    /// index.
    ///
    /// # Panics
    /// If it may not.
    pub fn start(namespace: &str, source: Ipv4Addr, rtcp_tag: usize) -> Self {
        let socket = namespace::inside(Some(namespace), || {
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(IPV4)));
            let socket = socket.expect("root may listen");
            socket.set_recv_buffer_size(16 << 20).expect("a buffer");
            socket.set_read_timeout(Some(GLANCE)).expect("a timeout");
            socket
        });
        let done = Arc::new(AtomicBool::new(false));
        let told = done.clone();
        let thread = thread::spawn(move || {
            let (mut seen, mut buffer) = (Seen::default(), vec![0; 65_536]);
            while !told.load(Ordering::Relaxed) {
                let Ok(len) = (&socket).read(&mut buffer) else { continue };
                if let Some(payload) = payload(&buffer[..len], source) {
                    seen.note(payload, rtcp_tag);
                }
            }
            seen
        });
        Self { done, thread }
    }

    /// Ends it.
    ///
    /// # Panics
    /// If it did.
    pub fn stop(self) -> Seen {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sniffer lives")
    }
}

fn payload(packet: &[u8], source: Ipv4Addr) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let fits = packet.get(9)? == &UDP && packet.get(12..16)? == source.octets();
    let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    if fits { packet.get(header + 8..total) } else { None }
}

impl Seen {
    fn note(&mut self, packet: &[u8], rtcp_tag: usize) {
        let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
        if packet.len() < 12 || packet[0] >> 6 != 2 {
            return;
        }
        if (192..224).contains(&packet[1]) {
            let index = packet.len().checked_sub(rtcp_tag + 4).and_then(word);
            if let (Some(ssrc), Some(index)) = (word(4), index) {
                self.rtcp.entry(ssrc).or_default().push((index & 0x7fff_ffff).into());
            }
        } else if let Some(ssrc) = word(8) {
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let numbers = self.rtp.entry(ssrc).or_default();
            let latest = numbers.last().copied().unwrap_or(u64::from(sequence) + (1 << 16));
            let step = sequence.wrapping_sub((latest & 0xffff) as u16).cast_signed();
            numbers.push(latest.wrapping_add_signed(step.into()));
        }
    }
}
