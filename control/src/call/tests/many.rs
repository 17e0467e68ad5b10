//! More than two legs: who receives whom, on which line, and who is told to need more lines.

use causeway_engine::command::{LayerChoice, SinkId, StreamId};
use causeway_engine::route::RouteMap;

use super::*;
use crate::api::{Lines, Receive, Received};
use crate::call::company::SETTLE;

/// What Chromium sends in three layers, with one more line of each kind to receive on.
const SIMULCAST: &str = include_str!("../../sdp/fixtures/chromium_156_simulcast.sdp");

/// Chromium's offer with so many more lines of each kind to receive on.
fn with_lines(audio: usize, video: usize) -> String {
    let (head, lines) = CHROMIUM.split_at(CHROMIUM.find("m=audio").unwrap());
    let (first, second) = lines.split_at(lines.find("m=video").unwrap());
    let line = |section: &str, mid: usize| -> String {
        let section = section.replace("a=sendrecv", "a=recvonly");
        let kept = section.split_inclusive('\n').filter(|line| !line.starts_with("a=ssrc"));
        let kept: String = kept.filter(|line| !line.starts_with("a=msid")).collect();
        let was = kept.lines().find(|line| line.starts_with("a=mid:")).unwrap().to_owned();
        kept.replace(&was, &format!("a=mid:{mid}"))
    };
    let more: Vec<_> = [first].repeat(audio).into_iter().chain([second].repeat(video)).collect();
    let mids: String = (0..more.len()).map(|place| format!(" {}", place + 2)).collect();
    let more: String = (2..).zip(more).map(|(mid, section)| line(section, mid)).collect();
    format!("{}{lines}{more}", head.replace("BUNDLE 0 1", &format!("BUNDLE 0 1{mids}")))
}

impl Bench {
    /// As many legs as offers, connected.
    fn gather(&mut self, offers: &[&str]) -> Vec<LegId> {
        let legs: Vec<_> = offers.iter().map(|offer| self.join(offer)).collect();
        for leg in &legs {
            self.connect(*leg);
        }
        self.events.clear();
        legs
    }

    fn receives(&self, leg: LegId) -> Vec<Received> {
        self.call.leg_view(&self.id(leg)).unwrap().receives
    }

    /// The legs that come on a leg's lines of a kind, by MID.
    fn hears(&self, leg: LegId, kind: Media) -> Vec<(String, LegId)> {
        let of = |from: &str| self.call.legs.iter().find(|leg| leg.id == from).unwrap().slot;
        let received = self.receives(leg).into_iter().filter(|received| received.kind == kind);
        received.map(|received| (received.mid, of(&received.from))).collect()
    }

    /// What each leg was told to need since it was last asked.
    fn asked(&mut self) -> Vec<(LegId, Lines)> {
        self.now += SETTLE;
        self.call.handle_timeout(self.now);
        self.drain();
        let events = std::mem::take(&mut self.events);
        let of = |id: &str| self.call.legs.iter().find(|leg| leg.id == id).unwrap().slot;
        let wants = events.iter().filter_map(|event| match event {
            What::RenegotiationNeeded { leg, receive: Some(lines), .. } => Some((of(leg), *lines)),
            _ => None,
        });
        wants.collect()
    }

    fn reoffer(&mut self, leg: LegId, offer: &str) {
        let id = self.id(leg);
        let sdp = offer.into();
        self.call.offer(self.now, 77, &id, &Description { sdp }).unwrap();
        self.drain();
    }

    fn leave(&mut self, leg: LegId) {
        let id = self.id(leg);
        self.call.remove_leg(self.now, 78, &id).unwrap();
        self.drain();
    }

    fn ask(&mut self, leg: LegId, mid: &str, asked: &Receive) -> Result<(), Problem> {
        let id = self.id(leg);
        let result = self.call.receive(self.now, 79, &id, mid, asked);
        self.drain();
        result
    }

    /// The sinks that streams of `from` are added to among what the worker was told.
    fn wired(&self, from: LegId) -> Vec<SinkId> {
        let added = self.told.iter().filter_map(|(_, command)| match command {
            Command::AddSink { stream, sink } if stream.leg == from => Some(*sink),
            _ => None,
        });
        added.collect()
    }

    /// How many wires were made so far with transport-wide numbers treated in this way.
    fn numbered(&self, how: &str) -> usize {
        let is = |map: &RouteMap| format!("{map:?}").contains(how);
        self.count(
            |told| matches!(told, Command::SetSource { source: Some(_), map, .. } if is(map)),
        )
    }
}

fn lines(audio: usize, video: usize) -> Lines {
    Lines { audio, video }
}

#[test]
fn three_legs_with_enough_lines_each_receive_the_two_others() {
    let mut bench = Bench::new();
    let offer = with_lines(1, 1);
    let legs = bench.gather(&[&offer, &offer, &offer]);
    for (place, leg) in legs.iter().enumerate() {
        let others: Vec<_> = legs.iter().filter(|other| *other != leg).copied().collect();
        let on = |mids: [&str; 2]| -> Vec<_> {
            mids.iter().map(|mid| (*mid).to_owned()).zip(others.clone()).collect()
        };
        assert_eq!(bench.hears(*leg, Media::Audio), on(["0", "2"]), "leg {place}");
        assert_eq!(bench.hears(*leg, Media::Video), on(["1", "3"]), "leg {place}");
        assert_eq!(bench.call.leg_view(&bench.id(*leg)).unwrap().wants, None);
    }
    assert_eq!(bench.asked(), []);
}

#[test]
fn legs_with_too_few_lines_are_told_once_how_many_they_need() {
    let mut bench = Bench::new();
    let legs = bench.gather(&[CHROMIUM, FIREFOX]);
    assert_eq!(bench.asked(), [], "two legs need no more");
    let third = bench.join(CHROMIUM);
    let all = [legs[0], legs[1], third];
    let view = bench.call.leg_view(&bench.id(third)).unwrap();
    assert_eq!(view.wants, Some(lines(2, 2)), "seen at once");
    assert_eq!(bench.asked(), all.map(|leg| (leg, lines(2, 2))));
    assert_eq!(bench.asked(), [], "and said once");

    bench.reoffer(third, &with_lines(1, 1));
    bench.apply();
    let heard: Vec<_> = bench.hears(third, Media::Video).into_iter().map(|(_, leg)| leg).collect();
    assert_eq!(heard, legs);
    assert_eq!(bench.call.leg_view(&bench.id(third)).unwrap().wants, None);
    assert_eq!(bench.asked(), []);
}

#[test]
fn many_that_join_at_once_make_one_request_per_leg() {
    let mut bench = Bench::new();
    let legs: Vec<_> = (0..LEGS).map(|_| bench.join(CHROMIUM)).collect();
    let asked = bench.asked();
    assert_eq!(asked, legs.iter().map(|leg| (*leg, lines(15, 15))).collect::<Vec<_>>());
    let offer = with_lines(14, 14);
    for leg in &legs {
        bench.reoffer(*leg, &offer);
        bench.apply();
    }
    assert_eq!(bench.asked(), []);
    for leg in &legs {
        assert_eq!(bench.receives(*leg).len(), 30);
    }
}

#[test]
fn a_request_that_is_half_fulfilled_is_made_again_when_more_is_needed() {
    let mut bench = Bench::new();
    let first = bench.join(CHROMIUM);
    for _ in 0..3 {
        bench.join(CHROMIUM);
    }
    let wants = |asked: Vec<(LegId, Lines)>| asked.into_iter().find(|(leg, _)| *leg == first);
    assert_eq!(wants(bench.asked()), Some((first, lines(3, 3))));
    bench.reoffer(first, &with_lines(2, 1));
    assert_eq!(wants(bench.asked()), None, "the same lines as before, and it knows");
    bench.join(CHROMIUM);
    assert_eq!(wants(bench.asked()), Some((first, lines(4, 4))));
}

#[test]
fn a_leg_that_leaves_frees_its_lines_for_whoever_waits_without_a_new_offer() {
    let mut bench = Bench::new();
    let legs = bench.gather(&[CHROMIUM, CHROMIUM, CHROMIUM]);
    let [a, b, c] = legs[..] else { panic!() };
    assert_eq!(bench.hears(a, Media::Video), [("1".into(), b)]);
    bench.asked();
    bench.leave(b);
    assert_eq!(bench.hears(a, Media::Video), [("1".into(), c)]);
    assert_eq!(bench.hears(a, Media::Audio), [("0".into(), c)]);
    assert!(!bench.call.view().legs.is_empty(), "a call of three goes on while two remain");
    let changed = bench.events.iter().find_map(|event| match event {
        What::LegChanged { leg, .. } if leg.id == bench.id(a) => Some(leg.receives[0].from.clone()),
        _ => None,
    });
    assert_eq!(changed, Some(bench.id(c)), "whoever follows is told");
    assert_eq!(bench.asked(), [], "nobody needs more lines now");
    bench.leave(c);
    bench.apply();
    assert!(bench.over);
}

#[test]
fn who_sits_stays_seated_when_another_leaves_and_a_new_one_takes_the_free_seat() {
    let mut bench = Bench::new();
    let offer = with_lines(2, 2);
    let legs = bench.gather(&[&offer, &offer, &offer, &offer]);
    let [a, b, c, d] = legs[..] else { panic!() };
    bench.leave(b);
    assert_eq!(bench.hears(a, Media::Audio), [("2".into(), c), ("3".into(), d)]);
    assert_eq!((bench.wired(c).len(), bench.wired(d).len()), (0, 0), "their wires stay");
    let e = bench.add(AddLeg { offer: Some(offer), ..AddLeg::default() }).unwrap();
    assert_eq!(bench.hears(a, Media::Audio), [("0".into(), e), ("2".into(), c), ("3".into(), d)]);
    let at_a: Vec<_> = bench.wired(e).into_iter().filter(|sink| sink.leg == a).collect();
    assert_eq!(at_a.iter().map(|sink| sink.index).collect::<Vec<_>>(), [0, 1], "the same sinks");
}

#[test]
fn beyond_the_limit_a_leg_is_refused_and_nothing_is_left_of_it() {
    let mut bench = Bench::new();
    let mut refused = 0;
    for _ in 0..64 {
        let told = bench.told.len();
        let asked = AddLeg { offer: Some(CHROMIUM.into()), ..AddLeg::default() };
        if let Err(problem) = bench.add(asked) {
            assert_eq!((problem.status, bench.told.len()), (409, told));
            refused += 1;
        }
    }
    assert_eq!(refused, 64 - LEGS);
    bench.apply();
    assert_eq!(bench.call.view().legs.len(), LEGS);
    let left = bench.call.legs[3].slot;
    bench.leave(left);
    assert!(bench.call.may_join().is_ok(), "there is room again");
}

#[test]
fn a_hold_in_a_call_of_three_leaves_the_others_to_each_other() {
    let mut bench = Bench::new();
    let offer = with_lines(1, 1);
    let legs = bench.gather(&[&offer, &offer, &offer]);
    let (a, b) = (legs[0], legs[1]);
    let before = bench.hears(b, Media::Audio);
    bench.reoffer(a, &held(&offer).replace("a=recvonly", "a=inactive"));
    assert!(bench.call.leg_view(&bench.id(a)).unwrap().held);
    assert_eq!(bench.count(|told| matches!(told, Command::RemoveSink { .. })), 8);
    let of_a = |told: &Command| matches!(told, Command::RemoveSink { stream, sink } if stream.leg == a || sink.leg == a);
    assert_eq!(bench.count(of_a), 8, "nobody else's");
    assert_eq!(bench.hears(b, Media::Audio), before, "who holds keeps the seat");
    bench.apply();
    assert_eq!(bench.asked(), []);
    bench.reoffer(a, &offer);
    assert_eq!(bench.count(|told| matches!(told, Command::AddSink { .. })), 8);
}

#[test]
fn who_only_receives_takes_no_seat_and_who_only_sends_is_asked_for_none() {
    let mut bench = Bench::new();
    let viewer = with_lines(1, 1).replace("a=sendrecv", "a=recvonly");
    let publisher = CHROMIUM.replace("a=sendrecv", "a=sendonly");
    let legs = bench.gather(&[&publisher, &viewer, &viewer, CHROMIUM]);
    let [publisher, one, other, guest] = legs[..] else { panic!() };
    for viewer in [one, other] {
        let expected = [("0".into(), publisher), ("2".into(), guest)];
        assert_eq!(bench.hears(viewer, Media::Audio), expected);
    }
    assert_eq!(bench.receives(publisher), []);
    assert_eq!(bench.hears(guest, Media::Video), [("1".into(), publisher)]);
    assert!(!bench.call.leg_view(&bench.id(publisher)).unwrap().held);
    assert_eq!(bench.asked(), []);
}

#[test]
fn a_leg_is_asked_for_no_kind_that_it_does_not_take() {
    let mut bench = Bench::new();
    let phone = &CHROMIUM[..CHROMIUM.find("m=video").unwrap()];
    let legs = bench.gather(&[CHROMIUM, CHROMIUM, phone]);
    let wants = bench.asked();
    assert!(wants.contains(&(legs[2], lines(2, 0))), "{wants:?}");
    assert!(wants.contains(&(legs[0], lines(2, 1))), "the phone has no picture: {wants:?}");
}

#[test]
fn a_leg_that_begins_to_send_takes_its_seats_then() {
    let mut bench = Bench::new();
    let listener = CHROMIUM.replace("a=sendrecv", "a=recvonly");
    let legs = bench.gather(&[CHROMIUM, &listener]);
    assert_eq!(bench.receives(legs[0]), []);
    bench.reoffer(legs[1], CHROMIUM);
    assert_eq!(bench.hears(legs[0], Media::Audio), [("0".into(), legs[1])]);
    assert_eq!(bench.wired(legs[1]).len(), 2);
}

/// A gap that the node makes would look like loss, so from three legs on each path is counted anew.
#[test]
fn transport_wide_numbers_pass_end_to_end_between_two_legs_only() {
    let mut bench = Bench::new();
    bench.join(CHROMIUM);
    bench.add(AddLeg { offer: Some(CHROMIUM.into()), ..AddLeg::default() }).unwrap();
    assert_eq!((bench.numbered("EndToEnd"), bench.numbered("Own")), (4, 0));
    assert_eq!(bench.count(|told| matches!(told, Command::EstimateBandwidth { .. })), 0);
    bench.apply();
    let third = bench.add(AddLeg { offer: Some(CHROMIUM.into()), ..AddLeg::default() }).unwrap();
    assert_eq!((bench.numbered("EndToEnd"), bench.numbered("Own")), (0, 6));
    let estimates =
        |told: &Command| matches!(told, Command::EstimateBandwidth { estimator: Some(_), .. });
    assert_eq!(bench.count(estimates), 3);
    bench.apply();
    let transport = TransportId { leg: third, index: 0 };
    bench.call.event(bench.now, &Event::ConsentLost { transport });
    bench.drain();
    assert_eq!((bench.numbered("EndToEnd"), bench.numbered("Own")), (4, 0), "two again");
}

#[test]
fn a_layer_is_forwarded_as_asked_and_shown_as_it_is_forwarded() {
    let mut bench = Bench::new();
    let legs = bench.gather(&[SIMULCAST, CHROMIUM]);
    let receiver = legs[1];
    let received = bench.receives(receiver).pop().unwrap();
    assert_eq!(
        (&received.layers[..], &*received.asked),
        (&["f", "h", "q"].map(String::from)[..], "auto")
    );

    bench.ask(receiver, "1", &Receive { layer: Some("h".into()), paused: false }).unwrap();
    let sink = SinkId { leg: receiver, index: 1 };
    let select = |wanted| move |told: &Command| matches!(told, Command::SelectLayer { sink: at, layer } if (*at, *layer) == (sink, wanted));
    assert_eq!(bench.count(select(LayerChoice::Layer(1))), 1);
    assert!(bench.replies.iter().all(|(request, _)| *request != 79), "not before it is applied");
    bench.apply();
    let Some((79, Ok(Reply::Leg(view)))) = bench.replies.last() else { panic!() };
    assert_eq!(view.receives[1].asked, "h");
    bench.events.clear();
    bench.call.event(bench.now, &Event::LayerChanged { sink, layer: Some(1) });
    bench.drain();
    assert_eq!(bench.names(), ["leg_changed"]);
    assert_eq!(bench.receives(receiver)[1].layer.as_deref(), Some("h"));

    bench.ask(receiver, "1", &Receive { layer: None, paused: true }).unwrap();
    assert_eq!(bench.count(select(LayerChoice::Off)), 1);
    bench.apply();
    bench.ask(receiver, "1", &Receive::default()).unwrap();
    assert_eq!(bench.count(select(LayerChoice::Auto)), 1);
}

#[test]
fn a_layer_that_is_not_there_is_refused_by_name() {
    let mut bench = Bench::new();
    let legs = bench.gather(&[SIMULCAST, CHROMIUM]);
    let mut refused = |leg, mid: &str, layer: &str| {
        let asked = Receive { layer: Some(layer.into()), paused: false };
        let problem = bench.ask(leg, mid, &asked).unwrap_err();
        assert!(bench.told.is_empty(), "nothing is told of what is refused");
        (problem.status, problem.at)
    };
    let at = || Some("layer".to_owned());
    assert_eq!(refused(legs[1], "1", "x"), (422, at()));
    assert_eq!(refused(legs[0], "1", "f"), (422, at()), "the other sends one layer");
    assert_eq!(refused(legs[1], "7", "auto"), (404, None));
}

#[test]
fn the_next_leg_at_a_seat_is_not_held_to_what_was_asked_of_the_last() {
    let mut bench = Bench::new();
    let legs = bench.gather(&[CHROMIUM, SIMULCAST, SIMULCAST]);
    let (receiver, first) = (legs[0], legs[1]);
    bench.ask(receiver, "1", &Receive { layer: Some("q".into()), paused: true }).unwrap();
    bench.apply();
    bench.leave(first);
    let back = |told: &Command| {
        let auto = LayerChoice::Auto;
        matches!(told, Command::SelectLayer { sink, layer } if (sink.leg, *layer) == (receiver, auto))
    };
    assert_eq!(bench.count(back), 1);
    let received = &bench.receives(receiver)[1];
    assert_eq!((&*received.asked, received.paused), ("auto", false));
}

#[test]
fn the_active_speaker_is_said_and_shown() {
    let mut bench = Bench::new();
    let legs = bench.gather(&[CHROMIUM, CHROMIUM, CHROMIUM]);
    assert_eq!(bench.call.view().speaker, None);
    let speak = |bench: &mut Bench, leg, speaking| {
        let event = Event::Speaking { stream: StreamId { leg, index: 0 }, speaking };
        bench.call.event(bench.now, &event);
        bench.now += Duration::from_secs(1);
        bench.call.handle_timeout(bench.now);
        bench.drain();
    };
    speak(&mut bench, legs[1], true);
    assert_eq!(bench.call.view().speaker, Some(bench.id(legs[1])));
    speak(&mut bench, legs[2], true);
    speak(&mut bench, legs[1], false);
    assert_eq!(bench.call.view().speaker, Some(bench.id(legs[2])));
    let said = bench.events.iter().filter(|event| event.name() == "active_speaker").count();
    assert_eq!(said, 2);
    bench.leave(legs[2]);
    assert_eq!(bench.call.view().speaker, None);
}
