//! The test vectors of RFC 3711, RFC 6188 and RFC 7714.

use super::super::native::aead_gcm::{AeadGcm, Expanded, Folded, Gcm};
use super::super::native::aes_cm::AesCm;
use super::super::native::f8::F8;
use super::super::native::hmac_sha1::Cipher;
use super::super::native::kdf::{Kdf, Protocol};
use super::*;

/// "Gallia est omnis divisa in partes tres" (RFC 7714 §16).
const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
    69736120 696e2070 61727465 73207472 6573";
/// A sender report (RFC 7714 §17).
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
    deadbeef deadbeef deadbeef deadbeef deadbeef";
/// "Quid pro quo".
const GCM_SALT: &str = "51756964 2070726f 2071756f";

fn gcm<K: Gcm>(key_len: u8) -> AeadGcm<K> {
    let key: Vec<u8> = (0..key_len).collect();
    AeadGcm::from_session(&key, &hex(GCM_SALT).try_into().unwrap())
}

fn gcm_rtp_protects_to(key_len: u8, protected: &str) {
    gcm_rtp_by::<Expanded>(key_len, protected);
    gcm_rtp_by::<Folded>(key_len, protected);
}

fn gcm_rtp_by<K: Gcm>(key_len: u8, protected: &str) {
    let (plain, protected) = (hex(RTP), hex(protected));
    let id = PacketId { ssrc: 0x5501_a0b2, index: 0xf17b };
    let mut packet = plain.clone();
    packet.resize(plain.len() + 16, 0);
    gcm::<K>(key_len).protect_rtp(id, 12, &mut packet);
    assert_eq!(packet, protected);
    let len = gcm::<K>(key_len).unprotect_rtp(id, 12, &mut packet).unwrap();
    assert_eq!(packet[..len], plain);
    let mut forged = protected;
    forged[20] ^= 1;
    let refused = gcm::<K>(key_len).unprotect_rtp(id, 12, &mut forged);
    assert_eq!(refused, Err(DropReason::SrtpAuth));
}

fn gcm_rtcp_protects_to(key_len: u8, protected: &str) {
    gcm_rtcp_by::<Expanded>(key_len, protected);
    gcm_rtcp_by::<Folded>(key_len, protected);
}

fn gcm_rtcp_by<K: Gcm>(key_len: u8, protected: &str) {
    let (plain, protected) = (hex(RTCP), hex(protected));
    let id = PacketId { ssrc: 0x4d61_7273, index: 0x5d4 };
    let mut packet = plain.clone();
    packet.resize(plain.len() + 20, 0);
    gcm::<K>(key_len).protect_rtcp(id, ENCRYPTED | 0x5d4, &mut packet);
    assert_eq!(packet, protected);
    let len = gcm::<K>(key_len).unprotect_rtcp(id, ENCRYPTED | 0x5d4, &mut packet).unwrap();
    assert_eq!(packet[..len], plain);
    let mut forged = protected;
    forged[20] ^= 1;
    let refused = gcm::<K>(key_len).unprotect_rtcp(id, ENCRYPTED | 0x5d4, &mut forged);
    assert_eq!(refused, Err(DropReason::SrtpAuth));
}

#[test]
fn aead_aes_128_gcm_srtp_is_rfc_7714_section_16_1() {
    gcm_rtp_protects_to(
        16,
        "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f
         42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
    );
}

#[test]
fn aead_aes_256_gcm_srtp_is_rfc_7714_section_16_2() {
    gcm_rtp_protects_to(
        32,
        "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3
         b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
    );
}

#[test]
fn aead_aes_128_gcm_srtcp_is_rfc_7714_section_17_1() {
    gcm_rtcp_protects_to(
        16,
        "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1
         730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
    );
}

#[test]
fn aead_aes_256_gcm_srtcp_is_rfc_7714_section_17_2() {
    gcm_rtcp_protects_to(
        32,
        "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1
         110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
    );
}

/// Blocks 0, 1, 2, 0xfeff, 0xff00 and 0xff01 of a keystream.
fn counter_mode_is(key: &str, blocks: [&str; 6]) {
    let counter = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_0000;
    let mut keystream = vec![0; 0xff02 * 16];
    AesCm::new(&hex(key)).apply(counter, &mut keystream);
    for (i, block) in [0, 1, 2, 0xfeff, 0xff00, 0xff01].into_iter().zip(blocks) {
        assert_eq!(keystream[i * 16..][..16], hex(block), "block {i}");
    }
}

#[test]
fn the_counter_mode_keystream_is_rfc_3711_appendix_b_2() {
    counter_mode_is(
        "2b7e151628aed2a6abf7158809cf4f3c",
        [
            "e03ead0935c95e80e166b16dd92b4eb4",
            "d23513162b02d0f72a43a2fe4a5f97ab",
            "41e95b3bb0a2e8dd477901e4fca894c0",
            "ec8cdf7398607cb0f2d21675ea9ea1e4",
            "362b7c3c6773516318a077d7fc5073ae",
            "6a2cc3787889374fbeb4c81b17ba6c44",
        ],
    );
}

#[test]
fn the_counter_mode_keystream_of_a_256_bit_key_is_rfc_6188_section_7_1() {
    counter_mode_is(
        "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
        [
            "92bdd28a93c3f52511c677d08b5515a4",
            "9da71b2378a854f67050756ded165bac",
            "63c4868b7096d88421b563b8c94c9a31",
            "cea518c90fd91ced9cbb18c078a54711",
            "3dbc4814f4da5f00a08772b63c6a046d",
            "6eb246913062a16891433e97dd01a57f",
        ],
    );
}

#[test]
fn the_counter_mode_keystream_of_a_192_bit_key_is_rfc_6188_section_7_3() {
    counter_mode_is(
        "eab234764e517b2d3d160d587d8c86219740f65f99b6bcf7",
        [
            "35096cba4610028dc1b57503804ce37c",
            "5de986291dcce161d5165ec4568f5c9a",
            "474a40c77894bc17180202272a4c264d",
            "d108d1a31a00bad6367ec23eb044b415",
            "c8f57129fdeb970b59f917b257662d4c",
            "a5dab625811034e8cebdfeb6dc158dd3",
        ],
    );
}

#[test]
fn f8_mode_is_rfc_3711_appendix_b_1() {
    let cipher = F8::from_session(&hex("234829008467be186c3de14aae72d62c"), &hex("32f2870d"));
    let header = hex("806e5cba50681de55c621599");
    let mut payload = b"pseudorandomness is the next best thing".to_vec();
    let id = PacketId { ssrc: 0x5c62_1599, index: 0xd462_564a_5cba };
    cipher.apply_rtp(id, &header, &mut payload);
    let expected = "019ce7a26e7854014a6366aa95d4eefd 1ad4172a14f9faf455b7f1d4b62bd08f
         562c0eef7c4802";
    assert_eq!(payload, hex(expected));
}

#[test]
fn the_key_derivation_is_rfc_3711_appendix_b_3() {
    let master = MasterKey::new(
        Suite::AesCm128HmacSha1_80,
        &hex("e1f97a0d3e018be0d64fa32c06de4139"),
        &hex("0ec675ad498afeebb6960b3aabe6"),
    );
    let kdf = Kdf::new(&master.unwrap());
    kdf.encryption_key(Protocol::Rtp, 16, |key| {
        assert_eq!(key, hex("c61e7a93744f39ee10734afe3ff7a087"));
    });
    assert_eq!(kdf.salt::<14>(Protocol::Rtp)[..], hex("30cbbc08863d8c85d49db34a9ae1"));
    let whole = "cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce
         e049646c43d9327ad175578ef7227098 6371c10c9a369ac2f94a8c5fbcdddc25
         6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2";
    assert_eq!(kdf.authentication_key::<94>(Protocol::Rtp)[..], hex(whole));
}

#[test]
fn the_key_derivation_of_a_256_bit_key_is_rfc_6188_section_7_2() {
    let prf = Kdf::from_parts(
        &hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6"),
        &hex("3b04803de51ee7c96423ab5b78d2"),
    );
    prf.encryption_key(Protocol::Rtp, 32, |key| {
        let expected = "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4";
        assert_eq!(key, hex(expected));
    });
    assert_eq!(prf.salt::<14>(Protocol::Rtp)[..], hex("fa31791685ca444a9e07c6c64e93"));
    assert_eq!(
        prf.authentication_key::<20>(Protocol::Rtp)[..],
        hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05")
    );
}

#[test]
fn the_key_derivation_of_a_192_bit_key_is_rfc_6188_section_7_4() {
    let prf = Kdf::from_parts(
        &hex("73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1"),
        &hex("c8522f3acd4ce86d5add78edbb11"),
    );
    prf.encryption_key(Protocol::Rtp, 24, |key| {
        assert_eq!(key, hex("31874736a8f1143870c26e4857d8a5b2c4a354407faadabb"));
    });
    assert_eq!(prf.salt::<14>(Protocol::Rtp)[..], hex("2372b82d639b6d8503a47adc0a6c"));
    assert_eq!(
        prf.authentication_key::<20>(Protocol::Rtp)[..],
        hex("355b10973cd95b9eacf4061c7e1a7151e7cfbfcb")
    );
}
