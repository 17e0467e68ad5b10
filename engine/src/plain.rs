//! The encoding of exported state: every field in the order of its struct, numbers in little endian,
//! lists behind their length.
//!
//! A type becomes plain by naming all of its fields to [`plain!`]. The struct is taken apart without
//! `..`, so whoever adds a field must say here what becomes of it. Nothing tells the fields apart on
//! the way; a [`Shape`] over all their names tells one layout from another.
//!
//! Reading is bounded by the types: no list is longer than the table that it goes into, no text longer
//! than [`TEXT_MAX`], and what the engine relies on without asking is asked here, once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use arrayvec::ArrayVec;
use zeroize::{Zeroize, Zeroizing};

use crate::packet::Nanos;

/// Bytes of a text, longest.
pub(crate) const TEXT_MAX: usize = 1024;

/// Why bytes are no exported state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They end early.
    #[error("the data ends early")]
    Short,
    /// They go on where nothing follows.
    #[error("the data goes on behind its end")]
    Long,
    /// A list or text is longer than its table.
    #[error("a list has {len} entries, allowed are {max}")]
    Bound {
        /// Entries.
        len: usize,
        /// Allowed.
        max: usize,
    },
    /// The engine was compiled with this backend of SRTP, which cannot go on where another stopped.
    #[error("{0} cannot go on where another SRTP context stopped")]
    Backend(&'static str),
    /// A value that nothing here writes.
    #[error("{0} is not what this program writes")]
    Unsound(&'static str),
}

/// What can be written as bytes and read again.
pub(crate) trait Plain: Sized {
    /// Appends itself.
    fn write(&self, to: &mut Writer);

    /// Reads itself.
    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable>;

    /// Says what it is made of.
    fn shape(of: &mut Shape);
}

/// A number for a layout: a hash (FNV-1a) over the names of types and fields, in their order.
pub(crate) struct Shape(u64);

impl Shape {
    /// That of `T`.
    pub(crate) fn of<T: Plain>() -> u64 {
        let mut shape = Self(0xcbf2_9ce4_8422_2325);
        T::shape(&mut shape);
        shape.0
    }

    /// Takes a name or a length in.
    pub(crate) fn name(&mut self, name: &str) {
        for byte in name.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Takes in the type of a field, which `get` names.
    pub(crate) fn field<S, T: Plain>(&mut self, name: &str, _get: fn(&S) -> &T) {
        self.name(name);
        T::shape(self);
    }
}

/// Where state is written to. The bytes are wiped when they are dropped or moved to a larger place.
pub(crate) struct Writer {
    bytes: Zeroizing<Vec<u8>>,
    now: Nanos,
}

impl Writer {
    /// An empty one. Times are written as seen from `now`.
    pub(crate) fn new(now: Nanos) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(4096)), now }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let wanted = self.bytes.len() + bytes.len();
        if wanted > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(wanted.next_power_of_two()));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// A text longer than [`TEXT_MAX`] would not be read again; control takes none from outside.
    pub(crate) fn put_text(&mut self, text: &str) {
        write_len(text.len(), self);
        self.put(text.as_bytes());
    }
}

/// Where state is read from.
pub(crate) struct Reader<'b> {
    rest: &'b [u8],
    now: Nanos,
}

impl<'b> Reader<'b> {
    /// Reads `bytes`; `now` is what the writer's `now` is on this side's clock.
    pub(crate) fn new(bytes: &'b [u8], now: Nanos) -> Self {
        Self { rest: bytes, now }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Unreadable> {
        if self.rest.is_empty() { Ok(()) } else { Err(Unreadable::Long) }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'b [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Unreadable::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<&'b str, Unreadable> {
        let len = self.len(TEXT_MAX)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| Unreadable::Unsound("a text"))
    }

    /// The length of a list of at most `max` entries.
    pub(crate) fn len(&mut self, max: usize) -> Result<usize, Unreadable> {
        let len = usize::from(u16::read(self)?);
        if len > max { Err(Unreadable::Bound { len, max }) } else { Ok(len) }
    }
}

/// Makes structs, tuple structs and enums [`Plain`]. A condition behind `if` is what reading demands.
macro_rules! plain {
    () => {};
    (struct $name:ident { $($field:ident),* $(,)? } if $sound:expr; $($rest:tt)*) => {
        impl $crate::plain::Plain for $name {
            fn write(&self, to: &mut $crate::plain::Writer) {
                let Self { $($field),* } = self;
                $($crate::plain::Plain::write($field, to);)*
            }

            fn read(
                from: &mut $crate::plain::Reader<'_>,
            ) -> Result<Self, $crate::plain::Unreadable> {
                $(let $field = $crate::plain::Plain::read(from)?;)*
                let read = Self { $($field),* };
                let sound: fn(&Self) -> bool = $sound;
                if !sound(&read) {
                    return Err($crate::plain::Unreadable::Unsound(stringify!($name)));
                }
                Ok(read)
            }

            fn shape(of: &mut $crate::plain::Shape) {
                of.name(stringify!($name));
                $(of.field(stringify!($field), |it: &Self| &it.$field);)*
            }
        }
        $crate::plain::plain! { $($rest)* }
    };
    (struct $name:ident { $($field:ident),* $(,)? } $($rest:tt)*) => {
        $crate::plain::plain! { struct $name { $($field),* } if |_| true; $($rest)* }
    };
    (tuple $name:ident; $($rest:tt)*) => {
        impl $crate::plain::Plain for $name {
            fn write(&self, to: &mut $crate::plain::Writer) {
                let Self(inner) = self;
                $crate::plain::Plain::write(inner, to);
            }

            fn read(
                from: &mut $crate::plain::Reader<'_>,
            ) -> Result<Self, $crate::plain::Unreadable> {
                Ok(Self($crate::plain::Plain::read(from)?))
            }

            fn shape(of: &mut $crate::plain::Shape) {
                of.field(stringify!($name), |it: &Self| &it.0);
            }
        }
        $crate::plain::plain! { $($rest)* }
    };
    (enum $name:ident { $($variant:ident { $($field:ident),* } = $tag:literal),* $(,)? } $($rest:tt)*) => {
        impl $crate::plain::Plain for $name {
            fn write(&self, to: &mut $crate::plain::Writer) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        to.put(&[$tag]);
                        $($crate::plain::Plain::write($field, to);)*
                    })*
                }
            }

            fn read(
                from: &mut $crate::plain::Reader<'_>,
            ) -> Result<Self, $crate::plain::Unreadable> {
                match <u8 as $crate::plain::Plain>::read(from)? {
                    $($tag => {
                        $(let $field = $crate::plain::Plain::read(from)?;)*
                        Ok(Self::$variant { $($field),* })
                    })*
                    _ => Err($crate::plain::Unreadable::Unsound(stringify!($name))),
                }
            }

            fn shape(of: &mut $crate::plain::Shape) {
                of.name(stringify!($name));
                $(
                    of.name(stringify!($variant = $tag));
                    $(of.field(stringify!($field), |it: &Self| match it {
                        Self::$variant { $field, .. } => $field,
                        #[allow(unreachable_patterns)]
                        _ => unreachable!("only the type is asked for"),
                    });)*
                )*
            }
        }
        $crate::plain::plain! { $($rest)* }
    };
}
pub(crate) use plain;

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Plain for $number {
            fn write(&self, to: &mut Writer) {
                to.put(&self.to_le_bytes());
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
                let bytes = from.take(size_of::<Self>())?;
                bytes.try_into().map(Self::from_le_bytes).map_err(|_| Unreadable::Short)
            }

            fn shape(of: &mut Shape) {
                of.name(stringify!($number));
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i32, i64);

impl Plain for bool {
    fn write(&self, to: &mut Writer) {
        u8::from(*self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        match u8::read(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable::Unsound("a flag")),
        }
    }

    fn shape(of: &mut Shape) {
        of.name("bool");
    }
}

impl Plain for usize {
    fn write(&self, to: &mut Writer) {
        (*self as u64).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Self::try_from(u64::read(from)?).map_err(|_| Unreadable::Unsound("a place"))
    }

    fn shape(of: &mut Shape) {
        of.name("usize");
    }
}

/// As seen from the writer's now; the time that never was stays so.
impl Plain for Nanos {
    fn write(&self, to: &mut Writer) {
        let seen = match self.0 {
            0 => i64::MIN,
            time => time.wrapping_sub(to.now.0).cast_signed().max(i64::MIN + 1),
        };
        seen.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(match i64::read(from)? {
            i64::MIN => Self(0),
            seen => Self(from.now.0.saturating_add_signed(seen).max(1)),
        })
    }

    fn shape(of: &mut Shape) {
        of.name("Nanos");
    }
}

impl Plain for String {
    fn write(&self, to: &mut Writer) {
        to.put_text(self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.text().map(str::to_owned)
    }

    fn shape(of: &mut Shape) {
        of.name("text");
    }
}

impl Plain for Box<str> {
    fn write(&self, to: &mut Writer) {
        to.put_text(self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.text().map(Into::into)
    }

    fn shape(of: &mut Shape) {
        of.name("text");
    }
}

/// Every list that is written is bounded far below 65536.
pub(crate) fn write_len(len: usize, to: &mut Writer) {
    u16::try_from(len).unwrap_or(u16::MAX).write(to);
}

impl<T: Plain> Plain for Option<T> {
    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(inner) = self {
            inner.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        bool::read(from)?.then(|| T::read(from)).transpose()
    }

    fn shape(of: &mut Shape) {
        of.name("option");
        T::shape(of);
    }
}

impl<T: Plain> Plain for Box<T> {
    fn write(&self, to: &mut Writer) {
        self.as_ref().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        T::read(from).map(Self::new)
    }

    fn shape(of: &mut Shape) {
        T::shape(of);
    }
}

impl<T: Plain + Zeroize> Plain for Zeroizing<T> {
    fn write(&self, to: &mut Writer) {
        T::write(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        T::read(from).map(Self::new)
    }

    fn shape(of: &mut Shape) {
        T::shape(of);
    }
}

impl<A: Plain, B: Plain> Plain for (A, B) {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok((A::read(from)?, B::read(from)?))
    }

    fn shape(of: &mut Shape) {
        A::shape(of);
        B::shape(of);
    }
}

impl<T: Plain, const N: usize> Plain for [T; N] {
    fn write(&self, to: &mut Writer) {
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut items = ArrayVec::<T, N>::new();
        for _ in 0..N {
            items.push(T::read(from)?);
        }
        items.into_inner().map_err(|_| Unreadable::Short)
    }

    fn shape(of: &mut Shape) {
        of.name("array");
        of.name(&N.to_string());
        T::shape(of);
    }
}

impl<T: Plain, const N: usize> Plain for ArrayVec<T, N> {
    fn write(&self, to: &mut Writer) {
        write_len(self.len(), to);
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let len = from.len(N)?;
        (0..len).map(|_| T::read(from)).collect()
    }

    fn shape(of: &mut Shape) {
        of.name("list");
        of.name(&N.to_string());
        T::shape(of);
    }
}

impl Plain for IpAddr {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::V4(v4) => {
                to.put(&[4]);
                to.put(&v4.octets());
            }
            Self::V6(v6) => {
                to.put(&[6]);
                to.put(&v6.octets());
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(match u8::read(from)? {
            4 => Ipv4Addr::from(<[u8; 4]>::read(from)?).into(),
            6 => Ipv6Addr::from(<[u8; 16]>::read(from)?).into(),
            _ => return Err(Unreadable::Unsound("a host")),
        })
    }

    fn shape(of: &mut Shape) {
        of.name("host");
    }
}

impl Plain for SocketAddr {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::V4(v4) => {
                to.put(&[4]);
                to.put(&v4.ip().octets());
            }
            Self::V6(v6) => {
                to.put(&[6]);
                to.put(&v6.ip().octets());
                v6.scope_id().write(to);
            }
        }
        self.port().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (ip, scope): (IpAddr, u32) = match u8::read(from)? {
            4 => (Ipv4Addr::from(<[u8; 4]>::read(from)?).into(), 0),
            6 => (Ipv6Addr::from(<[u8; 16]>::read(from)?).into(), u32::read(from)?),
            _ => return Err(Unreadable::Unsound("an address")),
        };
        let port = u16::read(from)?;
        // A flow label is part of no pair.
        Ok(match ip {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        })
    }

    fn shape(of: &mut Shape) {
        of.name("address");
    }
}
