use std::time::Duration;

use crate::ng::{
    BencodeError, CallStats, Command, Counters, Dictionary, Format, Frame, JsonError, LoadLimit,
    MediaStats, Message, Mos, MosSample, NgError, Reply, SsrcStats, StreamStats, Subscription,
    TagStats, frame,
};

fn bencode(reply: Reply) -> String {
    String::from_utf8(reply.write(Format::Bencode)).unwrap()
}

fn json(reply: Reply) -> String {
    String::from_utf8(reply.write(Format::Json)).unwrap()
}

#[test]
fn replies_read_as_those_of_rtpengine() {
    assert_eq!(bencode(Reply::pong()), "d6:result4:ponge");
    assert_eq!(bencode(Reply::ok()), "d6:result2:oke");
    assert_eq!(bencode(Reply::ok().with_sdp("v=0\r\n")), "d3:sdp5:v=0\r\n6:result2:oke");
    assert_eq!(json(Reply::pong()), r#"{"result":"pong"}"#);
    let calls = Reply::ok().with_calls(["a", "b"]);
    assert_eq!(bencode(calls), "d5:callsl1:a1:be6:result2:oke");
    let warned = Reply::ok().with_warning(&NgError::NothingDeleted.to_string());
    let warning = "Call-ID not found or tags didn't match";
    assert_eq!(bencode(warned), format!("d7:warning38:{warning}6:result2:oke"));
    let error = "d6:result5:error12:error-reason20:Unrecognized commande";
    assert_eq!(bencode(Reply::error(NgError::UnknownCommand)), error);
    let error = r#"{"result":"error","error-reason":"Dictionary contains no key \"command\""}"#;
    assert_eq!(json(Reply::error(NgError::NoCommand)), error);
}

#[test]
fn limits_are_told_so_that_the_client_tries_another_node() {
    let full = NgError::Limited(LoadLimit::Cpu);
    let supported = "d6:result10:load limit7:message24:CPU usage limit exceedede";
    assert_eq!(bencode(Reply::refusal(full, true)), supported);
    let legacy = "d6:result5:error12:error-reason30:Parallel session limit reachede";
    assert_eq!(bencode(Reply::refusal(full, false)), legacy);
    let ports = "d6:result5:error12:error-reason16:Ran out of portse";
    for supports_load_limit in [false, true] {
        assert_eq!(bencode(Reply::refusal(NgError::OutOfPorts, supports_load_limit)), ports);
    }
}

#[test]
fn errors_read_as_those_of_rtpengine() {
    let malformed = JsonError::Malformed { line: 1, column: 1 };
    let texts = [
        (NgError::NoPayload, "Invalid data (no payload)"),
        (NgError::UnknownFormat, "Invalid NG data format"),
        (NgError::NotBencode(BencodeError::Truncated), "Could not decode bencode dictionary"),
        (NgError::NotJson(malformed), "Failed to parse JSON document"),
        (NgError::NoCommand, "Dictionary contains no key \"command\""),
        (NgError::UnknownCommand, "Unrecognized command"),
        (NgError::Unserved(Command::Mesh), "Command 'mesh' is not supported by this node"),
        (NgError::NoSdp, "No SDP body in message"),
        (NgError::NoCallId, "No call-id in message"),
        (NgError::NoFromTag, "No from-tag in message"),
        (NgError::NoToTag, "No to-tag in message"),
        (NgError::UnknownCall, "Unknown call-id"),
        (NgError::NoCallToSelectFrom, "Unknown call-ID"),
        (NgError::NothingDeleted, "Call-ID not found or tags didn't match"),
        (NgError::BadSdp, "Failed to parse SDP"),
        (NgError::IncompleteSdp, "Incomplete SDP specification"),
        (NgError::NotRewritten, "Error rewriting SDP"),
        (NgError::BadDialogue, "Invalid dialogue association"),
        (NgError::OutOfPorts, "Ran out of ports"),
        (NgError::Limited(LoadLimit::Sessions), "Parallel session limit reached"),
        (NgError::Limited(LoadLimit::Cpu), "CPU usage limit exceeded"),
        (NgError::Limited(LoadLimit::Load), "Load limit exceeded"),
        (NgError::Limited(LoadLimit::Bandwidth), "Bandwidth limit exceeded"),
        (NgError::BadLimit, "invalid limit, must be >= 0"),
        (NgError::UnknownLabel, "No monologue matching the given label"),
        (NgError::BadAddress, "Failed to parse network address"),
        (NgError::UnknownAddress, "Failed to match address to any tag"),
        (NgError::UnknownTag, "From-tag given, but no such tag exists"),
        (NgError::NoParty, "No participant party specified"),
        (NgError::BadCode, "Out of range 'code' specified"),
        (NgError::NoDtmfSource, "Monologue has no media capable of DTMF injection"),
        (NgError::NoDtmfSink, "Sink monologue has no media capable of DTMF playback"),
        (NgError::WrongType, "wrong type used"),
        (NgError::UnknownSection, "unsupported sdp section"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

/// What a request of which nothing is done is answered with.
fn refused(datagram: &[u8]) -> String {
    let Frame { cookie, document } = Frame::split(datagram).expect("a cookie");
    let (format, request) = frame::read(document);
    let error = request.and_then(|request| Message::parse(&request)).expect_err("a fault");
    let document = &Reply::refusal(error, false).write(format);
    String::from_utf8(Frame { cookie, document }.join()).unwrap()
}

#[test]
fn broken_requests_are_refused_as_rtpengine_refuses_them() {
    let bencode = |cookie: &str, text: &str| {
        format!("{cookie} d6:result5:error12:error-reason{}:{text}e", text.len())
    };
    let undecodable = "Could not decode bencode dictionary";
    let refusals: &[(&[u8], String)] = &[
        (b"c1 ", bencode("c1", "Invalid data (no payload)")),
        (b"c2 x", bencode("c2", "Invalid NG data format")),
        (b"c3  d7:command4:pinge", bencode("c3", "Invalid NG data format")),
        (b"c4 [1]", bencode("c4", "Invalid NG data format")),
        (b"c5 d3:abce", bencode("c5", undecodable)),
        (b"c6 d7:command4:ping1:ai007ee", bencode("c6", undecodable)),
        (b"c7 d7:command4:pingde", bencode("c7", undecodable)),
        (b"c8 d7:command5:queryi5ei6ee", bencode("c8", undecodable)),
        (b"c9 de", bencode("c9", "Dictionary contains no key \"command\"")),
        (b"c10 d7:commandi1ee", bencode("c10", "Dictionary contains no key \"command\"")),
        (b"c11 d7:command1:xe", bencode("c11", "Unrecognized command")),
        (b"c12 d7:command4:pong7:command4:pinge", bencode("c12", "Unrecognized command")),
        (b"c13 d7:command17:subscribe answer e", bencode("c13", "Unrecognized command")),
        (b"c14 d7:command5:offere", bencode("c14", "No SDP body in message")),
        (b"c15 d7:command5:offer3:sdp1:xe", bencode("c15", "No call-id in message")),
        (
            b"c16 d7:command6:answer3:sdp1:x7:call-id1:y8:from-tag1:ae",
            bencode("c16", "No to-tag in message"),
        ),
        (b"c17 d7:command4:list5:limiti-1ee", bencode("c17", "invalid limit, must be >= 0")),
        (b"c18 d7:command11:block mediae", bencode("c18", "No call-id in message")),
        (
            b"c19 {x",
            r#"c19 {"result":"error","error-reason":"Failed to parse JSON document"}"#.into(),
        ),
        (
            br#"c20 {"command":"ping"} x"#,
            r#"c20 {"result":"error","error-reason":"Failed to parse JSON document"}"#.into(),
        ),
        (
            br#"c21 {"command":"x"}"#,
            r#"c21 {"result":"error","error-reason":"Unrecognized command"}"#.into(),
        ),
        (
            b"c22 {}",
            r#"c22 {"result":"error","error-reason":"Dictionary contains no key \"command\""}"#
                .into(),
        ),
    ];
    for (datagram, reply) in refusals {
        assert_eq!(&refused(datagram), reply);
    }
}

const START: Duration = Duration::new(1_795_828_456, 126_229_000);

fn stream(local: &str, endpoint: &str, advertised: &str) -> StreamStats {
    StreamStats {
        is_rtp: true,
        local: Some(local.parse().unwrap()),
        endpoint: Some(endpoint.parse().unwrap()),
        advertised: Some(advertised.parse().unwrap()),
        last_packet: START,
        flags: vec!["filled"],
        ..StreamStats::default()
    }
}

fn party(tag: &str, other: &str, flags: &[&'static str], streams: Vec<StreamStats>) -> TagStats {
    let other = vec![Subscription { tag: other.into(), offer_answer: true }];
    let media = MediaStats {
        index: 1,
        kind: "audio".into(),
        protocol: Some("RTP/AVP".into()),
        codec: Some("PCMU/8000".into()),
        streams,
        flags: flags.to_vec(),
        ..MediaStats::default()
    };
    TagStats {
        tag: tag.into(),
        created: START,
        subscriptions: other.clone(),
        subscribers: other,
        medias: vec![media],
        ..TagStats::default()
    }
}

/// A call of which the first party's RTP is under way.
fn call() -> CallStats {
    let sent = Counters { packets: 5, bytes: 160, errors: 0 };
    let (rtp, rtcp) = ("127.0.0.1:4000", "127.0.0.1:4001");
    let rtp = StreamStats { sent, ssrc: Some(7), ..stream("127.0.0.1:20018", rtp, rtp) };
    let rtcp = StreamStats { is_rtp: false, ..stream("127.0.0.1:20019", rtcp, rtcp) };
    let back = StreamStats {
        sent,
        ssrc: Some(7),
        ..stream("127.0.0.1:20000", "127.0.0.1:4000", "127.0.0.1:4002")
    };
    let one = party("A", "B", &["initialized", "send", "recv"], vec![rtp, rtcp]);
    let other = party("B", "A", &["initialized", "send", "recv", "ICE controlling"], vec![back]);
    CallStats {
        created: START,
        last_signal: START,
        tags: vec![
            TagStats { label: Some("lbl".into()), ..one },
            TagStats { via_branch: Some("vb1".into()), ..other },
        ],
        ..CallStats::default()
    }
}

#[test]
fn a_call_reads_as_rtpengine_tells_it() {
    let expected = concat!(
        r#"{"created":1795828456,"created_us":126229,"last signal":1795828456,"SSRC":{},"tags":{"#,
        r#""A":{"tag":"A","label":"lbl","created":1795828456,"#,
        r#""subscriptions":[{"tag":"B","type":"offer/answer"}],"#,
        r#""subscribers":[{"tag":"B","type":"offer/answer"}],"medias":[{"index":1,"type":"audio","#,
        r#""protocol":"RTP/AVP","codec":"PCMU/8000","streams":[{"local port":20018,"#,
        r#""local address":"127.0.0.1","family":"IPv4","#,
        r#""endpoint":{"family":"IPv4","address":"127.0.0.1","port":4000},"#,
        r#""advertised endpoint":{"family":"IPv4","address":"127.0.0.1","port":4000},"#,
        r#""last packet":1795828456,"flags":["RTP","filled"],"SSRC":7,"#,
        r#""stats":{"packets":5,"bytes":160,"errors":0}},{"local port":20019,"#,
        r#""local address":"127.0.0.1","family":"IPv4","#,
        r#""endpoint":{"family":"IPv4","address":"127.0.0.1","port":4001},"#,
        r#""advertised endpoint":{"family":"IPv4","address":"127.0.0.1","port":4001},"#,
        r#""last packet":1795828456,"flags":["RTCP","filled"],"#,
        r#""stats":{"packets":0,"bytes":0,"errors":0}}],"flags":["initialized","send","recv"]}]},"#,
        r#""B":{"tag":"B","via-branch":"vb1","created":1795828456,"#,
        r#""subscriptions":[{"tag":"A","type":"offer/answer"}],"#,
        r#""subscribers":[{"tag":"A","type":"offer/answer"}],"medias":[{"index":1,"type":"audio","#,
        r#""protocol":"RTP/AVP","codec":"PCMU/8000","streams":[{"local port":20000,"#,
        r#""local address":"127.0.0.1","family":"IPv4","#,
        r#""endpoint":{"family":"IPv4","address":"127.0.0.1","port":4000},"#,
        r#""advertised endpoint":{"family":"IPv4","address":"127.0.0.1","port":4002},"#,
        r#""last packet":1795828456,"flags":["RTP","filled"],"SSRC":7,"#,
        r#""stats":{"packets":5,"bytes":160,"errors":0}}],"#,
        r#""flags":["initialized","send","recv","ICE controlling"]}]}},"#,
        r#""totals":{"RTP":{"packets":10,"bytes":320,"errors":0},"#,
        r#""RTCP":{"packets":0,"bytes":0,"errors":0}},"result":"ok"}"#,
    );
    assert_eq!(json(Reply::ok().with_call(&call())), expected);
}

#[test]
fn a_party_that_has_not_answered_has_a_key_and_no_endpoints() {
    let stream = StreamStats { crypto_suite: Some("AEAD_AES_256_GCM"), ..StreamStats::default() };
    let media = MediaStats {
        index: 1,
        kind: "audio".into(),
        streams: vec![stream],
        ..MediaStats::default()
    };
    let answerer = TagStats { medias: vec![media], ..TagStats::default() };
    let call = CallStats {
        tags: vec![TagStats { tag: "A".into(), ..TagStats::default() }, answerer],
        ..CallStats::default()
    };
    let told = json(Reply::ok().with_call(&call));
    assert!(told.contains(r#""<untagged 1>":{"tag":"","created":0"#));
    assert!(
        told.contains(
            r#""endpoint":{},"advertised endpoint":{},"crypto suite":"AEAD_AES_256_GCM""#
        )
    );
}

#[test]
fn kamailio_finds_the_quality_of_a_source() {
    let mos = Mos { mos: 43, round_trip: 20_000, round_trip_leg: 10_000, jitter: 2, loss: 1 };
    let sample = MosSample { mos, reported: START };
    let source = SsrcStats {
        cumulative_loss: 3,
        average: mos,
        samples: 4,
        lowest: sample,
        highest: sample,
        interval: Duration::from_secs(5),
        progression: vec![sample],
    };
    let call = CallStats { ssrcs: vec![(4_000_000_000, source)], ..call() };
    let told = json(Reply::ok().with_call(&call));
    let mos = r#""MOS":43,"round-trip time":20000,"round-trip time leg":10000,"jitter":2,"packet loss":1"#;
    let expected = [
        r#""SSRC":{"4000000000":{"cumulative loss":3,"average MOS":{"#,
        mos,
        r#","samples":4},"lowest MOS":{"#,
        mos,
        r#","reported at":1795828456},"highest MOS":{"#,
        mos,
        r#","reported at":1795828456},"MOS progression":{"interval":5,"entries":[{"#,
        mos,
        r#","reported at":1795828456}]}}},"tags":{"#,
    ];
    assert!(told.contains(&expected.concat()), "{told}");
}

#[test]
fn the_brief_form_has_the_totals_and_fits_a_datagram() {
    let told = bencode(Reply::ok().with_call_in_brief(&call()));
    assert!(!told.contains("tags"));
    assert!(told.contains("6:totalsd3:RTPd7:packetsi10e5:bytesi320e6:errorsi0ee"));
    assert!(told.len() < 300);
}

#[test]
fn counters_stop_at_the_largest_number() {
    let sent = Counters { packets: u64::MAX, bytes: u64::MAX, errors: 1 };
    let stream = StreamStats { is_rtp: true, sent, ..StreamStats::default() };
    let media = MediaStats { streams: vec![stream.clone(), stream], ..MediaStats::default() };
    let call = CallStats {
        tags: vec![TagStats { medias: vec![media], ..TagStats::default() }],
        ..CallStats::default()
    };
    let told = json(Reply::ok().with_call_in_brief(&call));
    assert!(told.contains(&format!(r#""packets":{},"bytes":{},"errors":2"#, i64::MAX, i64::MAX)));
}

#[test]
fn anything_else_can_be_added() {
    let reply = Reply::ok().with("duration", 5_i64).with("more", Dictionary::new());
    assert_eq!(bencode(reply), "d8:durationi5e4:morede6:result2:oke");
}
