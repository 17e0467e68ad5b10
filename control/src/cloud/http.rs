//! As much HTTP/1.1 as a metadata service needs: one request per connection, a short answer (RFC 9112).
//! Webhooks read their answers here too.

use super::Request;

/// A complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Writes a request; `host` is what stands in `Host`.
pub(super) fn write(request: &Request, host: &str) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {}\r\n", value.as_str()));
    }
    if request.method == "PUT" {
        text.push_str("Content-Length: 0\r\n");
    }
    text.push_str("Accept: */*\r\nConnection: close\r\n\r\n");
    text
}

/// Reads an answer from what has come so far. `Ok(None)` asks for more; `ended` says that there is no more.
pub(crate) fn read(bytes: &[u8], ended: bool) -> Result<Option<Response>, &'static str> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if ended { Err("the answer ends early") } else { Ok(None) };
    };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let head = str::from_utf8(head).map_err(|_| "not HTTP")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(read_status).ok_or("not HTTP")?;
    let header = |wanted: &str| {
        let mut fields = lines.clone().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let body = if header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        read_chunks(body)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| "a strange Content-Length")?;
        body.get(..length).map(<[u8]>::to_vec)
    } else {
        ended.then(|| body.to_vec())
    };
    match body {
        Some(body) => Ok(Some(Response { status, body })),
        None if ended => Err("the answer ends early"),
        None => Ok(None),
    }
}

fn read_status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let digits = rest.get(..3)?;
    let complete = version.starts_with("HTTP/1.") && digits.bytes().all(|b| b.is_ascii_digit());
    complete.then(|| digits.parse().ok()).flatten()
}

/// RFC 9112 §7.1; `None` while the last chunk is not here.
fn read_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let line = str::from_utf8(&rest[..end]).map_err(|_| "a strange chunk")?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = u32::from_str_radix(digits, 16).map_err(|_| "a strange chunk")? as usize;
        if length == 0 {
            return Ok(Some(body));
        }
        let (start, stop) = (end + 2, end + 2 + length);
        let (Some(chunk), Some(next)) = (rest.get(start..stop), rest.get(stop + 2..)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(text: &str, ended: bool) -> Result<Option<String>, &'static str> {
        let response = read(text.as_bytes(), ended)?;
        Ok(response.map(|response| String::from_utf8(response.body).unwrap()))
    }

    #[test]
    fn answers_are_read_by_length_by_chunks_and_by_end() {
        let length = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(body(length, false), Ok(Some("abc".into())));
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        assert_eq!(body(chunks, false), Ok(Some("abc".into())));
        let end = "HTTP/1.0 200 OK\r\n\r\nabc";
        assert_eq!((body(end, false), body(end, true)), (Ok(None), Ok(Some("abc".into()))));
    }

    #[test]
    fn every_prefix_asks_for_more() {
        let whole = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
        for length in 0..whole.len() {
            assert_eq!(body(&whole[..length], false), Ok(None), "{length}");
            assert!(body(&whole[..length], true).is_err(), "{length}");
        }
        assert_eq!(read(whole.as_bytes(), false).unwrap().unwrap().status, 404);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, ended: bool) {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let _ = read(&bytes, ended);
            answer.extend(bytes);
            let _ = read(&answer, ended);
        }
    }
}
