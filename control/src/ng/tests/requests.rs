use std::net::IpAddr;
use std::time::Duration;

use super::{fault, offer, parse, request, texts};
use crate::ng::value::{Dictionary, Value};
use crate::ng::{
    All, Command, Delete, Description, Flag, Frame, Ice, MediaAction, Message, NgError, Party,
    Query, RecordingAction, Request, TransportProtocol, frame,
};

/// A request as it comes in a datagram, with its cookie.
fn received(datagram: &[u8]) -> (Vec<u8>, Message) {
    let frame = Frame::split(datagram).expect("a cookie");
    let document = frame::read(frame.document).1.expect("a document");
    (frame.cookie.to_vec(), parse(&document))
}

#[test]
fn kamailio_pings() {
    let (cookie, message) = received(b"0_1024_0 d7:command4:pinge");
    assert_eq!(cookie, b"0_1024_0");
    assert_eq!(message.request, Request::Ping);
    assert!(!message.supports_load_limit);
}

#[test]
fn kamailio_offers_with_the_command_last() {
    let (_, message) = received(
        b"12_4711_3 d8:supportsl10:load limite3:sdp5:v=0\r\n3:ICE6:remove5:flagsl13:trust-addresse\
          7:replacel6:origine18:transport-protocol7:RTP/AVP8:rtcp-muxl5:demuxe\
          13:received-froml3:IP49:127.0.0.1e7:call-id8:a@b.test8:from-tag5:as123\
          7:command5:offer16:sip-message-type11:sip-requeste",
    );
    assert!(message.supports_load_limit);
    assert_eq!(message.unknown, [""; 0]);
    let Request::Offer(offer) = message.request else { panic!("no offer") };
    assert_eq!((offer.call_id.as_str(), offer.from_tag.as_str()), ("a@b.test", "as123"));
    assert_eq!((offer.to_tag, offer.via_branch), (None, None));
    assert_eq!(offer.sdp, Description("v=0\r\n".into()));
    assert_eq!(offer.flags.ice, Some(Ice::Remove));
    assert_eq!(offer.flags.transport, Some(TransportProtocol::RtpAvp));
    assert_eq!(offer.flags.received_from, Some(IpAddr::from([127, 0, 0, 1])));
    let flags =
        [Flag::TrustAddress, Flag::SupportsLoadLimit, Flag::RtcpMuxDemux, Flag::ReplaceOrigin];
    assert_eq!(offer.flags.set, flags.into_iter().collect());
}

#[test]
fn kamailio_answers_towards_the_browser() {
    let (_, message) = received(
        b"12_4711_4 d8:supportsl10:load limite3:sdp5:v=0\r\n3:ICE5:force5:flagsl13:trust-addresse\
          7:replacel6:origine18:transport-protocol17:UDP/TLS/RTP/SAVPF8:rtcp-muxl6:accepte\
          7:call-id8:a@b.test13:received-froml3:IP49:127.0.0.1e8:from-tag5:as1236:to-tag2:b1\
          7:command6:answere",
    );
    let Request::Answer(answer) = message.request else { panic!("no answer") };
    assert_eq!((answer.from_tag.as_str(), answer.to_tag.as_str()), ("as123", "b1"));
    assert_eq!(answer.flags.transport, Some(TransportProtocol::UdpTlsRtpSavpf));
    assert!(answer.flags.has(Flag::RtcpMuxAccept));
}

#[test]
fn newer_kamailio_leaves_the_flags_to_the_node() {
    let (_, message) = received(
        b"12_4711_6 d8:supportsl10:load limite3:sdp5:v=0\r\n7:call-id8:a@b.test10:via-branch7:z9hG4bK\
          8:from-tag5:as1237:command5:offer16:sip-message-type11:sip-request5:flagsl8:fragmente\
          10:rtpp-flags56:replace-origin ICE=force DTLS=passive RTP/SAVPF SDES-offe",
    );
    assert_eq!(message.unknown, [""; 0]);
    let Request::Offer(offer) = message.request else { panic!("no offer") };
    assert_eq!(offer.via_branch.as_deref(), Some("z9hG4bK"));
    assert_eq!(offer.flags.ice, Some(Ice::Force));
    assert_eq!(offer.flags.transport, Some(TransportProtocol::RtpSavpf));
    for flag in [Flag::ReplaceOrigin, Flag::Fragment, Flag::SdesOff, Flag::SupportsLoadLimit] {
        assert!(offer.flags.has(flag), "{flag:?}");
    }
}

#[test]
fn kamailio_deletes_with_little_and_leaves_flags_to_the_node() {
    let (_, message) = received(
        b"12_4711_5 d8:supportsl10:load limite7:call-id8:a@b.test13:received-froml3:IP49:127.0.0.1e\
          8:from-tag5:as1237:command6:deletee",
    );
    let plain = Delete {
        call_id: "a@b.test".into(),
        from_tag: Some("as123".into()),
        to_tag: None,
        via_branch: None,
        delay: None,
        fatal: false,
        fast: false,
    };
    assert_eq!(message.request, Request::Delete(plain.clone()));

    let unparsed = |flags: &str| {
        let document = request("delete").with("call-id", "a@b.test").with("from-tag", "as123");
        let document = document.with("to-tag", "b1").with("rtpp-flags", flags);
        parse(&document).request
    };
    let all = Delete { to_tag: Some("b1".into()), fatal: true, fast: true, ..plain.clone() };
    let all = Delete { delay: Some(Duration::from_secs(5)), ..all };
    assert_eq!(unparsed(""), Request::Delete(plain), "the to-tag was sent, not asked for");
    assert_eq!(unparsed("to-tag fatal fast delete-delay=5"), Request::Delete(all));
}

#[test]
fn delete_delays_come_as_numbers_or_texts() {
    let delay = |name: &str, value: Value| {
        let document = request("delete").with("call id", "a").with(name, value);
        let Request::Delete(delete) = parse(&document).request else { panic!("no delete") };
        delete.delay
    };
    assert_eq!(delay("delete-delay", 0_i64.into()), Some(Duration::ZERO));
    assert_eq!(delay("delete delay", "30".into()), Some(Duration::from_secs(30)));
    assert_eq!(delay("delete-delay", (-1_i64).into()), None);
}

#[test]
fn every_command_is_known_by_its_name() {
    for command in Command::ALL {
        assert_eq!(Command::parse(command.name()), Some(*command));
        let document = offer().with("to-tag", "to").with("code", 1_i64);
        let mut named = request(command.name());
        document.iter().skip(1).for_each(|(key, value)| named.push(key, value.clone()));
        assert_eq!(parse(&named).request.command(), *command);
    }
    assert_eq!(Command::parse("Ping"), None);
    assert_eq!(Command::parse("start-recording"), None);
    assert_eq!(Command::parse("subscribe answer "), None);
}

#[test]
fn commands_without_types_are_told_apart_from_nonsense() {
    let message = parse(&request("play media").with("call-id", "a"));
    assert_eq!(message.request, Request::Unserved(Command::PlayMedia));
    assert_eq!(fault(&request("dance")), NgError::UnknownCommand);
    assert_eq!(fault(&Dictionary::new()), NgError::NoCommand);
    assert_eq!(fault(&Dictionary::new().with("command", 1_i64)), NgError::NoCommand);
}

#[test]
fn what_is_missing_is_told_in_the_usual_order() {
    let without = |command: &str, missing: &str| {
        let mut document = request(command);
        let whole = offer().with("to-tag", "to");
        let kept = whole.iter().skip(1).filter(|(key, _)| *key != missing.as_bytes());
        kept.for_each(|(key, value)| document.push(key, value.clone()));
        Message::parse(&document).map(drop)
    };
    for command in ["offer", "answer"] {
        assert_eq!(without(command, "sdp"), Err(NgError::NoSdp));
        assert_eq!(without(command, "call-id"), Err(NgError::NoCallId));
        assert_eq!(without(command, "from-tag"), Err(NgError::NoFromTag));
        assert_eq!(fault(&request(command)), NgError::NoSdp);
        assert_eq!(fault(&request(command).with("sdp", "x")), NgError::NoCallId);
    }
    assert_eq!(without("offer", "to-tag"), Ok(()));
    assert_eq!(without("answer", "to-tag"), Err(NgError::NoToTag));
    for command in ["delete", "query", "block media", "start recording", "unsilence media"] {
        assert_eq!(without(command, "call-id"), Err(NgError::NoCallId));
        assert_eq!(without(command, "from-tag"), Ok(()));
    }
    assert_eq!(fault(&request("block media").with("address", "?")), NgError::NoCallId);
    assert_eq!(fault(&offer().with("call-id", "")), NgError::NoCallId, "the last one counts");
}

#[test]
fn unknown_calls_are_told_in_the_words_of_the_command() {
    assert_eq!(Command::Answer.unknown_call(), NgError::UnknownCall);
    assert_eq!(Command::Query.unknown_call(), NgError::UnknownCall);
    assert_eq!(Command::BlockMedia.unknown_call(), NgError::NoCallToSelectFrom);
    assert_eq!(Command::PlayDtmf.unknown_call(), NgError::NoCallToSelectFrom);
    assert_eq!(Command::Delete.unknown_call(), NgError::NothingDeleted);
}

#[test]
fn queries_ask_for_the_to_tag_first() {
    let query = |document: Dictionary| match parse(&document).request {
        Request::Query(Query { call_id, tag }) => (call_id, tag),
        other => panic!("{other:?}"),
    };
    let document = request("query").with("call-ID", "a");
    assert_eq!(query(document.clone()), ("a".into(), None));
    let document = document.with("from-tag", "f");
    assert_eq!(query(document.clone()).1.as_deref(), Some("f"));
    assert_eq!(query(document.with("to-tag", "t")).1.as_deref(), Some("t"));
}

#[test]
fn lists_are_limited() {
    let limit = |document: Dictionary| Message::parse(&document).map(|message| message.request);
    assert_eq!(limit(request("list")), Ok(Request::List { limit: 32 }));
    assert_eq!(limit(request("list").with("limit", 5_i64)), Ok(Request::List { limit: 5 }));
    assert_eq!(limit(request("list").with("limit", "7")), Ok(Request::List { limit: 7 }));
    assert_eq!(limit(request("list").with("limit", "x")), Ok(Request::List { limit: 32 }));
    assert_eq!(limit(request("list").with("limit", -1_i64)), Err(NgError::BadLimit));
}

#[test]
fn parties_are_selected_by_the_first_that_is_named() {
    let party = |document: Dictionary| match parse(&document).request {
        Request::Media(MediaAction::Silence, select) => select.party,
        other => panic!("{other:?}"),
    };
    let document = request("silence media").with("call-id", "a");
    assert_eq!(party(document.clone()), Party::Call);
    let document = document.with("from-tag", "f").with("flags", texts(&["directional"]));
    assert_eq!(party(document.clone()), Party::Tag("f".into()));
    let document = document.with("address", "2001:db8::1");
    let address = Party::Address("2001:db8::1".parse().unwrap());
    assert_eq!(party(document.clone()), address);
    let document = document.with("label", "l");
    assert_eq!(party(document.clone()), Party::Label("l".into()));
    let flagged = document.clone().with("flags", texts(&["all"]));
    assert_eq!(party(flagged), Party::All(All::All));
    assert_eq!(party(document.clone().with("all", "all")), Party::All(All::All));
    assert_eq!(party(document.clone().with("all", "none")), Party::Label("l".into()));
    assert_eq!(party(document.clone().with("all", "flows")), Party::All(All::Flows));
    assert_eq!(party(document.clone().with("all", "offer answer")), Party::All(All::OfferAnswer));
    let except = document.with("all", "except-offer-answer");
    assert_eq!(party(except), Party::All(All::ExceptOfferAnswer));
    let bad = request("block media").with("call-id", "a").with("address", "here");
    assert_eq!(fault(&bad), NgError::BadAddress);
}

#[test]
fn selections_name_the_receiver_and_the_new_label() {
    let document = request("block media").with("call-id", "a").with("from-tag", "f");
    let document = document.with("to-tag", "t").with("set-label", "s");
    let Request::Media(action, select) = parse(&document).request else { panic!("no selection") };
    assert_eq!(action, MediaAction::Block);
    assert_eq!(select.to, Some(Party::Tag("t".into())));
    assert_eq!(select.set_label.as_deref(), Some("s"));
    let document = document.with("to-label", "l");
    let Request::Media(_, select) = parse(&document).request else { panic!("no selection") };
    assert_eq!(select.to, Some(Party::Label("l".into())));
}

#[test]
fn digits_are_characters_or_numbers() {
    let play = || request("play DTMF").with("call-id", "a").with("from-tag", "f");
    let event = |code: Value| match Message::parse(&play().with("code", code))?.request {
        Request::PlayDtmf(play) => Ok(play.event),
        other => panic!("{other:?}"),
    };
    for (code, number) in
        [("0", 0), ("9", 9), ("*", 10), ("#", 11), ("A", 12), ("d", 15), ("11", 11)]
    {
        assert_eq!(event(code.into()), Ok(number), "{code}");
    }
    assert_eq!(event(15_i64.into()), Ok(15));
    for code in ["x", "16", "-1", "1.", "", "12345678901234567890"] {
        assert_eq!(event(code.into()), Err(NgError::BadCode), "{code}");
    }
    assert_eq!(event(16_i64.into()), Err(NgError::BadCode));
    assert_eq!(fault(&play()), NgError::BadCode);
    let nobody = request("play DTMF").with("call-id", "a").with("code", "1");
    assert_eq!(fault(&nobody), NgError::NoParty);
}

#[test]
fn digits_last_within_reason() {
    let played = |name: &str, value: i64| {
        let document = request("play DTMF").with("call-id", "a").with("from-tag", "f");
        match parse(&document.with("digit", "5").with(name, value)).request {
            Request::PlayDtmf(play) => {
                (play.duration.as_millis(), play.pause.as_millis(), play.attenuation)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(played("frequency", 1), (250, 100, None));
    assert_eq!(played("duration", 300), (300, 100, None));
    assert_eq!(played("duration", 1), (100, 100, None));
    assert_eq!(played("duration", i64::MAX), (5000, 100, None));
    assert_eq!(played("pause", -5), (250, 100, None));
    assert_eq!(played("volume", -10), (250, 100, Some(10)));
    assert_eq!(played("volume", 10), (250, 100, Some(10)));
    assert_eq!(played("volume", i64::MIN), (250, 100, Some(63)));
}

#[test]
fn recordings_say_where_to() {
    let document = request("start recording").with("call-id", "a").with("metadata", "m");
    let document = document.with("output-destination", "f.wav").with("recording path", "/srv");
    let document =
        document.with("output-pattern", "%c").with("flags", texts(&["discard-recording"]));
    let Request::Record(action, recording) = parse(&document).request else { panic!("none") };
    assert_eq!(action, RecordingAction::Start);
    assert_eq!(recording.metadata.as_deref(), Some("m"));
    assert_eq!(recording.file.as_deref(), Some("f.wav"));
    assert_eq!(recording.path.as_deref(), Some("/srv"));
    assert_eq!(recording.pattern.as_deref(), Some("%c"));
    assert!(recording.discard);
}

#[test]
fn json_asks_the_same() {
    let (_, message) = received(
        br#"c {"command":"offer","sdp":"v=0\r\n","call_id":"call","from-tag":"from","ICE":"force"}"#,
    );
    assert_eq!(message, parse(&offer().with("ICE", "force")));
}

#[test]
fn requests_show_no_description() {
    let message = parse(&offer().with("sdp", "v=0 a=crypto:1 X inline:secret"));
    assert!(!format!("{message:?}").contains("secret"));
}

#[test]
fn a_call_is_told_of_each_request_that_has_one() {
    assert_eq!(parse(&offer()).request.call_id(), Some("call"));
    assert_eq!(parse(&request("ping")).request.call_id(), None);
    let play = request("play DTMF").with("call-id", "a").with("label", "l").with("code", "1");
    assert_eq!(parse(&play).request.call_id(), Some("a"));
}
