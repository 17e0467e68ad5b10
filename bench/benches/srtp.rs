//! Protect and unprotect, per suite, at a voice and a video size, by the backend that the engine was
//! compiled with: run it with `--features libsrtp` too, and compare. Beside each stands its limit: what
//! the suite's primitives cost with nothing around them.

mod limit;

use std::hint::black_box;

use causeway_engine::rtp::RtpHeader;
use causeway_engine::srtp::{BACKEND, Inbound, MasterKey, Outbound, Suite};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use self::limit::Bare;

/// Bytes of the payloads behind a 12-byte header.
const SIZES: [usize; 2] = [160, 1200];
/// Packets per criterion batch, all of one context.
const BATCH: u64 = 1024;

criterion_group!(benches, protect, unprotect);
criterion_main!(benches);

fn protect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protect");
    for (suite, size) in cases() {
        let mut sender = Sender::new(suite, size);
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{BACKEND}/{}/{size}", suite.name()), |bencher| {
            bencher.iter(|| black_box(sender.next().len()));
        });
        let (bare, mut packet) = (Bare::new(suite), room(suite, size));
        group.bench_function(format!("limit/{}/{size}", suite.name()), |bencher| {
            bencher.iter(|| bare.protect(black_box(&mut packet)));
        });
    }
}

fn unprotect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unprotect");
    for (suite, size) in cases() {
        let mut sender = Sender::new(suite, size);
        let mut receiver = Inbound::new(&master(suite));
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{BACKEND}/{}/{size}", suite.name()), |bencher| {
            bencher.iter_batched_ref(
                || sender.next().to_vec(),
                |packet| {
                    let header = RtpHeader::parse(packet).expect("the header is whole");
                    receiver.unprotect_rtp(&header, packet).expect("the packet is genuine")
                },
                BatchSize::NumIterations(BATCH),
            );
        });
        let (bare, mut packet) = (Bare::new(suite), room(suite, size));
        bare.protect(&mut packet);
        group.bench_function(format!("limit/{}/{size}", suite.name()), |bencher| {
            bencher.iter_batched_ref(
                || packet.clone(),
                |packet| bare.unprotect(packet),
                BatchSize::NumIterations(BATCH),
            );
        });
    }
}

fn cases() -> impl Iterator<Item = (Suite, usize)> {
    Suite::ALL.iter().flat_map(|&suite| SIZES.map(|size| (suite, size)))
}

/// A packet with room for what protects it.
fn room(suite: Suite, size: usize) -> Vec<u8> {
    let mut packet = vec![0; 12 + size + suite.rtp_overhead()];
    packet[0] = 0x80;
    packet
}

fn master(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &[7; 32][..suite.key_len()], &[9; 14][..suite.salt_len()])
        .expect("the lengths are the suite's")
}

/// A stream of protected packets, each in the same buffer.
struct Sender {
    context: Outbound,
    buffer: Vec<u8>,
    plain_len: usize,
    sequence: u16,
}

impl Sender {
    fn new(suite: Suite, size: usize) -> Self {
        let (buffer, plain_len) = (room(suite, size), 12 + size);
        Self { context: Outbound::new(&master(suite)), buffer, plain_len, sequence: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.buffer[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        let header = RtpHeader::parse(&self.buffer).expect("the header is whole");
        let len = self
            .context
            .protect_rtp(&header, &mut self.buffer, self.plain_len)
            .expect("the index is new");
        &self.buffer[..len]
    }
}
