//! Text that nobody meant well: nothing panics, everything that is read prints as it came.

use proptest::prelude::*;

use super::*;

/// Reads and uses a text in every way there is.
fn exercise(text: &str) -> Result<(), TestCaseError> {
    if let Ok(fragment) = Fragment::parse(text) {
        let mids = ["0".to_owned()];
        let _ = (fragment.is_foreign(&mids), fragment.credentials(&mids), fragment.to_string());
        prop_assert!(fragment.candidates(&mids).len() <= CANDIDATES_MAX);
    }
    for way in [Way::In, Way::Out] {
        if let Ok(narrowed) = one_way(text, way) {
            prop_assert!(Sdp::parse(&narrowed).is_ok());
            prop_assert_eq!(one_way(&narrowed, way), Ok(narrowed));
        }
    }
    let _ = Trickled::from_lines(&[text]);
    let Ok(sdp) = Sdp::parse(text) else { return Ok(()) };
    prop_assert_eq!(sdp.to_string(), text);
    for section in sdp.media() {
        let _ = (section.mid(), section.setup(), section.direction(), section.rtcp_address());
        let _ = (section.ptime(), section.bandwidth("AS"), section.msid(), section.simulcast());
        let _ = (section.rids().count(), section.candidates().count());
    }
    let (_, first) = answered(CHROMIUM);
    let _ = answer(&sdp, &local(), &[&first], Some(&first));
    let (_, offered) = offer(&[crate::api::Media::Audio], &local(), &[]).unwrap();
    let _ = offered.accept(&sdp);
    if let Ok((text, negotiated)) = answer(&sdp, &local(), &[], None) {
        let read = Sdp::parse(&text).unwrap();
        prop_assert_eq!(read.media_count(), sdp.media_count());
        prop_assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        prop_assert_eq!(text.matches('\r').count(), text.matches("\r\n").count());
        for media in &negotiated.media {
            prop_assert!(media.codecs.iter().any(|codec| codec.codec.is_media()));
            prop_assert!(media.extensions.iter().all(|e| (1..=14).contains(&e.id)));
        }
    }
    Ok(())
}

/// One thing done to a description.
#[derive(Debug, Clone)]
enum Mutation {
    Drop(usize),
    Repeat(usize),
    Swap(usize, usize),
    Put(usize, usize, char),
    Truncate(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let n = any::<usize>;
    let odd = prop_oneof![any::<char>(), Just('\r'), Just(' '), Just('/'), Just(':'), Just('9')];
    prop_oneof![
        n().prop_map(Mutation::Drop),
        n().prop_map(Mutation::Repeat),
        (n(), n()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        (n(), n(), odd).prop_map(|(line, at, c)| Mutation::Put(line, at, c)),
        (n(), n()).prop_map(|(line, at)| Mutation::Truncate(line, at)),
    ]
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(Into::into).collect();
    for mutation in mutations {
        let len = lines.len();
        match *mutation {
            _ if len == 0 => {}
            Mutation::Drop(line) => {
                lines.remove(line % len);
            }
            Mutation::Repeat(line) => lines.push(lines[line % len].clone()),
            Mutation::Swap(a, b) => lines.swap(a % len, b % len),
            Mutation::Put(line, at, c) => {
                let line = &mut lines[line % len];
                let at = at % (line.chars().count() + 1);
                let index = line.char_indices().nth(at).map_or(line.len(), |(index, _)| index);
                line.insert(index, c);
            }
            Mutation::Truncate(line, at) => {
                let line = &mut lines[line % len];
                let at = at % (line.chars().count() + 1);
                *line = line.chars().take(at).chain(['\n']).collect();
            }
        }
    }
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_harmless(text in any::<String>()) {
        exercise(&text)?;
        exercise(&format!("v=0\r\n{text}"))?;
    }

    #[test]
    fn any_attributes_are_harmless(
        lines in prop::collection::vec(
            "(m=(audio|video|application) [0-9]{1,5} (UDP/TLS/RTP/SAVPF|RTP/AVP)( [0-9]{1,3}){0,4}\
            |a=(mid|rtpmap|fmtp|rtcp-fb|extmap|ssrc|ssrc-group|candidate|group|setup|rtcp)\
            :[ -~]{0,24}|[ -~]{0,16})",
            0..24,
        ),
    ) {
        exercise(&format!("v=0\n{}", lines.join("\n")))?;
    }

    #[test]
    fn mutated_offers_are_harmless(
        which in 0..FIXTURES.len(),
        mutations in prop::collection::vec(mutation(), 0..12),
    ) {
        exercise(&mutate(FIXTURES[which], &mutations))?;
    }

    #[test]
    fn any_candidate_that_is_read_reads_the_same_again(
        value in "[0-9a-f]{1,4} [12] (udp|tcp|UDP) [0-9]{1,10} (10\\.0\\.0\\.[0-9]|::1|a\\.local) \
            [0-9]{1,5} typ (host|srflx|prflx|relay)( raddr 1\\.2\\.3\\.4 rport [0-9]{1,5})?\
            ( tcptype (active|passive|so))?( ufrag [a-z]{4})?",
    ) {
        if let Ok(Some(candidate)) = Candidate::parse(&value) {
            let written = candidate.to_string();
            let again = Candidate::parse(written.strip_prefix("candidate:").unwrap());
            prop_assert_eq!(again, Ok(Some(candidate)));
        }
    }
}

#[test]
fn a_payload_type_that_is_listed_often_is_read_once() {
    let maps: String = (0..1500).map(|n| format!("a=rtpmap:{} H264/90000\n", n % 128)).collect();
    let formats = " 96 97 1 2".repeat(800);
    let text = format!("v=0\nm=video 9 UDP/TLS/RTP/SAVPF{formats}\n{maps}a=fmtp:96 apt=96\n");
    let sdp = Sdp::parse(&text).unwrap();
    assert_eq!(sdp.media_at(0).unwrap().payload_types().collect::<Vec<_>>(), [96, 97, 1, 2]);
}
