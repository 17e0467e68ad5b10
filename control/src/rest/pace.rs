//! How often one address may join: a token bucket per source address, in a bounded table.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::{Door, access};
use crate::api::Problem;

/// Addresses that are remembered; the one that was seen longest ago makes room.
const ADDRESSES_MAX: usize = 4096;

/// The buckets.
pub(super) struct Pace {
    rate: f64,
    burst: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    level: f64,
    seen: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(burst: f64, now: Instant) -> Self {
        Self { level: burst, seen: now }
    }

    /// Takes one, if there is one: `rate` come in a second, up to `burst`.
    pub(super) fn take(&mut self, rate: f64, burst: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.seen).as_secs_f64();
        self.level = (self.level + passed * rate).min(burst);
        self.seen = now;
        let taken = self.level >= 1.0;
        if taken {
            self.level -= 1.0;
        }
        taken
    }
}

impl Pace {
    /// `rate` a second, `burst` at once.
    pub(super) fn new(rate: u32, burst: u32) -> Self {
        Self { rate: rate.into(), burst: burst.into(), buckets: Mutex::default() }
    }

    /// Takes one from the bucket of `from`.
    ///
    /// # Errors
    /// 429 if it is empty.
    fn take(&self, from: IpAddr, now: Instant) -> Result<(), Problem> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let from = network(from);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&from) {
            let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.seen).map(|(at, _)| *at);
            oldest.and_then(|oldest| buckets.remove(&oldest));
        }
        let bucket = buckets.entry(from).or_insert_with(|| Bucket::full(self.burst, now));
        if bucket.take(self.rate, self.burst, now) {
            return Ok(());
        }
        Err(Problem::too_many("too many joins from this address; wait a moment"))
    }
}

/// An IPv6 host has a /64 to itself: its addresses are one source.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

/// Proof that the request's address may join now; asked on the public listener only.
pub(super) struct Paced;

impl FromRequest for Paced {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(access::surroundings(request).and_then(|(door, state)| {
            match (door, request.peer_addr()) {
                (Door::Public, Some(peer)) => state.pace.take(peer.ip(), Instant::now())?,
                (Door::Public, None) | (Door::Admin, _) => {}
            }
            Ok(Self)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_gets_its_burst_and_then_its_rate() {
        let pace = Pace::new(2, 3);
        let (now, a) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..3 {
            pace.take(a, now).unwrap();
        }
        assert_eq!(pace.take(a, now).unwrap_err().status, 429);
        pace.take(IpAddr::from([192, 0, 2, 2]), now).unwrap();
        pace.take(a, now + Duration::from_millis(500)).unwrap();
        assert!(pace.take(a, now + Duration::from_millis(500)).is_err());
    }

    #[test]
    fn the_addresses_of_one_network_share_a_bucket_and_the_table_stays_bounded() {
        let pace = Pace::new(1, 1);
        let now = Instant::now();
        pace.take("2001:db8::1".parse().unwrap(), now).unwrap();
        assert!(pace.take("2001:db8::2".parse().unwrap(), now).is_err());
        for n in 0..2 * ADDRESSES_MAX as u32 {
            pace.take(IpAddr::V4(n.into()), now + Duration::from_millis(n.into())).unwrap();
        }
        assert_eq!(pace.buckets.lock().unwrap().len(), ADDRESSES_MAX);
    }
}
