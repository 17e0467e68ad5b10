//! One Chromium sends its picture in layers; two others get the one that their paths carry.

use causeway_tests::browser::Pages;
use causeway_tests::lab::{Lab, PRIVATE, PUBLIC};
use causeway_tests::node::Node;
use causeway_tests::requires;
use serde_json::Value;

/// What the limited receiver's link carries, in kbit/s: the smallest layer and the sound, and
/// nothing near the next one.
const LIMIT: &str = "350";
/// Milliseconds without a new picture that are a freeze for anybody, whatever else the machine does.
const FREEZE_MS: u64 = 4_000;

#[test]
fn a_simulcast_sender_and_two_receivers_on_different_layers() {
    requires!(Namespaces, Chromium);
    let lab = Lab::up(&[("HOME_RATE", LIMIT)]);
    let config = format!(
        "[[interface]]\nname = \"pub\"\nbind = \"{PRIVATE}\"\nannounce = \"{PUBLIC}\"\n\
         [public]\nlisten = \"{PRIVATE}:443\"\n"
    );
    let node = Node::start(Some(&lab.namespace("server")), &config);
    let call = node.rest().create_call();
    let url = |role: &str, options: &str| {
        format!("https://{PUBLIC}/#{options}token={}", node.rest().token(&call, role))
    };
    let (home, open) = (lab.namespace("browser"), lab.namespace("peer"));
    let mut pages = Pages::run(
        "simulcast.mjs",
        &[
            ("sender", &url("sender", "simulcast=yes&")),
            ("free", &url("free", "")),
            ("limited", &url("limited", "")),
            ("sender-netns", &open),
            ("free-netns", &open),
            ("limited-netns", &home),
            ("pause-after", "apart,lowest,auto,stats"),
        ],
    );
    // What the pages see of the layers are the node's events, which come behind.
    let received = |good: fn(&Value, &Value) -> bool| {
        let both = |view: &Value| ["free", "limited"].map(|role| video_of(view, role));
        let view = node.rest().wait_call(&call, |view| {
            let [free, limited] = both(view);
            good(&free, &limited)
        });
        both(&view)
    };

    let apart = pages.step("apart");
    println!("free and limited: {} {}", apart["free"], apart["limited"]);
    let [free, limited] = received(|free, limited| free["layer"] != limited["layer"]);
    assert_eq!(free["layers"].as_array().map(Vec::len), Some(3), "{free}");
    assert_eq!((&free["asked"], &limited["asked"]), (&"auto".into(), &"auto".into()));
    pages.go_on();

    // The script has judged the pictures.
    let media = pages.step("media");
    for role in ["free", "limited"] {
        let (frames, gaps) = (&media[role]["frames"], &media[role]["gaps"]["frames"]);
        println!("{role}: {frames}, at most {} ms without", gaps["ms"]);
        assert!(gaps["ms"].as_u64().is_some_and(|ms| ms < FREEZE_MS), "{role}: {media}");
    }
    println!("the sender's layers: {}", media["sent"]);
    pages.step("lowest");
    let [free, limited] = received(|free, _| free["layer"] == "q");
    assert_eq!((&free["asked"], &limited["asked"]), (&"q".into(), &"auto".into()));
    pages.go_on();

    pages.step("auto");
    let [free, _] = received(|free, _| free["layer"] != "q");
    assert_eq!(free["asked"], "auto", "{free}");
    pages.go_on();
    pages.step("stats");
    // A sender tests its way to the node with repeats; they are for nobody who has not asked. Who has
    // gets them from the node, which has told the sender that all had come.
    let stats = node.rest().stats(&call);
    let legs = stats["legs"].as_array().expect("legs");
    let (mut repeats, mut asked) = (0, 0);
    for leg in legs.iter().filter(|leg| leg["role"] != "sender") {
        for sent in leg["sent"].as_array().expect("what it is sent") {
            let count = |key: &str| sent[key].as_u64().expect("a count");
            let (got, wanted) = (count("rtx_packets"), count("nacks"));
            println!("{} {}: {got} repeats, {wanted} asked for", leg["role"], sent["kind"]);
            assert!(got <= wanted, "{leg}");
            (repeats, asked) = (repeats + got, asked + wanted);
        }
    }
    assert!(asked == 0 || repeats > 0, "{asked} packets asked for again, none came");
    pages.go_on();
    pages.finish();
    node.stop();
}

/// What a leg receives of the sender's picture.
fn video_of(view: &Value, role: &str) -> Value {
    let legs = view["legs"].as_array().expect("legs");
    let leg = legs.iter().find(|leg| leg["role"] == role).expect("it has joined");
    let lines = leg["receives"].as_array().expect("what it receives");
    let line = lines.iter().find(|line| line["kind"] == "video" && line["role"] == "sender");
    line.unwrap_or_else(|| panic!("{role} receives no video of the sender: {leg}")).clone()
}
