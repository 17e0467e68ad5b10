//! CreatePermission and ChannelBind (RFC 8656 §10, §12): whom an allocation reaches.

use std::net::{IpAddr, SocketAddr};

use super::channel::CHANNEL_NUMBERS;
use super::message::{self, Code};
use super::{Answer, Asked, Key, Output, RelayTransport, Server};

impl Server {
    /// All of the peers are permitted, or none.
    pub(super) fn create_permission(&mut self, asked: &Asked<'_>) -> Answer {
        let key = self.own(asked)?;
        let request = &asked.request;
        if request.peers.is_empty() {
            return Err(Code::BadRequest);
        }
        if request.too_many_peers {
            return Err(Code::InsufficientCapacity);
        }
        let peers: Vec<IpAddr> = request.peers.iter().map(SocketAddr::ip).collect();
        peers.iter().try_for_each(|peer| self.check_peer(key, *peer))?;
        self.check_room(key, &peers)?;
        peers.into_iter().for_each(|peer| self.permit(asked, key, peer));
        self.reschedule(key);
        Ok(Some(message::success(request.id(), &asked.grant.key, |_| Some(()))))
    }

    /// Binds a channel, and permits its peer.
    pub(super) fn bind_channel(&mut self, asked: &Asked<'_>) -> Answer {
        let key = self.own(asked)?;
        let request = &asked.request;
        let channel = request.channel.filter(|number| CHANNEL_NUMBERS.contains(number));
        let channel = channel.ok_or(Code::BadRequest)?;
        let peer = one_peer(asked)?;
        let held = self.allocations.get(&key).ok_or(Code::AllocationMismatch)?;
        if held.transport == RelayTransport::Tcp {
            return Err(Code::BadRequest);
        }
        self.check_peer(key, peer.ip())?;
        held.channels.check(channel, peer)?;
        self.check_room(key, &[peer.ip()])?;
        self.permit(asked, key, peer.ip());
        let held = self.allocations.get_mut(&key).ok_or(Code::AllocationMismatch)?;
        if held.channels.bind(asked.now, channel, peer) {
            self.outputs.push_back(Output::Bind { key, channel, peer });
        }
        self.reschedule(key);
        Ok(Some(message::success(request.id(), &asked.grant.key, |_| Some(()))))
    }

    /// Whether the allocation may reach the peer.
    ///
    /// # Errors
    /// 443 if it cannot, 403 if it may not.
    pub(super) fn check_peer(&self, key: Key, peer: IpAddr) -> Result<(), Code> {
        self.allocations.get(&key).ok_or(Code::AllocationMismatch)?.reaches(peer)?;
        if self.settings.policy.permits(peer) {
            return Ok(());
        }
        Err(Code::Forbidden)
    }

    fn check_room(&self, key: Key, peers: &[IpAddr]) -> Result<(), Code> {
        let held = self.allocations.get(&key).ok_or(Code::AllocationMismatch)?;
        if held.permissions.fits(peers) {
            return Ok(());
        }
        Err(Code::InsufficientCapacity)
    }

    fn permit(&mut self, asked: &Asked<'_>, key: Key, peer: IpAddr) {
        let Some(held) = self.allocations.get_mut(&key) else { return };
        if held.permissions.grant(asked.now, peer) {
            self.outputs.push_back(Output::Permit { key, peer });
        }
    }
}

/// The peer of a request that is about one.
pub(super) fn one_peer(asked: &Asked<'_>) -> Result<SocketAddr, Code> {
    asked.request.peers.first().filter(|peer| peer.port() != 0).copied().ok_or(Code::BadRequest)
}
