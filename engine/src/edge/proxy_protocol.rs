//! The PROXY protocol, versions 1 and 2: who a stream is really from, told by the load balancer before
//! the node. It is asked of configured sources alone, and of those always: from others it would be a
//! way to lie about one's address, and without it their clients would all be one.
//!
//! ```text
//! v1  PROXY TCP4 192.0.2.1 203.0.113.5 50000 443\r\n
//! v2  12 bytes of signature | version, command | family, protocol | length | addresses, extensions
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a header with all extensions, most.
pub(crate) const HEADER_MAX: usize = 2048;
/// Bytes of a header of version 1, most, as its specification counts them.
const LINE_MAX: usize = 107;
const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: [u8; 12] =
    [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/// Bytes before the addresses of version 2.
const FIXED: usize = SIGNATURE.len() + 4;

/// What the first bytes of a stream say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is not all there.
    More,
    /// It is so many bytes long.
    Whole {
        /// Bytes of it.
        len: usize,
        /// The client; none where the proxy itself asks, as for its own checks.
        client: Option<SocketAddr>,
    },
    /// There is none.
    Malformed,
}

/// Reads the header at the start of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Header {
    let begins = |with: &[u8]| {
        let seen = bytes.len().min(with.len());
        bytes[..seen] == with[..seen]
    };
    if begins(&SIGNATURE) {
        return binary(bytes);
    }
    if begins(LINE_START) {
        return line(bytes);
    }
    Header::Malformed
}

fn line(bytes: &[u8]) -> Header {
    let head = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LINE_MAX { Header::More } else { Header::Malformed };
    };
    let client = std::str::from_utf8(&head[..end]).ok().and_then(words);
    client.map_or(Header::Malformed, |client| Header::Whole { len: end + 2, client })
}

/// The client that a line of version 1 names; `None` if the line is wrong.
fn words(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (from, to): (IpAddr, IpAddr) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (port, _): (u16, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let fits = match family {
        "TCP4" => from.is_ipv4() && to.is_ipv4(),
        "TCP6" => from.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then(|| Some(SocketAddr::new(from.to_canonical(), port)))
}

fn binary(bytes: &[u8]) -> Header {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Header::More };
    let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[12] >> 4 != 2 || len > HEADER_MAX {
        return Header::Malformed;
    }
    let Some(rest) = bytes.get(FIXED..len) else { return Header::More };
    let client = match (fixed[12] & 0xf, fixed[13] >> 4) {
        // LOCAL, or a client of a family that has no address here.
        (0, _) | (1, 0) => Some(None),
        (1, 1) => v4(rest).map(Some),
        (1, 2) => v6(rest).map(Some),
        _ => None,
    };
    client.map_or(Header::Malformed, |client| Header::Whole { len, client })
}

/// Addresses of both ends, then their ports.
fn v4(rest: &[u8]) -> Option<SocketAddr> {
    let &[a, b, c, d, _, _, _, _, high, low, _, _] = rest.first_chunk()?;
    Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
}

fn v6(rest: &[u8]) -> Option<SocketAddr> {
    let all: &[u8; 36] = rest.first_chunk()?;
    let ip = Ipv6Addr::from(*all.first_chunk::<16>()?);
    Some(SocketAddr::new(IpAddr::V6(ip).to_canonical(), u16::from_be_bytes([all[32], all[33]])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &len, rest].concat()
    }

    fn addresses() -> Vec<u8> {
        [&[192, 0, 2, 1, 203, 0, 113, 5][..], &[0xc3, 0x50, 1, 0xbb]].concat()
    }

    #[test]
    fn a_line_names_the_client() {
        for (line, client) in [
            ("PROXY TCP4 192.0.2.1 203.0.113.5 50000 443\r\n", at("192.0.2.1:50000")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n", at("[2001:db8::1]:1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            let bytes = [line.as_bytes(), b"\x16\x03"].concat();
            assert_eq!(read(&bytes), Header::Whole { len: line.len(), client }, "{line}");
            for len in 0..line.len() {
                assert_eq!(read(&bytes[..len]), Header::More, "{line} {len}");
            }
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 203.0.113.5 50000\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 443\r\n",
            "PROXY TCP4 192.0.2.1 203.0.113.5 70000 443\r\n",
            "PROXY TCP4 192.0.2.1 203.0.113.5 1 443 5\r\n",
            "PROXY UDP4 192.0.2.1 203.0.113.5 1 443\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Header::Malformed, "{line}");
        }
        let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; LINE_MAX]].concat();
        assert_eq!(read(&endless), Header::Malformed);
    }

    #[test]
    fn a_binary_header_names_the_client_and_may_carry_more() {
        let with_extension = [addresses(), vec![4, 0, 1, 9]].concat();
        let six = [Ipv6Addr::LOCALHOST.octets(), [0; 16]].concat();
        let six = [six, vec![0, 7, 1, 0xbb]].concat();
        for (header, client) in [
            (v2(1, 0x11, &addresses()), at("192.0.2.1:50000")),
            (v2(1, 0x11, &with_extension), at("192.0.2.1:50000")),
            (v2(1, 0x21, &six), at("[::1]:7")),
            (v2(0, 0, &[]), None),
            (v2(0, 0x11, &addresses()), None),
        ] {
            let bytes = [&header[..], b"\x16"].concat();
            assert_eq!(read(&bytes), Header::Whole { len: header.len(), client });
            for len in 0..header.len() {
                assert_eq!(read(&bytes[..len]), Header::More);
            }
        }
    }

    #[test]
    fn a_binary_header_that_is_wrong_is_refused() {
        let mut version = v2(1, 0x11, &addresses());
        version[12] = 0x31;
        for header in
            [v2(2, 0x11, &addresses()), v2(1, 0x11, &[0; 11]), v2(1, 0x31, &[0; 216]), version]
        {
            assert_eq!(read(&header), Header::Malformed);
        }
        assert_eq!(read(&v2(1, 0x11, &[0; HEADER_MAX])), Header::Malformed, "too long");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = read(&bytes);
            let _ = read(&[&SIGNATURE[..], &bytes].concat());
            let _ = read(&[LINE_START, &bytes].concat());
        }
    }
}
