//! One packet's whole way through a worker without a kernel: who, unprotect, route, protect.

mod sender;

use std::hint::black_box;

use causeway_engine::command::WorkerId;
use causeway_engine::packet::Nanos;
use causeway_engine::srtp::Suite;
use causeway_engine::worker::bare::bridge;
use causeway_engine::worker::bare::{Bare, Far};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use self::sender::Sender;

const CM: Suite = Suite::AesCm128HmacSha1_80;
const GCM: Suite = Suite::AeadAes128Gcm;
const WORKER: WorkerId = WorkerId(0);
/// Bytes of RTP, header included: G.711 of 20 ms, and a full packet of video.
const SIZES: [usize; 2] = [172, 1200];
/// Packets per criterion batch, all of one call.
const BATCH: u64 = 1024;
const NOW: Nanos = Nanos::from_millis(100_000);

criterion_group!(benches, walk);
criterion_main!(benches);

fn walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("walk");
    for (name, from, to) in [("cm-cm", CM, CM), ("gcm-gcm", GCM, GCM), ("cm-gcm", CM, GCM)] {
        for size in SIZES {
            let mut call = Call::new(from, to, size);
            let mut far = call.far();
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{name}/{size}"), |bencher| {
                bencher.iter_batched_ref(
                    || far.next().to_vec(),
                    |packet| call.walk(packet),
                    BatchSize::NumIterations(BATCH),
                );
            });
        }
    }
}

/// A call between two legs on one worker.
struct Call {
    bare: Bare,
    from: Suite,
    size: usize,
}

impl Call {
    fn new(from: Suite, to: Suite, size: usize) -> Self {
        let fars = [Far::secure(0, 4000, from), Far::secure(1, 5000, to)];
        let mut bare = Bare::new(WORKER, 2, 256).expect("memory for a small pool");
        for (_, command) in bridge::commands([&fars[0], &fars[1]], [WORKER; 2]) {
            bare.apply(command).0.expect("the worker is empty");
        }
        bare.sent(|_, _, _| {});
        Self { bare, from, size }
    }

    fn far(&self) -> Sender {
        let far = Far::secure(0, 4000, self.from);
        Sender::new(far, self.size)
    }

    fn walk(&mut self, packet: &[u8]) {
        let far = ([127, 0, 0, 1], 4000).into();
        self.bare.receive(causeway_engine::command::SocketId(0), far, packet, NOW);
        let sent = self.bare.sent(|_, _, bytes| {
            black_box(bytes);
        });
        assert_eq!(sent, 1);
    }
}
