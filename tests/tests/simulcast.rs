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
    let received = || {
        let view = node.rest().get(&format!("/v1/calls/{call}"));
        ["free", "limited"].map(|role| video_of(&view, role))
    };

    let apart = pages.step("apart");
    println!("free and limited: {} {}", apart["free"], apart["limited"]);
    let [free, limited] = received();
    assert_eq!(free["layers"].as_array().map(Vec::len), Some(3), "{free}");
    assert_ne!(free["layer"], limited["layer"], "{free} {limited}");
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
    let [free, limited] = received();
    assert_eq!((&free["layer"], &free["asked"]), (&"q".into(), &"q".into()), "{free}");
    assert_eq!(limited["asked"], "auto", "{limited}");
    pages.go_on();

    pages.step("auto");
    let [free, _] = received();
    assert_eq!(free["asked"], "auto", "{free}");
    pages.go_on();
    pages.step("stats");
    // A sender tests its way to the node with repeats; they are for nobody who has not asked.
    let stats = node.rest().stats(&call);
    let legs = stats["legs"].as_array().expect("legs");
    for leg in legs.iter().filter(|leg| leg["role"] != "sender") {
        for sent in leg["sent"].as_array().expect("what it is sent") {
            let (repeats, asked) = (sent["rtx_packets"].as_u64(), sent["nacks"].as_u64());
            println!("{} {}: {repeats:?} repeats, {asked:?} asked for", leg["role"], sent["kind"]);
            assert!(repeats <= asked, "{leg}");
        }
    }
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
