use proptest::prelude::*;

use super::*;

fn packet(first: u8, extension: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![first, 0xe0, 0x12, 0x34, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef];
    packet.extend_from_slice(extension);
    packet.extend_from_slice(payload);
    packet
}

fn walked(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let header = RtpHeader::parse(packet).unwrap();
    header.extensions(packet).map(|e| (e.id, e.data.to_vec())).collect()
}

#[test]
fn one_byte_extensions_are_walked_over_padding() {
    // The example of RFC 8285 §4.2: ids 1, 2 and 3 with one, two and four bytes.
    let extension =
        [0xbe, 0xde, 0, 3, 0x10, 0xa1, 0x21, 0xb1, 0xb2, 0, 0, 0x33, 0xc1, 0xc2, 0xc3, 0xc4];
    let packet = packet(0x90, &extension, &[9]);
    assert_eq!(
        walked(&packet),
        [(1, vec![0xa1]), (2, vec![0xb1, 0xb2]), (3, vec![0xc1, 0xc2, 0xc3, 0xc4])]
    );
    let header = RtpHeader::parse(&packet).unwrap();
    assert_eq!(header.extension(&packet, 2), Some(&[0xb1, 0xb2][..]));
    assert_eq!(header.extension(&packet, 4), None);
}

#[test]
fn two_byte_extensions_may_be_empty() {
    // The example of RFC 8285 §4.3, its padding included.
    let extension = [0x10, 0x05, 0, 3, 1, 0, 2, 1, 0xb1, 0, 3, 4, 0xc1, 0xc2, 0xc3, 0xc4];
    assert_eq!(
        walked(&packet(0x90, &extension, &[])),
        [(1, vec![]), (2, vec![0xb1]), (3, vec![0xc1, 0xc2, 0xc3, 0xc4])]
    );
}

#[test]
fn the_walk_ends_at_the_reserved_id_and_at_an_element_that_is_cut() {
    let reserved = [0xbe, 0xde, 0, 2, 0x10, 0xa1, 0xf0, 0xff, 0x20, 0xb1, 0, 0];
    assert_eq!(walked(&packet(0x90, &reserved, &[])), [(1, vec![0xa1])]);
    let cut = [0xbe, 0xde, 0, 1, 0x10, 0xa1, 0x2f, 0xff];
    assert_eq!(walked(&packet(0x90, &cut, &[1; 20])), [(1, vec![0xa1])]);
    let foreign = [0xab, 0xac, 0, 1, 0x10, 0xa1, 0, 0];
    assert_eq!(walked(&packet(0x90, &foreign, &[])), []);
}

#[test]
fn the_mid_is_read_under_its_id() {
    let extension = [0xbe, 0xde, 0, 1, 0x52, b'a', b'u', b'd'];
    let packet = packet(0x90, &extension, &[]);
    let header = RtpHeader::parse(&packet).unwrap();
    assert_eq!(header.read_mid(&packet, 5), Some(&b"aud"[..]));
    assert_eq!(header.read_mid(&packet, 6), None);
}

#[test]
fn the_transport_wide_number_is_read_under_its_id() {
    let extension = [0xbe, 0xde, 0, 2, 0x31, 0xab, 0xcd, 0x40, 0x11, 0, 0, 0];
    let packet = packet(0x90, &extension, &[]);
    let header = RtpHeader::parse(&packet).unwrap();
    assert_eq!(header.read_transport_sequence(&packet, 3), Some(0xabcd));
    assert_eq!(header.read_transport_sequence(&packet, 4), None);
}

#[test]
fn padding_is_taken_off_and_must_fit() {
    let payload =
        |packet: &[u8]| RtpHeader::parse(packet).unwrap().payload(packet).map(<[u8]>::to_vec);
    assert_eq!(payload(&packet(0x80, &[], &[1, 2, 3])), Ok(vec![1, 2, 3]));
    assert_eq!(payload(&packet(0xa0, &[], &[1, 0, 2])), Ok(vec![1]));
    assert_eq!(payload(&packet(0xa0, &[], &[0, 0, 3])), Ok(vec![]));
    for bad in [&[][..], &[0], &[1, 2, 4]] {
        assert_eq!(payload(&packet(0xa0, &[], bad)), Err(DropReason::RtpMalformed));
    }
}

#[test]
fn the_original_sequence_number_starts_a_retransmission() {
    let mut payload = [0x01, 0x02, 0x03];
    assert_eq!(read_original_sequence(&payload), Some(0x0102));
    write_original_sequence(&mut payload, 0xfffe);
    assert_eq!(payload, [0xff, 0xfe, 0x03]);
    assert_eq!(read_original_sequence(&payload[..1]), None);
}

#[test]
fn a_retransmission_becomes_what_it_repeats() {
    let extension = [0xbe, 0xde, 0, 1, 0x40, 0x11, 0, 0];
    let mut repeat = packet(0xb0, &extension, &[0x12, 0x34, 7, 8, 9, 0, 2]);
    let header = RtpHeader::parse(&repeat).unwrap();
    let told = restore_original(&mut repeat, &header, 101, 0xabcd).unwrap();
    let original = &repeat[ORIGINAL_SEQUENCE_LEN..];
    assert_eq!(RtpHeader::parse(original), Ok(told));
    assert_eq!((told.payload_type, told.sequence, told.ssrc), (101, 0x1234, 0xabcd));
    assert_eq!((told.timestamp, told.marker), (header.timestamp, header.marker));
    assert_eq!(told.payload(original), Ok(&[7, 8, 9][..]));
    assert_eq!(told.extension(original, 4), Some(&[0x11][..]));

    // Padding alone, whose bytes are no number.
    let mut padding = packet(0xa0, &[], &[0x12, 0x34, 3]);
    let (header, before) = (RtpHeader::parse(&padding).unwrap(), padding.clone());
    assert_eq!(restore_original(&mut padding, &header, 101, 0xabcd), None);
    assert_eq!(padding, before);
}

#[test]
fn a_block_that_is_too_long_is_refused() {
    let data = [7; 200];
    let twice = [Extension { id: 1, data: &data }; 2];
    assert_eq!(ExtensionBlock::new(twice.into_iter()).map(|_| ()), Err(DropReason::RewriteRoom));
}

proptest! {
    #[test]
    fn hostile_headers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = 0x80 | *first & 0x3f;
        }
        if let Ok(header) = RtpHeader::parse(&bytes) {
            let total: usize = header.extensions(&bytes).map(|e| e.data.len()).sum();
            prop_assert!(total <= usize::from(header.len));
            let _checked = header.payload(&bytes);
            if let Some(told) = restore_original(&mut bytes, &header, 101, 7) {
                prop_assert_eq!(RtpHeader::parse(&bytes[ORIGINAL_SEQUENCE_LEN..]), Ok(told));
            }
        }
    }

    #[test]
    fn a_written_block_reads_back(
        elements in proptest::collection::vec(
            (1u8..=20, proptest::collection::vec(any::<u8>(), 0..18)),
            0..6,
        )
    ) {
        let block = ExtensionBlock::new(
            elements.iter().map(|(id, data)| Extension { id: *id, data }),
        ).unwrap();
        let first = if elements.is_empty() { 0x80 } else { 0x90 };
        let packet = packet(first, block.bytes(), &[0x55; 9]);
        let header = RtpHeader::parse(&packet).unwrap();
        prop_assert_eq!(header.payload(&packet).unwrap(), &[0x55; 9]);
        prop_assert_eq!(walked(&packet), elements);
    }
}
