//! Descriptors over a Unix socket (`SCM_RIGHTS`), beside a stream of bytes.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Descriptors that go with one message, at most.
pub const PASS_MAX: usize = 64;
/// Descriptors that the kernel takes with one message: as many may arrive.
const KERNEL_MAX: usize = 253;

/// Sends all of `bytes`, and `descriptors` with the first of them.
///
/// # Errors
/// What the kernel says; `InvalidInput` for more than [`PASS_MAX`] descriptors, or some without bytes.
pub fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > PASS_MAX || bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        match sendmsg(stream, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => {
                rest = &rest[sent..];
                control.clear();
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives some bytes; descriptors that come with them are appended to `descriptors` and are
/// closed on exec. 0 bytes are the stream's end.
///
/// # Errors
/// What the kernel says; `QuotaExceeded` if this process could not take all descriptors that came.
pub fn receive(
    stream: &UnixStream,
    bytes: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(KERNEL_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(bytes)];
        match recvmsg(stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_socket_arrives_with_the_bytes_that_it_was_sent_with_and_still_receives() {
        let (here, there) = UnixStream::pair().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = udp.local_addr().unwrap();
        send(&here, b"before", &[]).unwrap();
        send(&here, b"with", &[udp.as_fd()]).unwrap();
        drop((udp, here));

        let (mut bytes, mut came, mut read) = ([0; 64], VecDeque::new(), Vec::new());
        loop {
            match receive(&there, &mut bytes, &mut came).unwrap() {
                0 => break,
                len => read.extend_from_slice(&bytes[..len]),
            }
        }
        assert_eq!((read.as_slice(), came.len()), (&b"beforewith"[..], 1));
        let flags = rustix::io::fcntl_getfd(&came[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let udp = UdpSocket::from(came.pop_front().unwrap());
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"late", local).unwrap();
        assert_eq!(udp.recv(&mut bytes).unwrap(), 4);
    }

    #[test]
    fn descriptors_that_nobody_asked_for_are_closed() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut watched, given) = UnixStream::pair().unwrap();
        send(&here, b"x", &[given.as_fd()]).unwrap();
        drop(given);
        let mut came = VecDeque::new();
        receive(&there, &mut [0; 8], &mut came).unwrap();
        drop(came);
        assert_eq!(watched.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn more_descriptors_than_a_message_takes_are_refused_before_they_are_sent() {
        let (here, _there) = UnixStream::pair().unwrap();
        let many = vec![here.as_fd(); PASS_MAX + 1];
        assert_eq!(send(&here, b"x", &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send(&here, b"", &many[..1]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
