//! What commands do to packets, and that events outlast a full ring.

use super::*;
use crate::leg::Leg;
use crate::sys::wake::Wake;
use crate::sys::{Backend, BackendKind, Features};

#[test]
fn a_stream_on_hold_is_silent_until_it_resumes() {
    let mut call = Call::new();
    let stream = stream(0, VIDEO);
    call.apply(Command::PauseStream { stream, paused: true }).unwrap();
    let dropped = call.dropped(|call| assert!(call.send(0, video(0, 0)).is_empty()));
    assert_eq!(dropped, [DropReason::StreamPaused]);
    assert_eq!(call.send(0, audio(0, 0)).len(), 1, "the other stream plays on");

    call.now = call.now.plus(Nanos::from_millis(300).0);
    call.apply(Command::PauseStream { stream, paused: false }).unwrap();
    let sent = call.sent();
    let asked = call.open_rtcp(0, &sent);
    assert_eq!(feedback::key_frames(&asked[0]), [SIDES[0].theirs[1]]);
    let sent = call.send(0, video(0, 1));
    assert_eq!(call.open(1, &sent)[0].0.sequence, 0x1234, "without a gap");
}

#[test]
fn a_removed_leg_comes_back_whole_and_nothing_reaches_it() {
    let mut call = Call::new();
    let (outcome, returned) = call.bare.apply(Command::RemoveLeg { leg: leg(1) });
    let Returned::Leg(state) = returned else { panic!("{returned:?}") };
    assert_eq!((outcome, state.streams.len(), state.sinks.len()), (Ok(()), 2, 2));
    assert_eq!(
        call.dropped(|call| assert!(call.send(0, audio(0, 0)).is_empty())),
        [DropReason::SinkGone]
    );
    assert_eq!(
        call.dropped(|call| assert!(call.send(1, audio(1, 0)).is_empty())),
        [DropReason::UnknownRemote]
    );
    assert_eq!(call.apply(Command::RemoveLeg { leg: leg(1) }), Err(Refusal::Gone));
    assert_eq!(call.bare.worker.tables.ufrags(), 1);
}

#[test]
fn a_slots_next_tenant_gets_nothing_of_the_former_one() {
    let mut call = Call::new();
    call.apply(Command::RemoveLeg { leg: leg(1) }).unwrap();
    let next = LegId { generation: 1, ..leg(1) };
    let far = Far::secure(1, 5000, Suite::AeadAes128Gcm);
    let state = Leg::new(&bridge::spec(&far, 1), || bridge::RANDOM).unwrap();
    call.apply(Command::AddLeg { leg: next, state }).unwrap();
    assert_eq!(
        call.dropped(|call| assert!(call.send(0, audio(0, 0)).is_empty())),
        [DropReason::SinkGone]
    );
    let keys = far.node_keys().unwrap();
    let late = Command::SetKeys { transport: transport(1), keys };
    assert_eq!(call.apply(late), Err(Refusal::Gone), "commands for the former one do nothing");
    call.apply(bridge::feed(SinkId { leg: next, index: AUDIO }, stream(0, AUDIO), 0)).unwrap();
    let sink = SinkId { leg: next, index: AUDIO };
    call.apply(Command::AddSink { stream: stream(0, AUDIO), sink }).unwrap();
    let dropped = call.dropped(|call| assert_eq!(call.send(0, audio(0, 1)).len(), 1));
    assert_eq!(dropped, [DropReason::SinkGone], "the former sink is still on the stream's list");
}

#[test]
fn a_leg_that_goes_takes_its_news_along() {
    let mut call = Call::new();
    for generation in 0..20 {
        let leg = LegId { worker: WORKER, slot: 2, generation };
        let far = Far::secure(2, 6000, Suite::AeadAes128Gcm);
        let state = Leg::new(&bridge::spec(&far, 0), || 1).unwrap();
        call.apply(Command::AddLeg { leg, state }).unwrap();
        call.fars[0] = far;
        call.send(0, audio(0, 0));
        assert_eq!(call.bare.worker.news.len(), 1, "listed once");
        let (_, returned) = call.bare.apply(Command::RemoveLeg { leg });
        let Returned::Leg(state) = returned else { panic!("{returned:?}") };
        assert!(!state.has_news && call.bare.worker.news.is_empty());
    }
    assert!(call.events().is_empty());
}

#[test]
fn a_slot_is_taken_once_and_a_ufrag_too() {
    let mut call = Call::new();
    let state = |ufrag| {
        let far = Far::secure(2, 6000, Suite::AeadAes128Gcm).with_ice(ufrag);
        Leg::new(&bridge::spec(&far, 0), || 1).unwrap()
    };
    assert_eq!(
        call.apply(Command::AddLeg { leg: leg(0), state: state("new") }),
        Err(Refusal::Taken)
    );
    let free = LegId { worker: WORKER, slot: 3, generation: 0 };
    assert_eq!(
        call.apply(Command::AddLeg { leg: free, state: state("left") }),
        Err(Refusal::Taken)
    );
    let beyond = LegId { worker: WORKER, slot: 8, generation: 0 };
    assert_eq!(
        call.apply(Command::AddLeg { leg: beyond, state: state("new") }),
        Err(Refusal::Full)
    );
    call.apply(Command::AddLeg { leg: free, state: state("new") }).unwrap();
}

#[test]
fn a_full_event_ring_delays_but_loses_nothing() {
    let mut call = Call::new();
    let bell = Wake::new().unwrap();
    let frames = &mut call.bare.worker.frames;
    let mut backend = Backend::new(BackendKind::Mmsg, Features::default(), frames, &bell).unwrap();
    let filler = || Event::RoleConflict { transport: transport(7) };
    while call.bare.worker.events.push(filler()).is_ok() {}

    call.send(0, audio(0, 0));
    let removal = call.bare.send(Command::RemoveLeg { leg: leg(1) }).unwrap();
    let pause = Command::PauseStream { stream: stream(0, AUDIO), paused: true };
    let pause = call.bare.send(pause).unwrap();
    assert!(call.bare.worker.apply_commands(&mut backend).is_continue());
    call.bare.worker.announce();
    assert_eq!(call.bare.worker.tables.legs(), 2, "nothing is applied without room to say so");

    let mut told = Vec::new();
    loop {
        let Some(event) = call.bare.event() else { break };
        match event {
            Event::RoleConflict { .. } => {}
            Event::Applied { ticket, outcome, .. } => told.push((Some(ticket), outcome)),
            Event::MediaStarted { .. } => told.push((None, Ok(()))),
            other => panic!("{other:?}"),
        }
        // One place is free now: first for commands, then for news.
        assert!(call.bare.worker.apply_commands(&mut backend).is_continue());
        call.bare.worker.announce();
    }
    assert_eq!(told, [(Some(removal), Ok(())), (Some(pause), Ok(())), (None, Ok(()))]);
    assert_eq!(call.bare.worker.tables.legs(), 1);
    drop(backend.shut_down(&mut call.bare.worker.frames));
}

#[test]
fn a_refused_source_or_sink_gives_its_memory_back() {
    let mut call = Call::new();
    let gone = SinkId { leg: LegId { generation: 9, ..leg(0) }, index: 0 };
    let (outcome, returned) = call.bare.apply(bridge::feed(gone, stream(1, AUDIO), 1));
    assert_eq!(outcome, Err(Refusal::Gone));
    assert!(matches!(returned, Returned::Source(_, Some(_))));
    let answerer = Some(Box::new(crate::twcc::Answerer::new(3)));
    let id = TransportId { index: 5, ..transport(0) };
    let (outcome, returned) =
        call.bare.apply(Command::AnswerTransportCc { transport: id, answerer });
    assert_eq!(outcome, Err(Refusal::Gone));
    assert!(matches!(returned, Returned::Answerer(_)));
}

#[test]
fn each_sink_gets_its_copy() {
    let mut call = Call::new();
    let mut remotes = vec![call.fars[1].remote];
    for slot in 2..5 {
        let far = Far::secure(slot, 6000 + slot, Suite::AeadAes128Gcm);
        let leg = LegId { worker: WORKER, slot, generation: 0 };
        let state = Leg::new(&bridge::spec(&far, 1), || bridge::RANDOM).unwrap();
        call.apply(Command::AddLeg { leg, state }).unwrap();
        let sink = SinkId { leg, index: AUDIO };
        call.apply(bridge::feed(sink, stream(0, AUDIO), 0)).unwrap();
        call.apply(Command::AddSink { stream: stream(0, AUDIO), sink }).unwrap();
        remotes.push(far.remote);
    }
    let sent = call.send(0, audio(0, 0));
    assert_eq!(sent.iter().map(|sent| sent.remote).collect::<Vec<_>>(), remotes);
    assert_eq!(call.bare.frames_lost(), 0);
}
