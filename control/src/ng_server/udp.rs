//! The door for datagrams. Each is answered from the socket that it came in by, to whoever sent it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Asker, BREATH, Door, NgDesk, Silence};

/// Binds it, with room for a burst of requests: the kernel gives as much as it may.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Answers what comes, until the doors close.
pub(super) async fn serve(socket: std::net::UdpSocket, desk: NgDesk) {
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => return tracing::error!(%error, "the ng protocol is not served over UDP"),
    };
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => take(&socket, &desk, from, &buffer[..length]),
            Err(error) => {
                tracing::warn!(%error, "ng over UDP");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn take(socket: &Rc<UdpSocket>, desk: &NgDesk, from: SocketAddr, datagram: &[u8]) {
    let asker = Asker::new(Door::Udp, from.ip());
    if !desk.admits(&asker) {
        return;
    }
    let (socket, desk) = (Rc::clone(socket), desk.clone());
    let reply = desk.ask(asker, Bytes::copy_from_slice(datagram));
    // As many wait as requests may be in progress, with their repeats, and in the actor's mailbox.
    actix_rt::spawn(async move {
        let Some(reply) = reply.await else { return };
        if socket.send_to(&reply, from).await.is_err() {
            desk.silent(Silence::Unsent);
        }
    });
}

/// Bytes of a datagram, most.
const DATAGRAM_MAX: usize = 64 * 1024;
/// Bytes that may wait in the kernel: some 500 offers of a browser.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
