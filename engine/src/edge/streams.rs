//! The table of streams: places, who may have how many, and how messages find theirs.

use std::net::SocketAddr;

use hashbrown::HashMap;

use super::stream::{Network, Stream};
use crate::command::SocketId;

/// Names a stream by its place, which the next one gets after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) usize);

/// All streams.
pub(crate) struct Streams {
    places: Vec<Option<Box<Stream>>>,
    free: Vec<usize>,
    names: HashMap<(SocketId, SocketAddr), Key, foldhash::fast::RandomState>,
    networks: HashMap<Network, usize, foldhash::fast::RandomState>,
    max: usize,
    per_network: usize,
}

impl Streams {
    /// At most `max`, and of one network at most `per_network`.
    pub(crate) fn new(max: usize, per_network: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            names: HashMap::default(),
            networks: HashMap::default(),
            max,
            per_network,
        }
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Takes a stream in; `None` if there are too many.
    pub(crate) fn add(&mut self, stream: Stream) -> Option<Key> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.places.len() < self.max => {
                self.places.push(None);
                self.places.len() - 1
            }
            None => return None,
        };
        self.places[place] = Some(Box::new(stream));
        Some(Key(place))
    }

    /// Counts a stream for its network; `false` if that has too many.
    pub(crate) fn count(&mut self, key: Key) -> bool {
        let Some(stream) = self.places.get_mut(key.0).and_then(Option::as_mut) else {
            return false;
        };
        let network = Network::of(stream.remote.ip());
        let count = self.networks.entry(network).or_default();
        if *count >= self.per_network {
            return false;
        }
        *count += 1;
        stream.network = Some(network);
        true
    }

    /// Takes a stream out.
    pub(crate) fn take(&mut self, key: Key) -> Option<Box<Stream>> {
        let stream = self.places.get_mut(key.0)?.take()?;
        self.free.push(key.0);
        if let Some(network) = stream.network {
            let count = self.networks.get_mut(&network);
            let left = count.map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                self.networks.remove(&network);
            }
        }
        if let Some(socket) = stream.stage.socket() {
            self.forget(key, (socket, stream.remote));
        }
        Some(stream)
    }

    /// Lets messages for this address find the stream no more.
    pub(crate) fn forget(&mut self, key: Key, name: (SocketId, SocketAddr)) {
        if self.named(name) == Some(key) {
            self.names.remove(&name);
        }
    }

    pub(crate) fn at(&mut self, key: Key) -> Option<&mut Stream> {
        self.places.get_mut(key.0)?.as_deref_mut()
    }

    /// Lets messages for this address find a stream; says which had it before.
    pub(crate) fn name(&mut self, key: Key, name: (SocketId, SocketAddr)) -> Option<Key> {
        self.names.insert(name, key).filter(|before| *before != key)
    }

    pub(crate) fn named(&self, name: (SocketId, SocketAddr)) -> Option<Key> {
        self.names.get(&name).copied()
    }

    /// The streams whose time is over.
    pub(crate) fn late(&self, now: crate::packet::Nanos) -> Vec<Key> {
        let held = self.places.iter().enumerate();
        held.filter(|(_, stream)| stream.as_ref().is_some_and(|stream| stream.deadline < now))
            .map(|(place, _)| Key(place))
            .collect()
    }
}
