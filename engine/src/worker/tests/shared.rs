//! A port that all workers have: whoever takes a packet in, its owner gets it.

use super::*;
use crate::command::PuntKind;
use crate::gate::method;
use crate::stun;

const IDS: [WorkerId; 2] = [WorkerId(0), WorkerId(1)];
const SHARED: SocketId = SocketId(3);
/// A ufrag of worker 1.
const UFRAG: &str = "01ufrag";

/// Worker 1 has a leg behind ICE on the shared port; all comes in at worker 0.
struct Two {
    workers: [Bare; 2],
    far: Far,
}

impl Two {
    fn new() -> Self {
        let mut workers = IDS.map(|id| Bare::new(id, 8, 256).unwrap());
        let [one, other] = &mut workers;
        one.join(other);
        for worker in &mut workers {
            let share = Command::ShareSockets { sockets: SHARED.0..SHARED.0 + 1 };
            worker.apply(share).0.unwrap();
        }
        let far = Far::secure(SHARED.0, 4000, Suite::AesCm128HmacSha1_80).with_ice(UFRAG);
        let state = crate::leg::Leg::new(&bridge::spec(&far, 0), || bridge::RANDOM).unwrap();
        let add = Command::AddLeg { leg: bridge::leg(IDS[1], 0), state };
        workers[1].apply(add).0.unwrap();
        Self { workers, far }
    }

    /// What is sent comes in at worker 0; both finish their turns.
    fn receive(&mut self, packet: &[u8]) -> [Vec<Sent>; 2] {
        assert!(self.workers[0].receive(SHARED, self.far.remote, packet, START));
        self.workers.iter_mut().for_each(|worker| worker.pass(START));
        assert_eq!(self.workers.each_ref().map(Bare::frames_lost), [0, 0]);
        self.workers.each_mut().map(sent)
    }

    fn check(&self) -> Vec<u8> {
        let mut buffer = [0; 500];
        let len = self.far.check(&mut buffer, 1, true).unwrap();
        buffer[..len].to_vec()
    }
}

#[test]
fn a_check_finds_the_worker_that_its_ufrag_names_and_the_rest_follows() {
    let mut two = Two::new();
    let dtls = [22, 254, 253, 0, 1];
    two.receive(&dtls);
    assert!(two.workers[1].punt().is_none(), "nobody has heard of it");
    two.receive(&two.check());
    let punt = two.workers[1].punt().unwrap();
    assert_eq!((punt.kind, punt.socket, punt.remote), (PuntKind::Stun, SHARED, two.far.remote));
    assert!(two.workers[0].punt().is_none());

    let transport = TransportId { leg: bridge::leg(IDS[1], 0), index: 0 };
    let (socket, remote, nominated, generation) = (SHARED, two.far.remote, true, 0);
    let pair = Command::InstallPair { transport, socket, remote, nominated, generation };
    two.workers[1].apply(pair).0.unwrap();
    let [here, there] = two.receive(&two.check());
    assert!(here.is_empty());
    assert_eq!((there[0].socket, there[0].remote), (SHARED, remote), "the owner answers");
    two.receive(&dtls);
    assert_eq!(two.workers[1].punt().unwrap().kind, PuntKind::Dtls);
    let mut media = [0; 200];
    let len = audio(0, 1).write(&mut media);
    let len = two.far.seal(&mut media, len).unwrap();
    two.receive(&media[..len]);
    assert_eq!(two.workers[1].counters().drops.of(DropReason::NoSink), 1, "it is the leg's");
}

#[test]
fn what_nobody_owns_stays_where_it_came_in() {
    let mut two = Two::new();
    let plain = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[0; 12]].concat();
    let [here, there] = two.receive(&plain);
    assert_eq!((here.len(), there.len()), (1, 0));
    // A user of TURN may be called anything.
    let mut out = [0; 100];
    let (class, id) = (stun::Class::Request, stun::TransactionId([4; 12]));
    let mut ask = stun::Writer::begin(&mut out, class, method::ALLOCATE, id).unwrap();
    ask.attribute(stun::attribute::USERNAME, &[b"01user"]).unwrap();
    let len = ask.len();
    two.receive(&out[..len]);
    assert_eq!(two.workers[0].counters().drops.of(DropReason::StunUnsolicited), 1);
    two.far.ufrag = Some("00nobody");
    two.receive(&two.check());
    assert_eq!(two.workers[0].counters().drops.of(DropReason::StunUnknownUfrag), 1);
    two.far.ufrag = Some("01nobody");
    two.receive(&two.check());
    assert_eq!(two.workers[1].counters().drops.of(DropReason::StunUnknownUfrag), 1);
}
