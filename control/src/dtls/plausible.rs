//! A look at a datagram's record headers before `dimpl` sees it.
//!
//! A plaintext record that is too short for its type stays in `dimpl`'s queue and makes it give up at
//! the end of the handshake, so such datagrams are dropped here (RFC 6347 §4.1.2.7).

/// Whether a datagram is worth handing on. Encrypted records are not judged.
pub(super) fn is_plausible(mut datagram: &[u8]) -> bool {
    while let [kind, rest @ ..] = datagram {
        match kind {
            CIPHERTEXT_FIRST..=CIPHERTEXT_LAST => return true,
            CHANGE_CIPHER_SPEC..=LEGACY_LAST => {}
            _ => return false,
        }
        let Some((header, rest)) = rest.split_first_chunk::<12>() else { return false };
        let length = usize::from(u16::from_be_bytes([header[10], header[11]]));
        let Some((record, next)) = rest.split_at_checked(length) else { return false };
        let encrypted = header[2..4] != [0, 0];
        if !encrypted && !fits(*kind, record.len()) {
            return false;
        }
        datagram = next;
    }
    true
}

/// What a record of this type has at least, or exactly, while nothing is encrypted.
fn fits(kind: u8, length: usize) -> bool {
    match kind {
        CHANGE_CIPHER_SPEC => length == 1,
        ALERT => length == 2,
        HANDSHAKE => length >= HANDSHAKE_HEADER,
        ACK => length >= 2,
        _ => false,
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const ACK: u8 = 26;
const LEGACY_LAST: u8 = 31;
/// RFC 9147 §4: the unified header starts with the bits 001.
const CIPHERTEXT_FIRST: u8 = 32;
const CIPHERTEXT_LAST: u8 = 63;
const HANDSHAKE_HEADER: usize = 12;
