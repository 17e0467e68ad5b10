//! A thread that owns many calls: their sockets, their clocks, their counts.
//!
//! What is due within a tick goes out with one submit, so that the station's sleeps and wakes stay
//! few; the flows' own times are spread over their intervals, so calls do not send in step.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use causeway_engine::command::SocketId;
use causeway_engine::demux::{Class, classify};
use causeway_engine::packet::Nanos;
use causeway_engine::sys::cpu;
use causeway_engine::sys::probe::Probed;
use hdrhistogram::Histogram;

use crate::agenda::Agenda;
use crate::board::{Board, histogram};
use crate::bundle::Bundle;
use crate::call::{Call, DRAIN, Outcome, SET_UP, State};
use crate::plan::SLEEP_MIN;
use crate::webrtc::Step;
use crate::wire::Wire;

/// A packet that leaves later than this after its time is late: a quarter of an audio packet's time.
pub const LATE: Duration = Duration::from_millis(5);
/// Packets that are overdue by more are not sent any more.
const OVERDUE: Duration = Duration::from_millis(200);
/// Longest time without a look at the orders.
const REST: Duration = Duration::from_millis(10);
/// Time between two reports of a bundle, least.
const REPORTS_EVERY: Duration = Duration::from_secs(1);
/// Time between two looks at what is shown.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// What a station is told.
pub enum Order {
    /// Takes a call with its bundles' sockets.
    Take(Box<Call>, Vec<UdpSocket>),
    /// Ends a call.
    End(u32),
}

/// What a station tells.
pub enum News {
    /// Media flows both ways.
    Up(u32),
    /// A call is over.
    Over(Box<Outcome>),
}

/// What a station did, told when it ends.
#[derive(Debug)]
pub struct Punctuality {
    /// How long after their time packets left, in microseconds.
    pub lateness: Histogram<u64>,
    /// Packets that left later than [`LATE`].
    pub late: u64,
    /// Packets that were not sent: overdue, without room, or refused by the kernel.
    pub unsent: u64,
}

/// A running station; ends when its orders do.
pub struct Station {
    /// What it shows.
    pub board: Arc<Board>,
    orders: Sender<Order>,
    thread: JoinHandle<io::Result<Punctuality>>,
}

impl Station {
    /// Starts a station that tells `news`, of calls that have so many `sockets` each, or fewer.
    ///
    /// # Errors
    /// What the kernel says to the thread.
    pub fn start(
        name: String,
        core: Option<usize>,
        probed: Arc<Probed>,
        tick: Duration,
        sockets: usize,
        news: Sender<News>,
    ) -> io::Result<Self> {
        let (orders, taken) = channel();
        let board = Arc::new(Board::default());
        let shown = Arc::clone(&board);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Some(core) = core {
                cpu::pin(core)?;
            }
            Floor::new(Wire::new(&probed)?, tick, Seating(sockets), shown, news).run(&taken)
        })?;
        Ok(Self { board, orders, thread })
    }

    /// Tells it to do something; `false` if it has ended.
    pub fn order(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    /// Ends it.
    ///
    /// # Errors
    /// What stopped it before.
    pub fn leave(self) -> io::Result<Punctuality> {
        drop(self.orders);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a station panicked")))
    }
}

/// Which bundle of which call; the number tells calls apart that had the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    place: usize,
    number: u32,
    bundle: usize,
}

/// How sockets are numbered: by their call's place and their bundle's in it. So many a call may have.
#[derive(Debug, Clone, Copy)]
struct Seating(usize);

impl Seating {
    fn socket(self, seat: Seat) -> SocketId {
        SocketId((self.0 * seat.place + seat.bundle) as u16)
    }

    /// The call's place and the bundle's.
    fn places(self, socket: SocketId) -> (usize, usize) {
        let number = usize::from(socket.0);
        (number / self.0, number % self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A burst of a flow.
    Burst(Seat, usize),
    /// A bundle's transport.
    Tend(Seat),
    /// A bundle's reports.
    Reports(Seat),
    /// The end of what the call is in.
    Deadline(Seat, State),
}

/// What the thread works on.
struct Floor {
    wire: Wire,
    tick: Duration,
    board: Arc<Board>,
    news: Sender<News>,
    agenda: Agenda<Due>,
    seating: Seating,
    calls: Vec<Option<Call>>,
    latest: Histogram<u64>,
    lateness: Histogram<u64>,
    late: u64,
    overdue: u64,
    /// Missing and wrong packets of calls that are over.
    before: (u64, u64),
    show_at: Instant,
}

impl Floor {
    fn new(
        wire: Wire,
        tick: Duration,
        seating: Seating,
        board: Arc<Board>,
        news: Sender<News>,
    ) -> Self {
        Self {
            wire,
            tick,
            board,
            news,
            agenda: Agenda::default(),
            seating,
            calls: Vec::new(),
            latest: histogram(),
            lateness: histogram(),
            late: 0,
            overdue: 0,
            before: (0, 0),
            show_at: Instant::now(),
        }
    }

    fn run(mut self, orders: &Receiver<Order>) -> io::Result<Punctuality> {
        loop {
            match orders.try_recv() {
                Ok(order) => {
                    self.obey(order)?;
                    continue;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
            self.do_what_is_due();
            self.receive()?;
            self.bury();
            self.show();
        }
        let unsent = self.overdue + self.wire.unsent();
        Ok(Punctuality { lateness: self.lateness, late: self.late, unsent })
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Take(call, sockets) => self.take(*call, sockets),
            Order::End(number) => {
                let place = self
                    .calls
                    .iter()
                    .position(|call| call.as_ref().is_some_and(|call| call.number == number));
                if let Some(place) = place {
                    self.end(place);
                }
                Ok(())
            }
        }
    }

    fn take(&mut self, call: Call, sockets: Vec<UdpSocket>) -> io::Result<()> {
        let place = self.calls.iter().position(Option::is_none).unwrap_or(self.calls.len());
        if place == self.calls.len() {
            self.calls.push(None);
        }
        let deadline = call.asked + SET_UP;
        let seat = Seat { place, number: call.number, bundle: 0 };
        self.agenda.note(deadline, Due::Deadline(seat, State::Connecting));
        self.calls[place] = Some(call);
        for (bundle, udp) in sockets.into_iter().enumerate() {
            let seat = Seat { bundle, ..seat };
            self.wire.add(self.seating.socket(seat), udp)?;
            self.follow(seat);
        }
        Ok(())
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        while let Some((at, due)) = self.agenda.due(now) {
            match due {
                Due::Burst(seat, flow) => self.burst(seat, flow),
                Due::Tend(seat) => self.tend(seat, at, now),
                Due::Reports(seat) => self.report(seat, now),
                Due::Deadline(seat, state) => self.end_of(seat, state),
            }
        }
    }

    /// Sends a flow's burst and notes the next.
    fn burst(&mut self, seat: Seat, flow: usize) {
        let Some(call) = living(&mut self.calls, seat) else { return };
        let (counted, bundle) = (call.state == State::Up, &mut call.bundles[seat.bundle]);
        let (Some(remote), true) = (bundle.transport.remote(), call.state <= State::Up) else {
            return;
        };
        let (transport, flow_at) = (&mut bundle.transport, flow);
        let flow = &mut bundle.flows[flow];
        let behind = Instant::now().saturating_duration_since(flow.next);
        if behind > OVERDUE {
            self.overdue += flow.stream.burst as u64;
        } else {
            let count = flow.stream.burst as u64;
            self.lateness.saturating_record_n(behind.as_micros() as u64, count);
            if behind > LATE {
                self.late += count;
                self.board.late.add(count);
            }
            for place in 1..=flow.stream.burst {
                let last = place == flow.stream.burst;
                let sent = self.wire.send(self.seating.socket(seat), remote, |out| {
                    let len = flow.write(out, last, counted, cpu::clock_realtime().0);
                    transport.protect_rtp(out, len)
                });
                self.board.sent.add(sent.into());
            }
        }
        flow.advance();
        self.agenda.note(flow.next, Due::Burst(seat, flow_at));
    }

    fn tend(&mut self, seat: Seat, at: Instant, now: Instant) {
        let Some(call) = living(&mut self.calls, seat) else { return };
        let bundle = &mut call.bundles[seat.bundle];
        if bundle.tend_at == Some(at) {
            bundle.tend_at = None;
            bundle.transport.tend(now);
            self.follow(seat);
        }
    }

    fn report(&mut self, seat: Seat, now: Instant) {
        let Some(call) = living(&mut self.calls, seat) else { return };
        let bundle = &mut call.bundles[seat.bundle];
        if let Some(remote) = bundle.transport.remote() {
            let wall = cpu::clock_realtime();
            self.wire
                .send(self.seating.socket(seat), remote, |out| bundle.write_reports(out, wall));
        }
        self.agenda.note(now + reports_every(bundle), Due::Reports(seat));
    }

    /// Waits for datagrams until the next thing is due, and looks at them.
    fn receive(&mut self) -> io::Result<()> {
        let until = |next: Instant| next.saturating_duration_since(Instant::now());
        let next = self.agenda.next().map_or(REST, |next| until(next).clamp(self.tick, REST));
        // A tick that is too short for a sleep is spun away.
        let next = (self.tick >= SLEEP_MIN).then_some(next);
        let mut followed = Vec::new();
        let (calls, board, latest) = (&mut self.calls, &self.board, &mut self.latest);
        let seating = self.seating;
        let mut news = Vec::new();
        self.wire.turn(next, |socket, from, bytes, at| {
            let (place, bundle) = seating.places(socket);
            let Some(call) = calls.get_mut(place).and_then(Option::as_mut) else { return };
            let seat = Seat { place, number: call.number, bundle };
            let bundle = &mut call.bundles[bundle];
            match classify(bytes) {
                Ok(Class::Rtp) => {
                    let Some(heard) = bundle.receive(bytes, arrival(at)) else { return };
                    board.received.add(1);
                    if heard.counted {
                        call.latency.saturating_record(heard.latency);
                        latest.saturating_record(heard.latency);
                    }
                    if heard.first && call.state == State::Connecting && call.hears_all() {
                        call.state = State::Up;
                        call.set_up = Some(call.asked.elapsed());
                        news.push(call.number);
                    }
                }
                Ok(Class::Rtcp) => bundle.receive_reports(bytes),
                Ok(Class::Stun) => {
                    bundle.transport.handle_stun(Instant::now(), from, bytes);
                    followed.push(seat);
                }
                Ok(Class::Dtls) => {
                    bundle.transport.handle_dtls(Instant::now(), bytes);
                    followed.push(seat);
                }
                _ => bundle.faults.unreadable += 1,
            }
        })?;
        for number in news {
            // Whoever does not listen any more is about to end the station.
            let _ = self.news.send(News::Up(number));
        }
        followed.into_iter().for_each(|seat| self.follow(seat));
        Ok(())
    }

    /// Does what a bundle's transport wants.
    fn follow(&mut self, seat: Seat) {
        let Some(call) = living(&mut self.calls, seat) else { return };
        let bundle = &mut call.bundles[seat.bundle];
        let (mut secured, mut over) = (false, None);
        while let Some(step) = bundle.transport.step() {
            match step {
                Step::Send(remote, bytes) => {
                    self.wire.send(self.seating.socket(seat), remote, |out| {
                        out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                        Some(bytes.len())
                    });
                }
                Step::Secured => secured = true,
                Step::Over(why) => over = Some(why),
            }
        }
        if let Some(at) = bundle.transport.wake_at()
            && bundle.tend_at.is_none_or(|known| at < known)
        {
            bundle.tend_at = Some(at);
            self.agenda.note(at, Due::Tend(seat));
        }
        if secured {
            self.open(seat);
        }
        if let Some(why) = over {
            self.fail(seat, why);
        }
    }

    /// A bundle has its keys: its flows start, each at its own place within its interval.
    fn open(&mut self, seat: Seat) {
        let Some(call) = living(&mut self.calls, seat) else { return };
        let (now, bundle) = (Instant::now(), &mut call.bundles[seat.bundle]);
        bundle.secured = true;
        for (place, flow) in bundle.flows.iter_mut().enumerate() {
            flow.next = now + flow.stream.every.mul_f64(spread(flow.id));
            self.agenda.note(flow.next, Due::Burst(seat, place));
        }
        let phase = spread(bundle.flows.first().map_or(0, |flow| flow.id));
        self.agenda.note(now + reports_every(bundle).mul_f64(phase), Due::Reports(seat));
    }

    fn fail(&mut self, seat: Seat, why: String) {
        let Some(call) = living(&mut self.calls, seat) else { return };
        // That the node closes a call that is ending is no failure.
        if call.state <= State::Up {
            call.failure = Some(format!("leg {}: {why}", seat.bundle % 2 + 1));
            self.close(seat.place);
        }
    }

    fn end_of(&mut self, seat: Seat, state: State) {
        let Some(call) = living(&mut self.calls, seat) else { return };
        match state {
            State::Connecting if call.state == State::Connecting => {
                call.failure = Some(format!("{} within {SET_UP:?}", unheard(call)));
                self.close(seat.place);
            }
            State::Draining if call.state == State::Draining => self.close(seat.place),
            _ => {}
        }
    }

    /// Stops a call's flows, and gives what is on its way time to come.
    fn end(&mut self, place: usize) {
        let Some(call) = &mut self.calls[place] else { return };
        if call.state <= State::Up {
            call.state = State::Draining;
            let seat = Seat { place, number: call.number, bundle: 0 };
            self.agenda.note(Instant::now() + DRAIN, Due::Deadline(seat, State::Draining));
        }
    }

    fn close(&mut self, place: usize) {
        let Some(call) = &mut self.calls[place] else { return };
        call.state = State::Closing;
        for bundle in 0..call.bundles.len() {
            let seat = Seat { place, number: call.number, bundle };
            self.wire.remove(self.seating.socket(seat));
        }
    }

    /// Reports the calls whose sockets are gone.
    fn bury(&mut self) {
        while let Some((socket, drops)) = self.wire.closed() {
            let (place, bundle) = self.seating.places(socket);
            let Some(call) = self.calls.get_mut(place).and_then(Option::as_mut) else { continue };
            call.bundles[bundle].socket_drops = Some(drops);
            if call.bundles.iter().all(|bundle| bundle.socket_drops.is_some())
                && let Some(call) = self.calls[place].take()
            {
                self.before.0 += call.missing();
                self.before.1 += call.wrong();
                let _ = self.news.send(News::Over(Box::new(call.outcome())));
            }
        }
    }

    fn show(&mut self) {
        let now = Instant::now();
        if now >= self.show_at {
            self.show_at = now + SHOW_EVERY;
            let sum = |of: fn(&Call) -> u64| self.calls.iter().flatten().map(of).sum::<u64>();
            self.board.missing.set(self.before.0 + sum(Call::missing));
            self.board.wrong.set(self.before.1 + sum(Call::wrong));
            self.board.show(&mut self.latest);
        }
    }
}

/// A bundle that hardly sends has hardly anything to report.
fn reports_every(bundle: &Bundle) -> Duration {
    let quickest = bundle.flows.iter().map(|flow| flow.stream.every).min();
    REPORTS_EVERY.max(quickest.unwrap_or_default())
}

fn living(calls: &mut [Option<Call>], seat: Seat) -> Option<&mut Call> {
    let call = calls.get_mut(seat.place)?.as_mut();
    call.filter(|call| call.number == seat.number && call.state < State::Closing)
}

/// Where in its interval a flow has its place: multiples of the golden ratio spread evenly however
/// many there are.
fn spread(id: u32) -> f64 {
    (f64::from(id) * 0.618_033_988_749_895).fract()
}

/// When the kernel received it; now if it did not say.
fn arrival(at: Nanos) -> Nanos {
    if at == Nanos::default() { cpu::clock_realtime() } else { at }
}

fn unheard(call: &Call) -> &'static str {
    let all_secured = call.bundles.iter().all(|bundle| bundle.secured);
    if all_secured { "media did not come both ways" } else { "a leg did not finish ICE and DTLS" }
}
